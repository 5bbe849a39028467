"""Pixels are judged image by image, exactly, with intervals over images."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, jaccard_score, log_loss

import equipoise as eq
from equipoise.artifacts import Evaluation
from equipoise.decisions import image_scores
from equipoise.errors import DataError, LeakageError, ShapeError

NAMES = ["sky", "road", "sign"]


def scene(n: int, seed: int, size: int = 12, lift: float = 1.5) -> tuple[Any, ...]:
    """Return ids, logits (n, 3, size, size) and masks with a rare third class; some unknown."""
    random = np.random.default_rng(seed)
    y = random.choice(3, p=[0.6, 0.35, 0.05], size=(n, size, size))
    y[::3][y[::3] == 2] = 0
    z = random.normal(size=(n, 3, size, size)) + lift * np.moveaxis(np.eye(3)[y], -1, 1)
    y[:, 0, :3] = -100
    return [f"s{seed}-{k}" for k in range(n)], z, y


def rule_of(n: int = 12, objective: str = "macro_f1") -> Any:
    ids, z, y = scene(n, 0)
    val = eq.Scores.from_dense(
        y, logits=z, split="val", kind="multiclass", image_ids=ids, names=NAMES
    )
    return eq.tune(val, objective=objective)


def one_by_one(ids: Any, z: Any, y: Any) -> Iterator[Any]:
    for k, name in enumerate(ids):
        yield [name], z[k : k + 1], y[k : k + 1]


def test_counts_are_those_of_scikit_learn() -> None:
    rule, (ids, z, y) = rule_of(), scene(9, 1)
    found = eq.evaluate_dense(rule, one_by_one(ids, z, y))
    decided = rule.apply_dense(z)
    known = y >= 0
    truth, said = y[known], decided.predictions[known]
    p = np.moveaxis(decided.probabilities, 1, -1)[known]
    assert found.n_rows == known.sum()
    for i, name in enumerate(NAMES):
        row = found.per_label[name]
        t, s = truth == i, said == i
        assert row["iou"].value == pytest.approx(jaccard_score(t, s))
        assert row["dice"].value == pytest.approx(f1_score(t, s))
        assert row["recall"].value == pytest.approx((t & s).sum() / t.sum())
        assert row["precision"].value == pytest.approx((t & s).sum() / s.sum())
        assert row["specificity"].value == pytest.approx((~t & ~s).sum() / (~t).sum())
        assert row["prevalence"].value == pytest.approx(t.mean())
        by_image = [
            f1_score(y[k][known[k]] == i, decided.predictions[k][known[k]] == i)
            for k in range(9)
            if (y[k] == i).any()
        ]
        assert row["dice_per_image"].value == pytest.approx(np.mean(by_image))
        assert row["iou"].n == 9
        assert row["iou"].n_positive == len(by_image)
        counts = found.counts[name]
        assert counts == {"tp": (t & s).sum(), "fp": (~t & s).sum(), "fn": (t & ~s).sum(),
                          "tn": (~t & ~s).sum()}  # fmt: skip
    whole = found.overall["overall"]
    assert whole["balanced_accuracy"].value == pytest.approx(balanced_accuracy_score(truth, said))
    assert whole["accuracy"].value == pytest.approx((truth == said).mean())
    assert whole["log_loss"].value == pytest.approx(log_loss(truth, p))
    assert found.overall["macro"]["iou"].value == pytest.approx(
        jaccard_score(truth, said, average="macro")
    )
    together = eq.evaluate_dense(rule, [(ids, z, y)])
    assert together.to_dict() == found.to_dict()


def test_tiles_are_their_image_and_images_their_patient() -> None:
    rule, (ids, z, y) = rule_of(), scene(10, 2)
    tiles = [([i] * 2, np.stack([a[:, :6], a[:, 6:]]), np.stack([b[:6], b[6:]]))
             for i, a, b in zip(ids, z, y, strict=True)]  # fmt: skip
    found, whole = eq.evaluate_dense(rule, tiles), eq.evaluate_dense(rule, [(ids, z, y)])
    for name in NAMES:
        one, other = found.per_label[name]["iou"], whole.per_label[name]["iou"]
        assert (one.low, one.value, one.high) == pytest.approx((other.low, other.value, other.high))
        assert one.n == 10
    patient = {i: f"p{k // 2}" for k, i in enumerate(ids)}
    grouped = eq.evaluate_dense(rule, [(ids, z, y)], groups=patient)
    assert grouped.per_label["sky"]["iou"].n == 5
    assert grouped.per_label["sky"]["iou"].method == "influence, clustered"
    with pytest.raises(DataError, match="`groups` must hold every image, got none for 's2-9'"):
        eq.evaluate_dense(rule, [(ids, z, y)], groups=dict(list(patient.items())[:-1]))


def test_intervals_cover_over_images_where_pixels_of_one_agree() -> None:
    """Images differ as wholes; an interval over pixels would cover next to never."""
    random = np.random.default_rng(0)
    ids, z, y = scene(12, 0)
    rule = eq.tune(eq.Scores.from_dense(y, logits=z, split="val", kind="multiclass", image_ids=ids))

    def draw(n: int) -> tuple[Any, Any, Any]:
        lifts = random.normal(1.5, 1.0, n)
        y = random.choice(3, p=[0.6, 0.3, 0.1], size=(n, 8, 8))
        signal = lifts[:, None, None, None] * np.moveaxis(np.eye(3)[y], -1, 1)
        return [f"t{k}" for k in range(n)], random.normal(size=(n, 3, 8, 8)) + signal, y

    truth = eq.evaluate_dense(rule, [draw(4000)]).per_label["1"]["iou"].value
    hits = 0
    for _ in range(200):
        seen = eq.evaluate_dense(rule, [draw(30)]).per_label["1"]["iou"]
        hits += seen.low <= truth <= seen.high
    assert 0.89 <= hits / 200 <= 0.99


def test_labels_of_pixels_are_judged_where_known() -> None:
    def draw(seed: int) -> tuple[Any, Any, Any]:
        random = np.random.default_rng(seed)
        y = (random.random((8, 2, 6, 5)) < [[[0.3]], [[0.1]]]).astype(float)
        z = random.normal(size=y.shape) + 2 * y - 1
        y[random.random(y.shape) < 0.1] = np.nan
        return [f"d{seed}-{k}" for k in range(8)], z, y

    ids, z, y = draw(1)
    val = eq.Scores.from_dense(y, logits=z, split="val", kind="multilabel", image_ids=ids)
    rule = eq.tune(val)
    ids, z, y = draw(2)
    found = eq.evaluate_dense(rule, [(ids, z, y)])
    flags = rule.apply_dense(z).predictions
    assert flags.shape == z.shape
    for i, name in enumerate(("0", "1")):
        known = ~np.isnan(y[:, i])
        truth, said = y[:, i][known], flags[:, i][known]
        assert found.per_label[name]["iou"].value == pytest.approx(jaccard_score(truth, said))
    known = ~np.isnan(y)
    assert found.overall["micro"]["dice"].value == pytest.approx(f1_score(y[known], flags[known]))


def test_a_class_without_a_pixel_is_missing_and_not_zero() -> None:
    rule, (ids, z, y) = rule_of(), scene(6, 3)
    y[y == 2] = 0
    z[:, 2] = -50.0
    found = eq.evaluate_dense(rule, [(ids, z, y)])
    assert found.per_label["sign"]["iou"].is_missing
    assert found.not_evaluable == {"sign": "no pixel of it, and none decided so"}
    assert found.n_evaluable["iou"] == 2
    assert found.overall["macro"]["iou"].value == pytest.approx(
        np.mean([found.per_label[n]["iou"].value for n in ("sky", "road")])
    )


def test_it_is_text_and_a_file_like_other_evaluations(tmp_path: Any) -> None:
    rule, (ids, z, y) = rule_of(), scene(9, 1)
    found = eq.evaluate_dense(rule, [(ids, z, y)])
    assert Evaluation.load(found.save(tmp_path / "e.json")).to_dict() == found.to_dict()
    text = found.text(everything=True)
    assert "macro IoU" in text
    assert "pixels of 9 images" in text
    assert "dice per image" in text


def test_leakage_and_mistakes_are_named() -> None:
    rule, (ids, z, y) = rule_of(), scene(6, 3)
    with pytest.raises(LeakageError, match="share no image with those the rule was tuned on"):
        eq.evaluate_dense(rule, [(["s0-1", *ids[1:]], z, y)])
    with pytest.raises(ShapeError, match="`outputs` must have 3 classes or labels on axis 1"):
        eq.evaluate_dense(rule, [(ids, z[:, :2], y)])
    with pytest.raises(ShapeError, match=r"`target` must have shape \(6, 12, 12\)"):
        eq.evaluate_dense(rule, [(ids, z, y[:, :5])])
    with pytest.raises(DataError, match="`target` must lie in 0 to C - 1 = 2"):
        eq.evaluate_dense(rule, [(ids, z, y + 3)])
    with pytest.raises(DataError, match="`batches` must hold at least one image"):
        eq.evaluate_dense(rule, [])
    with pytest.raises(DataError, match="`batches` must hold a target for every image"):
        eq.evaluate_dense(rule, [(ids, z, None)])
    with pytest.raises(DataError, match="have a known pixel"):
        eq.evaluate_dense(rule, [(ids, z, np.full_like(y, -100))])


def test_memory_is_that_of_one_batch() -> None:
    rule = rule_of()

    def stream(n: int) -> Iterator[Any]:
        for k in range(n):
            _, z, y = scene(1, 100 + k, size=96)
            yield [f"m{k}"], z.astype(np.float32), y

    peaks = []
    for n in (4, 24):
        tracemalloc.start()
        eq.evaluate_dense(rule, stream(n))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.15 * peaks[0]


def images_with_spots(seed: int, n: int = 80) -> tuple[Any, ...]:
    """Return images of which half hold a spot of nine pixels; single pixels are noisy."""
    random = np.random.default_rng(seed)
    y = np.zeros((n, 12, 12), dtype=int)
    for k in range(0, n, 2):
        i, j = random.integers(0, 9, 2)
        y[k, i : i + 3, j : j + 3] = 1
    one = np.where(y == 1, 1.5, -2.5) + random.normal(size=y.shape)
    return [f"i{seed}-{k}" for k in range(n)], np.stack([-one / 2, one / 2], 1), y


@pytest.mark.parametrize("measure", ["share", "count", "peak"])
def test_an_image_is_flagged_when_enough_of_it_is(measure: Any) -> None:
    ids, z, y = images_with_spots(0)
    pixels = eq.Scores.from_dense(
        y, logits=z, split="val", kind="multiclass", image_ids=ids, names=["no", "spot"]
    )
    rule = eq.tune(pixels, objective="macro_f1")
    val = image_scores(rule, one_by_one(ids, z, y), split="val", measure=measure)
    decided = rule.apply_dense(z).predictions
    if measure == "count":
        assert val.values[:, 1].tolist() == (decided == 1).sum((1, 2)).tolist()
    if measure == "share":
        np.testing.assert_allclose(val.values[:, 1], (decided == 1).mean((1, 2)))
    assert val.labels.values[:, 1].tolist() == [1, 0] * 40
    of_images = eq.tune(val.narrow(1, 2), objective="f1")
    ids, z, y = images_with_spots(1)
    test = image_scores(rule, [(ids, z, y)], split="test", measure=measure).narrow(1, 2)
    table = eq.evaluate(of_images, test)
    any_pixel = f1_score([1, 0] * 40, (rule.apply_dense(z).predictions == 1).any((1, 2)))
    f1 = table.per_label["spot"]["f1"].value
    assert f1 > 0.95
    assert f1 > any_pixel or measure == "peak"


def test_labels_of_images_may_be_given() -> None:
    ids, z, y = images_with_spots(0, n=20)
    pixels = eq.Scores.from_dense(y, logits=z, split="val", kind="multiclass", image_ids=ids)
    rule = eq.tune(pixels)
    given = eq.Labels.from_array([[1, 1], [1, 0]] * 10, kind="multilabel", ids=ids[::-1])
    found = image_scores(rule, [(ids, z, None)], split="val", labels=given)
    assert found.labels.values[0].tolist() == [1, 0]
    assert image_scores(rule, [(ids, z, None)], split="new").labels is None
    with pytest.raises(DataError, match="`labels` must have a row for every image"):
        image_scores(rule, [(["other", *ids[1:]], z, None)], split="val", labels=given)
