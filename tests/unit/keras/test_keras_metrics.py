"""Keras metrics equal those in NumPy, over labels that can be judged, batch by batch and in fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from equipoise import metrics as numpy_metrics
from equipoise.errors import ShapeError, UsageError
from equipoise.keras import metrics
from keras_backend import number

ROWS, LABELS = 97, 6
CUTS = [0.5, 0.2, 0.8, 0.4, 0.5, 0.6]


def table(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return truth with unknown entries and an empty label, and scores with ties."""
    random = np.random.default_rng(seed)
    truth = (random.random((ROWS, LABELS)) < [0.3, 0.05, 0.5, 0.0, 1.0, 0.1]).astype(np.float32)
    truth[1, 1] = 1.0
    truth[random.random(truth.shape) < 0.15] = -1.0
    return truth, random.random((ROWS, LABELS)).round(1).astype(np.float32)


def fed(metric: Any, truth: np.ndarray, scores: np.ndarray, size: int = 20) -> dict[str, float]:
    for start in range(0, len(truth), size):
        metric.update_state(truth[start : start + size], scores[start : start + size])
    return {key: float(number(value)) for key, value in metric.result().items()}


def oracle(name: str, truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    flags = (scores >= np.asarray(CUTS, np.float32)).astype(int)
    some = (truth == 1).any(0)
    found = {
        "ap": lambda: numpy_metrics.average_precision(truth, scores),
        "auroc": lambda: numpy_metrics.roc_auc(truth, scores),
        "recall": lambda: numpy_metrics.recall(truth, flags),
        "precision": lambda: np.where(some, numpy_metrics.precision(truth, flags), np.nan),
        "f_beta": lambda: numpy_metrics.f_beta(truth, flags, beta=2.0),
        "balanced": lambda: numpy_metrics.balanced_accuracy_per_label(truth, flags),
    }[name]()
    return np.asarray(found)


NAMES = tuple("ABCDEF")
MADE = {
    "ap": lambda: metrics.AveragePrecision(LABELS, n_rows=ROWS, names=NAMES),
    "auroc": lambda: metrics.ROCAUC(LABELS, n_rows=ROWS + 30, names=NAMES),
    "recall": lambda: metrics.LabelRecall(LABELS, thresholds=CUTS, names=NAMES),
    "precision": lambda: metrics.LabelPrecision(LABELS, thresholds=CUTS, names=NAMES),
    "f_beta": lambda: metrics.LabelFBeta(LABELS, beta=2.0, thresholds=CUTS, names=NAMES),
    "balanced": lambda: metrics.LabelBalancedAccuracy(LABELS, thresholds=CUTS, names=NAMES),
}
each = pytest.mark.parametrize("name", MADE)


@each
def test_equal_to_numpy_over_labels_that_can_be_judged(name: str) -> None:
    metric = MADE[name]()
    for seed in (0, 1):
        truth, scores = table(seed)
        found = fed(metric, truth, scores)
        expected = oracle(name, truth, scores)
        for at, label in enumerate(NAMES):
            np.testing.assert_allclose(found[f"{metric.name}/{label}"], expected[at], rtol=1e-6)
        mean = numpy_metrics.macro_average(expected)
        assert found[metric.name] == pytest.approx(mean.value, rel=1e-6)
        assert found[f"{metric.name}_labels"] == mean.n_evaluable < LABELS
        metric.reset_state()


@each
def test_config_makes_an_equal_metric(name: str) -> None:
    metric = MADE[name]()
    packed = keras.saving.serialize_keras_object(metric)
    assert packed["registered_name"] == f"equipoise>{type(metric).__name__}"
    again = keras.saving.deserialize_keras_object(packed)
    assert again.get_config() == metric.get_config()
    truth, scores = table()
    np.testing.assert_equal(fed(again, truth, scores), fed(metric, truth, scores))


@each
def test_nothing_to_judge_is_nan_and_counted(name: str) -> None:
    found = fed(MADE[name](), np.full((8, LABELS), -1.0), np.full((8, LABELS), 0.3))
    assert np.isnan([v for key, v in found.items() if not key.endswith("_labels")]).all()
    assert next(v for key, v in found.items() if key.endswith("_labels")) == 0


def test_more_rows_than_stored_say_so() -> None:
    metric = metrics.AveragePrecision(1, n_rows=10)
    truth = np.array([[1], [0]] * 6)
    assert np.isnan(fed(metric, truth, truth * 0.5, size=5)["macro_ap"])
    metric.reset_state()
    assert fed(metric, truth[:10], truth[:10] * 0.5)["macro_ap"] == 1.0
    metric.reset_state()
    assert np.isnan(fed(metric, truth, truth * 0.5, size=12)["macro_ap"])


def test_scores_that_are_no_numbers_give_nan() -> None:
    metric = metrics.ROCAUC(2, n_rows=3, names=["A", "B"])
    scores = np.array([[0.1, np.nan], [0.2, 0.3], [0.9, 0.4]])
    found = fed(metric, np.array([[0, 0], [0, 1], [1, 1]]), scores)
    assert found["macro_auroc/A"] == found["macro_auroc"] == 1.0
    assert np.isnan(found["macro_auroc/B"])


def test_weights_count_decisions_and_are_refused_for_ranking() -> None:
    metric = metrics.LabelPrecision(1)
    metric.update_state([[1], [0]], [[0.9], [0.8]], sample_weight=[3.0, 1.0])
    assert float(metric.result()["macro_precision"]) == 0.75
    with pytest.raises(UsageError, match="not weighted_metrics"):
        metrics.ROCAUC(1, n_rows=2).update_state([[1], [0]], [[0.9], [0.8]], sample_weight=[1, 1])


@pytest.mark.parametrize("one_hot", [False, True])
def test_balanced_accuracy_of_classes(one_hot: bool) -> None:
    random = np.random.default_rng(0)
    truth, scores = random.integers(0, 3, 50), random.random((50, 4))
    given = np.eye(4)[truth] if one_hot else truth
    metric = metrics.BalancedAccuracy(4, names=["a", "b", "c", "d"])
    found = fed(metric, given, scores)
    expected = numpy_metrics.balanced_accuracy(truth, scores.argmax(1), num_classes=4)
    assert found["balanced_accuracy"] == pytest.approx(expected, rel=1e-6)
    assert found["balanced_accuracy_labels"] == 3
    assert np.isnan(found["balanced_accuracy/d"])
    again = type(metric).from_config(metric.get_config())
    np.testing.assert_equal(fed(again, given, scores), found)
    with pytest.raises(UsageError, match="at least 2"):
        metrics.BalancedAccuracy(1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: metrics.LabelRecall(0), "`num_labels` must be a whole number >= 1, got 0"),
        (lambda: metrics.LabelRecall(2, thresholds=[0.5]), r"shape \(L,\) = \(2,\), got \(1,\)"),
        (lambda: metrics.LabelRecall(2, names=["A"]), "hold 2 names, got 1"),
        (lambda: metrics.AveragePrecision(2, n_rows=0), "rows of the longest epoch"),
        (lambda: metrics.LabelFBeta(2, beta=0), "`beta` must be > 0"),
    ],
)
def test_wrong_settings_say_what_was_expected(make: Any, message: str) -> None:
    with pytest.raises(
        UsageError if "num" in message or "beta" in message else ValueError
    ) as error:
        make()
    assert error.match(message)


