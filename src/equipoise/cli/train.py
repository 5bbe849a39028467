"""``equipoise train``: one network, one remedy, one folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli import options as o
from equipoise.cli.console import fail_on, note, print_json
from equipoise.cli.lines import plan_lines, short_findings, trial_lines

EXAMPLE = "Example: equipoise train study.yaml --set training.epochs=30"


def run(
    study: Annotated[Path, typer.Argument(help="Study of one arm (YAML).")],
    settings: o.Settings = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", callback=o.folder_to_write, help="Folder of trials; equipoise_runs/NAME."
        ),
    ] = None,
    dry_run: o.DryRun = False,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Go on with what is there, or begin again.")
    ] = True,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write model.onnx, too.")] = False,
    allow_code: o.AllowCode = False,
    as_json: o.Json = False,
    fail: o.FailOn = None,
) -> None:
    """Train, and write weights, scores, a decision rule, curves and a model card."""
    from equipoise.studies.network import plan_training, run_training, trained_findings
    from equipoise.studies.schema import load_study

    plan = plan_training(
        load_study(study, tuple(settings or ()), verb="train"), allow_code=allow_code
    )
    first = all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK", "RANK"))
    if first:
        grave = [f for f in plan.findings if f.severity != "tip"]
        note("\n".join([*plan_lines(plan), *short_findings(grave)]))
    if dry_run:
        return
    folder = out or Path("equipoise_runs") / study.stem
    trial = run_training(plan, out=folder, resume=resume, progress=first)
    if not first:
        return
    place = folder / trial.folder_name
    if onnx:
        from equipoise.studies.predict import export_trial

        note(f"{export_trial(place, allow_code=allow_code)} written")
    seen = trained_findings(place)
    if seen:
        note("\n".join(short_findings(seen)))
    if as_json:
        print_json({"trial": place, "method": trial.method, **trial.selection})
    else:
        typer.echo("\n".join(trial_lines(trial, place)))
    fail_on([*plan.findings, *seen], fail)
