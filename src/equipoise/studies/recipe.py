"""Recipes: the stories that ship with the package, each a study in two sizes."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError, model_validator

from equipoise._core.documents import parse_yaml
from equipoise._core.messages import closest, hint, say
from equipoise.errors import DataError, UsageError
from equipoise.studies.judged_scores import ScoreStudy, parse_score_study
from equipoise.studies.schema import (
    PATHS,
    Strict,
    Study,
    parse_study,
    set_value,
)

Size = Literal["small", "full"]


class SizedStudy(Strict):
    """One size of a recipe.

    Args:
        needs: What it takes to run it, in a line: time, machine, extras.
        files: What has to lie in the folder of the data: name -> what it is.
        study: Parts of the study that this size has of its own.
        more_arms: Arms beside those of both sizes.
    """

    needs: str
    files: dict[str, str] = Field(default_factory=dict)
    study: dict[str, Any]
    more_arms: list[Any] = Field(default_factory=list)


class Recipe(Strict):
    """One story as a study in two sizes.

    Args:
        name: What it goes by: the name of its file.
        title: A line.
        story: What a person saw, in a line.
        verb: "compare" for a study that trains, "scores" for scores that are given.
        study: Parts of the study that both sizes have.
        small: Runs in seconds and needs no files.
        full: The case itself, over files.
    """

    name: str
    title: str
    story: str
    verb: Literal["compare", "scores"] = "compare"
    study: dict[str, Any]
    small: SizedStudy
    full: SizedStudy

    @model_validator(mode="after")
    def _small_needs_nothing(self) -> Recipe:
        if self.small.files or not self.full.files:
            raise ValueError("name files for the full size, and none for the small one")
        return self

    def sized(self, size: Size) -> SizedStudy:
        """Return one size."""
        return self.small if size == "small" else self.full


@dataclass(frozen=True, slots=True)
class Chosen:
    """A recipe in one size, with its data found.

    Args:
        recipe: Which.
        size: "small" or "full".
        study: What is run: arms that are trained, or scores that are judged.
    """

    recipe: Recipe
    size: Size
    study: Study | ScoreStudy


def recipe_names() -> list[str]:
    """Return the names of all recipes, sorted."""
    folder = files("equipoise.studies") / "recipes"
    found = [Path(entry.name) for entry in folder.iterdir()]
    return sorted(path.stem for path in found if path.suffix == ".yaml")


@cache
def load_recipe(name: str) -> Recipe:
    """Return a recipe by name.

    Raises:
        UsageError: there is none of this name; the nearest is named.

    Example:
        >>> load_recipe("mulan").small.files
        {}
        >>> load_recipe("mulane")
        Traceback (most recent call last):
        ...
        equipoise.errors.UsageError: `recipe` must be a recipe, got 'mulane'. Did you mean `mulan`?
    """
    if name not in recipe_names():
        raise UsageError(say("recipe", "be a recipe", repr(name), closest(name, recipe_names())))
    source = files("equipoise.studies") / "recipes" / f"{name}.yaml"
    try:
        return Recipe.model_validate({"name": name, **parse_yaml(source.read_text("utf-8"))})
    except (ValidationError, ValueError, TypeError) as error:  # a fault of the package
        raise UsageError(f"recipe {name}: {' '.join(str(error).split())}") from error


def choose_recipe(
    name: str,
    *,
    data_folder: str | Path | None = None,
    recipe_size: str | None = None,
    assignments: Sequence[str] = (),
) -> Chosen:
    """Return a recipe in one size, checked, with its files found.

    Args:
        name: One of :func:`recipe_names`.
        data_folder: Folder of the files that the full size names; of a size that names one file,
            also a file of the same form.
        recipe_size: "small" or "full"; None takes "full" where a folder is given, else "small".
        assignments: ``a.b=c``, each; they change the study.

    Raises:
        UsageError: an unknown name, size or key; data where none are needed, or none where they
            are.
        DataError: a file is not there.

    Example:
        >>> chosen = choose_recipe("mulan", assignments=("seeds=2",))
        >>> chosen.size, chosen.study.seeds
        ('small', 2)
    """
    recipe = load_recipe(name)
    data, size = data_folder, recipe_size
    if size is None:
        size = "small" if data is None else "full"
    if size not in get_args(Size):
        near = closest(size, get_args(Size))
        raise UsageError(say("recipe_size", "be small or full", repr(size), near))
    which: Size = "small" if size == "small" else "full"
    part = recipe.sized(which)
    content = {**recipe.study, **part.study}
    if part.more_arms:
        content["arms"] = [*content.get("arms", ()), *part.more_arms]
    content.setdefault("title", recipe.title)
    content = _with_files(content, _found(recipe, which, data))
    for assignment in assignments:
        set_value(content, assignment)
    label = f"recipe {name}"
    made = parse_score_study(content, label) if recipe.verb == "scores" else parse_study(
        content, label
    )  # fmt: skip
    return Chosen(recipe, which, made)


def _found(recipe: Recipe, size: Size, data: str | Path | None) -> dict[str, str]:
    """Return where the files of a size lie, by the names that its study calls them."""
    wanted = recipe.sized(size).files
    if not wanted:
        if data is not None:
            expected = f"be left out of the {size} size of {recipe.name}, which makes its rows"
            do = hint("The other size reads files: {recipe_size=full}.")
            raise UsageError(say("data_folder", expected, f"'{data}'", do))
        return {}
    told = "; ".join(f"{name} ({what})" for name, what in wanted.items())
    if data is None:
        do = hint("Name it: {data_folder=PATH}. Without files there is {recipe_size=small}.")
        raise UsageError(say("data_folder", f"name the folder that holds {told}", None, do))
    place = Path(data)
    if place.is_file() and len(wanted) == 1:
        return {name: str(place) for name in wanted}
    for name, what in wanted.items():
        if not (place / name).is_file():
            got = f"no such file in '{place}'" if place.is_dir() else f"no folder '{place}'"
            raise DataError(say("data_folder", f"hold {name}, {what}", got, "Check the path."))
    return {name: str(place / name) for name in wanted}


def _with_files(content: dict[str, Any], found: dict[str, str]) -> dict[str, Any]:
    """Return the content of a study with files where it names them."""
    return {
        key: _seen(part, found, PATHS.get(key, ())) if isinstance(part, dict) else part
        for key, part in content.items()
    }


def _seen(part: dict[str, Any], found: dict[str, str], keys: Sequence[str]) -> dict[str, Any]:
    """Return a part of a study of its own, with the files where its keys name them."""
    moved = deepcopy(part)
    for key in set(keys) & set(part):
        value = part[key]
        named = [found.get(str(v), v) for v in (value if isinstance(value, list) else [value])]
        moved[key] = named if isinstance(value, list) else named[0]
    return moved
