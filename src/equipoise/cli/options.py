"""Options that several verbs share, so that they are spelt the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = [
    "Delimiter",
    "FailOn",
    "GroupColumn",
    "IdColumn",
    "Json",
    "KindOption",
    "LabelColumn",
    "LabelColumns",
    "Seed",
    "Settings",
]

LabelColumn = Annotated[
    str | None, typer.Option("--label", help="One column: a class, or several labels as A|D.")
]
LabelColumns = Annotated[
    str | None, typer.Option("--labels", help="One column per label, as A,B,C: 0, 1, -1 unknown.")
]
Delimiter = Annotated[str, typer.Option(help="Between the labels of a --label column.")]
KindOption = Annotated[
    str | None,
    typer.Option("--kind", help="multiclass or multilabel; seen from the values if not given."),
]
IdColumn = Annotated[str | None, typer.Option("--id", help="Column of row ids.")]
GroupColumn = Annotated[
    str | None,
    typer.Option("--group", help="Column of groups that stay together (patient, video)."),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Change a value: training.epochs=50.")
]
Seed = Annotated[int, typer.Option(help="Same seed, same result.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
FailOn = Annotated[
    str | None,
    typer.Option("--fail-on", help="Exit 4 on a finding at or above: tip, warning or error."),
]
