"""The checks, and what became of them; a check registers itself under its code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from equipoise._core.codes import CODES
from equipoise.artifacts.finding import Finding
from equipoise.diagnosis.material import Material

Status = Literal["found", "fine", "not made", "muted"]


Check = Callable[[Material], Sequence[Finding] | None]
CHECKS: dict[str, Check] = {}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What became of one check: "found", "fine", "not made" or "muted".

    Fine is what was looked at without a finding. What could not be made on what is there, or had
    nothing to look at, is not made; ``reason`` says why.
    """

    code: str
    title: str
    status: Status
    findings: tuple[Finding, ...] = ()
    reason: str = ""


def check(code: str) -> Callable[[Check], Check]:
    """Register a check; it returns findings, an empty list (fine) or None (not made)."""

    def register(function: Check) -> Check:
        if code not in CODES or code in CHECKS:
            raise KeyError(f"{code} is not in the registry of codes, or has a check already")
        CHECKS[code] = function
        return function

    return register


def finding(code: str, message: str, evidence: dict[str, Any], *suggests: str) -> Finding:
    """Make a finding with the severity and title of its code."""
    return Finding(code, *CODES[code], message, evidence, suggests)
