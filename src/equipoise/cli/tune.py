"""``equipoise tune``: a decision rule from validation scores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from equipoise._core.text import table
from equipoise.cli import options as o
from equipoise.cli.console import fail_on, findings_lines, note, print_json
from equipoise.cli.objective import ObjectiveOptions, in_names_order, parse_target
from equipoise.cli.options import ScoreOptions, with_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from equipoise.artifacts import DecisionRule

SCORE_CHECKS = ("EQ401", "EQ402", "EQ403", "EQ404", "EQ405")
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
    from equipoise.artifacts import Scores
    from equipoise.decisions import tune
    from equipoise.diagnosis import diagnose

    found, called = table.read(scores, "val")
    new = None if deployment is None else Scores.load(deployment)
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
        typer.echo(f"{rule_table(rule)}\nRule: {out}")
        note("\n".join(findings_lines(findings)) if findings else "")
    fail_on(findings, fail)


def rule_table(rule: DecisionRule) -> str:
    """Return one line per label: evidence, calibration, threshold, claimed and cross-fitted."""
    from scipy.special import expit

    from equipoise.artifacts.rule import GRADES

    cuts = [""] * len(rule.names)
    if rule.thresholds is not None:
        cuts = [f"{p:.4f}" for p in expit(rule.thresholds)]
    notes, shared = _apart(rule.notes)
    columns = (rule.names, rule.grades, rule.calibrator.method, cuts, rule.claimed,
               rule.cross_fitted, notes)  # fmt: skip
    rows = [
        [n, g, m, c, f"{a:.3f}", f"{b:.3f}", note]
        for n, g, m, c, a, b, note in zip(*columns, strict=True)
    ]
    measure = f"{rule.measure} claimed"
    head = ["label", "grade", "calibration", "threshold", measure, "cross-fitted", ""]
    grades = "; ".join(f"{g} {GRADES[g]}" for g in sorted(set(rule.grades)))
    bound = [
        f"score columns: {', '.join(f'{c} for {n}' for c, n in pairs)}"
        for pairs in [list(zip(rule.score_names, rule.names, strict=False))]
        if rule.score_names and rule.score_names != rule.names
    ]
    return "\n".join([table(head, rows), *shared, f"grade: {grades}", *bound])


def _apart(notes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the notes of each label, and apart from them what all labels have in common."""
    split = [note.split("; ") if note else [] for note in notes]
    if len(split) < 2:
        return list(notes), []
    shared = [part for part in split[0] if all(part in other for other in split[1:])]
    return ["; ".join(p for p in parts if p not in shared) for parts in split], shared
