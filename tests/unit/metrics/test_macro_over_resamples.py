"""The macro AUC of resampled rows, as in the published benchmark, on a small synthetic set."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.golden_auc import resampled
from sklearn.metrics import roc_auc_score

from equipoise.metrics import macro_average, macro_influence, roc_auc, roc_auc_influence


def test_resamples_are_those_of_scikit_learn_and_of_influence_values() -> None:
    rng = np.random.default_rng(0)
    y = (rng.random((400, 6)) < np.geomspace(0.01, 0.4, 6)).astype(np.uint8)
    s = (rng.normal(size=y.shape) + 1.5 * y).astype(np.float32)
    rows = rng.integers(0, 400, (300, 400)).astype(np.int16)
    found = resampled(y, s, rows)
    for value, picked in zip(found[:20], rows[:20], strict=True):
        truth, score = y[picked], s[picked]
        seen = [c for c in range(6) if 0 < truth[:, c].sum() < 400]
        slow = np.mean([roc_auc_score(truth[:, c], score[:, c]) for c in seen])
        assert value == pytest.approx(slow, abs=1e-12)
    parts = [roc_auc_influence(y[:, c], s[:, c]) for c in range(6)]
    macro = macro_influence(parts, 400)
    assert macro.value == pytest.approx(macro_average(roc_auc(y, s)).value, abs=1e-12)
    assert macro.standard_error() == pytest.approx(found.std(ddof=1), rel=0.25)
