"""Write the report: one HTML file with its styles, script, pictures and numbers inside."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from equipoise._core.files import write_text
from equipoise._core.messages import say
from equipoise._core.reading import reading_file
from equipoise.artifacts import Comparison, Finding
from equipoise.errors import UsageError
from equipoise.report.context import comparison_view


def render_report(
    results: Comparison | Sequence[Comparison],
    findings: Sequence[Finding | Sequence[Finding]] = (),
) -> str:
    """Return the page as text; see :func:`write_report`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    comparisons = [results] if isinstance(results, Comparison) else list(results)
    if not comparisons:
        raise UsageError(say("results", "hold at least one comparison", "none"))
    per_study: list[Sequence[Finding]] = [[] for _ in comparisons]
    for position, entry in enumerate(findings):
        if isinstance(entry, Finding):
            per_study[0] = [*per_study[0], entry]
        elif position < len(per_study):
            per_study[position] = list(entry)
    environment = Environment(
        loader=PackageLoader("equipoise.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    static = files("equipoise.report") / "static"
    css = (static / "report.css").read_text(encoding="utf-8")
    script = (static / "report.js").read_text(encoding="utf-8")
    # Comparisons may come from files, of which only the outer form was checked.
    do = "It is damaged or was changed by hand: run the comparison again."
    with reading_file("results", "hold all that the page prints of a comparison", do):
        studies = [
            comparison_view(c, f, i)
            for i, (c, f) in enumerate(zip(comparisons, per_study, strict=True), start=1)
        ]
        page = environment.get_template("report.html.j2")
        return page.render(studies=studies, css=css, script=script)


def write_report(
    results: Comparison | Sequence[Comparison],
    findings: Sequence[Finding | Sequence[Finding]] = (),
    *,
    path: str | Path,
) -> Path:
    """Write one self-contained HTML file: verdict, data, remedies, labels, curves, provenance.

    Args:
        results: One comparison or several, in the order they are shown.
        findings: Findings of the first comparison, or one list per comparison.
        path: Where to write; an existing report is replaced when the new one is complete.

    Returns:
        The path.
    """
    return write_text(path, render_report(results, findings))
