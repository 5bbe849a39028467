"""Keras metrics of ranking, exact from stored scores: average precision and area under the ROC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from equipoise._core.messages import say
from equipoise.errors import UsageError
from equipoise.keras._keras import PACKAGE, keras
from equipoise.keras.metrics._averages import LabelMetric, divide


class _Points(NamedTuple):
    """Operating points of every label, (rows, L), descending; tied scores are one point."""

    tp: Any
    fp: Any
    new_tp: Any
    new_fp: Any


class _Stored(LabelMetric):
    """Keeps scores and targets of an epoch in a buffer of fixed size."""

    default_name = ""

    def __init__(
        self,
        num_labels: int,
        *,
        n_rows: int,
        names: Sequence[str] | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_labels, names=names, name=name or self.default_name, dtype=dtype)
        if int(n_rows) != n_rows or n_rows < 1:
            do = "Give the rows of the longest epoch, of training or validation."
            raise UsageError(say("n_rows", "be a whole number >= 1", n_rows, do))
        self.n_rows = int(n_rows)
        shape = (self.n_rows, self.num_labels)
        self._scores = self.add_variable(shape, "zeros", name="scores")
        # 0 is empty or unknown, 1 a negative, 2 a positive: a reset is all zeros.
        self._sides = self.add_variable(shape, "zeros", name="sides")
        self._seen = self.add_variable((), "zeros", dtype="int32", name="seen")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Store a batch; targets below 0 are unknown and left out."""
        ops = keras.ops
        if sample_weight is not None:
            do = "List it under metrics=, not weighted_metrics=."
            raise UsageError(say("sample_weight", "be left out", "weights", do))
        truth, outputs = self._columns(y_true, y_pred)
        sides = ops.where(truth >= 0.5, 2.0, ops.where(truth >= 0, 1.0, 0.0))
        rows = ops.shape(outputs)[0]
        if isinstance(rows, int) and rows > self.n_rows:
            # Keras builds a model with batches of its own size, so this is no error yet.
            outputs, sides = outputs[: self.n_rows], sides[: self.n_rows]
        # Beyond the buffer the last rows are overwritten; the result is NaN then.
        kept = ops.shape(outputs)[0]
        at = ops.clip(self._seen + 0, 0, self.n_rows - kept)
        self._scores.assign(ops.slice_update(self._scores + 0.0, (at, 0), outputs))
        self._sides.assign(
            ops.slice_update(self._sides + 0.0, (at, 0), ops.cast(sides, self._sides.dtype))
        )
        self._seen.assign(self._seen + rows)

    def _sorted(self) -> _Points:
        """Sort each label once; float32 counts are exact up to 16 million rows."""
        ops = keras.ops
        sides = self._sides + 0.0
        score = ops.where(sides > 0, self._scores + 0.0, -float("inf"))
        order = ops.argsort(-score, axis=0)
        score = ops.take_along_axis(score, order, axis=0)
        sides = ops.take_along_axis(sides, order, axis=0)
        tp = ops.cumsum(ops.where(sides > 1.5, 1.0, 0.0), axis=0)
        fp = ops.cumsum(ops.where(sides > 0.5, 1.0, 0.0), axis=0) - tp
        last = ops.ones_like(score[:1]) > 0
        end = ops.concatenate([score[1:] != score[:-1], last], axis=0)
        return _Points(tp, fp, _steps(tp, end), _steps(fp, end))

    def _usable(self, values: Any) -> Any:
        """Return the values, or NaN where rows did not fit or a score was no number."""
        ops = keras.ops
        finite = ops.all(ops.isfinite(self._scores + 0.0), axis=0)
        fits = self._seen + 0 <= self.n_rows
        return ops.where(ops.logical_and(finite, fits), values, float("nan"))

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor takes, ready for JSON."""
        return {**super().get_config(), "n_rows": self.n_rows}


def _steps(count: Any, end: Any) -> Any:
    """Return how much a cumulated count rose since the last point, at points, else 0."""
    ops = keras.ops
    reached = ops.associative_scan(ops.maximum, ops.where(end, count, 0.0), axis=0)
    before = ops.concatenate([ops.zeros_like(count[:1]), reached[:-1]], axis=0)
    return ops.where(end, count - before, 0.0)


@keras.saving.register_keras_serializable(PACKAGE)
class AveragePrecision(_Stored):
    r"""Average precision of each label, as a mean over labels that have positives.

    Use to judge and to stop training where positives are rare: it needs no threshold. Its level is
    the prevalence, so read it beside that. Keras' ``AUC(curve="PR")`` interpolates between 200
    thresholds and counts a label without positives as 0.

    .. math:: AP = \sum_n (R_n - R_{n-1}) P_n

    over the distinct scores, tied scores as one point, as in scikit-learn.

    Args:
        num_labels: L.
        n_rows: Rows of the longest epoch, of training or validation: scores and targets are kept
            (8 bytes per row and label). With more rows the result is NaN.
        names: One per label, to log each label as well; None logs the mean alone.
        name: In the logs; beside it ``<name>_labels`` says how many labels the mean is over.
        dtype: As in Keras.

    Targets are (..., L), 0, 1 or -1 (unknown, left out); outputs (..., L) on any increasing scale.

    Raises:
        UsageError: ``n_rows`` below 1, or sample weights.
        ShapeError: columns or names that are not L.

    Note:
        Exact, up to the rounding of float32. Keras asks for the result after every batch, which
        sorts the buffer each time: beyond some 100,000 rows list it for evaluation alone, or use
        the callback :class:`equipoise.keras.WriteScores`.

    Example:
        >>> metric = AveragePrecision(2, n_rows=4)
        >>> metric.update_state(
        ...     [[1, 0], [0, 0], [1, 0], [0, 0]], [[0.9, 0.1], [0.8, 0.3], [0.7, 0.2], [0.1, 0.4]]
        ... )
        >>> {key: round(float(value), 4) for key, value in metric.result().items()}
        {'macro_ap': 0.8333, 'macro_ap_labels': 1.0}

    References:
        :func:`equipoise.metrics.average_precision`, the same in NumPy.
    """

    default_name = "macro_ap"

    def per_label(self) -> Any:
        """Return the average precision of each label, (L,), NaN without positives."""
        points = self._sorted()
        flagged = points.tp + points.fp
        precision = points.tp / keras.ops.maximum(flagged, 1.0)
        total = keras.ops.sum(points.new_tp * precision, axis=0)
        return self._usable(divide(total, points.tp[-1]))


@keras.saving.register_keras_serializable(PACKAGE)
class ROCAUC(_Stored):
    """Area under the ROC curve, as a mean over labels that have positives and negatives.

    The share of pairs of a positive and a negative in the right order, ties counted half.
    Arguments, shapes, errors and cost as for :class:`AveragePrecision`; prefer that where positives
    are rare.

    Example:
        >>> metric = ROCAUC(1, n_rows=4)
        >>> metric.update_state([[1], [0], [1], [0]], [[0.9], [0.8], [0.7], [0.1]])
        >>> float(metric.result()["macro_auroc"])
        0.75

    References:
        :func:`equipoise.metrics.roc_auc`, the same in NumPy.
    """

    default_name = "macro_auroc"

    def per_label(self) -> Any:
        """Return the area of each label, (L,), NaN without one of the two sides."""
        points = self._sorted()
        positives, negatives = points.tp[-1], points.fp[-1]
        below = negatives - points.fp + 0.5 * points.new_fp
        share = below / keras.ops.maximum(negatives, 1.0)
        area = keras.ops.sum(points.new_tp * share, axis=0)
        some = keras.ops.where(negatives > 0, 1.0, 0.0)
        return self._usable(divide(area, some * positives))
