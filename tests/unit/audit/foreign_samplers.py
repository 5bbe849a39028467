"""Samplers as people write them, each with a fault to find."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import BatchSampler, DistributedSampler, Sampler, WeightedRandomSampler


class Own(Sampler[int]):
    """Shuffles by a seed and the epoch; faults are switched on one by one."""

    def __init__(self, n: int, *, length: int | None = None, seed: int = 0) -> None:
        self.n, self.length, self.seed, self.epoch = n, length, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def order(self) -> list[int]:
        return np.random.default_rng([self.seed, self.epoch]).permutation(self.n).tolist()

    def __len__(self) -> int:
        return self.n if self.length is None else self.length

    def __iter__(self) -> Iterator[Any]:
        return iter(self.order())


class Endless(Own):
    def __iter__(self) -> Iterator[int]:
        while True:
            yield from self.order()


class Lost(Own):
    def __iter__(self) -> Iterator[Any]:
        return iter([*self.order()[:-3], -1, self.n + 5, "seven"])


class Frozen(Own):
    def set_epoch(self, epoch: int) -> None:
        self.epoch = 0 * epoch


class Careless(Own):
    def order(self) -> list[int]:
        np.random.seed(np.random.randint(1000))  # noqa: NPY002
        return np.random.permutation(self.n).tolist()  # noqa: NPY002


class Entropy(Own):
    def order(self) -> list[int]:
        return np.random.default_rng().permutation(self.n).tolist()


class Uneven(Own, DistributedSampler):  # type: ignore[misc]
    """Gives rank 0 one row more."""

    def __iter__(self) -> Iterator[int]:
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        return iter(self.order()[rank:])


class HalfAware(Own):
    """Shards by rank, but trainers cannot see it."""

    def __iter__(self) -> Iterator[int]:
        there = torch.distributed.is_initialized()
        return iter(self.order()[torch.distributed.get_rank() :: 2] if there else self.order())

    def __len__(self) -> int:
        return self.n // 2 if torch.distributed.is_initialized() else self.n


class Asking(Own):
    """Talks to the other processes."""

    def __iter__(self) -> Iterator[int]:
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        return iter(self.order())


def product_sampler(labels: np.ndarray) -> WeightedRandomSampler:
    counts = np.maximum(labels.sum(axis=0), 1)
    weights = np.where(labels == 1, counts.max() / counts, 1.0).prod(axis=1)
    return WeightedRandomSampler(weights, len(labels))


def torch_only(targets: torch.Tensor, power: float = 1.0) -> WeightedRandomSampler:
    counts = torch.bincount(targets)
    return WeightedRandomSampler(counts[targets].double() ** -power, len(targets))


def without_class(y: np.ndarray, lost: int) -> WeightedRandomSampler:
    return WeightedRandomSampler((y != lost).astype(float), len(y))


def sum_sampler(labels: np.ndarray) -> WeightedRandomSampler:
    return WeightedRandomSampler((labels / labels.sum(axis=0)).sum(axis=1), len(labels))


def batches(labels: np.ndarray, batch_size: int = 10) -> BatchSampler:
    return BatchSampler(Own(len(labels)), batch_size, drop_last=False)


def takes_two(first: Any, second: Any) -> list[int]:
    return list(range(len(first)))


ready = Own(60)
