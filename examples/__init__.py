"""Worked studies that are run from a clone."""
