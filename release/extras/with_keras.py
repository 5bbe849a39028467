"""Extra keras: a model compiled with a loss of labels; Keras brings no backend, torch is one."""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")
import keras
import numpy as np

from equipoise.keras.losses import AsymmetricLoss

rng = np.random.default_rng(0)
x = rng.normal(size=(64, 4)).astype("float32")
hot = (x[:, :2] > 0.5).astype("float32")
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
model.compile("adam", AsymmetricLoss())
history = model.fit(x, hot, epochs=3, verbose=0).history["loss"]
assert history[-1] < history[0]
