"""``equipoise tune``: a decision rule from validation scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli import options as o
from equipoise.cli.console import print_json, split_list, table

EXAMPLE = "Example: equipoise tune val.parquet -o rule.json --objective f1"


def run(
    scores: Annotated[Path, typer.Argument(help="Validation scores: Parquet, or a table.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Rule to write.")] = Path("rule.json"),
    objective: Annotated[
        str | None, typer.Option(help="f1, f2, ... or balanced_accuracy, accuracy.")
    ] = None,
    target_prior: Annotated[
        str, typer.Option(help="validation, uniform, or shares as 0.1,0.9.")
    ] = "validation",
    score_kind: Annotated[
        str | None, typer.Option(help="For a table: logits, probabilities or ranking.")
    ] = None,
    columns: Annotated[str | None, typer.Option("--scores", help="Score columns, zA,zB.")] = None,
    label: o.LabelColumn = None,
    labels: o.LabelColumns = None,
    id_column: o.IdColumn = None,
    group: o.GroupColumn = None,
    seed: o.Seed = 0,
    as_json: o.Json = False,
) -> None:
    """Calibrate and choose thresholds on validation rows; write them as JSON."""
    from scipy.special import expit

    from equipoise.decisions import tune
    from equipoise.experiments.inputs import parse_prior, read_scores

    found = read_scores(scores, score_kind, split_list(columns), label, split_list(labels),
                        id_column, group, "val")  # fmt: skip
    rule = tune(found, objective=objective, target_prior=parse_prior(target_prior), seed=seed)
    rule.save(out)
    if as_json:
        print_json({k: v for k, v in rule.to_dict().items() if k != "id_hashes"})
        return
    cuts = [""] * len(rule.names) if rule.thresholds is None else [
        f"{p:.4f}" for p in expit(rule.thresholds)]  # fmt: skip
    rows = [
        [n, g, m, c, f"{a:.3f}", f"{b:.3f}", note]
        for n, g, m, c, a, b, note in zip(rule.names, rule.grades, rule.calibrator.method, cuts,
                                          rule.claimed, rule.cross_fitted, rule.notes, strict=True)
    ]  # fmt: skip
    metric = rule.objective if rule.thresholds is not None else "recall"
    head = ["label", "grade", "calibration", "threshold", f"{metric} claimed", "cross-fitted", ""]
    typer.echo(table(head, rows))
    typer.echo(f"Rule: {out}")
