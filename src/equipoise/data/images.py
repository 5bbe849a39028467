"""Images as rows: in files, class folders or Parquet; broken ones are named or left out."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from equipoise._core.checks import require_least
from equipoise._core.fingerprint import fingerprint_array, fingerprint_config
from equipoise._core.messages import hint, listed, one_of, say
from equipoise.artifacts.labels import Labels
from equipoise.data._columns import read_if_named, read_parquet_columns
from equipoise.data._rows import Rows
from equipoise.data.decoding import ImageSettings, decode_image, formats, probe_image
from equipoise.errors import DataError, UsageError
from equipoise.io.labels import LabelArguments, LabelColumns, read_labels
from equipoise.io.tables import read_table, require_columns, to_table

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


_MOST = 0.5  # of the images: so many are missing for one reason, and no matter of single files
_GONE = "no such file."


def _told(broken: Sequence[BrokenImage], size: int) -> tuple[str, str]:
    """Return what is broken, and what to do, as a person would say it."""
    missing = [b for b in broken if b.reason.endswith(_GONE)]
    other = [b for b in broken if not b.reason.endswith(_GONE)]
    said = []
    if missing:
        names = listed([f"`{b.name}` (row {b.row})" for b in missing], 3)
        said.append(f"{len(missing):,} of {size:,} that are not there: {names}")
    if other:
        each = [str(b).rstrip(".") for b in other]
        said.append(f"{len(other):,} of {size:,} that cannot be read ({listed(each, 3, '; ')})")
    do: str = hint("Repair them, or leave them out by {on_broken=leave_out}.")
    if len(missing) >= _MOST * size:
        do = hint("Check where the paths start: a table's folder, or {root=}.")
    elif len(broken) == size:
        do = "Look at one of them."
    return "; ".join(said), do


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
        if len(broken) == size or (broken and on_broken == "error"):
            found, do = _told(broken, size)
            raise DataError(say("images", "be whole", found, do))
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
    if num_threads is not None:
        require_least("num_threads", num_threads, 1)
    formats()  # once, before threads race to register the formats
    read = decode_image if decode else probe_image
    chunks = np.array_split(dataset.rows, max(1, -(-len(dataset) // _CHUNK)))
    with ThreadPoolExecutor(num_threads or min(16, os.cpu_count() or 1)) as pool:
        found = list(pool.map(lambda rows: _broken_in(dataset, rows, read), chunks))
    return tuple(broken for part in found for broken in part)


class ImageFiles(ImageRows):
    """Images in files, decoded on access.

    Args:
        paths: N files.
        labels: Their labels; without them item i is (image, i).
        settings: Size, mode and dtype; by default each image keeps its size, RGB, float32.
        on_broken: What to do with missing and damaged images when the data set is made: "error"
            counts and lists them, "leave_out" leaves out rows and labels and keeps the list in
            ``left_out``. One that breaks later is an error on access; none is ever replaced.
        check: "decode" reads every image once; "open" its header only, which does not find damage
            behind it; "none" waits for access.
        num_threads: Images checked at once; None takes one per core, 16 at most.

    Item i is (image, target): (C, H, W) float32 in [0, 1] or uint8, and an int64 class or (L,)
    float32 with NaN where unknown.

    Raises:
        DataError: broken images, with row and path.
        ShapeError: not one path per label.
        UsageError: an unknown word.
        MissingExtraError: Pillow is not installed.

    Example:
        >>> import tempfile, PIL.Image
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = Path(folder.name, "red.png")
        >>> PIL.Image.new("RGB", (8, 6), "red").save(file)
        >>> image, row = ImageFiles([file], settings=ImageSettings(size=4))[0]
        >>> image.shape, image.amax((1, 2)), row
        (torch.Size([3, 4, 4]), tensor([1., 0., 0.]), tensor(0))
        >>> folder.cleanup()
    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        labels: Labels | None = None,
        *,
        settings: ImageSettings | None = None,
        on_broken: OnBroken = "error",
        check: Check = "decode",
        num_threads: int | None = None,
    ) -> None:
        self.paths = [str(p) for p in paths]
        super().__init__(len(self.paths), labels, settings, on_broken, check, num_threads)

    def source_of(self, row: int) -> Path:
        """Return the file of a row."""
        return Path(self.paths[row])

    def name_of(self, row: int) -> str:
        """Return the path of a row."""
        return self.paths[row]

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that name the files, by name and size, and how they are read.

        A changed pixel in a file of the same size is not seen; a folder that moves is the same.
        """
        files = [Path(self.paths[row]) for row in self.rows]
        seen = [[f.name, f.stat().st_size if f.is_file() else -1] for f in files]
        return fingerprint_config([seen, asdict(self.settings)])

    @classmethod
    def from_table(
        cls,
        source: Any,
        path_column: str,
        *,
        root: str | Path | None = None,
        settings: ImageSettings | None = None,
        on_broken: OnBroken = "error",
        check: Check = "decode",
        num_threads: int | None = None,
        **where: Unpack[LabelArguments],
    ) -> ImageFiles:
        """Read paths and labels from a table.

        Args:
            source: A CSV or Parquet file, or a data frame.
            path_column: Column of paths. They serve as ids unless ``id_column`` is given.
            root: Folder that relative paths start from; None takes the table's folder (for a data
                frame: the working directory).
            settings: As in the class, and so are those after it.
            where: Keywords of :func:`equipoise.io.read_labels`, or its last four as one
                ``coding`` (``LabelCoding.of``). With neither ``label`` nor ``labels`` there are no
                labels.

        Raises:
            DataError: as the class, and a missing column or an empty path.
        """
        from_file = isinstance(source, (str, Path))
        frame = read_table(source) if from_file else to_table(source)
        require_columns(frame, "path_column", [path_column])
        base = Path(root) if root is not None else Path(source).parent if from_file else Path()
        paths = [None if p is None else str(p).strip() for p in frame[path_column].to_list()]
        empty = [row for row, path in enumerate(paths) if not path]
        if empty:
            found = f"{len(empty)} empty entries (first: row {empty[0]})"
            raise DataError(say(f"column {path_column}", "have a path in each row", found))
        columns = LabelColumns.of(**where)
        return cls(
            [base / str(path) for path in paths],
            read_if_named(columns, frame, path_column),
            settings=settings,
            on_broken=on_broken,
            check=check,
            num_threads=num_threads,
        )

    @classmethod
    def from_folder(
        cls,
        root: str | Path,
        *,
        names: Sequence[str] | None = None,
        settings: ImageSettings | None = None,
        on_broken: OnBroken = "error",
        check: Check = "decode",
        num_threads: int | None = None,
    ) -> ImageFiles:
        """Read a folder with one folder of images per class; ids are the relative paths.

        Args:
            root: The folder above the class folders.
            names: Class names in order; None takes the folder names, sorted.
            settings: As in the class, and so are those after it.

        Raises:
            DataError: as the class, and fewer than two class folders.
        """
        folder = Path(root)
        if not folder.is_dir():
            found = "a file" if folder.exists() else "nothing there"
            raise DataError(say(str(root), "be a folder of class folders", found))
        labels = read_labels(folder, names=names)
        return cls(
            [] if labels.ids is None else [folder / str(i) for i in labels.ids],
            labels,
            settings=settings,
            on_broken=on_broken,
            check=check,
            num_threads=num_threads,
        )


class ImageBytes(ImageRows):
    """Encoded images (JPEG, PNG, ...) held as bytes, decoded on access.

    Args:
        images: N entries of bytes; an empty one or None is a broken image.
        labels: As in :class:`ImageFiles`, and so are the arguments after ``image_names``.
        image_names: What messages call each image; None calls them "row 0", ...

    The bytes lie in one array, which worker processes share where they are forked; memory is that
    of the encoded images.

    Raises:
        DataError: entries that are no bytes, or broken images.

    Example:
        >>> import io, PIL.Image
        >>> PIL.Image.new("L", (5, 5), 51).save(file := io.BytesIO(), "PNG")
        >>> image, _ = ImageBytes([file.getvalue()], settings=ImageSettings(mode="grey"))[0]
        >>> image.shape, image[0, 0, 0]
        (torch.Size([1, 5, 5]), tensor(0.2000))
    """

    def __init__(
        self,
        images: Sequence[bytes | None],
        labels: Labels | None = None,
        *,
        image_names: Sequence[str] | None = None,
        settings: ImageSettings | None = None,
        on_broken: OnBroken = "error",
        check: Check = "decode",
        num_threads: int | None = None,
    ) -> None:
        sizes = np.zeros(len(images) + 1, dtype=np.int64)
        for row, image in enumerate(images):
            if not (image is None or isinstance(image, bytes)):
                found = f"{type(image).__name__} in row {row}"
                raise DataError(say("images", "be bytes", found, "Paths are for ImageFiles."))
            sizes[row + 1] = len(image or b"")
        self._ends = np.cumsum(sizes)
        self._flat = np.empty(int(self._ends[-1]), dtype=np.uint8)
        for row, image in enumerate(images):
            if image:
                part = slice(self._ends[row], self._ends[row + 1])
                self._flat[part] = np.frombuffer(image, dtype=np.uint8)
        self._names = None if image_names is None else list(image_names)
        if self._names is not None and len(self._names) != len(images):
            raise DataError(say("image_names", f"be {len(images)} names", len(self._names)))
        super().__init__(len(images), labels, settings, on_broken, check, num_threads)

    def source_of(self, row: int) -> bytes:
        """Return the bytes of a row."""
        return self._flat[self._ends[row] : self._ends[row + 1]].tobytes()

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that name the encoded images and how they are read."""
        content = fingerprint_array(self._flat, self._ends, self.rows)
        return fingerprint_config([content, asdict(self.settings)])

    def name_of(self, row: int) -> str:
        """Return the name of a row."""
        return f"row {row}" if self._names is None else self._names[row]

    @classmethod
    def from_parquet(
        cls,
        source: str | Path | Sequence[str | Path],
        image_column: str,
        *,
        settings: ImageSettings | None = None,
        on_broken: OnBroken = "error",
        check: Check = "decode",
        num_threads: int | None = None,
        **where: Unpack[LabelArguments],
    ) -> ImageBytes:
        """Read images and labels from one or several Parquet files; other columns stay unread.

        Args:
            source: One file, or several of one schema, taken one after the other.
            image_column: Column of bytes.
            settings: As in :meth:`ImageFiles.from_table`, and so are the others. Ids also name the
                images in messages.

        Raises:
            DataError: as the class, and a missing file or column, or a column of no bytes.
        """
        import polars as pl

        columns = LabelColumns.of(**where)
        frame = read_parquet_columns(source, [image_column, *columns.named])
        own = columns.id_column
        images = frame[image_column]
        if isinstance(images.dtype, pl.Struct) and "bytes" in images.struct.fields:
            images = images.struct.field("bytes")  # as Hugging Face writes images
        if images.dtype != pl.Binary:
            raise DataError(say(f"column {image_column}", "hold bytes", f"type {images.dtype}"))
        return cls(
            images.to_list(),
            read_if_named(columns, frame),
            image_names=None if own is None else [str(i) for i in frame[own]],
            settings=settings,
            on_broken=on_broken,
            check=check,
            num_threads=num_threads,
        )
