"""``equipoise mine``: rounds of hard negatives, the mistake book and its review sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli import options as o
from equipoise.cli.console import fail_on, note, print_json, progress, split_list
from equipoise.cli.lines import is_first, mined_dict, mined_lines, mining_lines

EXAMPLE = "Example: equipoise mine train.csv --label y --ratio 3"


def run(
    source: Annotated[Path, typer.Argument(help="Study of one arm (YAML), or a feature table.")],
    label: o.LabelColumn = None,
    labels: o.LabelColumns = None,
    id_column: o.IdColumn = None,
    group: o.GroupColumn = None,
    negative: Annotated[
        str | None, typer.Option(help="Class whose rows are the negatives; else the largest.")
    ] = None,
    ratio: Annotated[float | None, typer.Option(help="First negatives per positive; 3.")] = None,
    settings: o.Settings = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", callback=o.folder_to_write, help="Folder of runs; equipoise_runs/NAME."
        ),
    ] = None,
    dry_run: o.DryRun = False,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Go on with what is there, or begin again.")
    ] = True,
    allow_code: o.AllowCode = False,
    as_json: o.Json = False,
    fail: o.FailOn = None,
) -> None:
    """Train on few negatives, add those the model wrongly believes in, and train again."""
    from equipoise.studies.default_study import mine_study_from
    from equipoise.studies.mining import plan_mining, run_mining

    words = {"label": label, "labels": split_list(labels), "id": id_column, "group": group}
    study = mine_study_from(
        source, {key: word for key, word in words.items() if word is not None},
        negative=negative, ratio=ratio, assignments=settings,
    )  # fmt: skip
    plan = plan_mining(study, allow_code=allow_code)
    if is_first():
        note("\n".join(mining_lines(plan)))
    if dry_run:
        return
    with progress() as show:
        folder = out or Path("equipoise_runs") / source.stem
        mined, review = run_mining(plan, out=folder, resume=resume, progress=show)
    if not is_first():
        return
    if as_json:
        print_json(mined_dict(mined, review))
    else:
        typer.echo("\n".join(mined_lines(mined, review)))
    fail_on([*plan.training.findings, *mined.findings], fail)
