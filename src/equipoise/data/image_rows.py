"""Images as rows: decoded on access, checked before, broken ones named or left out."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from equipoise._core.words import listed, one_of, say
from equipoise.artifacts import Labels
from equipoise.data._pillow import formats
from equipoise.data._rows import Rows
from equipoise.data.decoding import ImageSettings, decode_image, probe_image
from equipoise.errors import DataError, UsageError

OnBroken = Literal["error", "leave_out"]
Check = Literal["decode", "open", "none"]
_CHUNK = 64


@dataclass(frozen=True, slots=True)
class BrokenImage:
    """An image that cannot be used: its row, its path or name, and why.

    Example:
        >>> print(BrokenImage(3, "x.jpg", "`x.jpg` must be an image, got no such file."))
        row 3: `x.jpg` must be an image, got no such file.
    """

    row: int
    name: str
    reason: str

    def __str__(self) -> str:
        return f"row {self.row}: {self.reason}"


class ImageRows(Rows):
    """What image data sets share; see :class:`ImageFiles` and :class:`ImageBytes`.

    Attributes:
        rows: (N,) int64, the row of the table that each item comes from.
        left_out: Broken images that ``on_broken="leave_out"`` left out.
    """

    rows: NDArray[np.int64]
    left_out: tuple[BrokenImage, ...]

    def __init__(
        self,
        size: int,
        labels: Labels | None,
        settings: ImageSettings | None,
        on_broken: OnBroken,
        check: Check,
        num_threads: int | None,
    ) -> None:
        super().__init__(size, labels, "images")
        self.settings = settings or ImageSettings()
        one_of("on_broken", on_broken, ("error", "leave_out"))
        one_of("check", check, ("decode", "open", "none"))
        if on_broken == "leave_out" and check == "none":
            do = 'Take "open" (missing files, no images) or "decode" (damaged ones too).'
            raise UsageError(say("check", 'find what on_broken="leave_out" leaves out', check, do))
        self.rows = np.arange(size)
        self.left_out = ()
        if check == "none":
            return
        broken = check_images(self, decode=check == "decode", num_threads=num_threads)
        if broken and on_broken == "error":
            do = 'Repair them, or leave them out by on_broken="leave_out".'
            found = f"{len(broken)} of {size} that cannot be read ({listed(broken, 10, '; ')})"
            raise DataError(say("images", "be whole", found, do))
        if len(broken) == size:
            raise DataError(
                say("images", "be readable", f"none of {size} ({listed(broken, 10, '; ')})")
            )
        self._leave_out(broken)

    def _leave_out(self, broken: tuple[BrokenImage, ...]) -> None:
        self.left_out = broken
        if broken:
            self.rows = np.delete(self.rows, [b.row for b in broken])
            self._size = self.rows.size
            if self.labels is not None:
                self.labels = self.labels[self.rows]

    def source_of(self, row: int) -> Path | bytes:
        """Return the file or the bytes of a row of the table."""
        raise NotImplementedError

    def name_of(self, row: int) -> str:
        """Return what messages call a row of the table."""
        raise NotImplementedError

    def read(self, index: int, out: NDArray[Any] | None = None) -> Tensor:
        """Return image ``index`` alone, decoded into ``out`` where given (as its dtype is)."""
        row = int(self.rows[index])
        return decode_image(self.source_of(row), self.name_of(row), self.settings, out)

    def _input(self, index: int) -> Tensor:
        return self.read(index)


def _broken_in(
    dataset: ImageRows, rows: NDArray[np.int64], read: Callable[..., object]
) -> list[BrokenImage]:
    found = []
    for row in rows.tolist():
        name = dataset.name_of(row)
        try:
            read(dataset.source_of(row), name, dataset.settings)
        except DataError as error:
            found.append(BrokenImage(row, name, str(error)))
    return found


def check_images(
    dataset: ImageRows, *, decode: bool = True, num_threads: int | None = None
) -> tuple[BrokenImage, ...]:
    """Find the images that are missing, damaged, no images, or too large.

    Image data sets call it when they are made, unless told ``check="none"``.

    Args:
        dataset: :class:`ImageFiles` or :class:`ImageBytes`.
        decode: Decode each image in full, which alone finds damage behind the header. Without it
            the header alone is read, which is faster.
        num_threads: Images read at once; None takes one per core, 16 at most.

    Returns:
        The broken images, by row.

    Raises:
        UsageError: fewer than one thread.

    Example:
        >>> from equipoise.data import ImageBytes
        >>> images = ImageBytes([b"", b"GIF?"], check="none")
        >>> [broken.row for broken in check_images(images)]
        [0, 1]
    """
    if num_threads is not None and num_threads < 1:
        raise UsageError(say("num_threads", "be at least 1", num_threads))
    formats()  # once, before threads race to register the formats
    read = decode_image if decode else probe_image
    chunks = np.array_split(dataset.rows, max(1, -(-len(dataset) // _CHUNK)))
    with ThreadPoolExecutor(num_threads or min(16, os.cpu_count() or 1)) as pool:
        found = list(pool.map(lambda rows: _broken_in(dataset, rows, read), chunks))
    return tuple(broken for part in found for broken in part)
