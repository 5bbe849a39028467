"""``equipoise evaluate``: a rule judged on test scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli import options as o
from equipoise.cli.console import print_json, split_list, table

EXAMPLE = "Example: equipoise evaluate rule.json test.parquet"


def run(
    rule: Annotated[Path, typer.Argument(help="Rule written by `equipoise tune`.")],
    scores: Annotated[Path, typer.Argument(help="Test scores: Parquet, or a table.")],
    score_kind: Annotated[
        str | None, typer.Option(help="For a table: logits, probabilities or ranking.")
    ] = None,
    columns: Annotated[str | None, typer.Option("--scores", help="Score columns, zA,zB.")] = None,
    label: o.LabelColumn = None,
    labels: o.LabelColumns = None,
    id_column: o.IdColumn = None,
    group: o.GroupColumn = None,
    confidence: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="JSON to write.")] = None,
    as_json: o.Json = False,
) -> None:
    """Judge a rule on rows that neither training nor tuning has seen."""
    from equipoise.artifacts import DecisionRule
    from equipoise.comparison import evaluate
    from equipoise.experiments.inputs import read_scores

    loaded = DecisionRule.load(rule)
    found = read_scores(scores, score_kind, split_list(columns), label, split_list(labels),
                        id_column, group, "test", loaded.names)  # fmt: skip
    result = evaluate(loaded, found, confidence_level=confidence)
    if out is not None:
        result.save(out)
    if as_json:
        print_json(result.to_dict())
        return
    metrics = ("prevalence", "ap", "auroc", "precision", "recall", "f1")
    rows = [[n, *(str(result.per_label[n][m]) for m in metrics)] for n in result.names]
    macro = result.overall["macro"]
    rows.append(["macro", "", *(str(macro[m]) if m in macro else "" for m in metrics[1:])])
    typer.echo(table(["label", *metrics], rows))
    missing = "; ".join(f"{n}: {why}" for n, why in result.not_evaluable.items())
    typer.echo(f"macro AP over {result.n_evaluable['ap']} of {len(result.names)} labels"
               + (f" ({missing})" if missing else ""))  # fmt: skip
    typer.echo(f"{result.n_rows} rows; overlap with the rows it was tuned on: {result.overlap}")
