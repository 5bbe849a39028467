"""What one cut means: cases per 1,000, precision, recall, F1, flags, net benefit and cost."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise._core.checks import require_shape, to_array, to_fraction, to_positive
from equipoise._core.messages import say
from equipoise.artifacts import Estimate
from equipoise.errors import DataError
from equipoise.metrics._columns import as_truth
from equipoise.metrics.influence import Influence
from equipoise.metrics.intervals import EDGES, Scale, influence_interval, wilson_interval

# Shares of all cases; the page and the tables show them per 1,000.
CASES = ("found", "missed", "false_alarms", "passed")
POINT_METRICS = (*CASES, "precision", "recall", "f1", "flagged", "net_benefit", "cost")
_SCALES: Mapping[str, Scale] = {"net_benefit": "identity", "cost": "log"}


def _metrics(
    a: float, b: float, share: float, alarm: float, miss: float
) -> dict[str, tuple[float, Floats]]:
    """Return each metric and its slopes by ``a``, ``b`` and the share of positives.

    Args:
        a: Share of all cases that is found.
        b: Share of all cases that is a false alarm.
        share: Share of all cases that is positive.
        alarm: Cost of a false alarm.
        miss: Cost of a miss.
    """
    flags, both, odds = a + b, share + a + b, alarm / miss
    with np.errstate(invalid="ignore", divide="ignore"):
        found: dict[str, tuple[float, tuple[float, ...]]] = {
            "found": (a, (1, 0, 0)),
            "missed": (share - a, (-1, 0, 1)),
            "false_alarms": (b, (0, 1, 0)),
            "passed": (1 - share - b, (0, -1, -1)),
            "precision": (
                np.divide(a, flags),
                (np.divide(b, flags**2), np.divide(-a, flags**2), 0),
            ),
            "recall": (
                np.divide(a, share),
                (np.divide(1, share), 0, np.divide(-a, share**2)),
            ),
            "f1": (
                np.divide(2 * a, both),
                (2 * (share + b) / both**2, -2 * a / both**2, -2 * a / both**2),
            ),
            "flagged": (flags, (1, 1, 0)),
            "net_benefit": (a - odds * b, (1, -odds, 0)),
            "cost": (alarm * b + miss * (share - a), (-miss, alarm, miss)),
        }
    return {name: (float(value), np.array(slopes)) for name, (value, slopes) in found.items()}


def operating_point(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    costs: tuple[float, float] = (1.0, 1.0),
    prevalence: float | None = None,
    groups: ArrayLike | None = None,
    confidence_level: float = 0.95,
) -> dict[str, Estimate]:
    """Return what one cut of one label means, each number with its interval.

    The page's explorer works out the same. At the prevalence of the rows themselves, shares have
    Wilson's interval; F1 and cost one that is symmetric on the logit and log scale, net benefit a
    plain one, from influence values. At a declared prevalence the shares of flagged positives and
    flagged negatives stay what they are and are weighed anew, so the prevalence itself adds no
    error: what each of the two moves a number by, at the ends of its Wilson interval, is squared
    and added. In groups all come from influence values that are summed in each.

    Args:
        y_true: (N,) 0, 1 or -1 (unknown, left out).
        y_pred: (N,) 0 or 1.
        costs: Of a false alarm and of a miss, > 0.
        prevalence: Share of positives where the decisions are made, in (0, 1); None takes that of
            the rows.
        groups: (N,) what belongs together (patient, video), or None.
        confidence_level: Nominal coverage.

    Returns:
        "found", "missed", "false_alarms" and "passed" as shares of all cases; "precision",
        "recall", "f1", "flagged"; "net_benefit" of a case, acting at ``costs``; "cost" of a case.

    Raises:
        DataError: flags other than 0 and 1.
        ShapeError: the shapes differ.
        UsageError: costs that are not positive, or a share outside (0, 1).

    Example:
        >>> y, flag = np.repeat([1, 1, 0, 0], [8, 2, 5, 85]), np.repeat([1, 0, 1, 0], [8, 2, 5, 85])
        >>> here = operating_point(y, flag, costs=(1, 10))
        >>> print(here["precision"], here["cost"])
        0.615 [0.355, 0.823] 0.250 [0.082, 0.759]
        >>> print(operating_point(y, flag, prevalence=0.02)["precision"])
        0.227 [0.094, 0.408]

    References:
        Wilson (JASA 1927). Square and add: Zou and Donner (Statistics in Medicine 2008), eq. 4.
    """
    alarm, miss = (to_positive("costs", cost) for cost in costs)
    declared = None if prevalence is None else to_fraction("prevalence", prevalence)
    given = to_array("y_true", y_true, ndim=1)
    flags = to_array("y_pred", y_pred, ndim=1)
    require_shape("y_pred", flags, given.shape, "One flag per entry of `y_true`.")
    if not np.isin(flags, (0, 1)).all():
        raise DataError(say("y_pred", "be flags 0 or 1", "other values", "Apply a cut first."))
    truth = as_truth(given)[:, 0]
    known = truth >= 0
    yes, flag = truth[known] == 1, flags[known] == 1
    codes: NDArray[np.int64] | None = None
    if groups is not None:
        held = to_array("groups", groups, ndim=1)
        require_shape("groups", held, given.shape, "One group per row.")
        codes = np.unique(held[known], return_inverse=True)[1].astype(np.int64)
    return _estimates(yes, flag, (alarm, miss), declared, codes, confidence_level)


def _estimates(
    yes: NDArray[np.bool_],
    flag: NDArray[np.bool_],
    costs: tuple[float, float],
    declared: float | None,
    codes: NDArray[np.int64] | None,
    level: float,
) -> dict[str, Estimate]:
    n, pos, tp, flagged = yes.size, int(yes.sum()), int((yes & flag).sum()), int(flag.sum())
    neg, fp = n - pos, flagged - tp
    lacking = "no positives" if pos == 0 else "no negatives" if neg == 0 else ""
    if n == 0 or (declared is not None and lacking):
        missing = Estimate.missing(lacking if n else "no known rows", n=n, n_positive=pos)
        return dict.fromkeys(POINT_METRICS, missing)
    share = pos / n if declared is None else declared
    hit, alarm = yes & flag, ~yes & flag
    # How a row moves the shares found, of false alarms and of positives.
    if declared is None:
        a, b = tp / n, fp / n
        moves = np.stack([hit - a, alarm - b, yes - share]) / n
    else:
        a, b = share * tp / pos, (1 - share) * fp / neg
        moves = np.zeros((3, n))
        moves[0] = (share * hit - a * yes) / pos
        moves[1] = ((1 - share) * alarm - b * ~yes) / neg
    counts = {
        "found": (tp, n),
        "missed": (pos - tp, n),
        "false_alarms": (fp, n),
        "passed": (neg - fp, n),
        "flagged": (flagged, n),
        "precision": (tp, flagged),
        "recall": (tp, pos),
    }
    found = _metrics(a, b, share, *costs)
    apart: dict[str, Estimate] = {}
    if declared is not None and codes is None:
        sides = [wilson_interval(k, of, confidence_level=level) for k, of in ((tp, pos), (fp, neg))]
        apart = _squared_and_added(found, sides[0], sides[1], share, costs, n, pos)
    out = {}
    for name, (value, slopes) in found.items():
        hits, base = counts.get(name, (0, n))
        if base == 0 or (name == "f1" and pos == 0):
            out[name] = Estimate.missing(_WHY[name], n=base, n_positive=pos)
        elif name in apart:
            out[name] = apart[name]
        elif name in counts and codes is None:
            out[name] = wilson_interval(hits, base, confidence_level=level, n_positive=pos)
        else:
            out[name] = influence_interval(
                Influence(value, slopes @ moves),
                confidence_level=level,
                groups=codes,
                scale=_SCALES.get(name, "logit"),
                n_positive=pos,
            )
    return out


_WHY = {"precision": "nothing flagged", "recall": "no positives", "f1": "no positives"}


def _squared_and_added(
    found: Mapping[str, tuple[float, Floats]],
    hit: Estimate,
    wrong: Estimate,
    share: float,
    costs: tuple[float, float],
    n: int,
    pos: int,
) -> dict[str, Estimate]:
    """Return intervals from those of the shares of flagged positives and of flagged negatives."""

    def at(r: float, f: float) -> dict[str, float]:
        moved = _metrics(share * r, (1 - share) * f, share, *costs)
        return {name: value for name, (value, _) in moved.items()}

    ends = [[at(r, wrong.value) for r in (hit.low, hit.high)],
            [at(hit.value, f) for f in (wrong.low, wrong.high)]]  # fmt: skip
    out = {}
    for name, (value, _) in found.items():
        down, up = (
            math.hypot(*(max(sign * (end[name] - value) for end in side) for side in ends))
            for sign in (-1, 1)
        )
        least, most = EDGES[_SCALES.get(name, "logit")]
        low, high = max(value - down, least), min(value + up, most)
        out[name] = Estimate(value, low, high, hit.confidence_level, "square and add", n, pos)
    return out
