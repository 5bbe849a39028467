"""One label alone is two classes to a sampler: rows with it and rows without."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_positive
from equipoise._core.words import say
from equipoise.artifacts.labels import Labels
from equipoise.errors import DataError


def presence_classes(labels: Labels) -> Labels | None:
    """Return one label as classes 0 (without, or unknown) and 1; None for several, or classes."""
    if labels.kind != "multilabel" or labels.num_classes != 1:
        return None
    values = (labels.values[:, 0] == 1).astype(np.int64)
    return Labels.from_array(values, kind="multiclass", names=["without", "with"])


def by_presence(
    labels: Labels, weigh: Callable[[Labels], Floats], empty_weight: float
) -> Floats | None:
    """Weigh rows of one label as two classes, those without it times ``empty_weight``."""
    classes = presence_classes(labels)
    if classes is None:
        return None
    empty = to_positive("empty_weight", empty_weight, zero=True)
    rows = weigh(classes) * np.where(classes.values == 0, empty, 1.0)
    if not rows.any():
        raise DataError(say("empty_weight", "leave a row with a weight", empty_weight))
    return np.asarray(rows / rows.mean())
