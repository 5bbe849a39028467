"""What a Keras model says about rows, as Scores: its outputs are what loss and activation say."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from equipoise._core.messages import one_of, say
from equipoise.artifacts.correction import Correction
from equipoise.artifacts.labels import Labels
from equipoise.artifacts.scores import Scores, SplitName
from equipoise.errors import UsageError
from equipoise.keras.checks._compiled import last_activation, read_loss
from equipoise.keras.data.batches import RowBatches
from equipoise.keras.data.sequences import RaggedSequences
from equipoise.keras.losses.base import Loss

OutputKind = Literal["auto", "logits", "probabilities", "ranking"]
_KINDS: tuple[OutputKind, ...] = ("auto", "logits", "probabilities", "ranking")
_PROBABILITIES = ("sigmoid", "softmax")


def output_kind(model: Any, declared: OutputKind) -> str:
    """Return "logits", "probabilities" or "ranking", from what is declared, or compiled.

    Raises:
        UsageError: neither the last activation nor the loss tells.
    """
    if one_of("outputs", declared, _KINDS) != "auto":
        return declared
    activation = last_activation(model)
    if activation in _PROBABILITIES:
        return "probabilities"
    if activation == "linear":
        return "logits"
    from_logits = read_loss(model, "labels").from_logits
    if from_logits is None or activation:
        do = 'Say what the model returns: outputs="logits" or outputs="probabilities".'
        got = f"'auto' with activation '{activation or 'unknown'}'"
        raise UsageError(say("outputs", "be declared", got, do))
    return "logits" if from_logits else "probabilities"


def predict_rows(model: Any, x: Any, batch_size: int) -> NDArray[np.float64]:
    """Return the outputs of a model with one output for all rows, in order, (N, C)."""
    if isinstance(x, RaggedSequences):
        x = RowBatches(x, np.zeros(len(x)), batch_size=batch_size, draw="in_order")
    size = None if isinstance(x, RowBatches) else batch_size
    return np.asarray(model.predict(x, batch_size=size, verbose=0), dtype=np.float64)


def to_scores(
    model: Any,
    values: NDArray[np.float64],
    labels: Labels,
    part: SplitName,
    *,
    outputs: OutputKind,
    correction: Correction | None,
) -> Scores:
    """Return outputs as Scores; without a correction that of the model's loss is taken."""
    kind = output_kind(model, outputs)
    loss = getattr(model, "loss", None)
    if correction is None and isinstance(loss, Loss):
        correction = loss.correction()
    given: dict[str, Any] = {kind: values}
    return Scores.from_arrays(
        labels, split=part, correction=correction, check_kind=kind != "logits", **given
    )


def beside(path: str | Path, name: str) -> Path:
    """Return the file that goes with a model file: lstm.keras gives lstm.rule.json."""
    file = Path(path)
    return file.with_name(f"{file.stem}.{name}")
