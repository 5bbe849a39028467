"""The checks, what became of them, and what each really looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import FunctionType, MethodType
from typing import Any, Literal

from equipoise._core.codes import CODES
from equipoise._core.messages import listed
from equipoise.artifacts.finding import SEVERITIES, Finding, Severity
from equipoise.diagnosis.material import Material
from equipoise.diagnosis.setup import Setup

WORDS: Mapping[str, str] = {
    "statistics": "labels or counts",
    "labels": "labels row by row",
    "counts": "counts",
    "split": "split",
    "has_features": "features",
    "scores": "scores",
    "trial": "finished training",
    "course": "training log",
    "history": "training log",
    "label_history": "training log",
    "features": "features",
    "image_hashes": "images",
    "setups": "set-up",
    "other": "scores of another run",
    "new": "scores of new rows",
    "rule": "rule",
    "comparison": "comparison",
    "trials": "trainings side by side",
    "classes": "table of classes",
}
# They say how to read the rest, and are no evidence themselves.
_ASIDE = ("name", "kind")


class Watched:
    """A record that notes which of its fields were read and whether they said anything.

    Methods and properties of the record run on the watched one, so that what they read is noted.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._read: dict[str, bool] = {}
        self._parts: tuple[Watched, ...] = ()

    def __getattr__(self, name: str) -> Any:
        own = getattr(type(self._inner), name, None)
        if isinstance(own, property):
            return own.fget(self) if own.fget is not None else None
        if isinstance(own, FunctionType):
            return MethodType(own, self)
        value = getattr(self._inner, name)
        empty = isinstance(value, tuple) and not value
        self._read[name] = not (value is None or value is False or empty)
        if isinstance(value, tuple) and value and isinstance(value[0], Setup):
            self._parts = self._parts or tuple(Watched(item) for item in value)
            return self._parts
        return value


def lacking(material: Watched, found_nothing: bool) -> str | None:
    """Return why a check was not made, or None where it looked at what it is about.

    Args:
        material: What a check has read.
        found_nothing: Whether it came back with an empty list; else it came back with None.
    """
    parts = material._parts
    silent = [
        name
        for name in dict.fromkeys(n for part in parts for n in part._read)
        if name not in _ASIDE and not any(part._read.get(name) for part in parts)
    ]
    said = any(on for part in parts for n, on in part._read.items() if n not in _ASIDE)
    if found_nothing:
        # Every field that it asked the set-ups for was empty: there was nothing to look at.
        return f"no set-up says {_listed(silent)}" if parts and silent and not said else None
    reasons = [
        f"no {w}" for w in dict.fromkeys(WORDS[n] for n, on in material._read.items() if not on)
    ]
    if parts and silent:
        reasons.append(f"no set-up says {_listed(silent)}")
    return " and ".join(reasons) or "it is about other data than these"


def _listed(names: list[str]) -> str:
    return " or ".join(names)


Status = Literal["found", "fine", "not made", "muted"]


Check = Callable[[Material], Sequence[Finding] | None]
CHECKS: dict[str, Check] = {}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What became of one check: "found", "fine", "not made" or "muted".

    Fine is what was looked at without a finding. What could not be made on what is there, or had
    nothing to look at, is not made; ``reason`` says why. ``applicable`` is False where nothing was
    given that the check is about: a check that failed on what was given is another matter.
    """

    code: str
    title: str
    status: Status
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    applicable: bool = True


def check(code: str) -> Callable[[Check], Check]:
    """Register a check; it returns findings, an empty list (fine) or None (not made)."""

    def register(function: Check) -> Check:
        if code not in CODES or code in CHECKS:
            raise KeyError(f"{code} is not in the registry of codes, or has a check already")
        CHECKS[code] = function
        return function

    return register


def finding(
    code: str,
    message: str,
    evidence: dict[str, Any],
    *suggests: str,
    severity: Severity | None = None,
    effect: float = 0.0,
) -> Finding:
    """Make a finding with the severity, unless another is given, and the title of its code."""
    usual, title = CODES[code]
    return Finding(code, severity or usual, title, message, evidence, suggests, effect)


def in_one(found: Sequence[tuple[Setup, Finding]]) -> list[Finding]:
    """Return one finding of each code, those of several set-ups told together.

    The gravest is told, of several the first; the others are named, and counted as alike where
    their numbers differ. The evidence of each stands under its name.
    """
    made = []
    for code in dict.fromkeys(f.code for _, f in found):
        alike = [(setup, f) for setup, f in found if f.code == code]
        # Of equally grave ones the first that was named: that is whom the question is about.
        setup, gravest = max(alike, key=lambda pair: SEVERITIES.index(pair[1].severity))
        same = [s.name for s, f in alike if f.message == gravest.message]
        other = [s.name for s, f in alike if f.message != gravest.message]
        message, evidence = gravest.message, dict(gravest.evidence)
        if len(alike) > 1 or setup.name != "setup":
            message = f"{listed(same)}: {message}"
            message += f" Likewise, in other numbers: {listed(other)}." if other else ""
        evidence["setup"] = setup.name
        if len(alike) > 1:
            evidence["setups"] = {s.name: dict(f.evidence) for s, f in alike}
        effect = max(f.effect for _, f in alike)
        made.append(replace(gravest, message=message, evidence=evidence, effect=effect))
    return made
