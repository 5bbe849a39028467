"""Long tails made on purpose: thin the classes of a training part, after balanced parts left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Ints
from equipoise._core.checks import require_least
from equipoise._core.messages import closest, hint, one_of, say
from equipoise._core.rng import generator
from equipoise.artifacts.labels import Labels, require_labels
from equipoise.artifacts.resampled import refuse_resampled
from equipoise.artifacts.split import Split
from equipoise.errors import DataError, UsageError
from equipoise.splits._proof import id_proof

Shape = Literal["exp", "step", "custom"]
SHAPES = ("exp", "step", "custom")


def _weights(
    num_classes: int, shape: Shape, ratio: float | None, ratios: Sequence[float] | None
) -> NDArray[np.float64]:
    """Return (C,) class sizes relative to the largest."""
    one_of("shape", shape, SHAPES)
    if (shape == "custom") != (ratios is not None) or (shape == "custom") == (ratio is not None):
        raise UsageError(
            say(
                "shape",
                'be "exp" or "step" with imbalance_ratio=, or "custom" with ratios=',
                f"shape={shape!r}, imbalance_ratio={ratio}, ratios={ratios}",
            )
        )
    if ratios is not None:
        custom = np.asarray(ratios, dtype=float)
        if custom.shape != (num_classes,) or not (np.isfinite(custom) & (custom > 0)).all():
            raise UsageError(say("ratios", f"be {num_classes} numbers > 0, one per class", ratios))
        return np.asarray(custom / custom.max())
    require_least("num_classes", num_classes, 2)
    if ratio is None or not np.isfinite(ratio) or ratio < 1:
        what = "be at least 1 (largest over smallest class)"
        raise UsageError(say("imbalance_ratio", what, ratio, "For a ratio of 1:100 pass 100."))
    smallest = 1.0 / ratio
    if shape == "exp":
        return np.asarray([smallest ** (k / (num_classes - 1.0)) for k in range(num_classes)])
    small = num_classes // 2  # with an odd number the middle class stays large; none is lost
    return np.repeat([1.0, smallest], [num_classes - small, small])


def share_out(total: int, weights: NDArray[np.float64]) -> Ints:
    """Divide ``total`` in proportion to the weights by largest remainder."""
    exact = total * weights / weights.sum()
    counts: Ints = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: total - int(counts.sum())]] += 1
    return counts


def long_tail_counts(
    num_classes: int,
    *,
    n_max: float | None = None,
    total: int | None = None,
    imbalance_ratio: float | None = None,
    shape: Shape = "exp",
    ratios: Sequence[float] | None = None,
) -> Ints:
    r"""Compute class counts of a long tail (Cui et al., 2019; Cao et al., 2019).

    Use when you want the counts alone; prefer :func:`long_tail_split` for the rows.

    .. math:: n_k = \lfloor n_{\max}\, r^{-k / (C - 1)} \rfloor, \quad k = 0, \dots, C - 1

    Args:
        num_classes: C.
        n_max: Rows of the largest class; the others are truncated, as in the literature.
        total: Rows in all, instead of ``n_max``; divided by largest remainder, so the sum is exact.
        imbalance_ratio: r, largest over smallest class, for "exp" and "step".
        shape: "exp"; "step" (the first half, with the middle class of an odd number, has
            ``n_max`` rows, the rest ``n_max / r``); "custom".
        ratios: (C,) relative sizes for "custom", for example 19, 17, ..., 1.

    Returns:
        (C,) int64.

    Raises:
        UsageError: settings that do not belong together.
        DataError: a class would have no row.

    Example:
        >>> long_tail_counts(10, n_max=5000, imbalance_ratio=100).tolist()
        [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
        >>> long_tail_counts(3, total=60, shape="custom", ratios=[3, 2, 1]).tolist()
        [30, 20, 10]

    References:
        Cui et al. Class-balanced loss based on effective number of samples. CVPR 2019.
    """
    if (n_max is None) == (total is None):
        given = "neither" if n_max is None else "both"
        raise UsageError(say("n_max and total", "be given, exactly one of the two", given))
    weights = _weights(num_classes, shape, imbalance_ratio, ratios)
    counts = (
        (n_max * weights).astype(np.int64) if n_max is not None else share_out(total or 0, weights)
    )
    if (counts < 1).any():
        k = int(np.flatnonzero(counts < 1)[0])
        raise DataError(
            say(
                "long tail",
                "leave at least one row in each class",
                f"{counts[k]} rows in class {k}",
                "Raise n_max or total, or lower the imbalance ratio.",
            )
        )
    return counts


def _order(labels: Labels, order: Sequence[str | int] | None) -> Ints:
    """Return class positions from head to tail."""
    if order is None:
        return np.arange(labels.num_classes)
    index = {name: i for i, name in enumerate(labels.names)}
    found = []
    for item in order:
        if isinstance(item, str) and item not in index:
            raise UsageError(say("order", "name classes", repr(item), closest(item, index)))
        found.append(index[item] if isinstance(item, str) else int(item))
    if sorted(found) != list(range(labels.num_classes)):
        raise UsageError(
            say("order", f"list each of the {labels.num_classes} classes once", list(order))
        )
    return np.asarray(found, dtype=np.int64)


def _require_rows(labels: Labels, have: Ints, need: Ints, what: str) -> None:
    short = np.flatnonzero(have < need)
    if short.size:
        k = int(short[0])
        raise DataError(
            say(
                f"class {labels.names[k]}",
                f"have {need[k]} rows for {what}",
                have[k],
                hint("Lower the sizes asked for, or put a class with more rows there ({order=})."),
            )
        )


def long_tail_split(
    labels: Labels,
    *,
    shape: Shape = "exp",
    imbalance_ratio: float | None = None,
    ratios: Sequence[float] | None = None,
    n_max: int | None = None,
    total: int | None = None,
    test_per_class: int | None = None,
    val_per_class: int | None = None,
    seed: int = 0,
    order: Sequence[str | int] | None = None,
) -> Split:
    """Make a long-tailed training part beside balanced validation and test parts.

    Use when studying what a remedy does at a known degree of imbalance. Prefer
    :func:`stratified_split` for data that are imbalanced by themselves. The balanced parts are set
    apart *before* any class is thinned, so the rare classes are tested on as many rows as the
    common ones. Rows that are thinned out are in no part.

    Args:
        labels: Classes without groups.
        shape: "exp", "step" or "custom"; see :func:`long_tail_counts`.
        imbalance_ratio: Largest over smallest class, for "exp" and "step".
        ratios: (C,) relative sizes for "custom", in class order or in ``order``.
        n_max: Rows of the largest class. Default (without ``total``): as many as the rows allow.
        total: Rows of the training part, instead of ``n_max``.
        test_per_class: Rows of each class in test; None for no test part.
        val_per_class: Rows of each class in val; None for no val part.
        seed: Same seed, same rows. A smaller tail is a subset of a larger one.
        order: Class names or positions from head to tail; label order by default.

    Returns:
        The split. Its proof holds the counts of each part and how many rows are left out.

    Raises:
        DataError: a class has too few rows (named, with what it needs), or labels have groups.
        LeakageError: labels that were resampled.
        UsageError: settings that do not belong together.

    Example:
        >>> labels = Labels.from_array([0, 1, 2] * 100, kind="multiclass")
        >>> split = long_tail_split(labels, imbalance_ratio=9, test_per_class=10)
        >>> split.proof["counts"]["train"], split.proof["counts"]["test"]
        ([90, 30, 10], [10, 10, 10])
    """
    refuse_resampled("labels", labels)
    require_labels("labels", labels)
    if labels.kind != "multiclass":
        raise UsageError(say("labels", "be classes for a long tail", "several labels per row"))
    if labels.groups is not None:
        raise DataError(
            say(
                "labels",
                "have no groups for a long tail",
                "groups",
                "Thinning takes single rows; keep one row per group first.",
            )
        )
    ranks = _order(labels, order)
    apart = np.asarray([val_per_class or 0, test_per_class or 0], dtype=np.int64)
    if (apart < 0).any():
        raise UsageError(say("test_per_class and val_per_class", "be >= 0", apart.tolist()))
    have = labels.counts
    _require_rows(labels, have, np.full_like(have, apart.sum()), "the balanced parts")
    have = have - apart.sum()
    if n_max is None and total is None:
        weights = _weights(labels.num_classes, shape, imbalance_ratio, ratios)
        n_max = int(np.floor((have[ranks] / weights).min() + 1e-9))
    wanted = np.empty_like(have)
    wanted[ranks] = long_tail_counts(
        labels.num_classes,
        n_max=n_max,
        total=total,
        imbalance_ratio=imbalance_ratio,
        shape=shape,
        ratios=ratios,
    )
    _require_rows(labels, have, wanted, "the training part (balanced parts set apart)")
    return _draw(labels, wanted, apart, seed, shape=shape, order=[labels.names[k] for k in ranks])


def _draw(labels: Labels, wanted: Ints, apart: Ints, seed: int, **proof: Any) -> Split:
    rng = generator(seed, "long_tail_split")
    n_val, n_test = (int(n) for n in apart)
    parts: dict[str, list[Ints]] = {"train": [], "val": [], "test": []}
    for k, size in enumerate(wanted.tolist()):
        rows = rng.permutation(np.flatnonzero(labels.values == k))
        parts["test"].append(rows[:n_test])
        parts["val"].append(rows[n_test : n_test + n_val])
        parts["train"].append(rows[n_test + n_val :][:size])
    rows_of = {part: np.sort(np.concatenate(rows)) for part, rows in parts.items()}
    used = sum(rows.size for rows in rows_of.values())
    return Split.from_parts(
        **rows_of,
        n_rows=len(labels),
        seed=seed,
        method="long tail",
        proof={
            "labels_fingerprint": labels.fingerprint,
            "ids": id_proof(labels),
            "names": labels.names,
            "rows": {part: rows.size for part, rows in rows_of.items()},
            "counts": {part: labels[rows].counts for part, rows in rows_of.items()},
            "imbalance_ratio": float(wanted.max() / wanted.min()),
            "left_out": len(labels) - used,
            **proof,
        },
    )
