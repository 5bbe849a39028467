"""How artifacts reach the disk: JSON and Parquet with schema and version, written atomically."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from equipoise._core.checks import say
from equipoise._core.files import atomic_path, write_text
from equipoise.errors import DataError, SchemaVersionError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["plain", "read_json", "read_table", "to_float", "write_json", "write_table"]


def plain(value: Any) -> Any:
    """Return ``value`` as JSON types; NaN becomes None, infinities "inf" and "-inf"."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
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


def _check_schema(found: Mapping[str, Any], path: Path, schema: str, version: int) -> None:
    if found.get("schema") != schema:
        raise DataError(say(str(path), f"hold a {schema}", repr(found.get("schema"))))
    if found.get("version") != version:
        raise SchemaVersionError(
            say(
                str(path),
                f"have schema version {version}",
                repr(found.get("version")),
                "Read it with the release of equipoise that wrote it, or write it again.",
            )
        )


def write_json(path: str | Path, schema: str, version: int, body: Mapping[str, Any]) -> Path:
    """Write an artifact as JSON."""
    document = {"schema": schema, "version": version, **plain(body)}
    return write_text(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def read_json(path: str | Path, schema: str, version: int) -> dict[str, Any]:
    """Read an artifact written by :func:`write_json`; an unknown version is refused."""
    file = Path(path)
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(say(str(path), "be a file", "nothing there")) from error
    except (json.JSONDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise DataError(say(str(path), f"be the JSON of a {schema}", str(error))) from error
    if not isinstance(document, dict):
        raise DataError(say(str(path), f"be the JSON of a {schema}", type(document).__name__))
    _check_schema(document, file, schema, version)
    return document


def write_table(
    path: str | Path, schema: str, version: int, frame: pl.DataFrame, meta: Mapping[str, Any]
) -> Path:
    """Write an artifact as Parquet; ``meta`` goes into the file's key-value metadata as JSON."""
    header = {"schema": schema, "version": version, **plain(meta)}
    with atomic_path(path) as temporary:
        frame.write_parquet(temporary, metadata={"equipoise": json.dumps(header)})
    return Path(path)


def read_table(path: str | Path, schema: str, version: int) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Read a table written by :func:`write_table` and its metadata."""
    import polars as pl

    file = Path(path)
    if not file.is_file():
        raise DataError(say(str(path), "be a Parquet file", "nothing there"))
    try:
        frame = pl.read_parquet(file)
        meta = pl.read_parquet_metadata(file).get("equipoise")
    except pl.exceptions.PolarsError as error:
        raise DataError(say(str(path), "be a Parquet file", str(error).split("\n")[0])) from error
    if meta is None:
        raise DataError(say(str(path), f"hold a {schema}", "a Parquet file without its header"))
    header = json.loads(meta)
    _check_schema(header, file, schema, version)
    return frame, header
