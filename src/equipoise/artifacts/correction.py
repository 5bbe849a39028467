"""A correction: how to get from a trained model's outputs to natural-prior log-probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import one_of, require_shape, say, to_array
from equipoise._core.logistic import expit, log_expit, log_rest, log_softmax
from equipoise.artifacts._io import plain, read_json, reading, to_float, write_json
from equipoise.artifacts.labels import KINDS, Kind
from equipoise.errors import DataError, NotRecoverableError, UsageError

__all__ = ["Correction", "Exactness", "focal_log_scale"]

Exactness = Literal["exact", "approximate", "none"]
EXACTNESS: tuple[Exactness, ...] = ("exact", "approximate", "none")
Floats = NDArray[np.float64]
_SCHEMA, _VERSION = "equipoise.Correction", 1


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


def _offset(values: Floats, op: Mapping[str, Any], _kind: Kind) -> Floats:
    offset = np.asarray(op["offset"], dtype=np.float64)
    if offset.ndim == 1 and offset.size > 1:
        require_shape("logits", values, (None, offset.size), "One column per class or label.")
    return values + offset


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


def _check_op(op: Any, kind: Kind) -> None:
    """Raise unless ``op`` is one of the closed set with fields that it can run on."""
    name = op.get("op") if isinstance(op, Mapping) else None
    do = "Write the correction with the loss or sampler that it undoes."
    if name not in _OPS:
        raise DataError(say("ops", f"use only {', '.join(sorted(_OPS))}", repr(name), do))
    if name == "monotone_table" and kind != "multilabel":
        raise UsageError(say("ops", "fit classes", f"`{name}`, which corrects labels alone", do))
    try:
        if name == "offset":
            good = bool(np.isfinite(np.asarray(op["offset"], dtype=np.float64)).all())
        elif name == "focal":
            good = 0 <= float(op["gamma"]) < np.inf
        else:
            good = len(op["tables"]) > 0 and all(_is_table(table) for table in op["tables"])
    except (KeyError, TypeError, ValueError):
        good = False
    if not good:
        fields = {"offset": "finite `offset`", "focal": "`gamma` >= 0"}
        need = fields.get(name, "`tables` of increasing `logit` and never falling `log_odds`")
        raise DataError(say("ops", f"give {need} for `{name}`", "something else", do))


def _is_table(table: Mapping[str, Any]) -> bool:
    x, y = (np.asarray(table[key], dtype=np.float64) for key in ("logit", "log_odds"))
    finite = bool(np.isfinite(x).all() and np.isfinite(y).all())
    shaped = x.ndim == 1 and x.size > 0 and x.shape == y.shape
    return finite and shaped and bool((np.diff(x) > 0).all() and (np.diff(y) >= 0).all())


_OPS: dict[str, Callable[[Floats, Mapping[str, Any], Kind], Floats]] = {
    "offset": _offset,
    "monotone_table": _monotone_table,
    "focal": _focal,
}


@dataclass(frozen=True, slots=True)
class Correction:
    """Undo what a remedy did to the probabilities; NumPy only.

    Args:
        kind: "multilabel" (log-odds per label) or "multiclass" (log-posterior over classes).
        ops: Steps applied in order, loss first, then sampler. Each is a mapping with "op":
            "offset" (``offset``: a list of C numbers or one), "monotone_table" (``tables``: per
            label or one for all, increasing knots ``logit`` and ``log_odds``; labels only) or
            "focal" (``gamma``: the inverse of the softmax or the sigmoid focal loss).
        exactness: "exact", "approximate" or "none" (a fitted calibrator is compulsory then).
        valid_range: True probabilities between which the correction holds.
        prior: Class shares of the rows it leads back to, (C,), where known.
        nominal_weight: The weight on positives that the remedy asked for, (L,), where it has one;
            printed beside the weight that calibration finds.

    Example:
        >>> pos_weight = Correction("multilabel", ({"op": "offset", "offset": [-np.log(9.0)]},))
        >>> bool(np.isclose(pos_weight.probabilities([[0.0]])[0, 0], 0.1))
        True
    """

    kind: Kind
    ops: tuple[Mapping[str, Any], ...] = ()
    exactness: Exactness = "exact"
    valid_range: tuple[float, float] = (0.0, 1.0)
    prior: tuple[float, ...] | None = None
    nominal_weight: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        one_of("kind", self.kind, KINDS)
        one_of("exactness", self.exactness, EXACTNESS)
        for op in self.ops:
            _check_op(op, self.kind)
        low, high = self.valid_range
        if not 0 <= low < high <= 1:
            do = "Give the true probabilities between which the correction holds."
            raise DataError(say("valid_range", "be 0 <= low < high <= 1", (low, high), do))
        for name in ("prior", "nominal_weight"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(to_float(v) for v in value))

    @classmethod
    def identity(cls, kind: Kind, prior: Sequence[float] | None = None) -> Correction:
        """Return the correction of a model trained without any remedy."""
        return cls(kind, prior=None if prior is None else tuple(prior))

    @property
    def is_identity(self) -> bool:
        """Whether outputs are already natural-prior logits."""
        return not self.ops and self.exactness == "exact"

    def apply(self, logits: ArrayLike) -> Floats:
        """Return natural-prior log-odds (labels) or log-posteriors (classes), (N, C) float64.

        Args:
            logits: (N, C) outputs of the model on the logit scale, any float type.

        Raises:
            NotRecoverableError: ``exactness`` is "none".
            ShapeError: the columns are not those that the steps were made for.
        """
        if self.exactness == "none":
            raise NotRecoverableError(
                "These outputs rank but carry no probability, and no formula recovers one. "
                "Fit a calibrator on validation data: tune(scores)."
            )
        values = np.asarray(to_array("logits", logits, ndim=2), dtype=np.float64)
        values = self._run(values)
        if self.kind == "multiclass":
            values = log_softmax(values)
        return values

    def _run(self, values: Floats) -> Floats:
        for op in self.ops:
            values = _OPS[op["op"]](values, op, self.kind)
        return values

    def probabilities(self, logits: ArrayLike) -> Floats:
        """Return the corrected probabilities, (N, C) float64."""
        values = self.apply(logits)
        if self.kind == "multiclass":
            return np.asarray(np.exp(values))
        return expit(values)

    def then(self, later: Correction) -> Correction:
        """Return this correction followed by another: a loss, then the sampler beside it.

        The loss leads from the outputs back to the prior of the rows as they were drawn, the
        sampler from there to the natural prior; so ``later.prior`` is the prior of both. Weights
        on positives multiply, the lesser exactness counts, and the range of this correction is
        carried through the later steps, for labels.

        Example:
            >>> weight = Correction("multilabel", ({"op": "offset", "offset": [-np.log(4.0)]},))
            >>> twice = weight.then(weight)
            >>> twice.probabilities([[0.0]]).round(4).tolist()
            [[0.0588]]
        """
        if later.kind != self.kind:
            do = "Both must be for labels, or both for classes."
            raise UsageError(say("later.kind", f"be '{self.kind}'", repr(later.kind), do))
        worst = max(self.exactness, later.exactness, key=EXACTNESS.index)
        weights = [w for w in (self.nominal_weight, later.nominal_weight) if w is not None]
        weight: tuple[float, ...] | None = None
        if weights:
            weight = tuple(np.prod(np.broadcast_arrays(*weights), axis=0).tolist())
        prior = self.prior if later.prior is None else later.prior
        low, high = later._carry(self.valid_range)
        reach = max(low, later.valid_range[0]), min(high, later.valid_range[1])
        return Correction(self.kind, self.ops + later.ops, worst, reach, prior, weight)

    def _carry(self, reach: tuple[float, float]) -> tuple[float, float]:
        """Return where all labels stand after the steps, for a range before them."""
        if self.kind == "multiclass" or not self.ops:
            return reach
        sizes = {"offset": "offset", "monotone_table": "tables"}
        width = max(np.size(op[sizes[op["op"]]]) if op["op"] in sizes else 1 for op in self.ops)
        low, high = reach
        if low > 0:
            low = float(self._run(np.full((1, width), np.log(low / (1 - low)))).max())
            low = float(expit(np.asarray(low)))
        if high < 1:
            high = float(self._run(np.full((1, width), np.log(high / (1 - high)))).min())
            high = float(expit(np.asarray(high)))
        return low, high

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        fields = ("kind", "ops", "exactness", "valid_range", "prior", "nominal_weight")
        body: dict[str, Any] = plain({name: getattr(self, name) for name in fields})
        return body

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Correction:
        """Read what :meth:`to_dict` wrote."""
        body = dict(fields)
        body["ops"] = tuple(body["ops"])
        low, high = (float(v) for v in body["valid_range"])
        body["valid_range"] = (low, high)
        return cls(**body)

    def save(self, path: str | Path) -> Path:
        """Write as JSON."""
        return write_json(path, _SCHEMA, _VERSION, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Correction:
        """Read what :meth:`save` wrote."""
        body = read_json(path, _SCHEMA, _VERSION)
        with reading(path, _SCHEMA):
            return cls.from_dict({k: v for k, v in body.items() if k not in ("schema", "version")})
