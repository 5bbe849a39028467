"""Image files and bytes: tensors, labels, and what is broken is named, never replaced."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import PIL.Image
import polars as pl
import pytest
import torch
from torch.utils.data import DataLoader

from equipoise.artifacts import Labels
from equipoise.data import ImageBytes, ImageFiles, ImageSettings, check_images, decode_image
from equipoise.errors import DataError, DataWarning, MissingExtraError, ShapeError, UsageError
from equipoise.io import read_labels

GREY = ImageSettings(mode="grey", dtype="uint8")
SMALL = ImageSettings(size=4)


def encoded(value: int = 7, size: tuple[int, int] = (6, 5), form: str = "PNG") -> bytes:
    PIL.Image.new("L", size, value).save(file := io.BytesIO(), form)
    return file.getvalue()


def array_image(pixels: np.ndarray, form: str = "PNG") -> bytes:
    PIL.Image.fromarray(pixels).save(file := io.BytesIO(), form)
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(3):
            data = encoded(10 * i, (6 + i, 5))
            (tmp_path / "images" / name / f"{i}.png").write_bytes(data)
    return tmp_path / "images"


@pytest.fixture
def table(folder: Path) -> Path:
    paths = [f"images/cat/{i}.png" for i in range(3)]
    frame = pl.DataFrame({"path": paths, "A": [1, 0, -1], "B": [0, 0, 1]})
    frame.write_csv(folder.parent / "list.csv")
    return folder.parent / "list.csv"


def test_pixels_come_as_they_are() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    x = decode_image(array_image(pixels), "x", ImageSettings(dtype="uint8"))
    np.testing.assert_array_equal(x, pixels.transpose(2, 0, 1))
    scaled = decode_image(array_image(pixels), "x", ImageSettings())
    assert scaled.dtype == torch.float32
    np.testing.assert_allclose(scaled, pixels.transpose(2, 0, 1) / 255, atol=1e-7)


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    pixels = np.array([[0, 300], [32768, 65535]], dtype=np.uint16)
    assert decode_image(array_image(pixels), "x", GREY).tolist() == [[[0, 1], [128, 255]]]
    deep = array_image(np.zeros((2, 2), dtype=np.float32), "TIFF")
    with pytest.raises(DataError, match=r"`x` must have 8 or 16 bits per channel, got 32"):
        decode_image(deep, "x", GREY)


def test_crop_keeps_proportions_and_stretch_does_not() -> None:
    pixels = np.zeros((4, 12), dtype=np.uint8)
    pixels[:, 4:8] = 255
    crop = decode_image(array_image(pixels), "x", ImageSettings(4, mode="grey", dtype="uint8"))
    assert (crop == 255).all()
    whole = ImageSettings((2, 6), resize="stretch", mode="grey", dtype="uint8")
    x = decode_image(array_image(pixels), "x", whole)
    assert x.shape == (1, 2, 6)
    assert x[0, :, [0, 5]].max() < 50
    tall = decode_image(encoded(9, (3, 40)), "x", ImageSettings((4, 8), dtype="uint8"))
    assert tall.shape == (3, 4, 8)
    assert (tall == 9).all()


def test_exif_orientation_is_respected_by_choice() -> None:
    image = PIL.Image.new("L", (8, 4))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    image.save(file := io.BytesIO(), "JPEG", exif=exif)
    assert decode_image(file.getvalue(), "x", GREY).shape == (1, 8, 4)
    flat = ImageSettings(use_exif=False)
    assert decode_image(file.getvalue(), "x", flat).shape == (3, 4, 8)


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "CMYK"])
def test_other_modes_become_rgb_or_grey(mode: str) -> None:
    form = "TIFF" if mode == "CMYK" else "PNG"
    image = PIL.Image.new("RGB", (3, 2), (255, 255, 255)).convert(mode)
    image.save(file := io.BytesIO(), form)
    assert (decode_image(file.getvalue(), "x", ImageSettings()) == 1).all()
    assert decode_image(file.getvalue(), "x", GREY).shape == (1, 2, 3)


def test_palettes_with_transparency_do_not_warn() -> None:
    image = PIL.Image.new("P", (2, 2))
    image.save(file := io.BytesIO(), "PNG", transparency=b"\x00\x80")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode_image(file.getvalue(), "x", ImageSettings()).shape == (3, 2, 2)


def test_table_gives_labels_and_paths_relative_to_it(table: Path) -> None:
    data = ImageFiles.from_table(table, "path", labels=["A", "B"], settings=SMALL)
    x, target = data[2]
    assert x.shape == (3, 4, 4)
    np.testing.assert_array_equal(target, [np.nan, 1])
    assert data.labels is not None
    assert data.labels.ids is not None
    assert data.labels.ids[0] == "images/cat/0.png"
    frame = pl.read_csv(table)
    there = ImageFiles.from_table(frame, "path", root=table.parent)
    assert there.labels is None
    assert there[-1][1] == 2
    frame.write_parquet(table.parent / "list.parquet")
    again = ImageFiles.from_table(table.parent / "list.parquet", "path", label="A", kind=None)
    assert again.labels is not None
    assert again.labels.kind == "multilabel"


def test_class_folders_give_classes(folder: Path) -> None:
    data = ImageFiles.from_folder(folder, settings=SMALL)
    assert data.labels is not None
    assert data.labels.names == ("cat", "dog")
    assert [int(y) for _, y in (data[i] for i in range(6))] == [0, 0, 0, 1, 1, 1]
    with pytest.raises(IndexError):
        data[6]
    with pytest.raises(DataError, match=r"must be a folder of class folders, got nothing there"):
        ImageFiles.from_folder(folder / "none")


def test_beside_images_what_is_called_otherwise_is_left_out(folder: Path) -> None:
    (folder / "dog" / "sources.TXT").write_text("who took them")
    (folder / "dog" / "7").write_bytes(min((folder / "dog").glob("*.png")).read_bytes())
    with pytest.warns(DataWarning, match=r"1 of 8 files, which are not called .*dog/sources.TXT"):
        data = ImageFiles.from_folder(folder, settings=SMALL)
    assert len(data) == 7
    for file in folder.rglob("*.png"):
        file.unlink()
    (folder / "overview.png").write_bytes(b"beside the classes")
    (folder / "cat" / "0.txt").write_text("a text of its own")
    labels = read_labels(folder)  # of texts, all are rows
    assert labels.ids is not None
    assert list(labels.ids) == ["cat/0.txt", "dog/7", "dog/sources.TXT"]


def test_repeated_paths_are_no_ids(table: Path) -> None:
    frame = pl.read_csv(table)
    data = ImageFiles.from_table(pl.concat([frame, frame]), "path", root=table.parent, label="B")
    assert data.labels is not None
    assert data.labels.ids is None


def test_wrong_columns_are_named(table: Path) -> None:
    with pytest.raises(DataError, match=r"`path_column` must name columns.*Did you mean `path`"):
        ImageFiles.from_table(table, "paths")
    with pytest.raises(DataError, match=r"`labels` must name columns of the table, got 'C'"):
        ImageFiles.from_table(table, "path", labels=["C"])
    frame = pl.DataFrame({"path": ["a.png", None], "y": [0, 1]})
    with pytest.raises(DataError, match=r"have a path in each row, got 1 empty entries.*row 1"):
        ImageFiles.from_table(frame, "path", label="y")


def broken_folder(folder: Path) -> list[Path]:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    whole = array_image(noise, "JPEG")
    (folder / "cut.jpg").write_bytes(whole[: len(whole) - 80])
    (folder / "text.png").write_bytes(b"no image")
    (folder / "empty.png").write_bytes(b"")
    (folder / "whole.jpg").write_bytes(whole)
    names = ["cat/0.png", "gone.png", "cut.jpg", "text.png", "empty.png", "whole.jpg"]
    return [folder / name for name in names]


def test_broken_images_are_counted_and_listed(folder: Path) -> None:
    paths = broken_folder(folder)
    with pytest.raises(
        DataError,
        match=r"got 1 of 6 that are not there: `.*gone.png` .*; 3 of 6 that cannot be read \(",
    ) as e:
        ImageFiles(paths)
    for path in paths[1:5]:
        assert str(path) in str(e.value)
    with pytest.raises(DataError, match=r"got 1 of 6 that are not there: .*; 2 of 6 that cannot"):
        ImageFiles(paths, check="open")
    lazy = ImageFiles(paths, check="none", settings=SMALL)
    assert lazy[0][0].shape == (3, 4, 4)
    with pytest.raises(DataError, match=r"`.*cut.jpg` must be a whole image, got .*truncated"):
        lazy[2]
    with pytest.raises(DataError, match=r"`.*gone.png` must be an image, got no such file"):
        lazy[1]
    assert [b.row for b in check_images(lazy, num_threads=3)] == [1, 2, 3, 4]


def test_left_out_rows_leave_labels_too(folder: Path) -> None:
    labels = Labels.from_array([0, 1, 0, 1, 0, 1], kind="multiclass", ids=list("abcdef"))
    data = ImageFiles(broken_folder(folder), labels, on_broken="leave_out", settings=SMALL)
    assert data.rows.tolist() == [0, 5]
    assert [b.row for b in data.left_out] == [1, 2, 3, 4]
    assert data.left_out[0].name.endswith("gone.png")
    assert data.labels is not None
    assert data.labels.ids is not None
    assert data.labels.ids.tolist() == ["a", "f"]
    assert len(data) == 2
    assert [int(data[i][1]) for i in range(2)] == [0, 1]
    assert check_images(data) == ()
    with pytest.raises(DataError, match=r"got 1 of 1 that are not there"):
        ImageFiles([folder / "gone.png"], on_broken="leave_out")


def test_an_image_that_goes_later_is_an_error(folder: Path) -> None:
    data = ImageFiles.from_folder(folder, on_broken="leave_out")
    (folder / "cat" / "1.png").unlink()
    with pytest.raises(DataError, match=r"1.png` must be an image, got no such file"):
        data[1]


def test_bombs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = [encoded(0, (40, 40)), encoded()]
    with pytest.raises(DataError, match=r"`row 0` must be no decompression bomb, got 40 x 40 pix"):
        ImageBytes(bomb, settings=ImageSettings(max_pixels=100), check="open")
    left = ImageBytes(bomb, settings=ImageSettings(max_pixels=100), on_broken="leave_out")
    assert left.rows.tolist() == [1]
    for limit in (1000, 100):  # Pillow warns above its limit, and raises above twice of it
        monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(DataError, match=r"no decompression bomb, got Image size \(1600"):
            ImageBytes(bomb)


def test_bytes_from_parquet(tmp_path: Path) -> None:
    rows = {"name": ["a", "b", "c"], "y": [0, 2, 1], "jpeg": [encoded(i) for i in range(3)]}
    for part in (1, 2):
        names = [f"{n}{part}" for n in rows["name"]]
        pl.DataFrame({**rows, "name": names}).write_parquet(tmp_path / f"{part}.parquet")
    files = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    data = ImageBytes.from_parquet(
        files, "jpeg", label="y", id_column="name", names=["x", "y", "z"], settings=GREY
    )
    assert len(data) == 6
    assert data.labels is not None
    assert data.labels.ids is not None
    assert data.labels.ids.tolist() == ["a1", "b1", "c1", "a2", "b2", "c2"]
    x, target = data[4]
    assert (x == 1).all()
    assert target == 2
    nested = pl.DataFrame({"image": [{"bytes": encoded(5), "path": "p"}]})
    nested.write_parquet(tmp_path / "nested.parquet")
    assert (
        ImageBytes.from_parquet(tmp_path / "nested.parquet", "image", settings=GREY)[0][0] == 5
    ).all()


def test_wrong_bytes_are_named(tmp_path: Path) -> None:
    file = tmp_path / "x.parquet"
    pl.DataFrame(
        {"jpeg": [encoded(), None, b""], "id": ["a", "b", "c"], "n": [1, 2, 3]}
    ).write_parquet(file)
    with pytest.raises(DataError, match=r"got 2 of 3 .*row 1: `b` must be an image, got an empty"):
        ImageBytes.from_parquet(file, "jpeg", id_column="id")
    with pytest.raises(DataError, match=r"must name columns of the table, got 'png'"):
        ImageBytes.from_parquet(file, "png")
    with pytest.raises(DataError, match=r"`column n` must hold bytes, got type Int64"):
        ImageBytes.from_parquet(file, "n")
    with pytest.raises(DataError, match=r"must be a Parquet file, got nothing there"):
        ImageBytes.from_parquet(tmp_path / "none.parquet", "jpeg")
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(DataError, match=r"text.parquet` must be a Parquet file"):
        ImageBytes.from_parquet(tmp_path / "text.parquet", "jpeg")
    with pytest.raises(DataError, match=r"`images` must be bytes, got str in row 0"):
        ImageBytes(["a.png"])  # type: ignore[list-item]
    with pytest.raises(ShapeError, match=r"one row per label = 2, got 1 rows"):
        ImageBytes([encoded()], Labels.from_array([0, 1], kind="multiclass"))


def test_settings_are_checked() -> None:
    with pytest.raises(UsageError, match=r"`mode` must be one of 'RGB', 'grey'"):
        ImageSettings(mode="gray")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"`size` must be one or two numbers of at least 1"):
        ImageSettings(size=(0, 3))
    with pytest.raises(UsageError, match=r"`check` must find what"):
        ImageBytes([b""], on_broken="leave_out", check="none")
    with pytest.raises(UsageError, match=r"`num_threads` must be at least 1"):
        ImageBytes([b""], num_threads=0)


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_worker_processes_read_the_same(context: str) -> None:
    labels = Labels.from_array([0, 1] * 4, kind="multiclass")
    data = ImageBytes([encoded(i) for i in range(8)], labels, settings=GREY)
    loader = DataLoader(data, batch_size=3, num_workers=2, multiprocessing_context=context)
    x = torch.cat([batch for batch, _ in loader])
    assert x[:, 0, 0, 0].tolist() == list(range(8))


def test_broken_images_stop_workers_by_their_path(folder: Path) -> None:
    data = ImageFiles(broken_folder(folder), settings=SMALL, check="none")
    with pytest.raises(DataError, match=r"gone.png` must be an image, got no such file"):
        list(DataLoader(data, batch_size=2, num_workers=2))


def test_pillow_is_asked_for_where_images_are(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from equipoise.data import *; import sys; print('PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"Reading images needs the package `pillow`"):
        decode_image(b"", "x", GREY)


def test_survives_pickling(folder: Path) -> None:
    data = ImageFiles.from_folder(folder, settings=SMALL)
    again = pickle.loads(pickle.dumps(data))  # noqa: S301
    assert torch.equal(again[4][0], data[4][0])