def test_columns_have_to_be_labels() -> None:
    with pytest.raises(ShapeError, match="One column per label"):
        metrics.LabelRecall(3).update_state(np.ones((4, 2)), np.ones((4, 2)))


def test_in_fit_they_are_logged_with_those_of_validation(tmp_path: Path) -> None:
    truth, _ = table()
    x = np.random.default_rng(1).normal(size=(ROWS, 5)).astype(np.float32)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.layers.Input((5,)), keras.layers.Dense(LABELS, activation="sigmoid")]
    )
    made = [metrics.AveragePrecision(LABELS, n_rows=ROWS), metrics.LabelRecall(LABELS)]
    truth = np.maximum(truth, 0)
    model.compile("sgd", "binary_crossentropy", metrics=made)
    history = model.fit(x, truth, validation_data=(x, truth), verbose=0, batch_size=16).history
    ap = numpy_metrics.average_precision(truth, model.predict(x, verbose=0))
    mean = numpy_metrics.macro_average(ap)
    assert history["val_macro_ap"][0] == pytest.approx(mean.value, rel=1e-5)
    assert history["val_macro_ap_labels"] == history["macro_ap_labels"] == [mean.n_evaluable]
    assert 0 < history["macro_ap"][0] < 1
    assert "val_macro_recall" in history
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    again = loaded.evaluate(x, truth, verbose=0, return_dict=True)
    assert again["macro_ap"] == pytest.approx(mean.value, rel=1e-5)
