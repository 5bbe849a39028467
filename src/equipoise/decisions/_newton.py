"""Newton's method for the calibrators of all labels at once: offsets, and slopes with offsets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from equipoise._core.arrays import Floats

LOG_SLOPE = 20.0
ROUNDS, HALVINGS = 100, 30


def newton_offsets(z: Floats, known: NDArray[np.bool_], share: Floats) -> Floats:
    """Return b, (L,), with mean(sigmoid(z + b)) over the known rows equal to ``share``.

    Args:
        z: (N, L) log-odds; entries that are not known are not looked at.
        known: (N, L).
        share: (L,) in (0, 1).

    Example:
        >>> z = np.array([[0.0], [2.0]])
        >>> b = newton_offsets(z, np.ones((2, 1), dtype=bool), np.array([0.3]))
        >>> (1 / (1 + np.exp(-z - b))).mean().round(6).tolist()
        0.3
    """
    n = np.maximum(known.sum(axis=0), 1)
    target = np.log(share) - np.log1p(-share)
    # The mean is monotone in b, so the root lies where every row is below or above the share.
    low = target - np.where(known, z, -np.inf).max(axis=0, initial=-1e308) - 1.0
    high = target - np.where(known, z, np.inf).min(axis=0, initial=1e308) + 1.0
    found, part = np.zeros(share.size), np.arange(share.size)
    b = np.clip(found, low, high)
    for _ in range(ROUNDS):
        p = expit(z + b) * known
        excess = p.sum(axis=0) / n - share
        low, high = np.where(excess < 0, b, low), np.where(excess >= 0, b, high)
        slope = (p.sum(axis=0) - np.einsum("nl,nl->l", p, p)) / n
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


def newton_platt(
    z: Floats,
    positive: NDArray[np.bool_],
    known: NDArray[np.bool_],
    start: Floats,
    *,
    slope_sd: float,
    offset_sd: float,
) -> Floats:
    """Return (2, L): log-slope and offset that maximise the posterior of each label.

    Args:
        z: (N, L) log-odds, finite.
        positive: (N, L) truth.
        known: (N, L) entries that count.
        start: (2, L) where to begin.
        slope_sd: Prior standard deviation of the log-slope around 0.
        offset_sd: Prior standard deviation of the offset around 0.
    """
    found, part = start.copy(), np.arange(z.shape[1])
    precision = np.array([[slope_sd**-2.0], [offset_sd**-2.0]])
    everything = bool(known.all())
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
    known: NDArray[np.bool_],
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
