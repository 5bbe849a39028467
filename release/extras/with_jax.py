"""Extra jax: the Keras side on JAX."""

import os

os.environ["KERAS_BACKEND"] = "jax"
import with_keras  # noqa: F401
