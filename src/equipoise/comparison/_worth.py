"""What is asked of an evaluation beside the rule: the region of interest, costs, net benefit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Bools, Floats
from equipoise._core.checks import to_fraction
from equipoise.artifacts import DecisionRule
from equipoise.metrics import Influence, ratio_influence


@dataclass(frozen=True, slots=True, eq=False)
class Worth:
    """What a label is judged by beside rank, rule and probability.

    Args:
        max_fpr: False positive rate of the partial area and of the recall.
        top_fraction: Share of rows that are looked at for precision at the top.
        break_even: (L,) probability at which acting breaks even, or None: no net benefit.
        costs: (L, 2) of a false alarm and of a miss, or None: no cost per label.
        matrix: (C, C) cost of classes, truth in rows, or None.
    """

    max_fpr: float
    top_fraction: float
    break_even: Floats | None
    costs: Floats | None
    matrix: Floats | None

    @classmethod
    def of(
        cls, rule: DecisionRule, max_fpr: float, top_fraction: float, net_benefit_at: float | None
    ) -> Worth:
        """Take costs from the rule, and the break-even too where it is not given."""
        to_fraction("max_fpr", max_fpr)
        to_fraction("top_fraction", top_fraction)
        width, costs, matrix, at = len(rule.names), None, None, net_benefit_at
        stored = rule.parameters.get("costs")
        if stored is not None and rule.kind == "multiclass":
            matrix = np.asarray(stored, dtype=np.float64)
        elif stored is not None:
            costs = np.broadcast_to(np.asarray(stored, dtype=np.float64), (width, 2))
        if at is not None:
            to_fraction("net_benefit_at", at)
        else:
            at = rule.parameters.get("threshold_probability")
        limits = None if at is None else np.full(width, float(at))
        if limits is None and costs is not None:
            limits = costs[:, 0] / costs.sum(axis=1)
        return cls(max_fpr, top_fraction, limits, costs, matrix)

    def parts(
        self, column: int, truth: NDArray[np.int8], flag: Bools, log_odds: Floats
    ) -> dict[str, Influence]:
        """Return expected cost and net benefit of one label, as far as they are asked for."""
        yes, no, known = truth == 1, truth == 0, truth >= 0
        out = {}
        if self.costs is not None:
            alarm, miss = self.costs[column].tolist()
            out["expected_cost"] = ratio_influence(
                alarm * (no & flag) + miss * (yes & ~flag), known
            )
        if self.break_even is not None:
            t = float(self.break_even[column])
            acted, odds = log_odds >= np.log(t) - np.log1p(-t), t / (1 - t)
            worth = 1.0 * yes - odds * no
            out["net_benefit"] = ratio_influence(worth * acted, known)
            out["net_benefit_all"] = ratio_influence(worth, known)
        return out

    def to_dict(self) -> Mapping[str, Any]:
        """Return the settings, as the evaluation keeps them."""
        found = {"max_fpr": self.max_fpr, "top_fraction": self.top_fraction}
        for name in ("break_even", "costs", "matrix"):
            value = getattr(self, name)
            if value is not None:
                found[name] = value.tolist()
        return found
