"""A loss that another one takes over from late in training, in Keras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from equipoise._core.arrays import Floats
from equipoise._core.messages import say
from equipoise.artifacts.correction import Correction
from equipoise.artifacts.labels import Kind
from equipoise.errors import UsageError
from equipoise.keras._keras import PACKAGE, keras
from equipoise.keras.losses.base import Loss


@keras.saving.register_keras_serializable(PACKAGE)
class DeferredLoss(Loss):
    """Train by one loss at first and by another from some epoch on (Cao et al., 2019).

    Use with the callback :class:`equipoise.keras.DeferredReweighting`, which says when: weights
    from the start can spoil the features that rare classes need. Prefer the late loss alone on
    short trainings.

    Args:
        early: In force at first, a loss of this package.
        late: Takes over; of the same kind and for the same outputs.
        name: As in Keras.

    Attributes:
        is_late: Whether ``late`` is in force. Compiled train functions have to be made anew after
            it changes; the callback does that.

    Raises:
        UsageError: the two are of different kinds, or one takes logits and the other does not.

    Note:
        The way back is that of ``late``, approximate at best: outputs lie between the operating
        points of the two, the nearer to the late one the longer it was in force.

    Example:
        >>> from equipoise.keras.losses import BCELoss, PosWeightBCELoss
        >>> loss = DeferredLoss(BCELoss(), PosWeightBCELoss([3.0]))
        >>> loss.correction().exactness, loss.operating_point().round(2).tolist()
        ('approximate', [0.25])

    References:
        Cao et al., NeurIPS 2019, algorithm 1.
    """

    kind: Kind  # type: ignore[misc]
    exactness = "approximate"

    def __init__(
        self,
        early: Loss | dict[str, Any],
        late: Loss | dict[str, Any],
        *,
        name: str | None = None,
    ) -> None:
        first, second = (
            keras.saving.deserialize_keras_object(x) if isinstance(x, dict) else x
            for x in (early, late)
        )
        for part, given in (("early", first), ("late", second)):
            if not isinstance(given, Loss):
                raise UsageError(say(part, "be a loss of equipoise.keras.losses", given))
        if (first.kind, first.from_logits) != (second.kind, second.from_logits):
            got = f"{first.kind}, from_logits={first.from_logits}"
            expected = f"be for outputs as `late`: {second.kind}, from_logits={second.from_logits}"
            raise UsageError(say("early", expected, got))
        if first.class_dim != second.class_dim:
            expected = f"have the class_dim of `late`, {second.class_dim}"
            raise UsageError(say("early", expected, first.class_dim))
        super().__init__(
            from_logits=second.from_logits,
            class_dim=second.class_dim,
            reduction=second.reduction,
            name=name,
        )
        self.early, self.late, self.is_late = first, second, False
        self.kind = second.kind
        self.num_classes = second.num_classes

    def settings(self) -> dict[str, Any]:
        """Return the two losses."""
        return {part: keras.saving.serialize_keras_object(getattr(self, part)) for part in _PARTS}

    def get_config(self) -> dict[str, Any]:
        """Return what the constructor takes, ready for JSON."""
        return {"name": self.name, **self.settings()}

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return what the loss in force says."""
        return (self.late if self.is_late else self.early).call(y_true, y_pred)

    def _values(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        return (self.late if self.is_late else self.early)._values(y_true, y_pred)

    def _posterior(self, z: Floats) -> Floats:
        return np.asarray(self.late._posterior(z))

    def correction(
        self, *, num_classes: int | None = None, prior: Sequence[float] | None = None
    ) -> Correction:
        """Return the correction of the late loss, marked approximate."""
        made: Correction = self.late.correction(num_classes=num_classes, prior=prior)
        return made if made.exactness == "none" else replace(made, exactness="approximate")


_PARTS = ("early", "late")
