"""``equipoise init``: a commented study.yaml from a label table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli.console import findings_lines, note
from equipoise.cli.options import LabelOptions, file_to_write, with_groups

EXAMPLE = "Example: equipoise init train.csv --label species -o study.yaml"


@with_groups
def run(
    *,
    table: Annotated[Path, typer.Argument(help="CSV or Parquet with labels and features.")],
    columns: LabelOptions,
    out: Annotated[
        Path, typer.Option("--out", "-o", callback=file_to_write, help="Study to write.")
    ] = Path("study.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing study.")] = False,
) -> None:
    """Write a commented study for a feature table, with the arms that fit its labels."""
    from equipoise._core.files import write_text
    from equipoise._core.messages import say
    from equipoise.diagnosis import diagnose
    from equipoise.errors import UsageError
    from equipoise.io import feature_table
    from equipoise.studies.default_study import study_template, table_data

    if out.exists() and not force:
        raise UsageError(say("--out", "name a new file", f"{out}, which exists", "Use --force."))
    spec = table_data(table, columns.described)
    _, found, features = feature_table(table, **columns.where)
    write_text(out, study_template(spec, found, len(features), out))
    note("\n".join(findings_lines(diagnose(found))))
    typer.echo(f"{out}: {len(found)} rows, {len(features)} features, {found.num_classes} "
               f"{'classes' if found.kind == 'multiclass' else 'labels'}. "
               f"Next: equipoise compare {out}")  # fmt: skip
