"""Rows and batches drawn by rules, dealt out to ranks, gone on with inside an epoch; no torch.

What the samplers for torch and the Keras data sets share. Rank and world size are found when
iteration starts.
"""

from __future__ import annotations

import sys
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from operator import length_hint
from typing import Any, Literal, TypedDict, TypeVar, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_array, to_integer, to_number
from equipoise._core.messages import closest, one_of, say
from equipoise._core.rng import generator
from equipoise.artifacts.correction import Correction
from equipoise.artifacts.labels import Labels
from equipoise.errors import DataError, NoEffectWarning, UsageError
from equipoise.sampling.effect import sampler_correction
from equipoise.sampling.repeat import repeat_factor_rows, repeat_factors
from equipoise.sampling.weights import _check_weights, class_balanced_weights, to_labels

Sharding = Literal["auto", "none"]
_SHARDING: tuple[Sharding, ...] = ("auto", "none")
Item = TypeVar("Item")


class Place(TypedDict, total=False):
    """Keywords of every draw and sampler.

    Attributes:
        seed: The same on every rank; 0 where not given.
        sharding: "auto" gives each rank its share; "none" yields the whole sequence everywhere,
            for engines that deal rows or batches out to the ranks themselves (accelerate, the
            Hugging Face Trainer).
        num_replicas: World size; None asks torch.distributed when iteration starts.
        rank: This process; given together with ``num_replicas``.
    """

    seed: int
    sharding: Sharding
    num_replicas: int | None
    rank: int | None


class BatchPlace(Place, total=False):
    """Keywords of what draws batches.

    Attributes:
        sampler: Not used; trainers that insist on passing one may.
    """

    sampler: object


def positive_int(name: str, value: int) -> int:
    """Return a whole number of at least 1."""
    number = to_number(name, value)
    if not number.is_integer() or number < 1:
        raise UsageError(say(name, "be a whole number >= 1", value))
    return int(number)


def _torch_place() -> tuple[int, int]:
    """Return rank and world size of torch.distributed; where torch is not loaded, none is up."""
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return 0, 1
    return int(distributed.get_rank()), int(distributed.get_world_size())


