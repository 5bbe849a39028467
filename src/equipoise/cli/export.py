"""``equipoise export``: a rule, or a model with its rule, for where there is no Python."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli import options as o
from equipoise.cli.console import note, print_json, split_list

EXAMPLE = "Example: equipoise export rule.json -o rule.sql --table scores --keep id"


def run(
    what: Annotated[
        Path, typer.Argument(help="A rule, or the folder of `equipoise train` or `refit`.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            callback=o.file_to_write,
            help="File to write: .sql, .py, .mjs, .js, .cjs or .onnx.",
        ),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", help="sql, polars, javascript or onnx; else the file's ending."),
    ] = None,
    rule: Annotated[Path | None, typer.Option(help="A rule other than the folder's.")] = None,
    score_kind: Annotated[
        str | None,
        typer.Option(help="logits, probabilities or ranking; as the rule was tuned, if not given."),
    ] = None,
    columns: o.ScoreColumns = None,
    by_row: Annotated[
        bool, typer.Option("--by-row", help="A budget: the cut that met it on validation rows.")
    ] = False,
    table: Annotated[str | None, typer.Option(help="SQL: table of the scores.")] = None,
    keep: Annotated[str | None, typer.Option(help="SQL: columns to carry over, A,B.")] = None,
    dialect: Annotated[
        str | None,
        typer.Option(help="SQL: duckdb, postgresql, sqlite, snowflake, bigquery or spark."),
    ] = None,
    allow_code: o.AllowCode = False,
    as_json: o.Json = False,
) -> None:
    """Write probabilities and decisions as SQL, polars, JavaScript or ONNX."""
    from typing import Any

    from equipoise._core.files import is_stream
    from equipoise._core.messages import say
    from equipoise.artifacts import DecisionRule
    from equipoise.errors import UsageError
    from equipoise.export import default_file, export_rule, format_of
    from equipoise.studies.export_model import export_model

    options: dict[str, Any] = {
        "form": form,
        "score_kind": score_kind,
        "columns": split_list(columns),
        "by_row": by_row,
        "table": table,
        "keep": split_list(keep),
        "dialect": dialect,
    }
    out = default_file(form) if out is None else out
    if what.is_dir():
        made = export_model(what, out, rule=rule, allow_code=allow_code, **options)
    elif rule is not None:
        raise UsageError(say("rule", "be left out where a rule is exported", f"'{rule}'"))
    else:
        made = export_rule(DecisionRule.load(what), out, **options)
    if as_json:
        print_json({"out": made, "format": format_of(out, form)})
    elif is_stream(made):
        note(f"Written: {made}")  # what is poured into a pipe is the file, and no more
    else:
        typer.echo(f"Written: {made}")
