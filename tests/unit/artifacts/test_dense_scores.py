"""Scores of dense outputs: rows are pixels, groups are images, copies only where needed."""

from __future__ import annotations

import numpy as np
import pytest

import equipoise as eq
from equipoise.artifacts import Correction, Scores
from equipoise.errors import DataError, ShapeError, UsageError

RANDOM = np.random.default_rng(0)
Z = RANDOM.normal(size=(3, 4, 5, 6)) * 3
Y = RANDOM.integers(0, 4, (3, 5, 6))
IDS = ["a", "b", "c"]


def dense(target=Y, z=Z, **changes) -> Scores:
    given = {"split": "val", "kind": "multiclass", "image_ids": IDS, **changes}
    return Scores.from_dense(target, logits=z, **given)


def test_rows_are_pixels_and_groups_are_images() -> None:
    scores = dense()
    assert len(scores) == 90
    rows = np.moveaxis(Z, 1, -1).reshape(-1, 4)
    np.testing.assert_array_equal(scores.values, rows)
    np.testing.assert_array_equal(scores.labels.values, Y.ravel())
    assert scores.labels.groups.tolist() == [i for i in IDS for _ in range(30)]
    plain = Scores.from_arrays(
        eq.Labels.from_array(Y.ravel(), kind="multiclass", groups=np.repeat(IDS, 30)),
        logits=rows, split="val",
    )  # fmt: skip
    one, other = eq.tune(scores, seed=0), eq.tune(plain, seed=0)
    np.testing.assert_array_equal(one.class_offset, other.class_offset)


@pytest.mark.parametrize("class_dim", [1, 2, 3, -1])
def test_any_axis_may_hold_the_classes(class_dim: int) -> None:
    moved = np.moveaxis(Z, 1, class_dim)
    np.testing.assert_array_equal(dense(z=moved, class_dim=class_dim).values, dense().values)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_memory_is_shared_where_the_layout_allows(dtype: type) -> None:
    last = np.ascontiguousarray(np.moveaxis(Z, 1, -1)).astype(dtype)
    scores = dense(z=last, class_dim=3)
    assert np.shares_memory(scores.values, last)
    assert scores.values.dtype == dtype
    one = Z[:1].astype(dtype)
    assert np.shares_memory(dense(Y[:1], one, image_ids=["a"]).values, one)
    several = Z.astype(dtype)
    assert not np.shares_memory(dense(z=several).values, several)
    holes = Y.copy()
    holes[0, 0, 0] = -100
    assert not np.shares_memory(dense(holes, last, class_dim=3).values, last)


def test_float32_scores_tune_and_judge_as_float64_do() -> None:
    small = dense(z=np.ascontiguousarray(np.moveaxis(Z, 1, -1)).astype(np.float32), class_dim=3)
    rule = eq.tune(small)
    test = Scores.from_dense(
        Y, logits=Z + 1e-3, split="test", kind="multiclass", image_ids=["d", "e", "f"]
    )
    table = eq.evaluate(rule, test)
    assert table.per_label["1"]["ap"].n == 3  # images


def test_unknown_pixels_are_left_out() -> None:
    holes = Y.copy()
    holes[:, 0] = 255
    scores = dense(holes, ignore_index=255)
    assert len(scores) == 3 * 24
    np.testing.assert_array_equal(scores.labels.values, holes[:, 1:].ravel())
    np.testing.assert_array_equal(scores.values, np.moveaxis(Z[:, :, 1:], 1, -1).reshape(-1, 4))
    with pytest.raises(DataError, match="`target` must have a known pixel, got none"):
        dense(np.full_like(Y, -100))


def test_labels_of_pixels_keep_unknown_entries() -> None:
    hot = (RANDOM.random(Z.shape) < 0.3).astype(float)
    hot[0, 0, 0, 0] = np.nan
    hot[1, :, 2, 2] = -1
    scores = dense(hot, kind="multilabel")
    assert len(scores) == 89  # one pixel has no known label
    assert scores.labels.values[0, 0] == -1
    assert (scores.labels.values == -1).sum() == 1


