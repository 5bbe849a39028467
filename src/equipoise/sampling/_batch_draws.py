"""Batches drawn from labels, without torch: positives of every label, P x K, a share of rare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.words import closest, say
from equipoise.artifacts.correction import Correction
from equipoise.artifacts.labels import Labels
from equipoise.errors import DataError, UsageError
from equipoise.sampling._batch_base import BatchDraw
from equipoise.sampling._place import Sharding, positive_int
from equipoise.sampling._turns import Turns
from equipoise.sampling.effect import sampler_correction
from equipoise.sampling.weights import to_labels


class StratifiedBatches(BatchDraw):
    """Put at least k positives of every label into every batch, and fill up with any rows.

    Arguments, ranges, errors and calibration as for ``equipoise.sampling.StratifiedBatchSampler``,
    which is this draw for torch.

    Example:
        >>> drawn = StratifiedBatches([0] * 96 + [1] * 4, batch_size=10)
        >>> min(sum(row >= 96 for row in batch) for batch in drawn) >= 1
        True
    """

    def __init__(
        self,
        labels: Labels | ArrayLike,
        *,
        batch_size: int,
        min_positives: int = 1,
        num_batches: int | None = None,
        seed: int = 0,
        sharding: Sharding = "auto",
        num_replicas: int | None = None,
        rank: int | None = None,
        sampler: object = None,  # noqa: ARG002
    ) -> None:
        given = to_labels(labels)
        size = positive_int("batch_size", batch_size)
        self.min_positives = positive_int("min_positives", min_positives)
        super().__init__(
            given,
            size,
            num_batches,
            seed=seed,
            sharding=sharding,
            num_replicas=num_replicas,
            rank=rank,
        )
        self._wanted = np.minimum(self.min_positives, given.counts)
        needed = int(self._wanted.sum())
        if needed == 0:
            raise DataError(say("labels", "hold a positive", "none"))
        if needed > size:
            wanted = f"be at least {needed}, {self.min_positives} for each label that occurs"
            raise UsageError(say("batch_size", wanted, size, "Lower `min_positives`, or grow it."))

    def _batches(self) -> Iterator[list[int]]:
        random = self._stream("batches")
        # The rarest first: their rows often bring the frequent labels along.
        positives = sorted(self._positives().items(), key=lambda pair: pair[1].size)
        queues = [(column, Turns(rows, random)) for column, rows in positives]
        rest = Turns(np.arange(len(self.labels)), random)
        while True:
            batch: list[int] = []
            taken: set[int] = set()
            have = np.zeros(self._wanted.size, dtype=np.int64)
            for column, queue in queues:
                missing = int(self._wanted[column] - have[column])
                if missing > 0:
                    rows = queue.take(missing, taken)
                    batch += rows
                    if self.labels.kind == "multilabel":
                        have += (self.labels.values[rows] == 1).sum(0)
            batch += rest.take(self.batch_size - len(batch), taken)
            yield random.permutation(batch).tolist()


class PKBatches(BatchDraw):
    """Fill every batch with P classes and K rows of each.

    Arguments, ranges, errors and calibration as for ``equipoise.sampling.PKBatchSampler``, which
    is this draw for torch.

    Example:
        >>> drawn = PKBatches([0] * 90 + [1] * 8 + [2] * 2, classes_per_batch=2,
        ...                   rows_per_class=2, num_batches=3)
        >>> [len(batch) for batch in drawn]
        [4, 4, 4]
    """

    def __init__(
        self,
        labels: Labels | ArrayLike,
        *,
        classes_per_batch: int,
        rows_per_class: int,
        num_batches: int | None = None,
        seed: int = 0,
        sharding: Sharding = "auto",
        num_replicas: int | None = None,
        rank: int | None = None,
        sampler: object = None,  # noqa: ARG002
    ) -> None:
        given = to_labels(labels)
        if given.kind == "multilabel":
            do = "For several labels use StratifiedBatchSampler."
            raise DataError(say("labels", "be classes, one per row", "multi-label", do))
        self.classes_per_batch = positive_int("classes_per_batch", classes_per_batch)
        self.rows_per_class = positive_int("rows_per_class", rows_per_class)
        super().__init__(
            given,
            self.classes_per_batch * self.rows_per_class,
            num_batches,
            seed=seed,
            sharding=sharding,
            num_replicas=num_replicas,
            rank=rank,
        )
        occurring = int(np.count_nonzero(given.counts))
        if self.classes_per_batch > occurring:
            wanted = f"be at most {occurring}, the classes that occur"
            raise UsageError(say("classes_per_batch", wanted, self.classes_per_batch))

    def _batches(self) -> Iterator[list[int]]:
        random = self._stream("batches")
        positives = self._positives()
        classes = Turns(np.array(list(positives)), random)
        queues = {column: Turns(rows, random) for column, rows in positives.items()}
        while True:
            batch: list[int] = []
            for chosen in classes.take(self.classes_per_batch, set()):
                missing = self.rows_per_class
                while missing > 0:
                    rows = queues[chosen].take(missing, set())
                    batch += rows
                    missing -= len(rows)
            yield batch


class BalancedBatches(BatchDraw):
    """Give rows of rare labels a fixed share of every batch.

    Arguments, ranges, errors and calibration as for ``equipoise.sampling.BalancedBatchSampler``,
    which is this draw for torch.

    Example:
        >>> drawn = BalancedBatches([0] * 95 + [1] * 5, rare=[1], share=0.5, batch_size=8)
        >>> [sum(row >= 95 for row in batch) for batch in drawn][:4]
        [4, 4, 4, 4]
    """

    def __init__(
        self,
        labels: Labels | ArrayLike,
        *,
        rare: Sequence[str | int],
        share: float,
        batch_size: int,
        num_batches: int | None = None,
        seed: int = 0,
        sharding: Sharding = "auto",
        num_replicas: int | None = None,
        rank: int | None = None,
        sampler: object = None,  # noqa: ARG002
    ) -> None:
        given = to_labels(labels)
        size = positive_int("batch_size", batch_size)
        if not 0.0 < share < 1.0 or size < 2:
            got = f"share {share} of {size} rows"
            raise UsageError(say("share", "lie in (0, 1) of at least 2 rows", got))
        super().__init__(
            given,
            size,
            num_batches,
            seed=seed,
            sharding=sharding,
            num_replicas=num_replicas,
            rank=rank,
        )
        self._is_rare = _rows_with(given, rare)
        found = int(self._is_rare.sum())
        if found in (0, len(given)):
            got = f"{found} of {len(given)} rows"
            raise DataError(say("rare", "name labels that some rows have and others not", got))
        self.rare_per_batch = min(max(round(share * size), 1), size - 1)

    def correction(self) -> Correction:
        """Return the way back to the natural prior: rare rows weigh more by a known ratio."""
        rare, size = self._is_rare, self.batch_size
        weights = np.where(
            rare, self.rare_per_batch / rare.sum(), (size - self.rare_per_batch) / (~rare).sum()
        )
        return sampler_correction(weights, self.labels)

    def _batches(self) -> Iterator[list[int]]:
        random = self._stream("batches")
        kinds = [Turns(np.flatnonzero(rows), random) for rows in (self._is_rare, ~self._is_rare)]
        sizes = self.rare_per_batch, self.batch_size - self.rare_per_batch
        while True:
            batch: list[int] = []
            for queue, size in zip(kinds, sizes, strict=True):
                missing = size
                while missing > 0:
                    rows = queue.take(missing, set())
                    batch += rows
                    missing -= len(rows)
            yield random.permutation(batch).tolist()


def _rows_with(labels: Labels, rare: Sequence[str | int]) -> NDArray[np.bool_]:
    """Return which rows have one of the named classes or labels."""
    columns = []
    for wanted in [rare] if isinstance(rare, str) else rare:
        if isinstance(wanted, str):
            if wanted not in labels.names:
                raise UsageError(say("rare", "name labels", wanted, closest(wanted, labels.names)))
            columns.append(labels.names.index(wanted))
            continue
        if not 0 <= wanted < labels.num_classes:
            raise UsageError(say("rare", f"lie in 0 to {labels.num_classes - 1}", wanted))
        columns.append(int(wanted))
    if labels.kind == "multiclass":
        return np.isin(labels.values, columns)
    return np.asarray((labels.values[:, columns] == 1).any(1))
