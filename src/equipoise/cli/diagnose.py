"""``equipoise diagnose``: findings on labels, splits, scores, logs, set-ups and comparisons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli import diagnose_options as d
from equipoise.cli import options as o
from equipoise.cli.console import fail_on, kind_of, results_lines, split_list
from equipoise.cli.reading import coding_of, labels_of

EXAMPLE = "Example: equipoise diagnose --positives A=19000,B=65000,C=38000,D=105000 --rows 224000"


def run(
    table: Annotated[
        Path | None, typer.Argument(help="CSV, Parquet or class folder with labels.")
    ] = None,
    label: o.LabelColumn = None, labels: o.LabelColumns = None, delimiter: o.Delimiter = "|",
    kind: o.KindOption = None, id_column: o.IdColumn = None, group: o.GroupColumn = None,
    positive: o.Positive = None, negative: o.Negative = None, unknown: o.Unknown = None,
    empty_token: o.EmptyTokens = None,
    positives: d.Positives = None, rows: d.Rows = None, split: d.SplitFile = None,
    images: d.Images = None, features: d.Features = False, scores: d.ScoreFile = None,
    other: d.Other = None, new: d.New = None, rule: d.RuleFile = None,
    comparison: d.ComparisonFile = None, log: d.Logs = None, setup: d.SetupFile = None,
    classes: d.Classes = None, support: d.Support = None,
    ignore: Annotated[str | None, typer.Option(help="Codes to leave out: EQ102,EQ104.")] = None,
    explain: Annotated[str | None, typer.Option(help="Print the page of a code.")] = None,
    form: d.Form = "text", out: d.OutFile = None, as_json: o.Json = False, fail: o.FailOn = None,
) -> None:  # fmt: skip
    """Say what is odd about labels, scores, splits, logs or a set-up, and what to do."""
    from equipoise.diagnosis import explain as page
    from equipoise.io.scores import counts_from_text
    from equipoise.studies.diagnosing import Sources, check_sources, write_results

    if explain is not None:
        return typer.echo(page(explain))
    read, columns = None, split_list(labels)
    if table is not None:
        coding = coding_of(positive, negative, unknown, empty_token)
        read = labels_of(table, label, labels, delimiter, kind, id_column, group, coding)
    sources = Sources(
        read, table, counts=None if positives is None else counts_from_text(positives), n_rows=rows,
        kind=kind_of(kind) if table is None else None, split=split, images=images,
        features=features, scores=scores, other=other, new=new, rule=rule, comparison=comparison,
        logs=log or (), setup=setup, classes=classes, support=support,
    )  # fmt: skip
    named = [label, *(columns or ()), id_column, group]
    results = check_sources(sources, ignore=tuple(split_list(ignore) or ()), named=named)
    if form == "text" and not as_json:
        typer.echo("\n".join(results_lines(results)))
    else:
        text = write_results(results, "json" if as_json else form, str(table or "counts"), out)
        typer.echo(text if text is not None else f"Written: {out}")
    return fail_on([f for r in results for f in r.findings], fail)
