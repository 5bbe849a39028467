"""Labels held by what there is of them: the same as dense ones, whatever they were made from."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import sparse

from equipoise import Labels, diagnose
from equipoise.diagnosis import Material, run_checks
from equipoise.errors import DataError, DataWarning, ShapeError
from equipoise.labels import (
    class_weights,
    cooccurrence,
    label_statistics,
    pos_weights,
    scumble,
)
from equipoise.labels.pairs import cooccurring
from equipoise.sampling import (
    class_balanced_weights,
    instance_weights,
    repeat_factors,
    sampler_correction,
)
from equipoise.sampling.effect import weighted_rates
from equipoise.sampling.weights import inverse_labelset_weights, single_label_weights


def table(seed: int, n: int = 120, width: int = 9) -> np.ndarray:
    """Random labels with unknown entries, a label without any, and rows without any."""
    rng = np.random.default_rng(seed)
    hot = (rng.random((n, width)) < rng.random(width) * 0.4).astype(np.int8)
    hot[rng.random((n, width)) < 0.03] = -1
    hot[:, width // 2] = 0
    hot[rng.random(n) < 0.1] = 0
    return hot


def forms(hot: np.ndarray, **side: Any) -> dict[str, Labels]:
    """The same labels, from every kind of input."""
    names = [f"L{i}" for i in range(hot.shape[1])]
    rows = [np.flatnonzero(row == 1).tolist() for row in hot]
    unknown = [np.flatnonzero(row == -1).tolist() for row in hot]
    texts = [[names[i] for i in row] for row in rows]
    made = {
        form: Labels.from_array(build(hot), kind="multilabel", names=names, **side)
        for form, build in {
            "dense": lambda a: a,
            "csr": sparse.csr_array,
            "csc": sparse.csc_array,
            "coo": sparse.coo_matrix,
            "float": lambda a: sparse.csr_array(np.where(a < 0, np.nan, a)),
        }.items()
    }
    made["lists"] = Labels.from_lists(rows, names=names, unknown=unknown, **side)
    made["texts"] = Labels.from_lists(texts, names=names, unknown=unknown, **side)
    made["arrays"] = Labels.from_lists(
        [np.array(r, dtype=np.int64) for r in rows], names=names, unknown=unknown, **side
    )
    return made


@pytest.mark.parametrize("seed", range(4))
def test_all_forms_are_the_same_labels(seed: int) -> None:
    hot = table(seed)
    ids, groups = [f"r{i}" for i in range(len(hot))], np.arange(len(hot)) // 3
    made = forms(hot, ids=ids, groups=groups)
    dense = made.pop("dense")
    assert not dense.is_sparse
    picks = [[5, 0, 5], np.arange(len(hot)) % 2 == 0, slice(3, 40, 4), [-1], []]
    for labels in made.values():
        assert labels.is_sparse
        assert len(labels) == len(hot)
        assert (labels.counts == (hot == 1).sum(axis=0)).all()
        assert (labels.known == (hot != -1).sum(axis=0)).all()
        assert np.array_equal(labels.prevalence, dense.prevalence, equal_nan=True)
        assert labels.fingerprint == dense.fingerprint
        for rows in picks:
            assert labels[rows].is_sparse
            assert np.array_equal(labels[rows].values, dense[rows].values)
            assert labels[rows].ids.tolist() == dense[rows].ids.tolist()  # type: ignore[union-attr]
        turned = dense.names[::-1]
        assert np.array_equal(labels.in_order(turned).values, dense.in_order(turned).values)
        assert np.array_equal(labels.narrow(2, 7).values, dense.narrow(2, 7).values)
        for ours, theirs in zip(labels.columns(), dense.columns(), strict=True):
            assert (ours == theirs).all()
        assert np.array_equal(labels.values, hot)


def test_a_fingerprint_is_that_of_a_table_of_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    dense, *others = forms(table(0)).values()
    monkeypatch.setattr("equipoise.artifacts.entries.BLOCK", 40)
    assert {labels[::-1].fingerprint for labels in others} == {dense[::-1].fingerprint}


@pytest.mark.parametrize("seed", range(4))
def test_counts_statistics_and_weights_are_the_same(seed: int) -> None:
    made = forms(table(seed))
    dense = made.pop("dense")
    weight = np.linspace(1, 2, dense.num_classes)
    drawn = np.linspace(1, 3, len(dense))
    measures = (
        cooccurrence,
        lambda x: scumble(x).rows,
        lambda x: scumble(x).labels,
        lambda x: class_weights(x, zero_counts="ignore"),
        lambda x: pos_weights(x, zero_counts="ignore"),
        *(lambda x, j=j: instance_weights(x, weight, rule=j) for j in ("max", "mean", "sum")),
        class_balanced_weights,
        inverse_labelset_weights,
        single_label_weights,
        lambda x: repeat_factors(x, threshold=0.5),
        lambda x: weighted_rates(x, drawn),
        lambda x: sampler_correction(drawn, x).nominal_weight,
    )
    for labels in (made["csr"], made["lists"]):
        ours, theirs = (label_statistics(x).to_dict() for x in (labels, dense))
        assert str(ours) == str(theirs)
        for measure in measures:
            assert np.array_equal(measure(labels), measure(dense), equal_nan=True)


@pytest.mark.parametrize("seed", range(4))
def test_findings_are_the_same(seed: int) -> None:
    hot = table(seed, 700)
    hot[:, 1] = hot[:, 0]  # two labels always together
    hot[hot[:, 2] == 1, 3] = 0  # and two never
    features = np.random.default_rng(seed).integers(0, 30, (700, 1))
    made = forms(hot)
    dense, split = made.pop("dense"), None
    for labels in (made["csc"], made["lists"]):
        for given_too in ({}, {"features": features}):
            ours, theirs = (
                run_checks(Material(x, split=split, **given_too)) for x in (labels, dense)
            )
            assert [r.status for r in ours] == [r.status for r in theirs]
            assert str(ours) == str(theirs)
        assert {"EQ109", "EQ111"} <= {f.code for f in diagnose(labels)}


@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 12), st.floats(0.0, 0.9))
def test_pairs_are_those_of_a_slow_loop(seed: int, n: int, width: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    hot = (rng.random((n, width)) < rate * rng.random(width)).astype(np.int8)
    labels = Labels.from_array(sparse.csr_array(hot), kind="multilabel")
    found = {
        (a, b): c for a, b, c in zip(*map(np.ndarray.tolist, cooccurring(labels)), strict=True)
    }
    slow = {(a, b): int((hot[:, a] & hot[:, b]).sum()) for a, b in product(range(width), repeat=2)}
    assert found == {pair: n for pair, n in slow.items() if n}
    assert list(found) == sorted(found)


@pytest.mark.parametrize("seed", range(20))
def test_what_never_meets_is_found_as_by_a_slow_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, width = 400, 30
    hot = (rng.random((n, width)) < rng.random(width) * 0.6).astype(np.int8)
    for a, b in rng.integers(0, width, (6, 2)).tolist():
        if a != b:
            hot[hot[:, a] == 1, b] = 0
    labels = Labels.from_array(hot, kind="multilabel")
    counts, both = hot.sum(axis=0), hot.T.astype(int) @ hot
    names, pairs = labels.names, list(product(range(width), repeat=2))
    always = [(names[i], names[j], int(counts[i])) for i, j in pairs
              if i != j and counts[i] >= 20 and both[i, j] == counts[i]]  # fmt: skip
    never = [(names[i], names[j], float(counts[i] * counts[j] / n)) for i, j in pairs
             if i < j and both[i, j] == 0 and counts[i] * counts[j] / n >= 10]  # fmt: skip
    found = [f.evidence for f in diagnose(labels) if f.code == "EQ109"]
    if always or never:
        assert [tuple(p) for p in found[0]["always"]] == always
        assert [tuple(p) for p in found[0]["never"]] == never
    else:
        assert not found


def test_sparse_labels_are_saved_by_their_positives_and_read_again(tmp_path: Path) -> None:
    hot = table(3)
    labels = forms(hot, ids=np.arange(len(hot)), groups=np.arange(len(hot)) // 2)["csr"]
    again = Labels.load(labels.save(tmp_path / "labels.parquet"))
    assert again.is_sparse
    assert again.names == labels.names
    assert np.array_equal(again.values, hot)
    assert again.fingerprint == labels.fingerprint
    assert again.groups.tolist() == labels.groups.tolist()  # type: ignore[union-attr]
    dense = forms(hot)["dense"]
    assert not Labels.load(dense.save(tmp_path / "dense.parquet")).is_sparse
    bare = Labels.from_lists([[], []], names=["A", "B"])
    assert Labels.load(bare.save(tmp_path / "bare.parquet")).counts.tolist() == [0, 0]


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (
        lambda: Labels.from_array(sparse.csr_array([[0, 1], [3, 0]]), kind="multilabel"),
        DataError,
        (
            "`values` must be 0, 1 or -1 (unknown), got 3 in row 1, column 0. Store 1 for "
            "present and -1 for unknown, each cell once."
        ),
    ),
    (
        lambda: Labels.from_array(
            sparse.coo_array(([1, 1], ([1, 1], [0, 0])), shape=(2, 2)), kind="multilabel"
        ),
        DataError,
        "got 2 in row 1, column 0.",
    ),
    (
        lambda: Labels.from_array(sparse.csr_array([[0, 1], [1, 0]]), kind="multiclass"),
        DataError,
        "`values` must be class indices, (N,), got a sparse table, shape (2, 2).",
    ),
    (
        lambda: Labels.from_array(sparse.csr_array((0, 3)), kind="multilabel"),
        DataError,
        "`values` must have at least one row, got none.",
    ),
    (
        lambda: Labels.from_array(sparse.csr_array([[0, 1]]), kind="multilabel", names=["A"]),
        ShapeError,
        "`names` must have one entry per label = 2, got 1.",
    ),
    (
        lambda: Labels.from_array([[1, 0], [1]], kind="multilabel"),
        ShapeError,
        (
            "`values` must be a rectangular array, got rows of different length. Rows that "
            "list the labels they have go to Labels.from_lists."
        ),
    ),
    (
        lambda: Labels.from_lists([[0], [2]], names=["A", "B"]),
        DataError,
        (
            "`rows` must list label indices below the number of labels = 2, got 2 in row 1. "
            "Raise it, or check that labels are counted from 0."
        ),
    ),
    (
        lambda: Labels.from_lists([[0], [-1]], num_labels=2),
        DataError,
        (
            "`rows` must list label indices >= 0, got -1 in row 1. An unknown entry goes "
            "into `unknown`."
        ),
    ),
    (
        lambda: Labels.from_lists([["A"], ["C"]], names=["A", "B"]),
        DataError,
        "`rows` must hold only names, got 'C' in row 1. Names bind: check the spelling.",
    ),
    (
        lambda: Labels.from_lists([["A"]], num_labels=2),
        DataError,
        (
            "`rows` must list label indices, got 'A'. Give label indices 0 to L - 1, or the "
            "texts in `names`."
        ),
    ),
    (
        lambda: Labels.from_lists([[0.5]], num_labels=2),
        DataError,
        "`rows` must list label indices, got 0.5.",
    ),
    (
        lambda: Labels.from_lists([[1, 0, 1]], num_labels=2),
        DataError,
        "`rows` must list each label once, got label 1 twice in row 0. Leave repeats out.",
    ),
    (
        lambda: Labels.from_lists(["AB", "A"], names=["A", "B"]),
        DataError,
        (
            "`rows` must be lists of labels, got 'AB'. Write a row with one label as "
            "[label], a row without any as []."
        ),
    ),
    (
        lambda: Labels.from_lists([[0]], names=["A", "B"], num_labels=3),
        ShapeError,
        "`num_labels` must be the number of names = 2, got 3. Leave one of the two out.",
    ),
    (
        lambda: Labels.from_lists([[0], [1]], num_labels=2, unknown=[[1]]),
        ShapeError,
        (
            "`unknown` must have one list per row = 2, got 1. Give one list per row, [] "
            "where nothing is unknown."
        ),
    ),
    (
        lambda: Labels.from_lists([[0, 1]], num_labels=2, unknown=[[1]]),
        DataError,
        (
            "`unknown` must list other labels than `rows`, got label 1 of row 0 in both. "
            "Leave it out of one of the two."
        ),
    ),
    (
        lambda: Labels.from_lists([]),
        DataError,
        "`values` must have at least one row, got none.",
    ),
]


@pytest.mark.parametrize(("make", "error", "text"), REFUSED)
def test_what_is_no_label_is_refused(make: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert text in str(caught.value)


def test_labels_of_1_and_unknown_alone_are_remarked_on() -> None:
    hot = np.where(np.random.default_rng(0).random((30, 3)) < 0.5, 1, -1)
    with pytest.warns(DataWarning, match="write 0 for absent"):
        Labels.from_array(sparse.csr_array(hot), kind="multilabel")


def test_the_number_of_labels_is_that_of_the_largest_where_nothing_says_it() -> None:
    assert Labels.from_lists([[0], [], [4]]).num_classes == 5
    assert Labels.from_lists([[0], [1]], unknown=[[6], []]).num_classes == 7


def test_texts_name_the_labels_themselves() -> None:
    found = Labels.from_lists([["b", "a"], [], ["c", "b"]])
    assert found.names == ("a", "b", "c")
    assert found.values.tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 1]]
    unseen = Labels.from_lists([["a"], []], unknown=[[], ["b"]])
    assert unseen.values.tolist() == [[1, 0], [0, -1]]
