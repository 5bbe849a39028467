"""Options of ``equipoise diagnose``: the files that it looks at, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

File = Path | None
Table = Annotated[File, typer.Argument(help="CSV, Parquet or class folder with labels.")]
Positives = Annotated[str | None, typer.Option(help="Counts instead of a table: A=19000,B=65000.")]
Rows = Annotated[int | None, typer.Option(help="Rows behind --positives, where known.")]
Ignore = Annotated[str | None, typer.Option(help="Codes to leave out: EQ102,EQ104.")]
Explain = Annotated[str | None, typer.Option(help="Print the page of a code.")]
Form = Annotated[str, typer.Option("--format", help="text, json, sarif or html.")]
OutFile = Annotated[File, typer.Option("--out", "-o", help="File for json, sarif or html.")]


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
