"""How artifacts reach the disk: JSON and Parquet with schema and version, written atomically."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np
from numpy.typing import NDArray

from equipoise._core.documents import parse_json, read_text
from equipoise._core.files import atomic_path, write_text
from equipoise._core.messages import say
from equipoise._core.reading import DAMAGED, reading_file, reason_of
from equipoise.errors import DataError, EquipoiseError, SchemaVersionError, UsageError

if TYPE_CHECKING:
    import polars as pl

_ORDER = "Give the file of that kind, and the arguments in their order."
_AGAIN = "It is damaged or was changed by hand: write it again."


def plain(value: Any) -> Any:
    """Return ``value`` as JSON types; NaN becomes None, infinities "inf" and "-inf"."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        # Knots of tables come by the ten thousand: finite floats are as they shall be.
        if {float}.issuperset(map(type, value)) and all(map(math.isfinite, value)):
            return list(value)
        return [plain(v) for v in value]
    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, (np.bool_, np.integer, np.floating)):
        return plain(value.item())
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return ("inf" if value > 0 else "-inf") if math.isinf(value) else value
    if isinstance(value, (int, Path)):
        return value if isinstance(value, int) else str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def to_float(value: Any) -> float:
    """Read a float that ``plain`` wrote."""
    return math.nan if value is None else float(value)


def restore(value: Any) -> Any:
    """Read one number of a record that ``plain`` wrote; other values are left as they are."""
    return to_float(value) if value is None or value in ("inf", "-inf") else value


@cache
def _declared(kind: Any) -> dict[str, tuple[type, ...]]:
    """Return fields that are declared as a text, a number, a truth or a mapping: name -> types."""
    found: dict[str, tuple[type, ...]] = {}
    hints = get_type_hints(kind)
    for field in fields(kind):
        asked = hints[field.name]
        options = get_args(asked) if get_origin(asked) in (Union, UnionType) else (asked,)
        plain_types = [_PLAIN.get(option, _PLAIN.get(get_origin(option))) for option in options]
        if all(plain_types):
            found[field.name] = tuple(t for group in plain_types if group for t in group)
    return found


# A whole number stands for a float, a truth for no number.
_PLAIN: dict[Any, tuple[type, ...]] = {
    str: (str,), int: (int,), float: (float, int), bool: (bool,), type(None): (type(None),),
    Literal: (str,), Mapping: (dict,), dict: (dict,),
}  # fmt: skip
Record = TypeVar("Record")


def as_declared(record: Record) -> Record:
    """Return a record whose plain fields are what they are declared as; JSON may hold anything.

    Raises:
        ValueError: a field of another type, by name.
    """
    kind: Any = type(record)
    for name, types in _declared(kind).items():
        value = getattr(record, name)
        fits = isinstance(value, types) and (not isinstance(value, bool) or bool in types)
        if not fits:
            wanted = " or ".join(dict.fromkeys(t.__name__ for t in types))
            raise ValueError(f"{name} is {value!r:.60} and no {wanted}")
    return record


@contextmanager
def reading(path: str | Path, schema: str) -> Iterator[None]:
    """Turn whatever a damaged file does to a reader into one line that names the file."""
    try:
        yield
    except UsageError as error:  # a setting that is none; in a file it is no wrong use
        got = " ".join(str(error).split())
        raise DataError(say(str(path), f"hold a readable {schema}", got, _AGAIN)) from error
    except EquipoiseError:
        raise
    except KeyError as error:
        got = reason_of(error)
        raise DataError(say(str(path), f"hold all fields of a {schema}", got, _AGAIN)) from error
    except DAMAGED as error:
        got = reason_of(error, 200)
        raise DataError(say(str(path), f"hold a readable {schema}", got, _AGAIN)) from error


def _check_schema(
    found: Mapping[str, Any], path: Path, schema: str, version: int, older: tuple[int, ...] = ()
) -> None:
    if found.get("schema") != schema:
        got = repr(found.get("schema"))
        raise DataError(say(str(path), f"hold a {schema}", got, _ORDER))
    if found.get("version") not in (version, *older):
        raise SchemaVersionError(
            say(
                str(path),
                f"have schema version {version}",
                repr(found.get("version")),
                "Read it with the release of equipoise that wrote it, or write it again.",
            )
        )


