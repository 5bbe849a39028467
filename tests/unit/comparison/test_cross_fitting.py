"""Every row tested: folds put together by ids, ranked within folds, decided by the other folds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import expit

from equipoise.artifacts import Labels, Scores, Trial
from equipoise.comparison import compare, evaluate
from equipoise.comparison.gain import Arm, Design
from equipoise.comparison.record import SeedRecord, crossed_ranking, crossed_record
from equipoise.decisions import tune
from equipoise.errors import DataError
from equipoise.metrics import Influence, average_precision, f_beta

N, FOLDS = 240, 4
IDS = np.array([f"row{i}" for i in range(N)])
SHIFT = np.array([0.0, 1.0, -0.7, 0.4])  # the models of the folds are on scales of their own


def truth() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.random((N, 2)) < (0.3, 0.12)).astype(np.int8)


def folds_of(seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 1]).permutation(N) % FOLDS


def crossed(method: str, seed: int, strength: float = 1.5, kind: str = "logits") -> list[Trial]:
    """The trials of all folds of a seed."""
    y, fold = truth(), folds_of(seed)
    rng = np.random.default_rng([seed, len(method)])
    z = strength * y + np.random.default_rng(2).normal(size=y.shape) - 2
    z = z + 0.2 * rng.normal(size=y.shape) + SHIFT[fold][:, None]
    trials = []
    for k in range(FOLDS):
        scores = {}
        for part, rows in (("val", fold == (k + 1) % FOLDS), ("test", fold == k)):
            labels = Labels.from_array(y[rows], kind="multilabel", names=["A", "B"], ids=IDS[rows])
            scores[part] = Scores.from_arrays(
                labels,
                **{kind: z[rows]},
                split=part,
                ids=IDS[rows],  # type: ignore[arg-type]
            )
        counts = {"A": 50, "B": 20}
        trials.append(Trial(method, seed, {"fold": k}, N // 2, N // 4, counts, counts, [], scores))
    return trials


def test_ranking_is_averaged_within_folds_and_counts_are_pooled() -> None:
    trials = crossed("none", 0)
    found = crossed_record(trials, IDS, objective=None, target_prior="validation")
    by_fold = [
        average_precision(s.require_labels().values, s.values)
        for s in (t.scores["test"] for t in trials)
    ]
    assert found.metrics["macro_ap"].value == pytest.approx(np.mean(by_fold))
    flags, y = np.zeros((N, 2), dtype=int), truth()
    for k, trial in enumerate(trials):
        rest = [t.scores["test"] for t in trials if t is not trial]
        joined = Labels.from_array(
            np.concatenate([s.require_labels().values for s in rest]),
            kind="multilabel",
            names=["A", "B"],
        )
        others = Scores.from_arrays(
            joined, logits=np.concatenate([s.values for s in rest]), split="oof"
        )
        rule = tune(others, seed=0)
        flags[folds_of(0) == k] = rule.apply(trial.scores["test"]).predictions == 1
    assert found.metrics["tuned"].value == pytest.approx(np.mean(f_beta(y, flags)))
    raw = np.concatenate([t.scores["test"].values >= 0 for t in trials])
    order = np.concatenate([t.scores["test"].require_labels().values for t in trials])
    assert found.metrics["default"].value == pytest.approx(np.mean(f_beta(order, raw.astype(int))))
    for metric in ("macro_ap", "tuned", "default", "log_loss_raw"):
        assert found.metrics[metric].rows.sum() == pytest.approx(0, abs=1e-9)


def test_influences_are_the_derivatives_by_the_weight_of_a_row() -> None:
    """A row that stands twice in its fold moves the mean of the folds by its influence.

    That of positives is spread a little further: see `mean_over_folds`.
    """
    trials = crossed("none", 0)
    found = crossed_record(trials, IDS, objective=None, target_prior="validation")
    aps = [
        average_precision(t.scores["test"].require_labels().values, t.scores["test"].values)
        for t in trials
    ]
    negatives = np.flatnonzero((truth() == 0).all(axis=1))
    for row in negatives[[1, 30, 70]]:
        k = int(folds_of(0)[row])
        test = trials[k].scores["test"]
        y, z = test.require_labels().values, test.values
        at = int(np.flatnonzero(test.ids == IDS[row])[0])
        more = 20_000
        weights = np.full(len(y), more)
        weights[at] += 1
        often = np.repeat(np.arange(len(y)), weights)
        moved = average_precision(y[often], z[often])
        change = (np.mean(moved) - np.mean(aps[k])) / FOLDS * more
        assert found.metrics["macro_ap"].rows[row] == pytest.approx(change, rel=0.02, abs=1e-6)


def test_one_rule_stands_for_those_of_the_folds() -> None:
    trials = crossed("none", 0)
    found = crossed_record(trials, IDS, objective=None, target_prior="validation")
    assert found.judged.ids is not None
    assert found.judged.ids.tolist() == sorted(IDS, key=IDS.tolist().index)
    flagged = found.rule.apply(found.judged).predictions == 1
    assert flagged.mean(axis=0) == pytest.approx(found.flagged[:, 1])
    judged = evaluate(found.rule, found.judged)
    assert judged.per_label["A"]["flagged"].value == pytest.approx(found.flagged[0, 1])
    assert judged.n_rows == N


def test_a_comparison_of_folds_says_what_it_answers() -> None:
    trials = [
        t for s in range(3) for m, d in (("none", 1.5), ("better", 3.0)) for t in crossed(m, s, d)
    ]
    result = compare(trials)
    assert result.question == "expected gain at this sample size"
    assert result.data["rows"]["test"] == N
    assert result.data["folds"] == FOLDS
    assert result.arm("better").gain.verdict == "ranking gain"  # type: ignore[union-attr]
    assert result.arm("better").n_seeds == 3
    shuffled = [trials[i] for i in np.random.default_rng(0).permutation(len(trials))]
    assert compare(shuffled).arm("better").gain == result.arm("better").gain


def test_probabilities_and_rankings_are_crossed_too() -> None:
    z = crossed("none", 0)
    p = [
        dataclasses.replace(
            t,
            scores={
                part: Scores.from_arrays(
                    s.require_labels(), probabilities=expit(s.values), split=s.split, ids=s.ids
                )
                for part, s in t.scores.items()
            },
        )
        for t in z
    ]
    made = [
        crossed_record(t, IDS, objective=None, target_prior="validation")
        for t in (z, p, crossed("none", 0, kind="ranking"))
    ]
    assert made[0].metrics["tuned"].value == pytest.approx(made[1].metrics["tuned"].value)
    assert np.isnan(made[2].metrics["log_loss_raw"].value)
    assert made[2].metrics["macro_ap"].value == made[0].metrics["macro_ap"].value


BASE = crossed("none", 0)
REFUSED = {
    "a fold less": (
        [*BASE, *crossed("focal", 0)[:3]],
        r"`folds` must be \[0, 1, 2, 3\], got others in focal, seed 0",
    ),
    "folds of its own": (
        [*BASE, *(dataclasses.replace(t, seed=0) for t in crossed("focal", 1))],
        "test rows` must be the same for all trials, got others in focal, seed 0",
    ),
    "a fold twice": ([*BASE, BASE[0]], "different within a method"),
    "rows that are missing": (
        [*BASE, *(dataclasses.replace(t, seed=1) for t in BASE[:3])],
        r"`folds` must|test the same rows",
    ),
    "single trials beside": (
        [*BASE, dataclasses.replace(BASE[0], config={}, method="none")],
        "all be of folds, or none",
    ),
    "no ids": (
        [
            dataclasses.replace(
                t,
                scores={p: dataclasses.replace(s, ids=None) for p, s in t.scores.items()},
            )
            for t in BASE
        ],
        "have ids",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_put_together_is_refused(case: str) -> None:
    trials, text = REFUSED[case]
    with pytest.raises(DataError, match=text):
        compare(trials)


def test_a_handful_of_tested_positives_decides_nothing() -> None:
    def trial(method: str, seed: int) -> Trial:
        scores = {}
        for part, n, stream in (("val", 200, seed), ("test", 20, 9)):
            y = (np.arange(n) < n * 0.15).astype(int)
            z = 2.0 * y + np.random.default_rng(stream).normal(size=n)
            labels = Labels.from_array(y, kind="multilabel", names=["A"])
            scores[part] = Scores.from_arrays(labels, logits=z, split=part)  # type: ignore[arg-type]
        return Trial(method, seed, {}, 600, 200, {"A": 90}, {}, [], scores)

    result = compare(trial(m, s) for m in ("none", "same") for s in range(5))
    gain = result.arm("same").gain
    assert gain is not None
    assert (gain.verdict, gain.primary.value) == ("undecided", 0.0)
    assert gain.needed.startswith("3 tested positives tell nothing")


def test_the_error_of_another_sample_by_the_book() -> None:
    """.63 times the variance between samples, that within them taken out."""
    rng = np.random.default_rng(4)
    values = {"none": rng.normal(0.5, 0.01, (10, 2)), "other": rng.normal(0.6, 0.05, (10, 1))}
    values["other"] = values["other"] + rng.normal(0, 0.001, (10, 2))

    def record(value: float) -> SeedRecord:
        still = Influence(float(value), np.zeros(30))
        return SeedRecord(0, {"macro_ap": still}, *[None] * 4)  # type: ignore[list-item]

    pools = {m: [[record(v) for v in row] for row in table] for m, table in values.items()}
    design = Design("macro_ap", 0.01, 0.95, None, pools=pools)
    base, other = (
        Arm(m, [[]] * 3, [record(v) for v in (0.5, 0.52, 0.51)]) for m in ("none", "other")
    )
    gaps = values["other"] - values["none"]
    between = 2 * gaps.mean(axis=1).var(ddof=1)
    within = gaps.var(axis=1, ddof=1).mean()
    found = design.pair(other, base, "macro_ap")
    assert found.pool_error**2 == pytest.approx(0.63 * (between - within) / 2)
    assert found.standard_error == pytest.approx(found.pool_error)
    assert found.df == pytest.approx(9)
    assert design.pair(base, base, "macro_ap").pool_error == 0.0
    same = dataclasses.replace(design, pools={**pools, "other": pools["none"]})
    assert same.pair(other, base, "macro_ap").pool_error == 0.0


@pytest.mark.parametrize("kind", ["logits", "ranking"])
def test_ranking_alone_is_that_of_the_whole_record(kind: str) -> None:
    trials = crossed("none", 0, kind=kind)
    whole = crossed_record(trials, IDS, objective=None, target_prior="validation")
    for metric, found in crossed_ranking(trials, IDS).items():
        assert found.value == whole.metrics[metric].value
        assert np.array_equal(found.rows, whole.metrics[metric].rows)
