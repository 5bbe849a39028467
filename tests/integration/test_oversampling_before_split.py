"""A label of pure noise, oversampled before the split, looks solved; the audit sees why."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.neighbors import NearestNeighbors

import equipoise as eq
from equipoise.errors import LeakageError
from equipoise.sampling.resample import TrainingRows, random_oversample, smote

N, PREVALENCE = 20_000, 0.009


@pytest.fixture(scope="module")
def noise() -> tuple[np.ndarray, eq.Labels]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 4))
    y = (rng.random(N) < PREVALENCE).astype(int)
    return x, eq.Labels.from_array(y[:, None], kind="multilabel", names=["noise"])


def nearest_row(x: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Score by the label of the nearest training row, surer where it is nearer."""
    distance, index = NearestNeighbors(n_neighbors=1).fit(x).kneighbors(test)
    return y[index[:, 0]] / (1.0 + distance[:, 0])


def test_resampled_after_the_split_noise_stays_noise(noise) -> None:
    x, labels = noise
    split = eq.stratified_split(labels, fractions=(0.7, 0.0, 0.3), seed=0)
    after = random_oversample(TrainingRows.of(labels, split))
    assert not set(after.rows) & set(split.test)
    scores = nearest_row(after.take(x), after.labels.values[:, 0], x[split.test])
    ap = average_precision_score(labels.values[split.test, 0], scores)
    assert ap == pytest.approx(PREVALENCE, abs=0.006)
    assert not [f for f in eq.diagnose(labels, split=split, features=x) if "EQ2" in f.code]


def test_resampled_before_the_split_noise_looks_solved_and_is_caught(noise) -> None:
    x, labels = noise
    y = labels.values[:, 0].astype(int)
    positive = np.flatnonzero(y)
    again = np.random.default_rng(1).choice(positive, N - 2 * positive.size)
    order = np.random.default_rng(2).permutation(2 * (N - positive.size))
    # As other programs do it: new arrays, renumbered rows, nothing left that says what is a copy.
    x2, y2 = np.concatenate([x, x[again]])[order], np.concatenate([y, y[again]])[order]
    leaky = eq.Labels.from_array(
        y2[:, None], kind="multilabel", names=["noise"], ids=np.arange(y2.size)
    )
    split = eq.stratified_split(leaky, fractions=(0.7, 0.0, 0.3), seed=0)
    scores = nearest_row(x2[split.train], y2[split.train], x2[split.test])
    assert average_precision_score(y2[split.test], scores) == pytest.approx(1.0, abs=5e-4)

    found = {f.code: f for f in eq.diagnose(leaky, split=split, features=x2)}
    assert found["EQ202"].severity == "error"
    assert found["EQ202"].evidence["contents"] == positive.size
    assert found["EQ204"].evidence["looks_oversampled"] is True
    assert "positives of 'noise'" in found["EQ204"].message
    assert "before the split" in found["EQ204"].message


def test_with_our_resamplers_it_cannot_be_done(noise) -> None:
    x, labels = noise
    with pytest.raises(LeakageError, match="Split first"):
        random_oversample(labels)  # type: ignore[arg-type]
    split = eq.stratified_split(labels, fractions=(0.7, 0.0, 0.3), seed=0)
    train = TrainingRows.of(labels, split)
    for after in (random_oversample(train), smote(train, x)):
        with pytest.raises(LeakageError, match="Split first"):
            eq.stratified_split(after)  # type: ignore[arg-type]
        with pytest.raises(LeakageError, match="Split first"):
            eq.stratified_kfold(after.labels)
