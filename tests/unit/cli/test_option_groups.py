"""Records of options: what typer sees, and what the verb gets."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer

from equipoise.cli import diagnose
from equipoise.cli.option_groups import with_groups
from equipoise.cli.reading import LabelOptions
from equipoise.studies.diagnosing import read_material


@dataclass(frozen=True, slots=True)
class Where:
    folder: Annotated[Path, typer.Option(help="A folder.")] = Path("here")
    names: Annotated[list[str] | None, typer.Option("--name", help="Names.")] = None
    deep: Annotated[bool, typer.Option("--deep")] = False


def test_fields_are_options_between_those_of_the_verb(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen = []

    @with_groups
    def run(*, first: int = 1, where: Where, last: int = 2) -> None:
        """Do it."""
        seen.append((first, where, last))

    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(run)
    app(["--folder", "there", "--name", "a", "--name", "b", "--last", "5"], standalone_mode=False)
    app([], standalone_mode=False)
    assert seen == [(1, Where(Path("there"), ["a", "b"]), 5), (1, Where(), 2)]
    with pytest.raises(SystemExit):
        app(["--help"])
    said = capsys.readouterr().out
    assert "Do it." in said
    places = [said.index(o) for o in ("--first", "--folder", "--name", "--deep", "--last")]
    assert places == sorted(places)


def test_a_record_means_the_same_with_and_without_typer() -> None:
    columns = LabelOptions(labels="A, B", id_column="row", group="patient")
    assert columns.named == [None, "A", "B", "row", "patient"]


def test_the_files_of_the_verb_are_the_arguments_of_the_reader() -> None:
    taken = inspect.signature(read_material).parameters
    files = inspect.signature(diagnose.d.Files).parameters
    assert set(files) <= set(taken)
    assert [files[name].default for name in files] == [taken[name].default for name in files]
