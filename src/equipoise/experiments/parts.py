"""What ``equipoise split`` does: draw a split from words, write its parts beside the proof."""

from __future__ import annotations

import csv
import io
import shutil
import tempfile
from pathlib import Path
from typing import Any

from equipoise._core.checks import say
from equipoise._core.files import atomic_path, write_text
from equipoise.artifacts import Labels, Split
from equipoise.errors import DataError, UsageError
from equipoise.splits import long_tail_split, stratified_split

__all__ = ["draw_split", "write_parts"]

PARTS = ("train", "val", "test")


def _numbers(text: str, name: str, separator: str) -> list[float]:
    try:
        return [float(part) for part in text.split(separator)]
    except ValueError:
        raise UsageError(say(name, f"be numbers separated by '{separator}'", repr(text))) from None


def draw_split(
    labels: Labels,
    fractions: str,
    long_tail: bool,
    ratio: str | None,
    shape: str,
    total: int | None,
    per_class: tuple[int | None, int | None],
    seed: int,
) -> Split:
    """Return the split that the command line asks for."""
    if not long_tail:
        if ratio is not None or total is not None or per_class != (None, None):
            raise UsageError(
                "--ratio, --total, --test-per-class and --val-per-class belong to --long-tail. "
                "Add --long-tail, or leave them out."
            )
        shares = _numbers(fractions, "--fractions", ",")
        return stratified_split(labels, fractions=shares, seed=seed)
    if ratio is None:
        raise UsageError(say("--ratio", "be given with --long-tail", None, "E.g. --ratio 20."))
    ratios = _numbers(ratio, "--ratio", ":")
    settings: dict[str, Any] = {"imbalance_ratio": ratios[0], "shape": shape}
    if len(ratios) > 1:
        settings = {"ratios": ratios, "shape": "custom"}
    return long_tail_split(
        labels,
        total=total,
        val_per_class=per_class[0],
        test_per_class=per_class[1],
        seed=seed,
        **settings,
    )


def write_parts(
    split: Split, labels: Labels, source: Path, out: Path, copy: Path | None
) -> list[Path]:
    """Write split.json and one table per part; optionally copy a class folder's files.

    Raises:
        DataError: ``copy`` is asked for, but the source is no class folder, or exists already.
    """
    if copy is not None:
        _copy_files(split, labels, source, copy)
    written = [split.save(out / "split.json")]
    for part in PARTS:
        rows = getattr(split, part)
        if not rows.size:
            continue
        if source.is_dir():
            written.append(_write_paths(labels[rows], out / f"{part}.csv"))
        else:
            written.append(_write_rows(source, rows, out, part))
    return written if copy is None else [*written, copy]


def _write_rows(source: Path, rows: Any, out: Path, part: str) -> Path:
    """Write the original rows of one part, all columns kept, in the format of the source."""
    from equipoise.labels import read_table

    frame = read_table(source)[rows]
    suffix = ".parquet" if source.suffix == ".parquet" else ".csv"
    path = out / f"{part}{suffix}"
    with atomic_path(path) as temporary:
        if suffix == ".parquet":
            frame.write_parquet(temporary)
        else:
            frame.write_csv(temporary)
    return path


def _write_paths(labels: Labels, path: Path) -> Path:
    ids = labels.ids if labels.ids is not None else range(len(labels))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label"])
    writer.writerows([i, labels.names[v]] for i, v in zip(ids, labels.values, strict=True))
    return write_text(path, text.getvalue())


def _copy_files(split: Split, labels: Labels, source: Path, copy: Path) -> None:
    """Copy the files of each part into copy/part/class; the folder appears when it is complete."""
    if not source.is_dir() or labels.ids is None:
        raise DataError(say("--copy", "go with a class folder", f"{source}", "Leave --copy out."))
    if copy.exists():
        raise DataError(say("--copy", "name a new folder", f"{copy}, which exists"))
    copy.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{copy.name}-", dir=copy.parent) as temporary:
        whole = Path(temporary) / "whole"
        for part in PARTS:
            for row in getattr(split, part):
                file = source / str(labels.ids[row])
                target = whole / part / labels.names[labels.values[row]] / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, target)
        whole.replace(copy)
