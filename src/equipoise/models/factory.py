"""From the name of a network to a network: our own, MONAI's, torchvision's, timm's or a user's."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from equipoise._core.words import closest, one_of, say
from equipoise.errors import DataError, UsageError
from equipoise.models._head import Head, require_sizes
from equipoise.models._torch import cuda_devices
from equipoise.models.foreign import LIBRARIES, build_from_callable, build_from_library
from equipoise.models.last_layer import find_last_layer, replace_head, run_once
from equipoise.models.lstm import LSTMClassifier
from equipoise.models.mlp import MLP
from equipoise.models.resnet import ResNet32
from equipoise.models.vgg import VGG16
from equipoise.models.weights import load_weights

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
        raise UsageError(say("name", "be a known network", repr(name), closest(name, MODEL_NAMES)))
    if library in LIBRARIES and shape is not None:
        model = build_from_library(library, rest, num_outputs, shape, settings)
    else:
        if not allow_code:
            do = "Pass allow_code=True (--allow-code) if you trust it."
            raise UsageError(say("name", "not run code", repr(name), do))
        model = build_from_callable(name, num_outputs, settings)
    return _finished(name, model, num_outputs, shape, last)


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
