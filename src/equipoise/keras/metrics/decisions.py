"""Keras metrics of decisions, exact from counts: recall, precision, F-beta, balanced accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from equipoise._core.checks import to_positive
from equipoise._core.messages import say
from equipoise.errors import UsageError
from equipoise.keras._keras import PACKAGE, keras
from equipoise.keras.metrics._averages import LabelMetric, divide, to_thresholds


class _Decisions(LabelMetric):
    """Counts true and false positives and negatives of each label."""

    default_name = ""

    def __init__(
        self,
        num_labels: int,
        *,
        thresholds: ArrayLike = 0.5,
        names: Sequence[str] | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_labels, names=names, name=name or self.default_name, dtype=dtype)
        self.thresholds = to_thresholds(thresholds, self.num_labels)
        self._tp, self._fp, self._fn, self._tn = (
            self.add_variable((self.num_labels,), "zeros", name=side)
            for side in ("tp", "fp", "fn", "tn")
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count decisions: outputs at or above the threshold; targets below 0 are left out."""
        ops = keras.ops
        truth, outputs = self._columns(y_true, y_pred)
        cut = ops.convert_to_tensor(self.thresholds.astype(np.float32), outputs.dtype)
        flagged = outputs >= cut
        one, zero = truth >= 0.5, ops.logical_and(truth >= 0, truth < 0.5)
        weight = None
        if sample_weight is not None:
            weight = ops.reshape(ops.convert_to_tensor(sample_weight, dtype=self.dtype), (-1, 1))
        sides = (
            (self._tp, one, flagged),
            (self._fp, zero, flagged),
            (self._fn, one, ops.logical_not(flagged)),
            (self._tn, zero, ops.logical_not(flagged)),
        )
        for variable, side, said in sides:
            counted = ops.cast(ops.logical_and(side, said), variable.dtype)
            counted = counted if weight is None else counted * weight
            variable.assign(variable + ops.sum(counted, axis=0))

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor takes, ready for JSON."""
        return {**super().get_config(), "thresholds": self.thresholds.tolist()}


@keras.saving.register_keras_serializable(PACKAGE)
class LabelRecall(_Decisions):
    """Share of positives that are flagged, as a mean over labels that have positives.

    Use beside precision, with thresholds tuned on validation rows. Prefer ``AveragePrecision`` to
    judge a model before thresholds are chosen.

    Args:
        num_labels: L.
        thresholds: One number or one per label, (L,), on the scale of the outputs.
        names: One per label, to log each label as well; None logs the mean alone.
        name: In the logs; beside it ``<name>_labels`` says how many labels the mean is over.
        dtype: As in Keras.

    Targets are (..., L), 0, 1 or -1 (unknown, left out); outputs (..., L).

    Raises:
        ShapeError: columns, thresholds or names that are not L.

    Example:
        >>> metric = LabelRecall(2, thresholds=[0.5, 0.2])
        >>> metric.update_state([[1, 0], [1, 0]], [[0.9, 0.1], [0.3, 0.4]])
        >>> {key: float(value) for key, value in metric.result().items()}
        {'macro_recall': 0.5, 'macro_recall_labels': 1.0}
    """

    default_name = "macro_recall"

    def per_label(self) -> Any:
        """Return TP / (TP + FN), (L,), NaN without positives."""
        return divide(self._tp + 0.0, self._tp + self._fn)


@keras.saving.register_keras_serializable(PACKAGE)
class LabelPrecision(_Decisions):
    """Share of flagged rows that are positive, as a mean over labels that have positives.

    A label of which nothing is flagged has no precision: it is left out, and the number of labels
    says so. Arguments and shapes as for :class:`LabelRecall`.

    Example:
        >>> metric = LabelPrecision(1)
        >>> metric.update_state([[1], [0], [0]], [[0.9], [0.8], [0.1]])
        >>> float(metric.result()["macro_precision"])
        0.5
    """

    default_name = "macro_precision"

    def per_label(self) -> Any:
        """Return TP / (TP + FP), (L,), NaN without positives or without flags."""
        some = keras.ops.where(self._tp + self._fn > 0, 1.0, 0.0)
        return divide(self._tp + 0.0, some * (self._tp + self._fp))


@keras.saving.register_keras_serializable(PACKAGE)
class LabelFBeta(_Decisions):
    """F-beta of each label, as a mean over labels that have positives.

    Use with thresholds tuned for it on validation rows. Keras' own ``F1Score`` counts a label
    without positives as 0, and takes the largest output as the answer where ``threshold`` is None.

    Args:
        num_labels: L.
        beta: Weight of recall against precision, > 0.
        thresholds: One number or one per label, (L,), on the scale of the outputs.
        names: One per label, to log each label as well; None logs the mean alone.
        name: In the logs; beside it ``<name>_labels`` says how many labels the mean is over.
        dtype: As in Keras.

    Targets are (..., L), 0, 1 or -1 (unknown, left out); outputs (..., L).

    Raises:
        UsageError: ``beta`` is not above 0.
        ShapeError: columns, thresholds or names that are not L.

    Example:
        >>> metric = LabelFBeta(2)
        >>> metric.update_state([[1, 0], [1, 0]], [[0.9, 0.1], [0.3, 0.4]])
        >>> {key: round(float(value), 3) for key, value in metric.result().items()}
        {'macro_f_beta': 0.667, 'macro_f_beta_labels': 1.0}
    """

    default_name = "macro_f_beta"

    def __init__(self, num_labels: int, *, beta: float = 1.0, **options: Any) -> None:
        super().__init__(num_labels, **options)
        self.beta = to_positive("beta", beta)

    def per_label(self) -> Any:
        """Return (1 + b^2) TP / ((1 + b^2) TP + b^2 FN + FP), (L,), NaN without positives."""
        square = self.beta * self.beta
        above = (1.0 + square) * self._tp
        some = keras.ops.where(self._tp + self._fn > 0, 1.0, 0.0)
        return divide(above, some * (above + square * self._fn + self._fp))

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor takes, ready for JSON."""
        return {**super().get_config(), "beta": self.beta}


