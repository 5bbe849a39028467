"""Objectives by name, with the parameters that each takes, checked before anything is fitted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_array, to_floats, to_fraction, to_positive
from equipoise._core.words import closest, say
from equipoise.artifacts.labels import Kind
from equipoise.decisions.measures import Measure
from equipoise.errors import ShapeError, UsageError

# Objective -> the parameter that it cannot do without.
LABEL_OBJECTIVES: Mapping[str, str | None] = {
    "f1": None,
    "cost": "costs",
    "balanced_accuracy": None,
    "mcc": None,
    "precision": "at_least",
    "recall": "at_least",
    "net_benefit": "threshold_probability",
    "prevalence": None,
    "budget": "budget",
    "top_k": "k",
    "rescale": None,
}
# What is fitted to the rows themselves and so needs positives among them. The others follow a
# formula or a stated policy.
FITTED = ("f_beta", "balanced_accuracy", "mcc", "precision", "recall", "prevalence")
# Where more is better, so that two rules can be compared by it.
COMPARED = ("f_beta", "balanced_accuracy", "mcc", "cost", "net_benefit")
CLASS_OBJECTIVES: Mapping[str, str | None] = {
    "balanced_accuracy": None,
    "accuracy": None,
    "macro_f1": None,
    "cost": "costs",
    "rescale": None,
}


@dataclass(frozen=True, slots=True, eq=False)
class Goal:
    """One objective with its checked parameters.

    Args:
        name: As given, for example "f2" or "cost".
        measure: What a cut is judged by, and searched for where it is searched.
        shown: What ``claimed`` holds: "f1", "cost", ...
        parameters: As stored in the rule, JSON types alone.
        confidence_level: Of the precision that is certified.
        train_prior: (C,) training shares for "rescale", or None.
        costs: (C, C) for classes.
        choice: For the rule, where no threshold decides.
    """

    name: str
    measure: Measure
    shown: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    confidence_level: float = 0.95
    train_prior: Floats | None = None
    costs: Floats | None = None
    choice: Mapping[str, Any] | None = None

    @property
    def is_fitted(self) -> bool:
        """Whether cuts are fitted to a metric on the rows, so that they need positives there."""
        policy = self.choice is not None or self.name == "rescale"
        return not policy and self.measure.name in FITTED

    @property
    def is_compared(self) -> bool:
        """Whether the rule can be told better or worse than another by what it is for."""
        policy = self.choice is not None or self.name == "rescale"
        return not policy and self.measure.name in COMPARED


def parse_f_beta(objective: str) -> float | None:
    """Return beta of "f1", "f2", "f0.5", None for what is no F-beta.

    Example:
        >>> parse_f_beta("f0.5"), parse_f_beta("cost")
        (0.5, None)
    """
    match = re.fullmatch(r"f(\d+(?:\.\d+)?)", objective)
    beta = float(match.group(1)) if match else 0.0
    return beta or None


def parse_goal(
    objective: str,
    kind: Kind,
    width: int,
    *,
    costs: ArrayLike | None = None,
    at_least: float | None = None,
    threshold_probability: float | None = None,
    budget: float | None = None,
    k: int | None = None,
    train_prior: ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> Goal:
    """Check an objective and its parameters; see :func:`equipoise.tune` for what they mean.

    Raises:
        UsageError: an objective of the other kind, a parameter that is missing, out of range or
            of another objective.
        ShapeError: costs or shares that do not fit the number of classes or labels.

    Example:
        >>> parse_goal("recall", "multilabel", 3, at_least=0.9).measure.at_least
        0.9
    """
    beta = parse_f_beta(objective) if kind == "multilabel" else None
    known = LABEL_OBJECTIVES if kind == "multilabel" else CLASS_OBJECTIVES
    if beta is None and objective not in known:
        also = ", f2, f0.5 or another F-beta" if kind == "multilabel" else ""
        expected = f"be one of {', '.join(known)}{also} for {kind}"
        raise UsageError(say("objective", expected, repr(objective), closest(objective, known)))
    given = {
        "costs": costs,
        "at_least": at_least,
        "threshold_probability": threshold_probability,
        "budget": budget,
        "k": k,
        "train_prior": train_prior,
    }
    _check_given(objective, given, None if beta else known[objective])
    level = to_fraction("confidence_level", confidence_level)
    if kind == "multiclass":
        return _class_goal(objective, width, costs, train_prior)
    name, shown = _judged_by(objective)
    fields, stored = _measure_fields(given, width)
    if objective == "precision":
        stored["confidence_level"] = level
    choice: dict[str, Any] | None = None
    if budget is not None:
        stored["budget"] = _budget(budget, width)
        choice = {"form": "budget", "flags_per_row": stored["budget"]}
    if k is not None:
        stored["k"] = _k(k, width)
        choice = {"form": "top_k", "k": stored["k"]}
    shares = None if train_prior is None else _shares(train_prior, width, kind)
    if shares is not None:
        stored["train_prior"] = shares.tolist()
    measure = Measure(name, beta=beta or 1.0, **fields)
    return Goal(objective, measure, shown, stored, level, shares, None, choice)


def _judged_by(objective: str) -> tuple[str, str]:
    """Return the measure that is searched and the one that is shown."""
    if parse_f_beta(objective) is not None:
        return "f_beta", objective
    if objective in ("budget", "top_k", "rescale"):
        return "f_beta", "f1"
    return objective, "f1" if objective == "prevalence" else objective


def _class_goal(
    objective: str, width: int, costs: ArrayLike | None, train_prior: ArrayLike | None
) -> Goal:
    shown = {"macro_f1": "f1", "cost": "cost"}.get(objective, "recall")
    stored: dict[str, Any] = {}
    shares = None if train_prior is None else _shares(train_prior, width, "multiclass")
    if shares is not None:
        stored["train_prior"] = shares.tolist()
    matrix = None if costs is None else _matrix(costs, width)
    if matrix is not None:
        stored["costs"] = matrix.tolist()
    choice = None if matrix is None else {"form": "costs"} | stored
    return Goal(
        objective, Measure("f_beta"), shown, stored, train_prior=shares, costs=matrix, choice=choice
    )


def _measure_fields(given: Mapping[str, Any], width: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the numbers of the measure, and the same as the rule stores them."""
    fields: dict[str, Any] = {}
    stored: dict[str, Any] = {}
    if given["costs"] is not None:
        fields["cost_fp"], fields["cost_fn"] = pair = _pairs(given["costs"], width)
        stored["costs"] = np.stack(pair, axis=-1).tolist()
    if given["at_least"] is not None:
        fields["at_least"] = stored["at_least"] = to_fraction("at_least", given["at_least"])
    if given["threshold_probability"] is not None:
        t = to_fraction("threshold_probability", given["threshold_probability"])
        fields["cost_fp"], stored["threshold_probability"] = t / (1 - t), t
    return fields, stored


