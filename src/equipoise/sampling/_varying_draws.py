"""Rows drawn by more than weights, without torch: repeat factors, balance by epochs, lists."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_array
from equipoise._core.words import say
from equipoise.artifacts.correction import Correction
from equipoise.artifacts.labels import Labels
from equipoise.errors import DataError, UsageError
from equipoise.sampling._place import Sharding, positive_int
from equipoise.sampling._row_draws import RowDraw, Rows, draw_by_weight
from equipoise.sampling.effect import sampler_correction
from equipoise.sampling.repeat import repeat_factor_rows, repeat_factors
from equipoise.sampling.weights import class_balanced_weights, to_labels


class RepeatFactorRows(RowDraw):
    """Repeat rows of rare classes and labels, and keep every row.

    Arguments, ranges, errors and calibration as for ``equipoise.sampling.RepeatFactorSampler``,
    which is this draw for torch.

    Example:
        >>> sorted(RepeatFactorRows([[1], [0], [0], [0]], threshold=1.0))
        [0, 0, 1, 2, 3]
    """

    def __init__(
        self,
        labels: Labels | ArrayLike,
        *,
        threshold: float,
        empty_weight: float = 1.0,
        num_samples: int | None = None,
        seed: int = 0,
        sharding: Sharding = "auto",
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        self.labels = to_labels(labels)
        self.factors = repeat_factors(self.labels, threshold=threshold, empty_weight=empty_weight)
        length = round(float(self.factors.sum()))
        if length == 0:
            do = "Give rows without labels an `empty_weight` above 0."
            raise DataError(say("labels", "leave a row to draw", "none", do))
        super().__init__(
            len(self.labels),
            length if num_samples is None else num_samples,
            seed=seed,
            sharding=sharding,
            num_replicas=num_replicas,
            rank=rank,
        )

    def correction(self) -> Correction:
        """Return the way back to the natural prior for a model trained on these draws."""
        return sampler_correction(self.factors, self.labels)

    def _draw(self, size: int) -> Rows:
        rows = repeat_factor_rows(self.factors, seed=self.seed, epoch=self.epoch)
        self._stream("order").shuffle(rows)
        return np.resize(rows, size)


class ProgressiveRows(RowDraw):
    """Go from every row alike to every class alike over the epochs.

    Arguments, ranges, errors and calibration as for ``equipoise.sampling.ProgressiveSampler``,
    which is this draw for torch.

    Example:
        >>> drawn = ProgressiveRows([0, 0, 0, 1], num_epochs=2)
        >>> drawn.set_epoch(2)
        >>> drawn.weights().round(3).tolist()
        [0.667, 0.667, 0.667, 2.0]
    """

    def __init__(
        self,
        labels: Labels | ArrayLike,
        *,
        num_epochs: int | None,
        num_samples: int | None = None,
        seed: int = 0,
        sharding: Sharding = "auto",
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        self.labels = to_labels(labels)
        self.num_epochs = None if num_epochs is None else positive_int("num_epochs", num_epochs)
        self._balanced = class_balanced_weights(self.labels)
        super().__init__(
            len(self.labels),
            num_samples,
            seed=seed,
            sharding=sharding,
            num_replicas=num_replicas,
            rank=rank,
        )

    def weights(self) -> Floats:
        """Return the row weights of this epoch, (N,) with mean 1."""
        if self.num_epochs is None:
            raise UsageError(say("num_epochs", "be known before rows are drawn", None))
        share = min(self.epoch / self.num_epochs, 1.0)
        return np.asarray((1.0 - share) + share * self._balanced)

    def set_num_epochs(self, num_epochs: int) -> None:
        """Say how long training is, where ``num_epochs`` was None: the last epoch is balanced."""
        if self.num_epochs is None:
            self.num_epochs = max(positive_int("num_epochs", num_epochs) - 1, 1)

    def correction(self) -> Correction:
        """Return the way back from balanced draws, marked approximate."""
        return replace(sampler_correction(self._balanced, self.labels), exactness="approximate")

    def _draw(self, size: int) -> Rows:
        return draw_by_weight(self.weights(), size, self._stream("rows"))


class ListedRows(RowDraw):
    """Draw the rows of a list, each as often as it stands there, in a new order per epoch.

    Use with the rows of :mod:`equipoise.sampling.resample`. Arguments, ranges and errors as for
    ``equipoise.sampling.ListedRowsSampler``, which is this draw for torch.

    Example:
        >>> sorted(ListedRows([0, 1, 2, 2]))
        [0, 1, 2, 2]
    """

    def __init__(
        self,
        rows: ArrayLike,
        *,
        num_samples: int | None = None,
        seed: int = 0,
        sharding: Sharding = "auto",
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        self.rows = _positions(rows)
        super().__init__(
            int(self.rows.max()) + 1,
            self.rows.size if num_samples is None else num_samples,
            seed=seed,
            sharding=sharding,
            num_replicas=num_replicas,
            rank=rank,
        )

    def _draw(self, size: int) -> Rows:
        random = self._stream("rows")
        rounds = -(-size // self.rows.size)
        return np.concatenate([random.permutation(self.rows) for _ in range(rounds)])[:size]


def _positions(rows: ArrayLike) -> Rows:
    array = to_array("rows", rows, ndim=1)
    if array.size == 0:
        raise DataError(say("rows", "list at least one row", "none"))
    if array.dtype.kind not in "iu" or array.min() < 0:
        got = f"dtype {array.dtype}" if array.dtype.kind not in "iu" else array.min()
        do = "Turn a mask into positions with np.flatnonzero(mask)."
        raise DataError(say("rows", "hold positions, integers >= 0", got, do))
    return array.astype(np.int64)
