"""Balancing by augmented copies: which sights are augmented, how often, and by whom it is done."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from equipoise.artifacts import Labels, Split
from equipoise.data import ArrayDataset, Augmentation
from equipoise.errors import DataError, NoEffectWarning, UsageError
from equipoise.methods import remedy
from equipoise.training import AugmentCopies, TrainingOptions, fit
from equipoise.training.targets import to_target

TAIL = Labels.from_array(np.repeat([0, 1, 2], [400, 80, 20]), kind="multiclass")
HOT = Labels.from_array(
    np.repeat([[1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [-1, 1, 0]], [20, 150, 30, 290, 10], 0),
    kind="multilabel",
)
FLIP = Augmentation(horizontal_flip=1.0)


def sights(labels: Labels, epochs: int = 40) -> np.ndarray:
    """How often each row is drawn per epoch."""
    made = remedy("augment_balance", labels)
    sampler, times = made.sampler(seed=1), np.zeros(len(labels))
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        times += np.bincount(list(sampler), minlength=len(labels))
    return times / epochs


@pytest.mark.parametrize("labels", [TAIL, HOT], ids=["classes", "labels"])
def test_the_share_of_copies_is_that_of_the_sampler(labels: Labels) -> None:
    made = remedy("augment_balance", labels)
    shares = made.augmentation.shares(to_target(labels, torch.float32)).numpy()
    times = sights(labels)
    kinds = np.unique(labels.values.reshape(len(labels), -1), axis=0)
    for one in kinds:
        rows = (labels.values.reshape(len(labels), -1) == one).all(1)
        expected = 1 - 1 / max(1.0, times[rows].mean())
        assert shares[rows] == pytest.approx(expected, abs=0.02)
    assert shares.max() > 0.5
    assert shares.min() == 0.0


def test_a_balanced_set_of_classes_has_the_prior_undone_and_weights_idle_after_it() -> None:
    made = remedy("augment_balance", TAIL)
    assert made.correction.exactness == "exact"
    np.testing.assert_allclose(
        made.correction.probabilities(np.zeros((1, 3)))[0], TAIL.prevalence, atol=1e-9
    )
    with pytest.warns(NoEffectWarning, match="finds them balanced"):
        idle = remedy("augment_balance+class_balanced", TAIL, counts="after")
    assert isinstance(idle.augmentation, AugmentCopies)
    alone = idle.correction.apply(np.zeros((1, 3))) - made.correction.apply(np.zeros((1, 3)))
    assert np.ptp(alone) < 0.1
    assert idle.settings["counts"] == "after"


def test_the_same_seed_augments_alike_and_first_sights_stay_as_they_are() -> None:
    copies = AugmentCopies((0.5, 5.0), FLIP)
    x = torch.arange(2.0).expand(500, 1, 1, 2).clone()
    target = torch.arange(500) % 2
    before = x.clone()
    one, two, other = (copies(x, target, seed=s) for s in (3, 3, 4))
    assert torch.equal(x, before)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(one[::2], x[::2])
    turned = (one[1::2, 0, 0, 0] == 1).float().mean().item()
    assert turned == pytest.approx(0.8, abs=0.06)
    assert copies(x, torch.zeros(500, dtype=torch.int64), seed=0) is x


def test_negative_repeats_are_refused() -> None:
    with pytest.raises(DataError, match=r"`repeats` must be >= 0, got -1"):
        AugmentCopies((1.0, -1.0), FLIP)
    with pytest.raises(UsageError, match="must be one of"):
        remedy("augment_balance", TAIL, augmentation="cifra")
    mine = remedy("augment_balance", TAIL, augmentation={"erasing": 1.0, "mean": [0.5], "std": [1]})
    assert mine.augmentation.augmentation.erasing == 1.0


def test_fit_augments_copies_alone() -> None:
    """Every image is a ramp; a copy is a falling one, and tail rows are mostly copies."""
    n = 60
    values = np.repeat([0, 1], [50, 10])
    labels = Labels.from_array(values, kind="multiclass")
    ramps = np.tile(np.linspace(0.1, 0.9, 4, dtype=np.float32), (n, 1, 4, 1))
    rows = np.arange(n)
    split = Split.from_parts(rows[:55], rows[55:], [], n_rows=n, seed=0, method="hand")
    seen: list[tuple[torch.Tensor, int]] = []

    class Watching(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = torch.nn.Linear(16, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                seen.append((x[:, 0, 0, 0] > x[:, 0, 0, 3]).float())
            return self.last(x.flatten(1))

    treated = remedy("augment_balance", labels[split.train], augmentation={"horizontal_flip": 1.0})
    fit(Watching, ArrayDataset(ramps, labels), split, treated, progress=False,
        options=TrainingOptions(epochs=30, batch_size=55, accelerator="cpu"))  # fmt: skip
    share = torch.cat(seen).mean().item()
    # 50 head rows and 5 tail rows, each half of 55 draws: tail rows come 5.5 times.
    assert share == pytest.approx(0.5 * (1 - 1 / 5.5), abs=0.03)
