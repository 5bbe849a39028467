"""Material: the one record of what is known, what it derives, and what contradicts itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from equipoise.artifacts import Labels, Scores, Split, Trial
from equipoise.diagnosis import Material, Setup, diagnose, run_checks
from equipoise.errors import DataError, UsageError

Y = (np.arange(60) % 6 == 0).astype(int)
LABELS = Labels.from_array(Y, kind="multilabel", names=["A"])
SCORES = Scores.from_arrays(LABELS, logits=2.0 * Y - 1, split="val")
ROWS = ({"loss": 0.7, "lr": 0.1}, {"loss": 0.6, "lr": 0.1})


def halves(rows: int = 60) -> Split:
    first = np.arange(rows // 2)
    return Split.from_parts(first, [], first + rows // 2, n_rows=rows, seed=0, method="hand")


def trial(history: tuple[dict[str, float], ...] = ROWS) -> Trial:
    return Trial("none", 0, {}, n_train=60, n_val=60, train_counts={"A": 10}, histogram={},
                 history=list(history), scores={"val": SCORES})  # fmt: skip


def test_what_follows_from_what_is_given() -> None:
    made = Material(labels=LABELS, split=halves(), features=Y[:, None].tolist())
    counted = Material(counts={"A": 10}, n_rows=60).statistics
    assert made.statistics is not None
    assert counted is not None
    assert made.statistics.neg_pos_ratio == counted.neg_pos_ratio == [5.0]
    # Rows of one number are copies of one another, and stand on both sides of the split.
    assert [f.code for f in made.audit] == ["EQ202", "EQ204"]
    assert made.has_features
    assert isinstance(made.features, np.ndarray)
    assert not Material(labels=LABELS).has_features
    assert Material(labels=LABELS, split=halves()).audit == ()


def test_a_trial_brings_scores_and_history() -> None:
    made = Material(trial=trial())
    assert made.scores is SCORES
    assert made.course is not None
    assert made.course.epochs == 2
    other = Scores.from_arrays(LABELS, logits=Y - 0.5, split="val")
    assert Material(trial=trial(), scores=other).scores is other
    log = Material(history=ROWS[:1])
    assert log.course is not None
    assert log.course.epochs == 1
    # The history of the trial is that of its scores.
    both = Material(trial=trial(), history=ROWS[:1]).course
    assert both is not None
    assert both.epochs == 2


def test_what_is_said_by_name_joins_the_rest() -> None:
    setup = Setup(kind="multilabel", pos_weight=[5.0])
    apart = diagnose(LABELS, scores=SCORES, more=Material(setups=(setup,)))
    whole = run_checks(Material(labels=LABELS, scores=SCORES, setups=(setup,)))
    assert apart
    assert {f.message for f in apart} == {f.message for r in whole for f in r.findings}
    assert diagnose(more=Material(labels=LABELS, scores=SCORES, setups=(setup,))) == apart


def test_material_that_contradicts_itself_is_no_check_that_could_not_be_made() -> None:
    with pytest.raises(UsageError, match="`labels and counts` must not be given both"):
        Material(labels=LABELS, counts={"A": 10})
    with pytest.raises(UsageError, match="`labels and counts` must not be given both"):
        diagnose(counts={"A": 10}, more=Material(labels=LABELS))
    with pytest.raises(UsageError, match="`labels` must be given with a split"):
        Material(counts={"A": 10}, split=halves())
    with pytest.raises(DataError):
        Material(labels=LABELS, split=halves(80))


@pytest.mark.parametrize("aside", [{}, {"n_rows": 9}, {"kind": "multiclass"}, {"setups": ()}])
def test_nothing_to_look_at_is_said(aside: dict[str, object]) -> None:
    made = replace(Material(), **aside)  # type: ignore[arg-type]
    assert not made
    with pytest.raises(UsageError, match="something to diagnose"):
        run_checks(made)


def test_anything_that_can_be_looked_at_is_something() -> None:
    for made in (
        Material(labels=LABELS),
        Material(counts={"A": 1}),
        Material(new=SCORES),
        Material(history=ROWS),
        Material(setups=(Setup(),)),
        Material(image_hashes=np.zeros(3, dtype=np.uint64)),
    ):
        assert made
