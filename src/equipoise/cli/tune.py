"""``equipoise tune``: a decision rule from validation scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equipoise._core.language import said
from equipoise.cli import options as o
from equipoise.cli.console import fail_on, findings_lines, note, print_json
from equipoise.cli.objective import ObjectiveOptions, in_names_order, parse_target
from equipoise.cli.options import ScoreOptions, with_groups

if TYPE_CHECKING:
    pass

SCORE_CHECKS = ("EQ321", "EQ401", "EQ402", "EQ403", "EQ404", "EQ405")
EXAMPLE = "Example: equipoise tune val.parquet -o rule.json --objective precision --at-least 0.9"


@with_groups
def run(
    *,
    scores: Annotated[Path, typer.Argument(help="Validation scores: Parquet, or a table.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", callback=o.file_to_write, help="Rule to write.")
    ] = Path("rule.json"),
    objective: ObjectiveOptions,
    target_prior: o.TargetPriorOption = "validation",
    deployment: o.Deployment = None,
    calibration: o.Calibration = "auto",
    table: ScoreOptions,
    seed: o.Seed = 0,
    as_json: o.Json = False,
    fail: o.FailOn = None,
) -> None:
    """Calibrate and choose thresholds on validation rows; write them as JSON."""
    from equipoise.decisions import tune
    from equipoise.diagnosis import diagnose
    from equipoise.io.scores import read_new_scores

    found, called = table.read(scores, "val")
    new = None if deployment is None else read_new_scores(deployment, called, found)
    target = in_names_order("--target-prior", parse_target(target_prior), found.names)
    rule = tune(
        found,
        objective=objective.read(found.kind, found.names),
        target_prior=target,
        calibration=calibration,
        score_names=called,
        deployment=new,
        seed=seed,
    )
    rule.save(out)
    # What is odd about the scores decides what the rule is worth, so it is said here.
    findings = [f for f in diagnose(scores=found) if f.code in SCORE_CHECKS]
    if as_json:
        body = {k: v for k, v in rule.to_dict().items() if k != "rows"}
        print_json(body | {"findings": [f.to_dict() for f in findings]})
    else:
        typer.echo(f"{rule}\n{said(f'Rule: {out}')}")
        note("\n".join(findings_lines(findings)) if findings else "")
    fail_on(findings, fail)
