"""CIFAR records are read as the binary version lays them out; pickles are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from equipoise.data import CifarBinary
from equipoise.errors import DataError, UsageError


def record(labels: list[int], red: int, green: int = 0, blue: int = 0) -> bytes:
    return bytes(labels) + bytes([red] * 1024 + [green] * 1024 + [blue] * 1024)


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    (tmp_path / "data_batch_1.bin").write_bytes(record([6], 1) + record([9], 2, 3, 4))
    (tmp_path / "data_batch_2.bin").write_bytes(record([0], 5))
    (tmp_path / "test_batch.bin").write_bytes(record([1], 6))
    return tmp_path


@pytest.fixture
def hundred(tmp_path: Path) -> Path:
    (tmp_path / "train.bin").write_bytes(record([4, 30], 1) + record([19, 99], 255, 255, 255))
    (tmp_path / "test.bin").write_bytes(record([0, 0], 6))
    return tmp_path


def test_folder_of_ten_classes(ten: Path) -> None:
    data = CifarBinary(ten, version="10", dtype="uint8")
    assert data.labels.values.tolist() == [6, 9, 0, 1]
    x, target = data[1]
    assert target == 9
    assert x.dtype == torch.uint8
    assert x[:, 31, 0].tolist() == [2, 3, 4]
    assert data.labels.ids is not None
    assert data.labels.ids[2] == "data_batch_2.bin:0"
    assert data.labels.names[6] == "frog"
    assert len(CifarBinary(ten, version="10", part="train")) == 3
    assert len(CifarBinary(ten, version="10", part="test")) == 1
    several = CifarBinary([ten / "test_batch.bin", ten / "data_batch_2.bin"], version="10")
    assert several.labels.values.tolist() == [1, 0]


def test_pixels_are_rows_first(tmp_path: Path) -> None:
    pixels = np.arange(3072, dtype=np.uint32).astype(np.uint8)
    (tmp_path / "x.bin").write_bytes(bytes([0]) + pixels.tobytes())
    x, _ = CifarBinary(tmp_path / "x.bin", version="10", dtype="uint8")[0]
    np.testing.assert_array_equal(x, pixels.reshape(3, 32, 32))


def test_fine_and_coarse_of_hundred_classes(hundred: Path) -> None:
    fine = CifarBinary(hundred, version="100", part="train")
    assert fine.labels.values.tolist() == [30, 99]
    assert fine.labels.num_classes == 100
    assert fine[1][0].min() == 1
    coarse = CifarBinary(hundred, version="100", level="coarse", part="train")
    assert coarse.labels.values.tolist() == [4, 19]
    assert coarse.labels.num_classes == 20


def test_names_beside_the_data_are_taken(ten: Path) -> None:
    (ten / "batches.meta.txt").write_text("\n".join("abcdefghij") + "\n\n")
    assert CifarBinary(ten, version="10").labels.names == tuple("abcdefghij")
    (ten / "batches.meta.txt").write_text("a\nb\n")
    with pytest.raises(DataError, match=r"meta.txt` must hold 10 class names, got 2"):
        CifarBinary(ten, version="10")


def test_the_python_version_is_refused_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x02}q\x01")
    with pytest.raises(DataError, match=r"got the pickled Python version.*cifar-10-binary.tar.gz"):
        CifarBinary(tmp_path, version="10")
    with pytest.raises(DataError, match=r"got a pickle .the Python version.*binary.tar.gz"):
        CifarBinary(tmp_path / "data_batch_1", version="10")
    (tmp_path / "cifar.tar.gz").write_bytes(b"\x1f\x8b\x08")
    with pytest.raises(DataError, match=r"got a packed archive.*unpacked"):
        CifarBinary(tmp_path / "cifar.tar.gz", version="10")


def test_wrong_files_are_named(ten: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'got records of 3073 bytes\. .*version="10"'):
        CifarBinary(ten / "test_batch.bin", version="100")
    (tmp_path / "short.bin").write_bytes(b"\x01" * 3000)
    with pytest.raises(DataError, match=r"got 3000 bytes. Is the download complete"):
        CifarBinary(tmp_path / "short.bin", version="10")
    (tmp_path / "none.bin").write_bytes(b"")
    with pytest.raises(DataError, match=r"got 0 bytes"):
        CifarBinary(tmp_path / "none.bin", version="10")
    (tmp_path / "wrong.bin").write_bytes(record([1], 0) + record([10], 0))
    with pytest.raises(DataError, match=r"hold classes 0 to 9, got 10 in record 1"):
        CifarBinary(tmp_path / "wrong.bin", version="10")
    with pytest.raises(DataError, match=r"gone.bin` must be a file"):
        CifarBinary(tmp_path / "gone.bin", version="10")
    with pytest.raises(DataError, match=r"hold train.bin and test.bin of CIFAR-100, got none"):
        CifarBinary(ten, version="100")
    with pytest.raises(DataError, match=r"be at least one file, got none"):
        CifarBinary([], version="10")
    with pytest.raises(UsageError, match=r"has one level"):
        CifarBinary(ten, version="10", level="coarse")
