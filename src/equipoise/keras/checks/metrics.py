"""Refuse Keras metrics that judge several labels as if they were one class."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import ArrayLike

from equipoise._core.messages import say
from equipoise.artifacts.labels import Labels
from equipoise.errors import UsageError
from equipoise.keras.checks._compiled import plain_name
from equipoise.keras.checks._targets import Targets, read_targets

_ARGMAX = "compares the largest output with the first label of the row, and nothing else"
_INDEX = "takes targets for class indices"
_POOLED = "pools all labels, so the frequent ones decide"
_NOT_FOR_LABELS = {
    "categoricalaccuracy": _ARGMAX,
    "topkcategoricalaccuracy": "looks for the first label of the row alone",
    "categoricalcrossentropy": "normalises the outputs of a row to one class",
    "sparsecategoricalaccuracy": _INDEX,
    "sparsetopkcategoricalaccuracy": _INDEX,
    "sparsecategoricalcrossentropy": _INDEX,
}


def misfits(metrics: Iterable[Any], targets: Targets) -> dict[str, str]:
    """Return name -> why, of the metrics that do not fit several labels per row."""
    found: dict[str, str] = {}
    if targets.kind != "labels" or targets.width == 1:
        return found
    for metric in metrics:
        name = plain_name(metric)
        shown = metric if isinstance(metric, str) else getattr(metric, "name", name)
        if name in ("accuracy", "acc"):
            found[str(shown)] = f"becomes CategoricalAccuracy here: {_ARGMAX}"
        elif name in _NOT_FOR_LABELS:
            found[str(shown)] = _NOT_FOR_LABELS[name]
        elif name in ("f1score", "fbetascore") and getattr(metric, "threshold", None) is None:
            found[str(shown)] = "takes the largest output for the answer where threshold is None"
        elif name == "auc" and not getattr(metric, "multi_label", False):
            found[str(shown)] = f"{_POOLED}: set multi_label=True"
    return found


def require_fitting_metrics(metrics: Iterable[Any], y: Labels | ArrayLike) -> None:
    """Raise if a metric judges several labels per row as if they were one class.

    Use before ``compile``. Keras runs all of these without a word: on targets with several ones in
    a row ``categorical_accuracy`` asks whether the largest output is the row's first label.

    Args:
        metrics: As for ``compile``: names or metrics of Keras.
        y: Targets of the training rows: `Labels`, class indices (N,), or (N, L).

    Raises:
        UsageError: a metric that does not fit, by name.

    Example:
        >>> require_fitting_metrics(["binary_accuracy"], [[1, 1], [0, 1]])
        >>> require_fitting_metrics(["categorical_accuracy"], [[1, 0], [0, 1]])
        >>> require_fitting_metrics(["categorical_accuracy"], [[1, 1], [0, 1]])
        Traceback (most recent call last):
        ...
        equipoise.errors.UsageError: `metrics` must fit several independent labels per row, got \
categorical_accuracy, which compares the largest output with the first label of the row, and \
nothing else. Use equipoise.keras.metrics, e.g. AveragePrecision or LabelFBeta.
    """
    targets = read_targets(y)
    for name, why in misfits(metrics, targets).items():
        do = "Use equipoise.keras.metrics, e.g. AveragePrecision or LabelFBeta."
        raise UsageError(say("metrics", f"fit {targets}", f"{name}, which {why}", do))
