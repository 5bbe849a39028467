"""Rows of the Keras losses: each beside the torch loss that it has to equal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from equipoise import losses as torch_losses
from equipoise.keras import losses as keras_losses

__all__ = ["KERAS_CASES", "KerasCase"]

POS_WEIGHT = [1.0, 3.0, 9.0, 0.5]
ALPHA = [0.25, 0.5, 0.75, 0.9]
CLASS_WEIGHT = [0.5, 1.0, 2.0, 4.0, 8.0]
PRIOR = [0.5, 0.25, 0.125, 0.0625, 0.0625]
AIM = [0.2, 0.3, 0.2, 0.2, 0.1]
MARGIN = [0.2, 0.25, 0.3, 0.4, 0.5]
COUNTS = [50.0, 5.0, 1.0, 0.0]


@dataclass(frozen=True)
class KerasCase:
    """A loss by its class name, with the settings that both sides take."""

    name: str
    loss: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def torch_class(self) -> Any:
        return getattr(torch_losses, self.loss)

    @property
    def keras_class(self) -> Any:
        return getattr(keras_losses, self.loss)

    @property
    def kind(self) -> str:
        return str(self.torch_class.kind)

    @property
    def width(self) -> int:
        return 5 if self.kind == "multiclass" else 4

    @property
    def takes_probabilities(self) -> bool:
        """Whether the loss can be handed what comes out of a sigmoid or softmax."""
        scaled = self.loss in ("VectorScalingLoss", "CDTLoss") and self.settings.get("gamma") != 0
        return not scaled and self.loss != "LDAMLoss"

    def logits(self, rows: int = 40, spread: float = 3.0) -> np.ndarray:
        random = np.random.default_rng(7)
        return random.normal(0.0, spread, (rows, self.width)).astype(np.float32)

    def targets(self, rows: int = 40, *, unknown: bool = False) -> np.ndarray:
        """Return class indices, or 0/1 with -1 where unknown, as Keras takes them."""
        random = np.random.default_rng(8)
        if self.kind == "multiclass":
            return random.integers(0, self.width, rows)
        hot = (random.random((rows, self.width)) < 0.3).astype(np.float32)
        if unknown:
            hot[random.random(hot.shape) < 0.3] = -1.0
        return hot


def _case(name: str, loss: str, **settings: Any) -> KerasCase:
    return KerasCase(name, loss, settings)


KERAS_CASES = [
    _case("bce", "BCELoss"),
    _case("pos_weight", "PosWeightBCELoss", pos_weight=POS_WEIGHT),
    _case("sigmoid_focal", "SigmoidFocalLoss"),
    _case("sigmoid_focal_alpha", "SigmoidFocalLoss", gamma=1.5, alpha=0.25),
    _case("sigmoid_focal_alphas", "SigmoidFocalLoss", gamma=0.5, alpha=ALPHA),
    _case("softmax_focal", "SoftmaxFocalLoss"),
    _case("softmax_focal_weight", "SoftmaxFocalLoss", gamma=0.5, weight=CLASS_WEIGHT),
    _case("weighted_ce", "SoftmaxFocalLoss", gamma=0.0, weight=CLASS_WEIGHT),
    _case("cb_bce", "ClassBalancedBCELoss", weight=POS_WEIGHT, weight_on="positives"),
    _case("cb_bce_label", "ClassBalancedBCELoss", weight=POS_WEIGHT, weight_on="label"),
    _case("cb_focal", "ClassBalancedFocalLoss", weight=POS_WEIGHT, weight_on="positives"),
    _case("asl", "AsymmetricLoss"),
    _case("asl_detached", "AsymmetricLoss", gamma_positive=1.0, detach_focus=True),
    _case("asl_small_gamma", "AsymmetricLoss", gamma_negative=0.5, margin=0.1),
    _case("asl_no_gamma", "AsymmetricLoss", gamma_negative=0.0, margin=0.1),
    _case("asl_no_margin", "AsymmetricLoss", gamma_positive=1.0, gamma_negative=2.0, margin=0.0),
    _case("db", "DistributionBalancedLoss", n_positive=COUNTS, n_rows=100),
    _case("db_plain", "DistributionBalancedLoss", n_positive=COUNTS, n_rows=100, scale=1.0),
    _case("logit_adjusted", "LogitAdjustedLoss", prior=PRIOR),
    _case("logit_adjusted_aim", "LogitAdjustedLoss", prior=PRIOR, tau=1.5, target_prior=AIM),
    _case("balanced_softmax", "BalancedSoftmaxLoss", prior=PRIOR),
    _case("ldam", "LDAMLoss", margin=MARGIN, scale=3.0),
    _case("vs", "VectorScalingLoss", prior=PRIOR, weight=CLASS_WEIGHT),
    _case("cdt", "CDTLoss", prior=PRIOR),
]
