"""Calibration on validation data: the formula is the starting point, the data say how far to go.

The ladder, by the smaller of positives and negatives: 0-2 the formula alone; 3-19 an offset;
20 and more slope and offset, with the formula as the centre of their prior; 1,000 and more an
isotonic curve on top, by choice.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, isotonic_regression
from scipy.special import expit

from equipoise._core.arrays import Floats
from equipoise.artifacts import Calibrator
from equipoise.artifacts.labels import effective_size

LOG_SLOPE = 20.0
ROUNDS, HALVINGS = 100, 30


def newton_offsets(z: Floats, known: NDArray[Any], share: Floats) -> Floats:
    """Return b, (L,), with mean(sigmoid(z + b)) over the known rows equal to ``share``.

    Args:
        z: (N, L) log-odds; entries that are not known are not looked at.
        known: (N, L), whether an entry counts, or by what weight, 0 where it does not.
        share: (L,) in (0, 1).

    Example:
        >>> z = np.array([[0.0], [2.0]])
        >>> b = newton_offsets(z, np.ones((2, 1), dtype=bool), np.array([0.3]))
        >>> (1 / (1 + np.exp(-z - b))).mean().round(6).tolist()
        0.3
    """
    n = known.sum(axis=0)
    n = np.where(n > 0, n, 1)
    target = np.log(share) - np.log1p(-share)
    # The mean is monotone in b, so the root lies where every row is below or above the share.
    low = target - np.where(known, z, -np.inf).max(axis=0, initial=-1e308) - 1.0
    high = target - np.where(known, z, np.inf).min(axis=0, initial=1e308) + 1.0
    found, part = np.zeros(share.size), np.arange(share.size)
    b = np.clip(found, low, high)
    for _ in range(ROUNDS):
        each = expit(z + b)
        p = each * known
        excess = p.sum(axis=0) / n - share
        low, high = np.where(excess < 0, b, low), np.where(excess >= 0, b, high)
        slope = (p.sum(axis=0) - np.einsum("nl,nl->l", p, each)) / n
        step = b - excess / np.maximum(slope, 1e-300)
        inside = (step > low) & (step < high)
        new = np.where(inside, step, 0.5 * (low + high))
        found[part] = new
        open_ = np.flatnonzero(np.abs(new - b) > 1e-10 * (1 + np.abs(b)))
        if open_.size == 0:
            break
        if open_.size < 0.75 * part.size:
            z, known, part = z[:, open_], known[:, open_], part[open_]
            n, share, low, high, new = (v[open_] for v in (n, share, low, high, new))
        b = new
    return found


# Powers of the odds of low rows that are summed, how many rows for a positive are looked at one by
# one, and how many more: of the others none reaches odds of 1 / 31, whose 10th power is 1e-15.
_POWERS, _ONE_BY_ONE, _MORE = 10, 32, 64
_LOW_ODDS = 1 / 31


def rare_offsets(z: Floats, positive: NDArray[np.bool_], part: NDArray[np.int64]) -> Floats:
    """Return offsets of one label with few positives, on all rows and without each part of them.

    They are those of :func:`newton_offsets` but for rounding. Where the mean is small, nearly all
    rows lie far below 0, and p = o - o^2 + o^3 - ... of their odds o. So they enter by sums of
    powers of exp(z), made once; only the highest rows are looked at again for each offset tried.

    Args:
        z: (N,) log-odds of the known rows.
        positive: (N,) truth.
        part: (N,) in [0, P), rising; P may be 0, with no row in a part.

    Returns:
        (1 + P,): of all rows, then without part 0, 1, ...; NaN where nothing is left to fit, or
        where more rows than a few would have to be looked at.

    Example:
        >>> z = np.linspace(-9, 1, 4000)
        >>> found = rare_offsets(z, np.arange(4000) >= 3996, np.zeros(0, dtype=np.int64))
        >>> known = np.ones((4000, 1), dtype=bool)
        >>> exact = newton_offsets(z[:, None], known, np.array([0.001]))
        >>> bool(np.abs(found - exact)[0] < 1e-9)
        True
    """
    starts = np.flatnonzero(np.diff(part, prepend=-1)) if part.size else np.zeros(0, dtype=int)
    wanted = float(positive.sum())
    near = int(_ONE_BY_ONE * wanted) + _MORE
    out = np.full(1 + starts.size, np.nan)
    if 2 * near > z.size:
        return out
    top = float(np.partition(z, z.size - near - 1)[z.size - near - 1])
    at = np.flatnonzero(z > top)
    # Those above are looked at one by one, and count for nothing here.
    odds = np.exp(np.minimum(z - top, 0.0))
    odds[at] = 0.0
    sums, term = np.empty((1 + starts.size, _POWERS)), odds.copy()
    for k in range(_POWERS):
        sums[1:, k] = np.add.reduceat(term, starts) if starts.size else 0.0
        sums[0, k] = sums[1:, k].sum() if starts.size else term.sum()
        term *= odds
    sums[1:] = sums[0] - sums[1:]
    for number in range(1 + starts.size):
        kept = at if number == 0 else at[part[at] != number - 1]
        left = wanted if number == 0 else float(positive[part != number - 1].sum())
        if left > 0:
            out[number] = _rare_root(z[kept], sums[number], top, left)
    return out


def _rare_root(high: Floats, sums: Floats, top: float, wanted: float) -> float:
    """Return b with the sum of sigmoid(z + b) equal to ``wanted``; NaN where b is out of reach.

    The logarithm of the sum rises ever less with b, so that Newton's steps never pass the root but
    once, and then to the left.
    """
    power = np.arange(1, _POWERS + 1)
    sign = np.where(power % 2 == 1, 1.0, -1.0)
    most = float(np.log(_LOW_ODDS)) - top
    b = min(0.0, most)
    for _ in range(ROUNDS):
        powers = sign * np.exp(power * (top + b)) * sums
        p = expit(high + b)
        total, slope = p.sum() + powers.sum(), (p - p * p).sum() + (power * powers).sum()
        # Where nearly all is flat, a step could go where nothing is left to take a logarithm of.
        new = b - min(float(total * np.log(total / wanted) / max(float(slope), 1e-300)), 8.0)
        if new > most:
            return float("nan")
        if abs(new - b) <= 1e-10 * (1 + abs(b)):
            return new
        b = new
    return float("nan")


def newton_platt(
    z: Floats,
    positive: NDArray[np.bool_],
    known: NDArray[Any],
    start: Floats,
    *,
    slope_sd: float,
    offset_sd: float,
) -> Floats:
    """Return (2, L): log-slope and offset that maximise the posterior of each label.

    Args:
        z: (N, L) log-odds, finite.
        positive: (N, L) truth.
        known: (N, L), whether an entry counts, or by what weight, 0 where it does not.
        start: (2, L) where to begin.
        slope_sd: Prior standard deviation of the log-slope around 0.
        offset_sd: Prior standard deviation of the offset around 0.
    """
    found, part = start.copy(), np.arange(z.shape[1])
    precision = np.array([[slope_sd**-2.0], [offset_sd**-2.0]])
    everything = known.dtype == np.bool_ and bool(known.all())
    loss, gradient, hessian = _posterior(z, positive, known, found, precision, everything)
    for _ in range(ROUNDS):
        step = _newton_step(gradient, hessian)
        n = z.shape[0] if everything else np.maximum(known.sum(axis=0), 1)
        drop = (gradient * step).sum(axis=0)
        # Newton squares what is left, so the last small step needs no look back.
        moving = np.flatnonzero(np.abs(drop) > 1e-9 * n)
        last = np.flatnonzero(np.abs(drop) <= 1e-9 * n)
        found[:, part[last]] -= step[:, last]
        if moving.size == 0:
            break
        if moving.size < part.size:
            z, positive, known = z[:, moving], positive[:, moving], known[:, moving]
            part, step, loss = part[moving], step[:, moving], loss[moving]
        length = np.ones(part.size)
        for _ in range(HALVINGS):
            trial = found[:, part] - length * step
            trial[0] = np.clip(trial[0], -LOG_SLOPE, LOG_SLOPE)
            new, gradient, hessian = _posterior(z, positive, known, trial, precision, everything)
            worse = ~(new <= loss + 1e-12 * (1 + np.abs(loss)))
            if not worse.any():
                break
            length = np.where(worse, 0.25 * length, length)
        found[:, part], loss = np.where(worse, found[:, part], trial), np.where(worse, loss, new)
        if worse.any():
            keep = np.flatnonzero(~worse)
            if keep.size == 0:
                break
            z, positive, known = z[:, keep], positive[:, keep], known[:, keep]
            part, loss = part[keep], loss[keep]
            gradient, hessian = gradient[:, keep], hessian[:, keep]
    return found


def _newton_step(gradient: Floats, hessian: Floats) -> Floats:
    """Return H^-1 g, (2, L), at most 3 in the log-slope."""
    aa, ab, bb = hessian
    det = np.maximum(aa * bb - ab * ab, 1e-12 * aa * bb + 1e-300)
    step = np.stack([bb * gradient[0] - ab * gradient[1], aa * gradient[1] - ab * gradient[0]])
    step /= det
    return np.asarray(step * np.minimum(1.0, 3.0 / np.maximum(np.abs(step[0]), 1e-300)))


def _posterior(
    z: Floats,
    positive: NDArray[np.bool_],
    known: NDArray[Any],
    at: Floats,
    precision: Floats,
    everything: bool,
) -> tuple[Floats, Floats, Floats]:
    """Return loss (L,), gradient (2, L) and curvature (aa, ab, bb), (3, L)."""
    scaled = np.exp(at[0]) * z
    s = scaled + at[1]
    p = expit(s)
    # log(1 + e^s) from p keeps full precision where p is not close to 1.
    rest = np.maximum(s, 0) - np.log(np.where(s > 0, p, 1 - p)) - s * positive
    r, w = p - positive, p * (1 - p)
    if not everything:
        rest, r, w = rest * known, r * known, w * known
    wz = w * scaled
    by = np.stack([np.einsum("nl,nl->l", r, scaled), r.sum(axis=0)])
    aa = np.einsum("nl,nl->l", wz, scaled)
    # The full curvature where it helps; without its negative part it stays positive definite.
    aa = aa + np.maximum(by[0], 0.0)
    curvature = np.stack([aa, wz.sum(axis=0), w.sum(axis=0)])
    curvature[[0, 2]] += precision
    loss = rest.sum(axis=0) + 0.5 * (precision * at**2).sum(axis=0)
    return loss, by + precision * at, curvature


# Less than this slope would let two scores meet in one float.
LEAST_SLOPE, LEAST_RISE = 1e-6, 1e-12


def fit_isotonic(
    log_odds: Floats, positive: NDArray[np.bool_], weight: Floats | None = None
) -> dict[str, Floats]:
    """Return knots of an increasing curve from log-odds to calibrated log-odds.

    Adjacent violators are pooled as usual, tied scores as one. Instead of a staircase, whose flat
    parts would tie different scores, the centres of the blocks are joined by straight lines; each
    block counts half a positive and half a negative more, so that no end is infinite.

    Args:
        log_odds: (N,) finite, N >= 1.
        positive: (N,) truth.
        weight: (N,) by which rows are counted, or None.

    Returns:
        ``log_odds`` and ``calibrated``, (K,) each, both rising; as in
        :class:`equipoise.artifacts.Calibrator`.

    Example:
        >>> z = np.repeat([-1.0, 0.0, 1.0], 100)
        >>> truth = np.concatenate([np.arange(100) < k for k in (10, 50, 90)])
        >>> fit_isotonic(z, truth)["calibrated"].round(2).tolist()
        [-2.15, 0.0, 2.15]

    References:
        Oron and Flournoy (Statistics in Biopharmaceutical Research 2017), centred isotonic
        regression.
    """
    score, where = np.unique(log_odds, return_inverse=True)
    counted = np.ones(log_odds.size) if weight is None else weight
    hits, counts = (np.bincount(where, part, minlength=score.size).astype(np.float64)
                    for part in (positive * counted, counted))  # fmt: skip
    score, hits, rows = _pool(score, hits, counts, 0.0)
    # The half counts pull small blocks inwards, which may break the order once more.
    score, hits, rows = _pool(score, hits, rows, 0.5)
    value = np.log(hits + 0.5) - np.log(rows - hits + 0.5)
    rise = np.maximum(np.diff(value), LEAST_SLOPE * np.diff(score) + LEAST_RISE)
    return {"log_odds": score, "calibrated": value[0] + np.append(0.0, np.cumsum(rise))}


def _pool(score: Floats, hits: Floats, n: Floats, extra: float) -> tuple[Floats, Floats, Floats]:
    """Pool blocks until the share of positives, with ``extra`` on both sides, never falls."""
    while True:
        weight = n + 2 * extra
        blocks = isotonic_regression((hits + extra) / weight, weights=weight).blocks[:-1]
        new = np.add.reduceat(hits, blocks), np.add.reduceat(n, blocks)
        score = np.add.reduceat(score * n, blocks) / new[1]
        hits, n = new
        if blocks.size == weight.size:
            return score, hits, n


LabelMethod = Literal["auto", "formula", "offset", "platt", "isotonic"]
LABEL_METHODS: tuple[LabelMethod, ...] = ("auto", "formula", "offset", "platt", "isotonic")
OFFSET_FROM, SLOPE_FROM, ISOTONIC_FROM = 3, 20, 1000
_NAMES = ("formula", "offset", "platt", "isotonic")
_ISOTONIC = 3
# Prior spread of log-slope and offset around the formula; weak against 20 positives.
SLOPE_SD, OFFSET_SD = 1.0, 4.0


def fit_offset(log_odds: Floats, positive: NDArray[np.bool_]) -> float:
    """Return b with mean(sigmoid(z + b)) equal to the share of positives.

    Args:
        log_odds: (N,) finite, N >= 1.
        positive: (N,) truth.

    Returns:
        The offset; -inf or inf where all rows are negative or positive.

    Example:
        >>> round(fit_offset(np.zeros(4), np.array([True, False, False, False])), 4)
        -1.0986
    """
    share = float(positive.mean())
    if share in (0.0, 1.0):
        return float(-np.inf if share == 0 else np.inf)
    target = float(np.log(share / (1 - share)))
    # sigmoid(z + b) is monotone in b, so the root lies where every row is below or above share.
    low, high = target - float(log_odds.max()) - 1.0, target - float(log_odds.min()) + 1.0
    return float(brentq(lambda b: float(expit(log_odds + b).mean()) - share, low, high, xtol=1e-10))


def fit_platt(
    log_odds: Floats,
    positive: NDArray[np.bool_],
    *,
    slope_sd: float = SLOPE_SD,
    offset_sd: float = OFFSET_SD,
) -> tuple[float, float]:
    """Return slope > 0 and offset that maximise the posterior, with the formula (1, 0) as centre.

    Args:
        log_odds: (N,) as the formula gives them.
        positive: (N,) truth.
        slope_sd: Prior standard deviation of the log of the slope around 0.
        offset_sd: Prior standard deviation of the offset around 0.

    Example:
        >>> z = np.repeat([-1.0, 1.0], 50)
        >>> truth = np.append(np.arange(50) < 5, np.arange(50) < 45)
        >>> round(fit_platt(z, truth, slope_sd=100, offset_sd=100)[0], 3)
        2.197

    References:
        Platt (1999); the prior on (log slope, offset) replaces his smoothed targets.
    """
    truth = np.asarray(positive, dtype=np.bool_)[:, None]
    begin = np.array([[0.0], [np.clip(fit_offset(log_odds, truth[:, 0]), -30, 30)]])
    found = newton_platt(
        log_odds[:, None],
        truth,
        np.ones_like(truth),
        begin,
        slope_sd=slope_sd,
        offset_sd=offset_sd,
    )
    return float(np.exp(found[0, 0])), float(found[1, 0])


def fit_label_calibrator(
    log_odds: Floats,
    y_true: NDArray[np.integer],
    *,
    nominal_weight: Floats | None = None,
    verified: bool = True,
    highest: LabelMethod = "auto",
    start: Calibrator | None = None,
    weight: Floats | None = None,
) -> Calibrator:
    """Fit one calibrator per label by the ladder, all labels at once.

    Args:
        log_odds: (N, L) natural-prior log-odds as the formula gives them, or ranking scores.
        y_true: (N, L) in {0, 1, -1 unknown}.
        nominal_weight: (L,) or (1,) the weight on positives the remedy asked for, 1 if None.
        verified: False for ranking scores, which start from a standardised scale instead of a
            formula and always get slope and offset.
        highest: The highest rung to climb: "formula", "offset", "platt" ("auto") or "isotonic".
            A label without the evidence for it stays on the rung that it has evidence for.
        start: A calibrator of similar rows, from where the search begins; effective weights are
            then left out above the offset.
        weight: (N,) by which rows are counted, or None. They are worth as many rows as rows of
            equal weight that say as much; so is the evidence of the ladder.

    Returns:
        Slope, offset and method per label, and the effective weight: the nominal one times
        exp(-b) with b the offset fitted alone. Unknown entries are left out.

    Example:
        >>> z = np.zeros((100, 1))
        >>> y = (np.arange(100) < 10).astype(int)[:, None]
        >>> fitted = fit_label_calibrator(z, y, nominal_weight=np.array([9.0]))
        >>> fitted.method, fitted.effective_weight.round(1).tolist()
        (('offset',), [81.0])
    """
    seen, positive = y_true >= 0, y_true == 1
    known: NDArray[Any] = seen
    n_known, n_positive = seen.sum(axis=0), positive.sum(axis=0)
    fewer = np.minimum(n_positive, n_known - n_positive)
    if weight is not None:
        known = weigh_entries(weight, seen)
        n_known, n_positive = known.sum(axis=0), (known * positive).sum(axis=0)
        fewer = _evidence(weight, seen, positive)
    rung = rungs(fewer, highest, verified)
    centre, spread = _standard(log_odds, known, n_positive, verified)
    z = log_odds if verified else (log_odds - centre) / spread
    n_labels = z.shape[1]
    slope, offset = np.zeros(n_labels), np.zeros(n_labels)
    effective = np.full(n_labels, np.nan)
    # Beside a start, the offset alone is wanted where nothing more is fitted.
    some = np.flatnonzero(rung == 1 if start is not None else rung >= 1)
    if some.size and verified:
        share = n_positive[some] / n_known[some]
        offset[some] = newton_offsets(z[:, some], known[:, some], share)
        asked = np.ones(1) if nominal_weight is None else nominal_weight
        effective[some] = np.broadcast_to(asked, (n_labels,))[some] * np.exp(
            np.clip(-offset[some], -700, 700)
        )
    more = np.flatnonzero(rung >= 2)
    if more.size:
        begin = np.stack([slope, np.clip(offset, -30, 30)])[:, more]
        if start is not None and verified:
            warm = np.array([m not in ("formula", "offset") for m in start.method])[more]
            before = np.stack([np.log(start.scale), start.offset])[:, more]
            begin = np.where(warm, before, begin)
        slope[more], offset[more] = newton_platt(
            z[:, more], positive[:, more], known[:, more], begin,
            slope_sd=SLOPE_SD, offset_sd=OFFSET_SD,
        )  # fmt: skip
    scale = np.exp(slope)
    if not verified:
        scale, offset = scale / spread, offset - scale * centre / spread
    method = [_NAMES[r] for r in rung]
    if not verified:
        method = ["prior" if m < OFFSET_FROM else w for m, w in zip(fewer, method, strict=True)]
    affine = Calibrator(scale, offset, tuple(method), effective)
    if not (rung == _ISOTONIC).any():
        return affine
    values = affine.apply(log_odds)
    knots = tuple(
        fit_isotonic(
            values[seen[:, c], c],
            positive[seen[:, c], c],
            None if weight is None else known[seen[:, c], c],
        )
        if r == _ISOTONIC else None
        for c, r in enumerate(rung)
    )  # fmt: skip
    return Calibrator(scale, offset, affine.method, effective, knots)


def weigh_entries(weight: Floats, seen: NDArray[np.bool_]) -> Floats:
    """Return what each entry counts for, (N, L), 0 where it is not seen.

    Those of a label sum to the number of rows of equal weight that say as much, so that priors and
    noise are to them as they are to so many rows.
    """
    mass = weight[:, None] * seen
    squares = np.einsum("nl,nl->l", mass, mass)
    return np.asarray(mass * (mass.sum(axis=0) / np.where(squares > 0, squares, 1.0)))


def _evidence(
    weight: Floats, seen: NDArray[np.bool_], positive: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Return how many rows of equal weight the smaller side of each label says as much as, (L,)."""
    sides = [
        [effective_size(weight[rows]) for rows in side.T] for side in (positive, seen & ~positive)
    ]
    return np.asarray(np.floor(np.min(sides, axis=0) + 1e-9), dtype=np.int64)


