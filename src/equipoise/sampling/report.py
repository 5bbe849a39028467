"""The sampling report: what drawing rows by weights does to labels, rows and probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_array
from equipoise._core.language import said
from equipoise._core.messages import say
from equipoise._core.text import padded, width
from equipoise.artifacts.labels import UNKNOWN, Labels
from equipoise.errors import DataError, UsageError
from equipoise.sampling.effect import (
    effective_sample_size,
    implied_pos_weight,
    weighted_rates,
)
from equipoise.sampling.weights import _check_weights, to_labels

_CHUNK = 16_384


@dataclass(frozen=True, slots=True)
class PairShift:
    """What happened to labels that come together.

    Args:
        pair: Names of the two labels whose lift changed most.
        share_before: Rows with both labels, as a share.
        share_after: The same among drawn rows.
        lift_before: How much more often they come together than by chance.
        lift_after: The same among drawn rows.
        mean_lift_change: Mean factor by which the lift of a pair changed, up or down; 1 is none.
        pairs: Pairs that occur.
        lost: Pairs that occur and are never drawn; left out of the mean.
    """

    pair: tuple[str, str]
    share_before: float
    share_after: float
    lift_before: float
    lift_after: float
    mean_lift_change: float
    pairs: int
    lost: int


def _gram(left: NDArray[np.bool_], right: NDArray[np.bool_], weights: Floats) -> Floats:
    total = np.zeros((left.shape[1], right.shape[1]))
    for start in range(0, left.shape[0], _CHUNK):
        rows = slice(start, start + _CHUNK)
        total += (left[rows].T * weights[rows]) @ right[rows].astype(np.float64)
    return total


def _both_and_lift(values: NDArray[np.int8], weights: Floats) -> tuple[Floats, Floats]:
    """Return the mass of rows with both labels, and the lift among rows where both are known."""
    positive, known = values == 1, values != UNKNOWN
    both = _gram(positive, positive, weights)
    if known.all():
        alone = np.repeat(both.diagonal()[:, None], both.shape[0], axis=1)
        rows = np.full_like(both, weights.sum())
    else:
        alone, rows = _gram(positive, known, weights), _gram(known, known, weights)
    expected = alone * alone.T
    lift = np.full(both.shape, np.nan)
    np.divide(both * rows, expected, out=lift, where=expected > 0)
    return both, lift


def shift_of_pairs(
    values: NDArray[np.int8], weights: Floats, names: tuple[str, ...]
) -> PairShift | None:
    """Compare pairs of labels before and after; None where no two labels come together."""
    before, lift_before = _both_and_lift(values, np.ones(values.shape[0]))
    after, lift_after = _both_and_lift(values, weights)
    first, second = np.nonzero(np.triu(before, 1))
    if first.size == 0:
        return None
    drawn = after[first, second] > 0
    change = np.full(first.size, np.inf)
    old, new = lift_before[first, second][drawn], lift_after[first, second][drawn]
    change[drawn] = np.abs(np.log(new / old))
    # Pairs that changed alike are told apart by how frequent they are.
    worst = int(np.lexsort((before[first, second], change.round(12)))[-1])
    one, two = int(first[worst]), int(second[worst])
    return PairShift(
        pair=(names[one], names[two]),
        share_before=float(before[one, two]) / values.shape[0],
        share_after=float(after[one, two] / weights.sum()),
        lift_before=float(lift_before[one, two]),
        lift_after=float(np.nan_to_num(lift_after[one, two])),
        mean_lift_change=float(np.exp(change[drawn].mean())) if drawn.any() else float("nan"),
        pairs=int(first.size),
        lost=int((~drawn).sum()),
    )


SIZES = ("0", "1", "2", "3", "4+")
Vector = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SamplingReport:
    """What drawing rows by weights does, expected or (with ``realised``) counted.

    Args:
        names: One name per class or label.
        rows: N, the rows to draw from.
        num_samples: Draws per epoch, with replacement.
        rates_before: Rate of each label among known rows.
        rates_after: The same among drawn rows; NaN where none is known.
        sizes_before: Share of rows with 0, 1, 2, 3 and 4 or more labels.
        sizes_after: The same among drawn rows.
        pairs: Shift of labels that come together; None where none do.
        effective_rows: Effective sample size of the weights.
        coverage: Share of distinct rows drawn in one epoch.
        most_drawn_row: The row that comes most often.
        most_draws: How often it comes in one epoch.
        pos_weight: Weight on positives that the draws amount to, per label; NaN where undefined.
        realised: Whether this counts draws; else it states expectations.

    Example:
        >>> report = sampling_report([3.0, 1.0, 1.0, 1.0], [[1, 1], [0, 1], [0, 1], [0, 0]])
        >>> [round(rate, 3) for rate in report.rates_after]
        [0.5, 0.833]
    """

    names: tuple[str, ...]
    rows: int
    num_samples: int
    rates_before: Vector
    rates_after: Vector
    sizes_before: Vector
    sizes_after: Vector
    pairs: PairShift | None
    effective_rows: float
    coverage: float
    most_drawn_row: int
    most_draws: float
    pos_weight: Vector
    realised: bool = False

    @classmethod
    def from_draws(cls, rows: ArrayLike, labels: Labels | ArrayLike) -> SamplingReport:
        """Count what a sampler has drawn.

        Args:
            rows: Row indices as they were drawn, repeats included.
            labels: The labels of all rows that could be drawn.

        Returns:
            A report with ``realised``. Its effective rows are below those of the weights: even
            uniform draws with replacement repeat rows, and N of them are worth about N / 2.

        Raises:
            DataError: no draws, or indices outside 0 to N - 1.

        Example:
            >>> SamplingReport.from_draws([0, 0, 1, 3], [0, 0, 1, 1]).coverage
            0.75
        """
        given = to_labels(labels)
        drawn = to_array("rows", rows, ndim=1)
        inside = drawn.size > 0 and drawn.dtype.kind in "iu"
        if not inside or drawn.min() < 0 or drawn.max() >= len(given):
            got = f"{drawn.min()} to {drawn.max()}" if drawn.size else "none"
            raise DataError(say("rows", f"be row indices 0 to {len(given) - 1}", got))
        counts = np.bincount(drawn.astype(np.int64), minlength=len(given)).astype(np.float64)
        return _describe(counts, given, drawn.size, realised=True)

    @property
    def ess_share(self) -> float:
        """Effective rows over N."""
        return self.effective_rows / self.rows

    @property
    def max_weight(self) -> float:
        """Weight of the most-drawn row; an average row has 1."""
        return self.most_draws * self.rows / self.num_samples

    @property
    def rate_ratio(self) -> float:
        """Largest over smallest rate after drawing, among labels that are drawn at all."""
        drawn = [rate for rate in self.rates_after if rate > 0]
        return max(drawn) / min(drawn) if drawn else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers, ready for JSON; NaN is None."""
        body = {**asdict(self), "ess_share": self.ess_share, "max_weight": self.max_weight}
        body["rate_ratio"] = self.rate_ratio
        return {key: _plain(value) for key, value in body.items()}

    def text(self) -> str:
        """Return the report as aligned plain text."""
        verb = "drawn" if self.realised else "expected"
        lines = [said(f"{self.num_samples:,} draws per epoch from {self.rows:,} rows ({verb})"), ""]
        columns = (self.names, self.rates_before, self.rates_after, self.pos_weight)
        body = [
            (name, _number(before), _number(after), _number(weight))
            for name, before, after, weight in zip(*columns, strict=True)
        ]
        words = ("label", "before", "after", "as pos_weight")
        lines += _aligned([tuple(map(said, words)), *body])
        sizes = ((said("before"), self.sizes_before), (said("after"), self.sizes_after))
        shares = [(when, *(f"{share:.1%}" for share in part)) for when, part in sizes]
        lines += ["", *_aligned([(said("labels per row"), *SIZES), *shares]), ""]
        facts = [
            f"effective rows   {self.effective_rows:,.0f} ({self.ess_share:.1%} of all)",
            f"coverage         {self.coverage:.1%} of the rows come in one epoch",
            f"most-drawn row   row {self.most_drawn_row}, {self.most_draws:.3g} times an epoch",
        ]
        if self.pairs is not None:
            facts += _pair_lines(self.pairs)
        return "\n".join([*lines, *map(said, facts)])

    def __str__(self) -> str:
        return self.text()


