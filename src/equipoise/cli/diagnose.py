"""``equipoise diagnose``: findings on labels, splits, scores, logs, set-ups and comparisons."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli import options as o
from equipoise.cli.console import fail_on, kind_of, results_lines, split_list
from equipoise.cli.options import LabelOptions, with_groups

File = Path | None
Table = Annotated[File, typer.Argument(help="CSV, Parquet or class folder with labels.")]
Positives = Annotated[str | None, typer.Option(help="Counts instead of a table: A=19000,B=65000.")]
Rows = Annotated[int | None, typer.Option(help="Rows behind --positives, where known.")]
Ignore = Annotated[str | None, typer.Option(help="Codes to leave out: EQ102,EQ104.")]
Every = Annotated[
    bool, typer.Option("--all", help="List the checks too that nothing was given for.")
]
Explain = Annotated[str | None, typer.Option(help="Print the page of a code.")]
Form = Annotated[str, typer.Option("--format", help="text, json, sarif or html.")]
OutFile = Annotated[
    File,
    typer.Option("--out", "-o", callback=o.file_to_write, help="File for json, sarif or html."),
]


@dataclass(frozen=True, slots=True)
class Files:
    """What lies beside the labels, by the arguments of ``studies.diagnosing.read_material``."""

    split: Annotated[File, typer.Option(help="split.json of `equipoise split`.")] = None
    images: Annotated[str | None, typer.Option(help="Column of image paths: near-duplicates.")] = (
        None
    )
    features: Annotated[
        bool, typer.Option("--features", help="Other numeric columns are inputs.")
    ] = False
    scores: Annotated[File, typer.Option(help="Scores (Parquet) to check too.")] = None
    other: Annotated[File, typer.Option(help="Scores of another run on the same rows.")] = None
    new: Annotated[File, typer.Option(help="Scores of rows to be decided, without labels.")] = None
    rule: Annotated[File, typer.Option("--rule", help="rule.json of `equipoise tune`.")] = None
    comparison: Annotated[File, typer.Option(help="comparison.json of `equipoise compare`.")] = None
    log: Annotated[
        list[Path] | None,
        typer.Option(
            "--log", help="Training log (CSV, JSONL, JSON, TensorBoard) or trial folders."
        ),
    ] = None
    setup: Annotated[File, typer.Option(help="YAML: how you train; or a study.")] = None
    classes: Annotated[File, typer.Option(help="CSV: recall, precision per class and run.")] = None
    support: Annotated[
        int | None, typer.Option(min=1, help="Test rows per class in --classes.")
    ] = None


EXAMPLE = "Example: equipoise diagnose --positives A=19000,B=65000,C=38000,D=105000 --rows 224000"


@with_groups
def run(
    *,
    context: typer.Context,
    table: Table = None,
    columns: LabelOptions,
    positives: Positives = None,
    rows: Rows = None,
    files: Files,
    ignore: Ignore = None,
    explain: Explain = None,
    every: Every = False,
    form: Form = "text",
    out: OutFile = None,
    as_json: o.Json = False,
    fail: o.FailOn = None,
) -> None:
    """Say what is odd about labels, scores, splits, logs or a set-up, and what to do."""
    from equipoise.diagnosis import explain as page, run_checks
    from equipoise.io.scores import counts_from_text
    from equipoise.studies.diagnosing import read_material, write_results

    if explain is not None:
        return typer.echo(page(explain))
    material = read_material(
        None if table is None else columns.read(table),
        table,
        counts=None if positives is None else counts_from_text(positives),
        n_rows=rows,
        kind=kind_of(columns.kind) if table is None else None,
        named=columns.named,
        id_column=columns.id_column,
        **asdict(files),
    )
    results = run_checks(material, ignore=split_list(ignore) or ())
    if form == "text" and not as_json:
        typer.echo("\n".join(results_lines(results, every, context.obj or str)))
    else:
        text = write_results(results, "json" if as_json else form, str(table or "counts"), out)
        typer.echo(text if text is not None else f"Written: {out}")
    return fail_on([f for r in results for f in r.findings], fail)
