"""From the data part of a training study to rows, and the same rows without labels to predict."""

from __future__ import annotations

import glob
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset

from equipoise._core.fingerprint import digest
from equipoise._core.identity import as_text
from equipoise._core.messages import counted, listed, say
from equipoise._core.reading import load_arrays, reading_file
from equipoise.artifacts import Labels
from equipoise.data import (
    ArrayDataset,
    CifarBinary,
    FeatureTable,
    ImageBytes,
    ImageFiles,
    ImageSettings,
    Sequences,
    pad_batch,
)
from equipoise.errors import DataError, DataWarning
from equipoise.io.labels import files_below, read_labels
from equipoise.io.tables import read_table
from equipoise.studies.archives import read_archive, read_piano_rolls, thin_positives
from equipoise.studies.made import load_made, made_sequences
from equipoise.studies.object_mosaics import object_mosaics
from equipoise.studies.rows import dataset_contents, join_labels
from equipoise.studies.schema import (
    ArchiveData,
    ArrayData,
    CifarData,
    FileData,
    ImageBytesData,
    ImageFilesData,
    ImageFolderData,
    MadeData,
    MadeSequencesData,
    MadeTableData,
    ObjectMosaicData,
    PianoRollData,
    SequenceData,
    TableData,
)


@dataclass(frozen=True, eq=False)
class TrainRows:
    """What one training works on.

    Args:
        dataset: Item i is (input, target), or (input, i) without labels.
        labels: Of all rows, or None.
        test: Positions of test rows that the source sets apart, or None.
        collate: Makes a batch; None stacks.
        axis: Axis of a batch along which inputs are scaled: channels 1, features -1.
        description: In a few words.
        ids: Of rows without labels, or None.
        columns: Feature columns of a table, in order.
        repeats: Whether rows are alike by nature, as windows of music are: then equal ones are no
            evidence of copies.
    """

    dataset: Dataset[Any]
    labels: Labels | None
    test: NDArray[np.int64] | None
    collate: Callable[[Sequence[Any]], Any] | None
    axis: int
    description: str
    ids: NDArray[Any] | None = None
    columns: tuple[str, ...] | None = None
    repeats: bool = False

    @cached_property
    def contents(self) -> NDArray[np.uint64] | None:
        """(N,) hashes of what the rows hold, or None where that is not known."""
        return None if self.repeats else dataset_contents(self.dataset)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        x: Tensor = self.dataset[0][0]
        return tuple(int(n) for n in x.shape)

    def describe(self) -> str:
        """Return a fingerprint of what can be named without reading every input."""
        return digest(f"{self.description} {self.input_shape} {self.columns}")[:16]


def load_rows(spec: FileData | MadeData) -> TrainRows:
    """Return the labelled rows that a study names; rows of a test path stand behind the others.

    Raises:
        DataError: no labels are named, or the files are not what the study says.
        LeakageError: an id or a group stands among training and test rows.
    """
    if isinstance(spec, MadeData):
        return _made(spec)
    if isinstance(spec, CifarData):
        return _cifar(spec)
    if isinstance(spec, ArchiveData):
        x, labels, test = read_archive(spec.path, spec.test_value)
        name = f"archive {Path(spec.path).name}"
        if spec.prevalence is not None:
            left = thin_positives(labels, spec.prevalence, spec.seed)
            x, labels = x[left], labels[left]
            name += f", positives thinned to {spec.prevalence:g} (seed {spec.seed})"
        return TrainRows(ArrayDataset(x, labels), labels, test, None, -1, name)
    if isinstance(spec, PianoRollData):
        steps, offsets, labels, test = read_piano_rolls(spec.path, spec.context, spec.every)
        name = f"piano rolls {Path(spec.path).name}, {spec.context} steps, every {spec.every}"
        data = Sequences(steps, labels, offsets=offsets)
        return TrainRows(data, labels, test, pad_batch, -1, name, repeats=True)
    if isinstance(spec, ObjectMosaicData):
        mosaics, labels, test = object_mosaics(spec)
        name = f"mosaics of {Path(spec.path).name} ({mosaics.fingerprint})"
        return TrainRows(mosaics, labels, test, None, 1, name)
    if not isinstance(spec, ImageFolderData) and spec.label is None and spec.labels is None:
        do = "Set data.label for classes, or data.labels for several columns."
        raise DataError(say("data", "name its labels", "neither label nor labels", do))
    first = open_rows(spec, spec.path, labelled=True)
    more_path = getattr(spec, "test_path", None)
    rows = first
    if more_path is not None:
        names = None if first.labels is None else first.labels.names
        rows = _joined(first, open_rows(spec, more_path, labelled=True, names=names,
                                        columns=first.columns))  # fmt: skip
    return rows


