"""Objectives: what decisions are for, with parameters, what a cut is worth, and its formula.

One record is one objective, whole: what it takes, what it makes of a confusion table, whether a
cut is fitted to rows, and what a rule stores of it. Those without parameters go by name alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_array, to_floats, to_fraction, to_positive
from equipoise._core.messages import closest, say
from equipoise.artifacts._io import plain
from equipoise.artifacts.labels import Kind
from equipoise.artifacts.rule import OBJECTIVES
from equipoise.decisions._offsets import class_values
from equipoise.errors import ShapeError, UsageError

Classes = NDArray[np.int64]
_SLACK = 1e-9
_PAIRS = "Give (false alarm, miss), or one such pair per label."
_MATRIX = "Row y, column k: what it costs to decide k where y is true."


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """What decisions are for; the base of all objectives.

    Counts of a confusion table may be weighted, expected or drawn. Where an objective states a
    policy instead of a value, it is judged by F1, or by the recall of each class.

    Attributes:
        kinds: Whether it is for labels, classes or both.
        is_fitted: Whether a cut is fitted to a metric on the rows, so that it needs positives
            there. The others follow a formula or a stated policy.
        is_compared: Whether one rule can be told better than another by what it is for.
        sign: -1 where less is better.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("multilabel",)
    is_fitted: ClassVar[bool] = False
    is_compared: ClassVar[bool] = False
    sign: ClassVar[float] = 1.0
    _name: ClassVar[str] = ""
    # What claims hold where that is not the objective's own value.
    _measure: ClassVar[str] = ""
    _class_measure: ClassVar[str] = "recall"
    _stored: ClassVar[tuple[str, ...]] = ()

    @property
    def name(self) -> str:
        """As a rule stores it, for example "f2" or "cost"."""
        return self._name

    @property
    def parameters(self) -> dict[str, Any]:
        """As a rule stores them, JSON types alone."""
        values = {name: getattr(self, name) for name in self._stored}
        return {name: plain(value) for name, value in values.items() if value is not None}

    @property
    def choice(self) -> Mapping[str, Any] | None:
        """What a rule stores where no threshold decides; see :class:`equipoise.DecisionRule`."""
        return None

    def measure(self, kind: Kind) -> str:
        """Return what claims hold, for example "f1", "cost", or "recall" of each class."""
        return self._class_measure if kind == "multiclass" else self._measure or self.name

    def bind(self, kind: Kind, width: int) -> Objective:
        """Return the objective for so many labels or classes, or raise where it does not fit."""
        return self

    def at(self, column: int) -> Objective:
        """Return the objective of one label."""
        return self

    def value(self, tp: Floats, fp: Floats, positives: Floats, negatives: Floats) -> Floats:
        """Return what a cut reaches, NaN where that is not defined."""
        return _f_beta(1.0, tp, fp, positives)

    def utility(self, tp: Floats, fp: Floats, positives: Any, negatives: Any) -> Floats:
        """Return what the cut maximises; the strictest cut wins a tie."""
        return np.nan_to_num(self.sign * self.value(tp, fp, positives, negatives), nan=0.0)

    def cut(self, prior: float) -> float | None:
        """Return the best cut of calibrated log-odds where a formula gives it, else None.

        Args:
            prior: Share of positives that the log-odds refer to, in (0, 1).

        Example:
            >>> BalancedAccuracy().cut(0.5), Mcc().cut(0.5)
            (0.0, None)
        """
        return None

    def class_values(
        self, y_true: Classes, decided: Classes, width: int, weights: Floats | None = None
    ) -> Floats:
        """Return what claims hold of each class, (C,); NaN for a class without rows."""
        return class_values(self._class_measure, y_true, decided, width, weights)

    def class_worth(
        self, y_true: Classes, decided: Classes, width: int, weights: Floats | None = None
    ) -> float:
        """Return what is maximised over all rows, each ``weights`` times where given.

        It is the mean recall or F1 of the classes with rows.
        """
        right = decided == y_true
        hits = np.bincount(y_true, right if weights is None else right * weights, minlength=width)
        below = np.bincount(y_true, weights, minlength=width)
        present = below > 0
        if self._class_measure == "recall":
            return float((hits[present] / below[present]).mean())
        below = below + np.bincount(decided, weights, minlength=width)
        return float((2 * hits[present] / below[present]).mean())


