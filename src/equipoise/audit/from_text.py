"""From ``module:name`` and settings as text to a loss or sampler: this runs foreign code."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from equipoise._core.documents import parse_yaml
from equipoise._core.foreign import import_named
from equipoise._core.messages import hint, one_of, say
from equipoise.artifacts.finding import Finding
from equipoise.artifacts.labels import Kind, Labels
from equipoise.audit.draws import build_sampler
from equipoise.audit.loss import audit_loss
from equipoise.audit.sampler import SamplerAudit, audit_sampler
from equipoise.errors import UsageError
from equipoise.io import read_labels

_TABLES = (".csv", ".tsv", ".parquet", ".pq", ".npy", ".npz")


def read_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Return ``{"alpha": [1.0, 2.0]}`` for ``["alpha=[1, 2]"]``; values are YAML.

    Numbers with commas between them are a list, with or without brackets.

    Example:
        >>> read_settings(["alpha=10.79,2.45", "gamma=2"])
        {'alpha': [10.79, 2.45], 'gamma': 2}
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            do = "Write alpha=[1.0,2.0] or gamma=1.5."
            raise UsageError(say("arg", "be NAME=VALUE", repr(text), do))
        try:
            listed = re.fullmatch(r"\s*[-+.\deE]+(\s*,\s*[-+.\deE]+)+\s*", value)
            found[name.strip()] = parse_yaml(f"[{value}]" if listed else value)
        except ValueError as error:
            raise UsageError(say("arg", "hold a YAML value", repr(text))) from error
    return found


def load_object(path: str, what: str = "loss or sampler") -> tuple[Any, str]:
    """Import ``module:name`` or ``file.py:name``, and return it with its name.

    The current folder counts.

    Args:
        path: Module and name.
        what: What it is, in messages.

    Raises:
        UsageError: nothing of that name.
    """
    module, _, name = path.rpartition(":")
    if not module or not name:
        raise UsageError(say(what, "be given as module:name", repr(path)))
    try:
        return import_named(path)[1], name
    except (ImportError, AttributeError, ValueError) as error:
        do = "It is imported from the current folder or an installed package."
        raise UsageError(say(what, "exist", f"{path!r} ({error})", do)) from error


def read_label_names(
    text: str | None,
    columns: Sequence[str] | None,
    label: str | None,
    kind: Kind | None,
    coding: Mapping[str, Any] | None = None,
) -> Labels | list[str] | int | None:
    """Return the labels of a table, or the names or number that the text lists.

    ``coding`` says what entries of the table stand for, as arguments of
    :func:`equipoise.io.read_labels`.

    Example:
        >>> read_label_names("A,B", None, None, None), read_label_names("4", None, None, None)
        (['A', 'B'], 4)
    """
    if text is None:
        return None
    path = Path(text)
    if path.suffix.lower() in _TABLES or path.is_dir():
        return read_labels(path, label=label, labels=columns, kind=kind, **(coding or {}))
    if columns is not None or label is not None:
        do = hint("For example {table=labels.csv} {columns=A,B,C,D}.")
        raise UsageError(say("table", "be a table where columns are named", repr(text), do))
    names = [part.strip() for part in text.split(",") if part.strip()]
    return int(names[0]) if len(names) == 1 and names[0].isdigit() else names


def audit_path(
    path: str,
    settings: Mapping[str, Any],
    *,
    labels: Labels | Sequence[str] | int | None = None,
    kind: Kind | None = None,
    what: str | None = None,
    weight: Sequence[float] | None = None,
) -> list[Finding] | SamplerAudit:
    """Audit what ``module:name`` names, as a loss or as a sampler.

    Args:
        path: A class, function or instance.
        settings: For its constructor, or to be kept as keywords.
        labels: The labels of all rows for a sampler; for a loss their names or number do.
        kind: "multiclass" or "multilabel", for a loss.
        what: "loss" or "sampler"; None looks at the object.
        weight: For a sampler, the weights of the loss it is trained with.

    Raises:
        UsageError: nothing of that name, or a sampler without the labels of its rows.
    """
    made, _ = load_object(path)
    if what is None:
        what = "sampler" if looks_like_sampler(made, settings) else "loss"
    if one_of("what", what, ("loss", "sampler")) == "loss":
        if weight is not None:
            do = "It belongs to a sampler."
            raise UsageError(say("weight", "be left out for a loss", list(weight), do))
        return audit_loss(load_loss(path, settings), labels=labels, kind=kind)
    if not isinstance(labels, Labels):
        do = hint("E.g. {table=labels.csv} {columns=A,B,C,D}, or {what=loss} if it is no sampler.")
        got = "nothing" if labels is None else repr(labels)
        raise UsageError(say("table", "name a table of all rows for a sampler", got, do))
    if not isinstance(made, type) and isinstance(made, Iterable):
        return audit_sampler(made, labels, weight=weight)
    return audit_sampler(lambda: build_sampler(made, labels, settings), labels, weight=weight)


def looks_like_sampler(made: Any, settings: Mapping[str, Any]) -> bool:
    """Whether an object is a sampler or builds one: by its class, else by how much it asks for.

    A loss is called with two things; a function that asks for one more at most builds a sampler.

    Example:
        >>> looks_like_sampler(nn.BCELoss, {}), looks_like_sampler(lambda labels: range(2), {})
        (False, True)
    """
    if isinstance(made, type):
        return hasattr(made, "__iter__") and not issubclass(made, nn.Module)
    if isinstance(made, nn.Module):
        return False
    if isinstance(made, Iterable):
        return True
    try:
        known = inspect.signature(made).parameters.values()
    except (TypeError, ValueError):
        return False
    if any(item.kind is item.VAR_POSITIONAL for item in known):
        return False
    asked = [i for i in known if i.default is i.empty and i.kind is not i.VAR_KEYWORD]
    return sum(item.name not in settings for item in asked) < 2


def load_loss(path: str, settings: Mapping[str, Any] | None = None) -> Callable[..., Any]:
    """Import ``module:name`` (the current folder counts) and return it with its settings.

    A class is constructed, a function keeps its settings as keywords. Lists of numbers are handed
    over as they are and, where the loss cannot be built or called so, as float tensors.

    Raises:
        UsageError: nothing of that name, or it does not take these settings.
    """
    made, name = load_object(path)
    given = dict(settings or {})
    if not isinstance(made, type):
        return partial(made, **as_tensors(given)) if given else made
    failure: Exception | None = None
    for values in (as_tensors(given), given):
        try:
            return made(**values)  # type: ignore[no-any-return]
        except Exception as error:
            failure = failure or error
    do = hint("Give what it asks for, for example {arg=counts=[900,100]}.")
    raise UsageError(say(name, "be built from what was given", repr(failure), do)) from failure


def as_tensors(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with lists of numbers as float tensors."""
    return {k: torch.tensor(v, dtype=torch.float32) if _numbers(v) else v
            for k, v in settings.items()}  # fmt: skip


def _numbers(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value)
    )
