"""``equipoise init``: a commented study.yaml from a label table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli import options as o
from equipoise.cli.console import findings_lines, note
from equipoise.cli.options import TableOptions, file_to_write, with_groups

EXAMPLE = "Examples: equipoise init train.csv --label species; equipoise init images/"


@with_groups
def run(
    *,
    table: Annotated[Path, typer.Argument(help="CSV or Parquet, or a folder of class folders.")],
    columns: TableOptions,
    image: o.Image = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", callback=file_to_write, help="Study to write.")
    ] = Path("study.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing study.")] = False,
) -> None:
    """Write a commented study for a feature table or images, with the arms that fit its labels."""
    from equipoise._core.files import write_text
    from equipoise._core.messages import say
    from equipoise.diagnosis import diagnose
    from equipoise.errors import UsageError
    from equipoise.studies.default_study import (
        image_study,
        image_template,
        is_images,
        study_template,
        table_data,
    )
    from equipoise.studies.load import read_coded

    if out.exists() and not force:
        raise UsageError(say("--out", "name a new file", f"{out}, which exists", "Use --force."))
    if is_images(table, image):
        study, found = image_study(table, columns.described, image)
        text, what = image_template(study, found, out), "images"
    else:
        spec = table_data(table, columns.described)
        coded, found = read_coded(spec)
        text, what = study_template(spec, found, coded, out), f"{len(coded.names)} features"
        note(coded.summary)
    write_text(out, text)
    note("\n".join(findings_lines(diagnose(found))))
    typer.echo(f"{out}: {len(found)} rows, {what}, {found.num_classes} "
               f"{'classes' if found.kind == 'multiclass' else 'labels'}. "
               f"Next: equipoise compare {out}")  # fmt: skip
