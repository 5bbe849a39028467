"""Comparison: the free threshold is always there, its share is exact, and it never wins."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from trial_factory import LONG_TAIL, class_trial, label_trial

from equipoise.artifacts import Comparison, Correction, Scores, Trial
from equipoise.comparison import compare, seed_record
from equipoise.decisions import Cost
from equipoise.errors import DataError, LeakageError, UsageError
from equipoise.metrics import average_precision

SEEDS = range(5)


def arms(make: object, **methods: dict) -> list[Trial]:
    return [make(m, s, **options) for m, options in methods.items() for s in SEEDS]  # type: ignore[operator]


@pytest.fixture(scope="module")
def labelled() -> Comparison:
    weight = np.log(np.array([3.0, 9.0, 19.0]))
    undo = Correction(
        "multilabel",
        ({"op": "offset", "offset": (-weight).tolist()},),
        nominal_weight=tuple(np.exp(weight)),
    )
    return compare(
        arms(
            label_trial,
            none={"model": "m"},
            better={"strength": 2.4},
            worse={"strength": 1.0},
            shifted={"model": "m", "move": lambda z: z + weight},
            weighted={"model": "m", "move": lambda z: z + weight, "correction": undo},
            half={"model": "m", "move": lambda z: z + weight / 2, "correction": undo},
        )
    )


@pytest.fixture(scope="module")
def classed() -> Comparison:
    train = np.array(LONG_TAIL)
    return compare(
        arms(
            class_trial,
            none={"noise": 0.0},
            shifted={"noise": 0.0, "move": lambda z: z - np.log(train)},
            better={"noise": 0.0, "strength": 2.6},
        ),
        target_prior="uniform",
    )


def test_the_free_threshold_is_always_an_arm(labelled: Comparison, classed: Comparison) -> None:
    for result in (labelled, classed):
        assert [a.method for a in result.arms][:2] == ["none", "none + thresholds"]
        free = result.arm("none + thresholds")
        assert free.gain is not None
        for part in (free.gain.ranking_part, free.gain.primary):
            assert (part.value, part.low, part.high) == (0.0, 0.0, 0.0)
        assert free.gain.verdict == "threshold only"
        assert free.gain.p_adjusted == 1.0
        assert free.record["default"].value == result.arm("none").record["tuned"].value
        assert result.arm("none").gain is None


def test_total_is_ranking_plus_operating_part(labelled: Comparison, classed: Comparison) -> None:
    for result in (labelled, classed):
        for arm in result.arms[1:]:
            gain = arm.gain
            assert gain is not None
            assert gain.total.value == pytest.approx(
                gain.ranking_part.value + gain.operating_part.value, abs=1e-12
            )
            none = result.arm("none").record
            assert gain.total.value == pytest.approx(
                arm.record["default"].value - none["default"].value, abs=1e-12
            )
            assert gain.ranking_part.value == pytest.approx(
                arm.record["tuned"].value - none["tuned"].value, abs=1e-12
            )


def test_better_and_worse_models_are_told_apart(labelled: Comparison) -> None:
    verdicts = {a.method: a.gain.verdict for a in labelled.arms if a.gain}
    assert verdicts["better"] == "ranking gain"
    assert verdicts["worse"] == "harmful"
    assert labelled.recommended == "better"
    assert labelled.summary[0].startswith("Use better: it beats none in macro AP by")
    assert labelled.summary[1].startswith("Why this could be wrong: 5 seeds")


@pytest.mark.parametrize("method", ["shifted", "weighted", "half"])
def test_a_pure_shift_is_never_a_ranking_gain(labelled: Comparison, method: str) -> None:
    gain = labelled.arm(method).gain
    assert gain is not None
    assert gain.primary.value == 0.0
    assert gain.verdict in ("threshold only", "no effect")
    assert abs(gain.ranking_part.value) < 0.02


def test_a_pure_shift_of_classes_is_never_a_ranking_gain(classed: Comparison) -> None:
    gain = classed.arm("shifted").gain
    assert gain is not None
    assert gain.total.value > 0.1
    assert gain.verdict in ("threshold only", "no effect", "undecided", "harmful")
    better = classed.arm("better").gain
    assert better is not None
    assert better.verdict == "ranking gain"


def test_a_correction_makes_probabilities_comparable(labelled: Comparison) -> None:
    none, weighted = labelled.arm("none").record, labelled.arm("weighted").record
    assert weighted["log_loss_raw"].value > none["log_loss_raw"].value + 0.1
    assert weighted["log_loss_formula"].value == pytest.approx(none["log_loss_formula"].value)
    half = labelled.arm("half")
    assert half.record["log_loss_formula"].value > none["log_loss_formula"].value + 0.005
    assert half.record["log_loss_calibrated"].value == pytest.approx(
        none["log_loss_calibrated"].value, abs=0.005
    )
    assert any("L2: weight 19 asked for" in note for note in half.notes)
    assert labelled.arm("weighted").notes == ()


def test_holm_counts_the_remedies_alone(labelled: Comparison) -> None:
    p = {a.method: a.gain.p_adjusted for a in labelled.arms if a.gain}
    level = labelled.arm("better").gain.primary.confidence_level  # type: ignore[union-attr]
    assert level in (pytest.approx(1 - 0.05 / 5), pytest.approx(1 - 0.05 / 4))
    assert p["better"] < 0.05
    assert p["shifted"] == 1.0


def test_the_record_is_what_the_scores_say(labelled: Comparison) -> None:
    trials = [label_trial("none", s, model="m") for s in SEEDS]
    aps = [
        np.mean(average_precision(t.scores["test"].labels.values, t.scores["test"].values))  # type: ignore[union-attr]
        for t in trials
    ]
    assert labelled.arm("none").record["macro_ap"].value == pytest.approx(np.mean(aps))
    record = seed_record(trials[0], objective=None, target_prior="validation")
    assert record.metrics["macro_ap"].value == pytest.approx(aps[0])
    test = trials[0].scores["test"]
    np.testing.assert_allclose(record.flagged[:, 0], (test.values >= 0).mean(0))
    np.testing.assert_allclose(record.flagged[:, 2], test.require_labels().prevalence)


def test_no_arm_is_beaten_by_more_than_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two seeds a bound may be as wide as it likes; average precision ends at 1."""
    monkeypatch.setattr("equipoise.comparison.gain.regret_bound", lambda *_: 5.0)
    made = compare(arms(label_trial, none={"model": "m"}, other={"strength": 1.0}))
    room = 1.0 - made.arm("none").record[made.primary].value
    assert made.regret == pytest.approx(room)
    assert f"by at most {room:.3f}" in made.summary[0]