def test_pixels_are_drawn_evenly_and_the_same_again() -> None:
    z, y = RANDOM.normal(size=(4, 2, 40, 40)), (RANDOM.random((4, 40, 40)) < 0.2).astype(int)
    ids = ["a", "b", "c", "d"]
    few = dense(y, z, per_image=400, image_ids=ids, seed=1)
    assert np.unique(few.labels.groups, return_counts=True)[1].tolist() == [400] * 4
    again = dense(y, z, per_image=400, image_ids=ids, seed=1)
    np.testing.assert_array_equal(few.values, again.values)
    assert not np.array_equal(few.values, dense(y, z, per_image=400, image_ids=ids, seed=2).values)
    share = [
        dense(y, z, per_image=400, image_ids=ids, seed=s).labels.values.mean() for s in range(50)
    ]
    assert np.mean(share) == pytest.approx(y.mean(), abs=0.005)
    holes = y.copy()
    holes[0, :20] = -100
    half = dense(holes, z, per_image=400, image_ids=ids)
    assert 150 < (half.labels.groups == "a").sum() < 250  # unknown ones are not made up for
    with pytest.raises(UsageError, match="`per_image` must be at least 1"):
        dense(y, z, per_image=0, image_ids=ids)


def test_new_images_need_no_target() -> None:
    scores = dense(None, split="new")
    assert scores.labels is None
    assert len(scores) == 90


def test_dense_scores_travel_through_a_file(tmp_path) -> None:
    scores = dense(correction=Correction.from_logit_adjustment([0.4, 0.3, 0.2, 0.1]))
    back = Scores.load(scores.save(tmp_path / "s.parquet"))
    np.testing.assert_array_equal(back.values, scores.values)
    np.testing.assert_array_equal(back.labels.groups, scores.labels.groups)


def test_corrections_and_rules_keep_the_layout() -> None:
    undo = Correction.from_logit_adjustment([0.4, 0.3, 0.2, 0.1])
    rows = np.moveaxis(Z, 1, -1).reshape(-1, 4)
    found = undo.probabilities(Z, class_dim=1)
    assert found.shape == Z.shape
    np.testing.assert_allclose(np.moveaxis(found, 1, -1).reshape(-1, 4), undo.probabilities(rows))
    rule = eq.tune(dense(correction=undo))
    made = rule.apply_dense(Z, image_ids=IDS)
    flat = rule.apply(dense(None, split="new"))
    np.testing.assert_array_equal(made.predictions.ravel(), flat.predictions)
    np.testing.assert_array_equal(
        np.moveaxis(made.probabilities, 1, -1).reshape(-1, 4), flat.probabilities
    )
    assert made.predictions.shape == Y.shape
    assert made.ids.tolist() == IDS
    with pytest.raises(ShapeError, match="`outputs` must have 4 classes or labels on axis 2"):
        rule.apply_dense(Z, class_dim=2)


def test_dense_score_mistakes_are_named() -> None:
    with pytest.raises(ShapeError, match=r"`target` must have shape \(3, 5, 6\), as outputs"):
        dense(Y[:, :2])
    with pytest.raises(ShapeError, match="on axis class_dim = 4"):
        dense(class_dim=4)
    with pytest.raises(UsageError, match="`class_dim` must be -1 or at least 1, got 0"):
        dense(class_dim=0)
    with pytest.raises(DataError, match="`target` must lie in 0 to C - 1 = 3"):
        dense(Y + 1)
    with pytest.raises(UsageError, match="`ignore_index` must be left out for labels, got 255"):
        dense(np.ones_like(Z), kind="multilabel", ignore_index=255)
    with pytest.raises(UsageError, match="exactly one of logits=, probabilities=, ranking="):
        Scores.from_dense(Y, split="val", kind="multiclass")
    with pytest.raises(DataError, match="`image_ids` must be unique"):
        dense(image_ids=["a", "a", "b"])
    with pytest.raises(DataError, match="`logits` must be finite"):
        dense(z=np.where(Z > 3, np.nan, Z))
