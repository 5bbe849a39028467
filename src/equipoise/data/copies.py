"""A torch data set of resampled rows, in which every copy is augmented in its own way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from equipoise._core.messages import say
from equipoise._core.rng import child_seed
from equipoise.artifacts import UNKNOWN, Resampled
from equipoise.errors import DataError, MissingExtraError, UsageError

try:
    import torch
    from torch import Tensor
    from torch.utils.data import Dataset
except (ImportError, RuntimeError) as error:
    raise MissingExtraError("torch", "torch", "equipoise.data") from error


class CopiesDataset(Dataset[tuple[Any, Tensor]]):
    """Rows of a data set as a resampler chose them; copies differ by augmentation.

    Use after :func:`equipoise.sampling.random_oversample` and the like, so that a row that comes
    twenty times is seen in twenty ways. Prefer ``Subset(dataset, resampled.rows)`` without
    augmentation.

    Args:
        dataset: Of the *whole* data; item i is (x, target).
        resampled: What a resampler returned. Its synthetic rows come last, as float tensors.
        augment: ``augment(x, seed) -> x``. The seed is a function of (seed, epoch, row, copy) and
            of nothing else, so neither workers nor order change what comes out. Put it in a
            ``torch.Generator().manual_seed(seed)``.
        augment_originals: Whether copy 0 is augmented too; by default it is left as it is.
        seed: Same seed, same augmentations.

    Raises:
        UsageError: anything but `Resampled`.
        DataError: rows beyond the end of ``dataset``.

    Note:
        Call ``set_epoch`` before each epoch, or all epochs augment alike; workers that live on
        between epochs see it too.

    Example:
        >>> from equipoise import Labels, Split
        >>> from equipoise.data import ArrayDataset
        >>> from equipoise.sampling.resample import TrainingRows, random_oversample
        >>> labels = Labels.from_array([0, 0, 1], kind="multiclass")
        >>> split = Split.from_parts([0, 1, 2], [], [], n_rows=3, seed=0, method="all")
        >>> after = random_oversample(TrainingRows.of(labels, split))
        >>> whole = ArrayDataset(np.zeros((3, 1), dtype=np.float32), labels)
        >>> copies = CopiesDataset(whole, after, lambda x, seed: x + 1 + seed % 7)
        >>> [float(x) > 0 for x, _ in (copies[i] for i in range(4))]
        [False, False, False, True]
    """

    def __init__(
        self,
        dataset: Dataset[tuple[Any, Tensor]],
        resampled: Resampled,
        augment: Callable[[Any, int], Any],
        *,
        augment_originals: bool = False,
        seed: int = 0,
    ) -> None:
        if not isinstance(resampled, Resampled):
            do = "Hand over what a resampler returned, e.g. random_oversample(train)."
            raise UsageError(say("resampled", "be Resampled", type(resampled).__name__, do))
        size, last = len(dataset), int(resampled.rows.max())  # type: ignore[arg-type]
        if last >= size:
            expected = f"hold the whole data, {last + 1} rows or more"
            raise DataError(say("dataset", expected, size, "Do not cut it first."))
        self.dataset = dataset
        self.resampled = resampled
        self.augment = augment
        self.augment_originals = augment_originals
        self.seed = int(seed)
        # Shared memory, since workers that outlive an epoch hold a copy of everything else.
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self.resampled)

    @property
    def epoch(self) -> int:
        """The epoch that augmentations belong to."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; each has its own augmentations."""
        self._epoch.fill_(int(epoch))

    def seed_of(self, index: int) -> int:
        """Return the seed that item ``index`` is augmented with in this epoch."""
        row, copy = self.resampled.rows[index], self.resampled.copies[index]
        return child_seed(self.seed, "copies", self.epoch, int(row), int(copy))

    def __getitem__(self, index: int) -> tuple[Any, Tensor]:
        index = range(len(self))[index]
        m = self.resampled.rows.size
        if index >= m:
            return self._synthetic(index - m)
        x, target = self.dataset[int(self.resampled.rows[index])]
        if self.resampled.copies[index] > 0 or self.augment_originals:
            x = self.augment(x, self.seed_of(index))
        return x, target

    def _synthetic(self, index: int) -> tuple[Tensor, Tensor]:
        features, value = self.resampled.features, self.resampled.values[index]
        if features is None:
            raise IndexError(index)
        x = torch.from_numpy(np.array(features[index]))
        if self.resampled.labels.kind == "multiclass":
            return x, torch.tensor(int(value))
        target = torch.from_numpy(value.astype(np.float32))
        return x, torch.where(target == UNKNOWN, torch.nan, target)
