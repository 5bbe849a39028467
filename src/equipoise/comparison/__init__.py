"""Evaluation and comparison, from Scores alone."""
