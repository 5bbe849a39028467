"""``equipoise apply``: a rule on new scores, of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise._core.language import said
from equipoise.cli import options as o
from equipoise.cli.console import note, print_json, progress, split_list
from equipoise.cli.lines import decided_lines, parted_lines

EXAMPLE = "Example: equipoise apply rule.json new.parquet -o decisions.parquet"


def run(
    rule: Annotated[Path, typer.Argument(help="Rule written by `equipoise tune`.")],
    scores: Annotated[Path, typer.Argument(help="New scores: Parquet, CSV, npz (read whole).")],
    out: Annotated[
        Path, typer.Option("--out", "-o", callback=o.file_to_write, help="Parquet or CSV to write.")
    ] = Path("decisions.parquet"),
    score_kind: o.ScoreKind = None,
    columns: o.ScoreColumns = None,
    id_column: o.IdColumn = None,
    as_json: o.Json = False,
) -> None:
    """Write calibrated probabilities and decisions for new rows, in batches."""
    from functools import partial

    from equipoise.artifacts import DecisionRule
    from equipoise.studies.apply_file import apply_file

    loaded = DecisionRule.load(rule)
    with progress() as show:
        made = apply_file(loaded, scores, out, score_kind=score_kind,
                          columns=split_list(columns), id_column=id_column,
                          progress=partial(show, "rows"))  # fmt: skip
    shares = made.decided, made.expected, made.n_rows
    note("\n".join(parted_lines(made.rule, *shares)))
    if as_json:
        print_json({"out": made.out, "n_rows": made.n_rows, "decided": made.decided,
                    "expected": made.expected})  # fmt: skip
        return
    typer.echo(decided_lines(made.rule, *shares))
    typer.echo(said(f"{made.n_rows:,} rows: {made.out}"))
