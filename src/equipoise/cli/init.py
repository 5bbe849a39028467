"""``equipoise init``: a commented study.yaml from a label table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli import options as o
from equipoise.cli.console import findings_lines, note
from equipoise.cli.reading import coding_of

EXAMPLE = "Example: equipoise init train.csv --label species -o study.yaml"


def run(
    table: Annotated[Path, typer.Argument(help="CSV or Parquet with labels and features.")],
    label: o.LabelColumn = None,
    labels: o.LabelColumns = None,
    delimiter: o.Delimiter = "|",
    kind: o.KindOption = None,
    positive: o.Positive = None, negative: o.Negative = None, unknown: o.Unknown = None,
    empty_token: o.EmptyTokens = None,
    id_column: o.IdColumn = None,
    group: o.GroupColumn = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Study to write.")] = Path("study.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing study.")] = False,
) -> None:  # fmt: skip
    """Write a commented study for a feature table, with the arms that fit its labels."""
    from equipoise._core.files import write_text
    from equipoise._core.words import say
    from equipoise.diagnosis import diagnose
    from equipoise.errors import UsageError
    from equipoise.io import feature_table
    from equipoise.studies.default_study import study_template, table_spec

    if out.exists() and not force:
        raise UsageError(say("--out", "name a new file", f"{out}, which exists", "Use --force."))
    coding = coding_of(positive, negative, unknown, empty_token)
    spec = table_spec(table, label, labels, delimiter, kind, id_column, group, coding)
    _, found, features = feature_table(
        table,
        label=spec.label,
        labels=spec.labels,
        delimiter=spec.delimiter,
        kind=spec.kind,
        id_column=spec.id,
        group_column=spec.group,
        coding=spec.coding,
    )
    write_text(out, study_template(spec, found, len(features), out))
    note("\n".join(findings_lines(diagnose(found))))
    typer.echo(f"{out}: {len(found)} rows, {len(features)} features, {found.num_classes} "
               f"{'classes' if found.kind == 'multiclass' else 'labels'}. "
               f"Next: equipoise compare {out}")  # fmt: skip
