"""Join a loss and a sampler in one remedy, and say where both push the same way."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.messages import say
from equipoise.artifacts import Correction, Labels
from equipoise.errors import DoubleCorrectionWarning, NoEffectWarning, UsageError
from equipoise.training.remedy import Remedy, RowSampler

_SLIGHT = np.log(1.1)
"""A smaller shift than this does not count as one."""


def add_sampler(
    base: Remedy,
    sampler: Callable[..., RowSampler],
    undo: Correction,
    labels: Labels,
    *,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Remedy:
    """Return a remedy that trains with the loss of ``base`` on the rows of a sampler.

    Use for a sampler of your own, or for a loss and a sampler together. Prefer one of the two: a
    loss that weighs rare labels and a sampler that draws them more often multiply.

    Args:
        base: A remedy without a sampler, made for ``labels``.
        sampler: Called as ``sampler(seed=...)``; draws positions within the training rows.
        undo: What the sampler did to the prior, from
            :func:`equipoise.sampling.sampler_correction`.
        labels: Of the training rows.
        name: Of the new remedy; None adds "+ sampling" to that of ``base``.
        settings: What enters the trial's config; None keeps those of ``base``.

    Returns:
        A remedy whose correction undoes both.

    Raises:
        UsageError: ``base`` has a sampler already, a correction is for the other kind, or ``undo``
            is that of draws with replacement while the sampler draws without.

    Note:
        Issues a `DoubleCorrectionWarning` where loss and sampler each shift the same class or
        label by more than 10 % in the same direction, at outputs of 0. The loss of a remedy whose
        outputs only rank has no known shift, so nothing is said there.

    Example:
        >>> from functools import partial
        >>> import equipoise as eq
        >>> from equipoise.sampling import WeightedSampler, sampler_correction
        >>> labels = eq.Labels.from_array([[1], [0], [0], [0]], kind="multilabel")
        >>> weights = [3.0, 1.0, 1.0, 1.0]
        >>> undo = sampler_correction(weights, labels)
        >>> made = add_sampler(
        ...     eq.remedy("focal", labels), partial(WeightedSampler, weights), undo, labels
        ... )
        >>> made.name, made.correction.probabilities([[0.0]]).round(3).tolist()
        ('focal + sampling', [[0.25]])
    """
    if base.sampler is not None:
        do = "Take a remedy that changes the loss alone."
        raise UsageError(say("base", "have no sampler", f"'{base.name}', which has one", do))
    _require_realised(sampler, undo, labels)
    joined = base.correction.then(undo)
    if joined.exactness != "none":
        _warn_if_doubled(_shift(base.correction, labels), _shift(undo, labels), labels)
    return replace(
        base,
        name=f"{base.name} + sampling" if name is None else name,
        correction=joined,
        sampler=sampler,
        settings=base.settings if settings is None else settings,
    )


def _require_realised(sampler: Callable[..., RowSampler], undo: Correction, labels: Labels) -> None:
    """Raise where a sampler without replacement, which shifts less, is undone as if it had it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoEffectWarning)  # said where it is built to draw
        made = sampler(seed=0)
    if getattr(made, "replacement", True) or not hasattr(made, "correction"):
        return
    real = made.correction(labels).apply(np.zeros((1, labels.num_classes)))
    if not np.allclose(undo.apply(np.zeros((1, labels.num_classes))), real, atol=_SLIGHT):
        do = "Pass sampler.correction(labels), or sampler_correction(..., replacement=False)."
        got = "that of draws with replacement"
        raise UsageError(say("undo", "be what drawing without replacement does", got, do))


def _shift(correction: Correction, labels: Labels) -> NDArray[np.float64]:
    """Return how far training moved outputs of 0, (C,); for classes from the mean of those seen."""
    raised: NDArray[np.float64] = -correction.apply(np.zeros((1, labels.num_classes)))[0]
    if labels.kind == "multiclass":
        seen = labels.counts > 0
        raised = np.where(seen, raised - raised[seen].mean(), 0.0)
    return raised


def _warn_if_doubled(loss: NDArray[np.float64], drawn: NDArray[np.float64], labels: Labels) -> None:
    both = (loss * drawn > 0) & (np.minimum(np.abs(loss), np.abs(drawn)) > _SLIGHT)
    if not both.any():
        return
    total = loss + drawn
    # Rare labels are what one raises; a lowered one is named where none is raised.
    size = np.where(both, total if total[both].max() > 0 else -total, -np.inf)
    worst = int(np.argmax(size))
    of_loss, of_sampler, together = (_fold(x[worst]) for x in (loss, drawn, total))
    one, many, what, beside = (
        ("label", "labels", "positives", "")
        if labels.kind == "multilabel"
        else ("class", "classes", "it", " against the average class")
    )
    others = int(both.sum()) - 1
    more = f"; likewise {others} other {one if others == 1 else many}" if others else ""
    warnings.warn(
        f"{one} '{labels.names[worst]}': the loss weighs {what} {of_loss} and the sampler "
        f"{of_sampler}{beside}: together {together}{more}. Keep one, or lower one's power.",
        DoubleCorrectionWarning,
        stacklevel=3,
    )


def _fold(log_factor: float) -> str:
    factor = float(np.exp(log_factor))
    return f"{factor:,.0f}-fold" if factor >= 100 else f"{factor:.3g}-fold"
