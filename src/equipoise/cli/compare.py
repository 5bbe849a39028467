"""``equipoise compare``: the main job, from a study or straight from a feature table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli import options as o
from equipoise.cli.console import note, print_json, progress, table
from equipoise.cli.verdict import comparison_lines

EXAMPLE = (
    "Examples: equipoise compare study.yaml --set seeds=10; equipoise compare train.csv --label y"
)


def run(
    source: Annotated[Path, typer.Argument(help="Study (YAML) or feature table (CSV, Parquet).")],
    label: o.LabelColumn = None,
    labels: o.LabelColumns = None,
    delimiter: o.Delimiter = "|",
    kind: o.KindOption = None,
    id_column: o.IdColumn = None,
    group: o.GroupColumn = None,
    test: Annotated[Path | None, typer.Option(help="Table of test rows.")] = None,
    settings: o.Settings = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of results; equipoise_runs/NAME.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan only.")] = False,
    resume: Annotated[bool, typer.Option("--resume/--fresh", help="Use finished trials.")] = True,
    as_json: o.Json = False,
) -> None:
    """Train every arm over all seeds and say what each remedy bought."""
    from equipoise.experiments.entry import clear_trials, plan_rows, study_from
    from equipoise.experiments.run import run_study
    from equipoise.report import write_report

    study = study_from(source, label, labels, delimiter, kind, id_column, group, test, settings)
    folder = out or Path("equipoise_runs") / source.stem
    if dry_run:
        head, rows, summary = plan_rows(study, folder)
        print_json(rows) if as_json else typer.echo(table(head, rows))
        note(summary)
        return
    if not resume:
        clear_trials(folder)
    with progress() as show:
        outcome = run_study(study, out=folder, progress=show, command=f"equipoise compare {source}")
    result = outcome.comparison
    result.save(folder / "comparison.json")
    path = write_report(result, outcome.findings, path=folder / "report.html")
    note(f"{outcome.trained} trials trained, {outcome.reused} re-used")
    if as_json:
        verdicts = {a.method: a.gain.verdict if a.gain else "baseline" for a in result.arms}
        print_json({"recommended": result.recommended, "report": path, "arms": verdicts})
        return
    typer.echo("\n".join([*comparison_lines(result), f"Report: {path}"]))
