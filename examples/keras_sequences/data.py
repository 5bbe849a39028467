"""Generated sequences with the label counts of a posted case, and a noisy signal per label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equipoise._core.rng import generator
from equipoise.artifacts.labels import Labels
from equipoise.keras.data.sequences import RaggedSequences
from equipoise.sampling.rule_table import long_tail_labels

FEATURES = 128
LENGTHS = (3, 6)
STRENGTH = 5.0
BINARY = 22
"""The label that the binary model was trained on: present in 4,702 of 5,500 rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Sequences and the labels of the same rows."""

    sequences: RaggedSequences
    labels: Labels

    @property
    def evaluable(self) -> NDArray[np.int64]:
        """Labels with positives."""
        return np.flatnonzero(self.labels.counts > 0)

    @property
    def padded(self) -> NDArray[np.float32]:
        """All sequences as one array, (N, T, 128); steps of zeros are padding."""
        whole: NDArray[np.float32] = self.sequences.batch(np.arange(len(self.sequences)))
        return whole


def make_case(seed: int = 0) -> Case:
    """Return 5,500 sequences of 3 to 5 steps with 23 labels; 6,790 positives in all.

    Which rows have a label is drawn for each label by itself. A label shows as a motif: two steps
    that follow one another are moved along two directions of its own, in unit noise.
    """
    return _with_motifs(long_tail_labels(seed), seed, "case")


def make_binary_case(rows: int = 2_000, seed: int = 0) -> Case:
    """Return other sequences of the same kind, for the binary model that was there before."""
    labels = long_tail_labels(seed + 1)[np.arange(rows)]
    return _with_motifs(labels, seed, "binary")


def _with_motifs(labels: Labels, seed: int, name: str) -> Case:
    directions = generator(seed, "keras", "example", "directions")
    motifs = directions.normal(size=(labels.num_classes, 2, FEATURES))
    motifs *= STRENGTH / np.linalg.norm(motifs, axis=2, keepdims=True)
    random = generator(seed, "keras", "example", name)
    lengths = random.integers(*LENGTHS, len(labels))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    steps = random.normal(size=(int(offsets[-1]), FEATURES))
    for label, hot in enumerate(labels.values.T):
        rows = np.flatnonzero(hot == 1)
        start = offsets[rows] + random.integers(0, lengths[rows] - 1)
        for part in (0, 1):
            np.add.at(steps, start + part, motifs[label, part])
    return Case(RaggedSequences(steps.astype(np.float32), offsets=offsets), labels)
