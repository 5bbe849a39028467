"""Scores: what a model says about rows; their kind is declared, the way back is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import (
    one_of,
    require_finite,
    require_shape,
    say,
    to_array,
    to_floats,
)
from equipoise._core.fingerprint import fingerprint_array
from equipoise.artifacts._io import read_column, read_table, reading, write_table
from equipoise.artifacts.correction import Correction
from equipoise.artifacts.labels import KINDS, Kind, Labels, pick_rows, to_ids
from equipoise.errors import DataError, NotRecoverableError, ShapeError, UsageError

__all__ = ["PARTS", "Part", "ScoreKind", "Scores"]

ScoreKind = Literal["logits", "probabilities", "ranking"]
Part = Literal["train", "val", "oof", "test", "new"]
SCORE_KINDS: tuple[ScoreKind, ...] = ("logits", "probabilities", "ranking")
PARTS: tuple[Part, ...] = ("train", "val", "oof", "test", "new")
_SCHEMA, _VERSION = "equipoise.Scores", 1
# Softmax in float32 may end a rounding error above 1.
ROUNDING = 1e-6
_TINY = np.finfo(np.float64).tiny


def _check_kind(values: NDArray[np.float64], score_kind: ScoreKind, kind: Kind) -> None:
    if score_kind == "probabilities":
        if values.min() < -ROUNDING or values.max() > 1 + ROUNDING:
            raise DataError(
                say(
                    "probabilities",
                    "lie in [0, 1]",
                    f"{values.min():.4g} to {values.max():.4g}",
                    "If these are outputs before sigmoid or softmax, declare them as logits.",
                )
            )
        sums = values.sum(axis=1)
        if kind == "multiclass" and np.abs(sums - 1).max() > 1e-3:
            raise DataError(
                say(
                    "probabilities",
                    "sum to 1 in each row",
                    f"a row that sums to {sums[np.abs(sums - 1).argmax()]:.4g}",
                    'Independent labels are kind="multilabel".',
                )
            )
    if score_kind == "logits" and values.size >= 20 and values.min() >= 0 and values.max() <= 1:
        raise DataError(
            say(
                "logits",
                "be outputs before sigmoid or softmax",
                "only values in [0, 1], which look like probabilities",
                "Declare them as probabilities, or pass check_kind=False if they are logits.",
            )
        )


def _describe(
    values: NDArray[np.float64],
    labels: Labels | None,
    kind: Kind | None,
    names: Sequence[str] | None,
) -> tuple[Kind, tuple[str, ...]]:
    """Return kind and names: those of the labels where there are any, else the declared ones."""
    if kind is not None:
        one_of("kind", kind, KINDS)
    if labels is not None:
        for what, given, own in (("kind", kind, labels.kind), ("names", names, labels.names)):
            if given is not None and given != own and tuple(given) != own:
                do = "Leave it out: the labels say it."
                raise DataError(say(what, f"be that of the labels, {own!r}", repr(given), do))
        return labels.kind, labels.names
    if kind is None:
        do = 'Pass kind="multiclass" or kind="multilabel".'
        raise UsageError(say("kind", "be given where there are no labels", None, do))
    width = values.shape[1]
    columns = tuple(str(n) for n in (range(width) if names is None else names))
    if len(columns) != width or len(set(columns)) < width:
        do = "Name every column of the scores once."
        raise ShapeError(say("names", f"be {width} different names", list(columns), do))
    return kind, columns


def _join_ids(labels: Labels, ids: NDArray[Any] | None) -> tuple[Labels, NDArray[Any] | None]:
    """Return labels and ids that agree; ids that stand on one side only are shared."""
    if ids is None or labels.ids is None:
        known = labels.ids if ids is None else ids
        return replace(labels, ids=known), known
    differ = ids.astype(str) != labels.ids.astype(str)
    if differ.any():
        first = int(np.flatnonzero(differ)[0])
        got = f"{ids[first]!r} for {labels.ids[first]!r} in row {first}"
        do = "Bring scores and labels into the same order."
        raise DataError(say("ids", "be those of the labels", got, do))
    return labels, labels.ids


def _check_correction(correction: Correction | None, kind: Kind) -> None:
    if correction is not None and correction.kind != kind:
        do = "Use the correction of the loss that made these scores."
        raise DataError(say("correction.kind", f"be '{kind}'", repr(correction.kind), do))


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What a model says about N rows and C classes or labels.

    Args:
        values: (N, C) float64.
        score_kind: "logits", "probabilities" or "ranking" (order only). Declared, never guessed.
        split: "train", "val", "oof" (out of fold), "test" or "new".
        kind: "multiclass" or "multilabel".
        names: One name per column.
        labels: The truth for the same rows, or None for new data.
        ids: (N,) row ids; without them an overlap of rows cannot be checked.
        correction: How to get from these outputs to natural-prior probabilities.

    Example:
        >>> labels = Labels.from_array([0, 1, 1], kind="multilabel", names=["A"])
        >>> scores = Scores.from_arrays(labels, logits=[-1.0, 2.0, 0.5], split="val")
        >>> scores.log_odds().round(2).ravel().tolist()
        [-1.0, 2.0, 0.5]
    """

    values: NDArray[np.float64]
    score_kind: ScoreKind
    split: Part
    kind: Kind
    names: tuple[str, ...]
    labels: Labels | None = None
    ids: NDArray[Any] | None = None
    correction: Correction | None = None

    @classmethod
    def from_arrays(
        cls,
        labels: Labels | None,
        *,
        logits: ArrayLike | None = None,
        probabilities: ArrayLike | None = None,
        ranking: ArrayLike | None = None,
        split: Part,
        ids: ArrayLike | None = None,
        kind: Kind | None = None,
        names: Sequence[str] | None = None,
        correction: Correction | None = None,
        check_kind: bool = True,
    ) -> Scores:
        """Check and wrap one array, given by the name of its kind.

        Raises:
            UsageError: none or several of ``logits``, ``probabilities``, ``ranking`` are given.
            ShapeError: rows or columns that do not match the labels or names.
            DataError: NaN or infinite values, probabilities outside [0, 1], logits that look like
                probabilities (unless ``check_kind=False``), ids that are not those of the labels.
        """
        given = {"logits": logits, "probabilities": probabilities, "ranking": ranking}
        named = [(name, value) for name, value in given.items() if value is not None]
        if len(named) != 1:
            do = "Outputs before sigmoid or softmax are logits; what only ranks is ranking."
            expected = "be given as exactly one of logits=, probabilities=, ranking="
            raise UsageError(say("scores", expected, f"{len(named)} of them", do))
        name, raw = named[0]
        score_kind: ScoreKind = one_of("score_kind", name, SCORE_KINDS)  # type: ignore[assignment]
        one_of("split", split, PARTS)
        array = to_array(name, raw, ndim=(1, 2))
        values = to_floats(name, array.reshape(array.shape[0], -1))
        if values.size == 0:
            do = "Check the filter that picked the rows."
            raise DataError(say(name, "have at least one row and column", values.shape, do))
        kind, columns = _describe(values, labels, kind, names)
        if labels is not None:
            why = "One row per labelled row, one column per class or label."
            require_shape(name, values, (len(labels), labels.num_classes), why)
        require_finite(name, values, "Scores of failed rows must be left out or recomputed.")
        if check_kind:
            _check_kind(values, score_kind, kind)
        if score_kind == "probabilities":
            values = np.clip(values, 0.0, 1.0)
        row_ids = to_ids("ids", ids, values.shape[0], unique=True)
        if labels is not None:
            labels, row_ids = _join_ids(labels, row_ids)
        _check_correction(correction, kind)
        return cls(values, score_kind, split, kind, columns, labels, row_ids, correction)

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def __getitem__(self, rows: ArrayLike | slice) -> Scores:
        """Return the scores of some rows, by position."""
        index = pick_rows(rows)
        return replace(
            self,
            values=self.values[index],
            labels=None if self.labels is None else self.labels[index],
            ids=None if self.ids is None else self.ids[index],
        )

    def logits(self) -> NDArray[np.float64]:
        """Return outputs on the logit scale, uncorrected; probabilities are transformed."""
        if self.score_kind != "probabilities":
            return self.values
        p = self.values
        if self.kind == "multiclass":
            return np.asarray(np.log(np.maximum(p, _TINY)))
        return np.asarray(
            np.log(np.maximum(p, _TINY)) - np.log(np.maximum(1.0 - p, np.finfo(float).epsneg))
        )

    def log_odds(self) -> NDArray[np.float64]:
        """Return natural-prior log-odds (labels) or log-posteriors (classes), (N, C).

        Raises:
            NotRecoverableError: the scores only rank, or the correction says that there is no way
                back.
        """
        if self.score_kind == "ranking":
            raise NotRecoverableError(
                "Scores of kind 'ranking' carry no probability. "
                "Fit a calibrator on validation data: tune(scores)."
            )
        correction = self.correction or Correction.identity(self.kind)
        return correction.apply(self.logits())

    @property
    def has_probabilities(self) -> bool:
        """Whether a formula leads from these scores to probabilities."""
        lost = self.correction is not None and self.correction.exactness == "none"
        return self.score_kind != "ranking" and not lost

    def require_labels(self) -> Labels:
        """Return the labels, or raise if there are none."""
        if self.labels is None:
            raise DataError(say("scores", "carry labels", "scores of new data", "Add the truth."))
        return self.labels

    @property
    def fingerprint(self) -> str:
        """16 hex digits that name the rows: their ids, or else their values."""
        return fingerprint_array(self.values if self.ids is None else np.sort(self.ids))

    def save(self, path: str | Path) -> Path:
        """Write a Parquet file: ``score:NAME`` columns, ids and labels where there are any."""
        import polars as pl

        columns: dict[str, Any] = {
            f"score:{n}": self.values[:, i] for i, n in enumerate(self.names)
        }
        if self.ids is not None:
            columns["id"] = self.ids
        if self.labels is not None:
            if self.kind == "multiclass":
                columns["label"] = self.labels.values
            else:
                hot = self.labels.values
                columns |= {f"label:{n}": hot[:, i] for i, n in enumerate(self.names)}
            if self.labels.groups is not None:
                columns["group"] = self.labels.groups
        meta = {
            "kind": self.kind,
            "score_kind": self.score_kind,
            "split": self.split,
            "names": self.names,
            "labelled": self.labels is not None,
            "correction": None if self.correction is None else self.correction.to_dict(),
        }
        return write_table(path, _SCHEMA, _VERSION, pl.DataFrame(columns), meta)

    @classmethod
    def load(cls, path: str | Path) -> Scores:
        """Read what :meth:`save` wrote."""
        frame, meta = read_table(path, _SCHEMA, _VERSION)
        with reading(path, _SCHEMA):
            names, kind = meta["names"], meta["kind"]
            ids, group = (
                read_column(frame, key) if key in frame.columns else None for key in ("id", "group")
            )
            labels = None
            if meta["labelled"]:
                keys = ["label"] if kind == "multiclass" else [f"label:{n}" for n in names]
                truth = np.stack([read_column(frame, key) for key in keys], axis=1)
                truth = truth[:, 0] if kind == "multiclass" else truth
                labels = Labels.from_array(truth, kind=kind, names=names, ids=ids, groups=group)
            correction = meta["correction"]
            values = np.stack([read_column(frame, f"score:{n}") for n in names], axis=1)
            return cls.from_arrays(
                labels,
                split=meta["split"],
                ids=ids,
                kind=kind,
                names=names,
                correction=None if correction is None else Correction.from_dict(correction),
                check_kind=False,
                **{meta["score_kind"]: values},
            )
