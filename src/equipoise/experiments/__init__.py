"""The catalogue of methods, the study and its run."""
