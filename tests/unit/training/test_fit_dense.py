"""Networks with dense outputs, trained with remedies: segmentation and a tagger."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import equipoise as eq
from equipoise.errors import ShapeError, UsageError
from equipoise.training import TrainingOptions

OPTIONS = TrainingOptions(epochs=10, batch_size=8, lr=0.05)


def blobs(n: int = 48, size: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return noisy images (n, 1, size, size) and masks with one rare bright square in half."""
    random = np.random.default_rng(seed)
    masks = np.zeros((n, size, size), dtype=np.int64)
    for mask in masks[::2]:
        row, column = random.integers(0, size - 3, 2)
        mask[row : row + 3, column : column + 3] = 1
    images = masks[:, None] * 1.5 + random.normal(size=(n, 1, size, size))
    return images.astype(np.float32), masks


class Maps(torch.utils.data.Dataset):
    def __init__(self, images: np.ndarray, targets: np.ndarray) -> None:
        self.images, self.targets = torch.from_numpy(images), torch.from_numpy(targets)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.images[i], self.targets[i]


def network(width: int = 2) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, width, 1))


def of_images(masks: np.ndarray) -> eq.Labels:
    there = np.stack([(masks == c).any((1, 2)) for c in range(2)], axis=1)
    ids = [f"image{i}" for i in range(len(masks))]
    return eq.Labels.from_array(there.astype(int), kind="multilabel", names=["no", "yes"], ids=ids)


@pytest.mark.parametrize("name", ["none", "weighted_ce", "logit_adjusted", "dice", "focal_tversky"])
def test_a_segmentation_network_is_trained_scored_and_judged(name: str) -> None:
    images, masks = blobs(n=96)
    masks[:, 0] = -100
    labels = of_images(masks)
    split = eq.stratified_split(labels, fractions=(0.6, 0.2, 0.2), seed=0)
    known = masks[split.train].ravel()
    pixels = eq.Labels.from_array(known[known >= 0], kind="multiclass", names=["no", "yes"])
    remedy = eq.remedy(name, pixels, class_dim=1)
    data = Maps(images, masks)
    run = eq.fit(network, data, split, remedy, labels=labels, options=OPTIONS, progress=False)
    val = run.scores["val"]
    assert len(val) == split.val.size * 15 * 16
    assert set(val.labels.groups) == {f"image{i}" for i in split.val}
    rule = eq.tune(val, objective="macro_f1")
    table = eq.evaluate(rule, run.scores["test"])
    ratio = table.per_label["yes"]["calibration_ratio"].value
    assert 0.5 < ratio < 2.0  # probabilities are right whatever the loss did to them
    assert table.per_label["yes"]["auroc"].value > 0.8
    assert table.per_label["yes"]["auroc"].n == split.test.size


def test_a_tagger_is_trained_with_labels_of_every_step() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 12, 3)).astype(np.float32)
    y = (x[..., :2] + random.normal(size=(40, 12, 2)) > 1.0).astype(np.float32)
    y[0, :3] = np.nan
    there = np.nan_to_num(y).max(1).astype(int)
    labels = eq.Labels.from_array(there, kind="multilabel", names=["A", "B"])
    split = eq.stratified_split(labels, fractions=(0.5, 0.25, 0.25), seed=0)
    steps = eq.Labels.from_array(y[split.train].reshape(-1, 2), kind="multilabel", names=["A", "B"])
    remedy = eq.remedy("pos_weight", steps, class_dim=2)
    run = eq.fit(
        lambda: nn.Linear(3, 2), Maps(x, y), split, remedy, labels=labels, options=OPTIONS,
        progress=False,
    )  # fmt: skip
    scores = run.scores["val"]
    assert len(scores) == split.val.size * 12 - 3 * (0 in split.val)
    share = scores.correction.probabilities(scores.values).mean(0) / (
        scores.labels.values == 1
    ).mean(0)
    assert ((share > 0.5) & (share < 2.0)).all()


def test_large_maps_are_scored_on_drawn_pixels() -> None:
    images, masks = blobs(n=10, size=80)
    labels = of_images(masks)
    split = eq.stratified_split(labels, fractions=(0.6, 0.4, 0.0), seed=0)
    pixels = eq.Labels.from_array(
        masks[split.train].ravel(), kind="multiclass", names=["no", "yes"]
    )
    remedy = eq.remedy("none", pixels, class_dim=1)
    options = TrainingOptions(epochs=1, batch_size=4)
    found = [
        eq.fit(network, Maps(images, masks), split, remedy, labels=labels, options=options,
               progress=False).scores["val"]
        for _ in range(2)
    ]  # fmt: skip
    assert len(found[0]) == split.val.size * 4096
    np.testing.assert_array_equal(found[0].values, found[1].values)
    assert np.unique(found[0].labels.groups, return_counts=True)[1].tolist() == [4096] * 4


