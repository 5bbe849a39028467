"""Whether intervals of a paired gain hold the truth, with real learners on 750 rows.

The set-up is that of `benchmarks.verdict_coverage`. Seeds, numbers and bounds were fixed before the
first run. "Not significantly below .93", which is .95 - .02, is a one-sided exact binomial test at
1 % over 100 independent data sets (60 of trees): at least 87 (51) intervals hold the truth.

Influences of few positives per fold were short at first: 86 of 100 at "lr10" crossed, .892 of 400
other data sets at "lr3". `mean_over_folds` sets that right; it was found on data sets that are not
among these, and checked on these and on a stream of its own (`FRESH_STREAM`, 400 data sets for each
of logistic regression with 3, 5 and 10 positives per fold, at least 360 of them: 1 %), fixed before
it was drawn.

Share of intervals that hold the gain on these data; in brackets, the gain to be expected of other
data of this size. "lr10" is logistic regression with 10 positives of a label per fold of 150 rows.

    cell             crossed         a separate test set
    lr3              .980 (.970)     .960
    lr5              .980 (.970)     .940
    lr10             .870 (.930)     .980
    lr30             .970 (1.00)     1.00
    lr30 grouped     .980 (.990)     1.00
    trees3           .983 (.983)     .983
    trees5           1.00 (1.00)     .983
    trees10          .967 (.983)     1.00
    trees30          .983 (.983)     1.00
    trees30 grouped  .967 (.983)     .967
    net3             .970 (.990)     .990
    net5             .980 (.980)     1.00
    net10            .990 (1.00)     .980
    net30            .980 (.990)     .990
    net30 grouped    1.00 (1.00)     .990
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from benchmarks.verdict_coverage import (
    CELLS,
    DATA_SETS,
    FOLDS,
    ROWS,
    Cell,
    Coverage,
    Outcome,
    draw,
    folds,
    logistic,
    macro_ap,
    population_ap,
    simulate,
    summarise,
)
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression

from equipoise.artifacts import Labels, Scores, Trial
from equipoise.comparison.record import crossed_record
from equipoise.metrics import average_precision

pytestmark = pytest.mark.slow
LEAST = 0.93
NAMED = {cell.name: cell for cell in CELLS}
FRESH_STREAM, FRESH_SETS = 3109, 400


@cache
def outcomes(cell: Cell) -> tuple[Outcome, ...]:
    return tuple(simulate(cell, number) for number in range(DATA_SETS[cell.learner]))


def covers(held: int, data_sets: int) -> bool:
    """Whether so many hits are not significantly fewer than of a coverage of .93."""
    return bool(binom.cdf(held, data_sets, LEAST) >= 0.01)


def coverage(name: str, design: str) -> Coverage:
    found = summarise(NAMED[name], outcomes(NAMED[name]), design)
    assert found.data_sets == DATA_SETS[NAMED[name].learner]
    return found


@pytest.mark.parametrize("name", NAMED)
def test_crossed_intervals_hold_the_gain_on_these_data(name: str) -> None:
    found = coverage(name, "crossed")
    assert covers(found.held, found.data_sets), found


@pytest.mark.parametrize("name", NAMED)
def test_crossed_intervals_hold_the_gain_to_be_expected_at_this_size(name: str) -> None:
    found = coverage(name, "crossed")
    assert covers(found.held_expected, found.data_sets), found


@pytest.mark.parametrize("name", NAMED)
def test_intervals_of_a_separate_test_set_hold_the_gain_on_these_data(name: str) -> None:
    found = coverage(name, "apart")
    assert covers(found.held, found.data_sets), found


@pytest.mark.parametrize("name", ["lr3", "lr5", "lr10"])
def test_few_positives_per_fold_on_data_sets_of_their_own(name: str) -> None:
    cell = NAMED[name]
    drawn = tuple(simulate(cell, number, FRESH_STREAM) for number in range(FRESH_SETS))
    found = summarise(cell, drawn, "crossed")
    assert found.data_sets == FRESH_SETS
    assert covers(found.held, found.data_sets), found
    assert covers(found.held_expected, found.data_sets), found


def test_the_bound_is_as_described() -> None:
    assert [covers(k, 100) for k in (86, 87)] == [False, True]
    assert [covers(k, 60) for k in (50, 51)] == [False, True]
    assert [covers(k, FRESH_SETS) for k in (359, 360)] == [False, True]


def test_what_is_measured_is_what_a_comparison_does() -> None:
    """Influences are those of a cross-fitted comparison, models those of scikit-learn."""
    rng = np.random.default_rng(3108)
    x, y = draw(rng, ROWS, 0.1, 1, 0.0)
    fold = folds(rng, y, 1)
    train = np.stack([fold != k for k in range(FOLDS)])
    score = logistic(x, y, train, 0)
    for arm, weights in enumerate((None, "balanced")):
        model = LogisticRegression(class_weight=weights, tol=1e-10, max_iter=1000)
        model.fit(x[train[2]].astype(float), y[train[2], 1])
        assert score(arm, 2, x)[:, 1] == pytest.approx(model.decision_function(x), abs=1e-4)
    whole = Labels.from_array(y, kind="multilabel", names=["A", "B"], ids=np.arange(ROWS))
    assert whole.ids is not None
    parts, trials = [], []
    for k in range(FOLDS):
        at = np.flatnonzero(fold == k)
        scores = score(0, k, x[at])
        parts.append((at, y[at], scores))
        test = Scores.from_arrays(whole[at], logits=scores, split="test")
        trials.append(Trial("none", 0, {}, 600, 0, {}, {}, [], {"test": test}))
    found = macro_ap(parts, ROWS)
    record = crossed_record(trials, whole.ids, objective=None, target_prior="validation")
    assert found.value == pytest.approx(record.metrics["macro_ap"].value, abs=1e-12)
    assert found.rows == pytest.approx(record.metrics["macro_ap"].rows, abs=1e-12)
    rounded = np.round(rng.normal(size=ROWS), 1)
    assert population_ap(y[:, 0], rounded) == pytest.approx(average_precision(y[:, 0], rounded))
