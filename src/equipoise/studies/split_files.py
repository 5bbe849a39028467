"""What ``equipoise split`` does: find copies, draw a split from words, write parts and proof."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.cells import csv_text
from equipoise._core.checks import require_least
from equipoise._core.files import atomic_path, together, write_text
from equipoise._core.locks import Locks
from equipoise._core.messages import hint, one_of, say
from equipoise.artifacts import Finding, Labels, Split
from equipoise.errors import DataError, UsageError
from equipoise.io import as_numbers, read_table
from equipoise.io.tables import is_table_path
from equipoise.splits import (
    Copies,
    audit_split,
    copies_finding,
    feature_contents,
    find_copies,
    long_tail_split,
    stratified_kfold,
    stratified_split,
)
from equipoise.splits.long_tail import Shape
from equipoise.studies.rows import file_contents


def table_copies(source: Path, labels: Labels, named: Sequence[str | None]) -> Copies | None:
    """Return which rows of a source are copies, joined with the groups; None if nobody knows.

    Of a class folder the files tell; of a table its other columns, if all of them hold numbers: a
    table with other text describes files, and two files may be described alike.

    Args:
        source: Table or class folder.
        labels: Read from it.
        named: Columns that hold labels, ids or groups.
    """
    if source.is_dir():
        if labels.ids is None:
            return None
        return find_copies(file_contents([source / i for i in labels.ids.tolist()]), labels.groups)
    if not is_table_path(source):
        return None
    import polars as pl

    frame = read_table(source)
    rest = as_numbers(frame, [c for c in frame.columns if c not in named])
    if not rest.columns or not all(t.is_numeric() or t == pl.Boolean for t in rest.dtypes):
        return None
    unique = [c for c in rest.columns if rest[c].is_unique().all()]
    features = rest.drop([c for c in unique if bool((rest[c] % 1 == 0).all())])  # ids, not named
    values = features.cast(dict.fromkeys(features.columns, float)).fill_null(np.nan).to_numpy()
    return find_copies(feature_contents(values), labels.groups)


def told_of(copies: Copies | None, splits: Sequence[Split], labels: Labels) -> list[Finding]:
    """Return what is to be said of copies: kept together, or in several parts of a long tail."""
    if copies is None or copies.units is None:
        return []
    if all("copies" in split.proof for split in splits):
        return [copies_finding(copies.to_dict(), labels)]
    return [f for split in splits for f in audit_split(split, labels, hashes=copies.units)
            if f.code == "EQ202"]  # fmt: skip


PARTS = ("train", "val", "test")
DEFAULT = (0.7, 0.15, 0.15)


def draw_splits(
    labels: Labels,
    *,
    fractions: Sequence[float] | None = None,
    folds: int | None = None,
    min_per_part: int = 1,
    long_tail: LongTail | None = None,
    seed: int = 0,
    copies: Copies | None = None,
) -> list[Split]:
    """Return the split, or one per fold, that the command line asks for; copies stay together."""
    asked = {"fractions": fractions, "folds": folds, "long_tail": long_tail}
    both = [name for name, value in asked.items() if value is not None]
    if len(both) > 1:
        raise UsageError(say(" and ".join(both), "not be given together", "both", "Choose one."))
    if long_tail is not None:
        return [long_tail.draw(labels, seed)]
    settings: dict[str, Any] = {"seed": seed, "min_per_part": min_per_part}
    if copies is not None and copies.units is not None:
        settings["groups"] = copies.units
    if folds is not None:
        require_least("folds", folds, 2)
        made = stratified_kfold(labels, folds=folds, **settings)
    else:
        shares = DEFAULT if fractions is None else fractions
        made = [stratified_split(labels, fractions=shares, **settings)]
    if copies is None:
        return made
    told = {"copies": copies.to_dict()}
    return [replace(split, proof={**split.proof, **told}) for split in made]


@dataclass(frozen=True, slots=True)
class LongTail:
    """The settings of a long tail, as the command line has them.

    Args:
        ratios: One imbalance ratio, or one number per class.
        shape: "exp" or "step", for one ratio.
        total: Training rows, or None for as many as there are.
        val_per_class: Balanced validation rows.
        test_per_class: Balanced test rows.
        order: Class names from head to tail; label order by default.
    """

    ratios: Sequence[float]
    shape: Shape = "exp"
    total: int | None = None
    val_per_class: int | None = None
    test_per_class: int | None = None
    order: Sequence[str] | None = None

    @classmethod
    def from_options(
        cls,
        wanted: bool,
        ratios: Sequence[float] | None,
        shape: str | None,
        total: int | None,
        per_class: tuple[int | None, int | None],
        order: Sequence[str] | None,
    ) -> LongTail | None:
        """Return the settings, or None where no tail is wanted, nor the rest given."""
        rest = (ratios, shape, total, *per_class, order)
        if not wanted:
            if any(value is not None for value in rest):
                names = "ratio and shape and total and test_per_class and val_per_class and order"
                do = hint("They belong to a tail. Add {long_tail=True}, or leave them out.")
                raise UsageError(say(names, "go with a long tail", "none", do))
            return None
        if ratios is None:
            do = hint("E.g. {ratio=20}.")
            raise UsageError(say("ratio", "be given with a long tail", None, do))
        known: tuple[Shape, ...] = ("exp", "step")
        form = one_of("shape", shape or "exp", known)
        return cls(ratios, form, total, *per_class, order)

    def draw(self, labels: Labels, seed: int) -> Split:
        """Draw the split."""
        settings: dict[str, Any] = {"imbalance_ratio": self.ratios[0], "shape": self.shape}
        if len(self.ratios) > 1:
            settings = {"ratios": self.ratios, "shape": "custom"}
        return long_tail_split(
            labels,
            total=self.total,
            val_per_class=self.val_per_class,
            test_per_class=self.test_per_class,
            order=self.order,
            seed=seed,
            **settings,
        )


def splits_dict(splits: Sequence[Split]) -> dict[str, Any]:
    """Return sizes, fingerprint and proof of one split, or of each fold under "folds"."""
    bodies = [{"sizes": s.sizes, "fingerprint": s.fingerprint, "proof": s.proof} for s in splits]
    return bodies[0] if len(bodies) == 1 else {"folds": bodies}


def write_splits(
    splits: Sequence[Split], labels: Labels, source: Path, out: Path, copy: Path | None
) -> list[Path]:
    """Write one split as :func:`write_parts` does, or each fold's JSON and one table of folds.

    ``fold_0.json`` and so on are read by ``Split.load``; ``folds`` is the source table with one
    more column, the fold in which a row is validated.

    Raises:
        DataError: the table has a column "fold" already, or ``out`` holds more folds than these.
        UsageError: ``copy`` with folds.
    """
    if len(splits) == 1:
        return write_parts(splits[0], labels, source, out, copy)
    if copy is not None:
        do = "Write the folds, and copy what fold_0.json names."
        raise UsageError(say("copy", "go with one split", "folds", do))
    stale = out / f"fold_{len(splits)}.json"
    if stale.exists():
        do = "Give another: folds of two runs do not mix."
        raise DataError(say("out", f"hold no more than {len(splits)} folds", stale.name, do))
    if (out / "split.json").exists():
        do = "Give another: parts and folds do not mix."
        raise DataError(say("out", "hold nothing of another split", "split.json", do))
    fold = np.empty(len(labels), dtype=np.int64)
    for k, split in enumerate(splits):
        fold[split.val] = k
    with together(out) as inside:
        written = [_write_folds(labels, source, inside, fold)]
        written += [s.save(inside(f"fold_{k}.json")) for k, s in enumerate(splits)]
    return [out / file.name for file in written]


def write_parts(
    split: Split, labels: Labels, source: Path, out: Path, copy: Path | None
) -> list[Path]:
    """Write split.json and one table per part; optionally copy a class folder's files.

    Raises:
        DataError: ``copy`` is asked for, but the source is no class folder, or exists already.
    """
    empty = [f"{part}.*" for part in PARTS if not getattr(split, part).size]
    stale = next(
        (file for name in (*empty, "fold_*.json") for file in sorted(out.glob(name))), None
    )
    if stale is not None:
        do = "Give another: parts of two splits do not mix."
        raise DataError(say("out", "hold nothing of another split", stale.name, do))
    if copy is not None:
        _copy_files(split, labels, source, copy)
    with together(out) as inside:
        written = [split.save(inside("split.json"))]
        for part in PARTS:
            rows = getattr(split, part)
            if not rows.size:
                continue
            if source.is_dir():
                written.append(_write_paths(labels[rows], inside(f"{part}.csv")))
            else:
                written.append(_write_frame(_as_written(source)[rows], source, inside, part))
    written = [out / file.name for file in written]
    return written if copy is None else [*written, copy]


Inside = Callable[[str], Path]
"""From the name of a file to where it is written, as :func:`together` yields it."""


def _as_written(source: Path) -> Any:
    """Return the original rows, all columns kept: they are copied, so that no cell is changed."""
    return read_table(source, as_written=True)


def _write_frame(frame: Any, source: Path, inside: Inside, stem: str) -> Path:
    """Write rows of a table in the format of the source."""
    suffix = ".parquet" if source.suffix == ".parquet" else ".csv"
    path = inside(stem + suffix)
    with atomic_path(path) as temporary:
        if suffix == ".parquet":
            frame.write_parquet(temporary)
        else:
            frame.write_csv(temporary)
    return path


def _write_folds(labels: Labels, source: Path, inside: Inside, fold: NDArray[np.int64]) -> Path:
    if source.is_dir():
        return _write_paths(labels, inside("folds.csv"), fold)
    frame = _as_written(source)
    if "fold" in frame.columns:
        do = "Rename it: the fold of each row is written there."
        raise DataError(say(str(source), "hold no column `fold`", "one", do))
    import polars as pl

    return _write_frame(frame.with_columns(pl.Series("fold", fold)), source, inside, "folds")


def _write_paths(labels: Labels, path: Path, fold: NDArray[np.int64] | None = None) -> Path:
    ids = labels.ids if labels.ids is not None else range(len(labels))
    rows = [[i, labels.names[v]] for i, v in zip(ids, labels.values, strict=True)]
    head = ["path", "label"]
    if fold is not None:
        head = [*head, "fold"]
        rows = [[*row, k] for row, k in zip(rows, fold.tolist(), strict=True)]
    return write_text(path, csv_text(head, rows))


def _copy_files(split: Split, labels: Labels, source: Path, copy: Path) -> None:
    """Copy the files of each part into copy/part, with class and folders below it as they are.

    The folder appears when it is complete. Until then its files lie in one folder beside it, under
    a name of its own and a lock: what a run that was killed has left there, the next one removes.
    """
    if not source.is_dir() or labels.ids is None:
        raise DataError(say("copy", "go with a class folder", f"{source}", "Leave it out."))
    if copy.exists():
        raise DataError(say("copy", "name a new folder", f"{copy}, which exists"))
    draft = copy.parent / f".{copy.name}.part"
    locks = Locks(draft)
    if not locks.claim("copy"):
        do = "Wait for it, or name another folder."
        raise DataError(say("copy", "be written by one run at a time", f"another at {draft}", do))
    try:
        with locks.released(), locks.kept():
            shutil.rmtree(draft / "whole", ignore_errors=True)
            _copy_parts(split, labels.ids.tolist(), source, draft / "whole")
            (draft / "whole").replace(copy)
    except OSError as error:
        # A full disk is said of the folder that was asked for.
        if error.filename2 is not None or error.filename is None:
            error.filename, error.filename2 = str(copy), None
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _copy_parts(split: Split, names: Sequence[str], source: Path, whole: Path) -> None:
    for part in PARTS:
        for row in getattr(split, part).tolist():
            # An id is the path below the source: class, folders in it, file.
            name = names[row]
            target = whole / part / name
            if target.exists():  # where upper and lower case are the same to the disk
                taken = target.resolve().relative_to((whole / part).resolve()).as_posix()
                got, do = f"{name} and {taken}", "Rename one of the two."
                raise DataError(say("copy", "find a free name for each", got, do))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, target)
