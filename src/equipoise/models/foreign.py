"""Networks from MONAI, torchvision, timm or the user's own module, each imported on demand."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from equipoise._core.words import closest, say
from equipoise.errors import MissingExtraError, UsageError

_OUTPUTS = ("num_outputs", "num_classes", "out_channels", "n_classes")
_CHANNELS = ("in_channels", "n_input_channels", "in_chans")


def build_from_library(
    library: str,
    name: str,
    num_outputs: int,
    input_shape: tuple[int, ...],
    settings: Mapping[str, Any],
) -> nn.Module:
    """Return a network of a library without pre-trained weights; nothing is downloaded.

    Raises:
        MissingExtraError: MONAI is not installed.
        UsageError: another library cannot be imported, or has no such network.
    """
    return LIBRARIES[library](name, num_outputs, input_shape, settings)


def build_from_callable(path: str, num_outputs: int, settings: Mapping[str, Any]) -> nn.Module:
    """Import ``module:callable``, the current folder included, and call it.

    The number of outputs is handed over under the first of the names ``num_outputs``,
    ``num_classes``, ``out_channels`` and ``n_classes`` that it takes.

    Raises:
        UsageError: nothing of that name, or it does not return a module.
    """
    module, _, name = path.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        make = getattr(import_module(module), name)
    except (ImportError, RuntimeError, AttributeError, ValueError) as error:
        do = "It is imported from the current folder or an installed package."
        raise UsageError(say("name", "exist", f"{path!r} ({error})", do)) from error
    if isinstance(make, nn.Module) or not callable(make):
        do = "Name a class or function that builds the network."
        raise UsageError(say("name", "be callable", f"{path!r}, {type(make).__name__}", do))
    given = _known(make, {_OUTPUTS: num_outputs}, settings)
    return _made(path, make, given)


def _library(name: str, extra: str | None) -> Any:
    """Import a library; beside a torch that does not fit, torchvision raises RuntimeError."""
    try:
        return import_module(name)
    except (ImportError, RuntimeError) as error:
        package = name.partition(".")[0]
        if extra is not None and isinstance(error, ImportError):
            raise MissingExtraError(package, extra, f"'{package}:NAME'") from error
        do = f"Install a `{package}` that was built for the torch you have."
        got = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
        raise UsageError(say(package, "be importable", got, do)) from error


def _monai(
    name: str, num_outputs: int, input_shape: tuple[int, ...], settings: Mapping[str, Any]
) -> nn.Module:
    make = _member(_library("monai.networks.nets", "vision"), "monai", name)
    dims, channels = len(input_shape) - 1, input_shape[0]
    wanted = {("spatial_dims",): dims, _CHANNELS: channels, _OUTPUTS: num_outputs}
    given = _known(make, wanted, settings)
    if given == dict(settings) and "spatial_dims" not in settings:
        # Its functions named resnet... pass these three on without naming them.
        own = {"spatial_dims": dims, "n_input_channels": channels, "num_classes": num_outputs}
        given = {**own, **settings}
    return _made(f"monai:{name}", make, given)


def _torchvision(
    name: str, num_outputs: int, input_shape: tuple[int, ...], settings: Mapping[str, Any]
) -> nn.Module:
    if input_shape[0] != 3:
        do = "Repeat the channel, or take 'timm:NAME' or 'monai:NAME'."
        raise UsageError(say("input_shape", "have 3 channels for torchvision", input_shape, do))
    make = _member(_library("torchvision.models", None), "torchvision", name)
    given = {"weights": None, "num_classes": num_outputs, **settings}
    return _made(f"torchvision:{name}", make, given)


def _timm(
    name: str, num_outputs: int, input_shape: tuple[int, ...], settings: Mapping[str, Any]
) -> nn.Module:
    make = _library("timm", None).create_model
    given = {"pretrained": False, "num_classes": num_outputs, "in_chans": input_shape[0]}
    return _made(f"timm:{name}", lambda **values: make(name, **values), {**given, **settings})


LIBRARIES: dict[str, Callable[[str, int, tuple[int, ...], Mapping[str, Any]], nn.Module]] = {
    "monai": _monai,
    "torchvision": _torchvision,
    "timm": _timm,
}


def _member(library: Any, package: str, name: str) -> Any:
    make = getattr(library, name, None)
    if not callable(make) or name.startswith("_"):
        known = [n for n in dir(library) if callable(getattr(library, n, None)) and n[0] != "_"]
        raise UsageError(
            say("name", f"be a network of {package}", repr(name), closest(name, known))
        )
    return make


def _known(
    make: Callable[..., Any], wanted: Mapping[tuple[str, ...], Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings and what of ``wanted`` the callable takes, under its own names."""
    try:
        takes = set(inspect.signature(make).parameters)
    except (TypeError, ValueError):
        takes = set()
    given = dict(settings)
    for names, value in wanted.items():
        name = next((n for n in names if n in takes), None)
        if name is not None and not set(names) & set(settings):
            given[name] = value
    return given


def _made(name: str, make: Callable[..., Any], given: Mapping[str, Any]) -> nn.Module:
    try:
        model = make(**given)
    except (TypeError, ValueError, RuntimeError) as error:
        got = f"{dict(given)} ({' '.join(str(error).split())[:160]})"
        do = "Say in `settings` what it takes."
        raise UsageError(say(f"settings of '{name}'", "be what it takes", got, do)) from error
    if not isinstance(model, nn.Module):
        raise UsageError(say("name", "build a torch module", f"{name!r}: {type(model).__name__}"))
    return model
