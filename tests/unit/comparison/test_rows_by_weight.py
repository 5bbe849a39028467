"""Row weights: as if a row stood there so many times, and no more certain than it is once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logit
from scipy.stats import norm
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from equipoise.artifacts import Estimate, Evaluation, Labels, Scores, Trial
from equipoise.artifacts.labels import effective_size
from equipoise.comparison import compare, compare_scores, evaluate
from equipoise.decisions import Budget, Cost, Precision, Recall, tune
from equipoise.decisions._offsets import class_values, free_offsets, strength_counts
from equipoise.decisions.calibration import (
    fit_isotonic,
    fit_label_calibrator,
    newton_offsets,
    newton_platt,
)
from equipoise.decisions.class_calibration import fit_class_calibrator
from equipoise.errors import DataError, UsageError
from equipoise.metrics.ranks import Ranks, rank_positives
from equipoise.metrics.sweep import Sweep

KINDS = ("multilabel", "multiclass")


def rows(kind: str, seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth, tied logits and whole-number weights that go with the truth."""
    rng = np.random.default_rng(seed)
    if kind == "multilabel":
        y = (rng.random((n, 2)) < [0.3, 0.15]).astype(int)
        z = 1.5 * y - 1 + rng.normal(size=(n, 2))
        y[:5, 1] = -1
        weight = rng.integers(1, 4, n) + 2 * (y[:, 0] == 0)
    else:
        y = rng.choice(3, n, p=[0.6, 0.3, 0.1])
        z = 1.5 * np.eye(3)[y] + rng.normal(size=(n, 3))
        weight = rng.integers(1, 4, n) + 2 * (y == 0)
    return y, np.round(z, 1), weight


def scores(kind: str, seed: int, part: str, n: int = 600, scale: float | None = 0.7) -> Scores:
    y, z, weight = rows(kind, seed, n)
    own = None if scale is None else weight * scale
    return Scores.from_arrays(Labels.from_array(y, kind=kind, weights=own), logits=z, split=part)


def repeated(kind: str, seed: int, part: str, n: int = 600) -> Scores:
    """Every row as often as its weight says, the copies in one group."""
    y, z, weight = rows(kind, seed, n)
    of_row = np.repeat(np.arange(n), weight)
    labels = Labels.from_array(y[of_row], kind=kind, groups=of_row)
    return Scores.from_arrays(labels, logits=z[of_row], split=part)


def estimates(found: Evaluation) -> dict[tuple[str, str], Estimate]:
    parts = {**found.per_label, **found.overall}
    return {(name, metric): e for name, part in parts.items() for metric, e in part.items()}


# A share has Wilson's interval with the rows that say as much; groups have influence values. Where
# a cut is found on the same rows, the slope around it is taken over so many rows as there are.
WILSON = ("prevalence", "precision", "recall", "specificity", "flagged")
AT_A_CUT = ("recall_at_fpr", "precision_at_top")


def wilson(one: Estimate, clustered: Estimate) -> tuple[float, float]:
    """Wilson's interval of as many rows as have the clustered interval's variance, or as are."""
    p, z = one.value, float(norm.isf(0.025))
    wide = (logit(clustered.high) - logit(clustered.low)) / 2 / z
    n = min(1 / (wide**2 * p * (1 - p)), one.n or 0)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return float(centre - reach), float(centre + reach)


@pytest.mark.parametrize("kind", KINDS)
def test_estimates_and_intervals_are_those_of_repeated_rows_in_groups(kind: str) -> None:
    rule = tune(scores(kind, 1, "val", scale=None))
    weighted = estimates(evaluate(rule, scores(kind, 2, "test", 1500), max_fpr=0.25))
    copies = estimates(evaluate(rule, repeated(kind, 2, "test", 1500), max_fpr=0.25))
    assert weighted.keys() == copies.keys()
    seen = 0
    for (name, metric), one in weighted.items():
        other = copies[name, metric]
        # Of copies whole rows are looked at, one more than a share of their weight at most.
        near = 1 / (0.1 * rows(kind, 2, 1500)[2].sum()) if metric == "precision_at_top" else 1e-10
        assert one.value == pytest.approx(other.value, abs=near), metric
        if metric in AT_A_CUT:
            continue
        if metric in WILSON and name not in ("macro", "micro"):
            assert (one.low, one.high) == pytest.approx(wilson(one, other), abs=0.004)
            continue
        seen += 1
        assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-9), metric
    assert seen > 40


