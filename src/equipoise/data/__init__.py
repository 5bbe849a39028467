"""Torch data sets."""
