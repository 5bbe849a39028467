"""``equipoise evaluate``: a rule judged on test scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli import options as o
from equipoise.cli.console import fail_on, findings_lines, note, print_json
from equipoise.cli.lines import decided_lines, draw_figure, parted_lines
from equipoise.cli.options import ScoreOptions, with_groups

EXAMPLE = "Example: equipoise evaluate rule.json test.parquet"


@with_groups
def run(
    *,
    rule: Annotated[Path, typer.Argument(help="Rule written by `equipoise tune`.")],
    scores: Annotated[Path, typer.Argument(help="Test scores: Parquet, CSV, npz.")],
    table: ScoreOptions,
    confidence_level: Annotated[
        float, typer.Option("--confidence", help="Coverage of the intervals.")
    ] = 0.95,
    by: Annotated[str | None, typer.Option(help="label_count: by labels per row.")] = None,
    train_counts: o.TrainCounts = None,
    net_benefit_at: o.NetBenefitAt = None,
    max_fpr: o.MaxFpr = 0.1,
    top_fraction: o.TopFraction = 0.1,
    figure: Annotated[
        Path | None, typer.Option(callback=o.file_to_write, help="Confusion table to draw: SVG.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Print every metric.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", callback=o.file_to_write, help="JSON to write.")
    ] = None,
    as_json: o.Json = False,
    fail: o.FailOn = None,
) -> None:
    """Judge a rule on rows that neither training nor tuning has seen."""
    from equipoise.artifacts import DecisionRule
    from equipoise.comparison import evaluate
    from equipoise.decisions import count_decided
    from equipoise.diagnosis import Material, diagnose
    from equipoise.io.counts import read_counts

    loaded = DecisionRule.load(rule)
    found, _ = table.read(scores, "test", loaded)
    counts = None if train_counts is None else read_counts(train_counts, loaded.names)
    result = evaluate(
        loaded,
        found,
        confidence_level=confidence_level,
        train_counts=counts,
        by=by,
        net_benefit_at=net_benefit_at,
        max_fpr=max_fpr,
        top_fraction=top_fraction,
    )
    if out is not None:
        result.save(out)
    draw_figure(figure, loaded, found)
    # EQ402 is left out: the rule calibrates.
    findings = diagnose(scores=found, more=Material(rule=loaded), ignore=("EQ402", "EQ409"))
    shares = count_decided(loaded, found)
    note("\n".join(parted_lines(loaded, *shares)))
    if as_json:
        decided, expected, _ = shares
        print_json(result.to_dict() | {"findings": [f.to_dict() for f in findings],
                                       "decided": decided, "expected": expected})  # fmt: skip
    else:
        typer.echo(result.text(everything, more="--all"))
        typer.echo("\n" + decided_lines(loaded, *shares))
        note("\n".join(findings_lines(findings)))
    fail_on(findings, fail)
