"""Training counts of labels from a file: a trial, a JSON object or a table of name and count."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from equipoise._core.cells import plain_cell
from equipoise._core.checks import to_whole
from equipoise._core.documents import parse_json, read_text
from equipoise._core.identity import loose_key
from equipoise._core.messages import closest, say
from equipoise.errors import DataError
from equipoise.io.tables import separator_of


def read_counts(path: str | Path, names: Sequence[str]) -> list[int]:
    """Return the training count of each name, in the order of ``names``.

    Args:
        path: The trial.json of a run (or its folder), a JSON object name -> count, or a CSV with
            one ``name,count`` per line, with or without a header.
        names: Labels or classes; others in the file are left out.

    Raises:
        DataError: no such file, no counts in it, or a name without a count.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "trial.json"
    if not file.is_file():
        raise DataError(say(str(file), "be a file", "nothing there", "Check the path."))
    try:
        text = read_text(file)
        found = _from_csv(text) if file.suffix == ".csv" else _from_json(text)
    except (ValueError, csv.Error) as error:
        do = 'Give a trial.json, a JSON object as {"A": 120}, or a CSV of name,count.'
        raise DataError(say(str(file), "hold counts", str(error)[:100], do)) from error
    missing = [name for name in names if name not in found]
    if missing:
        expected = f"hold a count for each of {list(names)[:10]}"
        near = next((n for n in found if loose_key(n) == loose_key(missing[0])), None)
        do = closest(missing[0], found)
        if near is not None:
            do = f"It differs from {near!r} only by spaces or as a number: write them alike."
        raise DataError(say(str(file), expected, f"none of {missing[0]!r}", do))
    return [_count(file, name, found[name]) for name in names]


def _count(file: Path, name: str, value: Any) -> int:
    return to_whole(str(file), value, expected=f"hold a whole count >= 0 for {name!r}")


def _from_json(text: str) -> Mapping[str, Any]:
    body = parse_json(text)
    if isinstance(body, dict) and isinstance(body.get("train_counts"), dict):
        body = body["train_counts"]
    if not isinstance(body, dict):
        raise ValueError(f"a {type(body).__name__}")
    return body


def _from_csv(text: str) -> Mapping[str, Any]:
    found: dict[str, str] = {}
    lines = [*text.splitlines(), "", ""]
    for row in csv.reader(lines[:-2], delimiter=separator_of(*lines[:2])):
        if len(row) != 2:
            raise ValueError(f"the line {','.join(row)!r}")
        name = plain_cell(row[0])
        if name in found:
            raise ValueError(f"{name!r} twice")
        found[name] = row[1].strip()
    return found
