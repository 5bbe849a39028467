"""Head, medium and tail: classes or labels by how many rows they have."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import to_array
from equipoise._core.messages import one_of, say
from equipoise.errors import DataError, UsageError

GROUPS = ("head", "medium", "tail")


def frequency_groups(
    counts: ArrayLike,
    *,
    head: float = 100,
    tail: float = 20,
    by: Literal["thresholds", "terciles"] = "thresholds",
) -> dict[str, NDArray[np.int64]]:
    """Sort classes or labels into head, medium and tail.

    Use when a mean over classes hides that the rare ones fail. The thresholds are those of the
    long-tail literature: *more than* ``head`` training rows, ``tail`` to ``head`` (both
    included), *fewer than* ``tail``. Prefer ``by="terciles"`` where absolute numbers say little
    (all classes large, or all small): the classes in order of size, cut into three lists of equal
    length (the first ones one longer if needed; equal counts stay in label order).

    Args:
        counts: (C,) rows of each class, or positives of each label, *in the training part*.
        head: More rows than this is head.
        tail: Fewer rows than this is tail.
        by: "thresholds" or "terciles".

    Returns:
        "head", "medium", "tail" -> sorted positions, (k,) int64 each; a group may be empty, and
        its mean is then not estimable (not 0).

    Raises:
        DataError: ``counts`` is not a list of numbers >= 0.
        UsageError: ``tail`` above ``head``.

    Example:
        >>> {k: v.tolist() for k, v in frequency_groups([500, 100, 20, 19]).items()}
        {'head': [0], 'medium': [1, 2], 'tail': [3]}
    """
    array = to_array("counts", counts, ndim=1)
    if array.size == 0 or array.dtype.kind not in "iuf" or not (array >= 0).all():
        raise DataError(say("counts", "be numbers >= 0, one per class", repr(counts)))
    one_of("by", by, ("thresholds", "terciles"))
    if tail > head:
        raise UsageError(say("tail", f"be at most `head` = {head}", tail))
    if by == "terciles":
        parts = np.array_split(np.argsort(-array.astype(float), kind="stable"), 3)
        return {name: np.sort(part) for name, part in zip(GROUPS, parts, strict=True)}
    masks = (array > head, (array >= tail) & (array <= head), array < tail)
    return {name: np.flatnonzero(mask) for name, mask in zip(GROUPS, masks, strict=True)}
