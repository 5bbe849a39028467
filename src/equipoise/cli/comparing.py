"""What `compare` does with full trainings, and with what came of either way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from equipoise.cli.console import note, print_json, progress, table
from equipoise.cli.training_lines import short_findings
from equipoise.cli.verdict import comparison_lines


def names_a_model(source: Path) -> bool:
    """Return whether a study trains whole networks: it has a `model`."""
    if source.suffix not in (".yaml", ".yml"):
        return False
    from equipoise.studies.schema import read_study

    content = read_study(source, ())
    return isinstance(content, dict) and "model" in content


def compare_full(
    source: Path,
    settings: list[str] | None,
    folder: Path,
    *,
    dry_run: bool,
    resume: bool,
    processes: int,
    cluster: str | None,
    allow_code: bool,
    as_json: bool,
) -> None:
    """Train every arm and seed of a study whole, and say what each remedy bought."""
    from equipoise.studies.entry import clear_trials
    from equipoise.studies.full_run import run_full
    from equipoise.studies.full_time import plan_rows
    from equipoise.studies.schema import load_full_study

    study = load_full_study(source, tuple(settings or ()))
    if dry_run:
        head, rows, summary = plan_rows(
            study, folder, processes=processes, cluster=cluster, allow_code=allow_code
        )
        bodies = [dict(zip(head, row, strict=True)) for row in rows]
        print_json(bodies) if as_json else typer.echo(table(head, rows))
        return note(summary)
    if not resume:
        clear_trials(folder)
    with progress() as show:
        outcome = run_full(study, out=folder, processes=processes, cluster=cluster,
                           allow_code=allow_code, progress=show,
                           command=f"equipoise compare {source}")  # fmt: skip
    return finish(outcome, folder, as_json)


def finish(outcome: Any, folder: Path, as_json: bool) -> None:
    """Save the comparison and its report, and say what came of it."""
    from equipoise.report import write_report

    result = outcome.comparison
    result.save(folder / "comparison.json")
    path = write_report(result, outcome.findings, path=folder / "report.html")
    note(f"{outcome.trained} trials trained, {outcome.reused} re-used")
    copied = [found for found in outcome.findings if found.code in ("EQ202", "EQ208")]
    if copied:
        note("\n".join(short_findings(copied)))
    if as_json:
        verdicts = {a.method: a.gain.verdict if a.gain else "baseline" for a in result.arms}
        print_json({"recommended": result.recommended, "report": path, "arms": verdicts})
        return
    typer.echo("\n".join([*comparison_lines(result), f"Report: {path}"]))