def dense_run(**changes: Any) -> Any:
    images, masks = blobs(n=16)
    labels = of_images(masks)
    split = eq.stratified_split(labels, fractions=(0.5, 0.5, 0.0), seed=0)
    pixels = eq.Labels.from_array(masks.ravel(), kind="multiclass", names=["no", "yes"])
    given = {"remedy": eq.remedy("none", pixels, class_dim=1), "model": network, **changes}
    return eq.fit(
        given["model"], Maps(images, masks), split, given["remedy"], labels=labels,
        options=TrainingOptions(epochs=1, batch_size=8), progress=False,
    )  # fmt: skip


def test_dense_training_names_what_does_not_fit() -> None:
    pixels = eq.Labels.from_array([0, 1, 1], kind="multiclass", names=["no", "yes"])
    with pytest.raises(ShapeError, match="one output per class = 2 on axis 1"):
        dense_run(model=lambda: network(3))
    with pytest.raises(UsageError, match=r"`remedy` must be of losses for dense targets.*sampler"):
        eq.remedy("class_balanced_sampling", pixels, class_dim=1)
    with pytest.raises(UsageError, match="which fills the slot `mixing`"):
        eq.remedy("mixup", pixels, class_dim=1)
    with pytest.raises(UsageError, match="`remedy` must be made of the labels of pixels"):
        dense_run(remedy=lambda _: eq.remedy("none", pixels, class_dim=1))


@pytest.mark.parametrize("name", ["weighted_ce", "focal", "drw", "ohem", "dice"])
def test_another_index_of_unknown_pixels_is_told_to_the_remedy(name: str) -> None:
    pixels = eq.Labels.from_array(np.repeat([0, 1], [90, 10]), kind="multiclass")
    g = torch.Generator().manual_seed(0)
    logits, target = (
        torch.randn(2, 2, 3, 4, generator=g),
        torch.randint(0, 2, (2, 3, 4), generator=g),
    )
    holes = torch.zeros_like(target, dtype=torch.bool)
    holes[:, 0] = True
    usual = eq.remedy(name, pixels, class_dim=1).loss
    other = eq.remedy(name, pixels, class_dim=1, ignore_index=255).loss
    expected = usual(logits, target.masked_fill(holes, -100))
    marked = target.masked_fill(holes, 255)
    torch.testing.assert_close(other(logits, marked), expected)
    torch.testing.assert_close(
        other.divisor(marked), usual.divisor(target.masked_fill(holes, -100))
    )
    hot = eq.Labels.from_array([[1], [0], [0], [0]], kind="multilabel")
    with pytest.raises(UsageError, match="`ignore_index` must be left out for labels, got 255"):
        eq.remedy("pos_weight", hot, class_dim=1, ignore_index=255)


def test_engines_of_rows_refuse_dense_remedies() -> None:
    pixels = eq.Labels.from_array(np.repeat([0, 1], [90, 10]), kind="multiclass")
    dense = eq.remedy("weighted_ce", pixels, class_dim=1)
    with pytest.raises(
        UsageError, match="`class_dim of 'weighted_ce'` must be -1 for `train_heads`"
    ):
        dense.require_supported("train_heads", ("sampler",))


def test_arms_on_dense_targets_are_compared_over_seeds() -> None:
    images, masks = blobs(n=40)
    labels = of_images(masks)
    base = eq.stratified_split(labels, fractions=(0.5, 0.2, 0.3), seed=0)
    trials = []
    for seed in (0, 1):
        split = eq.redraw_validation(base, labels, seed=seed)
        known = masks[split.train].ravel()
        pixels = eq.Labels.from_array(known, kind="multiclass", names=["no", "yes"])
        for name in ("none", "weighted_ce", "dice"):
            made = eq.remedy(name, pixels, class_dim=1)
            options = TrainingOptions(epochs=2, batch_size=8, lr=0.05)
            trials.append(eq.fit(network, Maps(images, masks), split, made, labels=labels,
                                 seed=seed, options=options, progress=False))  # fmt: skip
    found = eq.compare(trials, baseline="none")
    assert {arm.method for arm in found.arms} >= {"none", "weighted_ce", "dice"}


def test_a_deferred_remedy_takes_dense_targets_late_too() -> None:
    pixels = eq.Labels.from_array(np.repeat([0, 1], [90, 10]), kind="multiclass")
    made = eq.remedy("drw", pixels, class_dim=1)
    late = made.schedule.loss
    assert late.class_dim == made.loss.class_dim == 1
    logits = torch.randn(2, 2, 3, 4, requires_grad=True)
    target = torch.randint(0, 2, (2, 3, 4))
    target[0, 0] = -100
    rows = logits.movedim(1, -1).reshape(-1, 2)
    flat = eq.remedy("drw", pixels).schedule.loss
    torch.testing.assert_close(late(logits, target), flat(rows, target.reshape(-1)))
