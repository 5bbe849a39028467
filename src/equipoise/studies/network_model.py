"""From the model part of a training study to a network, and to the same network again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, Subset

from equipoise._core.rng import generator
from equipoise.artifacts import Labels
from equipoise.models import (
    HeadOnFeatures,
    ScaledInputs,
    find_last_layer,
    freeze,
    initialise_prior_bias,
    make_model,
)
from equipoise.studies.network_rows import TrainRows
from equipoise.studies.schema import ModelSpec
from equipoise.training import Remedy

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_SAMPLE = 2000
Scales = tuple[tuple[float, ...], tuple[float, ...]]


def input_scales(rows: TrainRows, train: NDArray[np.int64], how: str) -> Scales | None:
    """Return mean and deviation of the inputs per channel or feature.

    Args:
        rows: What is trained on.
        train: Positions of training rows; at most 2,000 of them, drawn by a fixed seed, are read.
        how: "auto", "imagenet" or "none".
    """
    if how == "none":
        first = rows.dataset[0][0]
        width = int(first.shape[0])
        return ((0.0,) * width, (1.0,) * width) if first.dtype == torch.uint8 else None
    if how == "imagenet":
        return IMAGENET
    # Every arm of a seed has the same rows, and each would read them once more.
    known = _KNOWN.setdefault(rows, {})
    key = train.tobytes()
    if key not in known:
        known[key] = _measured(rows, train)
    return known[key]


_KNOWN: WeakKeyDictionary[TrainRows, dict[bytes, Scales]] = WeakKeyDictionary()


def _measured(rows: TrainRows, train: NDArray[np.int64]) -> Scales:
    if train.size > _SAMPLE:
        train = generator(0, "input scales").choice(train, _SAMPLE, replace=False)
    count, total, square = 0, 0.0, 0.0
    loader = DataLoader(Subset(rows.dataset, train.tolist()), batch_size=1)  # sizes may differ
    for x, _ in loader:
        values = (x / 255 if x.dtype == torch.uint8 else x).double()
        flat = values.movedim(rows.axis, -1).flatten(0, -2)
        count += len(flat)
        total, square = total + flat.sum(0), square + flat.square().sum(0)
    mean = torch.as_tensor(total) / count
    variance = torch.as_tensor(square) / count - mean.square()
    # What rounding leaves of a feature that does not vary counts as no variance.
    constant = variance <= 1e-12 * mean.square() + 1e-30
    std = torch.where(constant, 1.0, variance.clamp_min(0).sqrt())
    return tuple(mean.tolist()), tuple(std.tolist())


def network_maker(
    spec: ModelSpec,
    rows: TrainRows,
    labels: Labels,
    remedy: Remedy,
    scales: Scales | None,
    *,
    allow_code: bool,
) -> Callable[[], nn.Module]:
    """Return what makes the network of a study, with torch's global state deciding its start.

    Args:
        spec: Name, settings, weights to begin with, what is frozen.
        rows: Shape of one input, and the axis that is scaled.
        labels: Of the training rows.
        remedy: Says whether the last layer returns cosines.
        scales: From :func:`input_scales`.
        allow_code: Whether "module:callable" may run.
    """
    shape = rows.input_shape

    def make() -> nn.Module:
        network = make_model(
            spec.name,
            labels.num_classes,
            input_shape=shape,
            head=remedy.head,
            weights=spec.weights,
            settings=spec.settings,
            allow_code=allow_code,
        )
        if spec.prior_bias:
            example = torch.zeros(1, *shape)
            last = network.get_submodule(find_last_layer(network, example))
            initialise_prior_bias(last, labels)
        if spec.freeze:
            freeze(network, spec.freeze)
        return network if scales is None else ScaledInputs(network, *scales, axis=rows.axis)

    return make


def build_again(build: Mapping[str, Any], *, allow_code: bool) -> nn.Module:
    """Return the network of a finished trial, its weights still to be loaded.

    Args:
        build: "build" of the trial's config, or of a head on features: "head_on_features" then
            says of which layer, and "outputs" how many the network below has.
        allow_code: Whether "module:callable" may run.
    """
    model, shape = build["model"], build["input_shape"]
    network = make_model(
        model["name"],
        build.get("outputs", len(build["names"])),
        input_shape=shape,
        head=build["head"],
        settings=_lists(model.get("settings", {})),
        seed=0,
        allow_code=allow_code,
    )
    width: Sequence[float] = [1.0] * build["scaled"]
    network = ScaledInputs(network, width, width, axis=build["axis"]) if width else network
    on = build.get("head_on_features")
    return HeadOnFeatures(network, num_classes=len(build["names"]), **on) if on else network


def _lists(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(v) if isinstance(v, list) else v for key, v in settings.items()}
