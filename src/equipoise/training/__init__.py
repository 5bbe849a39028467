"""Training with a remedy that is handed in."""
