"""``equipoise compare``: the main job, from a study or straight from a feature table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from equipoise._core.language import said
from equipoise._core.messages import counted
from equipoise._core.text import table
from equipoise.cli import options as o
from equipoise.cli.console import note, print_json, progress, seconds_of
from equipoise.cli.lines import short_findings
from equipoise.cli.options import TableOptions, with_groups

if TYPE_CHECKING:
    from equipoise.studies.judged_scores import ScoreStudy
    from equipoise.studies.schema import Study

EXAMPLE = (
    "Examples: equipoise compare study.yaml --set seeds=10; equipoise compare train.csv --label y; "
    "equipoise compare --recipe four-label-images. "
    "Of a table, unless --set says otherwise: 5 folds, so that every row is tested; seeds=auto, "
    "which stops by itself after 5 to 20; every kind of model that is installed, remedies on the "
    "best; comparison.rope=0.01. `equipoise init train.csv --label y` writes all of it down."
)


@with_groups
def run(
    *,
    source: Annotated[
        Path | None, typer.Argument(help="Study (YAML), feature table or image folder.")
    ] = None,
    columns: TableOptions,
    recipe: Annotated[
        str | None, typer.Option(help="A study of `equipoise recipes`, instead of a source.")
    ] = None,
    data_folder: Annotated[
        Path | None, typer.Option("--data", help="Folder of the files that a recipe needs.")
    ] = None,
    recipe_size: Annotated[
        str | None, typer.Option("--size", help="Of a recipe: small, or full (usual with --data).")
    ] = None,
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
    from equipoise.studies.judged_scores import ScoreStudy
    from equipoise.studies.pages import chapter_of
    from equipoise.studies.plan import plan_rows
    from equipoise.studies.recipe import choose_recipe
    from equipoise.studies.run import clear_trials, run_study

    limit = seconds_of("--max-time", max_time)
    described = columns.described | ({} if test is None else {"test_path": str(test)})
    if recipe is None:
        for key, given in (("data_folder", data_folder), ("recipe_size", recipe_size)):
            _require_recipe(key, given)
        study, name = _of_source(source, described, settings, image)
        command = f"equipoise compare {source}"
    else:
        _require_no_source(source, {**described, **({} if image is None else {"image": image})})
        chosen = choose_recipe(
            recipe, data_folder=data_folder, recipe_size=recipe_size,
            assignments=tuple(settings or ()),
        )  # fmt: skip
        name = f"{recipe}-{chosen.size}"
        command = f"equipoise compare --recipe {recipe} --size {chosen.size}"
        command += "" if data_folder is None else f" --data {data_folder}"
        if isinstance(chosen.study, ScoreStudy):
            at_once = processes if processes > 1 else None
            _require_none(processes=at_once, cluster=cluster, max_time=max_time)
            return _judge(chosen.study, out or Path("equipoise_runs") / name, dry_run, as_json)
        study = chosen.study
    folder = out or Path("equipoise_runs") / name
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
                            command=command)  # fmt: skip
    result = outcome.comparison
    result.save(folder / "comparison.json")
    path = write_report(chapter_of(folder, outcome.findings), path=folder / "report.html")
    note(said(f"{counted(outcome.trained, 'trial')} trained, {outcome.reused} re-used"))
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


def _of_source(
    source: Path | None, described: dict[str, Any], settings: list[str] | None, image: str | None
) -> tuple[Study, str]:
    """Return the study of a source, and what its results are called."""
    from equipoise._core.messages import say
    from equipoise.errors import UsageError
    from equipoise.studies.default_study import study_from

    if source is None:
        do = "Name a study, a table or images, or --recipe NAME of `equipoise recipes`."
        raise UsageError(say("source", "be given", "nothing to compare", do))
    return study_from(source, described, settings, image=image), source.stem


def _require_recipe(key: str, given: object) -> None:
    """Raise for what belongs to a recipe where none is named."""
    from equipoise._core.messages import say
    from equipoise.errors import UsageError

    if given is not None:
        do = "Name one of `equipoise recipes`: --recipe NAME."
        raise UsageError(say(key, "come with a recipe", f"'{given}' without one", do))


def _require_no_source(source: Path | None, described: dict[str, Any]) -> None:
    """Raise for a source, or words of a table, beside a recipe."""
    from equipoise._core.messages import say
    from equipoise.errors import UsageError

    if source is not None:
        raise UsageError(say("recipe", "be given without a source", f"'{source}' as well"))
    called = {"id": "id_column", "test_path": "test"}
    for key, value in described.items():
        do = "Its study names it under `data:`; change it with --set data.KEY=VALUE."
        raise UsageError(say(called.get(key, key), "be left out beside a recipe", repr(value), do))


def _require_none(**given: object) -> None:
    """Raise for options that are of no use where nothing is trained."""
    from equipoise._core.messages import say
    from equipoise.errors import UsageError

    for key, value in given.items():
        if value:
            do = "Leave it out: nothing is trained."
            raise UsageError(say(key, "be for a recipe that trains", value, do))


def _judge(study: ScoreStudy, folder: Path, dry_run: bool, as_json: bool) -> None:
    """Tune a rule on given scores, judge it, and say what it found and flagged."""
    from equipoise.studies.judged_scores import judge_scores, read_scores_of

    if dry_run:
        val, test = read_scores_of(study)
        plan = {"train": 0, "val": len(val), "test": len(test), "labels": len(val.names)}
        if as_json:
            return print_json(plan)
        line = f"{len(val)} rows to tune on, {len(test)} to judge on, {len(val.names)} labels"
        return typer.echo(said(line))
    judged = judge_scores(study, out=folder)
    if as_json:
        rows = {
            row.name: {"positives": row.positives, "recall": row.recall, "flagged": row.flagged}
            for row in judged.labels
        }
        body = {"rule": folder / "rule.json", "report": judged.report, "labels": rows}
        return print_json(body | {"evaluation": judged.evaluation.to_dict()})
    head = ("label", "positives", "share", "recall at 0.5", "flagged at 0.5", "recall", "flagged")
    rows_of = [
        [row.name, str(row.positives), f"{row.share:.3f}", f"{row.recall[0]:.2f}",
         f"{row.flagged[0]:.3f}", f"{row.recall[1]:.2f}", f"{row.flagged[1]:.3f}"]
        for row in judged.labels
    ]  # fmt: skip
    typer.echo(f"{judged.rule}\n{judged.evaluation.text(False, more='equipoise evaluate --all')}\n")
    typer.echo(table([said(word) for word in head], rows_of))
    typer.echo(said("The last two columns are those of the rule."))
    typer.echo(said(f"Rule: {folder / 'rule.json'}"))
    return typer.echo(said(f"Report: {judged.report}"))