def test_arms_are_tuned_for_any_objective() -> None:
    trials = [label_trial(method, s) for method in ("none", "better") for s in SEEDS[:2]]
    record = seed_record(trials[0], objective=Cost((1, 30)), target_prior="validation")
    assert (record.rule.objective, record.rule.parameters) == ("cost", {"costs": [1.0, 30.0]})
    dear = compare(trials, objective=Cost((1, 30))).arm("none").record["tuned"].value
    assert dear < compare(trials, objective="f1").arm("none").record["tuned"].value
    with pytest.raises(UsageError, match=r"Give Cost\(costs=...\)"):
        compare(trials, objective="cost")


def test_the_data_card(labelled: Comparison, classed: Comparison) -> None:
    assert labelled.data["rows"] == {"train": 2000, "val": 600, "test": 600}
    assert labelled.data["positives"]["L0"]["train"] == 600
    assert labelled.data["seeds"] == list(SEEDS)
    assert classed.data["target_prior"] == "uniform"
    assert (labelled.rule_metric, classed.rule_metric) == ("macro F1", "balanced accuracy")
    assert (labelled.primary, classed.primary) == ("macro_ap", "tuned")
    assert set(labelled.arm("none").evaluation.groups) == {"head", "medium"}


def test_long_tail_thresholds_are_close_to_bayes() -> None:
    trials = [class_trial("none", s, noise=0.0) for s in range(2)]
    result = compare(trials, target_prior="uniform")
    test = trials[0].scores["test"]
    y = test.require_labels().values
    bayes = ((test.values - np.log(LONG_TAIL)).argmax(1) == y).mean()
    record = result.arm("none").record
    assert record["tuned"].value == pytest.approx(bayes, abs=0.01)
    assert record["default"].value < bayes - 0.1
    assert result.recommended == "none + thresholds"
    assert "2 seeds are few" in result.summary[1]


def test_groups_of_test_rows_are_kept_together() -> None:
    options = {"noise": 0.5, "groups": True}
    result = compare(arms(label_trial, none=options, better=options | {"strength": 2.4}))
    assert result.data["groups"] == {"val": 200, "test": 200}
    assert result.arm("better").gain.primary.n == 200  # type: ignore[union-attr]


