"""Two sets of scores on the same rows: paired differences, per label and macro."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_fraction, to_positive
from equipoise._core.logistic import one_vs_rest
from equipoise._core.messages import say
from equipoise._core.text import table
from equipoise.artifacts import Estimate, Labels, Scores
from equipoise.comparison._influences import log_loss, ranked, squared_errors
from equipoise.comparison.evaluate import Judge, MacroSums
from equipoise.errors import DataError
from equipoise.metrics import Influence, ratio_influence
from equipoise.metrics.ranks import rank_positives


@dataclass(frozen=True, slots=True, eq=False)
class PairedScores:
    """Differences of two models on the same rows: the first less the second.

    Args:
        per_label: name -> metric -> difference; "ap", "auroc" and, with probabilities on both
            sides, "log_loss" and "brier".
        macro: metric -> difference of the averages over labels that both sides define.
        n_evaluable: metric -> number of these labels.
        smallest_detectable: metric -> macro difference that this many rows find 8 times in 10.
        verdict: metric -> "higher", "lower", "practically equal" or "undecided".
        rope: Half the width of the region of practical equivalence.
        auroc_p: name -> two-sided p-value of equal ROC areas, after DeLong; of groups of rows after
            Obuchowski. NaN where it is not defined, or one side has a single row.
    """

    per_label: Mapping[str, Mapping[str, Estimate]]
    macro: Mapping[str, Estimate]
    n_evaluable: Mapping[str, int]
    smallest_detectable: Mapping[str, float]
    verdict: Mapping[str, str]
    rope: float
    auroc_p: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        metrics = list(self.macro)
        body = [
            [f"macro of {max(self.n_evaluable.values(), default=0)}",
             *(f"{self.macro[m]} {self.verdict[m]}" for m in metrics)],
            *([name, *(str(parts[m]) for m in metrics)] for name, parts in self.per_label.items()),
        ]  # fmt: skip
        made = table(["first less second", *metrics], body[:_MOST_LABELS])
        left = len(body) - _MOST_LABELS
        more = f"{left} more labels: .per_label\n" if left > 0 else ""
        near = f"practically equal: 90 % interval within +-{self.rope:g}"
        return f"{made}\n{more}{near}"


_MOST_LABELS = 31


def compare_scores(
    scores: Scores, other: Scores, *, confidence_level: float = 0.95, rope: float = 0.01
) -> PairedScores:
    """Compare two models on the same rows; noise that both share cancels.

    This is about these two fitted models. Prefer :func:`equipoise.compare` for methods: there,
    seeds tell how much a new training run would change.

    Args:
        scores: With labels.
        other: On the same rows in the same order; columns are matched by name.
        confidence_level: Nominal coverage.
        rope: Differences within +-rope are practically equal, >= 0.

    Raises:
        DataError: other rows, labels or columns.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> y = (rng.random(500) < 0.2).astype(int)
        >>> labels = Labels.from_array(y, kind="multilabel", names=["A"])
        >>> z = 2 * y - 2 + rng.normal(size=500)
        >>> one = Scores.from_arrays(labels, logits=z, split="test")
        >>> two = Scores.from_arrays(labels, logits=z + rng.normal(size=500), split="test")
        >>> found = compare_scores(one, two)
        >>> print(found.macro["auroc"], found.verdict["auroc"])
        0.074 [0.041, 0.106] higher
        >>> print(str(found).splitlines()[2].split("  ")[0])
        macro of 1
        >>> f"{found.auroc_p['A']:.1g}"
        '9e-06'

    References:
        DeLong, DeLong, Clarke-Pearson (Biometrics 1988), equations (4) to (6); Obuchowski
        (Biometrics 1997) for rows in groups.
        The verdict as in two one-sided tests: 90 % interval within +-rope (Schuirmann 1987).
    """
    level = to_fraction("confidence_level", confidence_level)
    to_positive("rope", rope, zero=True)
    if set(scores.names) == set(other.names):
        other = other.in_order(scores.names)
    labels = _same_rows(scores, other)
    judge, near = Judge(labels, level), Judge(labels, 0.90)
    hot = labels.one_hot()
    probabilities = scores.has_probabilities and other.has_probabilities
    sides = [_Side.of(s, probabilities) for s in (scores, other)]
    per_label: dict[str, dict[str, Estimate]] = {}
    auroc_p: dict[str, float] = {}
    macro = MacroSums()
    for column, name in enumerate(labels.names):
        y_true = hot[:, column]
        first, second = (side.influences(y_true, column, judge.weights) for side in sides)
        gaps = {metric: first[metric] - second[metric] for metric in first}
        why = "no positives" if not (y_true == 1).any() else "no negatives"
        n_pos = judge.size(y_true == 1)
        per_label[name] = {
            metric: judge.influence(gap, n_positive=n_pos, scale="identity", why=why)
            for metric, gap in gaps.items()
        }
        auroc_p[name] = _delong(y_true, gaps["auroc"], judge.groups)
        macro.add(gaps)
    estimates, verdicts, detectable = {}, {}, {}
    reach = float(norm.ppf(0.5 + level / 2) + norm.ppf(0.8))
    for metric, gap in macro.means().items():
        estimates[metric] = judge.influence(gap, scale="identity", why="no label is evaluable")
        verdicts[metric] = _verdict(estimates[metric], near.influence(gap, scale="identity"), rope)
        detectable[metric] = reach * gap.standard_error(judge.groups)
    return PairedScores(
        per_label, estimates, macro.n_evaluable, detectable, verdicts, rope, auroc_p
    )


def _delong(y_true: NDArray[np.int8], gap: Influence, groups: NDArray[np.int64] | None) -> float:
    """Return the p-value of equal areas from the rows' placements, either side by itself."""
    if np.isnan(gap.value):
        return float("nan")
    if groups is not None:
        variance = gap.standard_error(groups) ** 2
    else:
        sides = [gap.rows[y_true == truth] for truth in (1, 0)]
        if min(side.size for side in sides) < 2:
            return float("nan")
        # Influences of either side sum to 0, so their squares are what they vary by.
        variance = sum(float(np.square(s).sum()) * s.size / (s.size - 1) for s in sides)
    if variance <= 0:
        return 1.0 if gap.value == 0 else 0.0
    return float(2 * norm.sf(abs(gap.value) / np.sqrt(variance)))


