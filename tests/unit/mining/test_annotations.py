"""True boxes from COCO's JSON and from tables; malformed files in one line."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from equipoise.errors import DataError, ShapeError, UsageError
from equipoise.mining import Annotations, label_proposals, read_box_table, read_coco

COCO: dict[str, Any] = {
    "info": {"year": 2026},
    "images": [
        {"id": 9, "file_name": "b.jpg", "height": 40, "width": 60},
        {"id": 4, "file_name": "a.jpg"},
        {"id": 5, "file_name": "c.jpg", "height": 10, "width": 10},
    ],
    "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "cat"}],
    "annotations": [
        {"id": 1, "image_id": 4, "category_id": 3, "bbox": [1, 2, 3.5, 4], "iscrowd": 0},
        {"id": 2, "image_id": 9, "category_id": 18, "bbox": [0, 0, 50, 30], "iscrowd": 1},
        {"id": 3, "image_id": 4, "category_id": 18, "bbox": [5, 5, 0, 2]},
    ],
}


def written(tmp_path: Path, document: Any) -> Path:
    file = tmp_path / "coco.json"
    file.write_text(document if isinstance(document, str) else json.dumps(document))
    return file


def test_coco_is_read_as_it_stands(tmp_path: Path) -> None:
    truth = read_coco(written(tmp_path, COCO))
    assert truth.files == ("b.jpg", "a.jpg", "c.jpg")
    assert truth.names == ("background", "dog", "cat")
    assert truth.images.tolist() == [1, 0, 1]
    assert truth.classes.tolist() == [2, 1, 1]
    assert truth.boxes.tolist() == [[1, 2, 4.5, 6], [0, 0, 50, 30], [5, 5, 5, 7]]
    assert truth.crowds.tolist() == [False, True, False]
    assert truth.sizes.tolist() == [[40, 60], [0, 0], [10, 10]]
    assert truth.counts == {"dog": 1, "cat": 1}


def test_images_are_taken_apart_one_by_one_or_in_one_pass(tmp_path: Path) -> None:
    truth = read_coco(written(tmp_path, COCO))
    boxes, classes, crowds = truth.of(0)
    assert (len(boxes), len(classes), crowds.tolist()) == (0, 0, [[0, 0, 50, 30]])
    found = label_proposals([[10, 10, 20, 20]], boxes, classes, ignore_boxes=crowds)
    assert found.labels.tolist() == [-1]
    every = list(truth.by_image())
    assert len(every) == 3
    for image, parts in enumerate(every):
        for found_part, part in zip(parts, truth.of(image), strict=True):
            np.testing.assert_array_equal(found_part, part)
    with pytest.raises(IndexError):
        truth.of(3)


def test_a_file_without_annotations_has_images_alone(tmp_path: Path) -> None:
    truth = read_coco(written(tmp_path, {**COCO, "annotations": []}))
    assert len(truth) == 0
    assert truth.counts == {"dog": 0, "cat": 0}
    assert [len(parts[0]) for parts in truth.by_image()] == [0, 0, 0]


def changed(*path: Any, to: Any) -> dict[str, Any]:
    document = copy.deepcopy(COCO)
    at = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = to
    return document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "must be JSON, got Expecting"),
        ("[1]", "must be an object with images, annotations and categories, got list"),
        ({"images": []}, "must hold a list of objects 'annotations', got none. Is it COCO"),
        (changed("images", to=[1]), "must hold a list of objects 'images', got list"),
        (changed("images", 1, "id", to=9), "must have distinct ids in images, got '9' more than"),
        (changed("images", 1, "id", to=None), "must have an id in each of images, got None in"),
        (changed("categories", 0, "name", to=7), "must have a text 'name' in each entry, got 7"),
        (changed("images", 0, "file_name", to=None), "must have a text 'file_name' in each"),
        (changed("annotations", 1, "image_id", to=5000), "2` must have the image_id .* got 5000"),
        (changed("annotations", 0, "category_id", to=[]), r"1` must have the category_id .* \[\]"),
        (changed("annotations", 0, "bbox", to=[1, 2, 3]), r"1` must have a bbox of 4 numbers"),
        (changed("annotations", 0, "bbox", to="x"), "1` must have a bbox of 4 numbers .* got x"),
        (changed("annotations", 0, "bbox", to=None), "1` must have a bbox of 4 numbers .* None"),
        (changed("annotations", 0, "bbox", to=[1, 2, -3, 4]), "1` must have a bbox of width and"),
        (changed("annotations", 0, "bbox", to=[0, 0, 1e12, 1]), "pixels below 1e9"),
        (changed("annotations", 0, "iscrowd", to=2), "1` must have an iscrowd of 0 or 1, got 2"),
        (changed("annotations", 0, "bbox", to=[1, 2, float("nan"), 4]), "bbox of 4 numbers"),
    ],
)
def test_a_malformed_file_is_told_in_one_line(tmp_path: Path, document: Any, message: str) -> None:
    file = written(tmp_path, document)
    with pytest.raises(DataError, match=message) as caught:
        read_coco(file)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.json` must be a file, got nothing there"):
        read_coco(tmp_path / "none.json")


TABLE = "image,x1,y1,x2,y2,class\nb.png,0,0,4,4,dog\na.png,1,2,3,4.5,cat\nb.png,2,2,2,2,cat\n"


def csv(tmp_path: Path, text: str = TABLE) -> Path:
    file = tmp_path / "boxes.csv"
    file.write_text(text)
    return file


def test_a_table_is_read_in_its_order(tmp_path: Path) -> None:
    truth = read_box_table(csv(tmp_path))
    assert truth.files == ("b.png", "a.png")
    assert truth.names == ("background", "cat", "dog")
    assert truth.images.tolist() == [0, 1, 0]
    assert truth.classes.tolist() == [2, 1, 1]
    assert truth.boxes.tolist() == [[0, 0, 4, 4], [1, 2, 3, 4.5], [2, 2, 2, 2]]
    assert not truth.crowds.any()
    assert truth.sizes.tolist() == [[0, 0], [0, 0]]


def test_columns_form_names_and_crowds_can_be_said(tmp_path: Path) -> None:
    text = "file;left;y1;w;h;kind;crowd\nb.png;1;2;3;4;7;0\nb.png;0;0;9;9;8;1\n"
    columns = {"image": "file", "x1": "left", "x2": "w", "y2": "h", "class": "kind"}
    truth = read_box_table(
        csv(tmp_path, text),
        columns=columns,
        form="xywh",
        names=["8", "7", "9"],
        crowd_column="crowd",
    )
    assert truth.boxes.tolist() == [[1, 2, 4, 6], [0, 0, 9, 9]]
    assert truth.classes.tolist() == [2, 1]
    assert truth.crowds.tolist() == [False, True]
    assert truth.names == ("background", "8", "7", "9")
    frame = pl.read_csv(csv(tmp_path, text), separator=";")
    again = read_box_table(frame, columns=columns, form="xywh")
    np.testing.assert_array_equal(again.boxes, truth.boxes)


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("image,x1,y1,x2,y2\na,0,0,1,1\n", {}, "must name columns of the table, got 'class'"),
        (TABLE.replace("dog", ""), {}, "no empty entry in column 'class', got one in row 0"),
        (TABLE.replace("4.5", "x"), {}, "must have numbers in column 'y2', got type String"),
        (TABLE.replace("1,2,3", "1,2,0"), {}, "`boxes` must have x2 >= x1 .* row 1"),
        (TABLE, {"names": ["dog"]}, r"must hold classes of \['dog'\], got 'cat'. Add it"),
        (TABLE, {"crowd_column": "x2"}, "must have 0 or 1 in column 'x2', got '4'"),
        ("", {}, "must hold a header and rows, got an empty file|must have"),
        (TABLE + "a,b\n", {}, "must have as many fields in each row as in its header"),
    ],
)
def test_a_malformed_table_is_told_in_one_line(
    tmp_path: Path, text: str, settings: dict, message: str
) -> None:
    file = csv(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        read_box_table(file, **settings)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_wrong_options_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`form` must be one of 'xyxy', 'xywh', got 'cxcywh'"):
        read_box_table(csv(tmp_path), form="cxcywh")
    with pytest.raises(UsageError, match=r"`columns` must be one of 'image', .* got 'label'"):
        read_box_table(csv(tmp_path), columns={"label": "class"})


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"images": [1]}, DataError, r"`images` must lie in \[0, 0\], got 1 to 1"),
        ({"classes": [0]}, DataError, r"`classes` must lie in \[1, 1\]"),
        ({"classes": [2]}, DataError, r"`classes` must lie in \[1, 1\]"),
        ({"images": [0, 0]}, ShapeError, r"`images` must have shape \(1\)"),
        ({"crowds": []}, ShapeError, r"`crowds` must have shape \(1\)"),
        ({"sizes": []}, ShapeError, r"`sizes` must have shape \(1, 2\)"),
    ],
)
def test_annotations_that_do_not_fit_together_are_refused(changes, error, message) -> None:
    parts = {
        "files": ("a",),
        "images": [0],
        "boxes": [[0, 0, 1, 1]],
        "classes": [1],
        "crowds": [False],
        "names": ("background", "x"),
        "sizes": [[4, 4]],
    }
    with pytest.raises(error, match=message):
        Annotations(**{**parts, **changes})


def test_files_and_classes_of_a_box_table_are_text_as_written(tmp_path: Path) -> None:
    file = tmp_path / "boxes.csv"
    rows = ["0010,0,0,4,4,01", "10,1,1,3,3,1", "0010,2,2,3,3,1"]
    file.write_text("image,x1,y1,x2,y2,class\n" + "\n".join(rows) + "\n")
    truth = read_box_table(file)
    assert truth.files == ("0010", "10")
    assert truth.names == ("background", "01", "1")
    assert truth.counts == {"01": 1, "1": 2}
    with pytest.raises(DataError, match="differs from '1' only by spaces or as a number"):
        read_box_table(file, names=["1"])
    numbers = ["a,0,0,4,4,10", "a,1,1,3,3,9"]
    file.write_text("image,x1,y1,x2,y2,class\n" + "\n".join(numbers) + "\n")
    assert read_box_table(file).names == ("background", "9", "10")


def test_ids_of_a_coco_file_are_text(tmp_path: Path) -> None:
    file = tmp_path / "coco.json"
    document = {
        "images": [{"id": 7, "file_name": "a.png"}],
        "categories": [{"id": "3", "name": "dog"}],
        "annotations": [{"id": 1, "image_id": "7", "category_id": 3, "bbox": [0, 0, 2, 2]}],
    }
    file.write_text(json.dumps(document))
    assert read_coco(file).counts == {"dog": 1}
    document["annotations"][0]["image_id"] = "007"
    file.write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"got '007'\. It differs from '7' only by spaces or as a"):
        read_coco(file)