def write_json(
    path: str | Path,
    schema: str,
    version: int,
    body: Mapping[str, Any],
    write: Callable[[Path, str], Path] = write_text,
) -> Path:
    """Write an artifact as JSON; ``write`` may be :func:`commit`, for the last file of a folder."""
    document = {"schema": schema, "version": version, **plain(body)}
    return write(Path(path), json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def _other_kind(file: Path) -> str:
    """Return what a file is that is no JSON, by how it begins; "" if that does not tell."""
    with file.open("rb") as stream:
        begins = stream.read(6)
    for mark, what in ((b"PAR1", "a Parquet file"), (b"PK", "a zip file, as .npz and .xlsx are"),
                       (b"\x93NUMPY", "a NumPy file")):  # fmt: skip
        if begins.startswith(mark):
            return what
    return ""


def read_json(
    path: str | Path, schema: str, version: int, older: tuple[int, ...] = ()
) -> dict[str, Any]:
    """Read an artifact written by :func:`write_json`; versions but these are refused."""
    file = Path(path)
    wanted = f"be the JSON of a {schema}"
    try:
        document = parse_json(read_text(file))
    except FileNotFoundError as error:
        do = "Check the path, or write the file first."
        raise DataError(say(str(path), "be a file", "nothing there", do)) from error
    except (ValueError, OSError) as error:
        if other := _other_kind(file):
            raise DataError(say(str(path), wanted, other, _ORDER)) from None
        raise DataError(say(str(path), wanted, str(error), _AGAIN)) from error
    if not isinstance(document, dict):
        raise DataError(say(str(path), wanted, type(document).__name__, _AGAIN))
    _check_schema(document, file, schema, version, older)
    return document


def write_table(
    path: str | Path, schema: str, version: int, frame: pl.DataFrame, meta: Mapping[str, Any]
) -> Path:
    """Write an artifact as Parquet; ``meta`` goes into the file's key-value metadata as JSON."""
    header = {"schema": schema, "version": version, **plain(meta)}
    with atomic_path(path) as temporary:
        frame.write_parquet(temporary, metadata={"equipoise": json.dumps(header)})
    return Path(path)


def read_table(
    path: str | Path, schema: str, version: int, older: tuple[int, ...] = ()
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Read a table written by :func:`write_table` and its metadata."""
    import polars as pl

    file = Path(path)
    if not file.is_file():
        do = "Check the path, or write the file first."
        raise DataError(say(str(path), "be a Parquet file", "nothing there", do))
    with reading_file(path, "be a Parquet file", _AGAIN):
        meta = pl.read_parquet_metadata(file).get("equipoise")
        frame = pl.read_parquet(file)
    if meta is None:
        got = "a Parquet file without its header"
        do = "Read foreign tables with equipoise.read_labels or equipoise.Scores.from_arrays."
        raise DataError(say(str(path), f"hold a {schema}", got, do))
    with reading(path, schema):
        header = parse_json(meta)
    if not isinstance(header, dict):
        raise DataError(say(str(path), f"hold a {schema}", "a broken header", _AGAIN))
    _check_schema(header, file, schema, version, older)
    return frame, header


def read_column(frame: pl.DataFrame, name: str) -> NDArray[Any]:
    """Return one column as an array; a missing column or entry is an error."""
    import polars as pl

    if name not in frame.columns:
        raise KeyError(name)
    if frame[name].null_count():
        raise ValueError(f"{frame[name].null_count()} empty entries in column {name!r}")
    kind = frame[name].dtype
    plain_kind = kind.is_numeric() or kind in (pl.String, pl.Boolean)
    if not plain_kind or str(kind).endswith("128"):  # NumPy has no such integers
        raise ValueError(f"type {kind} in column {name!r}")
    return np.asarray(frame[name].to_numpy())
