"""Gradients on whatever backend Keras runs on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def gradient(function: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
    """Return the gradient of a scalar function of one array."""
    backend = keras.backend.backend()
    if backend == "torch":
        leaf = keras.ops.convert_to_tensor(at, dtype="float32").requires_grad_()
        function(leaf).backward()
        return np.asarray(leaf.grad)
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(function)(keras.ops.convert_to_tensor(at, dtype="float32")))
    import tensorflow as tf

    leaf = tf.Variable(at)
    with tf.GradientTape() as tape:
        value = function(leaf)
    return np.asarray(tape.gradient(value, leaf))


def number(value: Any) -> np.ndarray:
    """Return a tensor of any backend as NumPy."""
    return np.asarray(keras.ops.convert_to_numpy(value))
