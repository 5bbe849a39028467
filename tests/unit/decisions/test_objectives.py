"""Every objective against a slow search over all cuts, and what tune refuses."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import binomtest
from sklearn.metrics import balanced_accuracy_score, fbeta_score, matthews_corrcoef

from equipoise.artifacts import DecisionRule, Labels, Scores
from equipoise.decisions import (
    BalancedAccuracy,
    Budget,
    Cost,
    FBeta,
    NetBenefit,
    Objective,
    Precision,
    Recall,
    Rescale,
    TopK,
    certified_cut,
    tune,
)
from equipoise.decisions.certify import least_flagged, precision_lower_bound
from equipoise.decisions.objectives import RECORDS, Mcc, Prevalence, to_objective
from equipoise.decisions.thresholds import plug_in_threshold, tune_threshold
from equipoise.errors import EquipoiseError, ShapeError, UsageError
from equipoise.metrics.sweep import Sweep

MEASURES: dict[str, Objective] = {
    "f_beta": FBeta(2.0),
    "cost": Cost((1.0, 7.0)),
    "net_benefit": NetBenefit(0.2),
    "balanced_accuracy": BalancedAccuracy(),
    "mcc": Mcc(),
    "recall": Recall(at_least=0.8),
    "prevalence": Prevalence(),
}
GIVEN: dict[str, str | Objective] = {
    "f1": "f1",
    "f0.5": "f0.5",
    "cost": Cost((1, 9)),
    "balanced_accuracy": "balanced_accuracy",
    "mcc": "mcc",
    "precision": Precision(at_least=0.6),
    "recall": Recall(at_least=0.9),
    "net_benefit": NetBenefit(threshold_probability=0.2),
    "prevalence": "prevalence",
    "budget": Budget(flags_per_row=0.2),
    "top_k": TopK(k=1),
    "rescale": "rescale",
}


def table(y: np.ndarray, flag: np.ndarray) -> tuple[Any, ...]:
    tp, fp = (flag & (y == 1)).sum(), (flag & (y == 0)).sum()
    return tuple(np.asarray(float(v)) for v in (tp, fp, (y == 1).sum(), (y == 0).sum()))


@given(hnp.arrays(np.bool_, 12), hnp.arrays(np.bool_, 12))
def test_measures_are_those_of_scikit_learn(y: np.ndarray, flag: np.ndarray) -> None:
    counts = table(y.astype(int), flag)
    if y.any():
        f2 = fbeta_score(y, flag, beta=2, zero_division=0)
        assert float(MEASURES["f_beta"].value(*counts)) == pytest.approx(f2)
    if y.any() and not y.all():
        both = float(MEASURES["balanced_accuracy"].value(*counts))
        assert both == pytest.approx(balanced_accuracy_score(y, flag))
        assert float(MEASURES["mcc"].value(*counts)) == pytest.approx(matthews_corrcoef(y, flag))
    else:
        assert np.isnan(MEASURES["balanced_accuracy"].value(*counts))
    assert float(MEASURES["cost"].value(*counts)) == pytest.approx(
        (np.sum(flag & ~y) + 7 * np.sum(~flag & y)) / 12
    )


@pytest.mark.parametrize("name", ["f_beta", "cost", "net_benefit", "balanced_accuracy", "mcc"])
def test_with_many_positives_the_cut_is_the_best_of_all(name: str) -> None:
    rng = np.random.default_rng(1)
    y = rng.random(20_000) < 0.2
    z = 2 * (rng.normal(size=y.size) + 2 * y) - 2 + np.log(0.25)
    cut = tune_threshold(z, y, rng, objective=MEASURES[name])
    points = Sweep.from_sorted(np.sort(z)[::-1], y[np.argsort(-z)])
    values = MEASURES[name].utility(
        points.tp * 1.0, points.fp * 1.0, float(y.sum()), float((~y).sum())
    )
    reached = float(MEASURES[name].utility(*table(y.astype(int), z >= cut)))
    assert reached == pytest.approx(values.max(), abs=0.01)


@pytest.mark.parametrize("name", ["cost", "net_benefit", "balanced_accuracy"])
def test_the_formula_is_where_the_search_of_the_plug_in_ends(name: str) -> None:
    z = np.random.default_rng(2).normal(-1, 2, 50_000)
    prior = float((1 / (1 + np.exp(-z))).mean())
    assert plug_in_threshold(z, objective=MEASURES[name]) == pytest.approx(
        MEASURES[name].cut(prior), abs=0.01
    )


@given(st.integers(1, 60), st.floats(0.05, 1, exclude_max=True), st.integers(0, 500))
def test_a_recall_asked_for_holds_on_the_rows(positives: int, wanted: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = np.arange(300) < positives
    z = rng.normal(size=300).round(1) + y
    cut = tune_threshold(z, y, rng, objective=Recall(at_least=wanted), rounds=10)
    assert (z[y] >= cut).mean() >= wanted - 1e-9


@given(st.integers(1, 299), st.integers(0, 500))
def test_rate_matching_flags_as_many_as_are_positive(positives: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, z = rng.permutation(300) < positives, rng.permutation(300) * 1.0
    cut = tune_threshold(z, y, rng, objective="prevalence")
    assert (z >= cut).sum() == positives


def test_the_lower_bound_is_clopper_and_pearson() -> None:
    for hits, n in [(0, 5), (3, 7), (29, 29), (90, 100)]:
        want = binomtest(hits, n, alternative="greater").proportion_ci(0.95, "exact").low
        found = precision_lower_bound(np.array([hits]), np.array([n]))[0]
        assert found == pytest.approx(want)
    for wanted in (0.5, 0.9, 0.99):
        least = least_flagged(wanted)
        assert 0.05 ** (1 / least) >= wanted - 1e-12
        assert 0.05 ** (1 / (least - 1)) < wanted


def slow_certificate(tp: list[int], fp: list[int], wanted: float) -> int:
    """Return the index of the laxest certified point, -1 for none, one test after another."""
    flagged = [a + b for a, b in zip(tp, fp, strict=True)]
    least = math.ceil(math.log(0.05) / math.log(wanted) - 1e-9)
    starts = max(1, math.ceil(math.log2(max(flagged[-1] / least, 1))) + 1)
    level = 1 - 0.05 / starts
    first = math.ceil(math.log(1 - level) / math.log(wanted) - 1e-9)
    best = -1
    for number in range(starts):
        for i, n in enumerate(flagged):
            if n < first * 2**number:
                continue
            ci = binomtest(tp[i], n, alternative="greater").proportion_ci(level, "exact")
            if ci.low < wanted:
                break
            best = max(best, i)
    return best


SEEDS = [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 6))]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("wanted", [0.5, 0.8])
def test_fixed_sequences_are_the_slow_ones(seed: int, wanted: float) -> None:
    rng = np.random.default_rng(seed)
    y = rng.random(300) < 0.4
    z = (rng.normal(size=300) + 2.5 * y).round(2)
    order = np.argsort(-z)
    points = Sweep.from_sorted(z[order], y[order])
    best = slow_certificate(points.tp.tolist(), points.fp.tolist(), wanted)
    want = points.cut_below(best) if best >= 0 else np.inf
    assert certified_cut(points, wanted) == want


def some_scores(rows: int = 600, seed: int = 0, score_kind: str = "logits") -> Scores:
    rng = np.random.default_rng(seed)
    y = (rng.random((rows, 3)) < [0.3, 0.1, 0.02]).astype(int)
    z = rng.normal(size=y.shape) + 2 * y - 1
    labels = Labels.from_array(y, kind="multilabel", ids=np.arange(rows) + 10_000 * seed)
    return Scores.from_arrays(labels, split="val", **{score_kind: z})  # type: ignore[arg-type]


def test_every_objective_is_tried_here() -> None:
    names = {n for n, record in RECORDS.items() if "multilabel" in record.kinds}
    assert names <= set(GIVEN)


@pytest.mark.parametrize("objective", GIVEN)
@pytest.mark.parametrize("target", ["validation", "uniform"])
def test_a_rule_decides_later_as_when_it_was_tuned(
    objective: str, target: str, tmp_path: Any
) -> None:
    """Claims are recomputed from what the reloaded rule decides, at the target prior."""
    val = some_scores()
    rule = tune(val, objective=GIVEN[objective], target_prior=target)
    again = DecisionRule.load(rule.save(tmp_path / "rule.json"))
    flags, y = again.apply(val).predictions == 1, val.require_labels().values
    n = y.sum(0) + 0.5
    pi = n / (len(y) + 1)
    w = np.ones((2, 3)) if target == "validation" else np.stack([0.5 / pi, 0.5 / (1 - pi)])
    made = to_objective(GIVEN[objective], "multilabel", 3)
    measure = FBeta() if rule.measure == "f1" else made
    for c in range(3):
        tp, fp, positives, negatives = table(y[:, c], flags[:, c])
        want = measure.value(w[0, c] * tp, w[1, c] * fp, w[0, c] * positives, w[1, c] * negatives)
        assert rule.claimed[c] == pytest.approx(float(want), nan_ok=True)
    assert again.parameters == rule.parameters
    assert rule.cross_fitted.shape == (3,)


def test_budget_and_top_k_keep_their_numbers() -> None:
    val, test = some_scores(), some_scores(seed=1)
    for budget in (0.01, 0.2, 1.5):
        rule = tune(val, objective=Budget(budget))
        flags = rule.apply(test).predictions
        assert flags.sum() == math.floor(budget * 600 + 1e-9)
        z = rule.log_odds(test)
        assert z[flags == 1].min() > z[flags == 0].max()
        # Row by row the cut that met the budget on validation rows serves.
        alone = rule.log_odds(val) >= rule.thresholds
        assert np.array_equal(alone, rule.apply(val).predictions == 1)
    top = tune(val, objective=TopK(2)).apply(test).predictions
    assert (top.sum(axis=1) == 2).all()


def test_ties_at_the_border_of_a_budget_are_left_out() -> None:
    val = some_scores()
    rule = tune(val, objective=Budget(0.5))
    same = Scores.from_arrays(None, logits=np.zeros((4, 1)), split="new", kind="multilabel")
    one = tune(
        Scores.from_arrays(
            Labels.from_array([0, 1] * 30, kind="multilabel"), logits=[-1.0, 1.0] * 30, split="val"
        ),
        objective=Budget(0.5),
    )
    assert one.apply(same).predictions.sum() == 0
    assert rule.apply(val).predictions.sum() == 300


def test_rescale_is_the_textbook_cut() -> None:
    val = some_scores()
    counts = np.array([300.0, 100.0, 20.0])
    rule = tune(val, objective=Rescale(counts / 1000))
    odds = np.exp(val.values)
    assert np.array_equal(rule.apply(val).predictions == 1, odds >= counts / (1000 - counts))
    assert all("unbiased sample" in note for note in rule.notes)
    assert np.array_equal(rule.claimed, rule.cross_fitted)


def test_dearer_misses_flag_more() -> None:
    val = some_scores(3000)
    flags = [tune(val, objective=Cost((1, c))).apply(val).predictions.sum() for c in (1, 5, 25)]
    assert flags == sorted(flags)
    assert flags[0] < flags[2]
    each = tune(val, objective=Cost([(1, 1), (1, 5), (1, 25)]))
    alone = tune(val, objective=Cost((1, 5)))
    assert each.thresholds is not None
    assert alone.thresholds is not None
    assert each.thresholds[1] == alone.thresholds[1]


def test_a_precision_without_evidence_never_flags() -> None:
    rule = tune(some_scores(200), objective=Precision(at_least=0.95))
    assert rule.thresholds is not None
    assert np.isinf(rule.thresholds[2])
    assert "precision 0.95 is not certified: never flagged (at least 59 rows" in rule.notes[2]


@pytest.mark.parametrize("objective", ["f1", "mcc", "cost", "recall"])
def test_the_spread_surrounds_the_bagged_cut(objective: str) -> None:
    rule = tune(some_scores(2000), objective=GIVEN[objective])
    assert (rule.threshold_low <= rule.threshold_high).all()
    assert np.isfinite(rule.threshold_low).all()


@pytest.mark.parametrize("objective", [o for o in GIVEN if o not in ("top_k", "budget")])
def test_cuts_lie_between_scores(objective: str) -> None:
    val = some_scores(300)
    rule = tune(val, objective=GIVEN[objective])
    z = rule.log_odds(val)
    assert rule.thresholds is not None
    for c, cut in enumerate(rule.thresholds):
        assert cut not in z[:, c] or cut == z[:, c].min()


BAD: list[tuple[Callable[[], dict[str, Any]], type[EquipoiseError], str]] = [
    (lambda: {"objective": "precision"}, UsageError, r"Give Precision\(at_least=...\)"),
    (lambda: {"objective": TopK(4)}, UsageError, "whole number in 1..3"),
    (lambda: {"objective": TopK(1.5)}, UsageError, "whole number"),  # type: ignore[arg-type]
    (lambda: {"objective": Budget(4)}, UsageError, "at most the 3 labels"),
    (lambda: {"objective": Recall(1.2)}, UsageError, r"lie in \(0, 1\)"),
    (lambda: {"objective": Cost((1, 2, 3))}, ShapeError, r"\(2,\) or \(3, 2\)"),
    (lambda: {"objective": Cost((0, 1))}, UsageError, "finite and > 0"),
    (lambda: {"objective": NetBenefit(0)}, UsageError, r"\(0, 1\)"),
    (lambda: {"objective": Rescale((0.1, 0.2))}, ShapeError, r"shape \(3,\)"),
    (lambda: {"objective": "rescale", "calibration": "platt"}, UsageError, "fits nothing"),
    (lambda: {"objective": "precision_at"}, UsageError, "Did you mean `precision`"),
    (lambda: {"objective": BalancedAccuracy(True)}, UsageError, "They are for classes"),
    (lambda: {"calibration": "vector"}, UsageError, "be one of 'auto'"),
    (lambda: {"objective": Precision(0.9, 1.0)}, UsageError, r"lie in \(0, 1\)"),
]


@pytest.mark.parametrize(("given_", "error", "text"), BAD)
def test_what_tune_refuses(
    given_: Callable[[], dict[str, Any]], error: type[EquipoiseError], text: str
) -> None:
    with pytest.raises(error, match=text) as caught:
        tune(some_scores(60), **given_())
    assert "\n" not in str(caught.value)


def test_ranking_scores_have_no_textbook_cut() -> None:
    with pytest.raises(UsageError, match="only rank need a fitted threshold"):
        tune(some_scores(60, score_kind="ranking"), objective="rescale")
