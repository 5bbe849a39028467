"""Decisions on validation data: calibration, priors, thresholds."""
