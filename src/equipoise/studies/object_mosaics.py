"""2 x 2 mosaics of small images, composed when they are asked for; labels say what occurs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from equipoise._core.fingerprint import fingerprint_array
from equipoise._core.messages import say
from equipoise._core.rng import generator
from equipoise.artifacts import Labels
from equipoise.data._rows import Rows
from equipoise.errors import DataError
from equipoise.io.tables import read_table, require_columns
from equipoise.splits.long_tail import share_out
from equipoise.studies.label_sets import label_set_shares

CELLS = 4


class ObjectMosaics(Rows):
    """Mosaics as (3, 2 S, 2 S) uint8, cut together of tiles of S x S pixels item by item.

    Args:
        tiles: (T, 3, S, S) uint8.
        cells: (N, 4) which tiles a mosaic shows, row by row.
        labels: Of the mosaics.
    """

    def __init__(
        self, tiles: NDArray[np.uint8], cells: NDArray[np.int64], labels: Labels | None = None
    ) -> None:
        self.tiles, self.cells = tiles, cells
        super().__init__(len(cells), labels, "cells")

    @property
    def fingerprint(self) -> str:
        """16 hex digits that name what the mosaics show."""
        return fingerprint_array(self.tiles, self.cells)

    def _input(self, index: int) -> Tensor:
        upper, lower = self.tiles[self.cells[index]].reshape(2, 2, *self.tiles.shape[1:])
        rows = [np.concatenate([*pair], axis=2) for pair in (upper, lower)]
        return torch.from_numpy(np.concatenate(rows, axis=1))


def read_tiles(
    path: str | Path, image: str, label: str
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return all images of a table of encoded images, (T, 3, S, S) uint8, and their classes.

    Raises:
        DataError: a column that is not there, or images of several sizes.
    """
    from PIL import Image

    table = read_table(path)
    require_columns(table, "columns", [image, label], once=True)
    found = []
    for code in table[image].to_list():
        with Image.open(io.BytesIO(code)) as opened:
            found.append(np.asarray(opened.convert("RGB")).transpose(2, 0, 1))
    sizes = {tile.shape for tile in found}
    if len(sizes) != 1:
        raise DataError(say(f"{path}: {image}", "be images of one size", sorted(sizes)))
    return np.stack(found), table[label].to_numpy().astype(np.int64)


def draw_mosaics(
    classes: NDArray[np.int64],
    objects: Mapping[str, int],
    prevalences: Mapping[str, float],
    rows: int,
    rng: np.random.Generator,
    together: Mapping[str, float] | None = None,
) -> tuple[NDArray[np.int64], Labels]:
    """Return which tiles ``rows`` mosaics show, (rows, 4), and their labels.

    Counts of positives are exact; which rows have a label is drawn for each label by itself, and
    so is which of the four cells shows it. Cells without a label's object show other classes.
    Where it is said which labels come together, counts of sets of labels are exact to a row.

    Args:
        classes: (T,) of the tiles.
        objects: Label -> class that shows it; at most four.
        prevalences: Label -> share of mosaics.
        rows: How many.
        rng: Draws.
        together: "A+B" -> share of mosaics that show both; None draws labels independently.

    Raises:
        UsageError: shares that no mosaics have.
        DataError: a class without a tile, or none left to fill cells.
    """
    others = np.flatnonzero(~np.isin(classes, list(objects.values())))
    pools = {name: np.flatnonzero(classes == code) for name, code in objects.items()}
    empty = [name for name, pool in pools.items() if not pool.size]
    if empty or not others.size:
        got = f"none for {empty}" if empty else "none but those of the labels"
        raise DataError(say("images", "show each label's class, and others", got))
    hot = np.zeros((rows, len(objects)), dtype=np.int8)
    cells = rng.choice(others, size=(rows, CELLS))
    place = np.argsort(rng.random((rows, CELLS)), axis=1)
    if together:
        names = list(objects)
        sets, shares = label_set_shares([prevalences[n] for n in names], names, together)
        hot = rng.permutation(np.repeat(sets, share_out(rows, shares), axis=0))
    for column, name in enumerate(objects):
        if together:
            own = np.flatnonzero(hot[:, column])
        else:
            own = rng.choice(rows, round(prevalences[name] * rows), replace=False)
            hot[own, column] = 1
        cells[own, place[own, column]] = rng.choice(pools[name], size=own.size)
    return cells, Labels.from_array(hot, kind="multilabel", names=list(objects))


def object_mosaics(spec: Any) -> tuple[ObjectMosaics, Labels, NDArray[np.int64]]:
    """Return the mosaics of a study's data part, their labels, and which are test rows."""
    parts = []
    shift = 0
    for path, size, part in (
        (spec.path, spec.rows, "rows"), (spec.test_path, spec.test_rows, "test rows"),
    ):  # fmt: skip
        tiles, classes = read_tiles(path, spec.image, spec.label)
        own = generator(spec.seed, "object mosaics", part)
        cells, labels = draw_mosaics(
            classes, spec.objects, spec.prevalences, size, own, spec.together
        )
        parts.append((tiles, cells + shift, labels))
        shift += len(tiles)
    tiles, cells = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
    hot = np.concatenate([p[2].values for p in parts])
    labels = Labels.from_array(hot, kind="multilabel", names=list(spec.objects))
    test = np.arange(spec.rows, spec.rows + spec.test_rows)
    return ObjectMosaics(tiles, cells, labels), labels, test
