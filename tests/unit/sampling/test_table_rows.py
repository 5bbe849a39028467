"""Synthetic rows of tables: between rows of their class, with categories and gaps that exist."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest

from equipoise.artifacts import Labels
from equipoise.errors import DataError, MissingExtraError, NoEffectWarning, UsageError
from equipoise.methods import remedy
from equipoise.sampling.resample.tables import Kind, RepeatedRows, SyntheticRows

N = 240
RNG = np.random.default_rng(4)
Y = (RNG.random(N) < 0.15).astype(np.int64)
NUMBERS = np.c_[RNG.normal(size=N) * 100 + 80 * Y, RNG.normal(size=N), RNG.normal(size=N)]
PLACES = RNG.integers(0, 4, N)
MIXED = np.c_[NUMBERS, PLACES, np.eye(3)[RNG.integers(0, 3, N)], RNG.random(N) < 0.4].astype(
    np.float32
)
MIXED[::5, 1] = np.nan
BLOCKS = [(3,), (4, 5, 6)]
KINDS: tuple[Kind, ...] = ("smote", "borderline_smote")


def between_two(row: np.ndarray, points: np.ndarray) -> bool:
    """Whether a row lies on the way between two of the points: every pair is tried."""
    for start in points:
        way, gone = points - start, row - start
        length = (way**2).sum(1)
        part = np.where(length > 0, way @ gone / np.maximum(length, 1e-300), 0.0)
        off = np.abs(part[:, None] * way - gone).max(1)
        if ((off < 1e-4) & (part >= -1e-6) & (part <= 1 + 1e-6)).any():
            return True
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_lie_between_two_rows_of_the_class(kind: Kind) -> None:
    x = NUMBERS.astype(np.float64)
    grown, of = SyntheticRows(kind)(x, Y, seed=3)
    np.testing.assert_array_equal(grown[:N], x)
    assert np.bincount(of).tolist() == [int((Y == 0).sum())] * 2
    scale = x.std(0)
    assert all(between_two(row / scale, x[Y == 1] / scale) for row in grown[N:])


@pytest.mark.parametrize("kind", KINDS)
def test_categories_truths_and_gaps_are_those_of_rows_of_the_class(kind: Kind) -> None:
    grown, _ = SyntheticRows(kind)(MIXED, Y, blocks=BLOCKS)
    made, rare = grown[N:], MIXED[Y == 1]
    for block in (*BLOCKS, (7,)):
        there = {tuple(row) for row in rare[:, block]}
        assert {tuple(row) for row in made[:, block]} <= there
    assert np.isnan(made[:, 1]).mean() == pytest.approx(np.isnan(rare[:, 1]).mean(), abs=0.08)
    assert np.isfinite(np.delete(made, 1, axis=1)).all()
    assert made.dtype == np.float32


def test_a_table_of_categories_alone_gets_no_code_that_is_none() -> None:
    x = np.c_[PLACES, PLACES[::-1]].astype(np.float32)
    for kind in KINDS:
        grown, of = SyntheticRows(kind)(x, Y, blocks=[(0,), (1,)])
        assert set(np.unique(grown[N:])) <= {0.0, 1.0, 2.0, 3.0}
        assert (of[N:] == 1).all()


def test_a_class_of_one_row_stays_and_small_ones_have_fewer_neighbours() -> None:
    y = np.where(np.arange(N) < 3, 1, 0)
    y[5] = 2
    grown, of = SyntheticRows(ratio=0.5)(NUMBERS, y)
    assert np.bincount(of).tolist() == [236, 118, 1]
    assert len(grown) == len(of)


def test_borders_are_where_others_are_near() -> None:
    """Rare rows far from all others are no place to start from."""
    rng = np.random.default_rng(0)
    far, near = rng.normal(50, 1, (20, 2)), rng.normal(0, 1, (20, 2))
    x = np.r_[rng.normal(0, 1, (200, 2)), far, near]
    y = np.repeat([0, 1], [200, 40])
    made = SyntheticRows("borderline_smote", k_neighbors=3)(x, y)[0][240:]
    assert (made[:, 0] < 30).all()
    assert (SyntheticRows("smote", k_neighbors=3)(x, y)[0][240:, 0] > 40).any()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_rows_and_no_global_state_moves(kind: Kind) -> None:
    def rows(seed: int, own: int = 0) -> np.ndarray:
        return SyntheticRows(kind, seed=own)(MIXED, Y, blocks=BLOCKS, seed=seed)[0]

    state = np.random.get_state()[1].copy()  # noqa: NPY002
    np.testing.assert_array_equal(rows(1), rows(1))
    assert not np.array_equal(rows(1), rows(2), equal_nan=True)
    assert not np.array_equal(rows(1), rows(1, own=1), equal_nan=True)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_repeated_rows_weigh_as_they_say() -> None:
    over, under = RepeatedRows("random_oversample"), RepeatedRows("random_undersample", ratio=0.5)
    rows, of = over(NUMBERS, Y)
    assert np.bincount(of).tolist() == [int((Y == 0).sum())] * 2
    np.testing.assert_array_equal(np.unique(rows[:, 0]), np.unique(NUMBERS[:, 0]))
    few, kept = under(NUMBERS, Y)
    positives = int(Y.sum())
    assert np.bincount(kept).tolist() == [2 * positives, positives]
    assert len(np.unique(few[:, 0])) == 3 * positives
    assert over.weight(90, 10) == pytest.approx(9.0)
    assert under.weight(90, 10) == pytest.approx(4.5)
    capped = RepeatedRows("random_oversample", max_repeat=3)
    assert capped.weight(90, 10) == pytest.approx(3.0)
    assert over.weight(90, 0) == 1.0


WRONG: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "infinite": (
        lambda: SyntheticRows()(np.where(NUMBERS > 100, np.inf, NUMBERS), Y),
        DataError,
        "`x` must be finite numbers, or gaps, got infinite ones",
    ),
    "ratio": (lambda: SyntheticRows(ratio=2.0), UsageError, r"`ratio` must lie in \(0, 1\]"),
    "neighbours": (lambda: SyntheticRows(k_neighbors=0), UsageError, "whole number >= 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_said(name: str) -> None:
    call, error, words = WRONG[name]
    with pytest.raises(error, match=words):
        call()


def test_without_imbalanced_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = Labels.from_array(Y, kind="multilabel")
    monkeypatch.setitem(sys.modules, "imblearn", None)
    with pytest.raises(MissingExtraError, match=r'pip install "equipoise\[resample\]"'):
        remedy("smote", labels)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_rows_that_are_balanced_already_are_said_to_get_none(kind: str) -> None:
    y = np.tile([0, 1], 30)
    values = y if kind == "multiclass" else np.stack([y, 1 - y], axis=1)
    labels = Labels.from_array(values, kind=kind)
    for name in ("smote", "borderline_smote", "random_oversample", "random_undersample"):
        with pytest.warns(NoEffectWarning, match=r"adds no row here|changes nothing here"):
            remedy(name, labels)
