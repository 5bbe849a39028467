"""A decision rule: from scores to calibrated probabilities and decisions, with NumPy alone."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.checks import one_of, require_finite, require_shape, say
from equipoise._core.logistic import expit, log_softmax
from equipoise.artifacts._choice import check_choice, choose
from equipoise.artifacts._io import plain, read_json, reading, to_float, write_json
from equipoise.artifacts.calibrator import Calibrator
from equipoise.artifacts.correction import Correction
from equipoise.artifacts.labels import KINDS, Kind
from equipoise.artifacts.scores import Scores
from equipoise.errors import DataError

__all__ = ["DecisionRule", "Decisions", "hash_ids"]

Floats = NDArray[np.float64]
_SCHEMA, _VERSION = "equipoise.DecisionRule", 2


def hash_ids(ids: NDArray[Any]) -> NDArray[np.uint64]:
    """Return one 64-bit hash per row id, sorted, so an overlap is found without keeping ids."""
    hashes = [hashlib.blake2b(str(i).encode(), digest_size=8).digest() for i in ids.tolist()]
    return np.sort(np.frombuffer(b"".join(hashes), dtype="<u8"))


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """What a rule says about N rows.

    Args:
        probabilities: (N, C) calibrated, at the rule's target prior.
        predictions: (N, L) int8 flags, or (N,) int64 classes.
        names: One name per class or label.
        ids: The row ids of the scores, or None.
    """

    probabilities: Floats
    predictions: NDArray[Any]
    names: tuple[str, ...]
    ids: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DecisionRule:
    """From a model's scores to decisions: correction, calibration, prior shift, thresholds.

    Args:
        kind: "multiclass" or "multilabel".
        names: One name per class or label.
        correction: Outputs to natural-prior log-odds; None for scores of kind "ranking".
        calibrator: Fitted on validation data.
        prior_shift: (C,) added to calibrated log-odds: log-odds (or log) of target over
            validation prior; zeros where the target is the validation data.
        thresholds: (L,) cuts on calibrated, shifted log-odds for labels (a row is flagged at or
            above; inf never flags). None for classes.
        class_offset: (C,) added before the argmax for classes. None for labels.
        objective: What the thresholds are for, for example "f1".
        target_prior: "validation", "uniform", or the declared prior as a list.
        tuned_on: Part, number of rows, fingerprint and kind of the scores it was tuned on.
        id_hashes: Sorted 64-bit hashes of those rows' ids, or None where there were no ids.
        grades: (C,) "A" to "D" by validation positives (100, 50, 10).
        claimed: (C,) the measure on the rows it was tuned on; optimistic.
        cross_fitted: (C,) the same with calibration and threshold made on other folds.
        notes: Remarks per label, for example "threshold below prevalence".
        measure: What ``claimed`` and ``cross_fitted`` hold, for example "f1" or "cost".
        parameters: What the objective was given, for example ``{"at_least": 0.9}``.
        threshold_low: (L,) lower quartile of the threshold over bootstrap rounds, NaN where there
            were none; empty for classes and closed forms.
        threshold_high: (L,) upper quartile.
        choice: None where thresholds or offsets decide. Else ``form`` "top_k" (``k`` labels per
            row), "budget" (``flags_per_row`` over a batch; ``thresholds`` then hold the cut that
            met it on validation, for rows that come one by one) or "costs" (``costs``, C x C).

    Raises:
        DataError: lengths that do not match the names, or thresholds for classes.
    """

    kind: Kind
    names: tuple[str, ...]
    correction: Correction | None
    calibrator: Calibrator
    prior_shift: Floats
    thresholds: Floats | None
    class_offset: Floats | None
    objective: str
    target_prior: str | tuple[float, ...]
    tuned_on: Mapping[str, Any]
    id_hashes: NDArray[np.uint64] | None = None
    grades: tuple[str, ...] = ()
    claimed: Floats = field(default_factory=lambda: np.array([]))
    cross_fitted: Floats = field(default_factory=lambda: np.array([]))
    notes: tuple[str, ...] = ()
    measure: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    threshold_low: Floats = field(default_factory=lambda: np.array([]))
    threshold_high: Floats = field(default_factory=lambda: np.array([]))
    choice: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        width, do = (len(self.names),), "Make the rule again with tune(scores)."
        for name in ("prior_shift", "thresholds", "class_offset"):
            value = getattr(self, name)
            if value is not None:
                require_shape(name, value, width, do)
        for name in ("scale", "offset"):
            require_shape(f"calibrator.{name}", getattr(self.calibrator, name), width, do)
        for name, value in (
            ("prior_shift", self.prior_shift),
            ("calibrator.scale", self.calibrator.scale),
            ("calibrator.offset", self.calibrator.offset),
            ("class_offset", self.class_offset),
        ):
            if value is not None:
                require_finite(name, value, do)
        if self.thresholds is not None and np.isnan(self.thresholds).any():
            raise DataError(say("thresholds", "be numbers (inf never flags)", "NaN", do))
        if (self.thresholds is None) == (self.kind == "multilabel"):
            expected = "be given for labels and only for labels"
            raise DataError(say("thresholds", expected, self.thresholds, do))
        check_choice(self.choice, self.kind, len(self.names))

    def _check(self, scores: Scores) -> None:
        if scores.kind != self.kind or scores.names != self.names:
            raise DataError(
                say(
                    "scores",
                    f"be {self.kind} with columns {list(self.names)}",
                    f"{scores.kind} with {list(scores.names)}",
                    "Apply the rule to scores of the model it was tuned for.",
                )
            )
        tuned = self.tuned_on.get("score_kind", "ranking")
        wanted = ("logits", "probabilities") if self.correction is not None else (tuned,)
        if scores.score_kind not in wanted:
            expected = f"be of kind {' or '.join(wanted)}, as those it was tuned on"
            do = "Write validation and new scores in the same way."
            raise DataError(say("scores", expected, repr(scores.score_kind), do))
        if scores.correction is not None and not self._same_way_back(scores.correction):
            expected = "carry the correction the rule was tuned with"
            do = "Apply the rule to scores of the model it was tuned for."
            raise DataError(say("scores", expected, "another one", do))

    def _same_way_back(self, other: Correction) -> bool:
        if self.correction is None:
            return True
        mine, theirs = self.correction.to_dict(), other.to_dict()
        return all(mine[key] == theirs[key] for key in ("ops", "exactness"))

    def log_odds(self, scores: Scores) -> Floats:
        """Return calibrated log-odds (labels) or log-probabilities (classes) at the target prior.

        The rule's own correction is used, so scores may come without one.

        Returns:
            (N, C) float64.

        Raises:
            DataError: other columns, another kind of scores, or another correction than those of
                the scores that the rule was tuned on.
        """
        self._check(scores)
        logits = scores.logits()
        natural = logits if self.correction is None else self.correction.apply(logits)
        shifted = self.calibrator.apply(natural) + self.prior_shift
        if self.kind == "multiclass":
            return log_softmax(shifted)
        return shifted

    def apply(self, scores: Scores) -> Decisions:
        """Return calibrated probabilities and decisions for new scores; needs NumPy alone.

        Example:
            >>> rule = DecisionRule(
            ...     "multilabel", ("A",), Correction.identity("multilabel"),
            ...     Calibrator.identity(1), np.zeros(1), np.array([-1.0]), None, "f1",
            ...     "validation", {},
            ... )
            >>> new = Scores.from_arrays(
            ...     None, logits=[[-2.0], [0.0]], split="new", kind="multilabel", names=["A"]
            ... )
            >>> made = rule.apply(new)
            >>> made.probabilities.round(3).ravel().tolist(), made.predictions.ravel().tolist()
            ([0.119, 0.5], [0, 1])
        """
        values = self.log_odds(scores)
        probabilities = expit(values) if self.kind == "multilabel" else np.exp(values)
        return Decisions(probabilities, self.decide(values), self.names, scores.ids)

    def decide(self, log_odds: Floats) -> NDArray[Any]:
        """Return the decisions from what :meth:`log_odds` returned: (N, L) int8 or (N,) int64."""
        if self.choice is not None:
            return choose(log_odds, self.choice)
        if self.thresholds is not None:
            return np.asarray(log_odds >= self.thresholds, dtype=np.int8)
        offset = 0.0 if self.class_offset is None else self.class_offset
        return np.asarray(np.argmax(log_odds + offset, axis=1), dtype=np.int64)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        hashes = None
        if self.id_hashes is not None:
            hashes = base64.b64encode(self.id_hashes.astype("<u8").tobytes()).decode()
        own = ("correction", "calibrator", "id_hashes")
        body = {name: getattr(self, name) for name in self.__slots__ if name not in own}
        body["correction"] = None if self.correction is None else self.correction.to_dict()
        body["calibrator"] = self.calibrator.to_dict()
        body["id_hashes"] = hashes
        if self.thresholds is not None:
            body["threshold_probabilities"] = expit(self.thresholds)
        plain_body: dict[str, Any] = plain(body)
        return plain_body

    def save(self, path: str | Path) -> Path:
        """Write as JSON."""
        return write_json(path, _SCHEMA, _VERSION, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> DecisionRule:
        """Read what :meth:`save` wrote."""
        body = read_json(path, _SCHEMA, _VERSION)

        def floats(name: str) -> Floats:
            return np.array([to_float(v) for v in body[name]], dtype=np.float64)

        with reading(path, _SCHEMA):
            hashes, target = body["id_hashes"], body["target_prior"]
            correction = body["correction"]
            return cls(
                kind=one_of("kind", body["kind"], KINDS),
                names=tuple(body["names"]),
                correction=None if correction is None else Correction.from_dict(correction),
                calibrator=Calibrator.from_dict(body["calibrator"]),
                prior_shift=floats("prior_shift"),
                thresholds=None if body["thresholds"] is None else floats("thresholds"),
                class_offset=None if body["class_offset"] is None else floats("class_offset"),
                objective=body["objective"],
                target_prior=target if isinstance(target, str) else tuple(target),
                tuned_on=dict(body["tuned_on"]),
                id_hashes=None if hashes is None else _unpack(hashes),
                grades=tuple(body["grades"]),
                claimed=floats("claimed"),
                cross_fitted=floats("cross_fitted"),
                notes=tuple(body["notes"]),
                measure=str(body["measure"]),
                parameters=dict(body["parameters"]),
                threshold_low=floats("threshold_low"),
                threshold_high=floats("threshold_high"),
                choice=None if body["choice"] is None else dict(body["choice"]),
            )


def _unpack(text: str) -> NDArray[np.uint64]:
    return np.frombuffer(base64.b64decode(text), "<u8").astype(np.uint64)
