"""A decision rule: from scores to calibrated probabilities and decisions, with NumPy alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats, Ints
from equipoise._core.checks import require_finite, require_shape, require_type
from equipoise._core.dense import as_rows, to_dense
from equipoise._core.language import mark, said
from equipoise._core.logistic import expit, log_softmax
from equipoise._core.messages import one_of, say
from equipoise._core.text import as_html, table
from equipoise.artifacts._io import as_declared, plain, read_json, reading, to_float, write_json
from equipoise.artifacts.calibrator import Calibrator
from equipoise.artifacts.correction import Correction
from equipoise.artifacts.evidence import Evidence
from equipoise.artifacts.labels import KINDS, Kind, to_ids
from equipoise.artifacts.row_marks import RowMarks
from equipoise.artifacts.scores import SCORE_KINDS, Scores, SplitName
from equipoise.errors import DataError, EquipoiseError, ShapeError, UsageError

_FORMS = {"top_k": "multilabel", "budget": "multilabel", "costs": "multiclass"}


def check_choice(choice: Mapping[str, Any] | None, kind: Kind, width: int) -> None:
    """Raise unless ``choice`` is None or one of the closed set, for this kind and width."""
    if choice is None:
        return
    do = "Make the rule again with tune(scores)."
    form = choice.get("form")
    if _FORMS.get(str(form)) != kind:
        allowed = " or ".join(repr(f) for f, k in _FORMS.items() if k == kind)
        raise DataError(say("choice.form", f"be {allowed} for {kind}", repr(form), do))
    if form == "top_k" and not (isinstance(choice["k"], int) and 1 <= choice["k"] <= width):
        raise DataError(say("choice.k", f"lie in 1..{width}", repr(choice["k"]), do))
    if form == "budget" and not 0 < float(choice["flags_per_row"]) <= width:
        got = choice["flags_per_row"]
        raise DataError(say("choice.flags_per_row", f"lie in (0, {width}]", got, do))
    if form == "costs":
        costs = np.asarray(choice["costs"], dtype=np.float64)
        if costs.shape != (width, width) or not np.isfinite(costs).all():
            expected = f"be a finite {width} x {width} matrix"
            raise DataError(say("choice.costs", expected, f"shape {costs.shape}", do))


# Labels whose largest value stands for them where the first k of a row are looked for.
_TOGETHER = 64


def top_cells(values: Floats, k: int) -> tuple[Ints, Ints]:
    """Return rows and columns of the k highest values of each row, the first where equal.

    Example:
        >>> top_cells(np.array([[2.0, 1.0, 2.0], [0.0, 5.0, 7.0]]), 1)
        (array([0, 1]), array([0, 2]))
    """
    n, width = values.shape
    if width < 4 * k * _TOGETHER:
        first = np.argsort(-values, axis=1, kind="stable")[:, :k]
        return np.repeat(np.arange(n), k), first.ravel()
    # At least k values reach the k-th largest of the groups' largest ones; few others do.
    largest = np.maximum.reduceat(values, np.arange(0, width, _TOGETHER), axis=1)
    least = np.partition(largest, largest.shape[1] - k, axis=1)[:, -k]
    near = values >= least[:, None]
    tied = near.sum(axis=1) > max(width // 8, k)
    if tied.any():  # many equal values, such as zeros of a sparse model: sorted as they are
        columns = np.empty((n, k), dtype=np.int64)
        columns[tied] = np.argsort(-values[tied], axis=1, kind="stable")[:, :k]
        if not tied.all():
            columns[~tied] = top_cells(values[~tied], k)[1].reshape(-1, k)
        return np.repeat(np.arange(n), k), columns.ravel()
    rows, columns = np.divmod(np.flatnonzero(near), width)
    order = np.lexsort((columns, -values[rows, columns], rows))
    rows, columns = rows[order], columns[order]
    first = np.searchsorted(rows, np.arange(n))[:, None] + np.arange(k)
    return rows[first.ravel()], columns[first.ravel()]


def choose(values: Floats, choice: Mapping[str, Any]) -> NDArray[Any]:
    """Return flags (N, L) int8, or classes (N,) int64 for a cost matrix.

    "top_k" flags the k labels of each row with the highest log-odds, the first label where they
    are equal. "budget" flags the cells of the batch with the highest log-odds, never more than
    ``flags_per_row`` times the rows: cells tied at the border are all left out. "costs" takes the
    class with the least expected cost, ``costs[truth][decision]``.

    Example:
        >>> z = np.array([[2.0, 1.0], [0.0, -1.0]])
        >>> choose(z, {"form": "top_k", "k": 1}).tolist()
        [[1, 0], [1, 0]]
        >>> choose(z, {"form": "budget", "flags_per_row": 1.0}).tolist()
        [[1, 1], [0, 0]]
    """
    if choice["form"] == "costs":
        expected = np.exp(values) @ np.asarray(choice["costs"], dtype=np.float64)
        return np.asarray(np.argmin(expected, axis=1), dtype=np.int64)
    flags = np.zeros(values.shape, dtype=np.int8)
    if choice["form"] == "top_k":
        flags[top_cells(values, int(choice["k"]))] = 1
        return flags
    allowed = int(np.floor(float(choice["flags_per_row"]) * values.shape[0] + 1e-9))
    if allowed >= values.size:
        return np.ones_like(flags)
    place = values.size - allowed - 1
    border = np.partition(values, place, axis=None)[place]
    return np.asarray(values > border, dtype=np.int8)


_SCHEMA, _VERSION, _OLDER = "equipoise.DecisionRule", 3, (2,)
_AGAIN = "Make the rule again with tune(scores)."
OBJECTIVES: Mapping[str, tuple[str, ...]] = {
    "multilabel": (
        "f1", "cost", "balanced_accuracy", "mcc", "precision", "recall", "net_benefit",
        "prevalence", "budget", "top_k", "rescale",
    ),
    "multiclass": ("balanced_accuracy", "accuracy", "macro_f1", "cost", "rescale"),
}  # fmt: skip
# What a rule is for whose cuts a person has set: no objective of the tuner.
BY_HAND = "by_hand"
GRADES: Mapping[str, str] = {
    "A": "100 or more validation positives",
    "B": "50 to 99 positives, or no better than the default rule on cross-fitted rows",
    "C": "10 to 49 positives",
    "D": "fewer than 10, or clearly worse than the default rule on cross-fitted rows",
}
# Slopes and shifts beyond these come from no fit, and send every log-odds to one side.
_LEAST_SCALE, _MOST_SCALE = 1e-30, 1e30
_MOST_SHIFT, _MOST_CUT = 1e4, 1e305


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
        objective: What the thresholds are for, for example "f1"; "by_hand" where they were set.
        target_prior: "validation", "uniform", or the declared prior as a list.
        tuned_on: Part, number of rows, fingerprint and kind of the scores it was tuned on.
        rows: Hashes of those rows' ids, groups and scores, to find rows it is judged on.
        score_names: Names of the score columns that it was tuned on, in the order of ``names``.
        evidence: What one probability may say where they come in steps; None where they do not.
        grades: (C,) "A" to "D" by validation positives (100, 50, 10); "D" too where the rule
            decides worse than the default rule on its own cross-fitted rows.
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
        prior: (C,) shares that the probabilities refer to; empty where not stated.
        decided: (C,) share of rows decided as each label or class where it was tuned; empty
            where not stated.

    Raises:
        DataError: lengths that do not match the names, thresholds for classes, or numbers that
            no fit gives.
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
    rows: RowMarks = field(default_factory=RowMarks)
    score_names: tuple[str, ...] = ()
    evidence: Evidence | None = None
    grades: tuple[str, ...] = ()
    claimed: Floats = field(default_factory=lambda: np.array([]))
    cross_fitted: Floats = field(default_factory=lambda: np.array([]))
    notes: tuple[str, ...] = ()
    measure: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    threshold_low: Floats = field(default_factory=lambda: np.array([]))
    threshold_high: Floats = field(default_factory=lambda: np.array([]))
    choice: Mapping[str, Any] | None = None
    prior: Floats = field(default_factory=lambda: np.array([]))
    decided: Floats = field(default_factory=lambda: np.array([]))

    def __str__(self) -> str:
        """A line per label: evidence, calibration, threshold, claimed and cross-fitted."""
        return "\n".join(_parts(self))

    def _repr_html_(self) -> str:
        return as_html(_parts(self))

    def __post_init__(self) -> None:
        width = len(self.names)
        if not all(isinstance(name, str) for name in (*self.names, *self.score_names)):
            raise DataError(say("names", "be texts", list(self.names), _AGAIN))
        if width == 0 or len(set(self.names)) < width:
            raise DataError(say("names", "be distinct, one per column", list(self.names), _AGAIN))
        self._check_lengths(width)
        for name, value in (
            ("prior_shift", self.prior_shift),
            ("calibrator.scale", self.calibrator.scale),
            ("calibrator.offset", self.calibrator.offset),
            ("class_offset", self.class_offset),
        ):
            if value is not None:
                require_finite(name, value, _AGAIN)
        if np.abs(self.prior_shift).max() > _MOST_SHIFT:
            expected, got = f"lie within +-{_MOST_SHIFT:g}", self.prior_shift.tolist()
            raise DataError(say("prior_shift", expected, got, _AGAIN))
        if np.abs(self.calibrator.offset).max() > _MOST_SCALE:
            expected, got = f"lie within +-{_MOST_SCALE:g}", self.calibrator.offset.tolist()
            raise DataError(say("calibrator.offset", expected, got, _AGAIN))
        scale = self.calibrator.scale
        if ((scale < _LEAST_SCALE) | (scale > _MOST_SCALE)).any():
            expected = f"lie in [{_LEAST_SCALE:g}, {_MOST_SCALE:g}]"
            raise DataError(say("calibrator.scale", expected, scale.tolist(), _AGAIN))
        if (self.thresholds is None) == (self.kind == "multilabel"):
            expected = "be given for labels and only for labels"
            raise DataError(say("thresholds", expected, self.thresholds, _AGAIN))
        if (self.class_offset is not None) and self.kind == "multilabel":
            raise DataError(say("class_offset", "be left out for labels", "numbers", _AGAIN))
        check_choice(self.choice, self.kind, width)
        self._check_thresholds()
        self._check_words()
        self._check_correction(width)

    def _check_lengths(self, width: int) -> None:
        for name in ("prior_shift", "thresholds", "class_offset"):
            value = getattr(self, name)
            if value is not None:
                require_shape(name, value, (width,), _AGAIN)
        for name in ("scale", "offset"):
            require_shape(f"calibrator.{name}", getattr(self.calibrator, name), (width,), _AGAIN)
        if self.evidence is not None:
            require_shape("evidence.steps", self.evidence.steps, (width,), _AGAIN)
        optional = ("grades", "notes", "claimed", "cross_fitted", "threshold_low",
                    "threshold_high", "score_names", "prior", "decided")  # fmt: skip
        fitted = self.calibrator
        for name, size in (
            *((name, len(getattr(self, name))) for name in optional),
            ("calibrator.knots", len(fitted.knots)),
            ("calibrator.effective_weight", fitted.effective_weight.size),
        ):
            if size not in (0, width):
                raise DataError(say(name, f"have one entry per label = {width}", size, _AGAIN))
        if len(fitted.method) != width:
            expected = f"have one entry per label = {width}"
            raise DataError(say("calibrator.method", expected, len(fitted.method), _AGAIN))

    def _check_thresholds(self) -> None:
        if self.thresholds is None:
            return
        finite = self.thresholds[np.isfinite(self.thresholds)]
        if finite.size and np.abs(finite).max() > _MOST_CUT:
            expected = f"be inf or lie within +-{_MOST_CUT:g}"
            raise DataError(say("thresholds", expected, self.thresholds.tolist(), _AGAIN))
        if np.isnan(self.thresholds).any():
            raise DataError(say("thresholds", "be numbers (inf never flags)", "NaN", _AGAIN))
        # Only where no threshold decides is there a cut that flags every row.
        if self.choice is None and np.isneginf(self.thresholds).any():
            raise DataError(say("thresholds", "flag some rows and not others", "-inf", _AGAIN))

    def _check_words(self) -> None:
        known = OBJECTIVES[self.kind]
        f_beta = self.kind == "multilabel" and re.fullmatch(r"f\d+(\.\d+)?", self.objective)
        if self.objective not in (*known, BY_HAND) and not f_beta:
            expected = f"be one of {', '.join(known)} for {self.kind}"
            raise DataError(say("objective", expected, repr(self.objective), _AGAIN))
        odd = sorted(set(self.grades) - set(GRADES))
        if odd:
            raise DataError(say("grades", f"be of {', '.join(GRADES)}", odd, _AGAIN))
        for name in ("prior", "decided"):
            shares = np.asarray(getattr(self, name))
            if not ((shares >= 0) & (shares <= 1)).all():
                raise DataError(say(name, "hold shares in [0, 1]", shares.tolist(), _AGAIN))
        kind = self.tuned_on.get("score_kind", "logits")
        if kind not in SCORE_KINDS:
            raise DataError(say("tuned_on.score_kind", f"be one of {SCORE_KINDS}", kind, _AGAIN))
        rows = self.tuned_on.get("n_rows", 1)
        if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
            raise DataError(say("tuned_on.n_rows", "be a whole number >= 1", rows, _AGAIN))
        part = self.tuned_on.get("split", "val")
        if part not in ("val", "oof"):
            raise DataError(say("tuned_on.split", "be 'val' or 'oof'", repr(part), _AGAIN))
        if isinstance(self.target_prior, str):
            one_of("target_prior", self.target_prior, ("validation", "uniform"))
            return
        shares = np.asarray(self.target_prior, dtype=np.float64)
        require_shape("target_prior", shares, (len(self.names),), _AGAIN)
        if not ((shares > 0) & (shares < 1)).all():
            raise DataError(say("target_prior", "hold shares in (0, 1)", shares.tolist(), _AGAIN))

    def _check_correction(self, width: int) -> None:
        """Run the correction on one row: steps of another width or kind do not fit."""
        if self.correction is None:
            return
        if self.correction.kind != self.kind:
            got = repr(self.correction.kind)
            raise DataError(say("correction.kind", f"be '{self.kind}'", got, _AGAIN))
        if self.correction.exactness != "none":
            try:
                made = self.correction.apply(np.zeros((1, width)))
            except (EquipoiseError, ValueError) as error:
                expected = f"fit {width} columns"
                raise DataError(say("correction", expected, str(error), _AGAIN)) from error
            require_finite("correction at a logit of 0", made, _AGAIN)

    def align(self, scores: Scores) -> Scores:
        """Return scores with their columns in the rule's order: names bind, positions do not.

        Raises:
            DataError: other columns or another kind of scores than it was tuned on, or another
                correction.
        """
        do = 'Make them: Scores.from_arrays(None, logits=..., split="new", kind=..., names=...).'
        require_type("scores", scores, Scores, do)
        if scores.kind != self.kind or set(scores.names) != set(self.names):
            raise DataError(
                say(
                    "scores",
                    f"be {self.kind} with columns {list(self.names)}",
                    f"{scores.kind} with {list(scores.names)}",
                    "Apply the rule to scores of the model it was tuned for.",
                )
            )
        moved = scores.in_order(self.names)
        tuned = self.tuned_on.get("score_kind", "ranking")
        wanted = ("logits", "probabilities") if self.correction is not None else (tuned,)
        if moved.score_kind not in wanted:
            expected = f"be of kind {' or '.join(wanted)}, as those it was tuned on"
            do = "Write validation and new scores in the same way."
            raise DataError(say("scores", expected, repr(moved.score_kind), do))
        if moved.correction is not None and not self._same_way_back(moved.correction):
            expected = "carry the correction the rule was tuned with"
            do = "Apply the rule to scores of the model it was tuned for."
            raise DataError(say("scores", expected, "another one", do))
        return moved

    def _same_way_back(self, other: Correction) -> bool:
        if self.correction is None:
            return True
        mine, theirs = self.correction.to_dict(), other.to_dict()
        return all(mine[key] == theirs[key] for key in ("ops", "exactness"))

    def log_odds(self, scores: Scores) -> Floats:
        """Return calibrated log-odds (labels) or log-probabilities (classes) at the target prior.

        The rule's own correction is used, so scores may come without one. Columns are matched by
        name.

        Returns:
            (N, C) float64.

        Raises:
            DataError: other columns, another kind of scores, or another correction than those of
                the scores that the rule was tuned on.
        """
        return self._log_odds(self.align(scores), 0, len(self.names))

    def log_odds_of(self, scores: Scores, start: int, stop: int) -> Floats:
        """Return what :meth:`log_odds` does for the labels from ``start`` to ``stop`` alone.

        Args:
            scores: What :meth:`Scores.narrow` returns for them, of scores that are aligned.
            start: First label.
            stop: The label behind the last.

        Returns:
            (N, ``stop - start``) float64.
        """
        return self._log_odds(scores, start, stop)

    def _log_odds(self, moved: Scores, start: int, stop: int) -> Floats:
        whole = stop - start == len(self.names)
        correction, evidence, calibrator = self.correction, self.evidence, self.calibrator
        if not whole:
            columns = range(start, stop)
            correction = None if correction is None else correction.in_order(columns)
            evidence = None if evidence is None else evidence.narrow(start, stop)
            calibrator = calibrator.narrow(start, stop)
        if evidence is None:
            logits = moved.logits()
        elif moved.score_kind == "probabilities":
            logits = evidence.log_odds(moved.values, self.kind)
        else:
            logits = evidence.of_logits(moved.values, self.kind)
        natural = logits if correction is None else correction.apply(logits)
        shifted = calibrator.apply(natural) + self.prior_shift[start:stop]
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

    def apply_dense(
        self,
        outputs: ArrayLike,
        *,
        class_dim: int = 1,
        image_ids: ArrayLike | None = None,
        split: SplitName = "new",
    ) -> Decisions:
        """Return calibrated probabilities and decisions of dense outputs, in their layout.

        Args:
            outputs: (N, C, H, W) or (N, C, T) for ``class_dim`` 1, (N, T, C) for 2, of the kind of
                scores that the rule was tuned on; columns in the order of the rule's names.
            class_dim: Axis of the classes or labels; -1 is last.
            image_ids: (N,) that the decisions carry as ids, or None.
            split: Of the scores.

        Returns:
            Probabilities in the shape of ``outputs``; predictions too for labels, and without the
            axis of classes, (N, H, W), for classes. Ids are those of images.

        Example:
            >>> rule = DecisionRule(
            ...     "multiclass", ("A", "B"), Correction.identity("multiclass"),
            ...     Calibrator.identity(2), np.zeros(2), None, np.zeros(2), "accuracy",
            ...     "validation", {},
            ... )
            >>> made = rule.apply_dense(np.array([[[[0.0, 2.0]], [[1.0, 0.0]]]]))
            >>> made.predictions.tolist(), made.probabilities.shape
            ([[[1, 0]]], (1, 2, 1, 2))
        """
        dense = to_dense("outputs", outputs, class_dim)
        kind = self.tuned_on.get("score_kind", "logits")
        given: dict[str, Any] = {kind: as_rows(dense, class_dim)}
        if dense.shape[class_dim] != len(self.names):
            wanted = f"have {len(self.names)} classes or labels on axis {class_dim}"
            do = "Apply the rule to outputs of the model it was tuned for."
            raise ShapeError(say("outputs", wanted, dense.shape, do))
        scores = Scores.from_arrays(
            None, split=split, kind=self.kind, names=self.names, check_kind=False, **given
        )
        made = self.apply(scores)
        moved = np.moveaxis(dense, class_dim, -1).shape
        probabilities = np.moveaxis(made.probabilities.reshape(moved), -1, class_dim)
        if self.kind == "multiclass":
            predictions = made.predictions.reshape(moved[:-1])
        else:
            predictions = np.moveaxis(made.predictions.reshape(moved), -1, class_dim)
        ids = to_ids("image_ids", image_ids, dense.shape[0], unique=True)
        return Decisions(probabilities, predictions, self.names, ids)

    def decide(self, log_odds: Floats) -> NDArray[Any]:
        """Return the decisions from what :meth:`log_odds` returned: (N, L) int8 or (N,) int64."""
        if self.choice is not None:
            return choose(log_odds, self.choice)
        if self.thresholds is not None:
            return np.asarray(log_odds >= self.thresholds, dtype=np.int8)
        offset = 0.0 if self.class_offset is None else self.class_offset
        return np.asarray(np.argmax(log_odds + offset, axis=1), dtype=np.int64)

    def set_by_hand(self, cuts: Floats, *, target_prior: Floats | None = None) -> DecisionRule:
        """Return the same rule with other cuts, which say of themselves that they were set by hand.

        It claims nothing of its rows, on which nobody has tuned these cuts.

        Args:
            cuts: (L,) thresholds on log-odds, or (C,) offsets of classes, at ``target_prior``.
            target_prior: (C,) share of each label or class where it will decide; None leaves it.

        Raises:
            UsageError: a target prior where the rule does not say what its own is.

        Example:
            >>> rule = DecisionRule(
            ...     "multilabel", ("A",), Correction.identity("multilabel"),
            ...     Calibrator.identity(1), np.zeros(1), np.zeros(1), None, "f1", "validation", {},
            ... )
            >>> moved = rule.set_by_hand(np.array([-1.0]))
            >>> moved.objective, moved.notes, moved.decide(np.array([[-0.5]])).tolist()
            ('by_hand', ('cut set by hand',), [[1]])
        """
        width, labelled = len(self.names), self.kind == "multilabel"
        empty: Floats = np.array([])
        made = replace(
            self,
            thresholds=np.asarray(cuts, dtype=np.float64) if labelled else None,
            class_offset=None if labelled else np.asarray(cuts, dtype=np.float64),
            objective=BY_HAND,
            measure="",
            parameters={},
            choice=None,
            claimed=empty,
            cross_fitted=empty,
            threshold_low=empty,
            threshold_high=empty,
            decided=empty,
            notes=("cut set by hand",) * width,
        )
        if target_prior is None:
            return made
        if self.prior.size == 0:
            do = "Make the rule again with tune(scores)."
            raise UsageError(say("target_prior", "move a prior that the rule states", "none", do))
        new, old = np.asarray(target_prior, dtype=np.float64), self.prior
        shift = np.log(new) - np.log(old)
        if labelled:
            shift = shift - (np.log1p(-new) - np.log1p(-old))
        return replace(
            made,
            prior_shift=self.prior_shift + shift,
            target_prior=tuple(new.tolist()),
            prior=new,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        own = ("correction", "calibrator", "evidence", "rows")
        body = {name: getattr(self, name) for name in self.__slots__ if name not in own}
        body["correction"] = None if self.correction is None else self.correction.to_dict()
        body["calibrator"] = self.calibrator.to_dict()
        body["evidence"] = None if self.evidence is None else self.evidence.to_dict()
        body["rows"] = self.rows.to_dict()
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
        body = read_json(path, _SCHEMA, _VERSION, _OLDER)
        if body["version"] in _OLDER:
            body = _from_version_2(body)
        with reading(path, _SCHEMA):
            return cls.from_dict(body)

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> DecisionRule:
        """Read what :meth:`to_dict` wrote; what is missing or of another form raises."""

        def floats(name: str) -> Floats:
            return np.array([to_float(v) for v in body[name]], dtype=np.float64)

        target, evidence = body["target_prior"], body["evidence"]
        correction = body["correction"]
        made = cls(
            kind=one_of("kind", body["kind"], KINDS),
            names=_texts(body["names"]),
            correction=None if correction is None else Correction.from_dict(correction),
            calibrator=Calibrator.from_dict(body["calibrator"]),
            prior_shift=floats("prior_shift"),
            thresholds=None if body["thresholds"] is None else floats("thresholds"),
            class_offset=None if body["class_offset"] is None else floats("class_offset"),
            objective=body["objective"],
            target_prior=target if isinstance(target, str) else tuple(target),
            tuned_on=dict(body["tuned_on"]),
            rows=RowMarks.from_dict(body["rows"]),
            score_names=_texts(body["score_names"]),
            evidence=None if evidence is None else Evidence.from_dict(evidence),
            grades=_texts(body["grades"]),
            claimed=floats("claimed"),
            cross_fitted=floats("cross_fitted"),
            notes=_texts(body["notes"]),
            measure=body["measure"],
            parameters=dict(body["parameters"]),
            threshold_low=floats("threshold_low"),
            threshold_high=floats("threshold_high"),
            choice=None if body["choice"] is None else dict(body["choice"]),
            prior=floats("prior"),
            decided=floats("decided"),
        )
        return as_declared(made)


def _texts(value: Any) -> tuple[str, ...]:
    """Return a list of texts as a tuple; a single text is no list of its letters."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"a list of texts was expected, got {value!r:.60}")
    return tuple(value)


