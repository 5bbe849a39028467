"""A torch data set of patches: proposals cut out of their images, resized to one size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from equipoise._core.checks import require_least, to_positive
from equipoise._core.messages import one_of, say
from equipoise.errors import DataError, MissingExtraError, UsageError
from equipoise.mining.proposals import IGNORED, Proposals

try:
    import torch
    from torch import Tensor
    from torch.nn.functional import interpolate
    from torch.utils.data import Dataset
except (ImportError, RuntimeError) as error:
    raise MissingExtraError("torch", "torch", "equipoise.mining.PatchDataset") from error

from equipoise.data.decoding import ImageSettings, decode_image

Padding = Literal["zero", "edge", "clip"]
Image = str | Path | bytes | NDArray[Any] | Tensor


class PatchDataset(Dataset[tuple[Tensor, Tensor]]):
    """Patches of images with the class of their box.

    Item i is (patch, target): (C, height, width) float32 in [0, 1] and an int64 class, 0 for the
    background.

    Args:
        proposals: N boxes; take ``without_ignored()``.
        images: K images, one per number in ``proposals.images``: files, bytes, or arrays: uint8 or
            floats in [0, 1], (H, W) or (H, W, C), as tensors (C, H, W).
        size: (height, width) of every patch, or one number for a square. Patches are resized to
            it with antialiasing, whatever their shape.
        padding: What lies outside the image: "zero" is black, "edge" repeats the last pixel,
            "clip" cuts the box at the edge first, which stretches it more.
        margin: Pixels of the surroundings to keep on every side, as a share of the box's side.
        settings: How files and bytes are decoded; its ``size`` must be None, since boxes count
            pixels of the image as it is (upright, where EXIF says so).
        cached_images: Decoded images kept in memory, the last used ones, in each worker process.

    Raises:
        DataError: ignored rows, an image that is not there, a box that lies outside its image, or
            an image that cannot be read.
        UsageError: settings out of range.

    Note:
        Boxes are rounded outwards to whole pixels, to one pixel at least. Patches of one image
        share pixels: split by image (:meth:`Proposals.to_labels` makes images the groups). In
        random order each access may decode an image anew: sort proposals by image, raise
        ``cached_images``, or hand over arrays.

    Example:
        >>> from equipoise.mining import label_proposals
        >>> image = np.zeros((8, 8), dtype=np.uint8)
        >>> image[2:6, 2:6] = 255
        >>> found = label_proposals([[2, 2, 6, 6]], [[2, 2, 6, 6]], [1])
        >>> patch, target = PatchDataset(found, [image], size=2)[0]
        >>> patch.tolist(), target
        ([[[1.0, 1.0], [1.0, 1.0]]], tensor(1))
    """

    def __init__(
        self,
        proposals: Proposals,
        images: Sequence[Image],
        *,
        size: int | tuple[int, int],
        padding: Padding = "edge",
        margin: float = 0.0,
        settings: ImageSettings | None = None,
        cached_images: int = 8,
    ) -> None:
        ignored = int((proposals.labels == IGNORED).sum())
        if ignored:
            do = "Leave them out by without_ignored()."
            raise DataError(
                say("proposals", "have a class or be background", f"{ignored} ignored", do)
            )
        if len(proposals) and int(proposals.images.max()) >= len(images):
            wanted = f"hold image {int(proposals.images.max())}"
            raise DataError(say("images", wanted, f"{len(images)} images, counted from 0"))
        if settings is not None and settings.size is not None:
            do = "Boxes count pixels of the whole image."
            raise UsageError(say("settings", "have size None", settings.size, do))
        require_least("cached_images", cached_images, 1)
        self.size = ImageSettings(size=size).shape
        self.padding: Padding = one_of("padding", padding, ("zero", "edge", "clip"))
        self.margin = to_positive("margin", margin, zero=True)
        self.proposals = proposals
        self.images = images
        self.settings = replace(settings or ImageSettings(), dtype="uint8")
        self.cached_images = cached_images
        self._cache: OrderedDict[int, NDArray[Any]] = OrderedDict()

    def __len__(self) -> int:
        return len(self.proposals)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        index = range(len(self))[index]
        image = self._image(int(self.proposals.images[index]))
        # Copied, since an array from a file may be read-only.
        patch = torch.from_numpy(self._crop(image, index).astype(np.float32, order="C"))
        if image.dtype == np.uint8:
            patch /= 255
        if patch.shape[1:] != self.size:
            patch = interpolate(patch[None], self.size, mode="bilinear", antialias=True)[0]
        return patch, torch.tensor(int(self.proposals.labels[index]))

    def __getstate__(self) -> dict[str, Any]:
        # A worker process starts with an empty cache instead of a copy of decoded images.
        return {**self.__dict__, "_cache": OrderedDict()}

    def _image(self, number: int) -> NDArray[Any]:
        """Return an image, (C, H, W), decoded at most once while it stays in the cache."""
        source = self.images[number]
        if not isinstance(source, (str, Path, bytes)):
            return _from_array(source, number)
        if number not in self._cache:
            name = f"image {number}" if isinstance(source, bytes) else str(source)
            data = source if isinstance(source, bytes) else Path(source)
            self._cache[number] = decode_image(data, name, self.settings).numpy()
            if len(self._cache) > self.cached_images:
                self._cache.popitem(last=False)
        self._cache.move_to_end(number)
        return self._cache[number]

    def _crop(self, image: NDArray[Any], index: int) -> NDArray[Any]:
        """Cut a box out, padded where it reaches over the edge."""
        height, width = image.shape[1:]
        x1, y1, x2, y2 = self.proposals.boxes[index].tolist()
        (left, right), (top, bottom) = _span(x1, x2, 0.0), _span(y1, y2, 0.0)
        if left >= width or right <= 0 or top >= height or bottom <= 0:
            got = f"{[x1, y1, x2, y2]} in row {index}, outside of {height} x {width} pixels"
            raise DataError(say("proposals", "lie in their images", got, "Are images in order?"))
        (left, right), (top, bottom) = _span(x1, x2, self.margin), _span(y1, y2, self.margin)
        part = image[:, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
        down = max(-top, 0), max(bottom - height, 0)
        across = max(-left, 0), max(right - width, 0)
        if self.padding == "clip" or not any((*down, *across)):
            return part
        mode: Literal["constant", "edge"] = "constant" if self.padding == "zero" else "edge"
        return np.pad(part, ((0, 0), down, across), mode=mode)


def _span(low: float, high: float, margin: float) -> tuple[int, int]:
    """Return whole pixels that hold [low, high] and its margin, one at least."""
    more = margin * (high - low)
    start = int(np.floor(low - more))
    return start, max(int(np.ceil(high + more)), start + 1)


def _from_array(source: Any, number: int) -> NDArray[Any]:
    """Return an array (H, W), (H, W, C) or a tensor (C, H, W) as an array (C, H, W)."""
    image = source.numpy() if isinstance(source, Tensor) else np.asarray(source)
    if image.ndim == 2:
        image = image[None]
    elif image.ndim == 3 and not isinstance(source, Tensor):
        image = image.transpose(2, 0, 1)
    if image.ndim != 3 or not (image.dtype == np.uint8 or image.dtype.kind == "f"):
        got = f"shape {image.shape}, {image.dtype}"
        wanted = "be (H, W) or (H, W, C), uint8 or floats in [0, 1]"
        raise DataError(say(f"image {number}", wanted, got))
    return image
