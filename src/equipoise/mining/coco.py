"""True boxes from JSON files in COCO's format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equipoise._core.identity import loose_key
from equipoise._core.words import say
from equipoise.errors import DataError
from equipoise.mining.annotations import BACKGROUND_NAME, Annotations, annotations_of


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
        isinstance(v, (int, float)) and not isinstance(v, bool) and np.isfinite(v) for v in box
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
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(say(str(path), "be a file", "nothing there", "Check the path.")) from error
    except (ValueError, RecursionError, OSError) as error:
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


def _side(image: Mapping[str, Any], key: str) -> int:
    found = image.get(key)
    return found if isinstance(found, int) and found > 0 else 0


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
    sizes = [[_side(image, key) for key in ("height", "width")] for image in images]
    return annotations_of(name, files, owners, boxes, classes, crowds, names, sizes)
