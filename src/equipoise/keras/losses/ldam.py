"""LDAM in Keras: a larger margin for rarer classes, on the cosines of a normalised head."""

from __future__ import annotations

from typing import Any

import numpy as np

from equipoise._core.messages import say
from equipoise._core.targets import IGNORE_INDEX
from equipoise.errors import UsageError
from equipoise.keras._keras import PACKAGE, keras
from equipoise.keras.losses.base import ClassLoss, Vector, log_one_minus
from equipoise.labels.losses import LDAMSide


@keras.saving.register_keras_serializable(PACKAGE)
class LDAMLoss(LDAMSide, ClassLoss):
    r"""Cross entropy of scaled cosines with a margin per class (Cao et al., 2019).

    Use with a last layer of unit-norm weights on unit-norm features, with or without deferred
    re-weighting. Prefer :class:`LogitAdjustedLoss` with any other head: on plain logits a margin
    of 0.5 is next to nothing, and a scale of 30 only raises the learning rate.

    .. math::
        \ell_i = -\log \frac{e^{s (z_{i,y_i} - \Delta_{y_i})}}
        {e^{s (z_{i,y_i} - \Delta_{y_i})} + \sum_{k \ne y_i} e^{s z_{i,k}}}

    Args:
        margin: One margin per class, (C,), >= 0.
        scale: s > 0; with margin 0 and scale 1 this is cross entropy exactly.
        ignore_index: Class index of rows that are left out.
        from_logits: Must be True: cosines are no probabilities.
        class_dim: Axis of classes or labels in outputs; see :class:`Loss`.
        reduction: As in Keras.
        name: As in Keras.

    Targets are class indices (...,) or (..., 1), or shares (..., C); outputs are cosines (..., C),
    C >= 2, not yet multiplied by the scale.

    Raises:
        UsageError: ``scale`` is not above 0, or ``from_logits`` is False.
        ShapeError: outputs are not (..., C), or targets do not fit them.

    Note:
        With p = softmax(s z) the true posterior is proportional to
        p_k (1 - p_k (1 - exp(-s margin_k))).

    Example:
        >>> loss = LDAMLoss([0.5, 0.1])
        >>> round(float(loss([0], [[0.9, 0.4]])), 4)
        0.6931

    References:
        Cao et al., NeurIPS 2019, eq. 13 and 14; :func:`equipoise.losses.ldam_loss`.
    """

    def __init__(
        self,
        margin: Vector,
        *,
        scale: float = 30.0,
        ignore_index: int = IGNORE_INDEX,
        from_logits: bool = True,
        class_dim: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(
            ignore_index=ignore_index,
            from_logits=from_logits,
            class_dim=class_dim,
            reduction=reduction,
            name=name,
        )
        if not from_logits:
            do = "Take the softmax out of the model: the margin is on cosines."
            raise UsageError(say("from_logits", "be True", from_logits, do))
        self._settle(margin, scale)

    def _per_class(self, z: Any) -> Any:
        z = self.scale * z
        shift = keras.ops.convert_to_tensor((self.scale * self.margin).astype(np.float32), z.dtype)
        log_p = keras.ops.log_softmax(z, axis=-1)
        # The loss of class k is log(1 + (1 - p_k) / p_k e^(s margin_k)).
        return keras.ops.softplus(log_one_minus(z, log_p) + shift - log_p)