@dataclass(frozen=True, slots=True)
class FBeta(Objective):
    """F-beta of each label: "f1", "f2", "f0.5" by name.

    Args:
        beta: Weight of recall against precision, > 0.

    Raises:
        UsageError: a beta that is not positive.

    Example:
        >>> FBeta(2).name
        'f2'
        >>> table = (np.array([2.0]), np.array([1.0]), np.array([4.0]), np.array([6.0]))
        >>> FBeta().value(*table).round(3).tolist()
        [0.571]
    """

    beta: float = 1.0
    is_fitted = True
    is_compared = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "beta", to_positive("beta", self.beta))

    @property
    def name(self) -> str:
        """For example "f0.5"."""
        return f"f{np.format_float_positional(self.beta, trim='-')}"

    def value(self, tp: Floats, fp: Floats, positives: Floats, negatives: Floats) -> Floats:
        """Return F-beta, NaN without positives."""
        return _f_beta(self.beta, tp, fp, positives)

    def utility(self, tp: Floats, fp: Floats, positives: Any, negatives: Any) -> Floats:
        """Return F-beta, 0 without positives."""
        square = self.beta * self.beta
        return np.asarray((1 + square) * tp / np.maximum(square * positives + tp + fp, 1e-12))


@dataclass(frozen=True, slots=True)
class BalancedAccuracy(Objective):
    """Mean recall: of positives and negatives of each label, or of all classes.

    Args:
        free_offsets: For classes: True takes one offset per class by exact line search, False one
            strength for all, None what decides best on cross-fitted rows: one of the two, or no
            offset at all.

    Example:
        >>> BalancedAccuracy(free_offsets=True).measure("multiclass")
        'recall'
    """

    free_offsets: bool | None = None
    kinds = ("multilabel", "multiclass")
    is_fitted = True
    is_compared = True
    _name = "balanced_accuracy"

    def bind(self, kind: Kind, width: int) -> Self:
        """Refuse offsets for labels."""
        if kind == "multilabel" and self.free_offsets is not None:
            do = "They are for classes with objective balanced_accuracy or macro_f1."
            raise UsageError(say("free_offsets", "be left out", f"{kind}, '{self.name}'", do))
        return self

    def value(self, tp: Floats, fp: Floats, positives: Floats, negatives: Floats) -> Floats:
        """Return the mean of both recalls, NaN where one side is missing."""
        return 0.5 * (_over(tp, positives) + _over(negatives - fp, negatives))

    def cut(self, prior: float) -> float:
        """Return the cut at the share of positives."""
        return float(np.log(prior) - np.log1p(-prior))


@dataclass(frozen=True, slots=True)
class MacroF1(Objective):
    """Mean F1 of all classes.

    Args:
        free_offsets: As for :class:`BalancedAccuracy`.

    Example:
        >>> MacroF1(free_offsets=False).measure("multiclass")
        'f1'
    """

    free_offsets: bool | None = None
    kinds = ("multiclass",)
    _name = "macro_f1"
    _class_measure = "f1"


@dataclass(frozen=True, slots=True)
class Accuracy(Objective):
    """Share of rows whose class is right; by name: "accuracy"."""

    kinds = ("multiclass",)
    _name = "accuracy"

    def class_worth(
        self,
        y_true: Classes,
        decided: Classes,
        width: int,
        weights: Floats | None = None,
    ) -> float:
        """Return the share of rows that are right."""
        return float(np.average(decided == y_true, weights=weights))


