"""Arrays and memory maps as torch data sets."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from equipoise.artifacts import Labels
from equipoise.data import ArrayDataset
from equipoise.errors import DataError, ShapeError

CLASSES = Labels.from_array([0, 2, 1, 2], kind="multiclass")
HOT = Labels.from_array([[1, -1], [0, 1], [-1, -1], [1, 0]], kind="multilabel")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.float32, torch.float32),
        (np.float64, torch.float64),
        (np.float16, torch.float32),
        (np.uint8, torch.float32),
        (np.int64, torch.float32),
        (np.bool_, torch.float32),
    ],
)
def test_dtypes(given: type, kept: torch.dtype) -> None:
    features = np.array([[0, 1], [1, 1], [1, 0], [0, 0]]).astype(given)
    data = ArrayDataset(features, CLASSES)
    x, target = data[1]
    assert x.dtype == kept
    assert x.tolist() == [1, 1]
    assert target.dtype == torch.int64
    assert target.item() == 2
    assert len(data) == 4


def test_unknown_labels_are_nan_and_batches_stack() -> None:
    x, target = next(iter(DataLoader(ArrayDataset(np.zeros((4, 2, 3), np.float32), HOT), 4)))
    assert x.shape == (4, 2, 3)
    assert target.dtype == torch.float32
    np.testing.assert_array_equal(target, [[1, np.nan], [0, 1], [np.nan, np.nan], [1, 0]])
    classes = next(iter(DataLoader(ArrayDataset(np.zeros((4, 2)), CLASSES), 4)))[1]
    assert classes.tolist() == [0, 2, 1, 2]


def test_items_are_copies() -> None:
    features = np.zeros((4, 2), dtype=np.float32)
    data = ArrayDataset(features, CLASSES)
    data[0][0].fill_(7)
    assert not features.any()


def test_memory_maps_stay_on_disk_and_are_not_scanned(tmp_path: Path) -> None:
    full = np.arange(8.0).reshape(4, 2)
    full[3, 1] = np.nan
    np.save(tmp_path / "x.npy", full)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    data = ArrayDataset(mapped, CLASSES)
    assert isinstance(data.features, np.memmap)
    assert data[2][0].tolist() == [4, 5]
    with pytest.raises(DataError, match=r"`features` must be finite.*row 3, column 1"):
        ArrayDataset(np.array(mapped), CLASSES)


def test_wrong_features_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"one row per label = 4, got shape \(3, 2\)"):
        ArrayDataset(np.zeros((3, 2)), CLASSES)
    with pytest.raises(ShapeError, match=r"got shape \(\)"):
        ArrayDataset(np.array(1.0), CLASSES)
    for wrong in (np.array([["a"]] * 4), np.zeros((4, 2), complex)):
        with pytest.raises(DataError, match="`features` must be numbers, got dtype"):
            ArrayDataset(wrong, CLASSES)
    assert ArrayDataset([[1, 2]] * 4, CLASSES)[0][0].tolist() == [1, 2]
    with pytest.raises(IndexError):
        ArrayDataset(np.zeros((4, 2)), CLASSES)[4]


def test_survives_pickling_for_worker_processes() -> None:
    data = pickle.loads(pickle.dumps(ArrayDataset(np.ones((4, 2)), HOT)))  # noqa: S301
    np.testing.assert_array_equal(data[1][1], [0, 1])
