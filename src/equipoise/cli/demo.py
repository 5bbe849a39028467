"""``equipoise demo``: two studies on scikit-learn's digits and one report."""

from __future__ import annotations

import time
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from equipoise._core.language import said
from equipoise._core.messages import counted
from equipoise.cli import options as o
from equipoise.cli.console import note, print_json, progress

EXAMPLE = "Example: equipoise demo --out demo"
DEMOS = ("digits_four_labels", "digits_long_tail")
# What of the studies needs no torch: linear models, weights and drawn rows, on fewer rows.
_LINEAR = ("models=[logistic_regression]", "training={}", "seeds=5")
WITHOUT_TORCH = {
    "digits_four_labels": (
        *_LINEAR,
        "data.rows=2000",
        "data.test_rows=1000",
        "arms=[none,pos_weight,weighted_sampling]",
    ),
    "digits_long_tail": (
        *_LINEAR,
        "arms=[none,weighted_ce,class_balanced,class_balanced_sampling]",
    ),
}


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
    what the first one has trained. Without torch linear models stand in the place of networks.
    """
    from equipoise.report import write_report
    from equipoise.studies import load_study, run_study
    from equipoise.studies.engine import has_torch
    from equipoise.studies.pages import chapter_of

    linear = not has_torch()
    if linear:
        note(
            said(
                "torch is not installed: linear models are compared. "
                'pip install "equipoise[train]" adds networks and their losses.'
            )
        )
    comparisons, findings = [], []
    for name in DEMOS:
        source = files("equipoise.studies") / "demos" / f"{name}.yaml"
        changes = WITHOUT_TORCH[name] if linear else ()
        changes += () if seeds is None else (f"seeds={seeds}",)
        study = load_study(str(source), changes)
        started = time.perf_counter()
        note(f"{study.title} ...")
        with progress() as show:
            outcome = run_study(study, out=out / name, progress=show, command="equipoise demo")
        outcome.comparison.save(out / name / "comparison.json")
        comparisons.append(outcome.comparison)
        findings.append(outcome.findings)
        spent = time.perf_counter() - started
        note(
            said(
                f"{counted(outcome.trained, 'trial')} trained, "
                f"{outcome.reused} re-used, {spent:.0f} s"
            )
        )
        if not as_json:
            typer.echo(f"\n{outcome.comparison}\n")
    chapters = [chapter_of(out / r, f) for r, f in zip(DEMOS, findings, strict=True)]
    path = write_report(chapters, path=out / "report.html")
    if as_json:
        print_json({"report": path, "recommended": [c.recommended for c in comparisons]})
    else:
        typer.echo(said(f"Report: {path}"))
