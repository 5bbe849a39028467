"""Draws without replacement: what they do to the share of a class, and the way back."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import pytest

import equipoise as eq
from equipoise import Labels
from equipoise.errors import NoEffectWarning, UsageError
from equipoise.sampling import (
    WeightedSampler,
    class_balanced_weights,
    inclusion_probabilities,
    sampler_correction,
)
from equipoise.sampling.draws import WeightedRows
from equipoise.training import add_sampler


def slow_inclusion(weights: np.ndarray, n: int, epochs: int) -> np.ndarray:
    """Draw one row after the other among those left, in proportion to their weights."""
    rng = np.random.default_rng(0)
    seen = np.zeros(len(weights))
    for _ in range(epochs):
        left = weights.copy()
        for _ in range(n):
            row = rng.choice(len(left), p=left / left.sum())
            seen[row] += 1
            left[row] = 0.0
    return seen / epochs


@pytest.mark.parametrize("n", [5, 30, 60, 90])
def test_inclusion_is_that_of_drawing_one_after_the_other(n: int) -> None:
    weights = np.repeat([1.0, 4.0, 9.0], [60, 25, 15])
    found = inclusion_probabilities(weights, n)
    assert found.sum() == pytest.approx(n)
    epochs = 600
    drawn = slow_inclusion(weights, n, epochs)
    for value in (1.0, 4.0, 9.0):
        rows = weights == value
        rate = found[rows][0]
        spread = np.sqrt(rate * (1 - rate) / (epochs * rows.sum()))
        # As close as 1 / N, and as chance allows.
        assert drawn[rows].mean() == pytest.approx(rate, abs=4 * spread + 1 / len(weights))


def test_the_sampler_draws_as_often_as_is_said() -> None:
    weights = np.repeat([1.0, 9.0], [900, 100])
    rows = WeightedRows(weights, num_samples=300, replacement=False, seed=3)
    seen = np.zeros(1000)
    for epoch in range(400):
        rows.set_epoch(epoch)
        seen += np.bincount(list(rows), minlength=1000)
    expected = inclusion_probabilities(weights, 300)
    assert seen[900:].mean() / 400 == pytest.approx(expected[900], abs=0.01)
    assert seen[:900].mean() / 400 == pytest.approx(expected[0], abs=0.01)


def test_all_rows_drawn_are_exactly_all_rows() -> None:
    assert inclusion_probabilities([3.0, 0.0, 1.0], 2).tolist() == [1.0, 0.0, 1.0]
    np.testing.assert_allclose(inclusion_probabilities([2.0] * 8, 3), 3 / 8)
    for wrong in (0, 3):
        with pytest.raises(UsageError, match="`num_samples` must be 1 to 2, the rows with a"):
            inclusion_probabilities([3.0, 0.0, 1.0], wrong)


TENTH = Labels.from_array([0] * 900 + [1] * 100, kind="multiclass")
WEIGHTS = class_balanced_weights(TENTH)


def test_at_full_length_a_tenth_stays_a_tenth() -> None:
    with pytest.warns(NoEffectWarning, match="All 1,000 rows .* each once: the weights decide"):
        sampler = WeightedSampler(WEIGHTS, replacement=False)
    drawn = TENTH.values[list(sampler)]
    assert drawn.mean() == 0.1
    undo = sampler.correction(TENTH)
    assert undo.exactness == "exact"
    np.testing.assert_allclose(undo.probabilities(np.zeros((1, 2))), [[0.5, 0.5]])
    # What the weights claim would be half and half.
    claimed = sampler_correction(WEIGHTS, TENTH).probabilities(np.zeros((1, 2)))
    np.testing.assert_allclose(claimed, [[0.9, 0.1]])


@pytest.mark.parametrize("n", [100, 300, 600])
def test_the_way_back_is_that_of_what_was_drawn(n: int) -> None:
    sampler = WeightedSampler(WEIGHTS, num_samples=n, replacement=False)
    shares = []
    for epoch in range(200):
        sampler.set_epoch(epoch)
        shares.append(TENTH.values[list(sampler)].mean())
    q = float(np.mean(shares))
    undo = sampler.correction(TENTH)
    assert undo.exactness == "approximate"
    # A model that learned the drawn share q is led back to a tenth.
    learned = np.log([[1 - q, q]])
    assert undo.probabilities(learned)[0, 1] == pytest.approx(0.1, abs=0.004)


def test_labels_are_led_back_as_well() -> None:
    labels = Labels.from_array(np.repeat([0, 1], [900, 100])[:, None], kind="multilabel")
    whole = sampler_correction(WEIGHTS, labels, replacement=False)
    np.testing.assert_allclose(whole.apply(np.zeros((1, 1))), 0.0, atol=1e-12)
    part = sampler_correction(WEIGHTS, labels, replacement=False, num_samples=300)
    pi = inclusion_probabilities(WEIGHTS, 300)
    np.testing.assert_allclose(part.apply(np.zeros((1, 1))), -np.log(pi[900] / pi[0]))


def test_equal_weights_and_draws_with_replacement_are_not_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        WeightedRows(np.ones(5), replacement=False)
        WeightedRows([1.0, 2.0], replacement=True)
        WeightedRows([1.0, 2.0, 3.0], num_samples=2, replacement=False)


def test_a_remedy_undoes_what_really_happens() -> None:
    base = eq.remedy("none", TENTH)
    draw = partial(WeightedSampler, WEIGHTS, num_samples=300, replacement=False)
    with pytest.raises(UsageError, match="`undo` must be what drawing without replacement does"):
        add_sampler(base, draw, sampler_correction(WEIGHTS, TENTH), TENTH)
    undo = sampler_correction(WEIGHTS, TENTH, replacement=False, num_samples=300)
    made = add_sampler(base, draw, undo, TENTH)
    own, flat = draw(seed=0).correction(TENTH), np.zeros((1, 2))
    np.testing.assert_allclose(made.correction.apply(flat), own.apply(flat))


def test_the_audit_says_it_of_any_sampler() -> None:
    from torch.utils.data import WeightedRandomSampler

    idle = eq.audit_sampler(WeightedRandomSampler(WEIGHTS.tolist(), 1000, replacement=False), TENTH)
    found = {f.code: f for f in idle.findings}
    assert "each of the 1,000 rows comes exactly once per epoch" in found["EQ612"].message
    working = eq.audit_sampler(WeightedRandomSampler(WEIGHTS.tolist(), 1000), TENTH)
    assert "EQ612" not in {f.code for f in working.findings}
