"""What an output of 0.5 stands for under each method's loss, worked out on two examples."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np

from equipoise.artifacts import Labels
from equipoise.errors import NotRecoverableError
from equipoise.methods import Method, methods_for

_BY_LOSS = ("baseline", "loss")
EXAMPLES = {
    "multilabel": "labels with 10 and 40 % positives",
    "multiclass": "classes of 70, 25 and 5 %",
}


class OperatingPoint(NamedTuple):
    """One row: the true probability at output 0.5 (labels) or at equal outputs (classes)."""

    method: str
    labels: str
    settings: str
    at_half: tuple[float, ...]
    valid_range: tuple[float, float] | None

    @property
    def points(self) -> str:
        """The probabilities as text; "-" where outputs carry none."""
        return " / ".join(f"{v:.3g}" for v in self.at_half) or "-"

    @property
    def reach(self) -> str:
        """The true probabilities between which the inverse holds, as text."""
        return "-" if self.valid_range is None else "{:.3g} to {:.3g}".format(*self.valid_range)


def _example(kind: str) -> Labels:
    if kind == "multilabel":
        hot = np.repeat([[1, 1], [0, 1], [0, 0]], [1000, 3000, 6000], axis=0)
        return Labels.from_array(hot, kind="multilabel")
    return Labels.from_array(np.repeat([0, 1, 2], [7000, 2500, 500]), kind="multiclass")


def operating_points(kind: str | None = None) -> list[OperatingPoint]:
    """Return one row per method that treats by its loss alone, for the example of its kind.

    Methods that draw or mix rows, treat late or in a second stage are left out: what an output
    says under them is not decided by one loss.

    Raises:
        MissingExtraError: torch is not installed.

    Example:
        >>> {p.method: p.at_half for p in operating_points("multilabel")}["pos_weight"]
        (0.1, 0.4)
    """
    return [
        _row(method, _example(each))
        for each in (EXAMPLES if kind is None else (kind,))
        for method in methods_for(each)
        if method.family in _BY_LOSS
    ]


def _row(method: Method, labels: Labels) -> OperatingPoint:
    settings = ", ".join(f"{k}={v}" for k, v in method.settings.items()) or "-"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        treated = method.build(labels)
    from equipoise.losses import Loss  # after the builder, which says it if torch is missing

    if not isinstance(treated.loss, Loss):
        return OperatingPoint(method.name, labels.kind, settings, (), None)
    try:
        point = treated.loss.operating_point(labels.num_classes)
    except NotRecoverableError:
        return OperatingPoint(method.name, labels.kind, settings, (), None)
    at_half = tuple(round(float(p), 3) for p in point)
    reach = treated.correction.valid_range
    return OperatingPoint(method.name, labels.kind, settings, at_half, reach)
