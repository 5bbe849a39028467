"""What is worth seeing while training runs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from equipoise.artifacts import Labels

__all__ = ["default_recalls"]


def default_recalls(outputs: NDArray[np.floating], labels: Labels) -> list[float]:
    """Return each label's recall where an output above 0 (classes: the largest) decides.

    Args:
        outputs: (N, C), as the network gives them.
        labels: Of the same rows.

    Returns:
        C values; NaN for a class or label without positives.
    """
    truth = labels.one_hot() == 1
    if labels.kind == "multiclass":
        said = np.eye(labels.num_classes, dtype=bool)[np.argmax(outputs, axis=1)]
    else:
        said = outputs > 0
    positives = truth.sum(0)
    found = (truth & said).sum(0)
    return [float(f / p) if p else float("nan") for f, p in zip(found, positives, strict=True)]
