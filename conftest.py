"""Before anything imports Keras: its tests and examples run on torch unless told otherwise."""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")
