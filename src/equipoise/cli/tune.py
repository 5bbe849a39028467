"""``equipoise tune``: a decision rule from validation scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli import options as o
from equipoise.cli.console import fail_on, findings_lines, note, print_json, split_list
from equipoise.cli.reading import coding_of

SCORE_CHECKS = ("EQ401", "EQ402", "EQ403", "EQ404", "EQ405")
EXAMPLE = "Example: equipoise tune val.parquet -o rule.json --objective precision --at-least 0.9"


def run(
    scores: Annotated[Path, typer.Argument(help="Validation scores: Parquet, or a table.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Rule to write.")] = Path("rule.json"),
    objective: o.Objective = None,
    at_least: o.AtLeast = None,
    confidence: o.Confidence = 0.95,
    costs: o.Costs = None,
    threshold_probability: o.ThresholdProbability = None,
    budget: o.Budget = None,
    k: o.TopK = None,
    train_prior: o.TrainPrior = None,
    target_prior: o.TargetPriorOption = "validation",
    deployment: o.Deployment = None,
    calibration: o.Calibration = "auto",
    free_offsets: o.FreeOffsets = None,
    score_kind: o.ScoreKind = None,
    columns: o.ScoreColumns = None,
    label: o.LabelColumn = None,
    labels: o.LabelColumns = None,
    id_column: o.IdColumn = None,
    group: o.GroupColumn = None,
    delimiter: o.Delimiter = "|",
    positive: o.Positive = None,
    negative: o.Negative = None,
    unknown: o.Unknown = None,
    empty_token: o.EmptyTokens = None,
    seed: o.Seed = 0,
    as_json: o.Json = False,
    least: o.FailOn = None,
) -> None:
    """Calibrate and choose thresholds on validation rows; write them as JSON."""
    from equipoise.artifacts import Scores
    from equipoise.cli.objective import (
        in_names_order,
        parse_costs,
        parse_shares,
        parse_target,
        read_objective,
        rule_table,
    )
    from equipoise.decisions import tune
    from equipoise.diagnosis import diagnose
    from equipoise.io.scores import read_named_scores

    coding = {**coding_of(positive, negative, unknown, empty_token), "delimiter": delimiter}
    found, called = read_named_scores(scores, score_kind, split_list(columns), label,
                                      split_list(labels), id_column, group, "val",
                                      coding=coding)  # fmt: skip
    new = None if deployment is None else Scores.load(deployment)
    target = in_names_order("--target-prior", parse_target(target_prior), found.names)
    train = in_names_order("--train-prior", parse_shares("--train-prior", train_prior), found.names)
    parameters = {
        "costs": parse_costs(costs),
        "at_least": at_least,
        "confidence_level": confidence,
        "threshold_probability": threshold_probability,
        "flags_per_row": budget,
        "k": k,
        "train_prior": train,
        "free_offsets": free_offsets,
    }
    rule = tune(
        found,
        objective=read_objective(objective, found.kind, parameters),
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
    fail_on(findings, least)
