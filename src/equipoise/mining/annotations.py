"""True boxes of images, from tables with one box per row or from JSON in COCO's format."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Ints
from equipoise._core.checks import require_shape, to_array, to_whole
from equipoise._core.documents import parse_json, read_text
from equipoise._core.identity import class_order, loose_key
from equipoise._core.messages import one_of, say
from equipoise.errors import DataError, EquipoiseError
from equipoise.io.tables import as_numbers, read_table, require_columns, to_table
from equipoise.mining.boxes import Floats, to_boxes

if TYPE_CHECKING:
    import polars as pl


Truth = tuple[Floats, Ints, Floats]
"""Boxes, classes and crowds of one image."""
BACKGROUND_NAME = "background"
_TABLE = ("image", "x1", "y1", "x2", "y2", "class")


@dataclass(frozen=True, slots=True, eq=False)
class Annotations:
    """The true boxes of K images.

    Args:
        files: K file names or paths, as the source has them.
        images: (N,) int64 in [0, K), the image of each box.
        boxes: (N, 4) x1, y1, x2, y2 in pixels, float32 or float64.
        classes: (N,) int64 in [1, C].
        crowds: (N,) bool, boxes of whole crowds, in which single objects are not marked.
        names: C + 1 names, that of the background first.
        sizes: (K, 2) int64 (height, width) of the images; 0 where the source does not say.

    Raises:
        ShapeError: lengths that differ.
        DataError: turned boxes, images or classes that do not exist.

    Example:
        >>> truth = Annotations(
        ...     ("a.png",), [0], [[0, 0, 4, 4]], [1], [False], ("background", "cat"), [[8, 8]]
        ... )
        >>> len(truth), truth.of(0)[1].tolist()
        (1, [1])
    """

    files: tuple[str, ...]
    images: Ints
    boxes: Floats
    classes: Ints
    crowds: NDArray[np.bool_]
    names: tuple[str, ...]
    sizes: Ints

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "boxes", to_boxes("boxes", self.boxes))
        n, k = len(self.boxes), len(self.files)
        bounds = {"images": (0, k - 1), "classes": (1, len(self.names) - 1)}
        for name, (low, high) in bounds.items():
            values = np.asarray(to_array(name, getattr(self, name), ndim=1), dtype=np.int64)
            require_shape(name, values, (n,), "One entry per box.")
            if values.size and (values.min() < low or values.max() > high):
                got = f"{values.min()} to {values.max()}"
                raise DataError(say(name, f"lie in [{low}, {high}]", got))
            put(self, name, values)
        put(self, "crowds", np.asarray(self.crowds, dtype=bool))
        require_shape("crowds", self.crowds, (n,), "One entry per box.")
        put(self, "sizes", np.asarray(self.sizes, dtype=np.int64).reshape(-1, 2))
        require_shape("sizes", self.sizes, (k, 2), "One (height, width) per image.")

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def counts(self) -> dict[str, int]:
        """Boxes of each class, crowds left out."""
        found = np.bincount(self.classes[~self.crowds], minlength=len(self.names))
        return dict(zip(self.names[1:], found[1:].tolist(), strict=True))

    def of(self, image: int) -> Truth:
        """Return boxes, classes and crowds of one image, as `label_proposals` takes them.

        Args:
            image: Its position in ``files``.
        """
        return self._parts(np.flatnonzero(self.images == range(len(self.files))[image]))

    def by_image(self) -> Iterator[Truth]:
        """Yield what :meth:`of` returns for each of the K images, in one pass over the boxes."""
        order = np.argsort(self.images, kind="stable")
        ends = np.searchsorted(self.images[order], np.arange(1, len(self.files) + 1))
        start = 0
        for end in ends.tolist():
            yield self._parts(order[start:end])
            start = end

    def _parts(self, rows: NDArray[np.int64]) -> Truth:
        crowd = self.crowds[rows]
        single = rows[~crowd]
        return self.boxes[single], self.classes[single], self.boxes[rows[crowd]]


def annotations_of(
    path: str,
    files: tuple[str, ...],
    images: ArrayLike,
    boxes: ArrayLike,
    classes: ArrayLike,
    crowds: ArrayLike,
    names: tuple[str, ...],
    sizes: ArrayLike,
) -> Annotations:
    """Return the annotations, or one line that names their source."""
    empty = np.zeros(0, dtype=np.int64)
    parts: Any = [np.asarray(x) if len(np.asarray(x)) else empty for x in (images, classes, crowds)]
    try:
        return Annotations(files, parts[0], boxes, parts[1], parts[2], names, sizes)  # type: ignore[arg-type]
    except EquipoiseError as error:
        raise DataError(f"`{path}`: {error}") from error


def read_box_table(
    source: Any,
    *,
    columns: Mapping[str, str] | None = None,
    form: Literal["xyxy", "xywh"] = "xyxy",
    names: Sequence[str] | None = None,
    crowd_column: str | None = None,
) -> Annotations:
    """Read boxes from a table with one box per row.

    Args:
        source: A CSV or Parquet file, or a data frame.
        columns: Columns where they are not called image, x1, y1, x2, y2, class; keys are these
            names, for example ``{"image": "file", "class": "species"}``.
        form: What the four numbers are, in pixels: "xyxy" two corners, "xywh" a corner, width and
            height.
        names: C class names in order, that of the background left out; None takes those that
            occur, sorted. Needed for a stable order over several files.
        crowd_column: A column of 0 and 1; None means no crowds.

    Returns:
        Boxes in the order of the table; images in the order of their first box. Sizes of images
        are 0: a table does not tell them, nor images without boxes.

    Raises:
        DataError: no such file or column, a row without an image or class, coordinates that are no
            numbers, turned boxes, or a class that ``names`` does not hold; one line.
        UsageError: an unknown ``form``.

    Example:
        >>> import polars as pl
        >>> table = pl.DataFrame(
        ...     {"file": ["a.png"], "x1": [1], "y1": [2], "x2": [3], "y2": [4], "class": ["dog"]}
        ... )
        >>> truth = read_box_table(table, columns={"image": "file"}, form="xywh")
        >>> truth.boxes.tolist(), truth.names
        ([[1.0, 2.0, 4.0, 6.0]], ('background', 'dog'))
    """
    one_of("form", form, ("xyxy", "xywh"))
    is_file = isinstance(source, (str, Path))
    path = str(source) if is_file else "source"
    frame = read_table(source) if is_file else to_table(source)
    for key in columns or {}:
        one_of("columns", key, _TABLE)
    named = [(columns or {}).get(key, key) for key in _TABLE]
    _require_full(frame, path, [*named, *([] if crowd_column is None else [crowd_column])])
    boxes = np.stack([_numbers(frame, path, name) for name in named[1:5]], axis=1)
    if form == "xywh":
        boxes[:, 2:] += boxes[:, :2]
    files, images = _codes([str(v) for v in frame[named[0]]])
    said = [str(v) for v in frame[named[5]]]
    known = class_order(said) if names is None else [str(n) for n in names]
    strange = class_order(set(said) - set(known))
    if strange:
        near = next((n for n in known if loose_key(n) == loose_key(strange[0])), None)
        do = "Add it to names."
        if near is not None:
            do = f"It differs from {near!r} only by spaces or as a number: write them alike."
        raise DataError(say(path, f"hold classes of {known}", repr(strange[0]), do))
    place = {name: at for at, name in enumerate(known, start=1)}
    crowds = [0] * len(said) if crowd_column is None else frame[crowd_column].to_list()
    crowds = [int(c) if c in ("0", "1") else c for c in crowds]  # a CSV holds text
    if not set(crowds) <= {0, 1}:
        got = repr(next(c for c in crowds if c not in (0, 1)))
        raise DataError(say(path, f"have 0 or 1 in column '{crowd_column}'", got))
    classes, sizes = [place[name] for name in said], np.zeros((len(files), 2))
    background = (BACKGROUND_NAME, *known)
    return annotations_of(path, files, images, boxes, classes, crowds, background, sizes)


def _require_full(frame: pl.DataFrame, path: str, wanted: list[str]) -> None:
    """Raise unless all columns are there and have no empty entry."""
    require_columns(frame, path, wanted)
    for name in wanted:
        if frame[name].null_count():
            got = f"one in row {frame[name].is_null().arg_max()}"
            raise DataError(say(path, f"have no empty entry in column '{name}'", got))


def _numbers(frame: pl.DataFrame, path: str, name: str) -> NDArray[np.float64]:
    values = as_numbers(frame, [name])[name].to_numpy()
    if values.dtype.kind not in "fiu":
        got = f"type {frame[name].dtype}"
        raise DataError(say(path, f"have numbers in column '{name}'", got))
    return values.astype(np.float64)


def _codes(values: list[str]) -> tuple[tuple[str, ...], list[int]]:
    """Return the distinct values in order, and the position of each value among them."""
    place: dict[str, int] = {}
    codes = [place.setdefault(value, len(place)) for value in values]
    return tuple(place), codes


def _records(document: Mapping[str, Any], key: str, path: str) -> list[Mapping[str, Any]]:
    found = document.get(key)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        got = "none" if found is None else type(found).__name__
        raise DataError(say(path, f"hold a list of objects '{key}'", got, "Is it COCO's format?"))
    return found


def _positions(records: Sequence[Mapping[str, Any]], what: str, path: str) -> dict[str, int]:
    """Return the position of each id; ids are text, so 7 and "7" are the same."""
    ids = []
    for at, record in enumerate(records):
        found = record.get("id")
        if isinstance(found, bool) or not isinstance(found, (int, str)):
            raise DataError(say(path, f"have an id in each of {what}", f"{found!r} in entry {at}"))
        ids.append(str(found))
    known = {found: at for at, found in enumerate(ids)}
    if len(known) < len(ids):
        twice = next(i for at, i in enumerate(ids) if known[i] != at)
        raise DataError(say(path, f"have distinct ids in {what}", f"{twice!r} more than once"))
    return known


def _stranger(where: str, key: str, found: Any, known: Mapping[str, int]) -> str:
    near = next((n for n in known if loose_key(n) == loose_key(str(found))), None)
    do = "" if near is None else f"It differs from {near!r} only by spaces or as a number."
    return say(where, f"have the {key} of an entry of the file", repr(found), do)


def _coco_box(record: Mapping[str, Any], where: str) -> list[float]:
    box = record.get("bbox")
    numbers = isinstance(box, list) and all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < np.inf for v in box
    )
    if not numbers or len(box) != 4:  # type: ignore[arg-type]
        do = "Annotations without a box must be left out."
        raise DataError(say(where, "have a bbox of 4 numbers (x, y, width, height)", box, do))
    x, y, width, height = box  # type: ignore[misc]
    if width < 0 or height < 0:
        raise DataError(say(where, "have a bbox of width and height >= 0", box))
    return [x, y, x + width, y + height]


def _crowd(record: Mapping[str, Any], where: str) -> bool:
    found = record.get("iscrowd", 0)
    if found not in (0, 1):
        raise DataError(say(where, "have an iscrowd of 0 or 1", repr(found)))
    return bool(found)


def _read_document(path: Path) -> Mapping[str, Any]:
    try:
        document = parse_json(read_text(path))
    except FileNotFoundError as error:
        raise DataError(say(str(path), "be a file", "nothing there", "Check the path.")) from error
    except (ValueError, OSError) as error:
        got = " ".join(str(error).split())[:200]
        raise DataError(say(str(path), "be JSON", got)) from error
    if not isinstance(document, dict):
        expected = "be an object with images, annotations and categories"
        raise DataError(say(str(path), expected, type(document).__name__))
    return document


def _text(record: Mapping[str, Any], key: str, path: str) -> str:
    found = record.get(key)
    if not isinstance(found, str):
        got = f"{found!r} in id {record.get('id')!r}"
        raise DataError(say(path, f"have a text '{key}' in each entry", got))
    return found


def _side(image: Mapping[str, Any], key: str, path: str) -> int:
    found = image.get(key)
    if not isinstance(found, int) or found <= 0:
        return 0
    return to_whole(f"{path}, {key} of image {image['id']}", found, 1, _MOST_PIXELS)


_MOST_PIXELS = 10**9


def read_coco(path: str | Path) -> Annotations:
    """Read boxes from a JSON file in COCO's format.

    Args:
        path: A file with the lists ``images`` (id, file_name, height, width), ``annotations``
            (image_id, category_id, bbox as x, y, width, height in pixels, iscrowd) and
            ``categories`` (id, name). Other fields stay unread.

    Returns:
        Boxes in the order of the file; classes are 1 to C in the order of ``categories``, whatever
        their ids.

    Raises:
        DataError: no such file, no JSON, a missing list or field, ids that repeat or that nothing
            has, a box of negative size; one line that names file and entry.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = Path(folder.name, "coco.json")
        >>> text = '{"images": [{"id": 7, "file_name": "a.png", "height": 8, "width": 9}],'
        >>> text += '"categories": [{"id": 18, "name": "dog"}], "annotations": [{"id": 1,'
        >>> text += '"image_id": 7, "category_id": 18, "bbox": [1, 2, 3, 4], "iscrowd": 0}]}'
        >>> _ = file.write_text(text)
        >>> truth = read_coco(file)
        >>> truth.counts, truth.boxes.tolist()
        ({'dog': 1}, [[1.0, 2.0, 4.0, 6.0]])
        >>> folder.cleanup()

    References:
        cocodataset.org, Data format, 1. Object Detection.
    """
    name = str(path)
    document = _read_document(Path(path))
    images, entries, categories = (
        _records(document, key, name) for key in ("images", "annotations", "categories")
    )
    image_at, class_at = (
        _positions(images, "images", name),
        _positions(categories, "categories", name),
    )
    boxes, owners, classes, crowds = [], [], [], []
    for at, entry in enumerate(entries):
        where = f"{name}, annotation {entry.get('id', f'number {at}')}"
        for key, known in (("image_id", image_at), ("category_id", class_at)):
            if not isinstance(entry.get(key), (int, str)) or str(entry[key]) not in known:
                raise DataError(_stranger(where, key, entry.get(key), known))
        boxes.append(_coco_box(entry, where))
        crowds.append(_crowd(entry, where))
        owners.append(image_at[str(entry["image_id"])])
        classes.append(class_at[str(entry["category_id"])] + 1)
    files = tuple(str(_text(image, "file_name", name)) for image in images)
    names = (BACKGROUND_NAME, *(_text(category, "name", name) for category in categories))
    sizes = [[_side(image, key, name) for key in ("height", "width")] for image in images]
    return annotations_of(name, files, owners, boxes, classes, crowds, names, sizes)
