"""Check a compiled Keras model against its targets before ``fit``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from equipoise._core.messages import listed
from equipoise._core.targets import IGNORE_INDEX
from equipoise.artifacts.finding import Finding, in_order
from equipoise.artifacts.labels import UNKNOWN, Labels
from equipoise.diagnosis import diagnose
from equipoise.diagnosis._registry import finding
from equipoise.keras.checks._compiled import (
    CompiledLoss,
    changed_layers,
    compiled_metrics,
    ends_in_plain_dense,
    last_activation,
    read_loss,
)
from equipoise.keras.checks._targets import Targets, read_targets
from equipoise.keras.checks.metrics import misfits

_SQUASHED = {
    "sigmoid": "sigmoid",
    "hard_sigmoid": "sigmoid",
    "softmax": "softmax",
    "sparsemax": "softmax",
}
_LABELS_FOUND = ("EQ101", "EQ105")
_KINDS = {
    "labels": "several independent labels per row",
    "one_hot": "one-hot classes",
    "index": "class indices",
    "classes": "one class per row",
}


def check_model(
    model: Any, y: Labels | ArrayLike, *, class_weight: Mapping[int, float] | None = None
) -> list[Finding]:
    """Find what would spoil ``fit`` without an error, from the compiled model and the targets.

    Use after ``compile`` and before ``fit``, with the ``class_weight`` that ``fit`` is to get.
    Nothing is run and nothing changed.

    Args:
        model: A compiled Keras model with one output.
        y: Targets of the training rows: `Labels`; (N,) class indices; (N, L) multi-hot or one-hot
            with -1 for unknown; (N, T) class indices, (N, T, 1) or (N, T, L) for steps, pixels
            likewise.
        class_weight: As for ``fit``: class -> weight.

    Returns:
        Findings, errors first. Of the set-up: squashed before a loss on logits (EQ301), raw outputs
        into a loss on probabilities (EQ302), output width (EQ304), nothing trainable (EQ305),
        ``class_weight`` with several labels (EQ312), metrics for another kind of target (EQ313),
        softmax over independent labels (EQ314), ``trainable`` changed since ``compile`` (EQ315),
        frozen share (EQ316), loss for another kind of target (EQ317), loss and activation of
        different kinds (EQ318), unknown targets taken for numbers (EQ319), a loss of cosines on
        raw outputs (EQ322). Of the labels: none to
        learn from (EQ101), accuracy of the all-zeros answer (EQ105).

    Raises:
        UsageError: nothing compiled, or several outputs.
        DataError: targets that are neither classes nor 0, 1 and unknown.

    Note:
        What a subclassed model with its own ``call`` ends in cannot be seen; checks that need the
        last activation step aside.

    Example:
        >>> import keras
        >>> net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="sigmoid")])
        >>> net.compile(loss="binary_crossentropy", metrics=["categorical_accuracy"])
        >>> y = np.array([[1, 1], [0, 1], [0, 0], [1, 0]])
        >>> [f.code for f in check_model(net, y, class_weight={0: 1.0, 1: 9.0})]
        ['EQ312', 'EQ313']
    """
    targets = read_targets(_classes_last(y, model), _output_shape(model))
    loss = read_loss(model, targets.kind)
    activation = last_activation(model)
    found = [
        *_width(model, targets),
        *_scales(loss, activation),
        *_cosines(loss, model),
        *_kinds(loss, activation, targets),
        *_unknown(loss, targets),
        *_weights(class_weight, targets),
        *_metrics(model, targets),
        *_trained(model),
        *_of_labels(targets),
    ]
    return in_order(found)


def _output_shape(model: Any) -> tuple[int | None, ...]:
    """Return the shape of the outputs, () where it is not known."""
    shape = getattr(model, "output_shape", None) if getattr(model, "built", False) else None
    if not isinstance(shape, tuple):
        return ()
    axis = _class_dim(model)
    return shape if axis >= len(shape) else (*shape[:axis], *shape[axis + 1 :], shape[axis])


def _class_dim(model: Any) -> int:
    """Return the axis that the loss reads classes or labels from; a large one for the last."""
    said = getattr(getattr(model, "loss", None), "class_dim", -1)
    return said if isinstance(said, int) and said >= 1 else sys.maxsize


def _classes_last(y: Labels | ArrayLike, model: Any) -> Labels | ArrayLike:
    """Return targets with their labels or shares where :func:`_output_shape` has the outputs."""
    axis = _class_dim(model)
    if isinstance(y, Labels) or axis == sys.maxsize:
        return y
    array = np.asarray(y)
    same = array.ndim == len(_output_shape(model))
    return np.moveaxis(array, axis, -1) if same and axis < array.ndim else array


def _width(model: Any, targets: Targets) -> list[Finding]:
    have = (_output_shape(model) or (None,))[-1]
    enough = targets.kind == "index" and isinstance(have, int) and have >= targets.width
    if not isinstance(have, int) or have == targets.width or enough:
        return []
    what = "classes" if targets.kind == "index" else "columns of targets"
    return [
        finding(
            "EQ304",
            f"The model has {have} outputs for {targets.width} {what}.",
            {"outputs": have, "labels": targets.width},
            "Give the last layer one output per class or label.",
        )
    ]


def _scales(loss: CompiledLoss, activation: str) -> list[Finding]:
    evidence = {"loss": loss.name, "from_logits": loss.from_logits, "activation": activation}
    if not activation or loss.from_logits is None:
        return []
    squash = _SQUASHED.get(activation)
    if loss.from_logits and squash:
        message = (
            f"{loss.name} takes logits, but the model ends in {activation}: outputs stay within 0 "
            "to 1, so probabilities cannot leave 0.5 to 0.731 (for classes: none gets far ahead)."
        )
        todo = "Pass from_logits=False, or better: leave the activation out and keep the loss."
        return [finding("EQ301", message, evidence, todo)]
    if not loss.from_logits and not squash:
        message = (
            f"{loss.name} takes probabilities, but the model ends in {activation}: outputs are "
            "clipped to 0 to 1, and those outside get no gradient."
        )
        return [finding("EQ302", message, evidence, "Pass from_logits=True to the loss.")]
    return []


def _cosines(loss: CompiledLoss, model: Any) -> list[Finding]:
    if not loss.cosines or not ends_in_plain_dense(model):
        return []
    message = (
        f"{loss.name} multiplies outputs as margin losses do with cosines, but the last layer is a "
        "Dense of its own scale: the loss runs away or saturates within a few steps."
    )
    todo = (
        "End in UnitNormalization() and Dense(C, use_bias=False, "
        "kernel_constraint=keras.constraints.UnitNorm(axis=0)); or set scale=1."
    )
    return [finding("EQ322", message, {"loss": loss.name}, todo)]


def _kinds(loss: CompiledLoss, activation: str, targets: Targets) -> list[Finding]:
    squash = _SQUASHED.get(activation, "")
    several = targets.kind == "labels" and targets.width > 1
    evidence = {"loss": loss.name, "activation": activation, "targets": targets.kind}
    found = []
    if several and squash == "softmax":
        rows = float(((targets.labels.values == 1).sum(1) != 1).mean())
        message = (
            f"The outputs of a row add up to 1, but {rows:.0%} of the rows have no label or more "
            "than one: no softmax can be right about those."
        )
        todo = "End in sigmoid, or in raw outputs with a loss from_logits=True."
        found.append(finding("EQ314", message, evidence, todo))
    if loss.targets and not _fits(loss.targets, targets):
        todo = (
            "Take equipoise.keras.losses.BCELoss, or PosWeightBCELoss with weights."
            if several
            else "Take a loss for classes: SoftmaxFocalLoss or LogitAdjustedLoss take either form."
        )
        message = f"{loss.name} is for {_KINDS[loss.targets]}; the targets hold {targets}."
        found.append(finding("EQ317", message, evidence, todo))
    elif loss.targets in ("one_hot", "index", "classes") and squash == "sigmoid":
        message = (
            f"{loss.name} expects the outputs of a row to add up to 1, but the model ends in "
            f"{activation}: Keras divides them by their sum, and their size means nothing."
        )
        found.append(finding("EQ318", message, evidence, "End in softmax for one class per row."))
    elif loss.targets == "labels" and squash == "softmax" and not several:
        message = (
            f"{loss.name} judges every output by itself, but the model ends in softmax: a "
            "probability can only rise where another falls."
        )
        todo = "Take categorical cross entropy for one class per row, or end in sigmoid."
        found.append(finding("EQ318", message, evidence, todo))
    return found


def _fits(wanted: str, targets: Targets) -> bool:
    if wanted == "classes":
        return targets.kind in ("one_hot", "index")
    if targets.kind == "one_hot":
        return wanted in ("one_hot", "labels")
    return wanted == targets.kind


def _unknown(loss: CompiledLoss, targets: Targets) -> list[Finding]:
    values = targets.values
    if targets.kind == "labels":
        unknown, of = int((targets.labels.values == UNKNOWN).sum()), targets.labels.values.size
        what = "the loss of -1 falls without end as the output goes to 0, and NaN makes it NaN"
        todo = "Take equipoise.keras.losses.BCELoss or another of its losses for labels."
    else:
        unknown, of = int((values == IGNORE_INDEX).sum()), values.size
        what = "-100 is no class"
        todo = "Take a loss of equipoise.keras.losses, or ignore_class=-100 where Keras has it."
    if not unknown or loss.masks is not False:
        return []
    message = (
        f"{unknown:,} targets ({unknown / of:.1%}) are unknown, and {loss.name} takes them for "
        f"numbers: {what}."
    )
    return [finding("EQ319", message, {"unknown": unknown, "loss": loss.name}, todo)]


def _weights(class_weight: Mapping[int, float] | None, targets: Targets) -> list[Finding]:
    if not class_weight:
        return []
    if targets.steps:
        return [_weights_of_steps(targets)]
    if targets.kind != "labels" or targets.width == 1:
        return []
    names, hot = targets.labels.names, targets.labels.values
    first = np.argmax(targets.values, axis=1)
    positives = (hot == 1).sum(0)
    own = np.array([((hot[:, k] == 1) & (first == k)).sum() for k in range(targets.width)])
    lost = [
        f"{names[k]} ({own[k]} of {positives[k]})"
        for k in np.flatnonzero(own < positives)
        if k in class_weight
    ]
    empty = int((hot != 1).all(1).sum())
    message = (
        "Keras takes the first label of a row for its class and weights the whole row by it, every "
        f"label and every negative alike. {empty:,} rows without a label would get the weight of "
        f"'{names[0]}' ({class_weight.get(0, 1.0):g})."
    )
    if lost:
        message += f" Positives that would get their own label's weight: {listed(lost)}."
    return [
        finding(
            "EQ312",
            message,
            {
                "rows_without_label": empty,
                "positives": dict(zip(names, positives.tolist(), strict=True)),
                "positives_with_own_weight": dict(zip(names, own.tolist(), strict=True)),
            },
            "Leave class_weight out; weight positives in the loss: "
            "equipoise.keras.losses.PosWeightBCELoss.from_label_counts(labels, power=0.5, cap=10, "
            'zero_counts="ignore").',
            "Or weight whole rows on purpose: equipoise.keras.row_sample_weights(labels).",
        )
    ]


def _weights_of_steps(targets: Targets) -> Finding:
    """Say what Keras 3.15 does with ``class_weight`` where rows hold many targets."""
    columns = len(targets.shape) > 2
    does = (
        "raises TypeError at the first batch"
        if columns
        else "takes the place of the largest number of a row for its class and weights the whole "
        "row by it, where it does not fail"
    )
    return finding(
        "EQ312",
        f"class_weight gives each row one weight, by its class, and a row of these targets "
        f"{targets.shape} holds {len(targets.values) // targets.shape[0]:,} of them: Keras {does}.",
        {"shape": list(targets.shape)},
        "Leave class_weight out; weigh in the loss: a class-weighted loss of "
        "equipoise.keras.losses takes steps as they are.",
        "Or pass sample_weight of shape (N, T), with the weight of each step's class.",
    )


def _metrics(model: Any, targets: Targets) -> list[Finding]:
    wrong = misfits(compiled_metrics(model), targets)
    if not wrong:
        return []
    each = "; ".join(f"{name} {why}" for name, why in wrong.items())
    todo = "Use equipoise.keras.metrics: AveragePrecision, LabelRecall, LabelFBeta with thresholds."
    return [finding("EQ313", f"Compiled metrics: {each}.", {"metrics": wrong}, todo)]


def _trained(model: Any) -> list[Finding]:
    found = []
    total = sum(int(np.prod(w.shape)) for w in model.weights)
    free = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    evidence = {"parameters": total, "trainable": free}
    changed = changed_layers(model)
    if changed:
        message = (
            f"`trainable` was changed since compile in {listed(changed)}. After a first fit Keras "
            "3.15 then fails on weights its optimizer does not know, or goes on with the state it "
            "had, and does not warn."
        )
        found.append(
            finding("EQ315", message, {"layers": changed}, "Call model.compile(...) again.")
        )
    if total and not free:
        message = f"None of {total:,} parameters would be trained: all are frozen."
        todo = "Unfreeze the last layers: layer.trainable = True, then compile again."
        found.append(finding("EQ305", message, evidence, todo))
    elif any(layer.weights and not layer.trainable for layer in model.layers):
        message = (
            f"{free:,} of {total:,} parameters would be trained ({free / total:.1%}). That may "
            "limit what can be learnt; labels missed at a cut of 0.5 are no sign of it."
        )
        todo = "Compare with an arm that unfreezes, with thresholds tuned for both."
        found.append(finding("EQ316", message, evidence, todo))
    return found


def _of_labels(targets: Targets) -> list[Finding]:
    return [f for f in diagnose(targets.labels) if f.code in _LABELS_FOUND]
