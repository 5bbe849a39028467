"""The NumPy side of the losses: settings checked, numbers from counts, the way back; no torch.

A class here is a loss without its values and gradients. The Module for torch and the loss for
Keras of the same name inherit it, so both refuse the same settings, weigh alike and state the same
correction. It stands below both, because a loss for Keras may not load torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from equipoise._core.arrays import Floats
from equipoise._core.checks import require_finite, to_array, to_floats, to_number
from equipoise._core.logistic import expit, log_expit
from equipoise._core.messages import one_of, say
from equipoise._core.targets import refuse_index
from equipoise.artifacts._steps import focal_log_scale
from equipoise.artifacts._tables import sample_tables
from equipoise.artifacts.correction import Correction, Exactness
from equipoise.artifacts.labels import Kind, Labels
from equipoise.errors import DataError, NotRecoverableError, UsageError
from equipoise.labels._count_input import Counts
from equipoise.labels.loss_settings import (
    WEIGHT_ON,
    Beta,
    WeightOn,
    effective_label_weights,
    ldam_margins,
    rebalanced_weights,
    single_label_ratio,
    weight_ratio,
)
from equipoise.labels.weights import (
    Normalize,
    WeightMethod,
    ZeroCounts,
    class_weights,
    pos_weights,
    priors,
)

Steps = list[dict[str, Any]]
"""Steps of a `Correction`."""

ZeroPrior = Literal["error", "ignore"]
ZERO_PRIOR: tuple[ZeroPrior, ...] = ("error", "ignore")

_FLOOR = 1e-30
"""A share of 0 that is ignored: its log is finite, so that 0 times it is 0 and not NaN."""


def to_numbers(value: Any) -> Any:
    """Return a tensor, on any device and with a gradient or not, as NumPy; others as they are."""
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def to_vector(name: str, value: Any) -> Floats:
    """Return finite entries >= 0, one per class or label, as float32 holds them.

    Rounded because losses compute in float32: the way back then undoes what training saw.
    """
    array = to_floats(name, to_array(name, to_numbers(value), ndim=1))
    require_finite(name, array, "Clean the counts it comes from.")
    if array.size == 0 or array.min() < 0:
        got = "no entries" if array.size == 0 else f"{array.min():g}"
        raise DataError(say(name, "be >= 0, one entry per class or label", got))
    return array.astype(np.float32).astype(np.float64)


def to_shares(name: str, value: Any, zero: ZeroPrior = "error") -> Floats:
    """Return shares or counts that sum to 1, as float32 holds them."""
    vector = to_vector(name, value)
    empty = np.flatnonzero(vector == 0)
    if empty.size == vector.size or (empty.size and zero == "error"):
        listed = ", ".join(str(i) for i in empty[:5])
        do = 'Smooth it with `priors(counts, zero_counts="smooth")` or leave the class out.'
        raise DataError(say(name, "be above 0 for every class", f"0 for class {listed}", do))
    return np.asarray((vector / vector.sum()).astype(np.float32).astype(np.float64))


def to_strength(name: str, value: float) -> float:
    """Return a finite setting >= 0; plain Python, so that torch.compile can look through it."""
    number = to_number(name, value)
    if not 0.0 <= number < math.inf:
        raise UsageError(say(name, "be finite and >= 0", value))
    return number


def to_scale(name: str, value: float, do: str = "") -> float:
    """Return a finite setting > 0; plain Python, as :func:`to_strength`."""
    number = to_number(name, value)
    if not 0.0 < number < math.inf:
        raise UsageError(say(name, "be finite and > 0", value, do))
    return number


def to_margin(margin: float) -> float:
    """Return a margin in [0, 1); plain Python, as :func:`to_strength`."""
    number = to_number("margin", margin)
    if not 0.0 <= number < 1.0:
        raise UsageError(say("margin", "lie in [0, 1)", margin, "The published margin is 0.05."))
    return number


def to_alpha(alpha: float) -> float:
    """Return a weight of positives in (0, 1); plain Python, as :func:`to_strength`."""
    number = to_number("alpha", alpha)
    if not 0.0 < number < 1.0:
        do = "None leaves positives and negatives unweighted."
        raise UsageError(say("alpha", "lie in (0, 1)", alpha, do))
    return number


def add(offset: Floats) -> dict[str, Any]:
    """Return the step that adds ``offset``."""
    return {"op": "offset", "offset": offset.tolist()}


def divide(name: str, weight: Floats) -> dict[str, Any]:
    """Return the step that takes a weight per class or label out of the odds.

    Raises:
        NotRecoverableError: an entry is 0.
    """
    zero = np.flatnonzero(weight == 0)
    if zero.size:
        at = ", ".join(str(i) for i in zero[:5])
        raise NotRecoverableError(
            f"`{name}` is 0 for class or label {at}: training never saw it, so its probability "
            "cannot be recovered. Leave it out of the model or give it a weight above 0."
        )
    return add(-np.log(weight))


def sharpen(gamma: float) -> Steps:
    """Return the steps that undo a focal term."""
    return [{"op": "focal", "gamma": gamma}] if gamma > 0 else []


class LossSide:
    """A loss as NumPy knows it: what it did to the probabilities, and the way back.

    A subclass checks its settings in ``_settle`` and says how it is undone: by the steps of
    ``_ops``, by a closed form in ``_log_odds`` (labels) that a table then holds, or by neither.

    Attributes:
        kind: "multiclass" or "multilabel".
        exactness: How exactly the inverse holds: "exact", "approximate" or "none".
        num_classes: Classes or labels, where a setting fixes them, else None.
        is_untreated: Whether it is the plain loss, that treats nothing.
    """

    kind: ClassVar[Kind]
    exactness: ClassVar[Exactness] = "exact"
    is_untreated: bool = False
    num_classes: int | None

    def __new__(cls, *_: Any, **given: Any) -> Self:
        """Say what an index is to a loss of labels, where Python would name no next step.

        It stands below the constructors of torch and Keras, so that signatures are theirs.
        """
        if getattr(cls, "kind", None) == "multilabel" and "ignore_index" in given:
            refuse_index(given["ignore_index"])
        return super().__new__(cls)

    def correction(
        self, *, num_classes: int | None = None, prior: Sequence[float] | None = None
    ) -> Correction:
        """Return the inverse as an artifact that needs NumPy alone.

        Args:
            num_classes: Labels, where no setting fixes them and they differ.
            prior: Class shares of the training rows, (C,), noted in the artifact.

        Raises:
            NotRecoverableError: the loss has no inverse, for example with a weight of 0, or is a
                softmax loss without a closed form: store its posterior as probabilities.
        """
        self._require_recoverable()
        ops, reach = self._ops(), (0.0, 1.0)
        if ops is None:
            if self.kind == "multiclass":
                raise NotRecoverableError(
                    f"{type(self).__name__} has no closed form that a file could hold. "
                    "Store loss.posterior(logits) as probabilities instead."
                )
            tables, reach = self._tables(num_classes)
            ops = [{"op": "monotone_table", "tables": tables}]
        known = self._prior() if prior is None else tuple(prior)
        weight = self._nominal_weight()
        return Correction(self.kind, tuple(ops), self.exactness, reach, known, weight)

    def _probabilities(self, z: Floats) -> Floats | None:
        """Return the true probabilities behind logits (N, C), where a closed form gives them."""
        self._require_recoverable()
        log_odds = self._log_odds(z)
        if log_odds is not None:
            return expit(log_odds)
        ops = self._ops()
        return None if ops is None else Correction(self.kind, tuple(ops)).probabilities(z)

    def _tables(self, num_classes: int | None) -> Any:  # noqa: ARG002
        """Return the closed form as knots of a table, alike for all labels, and its reach."""
        return sample_tables(lambda z: np.asarray(self._log_odds(z[:, None])))

    def _width(self, num_classes: int | None) -> int:
        """Return the classes, or the labels that need numbers of their own."""
        width = self.num_classes or num_classes
        if width is None and self.kind == "multiclass":
            do = "This loss does not know the number of classes."
            raise UsageError(say("num_classes", "be given", None, do))
        return width or 1

    def _require_recoverable(self) -> None:
        if self.exactness == "none":
            raise NotRecoverableError(
                f"Outputs of {type(self).__name__} rank but carry no probability. "
                "Fit a calibrator on validation data: tune(scores)."
            )

    def _hold(self, name: str, numbers: Floats | None) -> None:
        """Keep numbers per class or label as a setting; a Module makes a buffer of them."""
        setattr(self, name, numbers)

    def _keep(self, name: str, numbers: Floats | None) -> None:
        """Keep numbers per class or label, whose number they fix."""
        self._hold(name, numbers)
        if numbers is not None:
            self.num_classes = numbers.size

    def _numbers(self, name: str) -> Floats:
        """Return numbers per class or label, as they stand now, in float64."""
        return np.asarray(to_numbers(getattr(self, name)), dtype=np.float64)

    @classmethod
    def _made(cls, *vector: Any, **options: Any) -> Self:
        build: Callable[..., Self] = cls
        return build(*vector, **options)

    def _log_odds(self, z: Floats) -> Floats | None:  # noqa: ARG002
        """Return the true log-odds of logits (N, L), where no steps give them exactly."""
        return None

    def _ops(self) -> Steps | None:
        """Return the steps of the correction, or None where there are none."""
        return None

    def _nominal_weight(self) -> tuple[float, ...] | None:
        """Return the weight on positives, where the loss has one."""
        return None

    def _prior(self) -> tuple[float, ...] | None:
        """Return the class shares of the training rows, where the loss knows them."""
        return None


class BCESide(LossSide):
    """Binary cross entropy: nothing to undo."""

    kind = "multilabel"
    is_untreated = True

    def _ops(self) -> Steps:
        return []


class PosWeightSide(LossSide):
    """A weight on the positives of each label: true log-odds are z - log w."""

    kind = "multilabel"
    pos_weight: Any

    def _settle(self, pos_weight: Any) -> None:
        self._keep("pos_weight", to_vector("pos_weight", pos_weight))

    @classmethod
    def from_label_counts(
        cls,
        n_positive: Counts,
        n_known: ArrayLike | None = None,
        *,
        power: float = 1.0,
        cap: float | None = None,
        zero_counts: ZeroCounts = "error",
        **options: Any,
    ) -> Self:
        """Weigh by counts: min(cap, (negatives / positives)^power).

        Args:
            n_positive: Positives per label, (L,), or `Labels`.
            n_known: Known rows, one number or (L,); not needed with `Labels`.
            power: 1 equalises positives and negatives, 0.5 is milder.
            cap: Upper bound, or None.
            zero_counts: As for :func:`equipoise.labels.weights.pos_weights`.
            **options: Of the constructor.
        """
        weight = pos_weights(n_positive, n_known, power=power, cap=cap, zero_counts=zero_counts)
        return cls._made(weight, **options)

    def _ops(self) -> Steps:
        return [divide("pos_weight", self._numbers("pos_weight"))]

    def _nominal_weight(self) -> tuple[float, ...]:
        return tuple(self._numbers("pos_weight").tolist())


class SigmoidFocalSide(LossSide):
    """Focal loss of labels: alpha is the weight alpha / (1 - alpha) on positives."""

    kind = "multilabel"
    gamma: float
    alpha: Any
    alpha_number: float | None

    def _settle(self, gamma: float, alpha: Any) -> None:
        self.gamma = to_strength("gamma", gamma)
        one = alpha is not None and np.ndim(alpha) == 0
        self.alpha_number = to_alpha(alpha) if one else None
        vector = None if alpha is None or one else to_vector("alpha", alpha)
        if vector is not None and ((vector <= 0) | (vector >= 1)).any():
            raise UsageError(say("alpha", "lie in (0, 1) for every label", vector.tolist()))
        self._keep("alpha", vector)

    def _positive_weight(self) -> Floats | None:
        if self.alpha is not None:
            alpha = self._numbers("alpha")
        elif self.alpha_number is not None:
            alpha = np.array([self.alpha_number])
        else:
            return None
        return np.asarray(alpha / (1.0 - alpha))

    def _ops(self) -> Steps:
        weight = self._positive_weight()
        return sharpen(self.gamma) + ([] if weight is None else [divide("alpha", weight)])

    def _nominal_weight(self) -> tuple[float, ...] | None:
        weight = self._positive_weight()
        return None if weight is None else tuple(weight.tolist())


class ClassBalancedSide(LossSide):
    """Weights by effective numbers; on a label as a whole they leave its probability alone."""

    kind = "multilabel"
    weight: Any
    weight_on: WeightOn
    gamma: float = 0.0

    def _settle(self, weight: Any, weight_on: WeightOn, gamma: float) -> None:
        self._keep("weight", to_vector("weight", weight))
        self.weight_on = one_of("weight_on", weight_on, WEIGHT_ON)
        self.gamma = to_strength("gamma", gamma)

    @classmethod
    def from_label_counts(
        cls,
        n_positive: Counts,
        n_known: ArrayLike | None = None,
        *,
        weight_on: WeightOn,
        beta: Beta = 0.999,
        zero_counts: ZeroCounts = "error",
        **options: Any,
    ) -> Self:
        """Weigh by effective numbers; see :func:`equipoise.labels.weights.class_weights`.

        Args:
            n_positive: Positives per label, (L,), or `Labels`.
            n_known: Known rows, one number or (L,); not needed with `Labels`.
            weight_on: "positives" takes the effective number of negatives over that of positives,
                "label" one over that of positives, with mean 1 over labels.
            beta: In [0, 1), or "(N-1)/N".
            zero_counts: As for :func:`equipoise.labels.weights.class_weights`.
            **options: Of the constructor.
        """
        weight = effective_label_weights(n_positive, n_known, weight_on, beta, zero_counts)
        return cls._made(weight, weight_on=weight_on, **options)

    def _ops(self) -> Steps:
        # A weight of 0 is refused on a label too: it was never trained.
        undone = divide("weight", self._numbers("weight"))
        return sharpen(self.gamma) + ([undone] if self.weight_on == "positives" else [])

    def _nominal_weight(self) -> tuple[float, ...] | None:
        on_positives = self.weight_on == "positives"
        return tuple(self._numbers("weight").tolist()) if on_positives else None


class AsymmetricSide(LossSide):
    """Focusing apart for positives and negatives, and a margin on negatives."""

    kind = "multilabel"
    gamma_positive: float
    gamma_negative: float
    margin: float
    detach_focus: bool

    def _settle(
        self, gamma_positive: float, gamma_negative: float, margin: float, detach_focus: bool
    ) -> None:
        self.gamma_positive = to_strength("gamma_positive", gamma_positive)
        self.gamma_negative = to_strength("gamma_negative", gamma_negative)
        self.margin = to_margin(margin)
        self.detach_focus = bool(detach_focus)

    def _log_odds(self, z: Floats) -> Floats:
        """Return log(l0' / -l1'), with the factor p q of l0' and q of l1' taken out."""
        log_p, log_q = log_expit(z), log_expit(-z)
        gamma, focus = self.gamma_negative, self.gamma_positive
        # A detached focus is a factor of the slope and has no slope of its own.
        one = focus * log_q if self.detach_focus else focal_log_scale(log_p, log_q, focus)
        if self.margin == 0.0:
            zero = gamma * log_p if self.detach_focus else focal_log_scale(log_q, log_p, gamma)
            return np.asarray(z + zero - one)
        shifted = np.maximum(np.exp(log_p) - self.margin, 0.0)
        inner = 1.0 / (1.0 - shifted)
        if not self.detach_focus:
            # log(1 - x) / x goes to -1 at 0, where 0 / 0 would be NaN.
            inner = inner - gamma * np.log1p(-shifted) / np.maximum(shifted, 1e-300)
        with np.errstate(divide="ignore"):
            # 0 times log 0 would be NaN.
            power = gamma * np.log(shifted) if gamma else 0.0
        # Below the margin a negative has no slope: any output there means 0.
        return np.asarray(np.where(shifted > 0, log_p + power + np.log(inner), -np.inf) - one)


class DistributionBalancedSide(LossSide):
    """Weights by how labels share rows, a shift by rarity, and steeper, lighter negatives."""

    kind = "multilabel"
    exactness = "approximate"
    n_positive: Any
    weight_ratio: Any
    n_rows: float

    def _settle(
        self,
        n_positive: Any,
        n_rows: float,
        *,
        alpha: float,
        beta: float,
        mu: float,
        kappa: float,
        scale: float,
        gamma: float,
        weight_ratio: Any,
    ) -> None:
        counts = to_vector("n_positive", n_positive)
        self._keep("n_positive", counts)
        self.n_rows = to_number("n_rows", n_rows)
        if not self.n_rows >= counts.max():
            most = f"be at least {counts.max():g}, the positives of a label"
            raise DataError(say("n_rows", most, n_rows, "Count all training rows."))
        self.alpha, self.beta = to_strength("alpha", alpha), to_strength("beta", beta)
        self.mu, self.kappa = to_number("mu", mu), to_strength("kappa", kappa)
        self.scale = to_scale("scale", scale, "1 leaves negatives alone.")
        self.gamma = to_strength("gamma", gamma)
        if weight_ratio is None:
            weight_ratio = single_label_ratio(counts, alpha=self.alpha, beta=self.beta, mu=self.mu)
        self._keep("weight_ratio", to_vector("weight_ratio", weight_ratio))

    @classmethod
    def from_targets(cls, target: Labels | ArrayLike, **options: Any) -> Self:
        """Count positives in the training targets and measure the weight ratio there.

        Args:
            target: `Labels`, or (N, L) with 0, 1 or a fraction; below 0 or NaN is unknown.
            **options: Of the constructor.
        """
        values = target.values if isinstance(target, Labels) else to_numbers(target)
        array = np.asarray(to_array("target", values, ndim=2), dtype=np.float64)
        known = array >= 0
        truth = np.where(known, array, 0.0)
        made = cls._made(truth.sum(0), n_rows=len(array), **options)
        weight = rebalanced_weights(
            truth, made._numbers("n_positive"), alpha=made.alpha, beta=made.beta, mu=made.mu
        )
        made._keep("weight_ratio", to_vector("weight_ratio", weight_ratio(truth, known, weight)))
        return made

    def _shift(self) -> Floats:
        """Return v, with at least one positive and one negative per label."""
        positive = np.clip(self._numbers("n_positive"), 1.0, max(self.n_rows - 1.0, 1.0))
        return np.asarray(self.kappa * np.log(np.maximum(self.n_rows - positive, 1.0) / positive))

    def _bend(self, u: Floats) -> Floats:
        """Return the log-odds behind shifted logits where positives and negatives weigh alike."""
        log_p, log_q = log_expit(u), log_expit(-u)
        steep_p, steep_q = log_expit(self.scale * u), log_expit(-self.scale * u)
        zero = focal_log_scale(steep_q, steep_p, self.gamma) + steep_p
        return np.asarray(zero - focal_log_scale(log_p, log_q, self.gamma) - log_q)

    def _log_odds(self, z: Floats) -> Floats:
        return np.asarray(self._bend(z - self._shift()) - np.log(self._numbers("weight_ratio")))

    def _ops(self) -> Steps:
        # Shift and ratio differ by label, the bend between them does not: one table for all.
        tables, _ = sample_tables(lambda u: self._bend(u[:, None]))
        table = {"op": "monotone_table", "tables": tables}
        return [add(-self._shift()), table, add(-np.log(self._numbers("weight_ratio")))]


class ClassWeightSide(LossSide):
    """One weight per class, or none: the softmax goes with w times the true posterior."""

    kind = "multiclass"
    weight: Any

    @classmethod
    def from_class_counts(
        cls,
        counts: Counts,
        *,
        method: WeightMethod = "inverse",
        power: float = 0.5,
        beta: Beta = 0.999,
        normalize: Normalize | None = "samples",
        zero_counts: ZeroCounts = "error",
        **options: Any,
    ) -> Self:
        """Weigh by counts; see :func:`equipoise.labels.weights.class_weights`.

        Args:
            counts: Rows per class, (C,), or `Labels`.
            method: As for ``class_weights``, and so are ``power`` to ``zero_counts``.
            **options: Of the constructor.
        """
        weight = class_weights(
            counts,
            method=method,
            power=power,
            beta=beta,
            normalize=normalize,
            zero_counts=zero_counts,
        )
        return cls._made(weight=weight, **options)

    def _settle_weight(self, weight: Any) -> None:
        self._keep("weight", None if weight is None else to_vector("weight", weight))

    def _ops(self) -> Steps:
        return [] if self.weight is None else [divide("weight", self._numbers("weight"))]


class SoftmaxFocalSide(ClassWeightSide):
    """Focal loss of classes, with or without weights."""

    gamma: float

    def _settle(self, gamma: float, weight: Any) -> None:
        self.gamma = to_strength("gamma", gamma)
        self._settle_weight(weight)

    def _ops(self) -> Steps:
        return sharpen(self.gamma) + super()._ops()


class PriorSide(LossSide):
    """Class shares of the training rows, that enter the loss."""

    kind = "multiclass"
    prior: Any

    def _prior(self) -> tuple[float, ...]:
        return tuple(self._numbers("prior").tolist())


class LogitAdjustedSide(PriorSide):
    """The log prior added to the logits while training."""

    tau: float
    target_prior: Any
    zero_prior: ZeroPrior

    def _settle(self, prior: Any, tau: float, target_prior: Any, zero_prior: ZeroPrior) -> None:
        self.zero_prior = one_of("zero_prior", zero_prior, ZERO_PRIOR)
        self.tau = to_strength("tau", tau)
        self._keep("prior", to_shares("prior", prior, zero_prior))
        aim = None if target_prior is None else to_shares("target_prior", target_prior)
        self._hold("target_prior", aim)

    @classmethod
    def from_class_counts(
        cls, counts: Counts, *, zero_counts: ZeroCounts = "error", **options: Any
    ) -> Self:
        """Take the prior from counts; see :func:`equipoise.labels.weights.priors`.

        Args:
            counts: Rows per class, (C,), or `Labels`.
            zero_counts: "ignore" leaves classes without rows out of the softmax.
            **options: Of the constructor.
        """
        if zero_counts == "ignore":
            options["zero_prior"] = "ignore"
        return cls._made(priors(counts, zero_counts=zero_counts), **options)

    def _offset(self) -> Floats:
        offset = np.log(np.maximum(self._numbers("prior"), _FLOOR))
        if self.target_prior is not None:
            offset = offset - np.log(np.maximum(self._numbers("target_prior"), _FLOOR))
        return np.asarray(self.tau * offset)

    def _ops(self) -> Steps:
        offset = self._offset()
        return [add(offset - offset.max())] if self.tau > 0 else []


class VectorScalingSide(PriorSide):
    """A factor and a shift by class shares, and a weight."""

    gamma: float
    tau: float
    weight: Any

    def _settle(self, prior: Any, gamma: float, tau: float, weight: Any) -> None:
        self.gamma, self.tau = to_strength("gamma", gamma), to_strength("tau", tau)
        self._keep("prior", to_shares("prior", prior))
        self._hold("weight", None if weight is None else to_vector("weight", weight))

    @classmethod
    def from_class_counts(cls, counts: Counts, *, smooth: bool = False, **options: Any) -> Self:
        """Take the prior from counts.

        Args:
            counts: Rows per class, (C,), or `Labels`.
            smooth: Add one to each count; without it none may be 0.
            **options: Of the constructor.
        """
        return cls._made(priors(counts, zero_counts="smooth" if smooth else "error"), **options)

    def _ops(self) -> Steps:
        # Relative to the most frequent class: a shift of all logits changes no posterior.
        share = self._numbers("prior") / self._numbers("prior").max()
        ops: Steps = []
        if self.gamma > 0:
            ops.append({"op": "scale", "scale": (share**self.gamma).tolist()})
        if self.tau > 0:
            ops.append(add(self.tau * np.log(share)))
        if self.weight is not None:
            ops.append(divide("weight", self._numbers("weight")))
        return ops


class LDAMSide(LossSide):
    """A margin per class on scaled cosines."""

    kind = "multiclass"
    margin: Any
    scale: float

    def _settle(self, margin: Any, scale: float) -> None:
        self.scale = to_scale("scale", scale, "Start with 30.")
        self._keep("margin", to_vector("margin", margin))

    @classmethod
    def from_class_counts(
        cls,
        counts: Counts,
        *,
        max_margin: float = 0.5,
        zero_counts: ZeroCounts = "error",
        **options: Any,
    ) -> Self:
        """Take margins that go with count^(-1/4), the largest being ``max_margin``.

        Args:
            counts: Rows per class, (C,), or `Labels`.
            max_margin: Of the rarest class.
            zero_counts: A class without rows is an error; "smooth" adds one to each count;
                "ignore" gives it the largest margin.
            **options: Of the constructor.
        """
        margin = ldam_margins(counts, max_margin=max_margin, zero_counts=zero_counts)
        return cls._made(margin, **options)

    def _ops(self) -> Steps:
        return [{"op": "ldam", "margin": self._numbers("margin").tolist(), "scale": self.scale}]
