"""The loader of images: the batches of a plain DataLoader, in memory that is used again."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest
import torch
from torch.utils.data import DataLoader, Subset

from equipoise.artifacts import Labels
from equipoise.data import ImageBytes, ImageLoader, ImageSettings, make_loader
from equipoise.errors import ShapeError


def encoded(pixels: np.ndarray) -> bytes:
    PIL.Image.fromarray(pixels).save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def images(n: int, settings: ImageSettings | None = None, labelled: bool = True) -> ImageBytes:
    rng = np.random.default_rng(0)
    files = [encoded(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)) for _ in range(n)]
    hot = rng.integers(-1, 2, (n, 3))
    labels = Labels.from_array(hot, kind="multilabel") if labelled else None
    return ImageBytes(files, labels, settings=settings)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("labelled", [True, False])
def test_batches_are_those_of_a_plain_loader(dtype: str, labelled: bool) -> None:
    data = images(41, ImageSettings(dtype=dtype), labelled)
    rows = np.random.default_rng(1).permutation(41)[:37].tolist()
    plain = list(DataLoader(Subset(data, rows), batch_size=4))
    # Held all at once: what a batch holds must not change when later ones are read.
    held = list(make_loader(data, rows, 4, num_workers=2))
    assert len(held) == len(plain)
    for (x, y), (x0, y0) in zip(held, plain, strict=True):
        torch.testing.assert_close(x, x0, rtol=0, atol=0)
        torch.testing.assert_close(y, y0, rtol=0, atol=0, equal_nan=True)


def test_memory_is_taken_again_when_nobody_holds_it() -> None:
    loader = make_loader(images(60), range(60), 5, num_workers=1)
    places = [x.data_ptr() for x, _ in loader]
    assert len(set(places)) <= 2
    views = [x[0, 0] for x, _ in loader]
    assert len({v.data_ptr() for v in views}) == len(views)


def test_each_pass_is_a_new_one_and_passes_may_run_side_by_side() -> None:
    loader = make_loader(images(12), range(12), 2, num_workers=1)
    for (one, _), (two, _) in zip(loader, loader, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


def test_order_is_the_samplers() -> None:
    data = images(9, labelled=False)
    loader = make_loader(data, [8, 3, 5], 2, num_workers=1, sampler=[2, 0, 1, 1])
    assert torch.cat([y for _, y in loader]).tolist() == [5, 8, 3, 3]
    assert len(loader) == 2
    assert list(make_loader(data, [], 2, num_workers=1)) == []


def test_images_of_other_sizes_are_named() -> None:
    small, large = (np.zeros((n, n, 3), dtype=np.uint8) for n in (4, 6))
    data = ImageBytes([encoded(small), encoded(large)], image_names=["a", "b"])
    with pytest.raises(ShapeError, match=r"`b` must be \(3, 4, 4\).*got \(3, 6, 6\).*size="):
        list(make_loader(data, range(2), 2, num_workers=1))


def test_without_workers_or_with_a_collate_it_is_a_plain_loader() -> None:
    data = images(4)
    assert not isinstance(make_loader(data, range(4), 2), ImageLoader)
    mine = make_loader(data, range(4), 2, num_workers=1, collate=len)
    assert list(mine) == [2, 2]
