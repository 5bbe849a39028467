"""The catalogue: every method, what it needs, where it comes from and who builds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from equipoise._core.words import closest, say
from equipoise.errors import UsageError
from equipoise.experiments._loss_methods import LOSS_METHODS
from equipoise.experiments._method import CLASSES, LABELS, Method, entry
from equipoise.experiments._mixing_methods import MIXING_METHODS
from equipoise.experiments._sampling_methods import SAMPLING_METHODS
from equipoise.experiments._stage_methods import STAGE_METHODS

if TYPE_CHECKING:
    from equipoise.artifacts import Labels
    from equipoise.training.remedy import Remedy

__all__ = ["METHODS", "THRESHOLDS", "Method", "get_method", "methods_for", "remedy"]

THRESHOLDS = "none + thresholds"

METHODS: Mapping[str, Method] = {
    m.name: m
    for m in (
        entry(
            "none",
            "baseline",
            {LABELS: "plain_bce", CLASSES: "plain_cross_entropy"},
            "The untreated model: cross-entropy, every row once per epoch.",
            "-",
        ),
        *LOSS_METHODS,
        *SAMPLING_METHODS,
        *MIXING_METHODS,
        *STAGE_METHODS,
    )
}


def get_method(name: str) -> Method:
    """Return a method by name; an unknown name is answered with the closest one.

    "a+b" joins methods; see :func:`equipoise.experiments.composition.compose`.
    """
    if name not in METHODS and "+" in name:
        from equipoise.experiments.composition import compose

        return compose([get_method(part.strip()) for part in name.split("+")])
    if name not in METHODS:
        raise UsageError(say("method", "be in the catalogue", repr(name), closest(name, METHODS)))
    return METHODS[name]


def methods_for(kind: str) -> list[Method]:
    """Return the methods for "multiclass" or "multilabel" labels."""
    return [m for m in METHODS.values() if kind in m.builders]


def remedy(name: str, labels: Labels, **settings: Any) -> Remedy:
    """Return a remedy of the catalogue, made for these training labels.

    Args:
        name: A method of ``equipoise methods``.
        labels: Of the training rows, in the order in which they will be trained on.
        **settings: The method's own parameters; an unknown one is an error.

    Raises:
        UsageError: unknown method or setting, or a method for the other kind of labels.
    """
    return get_method(name).build(labels, **settings)
