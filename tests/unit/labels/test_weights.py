"""Counts to weights: the formulas, their normalisation and what happens to zeros."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, strategies as st
from sklearn.utils.class_weight import compute_class_weight

from equipoise.artifacts import Labels
from equipoise.errors import DataError, NoEffectWarning, ShapeError, UsageError
from equipoise.labels.weights import class_weights, label_frequencies, pos_weights, priors

COUNTS = [19000, 65000, 38000, 105000]
METHODS = ["inverse", "power", "effective_number"]


def test_the_recipe_sum_over_count() -> None:
    found = class_weights(COUNTS, method="inverse", normalize=None)
    np.testing.assert_allclose(found, [11.95, 3.49, 5.97, 2.16], atol=5e-3)


def test_default_is_balanced_of_scikit_learn() -> None:
    y = np.repeat([0, 1, 2], [70, 20, 10])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y)
    np.testing.assert_allclose(class_weights([70, 20, 10]), expected)


def test_power_one_is_inverse_and_half_is_its_root() -> None:
    inverse = class_weights(COUNTS, normalize=None)
    np.testing.assert_allclose(
        class_weights(COUNTS, method="power", power=1, normalize=None), inverse
    )
    np.testing.assert_allclose(class_weights(COUNTS, method="power", normalize=None), inverse**0.5)


@pytest.mark.parametrize(("beta", "ratio"), [(0.99, 2.53), (0.999, 20.4), (0.9999, 78.9)])
def test_published_ratios_of_effective_number(beta: float, ratio: float) -> None:
    head, tail = class_weights([5000, 50], method="effective_number", beta=beta)
    assert tail / head == pytest.approx(ratio, abs=0.05)


def test_effective_number_equals_the_plain_sum_of_powers() -> None:
    counts, beta = [3, 17, 400], 0.97
    slow = [1.0 / sum(beta**i for i in range(n)) for n in counts]
    found = class_weights(counts, method="effective_number", beta=beta, normalize=None)
    np.testing.assert_allclose(found, slow, rtol=1e-12)


def test_effective_number_with_the_number_of_rows() -> None:
    by_name = class_weights([900, 100], method="effective_number", beta="(N-1)/N")
    by_hand = class_weights([900, 100], method="effective_number", beta=999 / 1000)
    np.testing.assert_allclose(by_name, by_hand)


def test_effective_number_is_stable_next_to_one() -> None:
    beta = 1.0 - 1e-15
    close = class_weights([10, 1000], method="effective_number", beta=beta, normalize="classes")
    np.testing.assert_allclose(close, class_weights([10, 1000], normalize="classes"), rtol=1e-9)


def test_beta_zero_weighs_nothing_and_says_so() -> None:
    with pytest.warns(NoEffectWarning, match="change nothing. Use a larger `beta`"):
        found = class_weights([5, 50], method="effective_number", beta=0.0)
    assert found.tolist() == [1.0, 1.0]


def test_large_counts_make_effective_number_flat() -> None:
    with pytest.warns(NoEffectWarning, match=r"only 1.00\d times the smallest"):
        class_weights([900_000, 700_000, 60_000], method="effective_number", beta=0.9999)


counts_lists = st.lists(st.integers(1, 10**7), min_size=2, max_size=8)


@given(counts_lists, st.sampled_from(METHODS))
@pytest.mark.filterwarnings("ignore::equipoise.errors.NoEffectWarning")
def test_normalisations_hold(counts: list[int], method: str) -> None:
    n = np.asarray(counts)
    by_rows = class_weights(n, method=method)  # type: ignore[arg-type]
    assert (by_rows * n).sum() / n.sum() == pytest.approx(1.0)
    by_classes = class_weights(n, method=method, normalize="classes")  # type: ignore[arg-type]
    assert by_classes.mean() == pytest.approx(1.0)
    np.testing.assert_allclose(by_rows / by_rows[0], by_classes / by_classes[0])
    assert (np.diff(by_rows[np.argsort(n)]) <= 1e-12 * by_rows.max()).all()


@pytest.mark.parametrize("method", METHODS)
def test_zero_counts_are_an_error_that_names_the_class(method: str) -> None:
    with pytest.raises(DataError, match=r"0 for 1 of 3 \('fox'\)\. Pass zero_counts=\"ignore\""):
        class_weights({"cat": 9, "fox": 0, "dog": 1}, method=method)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("normalize", ["samples", "classes", None])
def test_ignored_classes_weigh_nothing_and_leave_the_rest_alone(method, normalize) -> None:
    with_zero = class_weights([90, 0, 10], method=method, normalize=normalize, zero_counts="ignore")
    without = class_weights([90, 10], method=method, normalize=normalize)
    assert with_zero[1] == 0.0
    np.testing.assert_allclose(with_zero[[0, 2]], without)


def test_smoothing_adds_one_to_each() -> None:
    found = class_weights([99, 0], normalize=None, zero_counts="smooth")
    np.testing.assert_allclose(found, class_weights([100, 1], normalize=None))


@pytest.mark.parametrize(
    "counts",
    [
        {"a": 90, "b": 10},
        pd.Series({"a": 90, "b": 10}),
        pl.Series([90, 10]),
        pd.DataFrame({"a": [90], "b": [10]}),
        pl.DataFrame({"a": [90], "b": [10]}),
        np.array([90, 10]),
        Labels.from_array([0] * 90 + [1] * 10, kind="multiclass"),
    ],
    ids=["mapping", "pandas", "polars", "pandas_frame", "polars_frame", "array", "labels"],
)
def test_counts_come_in_many_forms(counts: object) -> None:
    np.testing.assert_allclose(class_weights(counts), [100 / 180, 5.0])
    np.testing.assert_allclose(priors(counts), [0.9, 0.1])


def test_names_of_frames_reach_the_message() -> None:
    for counts in (pd.Series({"a": 1, "fox": 0}), pl.DataFrame({"a": [1], "fox": [0]})):
        with pytest.raises(DataError, match="'fox'"):
            class_weights(counts)


def test_frames_of_many_rows_are_refused() -> None:
    with pytest.raises(ShapeError, match="be a frame of one row, one column per class, got 2 rows"):
        class_weights(pl.DataFrame({"a": [1, 2], "b": [3, 4]}))


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([], "be counts >= 0, at least one, got none"),
        ([3, -1], "be counts >= 0"),
        ([3, np.nan], "be finite"),
        ([[3, 4]], r"have 1 dimension"),
        (["a", "b"], "be numbers"),
        ([0, 0], "hold at least one row"),
    ],
)
def test_bad_counts_are_named(counts: object, message: str) -> None:
    with pytest.raises(DataError, match=f"`counts` must {message}"):
        class_weights(counts)


def test_bad_settings_are_named() -> None:
    with pytest.raises(UsageError, match="Did you mean `inverse`"):
        class_weights(COUNTS, method="invers")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"`beta` must lie in \[0, 1\), got 1.0"):
        class_weights(COUNTS, method="effective_number", beta=1.0)
    with pytest.raises(UsageError, match="or '\\(N-1\\)/N'"):
        class_weights(COUNTS, method="effective_number", beta="N")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="`normalize` must be one of"):
        class_weights(COUNTS, normalize="sum")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="`zero_counts` must be one of"):
        class_weights(COUNTS, zero_counts="drop")  # type: ignore[arg-type]


def test_pos_weights_are_negatives_over_positives() -> None:
    found = pos_weights(COUNTS, 224_000)
    np.testing.assert_allclose(found, [10.79, 2.446, 4.895, 1.133], atol=5e-3)
    np.testing.assert_allclose(pos_weights(COUNTS, 224_000, power=0.5), found**0.5)
    assert pos_weights([3], 6790, cap=50.0).tolist() == [50.0]
    assert pos_weights([3], 6790)[0] == pytest.approx(2262, abs=1)


def test_pos_weights_count_known_rows_only() -> None:
    labels = Labels.from_array([[1, 1], [0, -1], [0, 0], [0, -1]], kind="multilabel")
    assert pos_weights(labels).tolist() == [3.0, 1.0]
    assert pos_weights([1, 1], [4, 2]).tolist() == [3.0, 1.0]
    assert label_frequencies(labels).tolist() == [0.25, 0.5]


def test_pos_weights_and_zeros() -> None:
    with pytest.raises(DataError, match="`n_positive` must be above 0 for every label"):
        pos_weights([0, 5], 10)
    with pytest.raises(DataError, match="`n_known - n_positive` must be above 0"):
        pos_weights([10, 5], 10)
    assert pos_weights([0, 5, 10], 10, zero_counts="ignore").tolist() == [1.0, 1.0, 1.0]
    assert pos_weights([0, 5], 10, zero_counts="smooth").tolist() == [11.0, 1.0]


def test_more_positives_than_rows_are_refused() -> None:
    with pytest.raises(DataError, match="be at most `n_known`, got 12 of 10"):
        pos_weights([12], 10)
    with pytest.raises(UsageError, match="`n_known` must be given"):
        pos_weights([12])
    with pytest.raises(ShapeError, match=r"`n_known` must have shape \(2\)"):
        pos_weights([1, 2], [3, 4, 5])


def test_priors_sum_to_one_and_state_zeros() -> None:
    assert priors([30, 10]).tolist() == [0.75, 0.25]
    with pytest.raises(DataError, match="be above 0 for every class"):
        priors([3, 0])
    assert priors([3, 0], zero_counts="ignore").tolist() == [1.0, 0.0]
    assert priors([3, 0], zero_counts="smooth").tolist() == [0.8, 0.2]
    assert priors([3, 0], smoothing=0.5).tolist() == [0.875, 0.125]


def test_frequencies_of_unknown_labels_are_nan() -> None:
    assert np.isnan(label_frequencies([0, 1], [0, 2])).tolist() == [True, False]
