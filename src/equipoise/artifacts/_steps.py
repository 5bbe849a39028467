"""The closed set of steps of a correction: what each does to logits, and which fields it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from equipoise._core.arrays import Floats
from equipoise._core.checks import require_shape
from equipoise._core.logistic import log_expit, log_rest, log_softmax
from equipoise._core.messages import say
from equipoise.artifacts.labels import Kind
from equipoise.errors import DataError, UsageError

_ONE_PER_COLUMN = "One column per class or label."
_ORDER = 1e-10
"""How much of p is left to a class below what smoothing gives to every class: order is kept."""


def _per_column(values: Floats, entry: Any) -> Floats:
    """Return one number, or one per column of ``values``."""
    array = np.asarray(entry, dtype=np.float64)
    if array.ndim == 1 and array.size > 1:
        require_shape("logits", values, (None, array.size), _ONE_PER_COLUMN)
    return array


def _offset(values: Floats, op: Mapping[str, Any], _kind: Kind) -> Floats:
    return values + _per_column(values, op["offset"])


def _scale(values: Floats, op: Mapping[str, Any], _kind: Kind) -> Floats:
    return values * _per_column(values, op["scale"])


def _monotone_table(values: Floats, op: Mapping[str, Any], _kind: Kind) -> Floats:
    out = np.empty_like(values)
    tables = op["tables"]
    if len(tables) > 1:
        require_shape("logits", values, (None, len(tables)), "One column per label.")
    for column in range(values.shape[1]):
        table = tables[column if len(tables) > 1 else 0]
        knots, log_odds = np.asarray(table["logit"]), np.asarray(table["log_odds"])
        z = values[:, column]
        inside = np.interp(z, knots, log_odds)
        # Outside the knots the map goes on with slope 1, so order is kept.
        out[:, column] = inside + np.minimum(z - knots[0], 0) + np.maximum(z - knots[-1], 0)
    return out


def focal_log_scale(log_p: Floats, log_q: Floats, gamma: float) -> Floats:
    """Return log A with A = q^gamma - gamma p q^(gamma-1) log p, for q = 1 - p given apart.

    The gradient of the focal term is A (p - e_y), so the true probability goes with p / A. Where
    p rounds to 1, the first order A = (1 + gamma) q^gamma holds.
    """
    if gamma == 0:
        return np.zeros_like(log_p)
    inner = np.exp(log_q) - gamma * np.exp(log_p) * log_p
    first_order = log_q + np.log1p(gamma)
    exact = np.log(np.maximum(inner, np.finfo(np.float64).tiny))
    scale: Floats = (gamma - 1.0) * log_q + np.where(log_q > -30.0, exact, first_order)
    return scale


def _focal(values: Floats, op: Mapping[str, Any], kind: Kind) -> Floats:
    gamma = float(op["gamma"])
    if kind == "multilabel":
        # l1' = -A(p) (1 - p) and l0' = A(1 - p) p, so eta / (1 - eta) = l0' / -l1'.
        log_p, log_q = log_expit(values), log_expit(-values)
        return np.asarray(
            values + focal_log_scale(log_q, log_p, gamma) - focal_log_scale(log_p, log_q, gamma)
        )
    log_p = log_softmax(values)
    return log_softmax(log_p - focal_log_scale(log_p, log_rest(values), gamma))


def _poly(values: Floats, op: Mapping[str, Any], _kind: Kind) -> Floats:
    # l = -log p + epsilon (1 - p) has the gradient (1 + epsilon p) (p - e_y).
    log_p = log_softmax(values)
    return log_softmax(log_p - np.log1p(float(op["epsilon"]) * np.exp(log_p)))


def _ldam(values: Floats, op: Mapping[str, Any], _kind: Kind) -> Floats:
    # eta_k goes with p_k (1 - p_k (1 - exp(-s margin_k))), p = softmax(s z).
    scale = float(op["scale"])
    log_p, rest = log_softmax(scale * values), log_rest(scale * values)
    lowered = log_p - scale * _per_column(values, op["margin"])
    return log_softmax(log_p + np.logaddexp(rest, lowered))


def _unmix(values: Floats, op: Mapping[str, Any], _kind: Kind) -> Floats:
    # p_k = (1 - e_k) q_k + B: each class keeps 1 - e_k of its share, B is spread over all.
    log_p = log_softmax(values)
    p, kept = np.exp(log_p), 1.0 - _per_column(values, op["smoothing"])
    kept = np.broadcast_to(kept, p.shape)
    spread = ((p / kept).sum(1) - 1.0) / (1.0 / kept).sum(1)
    above = np.maximum(p - spread[:, None], np.finfo(np.float64).tiny)
    log_q = np.maximum(np.log(above), log_p + np.log(_ORDER)) - np.log(kept)
    return log_softmax(log_q)


STEPS: dict[str, Callable[[Floats, Mapping[str, Any], Kind], Floats]] = {
    "offset": _offset,
    "scale": _scale,
    "monotone_table": _monotone_table,
    "focal": _focal,
    "poly": _poly,
    "ldam": _ldam,
    "unmix": _unmix,
}
_FOR_LABELS, _FOR_CLASSES = {"monotone_table"}, {"scale", "poly", "ldam", "unmix"}
_FIELDS = {
    "offset": "finite `offset`",
    "scale": "finite `scale` > 0",
    "monotone_table": "`tables` of increasing `logit` and never falling `log_odds`",
    "focal": "`gamma` >= 0",
    "poly": "`epsilon` > -1",
    "ldam": "`margin` >= 0 and `scale` > 0",
    "unmix": "`smoothing` in [0, 1)",
}


# The field of a step that holds one entry per column.
_PER_COLUMN = {
    "offset": "offset",
    "scale": "scale",
    "ldam": "margin",
    "unmix": "smoothing",
    "monotone_table": "tables",
}


def permute_step(op: Mapping[str, Any], order: Sequence[int]) -> Mapping[str, Any]:
    """Return a step for columns in another order; what is one for all columns stays."""
    key = _PER_COLUMN.get(str(op["op"]), "")
    entry = op.get(key)
    if not isinstance(entry, (list, tuple)) or len(entry) < 2:
        return op
    return {**op, key: [entry[i] for i in order]}


def check_step(op: Any, kind: Kind) -> None:
    """Raise unless ``op`` is one of the closed set with fields that it can run on."""
    name = op.get("op") if isinstance(op, Mapping) else None
    do = "Write the correction with the loss or sampler that it undoes."
    if name not in STEPS:
        raise DataError(say("ops", f"use only {', '.join(sorted(STEPS))}", repr(name), do))
    if name in _FOR_LABELS and kind != "multilabel":
        raise UsageError(say("ops", "fit classes", f"`{name}`, which corrects labels alone", do))
    if name in _FOR_CLASSES and kind != "multiclass":
        raise UsageError(say("ops", "fit labels", f"`{name}`, which corrects classes alone", do))
    try:
        good = _is_good(name, op)
    except (KeyError, TypeError, ValueError):
        good = False
    if not good:
        raise DataError(say("ops", f"give {_FIELDS[name]} for `{name}`", "something else", do))


def _is_good(name: str, op: Mapping[str, Any]) -> bool:
    if name == "offset":
        return _within(op["offset"], -np.inf)
    if name == "scale":
        return _within(op["scale"], 0.0)
    if name == "focal":
        return _within(float(op["gamma"]), 0.0, closed=True)
    if name == "poly":
        return _within(float(op["epsilon"]), -1.0)
    if name == "ldam":
        return _within(op["margin"], 0.0, closed=True) and _within(float(op["scale"]), 0.0)
    if name == "unmix":
        return _within(op["smoothing"], 0.0, 1.0, closed=True)
    return len(op["tables"]) > 0 and all(_is_table(table) for table in op["tables"])


def _within(entry: Any, low: float, high: float = np.inf, *, closed: bool = False) -> bool:
    """Whether all numbers lie in (low, high), or in [low, high) if ``closed``."""
    array = np.asarray(entry, dtype=np.float64)
    above = array >= low if closed else array > low
    return array.size > 0 and bool((above & (array < high)).all())


def _is_table(table: Mapping[str, Any]) -> bool:
    x, y = (np.asarray(table[key], dtype=np.float64) for key in ("logit", "log_odds"))
    finite = bool(np.isfinite(x).all() and np.isfinite(y).all())
    shaped = x.ndim == 1 and x.size > 0 and x.shape == y.shape
    return finite and shaped and bool((np.diff(x) > 0).all() and (np.diff(y) >= 0).all())
