"""A card per method: what it is for, its formula, what it clashes with, what came of it.

What the code knows is read from it: settings, kinds of labels, how exactly it is undone, where it
runs, what it is made of. The rest stands in ``cards/NAME.md``.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.resources import files
from types import FunctionType
from typing import Any

import numpy as np

from equipoise._core.messages import say
from equipoise.artifacts import Labels
from equipoise.boosting.families import FAMILIES
from equipoise.errors import MissingExtraError, UsageError
from equipoise.labels.losses import ClassWeightSide, LossSide
from equipoise.methods.method import CLASSES, LABELS, Method, OnDemand
from equipoise.methods.on_tables import treat

HEADINGS = (
    "Use",
    "Formula",
    "Start with",
    "Works with and clashes with",
    "Measured",
    "Source",
    "API",
)
"""Of every card, in this order; all but the last have words of their own in ``cards``."""

_KINDS = {LABELS: "several labels", CLASSES: "classes"}
_JOINED: Mapping[str, tuple[str, ...]] = {
    "loss": ("a sampler", "mixing", "a second stage"),
    "sampler": ("a loss or a schedule", "mixing", "a second stage"),
    "mixing": ("a loss or a schedule that is linear in the target", "a sampler", "a second stage"),
    "schedule": ("a sampler", "mixing", "a second stage"),
    "two_stage": ("a loss or a schedule", "a sampler", "mixing"),
}
_ROOMS = ("labels", "losses", "sampling", "training")
_ALREADY = ("none", "plain")  # every remedy starts from it


def written_sections(name: str) -> dict[str, str]:
    """Return what is written of a method by hand: heading -> text."""
    text = files("equipoise.methods").joinpath("cards", f"{name}.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return {head: body.strip() for head, body in zip(parts[1::2], parts[2::2], strict=True)}


def write_card(method: Method) -> str:
    """Return the card of a method, in Markdown.

    Raises:
        UsageError: a method that is joined of several.
    """
    if method.function is None:
        do = "Ask for its parts one by one."
        raise UsageError(say("method", "be one of the catalogue to have a card", method.name, do))
    own = written_sections(method.name)
    made = _made(method)
    own["Start with"] = f"{_settings(method)}\n\n{own['Start with']}"
    joins = _joins(method, made)
    own["Works with and clashes with"] = f"{joins}\n\n{own['Works with and clashes with']}".strip()
    if method.reference != "-":
        own["Source"] = f"{method.reference}.\n\n{own['Source']}"
    own["API"] = "\n".join(_api_lines(method, made))
    head = [f"# {method.name}", "", method.summary, "", *_facts(method, made)]
    parts = [f"## {heading}\n\n{own[heading]}" for heading in HEADINGS]
    return "\n\n".join(["\n".join(head), *parts]) + "\n"


def _example(kind: str) -> Labels:
    if kind == LABELS:
        hot = np.repeat([[1, 1], [0, 1], [1, 0], [0, 0]], [10, 60, 10, 120], axis=0)
        return Labels.from_array(hot, kind="multilabel")
    return Labels.from_array(np.repeat([0, 1, 2], [140, 50, 10]), kind="multiclass")


def _made(method: Method) -> dict[str, Any] | None:
    """Return the remedy for an example of each kind, or None where a package for it is missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return {kind: method.build(_example(kind)) for kind in method.kinds}
    except MissingExtraError:
        return None


def _facts(method: Method, made: Mapping[str, Any] | None) -> list[str]:
    exact = {_KINDS[kind]: word for kind, word in method.exactness.items()}
    same = set(exact.values())
    undone = same.pop() if len(same) == 1 else ", ".join(f"{w} for {k}" for k, w in exact.items())
    return [
        f"- For: {', '.join(_KINDS[kind] for kind in method.kinds)}",
        f"- Family: {method.family}{', an arm by default' if method.first_choice else ''}",
        f"- Undone: {undone}",
        f"- Runs on: {'; '.join(_runs_on(method, made))}",
    ]


def _runs_on(method: Method, made: Mapping[str, Any] | None) -> Iterator[str]:
    if method.model is not None:
        yield "tables, as a kind of model of its own"
        return
    if not method.needs_table:
        yield "networks" + (" of images" if method.needs_images else "")
    if method.screens:
        yield "heads on cached features"
    if made is None:
        if method.family == "loss" and not _only_ranks(method):
            yield "models of tables: not known without a package that is missing here"
        return
    able = {kind: _families(made[kind], kind) for kind in method.kinds}
    every = [name for name, family in FAMILIES.items() if not family.is_remedy]
    if all(names == every for names in able.values()):
        yield "all models of tables"
    elif any(able.values()):
        told = [
            name if all(name in names for names in able.values())
            else f"{name} ({' and '.join(_KINDS[k] for k, names in able.items() if name in names)})"
            for name in every
            if any(name in names for names in able.values())
        ]  # fmt: skip
        yield f"of models of tables {', '.join(told)}"


