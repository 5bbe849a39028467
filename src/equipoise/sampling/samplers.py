"""Samplers for torch: of rows, and of whole batches.

All are `DistributedSampler`s or `BatchSampler`s, so trainers leave them in place, and all work in
one process: the same sequence on every rank, dealt out to the ranks. They never touch the global
random state, and they draw by inverse CDF in float64, so a hundred million rows are no limit.
"""

from __future__ import annotations

from typing import Any, Self

from torch.utils.data import BatchSampler, DistributedSampler

from equipoise.sampling.draws import (
    BalancedBatches,
    BatchDraw,
    ClassBalancedRows,
    ListedRows,
    PKBatches,
    ProgressiveRows,
    RepeatFactorRows,
    RowDraw,
    StratifiedBatches,
    WeightedRows,
)


class RowSampler(RowDraw, DistributedSampler[int]):
    """Base of the samplers of rows: a draw that torch takes for a `DistributedSampler`."""

    def _announce(self, rows: int) -> None:
        # Told one process, it asks no process group, which may not be up yet; the draw finds its
        # place when iteration starts.
        DistributedSampler.__init__(self, range(rows), num_replicas=1, rank=0)  # type: ignore[arg-type]


class WeightedSampler(WeightedRows, RowSampler):
    """Draw rows in proportion to their weights.

    Use with weights of your own or from :mod:`equipoise.sampling.weights`, e.g. of
    :func:`equipoise.sampling.rake`. Prefer :class:`ClassBalancedSampler` for equal classes.

    Args:
        weights: One per row, (N,), finite and >= 0.
        num_samples: Draws per epoch over all ranks; None draws N.
        replacement: False draws each row at most once per epoch, by decreasing luck times weight
            (Efraimidis and Spirakis, 2006); ``num_samples`` may then not exceed the rows with a
            weight above 0. Drawing all of those shifts nothing: a `NoEffectWarning` says so.
        **place: ``seed``, the same on every rank; ``sharding``, of which "auto" gives each rank
            its share and "none" yields the whole sequence everywhere, for engines that deal rows
            or batches out to the ranks themselves (accelerate, the Hugging Face Trainer);
            ``num_replicas``, None to ask torch.distributed when iteration starts, and with it
            ``rank``, this process.

    Raises:
        DataError: weights that are negative, not finite or all zero.
        UsageError: ``num_samples``, ``rank`` or ``num_replicas`` out of range.

    Note:
        Each rank yields ceil(num_samples / ranks) rows of one global sequence. Call
        ``set_epoch``, as with any `DistributedSampler`; without it all epochs repeat one draw.
        ``state_dict`` inside an epoch lets the next iteration go on where this one stood. A model
        trained so needs :func:`equipoise.sampling.sampler_correction`, or what
        ``sampler.correction(labels)`` says of these very draws.

    Example:
        >>> sampler = WeightedSampler([0.0, 1.0, 0.0], num_samples=4)
        >>> list(sampler)
        [1, 1, 1, 1]
    """


class ClassBalancedSampler(ClassBalancedRows, RowSampler):
    """Draw every class equally often: first a class, then one of its rows.

    Use when rare classes are hardly seen in an epoch. Prefer a loss that adjusts for the prior
    when balanced accuracy is the aim: it keeps every row in play.

    Args:
        labels: `Labels`, or class indices (N,), or multi-hot (N, L) with -1 unknown. For
            multi-hot labels rows are drawn in proportion to ``class_balanced_weights`` with the
            "max" rule (a row counts as its rarest label); that narrows rates, it does not
            equalise them.
        num_samples: Draws per epoch over all ranks; None draws N, so epochs stay comparable.
        **place: ``seed``, ``sharding``, ``num_replicas`` and ``rank``, as for
            :class:`WeightedSampler`.

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


class RepeatFactorSampler(RepeatFactorRows, RowSampler):
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
        **place: ``seed``, ``sharding``, ``num_replicas`` and ``rank``, as for
            :class:`WeightedSampler`.

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


class ProgressiveSampler(ProgressiveRows, RowSampler):
    """Go from every row alike to every class alike over the epochs (Kang et al., 2020).

    Use when balanced draws from the start spoil the features. Prefer two stages when training may
    be split: balance then touches the last layer alone.

    Args:
        labels: `Labels`, or class indices (N,), or multi-hot (N, L) with -1 unknown; rows are
            drawn by :func:`equipoise.sampling.progressive_weights`.
        num_epochs: T, >= 1. Epoch 0 is untreated; epoch T and later ones are balanced. None
            waits for :meth:`set_num_epochs`, which `fit` calls with the epochs of the training.
        num_samples: Draws per epoch over all ranks; None draws N.
        **place: ``seed``, ``sharding``, ``num_replicas`` and ``rank``, as for
            :class:`WeightedSampler`.

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


