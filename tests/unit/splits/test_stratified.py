"""Stratified and grouped splits keep their promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from equipoise.artifacts import Labels, Split
from equipoise.errors import DataError, UsageError
from equipoise.splits import redraw_validation, stratified_kfold, stratified_split
from equipoise.splits._allocate import (
    _types,
    allocate_classes,
    allocate_iteratively,
    balance,
    gather_units,
    is_off,
    lifted_demand,
    part_sizes,
)


def slow_fill(fractions: list[float], m: int) -> list[int]:
    """One unit after the other to the part that lags its share most (Webster's rule)."""
    given = [0] * len(fractions)
    for _ in range(m):
        lack = [(f * m - g - 0.5) / f for f, g in zip(fractions, given, strict=True)]
        given[lack.index(max(lack))] += 1
    return given


def slow_stratification(hot: np.ndarray, fractions: list[float]) -> np.ndarray:
    """Sechidis et al., algorithm 1, row by row; ties by rows lacking, then the first part."""
    demand = np.outer(fractions, hot.sum(axis=0))
    room = np.asarray(fractions) * len(hot)
    member = np.full(len(hot), -1)
    while (member < 0).any():
        left = hot[member < 0].sum(axis=0)
        if not left.any():
            rows, key = np.flatnonzero(member < 0), room
        else:
            label = int(np.where(left > 0, left, left.max() + 1).argmin())
            rows, key = np.flatnonzero((member < 0) & (hot[:, label] == 1)), demand[:, label]
        for row in rows:
            part = max(range(len(fractions)), key=lambda p: (key[p], room[p], -p))
            member[row] = part
            demand[part] -= hot[row]
            room[part] -= 1
    return member


@pytest.mark.parametrize("seed", range(20))
def test_handing_out_at_once_is_the_loop_to_one_unit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fractions = rng.dirichlet(np.full(4, 3.0))
    m = int(rng.integers(1, 400))
    units = gather_units(Labels.from_array(np.ones(m, int), kind="multilabel"), None)
    table = allocate_iteratively(units, fractions, np.zeros((1, 4), dtype=np.int64), rng)
    assert table.sum() == m
    assert np.abs(table[0] - slow_fill(fractions.tolist(), m)).max() <= 1


def test_rows_of_one_labelset_are_spread_over_all_parts(rng: np.random.Generator) -> None:
    """By absolute demand, the first labelsets would go to train and the last to val and test."""
    values = rng.random((4000, 3)) < [0.1, 0.3, 0.5]
    labels = Labels.from_array(values.astype(int), kind="multilabel")
    split = stratified_split(labels)
    code = values @ [1, 2, 4]
    whole = np.bincount(code, minlength=8)
    for part, share in zip(("train", "val", "test"), (0.7, 0.15, 0.15), strict=True):
        here = np.bincount(code[getattr(split, part)], minlength=8)
        assert np.abs(here - share * whole).max() <= 6


def test_one_label_is_stratified_as_by_the_loop(rng: np.random.Generator) -> None:
    hot = (rng.random((200, 1)) < 0.13).astype(np.int8)
    fractions = [0.7, 0.2, 0.1]
    units = gather_units(Labels.from_array(hot, kind="multilabel"), None)
    need = np.zeros((1, 3), dtype=np.int64)
    table = allocate_iteratively(units, np.asarray(fractions), need, rng)
    slow = slow_stratification(hot, fractions)
    theirs = [int(hot[slow == p].sum()) for p in range(3)]
    assert np.abs((units.vectors.T @ table)[0] - theirs).max() <= 1


@pytest.mark.parametrize("seed", range(5))
def test_labels_are_stratified_as_evenly_as_by_the_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    hot = (rng.random((400, 6)) < np.geomspace(0.4, 0.03, 6)).astype(np.int8)
    fractions = np.array([0.7, 0.15, 0.15])
    units = gather_units(Labels.from_array(hot, kind="multilabel"), None)
    table = allocate_iteratively(units, fractions, np.zeros((6, 3), dtype=np.int64), rng)
    slow = slow_stratification(hot, fractions.tolist())
    exact = np.outer(hot.sum(axis=0), fractions)
    theirs = np.stack([hot[slow == p].sum(axis=0) for p in range(3)], axis=1)
    assert np.abs(units.vectors.T @ table - exact).max() <= np.abs(theirs - exact).max() + 1


def test_class_totals_do_not_drift() -> None:
    counts = np.full(100, 11)
    fractions = np.array([0.7, 0.15, 0.15])
    table = allocate_classes(counts, fractions, np.zeros((100, 3), dtype=np.int64))
    assert (table.sum(axis=1) == counts).all()
    assert np.abs(table - np.outer(counts, fractions)).max() < 1
    assert np.abs(table.sum(axis=0) - 1100 * fractions).max() <= 1


def test_lifted_demand_keeps_the_sum() -> None:
    fractions = np.array([0.8, 0.1, 0.1])
    demand = lifted_demand(np.array([3, 50]), fractions, np.ones((2, 3), dtype=np.int64))
    assert demand[0].tolist() == [1, 1, 1]
    assert demand[1].tolist() == [40, 5, 5]


def test_equal_keys_of_different_units_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    class Zeros:
        def integers(self, *_: object, size: int, **__: object) -> np.ndarray:
            return np.zeros(size, dtype=np.uint64)

    monkeypatch.setattr("equipoise.splits._allocate.generator", lambda *_: Zeros())
    kinds, first = _types(np.array([0, 1, 0]), csr_array(np.array([[1], [1], [1]])))
    assert kinds[0] == kinds[2] != kinds[1]
    assert first.size == 2


def test_proof_tells_what_was_done() -> None:
    values = np.zeros((100, 2), dtype=np.int8)
    values[:50, 0], values[:2, 1] = 1, 1
    labels = Labels.from_array(values, kind="multilabel", names=["common", "rare"])
    split = stratified_split(labels)
    proof = split.proof
    assert proof["labels_fingerprint"] == labels.fingerprint
    assert proof["short_labels"] == {"rare": 2}
    counts = np.array([proof["counts"][part] for part in ("train", "val", "test")])
    assert counts[:, 1].tolist() == [1, 0, 1]
    assert np.abs(counts[:, 0] - [35, 7.5, 7.5]).max() <= 1
    assert proof["rows"] == split.sizes
    assert 0 < proof["largest_deviation"]["value"] < 0.1
    assert proof["groups"] is None


@pytest.mark.parametrize(
    ("positives", "expected"), [(1, [1, 0, 0]), (2, [1, 0, 1]), (3, [1, 1, 1])]
)
@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_few_rows_go_to_train_then_test_then_val(
    kind: str, positives: int, expected: list[int]
) -> None:
    values = np.array([1] * positives + [0] * 60)
    labels = Labels.from_array(values, kind=kind)
    counts = stratified_split(labels, seed=3).proof["counts"]
    assert [counts[part][-1] for part in ("train", "val", "test")] == expected


def test_minimum_per_part_is_kept_where_there_are_enough() -> None:
    values = np.zeros((200, 2), dtype=np.int8)
    values[:15, 0], values[10:18, 1] = 1, 1
    labels = Labels.from_array(values, kind="multilabel")
    counts = stratified_split(labels, min_per_part=5).proof["counts"]
    assert [counts[p][0] for p in ("train", "val", "test")] == [5, 5, 5]
    assert min(counts[p][1] for p in ("train", "val", "test")) >= 1


def test_whole_groups_are_stratified() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(300), rng.integers(1, 8, 300))
    rate = rng.beta(0.3, 2.0, size=(300, 3))[groups]
    labels = Labels.from_array((rng.random(rate.shape) < rate).astype(int), kind="multilabel")
    split = stratified_split(labels, groups=groups)
    assert split.proof["groups"] == {"number": 300, "crossing": 0}
    assert split.proof["largest_deviation"]["value"] < 0.01
    assert abs(split.sizes["train"] / len(labels) - 0.7) < 0.01


