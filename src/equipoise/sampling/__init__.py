"""Samplers and row weights for imbalanced data."""
