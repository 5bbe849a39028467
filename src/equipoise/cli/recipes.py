"""``equipoise recipes``: the studies that ship with the package."""

from __future__ import annotations

from typing import Annotated

import typer

from equipoise._core.language import said
from equipoise.cli import options as o
from equipoise.cli.console import print_json

EXAMPLE = "Example: equipoise recipes; then equipoise compare --recipe four-label-images"


def run(
    name: Annotated[str | None, typer.Argument(help="Tell of one recipe alone.")] = None,
    as_json: o.Json = False,
) -> None:
    """List the recipes: what each is about, its sizes, and the data that the full one needs."""
    from typing import get_args

    from equipoise.studies.recipe import Size, load_recipe, recipe_names

    chosen = [load_recipe(n) for n in (recipe_names() if name is None else [name])]
    if as_json:
        bodies = []
        for recipe in chosen:
            body = recipe.model_dump(include={"name", "title", "story"})
            sizes = {size: recipe.sized(size) for size in get_args(Size)}
            body["sizes"] = {
                size: {"needs": part.needs, "files": part.files} for size, part in sizes.items()
            }
            bodies.append(body)
        print_json(bodies)
        return
    for recipe in chosen:
        typer.echo(f"{recipe.name}: {said(recipe.title)}")
        typer.echo(f"  {said(recipe.story)}")
        for size in get_args(Size):
            part = recipe.sized(size)
            typer.echo(f"  --size {size}: {said(part.needs)}")
            for file, what in part.files.items():
                typer.echo(f"    {file}: {said(what)}")
    typer.echo(said("Run one: equipoise compare --recipe NAME [--size full --data FOLDER]"))
