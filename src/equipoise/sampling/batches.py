"""Batch samplers: positives of every label, P classes x K rows, or a fixed share of rare rows.

All are `BatchSampler`s that yield lists of rows, and deal whole batches out to the ranks.
"""

from __future__ import annotations

from typing import Any, Self

from torch.utils.data import BatchSampler

from equipoise.sampling._batch_base import BatchDraw
from equipoise.sampling._batch_draws import BalancedBatches, PKBatches, StratifiedBatches


class BatchesFromLabels(BatchDraw, BatchSampler):
    """Base of the batch samplers: a draw that torch takes for a `BatchSampler`.

    Trainers that make a batch sampler anew around a sampler of their own get an equal one: the
    rows come from labels, not from a sampler.
    """

    def __new__(cls, *args: Any, **settings: Any) -> Self:
        """Note the arguments."""
        made = super().__new__(cls)
        # Where Lightning looks before it makes a batch sampler anew around its own sampler.
        saved = {"args": args, "kwargs": settings, "default_kwargs": {"sampler": None}}
        for name, value in {**saved, "arg_names": ("labels",)[: len(args)]}.items():
            made.__dict__[f"__pl_saved_{name}"] = value
        return made


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
        seed: The same on every rank.
        sharding: "auto" gives each rank its batches; "none" yields all of them everywhere.
        num_replicas: World size; None asks torch.distributed when iteration starts.
        rank: This process; given together with ``num_replicas``.
        sampler: Not used; trainers that insist on passing one may.

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
        seed: The same on every rank.
        sharding: "auto" gives each rank its batches; "none" yields all of them everywhere.
        num_replicas: World size; None asks torch.distributed when iteration starts.
        rank: This process; given together with ``num_replicas``.
        sampler: Not used; trainers that insist on passing one may.

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
        seed: The same on every rank.
        sharding: "auto" gives each rank its batches; "none" yields all of them everywhere.
        num_replicas: World size; None asks torch.distributed when iteration starts.
        rank: This process; given together with ``num_replicas``.
        sampler: Not used; trainers that insist on passing one may.

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
