"""Options of ``equipoise diagnose`` that name what it looks at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Classes", "ComparisonFile", "Features", "Form", "Images", "Logs", "New", "Other",
           "OutFile", "Positives", "Rows", "RuleFile", "ScoreFile", "SetupFile", "SplitFile",
           "Support"]  # fmt: skip

File = Path | None
Positives = Annotated[str | None, typer.Option(help="Counts instead of a table: A=19000,B=65000.")]
Rows = Annotated[int | None, typer.Option(help="Rows behind --positives, where known.")]
SplitFile = Annotated[File, typer.Option(help="split.json of `equipoise split`.")]
Images = Annotated[str | None, typer.Option(help="Column of image paths: near-duplicates.")]
Features = Annotated[bool, typer.Option("--features", help="Other numeric columns are inputs.")]
ScoreFile = Annotated[File, typer.Option(help="Scores (Parquet) to check too.")]
Other = Annotated[File, typer.Option(help="Scores of another run on the same rows.")]
New = Annotated[File, typer.Option(help="Scores of rows to be decided, without labels.")]
RuleFile = Annotated[File, typer.Option("--rule", help="rule.json of `equipoise tune`.")]
ComparisonFile = Annotated[File, typer.Option(help="comparison.json of `equipoise compare`.")]
Logs = Annotated[
    list[Path] | None,
    typer.Option("--log", help="Training log (CSV, JSONL, JSON, TensorBoard) or trial folders."),
]
SetupFile = Annotated[File, typer.Option(help="YAML: how you train; or a study.")]
Classes = Annotated[File, typer.Option(help="CSV: recall, precision per class and run.")]
Support = Annotated[int | None, typer.Option(min=1, help="Test rows per class in --classes.")]
Form = Annotated[str, typer.Option("--format", help="text, json, sarif or html.")]
OutFile = Annotated[File, typer.Option("--out", "-o", help="File for json, sarif or html.")]
