"""Calibration on validation data: the formula is the starting point, the data say how far to go.

The ladder, by the smaller of positives and negatives: 0-2 the formula alone; 3-19 an offset;
20 and more slope and offset, with the formula as the centre of their prior; 1,000 and more an
isotonic curve on top, by choice.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from equipoise._core.arrays import Floats
from equipoise.artifacts import Calibrator
from equipoise.decisions._newton import newton_offsets, newton_platt
from equipoise.decisions.isotonic import fit_isotonic

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
    known, positive = y_true >= 0, y_true == 1
    n_known, n_positive = known.sum(axis=0), positive.sum(axis=0)
    rung = _rungs(np.minimum(n_positive, n_known - n_positive), highest, verified)
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
        method = ["prior" if m < OFFSET_FROM else w for m, w in zip(
            np.minimum(n_positive, n_known - n_positive), method, strict=True)]  # fmt: skip
    affine = Calibrator(scale, offset, tuple(method), effective)
    if not (rung == _ISOTONIC).any():
        return affine
    values = affine.apply(log_odds)
    knots = tuple(
        fit_isotonic(values[known[:, c], c], positive[known[:, c], c]) if r == _ISOTONIC else None
        for c, r in enumerate(rung)
    )
    return Calibrator(scale, offset, affine.method, effective, knots)


def _rungs(fewer: NDArray[np.int64], highest: LabelMethod, verified: bool) -> NDArray[np.int64]:
    """Return 0 formula, 1 offset, 2 Platt or 3 isotonic, as far as the evidence and wish go."""
    evidence = np.searchsorted([OFFSET_FROM, SLOPE_FROM, ISOTONIC_FROM], fewer, side="right")
    wish = _NAMES.index("platt" if highest == "auto" else highest)
    rung = np.minimum(evidence, wish)
    # Ranking scores have no formula to fall back on.
    return np.asarray(rung if verified else np.maximum(rung, 2))


def _standard(
    scores: Floats, known: NDArray[np.bool_], n_positive: NDArray[np.int64], verified: bool
) -> tuple[Floats, Floats]:
    """Return centre and spread so that (scores - centre) / spread starts at the prevalence."""
    if verified:
        return np.zeros(scores.shape[1]), np.ones(scores.shape[1])
    n = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, scores, 0.0).sum(axis=0) / n
    spread = np.sqrt((np.where(known, scores - mean, 0.0) ** 2).sum(axis=0) / n)
    spread = np.where(spread > 0, spread, 1.0)
    share = (n_positive + 0.5) / (known.sum(axis=0) + 1.0)
    return mean - spread * np.log(share / (1 - share)), spread
