"""Sequences come out as they went in, and padding never hides a step."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from equipoise.artifacts import Labels
from equipoise.data import Sequences, pad_batch, padding_mask, seed_worker
from equipoise.errors import DataError, ShapeError, UsageError
from equipoise.models import LSTMClassifier

LENGTHS = [3, 1, 5, 2]
LABELS = Labels.from_array([[1, 0], [0, 1], [-1, 1], [0, 0]], kind="multilabel")


def made(dtype: type = np.float32) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(1, 9, (t, 2)).astype(dtype) for t in LENGTHS]


@pytest.mark.parametrize(
    ("given", "kept"),
    [(np.float32, torch.float32), (np.float64, torch.float64), (np.int8, torch.float32)],
)
def test_list_and_flat_array_are_the_same(given: type, kept: torch.dtype) -> None:
    arrays = made(given)
    listed = Sequences(arrays, LABELS)
    flat = Sequences(np.concatenate(arrays), LABELS, offsets=[0, 3, 4, 9, 11])
    for i, array in enumerate(arrays):
        for data in (listed, flat):
            x, target = data[i]
            assert x.dtype == kept
            np.testing.assert_array_equal(x, array)
            np.testing.assert_array_equal(target[1], LABELS.values[i, 1])
    assert listed.lengths.tolist() == LENGTHS
    assert listed[2][1].isnan().tolist() == [True, False]


def test_items_are_copies() -> None:
    data = Sequences(made())
    before = data.steps.copy()
    data[0][0].fill_(99)
    np.testing.assert_array_equal(data.steps, before)


def test_pad_to_gives_one_shape() -> None:
    data = Sequences(made(), LABELS, pad_to=6)
    x, _ = next(iter(DataLoader(data, batch_size=4)))
    assert x.shape == (4, 6, 2)
    assert [(row != 0).any(1).sum().item() for row in x] == LENGTHS
    with pytest.raises(DataError, match=r"at most pad_to = 4 steps, got 5 steps in sequence 2"):
        Sequences(made(), pad_to=4)
    with pytest.raises(UsageError, match=r"`pad_to` must be at least 1"):
        Sequences(made(), pad_to=0)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_padded_to_their_longest(workers: int) -> None:
    data = Sequences(made(), LABELS)
    loader = DataLoader(data, batch_size=2, collate_fn=pad_batch, num_workers=workers)
    (first, lengths), target = next(iter(loader))
    assert first.shape == (2, 3, 2)
    assert lengths.tolist() == [3, 1]
    assert target.shape == (2, 2)
    assert padding_mask(lengths).tolist() == [[True] * 3, [True, False, False]]
    assert padding_mask(lengths, 4).shape == (2, 4)
    assert not first[~padding_mask(lengths)].any()
    (padded, _), _ = pad_batch([data[0], data[1]], padding=-1.0)
    assert (padded[1, 1:] == -1).all()
    with pytest.raises(DataError, match=r"`items` must be at least one"):
        pad_batch([])


def test_lstm_does_not_see_the_padding() -> None:
    torch.manual_seed(0)
    net = LSTMClassifier(2, 3, hidden=4).eval()
    data = Sequences(made())
    pair, _ = pad_batch([data[i] for i in range(4)])
    alone = torch.cat([net(data[i][0][None]) for i in range(4)])
    torch.testing.assert_close(net(pair), alone)


def test_memory_maps_travel_as_paths(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((100_000, 2), dtype=np.float32))
    steps = np.load(tmp_path / "x.npy", mmap_mode="r", allow_pickle=False)
    data = Sequences(steps, offsets=[0, 40_000, 100_000])
    packed = pickle.dumps(data)
    assert len(packed) < 5000
    again = pickle.loads(packed)  # noqa: S301
    assert isinstance(again.steps, np.memmap)
    assert torch.equal(again[1][0], data[1][0])
    part = Sequences(steps[:2], offsets=[0, 2])
    assert torch.equal(pickle.loads(pickle.dumps(part))[0][0], part[0][0])  # noqa: S301


def test_wrong_sequences_are_named() -> None:
    with pytest.raises(ShapeError, match=r"`sequences\[1\]` must have 2 dimension"):
        Sequences([np.ones((2, 1)), np.ones(3)])
    with pytest.raises(ShapeError, match=r"`sequences\[1\]` must have 2 values per step, .*got 3"):
        Sequences([np.ones((2, 2)), np.ones((2, 3))])
    with pytest.raises(DataError, match=r"have a step each, got 0 in number 1"):
        Sequences([np.ones((2, 2)), np.ones((0, 2))])
    with pytest.raises(DataError, match=r"have a step each, got -1 in number 1"):
        Sequences(np.ones((4, 2)), offsets=[0, 3, 2, 4])
    with pytest.raises(DataError, match=r"`sequences` must be at least one, got none"):
        Sequences([])
    with pytest.raises(DataError, match=r"`sequences` must be numbers, got dtype object"):
        Sequences([np.array([[None]])])
    with pytest.raises(DataError, match=r"`sequences` must be finite.*row 1, column 0"):
        Sequences([np.array([[0.0], [np.nan]])])
    with pytest.raises(DataError, match=r"integers from 0 to 4 .all steps., got int64 from .0. to"):
        Sequences(np.ones((4, 2)), offsets=[0, 3])
    with pytest.raises(ShapeError, match=r"have shape \(steps, F\) with offsets"):
        Sequences(np.ones(4), offsets=[0, 4])
    with pytest.raises(ShapeError, match=r"one row per label = 4, got 1 rows"):
        Sequences([np.ones((2, 2))], LABELS)


class Draws(Dataset[float]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> float:
        return random.random() + np.random.random()  # noqa: S311, NPY002


def test_workers_are_seeded() -> None:
    def draws(seed: int) -> list[float]:
        loader = DataLoader(
            Draws(),
            num_workers=2,
            worker_init_fn=seed_worker,
            generator=torch.Generator().manual_seed(seed),
        )
        return [float(x) for x in loader]

    first = draws(0)
    assert first == draws(0)
    assert len(set(first + draws(1))) == 8
