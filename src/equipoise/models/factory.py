"""From the name of a network to a network: our own, MONAI's, torchvision's, timm's or a user's."""

from __future__ import annotations

import difflib
import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from equipoise._core.foreign import import_named
from equipoise._core.messages import closest, hint, one_of, say
from equipoise.errors import DataError, MissingExtraError, UsageError
from equipoise.models._torch import cuda_devices
from equipoise.models.head import Head, require_sizes
from equipoise.models.last_layer import find_last_layer, replace_head, run_once
from equipoise.models.lstm import LSTMClassifier
from equipoise.models.mlp import MLP
from equipoise.models.resnet import ResNet32
from equipoise.models.vgg import VGG16
from equipoise.models.weights import load_weights

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
    """Import ``module:callable`` or ``file.py:callable``, and call it; the current folder counts.

    The number of outputs is handed over under the first of the names ``num_outputs``,
    ``num_classes``, ``out_channels`` and ``n_classes`` that it takes.

    Raises:
        UsageError: nothing of that name, or it does not return a module.
    """
    try:
        _, make = import_named(path)
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


_SMALL, _LARGE = (3, 32, 32), (3, 224, 224)
Shape = tuple[int, ...]


def _vgg16(num_outputs: int, shape: Shape, settings: Mapping[str, Any]) -> nn.Module:
    return VGG16(num_outputs, in_channels=shape[0], **settings)


def _vgg16_bn(num_outputs: int, shape: Shape, settings: Mapping[str, Any]) -> nn.Module:
    return VGG16(num_outputs, in_channels=shape[0], **{"batch_norm": True, **settings})


def _resnet32(num_outputs: int, shape: Shape, settings: Mapping[str, Any]) -> nn.Module:
    return ResNet32(num_outputs, in_channels=shape[0], **settings)


def _lstm(num_outputs: int, shape: Shape, settings: Mapping[str, Any]) -> nn.Module:
    return LSTMClassifier(shape[-1], num_outputs, **settings)


def _mlp(num_outputs: int, shape: Shape, settings: Mapping[str, Any]) -> nn.Module:
    return MLP(math.prod(shape), num_outputs, **settings)


_OWN: dict[str, Callable[[int, Shape, Mapping[str, Any]], nn.Module]] = {
    "vgg16": _vgg16,
    "vgg16_bn": _vgg16_bn,
    "resnet32": _resnet32,
    "lstm": _lstm,
    "mlp": _mlp,
}
_CLASSES = {"vgg16": VGG16, "vgg16_bn": VGG16, "resnet32": ResNet32, "lstm": LSTMClassifier,
            "mlp": MLP}  # fmt: skip
MODEL_NAMES = (*_OWN, *(f"{library}:NAME" for library in LIBRARIES), "module:callable")
"""Names that :func:`make_model` knows, and forms of others."""


