"""Records of options: what typer sees, and what the verb gets."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated

import pytest
import typer

from equipoise.cli import diagnose
from equipoise.cli.objective import ObjectiveOptions
from equipoise.cli.options import LabelOptions, with_groups
from equipoise.decisions import BalancedAccuracy, Cost, FBeta, Precision, Rescale
from equipoise.decisions.objectives import RECORDS
from equipoise.errors import UsageError
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
    assert columns.named == [None, "A", "B", "row", "patient", None]


def test_the_files_of_the_verb_are_the_arguments_of_the_reader() -> None:
    taken = inspect.signature(read_material).parameters
    files = inspect.signature(diagnose.Files).parameters
    assert set(files) <= set(taken)
    assert [files[name].default for name in files] == [taken[name].default for name in files]


def test_every_parameter_of_an_objective_has_its_option() -> None:
    options = {f.name: f.default for f in fields(ObjectiveOptions)}
    for record in RECORDS.values():
        # Betas are part of the name, as in f2.
        for field in fields(record) if record is not FBeta else ():
            assert options[field.name] == (None if field.default is MISSING else field.default)


def test_an_objective_is_read_with_its_parameters_alone() -> None:
    names = ("A", "B")
    assert ObjectiveOptions().read("multilabel", names) == "f1"
    assert ObjectiveOptions("f2").read("multilabel", names) == "f2"
    assert ObjectiveOptions("precision", 0.8).read("multilabel", names) == Precision(0.8)
    by_name = ObjectiveOptions("rescale", train_prior="B=.2,A=.1")
    assert by_name.read("multilabel", names) == Rescale([0.1, 0.2])
    assert ObjectiveOptions("cost", costs="0,1;5,0").read("multiclass", names) == Cost(
        [[0, 1], [5, 0]]
    )
    apart = ObjectiveOptions(free_offsets=False)
    assert apart.read("multiclass", names) == BalancedAccuracy(free_offsets=False)
    with pytest.raises(UsageError, match="`free_offsets` must be left out for the objective 'f1'"):
        apart.read("multilabel", names)
