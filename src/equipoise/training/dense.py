"""Dense targets in training: some pixels of every image stand for it when epochs are judged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from equipoise._core.arrays import Floats
from equipoise._core.dense import as_rows, dense_truth, drawn_rows, rows_per_image
from equipoise._core.messages import say
from equipoise._core.targets import IGNORE_INDEX
from equipoise.artifacts import Labels
from equipoise.artifacts.labels import Kind
from equipoise.errors import DataError, ShapeError, UsageError
from equipoise.training.remedy import Remedy

PER_IMAGE = 4096
"""Pixels of each image that are kept, drawn evenly: shares of classes stay what they are."""


@dataclass(frozen=True)
class Layout:
    """How the outputs and targets of a dense remedy lie.

    Args:
        kind: Of its loss.
        class_dim: Axis of classes or labels.
        ignore_index: Class index of pixels that are left out.
        names: One per class or label.
    """

    kind: Kind
    class_dim: int
    ignore_index: int
    names: tuple[str, ...]

    @classmethod
    def of(cls, remedy: Remedy, names: tuple[str, ...]) -> Layout | None:
        """Return the layout of a remedy whose loss has a ``class_dim``; None of rows."""
        loss = remedy.loss
        class_dim = getattr(loss, "class_dim", -1)
        if class_dim == -1:
            return None
        index = int(getattr(loss, "ignore_index", IGNORE_INDEX))
        return cls(remedy.correction.kind, class_dim, index, names)

    def require_width(self, outputs: Tensor) -> None:
        """Raise unless outputs have one entry per class or label where they should.

        Raises:
            ShapeError: they have not.
        """
        shape = tuple(outputs.shape)
        if len(shape) <= self.class_dim or shape[self.class_dim] != len(self.names):
            each = "class" if self.kind == "multiclass" else "label"
            expected = f"return one output per {each} = {len(self.names)} on axis {self.class_dim}"
            raise ShapeError(say("model", expected, shape, "Check class_dim and its last layer."))


@dataclass
class PixelSample:
    """Outputs and truth of drawn pixels, image by image.

    Args:
        layout: Of the outputs.
        images: Ids of the images, in the order in which they come.
        seed: Of the draw; the same images and seed draw the same pixels.
    """

    layout: Layout
    images: NDArray[np.str_]
    seed: int
    outputs: list[Floats] = field(default_factory=list)
    truth: list[NDArray[np.generic]] = field(default_factory=list)
    owner: list[NDArray[np.int64]] = field(default_factory=list)
    seen: int = 0

    def add(self, outputs: Tensor, target: Tensor) -> None:
        """Keep some pixels of a batch of images."""
        at = self.layout.class_dim
        images, size = outputs.shape[0], rows_per_image(tuple(outputs.shape), at)
        dense = outputs.detach().float().cpu().numpy()
        truth, known = dense_truth(
            target.detach().cpu().numpy(), dense, at, self.layout.kind, self.layout.ignore_index
        )
        drawn = np.arange(images * size)
        if size > PER_IMAGE:
            drawn = drawn_rows(images, size, PER_IMAGE, self.seed + self.seen)
        kept = drawn[known[drawn]]
        self.outputs.append(as_rows(dense, at)[kept].astype(np.float64))
        self.truth.append(truth[kept])
        self.owner.append(self.seen + kept // size)
        self.seen += images

    def take(self) -> tuple[Floats, Labels]:
        """Return outputs (M, C) and labels with images as groups.

        Raises:
            DataError: no pixel is known.
        """
        outputs = np.concatenate(self.outputs)
        if outputs.shape[0] == 0:
            do = "Check ignore_index, and that the masks belong to these images."
            raise DataError(say("target", "have a known pixel", "none", do))
        layout = self.layout
        labels = Labels(
            np.concatenate(self.truth),
            layout.kind,
            layout.names,
            groups=self.images[np.concatenate(self.owner)],
        )
        return outputs, labels


def require_one_process(world: int, layout: Layout | None) -> None:
    """Raise where dense outputs would have to be gathered over ranks."""
    if layout is not None and world > 1:
        do = "Train on one device, or in a loop of your own with the remedy's loss."
        raise UsageError(say("options.devices", "be 1 for dense targets", world, do))
