"""``equipoise report``: the HTML page from what is finished, without training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from equipoise._core.language import said
from equipoise.cli import options as o
from equipoise.cli.options import ScoreOptions, with_groups

EXAMPLE = (
    "Examples: equipoise report demo/digits_four_labels -o report.html; "
    "equipoise report --rule rule.json --scores val.parquet"
)


@dataclass(frozen=True)
class ScoreFileOptions(ScoreOptions):
    """The same where --scores names the file."""

    columns: Annotated[
        str | None, typer.Option("--score-columns", help="Score columns of a table, zA,zB.")
    ] = None


@with_groups
def run(
    *,
    results: Annotated[
        list[Path] | None,
        typer.Argument(help="comparison.json files, folders that hold them, folders of trials."),
    ] = None,
    rule: Annotated[Path | None, typer.Option(help="Rule, to be looked at with --scores.")] = None,
    scores: Annotated[
        Path | None, typer.Option(help="Its validation scores (cuts can be set), or test scores.")
    ] = None,
    table: ScoreFileOptions,
    out: Annotated[
        Path, typer.Option("--out", "-o", callback=o.file_to_write, help="Page to write.")
    ] = Path("report.html"),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing page.")] = False,
) -> None:
    """Write one page of comparisons, trainings and rules in any mixture, without training."""
    from equipoise._core.files import is_stream
    from equipoise._core.messages import say
    from equipoise.errors import UsageError

    if out.exists() and not force and not is_stream(out):
        do = "Name another page, or use --force."
        raise UsageError(say("--out", "name a new file", f"{out}, which exists", do))
    if (rule is None) != (scores is None):
        got = "--rule alone" if scores is None else "--scores alone"
        raise UsageError(say("--rule and --scores", "be given together", got))
    if not results and rule is None:
        do = "Name a folder of results, or give --rule and --scores."
        raise UsageError(say("results", "be given", "nothing to report", do))
    from equipoise.report import write_report
    from equipoise.studies.pages import chapter_of

    chapters = [chapter_of(path) for path in results or ()]
    if rule is not None and scores is not None:
        from equipoise.artifacts import DecisionRule
        from equipoise.diagnosis import Material, diagnose
        from equipoise.report.chapter import Chapter

        loaded = DecisionRule.load(rule)
        found, _ = table.read(scores, "test", loaded)
        if found.fingerprint == loaded.tuned_on.get("fingerprint"):
            found, _ = table.read(scores, "val", loaded)
        # EQ402 is left out: the rule calibrates.
        told = diagnose(scores=found, more=Material(rule=loaded), ignore=("EQ402", "EQ409"))
        chapters.append(Chapter(rule=loaded, scores=found, findings=told, title=rule.stem))
    path = write_report(chapters, path=out)
    typer.echo(said(f"Report: {path} ({path.stat().st_size / 1000:.0f} kB)"))