def test_weighted_values_are_those_of_scikit_learn() -> None:
    y, z, weight = rows("multilabel", 3, 500)
    found = evaluate(tune(scores("multilabel", 1, "val")), scores("multilabel", 3, "test", 500))
    kept = found.per_label["0"]
    ap = average_precision_score(y[:, 0], z[:, 0], sample_weight=weight)
    area = roc_auc_score(y[:, 0], z[:, 0], sample_weight=weight)
    assert kept["ap"].value == pytest.approx(ap, abs=1e-12)
    assert kept["auroc"].value == pytest.approx(area, abs=1e-12)
    p = tune(scores("multilabel", 1, "val")).apply(scores("multilabel", 3, "test", 500))
    lost = log_loss(y[:, 0], p.probabilities[:, 0], sample_weight=weight)
    assert kept["log_loss"].value == pytest.approx(lost, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_weights_are_none(kind: str) -> None:
    plain = scores(kind, 4, "val", n=150, scale=None)
    noise = 1e-3 * np.random.default_rng(0).normal(size=plain.values.shape)  # no ties
    plain = replace(plain, values=plain.values + noise)
    even = replace(plain, labels=replace(plain.require_labels(), weights=np.full(150, 3.0)))
    one, other = tune(plain), tune(even)
    cuts = [r.thresholds if kind == "multilabel" else r.class_offset for r in (one, other)]
    np.testing.assert_allclose(cuts[0], cuts[1], atol=1e-9)
    np.testing.assert_allclose(one.calibrator.scale, other.calibrator.scale, atol=1e-9)
    np.testing.assert_allclose(one.claimed, other.claimed, atol=1e-12)
    np.testing.assert_allclose(one.cross_fitted, other.cross_fitted, atol=1e-12)
    assert one.grades == other.grades
    test = scores(kind, 5, "test", n=140, scale=None)
    weighed = replace(test, labels=replace(test.require_labels(), weights=np.full(140, 0.5)))
    left, right = estimates(evaluate(one, test)), estimates(evaluate(one, weighed))
    for key, found in left.items():
        if key[1] == "precision_at_top":  # whole rows are looked at; weights are cut anywhere
            continue
        assert right[key].value == pytest.approx(found.value, abs=1e-12)
        # Between 50 and 200 positives rows are resampled, weighted ones are not.
        if found.method.startswith("gap"):
            continue
        bounds = right[key].low, right[key].high
        assert bounds == pytest.approx((found.low, found.high), abs=0.005)


def repeat(weight: np.ndarray, *arrays: np.ndarray) -> list[np.ndarray]:
    at = np.repeat(np.arange(weight.size), weight)
    return [a[at] for a in arrays]


def test_sweeps_and_ranks_count_weights() -> None:
    y, z, weight = rows("multilabel", 6, 200)
    y, z = y[:, 0], z[:, 0]
    more_y, more_z = repeat(weight, y, z)
    order, more = np.argsort(-z, kind="stable"), np.argsort(-more_z, kind="stable")
    one = Sweep.from_sorted(z[order], y[order] == 1, 1.0 * weight[order])
    two = Sweep.from_sorted(more_z[more], more_y[more] == 1)
    np.testing.assert_array_equal(one.tp, two.tp)
    np.testing.assert_array_equal(one.fp, two.fp)
    assert one.best_f_beta() == two.best_f_beta()
    left, right = rank_positives(y, z, 1.0 * weight), rank_positives(more_y, more_z)
    for name in ("score", "positives", "above", "tied", "lower"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
    np.testing.assert_array_equal(left.cell_sizes, right.cell_sizes)
    assert left.n_negative == right.n_negative
    none = Ranks.weighted(z, np.zeros(200, dtype=bool), 1.0 * weight)
    assert none.n_positive == 0
    assert np.isnan(none.average_precision)


def test_fits_are_those_of_repeated_rows() -> None:
    y, z, weight = rows("multilabel", 7, 300)
    y, z = y[:, :1], z[:, :1]
    more_y, more_z = repeat(weight, y, z)
    known = 1.0 * weight[:, None]
    share = np.array([more_y.mean()])
    every = np.ones_like(more_y, dtype=bool)
    np.testing.assert_allclose(
        newton_offsets(z, known, share), newton_offsets(more_z, every, share)
    )
    sd = {"slope_sd": 1.0, "offset_sd": 4.0}
    begin = np.zeros((2, 1))
    one = newton_platt(z, y == 1, known, begin, **sd)
    np.testing.assert_allclose(one, newton_platt(more_z, more_y == 1, every, begin, **sd))
    curve = fit_isotonic(z[:, 0], y[:, 0] == 1, 1.0 * weight)
    again = fit_isotonic(more_z[:, 0], more_y[:, 0] == 1)
    np.testing.assert_allclose(curve["calibrated"], again["calibrated"])


def test_priors_of_a_fit_weigh_as_much_as_the_rows_say() -> None:
    """Twice the rows at half the effective size: the fit lies where half the rows leave it."""
    y, z, _ = rows("multilabel", 8, 120)
    y, z = y[:, :1], 3 * z[:, :1]
    half = fit_label_calibrator(z, y)
    # Rows of nearly no weight beside them say nothing.
    y2, z2 = np.concatenate([y, 1 - y]), np.concatenate([z, z])
    weight = np.concatenate([np.ones(120), np.full(120, 1e-9)])
    both = fit_label_calibrator(z2, y2, weight=weight)
    np.testing.assert_allclose(both.scale, half.scale, rtol=1e-5)
    np.testing.assert_allclose(both.offset, half.offset, rtol=1e-4, atol=1e-5)
    assert both.method == half.method


@pytest.mark.parametrize("highest", ["platt", "vector"])
def test_class_fits_take_weights(highest: str) -> None:
    y, z, _ = rows("multiclass", 9, 400)
    logs = 2 * (z - np.log(np.exp(z).sum(1, keepdims=True)))
    alone = fit_class_calibrator(logs, y, shift=np.zeros(3), highest=highest)
    wrong = (y + 1) % 3
    weight = np.concatenate([np.ones(400), np.full(400, 1e-9)])
    both = fit_class_calibrator(
        np.concatenate([logs, logs]), np.concatenate([y, wrong]), shift=np.zeros(3),
        highest=highest, weight=weight,
    )  # fmt: skip
    np.testing.assert_allclose(both.scale, alone.scale, rtol=1e-4)
    np.testing.assert_allclose(both.offset, alone.offset, atol=1e-4)


@pytest.mark.parametrize("measure", ["recall", "f1"])
def test_offsets_of_classes_are_those_of_repeated_rows(measure: str) -> None:
    y, z, weight = rows("multiclass", 10, 200)
    z = z + 1e-3 * np.random.default_rng(0).normal(size=z.shape)
    more_y, more_z = repeat(weight, y, z)
    own = 1.0 * weight
    found = free_offsets(z, y, np.zeros(3), measure, weight=own)
    np.testing.assert_allclose(found, free_offsets(more_z, more_y, np.zeros(3), measure))
    one = class_values(measure, y, z.argmax(1), 3, own)
    np.testing.assert_allclose(one, class_values(measure, more_y, more_z.argmax(1), 3))
    prior = np.bincount(more_y) / more_y.size
    for left, right in zip(
        strength_counts(z, y, prior, own), strength_counts(more_z, more_y, prior), strict=True
    ):
        np.testing.assert_allclose(left, right)


def test_a_rule_is_for_the_population_that_weights_stand_for() -> None:
    """Negatives kept one in ten, and said so: the cut is that of all rows, not of those kept."""
    rng = np.random.default_rng(11)
    y = (rng.random(20_000) < 0.05).astype(int)
    z = 2 * y - 4 + rng.normal(size=y.size)
    kept = (y == 1) | (rng.random(y.size) < 0.1)
    weight = np.where(y == 1, 1.0, 10.0)

    def rule(at: np.ndarray, weights: np.ndarray | None) -> float:
        labels = Labels.from_array(y[at], kind="multilabel", weights=weights)
        made = tune(Scores.from_arrays(labels, ranking=z[at], split="val"))
        cut = (made.thresholds[0] - made.calibrator.offset[0]) / made.calibrator.scale[0]
        return float(cut)

    whole = rule(np.ones(y.size, dtype=bool), None)
    assert rule(kept, weight[kept]) == pytest.approx(whole, abs=0.25)
    assert abs(rule(kept, None) - whole) > 0.5


def test_objectives_that_count_rows_are_refused() -> None:
    val = scores("multilabel", 12, "val")
    for objective in (Precision(at_least=0.8), Budget(flags_per_row=0.2)):
        with pytest.raises(UsageError, match="row weights"):
            tune(val, objective=objective)
    for objective in (Recall(at_least=0.8), Cost((1, 5)), "mcc", "prevalence", "rescale"):
        assert np.isfinite(tune(val, objective=objective).claimed).all()


def test_recall_and_prevalence_hold_by_weight() -> None:
    val = scores("multilabel", 13, "val")
    y, weight = val.require_labels().values, np.asarray(val.require_labels().weights)
    made = tune(val, objective=Recall(at_least=0.8)).apply(val).predictions
    for column in range(2):
        yes = y[:, column] == 1
        assert np.average(made[yes, column], weights=weight[yes]) >= 0.8
    claimed = tune(val, objective=Recall(at_least=0.8)).claimed
    yes = y[:, 0] == 1
    assert claimed[0] == pytest.approx(np.average(made[yes, 0], weights=weight[yes]))


def trial(method: str, seed: int, strength: float, weighted: bool) -> Trial:
    made = {}
    for part, stream in (("val", 100 + seed), ("test", 7)):
        rng = np.random.default_rng(stream)
        y = (rng.random(400) < 0.3).astype(int)
        weight = rng.integers(1, 5, 400)
        z = strength * y - 2 + rng.normal(size=400)
        at = np.arange(400) if weighted else np.repeat(np.arange(400), weight)
        extra = {"weights": 0.3 * weight} if weighted else {"groups": at}
        labels = Labels.from_array(y[at], kind="multilabel", names=["A"], **extra)
        made[part] = Scores.from_arrays(labels, logits=z[at], split=part)
    return Trial(method, seed, {}, 900, 100, {"A": 180}, {}, [], made)


def test_a_comparison_counts_rows_by_weight() -> None:
    arms = {"none": 1.5, "better": 2.0}
    one, other = (
        compare([trial(m, s, d, weighted) for m, d in arms.items() for s in range(4)])
        for weighted in (True, False)
    )
    left, right = one.arms[2], other.arms[2]
    assert left.gain is not None
    assert right.gain is not None
    for a, b in ((left.gain.primary, right.gain.primary), (left.record["macro_ap"],
                                                          right.record["macro_ap"])):  # fmt: skip
        assert (a.value, a.low, a.high) == pytest.approx((b.value, b.low, b.high), abs=1e-9)
    assert left.gain.verdict == right.gain.verdict == "ranking gain"
    with pytest.raises(DataError, match="test rows"):
        compare([trial("none", 0, 1.5, True), trial("better", 0, 2.0, False)])


def test_pairs_of_scores_count_rows_by_weight() -> None:
    found = []
    for make in (scores, repeated):
        one = make("multilabel", 14, "test")
        other = replace(one, values=one.values + np.sin(7 * one.values))
        found.append(compare_scores(one, other))
    for metric, gap in found[0].macro.items():
        twin = found[1].macro[metric]
        assert (gap.value, gap.low, gap.high) == pytest.approx(
            (twin.value, twin.low, twin.high), abs=1e-9
        )
    assert found[0].auroc_p["0"] == pytest.approx(found[1].auroc_p["0"], rel=0.2)


@pytest.mark.parametrize("bad", [[1.0, 0.0, 2.0], [1.0, np.nan, 1.0], [1.0, -1.0, 1.0]])
def test_weights_are_above_zero(bad: list[float]) -> None:
    with pytest.raises(DataError, match="row 1"):
        Labels.from_array([0, 1, 0], kind="multilabel", weights=bad)


def test_labels_keep_their_weights(tmp_path: object) -> None:
    for kind in KINDS:
        held = scores(kind, 15, "val", n=40)
        labels = held.require_labels()
        again = Labels.load(labels.save(f"{tmp_path}/{kind}.parquet"))
        np.testing.assert_array_equal(again.weights, labels.weights)
        back = Scores.load(held.save(f"{tmp_path}/{kind}_scores.parquet")).require_labels()
        np.testing.assert_array_equal(back.weights, labels.weights)
        assert again.fingerprint == labels.fingerprint
        assert labels.fingerprint != replace(labels, weights=None).fingerprint
        np.testing.assert_array_equal(labels[[3, 1]].weights, np.asarray(labels.weights)[[3, 1]])
        names = labels.names[::-1]
        np.testing.assert_array_equal(labels.in_order(names).weights, labels.weights)
        assert f"worth {effective_size(np.asarray(labels.weights)):,.0f} rows" in str(labels)
        positive, known = labels.weighed
        expected = np.array([np.asarray(labels.weights)[c == 1].sum() for c in labels.columns()])
        np.testing.assert_allclose(positive, expected / np.asarray(labels.weights).mean())
        assert (positive <= known + 1e-9).all()
