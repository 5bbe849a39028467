"""What verbs share: tables and JSON to stdout, progress to stderr, --fail-on."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import typer

from equipoise._core.messages import one_of

if TYPE_CHECKING:
    from equipoise.artifacts import Finding
    from equipoise.artifacts.labels import Kind
    from equipoise.diagnosis import CheckResult

FAILED_FINDING = 4


def note(text: str) -> None:
    """Print a remark to stderr, if there is one."""
    if text:
        typer.echo(text, err=True)


def print_json(value: Any) -> None:
    """Print JSON to stdout; NaN becomes null."""
    from equipoise.artifacts._io import plain

    # What another encoding has no letters for would be written in a way that is no JSON.
    narrow = "utf" not in (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    typer.echo(json.dumps(plain(value), indent=1, ensure_ascii=narrow))


def split_list(text: str | None) -> list[str] | None:
    """Return the parts of "A,B,C", or None."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def numbers(
    name: str, text: str | None, separator: str = ",", *, expected: str = ""
) -> list[float] | None:
    """Return the numbers of "10,2.5", or None."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(separator)]
    except ValueError:
        from equipoise._core.messages import say
        from equipoise.errors import UsageError

        what = expected or f"be numbers separated by '{separator}'"
        raise UsageError(say(name, what, repr(text))) from None


def kind_of(text: str | None) -> Kind | None:
    """Return the kind of labels that --kind names, or None."""
    kinds: tuple[Kind, ...] = ("multiclass", "multilabel")
    return None if text is None else one_of("--kind", text, kinds)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows in columns, the first to the left, the rest to the right."""
    widths = [max(len(str(r[i])) for r in (head, *rows)) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        first = str(row[0]).ljust(widths[0])
        rest = [str(c).rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        return "  ".join([first, *rest]).rstrip()

    rule = "  ".join("-" * w for w in widths)
    return "\n".join([line(head), rule, *(line(r) for r in rows)])


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of words in columns, all to the left."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    padded = [[c.ljust(w) for c, w in zip(r, widths, strict=True)] for r in (head, *rows)]
    return "\n".join(line.rstrip() for line in table(padded[0], padded[1:]).splitlines())


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function that shows (what, done, in all) as a bar; silent when not a terminal."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<11}"), BarColumn(40), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=1)
        yield lambda what, done, total: bar.update(
            task, description=what, completed=done, total=total
        )


def findings_lines(findings: Sequence[Finding]) -> list[str]:
    """Return findings as text, worst first."""
    from equipoise.artifacts.finding import SEVERITIES

    ordered = sorted(findings, key=lambda f: (-SEVERITIES.index(f.severity), f.code))
    lines = []
    for finding in ordered:
        lines.append(f"{finding.code} {finding.severity}: {finding.title}")
        lines.append(f"    {finding.message}")
        lines.extend(f"    -> {todo}" for todo in finding.suggests)
    return lines or ["Nothing was found by the checks that were made."]


def results_lines(results: Sequence[CheckResult]) -> list[str]:
    """Return findings as text, worst first, and in a line each what became of the other checks."""
    findings = [f for r in results for f in r.findings]
    lines = findings_lines(findings) if findings else []
    fine = [r.code for r in results if r.status == "fine"]
    made = len(fine) + sum(r.status == "found" for r in results)
    if not findings:
        lines.append(f"Nothing was found by the {made} of {len(results)} checks that were made.")
    if fine:
        lines.append(f"fine: {', '.join(fine)}")
    reasons = dict.fromkeys(r.reason for r in results if r.status == "not made")
    for reason in sorted(reasons):
        codes = [r.code for r in results if r.status == "not made" and r.reason == reason]
        lines.append(f"not made because {reason.rstrip('.')}: {', '.join(codes)}")
    muted = [r.code for r in results if r.status == "muted"]
    if muted:
        lines.append(f"muted: {', '.join(muted)}")
    return lines


def fail_on(findings: Sequence[Finding], level: str | None) -> None:
    """Exit with code 4 if a finding is at or above ``level``."""
    if level is None:
        return
    from equipoise.artifacts.finding import SEVERITIES

    least = SEVERITIES.index(one_of("--fail-on", level, SEVERITIES))
    if any(SEVERITIES.index(f.severity) >= least for f in findings):
        raise typer.Exit(FAILED_FINDING)