def _made(spec: MadeData) -> TrainRows:
    """Return rows that need no file; pictures are images of one channel."""
    # What decides them names them: nothing else tells the trials of two noises apart.
    own = ", ".join(f"{k} {v}" for k, v in spec.model_dump(exclude={"source"}).items())
    if isinstance(spec, MadeSequencesData):
        steps, offsets, labels = made_sequences(**spec.model_dump(exclude={"source"}))
        data = Sequences(steps, labels, offsets=offsets)
        return TrainRows(data, labels, None, pad_batch, -1, f"made sequences ({own})")
    found = load_made(spec)
    features, axis = found.features, -1
    if not isinstance(spec, MadeTableData):
        side = math.isqrt(features.shape[1])
        features, axis = features.reshape(-1, 1, side, side), 1
    name = f"{found.description} ({own})"
    return TrainRows(
        ArrayDataset(features, found.labels), found.labels, found.test, None, axis, name
    )


def open_rows(
    spec: Any,
    path: Any,
    *,
    labelled: bool,
    names: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
) -> TrainRows:
    """Return rows as a study's data part reads them, from a path of the same form.

    Args:
        spec: Data part of a study.
        path: File, files or folder.
        labelled: Read labels, too.
        names: Classes or labels, in order.
        columns: Features of a table, in order; None takes those of the spec.
    """
    columns = getattr(spec, "features", None) if columns is None else columns
    named = _named(spec, names) if labelled else {}
    kinds: dict[type, Callable[..., TrainRows]] = {
        ImageFilesData: _image_files,
        ImageBytesData: _image_bytes,
        ImageFolderData: _image_folder,
        SequenceData: _sequences,
        ArrayData: _array,
        TableData: partial(_table, columns=columns),
        CifarData: _cifar_files,
    }
    return kinds[type(spec)](spec, path, named)


def _named(spec: Any, names: Sequence[str] | None) -> dict[str, Any]:
    if isinstance(spec, ImageFolderData):
        return {"names": names, "labelled": True}
    if isinstance(spec, CifarData):
        return {"labelled": True}
    return dict(spec.where(names))


def _image_settings(spec: Any) -> dict[str, Any]:
    # Bytes, a quarter of what passes between processes; the network's first step scales them.
    settings = ImageSettings(size=spec.size, resize=spec.resize, mode=spec.mode, dtype="uint8")
    return {"settings": settings, "on_broken": spec.on_broken, "check": spec.check}


def _image_files(spec: ImageFilesData, path: str, named: dict[str, Any]) -> TrainRows:
    if not named and Path(path).is_dir():  # new images, of a model that was shown a table of them
        return _folder_files(path, spec)
    images = ImageFiles.from_table(
        path, spec.image, root=spec.root, **named, **_image_settings(spec)
    )
    return _of_images(images, Path(path).name, np.asarray(images.paths))


def _image_bytes(spec: ImageBytesData, path: Any, named: dict[str, Any]) -> TrainRows:
    files = [
        name for part in ([path] if isinstance(path, str) else path) for name in _globbed(part)
    ]
    images = ImageBytes.from_parquet(files, spec.image, **named, **_image_settings(spec))
    return _of_images(
        images,
        ", ".join(Path(f).name for f in files),
        np.arange(len(images) + len(images.left_out)),
    )


def _image_folder(spec: ImageFolderData, path: str, named: dict[str, Any]) -> TrainRows:
    if named:
        images = ImageFiles.from_folder(path, names=named["names"], **_image_settings(spec))
        return _of_images(images, Path(path).name, np.asarray(images.paths))
    return _folder_files(path, spec)


def _folder_files(path: str, spec: Any) -> TrainRows:
    """Return all images below a folder, without labels."""
    found = files_below(Path(path))
    images = ImageFiles([Path(path) / file for file in found], **_image_settings(spec))
    return _of_images(images, Path(path).name, np.asarray(found))


