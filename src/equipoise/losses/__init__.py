"""Losses for imbalanced data, each with its inverse."""
