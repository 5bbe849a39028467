"""The one registry of finding codes: code -> severity and title."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

__all__ = ["CODES", "Code"]


class Code(NamedTuple):
    """Severity and title shared by every finding of one code."""

    severity: Literal["tip", "warning", "error"]
    title: str


CODES: Mapping[str, Code] = MappingProxyType(
    {
        "EQ101": Code("error", "Labels that cannot be learned"),
        "EQ102": Code("warning", "Labels known from anecdotes"),
        "EQ103": Code("warning", "Too few positives for a sharp answer"),
        "EQ104": Code("tip", "Degree of imbalance"),
        "EQ105": Code("tip", "Accuracy without learning"),
        "EQ106": Code("tip", "What weighting does to the 0.5 cut"),
        "EQ107": Code("warning", "Number of rows unknown"),
        "EQ201": Code("error", "Groups cross parts"),
        "EQ202": Code("error", "Identical rows in several parts"),
        "EQ203": Code("warning", "Labels missing from a part"),
        "EQ204": Code("warning", "Rows repeated before the split"),
        "EQ401": Code("warning", "Saturated or tied scores"),
        "EQ402": Code("warning", "Flood or drought of positives"),
    }
)
