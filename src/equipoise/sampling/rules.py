"""The register of row-weight rules: one name each, for studies, tables and reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

from numpy.typing import ArrayLike

from equipoise._core.arrays import Floats
from equipoise._core.messages import one_of
from equipoise.artifacts.labels import Kind, Labels
from equipoise.errors import UsageError
from equipoise.sampling.raking import rake
from equipoise.sampling.repeat import repeat_factor_weights
from equipoise.sampling.weights import (
    class_balanced_weights,
    effective_number_weights,
    instance_weights,
    inverse_labelset_weights,
    power_weights,
    progressive_weights,
    single_label_weights,
    to_labels,
)

_BOTH: tuple[Kind, ...] = ("multiclass", "multilabel")


@dataclass(frozen=True, slots=True)
class RowRule:
    """A rule that gives each row a weight.

    Args:
        name: Its name.
        kinds: The kinds of labels it is meant for.
        weights: `Labels` to (N,) weights with mean 1.
        summary: What it does, in a few words.
    """

    name: str
    kinds: tuple[Kind, ...]
    weights: Callable[[Labels], Floats]
    summary: str


_RULES = (
    RowRule("instance", _BOTH, instance_weights, "rows alike"),
    RowRule("class_balanced", ("multiclass",), class_balanced_weights, "classes alike"),
    RowRule("max", ("multilabel",), class_balanced_weights, "1/n of the row's rarest label"),
    RowRule(
        "mean",
        ("multilabel",),
        lambda labels: class_balanced_weights(labels, rule="mean"),
        "mean of 1/n over the row's labels",
    ),
    RowRule(
        "sum",
        ("multilabel",),
        lambda labels: class_balanced_weights(labels, rule="sum", empty_weight=0.0),
        "a label first, then one of its rows; rows without labels never",
    ),
    RowRule("square_root", _BOTH, power_weights, "1/sqrt(n), of the rarest label"),
    RowRule(
        "effective_number",
        _BOTH,
        effective_number_weights,
        "1/effective number, beta (N-1)/N, of the rarest label",
    ),
    RowRule(
        "progressive",
        _BOTH,
        lambda labels: progressive_weights(labels, epoch=1, num_epochs=2),
        "half way from rows alike to the rarest label alike",
    ),
    RowRule(
        "reversed",
        _BOTH,
        lambda labels: power_weights(labels, q=-1.0),
        "1/n^2, of the rarest label",
    ),
    RowRule(
        "repeat_factor_0.5",
        _BOTH,
        lambda labels: repeat_factor_weights(labels, threshold=0.5),
        "sqrt(t/f) copies, t = 0.5",
    ),
    RowRule(
        "repeat_factor_0.1",
        _BOTH,
        lambda labels: repeat_factor_weights(labels, threshold=0.1),
        "sqrt(t/f) copies, t = 0.1",
    ),
    RowRule(
        "inverse_labelset",
        ("multilabel",),
        inverse_labelset_weights,
        "every set of labels alike",
    ),
    RowRule(
        "single_label_rows",
        ("multilabel",),
        single_label_weights,
        "rows with one label repeated until labels are alike",
    ),
    RowRule(
        "raking_sqrt",
        _BOTH,
        lambda labels: rake(labels, "sqrt").weights,
        "rates sqrt(rate x largest rate), ESS at least 10 %",
    ),
    RowRule(
        "raking_equal",
        _BOTH,
        lambda labels: rake(labels, "equal").weights,
        "all rates as the largest, ESS at least 10 %",
    ),
)

ROW_RULES = MappingProxyType({rule.name: rule for rule in _RULES})
"""Name -> rule that gives each row a weight."""


def row_weights(labels: Labels | ArrayLike, rule: str) -> Floats:
    """Return the weights of a rule by its name.

    Use where a rule comes from a study or a command line. Prefer the functions in Python: they
    have settings.

    Args:
        labels: `Labels`, or class indices (N,), or multi-hot (N, L) with -1 unknown.
        rule: A name in ``ROW_RULES``.

    Returns:
        (N,) float64 with mean 1.

    Raises:
        UsageError: an unknown rule, or one for the other kind of labels.

    Example:
        >>> row_weights([[1, 1], [0, 1], [0, 1], [0, 0]], "mean").round(3).tolist()
        [1.6, 0.8, 0.8, 0.8]
    """
    given = to_labels(labels)
    found = ROW_RULES[one_of("rule", rule, tuple(ROW_RULES))]
    if given.kind not in found.kinds:
        fitting = ", ".join(f"'{r.name}'" for r in _RULES if given.kind in r.kinds)
        raise UsageError(f"`rule` '{rule}' is not for {given.kind} labels. Choose from {fitting}.")
    return found.weights(given)
