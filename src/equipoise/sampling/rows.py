"""Samplers that draw rows: the same sequence on every rank, sliced by rank.

Both are `DistributedSampler`s, so trainers leave them in place, and both work in one process.
They never touch the global random state, and they draw by inverse CDF in float64, so millions of
rows are no limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import DistributedSampler

from equipoise._core.checks import say
from equipoise._core.rng import generator
from equipoise.artifacts.correction import Correction
from equipoise.artifacts.labels import Labels
from equipoise.errors import DataError, UsageError
from equipoise.sampling.effect import sampler_correction
from equipoise.sampling.weights import _check_weights, class_balanced_weights, to_labels

__all__ = ["ClassBalancedSampler", "WeightedSampler"]

_BLOCK = 65_536
Rows = NDArray[np.int64]


def _positive_int(name: str, value: int) -> int:
    if int(value) != value or value < 1:
        raise UsageError(say(name, "be a whole number >= 1", value))
    return int(value)


class _RowSampler(DistributedSampler[int]):
    """Rank and world size at iteration time, epochs, state; subclasses draw."""

    def __init__(
        self,
        rows: int,
        num_samples: int | None,
        seed: int,
        num_replicas: int | None,
        rank: int | None,
    ) -> None:
        super().__init__(range(rows), num_replicas=1, rank=0, shuffle=True, seed=seed)  # type: ignore[arg-type]
        if (num_replicas is None) != (rank is None):
            raise UsageError("`num_replicas` and `rank` must be given together, or neither.")
        self._place: tuple[int, int] | None = None
        if num_replicas is not None and rank is not None:
            world = _positive_int("num_replicas", num_replicas)
            if not 0 <= rank < world:
                raise UsageError(say("rank", f"lie in 0 to {world - 1}", rank))
            self._place = (rank, world)
        draws = rows if num_samples is None else num_samples
        self.global_num_samples = _positive_int("num_samples", draws)
        self._resolve()

    def _resolve(self) -> tuple[int, int]:
        """Find rank and world size now, and keep torch's attributes in step."""
        rank, world = 0, 1
        if self._place is not None:
            rank, world = self._place
        elif torch.distributed.is_available() and torch.distributed.is_initialized():
            rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
        self.rank, self.num_replicas = rank, world
        self.num_samples = -(-self.global_num_samples // world)
        self.total_size = self.num_samples * world
        return rank, world

    def _draw(self, size: int) -> Rows:
        """Return ``size`` rows for the current seed and epoch; a longer draw starts alike."""
        raise NotImplementedError

    def global_rows(self) -> Rows:
        """Return what all ranks together draw in this epoch, (total_size,) int64."""
        self._resolve()
        return self._draw(self.total_size)

    def __iter__(self) -> Iterator[int]:
        rank, world = self._resolve()
        return _ints(self._draw(self.total_size)[rank::world])

    def __len__(self) -> int:
        self._resolve()
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; each has its own draw, and without this call all are alike."""
        self.epoch = int(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return seed and epoch, all that a draw depends on."""
        return {"seed": self.seed, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned."""
        self.seed, self.epoch = int(state["seed"]), int(state["epoch"])

    def _stream(self, name: str) -> np.random.Generator:
        return generator(self.seed, "sampling", name, self.epoch)


def _ints(rows: Rows) -> Iterator[int]:
    for start in range(0, rows.size, _BLOCK):
        yield from rows[start : start + _BLOCK].tolist()


class _InverseCdf:
    """Draw rows in proportion to weights; rows of weight zero never come."""

    def __init__(self, weights: NDArray[np.float64]) -> None:
        self.edges = np.cumsum(weights)
        self.last = int(np.flatnonzero(weights)[-1])

    def __call__(self, uniform: NDArray[np.float64]) -> Rows:
        rows = np.searchsorted(self.edges, uniform * self.edges[-1], side="right")
        return np.asarray(np.minimum(rows, self.last), dtype=np.int64)


class WeightedSampler(_RowSampler):
    """Draw rows in proportion to their weights.

    Use with weights of your own or from :mod:`equipoise.sampling.weights`. Prefer
    :class:`ClassBalancedSampler` for equal classes.

    Args:
        weights: One per row, (N,), finite and >= 0.
        num_samples: Draws per epoch over all ranks; None draws N.
        seed: The same on every rank.
        replacement: False draws each row at most once per epoch, by decreasing luck times weight
            (Efraimidis and Spirakis, 2006); ``num_samples`` may then not exceed the rows with a
            weight above 0.
        num_replicas: World size; None asks torch.distributed when iteration starts. Give 1, with
            ``rank`` 0, where something else shards the data.
        rank: This process; given together with ``num_replicas``.

    Raises:
        DataError: weights that are negative, not finite or all zero.
        UsageError: ``num_samples``, ``rank`` or ``num_replicas`` out of range.

    Note:
        Each rank yields ceil(num_samples / ranks) rows of one global sequence. Call
        ``set_epoch``, as with any `DistributedSampler`; without it all epochs repeat one draw. A
        model trained so needs :func:`equipoise.sampling.sampler_correction`.

    Example:
        >>> sampler = WeightedSampler([0.0, 1.0, 0.0], num_samples=4)
        >>> list(sampler)
        [1, 1, 1, 1]
    """

    def __init__(
        self,
        weights: ArrayLike,
        *,
        num_samples: int | None = None,
        seed: int = 0,
        replacement: bool = True,
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        self.weights = _check_weights(weights)
        self.replacement = replacement
        self._cdf = _InverseCdf(self.weights)
        self._usable = int(np.count_nonzero(self.weights))
        if not replacement and num_samples is None:
            num_samples = self._usable
        super().__init__(self.weights.size, num_samples, seed, num_replicas, rank)
        if not replacement and self.global_num_samples > self._usable:
            do = "Draw with replacement=True or fewer rows."
            wanted = f"be at most {self._usable}, the rows with a weight above 0"
            raise UsageError(say("num_samples", wanted, self.global_num_samples, do))

    def _draw(self, size: int) -> Rows:
        if self.replacement:
            return self._cdf(self._stream("rows").random(size))
        luck = self._stream("rows").standard_exponential(self.weights.size)
        with np.errstate(divide="ignore"):
            order = np.argsort(luck / self.weights, kind="stable").astype(np.int64)
        # Ranks of equal length may need a few rows more than asked for: go round again.
        return np.resize(order[: self.global_num_samples], size)


class ClassBalancedSampler(_RowSampler):
    """Draw every class equally often: first a class, then one of its rows.

    Use when rare classes are hardly seen in an epoch. Prefer a loss that adjusts for the prior
    when balanced accuracy is the aim: it keeps every row in play.

    Args:
        labels: `Labels`, or class indices (N,), or multi-hot (N, L) with -1 unknown. For
            multi-hot labels rows are drawn in proportion to ``class_balanced_weights`` with the
            "max" rule (a row counts as its rarest label); that narrows rates, it does not
            equalise them.
        num_samples: Draws per epoch over all ranks; None draws N, so epochs stay comparable.
        seed: The same on every rank.
        num_replicas: World size; None asks torch.distributed when iteration starts.
        rank: This process; given together with ``num_replicas``.

    Raises:
        UsageError: ``num_samples``, ``rank`` or ``num_replicas`` out of range.

    Note:
        Drawn with replacement: at a high imbalance an epoch sees less than half of the distinct
        rows. Classes without rows are left out. Call ``set_epoch``; see :class:`WeightedSampler`.

    Example:
        >>> sampler = ClassBalancedSampler([0] * 99 + [1], num_samples=1000)
        >>> 400 < sum(row == 99 for row in sampler) < 600
        True
    """

    def __init__(
        self,
        labels: Labels | ArrayLike,
        *,
        num_samples: int | None = None,
        seed: int = 0,
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        given = to_labels(labels)
        if len(given) == 0:
            raise DataError(say("labels", "have at least one row", "none"))
        self.labels = given
        self._cdf: _InverseCdf | None = None
        if given.kind == "multilabel":
            self._cdf = _InverseCdf(class_balanced_weights(given))
        else:
            self._order = np.argsort(given.values, kind="stable").astype(np.int64)
            self._sizes = given.counts[given.counts > 0]
            self._starts = np.cumsum(self._sizes) - self._sizes
        super().__init__(len(given), num_samples, seed, num_replicas, rank)

    def correction(self) -> Correction:
        """Return the way back to the natural prior for a model trained on these draws."""
        return sampler_correction(class_balanced_weights(self.labels), self.labels)

    def _draw(self, size: int) -> Rows:
        if self._cdf is not None:
            return self._cdf(self._stream("rows").random(size))
        which = self._stream("classes").integers(0, self._sizes.size, size)
        share = self._stream("rows").random(size)
        within = np.minimum((share * self._sizes[which]).astype(np.int64), self._sizes[which] - 1)
        return np.asarray(self._order[self._starts[which] + within])
