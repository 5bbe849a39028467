"""What verbs share: tables and JSON to stdout, progress to stderr, --fail-on."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import typer

from equipoise._core.language import said
from equipoise._core.messages import one_of

if TYPE_CHECKING:
    from equipoise.artifacts import Finding
    from equipoise.artifacts.labels import Kind
    from equipoise.diagnosis import CheckResult

FAILED_FINDING = 4
_EVERY = 10.0  # seconds between lines of progress


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


def seconds_of(name: str, text: str | None) -> float | None:
    """Return the seconds of "90s", "10m", "1h30m", or None."""
    import re

    if text is None:
        return None
    found = re.fullmatch(r"\s*(?:(\d+)h)?\s*(?:(\d+)m)?\s*(?:(\d+)s)?\s*", text)
    if found is None or not any(found.groups()):
        from equipoise._core.messages import say
        from equipoise.errors import UsageError

        raise UsageError(say(name, "be a time such as 90s, 10m or 1h30m", repr(text)))
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds


def kind_of(text: str | None) -> Kind | None:
    """Return the kind of labels that --kind names, or None."""
    kinds: tuple[Kind, ...] = ("multiclass", "multilabel")
    return None if text is None else one_of("--kind", text, kinds)


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function that shows (what, done, in all): a bar, or lines where no terminal is.

    What is 0 of 0 is a remark, and stays.

    Lines come every ten seconds at most, so that what is over in less is silent.
    """
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<11}"), BarColumn(40), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=1)

        def show(what: str, done: int, total: int) -> None:
            if total == 0:
                bar.console.print(what, markup=False, highlight=False)
            else:
                bar.update(task, description=what, completed=done, total=total)

        yield show


def _lines() -> Callable[[str, int, int], None]:
    """Return what tells of progress in plain lines, with the time left at the pace so far."""
    begun = last = time.monotonic()
    first: dict[str, tuple[float, int]] = {}

    def show(what: str, done: int, total: int) -> None:
        nonlocal last
        if total == 0:
            note(what)
            return
        now = time.monotonic()
        since, at = first.setdefault(what, (now, done))
        if now - last < _EVERY:
            return
        last = now
        left = ""
        if done > at and now > since:
            from equipoise._core.messages import in_words

            left = f", {in_words((now - since) / (done - at) * (total - done))} left"
        note(f"{what}: {done:,} of {total:,} after {now - begun:.0f} s{left}")

    return show


def findings_lines(findings: Sequence[Finding], spelt: Callable[[str], str] = str) -> list[str]:
    """Return findings as text, worst first, advice as ``spelt`` has it."""
    from equipoise.artifacts.finding import Findings

    return Findings(findings).lines(spelt)


def results_lines(
    results: Sequence[CheckResult], every: bool = False, spelt: Callable[[str], str] = str
) -> list[str]:
    """Return findings as text, worst first, and in a line each what became of the other checks.

    Args:
        results: Of :func:`equipoise.diagnosis.run_checks`.
        every: Whether checks that nothing was given for are listed with their reasons.
        spelt: Says what the library advises in the words of the verb.
    """
    findings = [f for r in results for f in r.findings]
    # What was given and could not be used is the user's to mend, and comes first.
    failed = [r for r in results if r.status == "not made" and r.applicable]
    lines = [
        _not_made(spelt(reason), [r.code for r in failed if r.reason == reason])
        for reason in sorted(dict.fromkeys(r.reason for r in failed))
    ]
    lines += findings_lines(findings, spelt) if findings else []
    fine = [r.code for r in results if r.status == "fine"]
    made = len(fine) + sum(r.status == "found" for r in results)
    if not findings:
        nothing = (
            f"Nothing was found by the {made} of {len(results)} checks that were made."
            if made
            else "No check was made: nothing that was given holds what one of them looks at."
        )
        lines.append(said(nothing))
    if fine:
        lines.append(said(f"fine: {', '.join(fine)}"))
    skipped = [r for r in results if r.status == "not made"]
    shown = [r for r in skipped if every and not r.applicable]
    for reason in sorted(dict.fromkeys(r.reason for r in shown)):
        codes = [r.code for r in shown if r.reason == reason]
        lines.append(_not_made(reason, codes))
    if left := len(skipped) - len(shown) - len(failed):
        lines.append(said(f"{left} checks are about what was not given; --all lists them"))
    muted = [r.code for r in results if r.status == "muted"]
    if muted:
        lines.append(said(f"muted: {', '.join(muted)}"))
    return lines


def _not_made(reason: str, codes: Sequence[str]) -> str:
    return said(f"not made because {reason.rstrip('.')}: {', '.join(codes)}")


def fail_on(findings: Sequence[Finding], level: str | None) -> None:
    """Exit with code 4 if a finding is at or above ``level``."""
    if level is None:
        return
    from equipoise.artifacts.finding import SEVERITIES

    least = SEVERITIES.index(one_of("--fail-on", level, SEVERITIES))
    if any(SEVERITIES.index(f.severity) >= least for f in findings):
        raise typer.Exit(FAILED_FINDING)
