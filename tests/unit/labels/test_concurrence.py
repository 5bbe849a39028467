"""SCUMBLE and Gini against their definitions, loop by loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from equipoise.artifacts import Labels
from equipoise.errors import DataError, UsageError
from equipoise.labels import gini, label_statistics, scumble


def slow_scumble(hot: np.ndarray) -> np.ndarray:
    counts = (hot == 1).sum(0)
    found = []
    for row in hot:
        ratios = [counts.max() / counts[label] for label in np.flatnonzero(row == 1)]
        found.append(1 - np.prod(ratios) ** (1 / len(ratios)) / np.mean(ratios) if ratios else 0.0)
    return np.array(found)


def slow_gini(counts: list[int]) -> float:
    gaps = sum(abs(a - b) for a in counts for b in counts)
    return gaps / (2 * len(counts) * sum(counts))


@given(st.lists(st.lists(st.sampled_from([-1, 0, 1]), min_size=3, max_size=3), min_size=1))
def test_scumble_is_its_definition(rows: list[list[int]]) -> None:
    hot = np.array(rows)
    found = scumble(Labels.from_array(hot, kind="multilabel"))
    np.testing.assert_allclose(found.rows, slow_scumble(hot), atol=1e-12)
    for label in range(3):
        own = found.rows[hot[:, label] == 1]
        if own.size:
            assert found.labels[label] == pytest.approx(own.mean(), abs=1e-12)
        else:
            assert np.isnan(found.labels[label])
    assert found.mean == pytest.approx(found.rows.mean())


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=12).filter(any))
def test_gini_is_its_definition(counts: list[int]) -> None:
    assert gini(counts) == pytest.approx(slow_gini(counts), abs=1e-12)


def test_statistics_hold_them() -> None:
    hot = np.array([[1, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]])
    labels = Labels.from_array(hot, kind="multilabel")
    found = label_statistics(labels)
    assert pytest.approx(slow_scumble(hot).mean()) == found.SCUMBLE
    assert found.gini == pytest.approx(slow_gini([3, 1, 1]))
    assert {"SCUMBLE", "SCUMBLE_label", "gini"} <= set(found.to_dict())
    assert label_statistics({"A": 3}, n_rows=9).SCUMBLE is None
    empty = label_statistics(Labels.from_array(np.zeros((3, 2), int), kind="multilabel"))
    assert np.isnan(empty.gini)
    assert empty.SCUMBLE == 0.0


def test_what_is_refused() -> None:
    with pytest.raises(UsageError, match="`labels` must be multi-label"):
        scumble(Labels.from_array([0, 1], kind="multiclass"))
    for wrong in ([0, 0], [-1, 2], []):
        with pytest.raises(DataError, match="not all 0"):
            gini(wrong)