def _from_version_2(body: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an earlier rule, which kept hashes of ids alone."""
    later: dict[str, Any] = {
        "rows": {"ids": body.get("id_hashes")},
        "score_names": [],
        "evidence": None,
        "prior": [],
        "decided": [],
    }
    return later | body


_MOST_LINES = 40


def _parts(rule: DecisionRule) -> list[str]:
    """Return one line per label, of many the first."""
    width = len(rule.names)
    cuts = [""] * width
    if rule.thresholds is not None:
        cuts = [f"{p:.4f}" for p in expit(rule.thresholds)]
    notes, shared = _apart(rule.notes or [""] * width)
    notes = [said(note) for note in notes]
    # What was not tuned here, but put together by hand, has no grades and claims nothing.
    grades = rule.grades or [""] * width
    claims = [
        [f"{v:.3f}" for v in values] if len(values) else [""] * width
        for values in (rule.claimed, rule.cross_fitted)
    ]
    columns = (rule.names, grades, rule.calibrator.method, cuts, *claims, notes)
    rows = [list(row) for row in zip(*columns, strict=True)]
    measure = f"{said(rule.measure or rule.objective)} {said('claimed')}"
    words = [said(word) for word in ("label", "grade", "calibration", "threshold")]
    head = [*words, measure, said("cross-fitted"), ""]
    lines: list[str] = [table(head, rows[:_MOST_LINES])]
    if width > _MOST_LINES:
        lines.append(f"... {said(f'and {width - _MOST_LINES:,} more')}")
    lines += map(said, shared)
    if rule.grades:
        told = mark("; ").join(f"{g} {said(GRADES[g])}" for g in sorted(set(rule.grades)))
        lines.append(f"{said('grade')}{mark(': ')}{told}")
    if rule.score_names and rule.score_names != rule.names:
        pairs = zip(rule.score_names, rule.names, strict=False)
        lines.append(said(f"score columns: {', '.join(f'{c} -> {n}' for c, n in pairs)}"))
    return lines


def _apart(notes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the notes of each label, and apart from them what all labels have in common."""
    split = [note.split("; ") if note else [] for note in notes]
    if len(split) < 2:
        return list(notes), []
    shared = [part for part in split[0] if all(part in other for other in split[1:])]
    return ["; ".join(p for p in parts if p not in shared) for parts in split], shared
