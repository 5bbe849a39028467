"""Laws over all metrics: what cannot be judged is NaN, never 0, and unknown rows do not count."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from equipoise import metrics
from equipoise.errors import DataError, ShapeError

RANKING = {
    "average_precision": metrics.average_precision,
    "roc_auc": metrics.roc_auc,
    "best_f_beta": metrics.best_f_beta,
    "partial_roc_auc": partial(metrics.partial_roc_auc, max_fpr=0.3),
    "recall_at_fpr": partial(metrics.recall_at_fpr, fpr=0.2),
    "precision_at_top": partial(metrics.precision_at_top, fraction=0.2),
}
FLAGS = {
    "precision": metrics.precision,
    "recall": metrics.recall,
    "f_beta": metrics.f_beta,
    "specificity": metrics.specificity,
    "balanced_accuracy_per_label": metrics.balanced_accuracy_per_label,
    "matthews_corrcoef": metrics.matthews_corrcoef,
    "flagged_rate": metrics.flagged_rate,
    "expected_cost": partial(metrics.expected_cost, false_positive=1.0, false_negative=5.0),
}
PROBABILITY = {
    "log_loss": metrics.log_loss,
    "brier_score": metrics.brier_score,
    "brier_skill": metrics.brier_skill,
    "calibration_ratio": metrics.calibration_ratio,
}
ALL: dict[str, Callable[..., Any]] = RANKING | FLAGS | PROBABILITY
NEEDS_POSITIVES = ["recall", "f_beta", "balanced_accuracy_per_label", "calibration_ratio"]
# Records, parts of intervals, and metrics of another form; each has tests of its own.
OTHER = {
    "mean_over_folds",
    "CalibrationLine", "Decomposition", "Influence", "MacroAverage", "Measures", "MicroAverage",
    "average_precision_influence", "balanced_accuracy_influence", "macro_influence",
    "matthews_influence", "ratio_influence", "roc_auc_influence",
    "bootstrap_interval", "boyd_interval", "gap_bootstrap",
    "half_row_interval", "holm", "influence_interval", "pair_over_seeds", "reliability_band",
    "share_interval", "wilson_interval",
    "balanced_accuracy", "confusion_matrix", "expected_cost_of_classes",
    "group_averages", "macro_average", "micro_average", "samples_f_beta", "worst_label",
    "calibration_line", "decompose_brier", "reliability_curve", "stratified_brier",
    "label_confusion", "measure_labels", "net_benefit", "operating_point", "rank_labels",
    "rank_positives",
}  # fmt: skip

every = pytest.mark.parametrize("name", ALL)


def inputs(name: str, n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    y, p = rng.integers(0, 2, (n, 3)), rng.random((n, 3))
    return y, (p > 0.5).astype(int) if name in FLAGS else p


def test_every_public_metric_is_under_the_laws() -> None:
    assert set(ALL) | OTHER == set(metrics.__all__)


@every
def test_unknown_rows_do_not_count(name: str) -> None:
    y, values = inputs(name)
    hidden = y.copy()
    hidden[::3] = -1
    known = np.arange(len(y)) % 3 != 0
    np.testing.assert_array_equal(ALL[name](hidden, values), ALL[name](y[known], values[known]))
    as_nan = np.where(hidden < 0, np.nan, hidden)
    np.testing.assert_array_equal(ALL[name](hidden, values), ALL[name](as_nan, values))


@every
def test_nothing_known_is_nan(name: str) -> None:
    y, values = inputs(name)
    assert np.isnan(ALL[name](np.full_like(y, -1), values)).all()


@pytest.mark.parametrize("name", [*RANKING, *NEEDS_POSITIVES])
def test_no_positives_is_nan(name: str) -> None:
    y, values = inputs(name)
    assert np.isnan(ALL[name](0 * y, values)).all()


@every
def test_the_order_of_rows_does_not_matter(name: str) -> None:
    y, values = inputs(name)
    order = np.random.default_rng(0).permutation(len(y))
    np.testing.assert_allclose(ALL[name](y, values), ALL[name](y[order], values[order]), rtol=1e-12)


@every
def test_one_label_is_a_column(name: str) -> None:
    y, values = inputs(name)
    alone = np.ravel(ALL[name](y[:, 1], values[:, 1]))
    np.testing.assert_allclose(alone, ALL[name](y, values)[1:2], rtol=1e-14)


@every
def test_inputs_stay_as_they_are(name: str) -> None:
    y, values = inputs(name)
    before = y.copy(), values.copy()
    ALL[name](y, values)
    assert np.array_equal(y, before[0])
    assert np.array_equal(values, before[1])


@every
def test_shapes_that_differ_are_refused(name: str) -> None:
    y, values = inputs(name)
    with pytest.raises(ShapeError, match=r"must have shape .* entry of `y_true`"):
        ALL[name](y, values[:-1])


KIND_MESSAGE = dict.fromkeys(FLAGS, "flags 0 or 1") | dict.fromkeys(PROBABILITY, r"in \[0, 1\]")


@pytest.mark.parametrize(("name", "text"), KIND_MESSAGE.items())
def test_other_kinds_of_scores_are_refused(name: str, text: str) -> None:
    y, _ = inputs(name)
    with pytest.raises(DataError, match=text):
        ALL[name](y, np.full(y.shape, 1.5))


@pytest.mark.parametrize("bad", [[0, 5], [0, -1], [0.5, 1.0]])
def test_classes_outside_are_refused(bad: list[float]) -> None:
    for call in (metrics.confusion_matrix, metrics.balanced_accuracy):
        with pytest.raises(DataError, match=r"classes in \[0, 3\)"):
            call([0, 1], bad, num_classes=3)
    assert np.isnan(metrics.balanced_accuracy([], [], num_classes=3))


def test_reliability_of_nothing_is_empty() -> None:
    assert [part.size for part in metrics.reliability_curve([-1], [0.5])] == [0, 0, 0]
