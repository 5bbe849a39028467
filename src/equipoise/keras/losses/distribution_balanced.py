"""Distribution-balanced loss in Keras: re-balanced weights, negative-tolerant regularisation."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_array
from equipoise._core.logistic import expit, log_expit
from equipoise._core.words import say
from equipoise.artifacts._tables import sample_tables
from equipoise.artifacts.labels import Labels
from equipoise.errors import DataError, UsageError
from equipoise.keras._keras import PACKAGE, keras
from equipoise.keras.losses._checks import Vector, as_labels, to_strength, to_vector
from equipoise.keras.losses._terms import focal, log_slope_scale
from equipoise.keras.losses.base import LabelLoss
from equipoise.labels.loss_settings import rebalanced_weights, single_label_ratio, weight_ratio


@keras.saving.register_keras_serializable(PACKAGE)
class DistributionBalancedLoss(LabelLoss):
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
        num_rows: Rows of the training set.
        alpha: Lowest weight, >= 0.
        beta: Steepness of the weights, >= 0.
        mu: Ratio in the middle of the weights; a row without positives has it.
        kappa: Size of the shift by rarity, >= 0.
        scale: Lambda, > 0: how steep negatives are, and how little they weigh.
        gamma: Focusing, >= 0.
        weight_ratio: Mean weight of positives over mean weight of negatives, (L,), which the way
            back undoes; :meth:`from_targets` measures it. None takes rows to have one label each.
        from_logits: Whether outputs are logits; see :class:`Loss`.
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
        >>> loss = DistributionBalancedLoss([50.0], 100, from_logits=True)
        >>> round(float(loss([[1.0]], [[0.0]])), 4)
        0.1906

    Source:
        Wu et al., ECCV 2020, eq. 3 to 9; :func:`equipoise.losses.distribution_balanced_loss`.
    """

    exactness = "approximate"

    def __init__(
        self,
        n_positive: Vector,
        num_rows: float,
        *,
        alpha: float = 0.1,
        beta: float = 10.0,
        mu: float = 0.2,
        kappa: float = 0.05,
        scale: float = 2.0,
        gamma: float = 2.0,
        weight_ratio: Vector | None = None,
        from_logits: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(from_logits=from_logits, reduction=reduction, name=name)
        self.n_positive = to_vector("n_positive", n_positive)
        self.num_classes = self.n_positive.size
        self.num_rows = float(num_rows)
        if not self.num_rows >= self.n_positive.max():
            most = f"be at least {self.n_positive.max():g}, the positives of a label"
            raise DataError(say("num_rows", most, num_rows, "Count all training rows."))
        self.alpha, self.beta = to_strength("alpha", alpha), to_strength("beta", beta)
        self.mu, self.kappa = float(mu), to_strength("kappa", kappa)
        if not 0.0 < scale < math.inf:
            raise UsageError(say("scale", "be finite and > 0", scale, "1 leaves negatives alone."))
        self.scale, self.gamma = float(scale), to_strength("gamma", gamma)
        if weight_ratio is None:
            weight_ratio = single_label_ratio(self.n_positive, **self._strengths)
        self.weight_ratio = to_vector("weight_ratio", weight_ratio)

    @classmethod
    def from_targets(cls, target: Labels | ArrayLike, **options: Any) -> Self:
        """Count positives in the training targets and measure the weight ratio there.

        Args:
            target: `Labels`, or (N, L) with 0, 1 and -1 for unknown.
            **options: Of the constructor.
        """
        values = target.values if isinstance(target, Labels) else target
        array = np.asarray(to_array("target", values, ndim=2), dtype=np.float64)
        known = array >= 0
        truth = np.where(known, array, 0.0)
        loss = cls(truth.sum(0), len(array), **options)
        weight = rebalanced_weights(truth, loss.n_positive, **loss._strengths)
        loss.weight_ratio = to_vector("weight_ratio", weight_ratio(truth, known, weight))
        return loss

    @property
    def _strengths(self) -> dict[str, float]:
        return {"alpha": self.alpha, "beta": self.beta, "mu": self.mu}

    def settings(self) -> dict[str, Any]:
        """Return all settings, the weight ratio included."""
        names = ("n_positive", "num_rows", "alpha", "beta", "mu", "kappa", "scale", "gamma")
        return {name: getattr(self, name) for name in (*names, "weight_ratio")}

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

    def _shift(self) -> Floats:
        """Return v, with at least one positive and one negative per label."""
        positive = np.clip(self.n_positive, 1.0, max(self.num_rows - 1.0, 1.0))
        return np.asarray(self.kappa * np.log(np.maximum(self.num_rows - positive, 1.0) / positive))

    def _bend(self, u: Floats) -> Floats:
        """Return the log-odds behind shifted logits where positives and negatives weigh alike."""
        log_p, log_q = log_expit(u), log_expit(-u)
        steep_p, steep_q = log_expit(self.scale * u), log_expit(-self.scale * u)
        zero = log_slope_scale(steep_q, steep_p, self.gamma) + steep_p
        return np.asarray(zero - log_slope_scale(log_p, log_q, self.gamma) - log_q)

    def _posterior(self, z: Floats) -> Floats:
        return expit(self._bend(z - self._shift()) - np.log(self.weight_ratio))

    def _ops(self) -> list[dict[str, Any]]:
        tables, _ = sample_tables(lambda u: self._bend(u[:, None]))
        shift, ratio = (-self._shift()).tolist(), (-np.log(self.weight_ratio)).tolist()
        table = {"op": "monotone_table", "tables": tables}
        return [{"op": "offset", "offset": shift}, table, {"op": "offset", "offset": ratio}]
