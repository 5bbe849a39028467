"""A correction: how to get from a trained model's outputs to natural-prior log-probabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax

from equipoise._core.checks import one_of, require_shape, say, to_array
from equipoise.artifacts._io import plain, read_json, write_json
from equipoise.artifacts.labels import KINDS, Kind
from equipoise.errors import DataError, NotRecoverableError, UsageError

__all__ = ["Correction", "Exactness", "focal_log_scale"]

Exactness = Literal["exact", "approximate", "none"]
EXACTNESS: tuple[Exactness, ...] = ("exact", "approximate", "none")
Floats = NDArray[np.float64]
_SCHEMA, _VERSION = "equipoise.Correction", 1


def focal_log_scale(log_p: Floats, gamma: float) -> Floats:
    """Return log A(p) with A = (1-p)^gamma - gamma p (1-p)^(gamma-1) log p, in float64.

    The gradient of the focal loss is A (p - e_y), so the true probability is proportional to
    p / A. At p = 1 with gamma > 0, A tends to 0; the log is kept finite.
    """
    if gamma == 0:
        return np.zeros_like(log_p)
    rest = -np.expm1(np.minimum(log_p, -1e-300))
    rest = np.maximum(rest, 1e-300)
    inner = rest - gamma * np.exp(log_p) * log_p
    scale: Floats = (gamma - 1.0) * np.log(rest) + np.log(np.maximum(inner, 1e-300))
    return scale


def _offset(values: Floats, op: Mapping[str, Any], _kind: Kind) -> Floats:
    return values + np.asarray(op["offset"], dtype=np.float64)


def _monotone_table(values: Floats, op: Mapping[str, Any], kind: Kind) -> Floats:
    if kind != "multilabel":
        raise UsageError("`monotone_table` corrects labels one by one; classes need another op.")
    out = np.empty_like(values)
    tables = op["tables"]
    for column in range(values.shape[1]):
        table = tables[column if len(tables) > 1 else 0]
        knots, log_odds = np.asarray(table["logit"]), np.asarray(table["log_odds"])
        z = values[:, column]
        inside = np.interp(z, knots, log_odds)
        # Outside the knots the map goes on with slope 1, so order is kept.
        out[:, column] = inside + np.minimum(z - knots[0], 0) + np.maximum(z - knots[-1], 0)
    return out


def _focal(values: Floats, op: Mapping[str, Any], kind: Kind) -> Floats:
    if kind != "multiclass":
        raise UsageError("`focal` corrects softmax outputs; for sigmoid use a `monotone_table`.")
    log_p = np.asarray(log_softmax(values, axis=1), dtype=np.float64)
    shifted = log_p - focal_log_scale(log_p, float(op["gamma"]))
    return np.asarray(log_softmax(shifted, axis=1), dtype=np.float64)


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
            label or one for all, increasing knots ``logit`` and ``log_odds``) or "focal"
            (``gamma``, softmax only).
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
            if op.get("op") not in _OPS:
                raise DataError(
                    say("ops", f"use only {', '.join(sorted(_OPS))}", repr(op.get("op")))
                )
        for name in ("prior", "nominal_weight"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(float(v) for v in value))

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

        Raises:
            NotRecoverableError: ``exactness`` is "none".
        """
        if self.exactness == "none":
            raise NotRecoverableError(
                "These outputs rank but carry no probability, and no formula recovers one. "
                "Fit a calibrator on validation data: tune(scores)."
            )
        values = np.asarray(to_array("logits", logits, ndim=2), dtype=np.float64)
        for op in self.ops:
            if op["op"] == "offset" and np.ndim(op["offset"]) == 1 and len(op["offset"]) > 1:
                require_shape("logits", values, (None, len(op["offset"])), "One column per label.")
            values = _OPS[op["op"]](values, op, self.kind)
        if self.kind == "multiclass":
            values = np.asarray(log_softmax(values, axis=1), dtype=np.float64)
        return values

    def probabilities(self, logits: ArrayLike) -> Floats:
        """Return the corrected probabilities, (N, C) float64."""
        values = self.apply(logits)
        if self.kind == "multiclass":
            return np.asarray(np.exp(values))
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)))

    def then(self, later: Correction) -> Correction:
        """Return this correction followed by another: a loss, then the sampler beside it."""
        if later.kind != self.kind:
            raise UsageError(say("later.kind", f"be '{self.kind}'", repr(later.kind)))
        worst = max(self.exactness, later.exactness, key=EXACTNESS.index)
        low = max(self.valid_range[0], later.valid_range[0])
        high = min(self.valid_range[1], later.valid_range[1])
        weight = self.nominal_weight or later.nominal_weight
        if self.nominal_weight and later.nominal_weight:
            both = zip(self.nominal_weight, later.nominal_weight, strict=True)
            weight = tuple(a * b for a, b in both)
        prior = later.prior or self.prior
        return Correction(self.kind, self.ops + later.ops, worst, (low, high), prior, weight)

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
        body["valid_range"] = tuple(float(v) for v in body["valid_range"])
        return cls(**body)

    def save(self, path: str | Path) -> Path:
        """Write as JSON."""
        return write_json(path, _SCHEMA, _VERSION, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Correction:
        """Read what :meth:`save` wrote."""
        body = read_json(path, _SCHEMA, _VERSION)
        return cls.from_dict({k: v for k, v in body.items() if k not in ("schema", "version")})