@dataclass(frozen=True, slots=True)
class Mcc(Objective):
    """Matthews correlation of each label; by name: "mcc"."""

    is_fitted = True
    is_compared = True
    _name = "mcc"

    def value(self, tp: Floats, fp: Floats, positives: Floats, negatives: Floats) -> Floats:
        """Return the correlation of truth and flags."""
        n, fn = positives + negatives, positives - tp
        tn, flagged = negatives - fp, tp + fp
        both = positives * negatives
        spread = np.sqrt(np.maximum(flagged * (n - flagged) * both, 0.0))
        # Nothing or everything flagged says nothing: 0, as long as both sides exist.
        part = _over(tp * tn - fp * fn, spread)
        return np.where((both > 0) & np.isnan(part), 0.0, part)


@dataclass(frozen=True, slots=True)
class Prevalence(Objective):
    """As many flags as positives, label by label; by name: "prevalence"."""

    is_fitted = True
    _name = "prevalence"
    _measure = "f1"

    def utility(self, tp: Floats, fp: Floats, positives: Any, negatives: Any) -> Floats:
        """Return how near the flags are to as many as positives."""
        return np.asarray(-np.abs(tp + fp - positives))


@dataclass(frozen=True, slots=True)
class Precision(Objective):
    """The laxest cut of each label whose precision is certified; see :func:`certified_cut`.

    Args:
        at_least: The precision asked for, in (0, 1).
        confidence_level: At which it is certified, in (0, 1).

    Raises:
        UsageError: a number outside (0, 1).

    Example:
        >>> Precision(at_least=0.9).parameters
        {'at_least': 0.9, 'confidence_level': 0.95}
    """

    at_least: float
    confidence_level: float = 0.95
    is_fitted = True
    _name = "precision"
    _stored = ("at_least", "confidence_level")

    def __post_init__(self) -> None:
        object.__setattr__(self, "at_least", to_fraction("at_least", self.at_least))
        level = to_fraction("confidence_level", self.confidence_level)
        object.__setattr__(self, "confidence_level", level)

    def value(self, tp: Floats, fp: Floats, positives: Floats, negatives: Floats) -> Floats:
        """Return the precision, NaN where nothing is flagged."""
        return _over(tp, tp + fp)


