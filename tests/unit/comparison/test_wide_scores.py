"""Wide scores: looked at some labels and some rows at a time, they come to the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.sparse import csr_array

from equipoise import DecisionRule, Labels, Scores, evaluate, tune
from equipoise.artifacts import Correction
from equipoise.artifacts.rule import top_cells
from equipoise.decisions import Budget, Cost, Objective, Precision, TopK
from equipoise.decisions.calibration import newton_offsets, rare_offsets

Widen = Callable[[], None]
# Labels of one evaluation that are compared with those of the other.
LINE = {"calibration_slope", "calibration_intercept"}


@pytest.fixture
def widen(monkeypatch: pytest.MonkeyPatch) -> Widen:
    """Let even these small scores count as wide."""

    def set_limits() -> None:
        monkeypatch.setattr("equipoise.artifacts.scores.WIDE", 1)
        monkeypatch.setattr("equipoise.artifacts.scores.WIDE_LABELS", 2)
        monkeypatch.setattr("equipoise.artifacts.row_marks._MOST", 1)
        for name in ("equipoise.decisions._wide.ENTRIES", "equipoise.artifacts.row_marks._AT_ONCE"):
            monkeypatch.setattr(name, 5000)

    return set_limits


def scores(seed: int, split: Any, *, sparse: bool = True, n: int = 200, width: int = 40,
           unknown: float = 0.0, groups: bool = False, kind: str = "logits",
           correction: Correction | None = None) -> Scores:  # fmt: skip
    rng = np.random.default_rng(seed)
    share = 0.3 / (np.arange(width) + 1) ** 0.9
    hot = (rng.random((n, width)) < share).astype(np.int8)
    values = (rng.normal(-5, 1.5, (n, width)) + 4 * hot).astype(np.float32)
    hot[rng.random(hot.shape) < unknown] = -1
    if kind == "probabilities":
        values = 1 / (1 + np.exp(-values))
    labels = Labels.from_array(
        csr_array(hot) if sparse else hot,
        kind="multilabel",
        ids=[f"{seed}-{i}" for i in range(n)],
        groups=np.arange(n) // 2 if groups else None,
    )
    return Scores.from_arrays(labels, split=split, correction=correction, **{kind: values})


def same_rule(ours: DecisionRule, theirs: DecisionRule, atol: float) -> None:
    """Every field is equal; what Newton's steps found, within a tolerance."""
    for name in ("thresholds", "claimed", "cross_fitted", "decided", "prior", "prior_shift",
                 "threshold_low", "threshold_high"):  # fmt: skip
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=0, atol=atol)
    for name in ("scale", "offset", "effective_weight"):
        np.testing.assert_allclose(
            getattr(ours.calibrator, name), getattr(theirs.calibrator, name), rtol=atol, atol=atol
        )
    assert ours.calibrator.method == theirs.calibrator.method
    for name in ("notes", "grades", "choice", "objective", "measure", "tuned_on", "names"):
        assert getattr(ours, name) == getattr(theirs, name), name


WAYS: list[Any] = [
    (TopK(3), {}),
    (TopK(3), {"unknown": 0.05, "groups": True}),
    (TopK(3), {"kind": "ranking"}),
    pytest.param(TopK(3), {"kind": "probabilities"}, marks=pytest.mark.slow),
    (TopK(3), {"correction": Correction.from_pos_weight(3.0)}),
    ("f1", {}),
    pytest.param("f1", {"unknown": 0.05, "groups": True}, marks=pytest.mark.slow),
    pytest.param(Cost((1, 5)), {}, marks=pytest.mark.slow),
    pytest.param(Precision(at_least=0.6), {}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("objective", "given_too"), WAYS)
def test_wide_scores_are_tuned_as_others(
    objective: str | Objective, given_too: dict[str, Any], widen: Widen
) -> None:
    theirs = tune(scores(1, "val", **given_too), objective=objective, seed=3)
    dense = tune(scores(1, "val", sparse=False, **given_too), objective=objective, seed=3)
    assert theirs.to_dict() == dense.to_dict()
    widen()
    val = scores(1, "val", **given_too)
    assert val.is_wide
    assert val.values.dtype == np.float32
    same_rule(tune(val, objective=objective, seed=3), theirs, 1e-7)


@pytest.mark.parametrize(
    ("objective", "given_too"),
    [
        (TopK(3), {}),
        pytest.param(TopK(3), {"unknown": 0.05}, marks=pytest.mark.slow),
        pytest.param("f1", {"groups": True}, marks=pytest.mark.slow),
        pytest.param("f1", {"unknown": 0.05}, marks=pytest.mark.slow),
    ],
)
def test_wide_scores_are_evaluated_as_others(
    objective: str | Objective, given_too: dict[str, Any], widen: Widen
) -> None:
    rule = tune(scores(1, "val"), objective=objective)
    counts = scores(1, "val").require_labels().counts * 9
    settings: dict[str, Any] = {"train_counts": counts, "by": "label_count", "net_benefit_at": 0.1}
    theirs = evaluate(rule, scores(2, "test", **given_too), **settings)
    dense = evaluate(rule, scores(2, "test", sparse=False, **given_too), **settings)
    assert str(theirs.to_dict()) == str(dense.to_dict())
    widen()
    ours = evaluate(rule, scores(2, "test", **given_too), **settings)
    seen = 0
    for name, row in theirs.per_label.items():
        assert set(row) == set(ours.per_label[name])
        n_positive = row["ap"].n_positive or 0
        for metric, estimate in row.items():
            mine = ours.per_label[name][metric]
            if metric in LINE and 0 < n_positive < 20:
                assert mine.is_missing
                assert mine.reason == "fewer than 20 positives, of many labels: not fitted"
                seen += 1
                continue
            compare(mine, estimate)
    assert seen > 5
    for table in ("overall", "groups"):
        for group, row in getattr(theirs, table).items():
            for metric, estimate in row.items():
                compare(getattr(ours, table)[group][metric], estimate)
    for count, row in theirs.by["label_count"].items():
        for metric, estimate in row.items():
            compare(ours.by["label_count"][count][metric], estimate)
    for field in ("n_evaluable", "not_evaluable", "counts", "names", "n_rows", "evaluated_on"):
        assert getattr(ours, field) == getattr(theirs, field), field


def compare(mine: Any, theirs: Any) -> None:
    """Two estimates are the same but for rounding."""
    for name in ("value", "low", "high"):
        np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), rtol=1e-9, atol=1e-9)
    for name in ("n", "n_positive", "method", "reason", "confidence_level"):
        assert getattr(mine, name) == getattr(theirs, name), (name, mine, theirs)


