"""``equipoise demo``: two studies on scikit-learn's digits and one report."""

from __future__ import annotations

import time
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from equipoise._core.language import said
from equipoise.cli import options as o
from equipoise.cli.console import note, print_json, progress

EXAMPLE = "Example: equipoise demo --out demo"
DEMOS = ("digits_four_labels", "digits_long_tail")


def run(
    out: Annotated[
        Path, typer.Option(callback=o.folder_to_write, help="Folder of results.")
    ] = Path("demo"),
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Seeds per arm; the studies' own if not given.")
    ] = None,
    as_json: o.Json = False,
) -> None:
    """Run the two documented studies and write one report.

    Four labels on mosaics of scanned digits, and ten classes with a long tail. A second run uses
    what the first one has trained.
    """
    from equipoise.report import write_report
    from equipoise.studies import load_study, run_study
    from equipoise.studies.pages import chapter_of

    comparisons, findings = [], []
    for name in DEMOS:
        source = files("equipoise.studies") / "demos" / f"{name}.yaml"
        study = load_study(str(source), () if seeds is None else (f"seeds={seeds}",))
        started = time.perf_counter()
        note(f"{study.title} ...")
        with progress() as show:
            outcome = run_study(study, out=out / name, progress=show, command="equipoise demo")
        outcome.comparison.save(out / name / "comparison.json")
        comparisons.append(outcome.comparison)
        findings.append(outcome.findings)
        spent = time.perf_counter() - started
        note(said(f"{outcome.trained} trials trained, {outcome.reused} re-used, {spent:.0f} s"))
        if not as_json:
            typer.echo(f"\n{outcome.comparison}\n")
    chapters = [chapter_of(out / r, f) for r, f in zip(DEMOS, findings, strict=True)]
    path = write_report(chapters, path=out / "report.html")
    if as_json:
        print_json({"report": path, "recommended": [c.recommended for c in comparisons]})
    else:
        typer.echo(said(f"Report: {path}"))