def _only_ranks(method: Method) -> bool:
    """Whether it joins rows or labels, as far as can be told without making it."""
    return "none" in method.exactness.values()


def _families(remedy: Any, kind: str) -> list[str]:
    """Return the kinds of models for tables that take a remedy."""
    labels = _example(kind)
    y = np.asarray(labels.values)
    classes = 1 if kind == LABELS else labels.num_classes
    able = []
    for name, family in FAMILIES.items():
        if family.is_remedy:
            continue
        try:
            treat(remedy, labels, family, 0).objective(y[:, 0] if classes == 1 else y, 0, classes)
        except UsageError:
            continue
        able.append(name)
    return able


def _settings(method: Method) -> str:
    if not method.settings:
        return "No settings."
    rows = [f"| `{name}` | `{value!r}` |" for name, value in method.settings.items()]
    return "\n".join(["| setting | default |", "|---|---|", *rows])


def _joins(method: Method, made: Mapping[str, Any] | None) -> str:
    """Return what ``+`` joins it with, as :func:`equipoise.methods.compose.compose` has it."""
    others = _JOINED.get(method.family)
    if others is None:
        return ""
    if made is not None:
        taken = {word for remedy in made.values() for word in _taken(remedy)}
        others = tuple(other for other in others if other not in taken)
    elif method.family == "loss" and _only_ranks(method):
        others = tuple(other for other in others if other != "mixing")
    return f"Joined by `+` with {', '.join(others[:-1])} or {others[-1]}."


def _taken(remedy: Any) -> Iterator[str]:
    """Yield what a remedy with a loss leaves no room for."""
    late = getattr(remedy.schedule, "loss", None)
    if remedy.mixing is not None or not all(
        getattr(loss, "linear_in_target", False) for loss in (remedy.loss, late) if loss is not None
    ):
        yield "mixing"
    if getattr(remedy.schedule, "sampler", None) is not None:
        yield "a sampler"


def _api_lines(method: Method, made: Mapping[str, Any] | None) -> Iterator[str]:
    yield f'- `equipoise.remedy("{method.name}", labels)`'
    names: dict[str, None] = {}
    _collect(method.function, names, set())
    yield from (f"- `{name}`" for name in names)
    losses = [] if made is None else [type(m.loss) for m in made.values()]
    for name in dict.fromkeys(kind.__name__ for kind in losses if _has_keras(kind)):
        if f"equipoise.losses.{name}" in names:
            yield f"- `equipoise.keras.losses.{name}`"


def _has_keras(loss: type) -> bool:
    """Whether a loss inherits its settings from where a loss of Keras has them, too."""
    shared = {base.__name__ for base in loss.__mro__ if base.__module__ == LossSide.__module__}
    return bool(shared - {LossSide.__name__, ClassWeightSide.__name__})


def _collect(function: Any, names: dict[str, None], seen: set[str]) -> None:
    """Add the public names of the library that a function's text names, and those it calls."""
    if function.__qualname__ in seen or function.__name__ in _ALREADY:
        return
    seen.add(function.__qualname__)
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    known = function.__globals__
    body = [node for line in tree.body[0].body for node in ast.walk(line)]  # type: ignore[attr-defined]
    for node in body:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            room = known.get(node.value.id)
            if node.value.id in _ROOMS and (isinstance(room, OnDemand) or inspect.ismodule(room)):
                names[f"equipoise.{node.value.id}.{node.attr}"] = None
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("equipoise.methods"):
            names.update(dict.fromkeys(f"{node.module}.{a.name}" for a in node.names))
        elif isinstance(node, ast.Name):
            _follow(known.get(node.id), names, seen)


def _follow(value: Any, names: dict[str, None], seen: set[str]) -> None:
    if isinstance(value, Method) and value.name not in _ALREADY:
        _collect(value.function, names, seen)
    if not isinstance(value, FunctionType) or not value.__module__.startswith("equipoise."):
        return
    room = ".".join(value.__module__.split(".")[:2])
    if (
        value.__name__ in getattr(import_module(room), "__all__", ())
        and value.__name__ not in _ALREADY
    ):
        names[f"{room}.{value.__name__}"] = None
    if room == "equipoise.methods":
        _collect(value, names, seen)
