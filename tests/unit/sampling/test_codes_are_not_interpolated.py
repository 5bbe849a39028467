"""Columns of whole-number codes are refused, kept whole where declared, interpolated on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from equipoise import Labels, Split
from equipoise.errors import UsageError
from equipoise.sampling.resample import Resampled, TrainingRows, mlsmote, mlsol, smote

RNG = np.random.default_rng(0)
CODES = RNG.integers(1, 6, 80).astype(float)
X = np.column_stack([RNG.normal(size=80), CODES, RNG.normal(size=80), RNG.integers(0, 2, 80)])


def rows_of(kind: str) -> TrainingRows:
    values: Any = np.where(np.arange(80) < 60, 0, 1)
    if kind == "multilabel":
        values = np.stack([values == 0, values == 1], axis=1).astype(int)
    labels = Labels.from_array(values, kind=kind)
    split = Split.from_parts(range(80), [], [], n_rows=80, seed=0, method="all")
    return TrainingRows.of(labels, split)


CALLS: dict[str, tuple[str, Callable[..., Resampled]]] = {
    "smote": ("multiclass", smote),
    "mlsmote": ("multilabel", mlsmote),
    "mlsol": ("multilabel", mlsol),
}


@pytest.mark.parametrize("name", CALLS)
def test_undeclared_codes_are_refused_by_name(name: str) -> None:
    kind, make = CALLS[name]
    with pytest.raises(UsageError, match=r"2 columns of a few whole numbers \(\[1, 3\]; column 1"):
        make(rows_of(kind), X)
    with pytest.raises(UsageError, match=r"categorical=\[3\]"):
        make(rows_of(kind), X, categorical=[1])


@pytest.mark.parametrize("name", CALLS)
def test_declared_codes_are_those_of_the_seed_or_the_reference(name: str) -> None:
    kind, make = CALLS[name]
    after = make(rows_of(kind), X, categorical=[1, 3], seed=3)
    made, seeds, others = after.features, after.seed_rows, after.reference_rows
    assert len(made) > 5
    for column in (1, 3):
        value, one, other = made[:, column], X[seeds, column], X[others, column]
        assert ((value == one) | (value == other)).all()
        assert (value != one).any()
        assert (value != other).any()
    low, high = np.minimum(X[seeds, 0], X[others, 0]), np.maximum(X[seeds, 0], X[others, 0])
    assert ((made[:, 0] >= low - 1e-9) & (made[:, 0] <= high + 1e-9)).all()
    assert after.settings["categorical"] == [1, 3]
    again = make(rows_of(kind), X, categorical=[1, 3], seed=3)
    assert (again.features == made).all()


@pytest.mark.parametrize("name", CALLS)
def test_consent_interpolates_them(name: str) -> None:
    kind, make = CALLS[name]
    after = make(rows_of(kind), X, interpolate_codes=True, seed=3)
    assert (after.features[:, 1] % 1 != 0).any()


def test_measured_columns_and_amounts_of_many_values_pass() -> None:
    x = np.column_stack([RNG.normal(size=80), RNG.integers(0, 1000, 80).astype(float)])
    assert smote(rows_of("multiclass"), x).n_synthetic == 40
    constant = np.column_stack([RNG.normal(size=80), np.ones(80)])
    assert smote(rows_of("multiclass"), constant).n_synthetic == 40


def test_neighbours_are_sought_among_measured_columns_alone() -> None:
    far = X.copy()
    far[:, 1] *= 1000.0
    one = smote(rows_of("multiclass"), X, categorical=[1, 3], seed=1)
    two = smote(rows_of("multiclass"), far, categorical=[1, 3], seed=1)
    assert one.reference_rows.tolist() == two.reference_rows.tolist()


@pytest.mark.parametrize("given", [[4], [-1], [0.5], [0, 1, 2, 3]])
def test_positions_that_do_not_exist_or_leave_nothing_are_refused(given: list[float]) -> None:
    with pytest.raises(UsageError, match="`categorical` must"):
        smote(rows_of("multiclass"), X, categorical=given)
