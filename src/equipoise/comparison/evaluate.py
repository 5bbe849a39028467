"""From a decision rule and test scores to estimates with intervals, per label and above."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from equipoise._core.arrays import Bools, Floats, Ints
from equipoise._core.checks import require_shape, require_type, to_array, to_fraction
from equipoise._core.logistic import one_vs_rest
from equipoise._core.messages import one_of, say
from equipoise.artifacts import DecisionRule, Estimate, Evaluation, Labels, Scores
from equipoise.artifacts.entries import Entries
from equipoise.artifacts.estimate import ENOUGH
from equipoise.artifacts.labels import effective_size
from equipoise.comparison._influences import (
    class_log_loss,
    f1,
    log_loss,
    nan_of,
    ranked,
    squared_errors,
)
from equipoise.comparison.overlap import check_overlap
from equipoise.errors import UsageError
from equipoise.labels.groups import frequency_groups
from equipoise.metrics import (
    Influence,
    balanced_accuracy_influence,
    boyd_interval,
    calibration_line,
    influence_interval,
    matthews_influence,
    ratio_influence,
    share_interval,
    wilson_interval,
)
from equipoise.metrics.averages import f_beta_of_counts
from equipoise.metrics.influence import (
    ByCell,
    CellInfluence,
    matthews_slopes,
    ranking_cells,
    region_cells,
    region_influences,
    undefined,
)
from equipoise.metrics.intervals import (
    Scale,
    average_precision_way,
    bootstrap_interval,
    gap_bootstrap,
    interval_of_sides,
)
from equipoise.metrics.ranks import Ranks, rank_positives

RESAMPLES = 1000


class Judge:
    """Interval rules shared by all metrics of one evaluation."""

    def __init__(self, labels: Labels, confidence_level: float, seed: int = 0) -> None:
        self.level = confidence_level
        self.seed = seed
        # Positives from which on slope and intercept are fitted.
        self.line_from = 0
        self.groups: NDArray[np.int64] | None = None
        self.weights: Floats | None = None
        if labels.weights is not None:
            # Their sum is how many rows of equal weight say as much.
            self.weights = labels.weights * (labels.weights.sum() / np.square(labels.weights).sum())
        if labels.groups is not None:
            self.groups = np.unique(labels.groups, return_inverse=True)[1].astype(np.int64)

    @property
    def is_plain(self) -> bool:
        """Whether rows are independent and count the same, so that they can be counted."""
        return self.groups is None and self.weights is None

    def ratio(self, above: ArrayLike, below: ArrayLike) -> Influence:
        """Return :func:`ratio_influence` of rows that count by their weights."""
        return ratio_influence(above, below, self.weights)

    def size(self, rows: Bools) -> int:
        """Return the number of rows; of weighted ones, how many of equal weight say as much."""
        if self.weights is None:
            return int(rows.sum())
        return int(effective_size(self.weights[rows]) + 1e-9)

    def influence(
        self,
        value: Influence,
        *,
        n_positive: int | None = None,
        scale: Scale = "logit",
        why: str = "",
    ) -> Estimate:
        """Return the interval from influence values; ``why`` says why a value is missing."""
        missing = np.isnan(value.value)
        return influence_interval(
            value,
            confidence_level=self.level,
            groups=self.groups,
            scale=scale,
            n_positive=n_positive,
            reason=why if missing and why else None,
        )

    def average_precision(self, value: Influence, ranks: Ranks, n_pos: int, why: str) -> Estimate:
        """Return Boyd's interval below 50 positives, the percentile one up to 200, then influence.

        In groups, influence values throughout: the other two know rows only. Weighted rows are not
        resampled.
        """
        n, resampled = value.n, self.weights is None
        way = average_precision_way(n_pos, resampled=resampled, grouped=self.groups is not None)
        if np.isnan(value.value) or way == "influence":
            return self.influence(value, n_positive=n_pos, why=why)
        if way == "boyd":
            return boyd_interval(value.value, max(n_pos, 1), n=n, confidence_level=self.level)
        drawn = gap_bootstrap(ranks, n_resamples=RESAMPLES, seed=self.seed)
        return bootstrap_interval(
            value.value,
            drawn.average_precision,
            n=n,
            n_positive=n_pos,
            confidence_level=self.level,
        )

    def auroc(self, value: Influence, truth: NDArray[np.int8], why: str) -> Estimate:
        """Return the half-row interval below 50 positives or negatives, else influence values."""
        sides = [(self.size(truth == side), value.rows[truth == side]) for side in (1, 0)]
        few = min(n for n, _ in sides) < ENOUGH
        if np.isnan(value.value) or not few or self.groups is not None:
            return self.influence(value, n_positive=sides[0][0], why=why)
        given = [(max(n, 1), float(np.square(rows).sum())) for n, rows in sides]
        return interval_of_sides(value.value, given, confidence_level=self.level)

    def found_share(self, value: Influence, n: int, n_positive: int, why: str) -> Estimate:
        """Return Wilson's interval of a share of n rows whose cut was found on the same rows."""
        if self.groups is not None:
            return self.influence(value, n_positive=n_positive, why=why)
        return share_interval(
            value, n, confidence_level=self.level, n_positive=n_positive, reason=why or None
        )

    def share(self, hit: Bools, base: Bools, why: str, n_positive: int) -> Estimate:
        """Return Wilson's interval of the share of ``base`` with ``hit``; in groups influence."""
        if not self.is_plain and base.any():
            share = self.ratio(hit & base, base)
            # At 0 and 1 influence values do not tell how many rows say so.
            at_edge = not 0 < share.value < 1
            n = max(self.size(base), 1) if at_edge else int(base.sum())
            return self.found_share(share, n, n_positive, "")
        return self.counted(int((hit & base).sum()), int(base.sum()), why, n_positive)

    def counted(self, hits: int, n: int, why: str, n_positive: int) -> Estimate:
        """Return Wilson's interval of ``hits`` of ``n`` rows, and ``why`` there are none."""
        if not n:
            return Estimate.missing(why, n_positive=n_positive)
        return wilson_interval(hits, n, confidence_level=self.level, n_positive=n_positive)


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
        self,
        judge: Judge,
        column: int,
        truth: NDArray[np.int8],
        flag: Bools,
        log_odds: Floats,
    ) -> dict[str, Influence]:
        """Return expected cost and net benefit of one label, as far as they are asked for."""
        yes, no, known = truth == 1, truth == 0, truth >= 0
        out = {}
        if self.costs is not None:
            alarm, miss = self.costs[column].tolist()
            out["expected_cost"] = judge.ratio(alarm * (no & flag) + miss * (yes & ~flag), known)
        if self.break_even is not None:
            t = float(self.break_even[column])
            acted, odds = log_odds >= np.log(t) - np.log1p(-t), t / (1 - t)
            worth = 1.0 * yes - odds * no
            out["net_benefit"] = judge.ratio(worth * acted, known)
            out["net_benefit_all"] = judge.ratio(worth, known)
        return out

    def to_dict(self) -> Mapping[str, Any]:
        """Return the settings, as the evaluation keeps them."""
        found = {"max_fpr": self.max_fpr, "top_fraction": self.top_fraction}
        for name in ("break_even", "costs", "matrix"):
            value = getattr(self, name)
            if value is not None:
                found[name] = value.tolist()
        return found


