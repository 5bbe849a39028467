"""Damage done to small valid documents, by seed: bytes, and values within them."""

from __future__ import annotations

import copy
import json
import math
import random
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import yaml

DEEP = 3_000
ODD_TEXTS = (
    "", " ", "x", "NaN", "-inf", "1e400", "1e300", "0.5", "9" * 30, "9" * 5000, "-1", "2001-13-45",
    "=1+1", "'", '"', "\r", "\t", ";", ",", "|", "\x00", "\u202e", "\ufeff", "日本", "yes", "null",
    "0x", "1:1", "[1]", "{}", "../..", "*a", "&a [*a]", "!!bool x", "<<", "-",
)  # fmt: skip
ODD_BYTES = (
    b"\xff\xfe", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x00" * 8, b"\n\n", b"\r", b"PAR1",
    b"PK\x03\x04", b"{" * DEEP, b"[" * 100_000, b"- " * DEEP, b'"', b"'", b"1e999999999",
)  # fmt: skip


def odd_values() -> tuple[Any, ...]:
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    return (
        None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**70, -(2**70), 10**30, 10**400,
        0.5, -0.5, 1e-320, 1e308, -1e308, math.nan, math.inf, -math.inf, [], {}, [[]], [{}],
        {"a": 1}, [None], ["x"], [1, 2], [0.5, "x"], [True], [math.nan], [10**400], deep,
        {"op": "offset"}, {"source": "table"}, "\ud800", ["a\udfff"],
        *ODD_TEXTS,
    )  # fmt: skip


def damaged_bytes(valid: bytes, draw: random.Random) -> bytes:
    """Return bytes with bits flipped, parts cut, doubled or moved, or odd ones put in."""
    data = valid
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        data = draw.choice(WAYS)(data, draw)
    return data


def _span(data: bytes, draw: random.Random, most: int) -> tuple[int, int]:
    start = draw.randrange(len(data) + 1)
    return start, min(len(data), start + draw.randrange(most))


def _flipped(data: bytes, draw: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(draw.choice((1, 1, 4, 16)) if made else 0):
        made[draw.randrange(len(made))] ^= 1 << draw.randrange(8)
    return bytes(made)


def _cut(data: bytes, draw: random.Random) -> bytes:
    return data[: _span(data, draw, 1)[0]]


def _holed(data: bytes, draw: random.Random) -> bytes:
    start, end = _span(data, draw, 40)
    return data[:start] + data[end:]


def _doubled(data: bytes, draw: random.Random) -> bytes:
    start, end = _span(data, draw, 400)
    return data[:end] + data[start:]


def _with_text(data: bytes, draw: random.Random) -> bytes:
    at = _span(data, draw, 1)[0]
    return data[:at] + draw.choice(ODD_TEXTS).encode() + data[at:]


def _with_bytes(data: bytes, draw: random.Random) -> bytes:
    at = _span(data, draw, 1)[0]
    return data[:at] + draw.choice(ODD_BYTES) + data[at:]


def _with_number(data: bytes, draw: random.Random) -> bytes:
    numbers = [m.span() for m in re.finditer(rb"-?\d+(\.\d+)?", data)] or [(0, 0)]
    start, end = draw.choice(numbers)
    return data[:start] + draw.choice(ODD_TEXTS).encode() + data[end:]


def _shuffled(data: bytes, draw: random.Random) -> bytes:
    lines = data.split(b"\n")
    draw.shuffle(lines)
    return b"\n".join(lines[: draw.randrange(len(lines)) + 1])


def _recoded(data: bytes, draw: random.Random) -> bytes:
    text = data.decode("utf-8", "replace")
    return text.encode(draw.choice(("utf-16", "utf-32", "utf-8-sig", "cp037")), "replace")


WAYS = (_flipped, _cut, _holed, _doubled, _with_text, _with_bytes, _with_number, _shuffled,
        _recoded)  # fmt: skip


def _places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        found.append((value, key))
        if isinstance(value[key], (dict, list)):
            _places(value[key], found)
    return found


def damaged_value(valid: Any, draw: random.Random) -> Any:
    """Return a document with values of other types and sizes, or keys lost, doubled or new."""
    made = copy.deepcopy(valid)
    for _ in range(draw.choice((1, 1, 2, 4))):
        places = _places(made, []) if isinstance(made, (dict, list)) else []
        if not places or draw.random() < 0.02:
            return draw.choice(odd_values())
        parent, key = draw.choice(places)
        how = draw.randrange(6)
        if how <= 2:
            parent[key] = copy.deepcopy(draw.choice(odd_values()))
        elif how == 3:
            del parent[key]
        elif how == 4 and isinstance(parent, list):
            parent.extend(copy.deepcopy(parent[:3]))
        elif how == 4:
            parent[draw.choice(ODD_TEXTS)] = copy.deepcopy(parent[key])
        else:
            other, at = draw.choice(places)
            if at in other if isinstance(other, dict) else at < len(other):
                parent[key] = copy.deepcopy(other[at])
    return made


def _dumped(dump: Callable[[Any], str], value: Any) -> bytes:
    try:
        return dump(value).encode("utf-8", "surrogatepass")
    except (ValueError, TypeError, yaml.YAMLError):  # a number of 400 digits is too much for YAML
        return b"{" * DEEP


def damaged_json(valid: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.3:
        return damaged_bytes(valid, draw)
    return _dumped(json.dumps, damaged_value(json.loads(valid), draw))


def damaged_json_lines(valid: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.3:
        return damaged_bytes(valid, draw)
    rows = damaged_value([json.loads(line) for line in valid.splitlines()], draw)
    return b"\n".join(_dumped(json.dumps, r) for r in (rows if isinstance(rows, list) else [rows]))


_content = cache(yaml.safe_load)


def damaged_yaml(valid: bytes, draw: random.Random) -> bytes:
    """Return YAML, half of it in JSON's way, which is quicker to write."""
    if draw.random() < 0.3:
        return damaged_bytes(valid, draw)
    made = damaged_value(_content(valid), draw)
    return _dumped(yaml.safe_dump if draw.random() < 0.2 else json.dumps, made)


def damaged_table(valid: bytes, draw: random.Random) -> bytes:
    """Return a CSV with odd cells, rows and columns."""
    if draw.random() < 0.4:
        return damaged_bytes(valid, draw)
    mark = next(m for m in (b"\t", b";", b",") if m in valid)
    rows = [line.split(mark) for line in valid.split(b"\n")]
    for _ in range(draw.choice((1, 1, 2, 8))):
        row = draw.choice(rows)
        how = draw.randrange(5)
        if how <= 2 and row:
            row[draw.randrange(len(row))] = draw.choice(ODD_TEXTS).encode()
        elif how == 3:
            column, cell = draw.randrange(len(rows[0]) + 1), draw.choice(ODD_TEXTS).encode()
            for other in rows[1:]:
                if column < len(other):
                    other[column] = cell
        else:
            rows.insert(draw.randrange(len(rows)), list(row))
    return b"\n".join(mark.join(row) for row in rows)
