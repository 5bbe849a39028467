"""Distribution-balanced loss in Keras: re-balanced weights, negative-tolerant regularisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from equipoise.keras._keras import PACKAGE, keras
from equipoise.keras.losses.base import LabelLoss, Vector, as_labels, focal
from equipoise.labels.losses import DistributionBalancedSide


@keras.saving.register_keras_serializable(PACKAGE)
class DistributionBalancedLoss(DistributionBalancedSide, LabelLoss):
    r"""Undo the over-sampling of labels that come together, spare negatives (Wu et al., 2020).

    Use when labels co-occur and the training rows were re-sampled by label. Prefer
    :class:`PosWeightBCELoss` where rows carry about one label each.

    .. math::
        \ell = \hat r \left[ -y (1-p)^\gamma \log p
        - \tfrac{1 - y}{\lambda} p_\lambda^\gamma \log(1-p_\lambda) \right], \quad
        p = \sigma(z - v), \; p_\lambda = \sigma(\lambda (z - v))

    with :math:`v_l = \kappa \log(N / n_l - 1)`,
    :math:`\hat r = \alpha + \sigma(\beta (r - \mu))` and
    :math:`r_{il} = n_l^{-1} / \sum_k y_{ik} n_k^{-1}`.

    Args:
        n_positive: Positives per label in the training set, (L,), >= 0.
        n_rows: Rows of the training set.
        alpha: Lowest weight, >= 0.
        beta: Steepness of the weights, >= 0.
        mu: Ratio in the middle of the weights; a row without positives has it.
        kappa: Size of the shift by rarity, >= 0.
        scale: Lambda, > 0: how steep negatives are, and how little they weigh.
        gamma: Focusing, >= 0.
        weight_ratio: Mean weight of positives over mean weight of negatives, (L,), which the way
            back undoes; :meth:`from_targets` measures it. None takes rows to have one label each.
        from_logits: Whether outputs are logits; see :class:`Loss`.
        class_dim: Axis of classes or labels in outputs; see :class:`Loss`.
        reduction: As in Keras; means are over known entries, never over weights.
        name: As in Keras.

    Targets are (..., L), 0, 1, a fraction or -1 (unknown: no positive of its row), any dtype;
    outputs (..., L), floating.

    Raises:
        UsageError: a setting out of range.
        DataError: fewer rows than positives of a label.

    Note:
        The weight of an entry depends on the other labels of its row, so the way back to
        probabilities is approximate.

    Example:
        >>> loss = DistributionBalancedLoss([50.0], n_rows=100, from_logits=True)
        >>> round(float(loss([[1.0]], [[0.0]])), 4)
        0.1906

    References:
        Wu et al., ECCV 2020, eq. 3 to 9; :func:`equipoise.losses.distribution_balanced_loss`.
    """

    def __init__(
        self,
        n_positive: Vector,
        *,
        n_rows: float,
        alpha: float = 0.1,
        beta: float = 10.0,
        mu: float = 0.2,
        kappa: float = 0.05,
        scale: float = 2.0,
        gamma: float = 2.0,
        weight_ratio: Vector | None = None,
        from_logits: bool = False,
        class_dim: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(
            from_logits=from_logits, class_dim=class_dim, reduction=reduction, name=name
        )
        self._settle(
            n_positive,
            n_rows,
            alpha=alpha,
            beta=beta,
            mu=mu,
            kappa=kappa,
            scale=scale,
            gamma=gamma,
            weight_ratio=weight_ratio,
        )

    def _values(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        y_true = as_labels(y_true, y_pred, self.num_classes)
        values, known = super()._values(y_true, y_pred)
        return values * self._row_weight(y_true), known

    def _terms(self, z: Any) -> tuple[Any, Any]:
        u = z - keras.ops.convert_to_tensor(self._shift().astype(np.float32), z.dtype)
        return focal(-u, self.gamma), focal(self.scale * u, self.gamma) / self.scale

    def _row_weight(self, y_true: Any) -> Any:
        """Return alpha + sigmoid(beta (r - mu)) of every entry."""
        ops = keras.ops
        counts = np.maximum(self.n_positive, 1.0)
        inverse = ops.convert_to_tensor((1.0 / counts).astype(np.float32), y_true.dtype)
        truth = ops.where(y_true >= 0, y_true, 0.0)
        total = ops.sum(truth * inverse, axis=-1, keepdims=True)
        empty = total == 0
        ratio = ops.where(empty, self.mu, inverse / ops.where(empty, 1.0, total))
        return self.alpha + ops.sigmoid(self.beta * (ratio - self.mu))
