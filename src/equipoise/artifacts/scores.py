"""Scores: what a model says about rows; their kind is declared, the way back is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import require_finite, require_shape, to_array, to_floats
from equipoise._core.dense import as_rows, dense_truth, drawn_rows, rows_per_image, to_dense
from equipoise._core.fingerprint import Blocks, fingerprint_array
from equipoise._core.identity import hashable_ids, loose_keys
from equipoise._core.messages import hint, one_of, say
from equipoise._core.targets import IGNORE_INDEX
from equipoise.artifacts._io import read_column, read_table, reading, write_table
from equipoise.artifacts.correction import Correction
from equipoise.artifacts.entries import BLOCK
from equipoise.artifacts.labels import KINDS, Kind, Labels, pick_rows, require_labels, to_ids
from equipoise.artifacts.row_marks import RowMarks, row_numbers
from equipoise.errors import DataError, NotRecoverableError, ShapeError, UsageError

# Softmax in float32 may end a rounding error above 1.
ROUNDING = 1e-6
# From so many entries of so many labels on, copies of the whole are not made: what is worked out
# goes some labels, or some rows, at a time.
WIDE, WIDE_LABELS = 1 << 27, 1000


ScoreKind = Literal["logits", "probabilities", "ranking"]
SplitName = Literal["train", "val", "oof", "test", "new"]
SCORE_KINDS: tuple[ScoreKind, ...] = ("logits", "probabilities", "ranking")
PARTS: tuple[SplitName, ...] = ("train", "val", "oof", "test", "new")
_SCHEMA, _VERSION = "equipoise.Scores", 1
_TINY = np.finfo(np.float64).tiny


def require_range(values: NDArray[np.float64], score_kind: str) -> None:
    """Raise if probabilities lie outside [0, 1]: no declaration makes them probabilities."""
    if score_kind == "probabilities" and (values.min() < -ROUNDING or values.max() > 1 + ROUNDING):
        raise DataError(
            say(
                "probabilities",
                "lie in [0, 1]",
                f"{values.min():.4g} to {values.max():.4g}",
                "If these are outputs before sigmoid or softmax, declare them as logits.",
            )
        )


def _require_kind(values: NDArray[np.float64], score_kind: str, kind: Kind) -> None:
    if score_kind == "probabilities" and kind == "multiclass":
        sums = values.sum(axis=1)
        if np.abs(sums - 1).max() > 1e-3:
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
                hint(
                    "Declare them as probabilities, or pass {check_kind=False} if they are logits."
                ),
            )
        )


def describe(
    values: NDArray[Any],
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
        do = hint("Pass {kind=multiclass} or {kind=multilabel}.")
        raise UsageError(say("kind", "be given where there are no labels", None, do))
    width = values.shape[1]
    columns = tuple(str(n) for n in (range(width) if names is None else names))
    if len(columns) != width or len(set(columns)) < width:
        do = "Name every column of the scores once."
        raise ShapeError(say("names", f"be {width} different names", list(columns), do))
    return kind, columns


def join_ids(labels: Labels, ids: NDArray[Any] | None) -> tuple[Labels, NDArray[Any] | None]:
    """Return labels and ids that agree; ids that stand on one side only are shared."""
    if ids is None or labels.ids is None:
        known = labels.ids if ids is None else ids
        return replace(labels, ids=known), known
    differ = ids != labels.ids
    if differ.any():
        first = int(np.flatnonzero(differ)[0])
        got = f"'{ids[first]}' for '{labels.ids[first]}' in row {first}"
        do = "Bring scores and labels into the same order."
        if bool((loose_keys(ids) == loose_keys(labels.ids)).all()):
            do = "They are the same only trimmed or as numbers: write them alike on both sides."
        raise DataError(say("ids", "be those of the labels", got, do))
    return labels, labels.ids


def _keeps_float32(table: NDArray[Any]) -> bool:
    """Whether scores stay as they are: float64 would double what does not fit twice."""
    wide = table.shape[1] >= WIDE_LABELS and table.size >= WIDE
    return wide and table.dtype == np.float32


def _the_one(
    logits: ArrayLike | None, probabilities: ArrayLike | None, ranking: ArrayLike | None
) -> tuple[str, ArrayLike, ScoreKind]:
    """Return the name, the values and the kind of the one array that is given."""
    given = {"logits": logits, "probabilities": probabilities, "ranking": ranking}
    named = [(name, value) for name, value in given.items() if value is not None]
    if len(named) != 1:
        do = "Outputs before sigmoid or softmax are logits; what only ranks is ranking."
        expected = "be given as exactly one of logits=, probabilities=, ranking="
        raise UsageError(say("scores", expected, f"{len(named)} of them", do))
    name, raw = named[0]
    return name, raw, one_of("score_kind", name, SCORE_KINDS)


def _kept_rows(
    images: int, size: int, known: NDArray[np.bool_] | None, per_image: int | None, seed: int
) -> NDArray[np.int64] | None:
    """Return which rows of images of ``size`` rows are kept; None where all are."""
    if per_image is not None and per_image < 1:
        raise UsageError(say("per_image", "be at least 1", per_image))
    if per_image is not None and per_image < size:
        drawn = drawn_rows(images, size, per_image, seed)
        kept = drawn if known is None else drawn[known[drawn]]
    elif known is None or known.all():
        return None
    else:
        kept = np.flatnonzero(known)
    if kept.size == 0:
        do = "Check ignore_index, and that the masks belong to these images."
        raise DataError(say("target", "have a known pixel", "none", do))
    return kept


def _check_correction(correction: Correction | None, kind: Kind) -> None:
    if correction is not None and correction.kind != kind:
        do = "Use the correction of the loss that made these scores."
        raise DataError(say("correction.kind", f"be '{kind}'", repr(correction.kind), do))


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What a model says about N rows and C classes or labels.

    Args:
        values: (N, C) float64; of wide scores (1,000 labels and more, 2^27 entries and more)
            float32 where they came as float32, and then not copied; so are dense ones.
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

    values: NDArray[Any]
    score_kind: ScoreKind
    split: SplitName
    kind: Kind
    names: tuple[str, ...]
    labels: Labels | None = None
    ids: NDArray[Any] | None = None
    correction: Correction | None = None

    def __str__(self) -> str:
        words = "classes" if self.kind == "multiclass" else "labels"
        held = f"{self.score_kind} of {len(self):,} {self.split} rows, {len(self.names):,} {words}"
        known = "no labels" if self.labels is None else str(self.labels).partition(": ")[2]
        way = "" if self.correction is None else f"; correction: {self.correction.exactness}"
        return f"{held}: {known}{way}"

    @classmethod
    def from_arrays(
        cls,
        labels: Labels | None,
        *,
        logits: ArrayLike | None = None,
        probabilities: ArrayLike | None = None,
        ranking: ArrayLike | None = None,
        split: SplitName,
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
        if labels is not None:
            require_labels("labels", labels)
        name, raw, score_kind = _the_one(logits, probabilities, ranking)
        one_of("split", split, PARTS)
        array = to_array(name, raw, ndim=(1, 2))
        if array.size == 0:
            do = "Check the filter that picked the rows."
            raise DataError(say(name, "have at least one row and column", array.shape, do))
        table = array.reshape(array.shape[0], -1)
        kind, columns = describe(table, labels, kind, names)
        kept = kind == "multilabel" and _keeps_float32(table)
        values = table if kept else to_floats(name, table)
        if labels is not None:
            why = "One row per labelled row, one column per class or label."
            require_shape(name, values, (len(labels), labels.num_classes), why)
        # NaN and infinities show in the extremes, for which no table of marks is made.
        if not np.isfinite([values.min(), values.max()]).all():
            require_finite(name, values, "Scores of failed rows must be left out or recomputed.")
        require_range(values, score_kind)
        if check_kind:
            _require_kind(values, score_kind, kind)
        if score_kind == "probabilities" and (values.min() < 0 or values.max() > 1):
            values = np.clip(values, 0.0, 1.0)
        row_ids = to_ids("ids", ids, values.shape[0], unique=True)
        if labels is not None:
            labels, row_ids = join_ids(labels, row_ids)
        _check_correction(correction, kind)
        return cls(values, score_kind, split, kind, columns, labels, row_ids, correction)

    @classmethod
    def from_dense(
        cls,
        target: ArrayLike | None,
        *,
        logits: ArrayLike | None = None,
        probabilities: ArrayLike | None = None,
        ranking: ArrayLike | None = None,
        split: SplitName,
        kind: Kind,
        class_dim: int = 1,
        ignore_index: int = IGNORE_INDEX,
        image_ids: ArrayLike | None = None,
        per_image: int | None = None,
        seed: int = 0,
        names: Sequence[str] | None = None,
        correction: Correction | None = None,
        check_kind: bool = True,
    ) -> Scores:
        """Wrap dense outputs, one row per pixel of an image or step of a sequence.

        Rows of one image are one group, so that intervals go over images. Pixels have no ids of
        their own, since millions of texts would say no more than the groups: their rows stand in
        the order of the array, and leakage is looked for by groups.

        Args:
            target: Class indices (N, H, W), or labels (N, L, H, W) of 0, 1 and -1 or NaN where
                unknown; None for new data.
            logits: (N, C, H, W) or (N, C, T) for ``class_dim`` 1, (N, T, C) for 2; or one of the
                next two.
            probabilities: The same shape.
            ranking: The same shape.
            split: As in :meth:`from_arrays`, and so are ``names``, ``correction`` and
                ``check_kind``.
            kind: "multiclass" or "multilabel".
            class_dim: Axis of the classes or labels; -1 is last.
            ignore_index: Class index of pixels that are left out; of labels those without any
                known one are.
            image_ids: (N,) ids of the images; None numbers them, which finds no leakage.
            per_image: At most so many pixels of each image, drawn evenly before unknown ones are
                left out, so that shares of classes stay what they are; None takes all.
            seed: Of that draw.

        Returns:
            Scores whose values keep float32, and share memory with the array where no pixel is
            left out and classes lie last in memory, or there is one image.

        Raises:
            UsageError: as :meth:`from_arrays`, or ``per_image`` is below 1.
            ShapeError: the target is not of these outputs.
            DataError: as :meth:`from_arrays`, or no pixel is known.

        Example:
            >>> z = np.full((2, 3, 4, 4), -1.0, dtype=np.float32)
            >>> y = np.zeros((2, 4, 4), dtype=np.int64)
            >>> y[0, 0] = -100
            >>> scores = Scores.from_dense(
            ...     y, logits=z, split="val", kind="multiclass", image_ids=["a", "b"]
            ... )
            >>> len(scores), scores.labels.groups[[0, -1]].tolist()
            (28, ['a', 'b'])
        """
        one_of("kind", kind, KINDS)
        name, raw, score_kind = _the_one(logits, probabilities, ranking)
        one_of("split", split, PARTS)
        dense = to_dense(name, raw, class_dim)
        if dense.size == 0:
            raise DataError(say(name, "have at least one row and column", dense.shape))
        images, size = dense.shape[0], rows_per_image(dense.shape, class_dim)
        owners = np.arange(images) if image_ids is None else image_ids
        owner_ids = to_ids("image_ids", owners, images, unique=True)
        values = as_rows(dense, class_dim)
        if values.dtype not in (np.float32, np.float64):
            values = to_floats(name, values)
        truth = known = None
        if target is not None:
            truth, known = dense_truth(target, dense, class_dim, kind, ignore_index)
        kept = _kept_rows(images, size, known, per_image, seed)
        if kept is not None:
            values = values[kept]
            truth = None if truth is None else truth[kept]
        rows = np.arange(images * size) if kept is None else kept
        columns = describe(values, None, kind, names)[1]
        labels = None
        if truth is not None and owner_ids is not None:
            labels = Labels(truth, kind, columns, groups=owner_ids[rows // size])
        if not np.isfinite([values.min(), values.max()]).all():
            require_finite(name, values, "Scores of failed rows must be left out or recomputed.")
        require_range(values, score_kind)
        if check_kind:
            _require_kind(values, score_kind, kind)
        if score_kind == "probabilities" and (values.min() < 0 or values.max() > 1):
            values = np.clip(values, 0.0, 1.0)
        _check_correction(correction, kind)
        return cls(values, score_kind, split, kind, columns, labels, None, correction)

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

    def in_order(self, names: Sequence[str]) -> Scores:
        """Return these scores with their columns, labels and correction in the order of ``names``.

        Names bind, positions do not: the columns ``dog, cat`` under a rule for ``cat, dog`` are
        moved, not renamed.

        Raises:
            DataError: the names are not those of the columns.

        Example:
            >>> scores = Scores.from_arrays(
            ...     None, logits=[[1.0, 2.0]], split="new", kind="multilabel", names=["B", "A"]
            ... )
            >>> scores.in_order(["A", "B"]).values.tolist()
            [[2.0, 1.0]]
        """
        wanted = tuple(names)
        if wanted == self.names:
            return self
        if set(wanted) != set(self.names) or len(wanted) != len(self.names):
            do = "Give scores of the model that this belongs to; columns are matched by name."
            raise DataError(say("scores", f"have the columns {list(wanted)}", list(self.names), do))
        place = {name: i for i, name in enumerate(self.names)}
        order = [place[name] for name in wanted]
        return replace(
            self,
            values=self.values[:, order],
            names=wanted,
            labels=None if self.labels is None else self.labels.in_order(wanted),
            correction=None if self.correction is None else self.correction.in_order(order),
        )

    @property
    def is_wide(self) -> bool:
        """Whether they are of so many labels and rows that no copy of the whole is made."""
        wide = self.values.shape[1] >= WIDE_LABELS and self.values.size >= WIDE
        return self.kind == "multilabel" and wide

    def narrow(self, start: int, stop: int) -> Scores:
        """Return some labels alone, those from ``start`` to ``stop``, with float64 values."""
        return replace(
            self,
            values=np.ascontiguousarray(self.values[:, start:stop], dtype=np.float64),
            names=self.names[start:stop],
            labels=None if self.labels is None else self.labels.narrow(start, stop),
            correction=None
            if self.correction is None
            else self.correction.in_order(range(start, stop)),
        )

    def logits(self) -> NDArray[np.float64]:
        """Return outputs on the logit scale, uncorrected; probabilities are transformed."""
        values = self.values.astype(np.float64, copy=False)
        if self.score_kind != "probabilities":
            return values
        p = values
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

    def correct(self, correction: Correction) -> Scores:
        """Return these scores with one more correction, after those they already carry.

        Raises:
            UsageError: the scores only rank, or what it undoes is undone already.

        Example:
            >>> scores = Scores.from_arrays(None, logits=[[0.0]], split="new", kind="multilabel")
            >>> fixed = scores.correct(Correction.from_pos_weight(9.0))
            >>> fixed.log_odds().round(3).tolist()
            [[-2.197]]
        """
        _check_correction(correction, self.kind)
        if self.score_kind == "ranking":
            do = "Fit a calibrator on validation data: tune(scores)."
            raise UsageError(say("scores", "carry probabilities", "scores of kind 'ranking'", do))
        before = self.correction or Correction.identity(self.kind)
        unnamed = before.nominal_weight is not None and not before.undoes
        if unnamed and correction.nominal_weight is not None:
            do = "If both a loss and a sampler are to be undone, join them: first.then(second)."
            got = "a second one after that of the loss or sampler"
            raise UsageError(say("correction", "undo a weight once", got, do))
        return replace(self, correction=before.then(correction))

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
        if self.ids is not None:
            return fingerprint_array(np.sort(hashable_ids(self.ids)))
        step = max(1, BLOCK // self.values.shape[1])
        parts = (self.values[at : at + step] for at in range(0, len(self), step))
        return fingerprint_array(Blocks(np.dtype(np.float64), self.values.shape, parts))

    @property
    def marks(self) -> RowMarks:
        """Hashes of the rows' ids, groups and values, to see which rows two sets share."""
        groups = None if self.labels is None else self.labels.groups
        numbers = row_numbers(self.values, self.names)
        return RowMarks.of(ids=self.ids, groups=groups, contents=numbers)

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
                truth = zip(self.names, self.labels.columns(), strict=True)
                columns |= {f"label:{n}": column.copy() for n, column in truth}
            if self.labels.groups is not None:
                columns["group"] = self.labels.groups
            if self.labels.weights is not None:
                columns["weight"] = self.labels.weights
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
            ids, group, weight = (
                read_column(frame, key) if key in frame.columns else None
                for key in ("id", "group", "weight")
            )
            labels = None
            if meta["labelled"]:
                keys = ["label"] if kind == "multiclass" else [f"label:{n}" for n in names]
                truth = np.stack([read_column(frame, key) for key in keys], axis=1)
                truth = truth[:, 0] if kind == "multiclass" else truth
                labels = Labels.from_array(
                    truth, kind=kind, names=names, ids=ids, groups=group, weights=weight
                )
            correction = meta["correction"]
            values = np.stack([read_column(frame, f"score:{n}") for n in names], axis=1)
            return cls.from_arrays(
                labels,
                split=meta["split"],
                ids=ids if labels is None else labels.ids,
                kind=kind,
                names=names,
                correction=None if correction is None else Correction.from_dict(correction),
                check_kind=False,
                **{meta["score_kind"]: values},
            )


def default_flags(scores: Scores) -> NDArray[np.bool_]:
    """Return what is flagged at 0.5, (N, L), by the scores as they came; ranking scores above 0."""
    if scores.score_kind == "ranking":
        return np.asarray(scores.values > 0)
    return np.asarray(scores.values >= (0.5 if scores.score_kind == "probabilities" else 0.0))
