"""Transfer learning in Keras: freeze, hold batch norm, start the last bias from the prior."""

from __future__ import annotations

from typing import Any

import numpy as np

from equipoise._core.messages import closest, say
from equipoise.artifacts.labels import Labels
from equipoise.errors import ShapeError, UsageError
from equipoise.keras._keras import keras
from equipoise.labels.loss_settings import prior_bias


def prepare_transfer(
    model: Any,
    frozen: Any,
    labels: Labels | None = None,
    *,
    smoothing: float = 1.0,
) -> tuple[int, int]:
    """Freeze layers, hold all batch norm in inference mode, and start from the prior.

    Use before ``compile``, with features that were trained on a related task. Batch norm is held in
    all of the model: a layer that is frozen in Keras runs in inference mode even where the model is
    called with ``training=True``, so its means and variances stay those of the first task.

    Args:
        model: A built Keras model; changed in place.
        frozen: What to freeze: a layer, a model inside (or one whose outputs this one was built
            on), a name, or several of them; all other layers are unfrozen, batch norm excepted.
        labels: Of the training rows alone; None leaves the bias of the last layer as it is.
        smoothing: Added to the counts of either side; keeps empty labels finite.

    Returns:
        Trainable parameters, and all of them.

    Raises:
        UsageError: a name that no layer has, or a model without weights yet.
        ShapeError: the last layer has no bias of one entry per label.

    Note:
        Compile afterwards. The prior bias suits losses without a margin or a prior of their own.

    Example:
        >>> net = keras.Sequential(
        ...     [keras.Input((4,)), keras.layers.Dense(3, name="body"), keras.layers.Dense(1)]
        ... )
        >>> labels = Labels.from_array([[1], [0], [0]], kind="multilabel")
        >>> prepare_transfer(net, ["body"], labels)
        (4, 19)
        >>> net.layers[-1].get_weights()[1].astype(float).round(3).tolist()
        [-0.405]
    """
    if not model.built:
        do = "Call it on a batch, or begin it with keras.Input."
        raise UsageError(say("model", "be built", "no weights yet", do))
    layers = {layer.name: layer for layer in _leaves(model)}
    outer = {layer.name: layer for layer in model.layers}
    named: list[str] = []
    for part in [frozen] if isinstance(frozen, (str, keras.layers.Layer)) else frozen:
        if isinstance(part, keras.Model) and part.name not in outer:
            # Built on by its outputs: its layers are in this model, and it is not.
            named += [layer.name for layer in _leaves(part)]
        else:
            named.append(part if isinstance(part, str) else part.name)
    for name in named:
        if name not in layers and name not in outer:
            raise UsageError(say("frozen", "name layers", repr(name), closest(name, layers)))
    for layer in layers.values():
        layer.trainable = True
    for name in named:
        found = layers.get(name, outer.get(name))
        found.trainable = False  # type: ignore[union-attr]
    for layer in layers.values():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    if labels is not None:
        initialise_prior_bias(list(layers.values())[-1], labels, smoothing=smoothing)
    free = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    return free, sum(int(np.prod(w.shape)) for w in model.weights)


def _leaves(model: Any) -> list[Any]:
    """Return the layers with weights, in order, those of models inside too."""
    found = []
    for layer in model.layers:
        found += _leaves(layer) if isinstance(layer, keras.Model) else [layer]
    return [layer for layer in found if layer.weights]


def initialise_prior_bias(layer: Any, labels: Labels, *, smoothing: float = 1.0) -> None:
    """Set the bias of the last layer so that training starts from the prior.

    Use with rare labels: the first steps then do not go into learning how rare they are.

    Args:
        layer: With a ``bias`` of one entry per class or label, for example ``Dense``; built.
        labels: Of the training rows alone.
        smoothing: Added to the counts of either side, > 0.

    Raises:
        ShapeError: the layer has no bias, or one of another size.

    Example:
        >>> layer = keras.layers.Dense(1)
        >>> layer.build((None, 3))
        >>> initialise_prior_bias(layer, Labels.from_array([[1], [0], [0]], kind="multilabel"))
        >>> layer.get_weights()[1].astype(float).round(3).tolist()
        [-0.405]
    """
    wanted = prior_bias(labels, smoothing=smoothing)
    bias = getattr(layer, "bias", None)
    got = None if bias is None else tuple(bias.shape)
    if bias is None or got != wanted.shape:
        do = "Pass the last layer, built with a bias and one output per class or label."
        raise ShapeError(say("layer.bias", f"have shape {wanted.shape}", got, do))
    bias.assign(wanted.astype(np.float32))
