"""Write the report: one HTML file with its styles, script, pictures and numbers inside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from equipoise._core.checks import require_type
from equipoise._core.files import write_text
from equipoise._core.language import speaking
from equipoise._core.messages import say
from equipoise._core.reading import reading_file
from equipoise.artifacts import Comparison, Finding
from equipoise.errors import UsageError
from equipoise.report.chapter import Chapter
from equipoise.report.context import chapter_view
from equipoise.report.page import page_of

Result = Comparison | Chapter


def render_report(
    results: Result | Sequence[Result],
    findings: Sequence[Finding | Sequence[Finding]] = (),
) -> str:
    """Return the page as text; see :func:`write_report`."""
    given = [results] if isinstance(results, Comparison | Chapter) else results
    for result in given if isinstance(given, Sequence) else [given]:
        require_type("results", result, (Comparison, Chapter))
    if not given:
        raise UsageError(say("results", "hold at least one comparison", "none"))
    told: list[list[Finding]] = [[] for _ in given]
    for position, entry in enumerate(findings):
        if isinstance(entry, Finding):
            told[0].append(entry)
        elif position < len(told):
            told[position] = list(entry)
    chapters = [
        Chapter(result, findings=own) if isinstance(result, Comparison) else result
        for result, own in zip(given, told, strict=True)
    ]
    # Comparisons may come from files, of which only the outer form was checked.
    do = "It is damaged or was changed by hand: run the comparison again."
    with reading_file("results", "hold all that the page prints of a comparison", do):
        shown = [chapter_view(chapter, i) for i, chapter in enumerate(chapters, start=1)]
        explores = any(view["explorer"] for view in shown)
        scripts = ("report.js", "explorer.js") if explores else ("report.js",)
        return page_of("report.html.j2", *scripts, chapters=shown)


def write_report(
    results: Result | Sequence[Result],
    findings: Sequence[Finding | Sequence[Finding]] = (),
    *,
    path: str | Path,
    lang: str | None = None,
) -> Path:
    """Write one self-contained HTML file: verdict, explorer, remedies, labels, curves, provenance.

    Args:
        results: One comparison or several, in the order they are shown; or chapters, which hold
            trials too, so that cuts can be set by hand, errors be looked at and curves be read.
        findings: Findings of the first comparison, or one list per comparison.
        path: Where to write; an existing report is replaced when the new one is complete.
        lang: "en" or "zh", the language of the page; None takes that of the environment variable
            EQUIPOISE_LANG, and English without it.

    Returns:
        The path.

    Raises:
        UsageError: nothing to report, or another language.
        DataError: a comparison that lacks what the page prints of it.
    """
    with speaking(lang):
        return write_text(path, render_report(results, findings))
