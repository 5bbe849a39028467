"""SMOTE, MLSMOTE and MLSOL against slow loops from the papers."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from resample_oracles import (
    skewed_labels,
    slow_local,
    slow_mix,
    slow_neighbours,
    slow_vote,
    train_of,
)
from scipy.stats import chisquare

from equipoise.errors import (
    DataError,
    MissingExtraError,
    NoEffectWarning,
    ShapeError,
    UsageError,
)
from equipoise.sampling.resample import mlsmote, mlsol, smote
from equipoise.sampling.resample._neighbours import nearest
from equipoise.sampling.resample.mlsmote import vote
from equipoise.sampling.resample.mlsol import local_imbalance, minority_entries, mix_labels

TYPES = ("MJ", "SAFE", "BD", "RARE", "OUTLIER")


def cloud(n: int = 120, width: int = 3, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width))


def assert_between(after, x: np.ndarray, on_the_line: bool = True) -> None:
    start, end = x[after.seed_rows], x[after.reference_rows]
    way = (after.features - start) / (end - start)
    assert way.min() >= -1e-9
    assert way.max() <= 1 + 1e-9
    if on_the_line:
        np.testing.assert_allclose(way, way[:, :1].repeat(x.shape[1], axis=1), atol=1e-7)


def test_neighbours_are_the_nearest_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("equipoise.sampling.resample._neighbours._BLOCK", 7)
    for width in (2, 20):  # a tree, and brute force
        x = cloud(50, width)
        queries = np.array([3, 0, 49, *range(10, 30)])
        slow = [slow_neighbours(x, list(range(50)), i, 4) for i in queries]
        assert nearest(x, queries, 4).tolist() == slow


def test_a_row_is_not_its_own_neighbour_among_copies() -> None:
    x = np.repeat(cloud(3), 8, axis=0)
    near = nearest(x, np.arange(24), 3)
    assert (near != np.arange(24)[:, None]).all()
    assert (near // 8 == np.arange(24)[:, None] // 8).all()
    assert nearest(x[:2], np.arange(2), 5).tolist() == [[1], [0]]
    assert nearest(x[:1], np.arange(1), 5).shape == (1, 0)


@pytest.mark.parametrize("gap", ["row", "feature"])
@pytest.mark.parametrize("rule", ["ranking", "union", "intersection"])
def test_mlsmote_is_the_paper_s_loop(rule, gap) -> None:
    y, x, inside = skewed_labels(150), cloud(150), np.arange(20, 150)
    after = mlsmote(train_of(y, inside), x, k_neighbors=3, label_rule=rule, gap=gap)
    at = 0
    for label in (2, 3):
        bag = [i for i in inside.tolist() if y[i, label] == 1]
        assert after.seed_rows[at : at + len(bag)].tolist() == bag
        for i in bag:
            near = slow_neighbours(x, bag, i, 3)
            assert after.reference_rows[at] in near
            asked = [y[j].tolist() for j in [i, *near]]
            assert after.values[at].tolist() == slow_vote(asked, rule)
            assert after.values[at, label] == 1
            at += 1
    assert at == after.n_synthetic
    assert_between(after, x, on_the_line=gap == "row")


def test_mlsmote_chooses_among_neighbours_evenly() -> None:
    y = np.array([[1, 0]] * 40 + [[0, 1]] * 6)
    x = cloud(46)
    near = slow_neighbours(x, list(range(40, 46)), 40, 3)
    chosen = [
        mlsmote(train_of(y), x, k_neighbors=3, seed=seed).reference_rows[0] for seed in range(300)
    ]
    assert set(chosen) == set(near)
    assert chisquare([chosen.count(j) for j in near]).pvalue > 1e-3


def test_bags_of_two_and_of_one() -> None:
    y = np.array([[1, 1, 0, 0]] * 20 + [[0, 0, 1, 0]] * 2 + [[0, 0, 0, 1]])
    with pytest.warns(NoEffectWarning, match=r"one row has no neighbour to join \(labels \['3'\]"):
        after = mlsmote(train_of(y), cloud(23))
    assert after.seed_rows.tolist() == [20, 21]
    assert after.reference_rows.tolist() == [21, 20]
    assert after.settings["skipped"] == ["3"]
    classes = np.array([0] * 20 + [1] * 2 + [2])
    with pytest.warns(NoEffectWarning, match=r"classes \['2'\]"):
        points = smote(train_of(classes), cloud(23))
    assert points.labels.counts.tolist() == [20, 20, 1]
    assert set(points.seed_rows) == set(points.reference_rows) == {20, 21}


def test_votes_that_hang_on_unknown_entries_stay_unknown() -> None:
    rng = np.random.default_rng(0)
    values = rng.choice([0, 1, -1], size=(40, 4, 3), p=[0.45, 0.35, 0.2]).astype(np.int8)
    for rule in ("ranking", "union", "intersection"):
        fast = vote(values, rule)
        for b, c in np.ndindex(40, 3):
            column = values[b, :, c]
            worlds = set()
            for fill in np.ndindex(*(2,) * int((column == -1).sum())):
                full = column.copy()
                full[full == -1] = fill
                worlds.add(slow_vote([[int(v)] for v in full], rule)[0])
            assert fast[b, c] == (worlds.pop() if len(worlds) == 1 else -1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("k", [3, 5])
def test_mlsol_weights_and_types_are_those_of_the_paper(seed: int, k: int) -> None:
    x = cloud(80, 2, seed)
    y = (x[:, :1] + cloud(80, 4, seed + 99) > [0.3, 1.0, 1.8, -1.2]).astype(np.int8)
    minority = minority_entries(y)
    rows = np.flatnonzero(minority.any(axis=1))
    local = local_imbalance(y, minority, rows, nearest(x, rows, k))
    weight, types = slow_local(x, y, k)
    np.testing.assert_allclose(local.weight, weight[rows], atol=1e-12)
    assert [[TYPES[t] for t in row] for row in local.types] == types
    assert {t for row in types for t in row} >= {"MJ", "SAFE", "BD"}

    rng = np.random.default_rng(seed)
    s, r, way = rows[rng.integers(0, rows.size, 300)], rng.integers(0, 80, 300), rng.random(300)
    mixed = mix_labels(y, local.types, s, r, way)
    for i in range(300):
        a, b = int(s[i]), int(r[i])
        expected = slow_mix(y[a].tolist(), types[a], y[b].tolist(), types[b], float(way[i]))
        assert mixed[i].tolist() == expected


def test_mlsol_re_examination_reaches_all_rare_rows() -> None:
    # A chain: only the first rare row touches a borderline one; the others follow it.
    near = np.array([[1, 9], [2, 9], [3, 9], [8, 9]])
    y = np.array([1, 1, 1, 1, 0, 0, 0, 0, 1, 0], dtype=np.int8)[:, None]
    minority = y == 1
    rows = np.array([0, 1, 2, 3])
    share_half = local_imbalance(y, minority, rows, near)
    assert share_half.types[:4, 0].tolist() == [2, 2, 2, 2]
    wide = np.array([[1, 4, 5, 6], [2, 4, 5, 6], [3, 4, 5, 6], [8, 2, 5, 6]])
    assert local_imbalance(y, minority, rows, wide).types[:4, 0].tolist() == [2, 2, 2, 2]
    alone = np.array([[1, 4, 5, 6], [2, 4, 5, 6], [3, 4, 5, 6], [8, 4, 5, 6]])
    assert local_imbalance(y, minority, rows, alone).types[:4, 0].tolist() == [3, 3, 3, 3]


def test_mlsol_draws_seeds_by_weight_and_references_among_neighbours() -> None:
    x = cloud(80, 2)
    y = (x[:, :1] + cloud(80, 3, 99) > [0.3, 1.0, 1.8]).astype(np.int8)
    after = mlsol(train_of(y), x, fraction=50.0, k_neighbors=4)
    assert after.n_synthetic == 4000
    weight, _ = slow_local(x, y, 4)
    drawn = np.bincount(after.seed_rows, minlength=80)
    assert drawn[weight == 0].sum() == 0
    expected = 4000 * weight / weight.sum()
    assert chisquare(drawn[weight > 0], expected[weight > 0]).pvalue > 1e-3
    for i in range(200):
        near = slow_neighbours(x, list(range(80)), int(after.seed_rows[i]), 4)
        assert after.reference_rows[i] in near
    assert_between(after, x)
    assert_between(mlsol(train_of(y), x, gap="feature"), x, on_the_line=False)


def test_mlsol_with_unknown_entries_and_with_nothing_to_do() -> None:
    y = np.array([[1, -1], [0, 1], [-1, 0]] * 10, dtype=np.int8)
    after = mlsol(train_of(y), cloud(30), fraction=2.0)
    source = np.stack([y[after.seed_rows], y[after.reference_rows]])
    one_sided = (source == -1).any(axis=0)
    assert (after.values[one_sided] == -1).all()
    assert (after.values[~one_sided] >= 0).all()
    with pytest.warns(NoEffectWarning, match="no rare label has a neighbour that disagrees"):
        assert mlsol(train_of(np.ones((6, 1), dtype=int)), cloud(6)).n_synthetic == 0
    with pytest.warns(NoEffectWarning, match="no rare label"):
        assert mlsol(train_of([[1]]), cloud(1), fraction=3.0).n_synthetic == 0


def test_smote_lies_between_near_rows_of_its_class() -> None:
    y, x = np.repeat([0, 1, 2], [60, 12, 30]), cloud(102)
    inside = np.arange(1, 102)
    after = smote(train_of(y, inside), x, k_neighbors=3, seed=4)
    assert after.labels.counts.tolist() == [59, 59, 59]
    assert (y[after.seed_rows] == after.values).all()
    for s, r, c in zip(after.seed_rows, after.reference_rows, after.values, strict=True):
        bag = [i for i in inside.tolist() if y[i] == c]
        assert r in slow_neighbours(x, bag, s, 3)
    assert_between(after, x)
    assert smote(train_of(y), x, ratio=0.5).labels.counts.tolist() == [60, 30, 30]


def test_smote_keeps_the_type_and_one_label_is_two_classes() -> None:
    y = np.array([0] * 20 + [1] * 5 + [-1] * 3)[:, None]
    after = smote(train_of(y), cloud(28).astype(np.float32))
    assert after.features is not None
    assert after.features.dtype == np.float32
    assert after.labels.counts.tolist() == [20]
    assert after.values.shape == (15, 1)
    assert (after.seed_rows < 25).all()


def test_smote_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imblearn.over_sampling", None)
    with pytest.raises(MissingExtraError, match=r'pip install "equipoise\[resample\]"'):
        smote(train_of([0, 0, 0, 1, 1]), cloud(5))


@pytest.mark.parametrize("call", [mlsmote, mlsol, smote])
def test_images_and_tokens_are_refused(call) -> None:
    train = train_of([0, 0, 1, 1]) if call is smote else train_of(skewed_labels(4))
    with pytest.raises(ShapeError, match=r"feature vectors \(N, F\), got shape \(4, 3, 8, 8\)"):
        call(train, np.zeros((4, 3, 8, 8)))
    with pytest.raises(DataError, match=r"be floating point, got dtype int64\. Interpolate embed"):
        call(train, np.zeros((4, 9), dtype=np.int64))
    with pytest.raises(ShapeError, match="one row per label of the whole data = 4, got 3"):
        call(train, np.zeros((3, 2)))
    with pytest.raises(DataError, match="`features` must be finite"):
        call(train, np.full((4, 2), np.nan))
    with pytest.raises(UsageError, match="`k_neighbors` must be a whole number >= 1, got 0"):
        call(train, np.zeros((4, 2)), k_neighbors=0)


def test_settings_of_the_label_methods_are_checked() -> None:
    train = train_of(skewed_labels())
    with pytest.raises(UsageError, match="`label_rule` must be one of 'ranking', 'union'"):
        mlsmote(train, cloud(), label_rule="most")
    for call in (mlsmote, mlsol):
        with pytest.raises(UsageError, match="`gap` must be one of 'row', 'feature'"):
            call(train, cloud(), gap="none")
