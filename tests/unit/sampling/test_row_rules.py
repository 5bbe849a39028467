"""Every rule by name: laws that all obey, and slow oracles for each."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st
from hypothesis.extra import numpy as hnp

from equipoise.artifacts import Labels
from equipoise.errors import DataError, NoEffectWarning, UsageError
from equipoise.sampling import target_rates
from equipoise.sampling.repeat import repeat_factor_rows, repeat_factor_weights, repeat_factors
from equipoise.sampling.rules import ROW_RULES, row_weights
from equipoise.sampling.weights import (
    class_balanced_weights,
    effective_number_weights,
    inverse_labelset_weights,
    power_weights,
    progressive_weights,
    single_label_weights,
)

LABEL_RULES = [n for n, rule in ROW_RULES.items() if "multilabel" in rule.kinds]
CLASS_RULES = [n for n, rule in ROW_RULES.items() if "multiclass" in rule.kinds]
CLASSES = np.repeat([0, 1, 3], [70, 20, 10])
HOT = np.array([[1, 1, 0], [1, 0, 0], [1, 0, -1], [0, 1, 0], [0, 0, 0], [1, -1, 0]])

multi_hot = hnp.arrays(
    np.int8, st.tuples(st.integers(1, 30), st.integers(1, 5)), elements=st.sampled_from([0, 1, -1])
)


def weights_of(name: str, labels: Labels) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoEffectWarning)
        return row_weights(labels, name)


@pytest.mark.filterwarnings("ignore:`values` hold 1 and -1")
@pytest.mark.parametrize("name", LABEL_RULES)
@given(hot=multi_hot, seed=st.integers(0, 99))
def test_label_rules_are_finite_fair_and_equivariant(name: str, hot: np.ndarray, seed: int) -> None:
    assume((hot == 1).any())
    labels = Labels.from_array(hot, kind="multilabel")
    w = weights_of(name, labels)
    assert w.shape == (len(hot),)
    assert np.isfinite(w).all()
    assert (w >= 0).all()
    assert w.mean() == pytest.approx(1.0)
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(len(hot)), rng.permutation(hot.shape[1])
    moved = Labels.from_array(hot[rows][:, columns], kind="multilabel")
    np.testing.assert_allclose(weights_of(name, moved), w[rows], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CLASS_RULES)
@given(classes=hnp.arrays(np.int64, st.integers(2, 40), elements=st.integers(0, 5)))
def test_class_rules_are_finite_and_alike_within_a_class(name: str, classes: np.ndarray) -> None:
    labels = Labels.from_array(classes, kind="multiclass", names="abcdef")
    w = weights_of(name, labels)
    assert np.isfinite(w).all()
    assert (w >= 0).all()
    assert w.mean() == pytest.approx(1.0)
    for k in np.unique(classes):
        assert np.ptp(w[classes == k]) <= 1e-12


@pytest.mark.parametrize("name", [n for n in LABEL_RULES if n != "effective_number"])
def test_labels_without_positives_change_nothing(name: str) -> None:
    wider = np.concatenate([HOT, np.zeros((len(HOT), 2), int)], axis=1)
    one, two = (Labels.from_array(y, kind="multilabel") for y in (HOT, wider))
    np.testing.assert_allclose(row_weights(one, name), row_weights(two, name))


def test_rules_by_name_are_checked() -> None:
    with pytest.raises(UsageError, match="Did you mean `raking_sqrt`"):
        row_weights(HOT, "raking_sqr")
    with pytest.raises(UsageError, match="`rule` 'class_balanced' is not for multilabel labels"):
        row_weights(HOT, "class_balanced")


@pytest.mark.parametrize("q", [1.0, 0.5, 0.0, -1.0])
def test_power_draws_classes_by_a_power_of_their_counts(q: float) -> None:
    drawn = np.bincount(CLASSES, power_weights(CLASSES, q=q))[[0, 1, 3]]
    wanted = np.array([70.0, 20.0, 10.0]) ** q
    np.testing.assert_allclose(drawn / drawn.sum(), wanted / wanted.sum())
    same = class_balanced_weights(CLASSES, power=1 - q)
    np.testing.assert_allclose(power_weights(CLASSES, q=q), same)


def test_effective_number_is_cuis_formula() -> None:
    w = effective_number_weights(CLASSES, beta=0.9)
    slow = np.array([(1 - 0.9) / (1 - 0.9 ** (k == CLASSES).sum()) for k in CLASSES])
    np.testing.assert_allclose(w, slow / slow.mean())
    with pytest.warns(NoEffectWarning, match="change nothing"):
        effective_number_weights(CLASSES, beta=0.1)


@pytest.mark.parametrize("epoch", [0, 3, 10])
def test_progressive_mixes_shares_of_classes(epoch: int) -> None:
    w = progressive_weights(CLASSES, epoch=epoch, num_epochs=10)
    drawn = np.bincount(CLASSES, w)[[0, 1, 3]] / 100
    share = epoch / 10
    np.testing.assert_allclose(drawn, (1 - share) * np.array([0.7, 0.2, 0.1]) + share / 3)


def test_progressive_settings_are_named() -> None:
    with pytest.raises(UsageError, match="`epoch` must lie in 0 to num_epochs = 5, got 6"):
        progressive_weights(CLASSES, epoch=6, num_epochs=5)
    with pytest.raises(UsageError, match="`num_epochs` must be >= 1, got 0"):
        progressive_weights(CLASSES, epoch=0, num_epochs=0)
    with pytest.raises(UsageError, match="`q` must be finite, got inf"):
        power_weights(CLASSES, q=float("inf"))


def test_repeat_factors_are_the_largest_over_a_rows_labels() -> None:
    share = [(HOT[:, k] == 1).sum() / (HOT[:, k] >= 0).sum() for k in range(3)]
    slow = []
    for row in HOT:
        mine = [max(1.0, np.sqrt(0.9 / share[k])) for k in range(3) if row[k] == 1]
        slow.append(max(mine) if mine else 0.25)
    found = repeat_factors(HOT, threshold=0.9, empty_weight=0.25)
    np.testing.assert_allclose(found, slow)
    np.testing.assert_allclose(
        repeat_factors(CLASSES, threshold=0.4)[[0, 75, 99]], [1, np.sqrt(2), 2]
    )
    with pytest.raises(UsageError, match=r"`threshold` must lie in \(0, 1\], got 2"):
        repeat_factors(HOT, threshold=2.0)
    with pytest.raises(DataError, match="`empty_weight` must leave a row with a weight"):
        repeat_factor_weights([[0], [0]], threshold=0.5, empty_weight=0.0)


@given(
    factors=hnp.arrays(np.float64, st.integers(1, 50), elements=st.floats(0, 5)),
    epoch=st.integers(0, 5),
)
def test_repeats_are_floor_or_one_more_and_epochs_are_as_long(
    factors: np.ndarray, epoch: int
) -> None:
    rows = repeat_factor_rows(factors, seed=1, epoch=epoch)
    copies = np.bincount(rows, minlength=factors.size)
    assert (copies >= np.floor(factors)).all()
    assert (copies <= np.ceil(factors + 1e-9)).all()
    assert abs(rows.size - factors.sum()) < 1 + 1e-6


def test_repeats_are_never_rounded_up() -> None:
    """A factor of 1.01 doubles one row in a hundred, where ceil would double all."""
    epochs = 4000
    factors = np.array([1.01, 1.5, 2.25, 1.0, 0.3])
    total = sum(
        np.bincount(repeat_factor_rows(factors, seed=7, epoch=e), minlength=5)
        for e in range(epochs)
    )
    # Four standard errors of a share: sqrt(0.25 / 4000) is 0.008.
    np.testing.assert_allclose(total / epochs, factors, atol=0.032)
    assert total[3] == epochs
    with pytest.raises(DataError, match="`factors` must be finite and >= 0"):
        repeat_factor_rows([1.0, -1.0], seed=0)


def test_inverse_labelset_counts_equal_rows() -> None:
    sets = [tuple(row == 1) for row in HOT]
    slow = np.array([1 / sets.count(mine) for mine in sets])
    np.testing.assert_allclose(inverse_labelset_weights(HOT), slow / slow.mean())
    assert inverse_labelset_weights(HOT, empty_weight=0.0)[4] == 0.0
    np.testing.assert_allclose(inverse_labelset_weights(CLASSES), class_balanced_weights(CLASSES))


@pytest.mark.parametrize("several", [1.0, 0.0])
def test_single_label_rows_make_labels_alike(several: float) -> None:
    rng = np.random.default_rng(0)
    hot = (rng.random((500, 3)) < [0.5, 0.2, 0.05]).astype(int)
    w = single_label_weights(hot, several_weight=several)
    drawn = w @ hot
    np.testing.assert_allclose(drawn, drawn[0])
    size = hot.sum(1)
    np.testing.assert_allclose(w[size > 1], several * w[size == 0][0])


def test_a_label_that_never_stands_alone_keeps_its_rows() -> None:
    w = single_label_weights([[1, 1], [1, 0], [1, 0], [0, 0]])
    assert w.tolist() == [1.0, 1.0, 1.0, 1.0]
    with pytest.raises(DataError, match="`weights` must be >= 0 and not all 0"):
        single_label_weights([[1, 1]], several_weight=0.0)


@pytest.mark.parametrize("name", ["max", "mean", "square_root", "effective_number", "progressive"])
def test_rows_without_labels_count_as_rows_of_the_most_frequent_label(name: str) -> None:
    w = row_weights([[1, 0], [1, 0], [1, 0], [0, 1], [0, 0], [-1, 0]], name)
    np.testing.assert_allclose(w[4:], w[0])


def test_one_label_alone_is_two_classes() -> None:
    hot = np.array([[1]] * 10 + [[0]] * 80 + [[-1]] * 10)
    classes = (hot[:, 0] == 1).astype(int)
    for weigh in (
        class_balanced_weights,
        partial(power_weights, q=0.5),
        partial(effective_number_weights, beta=0.99),
        partial(progressive_weights, epoch=1, num_epochs=2),
    ):
        np.testing.assert_allclose(weigh(hot), weigh(classes))
    weights = class_balanced_weights(hot, empty_weight=0.5)
    assert weights[:10].sum() == pytest.approx(2 * weights[10:].sum())
    assert target_rates(hot, "equal").tolist() == [0.5]
    assert target_rates(hot[:90], "sqrt") == pytest.approx([1 / (1 + np.sqrt(8))])
    with pytest.raises(DataError, match="`empty_weight` must leave a row with a weight"):
        class_balanced_weights([[0], [0]], empty_weight=0.0)
