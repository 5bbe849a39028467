"""What Keras metrics of several labels return: their mean over those that can be judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from equipoise._core.checks import to_array, to_floats
from equipoise._core.messages import say
from equipoise.errors import ShapeError, UsageError
from equipoise.keras._keras import keras


def divide(above: Any, below: Any) -> Any:
    """Return above / below, NaN where below is 0."""
    ops = keras.ops
    some = below > 0
    return ops.where(some, above / ops.where(some, below, 1.0), float("nan"))


class LabelMetric(keras.metrics.Metric):  # type: ignore[misc]
    """A metric of L labels that returns their mean over evaluable labels, and how many those are.

    Args:
        num_labels: L.
        names: One name per label: then each label's value is returned too. None returns the mean
            alone.
        name: Of the metric, and of its mean in the logs.
        dtype: As in Keras.
    """

    def __init__(
        self,
        num_labels: int,
        *,
        names: Sequence[str] | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if int(num_labels) != num_labels or num_labels < 1:
            raise UsageError(say("num_labels", "be a whole number >= 1", num_labels))
        self.num_labels = int(num_labels)
        self.names = None if names is None else tuple(str(n) for n in names)
        if self.names is not None and len(self.names) != self.num_labels:
            expected = f"hold {self.num_labels} names"
            raise ShapeError(say("names", expected, len(self.names), "One per label."))

    def per_label(self) -> Any:
        """Return the value of each label, (L,), NaN where it cannot be judged."""
        raise NotImplementedError

    def result(self) -> dict[str, Any]:
        """Return the mean over evaluable labels, their number, and named labels."""
        ops = keras.ops
        values = self.per_label()
        seen = ops.logical_not(ops.isnan(values))
        count = ops.sum(ops.cast(seen, values.dtype))
        found = {
            self.name: divide(ops.sum(ops.where(seen, values, 0.0)), count),
            f"{self.name}_labels": count,
        }
        for at, label in enumerate(self.names or ()):
            found[f"{self.name}/{label}"] = values[at]
        return found

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor takes, ready for JSON."""
        names = None if self.names is None else list(self.names)
        return {**super().get_config(), "num_labels": self.num_labels, "names": names}

    def _columns(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Return truth and outputs as (rows, L); any axis before the last counts as rows."""
        ops = keras.ops
        truth = ops.convert_to_tensor(y_true, dtype=self.dtype)
        outputs = ops.convert_to_tensor(y_pred, dtype=self.dtype)
        for name, array in (("y_pred", outputs), ("y_true", truth)):
            width = array.shape[-1] if len(array.shape) > 1 or self.num_labels > 1 else 1
            if width != self.num_labels:
                wanted = f"have shape (..., {self.num_labels})"
                raise ShapeError(say(name, wanted, tuple(array.shape), "One column per label."))
        shape = (-1, self.num_labels)
        return ops.reshape(truth, shape), ops.reshape(outputs, shape)


def to_thresholds(value: ArrayLike, num_labels: int) -> Any:
    """Return one threshold per label, (L,) float64, from those or one for all."""
    array = to_floats("thresholds", to_array("thresholds", value, ndim=(0, 1)))
    if array.ndim == 1 and array.size != num_labels:
        wanted = f"be one number or have shape (L,) = ({num_labels},)"
        raise ShapeError(say("thresholds", wanted, array.shape, "Pass one threshold per label."))
    return np.broadcast_to(array, (num_labels,)).copy()
