"""Hugging Face data sets by a stand-in that has what the real ones have."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from torch.utils.data import DataLoader

from equipoise.data import ImageSettings, from_hugging_face
from equipoise.errors import DataError, UsageError


class StandIn:
    def __init__(self, columns: dict[str, list[Any]], features: dict[str, Any] | None = None):
        self.columns = columns
        self.features = features or {}
        self.column_names = list(columns)

    def __len__(self) -> int:
        return len(self.columns[self.column_names[0]])

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return self.columns[key]
        return {name: values[key] for name, values in self.columns.items()}


def image(value: int) -> PIL.Image.Image:
    return PIL.Image.new("RGB", (6, 4), (value, value, value))


def as_bytes(value: int) -> bytes:
    image(value).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


CLASSES = SimpleNamespace(names=["cat", "dog", "owl"])


@pytest.mark.parametrize("decoded", [True, False])
def test_images_and_class_labels(decoded: bool) -> None:
    columns = [image(v) if decoded else {"bytes": as_bytes(v), "path": None} for v in (0, 100, 200)]
    source = StandIn({"image": columns, "label": [0, 2, 2]}, {"label": CLASSES})
    settings = ImageSettings(4, dtype="uint8")
    data = from_hugging_face(source, "image", label="label", settings=settings)
    assert data.labels is not None
    assert data.labels.names == ("cat", "dog", "owl")
    x, target = next(iter(DataLoader(data, batch_size=3, num_workers=2)))
    assert x.shape == (3, 3, 4, 4)
    assert x[:, 0, 0, 0].tolist() == [0, 100, 200]
    assert target.tolist() == [0, 2, 2]


def test_lists_of_labels_are_multilabel() -> None:
    source = StandIn({"x": [[1.0], [2.0], [3.0]], "tags": [[0, 2], [], [1]]})
    data = from_hugging_face(source, "x", label="tags")
    assert data.labels is not None
    assert data.labels.values.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    source.features = {"tags": SimpleNamespace(feature=CLASSES)}
    named = from_hugging_face(source, "x", label="tags").labels
    assert named is not None
    assert named.names == ("cat", "dog", "owl")
    with pytest.raises(DataError, match=r"`tags` must hold labels 0 to 1, got \[0, 2\] in row 0"):
        from_hugging_face(source, "x", label="tags", names=["a", "b"])


def test_columns_of_labels_and_of_numbers() -> None:
    source = StandIn({"x": [np.ones((2, 3)), np.zeros((2, 3))], "A": [1, 0], "B": [None, 1]})
    x, target = from_hugging_face(source, "x", labels=["A", "B"])[0]
    assert x.shape == (2, 3)
    assert x.dtype == torch.float32
    np.testing.assert_array_equal(target, [1, np.nan])
    assert from_hugging_face(source, "x")[1][1] == 1


def test_what_does_not_fit_is_named() -> None:
    source = StandIn({"x": ["a", "b"], "y": [0, 1], "im": [{"bytes": b"no", "path": None}] * 2})
    with pytest.raises(UsageError, match=r"be one split, got a dictionary of splits \['train'\]"):
        from_hugging_face({"train": source}, "x")
    with pytest.raises(UsageError, match=r"have a length, rows and column_names, got generator"):
        from_hugging_face((i for i in range(3)), "x")
    with pytest.raises(DataError, match=r"`column` must be in the data set, got 'z'"):
        from_hugging_face(source, "z")
    with pytest.raises(UsageError, match=r"exactly one of the two"):
        from_hugging_face(source, "x", label="y", labels=["y"])
    with pytest.raises(DataError, match=r"`row 1, column x` must be an image or numbers, got str"):
        from_hugging_face(source, "x")[1]
    with pytest.raises(DataError, match=r"`row 0, column im` must be an image"):
        from_hugging_face(source, "im")[0]
