"""Remedies on boosters, forests and linear models: which rows, which weights, which objective.

A network takes every remedy. A booster takes losses of single entries and of the true class's
probability; what else there is takes weights and drawn rows alone. What does not fit is refused
with the reason, never left out in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.messages import say
from equipoise.artifacts import Correction, Labels
from equipoise.boosting.families import Family
from equipoise.boosting.objectives import (
    ClassObjective,
    LabelObjective,
    MarginObjective,
    Objective,
    grid,
)
from equipoise.errors import UsageError
from equipoise.labels.losses import (
    BCESide,
    ClassBalancedSide,
    ClassWeightSide,
    LDAMSide,
    LogitAdjustedSide,
    LossSide,
    PosWeightSide,
    SoftmaxFocalSide,
)

if TYPE_CHECKING:
    from equipoise.training.remedy import Remedy, Resampling

Floats = NDArray[np.float64]


class _Bare:
    """A loss of weights that is only stated: for models that weigh rows themselves, without torch.

    Args:
        weight: Of positives, or of classes; None for the untreated loss.
        options: Of the loss for torch; only what is weighed on is looked at.
    """

    def __init__(self, weight: Any = None, **options: Any) -> None:
        self.num_classes: int | None = None
        if isinstance(self, ClassBalancedSide):
            self._settle(weight, options["weight_on"], 0.0)
        elif isinstance(self, PosWeightSide):
            self._settle(weight)
        elif isinstance(self, ClassWeightSide):
            self._settle_weight(weight)


class _BareBCE(_Bare, BCESide): ...


class _BarePosWeight(_Bare, PosWeightSide): ...


class _BareClassBalanced(_Bare, ClassBalancedSide): ...


class _BareWeighted(_Bare, ClassWeightSide): ...


class _BareCrossEntropy(_Bare, ClassWeightSide):
    weight = None
    is_untreated = True


WITHOUT_TORCH: Mapping[str, type[LossSide]] = {
    "BCELoss": _BareBCE,
    "PosWeightBCELoss": _BarePosWeight,
    "ClassBalancedBCELoss": _BareClassBalanced,
    "CrossEntropyLoss": _BareCrossEntropy,
    "WeightedCrossEntropyLoss": _BareWeighted,
}
"""What stands for a loss where torch is not installed: weights alone, which need no gradient."""


@dataclass(frozen=True, eq=False)
class Treatment:
    """What a remedy is to a model of tables.

    Args:
        rows: (m,) positions within the training rows that it is fitted on, perhaps repeated.
        correction: The way back from its outputs.
        weight: Output -> factor of positives (labels), or (C,) weights of classes; None for none.
        loss: What boosters minimise in place of their own loss, or None.
        width: Labels, or classes.
        resampling: What makes other training rows for each model, or None.
    """

    rows: NDArray[np.int64]
    correction: Correction
    weight: Floats | None = None
    loss: Any = None
    width: int = 1
    resampling: Resampling | None = None

    def row_weights(
        self, y: NDArray[np.int64], output: int, classes: int, own: Floats | None = None
    ) -> Floats | None:
        """Return the weights of rows, mean 1, or None where all weigh alike.

        Args:
            y: (n,) 0 and 1, or classes.
            output: Which label.
            classes: 1 for a label.
            own: (n,) weights that the rows have themselves, or None.
        """
        if self.weight is None:
            return None if own is None else np.asarray(own / own.mean())
        by_value = np.array([1.0, self.weight[output]]) if classes == 1 else self.weight
        made = by_value[y] if own is None else by_value[y] * own
        return np.asarray(made / made.mean())

    def shift(self, output: int, classes: int) -> Floats | None:
        """Return what takes drawn rows and weights out of outputs, (classes,), where that is all.

        Args:
            output: Which label.
            classes: 1 for a label.
        """
        if self.loss is not None or self.correction.exactness == "none" or not self.correction.ops:
            return None
        width = self.width if classes == 1 else classes
        at, up = (self.correction.apply(np.full((1, width), v))[0] for v in (0.0, 1.0))
        if classes == 1:
            return at[output : output + 1] if np.allclose(up - at, 1.0) else None
        return at if np.allclose(up, at) or np.allclose(up - at, 1.0) else None

    def objective(
        self, y: NDArray[np.int64], output: int, classes: int, own: Floats | None = None
    ) -> Objective | None:
        """Return what a booster minimises on these rows, or None for its own loss.

        Args:
            y: (n,) 0 and 1, or classes, of the rows that are trained on.
            output: Which label.
            classes: 1 for a label.
            own: (n,) weights of the rows, or None.

        Raises:
            UsageError: a loss that joins rows, labels or classes.
        """
        if self.loss is None:
            return None
        # Late: the slopes are those of the torch Modules.
        from equipoise.losses.slopes import class_factors, label_slopes

        if classes == 1:
            width = getattr(self.loss, "num_classes", None) or output + 1
            zero, one = label_slopes(self.loss, width, grid())
            share = float(np.average(y, weights=own))
            return LabelObjective.of(zero[:, output], one[:, output], share)
        counts = np.bincount(y, None if own is None else own / own.mean(), minlength=classes)
        prior = np.maximum(counts, 0.5) / np.maximum(counts, 0.5).sum()
        if isinstance(self.loss, LDAMSide):
            margin = np.asarray(self.loss._numbers("margin"))
            return MarginObjective(np.log(prior), margin)
        if isinstance(self.loss, LogitAdjustedSide):
            shift = np.asarray(self.loss._offset())
            even = np.ones((grid().size, classes))
            return ClassObjective.of(even, prior, shift)
        return ClassObjective.of(class_factors(self.loss, classes, grid()), prior)


def treat(remedy: Remedy, labels: Labels, family: Family, seed: int) -> Treatment:
    """Return what a remedy is to a model of tables.

    Args:
        remedy: Made for ``labels``.
        labels: Of the training rows.
        family: The kind of model.
        seed: Of rows that are drawn.

    Raises:
        UsageError: the remedy does something that this kind of model cannot do; the message says
            which can.
    """
    if remedy.model not in (None, family.name):
        do = "Leave `model` out: it stands beside the others."
        raise UsageError(say(f"arm {remedy.name}", f"be a remedy for {family.name}",
                             f"{remedy.model}, a kind of model of its own", do))  # fmt: skip
    remedy.require_supported(family.name, ("sampler", "resampling", "model"))
    if labels.weights is not None and (remedy.resampling or remedy.model):
        do = "Compare it without weights, or leave it out."
        got = "rows that it makes or draws itself"
        raise UsageError(say(f"arm {remedy.name}", "keep rows that have weights", got, do))
    rows = np.arange(len(labels))
    if remedy.sampler is not None:
        rows = np.fromiter(iter(remedy.sampler(seed=seed)), dtype=np.int64)
    weight, loss = _loss_of(remedy)
    correction = remedy.correction
    if remedy.head == "cosine":
        correction = _without_head(remedy)
    more: dict[str, Any] = {"width": labels.num_classes, "resampling": remedy.resampling}
    takes = labels.kind in family.takes_losses and type(loss) not in WITHOUT_TORCH.values()
    if loss is None or takes:
        return Treatment(rows, correction, None, loss, **more)
    if weight is not None:
        return Treatment(rows, correction, weight, None, **more)
    do = "Take lightgbm or xgboost, or weights and sampling."
    raise UsageError(say(f"arm {remedy.name}", f"be weights or drawn rows for {family.name}",
                         type(loss).__name__, do))  # fmt: skip


def _loss_of(remedy: Remedy) -> tuple[Floats | None, Any]:
    """Return a loss's weights, where it is weights alone, and the loss; (None, None) untreated."""
    loss: Any = remedy.loss
    if getattr(loss, "is_untreated", False):
        return None, None
    if isinstance(loss, PosWeightSide):
        return loss._numbers("pos_weight"), loss
    if isinstance(loss, ClassBalancedSide):
        if loss.weight_on == "label" and not loss.gamma:
            return None, None  # one booster per label: what weighs a label as a whole does nothing
        return (None if loss.gamma else loss._numbers("weight")), loss
    if isinstance(loss, ClassWeightSide) and not isinstance(loss, SoftmaxFocalSide):
        return (None, None) if loss.weight is None else (loss._numbers("weight"), loss)
    return None, loss


def _without_head(remedy: Remedy) -> Correction:
    """Return the way back of margins on plain logits, which boosters have: scale 1."""
    loss: Any = remedy.loss
    margin = loss._numbers("margin").tolist()
    step = {"op": "ldam", "margin": margin, "scale": 1.0}
    return Correction("multiclass", (step,), "exact", prior=remedy.correction.prior)
