"""How much one probability may say where a model's probabilities come in steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from equipoise._core.arrays import Floats
from equipoise._core.logistic import expit, log_softmax
from equipoise._core.messages import say
from equipoise.artifacts._io import plain, to_float
from equipoise.artifacts.labels import Kind
from equipoise.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Limit what one probability says to what its model can resolve: (k p + prior) / (k + 1).

    A forest of 50 trees answers in steps of 1 / 50, a file with two decimals in steps of 0.01.
    Its 0 means "under one step", not "never"; taken at its word it is a log-odds of -708, and one
    such row outweighs all others in a calibrator. With k steps a value counts as k votes, and the
    prior as one more. The order of rows stays.

    Args:
        steps: (C,) k > 0 per label, the same for all classes; inf leaves a column as it is.
        prior: (C,) shares in (0, 1) that the one more vote goes to; for classes they sum to 1.

    Raises:
        DataError: numbers outside these ranges.

    Example:
        >>> forest = Evidence(np.array([50.0]), np.array([0.2]))
        >>> forest.log_odds(np.array([[0.0], [0.5], [1.0]]), "multilabel").round(2).ravel().tolist()
        [-5.54, -0.02, 4.14]

    References:
        Platt (1999), section 2.2, limits targets in this way; here it is the outputs.
    """

    steps: Floats
    prior: Floats

    def __post_init__(self) -> None:
        do = "Make the rule again with tune(scores)."
        if self.steps.ndim != 1 or not (self.steps > 0).all():
            raise DataError(say("evidence.steps", "be > 0, one per column", self.steps, do))
        inside = (self.prior > 0) & (self.prior < 1)
        if self.prior.shape != self.steps.shape or not inside.all():
            expected = "be shares in (0, 1), one per column"
            raise DataError(say("evidence.prior", expected, self.prior, do))

    def log_odds(self, probabilities: Floats, kind: Kind) -> Floats:
        """Return limited log-odds (labels) or log-probabilities (classes), (N, C)."""
        p = probabilities
        # Dividing by k keeps inf in range: p + prior / k over 1 + 1 / k.
        share = self.prior / self.steps
        above = p + share
        with np.errstate(divide="ignore"):
            # Columns without a limit may hold exact zeros, which their own floor handles.
            log_above = np.log(np.maximum(above, np.finfo(np.float64).tiny))
            if kind == "multiclass":
                return np.asarray(log_above - np.log1p(1 / self.steps))
            below = (1 - p) + (1 - self.prior) / self.steps
            return np.asarray(log_above - np.log(np.maximum(below, np.finfo(float).epsneg)))

    def of_logits(self, logits: Floats, kind: Kind) -> Floats:
        """Return the same for outputs on the logit scale."""
        p = expit(logits) if kind == "multilabel" else np.exp(log_softmax(logits))
        return self.log_odds(p, kind)

    def narrow(self, start: int, stop: int) -> Evidence:
        """Return the limits of the labels from ``start`` to ``stop``."""
        return Evidence(self.steps[start:stop], self.prior[start:stop])

    def describe(self, column: int) -> str:
        """Return a remark for one column, "" where nothing is limited."""
        k = self.steps[column]
        if not np.isfinite(k):
            return ""
        if k < 1.5:
            return "probabilities of 0 and 1 alone: each counts as one vote"
        return f"probabilities in steps of 1/{k:.3g}: 0 and 1 say no more than that"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        body: dict[str, Any] = plain({"steps": self.steps, "prior": self.prior})
        return body

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Evidence:
        """Read what :meth:`to_dict` wrote."""
        steps, prior = (
            np.array([to_float(v) for v in fields[k]], dtype=np.float64) for k in ("steps", "prior")
        )
        return cls(steps, prior)
