"""Equipoise: find out whether class imbalance hurts, treat it, ship calibrated decisions."""
