"""Row samplers that are more than weights: repeat factors, balance by epochs, lists of rows."""

from __future__ import annotations

from equipoise.sampling._varying_draws import ListedRows, ProgressiveRows, RepeatFactorRows
from equipoise.sampling.rows import RowSampler


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


class ListedRowsSampler(ListedRows, RowSampler):
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
