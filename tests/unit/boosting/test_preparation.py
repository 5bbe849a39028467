"""What is learned of columns is learned from training rows alone."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from equipoise.artifacts import Labels
from equipoise.boosting import code_table
from equipoise.boosting.preparation import FEW, Style, learn_preparation

N, TRAIN = 600, 400
RNG = np.random.default_rng(1)
FRAME = pl.DataFrame({
    "x": [None if i % 11 == 0 else float(v) for i, v in enumerate(RNG.normal(size=N))],
    "few": RNG.choice(["a", "b", "c"], N),
    "many": [f"m{i}" for i in RNG.integers(0, 80, N)],
    "text": [" ".join(RNG.choice(["ship", "late", "good", "bad"], 4)) for _ in range(N)],
    "when": [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(N)],
})  # fmt: skip
Y = (RNG.random(N) < 0.3).astype(int)
LABELS = {
    "one label": Labels.from_array(Y, kind="multilabel"),
    "classes": Labels.from_array(Y + (RNG.random(N) < 0.2), kind="multiclass"),
    "labels": Labels.from_array(np.stack([Y, 1 - Y], 1), kind="multilabel"),
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("style", ["trees", "numbers"])
def test_rows_that_are_not_trained_on_change_nothing(kind: str, style: Style) -> None:
    """Other test rows, a category and letters of theirs alone: training rows are as they were."""
    rows, labels = np.arange(TRAIN), LABELS[kind]
    made, train = learn_preparation(code_table(FRAME), labels, rows, style)
    changed = FRAME.clone()
    odd = pl.DataFrame({"x": [1e6] * 200, "few": ["new"] * 200, "many": ["newer"] * 200,
                        "text": ["quartz zoo jumps high"] * 200,
                        "when": ["1901-01-01"] * 200})  # fmt: skip
    changed = pl.concat([FRAME[:TRAIN], odd])
    truth = labels.values.copy()
    truth[TRAIN:] = 0
    flipped = Labels.from_array(truth, kind=labels.kind, names=labels.names)
    again, second = learn_preparation(code_table(changed), flipped, rows, style)
    np.testing.assert_array_equal(train, second)
    # And what is made of the same rows by both is the same.
    np.testing.assert_array_equal(made(code_table(FRAME), rows), again(code_table(changed), rows))
    others = again(code_table(changed), np.arange(TRAIN, N))
    assert others.shape == (200, train.shape[1])
    if style == "numbers":
        assert np.isfinite(others).all()


def test_trees_get_gaps_and_places_others_get_neither() -> None:
    rows = np.arange(TRAIN)
    made, train = learn_preparation(code_table(FRAME), LABELS["one label"], rows, "trees")
    assert made.categorical
    assert np.isnan(train).any()
    _, weighed = learn_preparation(code_table(FRAME), LABELS["one label"], rows, "numbers")
    assert np.isfinite(weighed).all()
    assert abs(weighed[:, 0].mean()) < 1e-6


def test_training_rows_do_not_see_their_own_target() -> None:
    """A category with a value per pair of rows: encoded by their own target it would tell it."""
    n = 400
    frame = pl.DataFrame({"pair": [f"p{i // 2}" for i in range(n)], "x": RNG.normal(size=n)})
    y = (np.random.default_rng(5).random(n) < 0.5).astype(int)
    coded = code_table(frame, categorical=["pair"])
    labels = Labels.from_array(y, kind="multilabel")
    _, train = learn_preparation(coded, labels, np.arange(n), "trees")
    encoded = train[:, -1]
    assert abs(np.corrcoef(encoded, y)[0, 1]) < 0.2


def test_a_table_of_numbers_is_scaled_for_those_who_weigh_and_left_for_trees() -> None:
    frame = pl.DataFrame({"a": RNG.normal(5, 3, size=N), "b": RNG.normal(size=N)})
    coded, rows = code_table(frame), np.arange(TRAIN)
    made, train = learn_preparation(coded, LABELS["classes"], rows, "trees")
    np.testing.assert_array_equal(train, coded.values[rows])
    np.testing.assert_array_equal(made(coded), coded.values)
    _, scaled = learn_preparation(coded, LABELS["classes"], rows, "numbers")
    np.testing.assert_allclose(scaled.std(0), 1.0, atol=1e-5)


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("style", ["trees", "numbers"])
def test_columns_of_one_category_are_told_together(kind: str, style: Style) -> None:
    """Of one target the large category is its mean, a number; of several labels it is one too."""
    made, train = learn_preparation(code_table(FRAME), LABELS[kind], np.arange(TRAIN), style)
    blocks = made.blocks
    assert len(blocks) == (2 if kind == "labels" else 1)
    if style == "trees":
        assert [len(block) for block in blocks] == [1] * len(blocks)
        assert set(made.categorical) <= {block[0] for block in blocks}
        return
    for block, width in zip(blocks, (3, FEW), strict=False):
        assert len(block) == width
        hot = train[:, list(block)]
        assert set(np.unique(hot)) == {0.0, 1.0}
        np.testing.assert_array_equal(hot.sum(1), 1.0)