def _verdict(gap: Estimate, near: Estimate, rope: float) -> str:
    if -rope <= near.low and near.high <= rope:
        return "practically equal"
    return "higher" if gap.low > 0 else "lower" if gap.high < 0 else "undecided"


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """One model: what ranks its labels and, where known, the log-odds."""

    ranking: Floats
    log_odds: Floats | None

    @classmethod
    def of(cls, scores: Scores, probabilities: bool) -> _Side:
        odds = scores.log_odds() if probabilities else None
        if scores.kind == "multilabel":
            return cls(scores.values, odds)
        odds = None if odds is None else one_vs_rest(odds)
        return cls(scores.values if odds is None else odds, odds)

    def influences(
        self, y_true: NDArray[np.int8], column: int, weight: Floats | None
    ) -> dict[str, Influence]:
        score = self.ranking[:, column]
        ranks = rank_positives(y_true, score, weight)
        ap, auroc = ranked(y_true, ranks, ranks.cells(score), weight)
        out = {"ap": ap, "auroc": auroc}
        if self.log_odds is not None:
            odds = self.log_odds[:, column]
            out["log_loss"] = log_loss(y_true, odds, weight)
            squares = squared_errors(y_true, expit(odds))
            out["brier"] = ratio_influence(squares, y_true >= 0, weight)
        return out


def _same_rows(scores: Scores, other: Scores) -> Labels:
    labels, theirs = scores.require_labels(), other.require_labels()
    do = "Bring both into the same order of rows and columns."
    if labels.kind != theirs.kind or labels.names != theirs.names:
        raise DataError(say("other", f"hold {list(labels.names)}", list(theirs.names), do))
    if not np.array_equal(labels.values, theirs.values):
        raise DataError(say("other", "hold the same labels row by row", "different ones", do))
    weights = [None if w is None else w.tolist() for w in (labels.weights, theirs.weights)]
    if weights[0] != weights[1]:
        raise DataError(say("other", "hold the same row weights", "different ones", do))
    if scores.ids is not None and other.ids is not None and (scores.ids != other.ids).any():
        raise DataError(say("other", "hold the same ids row by row", "different ones", do))
    return labels