def make_model(
    name: str,
    num_outputs: int,
    *,
    input_shape: Sequence[int] | None = None,
    head: Head = "linear",
    scale: float = 1.0,
    weights: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int | None = None,
    allow_code: bool = False,
) -> nn.Module:
    """Build a network by name, with ``num_outputs`` outputs.

    Args:
        name: "vgg16", "vgg16_bn", "resnet32", "lstm", "mlp"; "monai:DenseNet121" and the like,
            "torchvision:NAME", "timm:NAME" where these are installed; "module:callable", which
            runs code.
        num_outputs: Classes or labels.
        input_shape: Of one row: (channels, height, width), (steps, features) for "lstm",
            (features,) for "mlp", which have to be told. By default (3, 32, 32) for our own
            networks and (3, 224, 224) for others; "module:callable" has none unless it is given.
        head: "linear", or "cosine" for a :class:`CosineHead` as the last layer.
        scale: Factor on the cosines.
        weights: A file for :func:`load_weights`. The last layer is taken from it only where it
            fits; everything else has to fit.
        settings: Further arguments of the network, by name.
        seed: Of the initialisation, with the global random state left as it was; None draws from
            the global state, as torch does.
        allow_code: Whether "module:callable" may be imported and called.

    Returns:
        A module from a batch to logits (N, num_outputs), in train mode.

    Raises:
        UsageError: an unknown name or setting, a library that is not there or does not fit torch,
            code that is not allowed, or outputs of another width.
        MissingExtraError: MONAI is not installed.
        DataError: ``weights`` that do not fit; see :func:`load_weights`.

    Example:
        >>> net = make_model("resnet32", 100, seed=0)
        >>> sum(p.numel() for p in net.parameters())
        470004
        >>> make_model("mlp", 4, input_shape=(64,), settings={"hidden": (32,)}, seed=0).head
        Linear(in_features=32, out_features=4, bias=True)
    """
    require_sizes({"num_outputs": num_outputs})
    one_of("head", head, get_args(Head))
    shape = _shape(name, input_shape)
    given = dict(settings or {})
    with torch.random.fork_rng(devices=cuda_devices(), enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        model = _build(name, num_outputs, shape, {"head": head, "scale": scale}, given, allow_code)
    if weights is not None:
        _load(model, weights, _example(name, shape))
    return model.train()


def _misfit(name: str, words: str) -> str:
    """Say which setting a network of ours does not take."""
    odd = re.search(r"unexpected keyword argument '(\w+)'", words)
    if odd is None:
        return say("settings", f"be what '{name}' takes", words)
    given = ("num_outputs", "num_classes", "in_channels", "in_features", "head", "scale")
    known = [key for key in inspect.signature(_CLASSES[name]).parameters if key not in given]
    if not known:
        return f"'{name}' has no settings, got `{odd[1]}`. Remove it."
    return say(f"settings.{odd[1]}", f"be a setting of '{name}'", odd[1], closest(odd[1], known))


def _build(
    name: str,
    num_outputs: int,
    shape: Shape | None,
    last: Mapping[str, Any],
    settings: Mapping[str, Any],
    allow_code: bool,
) -> nn.Module:
    if name in _OWN and shape is not None:
        try:
            return _OWN[name](num_outputs, shape, {**last, **settings})
        except TypeError as error:
            raise UsageError(_misfit(name, str(error))) from error
    library, colon, rest = name.partition(":")
    if not colon or not rest:
        do = _elsewhere(name) or closest(name, MODEL_NAMES)
        raise UsageError(say("name", "be a known network", repr(name), do))
    if library in LIBRARIES and shape is not None:
        model = build_from_library(library, rest, num_outputs, shape, settings)
    else:
        if not allow_code:
            do = hint("Pass {allow_code=True} if you trust it.")
            raise UsageError(say("name", "not run code", repr(name), do))
        model = build_from_callable(name, num_outputs, settings)
    return _finished(name, model, num_outputs, shape, last)


# Families that libraries have under names of their own; ours are the reference networks.
_FAMILIES = {
    "densenet": "monai:DenseNet121",
    "resnet": "torchvision:resnet18 or timm:resnet18",
    "efficientnet": "timm:efficientnet_b0",
    "vit": "timm:vit_small_patch16_224",
    "convnext": "timm:convnext_tiny",
    "mobilenet": "torchvision:mobilenet_v3_small",
    "vgg": "vgg16 or vgg16_bn",
}


def _elsewhere(name: str) -> str:
    """Return where a network of another library is to be had, or ""."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    if difflib.get_close_matches(name, _OWN, cutoff=0.85):
        return ""  # a slip of the pen: resnet23
    for family, known in _FAMILIES.items():
        if plain.startswith(family):
            number = re.sub(r"\D", "", plain)
            if family == "densenet" and number:
                known = f"monai:DenseNet{number}"
            return f"Networks of libraries are named with them: {known}."
    return ""


def _finished(
    name: str, model: nn.Module, num_outputs: int, shape: Shape | None, last: Mapping[str, Any]
) -> nn.Module:
    """Give a foreign network the last layer that was asked for, and try it."""
    example, cosine = _example(name, shape), last["head"] == "cosine"
    if example is None:
        if cosine:
            do = "It shows which layer is the last."
            raise UsageError(say("input_shape", "be given for a cosine head", None, do))
        return model
    outputs = None if cosine else run_once(model, example)
    if isinstance(outputs, Tensor) and tuple(outputs.shape) == (1, num_outputs):
        return model
    scale = float(last["scale"])
    return replace_head(
        model, num_outputs, example_input=example, cosine=cosine, scale=scale if cosine else 1.0
    )


def _shape(name: str, given: Sequence[int] | None) -> Shape | None:
    library, colon, _ = name.partition(":")
    if given is None:
        if name in ("lstm", "mlp"):
            example = "(7, 128) for steps and features" if name == "lstm" else "(64,)"
            raise UsageError(say("input_shape", f"be given for '{name}'", None, f"E.g. {example}."))
        return (_LARGE if library in LIBRARIES else None) if colon else _SMALL
    if isinstance(given, int):
        raise UsageError(say("input_shape", "be a sequence of sizes", given, f"Pass ({given},)."))
    shape = tuple(int(size) for size in given)
    if not shape or min(shape) < 1:
        raise UsageError(say("input_shape", "hold sizes >= 1", shape, "Leave the rows out."))
    return shape


def _example(name: str, shape: Shape | None) -> Tensor | None:
    """Return one row of zeros in the form that the network takes."""
    if shape is None:
        return None
    return torch.zeros(1, *((1, shape[0]) if name == "lstm" and len(shape) == 1 else shape))


def _load(model: nn.Module, path: str | Path, example: Tensor | None) -> None:
    """Load all weights but those of a last layer that differs."""
    report = load_weights(model, path, strict=False, skip_mismatched=True)
    last = "head" if example is None else find_last_layer(model, example)
    names = (*report.missing, *report.unexpected, *report.mismatched)
    outside = [n for n in names if not n.startswith(f"{last}.")]
    # Elsewhere the last layer may have another name: what is left over then is a layer by itself.
    left = {n.rpartition(".")[0] for n in outside if n in report.unexpected}
    if set(outside) <= set(report.unexpected) and len(left) == 1 and report.missing:
        return
    if outside:
        do = "Only the last layer may differ; see load_weights(strict=False)."
        raise DataError(say("weights", "fit the network", f"{path}: {report}", do))
