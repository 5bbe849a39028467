"""Remedies, scores and rules inside what others train with: the Hugging Face Trainer."""
