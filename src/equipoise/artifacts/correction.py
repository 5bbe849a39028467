"""A correction: how to get from a trained model's outputs to natural-prior log-probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_array
from equipoise._core.dense import as_rows, to_dense
from equipoise._core.logistic import expit, log_softmax
from equipoise._core.messages import one_of, say
from equipoise.artifacts._io import plain, read_json, reading, to_float, write_json
from equipoise.artifacts._steps import STEPS, check_step, permute_step
from equipoise.artifacts.labels import KINDS, Kind
from equipoise.errors import DataError, NotRecoverableError, UsageError

Exactness = Literal["exact", "approximate", "none"]
EXACTNESS: tuple[Exactness, ...] = ("exact", "approximate", "none")
_SCHEMA, _VERSION = "equipoise.Correction", 1


@dataclass(frozen=True, slots=True)
class Correction:
    """Undo what a remedy did to the probabilities; NumPy only.

    Args:
        kind: "multilabel" (log-odds per label) or "multiclass" (log-posterior over classes).
        ops: Steps applied in order, loss first, then sampler. Each is a mapping with "op":
            "offset" (``offset``: a list of C numbers or one), "monotone_table" (``tables``: per
            label or one for all, increasing knots ``logit`` and ``log_odds``; labels only),
            "focal" (``gamma``: the inverse of the softmax or the sigmoid focal loss); and for
            classes only: "scale" (``scale``: C factors on the logits), "poly" (``epsilon``),
            "ldam" (``margin``: C numbers, ``scale``: one) and "unmix" (``smoothing``: the share
            that training spread evenly over all classes, C numbers or one).
        exactness: "exact", "approximate" or "none" (a fitted calibrator is compulsory then).
        valid_range: True probabilities between which the correction holds.
        prior: Class shares of the rows it leads back to, (C,), where known.
        nominal_weight: The weight on positives that the remedy asked for, (L,), where it has one;
            printed beside the weight that calibration finds.
        undoes: What of "pos_weight", "class_weights", "sampling" and "logit_adjustment" the steps
            undo, where it was said; the same is never undone twice.

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
    undoes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        one_of("kind", self.kind, KINDS)
        one_of("exactness", self.exactness, EXACTNESS)
        for op in self.ops:
            check_step(op, self.kind)
        low, high = self.valid_range
        if not 0 <= low < high <= 1:
            do = "Give the true probabilities between which the correction holds."
            raise DataError(say("valid_range", "be 0 <= low < high <= 1", (low, high), do))
        for name in ("prior", "nominal_weight"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(to_float(v) for v in value))
        object.__setattr__(self, "undoes", tuple(self.undoes))

    @classmethod
    def identity(cls, kind: Kind, prior: Sequence[float] | None = None) -> Correction:
        """Return the correction of a model trained without any remedy."""
        return cls(kind, prior=None if prior is None else tuple(prior))

    @classmethod
    def from_pos_weight(cls, pos_weight: ArrayLike) -> Correction:
        """Undo the weight on positives of a binary cross entropy, (L,) or one number: z - log w.

        Example:
            >>> undo = Correction.from_pos_weight([9.0])
            >>> undo.probabilities([[0.0]]).round(3).tolist()
            [[0.1]]
        """
        w = _positive("pos_weight", pos_weight)
        weight = tuple(w.tolist())
        return cls("multilabel", _add(-np.log(w)), nominal_weight=weight, undoes=("pos_weight",))

    @classmethod
    def from_class_weights(cls, weight: ArrayLike) -> Correction:
        """Undo the class weights, (C,), of a cross entropy: z_y - log w_y.

        Example:
            >>> undo = Correction.from_class_weights([1.0, 3.0])
            >>> undo.probabilities([[0.0, 0.0]]).round(2).tolist()
            [[0.75, 0.25]]
        """
        ops = _add(-np.log(_positive("weight", weight)))
        return cls("multiclass", ops, undoes=("class_weights",))

    @classmethod
    def from_undersampling(cls, kept: ArrayLike) -> Correction:
        """Undo that only a share of the negatives was kept: z + log(kept).

        Args:
            kept: (L,) or one share in (0, 1].

        Example:
            >>> undo = Correction.from_undersampling(0.1)
            >>> undo.probabilities([[0.0]]).round(3).tolist()
            [[0.091]]

        References:
            Dal Pozzolo et al. (CIDM 2015), eq. 4.
        """
        share = _positive("kept", kept)
        if (share > 1).any():
            do = "Give the share of negatives that stayed, not the ratio."
            raise UsageError(say("kept", "lie in (0, 1]", float(share.max()), do))
        return cls.from_sampling_rates(1 / share, kind="multilabel")

    @classmethod
    def from_sampling_rates(cls, rates: ArrayLike, *, kind: Kind = "multiclass") -> Correction:
        """Undo a sampler that drew some classes more often than others: z - log(rate).

        Exact for classes and for one label. With several labels a row that is drawn for one label
        brings the others along, so it is approximate there.

        Args:
            rates: (C,) how often a row of each class was drawn; for labels (L,) how often a row
                with the label was drawn, for one without it.
            kind: "multiclass" or "multilabel".

        Example:
            >>> undo = Correction.from_sampling_rates([1.0, 9.0])
            >>> undo.probabilities([[0.0, 0.0]]).round(2).tolist()
            [[0.9, 0.1]]
        """
        r = _positive("rates", rates)
        labels = one_of("kind", kind, KINDS) == "multilabel"
        exactness: Exactness = "approximate" if labels and r.size > 1 else "exact"
        weight = tuple(r.tolist()) if labels else None
        ops, undoes = _add(-np.log(r)), ("sampling",)
        return cls(kind, ops, exactness, nominal_weight=weight, undoes=undoes)

    @classmethod
    def from_logit_adjustment(cls, prior: ArrayLike, *, tau: float = 1.0) -> Correction:
        """Undo a loss that was trained on z + tau log(prior): z + tau log(prior) is its posterior.

        Args:
            prior: (C,) class shares of the training rows, > 0.
            tau: Strength of the adjustment.

        Example:
            >>> undo = Correction.from_logit_adjustment([0.9, 0.1])
            >>> undo.probabilities([[0.0, 0.0]]).round(2).tolist()
            [[0.9, 0.1]]

        References:
            Menon et al. (ICLR 2021), eq. 10.
        """
        pi = _positive("prior", prior)
        pi = pi / pi.sum()
        shares, ops = tuple(pi.tolist()), _add(tau * np.log(pi))
        return cls("multiclass", ops, prior=shares, undoes=("logit_adjustment",))

    @property
    def is_identity(self) -> bool:
        """Whether outputs are already natural-prior logits."""
        return not self.ops and self.exactness == "exact"

    def apply(self, logits: ArrayLike, *, class_dim: int = -1) -> Floats:
        """Return natural-prior log-odds (labels) or log-posteriors (classes), (N, C) float64.

        Args:
            logits: (N, C) outputs of the model on the logit scale, any float type; with
                ``class_dim`` dense ones, which come back in their layout.
            class_dim: Axis of classes or labels: -1 for rows, 1 for (N, C, H, W), 2 for (N, T, C).

        Raises:
            NotRecoverableError: ``exactness`` is "none".
            ShapeError: the columns are not those that the steps were made for.
        """
        if self.exactness == "none":
            raise NotRecoverableError(
                "These outputs rank but carry no probability, and no formula recovers one. "
                "Fit a calibrator on validation data: tune(scores)."
            )
        if class_dim != -1:
            dense = to_dense("logits", logits, class_dim)
            moved = np.moveaxis(dense, class_dim, -1).shape
            made = self.apply(as_rows(dense, class_dim))
            return np.moveaxis(made.reshape(moved), -1, class_dim)
        values = np.asarray(to_array("logits", logits, ndim=2), dtype=np.float64)
        values = self._run(values)
        if self.kind == "multiclass":
            values = log_softmax(values)
        return values

    def _run(self, values: Floats) -> Floats:
        for op in self.ops:
            values = STEPS[op["op"]](values, op, self.kind)
        return values

    def probabilities(self, logits: ArrayLike, *, class_dim: int = -1) -> Floats:
        """Return the corrected probabilities, (N, C) float64; dense ones as :meth:`apply` does."""
        values = self.apply(logits, class_dim=class_dim)
        if self.kind == "multiclass":
            return np.asarray(np.exp(values))
        return expit(values)

    def then(self, later: Correction) -> Correction:
        """Return this correction followed by another: a loss, then the sampler beside it.

        The loss leads from the outputs back to the prior of the rows as they were drawn, the
        sampler from there to the natural prior; so ``later.prior`` is the prior of both. Weights
        on positives multiply, the lesser exactness counts, and the range of this correction is
        carried through the later steps, for labels.

        Raises:
            UsageError: the two are of different kinds, or undo the same thing twice.

        Example:
            >>> weight = Correction("multilabel", ({"op": "offset", "offset": [-np.log(4.0)]},))
            >>> twice = weight.then(weight)
            >>> twice.probabilities([[0.0]]).round(4).tolist()
            [[0.0588]]
        """
        if later.kind != self.kind:
            do = "Both must be for labels, or both for classes."
            raise UsageError(say("later.kind", f"be '{self.kind}'", repr(later.kind), do))
        twice = sorted(set(self.undoes) & set(later.undoes))
        if twice:
            do = "It is undone already: apply each correction once."
            raise UsageError(say("later", "undo something else", f"{twice[0]!r} again", do))
        worst = max(self.exactness, later.exactness, key=EXACTNESS.index)
        weights = [w for w in (self.nominal_weight, later.nominal_weight) if w is not None]
        weight: tuple[float, ...] | None = None
        if weights:
            weight = tuple(np.prod(np.broadcast_arrays(*weights), axis=0).tolist())
        prior = self.prior if later.prior is None else later.prior
        low, high = later._carry(self.valid_range)
        reach = max(low, later.valid_range[0]), min(high, later.valid_range[1])
        undoes = self.undoes + later.undoes
        return Correction(self.kind, self.ops + later.ops, worst, reach, prior, weight, undoes)

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

    def in_order(self, order: Sequence[int]) -> Correction:
        """Return the correction of the same outputs with their columns in another order.

        Args:
            order: For each new column the position of the old one.

        Example:
            >>> undo = Correction.from_pos_weight([9.0, 1.0]).in_order([1, 0])
            >>> undo.probabilities([[0.0, 0.0]]).round(2).tolist()
            [[0.5, 0.1]]
        """

        def moved(values: tuple[float, ...] | None) -> tuple[float, ...] | None:
            return values if values is None or len(values) < 2 else tuple(values[i] for i in order)

        return replace(
            self,
            ops=tuple(permute_step(op, order) for op in self.ops),
            prior=moved(self.prior),
            nominal_weight=moved(self.nominal_weight),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        fields = ("kind", "ops", "exactness", "valid_range", "prior", "nominal_weight", "undoes")
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


def _positive(name: str, value: ArrayLike) -> Floats:
    """Return (C,) finite numbers above 0."""
    array = np.atleast_1d(to_array(name, value, ndim=(0, 1))).astype(np.float64)
    if not (np.isfinite(array) & (array > 0)).all():
        do = "What was never drawn or weighs nothing cannot be recovered."
        raise UsageError(say(name, "hold finite numbers > 0", array.tolist(), do))
    return array


def _add(offset: Floats) -> tuple[Mapping[str, Any], ...]:
    return ({"op": "offset", "offset": offset.tolist()},)
