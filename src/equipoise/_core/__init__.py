"""Ground floor: checks, randomness, fingerprints, atomic files; knows nothing of labels."""
