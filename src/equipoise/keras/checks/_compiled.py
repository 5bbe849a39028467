"""What a compiled Keras model holds: its loss, its metrics, its last activation, what it trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from equipoise._core.messages import say
from equipoise._core.targets import IGNORE_INDEX
from equipoise.errors import UsageError
from equipoise.keras._keras import keras
from equipoise.keras.losses.base import Loss

_FOR = {
    "binarycrossentropy": "labels",
    "binaryfocalcrossentropy": "labels",
    "categoricalcrossentropy": "one_hot",
    "categoricalfocalcrossentropy": "one_hot",
    "sparsecategoricalcrossentropy": "index",
}
_SCALING = 8.0
_SAME = (
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.Masking,
    keras.layers.Permute,
    keras.layers.Reshape,
)


@dataclass(frozen=True, slots=True)
class CompiledLoss:
    """What is known of a compiled loss.

    Args:
        name: To call it by.
        targets: "labels", "one_hot", "index", "classes" (either of the two), or "" if unknown.
        from_logits: Whether it takes logits; None if unknown.
        masks: Whether it leaves unknown targets out; None if unknown.
        cosines: Whether it multiplies outputs by a large factor, as margin losses do.
    """

    name: str
    targets: str
    from_logits: bool | None
    masks: bool | None
    cosines: bool = False


def plain_name(identifier: Any) -> str:
    """Return the name of a loss or metric without case and underscores."""
    name = identifier if isinstance(identifier, str) else getattr(identifier, "__name__", "")
    return (name or type(identifier).__name__).lower().replace("_", "")


def read_loss(model: Any, targets: str) -> CompiledLoss:
    """Read the loss of a model with one output; ``targets`` is what the labels are.

    Raises:
        UsageError: nothing compiled, or several outputs.
    """
    if not getattr(model, "compiled", False) or getattr(model, "loss", None) is None:
        do = "Call model.compile(loss=...) first."
        raise UsageError(say("model", "be compiled with a loss", "none", do))
    given = model.loss
    while isinstance(given, (list, tuple, dict)) and not isinstance(given, str):
        parts = list(given.values()) if isinstance(given, dict) else list(given)
        if len(parts) != 1:
            do = "Check one output at a time: a model of that output alone."
            raise UsageError(say("model", "have one output and loss", f"{len(parts)} losses", do))
        given = parts[0]
    if isinstance(given, str) and plain_name(given) in ("crossentropy", "ce"):
        given = "sparse_categorical_crossentropy" if targets == "index" else given
        given = "categorical_crossentropy" if given in ("crossentropy", "ce") else given
    made = keras.losses.get(given)
    if isinstance(made, Loss):
        kind = "labels" if made.kind == "multilabel" else "classes"
        scaling = getattr(made, "scale", 1.0) > _SCALING
        return CompiledLoss(type(made).__name__, kind, made.from_logits, True, scaling)
    wanted = _FOR.get(plain_name(made), "")
    logits = bool(getattr(made, "from_logits", False)) if wanted else None
    name = getattr(made, "__name__", type(made).__name__)
    # Keras' own word for it; only its sparse loss has one.
    masks = getattr(made, "ignore_class", None) == IGNORE_INDEX
    return CompiledLoss(str(name), wanted, logits, masks if wanted else None)


def compiled_metrics(model: Any) -> list[Any]:
    """Return the metrics as they were handed to ``compile``, weighted ones included."""
    config = getattr(getattr(model, "_compile_config", None), "config", {})
    found: list[Any] = []
    for key in ("metrics", "weighted_metrics"):
        found += _flat(config.get(key))
    return found


def _flat(given: Any) -> Iterator[Any]:
    if given is None:
        return
    if isinstance(given, dict):
        given = list(given.values())
    if isinstance(given, Sequence) and not isinstance(given, str):
        for part in given:
            yield from _flat(part)
        return
    yield given


def last_activation(model: Any) -> str:
    """Return the name of what stands at the end, "linear" for raw outputs, "" if unknown.

    A functional or sequential model tells its last operation; a subclass with a ``call`` of its
    own does not.
    """
    outputs = getattr(model, "outputs", None)
    if not outputs or len(outputs) != 1:
        return ""
    operation = outputs[0]._keras_history.operation
    while isinstance(operation, _SAME):
        operation = operation.input._keras_history.operation
    return _activation_of(operation)


def ends_in_plain_dense(model: Any) -> bool:
    """Return whether the last layer is a Dense on features that are not normalised."""
    outputs = getattr(model, "outputs", None)
    if not outputs or len(outputs) != 1:
        return False
    operation = outputs[0]._keras_history.operation
    while isinstance(operation, _SAME):
        operation = operation.input._keras_history.operation
    if not isinstance(operation, keras.layers.Dense):
        return False
    before = operation.input._keras_history.operation
    return not isinstance(before, keras.layers.UnitNormalization)


def _activation_of(operation: Any) -> str:
    if isinstance(operation, keras.layers.TimeDistributed):
        return _activation_of(operation.layer)
    if isinstance(operation, keras.Model):
        return last_activation(operation)
    if isinstance(operation, keras.layers.Softmax):
        return "softmax"
    activation = getattr(operation, "activation", None)
    if callable(activation):
        return str(getattr(activation, "__name__", ""))
    name = type(operation).__name__.lower()
    return name if name in ("sigmoid", "softmax", "logsoftmax") else ""


def changed_layers(model: Any) -> list[str]:
    """Return the layers whose ``trainable`` is no longer what it was when compiled."""
    then = getattr(model, "_compiled_trainable_state", {})
    layers = model._flatten_layers() if hasattr(model, "_flatten_layers") else model.layers
    # A container says what its layers say.
    return [
        layer.name
        for layer in layers
        if not isinstance(layer, keras.Model)
        and then.get(layer, layer.trainable) != layer.trainable
    ]