def rungs(fewer: NDArray[np.int64], highest: LabelMethod, verified: bool) -> NDArray[np.int64]:
    """Return 0 formula, 1 offset, 2 Platt or 3 isotonic, as far as the evidence and wish go."""
    evidence = np.searchsorted([OFFSET_FROM, SLOPE_FROM, ISOTONIC_FROM], fewer, side="right")
    wish = _NAMES.index("platt" if highest == "auto" else highest)
    rung = np.minimum(evidence, wish)
    # Ranking scores have no formula to fall back on.
    return np.asarray(rung if verified else np.maximum(rung, 2))


def _standard(
    scores: Floats, known: NDArray[Any], n_positive: NDArray[Any], verified: bool
) -> tuple[Floats, Floats]:
    """Return centre and spread so that (scores - centre) / spread starts at the prevalence."""
    if verified:
        return np.zeros(scores.shape[1]), np.ones(scores.shape[1])
    n = known.sum(axis=0)
    n = np.where(n > 0, n, 1)
    mean = (known * scores).sum(axis=0) / n
    spread = np.sqrt((known * (scores - mean) ** 2).sum(axis=0) / n)
    spread = np.where(spread > 0, spread, 1.0)
    share = (n_positive + 0.5) / (known.sum(axis=0) + 1.0)
    return mean - spread * np.log(share / (1 - share)), spread
