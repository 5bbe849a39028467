"""Metrics with influence values: one sort gives every ranking and threshold metric."""
