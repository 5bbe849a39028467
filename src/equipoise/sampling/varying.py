"""Row samplers that are more than weights: repeat factors, balance by epochs, lists of rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from equipoise._core.checks import say, to_array
from equipoise.artifacts.correction import Correction
from equipoise.artifacts.labels import Labels
from equipoise.errors import DataError, UsageError
from equipoise.sampling._place import Sharding, positive_int
from equipoise.sampling.effect import sampler_correction
from equipoise.sampling.repeat import repeat_factor_rows, repeat_factors
from equipoise.sampling.rows import Floats, Rows, RowSampler, draw_by_weight
from equipoise.sampling.weights import class_balanced_weights, to_labels

__all__ = ["ListedRowsSampler", "ProgressiveSampler", "RepeatFactorSampler"]


class RepeatFactorSampler(RowSampler):
    """Repeat rows of rare classes and labels, and keep every row (LVIS, Gupta et al., 2019).

    Use for several labels a row when rare ones shall come more often and nothing may be lost.
    Prefer :class:`WeightedSampler` with :func:`equipoise.sampling.rake` when given rates are to
    be reached.

    Args:
        labels: `Labels`, or class indices (N,), or multi-hot (N, L) with -1 unknown.
        threshold: Classes and labels below this share are repeated; see
            :func:`equipoise.sampling.repeat_factors`.
        empty_weight: Factor of rows without any label.
        num_samples: Draws per epoch over all ranks; None is the sum of the factors, rounded, so
            that every epoch has the same length. More begins anew, fewer leaves some out.
        seed: The same on every rank.
        sharding: As for :class:`WeightedSampler`.
        num_replicas: World size; None asks torch.distributed when iteration starts.
        rank: This process; given together with ``num_replicas``.

    Raises:
        UsageError: a setting out of range.
        DataError: no row is left to draw.

    Note:
        A factor of 1.3 means once in every epoch and a second time in 30 % of them. An epoch is
        longer than N by the mean factor. Call ``set_epoch``; see :class:`WeightedSampler`.

    Example:
        >>> sampler = RepeatFactorSampler([[1], [0], [0], [0]], threshold=1.0)
        >>> sorted(sampler)
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


class ProgressiveSampler(RowSampler):
    """Go from every row alike to every class alike over the epochs (Kang et al., 2020).

    Use when balanced draws from the start spoil the features. Prefer two stages when training may
    be split: balance then touches the last layer alone.

    Args:
        labels: `Labels`, or class indices (N,), or multi-hot (N, L) with -1 unknown; rows are
            drawn by :func:`equipoise.sampling.progressive_weights`.
        num_epochs: T, >= 1. Epoch 0 is untreated; epoch T and later ones are balanced. None
            waits for :meth:`set_num_epochs`, which `fit` calls with the epochs of the training.
        num_samples: Draws per epoch over all ranks; None draws N.
        seed: The same on every rank.
        sharding: As for :class:`WeightedSampler`.
        num_replicas: World size; None asks torch.distributed when iteration starts.
        rank: This process; given together with ``num_replicas``.

    Raises:
        UsageError: a setting out of range.

    Note:
        The prior moves while training goes on. :meth:`correction` undoes balanced draws and says
        that it is approximate. Call ``set_epoch``: without it, every epoch is the first.

    Example:
        >>> sampler = ProgressiveSampler([0] * 90 + [1] * 10, num_epochs=2, num_samples=1000)
        >>> for epoch in (0, 1, 2):
        ...     sampler.set_epoch(epoch)
        ...     print(round(sum(row >= 90 for row in sampler), -2))
        100
        300
        500
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


class ListedRowsSampler(RowSampler):
    """Draw the rows of a list, each as often as it stands there, in a new order per epoch.

    Use for the rows of :mod:`equipoise.sampling.resample` where no copy is augmented in its own
    way. Prefer a sampler that draws anew in each epoch: a list that leaves rows out never shows
    them.

    Args:
        rows: Positions, (M,) integers >= 0; a row may stand several times.
        num_samples: Draws per epoch over all ranks; None draws M. Fewer leaves some out by chance,
            more goes through the list again in another order.
        seed: The same on every rank.
        sharding: As for :class:`WeightedSampler`.
        num_replicas: World size; None asks torch.distributed when iteration starts.
        rank: This process; given together with ``num_replicas``.

    Raises:
        DataError: no rows, or entries that are no positions.
        UsageError: a setting out of range.

    Note:
        The way back is ``sampler_correction(np.bincount(rows, minlength=len(labels)), labels)``.
        Call ``set_epoch``; see :class:`WeightedSampler`.

    Example:
        >>> sampler = ListedRowsSampler([0, 1, 2, 2])
        >>> sorted(sampler)
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
