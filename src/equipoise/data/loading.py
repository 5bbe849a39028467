"""Batches from worker processes that write into shared memory used again and again; their seeds."""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, default_collate, get_worker_info

from equipoise.data._rows import to_target_row
from equipoise.data.images import ImageRows


def seed_worker(worker_id: int) -> None:
    """Seed Python's and NumPy's global generators from torch's, for libraries that use them.

    Hand it to a DataLoader as ``worker_init_fn``, with ``generator=torch.Generator()
    .manual_seed(seed)``: each worker and epoch then has its own numbers, the same in each run.

    Args:
        worker_id: Number of the worker; torch's seed depends on it already.

    Note:
        Changes the global state of the process that calls it, which is meant to be a worker.

    Example:
        >>> loader = torch.utils.data.DataLoader(
        ...     [1, 2], worker_init_fn=seed_worker, generator=torch.Generator().manual_seed(0)
        ... )
        >>> len(loader)
        2
    """
    del worker_id
    seed = torch.initial_seed()
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002  # the global state is what is to be seeded


_PREFETCH = 2


class _Slots(Dataset[Any]):
    """Rows of images as batches that stand in shared memory; only their place is sent."""

    def __init__(self, images: ImageRows, rows: Sequence[int], batch_size: int, workers: int):
        self.images, self.rows = images, rows
        self.shape = (workers, _PREFETCH + 1, batch_size)
        self.buffers: Tensor | None = None
        self._turn = 0

    def __len__(self) -> int:
        return len(self.rows)

    def renew(self) -> Tensor:
        """Take new memory, for processes that start now."""
        sample = self.images.read(self.rows[0])
        places = torch.empty(*self.shape, *sample.shape, dtype=sample.dtype)
        self.buffers = places.share_memory_()  # type: ignore[no-untyped-call]
        return self.buffers

    def __getitems__(self, indices: Sequence[int]) -> tuple[int, int, NDArray[Any]]:
        worker = get_worker_info()
        assert worker is not None  # noqa: S101  # ImageLoader always has workers
        assert self.buffers is not None  # noqa: S101  # renewed before they start
        # A worker is at most _PREFETCH batches ahead of the one that is copied out.
        slot = self._turn = (self._turn + 1) % self.shape[1]
        out = self.buffers[worker.id, slot].numpy()
        rows = [self.rows[i] for i in indices]
        for row, place in zip(rows, out, strict=False):
            self.images.read(row, place)
        labels = self.images.labels
        if labels is None:
            return worker.id, slot, np.array(rows)
        targets = default_collate([to_target_row(labels, row) for row in rows])
        return worker.id, slot, targets.numpy()  # an array is sent as bytes, a tensor as a file


class _Recycled:
    """Copies of tensors in memory that is taken again once nobody refers to it.

    Fresh memory of this size costs more than the copy: the system hands it out page by page.
    """

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._free: list[NDArray[Any]] = []

    def copy(self, tensor: Tensor) -> Tensor:
        memory = self._free.pop() if self._free else torch.empty_like(self._like).numpy()
        # By NumPy: torch would wake threads that then spin beside the workers.
        filled = memory[: len(tensor)]
        np.copyto(filled, tensor.numpy())
        # The tensor and every view of it hold ``filled``: once it goes, nobody reads the memory.
        weakref.finalize(filled, self._free.append, memory).atexit = False
        return torch.from_numpy(filled)


def _as_is(batch: Any) -> Any:
    return batch


class ImageLoader(DataLoader[Any]):
    """A DataLoader over images: the same batches, in less time.

    A plain one makes a new file in shared memory for each batch, which at 224 pixels costs a
    quarter of the time of decoding. Here each worker writes into a few places that are used again;
    the batch handed out is a copy, the caller's own.

    Args:
        images: Of one size (see :class:`ImageSettings`).
        rows: Which of them, as positions.
        batch_size: Rows per batch.
        num_workers: Processes, at least 1.
        sampler: Positions in ``rows``; None takes them in turn.
        generator: Seeds of the workers.
        worker_init_fn: Called in each worker.
        pin_memory: Hand out pinned memory, from which a GPU reads while the CPU goes on.

    Yields:
        [(B, C, H, W), targets], as ``DataLoader(Subset(images, rows))`` does.

    Raises:
        ShapeError: images of different sizes, by name.
    """

    def __init__(
        self,
        images: ImageRows,
        rows: Sequence[int],
        batch_size: int,
        num_workers: int,
        *,
        sampler: Any = None,
        generator: torch.Generator | None = None,
        worker_init_fn: Callable[[int], None] | None = None,
        pin_memory: bool = False,
    ) -> None:
        self._slots = _Slots(images, rows, batch_size, num_workers)
        self._pinned = pin_memory
        super().__init__(
            self._slots,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=num_workers,
            collate_fn=_as_is,
            worker_init_fn=worker_init_fn,
            generator=generator,
            prefetch_factor=_PREFETCH,
        )

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        if not len(self._slots):
            return
        buffers = self._slots.renew()
        recycled = _Recycled(buffers[0, 0])
        for worker, slot, targets in super().__iter__():
            filled, y = buffers[worker, slot, : len(targets)], torch.from_numpy(targets)
            if self._pinned:
                yield [torch.empty_like(filled, pin_memory=True).copy_(filled), y.pin_memory()]
            else:
                yield [recycled.copy(filled), y]


def make_loader(
    dataset: Dataset[Any],
    rows: Sequence[int],
    batch_size: int,
    *,
    num_workers: int = 0,
    collate: Callable[[Sequence[Any]], Any] | None = None,
    pin_memory: bool = False,
    **order: Any,
) -> DataLoader[Any]:
    """Return the loader that suits a data set.

    Args:
        dataset: Item i is (input, target).
        rows: Which of them, as positions.
        batch_size: Rows per batch.
        num_workers: Processes that read; 0 reads in this one.
        collate: Makes a batch of items; None stacks tensors.
        pin_memory: Hand out pinned memory.
        order: ``sampler``, ``generator`` and ``worker_init_fn`` as a DataLoader takes them.
    """
    if isinstance(dataset, ImageRows) and num_workers and collate is None:
        return ImageLoader(dataset, rows, batch_size, num_workers, pin_memory=pin_memory, **order)
    return DataLoader(
        Subset(dataset, rows),
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        **order,
    )
