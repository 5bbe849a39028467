"""Copies of a row differ, and do so reproducibly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from equipoise.artifacts import Labels, Split, TrainingRows
from equipoise.data import ArrayDataset, CopiesDataset
from equipoise.errors import DataError, UsageError
from equipoise.sampling.resample import mlsmote, random_oversample, smote

Y = np.array([0] * 12 + [1] * 3 + [0] * 5)
LABELS = Labels.from_array(Y, kind="multiclass")
SPLIT = Split.from_parts(range(15), [], range(15, 20), n_rows=20, seed=0, method="by hand")
TRAIN = TrainingRows.of(LABELS, SPLIT)
X = np.arange(40, dtype=np.float32).reshape(20, 2)
WHOLE = ArrayDataset(X, LABELS)


def jitter(x: torch.Tensor, seed: int) -> torch.Tensor:
    return x + torch.rand(x.shape, generator=torch.Generator().manual_seed(seed))


def test_first_copies_are_the_rows_and_further_ones_differ() -> None:
    after = random_oversample(TRAIN)
    copies = CopiesDataset(WHOLE, after, jitter)
    assert len(copies) == 24
    for i, (row, copy) in enumerate(zip(after.rows, after.copies, strict=True)):
        x, target = copies[i]
        assert int(target) == Y[row]
        assert bool((x.numpy() == X[row]).all()) == (copy == 0)
    seen = {tuple(copies[i][0].tolist()) for i in np.flatnonzero(after.rows == 13)}
    assert len(seen) == 4
    everything = CopiesDataset(WHOLE, after, jitter, augment_originals=True)
    assert (everything[0][0].numpy() != X[0]).all()
    with pytest.raises(IndexError):
        copies[24]
    assert torch.equal(copies[-1][0], copies[23][0])


def test_seeds_depend_on_seed_epoch_row_and_copy_alone() -> None:
    after = random_oversample(TRAIN)
    first, same = (CopiesDataset(WHOLE, after, jitter, seed=3) for _ in range(2))
    seeds = [first.seed_of(i) for i in range(24)]
    assert len(set(seeds)) == 24
    assert [same.seed_of(i) for i in reversed(range(24))] == seeds[::-1]
    first.set_epoch(1)
    assert first.epoch == 1
    assert not {first.seed_of(i) for i in range(24)} & set(seeds)
    other = CopiesDataset(WHOLE, after, jitter, seed=4)
    assert not {other.seed_of(i) for i in range(24)} & set(seeds)


def test_workers_that_live_on_see_the_epoch() -> None:
    copies = CopiesDataset(WHOLE, random_oversample(TRAIN), jitter)
    loader = DataLoader(copies, batch_size=8, num_workers=1, persistent_workers=True)
    epochs = []
    for epoch in (0, 1):
        copies.set_epoch(epoch)
        epochs.append(torch.cat([x for x, _ in loader]))
        assert torch.equal(epochs[-1], torch.stack([copies[i][0] for i in range(24)]))
    assert not torch.equal(epochs[0], epochs[1])


def test_synthetic_rows_come_last() -> None:
    after = smote(TRAIN, X)
    copies = CopiesDataset(WHOLE, after, jitter)
    assert len(copies) == 24
    loader = DataLoader(copies, batch_size=24)
    x, target = next(iter(loader))
    assert after.features is not None
    assert (x[15:].numpy() == after.features).all()
    assert target.bincount().tolist() == [12, 12]

    hot = np.array([[1, 0, -1]] * 16 + [[0, 1, -1]] * 4)
    labels = Labels.from_array(hot, kind="multilabel")
    rows = mlsmote(
        TrainingRows.of(
            labels, Split.from_parts(range(20), [], [], n_rows=20, seed=0, method="all")
        ),
        X,
    )
    _, target = CopiesDataset(ArrayDataset(X, labels), rows, jitter)[20]
    assert target[:2].tolist() == [0.0, 1.0]
    assert target[2].isnan()


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(UsageError, match="`resampled` must be Resampled, got list"):
        CopiesDataset(WHOLE, [0, 1], jitter)  # type: ignore[arg-type]
    short = ArrayDataset(X[:10], LABELS[np.arange(10)])
    with pytest.raises(DataError, match=r"hold the whole data, 15 rows or more, got 10\. Do not"):
        CopiesDataset(short, random_oversample(TRAIN), jitter)
