"""From ``module:name`` and settings as text to a loss: this runs foreign code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import yaml

from equipoise._core.checks import say
from equipoise.errors import UsageError

__all__ = ["load_loss", "read_settings"]


def read_settings(texts: Sequence[str]) -> dict[str, Any]:
    """Return ``{"alpha": [1.0, 2.0]}`` for ``["alpha=[1, 2]"]``; values are YAML."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            do = "Write --arg alpha=[1.0,2.0] or --arg gamma=1.5."
            raise UsageError(say("--arg", "be NAME=VALUE", repr(text), do))
        try:
            found[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise UsageError(say("--arg", "hold a YAML value", repr(text))) from error
    return found


def load_loss(path: str, settings: Mapping[str, Any] | None = None) -> Callable[..., Any]:
    """Import ``module:name`` (the current folder counts) and return it with its settings.

    A class is constructed, a function keeps its settings as keywords. Lists of numbers are handed
    over as they are and, where the loss cannot be built or called so, as float tensors.

    Raises:
        UsageError: nothing of that name, or it does not take these settings.
    """
    module, _, name = path.partition(":")
    if not module or not name:
        raise UsageError(say("loss", "be given as module:name", repr(path)))
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        made = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        do = "It is imported from the current folder or an installed package."
        raise UsageError(say("loss", "exist", f"{path!r} ({error})", do)) from error
    given = dict(settings or {})
    if not isinstance(made, type):
        return partial(made, **as_tensors(given)) if given else made
    failure: Exception | None = None
    for values in (as_tensors(given), given):
        try:
            return made(**values)  # type: ignore[no-any-return]
        except Exception as error:
            failure = failure or error
    raise UsageError(say(name, "be built with these --arg", repr(failure))) from failure


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