SCALES: dict[str, Scale] = {
    "mcc": "atanh",
    "log_loss": "log",
    "brier_skill": "identity",
    "expected_cost": "log",
    "net_benefit": "identity",
    "net_benefit_all": "identity",
}
LINE = ("calibration_slope", "calibration_intercept")
PLAIN = Worth(0.1, 0.1, None, None, None)


@dataclass(frozen=True, slots=True, eq=False)
class LabelRow:
    """One label judged.

    Args:
        estimates: metric -> Estimate.
        averaged: The metrics that enter macro averages, with their influence values.
        counts: "tp", "fp", "fn", "tn".
        reason: Why ranking metrics are missing; empty if they are not.
    """

    estimates: dict[str, Estimate]
    averaged: dict[str, Influence]
    counts: dict[str, int]
    reason: str


def label_row(
    judge: Judge,
    truth: NDArray[np.int8],
    score: Floats,
    flag: Bools,
    log_odds: Floats,
    worth: Worth = PLAIN,
    column: int = 0,
) -> LabelRow:
    """Judge one label from its truth (-1 unknown), ranking scores, flags and log-odds."""
    yes, no, known = truth == 1, truth == 0, truth >= 0
    reason = "" if yes.any() and no.any() else ("no negatives" if yes.any() else "no positives")
    ranking, by_rank = _ranking(judge, truth, score, reason, worth)
    decided, averaged = _decisions(judge, truth, flag, reason)
    probable, losses = _probabilities(judge, truth, log_odds, reason)
    values = worth.parts(judge, column, truth, flag, log_odds)
    paid = {
        m: judge.influence(part, n_positive=judge.size(yes), scale=SCALES[m], why="no known rows")
        for m, part in values.items()
    }
    hits, flagged, n_pos = int((yes & flag).sum()), int((known & flag).sum()), int(yes.sum())
    counts = {"tp": hits, "fp": flagged - hits, "fn": n_pos - hits}
    counts["tn"] = int(no.sum()) - counts["fp"]
    averaged |= by_rank | losses | values
    return LabelRow(ranking | decided | probable | paid, averaged, counts, reason)


def _ranking(
    judge: Judge, truth: NDArray[np.int8], score: Floats, reason: str, worth: Worth
) -> tuple[dict[str, Estimate], dict[str, Influence]]:
    weight = judge.weights
    ranks = rank_positives(truth, score, weight)
    cells = ranks.cells(score)
    ap, auroc = ranked(truth, ranks, cells, weight)
    top = worth.top_fraction
    region = region_influences(
        truth, ranks, cells, max_fpr=worth.max_fpr, top_fraction=top, weight=weight
    )
    n_pos = judge.size(truth == 1)
    looked = int(np.ceil(top * (n_pos + judge.size(truth == 0)) - 1e-9))
    estimates = {
        "prevalence": judge.share(truth == 1, truth >= 0, "no known rows", n_pos),
        "ap": judge.average_precision(ap, ranks, n_pos, reason),
        "auroc": judge.auroc(auroc, truth, reason),
        "partial_auroc": judge.influence(region["partial_auroc"], n_positive=n_pos, why=reason),
        "recall_at_fpr": judge.found_share(region["recall_at_fpr"], n_pos, n_pos, reason),
        "precision_at_top": judge.found_share(region["precision_at_top"], looked, n_pos, reason),
    }
    return estimates, {"ap": ap, "auroc": auroc} | region


def _decisions(
    judge: Judge, truth: NDArray[np.int8], flag: Bools, reason: str
) -> tuple[dict[str, Estimate], dict[str, Influence]]:
    yes, no, known = truth == 1, truth == 0, truth >= 0
    n_pos = judge.size(yes)
    shares = {
        "precision": (yes, flag & known, "nothing flagged"),
        "recall": (flag, yes, "no positives"),
        "specificity": (~flag, no, "no negatives"),
        "flagged": (flag, known, "no known rows"),
    }
    estimates = {m: judge.share(*parts, n_positive=n_pos) for m, parts in shares.items()}
    averaged = {
        m: judge.ratio(hit & base, base) for m, (hit, base, _) in shares.items() if m != "flagged"
    }
    both = averaged["recall"].rows + averaged["specificity"].rows
    middle = (averaged["recall"].value + averaged["specificity"].value) / 2
    other = {
        "f1": f1(truth, flag, judge.weights),
        "balanced_accuracy": Influence(middle, both / 2),
        "mcc": matthews_influence(truth, flag, judge.weights),
    }
    for metric, value in other.items():
        scale = SCALES.get(metric, "logit")
        estimates[metric] = judge.influence(value, n_positive=n_pos, scale=scale, why=reason)
    return estimates, averaged | other