def test_one_seed_is_undecided() -> None:
    result = compare([label_trial("none", 0), label_trial("better", 0, strength=2.5)])
    gain = result.arm("better").gain
    assert gain is not None
    assert gain.verdict == "undecided"
    assert gain.needed == "needs at least 2 seeds, better 5"
    assert math.isnan(gain.p_adjusted)
    assert "one seed gives no interval" in result.summary[1]


def test_one_seed_is_no_proof_that_thresholds_are_no_use() -> None:
    """The untreated model flags nothing at 0.5: that one seed has no interval is no verdict."""
    rare = {"prevalence": (0.05, 0.04), "strength": 1.5}
    result = compare([label_trial("none", 0, **rare), label_trial("focal", 0, **rare)])
    free = result.arm("none + thresholds")
    assert free.record["default"].value > result.arm("none").record["default"].value + 0.1
    assert result.recommended == "none + thresholds"
    assert result.summary[0].startswith("Use none + thresholds: one seed cannot show")
    assert "(one seed: no interval)" in result.summary[0]


def test_what_is_undecided_is_not_called_equal() -> None:
    even = {"noise": 1.0, "prevalence": (0.5, 0.5), "n": 60}
    result = compare(arms(label_trial, none=even, other=even | {"strength": 1.7}), rope=0.05)
    assert result.arm("other").gain.verdict == "undecided"  # type: ignore[union-attr]
    assert result.recommended == "none"
    assert "that is no proof that none does" in result.summary[0]


def test_intervals_of_an_arm_stay_within_their_range() -> None:
    """Two seeds and scores near perfect: a plain t interval would go far beyond 1."""
    trials = [label_trial("none", s, strength=3.5 + 2.5 * s, noise=0.1) for s in range(2)]
    record = compare(trials).arm("none").record
    for metric in ("macro_ap", "macro_auroc", "default", "tuned"):
        assert 0 <= record[metric].low < record[metric].value < record[metric].high <= 1
    for metric in ("log_loss_raw", "log_loss_formula", "log_loss_calibrated"):
        assert 0 <= record[metric].low < record[metric].value < record[metric].high


def test_trials_are_matched_by_the_names_of_their_columns() -> None:
    trials = arms(label_trial, none={"noise": 0.3}, better={"strength": 2.4})
    turned = [
        dataclasses.replace(t, scores={p: s.in_order(s.names[::-1]) for p, s in t.scores.items()})
        if t.method == "better"
        else t
        for t in trials
    ]
    one, two = compare(trials), compare(turned)
    assert one.arm("better").recall == two.arm("better").recall
    assert one.arm("better").gain.primary.value == pytest.approx(  # type: ignore[union-attr]
        two.arm("better").gain.primary.value  # type: ignore[union-attr]
    )


def test_what_is_practically_equal_is_not_recommended() -> None:
    result = compare(arms(label_trial, none={"noise": 0.3}, better={"strength": 2.4}), rope=0.9)
    assert result.arm("better").gain.verdict == "threshold only"  # type: ignore[union-attr]
    assert result.recommended == "none + thresholds"


def test_a_stricter_level_widens_the_primary_interval() -> None:
    trials = arms(label_trial, none={}, better={"strength": 2.4})
    wide = compare(trials, confidence_level=0.99).arm("better").gain
    narrow = compare(trials, confidence_level=0.9).arm("better").gain
    assert wide is not None
    assert narrow is not None
    assert wide.primary.confidence_level == pytest.approx(0.99)
    assert wide.primary.low < narrow.primary.low


def test_ranking_scores_have_no_log_loss_before_calibration() -> None:
    def rank(trial: Trial) -> Trial:
        scores = {
            part: Scores.from_arrays(s.labels, ranking=50 * s.values, split=s.split)
            for part, s in trial.scores.items()
        }
        return dataclasses.replace(trial, scores=scores, method="rank")

    plain = [label_trial("none", s) for s in range(3)]
    result = compare(plain + [rank(t) for t in plain])
    record = result.arm("rank").record
    assert record["log_loss_raw"].is_missing
    assert record["log_loss_raw"].reason
    assert (result.arm("none").exactness, result.arm("rank").exactness) == ("exact", "none")
    none = result.arm("none").record["log_loss_calibrated"].value
    assert record["log_loss_calibrated"].value == pytest.approx(none, abs=0.01)
    assert result.arm("rank").gain.primary.value == 0.0  # type: ignore[union-attr]


