"""Rows that are made here: tables and sequences with a signal per label, and scores of a model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from equipoise._core.rng import generator
from equipoise.artifacts import Labels, Scores
from equipoise.sampling.rule_table import long_tail_labels
from equipoise.studies.digits import digit_mosaics, digits
from equipoise.studies.rows import StudyData
from equipoise.studies.schema import DigitsData, MadeTableData, MosaicData

Floats = NDArray[np.float32]


def made_table(
    *,
    rows: int = 4000,
    test_rows: int = 2000,
    prevalences: Mapping[str, float],
    features: int = 20,
    strength: float = 2.0,
    seed: int = 0,
) -> StudyData:
    """Return rows of unit noise that are moved along a direction of its own by each label.

    Counts of positives are exact, in the rows and in the test rows; which rows have a label is
    drawn for each label by itself. One label is a binary problem.

    Args:
        rows: To train and validate on.
        test_rows: To test on.
        prevalences: Label -> share of positives, in [0, 1).
        features: Columns.
        strength: Length of a label's direction, in standard deviations of the noise.
        seed: Of labels, directions and noise.

    Example:
        >>> data = made_table(rows=1000, test_rows=200, prevalences={"rare": 0.005})
        >>> data.features.shape, int(data.labels[np.arange(1000)].counts[0])
        ((1200, 20), 5)
    """
    names = list(prevalences)
    directions = generator(seed, "made table", "directions").normal(size=(len(names), features))
    directions *= strength / np.linalg.norm(directions, axis=1, keepdims=True)
    hot = np.zeros((rows + test_rows, len(names)), dtype=np.int8)
    for column, name in enumerate(names):
        for start, size in ((0, rows), (rows, test_rows)):
            own = generator(seed, "made table", name, start)
            count = round(prevalences[name] * size)
            hot[start + own.choice(size, count, replace=False), column] = 1
    noise = generator(seed, "made table", "noise").normal(size=(len(hot), features))
    labels = Labels.from_array(hot, kind="multilabel", names=names)
    x = (noise + hot @ directions).astype(np.float32)
    return StudyData("a made table", x, labels, np.arange(rows, rows + test_rows))


def made_sequences(
    *, rows: int = 5500, features: int = 32, strength: float = 5.0, seed: int = 0
) -> tuple[Floats, NDArray[np.int64], Labels]:
    """Return sequences of 3 to 5 steps with 23 labels, eight of which no sequence has.

    A label shows as a motif: two steps that follow one another are moved along two directions of
    its own, in unit noise.

    Args:
        rows: Sequences, at most 5,500; of fewer the rarest labels lose their positives, too.
        features: Values of a step.
        strength: Length of a direction, in standard deviations of the noise.
        seed: Of labels, directions and noise.

    Returns:
        Steps end to end (sum of T, features) float32, offsets (rows + 1,), and the labels.

    Example:
        >>> steps, offsets, labels = made_sequences(rows=5500)
        >>> len(offsets) - 1, labels.num_classes, int((labels.counts == 0).sum())
        (5500, 23, 8)
    """
    labels = long_tail_labels(seed)[np.arange(rows)]
    motifs = generator(seed, "made sequences", "directions").normal(
        size=(labels.num_classes, 2, features)
    )
    motifs *= strength / np.linalg.norm(motifs, axis=2, keepdims=True)
    random = generator(seed, "made sequences", "steps")
    lengths = random.integers(3, 6, rows)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    steps = random.normal(size=(int(offsets[-1]), features))
    for label, hot in enumerate(labels.values.T):
        own = np.flatnonzero(hot == 1)
        start = offsets[own] + random.integers(0, lengths[own] - 1)
        for part in (0, 1):
            np.add.at(steps, start + part, motifs[label, part])
    return steps.astype(np.float32), offsets, labels


def made_scores(
    *,
    rows: int = 2000,
    test_rows: int = 2000,
    prevalences: Mapping[str, float],
    separation: float = 2.0,
    seed: int = 0,
) -> tuple[Scores, Scores]:
    """Return validation and test logits of a model whose positives were weighted by neg / pos.

    The log-odds behind them are exact; what comes out lies above them by the log of each label's
    weight, and nothing tells so: they stand there as logits without a correction.

    Args:
        rows: Validation rows.
        test_rows: Test rows.
        prevalences: Label -> share of positives, in (0, 1); counts are exact.
        separation: Distance of positives from negatives, in standard deviations.
        seed: Of all that is drawn.

    Example:
        >>> val, test = made_scores(prevalences={"A": 0.1})
        >>> float((val.values > 0).mean()) > 0.15  # flagged at 0.5, where 0.1 are positive
        True
    """
    names, shares = list(prevalences), np.array(list(prevalences.values()))
    found = []
    for part, size in (("val", rows), ("test", test_rows)):
        hot = np.zeros((size, len(names)), dtype=np.int8)
        random = generator(seed, "made scores", part)
        for column, share in enumerate(shares):
            hot[random.choice(size, round(share * size), replace=False), column] = 1
        # Normal with variance 1 on both sides, so that the likelihood ratio is linear.
        x = random.normal(size=hot.shape) + separation * (hot - 0.5)
        log_odds = np.log(shares / (1 - shares)) + separation * x
        logits = log_odds + np.log((1 - shares) / shares)
        ids = [f"{part} {i}" for i in range(size)]
        labels = Labels.from_array(hot, kind="multilabel", names=names, ids=ids)
        found.append(Scores.from_arrays(labels, logits=logits, split=part, ids=ids))  # type: ignore[arg-type]
    return found[0], found[1]


def load_made(spec: DigitsData | MosaicData | MadeTableData) -> StudyData:
    """Return features and labels that need no file."""
    given = spec.model_dump(exclude={"source"})
    if isinstance(spec, DigitsData):
        return digits(**given)
    return digit_mosaics(**given) if isinstance(spec, MosaicData) else made_table(**given)
