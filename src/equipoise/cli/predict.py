"""``equipoise predict``: a model folder or a finished trial on new data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise._core.language import said
from equipoise.cli import options as o
from equipoise.cli.console import note, print_json, progress
from equipoise.cli.lines import decided_lines, parted_lines

EXAMPLE = "Example: equipoise predict model/ new.csv -o predictions.csv"


def run(
    trial: Annotated[
        Path,
        typer.Argument(
            help="Folder that `equipoise refit` or `equipoise train` wrote, or a model of "
            "transformers whose config carries a rule."
        ),
    ],
    data: Annotated[list[str], typer.Argument(help="Data of the form it was trained on.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", callback=o.file_to_write, help="Parquet or CSV to write.")
    ] = Path("predictions.parquet"),
    rule: Annotated[Path | None, typer.Option(help="A rule other than the trial's.")] = None,
    column: Annotated[
        str | None, typer.Option(help="Texts or image files, for a model of transformers.")
    ] = None,
    offsets: Annotated[str | None, typer.Option(help="Offsets of sequences in an .npy.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows at once.")] = 64,
    num_workers: Annotated[int, typer.Option(min=0, help="Processes that load data.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    allow_code: o.AllowCode = False,
    as_json: o.Json = False,
) -> None:
    """Write calibrated probabilities and decisions for new rows."""
    from functools import partial

    from equipoise.studies.predict_hugging_face import is_hugging_face_model, predict_hugging_face
    from equipoise.studies.predict_table import is_table_model, predict_table

    if is_table_model(trial):
        made = predict_table(trial, data, out, rule=rule)
    elif is_hugging_face_model(trial):
        with progress() as show:
            made = predict_hugging_face(trial, data, out, column=column, rule=rule,
                                        batch_size=batch_size, device=device,
                                        progress=partial(show, "rows"))  # fmt: skip
    else:
        from equipoise.studies.predict import predict_files

        with progress() as show:
            made = predict_files(trial, data, out, table=offsets, rule=rule, batch_size=batch_size,
                                 num_workers=num_workers, device=device, allow_code=allow_code,
                                 progress=partial(show, "rows"))  # fmt: skip
    shares = made.decided, made.expected, made.n_rows
    note("\n".join(parted_lines(made.rule, *shares)))
    if as_json:
        print_json({"out": made.out, "n_rows": made.n_rows, "decided": made.decided,
                    "expected": made.expected})  # fmt: skip
        return
    typer.echo(decided_lines(made.rule, *shares))
    typer.echo(said(f"{made.n_rows:,} rows: {made.out}"))