def _of_images(images: Any, name: Any, ids: NDArray[Any]) -> TrainRows:
    if images.left_out:
        number = counted(len(images.left_out), "broken image")
        told = listed(images.left_out, 3, "; ")
        warnings.warn(f"{number} left out: {told}", DataWarning, stacklevel=2)
    kept = ids[images.rows]
    return TrainRows(images, images.labels, None, None, 1, f"images of {name}", kept)


def _sequences(spec: SequenceData, path: str, named: dict[str, Any]) -> TrainRows:
    steps, offsets = _steps(path, spec.offsets)
    labels = read_labels(spec.table, **named) if named else None
    data = Sequences(steps, labels, offsets=offsets)
    return TrainRows(data, labels, None, pad_batch, -1, f"sequences of {Path(path).name}",
                     np.arange(len(data)))  # fmt: skip


def _steps(path: str, offsets: str | None) -> tuple[NDArray[Any], NDArray[Any]]:
    if not path.endswith(".npz"):
        if offsets is None:
            do = "Sequence i is rows offsets[i] to offsets[i + 1] of data.path."
            raise DataError(say("data.offsets", "be given beside an .npy file", None, do))
        with reading_file(path, "be a NumPy file"):
            steps = np.load(path, mmap_mode="r", allow_pickle=False)
        with reading_file(offsets, "be a NumPy file"):
            return steps, np.load(offsets, allow_pickle=False)
    stored = load_arrays(path, "be a NumPy file")
    if isinstance(stored, np.ndarray) or not {"steps", "offsets"} <= set(stored):
        got = "a single array" if isinstance(stored, np.ndarray) else list(stored)
        raise DataError(say(path, "hold `steps` and `offsets`", got))
    return stored["steps"], stored["offsets"]


def _array(spec: ArrayData, path: str, named: dict[str, Any]) -> TrainRows:
    labels = read_labels(spec.table, **named) if named else None
    data = ArrayDataset.from_file(path, labels)
    axis = 1 if data[0][0].ndim == 3 else -1
    return TrainRows(data, labels, None, None, axis, f"array {Path(path).name}",
                     np.arange(len(data)))  # fmt: skip


def _table(
    spec: TableData, path: str, named: dict[str, Any], columns: Sequence[str] | None
) -> TrainRows:
    table = read_table(path)
    data = FeatureTable(table, features=columns, **named)
    ids: NDArray[Any] = np.arange(len(data))
    if spec.id is not None and spec.id in table.columns:
        ids = as_text(table[spec.id].to_list())
    return TrainRows(data, data.labels, None, None, -1, f"table {Path(path).name}",
                     ids, columns=data.columns)  # fmt: skip


def _cifar(spec: CifarData) -> TrainRows:
    """Return all of CIFAR; the files of its test part are the test rows, where they are there."""
    data = CifarBinary(spec.path, version=spec.version, level=spec.level, dtype="uint8")
    ids = np.asarray(data.labels.ids).astype(str)
    test = np.flatnonzero(np.char.startswith(ids, "test"))
    return TrainRows(data, data.labels, test if test.size else None, None, 1,
                     f"CIFAR-{spec.version}")  # fmt: skip


def _cifar_files(spec: CifarData, path: str, named: dict[str, Any]) -> TrainRows:
    data = CifarBinary(path, version=spec.version, level=spec.level, dtype="uint8")
    labels = data.labels if named else None
    return TrainRows(data, labels, None, None, 1, f"CIFAR-{spec.version}", data.labels.ids)


def _globbed(name: str) -> list[str]:
    # Patterns may be absolute, which Path.glob refuses.
    found = sorted(glob.glob(name)) if any(mark in name for mark in "*?[") else [name]  # noqa: PTH207
    if not found:
        raise DataError(say("data.path", "match files", repr(name)))
    return found


def _joined(first: TrainRows, more: TrainRows) -> TrainRows:
    if first.labels is None or more.labels is None:
        raise DataError(say("data", "name its labels", "neither label nor labels"))
    before = len(first.labels)
    return TrainRows(
        ConcatDataset([first.dataset, more.dataset]),
        join_labels(first.labels, more.labels),
        np.arange(before, before + len(more.labels)),
        first.collate,
        first.axis,
        f"{first.description}; test: {more.description}",
        columns=first.columns,
    )
