"""A finding: one thing the diagnosis saw, with its evidence and what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from equipoise._core.language import mark, said
from equipoise._core.messages import one_of, say
from equipoise._core.text import as_html
from equipoise.artifacts._io import as_declared, plain, read_json, reading, write_json
from equipoise.errors import UsageError

Severity = Literal["fact", "tip", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = ("fact", "tip", "warning", "error")
# What was asked comes first: a set-up, loss or sampler is given to be judged, labels always are.
_FAMILIES = "356421"
_SCHEMA, _VERSION = "equipoise.findings", 1


@dataclass(frozen=True, slots=True)
class Finding:
    """One observation about labels, splits, scores or training.

    Args:
        code: "EQ" and three digits: 1xx labels, 2xx splits, 3xx training, 4xx scores and
            decisions, 5xx losses, 6xx samplers.
        severity: "fact" (what is, and is usual), "tip", "warning" or "error".
        title: A few words, the same for every finding of this code.
        message: What was seen here, in numbers.
        evidence: The numbers behind the message.
        suggests: What to do, most useful first.
        effect: How much it matters among findings as grave, a log-ratio >= 0: how far odds are
            moved, how many times the epochs are those that train; 0 where nothing says.
    """

    code: str
    severity: Severity
    title: str
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    suggests: tuple[str, ...] = ()
    effect: float = 0.0

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
        return as_declared(cls(**{**fields, "suggests": tuple(fields["suggests"])}))

    def __str__(self) -> str:
        return f"{headline(self)}. {said(self.message)}"


def headline(finding: Finding) -> str:
    """Return code, severity and title as they are shown."""
    return f"{finding.code} {said(finding.severity)}{mark(': ')}{said(finding.title)}"


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings as they are to be read: gravest first, then what was asked, then by effect.

    Example:
        >>> one = Finding("EQ106", "tip", "Cut", "It moves.")
        >>> two = Finding("EQ330", "tip", "Cut", "It moves.", effect=0.7)
        >>> [f.code for f in in_order([one, two])]
        ['EQ330', 'EQ106']
    """

    def place(f: Finding) -> tuple[int, int, float, str]:
        return -SEVERITIES.index(f.severity), _FAMILIES.index(f.code[2]), -f.effect, f.code

    return sorted(findings, key=place)


class Findings(list[Finding]):
    """Findings that print as the command line shows them.

    Example:
        >>> print(Findings([Finding("EQ106", "tip", "Cut", "It moves.", suggests=("Tune it.",))]))
        EQ106 tip: Cut
            It moves.
            -> Tune it.
        >>> print(Findings())
        Nothing unusual was found by the checks that were made.
    """

    def lines(self, spelt: Callable[[str], str] = str) -> list[str]:
        """Return them as text, worst first, advice as ``spelt`` has it."""
        made = []
        for finding in in_order(f for f in self if f.severity != "fact"):
            made.append(headline(finding))
            made.append(f"    {said(finding.message)}")
            made.extend(f"    -> {said(spelt(todo))}" for todo in finding.suggests)
        made = made or [said("Nothing unusual was found by the checks that were made.")]
        if facts := [f for f in self if f.severity == "fact"]:
            made.append(said("As usual:"))
            opened, closed = mark(" ("), mark(")")
            made += [f"    {said(fact.message)}{opened}{fact.code}{closed}" for fact in facts]
        return made

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        return as_html(self.lines())


def save_findings(findings: Sequence[Finding], path: str | Path) -> Path:
    """Write findings as JSON."""
    return write_json(path, _SCHEMA, _VERSION, {"findings": [f.to_dict() for f in findings]})


def load_findings(path: str | Path) -> list[Finding]:
    """Read what :func:`save_findings` wrote."""
    body = read_json(path, _SCHEMA, _VERSION)
    with reading(path, _SCHEMA):
        return [Finding.from_dict(f) for f in body["findings"]]
