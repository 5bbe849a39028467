"""Samplers that draw rows: the same sequence on every rank, dealt out to the ranks.

All are `DistributedSampler`s, so trainers leave them in place, and all work in one process. They
never touch the global random state, and they draw by inverse CDF in float64, so a hundred million
rows are no limit.
"""

from __future__ import annotations

from torch.utils.data import DistributedSampler

from equipoise.sampling._row_draws import ClassBalancedRows, RowDraw, WeightedRows


class RowSampler(RowDraw, DistributedSampler[int]):
    """Base of the samplers of rows: a draw that torch takes for a `DistributedSampler`."""

    def _announce(self, rows: int, seed: int) -> None:
        DistributedSampler.__init__(
            self,
            range(rows),  # type: ignore[arg-type]
            num_replicas=1,
            rank=0,
            shuffle=True,
            seed=seed,
        )


class WeightedSampler(WeightedRows, RowSampler):
    """Draw rows in proportion to their weights.

    Use with weights of your own or from :mod:`equipoise.sampling.weights`, e.g. of
    :func:`equipoise.sampling.rake`. Prefer :class:`ClassBalancedSampler` for equal classes.

    Args:
        weights: One per row, (N,), finite and >= 0.
        num_samples: Draws per epoch over all ranks; None draws N.
        seed: The same on every rank.
        replacement: False draws each row at most once per epoch, by decreasing luck times weight
            (Efraimidis and Spirakis, 2006); ``num_samples`` may then not exceed the rows with a
            weight above 0. Drawing all of those shifts nothing: a `NoEffectWarning` says so.
        sharding: "auto" gives each rank its share; "none" yields the whole sequence everywhere,
            for engines that deal rows or batches out to the ranks themselves (accelerate, the
            Hugging Face Trainer).
        num_replicas: World size; None asks torch.distributed when iteration starts.
        rank: This process; given together with ``num_replicas``.

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
        seed: The same on every rank.
        sharding: As for :class:`WeightedSampler`.
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