def sampling_report(
    weights: ArrayLike, labels: Labels | ArrayLike, *, num_samples: int | None = None
) -> SamplingReport:
    """State what drawing rows by ``weights``, with replacement, does.

    Use before training with a sampler: it shows what balance costs.

    Args:
        weights: (N,), >= 0, of any scale.
        labels: `Labels`, or class indices (N,), or multi-hot (N, L) with -1 unknown. Rates are
            among known rows; elsewhere unknown entries count as not present.
        num_samples: Draws per epoch; None draws N.

    Returns:
        A :class:`SamplingReport`; print it, or take ``to_dict()``.

    Raises:
        ShapeError: ``weights`` is not (N,).
        DataError: weights that are negative, not finite or all zero.
        UsageError: ``num_samples`` below 1.

    Example:
        >>> print(sampling_report([3.0, 1.0, 1.0, 1.0], [[1, 1], [0, 1], [0, 1], [0, 0]]))
        4 draws per epoch from 4 rows (expected)
        <BLANKLINE>
        label  before  after  as pos_weight
        0       0.250  0.500           3.00
        1       0.750  0.833           1.67
        <BLANKLINE>
        labels per row      0      1      2     3    4+
        before          25.0%  50.0%  25.0%  0.0%  0.0%
        after           16.7%  33.3%  50.0%  0.0%  0.0%
        <BLANKLINE>
        effective rows   3 (75.0% of all)
        coverage         62.3% of the rows come in one epoch
        most-drawn row   row 0, 2 times an epoch
        pair most bent   '0' and '1': 25.0% -> 50.0% of rows, lift 1.33 -> 1.20
        lifts            changed by a factor of 1.11 on average
    """
    given = to_labels(labels)
    w = _check_weights(weights, len(given))
    draws = len(given) if num_samples is None else int(num_samples)
    if draws < 1:
        raise UsageError(say("num_samples", "be a whole number >= 1", num_samples))
    return _describe(w, given, draws, realised=False)


