"""Labels: counting, describing and weighting them; NumPy only, loaded on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipoise.labels.concurrence import Concurrence, gini, scumble
    from equipoise.labels.counts import Counts, counts_from
    from equipoise.labels.groups import frequency_groups
    from equipoise.labels.pairs import cooccurrence, lift
    from equipoise.labels.statistics import Statistics, label_statistics
    from equipoise.labels.weights import class_weights, pos_weights, priors

__all__ = [
    "Concurrence",
    "Counts",
    "Statistics",
    "class_weights",
    "cooccurrence",
    "counts_from",
    "frequency_groups",
    "gini",
    "label_statistics",
    "lift",
    "pos_weights",
    "priors",
    "scumble",
]

_HOME = {
    "Concurrence": "concurrence",
    "Counts": "counts",
    "Statistics": "statistics",
    "class_weights": "weights",
    "cooccurrence": "pairs",
    "counts_from": "counts",
    "frequency_groups": "groups",
    "gini": "concurrence",
    "label_statistics": "statistics",
    "lift": "pairs",
    "pos_weights": "weights",
    "priors": "weights",
    "scumble": "concurrence",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
