"""``equipoise methods``: the catalogue."""

from __future__ import annotations

from typing import Annotated

import typer

from equipoise._core.language import said
from equipoise._core.messages import one_of, say
from equipoise._core.text import text_table
from equipoise.cli import options as o
from equipoise.cli.console import print_json
from equipoise.errors import UsageError

EXAMPLE = "Examples: equipoise methods --kind multilabel; equipoise methods focal"
_FIELDS = ("name", "family", "settings", "exactness", "summary", "reference")


def run(
    name: Annotated[str | None, typer.Argument(help="A method: prints its card.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="Only methods for multiclass or multilabel.")
    ] = None,
    points: Annotated[
        bool, typer.Option("--operating-points", help="What each loss makes of an output of 0.5.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """List every method with its settings and how exactly it is undone, or print one's card."""
    from equipoise.methods import METHODS, method_card

    if name is not None:
        for option, given in (("kind", kind), ("--operating-points", points or None)):
            if given is not None:
                do = "One card is printed whole."
                raise UsageError(say(option, "be left out where a method is named", given, do))
        if beside := _stands_beside(name):
            print_json({"name": name, "summary": beside}) if as_json else typer.echo(beside)
            return
        card = method_card(name)
        if as_json:
            print_json({f: getattr(METHODS[name], f) for f in _FIELDS} | {"card": card})
            return
        typer.echo(card, nl=False)
        return

    if kind is not None:
        one_of("--kind", kind, ("multiclass", "multilabel"))
    if points:
        _print_points(kind, as_json)
        return
    chosen = [m for m in METHODS.values() if kind is None or kind in m.kinds]
    if as_json:
        print_json([{f: getattr(m, f) for f in _FIELDS} for m in chosen])
        return
    rows = []
    for method in chosen:
        exact = "/".join(dict.fromkeys(map(said, method.exactness.values())))
        rows.append([method.name, "+".join(method.kinds), exact, said(method.summary)])
        if method.settings:
            settings = ", ".join(f"{k}={v}" for k, v in method.settings.items())
            rows.append(["", "", "", f"  {settings}"])
    head = ("method", "for", "undone", "what it does, and its settings")
    typer.echo(text_table([said(word) for word in head], rows))


def _stands_beside(name: str) -> str | None:
    """Return what an arm of a study is that is no method of the catalogue."""
    from equipoise.methods import THRESHOLDS
    from equipoise.studies.schema import REFERENCES

    if " ".join(name.split()) == THRESHOLDS:
        return said(
            "none + thresholds: the untreated model with a rule tuned on validation rows, and no "
            "training of its own. Every comparison has it, listed or not: a remedy must beat it."
        )
    if name not in REFERENCES:
        return None
    from equipoise.studies.baselines import BASELINES

    found = BASELINES[name]
    settings = ", ".join(f"{k}={v}" for k, v in found.settings.items())
    lines = [
        said(f"{name}: a reference, no remedy. List it under `arms` of a study."),
        said(found.summary),
        said(f"Its settings: {settings}.") if settings else "",
    ]
    return "\n".join(filter(None, lines))


def _print_points(kind: str | None, as_json: bool) -> None:
    from equipoise.methods.operating_points import EXAMPLES, operating_points

    found = operating_points(kind)
    if as_json:
        print_json([p._asdict() for p in found])
        return
    rows = [[p.method, EXAMPLES[p.labels], p.points, p.reach, p.settings] for p in found]
    head = ("method", "example", "true probability at output 0.5", "range", "settings")
    typer.echo(text_table([said(word) for word in head], rows))
