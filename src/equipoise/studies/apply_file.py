"""A rule applied to a file of any size: read, decided and written in batches."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise._core.arrays import Floats
from equipoise._core.cells import plain_text, safe_cell, safe_frame
from equipoise._core.documents import parse_json
from equipoise._core.files import atomic_path, is_stream
from equipoise._core.messages import hint, one_of, say
from equipoise._core.reading import reading_file
from equipoise.artifacts import Correction, DecisionRule, Scores
from equipoise.artifacts._io import reading
from equipoise.artifacts.rule import Decisions
from equipoise.artifacts.scores import SCORE_KINDS
from equipoise.errors import DataError, DataWarning, UsageError
from equipoise.io import as_numbers, scan_table
from equipoise.io.scores import (
    array_names,
    bind_columns,
    named_columns,
    read_arrays,
)

if TYPE_CHECKING:
    import polars as pl

_BATCH = 250_000
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Applied:
    """What was written.

    Args:
        out: The file.
        n_rows: Rows in it.
        decided: Name of each label or class -> rows flagged with it.
        expected: Name -> rows that should have it, by the sum of their calibrated probabilities.
        rule: The rule that decided.
    """

    out: Path
    n_rows: int
    decided: dict[str, int]
    expected: dict[str, float]
    rule: DecisionRule


@dataclass(frozen=True)
class _Source:
    """A table of scores that can be read again and again, in batches; arrays are ``held``."""

    path: Path
    columns: tuple[str, ...]
    score_kind: str
    id_column: str | None
    correction: Correction | None
    batch: int
    names: tuple[str, ...]
    held: pl.DataFrame | None = None

    def scan(self) -> pl.LazyFrame:
        if self.held is not None:
            return self.held.lazy()
        return scan_table(self.path)

    def rows(self) -> int:
        import polars as pl

        with self.reading():
            return int(self.scan().select(pl.len()).collect().item())

    def frames(self) -> Iterator[pl.DataFrame]:
        import polars as pl

        keep = [*self.columns, *([self.id_column] if self.id_column else [])]
        lazy = self.scan().select(keep)
        if self.id_column and self.path.suffix == ".csv":
            lazy = lazy.with_columns(plain_text(pl.col(self.id_column)))
        with self.reading():
            batches = iter(lazy.collect_batches(chunk_size=self.batch))
        while True:
            with self.reading():
                frame = next(batches, None)
            if frame is None:
                return
            # A batch may be as large as a row group of the file.
            yield from frame.iter_slices(self.batch)

    def reading(self) -> AbstractContextManager[None]:
        """Read in one line what is wrong with the file, which is only looked at now."""
        return reading_file(self.path, "be a readable table")

    def scores(self, frame: pl.DataFrame, rule: DecisionRule, check_kind: bool = False) -> Scores:
        values: dict[str, Any] = {self.score_kind: _matrix(frame, self.columns, self.path)}
        return Scores.from_arrays(
            None,
            **values,
            split="new",
            kind=rule.kind,
            names=self.names,
            correction=self.correction,
            check_kind=check_kind,
        )

    def check(self, rule: DecisionRule) -> None:
        """Refuse scores of another kind than declared, before anything is written."""
        first = next(self.frames(), None)
        if first is not None and first.height:
            self.scores(first, rule, check_kind=True)


def _matrix(frame: pl.DataFrame, columns: Sequence[str], path: Path) -> Floats:
    try:
        return np.asarray(as_numbers(frame, columns).to_numpy(), dtype=np.float64)
    except (ValueError, TypeError) as error:
        do = "Score columns hold numbers; missing ones are not allowed."
        raise DataError(say(str(path), "hold numbers", str(error)[:100], do)) from error


def _source(
    rule: DecisionRule,
    path: Path,
    score_kind: str | None,
    columns: Sequence[str] | None,
    id_column: str | None,
    batch: int,
) -> _Source:
    import polars as pl

    if path.suffix not in (".parquet", ".csv", ".npz"):
        expected, do = "end in .parquet, .csv or .npz", "Write a table with one column per label."
        raise UsageError(say(str(path), expected, path.suffix or "no ending", do))
    if not path.is_file():
        raise DataError(say(str(path), "be a file", "nothing there", "Check the path."))
    if path.suffix == ".npz":
        held, arrays = read_arrays(path)
        columns = columns and named_columns(columns, arrays)
        known = list(held.columns)
        called = columns and array_names(columns, arrays)
        return _table(rule, path, score_kind, columns, called, id_column, batch, known, held)
    with reading_file(path, "be a readable table"):
        if path.suffix == ".parquet":
            header = pl.read_parquet_metadata(path).get("equipoise")
            if header is not None:
                return _saved(path, parse_json(header), batch)
        found = scan_table(path).collect_schema()
    return _table(rule, path, score_kind, columns, columns, id_column, batch, list(found), None)


def _table(
    rule: DecisionRule,
    path: Path,
    score_kind: str | None,
    columns: Sequence[str] | None,
    called: Sequence[str] | None,
    id_column: str | None,
    batch: int,
    found: Sequence[str],
    held: pl.DataFrame | None,
) -> _Source:
    if score_kind is None or not columns or not called:
        do = hint("Say what the columns are: {score_kind=logits} {columns=zA,zB}.")
        expected = hint("be scores that equipoise wrote, or come with {score_kind=} and {columns=}")
        raise UsageError(say(str(path), expected, "a table", do))
    one_of("score_kind", score_kind, SCORE_KINDS)
    missing = [c for c in [*columns, *([id_column] if id_column else [])] if c not in found]
    if missing:
        raise DataError(say(str(path), f"hold the columns {missing}", f"{list(found)[:20]}"))
    order = bind_columns(called, rule.names, rule.score_names)
    bound = tuple(columns[i] for i in order)
    return _Source(path, bound, score_kind, id_column, None, batch, rule.names, held)


def _saved(path: Path, header: Any, batch: int) -> _Source:
    import polars as pl

    if not isinstance(header, dict) or "score_kind" not in header:
        got = f"a {header.get('schema')}" if isinstance(header, dict) else "a broken header"
        raise DataError(say(str(path), "hold scores", got))
    with reading(path, "equipoise.Scores"):
        names, score_kind, stored = header["names"], header["score_kind"], header["correction"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"names {names!r:.60}")
        if score_kind not in SCORE_KINDS:
            raise ValueError(f"scores of kind {score_kind!r:.60}")
        correction = None if stored is None else Correction.from_dict(stored)
    schema = pl.scan_parquet(path).collect_schema()
    columns = tuple(f"score:{name}" for name in names)
    missing = [column for column in columns if column not in schema]
    if missing:
        raise DataError(say(str(path), f"hold the columns {missing}", f"{list(schema)[:20]}"))
    id_column = "id" if "id" in schema else None
    return _Source(path, columns, score_kind, id_column, correction, batch, tuple(names))


def _border(rule: DecisionRule, source: _Source, n_rows: int) -> float | None:
    """Return the highest log-odds that a budget leaves out, over all rows; None without one.

    Only the cells that may still be flagged are kept from batch to batch.
    """
    if rule.choice is None or rule.choice["form"] != "budget":
        return None
    allowed = int(np.floor(float(rule.choice["flags_per_row"]) * n_rows + 1e-9))
    if allowed >= n_rows * len(rule.names):
        return -np.inf
    best: Floats = np.empty(0)
    for frame in source.frames():
        best = np.concatenate([best, rule.log_odds(source.scores(frame, rule)).ravel()])
        if best.size > allowed + 1:
            best = np.partition(best, best.size - allowed - 1)[best.size - allowed - 1 :]
    return float(best.min())


def _decide(rule: DecisionRule, scores: Scores, border: float | None) -> Decisions:
    made = rule.apply(scores)
    if border is None:
        return made
    return replace(made, predictions=(rule.log_odds(scores) > border).astype(np.int8))


def _schema(rule: DecisionRule, source: _Source) -> dict[str, Any]:
    import polars as pl

    schema: dict[str, Any] = {}
    if source.id_column:
        schema[source.id_column] = source.scan().collect_schema()[source.id_column]
    schema |= {f"probability:{name}": pl.Float64 for name in rule.names}
    if rule.kind == "multiclass":
        return schema | {"decision": pl.String}
    return schema | {f"decision:{name}": pl.Int8 for name in rule.names}


def _check_id(rule: DecisionRule, source: _Source) -> None:
    """Refuse a column of ids that is called as one of those that are written."""
    written = [f"probability:{name}" for name in rule.names]
    written += ["decision"] if rule.kind == "multiclass" else [f"decision:{n}" for n in rule.names]
    if source.id_column in written:
        do = "Rename it, or leave it out."
        expected = "have another name than the columns that are written"
        raise UsageError(say("id_column", expected, repr(source.id_column), do))


def _to_frame(
    rule: DecisionRule, made: Decisions, source: _Source, frame: pl.DataFrame
) -> pl.DataFrame:
    import polars as pl

    columns: dict[str, Any] = {}
    if source.id_column:
        columns[source.id_column] = frame[source.id_column]
    for name, values in zip(rule.names, made.probabilities.T, strict=True):
        columns[f"probability:{name}"] = np.ascontiguousarray(values)
    if rule.kind == "multiclass":
        columns["decision"] = pl.Series(rule.names).gather(made.predictions)
    else:
        for name, flags in zip(rule.names, made.predictions.T, strict=True):
            columns[f"decision:{name}"] = np.ascontiguousarray(flags, dtype=np.int8)
    return pl.DataFrame(columns)


def apply_file(
    rule: DecisionRule,
    path: str | Path,
    out: str | Path,
    *,
    score_kind: str | None = None,
    columns: Sequence[str] | None = None,
    id_column: str | None = None,
    batch_rows: int = _BATCH,
    progress: Progress | None = None,
) -> Applied:
    """Write calibrated probabilities and decisions for the rows of a file, in their order.

    Args:
        rule: The rule.
        path: Scores written by :meth:`Scores.save`, a Parquet or CSV table, or an npz file: its
            arrays are read whole, so it must fit into memory (about three times, while it is read).
        out: Parquet or CSV to write: the ids, ``probability:NAME``, and ``decision:NAME`` (0 or 1)
            for labels or ``decision`` (a name) for classes.
        score_kind: For a table: "logits", "probabilities" or "ranking".
        columns: For a table: the score columns, matched by name as
            :func:`equipoise.io.scores.bind_columns` does; or one (N, C) array of an npz
            file.
        id_column: For a table: a column to carry over.
        batch_rows: Rows in memory at a time.
        progress: Called with rows done and rows in all.

    Raises:
        UsageError: endings or kinds that do not fit, or columns not named.
        DataError: the file is not there, does not hold what the rule needs, or holds scores of
            another kind than declared.

    Note:
        A global budget of flags is spread over all rows of the file, which reads it twice.
    """
    from polars.io.plugins import register_io_source

    target = Path(out)
    # What has no ending to choose by, such as /dev/stdout, is written to as text.
    form = target.suffix or (".csv" if is_stream(target) else "")
    if form not in (".parquet", ".csv"):
        raise UsageError(say("out", "end in .parquet or .csv", target.suffix or "no ending"))
    source = _source(rule, Path(path), score_kind, columns, id_column, batch_rows)
    _check_id(rule, source)
    source.check(rule)
    n_rows, decided = source.rows(), dict.fromkeys(rule.names, 0)
    expected = dict.fromkeys(rule.names, 0.0)
    quoted = 0
    border = _border(rule, source, n_rows)

    def batches(*_: object) -> Iterator[pl.DataFrame]:
        nonlocal quoted
        done = 0
        for frame in source.frames():
            made = _decide(rule, source.scores(frame, rule), border)
            for i, name in enumerate(rule.names):
                flags = (
                    made.predictions == i if rule.kind == "multiclass" else made.predictions.T[i]
                )
                decided[name] += int(flags.sum())
                expected[name] += float(made.probabilities[:, i].sum())
            rows = _to_frame(rule, made, source, frame)
            if form == ".csv":
                rows, changed = safe_frame(rows)
                quoted += changed
            yield rows
            done += frame.height
            if progress is not None:
                progress(done, n_rows)

    schema = _schema(rule, source)
    if form == ".csv":
        schema = {safe_cell(name): kind for name, kind in schema.items()}
    lazy = register_io_source(batches, schema=schema)
    with atomic_path(target) as temporary:
        if form == ".csv":
            lazy.sink_csv(temporary)
        else:
            lazy.sink_parquet(temporary)
    if quoted:
        warnings.warn(
            f"{quoted:,} cells that begin with = + - @ are written with ' before them, so that no "
            "spreadsheet runs them. Readers here take it away again; Parquet needs none.",
            DataWarning,
            stacklevel=2,
        )
    return Applied(target, n_rows, decided, expected, rule)
