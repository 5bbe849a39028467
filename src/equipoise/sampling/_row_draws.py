"""Rows drawn by rules, without torch: what its samplers and the Keras data sets share."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise._core.words import say
from equipoise.artifacts.correction import Correction
from equipoise.artifacts.labels import Labels
from equipoise.errors import DataError, NoEffectWarning, UsageError
from equipoise.sampling._place import Placed, Sharding, positive_int
from equipoise.sampling.effect import sampler_correction
from equipoise.sampling.weights import _check_weights, class_balanced_weights, to_labels

_BLOCK = 65_536
Rows = NDArray[np.int64]


class RowDraw(Placed):
    """Base of what draws rows; subclasses draw an epoch."""

    def __init__(
        self,
        rows: int,
        num_samples: int | None,
        *,
        seed: int,
        sharding: Sharding,
        num_replicas: int | None,
        rank: int | None,
    ) -> None:
        self._announce(rows, seed)
        draws = positive_int("num_samples", rows if num_samples is None else num_samples)
        self.global_num_samples = draws
        self._settle(draws, sharding, num_replicas, rank)

    def _announce(self, rows: int, seed: int) -> None:  # noqa: ARG002
        """Set seed and epoch; samplers of torch tell their base of the rows as well."""
        self.seed, self.epoch = int(seed), 0

    def _resolve(self) -> tuple[int, int]:
        rank, world = super()._resolve()
        # torch's own names, which some trainers read.
        self.num_samples = -(-self.global_num_samples // world)
        self.total_size = self.num_samples * world
        return rank, world

    def _draw(self, size: int) -> Rows:
        """Return the ``size`` rows of the current seed and epoch."""
        raise NotImplementedError

    def global_rows(self) -> Rows:
        """Return what all ranks together draw in this epoch, (total_size,) int64."""
        self._resolve()
        return np.resize(self._draw(self.global_num_samples), self.total_size)

    def __iter__(self) -> Iterator[int]:
        rank, world, used, size = self._begin()
        drawn = self._draw(self.global_num_samples)
        share = np.resize(drawn[used:], size)[rank::world]
        for start in range(0, share.size, _BLOCK):
            block = share[start : start + _BLOCK].tolist()
            yield from self._count(block, used + start * world)
        self._live = None

    def __len__(self) -> int:
        return self._left()


class WeightedRows(RowDraw):
    """Draw rows in proportion to their weights, with or without replacement.

    Arguments, ranges, errors and calibration as for ``equipoise.sampling.WeightedSampler``, which
    is this draw for torch.

    Example:
        >>> list(WeightedRows([0.0, 1.0, 0.0], num_samples=4))
        [1, 1, 1, 1]
    """

    def __init__(
        self,
        weights: ArrayLike,
        *,
        num_samples: int | None = None,
        seed: int = 0,
        replacement: bool = True,
        sharding: Sharding = "auto",
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        self.weights = _check_weights(weights)
        self.replacement = replacement
        self._usable = int(np.count_nonzero(self.weights))
        if not replacement and num_samples is None:
            num_samples = self._usable
        super().__init__(
            self.weights.size,
            num_samples,
            seed=seed,
            sharding=sharding,
            num_replicas=num_replicas,
            rank=rank,
        )
        if not replacement and self.global_num_samples > self._usable:
            do = "Draw with replacement=True or fewer rows."
            wanted = f"be at most {self._usable}, the rows with a weight above 0"
            raise UsageError(say("num_samples", wanted, self.global_num_samples, do))
        even = np.ptp(self.weights[self.weights > 0]) == 0
        if not replacement and self.global_num_samples == self._usable and not even:
            warnings.warn(
                f"All {self._usable:,} rows with a weight above 0 are drawn, each once: the "
                "weights decide their order alone. Draw with replacement=True, or fewer rows.",
                NoEffectWarning,
                stacklevel=2,
            )

    def correction(self, labels: Labels | ArrayLike) -> Correction:
        """Return the way back to the natural prior for a model trained on these draws.

        Args:
            labels: Of the rows that are drawn from.
        """
        return sampler_correction(
            self.weights,
            labels,
            replacement=self.replacement,
            num_samples=self.global_num_samples,
        )

    def _draw(self, size: int) -> Rows:
        random = self._stream("rows")
        if self.replacement:
            return draw_by_weight(self.weights, size, random)
        luck = random.standard_exponential(self.weights.size)
        with np.errstate(divide="ignore"):
            order = np.argsort(luck / self.weights, kind="stable").astype(np.int64)
        return order[:size]


def draw_by_weight(weights: Floats, size: int, random: np.random.Generator) -> Rows:
    """Return ``size`` rows with replacement, in random order.

    The order statistics of uniform numbers are drawn directly, as sums of exponential gaps, and
    merged with the cumulated weights: sorted look-ups stay in the cache, random ones do not.
    """
    edges = np.cumsum(weights)
    points = random.standard_exponential(size + 1)
    np.cumsum(points, out=points)
    points *= edges[-1] / points[-1]
    rows = np.searchsorted(edges, points[:-1], side="right").astype(np.int64, copy=False)
    np.minimum(rows, np.flatnonzero(weights)[-1], out=rows)
    random.shuffle(rows)
    return rows


class ClassBalancedRows(RowDraw):
    """Draw every class equally often: first a class, then one of its rows.

    Arguments, ranges, errors and calibration as for ``equipoise.sampling.ClassBalancedSampler``,
    which is this draw for torch.

    Example:
        >>> drawn = ClassBalancedRows([0] * 99 + [1], num_samples=1000)
        >>> 400 < sum(row == 99 for row in drawn) < 600
        True
    """

    def __init__(
        self,
        labels: Labels | ArrayLike,
        *,
        num_samples: int | None = None,
        seed: int = 0,
        sharding: Sharding = "auto",
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        given = to_labels(labels)
        if len(given) == 0:
            raise DataError(say("labels", "have at least one row", "none"))
        self.labels = given
        if given.kind == "multilabel":
            self._weights = class_balanced_weights(given)
        else:
            self._by_class = _rows_by_class(given)
        super().__init__(
            len(given),
            num_samples,
            seed=seed,
            sharding=sharding,
            num_replicas=num_replicas,
            rank=rank,
        )

    def correction(self) -> Correction:
        """Return the way back to the natural prior for a model trained on these draws."""
        return sampler_correction(class_balanced_weights(self.labels), self.labels)

    def _draw(self, size: int) -> Rows:
        if self.labels.kind == "multilabel":
            return draw_by_weight(self._weights, size, self._stream("rows"))
        present = np.flatnonzero(self._by_class[1])
        which = present[self._stream("classes").integers(0, present.size, size)]
        return _draw_classes(self._by_class, which, self._stream("rows"))


def _rows_by_class(labels: Labels) -> tuple[Rows, Rows]:
    """Return the rows sorted by class, and the rows per class, (C,)."""
    order = np.argsort(labels.values, kind="stable").astype(np.int64)
    return order, labels.counts.astype(np.int64)


def _draw_classes(by_class: tuple[Rows, Rows], which: Rows, random: np.random.Generator) -> Rows:
    """Return one row, each alike, of every class in ``which``."""
    order, sizes = by_class
    starts = np.cumsum(sizes) - sizes
    size = sizes[which]
    within = (random.random(which.size) * size).astype(np.int64)
    # The product may round up to the size itself.
    np.minimum(within, size - 1, out=within)
    within += starts[which]
    return np.asarray(order[within])