@keras.saving.register_keras_serializable(PACKAGE)
class LabelBalancedAccuracy(_Decisions):
    """Mean of recall and specificity, as a mean over labels that have positives and negatives.

    Unlike accuracy it is 0.5 for "always no". Arguments and shapes as for :class:`LabelRecall`.

    Example:
        >>> metric = LabelBalancedAccuracy(1)
        >>> metric.update_state([[1], [0], [0], [0]], [[0.1], [0.2], [0.1], [0.3]])
        >>> float(metric.result()["macro_balanced_accuracy"])
        0.5
    """

    default_name = "macro_balanced_accuracy"

    def per_label(self) -> Any:
        """Return (recall + specificity) / 2, (L,), NaN without one of the two sides."""
        recall = divide(self._tp + 0.0, self._tp + self._fn)
        return 0.5 * (recall + divide(self._tn + 0.0, self._tn + self._fp))


@keras.saving.register_keras_serializable(PACKAGE)
class BalancedAccuracy(LabelMetric):
    """Mean recall over the classes that have rows: balanced accuracy of single-label classes.

    For several labels per row see :class:`LabelBalancedAccuracy`.

    Args:
        num_classes: C, at least 2.
        names: One per class, to log each recall as well; None logs the mean alone.
        name: In the logs; beside it ``<name>_labels`` says how many classes have rows.
        dtype: As in Keras.

    Targets are class indices (...,) or (..., 1), or one-hot (..., C); outputs (..., C).

    Raises:
        UsageError: fewer than two classes.

    Example:
        >>> metric = BalancedAccuracy(2)
        >>> metric.update_state([0, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.1, 0.9]])
        >>> float(metric.result()["balanced_accuracy"])
        0.75
    """

    def __init__(
        self,
        num_classes: int,
        *,
        names: Sequence[str] | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_classes, names=names, name=name or "balanced_accuracy", dtype=dtype)
        if self.num_labels < 2:
            do = "A yes-or-no label is for LabelBalancedAccuracy."
            raise UsageError(say("num_classes", "be at least 2", num_classes, do))
        self._hits = self.add_variable((self.num_labels,), "zeros", name="hits")
        self._rows = self.add_variable((self.num_labels,), "zeros", name="rows")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count rows of each class, and those whose largest output is theirs."""
        ops = keras.ops
        outputs = ops.convert_to_tensor(y_pred, dtype=self.dtype)
        truth = ops.convert_to_tensor(y_true, dtype=self.dtype)
        one_hot = len(truth.shape) == len(outputs.shape) and truth.shape[-1] == self.num_labels
        index = ops.argmax(truth, axis=-1) if one_hot else truth
        index = ops.cast(ops.reshape(index, (-1,)), "int32")
        said = ops.reshape(ops.argmax(outputs, axis=-1), (-1,))
        rows = ops.one_hot(index, self.num_labels, dtype=self.dtype)
        if sample_weight is not None:
            weight = ops.convert_to_tensor(sample_weight, dtype=self.dtype)
            rows = rows * ops.reshape(weight, (-1, 1))
        right = ops.cast(ops.equal(ops.cast(said, "int32"), index), self.dtype)
        self._rows.assign(self._rows + ops.sum(rows, axis=0))
        self._hits.assign(self._hits + ops.sum(rows * right[:, None], axis=0))

    def per_label(self) -> Any:
        """Return the recall of each class, (C,), NaN without rows."""
        return divide(self._hits + 0.0, self._rows + 0.0)

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor takes, ready for JSON."""
        config = super().get_config()
        config["num_classes"] = config.pop("num_labels")
        return config