def test_labels_bring_their_groups() -> None:
    labels = Labels.from_array([0, 1] * 10, kind="multiclass", groups=np.arange(20) // 2)
    split = stratified_split(labels)
    assert split.method == "stratified by groups"
    assert split.proof["groups"]["crossing"] == 0


def test_wrong_use_is_answered() -> None:
    labels = Labels.from_array([0, 1], kind="multiclass")
    for fractions in ((0.5, 0.5), (0.0, 0.5, 0.5), (0.7, 0.2, 0.2), (1.2, -0.1, -0.1)):
        with pytest.raises(UsageError, match="three shares"):
            stratified_split(labels, fractions=fractions)
    with pytest.raises(DataError, match="at least 3 rows, one per part, got 2"):
        stratified_split(labels)
    with pytest.raises(UsageError, match="`folds` must be at least 2"):
        stratified_kfold(labels, folds=1)
    with pytest.raises(DataError, match="at most the number of rows = 2"):
        stratified_kfold(labels, folds=3)
    with pytest.raises(UsageError, match="min_per_part"):
        stratified_split(labels, min_per_part=-1)


def test_folds_are_repeated_with_other_rows() -> None:
    labels = Labels.from_array([0, 1, 1, 1] * 20, kind="multiclass")
    folds = stratified_kfold(labels, folds=4, n_repeats=2, seed=5)
    assert len(folds) == 8
    assert [f.proof["repeat"] for f in folds] == [0] * 4 + [1] * 4
    assert {tuple(f.proof["counts"]["val"]) for f in folds} == {(5, 15)}
    assert folds[0].fingerprint != folds[4].fingerprint
    assert all(f.test.size == 0 for f in folds)


def test_redrawing_keeps_the_test_part(tmp_path) -> None:
    labels = Labels.from_array([0, 1, 1] * 40, kind="multiclass", groups=np.arange(120) // 3)
    first = stratified_split(labels)
    again = redraw_validation(first, labels, seed=9)
    assert again.test.tolist() == first.test.tolist()
    assert again.val.tolist() != first.val.tolist()
    assert again.proof["groups"]["crossing"] == 0
    assert again.sizes == first.sizes
    assert Split.load(again.save(tmp_path / "s.json")).proof == again.proof


def wide(n: int, width: int, seed: int = 0) -> Labels:
    """Five draws a row from a long tail of labels, sparse."""
    rng = np.random.default_rng(seed)
    share = 1.0 / (np.arange(width) + 10) ** 0.8
    drawn = rng.choice(width, size=(n, 5), p=share / share.sum())
    return Labels.from_lists([sorted(set(row)) for row in drawn.tolist()], num_labels=width)


def test_sizes_hold_where_there_are_more_labels_than_a_part_has_rows() -> None:
    labels = wide(500, 300)
    split = stratified_split(labels)
    assert split.sizes == {"train": 350, "val": 75, "test": 75}
    counts = {part: labels[getattr(split, part)].counts for part in ("train", "val", "test")}
    lacking = {
        name: [part for part in counts if counts[part][i] == 0]
        for i, name in enumerate(labels.names)
        if labels.counts[i] >= 3 and any(counts[part][i] == 0 for part in counts)
    }
    assert split.proof["traded_labels"] == lacking
    assert 0 < len(lacking) < 60
    fold_sizes = [f.val.size for f in stratified_kfold(labels, folds=5)]
    assert max(fold_sizes) - min(fold_sizes) <= 8
    assert fold_sizes == [101, 99, 100, 96, 104], "a seed gives one split on every Python"
    assert "traded_labels" not in stratified_split(labels, min_per_part=0).proof


def test_folds_say_which_labels_gave_way() -> None:
    labels = wide(300, 900)
    folds = stratified_kfold(labels, folds=4, min_per_part=2)
    for split in folds:
        few = labels[split.val].counts < np.where(labels.counts >= 8, 2, labels.counts >= 4)
        lacking = {labels.names[i]: ["val"] for i in np.flatnonzero(few).tolist()}
        assert split.proof.get("traded_labels", {}) == lacking
    assert [split.val.size for split in folds] == [75, 75, 75, 75]
    assert any("traded_labels" in split.proof for split in folds)


@pytest.mark.slow
def test_as_many_labels_as_rows_are_split() -> None:
    labels = wide(2000, 2000)
    split = stratified_split(labels)
    assert split.sizes == {"train": 1400, "val": 300, "test": 300}
    # The slow way to know it: nearly every label that can be in each part is.
    counts = np.stack([labels[getattr(split, p)].counts for p in ("train", "val", "test")])
    able = labels.counts >= 3
    assert ((counts[:, able] > 0).mean(axis=1) > [0.99, 0.8, 0.8]).all()
    assert stratified_split(labels).fingerprint == split.fingerprint


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("grouped", [False, True])
def test_sparse_and_dense_labels_are_split_alike(seed: int, grouped: bool) -> None:
    rng = np.random.default_rng(seed)
    hot = (rng.random((240, 11)) < rng.random(11) * 0.3).astype(np.int8)
    hot[rng.random(hot.shape) < 0.03] = -1
    groups = rng.integers(0, 60, 240) if grouped else None
    made = [
        Labels.from_array(form(hot), kind="multilabel", groups=groups)
        for form in (np.asarray, csr_array)
    ]
    dense, sparse = (stratified_split(labels, seed=seed) for labels in made)
    assert dense.fingerprint == sparse.fingerprint
    assert str(dense.proof) == str(sparse.proof)
    for ours, theirs in zip(*(stratified_kfold(x, folds=3, seed=seed) for x in made), strict=True):
        assert ours.fingerprint == theirs.fingerprint
        assert str(ours.proof) == str(theirs.proof)


def test_rows_are_moved_for_sizes_by_what_costs_least() -> None:
    """Ten rows without any label can move for nothing, those with a label a part needs cannot."""
    hot = np.zeros((40, 6), dtype=np.int64)
    hot[np.arange(18), np.arange(18) % 6] = 1
    units = gather_units(Labels.from_array(hot, kind="multilabel"), None)
    fractions = np.array([0.5, 0.25, 0.25])
    need = np.ones((6, 3), dtype=np.int64)
    table = np.zeros((units.number.size, 3), dtype=np.int64)
    bare = np.flatnonzero(units.vectors.sum(axis=1) == 0)
    table[:] = 1
    table[bare] = [[0, 11, 11]]
    assert is_off(units, table, fractions)
    moved = balance(units, table, fractions, need, np.ones(6, dtype=bool))
    assert (units.sizes @ moved).tolist() == part_sizes(40, fractions).tolist() == [20, 10, 10]
    assert ((units.vectors.T @ moved) >= 1).all()
