"""Patches: pixels of the box and no others, padding, the cache, and what is refused."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch.utils.data import DataLoader

from equipoise.data import ImageSettings
from equipoise.errors import DataError, UsageError
from equipoise.mining import PatchDataset, Proposals, patches as patches_module

GREY = ImageSettings(mode="grey")


def boxes_of(*boxes, images=None, labels=None) -> Proposals:
    n = len(boxes)
    images = [0] * n if images is None else images
    labels = [1] * n if labels is None else labels
    return Proposals(images, boxes, labels, [1.0] * n, [0] * n)


def picture(height: int = 9, width: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    PIL.Image.fromarray(pixels).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def test_a_box_of_the_size_asked_for_comes_as_it_is() -> None:
    image = picture()
    data = PatchDataset(boxes_of([2, 3, 6, 8], labels=[4]), [image], size=(5, 4))
    patch, target = data[0]
    np.testing.assert_array_equal(patch[0], image[3:8, 2:6].astype(np.float32) / np.float32(255))
    assert (patch.dtype, target.dtype, target.item()) == (torch.float32, torch.int64, 4)
    assert torch.equal(data[-1][0], patch)
    with pytest.raises(IndexError):
        data[1]


@pytest.mark.parametrize("padding", ["zero", "edge", "clip"])
def test_what_lies_outside_follows_the_policy(padding: str) -> None:
    image = picture()
    box = [-2, -1, 4, 3]
    size = (3, 4) if padding == "clip" else (4, 6)
    patch, _ = PatchDataset(boxes_of(box), [image], size=size, padding=padding)[0]
    for y in range(size[0]):
        for x in range(size[1]):
            row, column = (y, x) if padding == "clip" else (y - 1, x - 2)
            inside = row >= 0 and column >= 0
            value = image[max(row, 0), max(column, 0)] if inside or padding == "edge" else 0
            assert patch[0, y, x].item() == pytest.approx(value / 255)


def test_far_corners_are_padded_too() -> None:
    image = picture()
    patch, _ = PatchDataset(boxes_of([10, 7, 14, 12]), [image], size=(5, 4), padding="zero")[0]
    expected = np.zeros((5, 4), dtype=np.float32)
    expected[:2, :2] = image[7:, 10:] / np.float32(255)
    np.testing.assert_array_equal(patch[0], expected)


def test_boxes_are_rounded_outwards_and_hold_a_pixel_at_least() -> None:
    image = picture()
    whole, _ = PatchDataset(boxes_of([2, 3, 6, 8]), [image], size=(5, 4))[0]
    part, _ = PatchDataset(boxes_of([2.4, 3.9, 5.1, 7.2]), [image], size=(5, 4))[0]
    assert torch.equal(whole, part)
    point, _ = PatchDataset(boxes_of([5, 5, 5, 5]), [image], size=1)[0]
    assert point.item() == pytest.approx(image[5, 5] / 255)


def test_the_margin_keeps_surroundings() -> None:
    image = picture(20, 20)
    patch, _ = PatchDataset(boxes_of([8, 8, 12, 12]), [image], size=8, margin=0.5)[0]
    np.testing.assert_array_equal(patch[0], image[6:14, 6:14].astype(np.float32) / np.float32(255))


def test_patches_are_resized_without_aliasing() -> None:
    # Two bright columns in eight, where a resize without a filter would look for its samples.
    board = np.tile(np.array([0, 0, 0, 255, 255, 0, 0, 0], dtype=np.uint8), (64, 8))
    patch, _ = PatchDataset(boxes_of([0, 0, 64, 64]), [board], size=8)[0]
    assert patch.max() < 0.5  # without it: 1
    up, _ = PatchDataset(boxes_of([0, 0, 2, 3]), [board], size=(30, 20))[0]
    assert up.shape == (1, 30, 20)


def test_files_bytes_arrays_and_tensors_agree(tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    file = tmp_path / "a.png"
    file.write_bytes(png(image))
    images = [
        image,
        torch.from_numpy(image).permute(2, 0, 1),
        image.astype(np.float32) / np.float32(255),
        file,
        str(file),
        file.read_bytes(),
    ]
    found = boxes_of(*[[1, 2, 9, 7]] * 6, images=list(range(6)))
    patches = [patch for patch, _ in PatchDataset(found, images, size=6)]
    for patch in patches[1:]:
        torch.testing.assert_close(patch, patches[0])
    grey, _ = PatchDataset(found[3:4], images, size=6, settings=GREY)[0]
    assert grey.shape == (1, 6, 6)


def test_arrays_mapped_from_a_read_only_file_are_taken(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.stack([picture(), picture(seed=1)]))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    data = PatchDataset(boxes_of([0, 0, 4, 4], images=[1]), mapped, size=4)
    np.testing.assert_allclose(data[0][0][0], picture(seed=1)[:4, :4] / 255, rtol=1e-6)


def count_decodes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    real = patches_module.decode_image

    def counted(source, name, settings):
        calls.append(name)
        return real(source, name, settings)

    monkeypatch.setattr(patches_module, "decode_image", counted)
    return calls


def test_an_image_is_decoded_once_while_it_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count_decodes(monkeypatch)
    images = [png(picture(seed=s)) for s in range(3)]
    found = boxes_of(*[[0, 0, 4, 4]] * 30, images=[0] * 10 + [1] * 10 + [2] * 10)
    data = PatchDataset(found, images, size=4, settings=GREY, cached_images=2)
    for i in range(30):
        data[i]
    assert calls == ["image 0", "image 1", "image 2"]
    data[10]  # image 1 is still there, image 0 is not
    assert len(calls) == 3
    data[0]
    assert calls[3:] == ["image 0"]
    data[10]  # used last, so image 0 has to go
    data[20]
    data[10]
    assert calls[3:] == ["image 0", "image 2"]


def test_workers_start_without_the_decoded_images() -> None:
    images = [png(picture(400, 400))]
    data = PatchDataset(boxes_of(*[[0, 0, 4, 4]] * 4), images, size=4, settings=GREY)
    before = [data[i][0] for i in range(4)]
    again = pickle.loads(pickle.dumps(data))  # noqa: S301  # what a spawned worker does
    assert not again._cache
    assert len(data._cache) == 1
    batches = DataLoader(again, batch_size=2, num_workers=1)
    assert torch.equal(torch.cat([x for x, _ in batches]), torch.stack(before))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"labels": [-1]}, DataError, "`proposals` must have a class .* 1 ignored. Leave them out"),
        ({"images": [3]}, DataError, "`images` must hold image 3, got 1 images"),
        ({"settings": ImageSettings(size=9)}, UsageError, "`settings` must have size None, got 9"),
        ({"cached_images": 0}, UsageError, "`cached_images` must be at least 1"),
        ({"padding": "mirror"}, UsageError, "`padding` must be one of 'zero', 'edge', 'clip'"),
        ({"margin": -0.1}, UsageError, "`margin` must be >= 0"),
        ({"size": 0}, UsageError, "`size` must be one or two numbers of at least 1"),
    ],
)
def test_wrong_settings_are_named(change: dict, error: type, message: str) -> None:
    rows = {name: change.pop(name) for name in ("labels", "images") if name in change}
    settings = {"size": 4, **change}
    with pytest.raises(error, match=message):
        PatchDataset(boxes_of([0, 0, 4, 4], **rows), [picture()], **settings)


@pytest.mark.parametrize("box", [[12, 0, 14, 4], [-4, 0, 0, 4], [0, 9, 4, 12], [0, -5, 4, -1]])
def test_a_box_outside_its_image_is_named(box: list[int]) -> None:
    for padding in ("zero", "edge", "clip"):
        data = PatchDataset(boxes_of([0, 0, 1, 1], box), [picture()], size=4, padding=padding)
        with pytest.raises(DataError, match=r"row 1, outside of 9 x 12 pixels\. Are images in"):
            data[1]


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    cases = [
        (np.zeros((4, 4), dtype=np.int32), r"`image 0` must be \(H, W\) .* int32"),
        (np.zeros(4, dtype=np.uint8), r"`image 0` must be \(H, W\) .* shape \(4,\)"),
        (b"GIF?", "`image 0` must be an image"),
        (tmp_path / "none.png", "none.png` must be an image, got no such file"),
    ]
    for image, message in cases:
        with pytest.raises(DataError, match=message):
            PatchDataset(boxes_of([0, 0, 1, 1]), [image], size=4)[0]