class Placed:
    """Seed, epoch, place among ranks and position; what is drawn is left to the sampler.

    One global sequence of ``total`` items is drawn per epoch, the same on every rank; item i goes
    to rank i modulo the world size. Where the ranks do not divide it, it begins anew at its end.
    """

    seed: int
    epoch: int
    rank: int
    num_replicas: int

    def _settle(
        self,
        total: int,
        *,
        seed: int = 0,
        sharding: Sharding = "auto",
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        """Check and store a `Place`; the defaults of all draws and samplers stand here."""
        self.seed, self.epoch = to_integer("seed", seed), 0
        one_of("sharding", sharding, _SHARDING)
        if (num_replicas is None) != (rank is None):
            raise UsageError("`num_replicas` and `rank` must be given together, or neither.")
        self._place = (0, 1) if sharding == "none" else None
        if num_replicas is not None and rank is not None:
            world = positive_int("num_replicas", num_replicas)
            if sharding == "none":
                do = "Leave `num_replicas` and `rank` out, or shard here."
                raise UsageError(say("sharding", "be 'auto' where ranks are given", sharding, do))
            if not 0 <= rank < world:
                raise UsageError(say("rank", f"lie in 0 to {world - 1}", rank))
            self._place = (rank, world)
        # What of this epoch was used before this process began; the next iteration takes it up.
        self._total, self._pending = total, 0
        # Of the iteration under way: items used before the block at hand, its length, its rest.
        self._live: tuple[int, int, Iterator[Any]] | None = None
        self._resolve()

    def place_at(self, rank: int, num_replicas: int) -> None:
        """Say which of how many processes this is, where no one else does: JAX, for example."""
        if self._place is None:
            self._place = (int(rank), positive_int("num_replicas", num_replicas))
            self._resolve()

    def _resolve(self) -> tuple[int, int]:
        """Find rank and world size now: samplers are often made before the process group."""
        rank, world = self._place if self._place is not None else _torch_place()
        self.rank, self.num_replicas = rank, world
        return rank, world

    def _left(self) -> int:
        """Return how many items this rank still has to yield in this epoch."""
        _, world = self._resolve()
        return -(-(self._total - self._pending) // world)

    def _begin(self) -> tuple[int, int, int, int]:
        """Return rank, world size, items already used, and items to use with those that pad."""
        rank, world = self._resolve()
        used, self._pending = self._pending, 0
        return rank, world, used, -(-(self._total - used) // world) * world

    def _count(self, items: Sequence[Item], used: int) -> Iterator[Item]:
        """Yield the items, after ``used`` of the whole; `state_dict` can ask how many came."""
        # How many came is asked of the iterator: no counter runs along with every row.
        live = iter(items)
        self._live = (used, len(items), live)
        yield from live

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; each has its own draw, and without this call all are alike."""
        # Trainers that resume name the epoch once more; the place within it has to stay.
        if int(epoch) != self.epoch:
            self._pending, self._live = 0, None
        self.epoch = int(epoch)

    def state_dict(self, consumed: int | None = None) -> dict[str, Any]:
        """Return seed, epoch and position: all that the rest of the epoch depends on.

        Args:
            consumed: Items this rank has trained on in this epoch. None counts what was yielded,
                which is too much where worker processes fetch ahead.
        """
        used = self._pending
        if consumed is not None:
            used = int(consumed) * self.num_replicas
        elif self._live is not None:
            before, length, rest = self._live
            used = before + (length - length_hint(rest)) * self.num_replicas
        return {"seed": self.seed, "epoch": self.epoch, "position": min(used, self._total)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned; the number of ranks may have changed."""
        self.seed, self.epoch = int(state["seed"]), int(state["epoch"])
        used = int(state.get("position", 0))
        self._live, self._pending = None, 0 if used >= self._total else used

    def _stream(self, name: str) -> np.random.Generator:
        return generator(self.seed, "sampling", name, self.epoch)


class Turns:
    """Hands out rows without end, each once before any comes twice."""

    def __init__(self, rows: NDArray[np.int64], random: np.random.Generator) -> None:
        self.rows, self.random = rows, random
        self.queue: list[int] = []

    def take(self, count: int, taken: set[int]) -> list[int]:
        """Return up to ``count`` rows not in ``taken``, fewer if there are no more; add them."""
        found: list[int] = []
        held: list[int] = []
        refilled = False
        while len(found) < count:
            if not self.queue:
                if refilled:
                    break
                self.queue = self.random.permutation(self.rows).tolist()
                refilled = True
            row = self.queue.pop()
            if row in taken:
                held.append(row)
            else:
                taken.add(row)
                found.append(row)
        # What the batch holds already keeps its turn for the next batch.
        self.queue += held[::-1]
        return found


# Rows turned into Python numbers at a time: all at once would be 30 bytes and more for each.
_BLOCK = 65_536
Rows = NDArray[np.int64]


class RowDraw(Placed):
    """Base of what draws rows; subclasses draw an epoch."""

    def __init__(
        self,
        rows: int,
        num_samples: int | None,
        **place: Unpack[Place],
    ) -> None:
        self._announce(rows)
        draws = positive_int("num_samples", rows if num_samples is None else num_samples)
        self.global_num_samples = draws
        self._settle(draws, **place)

    def _announce(self, rows: int) -> None:
        """Say how many rows there are, for samplers of torch, whose base asks first."""

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
        # Every rank draws the whole and takes its share, so no rank has to hear from another, and
        # a rest can be dealt out to another number of ranks.
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
        replacement: bool = True,
        **place: Unpack[Place],
    ) -> None:
        self.weights = _check_weights(weights)
        self.replacement = replacement
        self._usable = int(np.count_nonzero(self.weights))
        if not replacement and num_samples is None:
            num_samples = self._usable
        super().__init__(
            self.weights.size,
            num_samples,
            **place,
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
        # The smallest exponential times over weights is the row drawn first, the next the second,
        # and so on: draws without replacement in one sort. A weight of 0 comes last, at infinity.
        luck = random.standard_exponential(self.weights.size)
        with np.errstate(divide="ignore"):
            order = np.argsort(luck / self.weights, kind="stable").astype(np.int64)
        return order[:size]


def draw_by_weight(weights: Floats, size: int, random: np.random.Generator) -> Rows:
    """Return ``size`` rows with replacement, in random order.

    The order statistics of uniform numbers are drawn directly, as sums of exponential gaps, and
    merged with the cumulated weights: sorted look-ups stay in the cache, random ones do not.
    """
    # The last gap is that between the largest point and the end.
    edges = np.cumsum(weights)
    points = random.standard_exponential(size + 1)
    np.cumsum(points, out=points)
    points *= edges[-1] / points[-1]
    rows = np.searchsorted(edges, points[:-1], side="right").astype(np.int64, copy=False)
    # A point that rounds to the end would fall behind the last row that has a weight.
    np.minimum(rows, np.flatnonzero(weights)[-1], out=rows)
    # Sorted points gave sorted rows.
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
        **place: Unpack[Place],
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
            **place,
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
        **place: Unpack[Place],
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
            **place,
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
        **place: Unpack[Place],
    ) -> None:
        self.labels = to_labels(labels)
        self.num_epochs = None if num_epochs is None else positive_int("num_epochs", num_epochs)
        self._balanced = class_balanced_weights(self.labels)
        super().__init__(
            len(self.labels),
            num_samples,
            **place,
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
        **place: Unpack[Place],
    ) -> None:
        self.rows = _positions(rows)
        super().__init__(
            int(self.rows.max()) + 1,
            self.rows.size if num_samples is None else num_samples,
            **place,
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


class BatchDraw(Placed):
    """Base of what draws batches; subclasses say how one after the other is made."""

    def __init__(
        self,
        labels: Labels,
        batch_size: int,
        num_batches: int | None,
        *,
        sampler: object = None,  # noqa: ARG002
        **place: Unpack[Place],
    ) -> None:
        if len(labels) == 0:
            raise DataError(say("labels", "have at least one row", "none"))
        self.labels, self.batch_size = labels, batch_size
        self.drop_last = True
        # Trainers call set_epoch on the `sampler` of a batch sampler: here both are one.
        self.sampler: Any = self
        whole = max(len(labels) // batch_size, 1)
        total = positive_int("num_batches", whole if num_batches is None else num_batches)
        self._settle(total, **place)

    @abstractmethod
    def _batches(self) -> Iterator[list[int]]:
        """Yield batches of the current seed and epoch without end."""

    def __iter__(self) -> Iterator[list[int]]:
        rank, world, used, size = self._begin()
        # Batches follow from those before them, so every rank makes all and skips the others'.
        mine = islice(self._batches(), used + rank, used + size, world)
        for done, batch in enumerate(mine):
            self._live = (used + (done + 1) * world, 0, iter(()))
            yield batch
        self._live = None

    def __len__(self) -> int:
        return self._left()

    def correction(self) -> Correction:
        """Return the way back to the natural prior, from how often rows come in three epochs.

        Approximate: it is counted on draws, and for several labels it treats each one alone.
        """
        # The epoch names the stream of a draw, so it is set for each and put back.
        drawn, epoch = np.zeros(len(self.labels)), self.epoch
        for self.epoch in range(3):
            for batch in islice(self._batches(), self._total):
                np.add.at(drawn, batch, 1.0)
        self.epoch = epoch
        if self.labels.kind == "multiclass":
            values, counts = self.labels.values, self.labels.counts
            of_class = np.bincount(values, weights=drawn, minlength=counts.size)
            drawn = (of_class / np.maximum(counts, 1))[values]
        return replace(sampler_correction(drawn, self.labels), exactness="approximate")

    def _positives(self) -> dict[int, Rows]:
        """Return the rows of every class or label that occurs."""
        counts, values = self.labels.counts, self.labels.values
        if self.labels.kind == "multiclass":
            parts = np.split(np.argsort(values, kind="stable"), np.cumsum(counts)[:-1])
        else:
            parts = [np.flatnonzero(column == 1) for column in values.T]
        return {c: rows.astype(np.int64) for c, rows in enumerate(parts) if rows.size}


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
        **place: Unpack[BatchPlace],
    ) -> None:
        given = to_labels(labels)
        size = positive_int("batch_size", batch_size)
        self.min_positives = positive_int("min_positives", min_positives)
        super().__init__(
            given,
            size,
            num_batches,
            **place,
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
        **place: Unpack[BatchPlace],
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
            **place,
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
        **place: Unpack[BatchPlace],
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
            **place,
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