@dataclass(frozen=True, slots=True)
class Recall(Objective):
    """The strictest cut of each label that keeps a recall on the rows it is tuned on.

    Args:
        at_least: The recall asked for, in (0, 1).

    Raises:
        UsageError: a number outside (0, 1).

    Example:
        >>> Recall(at_least=0.9).parameters
        {'at_least': 0.9}
    """

    at_least: float
    is_fitted = True
    _name = "recall"
    _stored = ("at_least",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "at_least", to_fraction("at_least", self.at_least))

    def value(self, tp: Floats, fp: Floats, positives: Floats, negatives: Floats) -> Floats:
        """Return the recall, NaN without positives."""
        return _over(tp, positives)

    def utility(self, tp: Floats, fp: Floats, positives: Any, negatives: Any) -> Floats:
        """Return 1 where the recall is met, else 0."""
        return np.asarray(tp >= (self.at_least - _SLACK) * positives, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Cost(Objective):
    """The least expected cost of mistakes.

    Args:
        costs: For labels (false alarm, miss) > 0, or (L, 2), one such pair per label. For classes
            (C, C), row truth, column decision, least where the decision is right.

    Raises:
        ShapeError: a table of another shape; where L or C is known, of another size.
        DataError: no numbers.
        UsageError: costs that are not finite, or that reward a mistake.

    Example:
        >>> table = (np.array([2.0]), np.array([1.0]), np.array([4.0]), np.array([6.0]))
        >>> Cost((1, 5)).value(*table).tolist()
        [1.1]
        >>> Cost([[0, 1], [5, 0]]).costs
        ((0.0, 1.0), (5.0, 0.0))
    """

    costs: ArrayLike
    kinds = ("multilabel", "multiclass")
    is_compared = True
    sign = -1.0
    _name = "cost"
    _stored = ("costs",)
    _class_measure = "cost"

    def __post_init__(self) -> None:
        array = to_floats("costs", to_array("costs", self.costs, ndim=(1, 2)))
        if array.ndim == 1:
            _require_positive(array)
        # Tuples, so that equal costs are equal objectives.
        object.__setattr__(self, "costs", _as_tuples(array))

    def bind(self, kind: Kind, width: int) -> Objective:
        """Check costs for so many labels or classes."""
        array = np.asarray(self.costs, dtype=np.float64)
        if kind == "multiclass":
            return _CostOfClasses(_to_matrix(array, width))
        if array.shape not in ((2,), (width, 2)):
            expected = f"have shape (2,) or ({width}, 2)"
            raise ShapeError(say("costs", expected, array.shape, _PAIRS))
        _require_positive(array)
        return self

    def at(self, column: int) -> Cost:
        """Return the costs of one label."""
        pairs = cast("tuple[Any, ...]", self.costs)
        return Cost(pairs[column]) if isinstance(pairs[0], tuple) else self

    def value(self, tp: Floats, fp: Floats, positives: Floats, negatives: Floats) -> Floats:
        """Return the mean cost of a row; lower is better."""
        alarm, miss = np.asarray(self.costs).T
        return _over(alarm * fp + miss * (positives - tp), positives + negatives)

    def cut(self, prior: float) -> float:
        """Return the cut at which both mistakes cost the same."""
        alarm, miss = np.asarray(self.costs)
        return float(np.log(alarm) - np.log(miss))


@dataclass(frozen=True, slots=True, eq=False)
class _CostOfClasses(Objective):
    """Costs of classes, checked, as an array: they are looked up row by row."""

    costs: Floats
    kinds = ("multiclass",)
    _name = "cost"
    _class_measure = "cost"
    _stored = ("costs",)

    @property
    def choice(self) -> Mapping[str, Any]:
        return {"form": "costs"} | self.parameters

    def class_values(
        self, y_true: Classes, decided: Classes, width: int, weights: Floats | None = None
    ) -> Floats:
        """Return the mean cost of the rows of each class."""
        paid = self.costs[y_true, decided] * (1.0 if weights is None else weights)
        counts = np.bincount(y_true, weights, minlength=width)
        return _over(np.bincount(y_true, paid, minlength=width), counts)

    def class_worth(
        self,
        y_true: Classes,
        decided: Classes,
        width: int,
        weights: Floats | None = None,
    ) -> float:
        """Return the mean cost of a row, negated."""
        return -float(np.average(self.costs[y_true, decided], weights=weights))


@dataclass(frozen=True, slots=True)
class NetBenefit(Objective):
    """Net benefit of acting on each label.

    Args:
        threshold_probability: The probability at which acting breaks even, in (0, 1).

    Raises:
        UsageError: a number outside (0, 1).

    Example:
        >>> round(NetBenefit(threshold_probability=0.2).cut(0.5), 3)
        -1.386
    """

    threshold_probability: float
    is_compared = True
    _name = "net_benefit"
    _stored = ("threshold_probability",)

    def __post_init__(self) -> None:
        t = to_fraction("threshold_probability", self.threshold_probability)
        object.__setattr__(self, "threshold_probability", t)

    @property
    def _odds(self) -> float:
        return self.threshold_probability / (1 - self.threshold_probability)

    def value(self, tp: Floats, fp: Floats, positives: Floats, negatives: Floats) -> Floats:
        """Return true positives less false alarms at their odds, of a row."""
        return _over(tp - self._odds * fp, positives + negatives)

    def cut(self, prior: float) -> float:
        """Return the log-odds of the threshold probability."""
        return float(np.log(self._odds))


@dataclass(frozen=True, slots=True)
class Budget(Objective):
    """The most probable flags of a batch, so many per row on average, over all labels.

    Args:
        flags_per_row: In (0, L]: 0.05 is one in twenty rows.

    Raises:
        UsageError: a number that is not positive, or above the number of labels.

    Example:
        >>> Budget(flags_per_row=0.05).choice
        {'form': 'budget', 'flags_per_row': 0.05}
    """

    flags_per_row: float
    _name = "budget"
    _measure = "f1"

    def __post_init__(self) -> None:
        flags = to_positive("flags_per_row", self.flags_per_row)
        object.__setattr__(self, "flags_per_row", flags)

    @property
    def parameters(self) -> dict[str, Any]:
        """The budget."""
        return {"budget": self.flags_per_row}

    @property
    def choice(self) -> Mapping[str, Any]:
        """Flags are spent on a batch."""
        return {"form": "budget", "flags_per_row": self.flags_per_row}

    def bind(self, kind: Kind, width: int) -> Self:
        """Refuse more flags than labels."""
        if self.flags_per_row > width:
            do = "It is the number of flags per row, over all labels: 0.05 is one in twenty rows."
            expected = f"be at most the {width} labels of a row"
            raise UsageError(say("flags_per_row", expected, self.flags_per_row, do))
        return self


@dataclass(frozen=True, slots=True)
class TopK(Objective):
    """The most probable labels of each row.

    Args:
        k: Labels per row, 1 to L.

    Raises:
        UsageError: a number that is not whole, below 1 or above the number of labels.

    Example:
        >>> TopK(k=2).choice
        {'form': 'top_k', 'k': 2}
    """

    k: int
    _name = "top_k"
    _stored = ("k",)
    _measure = "f1"

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or int(self.k) != self.k or self.k < 1:
            raise UsageError(say("k", "be a whole number in 1..L, of L labels", self.k))
        object.__setattr__(self, "k", int(self.k))

    @property
    def choice(self) -> Mapping[str, Any]:
        """Labels of a row stand against one another."""
        return {"form": "top_k", "k": self.k}

    def bind(self, kind: Kind, width: int) -> Self:
        """Refuse more labels than there are."""
        if self.k > width:
            raise UsageError(say("k", f"be a whole number in 1..{width}", self.k))
        return self


@dataclass(frozen=True, slots=True)
class Rescale(Objective):
    """The textbook cut at the training share, with nothing tuned; by name: "rescale".

    Args:
        train_prior: Share of each label, or of each class with sum 1, in training; None takes
            those of the validation rows.

    Raises:
        ShapeError: shares of another number of labels or classes.
        DataError: no numbers.
        UsageError: shares outside (0, 1), or of classes that do not sum to 1.

    Example:
        >>> Rescale(train_prior=[0.1, 0.02]).parameters
        {'train_prior': [0.1, 0.02]}
    """

    train_prior: ArrayLike | None = None
    kinds = ("multilabel", "multiclass")
    _name = "rescale"
    _stored = ("train_prior",)
    _measure = "f1"

    def __post_init__(self) -> None:
        if self.train_prior is None:
            return
        array = to_floats("train_prior", to_array("train_prior", self.train_prior, ndim=1))
        if not ((array > 0) & (array < 1)).all():
            raise UsageError(say("train_prior", "hold shares in (0, 1)", array.tolist()))
        object.__setattr__(self, "train_prior", _as_tuples(array))

    @property
    def shares(self) -> Floats | None:
        """The training shares as an array, or None."""
        return None if self.train_prior is None else np.asarray(self.train_prior)

    def bind(self, kind: Kind, width: int) -> Self:
        """Check shares for so many labels or classes."""
        shares = self.shares
        if shares is not None and shares.shape != (width,):
            raise ShapeError(say("train_prior", f"have shape ({width},)", shares.shape))
        if shares is not None and kind == "multiclass" and abs(shares.sum() - 1) > 1e-6:
            do = "Divide the shares by their sum."
            raise UsageError(say("train_prior", "sum to 1", float(shares.sum()), do))
        return self


# By the name that a rule stores; every other "f<beta>" is an FBeta too.
RECORDS: Mapping[str, type[Objective]] = {
    "f1": FBeta,
    "cost": Cost,
    "balanced_accuracy": BalancedAccuracy,
    "mcc": Mcc,
    "precision": Precision,
    "recall": Recall,
    "net_benefit": NetBenefit,
    "prevalence": Prevalence,
    "budget": Budget,
    "top_k": TopK,
    "rescale": Rescale,
    "accuracy": Accuracy,
    "macro_f1": MacroF1,
}
DEFAULTS: Mapping[Kind, str] = {"multilabel": "f1", "multiclass": "balanced_accuracy"}


# "f11" is a slip of the hand for "f1" rather than an F-beta; FBeta(11.0) says so.
_BETA_BY_NAME = 10


def to_objective(objective: str | Objective | None, kind: Kind, width: int) -> Objective:
    """Return the record of a name, or the record, checked for so many labels or classes.

    Args:
        objective: A name, a record, or None for the default of the kind.
        kind: "multilabel" or "multiclass".
        width: Number of labels or classes.

    Raises:
        UsageError: no objective, one of the other kind, or a name without its parameters.
        ShapeError: costs or shares of another number of labels or classes.

    Example:
        >>> to_objective("f0.5", "multilabel", 3)
        FBeta(beta=0.5)
        >>> to_objective(None, "multiclass", 3).name
        'balanced_accuracy'
    """
    given = DEFAULTS[kind] if objective is None else objective
    if not isinstance(given, str | Objective):
        do = "Give a name such as 'f1', or a record such as Precision(at_least=0.9)."
        raise UsageError(say("objective", "be an objective or the name of one", repr(given), do))
    known = OBJECTIVES[kind]
    record = find_objective(given) if isinstance(given, str) else type(given)
    if record is None or kind not in record.kinds:
        also = (
            f", f2, f0.5 or another F-beta up to f{_BETA_BY_NAME}" if kind == "multilabel" else ""
        )
        expected = f"be one of {', '.join(known)}{also} for {kind}"
        name = given if isinstance(given, str) else given.name
        raise UsageError(say("objective", expected, repr(given), closest(name, known)))
    if isinstance(given, str):
        needed = [f.name for f in fields(record) if f.default is MISSING]
        if needed:
            do = f"Give {record.__name__}({', '.join(f'{name}=...' for name in needed)})."
            raise UsageError(say("objective", "come with its parameters", repr(given), do))
        given = FBeta(float(given[1:])) if record is FBeta else record()
    return given.bind(kind, width)


def find_objective(name: str) -> type[Objective] | None:
    """Return the record of a name, None where there is none.

    Example:
        >>> find_objective("f0.5").__name__, find_objective("f0"), find_objective("f11")
        ('FBeta', None, None)
    """
    if re.fullmatch(r"f\d+(?:\.\d+)?", name) and 0 < float(name[1:]) <= _BETA_BY_NAME:
        return FBeta
    return RECORDS.get(name)


def _f_beta(beta: float, tp: Floats, fp: Floats, positives: Floats) -> Floats:
    square = beta * beta
    below = (1 + square) * tp + square * (positives - tp) + fp
    return np.where(positives > 0, _over((1 + square) * tp, below), np.nan)


def _over(above: Any, below: Any) -> Floats:
    above, below = np.broadcast_arrays(np.asarray(above, dtype=np.float64), below)
    out = np.full(above.shape, np.nan)
    np.divide(above, below, out=out, where=below > 0)
    return out


def _as_tuples(array: Floats) -> tuple[Any, ...]:
    return tuple(map(tuple, array.tolist()) if array.ndim == 2 else array.tolist())


def _require_positive(costs: Floats) -> None:
    if not (np.isfinite(costs) & (costs > 0)).all():
        raise UsageError(say("costs", "be finite and > 0", costs.tolist(), _PAIRS))


def _to_matrix(costs: Floats, width: int) -> Floats:
    array = to_array("costs", costs, ndim=2)
    if array.shape != (width, width):
        raise ShapeError(say("costs", f"have shape ({width}, {width})", array.shape, _MATRIX))
    wrong = array - np.diag(array)[:, None]
    if not np.isfinite(array).all() or (wrong < 0).any():
        expected = "be finite and least where the decision is right"
        raise UsageError(say("costs", expected, array.tolist(), _MATRIX))
    return array
