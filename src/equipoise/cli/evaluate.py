"""``equipoise evaluate``: a rule judged on test scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli import options as o
from equipoise.cli.console import fail_on, findings_lines, note, print_json, split_list
from equipoise.cli.judgement import evaluation_lines

EXAMPLE = "Example: equipoise evaluate rule.json test.parquet"


def run(
    rule: Annotated[Path, typer.Argument(help="Rule written by `equipoise tune`.")],
    scores: Annotated[Path, typer.Argument(help="Test scores: Parquet, CSV, npz.")],
    score_kind: Annotated[
        str | None, typer.Option(help="For a table: logits, probabilities or ranking.")
    ] = None,
    columns: Annotated[str | None, typer.Option("--scores", help="Score columns, zA,zB.")] = None,
    label: o.LabelColumn = None,
    labels: o.LabelColumns = None,
    id_column: o.IdColumn = None,
    group: o.GroupColumn = None,
    confidence: Annotated[float, typer.Option(help="Coverage of the intervals.")] = 0.95,
    by: Annotated[str | None, typer.Option(help="label_count: by labels per row.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Confusion table to draw: SVG.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Print every metric.")] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="JSON to write.")] = None,
    as_json: o.Json = False,
    at_least: o.FailOn = None,
) -> None:
    """Judge a rule on rows that neither training nor tuning has seen."""
    from equipoise.artifacts import DecisionRule
    from equipoise.comparison import count_confusions, evaluate
    from equipoise.diagnosis import diagnose
    from equipoise.experiments.inputs import read_scores

    loaded = DecisionRule.load(rule)
    found = read_scores(scores, score_kind, split_list(columns), label, split_list(labels),
                        id_column, group, "test", loaded.names)  # fmt: skip
    result = evaluate(loaded, found, confidence_level=confidence, by=by)
    if out is not None:
        result.save(out)
    if figure is not None:
        from equipoise.report.confusion import draw_confusion

        seen = count_confusions(loaded, found)
        draw_confusion(figure, seen.truth, seen.said, seen.counts)
    findings = diagnose(scores=found, ignore=("EQ402",))  # the rule calibrates
    if as_json:
        print_json(result.to_dict() | {"findings": [f.to_dict() for f in findings]})
    else:
        typer.echo("\n".join(evaluation_lines(result, everything)))
        note("\n".join(findings_lines(findings)))
    fail_on(findings, at_least)
