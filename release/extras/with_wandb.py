"""Extra wandb: a training that Weights & Biases keeps offline within the trial's folder."""

from pathlib import Path

import small_training

small_training.train("wandb")
assert list(Path("runs").rglob("*.wandb"))