class ListedRowsSampler(ListedRows, RowSampler):
    """Draw the rows of a list, each as often as it stands there, in a new order per epoch.

    Use for the rows of :mod:`equipoise.sampling.resample` where no copy is augmented in its own
    way. Prefer a sampler that draws anew in each epoch: a list that leaves rows out never shows
    them.

    Args:
        rows: Positions, (M,) integers >= 0; a row may stand several times.
        num_samples: Draws per epoch over all ranks; None draws M. Fewer leaves some out by chance,
            more goes through the list again in another order.
        **place: ``seed``, ``sharding``, ``num_replicas`` and ``rank``, as for
            :class:`WeightedSampler`.

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


class BatchesFromLabels(BatchDraw, BatchSampler):
    """Base of the batch samplers: a draw that torch takes for a `BatchSampler`.

    Trainers that make a batch sampler anew around a sampler of their own get an equal one: the
    rows come from labels, not from a sampler.
    """

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        """Note the arguments."""
        made = super().__new__(cls)
        _tell_lightning(made, args, settings)
        return made


def _tell_lightning(sampler: object, args: tuple[Any, ...], settings: dict[str, Any]) -> None:
    """Leave the arguments of a batch sampler where Lightning looks for them.

    Before it makes one anew around a sampler of its own, Lightning reads these attributes. It has
    no public form of them: it writes them itself, but only on what is made inside its hooks. Found
    nothing, it calls ``cls(sampler, batch_size=..., drop_last=...)``, where labels are due. The
    laws of samplers run Lightning's own reading of them.
    """
    saved = {"args": args, "kwargs": settings, "default_kwargs": {"sampler": None}}
    for name, value in {**saved, "arg_names": ("labels",)[: len(args)]}.items():
        # As Lightning does, past its own record of attributes that are set.
        object.__setattr__(sampler, f"__pl_saved_{name}", value)


class StratifiedBatchSampler(StratifiedBatches, BatchesFromLabels):
    """Put at least k positives of every label into every batch, and fill up with any rows.

    Use with losses and metrics of a whole batch (soft F, AUC, average precision) and wherever a
    batch without positives teaches nothing about its label. Prefer row samplers when batches are
    large enough to hold positives anyway.

    Args:
        labels: `Labels`, or class indices (N,), or multi-hot (N, L) with -1 unknown.
        batch_size: Rows per batch; at least ``min_positives`` times the labels that occur.
        min_positives: k >= 1. A label with fewer rows has all of them in every batch.
        num_batches: Batches per epoch over all ranks; None is N // batch_size.
        **place: ``seed``, ``sharding``, ``num_replicas`` and ``rank``, as for
            :class:`WeightedSampler`, each rank having its batches; ``sampler``, which is not used,
            for trainers that insist on passing one.

    Raises:
        UsageError: a batch too small for its promise, or a setting out of range.
        DataError: no rows, or no label that occurs.

    Note:
        No row comes twice in a batch. Rows of rare labels come more often than others, in an
        order that uses all of them before any again; a row with several labels counts for each.
        :meth:`correction` measures what that does to the prior.

    Example:
        >>> sampler = StratifiedBatchSampler([0] * 96 + [1] * 4, batch_size=10)
        >>> [sum(row >= 96 for row in batch) >= 1 for batch in sampler]
        [True, True, True, True, True, True, True, True, True, True]
    """


class PKBatchSampler(PKBatches, BatchesFromLabels):
    """Fill every batch with P classes and K rows of each, as metric learning needs them.

    Use for contrastive and triplet losses. Prefer :class:`ClassBalancedSampler` for plain
    classification: the same balance without fixed groups.

    Args:
        labels: `Labels` of classes, or class indices (N,).
        classes_per_batch: P >= 1, at most the classes that occur.
        rows_per_class: K >= 1. A class with fewer rows repeats them.
        num_batches: Batches per epoch over all ranks; None is N // (P K).
        **place: ``seed``, ``sharding``, ``num_replicas`` and ``rank``, as for
            :class:`WeightedSampler`, each rank having its batches; ``sampler``, which is not used,
            for trainers that insist on passing one.

    Raises:
        UsageError: P above the number of classes, or a setting out of range.
        DataError: labels with several per row, or no rows.

    Note:
        Classes come in turn, so each is in every C / P-th batch: a model trained so sees balanced
        classes. Rows of a class are all used before any comes again.

    Example:
        >>> sampler = PKBatchSampler([0] * 90 + [1] * 8 + [2] * 2, classes_per_batch=2,
        ...                          rows_per_class=2, num_batches=3)
        >>> [sum(row >= 90 for row in batch) for batch in sampler]
        [4, 2, 2]
    """


class BalancedBatchSampler(BalancedBatches, BatchesFromLabels):
    """Give rows of rare labels a fixed share of every batch.

    Use when a few classes or labels are rare and all of them shall be seen steadily. Prefer
    :class:`StratifiedBatchSampler` when each of them must be in every batch.

    Args:
        labels: `Labels`, or class indices (N,), or multi-hot (N, L) with -1 unknown.
        rare: Classes or labels by name or index. A row with one of them is a rare row.
        share: Share of rare rows in a batch, in (0, 1); rounded to whole rows, at least one of
            each kind.
        batch_size: Rows per batch, >= 2.
        num_batches: Batches per epoch over all ranks; None is N // batch_size.
        **place: ``seed``, ``sharding``, ``num_replicas`` and ``rank``, as for
            :class:`WeightedSampler`, each rank having its batches; ``sampler``, which is not used,
            for trainers that insist on passing one.

    Raises:
        UsageError: an unknown label, or a setting out of range.
        DataError: all rows are rare, or none is.

    Note:
        Either kind of row is used up before any of it comes again; where rare rows are fewer than
        a batch asks for, they repeat within it. :meth:`correction` is that of the two weights.

    Example:
        >>> sampler = BalancedBatchSampler([0] * 95 + [1] * 5, rare=[1], share=0.5, batch_size=8)
        >>> [sum(row >= 95 for row in batch) for batch in sampler][:4]
        [4, 4, 4, 4]
    """
