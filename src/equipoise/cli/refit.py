"""``equipoise refit``: the recommended arm on all rows, as a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise._core.language import said
from equipoise.cli import options as o
from equipoise.cli.console import note, print_json, progress

EXAMPLE = "Examples: equipoise refit study.yaml -o model/; equipoise refit equipoise_runs/bank"


def run(
    source: Annotated[
        Path, typer.Argument(help="What was compared: study (YAML), table, or folder of results.")
    ],
    settings: o.Settings = None,
    results: Annotated[
        Path | None, typer.Option(help="Folder of the comparison; equipoise_runs/NAME.")
    ] = None,
    arm: Annotated[str | None, typer.Option(help="Another arm than the recommended one.")] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", callback=o.folder_to_write, help="Folder to write.")
    ] = Path("model"),
    allow_code: o.AllowCode = False,
    as_json: o.Json = False,
) -> None:
    """Train the recommended arm on all rows but the test set, with its rule, and keep the model."""
    from equipoise.studies.refitting import compared_study, refit
    from equipoise.studies.schema import load_study

    folder = source if source.is_dir() else results or Path("equipoise_runs") / source.stem
    if source.suffix in (".yaml", ".yml"):
        study = load_study(source, tuple(settings or ()))
    else:
        study = compared_study(folder, tuple(settings or ()))
    with progress() as show:
        made = refit(study, results=folder, out=out, arm=arm, progress=show,
                     allow_code=allow_code, command=f"equipoise refit {source}")  # fmt: skip
    if made.tested is not None:
        note(f"{said('On the test set, which nothing was chosen on:')}\n{made.tested}")
    if as_json:
        print_json({"out": made.folder, "arm": made.arm, "model": made.kind,
                    "rows": made.rows, "needs": list(made.needs)})  # fmt: skip
        return
    kind = "" if made.kind == made.method else f" on {made.kind}"
    typer.echo(f"{made.arm}{kind}, {made.rows:,} rows: {made.folder}")
    new = "NEW.csv" if study.model is None and study.features is None else "NEW"
    code = " --allow-code" if allow_code else ""
    typer.echo(said(f"Next: equipoise predict {made.folder} {new} -o predictions.csv{code}"))
