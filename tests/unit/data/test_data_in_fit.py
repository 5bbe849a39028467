"""Every data set trains under `fit` as it stands, with labels of its own and worker processes."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import polars as pl
import pytest

from equipoise.artifacts import Labels
from equipoise.data import (
    ArrayDataset,
    CifarBinary,
    FeatureTable,
    ImageBytes,
    ImageFiles,
    ImageSettings,
    Sequences,
    from_hugging_face,
)
from equipoise.methods import remedy
from equipoise.models import MLP
from equipoise.splits import stratified_split
from equipoise.training import TrainingOptions, fit

N = 24
CLASSES = np.arange(N) % 2
LABELS = Labels.from_array(CLASSES, kind="multiclass", names=["a", "b"])
SIZE = ImageSettings(4)


def encoded(value: int) -> bytes:
    PIL.Image.new("L", (5, 6), value).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def image_files(folder: Path) -> Any:
    for i, y in enumerate(CLASSES):
        (folder / "ab"[y]).mkdir(exist_ok=True)
        (folder / "ab"[y] / f"{i}.png").write_bytes(encoded(200 * int(y)))
    return ImageFiles.from_folder(folder, settings=SIZE)


def image_bytes(folder: Path) -> Any:
    columns = {"x": [encoded(200 * int(y)) for y in CLASSES], "y": list("ab" * (N // 2))}
    pl.DataFrame(columns).write_parquet(folder / "x.parquet")
    return ImageBytes.from_parquet(folder / "x.parquet", "x", label="y", settings=SIZE)


def cifar(folder: Path) -> Any:
    records = [bytes([y]) + bytes([100 * y]) * 3072 for y in CLASSES.tolist()]
    (folder / "x.bin").write_bytes(b"".join(records))
    return CifarBinary(folder / "x.bin", version="10")


def array_file(folder: Path) -> Any:
    np.save(folder / "x.npy", np.stack([CLASSES, -CLASSES], axis=1).astype(np.float32))
    return ArrayDataset.from_file(folder / "x.npy", LABELS)


def sequences(folder: Path) -> Any:
    return Sequences([np.full((1 + i % 3, 2), y) for i, y in enumerate(CLASSES)], LABELS, pad_to=3)


def table(folder: Path) -> Any:
    return FeatureTable(pl.DataFrame({"x": CLASSES, "y": list("ab" * (N // 2))}), label="y")


class Listed(list[dict[str, Any]]):
    column_names = ("x", "y")

    def __getitem__(self, key: Any) -> Any:
        return [row[key] for row in self] if isinstance(key, str) else super().__getitem__(key)


def hugging_face(folder: Path) -> Any:
    rows = Listed({"x": [float(y), 1.0], "y": int(y)} for y in CLASSES)
    return from_hugging_face(rows, "x", label="y", kind="multiclass")


MAKERS = [image_files, image_bytes, cifar, array_file, sequences, table, hugging_face]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("workers", [0, 2])
def test_trains(make: Callable[[Path], Any], workers: int, tmp_path: Path) -> None:
    data = make(tmp_path)
    split = stratified_split(data.labels, fractions=(0.5, 0.25, 0.25), seed=0)
    width = data[0][0].numel()
    trial = fit(
        lambda: MLP(width, data.labels.num_classes, hidden=()),
        data,
        split,
        remedy("none", data.labels[split.train]),
        options=TrainingOptions(epochs=1, batch_size=6, num_workers=workers, accelerator="cpu"),
        progress=False,
    )
    assert trial.scores["test"].values.shape == (split.test.size, data.labels.num_classes)
