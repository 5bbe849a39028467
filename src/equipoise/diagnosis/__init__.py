"""Checks on labels, splits, scores and histories that answer with findings."""