def test_what_is_shared_by_all_labels_goes_the_way_of_all(widen: Widen) -> None:
    theirs = tune(scores(1, "val"), objective=Budget(flags_per_row=2.0))
    widen()
    same_rule(tune(scores(1, "val"), objective=Budget(flags_per_row=2.0)), theirs, 1e-12)


def test_wide_scores_without_ids_have_the_fingerprint_of_others(widen: Widen) -> None:
    values = np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32)
    made = [Scores.from_arrays(None, logits=values, split="new", kind="multilabel")]
    widen()
    made.append(Scores.from_arrays(None, logits=values, split="new", kind="multilabel"))
    assert [s.values.dtype for s in made] == [np.float64, np.float32]
    assert made[0].fingerprint == made[1].fingerprint
    assert made[1].logits().dtype == np.float64
    with pytest.raises(Exception, match=r"`logits` must be finite, got 1 NaN or infinite values"):
        Scores.from_arrays(None, logits=np.where(values == values.max(), np.nan, values),
                           split="new", kind="multilabel")  # fmt: skip


@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(256, 900), st.booleans())
def test_the_best_k_of_wide_rows_are_those_of_a_stable_sort(
    seed: int, k: int, width: int, tied: bool
) -> None:
    values = np.random.default_rng(seed).normal(size=(5, width))
    values = np.round(values) if tied else values
    rows, columns = top_cells(values, k)
    assert rows.tolist() == np.repeat(np.arange(5), k).tolist()
    slow = np.argsort(-values, axis=1, kind="stable")[:, :k]
    assert columns.reshape(5, k).tolist() == slow.tolist()


@given(st.integers(0, 10**6), st.integers(1, 12), st.floats(-12, 2), st.floats(0.1, 4))
def test_offsets_of_rare_labels_are_those_of_newton(
    seed: int, positives: int, middle: float, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    n, folds = 2000, 5
    z = rng.normal(middle, spread, n)
    positive = np.arange(n) < positives
    rng.shuffle(positive)
    part = np.sort(rng.integers(0, folds, n))
    found = rare_offsets(z, positive, part)
    for number, offset in enumerate(found, start=-1):
        rows = part != number
        if not positive[rows].any():
            assert np.isnan(offset)
            continue
        exact = newton_offsets(
            z[rows, None], np.ones((rows.sum(), 1), dtype=bool), positive[rows].mean()[None]
        )
        assert abs(offset - exact[0]) < 1e-8 * (1 + abs(exact[0]))


def test_an_offset_that_would_take_a_look_at_many_rows_is_left_to_others() -> None:
    none = np.zeros(0, dtype=np.int64)
    assert np.isnan(rare_offsets(np.zeros(100), np.arange(100) < 9, none)).all()
    # All of the highest rows lie in the part that is left out: what is left lies out of reach.
    z = np.where(np.arange(300) < 128, 5.0, -30.0) + np.linspace(0, 0.1, 300)
    positive, part = np.isin(np.arange(300), [260, 290]), (np.arange(300) >= 250).astype(int)
    assert np.isnan(rare_offsets(z, positive, part)).tolist() == [False, True, True]