def test_a_saved_comparison_comes_back(labelled: Comparison, tmp_path: object) -> None:
    again = Comparison.load(labelled.save(tmp_path / "c.json"))  # type: ignore[operator]
    assert again.arm("better").gain == labelled.arm("better").gain
    assert again.summary == labelled.summary


def swapped(trial: Trial, **scores: Scores) -> Trial:
    return dataclasses.replace(trial, scores={**trial.scores, **scores})


ONE, TWO = label_trial("none", 0), label_trial("none", 1)
OTHER = label_trial("focal", 0)


@pytest.mark.parametrize(("kind", "flagged"), [("logits", True), ("ranking", False)])
def test_the_default_rule_at_exactly_zero(kind: str, flagged: bool) -> None:
    """A probability of 0.5 is a yes; a ranking score of 0 is not above the cut."""
    trial = label_trial("none", 0, move=lambda z: np.where(np.abs(z) < 0.4, 0.0, z))
    scores = {
        part: Scores.from_arrays(found.labels, **{kind: found.values}, split=part)
        for part, found in trial.scores.items()
    }
    z, y = scores["test"].values, scores["test"].require_labels().values
    assert ((z == 0) & (y == 1)).any(axis=0).all()
    judged = seed_record(
        dataclasses.replace(trial, scores=scores), objective=None, target_prior="validation"
    )
    yes = z >= 0 if flagged else z > 0
    np.testing.assert_array_equal(judged.flagged[:, 0], yes.mean(axis=0))
    np.testing.assert_array_equal(judged.recall[:, 0], (yes & (y == 1)).sum(0) / (y == 1).sum(0))
    f1 = 2 * (yes & (y == 1)).sum(0) / (yes.sum(0) + (y == 1).sum(0))
    assert judged.metrics["default"].value == pytest.approx(f1.mean())


BAD = {
    "no trials": ([], "hold the baseline 'none', got "),
    "no baseline": ([OTHER], r"hold the baseline 'none', got \['focal'\]"),
    "other seeds": ([ONE, TWO, OTHER], r"be \[0, 1\] for every method, got \[0\] for focal"),
    "a seed twice": ([ONE, ONE], r"different within a method, got \[0, 0\]"),
    "other test rows": (
        [ONE, label_trial("focal", 0, test_seed=1)],
        "test rows` must be the same for all trials, got others in focal, seed 0",
    ),
    "other test rows by seed": (
        [ONE, label_trial("none", 1, test_seed=1)],
        "test rows` must be the same for all trials, got others in none, seed 1",
    ),
    "other order of test rows": (
        [ONE, swapped(OTHER, test=OTHER.scores["test"][np.arange(600)[::-1]])],
        "test rows` must be the same",
    ),
    "other validation rows": (
        [ONE, swapped(OTHER, val=TWO.scores["val"])],
        "validation rows` must be the same within a seed, got others in focal, seed 0",
    ),
    "no validation scores": (
        [dataclasses.replace(ONE, scores={"test": ONE.scores["test"]})],
        "hold the part 'val'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_paired_is_refused(case: str) -> None:
    trials, text = BAD[case]
    with pytest.raises(DataError, match=text):
        compare(trials)


def test_test_rows_among_validation_rows_are_refused() -> None:
    val = dataclasses.replace(ONE.scores["test"][:300], split="val")
    with pytest.raises(LeakageError, match="300 of 600 rows in common"):
        compare([swapped(ONE, val=val)])


@pytest.mark.parametrize("primary", ["default", "log_loss_raw", "auc"])
def test_a_primary_metric_that_a_threshold_wins_is_refused(primary: str) -> None:
    with pytest.raises(UsageError, match="be one of 'macro_ap', 'macro_auroc', 'tuned'"):
        compare([ONE, TWO], primary=primary)


def test_the_name_of_the_free_threshold_is_taken() -> None:
    with pytest.raises(UsageError, match="leave it out"):
        compare([ONE, dataclasses.replace(ONE, method="none + thresholds")])


def test_what_is_no_trial_is_named() -> None:
    with pytest.raises(UsageError, match="`trials` must hold trials, got int"):
        compare([1])  # type: ignore[list-item]