def _describe(w: Floats, labels: Labels, draws: int, *, realised: bool) -> SamplingReport:
    p = w / w.sum()
    top = int(np.argmax(p))
    values = labels.values if labels.kind == "multilabel" else None
    if realised:
        coverage = np.count_nonzero(w) / w.size
    else:
        with np.errstate(divide="ignore"):
            coverage = -np.expm1(draws * np.log1p(-p)).mean()
    return SamplingReport(
        names=labels.names,
        rows=len(labels),
        num_samples=int(draws),
        rates_before=tuple(labels.prevalence.tolist()),
        rates_after=tuple(weighted_rates(labels, w).tolist()),
        sizes_before=_sizes(values, np.full(w.size, 1.0 / w.size)),
        sizes_after=_sizes(values, p),
        pairs=None if values is None else shift_of_pairs(values, w / w.mean(), labels.names),
        effective_rows=effective_sample_size(w),
        coverage=float(coverage),
        most_drawn_row=top,
        most_draws=float(draws * p[top]),
        pos_weight=tuple(implied_pos_weight(w, labels).tolist()),
        realised=realised,
    )


def _sizes(values: NDArray[np.int8] | None, p: Floats) -> Vector:
    if values is None:
        return (0.0, 1.0, 0.0, 0.0, 0.0)
    size = np.minimum((values == 1).sum(axis=1), len(SIZES) - 1)
    return tuple(np.bincount(size, p, minlength=len(SIZES)).tolist())


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.3g}" if value >= 100 else f"{value:.2f}"


def _aligned(table: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(width(row[i]) for row in table) for i in range(len(table[0]))]
    return [
        "  ".join(
            padded(cell, wide, left=i == 0)
            for i, (cell, wide) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def _pair_lines(shift: PairShift) -> list[str]:
    one, two = shift.pair
    shares = f"{shift.share_before:.1%} -> {shift.share_after:.1%} of rows"
    lift = f"lift {shift.lift_before:.2f} -> {shift.lift_after:.2f}"
    lines = [
        f"pair most bent   '{one}' and '{two}': {shares}, {lift}",
        f"lifts            changed by a factor of {shift.mean_lift_change:.2f} on average",
    ]
    if shift.lost:
        lines.append(f"pairs lost       {shift.lost} of {shift.pairs} are never drawn")
    return lines
