"""Rules that look at a row, a batch or a cost matrix: a closed set, checked when it is made."""

from __future__ import annotations

import dataclasses
from typing import Any

import artifact_samples
import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from equipoise.artifacts.rule import choose
from equipoise.errors import DataError

values = hnp.arrays(np.float64, (5, 3), elements=st.integers(-4, 4).map(float))


@given(values, st.floats(0.05, 3))
def test_a_budget_is_never_exceeded_and_takes_the_highest(z: np.ndarray, per_row: float) -> None:
    flags = choose(z, {"form": "budget", "flags_per_row": per_row}) == 1
    allowed = int(np.floor(per_row * 5 + 1e-9))
    assert flags.sum() <= allowed
    if flags.any() and not flags.all():
        assert z[flags].min() > z[~flags].max()
    # Only a tie at the border leaves something of the budget unused.
    if flags.sum() < min(allowed, z.size):
        left = np.sort(z[~flags])[::-1]
        assert (left == left[0]).sum() > allowed - flags.sum()


@given(values, st.integers(1, 3))
def test_top_k_flags_k_labels_of_each_row(z: np.ndarray, k: int) -> None:
    flags = choose(z, {"form": "top_k", "k": k}) == 1
    assert (flags.sum(axis=1) == k).all()
    for row, flag in zip(z, flags, strict=True):
        ranked = sorted(range(3), key=lambda c: (-row[c], c))[:k]
        assert sorted(ranked) == np.flatnonzero(flag).tolist()


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ({"form": "magic"}, "be 'top_k' or 'budget' for multilabel"),
        ({"form": "costs", "costs": [[0.0]]}, "be 'top_k' or 'budget' for multilabel"),
        ({"form": "top_k", "k": 0}, r"lie in 1\.\.3"),
        ({"form": "top_k", "k": 2.0}, r"lie in 1\.\.3"),
        ({"form": "budget", "flags_per_row": 0}, r"lie in \(0, 3\]"),
    ],
)
def test_a_choice_that_is_none(choice: dict[str, Any], text: str) -> None:
    with pytest.raises(DataError, match=text):
        dataclasses.replace(artifact_samples.rule(), choice=choice)


def test_costs_have_one_row_and_column_per_class() -> None:
    rule = dataclasses.replace(
        artifact_samples.rule(),
        kind="multiclass",
        thresholds=None,
        choice=None,
        objective="cost",
        correction=None,
    )
    with pytest.raises(DataError, match="finite 3 x 3 matrix"):
        dataclasses.replace(rule, choice={"form": "costs", "costs": [[0.0, 1.0]]})
    choice = {"form": "costs", "costs": [[0.0, 1.0, 1.0], [9.0, 0.0, 9.0], [1.0, 1.0, 0.0]]}
    assert dataclasses.replace(rule, choice=choice).choice == choice
