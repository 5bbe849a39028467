"""``equipoise compare``: the main job, from a study or straight from a feature table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise._core.language import said
from equipoise._core.text import table
from equipoise.cli import options as o
from equipoise.cli.console import note, print_json, progress, seconds_of
from equipoise.cli.lines import short_findings
from equipoise.cli.options import TableOptions, with_groups

EXAMPLE = (
    "Examples: equipoise compare study.yaml --set seeds=10; equipoise compare train.csv --label y. "
    "Of a table, unless --set says otherwise: 5 folds, so that every row is tested; seeds=auto, "
    "which stops by itself after 5 to 20; every kind of model that is installed, remedies on the "
    "best; comparison.rope=0.01. `equipoise init train.csv --label y` writes all of it down."
)


@with_groups
def run(
    *,
    source: Annotated[Path, typer.Argument(help="Study (YAML), feature table or image folder.")],
    columns: TableOptions,
    image: o.Image = None,
    test: Annotated[Path | None, typer.Option(help="Table of test rows.")] = None,
    settings: o.Settings = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            callback=o.folder_to_write,
            help="Folder of results; equipoise_runs/NAME.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan only.")] = False,
    resume: Annotated[bool, typer.Option("--resume/--fresh", help="Use finished trials.")] = True,
    processes: Annotated[int, typer.Option(min=1, help="Full trainings at once.")] = 1,
    cluster: Annotated[str | None, typer.Option(help="Ray: ray://HOST:PORT, auto, local.")] = None,
    max_time: Annotated[
        str | None, typer.Option(help="Begin nothing after, as 10m, 1h30m; what is done counts.")
    ] = None,
    allow_code: o.AllowCode = False,
    as_json: o.Json = False,
) -> None:  # fmt: skip
    """Train every arm over all seeds and say what each remedy bought."""
    from equipoise.report import write_report
    from equipoise.studies.default_study import study_from
    from equipoise.studies.pages import chapter_of
    from equipoise.studies.plan import plan_rows
    from equipoise.studies.run import clear_trials, run_study

    limit = seconds_of("--max-time", max_time)
    folder = out or Path("equipoise_runs") / source.stem
    described = columns.described | ({} if test is None else {"test_path": str(test)})
    study = study_from(source, described, settings, image=image)
    if dry_run:
        head, rows, summary = plan_rows(
            study, folder, fresh=not resume, processes=processes, cluster=cluster,
            allow_code=allow_code,
        )  # fmt: skip
        bodies = [dict(zip(head, row, strict=True)) for row in rows]
        words = [said(word) for word in head]
        at = head.index("state")
        shown = [[*row[:at], said(row[at]), *row[at + 1 :]] for row in rows]
        print_json(bodies) if as_json else typer.echo(table(words, shown))
        return note("\n".join(map(said, summary.split("\n"))))
    if not resume:
        clear_trials(folder)
    with progress() as show:
        outcome = run_study(study, out=folder, processes=processes, cluster=cluster,
                            allow_code=allow_code, progress=show, max_time=limit,
                            command=f"equipoise compare {source}")  # fmt: skip
    result = outcome.comparison
    result.save(folder / "comparison.json")
    path = write_report(chapter_of(folder, outcome.findings), path=folder / "report.html")
    note(said(f"{outcome.trained} trials trained, {outcome.reused} re-used"))
    copied = [found for found in outcome.findings if found.code in ("EQ202", "EQ208")]
    if copied:
        note("\n".join(short_findings(copied)))
    if as_json:
        verdicts = {a.method: a.verdict for a in result.arms}
        gains = {
            a.method: {"seeds": a.n_seeds, "needed": a.gain.needed} | a.gain.shown.to_dict()
            for a in result.arms
            if a.gain
        }
        body = {
            "recommended": result.recommended,
            "regret": result.regret,
            "question": result.question,
            "report": path,
            "arms": verdicts,
            "gains": gains,
        }
        print_json(body)
    else:
        code = " --allow-code" if allow_code else ""
        typer.echo(f"{result}\n{said(f'Report: {path}')}")
        typer.echo(said(f"Model: equipoise refit {folder} -o model/{code}"))
    return None
