"""Labels in: reading, counts, statistics, groups and weights; NumPy only."""
