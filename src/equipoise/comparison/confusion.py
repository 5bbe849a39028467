"""What is taken for what: confusion of classes, or of labels that share rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equipoise.artifacts import DecisionRule, Scores
from equipoise.comparison.overlap import check_overlap
from equipoise.metrics import confusion_matrix, label_confusion


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """Counts with what is true in rows and what was said in columns.

    Args:
        truth: Names of the rows; for labels the last is "nothing missed".
        said: Names of the columns; for labels the last is "nothing instead".
        counts: int64, one per pair.
    """

    truth: tuple[str, ...]
    said: tuple[str, ...]
    counts: NDArray[np.int64]

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of each row of the table; NaN where a row is empty."""
        total = self.counts.sum(axis=1, keepdims=True)
        out = np.full(self.counts.shape, np.nan)
        np.divide(self.counts, total, out=out, where=total > 0)
        return out


def count_confusions(rule: DecisionRule, scores: Scores) -> Confusion:
    """Count what the rule takes for what; labels as in :func:`equipoise.metrics.label_confusion`.

    Raises:
        LeakageError: the rows are not test rows, or overlap with those the rule was tuned on.

    Example:
        >>> from equipoise.artifacts import Labels
        >>> from equipoise.decisions import tune
        >>> def scores(seed, part):
        ...     y = np.random.default_rng(seed).integers(0, 2, 60)
        ...     labels = Labels.from_array(y, kind="multiclass", names=["A", "B"])
        ...     return Scores.from_arrays(labels, logits=4.0 * np.eye(2)[y] + seed, split=part)
        >>> count_confusions(tune(scores(0, "val")), scores(1, "test")).counts.tolist()
        [[33, 0], [0, 27]]
    """
    scores = rule.align(scores)
    check_overlap(rule, scores)
    labels, decided = scores.require_labels(), rule.apply(scores).predictions
    if labels.kind == "multiclass":
        counts = confusion_matrix(labels.values, decided, num_classes=labels.num_classes)
        return Confusion(labels.names, labels.names, counts)
    flags = (np.asarray(decided) == 1).astype(np.int8)
    names = labels.names
    counts = label_confusion(labels.values, flags)
    return Confusion((*names, "nothing missed"), (*names, "nothing instead"), counts)