def _probabilities(
    judge: Judge, truth: NDArray[np.int8], log_odds: Floats, reason: str
) -> tuple[dict[str, Estimate], dict[str, Influence]]:
    yes, no, known = truth == 1, truth == 0, truth >= 0
    prob = expit(log_odds)
    squares = squared_errors(truth, prob)
    brier = judge.ratio(squares, known)
    averaged = {
        "log_loss": log_loss(truth, log_odds, judge.weights),
        "brier": brier,
        "brier_positives": judge.ratio(squares * yes, yes),
        "brier_negatives": judge.ratio(squares * no, no),
        "brier_skill": _skill(brier, judge.ratio(yes, known), reason),
    }
    n_pos, why = judge.size(yes), reason or "no known rows"
    estimates = {
        m: judge.influence(part, n_positive=n_pos, scale=SCALES.get(m, "logit"),
                           why=why if known.any() else "no known rows")
        for m, part in averaged.items()
    }  # fmt: skip
    ratio = judge.ratio(np.where(known, prob, 0.0), yes)
    estimates["calibration_ratio"] = judge.influence(ratio, n_positive=n_pos, scale="log", why=why)
    if n_pos and n_pos < judge.line_from:
        few = f"fewer than {judge.line_from} positives, of many labels: not fitted"
        missing = Estimate.missing(few, n=int(known.sum()), n_positive=n_pos)
        return estimates | dict.fromkeys(LINE, missing), averaged
    line = calibration_line(
        truth, log_odds, confidence_level=judge.level, groups=judge.groups, weight=judge.weights
    )
    return estimates | dict(zip(LINE, (line.slope, line.intercept), strict=True)), averaged


def _skill(brier: Influence, share: Influence, reason: str) -> Influence:
    """Return 1 - Brier / (share (1 - share)) by the chain rule."""
    if reason:
        return nan_of(brier)
    noise = share.value * (1 - share.value)
    lost = brier.value / noise
    rows = brier.rows / noise - lost / noise * (1 - 2 * share.value) * share.rows
    return Influence(1 - lost, -rows)


MOST_LABELS = 3
Four = tuple[float, float, float, float]


class _Cells:
    """The rows of one rare label by truth and flag: all but a few are true negatives.

    Args:
        n: N, rows.
        yes: Positions of positives.
        unknown: Positions of unknown rows.
        flagged: Positions of flagged rows.
    """

    def __init__(self, n: int, yes: Ints, unknown: Ints, flagged: Ints) -> None:
        self.n = n
        self.at = np.unique(np.concatenate([yes, unknown, flagged]))
        # 0 true positive, 1 false alarm, 2 miss, 3 true negative, 4 unknown.
        self.cell = np.full(self.at.size, 3)
        self.cell[np.searchsorted(self.at, flagged)] = 1
        self.cell[np.searchsorted(self.at, yes)] -= 1
        self.cell[np.searchsorted(self.at, unknown)] = 4
        few = np.bincount(self.cell, minlength=5)
        tp, fp, fn = few[:3].tolist()
        self.counts = (tp, fp, fn, n - tp - fp - fn - unknown.size)

    def spread(self, value: float, each: Four) -> CellInfluence:
        """Return a metric from the influence of a row of each of the four kinds."""
        known = np.array([*each, 0.0])
        total = sum(c * v * v for c, v in zip(self.counts, each, strict=True))
        rows = known[self.cell] - each[3]
        return CellInfluence(value, rows, self.at, each[3], self.n, total)

    def ratio(self, above: Four, below: Four) -> CellInfluence:
        """Return :func:`ratio_influence` of what a row of each kind adds above and below."""
        a, b = (sum(c * v for c, v in zip(self.counts, s, strict=True)) for s in (above, below))
        if b == 0:
            return self.spread(float("nan"), (0.0, 0.0, 0.0, 0.0))
        value = a / b
        tp, fp, fn, tn = ((x - value * y) / b for x, y in zip(above, below, strict=True))
        return self.spread(value, (tp, fp, fn, tn))


@dataclass(frozen=True, slots=True, eq=False)
class _Losses:
    """Probabilities and losses of some labels, (B, N) each, unknown rows 0, and their sums."""

    prob: Floats
    loss: Floats
    square: Floats
    sums: Mapping[str, Floats]

    @classmethod
    def of(cls, odds: Floats, truth: NDArray[np.int8]) -> _Losses:
        """Make them from log-odds and truth, (B, N) each.

        Negatives first, as nearly all are; then the few others where they stand.
        """
        tail = np.exp(-np.abs(odds))
        loss = np.log1p(tail)
        loss += np.maximum(odds, 0.0)
        prob = np.where(odds >= 0, 1.0, tail)
        tail += 1.0
        prob /= tail
        square = np.square(prob, out=tail)
        yes, hidden = (np.nonzero(truth == side) for side in (1, -1))
        loss[yes] -= odds[yes]
        square[yes] = (prob[yes] - 1.0) ** 2
        for each in (prob, loss, square):
            each[hidden] = 0.0
        parts = {"prob": prob, "loss": loss, "square": square}
        sums = {name: each.sum(axis=1) for name, each in parts.items()}
        sums |= {f"{name} squared": np.einsum("bn,bn->b", v, v) for name, v in parts.items()}
        return cls(prob, loss, square, sums)


