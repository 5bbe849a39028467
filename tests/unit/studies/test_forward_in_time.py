"""Rows that are tested by models of the rows before them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from equipoise.artifacts import Labels
from equipoise.errors import DataError, UsageError
from equipoise.studies.load import load_data
from equipoise.studies.rows import Draws, StudyData
from equipoise.studies.run import run_study
from equipoise.studies.schema import TimeSpec, parse_study

N = 240
RNG = np.random.default_rng(0)
DAY = RNG.permutation(np.repeat(np.arange(60.0), 4))
LABELS = Labels.from_array((RNG.random(N) < 0.3).astype(int), kind="multilabel")
DATA = StudyData("t", RNG.normal(size=(N, 2)).astype(np.float32), LABELS, time=DAY)


def test_every_block_is_tested_by_what_was_before_it() -> None:
    draws = Draws(TimeSpec(how="time", column="day", folds=4, gap=3), DATA, seeds=2)
    tested = []
    for fold in draws.folds:
        split = draws[0, fold]
        first = DAY[split.test].min()
        assert DAY[split.train].max() <= DAY[split.val].min()
        assert DAY[split.val].max() < first - 3
        assert split.val.size == pytest.approx(0.2 * (split.val.size + split.train.size), abs=1)
        tested.append(split.test)
        np.testing.assert_array_equal(draws[1, fold].test, split.test)
    whole = np.concatenate(tested)
    assert np.unique(whole).size == whole.size
    # All but the first block; rows of one day are in one.
    assert whole.size == pytest.approx(0.8 * N, abs=4)
    for one, other in pairwise(tested):
        assert DAY[one].max() < DAY[other].min()


def test_groups_that_are_tested_are_not_trained_on() -> None:
    groups = np.arange(N) % 30
    labels = replace(LABELS, groups=groups)
    draws = Draws(TimeSpec(how="time", column="day", folds=9), replace(DATA, labels=labels), 1)
    for fold in draws.folds:
        split = draws[0, fold]
        seen = np.concatenate([split.train, split.val])
        assert not set(groups[seen]) & set(groups[split.test])


@pytest.mark.parametrize(
    ("spec", "time", "words"),
    [
        ({"folds": 5}, np.zeros(N), "column day` must move in at least 6 steps"),
        ({"folds": 5}, np.repeat([0.0, 1.0], N // 2), "2 different moments"),
        ({"folds": 3, "gap": 500}, DAY, "`split.gap` must leave rows to train on"),
    ],
)
def test_a_clock_that_stands_or_a_gap_too_wide_is_said(
    spec: dict[str, float], time: np.ndarray, words: str
) -> None:
    with pytest.raises(DataError, match=words):
        Draws(TimeSpec(how="time", column="day", **spec), replace(DATA, time=time), 1)


def test_without_a_table_there_is_no_time() -> None:
    with pytest.raises(UsageError, match="not be 'time' without a table"):
        Draws(TimeSpec(how="time", column="day"), replace(DATA, time=None), 1)


def test_a_study_forward_in_time_judges_all_blocks_but_the_first(tmp_path: Path) -> None:
    frame = pl.DataFrame({
        "x": RNG.normal(size=N),
        "when": [f"{1 + int(d) % 28:02d}.{1 + int(d) // 28:02d}.2024" for d in DAY],
        "A": LABELS.values[:, 0],
    })  # fmt: skip
    frame.write_csv(tmp_path / "t.csv")
    content = {
        "data": {"path": str(tmp_path / "t.csv"), "labels": ["A"]},
        "models": ["logistic_regression"],
        "arms": ["none", "pos_weight"],
        "split": {"column": "when", "folds": 3},
        "seeds": 2,
    }
    study = parse_study(content)
    assert load_data(study).time[0] == pytest.approx(19_723 + DAY[0])
    result = run_study(study, out=tmp_path / "out").comparison
    assert sum(result.data["rows"].values()) > 0
    assert np.isfinite(result.arm("pos_weight").gain.primary.value)
    with pytest.raises(DataError, match="must name a column of the table, got 'y'"):
        load_data(parse_study({**content, "split": {"column": "y"}, "data": {
            **content["data"], "labels": ["A"]}}))  # fmt: skip
