"""``equipoise diagnose``: findings on labels, counts and scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli import options as o
from equipoise.cli.console import fail_on, findings_lines, kind_of, print_json, split_list

EXAMPLE = "Example: equipoise diagnose --positives A=19000,B=65000,C=38000,D=105000 --rows 224000"


def run(
    table: Annotated[
        Path | None, typer.Argument(help="CSV, Parquet or class folder with labels.")
    ] = None,
    label: o.LabelColumn = None,
    labels: o.LabelColumns = None,
    delimiter: o.Delimiter = "|",
    kind: o.KindOption = None,
    group: o.GroupColumn = None,
    positives: Annotated[
        str | None, typer.Option(help="Counts instead of a table: A=19000,B=65000.")
    ] = None,
    rows: Annotated[int | None, typer.Option(help="Rows behind --positives, where known.")] = None,
    scores: Annotated[Path | None, typer.Option(help="Scores (Parquet) to check too.")] = None,
    ignore: Annotated[str | None, typer.Option(help="Codes to leave out: EQ102,EQ104.")] = None,
    explain: Annotated[str | None, typer.Option(help="Print the page of a code.")] = None,
    as_json: o.Json = False,
    fail: o.FailOn = None,
) -> None:
    """Say what is odd about labels (or counts, or scores), in numbers, and what to do."""
    from equipoise import diagnosis
    from equipoise.experiments.inputs import counts_from_text, read_scores
    from equipoise.labels import read_labels

    if explain is not None:
        typer.echo(diagnosis.explain(explain))
        return
    read = None
    if table is not None:
        read = read_labels(table, label=label, labels=split_list(labels), delimiter=delimiter,
                           kind=kind_of(kind), group_column=group)  # fmt: skip
    found = diagnosis.diagnose(
        read,
        counts=None if positives is None else counts_from_text(positives),
        n_rows=rows,
        kind=kind_of(kind) if table is None else None,
        scores=None if scores is None else read_scores(scores),
        ignore=tuple(split_list(ignore) or ()),
    )
    if as_json:
        print_json([f.to_dict() for f in found])
    else:
        typer.echo("\n".join(findings_lines(found)))
    fail_on(found, fail)
