"""The history of a training as arrays, for the checks on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise._core.checks import require_shape, to_array
from equipoise.artifacts.labels import UNKNOWN, Labels
from equipoise.artifacts.trial import Trial

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """The first stage of a training, as arrays; NaN where the history does not say.

    Args:
        loss, val_loss, metric, rate: (E,).
        recalls: (E, C), or (0, 0) where none were kept.
        names: Of the labels in ``recalls``.
        flagged: Label -> share of known rows that are flagged; empty where unknown.
        positives: Label -> (positives, known rows); empty where unknown.
        kept: The epoch that is kept, or None.
    """

    loss: Floats
    val_loss: Floats
    metric: Floats
    rate: Floats
    recalls: Floats
    names: tuple[str, ...]
    flagged: Mapping[str, float]
    positives: Mapping[str, tuple[int, int]]
    kept: int | None

    @property
    def epochs(self) -> int:
        """Number of epochs."""
        return len(self.loss)


def read_course(
    history: Sequence[Row],
    label_history: Sequence[Row],
    outputs: ArrayLike | None,
    labels: Labels | None,
    kept: int | None,
) -> Course:
    """Read a history; the arguments are those of :func:`check_history`."""
    rows = [row for row in history if "stage" not in row]

    def column(name: str) -> Floats:
        return np.array([row.get(name, math.nan) for row in rows], dtype=np.float64)

    names = tuple(dict.fromkeys(str(row["label"]) for row in label_history))
    place = {name: i for i, name in enumerate(names)}
    recalls = np.full((len(rows), len(names)), np.nan)
    for row in label_history:
        if int(row["epoch"]) < len(rows):
            recalls[int(row["epoch"]), place[str(row["label"])]] = row["recall"]
    flagged: dict[str, float] = {}
    positives: dict[str, tuple[int, int]] = {}
    if outputs is not None and labels is not None:
        flagged, positives = _sides(np.asarray(to_array("outputs", outputs, ndim=2)), labels)
    return Course(
        loss=column("loss"),
        val_loss=column("val_loss"),
        metric=column("val_metric"),
        rate=column("lr"),
        recalls=recalls,
        names=names,
        flagged=flagged,
        positives=positives,
        kept=kept,
    )


def _sides(
    outputs: NDArray[Any], labels: Labels
) -> tuple[dict[str, float], dict[str, tuple[int, int]]]:
    """Return the share that an output above 0 (classes: the largest) flags, and the positives."""
    require_shape("outputs", outputs, (len(labels), labels.num_classes), "One row per label row.")
    truth = labels.one_hot()
    if labels.kind == "multiclass":
        said = np.argmax(outputs, axis=1)[:, None] == np.arange(labels.num_classes)
    else:
        said = outputs > 0
    known = truth != UNKNOWN
    rows = known.sum(0)
    shares = (said & known).sum(0) / np.maximum(rows, 1)
    counts = (truth == 1).sum(0)
    positives = {n: (int(counts[i]), int(rows[i])) for i, n in enumerate(labels.names)}
    return {n: float(shares[i]) for i, n in enumerate(labels.names)}, positives


def noise(values: Floats) -> float:
    """Return the spread of a curve around a smooth course, from its second differences."""
    if values.size < 6:
        return 0.0
    return float(1.4826 * np.median(np.abs(np.diff(values, n=2))) / math.sqrt(6))


def course_of(trial: Trial) -> Course:
    """Read the history of a finished training."""
    scores, kept = trial.scores.get("val"), trial.selection.get("epoch")
    return read_course(
        trial.history,
        trial.label_history,
        None if scores is None else scores.logits(),
        None if scores is None else scores.labels,
        kept if isinstance(kept, int) else None,
    )


def default_recalls(outputs: NDArray[Any], labels: Labels) -> list[float]:
    """Return each label's recall where an output above 0 (classes: the largest) decides.

    Args:
        outputs: (N, C), as the network gives them.
        labels: Of the same rows.

    Returns:
        C values; NaN for a class or label without positives.
    """
    truth = labels.one_hot() == 1
    if labels.kind == "multiclass":
        said = np.eye(labels.num_classes, dtype=bool)[np.argmax(outputs, axis=1)]
    else:
        said = outputs > 0
    positives = truth.sum(0)
    found = (truth & said).sum(0)
    return [float(f / p) if p else float("nan") for f, p in zip(found, positives, strict=True)]
