"""From pixels to images: an image is flagged when enough of its pixels are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.dense import as_rows, dense_truth, rows_per_image, to_dense
from equipoise._core.messages import one_of, say
from equipoise._core.targets import IGNORE_INDEX
from equipoise.artifacts import DecisionRule, Decisions, Labels, Scores
from equipoise.artifacts.labels import to_ids
from equipoise.artifacts.scores import SplitName
from equipoise.errors import DataError, ShapeError

DenseBatch = tuple[Sequence[Any], ArrayLike, ArrayLike | None]
"""Ids of images (N,), dense outputs (N, C, H, W) and targets, (N, H, W) or (N, L, H, W)."""

Measure = Literal["share", "count", "peak"]


@dataclass(frozen=True, slots=True, eq=False)
class PixelRows:
    """The pixels of one image, or of a tile of it, as rows.

    Args:
        image: Its id.
        values: (M, C) outputs.
        truth: (M,) classes, or (M, L) labels with -1 where unknown; None for new data.
        known: (M,) which rows are known; all where there is no truth.
    """

    image: str
    values: NDArray[Any]
    truth: NDArray[Any] | None
    known: NDArray[np.bool_]


def read_images(
    rule: DecisionRule, batches: Iterable[DenseBatch], class_dim: int, ignore_index: int
) -> Iterator[PixelRows]:
    """Yield images one at a time, so that memory holds one batch of outputs.

    Raises:
        DataError: a batch is not (ids, outputs, targets).
        ShapeError: outputs, ids and targets do not fit one another or the rule.
    """
    for batch in batches:
        if not isinstance(batch, (tuple, list)) or len(batch) != 3:
            do = "Yield image ids (N,), outputs (N, C, H, W) and targets (N, H, W), or None."
            raise DataError(
                say("batches", "hold (ids, outputs, targets)", type(batch).__name__, do)
            )
        ids, outputs, target = batch
        dense = to_dense("outputs", outputs, class_dim)
        if dense.shape[class_dim] != len(rule.names):
            wanted = f"have {len(rule.names)} classes or labels on axis {class_dim}"
            do = "Give outputs of the model that the rule was tuned for."
            raise ShapeError(say("outputs", wanted, dense.shape, do))
        names = to_ids("ids", np.asarray(ids), dense.shape[0], unique=False)
        size = rows_per_image(dense.shape, class_dim)
        truth = known = None
        if target is not None:
            truth, known = dense_truth(target, dense, class_dim, rule.kind, ignore_index)
        for i, name in enumerate([] if names is None else names.tolist()):
            part = slice(i * size, (i + 1) * size)
            yield PixelRows(
                name,
                as_rows(dense[i : i + 1], class_dim),
                None if truth is None else truth[part],
                np.ones(size, dtype=np.bool_) if known is None else known[part],
            )


def decide_pixels(rule: DecisionRule, values: NDArray[Any], split: SplitName) -> Decisions:
    """Return what a rule says about rows of outputs, (M, C)."""
    given: dict[str, Any] = {rule.tuned_on.get("score_kind", "logits"): values}
    return rule.apply(
        Scores.from_arrays(
            None, split=split, kind=rule.kind, names=rule.names, check_kind=False, **given
        )
    )


def image_scores(
    rule: DecisionRule,
    batches: Iterable[DenseBatch],
    *,
    split: SplitName,
    measure: Measure = "share",
    class_dim: int = 1,
    ignore_index: int = IGNORE_INDEX,
    labels: Labels | None = None,
) -> Scores:
    """Return one score per image and class or label: how much of the image the rule decides so.

    Use to flag whole images: ``tune`` finds on validation images how many pixels, or what share of
    them, are enough. Prefer the model's own image-level head where it has one.

    Args:
        rule: Decides pixels, from scores of :meth:`Scores.from_dense`.
        batches: Yields (ids (N,), outputs (N, C, H, W), targets (N, H, W) or (N, L, H, W)), such
            as a loop over a loader; read once, one batch at a time. Tiles of an image share an id.
        split: Of these images.
        measure: "share" of the pixels that are decided so, "count" of them, or "peak", the highest
            probability of a pixel, which no threshold of pixels limits.
        class_dim: Axis of the classes or labels.
        ignore_index: Class index of pixels that are left out.
        labels: (N,) multi-label truth of the images with their ids, in any order; None takes a
            class or label to be in an image where one known pixel has it, and -1 where no pixel
            is known. Targets that are None then give scores without labels.

    Returns:
        Scores of kind "ranking", (images, C), multi-label, with the ids of the images.

    Raises:
        DataError: no images, or an image without a row in ``labels``.
        ShapeError: outputs and targets do not fit one another or the rule.

    Example:
        >>> import equipoise as eq
        >>> y = np.zeros((8, 4, 4), dtype=int)
        >>> y[::2, :2] = 1
        >>> z = np.moveaxis(np.eye(2)[y], -1, 1) * 4.0 - 2.0
        >>> ids = [f"i{k}" for k in range(8)]
        >>> pixels = Scores.from_dense(y, logits=z, split="val", kind="multiclass", image_ids=ids)
        >>> found = image_scores(eq.tune(pixels), [(ids, z, y)], split="val")
        >>> found.values[:2].tolist(), found.labels.values[:2].tolist()
        ([[0.5, 0.5], [1.0, 0.0]], [[1, 1], [1, 0]])
    """
    one_of("measure", measure, ("share", "count", "peak"))
    width = len(rule.names)
    found: dict[str, _Image] = {}
    for image in read_images(rule, batches, class_dim, ignore_index):
        held = found.setdefault(image.image, _Image(np.zeros(width), np.zeros(width), 0, None))
        found[image.image] = held.plus(image, decide_pixels(rule, image.values, split), width)
    if not found:
        raise DataError(say("batches", "hold at least one image", "none"))
    ids = np.array(list(found))
    amounts = np.stack([held.amount(measure) for held in found.values()])
    truth = _truth_of(labels, ids)
    if labels is None and all(held.present is not None for held in found.values()):
        present = np.stack([np.asarray(held.present) for held in found.values()])
        truth = Labels.from_array(present, kind="multilabel", names=rule.names, ids=ids)
    return Scores.from_arrays(
        truth, ranking=amounts, split=split, ids=ids, kind="multilabel", names=rule.names
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Image:
    """What was seen of one image: pixels decided so, the highest probabilities, what is there."""

    flagged: NDArray[np.float64]
    peak: NDArray[np.float64]
    size: int
    present: NDArray[np.int8] | None

    def plus(self, image: PixelRows, made: Decisions, width: int) -> _Image:
        kept = image.known
        decided = made.predictions[kept]
        if decided.ndim == 1:
            flagged = np.bincount(decided, minlength=width).astype(np.float64)
        else:
            flagged = decided.sum(axis=0, dtype=np.float64)
        top = made.probabilities[kept].max(axis=0) if kept.any() else np.zeros(width)
        present = None if image.truth is None else _present(image, width)
        if present is not None and self.present is not None:
            present = np.maximum(present, self.present)
        return _Image(
            self.flagged + flagged,
            np.maximum(self.peak, top),
            self.size + int(kept.sum()),
            present,
        )

    def amount(self, measure: Measure) -> NDArray[np.float64]:
        if measure == "peak":
            return self.peak
        return self.flagged if measure == "count" else self.flagged / max(self.size, 1)


def _present(image: PixelRows, width: int) -> NDArray[np.int8]:
    """Return 1 for what a pixel has, 0 for what none has, -1 where nothing is known."""
    truth = np.asarray(image.truth)
    if truth.ndim == 2:
        return np.asarray(truth.max(axis=0), dtype=np.int8)
    kept = truth[image.known]
    if kept.size == 0:
        return np.full(width, -1, dtype=np.int8)
    return np.asarray(np.bincount(kept, minlength=width) > 0, dtype=np.int8)


def _truth_of(labels: Labels | None, ids: NDArray[Any]) -> Labels | None:
    if labels is None:
        return None
    if labels.ids is None:
        do = "Make them with Labels.from_array(..., ids=image_ids)."
        raise DataError(say("labels", "have the ids of the images", "none", do))
    place = {name: i for i, name in enumerate(labels.ids.tolist())}
    missing = [name for name in ids.tolist() if name not in place]
    if missing:
        do = "Give one row per image."
        raise DataError(say("labels", "have a row for every image", f"none for {missing[0]}", do))
    return labels[np.array([place[name] for name in ids.tolist()])]