class WideLabels:
    """Judges rare labels of many rows: what :func:`label_row` does, at the cost of a few rows each.

    Truth and flags are few, a row below the lowest positive ranks as any other there, and losses
    are worked out for some labels at once. Rows in groups go to :func:`label_row`.
    """

    def __init__(self, judge: Judge, worth: Worth) -> None:
        self.judge, self.worth = judge, worth

    def block(
        self,
        columns: tuple[NDArray[np.int8], Floats, Bools, Floats],
        losses: _Losses,
        start: int,
        totals: Sequence[tuple[MacroSums, set[int] | None]],
    ) -> list[LabelRow]:
        """Judge some labels, and add them to averages.

        Args:
            columns: Truth, ranking scores, flags and log-odds, (B, N) each.
            losses: Of the same labels.
            start: The first of the labels.
            totals: Averages, with the labels they are over, or None for all.
        """
        truth, scores, flags, odds = columns
        rows = []
        for b in range(len(truth)):
            # Few rows have the label or a flag: all others are looked at as one.
            side = np.flatnonzero(truth[b])
            yes, unknown = (side[truth[b, side] == s] for s in (1, -1))
            flagged = np.flatnonzero(flags[b])
            cells = _Cells(truth.shape[1], yes, unknown, flagged)
            row = self._row(cells, yes, unknown, (scores[b], odds[b], truth[b]), losses, b, start)
            rows.append(row)
            for total, held in totals:
                if held is None or start + b in held:
                    total.add(row.averaged)
        for total, held in totals:
            kept = [held is None or start + b in held for b in range(len(truth))]
            if any(kept):
                total.add_rows(_shared(losses, rows, np.array(kept)))
        return [replace(row, averaged={}) for row in rows]

    def _row(
        self,
        cells: _Cells,
        yes: Ints,
        unknown: Ints,
        column: tuple[Floats, Floats, NDArray[np.int8]],
        losses: _Losses,
        b: int,
        start: int,
    ) -> LabelRow:
        scores, odds, truth = column
        tp, fp, fn, tn = cells.counts
        n_pos, n_neg = tp + fn, fp + tn
        reason = "" if n_pos and n_neg else ("no negatives" if n_pos else "no positives")
        ranking, by_rank = self._ranking(cells, scores, yes, unknown, (n_pos, n_neg), reason)
        decided, averaged = self._decisions(cells, reason)
        probable, lost = self._probabilities(cells, yes, unknown, losses, b, reason)
        probable |= self._line(n_pos, truth, odds, n_pos + n_neg)
        values = self._worth(cells, yes, unknown, odds, start + b)
        paid = {
            m: self.judge.influence(v, n_positive=n_pos, scale=SCALES[m], why="no known rows")
            for m, v in values.items()
        }
        averaged |= by_rank | lost | values
        counts = {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
        return LabelRow(ranking | decided | probable | paid, averaged, counts, reason)

    def _ranking(
        self,
        cells: _Cells,
        scores: Floats,
        yes: Ints,
        unknown: Ints,
        sides: tuple[int, int],
        reason: str,
    ) -> tuple[dict[str, Estimate], dict[str, Influence]]:
        judge, worth, (n_pos, n_neg) = self.judge, self.worth, sides
        nothing, ranks = undefined(0), None
        names = ("ap", "auroc", "partial_auroc", "recall_at_fpr", "precision_at_top")
        parts: dict[str, Influence] = dict.fromkeys(
            names, CellInfluence(nothing.value, nothing.rows, unknown[:0], 0.0, cells.n, 0.0)
        )
        if not reason:
            lowest = scores[yes].min()
            high = np.flatnonzero(scores >= lowest)
            if unknown.size:
                high = high[~np.isin(high, unknown)]
            upper = Ranks.from_sorted(np.sort(scores[yes]), np.sort(scores[high]))
            # Rows below the lowest positive are missed by none but the number of negatives.
            ranks = replace(upper, n_negative=n_neg)
            place = ranks.cells(scores[high])
            hit = np.searchsorted(high, yes)
            at = np.concatenate([high, unknown])
            sizes = ranks.cell_sizes

            def spread(found: ByCell) -> CellInfluence:
                value, positive, negative = found
                rows = negative[place]
                rows[hit] = positive[place[hit] // 2]
                base = float(negative[-1])
                rows = np.concatenate([rows, np.zeros(unknown.size)]) - base
                squares = sum(_side_squares(ranks, sizes, found))
                return CellInfluence(value, rows, at, base, cells.n, squares)

            ap, auroc = ranking_cells(ranks)
            region = region_cells(ranks, worth.max_fpr, worth.top_fraction)
            found = {"ap": ap, "auroc": auroc} | region
            parts = {name: spread(each) for name, each in found.items() if each is not None}
        looked = int(np.ceil(worth.top_fraction * (n_pos + n_neg) - 1e-9))
        if ranks is None:
            area = judge.influence(parts["auroc"], n_positive=n_pos, why=reason)
            precise = judge.influence(parts["ap"], n_positive=n_pos, why=reason)
        else:
            precise = judge.average_precision(parts["ap"], ranks, n_pos, reason)
            area = judge.influence(parts["auroc"], n_positive=n_pos, why=reason)
            if min(n_pos, n_neg) < ENOUGH and auroc is not None:
                squares = _side_squares(ranks, sizes, auroc)
                given = [(n_pos, squares[0]), (n_neg, squares[1])]
                area = interval_of_sides(auroc[0], given, confidence_level=judge.level)
        estimates = {
            "prevalence": judge.counted(n_pos, n_pos + n_neg, "no known rows", n_pos),
            "ap": precise,
            "auroc": area,
            "partial_auroc": judge.influence(parts["partial_auroc"], n_positive=n_pos, why=reason),
            "recall_at_fpr": judge.found_share(parts["recall_at_fpr"], n_pos, n_pos, reason),
            "precision_at_top": judge.found_share(parts["precision_at_top"], looked, n_pos, reason),
        }
        return estimates, parts

    def _decisions(
        self, cells: _Cells, reason: str
    ) -> tuple[dict[str, Estimate], dict[str, Influence]]:
        judge, (tp, fp, fn, tn) = self.judge, cells.counts
        n_pos = tp + fn
        shares = {
            "precision": (tp, tp + fp, "nothing flagged"),
            "recall": (tp, n_pos, "no positives"),
            "specificity": (tn, tn + fp, "no negatives"),
            "flagged": (tp + fp, sum(cells.counts), "no known rows"),
        }
        estimates = {m: judge.counted(*parts, n_pos) for m, parts in shares.items()}
        averaged: dict[str, Influence] = {
            "precision": cells.ratio((1, 0, 0, 0), (1, 1, 0, 0)),
            "recall": cells.ratio((1, 0, 0, 0), (1, 0, 1, 0)),
            "specificity": cells.ratio((0, 0, 0, 1), (0, 1, 0, 1)),
        }
        f1_part = cells.ratio((2, 0, 0, 0), (2, 1, 1, 0))
        middle, slopes = float("nan"), (0.0, 0.0, 0.0, 0.0)
        if not reason:
            r, s = tp / n_pos, tn / (tn + fp)
            middle = (r + s) / 2
            slopes = ((1 - r) / n_pos / 2, -s / (tn + fp) / 2, -r / n_pos / 2,
                      (1 - s) / (tn + fp) / 2)  # fmt: skip
        found = matthews_slopes(tp, fp, fn, tn)
        other: dict[str, Influence] = {
            "f1": f1_part if n_pos else replace(f1_part, value=float("nan")),
            "balanced_accuracy": cells.spread(middle, slopes),
            "mcc": cells.spread(*(found or (float("nan"), (0.0, 0.0, 0.0, 0.0)))),
        }
        for metric, value in other.items():
            scale = SCALES.get(metric, "logit")
            estimates[metric] = judge.influence(value, n_positive=n_pos, scale=scale, why=reason)
        return estimates, averaged | other

    def _probabilities(
        self, cells: _Cells, yes: Ints, unknown: Ints, losses: _Losses, b: int, reason: str
    ) -> tuple[dict[str, Estimate], dict[str, Influence]]:
        tp, fp, fn, tn = cells.counts
        n_pos, n_neg = tp + fn, fp + tn
        n, total = n_pos + n_neg, {name: float(v[b]) for name, v in losses.sums.items()}
        of_yes, prob_yes = losses.square[b, yes], losses.prob[b, yes]
        on_yes, on_yes_squared = float(of_yes.sum()), float(np.square(of_yes).sum())
        none, nan = unknown[:0], float("nan")

        def mean(sum_: float, squared: float, rows: int, out: Ints, own: Floats) -> CellInfluence:
            """A mean of ``rows`` rows; those at ``out`` are none of them, whatever they hold."""
            if not rows:
                return CellInfluence(nan, own[:0], none, 0.0, cells.n, 0.0)
            value = sum_ / rows
            left = (squared - rows * value * value) / rows**2
            return CellInfluence(value, (value - own) / rows, out, -value / rows, cells.n, left)

        zeros = np.zeros(unknown.size)
        brier = mean(total["square"], total["square squared"], n, unknown, zeros)
        averaged: dict[str, Influence] = {
            "log_loss": mean(total["loss"], total["loss squared"], n, unknown, zeros),
            "brier": brier,
            "brier_positives": CellInfluence(nan, zeros[:0], none, 0.0, cells.n, 0.0),
            "brier_negatives": mean(
                total["square"] - on_yes, total["square squared"] - on_yes_squared, n_neg,
                np.concatenate([unknown, yes]), np.concatenate([zeros, of_yes]),
            ),
            "brier_skill": CellInfluence(nan, zeros[:0], none, 0.0, cells.n, 0.0),
        }  # fmt: skip
        ratio = CellInfluence(nan, zeros[:0], none, 0.0, cells.n, 0.0)
        if n_pos:
            value = on_yes / n_pos
            own = (of_yes - value) / n_pos
            averaged["brier_positives"] = CellInfluence(
                value, own, yes, 0.0, cells.n, float(np.square(own).sum())
            )
            over = total["prob"] / n_pos
            squares = total["prob squared"] - 2 * over * float(prob_yes.sum()) + over**2 * n_pos
            ratio = replace(ratio, value=over, total=squares / n_pos**2)
        if not reason:
            # As in _skill: a row's part of the loss, and of what the share would lose, apart.
            share = n_pos / n
            noise = share * (1 - share)
            lost = brier.value / noise
            slope = lost / noise * (1 - 2 * share)
            squares = (total["square squared"] - n * brier.value**2) / noise**2
            squares -= 2 * slope / noise * (on_yes - brier.value * n_pos)
            squares += slope**2 * n * noise
            base = brier.value / (n * noise) - slope * share / n
            averaged["brier_skill"] = CellInfluence(
                1 - lost,
                np.concatenate([np.full(yes.size, slope / n), np.full(unknown.size, -base)]),
                np.concatenate([yes, unknown]),
                base,
                cells.n,
                squares / n**2,
            )
        why = reason or "no known rows"
        estimates = {
            m: self.judge.influence(part, n_positive=n_pos, scale=SCALES.get(m, "logit"),
                                    why=why if n else "no known rows")
            for m, part in averaged.items()
        }  # fmt: skip
        estimates["calibration_ratio"] = self.judge.influence(
            ratio, n_positive=n_pos, scale="log", why=why
        )
        return estimates, averaged

    def _line(
        self, n_pos: int, truth: NDArray[np.int8], odds: Floats, n: int
    ) -> dict[str, Estimate]:
        if n_pos < self.judge.line_from:
            few = f"fewer than {self.judge.line_from} positives, of many labels: not fitted"
            few = few if n_pos else "no positives"
            return dict.fromkeys(LINE, Estimate.missing(few, n=n, n_positive=n_pos))
        line = calibration_line(truth, odds, confidence_level=self.judge.level)
        return dict(zip(LINE, (line.slope, line.intercept), strict=True))

    def _worth(
        self, cells: _Cells, yes: Ints, unknown: Ints, odds: Floats, column: int
    ) -> dict[str, Influence]:
        """Return what :meth:`Worth.parts` does."""
        out: dict[str, Influence] = {}
        if self.worth.costs is not None:
            alarm, miss = self.worth.costs[column].tolist()
            out["expected_cost"] = cells.ratio((0, alarm, miss, 0), (1, 1, 1, 1))
        if self.worth.break_even is not None:
            t = float(self.worth.break_even[column])
            acted, against = np.flatnonzero(odds >= np.log(t) - np.log1p(-t)), t / (1 - t)
            by_act = _Cells(cells.n, yes, unknown, acted)
            out["net_benefit"] = by_act.ratio((1, -against, 0, 0), (1, 1, 1, 1))
            out["net_benefit_all"] = by_act.ratio((1, -against, 1, -against), (1, 1, 1, 1))
        return out


def _side_squares(ranks: Ranks, sizes: Ints, found: ByCell) -> tuple[float, float]:
    """Return the sums of squared influences of positives and of negatives, ``sizes`` per cell."""
    _, positive, negative = found
    of_yes = float(np.dot(ranks.positives, positive * positive))
    return of_yes, float(np.dot(sizes, negative * negative))


def _shared(losses: _Losses, rows: Sequence[LabelRow], kept: Bools) -> dict[str, Floats]:
    """Return what the losses of some labels add to the influence of every row, (N,) per metric."""
    counts = [np.array([row.counts[c] for row in rows]) for c in ("tp", "fp", "fn", "tn")]
    n_pos, n_neg = counts[0] + counts[2], counts[1] + counts[3]
    n = n_pos + n_neg
    noise = n_pos * n_neg / np.maximum(n, 1) ** 2
    whole = np.where(kept & (n > 0), 1 / np.maximum(n, 1), 0.0)
    no = np.where(kept & (n_neg > 0), 1 / np.maximum(n_neg, 1), 0.0)
    both = kept & (n_pos > 0) & (n_neg > 0)
    skill = np.where(both, -whole / np.where(both, noise, 1.0), 0.0)
    brier, negatives, better = np.stack([whole, no, skill]) @ losses.square
    return {
        "log_loss": whole @ losses.loss,
        "brier": brier,
        "brier_negatives": negatives,
        "brier_skill": better,
    }


class MacroSums:
    """Sums of influence values over labels, so that memory does not grow with their number."""

    def __init__(self) -> None:
        self.sums: dict[str, Floats] = {}
        self.values: dict[str, list[float]] = {}
        # What all rows of labels have whose influences are given by their few others.
        self.bases: dict[str, float] = {}

    def add(self, parts: dict[str, Influence]) -> None:
        """Add one label; metrics that it does not define are left out."""
        for metric, part in parts.items():
            seen = self.values.setdefault(metric, [])
            total = self.sums.get(metric)
            if total is None:
                total = self.sums[metric] = np.zeros(part.n)
            if np.isnan(part.value):
                continue
            seen.append(part.value)
            if isinstance(part, CellInfluence):
                total[part.at] += part.rows
                self.bases[metric] = self.bases.get(metric, 0.0) + part.base
            else:
                total += part.rows

    def add_rows(self, rows: Mapping[str, Floats]) -> None:
        """Add what influences of several labels have in common: a metric's rows, (N,), summed."""
        for metric, total in rows.items():
            self.sums[metric] += total

    @property
    def n_evaluable(self) -> dict[str, int]:
        """Metric -> labels in the average."""
        return {metric: len(seen) for metric, seen in self.values.items()}

    def means(self) -> dict[str, Influence]:
        """Return the macro averages with their influence values; NaN where no label counts."""
        out = {}
        for metric, seen in self.values.items():
            value = float(np.mean(seen)) if seen else float("nan")
            rows = self.sums[metric] + self.bases.get(metric, 0.0)
            out[metric] = Influence(value, rows / max(len(seen), 1))
        return out

    def estimates(self, judge: Judge) -> dict[str, Estimate]:
        """Return the macro averages with their intervals."""
        return {
            metric: judge.influence(
                mean, scale=SCALES.get(metric, "logit"), why="no label is evaluable"
            )
            for metric, mean in self.means().items()
        }


@dataclass(frozen=True, slots=True, eq=False)
class RowTallies:
    """What each row has and was given, (N,) each, over its known labels.

    Args:
        hit: True positives.
        flagged: Flags.
        positive: Positives.
        known: Whether any label is known.
        exact: Whether every known label is right.
    """

    hit: Ints
    flagged: Ints
    positive: Ints
    known: Bools
    exact: Bools

    @classmethod
    def of(cls, y_true: NDArray[np.int8], flags: Bools) -> RowTallies:
        """Count truth and flags, (N, L) each."""
        yes, seen = y_true == 1, y_true >= 0
        return cls(
            (yes & flags).sum(axis=1),
            (flags & seen).sum(axis=1),
            yes.sum(axis=1),
            np.any(seen, axis=1),
            np.all((yes == flags) | ~seen, axis=1),
        )

    @classmethod
    def join(cls, parts: Sequence[RowTallies]) -> RowTallies:
        """Return the tallies of all rows, given those of some at a time."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    @property
    def f1(self) -> Floats:
        """(N,) F1 of each row; NaN where there is nothing to find."""
        return f_beta_of_counts(self.hit, self.flagged, self.positive)


def micro(judge: Judge, tallies: RowTallies) -> dict[str, Estimate]:
    """Return precision, recall and F1 of all decisions together."""
    every = np.ones(tallies.hit.size, dtype=bool)
    return {
        name: judge.influence(part, why="nothing to count")
        for name, part in _micro_parts(judge, tallies, every).items()
    }


def _micro_parts(judge: Judge, tallies: RowTallies, rows: Bools) -> dict[str, Influence]:
    tp, flagged, positive = (n * rows for n in (tallies.hit, tallies.flagged, tallies.positive))
    parts = {
        "precision": judge.ratio(tp, flagged),
        "recall": judge.ratio(tp, positive),
        "f1": judge.ratio(2 * tp, flagged + positive),
    }
    if not positive.any():
        parts["f1"] = Influence(float("nan"), parts["f1"].rows)
    return parts


def samples(judge: Judge, tallies: RowTallies) -> dict[str, Estimate]:
    """Return the mean F1 of rows, and the share of rows with every known label right."""
    values, known = tallies.f1, tallies.known
    return {
        "f1": judge.influence(
            judge.ratio(np.nan_to_num(values), ~np.isnan(values)), why="no row has a label"
        ),
        "exact_match": judge.influence(
            judge.ratio(known & tallies.exact, known), why="no known rows"
        ),
    }


def by_label_count(judge: Judge, tallies: RowTallies) -> dict[str, dict[str, Estimate]]:
    """Return micro metrics, row F1 and exact matches of rows with 0, 1, 2, 3 and more labels."""
    count = np.minimum(tallies.positive, MOST_LABELS)
    known, values, exact = tallies.known, tallies.f1, tallies.exact
    out = {}
    for number in np.unique(count[known]).tolist():
        rows = known & (count == number)
        seen = rows & ~np.isnan(values)
        parts = _micro_parts(judge, tallies, rows)
        parts["samples_f1"] = judge.ratio(np.where(seen, values, 0.0), seen)
        parts["exact_match"] = judge.ratio(exact & rows, rows)
        n = int(rows.sum())
        out[f"{number}+" if number == MOST_LABELS else str(number)] = {
            name: replace(judge.influence(part, why="nothing to count"), n=n)
            for name, part in parts.items()
        }
    return out


def class_overall(
    judge: Judge,
    labels: Labels,
    decided: NDArray[np.int64],
    log_posterior: Floats,
    worth: Worth,
) -> dict[str, Estimate]:
    """Return balanced accuracy, accuracy, log loss of classes, and the cost where it is known."""
    ones = np.ones(len(labels))
    weight = judge.weights
    recalls = balanced_accuracy_influence(labels.values, decided, labels.num_classes, weight)
    lost = class_log_loss(labels.values, log_posterior, weight)
    found = {
        "balanced_accuracy": judge.influence(recalls),
        "accuracy": judge.influence(judge.ratio(decided == labels.values, ones)),
        "log_loss": judge.influence(lost, scale="log"),
    }
    if worth.matrix is not None:
        paid = judge.ratio(worth.matrix[labels.values, decided], ones)
        found["expected_cost"] = judge.influence(paid, scale="log")
    return found


_Column = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]
LARGE, MOST_THREADS = 1_000_000, 4


def evaluate(
    rule: DecisionRule,
    scores: Scores,
    *,
    confidence_level: float = 0.95,
    train_counts: ArrayLike | None = None,
    by: str | None = None,
    net_benefit_at: float | None = None,
    max_fpr: float = 0.1,
    top_fraction: float = 0.1,
    seed: int = 0,
) -> Evaluation:
    """Judge a model and its rule on rows that neither has seen.

    Args:
        rule: From :func:`equipoise.tune`.
        scores: With labels, of split "test" (or "new" with labels).
        confidence_level: Nominal coverage of the intervals.
        train_counts: (C,) training rows per class or positives per label; gives macro averages
            of the head, medium and tail group. None leaves the groups out.
        by: "label_count" judges rows with 0, 1, 2, 3 and more labels apart.
        net_benefit_at: Probability at which acting breaks even, in (0, 1): adds net_benefit, of
            flagging all rows whose calibrated probability reaches it, and net_benefit_all, of
            flagging everybody. None takes it from the rule's objective (net_benefit, or cost of
            labels: false alarm / (false alarm + miss)), and leaves it out for other rules.
        max_fpr: False positive rate, in (0, 1), up to which partial_auroc is taken and at which
            recall_at_fpr is.
        top_fraction: Share of known rows, in (0, 1), that precision_at_top looks at.
        seed: Of the bootstrap that serves average precision at 50 to 200 positives.

    Rows count by the ``weights`` of the labels, where they have any; intervals then hold for the
    rows of equal weight that say as much, and ``n_positive`` of an estimate is their number.

    Returns:
        Per label: prevalence, ap, auroc; partial_auroc (chance has 0.5), recall_at_fpr,
        precision_at_top; precision, recall, specificity, f1, balanced_accuracy,
        mcc, flagged and counts at the rule's threshold; log_loss, brier, brier_skill,
        brier_positives, brier_negatives, calibration_ratio, _slope and _intercept; expected_cost
        (mean of a row) of a rule with costs, and net_benefit. Overall: macro over evaluable labels;
        micro and samples (labels), or accuracy, balanced accuracy, log loss and expected cost
        (classes). A label without positives or without negatives is NaN with its reason. Of wide
        scores (1,000 labels and more, 2^27 entries and more) slope and intercept are left out below
        20 positives.

    Raises:
        UsageError: ``by`` for classes, which have one label per row.
        LeakageError: the rows are not test rows, or overlap with those the rule was tuned on, by
            ids or by the scores themselves.
        DataError: no labels, or scores of another kind or other columns than the rule's.
        ShapeError: ``train_counts`` is not (C,).

    Example:
        >>> from equipoise.artifacts import Labels
        >>> from equipoise.decisions import tune
        >>> def scores(seed, part):
        ...     rng = np.random.default_rng(seed)
        ...     y = (rng.random(400) < 0.3).astype(int)
        ...     labels = Labels.from_array(y, kind="multilabel", names=["A"])
        ...     logits = 2 * y - 2 + rng.normal(size=400)
        ...     return Scores.from_arrays(labels, logits=logits, split=part)
        >>> result = evaluate(tune(scores(0, "val")), scores(1, "test"))
        >>> print(result.overall["macro"]["auroc"])
        0.930 [0.901, 0.951]
        >>> result.overlap.rpartition("; ")[2]
        'contents fine'

    References:
        Intervals: see :mod:`equipoise.metrics.intervals`; thresholds are taken as fixed.
    """
    level = to_fraction("confidence_level", confidence_level)
    require_type("rule", rule, DecisionRule, "The rule comes first: evaluate(rule, scores).")
    scores = rule.align(scores)
    overlap = check_overlap(rule, scores)
    labels = scores.require_labels()
    judge, worth = Judge(labels, level, seed), Worth.of(rule, max_fpr, top_fraction, net_benefit_at)
    if by is not None:
        one_of("by", by, ("label_count",))
        _require_labels(labels)
    groups = _frequency(train_counts, len(labels.names))
    kind = _WideCase if _by_blocks(rule, scores) else _Case
    case = kind.of(rule, scores, labels)
    judge.line_from = case.line_from
    rows, macro, sums = _judge_labels(judge, worth, case, labels, groups)
    return Evaluation(
        kind=labels.kind,
        names=labels.names,
        per_label={name: row.estimates for name, row in rows.items()},
        overall={"macro": macro.estimates(judge)} | _overall(judge, worth, case, labels),
        groups={group: total.estimates(judge) for group, total in sums.items()},
        n_rows=len(scores),
        n_evaluable=macro.n_evaluable,
        not_evaluable={name: row.reason for name, row in rows.items() if row.reason},
        overlap=overlap,
        evaluated_on={
            "split": scores.split,
            "fingerprint": scores.fingerprint,
            **_worth_of(labels),
            "tuned_on": dict(rule.tuned_on),
            "objective": rule.objective,
            "settings": worth.to_dict(),
            "group_labels": {group: len(held) for group, held in groups.items()},
        },
        counts={name: row.counts for name, row in rows.items()},
        by={} if by is None else {by: by_label_count(judge, case.tallies)},
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Case:
    """Truth, decisions and scores as columns, (N, L) each; ``decided`` is (N,) for classes.

    The columns of ``together`` labels are copied and judged at a time; more would only hold more
    memory.
    """

    y_true: NDArray[np.int8]
    flags: NDArray[np.bool_]
    ranking: Floats
    odds: Floats
    decided: NDArray[Any]
    log_odds: Floats
    together: ClassVar[int] = 4
    line_from: ClassVar[int] = 0

    @classmethod
    def of(cls, rule: DecisionRule, scores: Scores, labels: Labels) -> _Case:
        log_odds = rule.log_odds(scores)
        y_true, decided = labels.one_hot(), rule.decide(log_odds)
        if labels.kind == "multilabel":
            return cls(y_true, decided == 1, scores.values, log_odds, decided, log_odds)
        # One class against the rest ranks by its log-odds within the posterior.
        flags, odds = decided[:, None] == np.arange(y_true.shape[1]), one_vs_rest(log_odds)
        return cls(y_true, flags, odds, odds, decided, log_odds)

    @property
    def tallies(self) -> RowTallies:
        """What each row has and was given."""
        return RowTallies.of(self.y_true, self.flags)

    @property
    def size(self) -> int:
        """Entries to be judged."""
        return self.y_true.size

    def columns(self, start: int) -> list[_Column]:
        """Return truth, ranking, flags and log-odds of some labels, each (N,) in one piece."""
        parts = (self.y_true, self.ranking, self.flags, self.odds)
        return list(
            zip(*(p[:, start : start + self.together].T.copy() for p in parts), strict=True)
        )


def _by_blocks(rule: DecisionRule, scores: Scores) -> bool:
    """Whether labels are judged without a copy of all; a budget is spent on all of them at once."""
    return scores.is_wide and (rule.choice is None or rule.choice["form"] == "top_k")


@dataclass(frozen=True, slots=True, eq=False)
class _WideCase:
    """As :class:`_Case`, of wide scores: rows and labels are looked at some at a time.

    ``flagged`` holds the cells that are flagged, by label, where no threshold decides.
    """

    rule: DecisionRule
    scores: Scores
    tallies: RowTallies
    flagged: Entries | None
    together: ClassVar[int] = 64
    # What calibration asks for before it fits a slope.
    line_from: ClassVar[int] = 20

    @classmethod
    def of(cls, rule: DecisionRule, scores: Scores, labels: Labels) -> _WideCase:
        tallies, flagged = [], []
        step = max(1, LARGE * 4 // labels.num_classes)
        for at in range(0, len(scores), step):
            some = scores[at : at + step]
            decided = rule.decide(rule.log_odds(some))
            tallies.append(RowTallies.of(some.require_labels().values, decided == 1))
            if rule.choice is not None:
                flagged.append(Entries.of_dense(decided))
        held = Entries.of_blocks(flagged).by_label() if flagged else None
        return cls(rule, scores, RowTallies.join(tallies), held)

    @property
    def size(self) -> int:
        """Entries to be judged."""
        return self.scores.values.size

    def columns(self, start: int) -> list[_Column]:
        """Return truth, ranking, flags and log-odds of some labels, each (N,) in one piece."""
        return list(zip(*self.block(start), strict=True))

    def look(self, start: int) -> tuple[tuple[NDArray[np.int8], Floats, Bools, Floats], _Losses]:
        """Return what :meth:`block` does, and the losses."""
        columns = self.block(start)
        return columns, _Losses.of(columns[3], columns[0])

    def block(self, start: int) -> tuple[NDArray[np.int8], Floats, Bools, Floats]:
        """Return truth, ranking, flags and log-odds of some labels, (B, N) each."""
        stop = min(start + self.together, len(self.scores.names))
        some = self.scores.narrow(start, stop)
        odds = self.rule.log_odds_of(some, start, stop)
        if self.flagged is not None:
            flags = self.flagged.dense(start, stop) == 1
        else:
            cuts = np.asarray(self.rule.thresholds)
            flags = cuts[start:stop, None] <= odds.T
        truth, ranking, odds = some.require_labels().values.T, some.values.T, odds.T
        return truth.copy(), ranking.copy(), np.ascontiguousarray(flags), odds.copy()


def _overall(
    judge: Judge, worth: Worth, case: _Case | _WideCase, labels: Labels
) -> dict[str, dict[str, Estimate]]:
    """Return what is no mean over labels."""
    if isinstance(case, _Case) and labels.kind == "multiclass":
        return {"overall": class_overall(judge, labels, case.decided, case.log_odds, worth)}
    tallies = case.tallies
    return {"micro": micro(judge, tallies), "samples": samples(judge, tallies)}


def _judge_labels(
    judge: Judge, worth: Worth, case: _Case | _WideCase, labels: Labels, groups: dict[str, set[int]]
) -> tuple[dict[str, LabelRow], MacroSums, dict[str, MacroSums]]:
    """Judge label by label, a few at a time: in threads where there is much to do."""
    rows: dict[str, LabelRow] = {}
    macro, sums = MacroSums(), {group: MacroSums() for group in groups}
    # A class without rows is nobody's to find: its specificity of 1 would lift every macro average.
    classes = labels.kind == "multiclass"
    absent = set(np.flatnonzero(labels.counts == 0).tolist()) if classes else set()
    if isinstance(case, _WideCase) and judge.is_plain:
        wide, totals = WideLabels(judge, worth), [(sums[g], held) for g, held in groups.items()]
        # The next labels are taken out while these are judged; more would only hold more memory.
        with ThreadPoolExecutor(1) as pool:
            ahead = pool.submit(case.look, 0)
            for start in range(0, len(labels.names), case.together):
                columns, losses = ahead.result()
                stop = start + case.together
                if stop < len(labels.names):
                    ahead = pool.submit(case.look, stop)
                some = wide.block(columns, losses, start, [(macro, None), *totals])
                rows |= dict(zip(labels.names[start:stop], some, strict=True))
        return rows, macro, sums
    threads = min(os.cpu_count() or 1, MOST_THREADS) if case.size >= LARGE else 1
    with ThreadPoolExecutor(threads) as pool:
        each = pool.map if threads > 1 else map
        for start in range(0, len(labels.names), case.together):

            def one(column: _Column, place: int) -> LabelRow:
                return label_row(judge, *column, worth, place)

            made = each(one, case.columns(start), range(start, start + case.together))
            for i, row in enumerate(made, start):
                if i in absent:
                    rows[labels.names[i]] = replace(row, averaged={})
                    continue
                for total in (macro, *(sums[g] for g, held in groups.items() if i in held)):
                    total.add(row.averaged)
                # Influence values are summed; to keep those of every label would take N x L each.
                rows[labels.names[i]] = replace(row, averaged={})
    return rows, macro, sums


def _worth_of(labels: Labels) -> dict[str, float]:
    """Return how many rows of equal weight weighted ones say as much as."""
    return {} if labels.weights is None else {"effective_rows": effective_size(labels.weights)}


def _require_labels(labels: Labels) -> None:
    if labels.kind == "multiclass":
        do = "Classes have one label per row: leave it out."
        raise UsageError(say("by", "go with several labels per row", "classes", do))


def _frequency(counts: ArrayLike | None, width: int) -> dict[str, set[int]]:
    """Return group -> positions of its labels, groups without labels left out."""
    if counts is None:
        return {}
    array = to_array("train_counts", counts, ndim=1)
    require_shape("train_counts", array, (width,), "Give one count per class or label.")
    members = frequency_groups(array)
    return {group: set(c.tolist()) for group, c in members.items() if len(c)}
