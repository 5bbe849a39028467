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


def test_without_labels_items_carry_their_row() -> None:
    data = ArrayDataset(np.zeros((4, 2)))
    assert data.labels is None
    assert data[3][1] == 3
    with pytest.raises(ShapeError, match=r"have one row, got shape \(\)"):
        ArrayDataset(np.array(1.0))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float16", "bool", ">f4", ">i2"])
def test_dtypes_are_kept_on_request(dtype: str) -> None:
    features = np.array([[0, 1], [1, 1]]).astype(dtype)
    x = ArrayDataset(features, keep_dtype=True)[0][0]
    assert x.numpy().dtype == np.dtype(dtype).newbyteorder("=")
    assert x.tolist() == [0, 1]


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_files_are_mapped_and_travel_as_paths(context: str, tmp_path: Path) -> None:
    full = np.asfortranarray(np.arange(200_000, dtype=np.float32).reshape(-1, 2))
    np.save(tmp_path / "x.npy", full)
    data = ArrayDataset.from_file(tmp_path / "x.npy")
    assert isinstance(data.features, np.memmap)
    packed = pickle.dumps(data)
    assert len(packed) < 5000
    again = pickle.loads(packed)  # noqa: S301
    assert again[7][0].tolist() == full[7].tolist()
    loader = DataLoader(data, 50_000, num_workers=2, multiprocessing_context=context)
    np.testing.assert_array_equal(torch.cat([x for x, _ in loader]), full)


def test_pickles_and_other_files_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"x.npy` must be an array without pickles"):
        ArrayDataset.from_file(tmp_path / "x.npy")
    with pytest.raises(DataError, match=r"without pickles, got nothing there"):
        ArrayDataset.from_file(tmp_path / "none.npy")
    with pytest.raises(DataError, match=r"must be an .npy file, got '.npz'"):
        ArrayDataset.from_file(tmp_path / "x.npz")
    with pytest.raises(DataError, match=r"must be numbers, got dtype object"):
        ArrayDataset(np.array([None, 1]))
