"""CIFAR-10 and CIFAR-100 in the binary version as distributed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise._core.messages import hint, one_of, say
from equipoise.artifacts import Labels
from equipoise.data._rows import Rows
from equipoise.errors import DataError, UsageError

_PIXELS = 3 * 32 * 32
_NAMES_10 = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
_HINT = 'Take the binary version ("cifar-10-binary.tar.gz", "cifar-100-binary.tar.gz"), unpacked.'
_WIDTH = {("10", "fine"): 10, ("100", "fine"): 100, ("100", "coarse"): 20}


class CifarBinary(Rows):
    """CIFAR images from the binary version: one or two label bytes and 3,072 pixels a record.

    Args:
        source: A .bin file, several, or the unpacked folder.
        version: "10" (records of 3,073 bytes) or "100" (3,074 bytes: coarse, fine, pixels).
        level: For CIFAR-100, "fine" (100 classes) or "coarse" (20 classes).
        part: Of a folder: "train", "test" or "all" (training files first, by name).
        dtype: "float32" in [0, 1], or "uint8".

    Item i is (image, target): (3, 32, 32) and an int64 class. Class names come from the text
    files beside the data where they are; ids are "file:record".

    Raises:
        DataError: a missing file, the pickled Python version, a packed archive, a file that is no
            whole number of records, or a label out of range.
        UsageError: an unknown word, or coarse classes of CIFAR-10.

    Note:
        Holds all pixels in memory as uint8: 184 MB for 60,000 images.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = Path(folder.name, "data_batch_1.bin")
        >>> size = file.write_bytes(bytes([3] + [255] * 3072) + bytes([9] + [0] * 3072))
        >>> images = CifarBinary(file, version="10")
        >>> image, target = images[0]
        >>> image.shape, image.max(), target, images.labels.names[3]
        (torch.Size([3, 32, 32]), tensor(1.), tensor(3), 'cat')
        >>> folder.cleanup()
    """

    labels: Labels

    def __init__(
        self,
        source: str | Path | Sequence[str | Path],
        *,
        version: Literal["10", "100"],
        level: Literal["fine", "coarse"] = "fine",
        part: Literal["train", "test", "all"] = "all",
        dtype: Literal["float32", "uint8"] = "float32",
    ) -> None:
        one_of("version", version, ("10", "100"))
        one_of("level", level, ("fine", "coarse"))
        one_of("part", part, ("train", "test", "all"))
        self.dtype = one_of("dtype", dtype, ("float32", "uint8"))
        if (version, level) not in _WIDTH:
            raise UsageError(say("level", 'be "fine" for CIFAR-10', level, "It has one level."))
        files = _files(source, version, part)
        names = _names(files[0].parent, version, level)
        records = [_records(file, version) for file in files]
        column = 1 if (version, level) == ("100", "fine") else 0
        for file, record in zip(files, records, strict=True):
            _check_classes(file, record[:, column], len(names))
        self.pixels = np.concatenate([r[:, -_PIXELS:] for r in records]).reshape(-1, 3, 32, 32)
        classes = np.concatenate([r[:, column] for r in records])
        ids = [f"{f.name}:{i}" for f, r in zip(files, records, strict=True) for i in range(len(r))]
        labels = Labels.from_array(classes, kind="multiclass", names=names, ids=ids)
        super().__init__(len(labels), labels, "source")

    def _input(self, index: int) -> Tensor:
        image = torch.from_numpy(self.pixels[index].copy())
        return image if self.dtype == "uint8" else image.to(torch.float32).div_(255)


def _files(source: str | Path | Sequence[str | Path], version: str, part: str) -> list[Path]:
    """Return the files to read, in order."""
    given = [Path(source)] if isinstance(source, (str, Path)) else [Path(s) for s in source]
    if not given:
        raise DataError(say("source", "be at least one file", "none"))
    if len(given) > 1 or not given[0].is_dir():
        return given
    folder = given[0]
    train = "data_batch_*.bin" if version == "10" else "train.bin"
    test = "test_batch.bin" if version == "10" else "test.bin"
    patterns = {"train": [train], "test": [test], "all": [train, test]}[part]
    found = [file for pattern in patterns for file in sorted(folder.glob(pattern))]
    if not found:
        pickled = [n for n in ("data_batch_1", "train", "batches.meta") if (folder / n).is_file()]
        got = "the pickled Python version, which is not opened" if pickled else "none"
        expected = f"hold {' and '.join(patterns)} of CIFAR-{version}"
        raise DataError(say(str(folder), expected, got, _HINT))
    return found


def _names(folder: Path, version: str, level: str) -> list[str]:
    """Return the class names from the text file beside the data, or known ones, or numbers."""
    stem = "batches.meta" if version == "10" else f"{level}_label_names"
    file, width = folder / f"{stem}.txt", _WIDTH[version, level]
    if not file.is_file():
        return list(_NAMES_10) if version == "10" else [str(i) for i in range(width)]
    names = [n.strip() for n in file.read_text(encoding="utf-8").splitlines() if n.strip()]
    if len(names) != width:
        raise DataError(say(str(file), f"hold {width} class names", len(names)))
    return names


def _records(file: Path, version: str) -> NDArray[np.uint8]:
    """Return the records of one file, (N, 3073 or 3074) uint8."""
    if not file.is_file():
        raise DataError(say(str(file), "be a file", "nothing there", "Check the path."))
    data = np.fromfile(file, dtype=np.uint8)
    size, other = (_PIXELS + 1, _PIXELS + 2) if version == "10" else (_PIXELS + 2, _PIXELS + 1)
    if data.size and data.size % size == 0:
        return data.reshape(-1, size)
    expected = f"be whole records of {size} bytes"
    head = data[:2].tolist()
    if head[:1] == [0x80]:
        got = "a pickle (the Python version), which is not opened, since pickles run code"
        raise DataError(say(str(file), expected, got, _HINT))
    if head == [0x1F, 0x8B]:
        raise DataError(say(str(file), expected, "a packed archive", _HINT))
    if data.size and data.size % other == 0:
        do = hint(f"It may be {{version={'100' if version == '10' else '10'}}}.")
        raise DataError(say(str(file), expected, f"records of {other} bytes", do))
    raise DataError(say(str(file), expected, f"{data.size} bytes", "Is the download complete?"))


def _check_classes(file: Path, classes: NDArray[np.uint8], width: int) -> None:
    wrong = np.flatnonzero(classes >= width)
    if wrong.size:
        found = f"{classes[wrong[0]]} in record {wrong[0]} ({wrong.size} such records)"
        raise DataError(say(str(file), f"hold classes 0 to {width - 1}", found, _HINT))
