"""A finding: one thing the diagnosis saw, with its evidence and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from equipoise._core.messages import one_of, say
from equipoise.artifacts._io import plain, read_json, reading, write_json
from equipoise.errors import UsageError

Severity = Literal["tip", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("tip", "warning", "error")
_SCHEMA, _VERSION = "equipoise.findings", 1


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation about labels, splits, scores or training.

    Args:
        code: "EQ" and three digits: 1xx labels, 2xx splits, 3xx training, 4xx scores and
            decisions, 5xx losses, 6xx samplers.
        severity: "tip", "warning" or "error".
        title: A few words, the same for every finding of this code.
        message: What was seen here, in numbers.
        evidence: The numbers behind the message.
        suggests: What to do, most useful first.
    """

    code: str
    severity: Severity
    title: str
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    suggests: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"EQ[1-6]\d\d", self.code):
            do = "The first digit is the family, 1 to 6."
            raise UsageError(say("code", "be EQ and three digits", repr(self.code), do))
        one_of("severity", self.severity, SEVERITIES)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        body: dict[str, Any] = plain(asdict(self))
        return body

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Finding:
        """Read what :meth:`to_dict` wrote."""
        return cls(**{**fields, "suggests": tuple(fields["suggests"])})

    def __str__(self) -> str:
        return f"{self.code} {self.severity}: {self.title}. {self.message}"


def save_findings(findings: Sequence[Finding], path: str | Path) -> Path:
    """Write findings as JSON."""
    return write_json(path, _SCHEMA, _VERSION, {"findings": [f.to_dict() for f in findings]})


def load_findings(path: str | Path) -> list[Finding]:
    """Read what :func:`save_findings` wrote."""
    body = read_json(path, _SCHEMA, _VERSION)
    with reading(path, _SCHEMA):
        return [Finding.from_dict(f) for f in body["findings"]]
