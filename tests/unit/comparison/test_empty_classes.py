"""Classes without rows are in no macro average, whatever they are declared for."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import confusion_matrix

from equipoise import Labels, Scores, tune
from equipoise.comparison import evaluate


def judged(width: int) -> tuple[dict[str, float], dict[str, int], Scores, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 600)
    z = np.full((600, width), -2.0) + rng.normal(size=(600, width))
    z[np.arange(600), y] += 2.0
    labels = Labels.from_array(y, kind="multiclass", names=[f"c{i}" for i in range(width)])
    prob = softmax(z, axis=1)
    half = Scores.from_arrays(labels[:300], split="val", probabilities=prob[:300])
    rest = Scores.from_arrays(labels[300:], split="test", probabilities=prob[300:])
    rule = tune(half, objective="accuracy")
    found = evaluate(rule, rest)
    macro = {name: e.value for name, e in found.overall["macro"].items()}
    return macro, found.n_evaluable, rest, rule.decide(rule.log_odds(rest))


def test_macro_specificity_is_that_of_classes_with_rows() -> None:
    for width in (3, 6):
        macro, number, scores, decided = judged(width)
        matrix = confusion_matrix(scores.labels.values, decided, labels=range(width))
        special = []
        for c in range(3):
            negatives = matrix.sum() - matrix[c].sum()
            special.append(1 - (matrix[:, c].sum() - matrix[c, c]) / negatives)
        assert macro["specificity"] == pytest.approx(np.mean(special))
        assert number["specificity"] == 3
        assert macro["recall"] == pytest.approx((np.diag(matrix)[:3] / matrix.sum(1)[:3]).mean())
        assert number["precision"] == number["log_loss"] == 3
