"""Foreign tables, arrays and score files, read into artifacts: one reader for all verbs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipoise.io.coding import LabelCoding
    from equipoise.io.features import feature_table
    from equipoise.io.labels import read_labels
    from equipoise.io.scores import read_scores
    from equipoise.io.tables import as_numbers, read_table, scan_table

__all__ = [
    "LabelCoding",
    "as_numbers",
    "feature_table",
    "read_labels",
    "read_scores",
    "read_table",
    "scan_table",
]

_HOME = {
    "LabelCoding": "coding",
    "as_numbers": "tables",
    "feature_table": "features",
    "read_labels": "labels",
    "read_scores": "scores",
    "read_table": "tables",
    "scan_table": "tables",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
