"""The posted network: LSTM and dense layers of a binary model, frozen, and a head for 23 labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.keras._keras import keras
from examples.keras_sequences.data import BINARY, FEATURES, Case

BODY, HEAD = (160, 128, 128, 64), (64, 64, 64, 64)


def make_body() -> Any:
    """Return LSTM 192 and dense layers of 160, 128, 128 and 64: 322,784 parameters."""
    steps = keras.Input((None, FEATURES), name="steps")
    hidden = keras.layers.Masking()(steps)
    hidden = keras.layers.LSTM(192)(hidden)
    for width in BODY:
        hidden = keras.layers.Dense(width, activation="relu")(hidden)
    return keras.Model(steps, hidden, name="body")


def make_head(labels: int = 23, *, activation: str | None = None) -> Any:
    """Return four dense layers of 64 with dropout, one of 32, and one output per label.

    19,479 parameters for 23 labels.
    """
    layers: list[Any] = [keras.Input((BODY[-1],), name="features")]
    for width in HEAD:
        layers += [keras.layers.Dense(width, activation="relu"), keras.layers.Dropout(0.2)]
    layers += [keras.layers.Dense(32, activation="relu")]
    layers += [keras.layers.Dense(labels, activation=activation)]
    return keras.Sequential(layers, name="head")


def join(body: Any, head: Any) -> Any:
    """Return the whole network: 342,263 parameters."""
    steps = keras.Input((None, FEATURES), name="sequence")
    return keras.Model(steps, head(body(steps)))


def train_body(case: Case, *, epochs: int = 4) -> Any:
    """Return the body of a binary model, trained to tell label 22 from all else, and frozen."""
    body = make_body()
    steps = keras.Input((None, FEATURES))
    model = keras.Model(steps, keras.layers.Dense(1)(body(steps)))
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    target = (case.labels.values[:, BINARY] == 1).astype(np.float32)
    model.fit(case.padded, target[:, None], batch_size=128, epochs=epochs, verbose=0)
    body.trainable = False
    return body


def features_of(body: Any, padded: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the body says about every row, (N, 64): frozen, it says the same each epoch."""
    return np.asarray(body.predict(padded, batch_size=512, verbose=0), dtype=np.float32)
