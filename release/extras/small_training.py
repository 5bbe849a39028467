"""A small training under a tracker; no extra of its own."""

import numpy as np
from torch import nn

import equipoise as eq
from equipoise.data import ArrayDataset


def train(tracker: str) -> None:
    """Train three epochs into the folder "runs"."""
    labels = eq.Labels.from_array(np.arange(60) % 3, kind="multiclass")
    rows = ArrayDataset(np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32), labels)
    split = eq.stratified_split(labels, seed=0)
    options = eq.TrainingOptions(epochs=3, accelerator="cpu", trackers=(tracker,))
    remedy = eq.remedy("none", labels[split.train])
    eq.fit(nn.Linear(2, 3), rows, split, remedy, options=options, out="runs")