def _check_given(objective: str, given: Mapping[str, Any], needed: str | None) -> None:
    if needed is not None and given[needed] is None:
        raise UsageError(say(needed, f"be given for the objective '{objective}'", None))
    takes = {needed} | ({"train_prior"} if objective == "rescale" else set())
    for name, value in given.items():
        if value is not None and name not in takes:
            do = "Leave it out, or choose the objective that takes it."
            expected = f"be left out for the objective '{objective}'"
            raise UsageError(say(name, expected, value, do))


def _pairs(costs: ArrayLike, width: int) -> tuple[float | Floats, float | Floats]:
    """Return what a false alarm and a miss cost: two numbers, or two of (L,)."""
    do = "Give (false alarm, miss), or one such pair per label."
    array = to_floats("costs", to_array("costs", costs, ndim=(1, 2)))
    if array.shape not in ((2,), (width, 2)):
        raise ShapeError(say("costs", f"have shape (2,) or ({width}, 2)", array.shape, do))
    if not (np.isfinite(array) & (array > 0)).all():
        raise UsageError(say("costs", "be finite and > 0", array.tolist(), do))
    if array.ndim == 1:
        return float(array[0]), float(array[1])
    return array[:, 0], array[:, 1]


def _matrix(costs: ArrayLike, width: int) -> Floats:
    do = "Row y, column k: what it costs to decide k where y is true."
    array = to_floats("costs", to_array("costs", costs, ndim=2))
    if array.shape != (width, width):
        raise ShapeError(say("costs", f"have shape ({width}, {width})", array.shape, do))
    wrong = array - np.diag(array)[:, None]
    if not np.isfinite(array).all() or (wrong < 0).any():
        expected = "be finite and least where the decision is right"
        raise UsageError(say("costs", expected, array.tolist(), do))
    return array


def _budget(budget: float, width: int) -> float:
    do = "It is the number of flags per row, over all labels: 0.05 is one in twenty rows."
    value = to_positive("budget", budget)
    if value > width:
        raise UsageError(say("budget", f"be at most the {width} labels of a row", value, do))
    return value


def _k(k: int, width: int) -> int:
    if isinstance(k, bool) or int(k) != k or not 1 <= k <= width:
        raise UsageError(say("k", f"be a whole number in 1..{width}", k))
    return int(k)


def _shares(train_prior: ArrayLike, width: int, kind: Kind) -> Floats:
    array = to_floats("train_prior", to_array("train_prior", train_prior, ndim=1))
    if array.shape != (width,):
        raise ShapeError(say("train_prior", f"have shape ({width},)", array.shape))
    if not ((array > 0) & (array < 1)).all():
        raise UsageError(say("train_prior", "hold shares in (0, 1)", array.tolist()))
    if kind == "multiclass" and abs(array.sum() - 1) > 1e-6:
        do = "Divide the shares by their sum."
        raise UsageError(say("train_prior", "sum to 1", float(array.sum()), do))
    return array
