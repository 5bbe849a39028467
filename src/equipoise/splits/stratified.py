"""Stratified splits of classes and of labels, with groups that stay together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Ints
from equipoise._core.identity import text_codes
from equipoise._core.messages import hint, say
from equipoise._core.rng import generator
from equipoise.artifacts.labels import Labels, require_labels, to_ids
from equipoise.artifacts.resampled import refuse_resampled
from equipoise.artifacts.split import Split
from equipoise.errors import DataError, InfeasibleSplitError, UsageError
from equipoise.splits._allocate import (
    Units,
    allocate_classes,
    allocate_iteratively,
    balance,
    gather_units,
    is_off,
    repair,
    shortfall,
)
from equipoise.splits._proof import count_parts, crossing_groups, make_proof

PARTS = ("train", "val", "test")
_ATTEMPTS = 8
# Types of units from which on an attempt takes seconds.
_MANY = 1000


def group_codes(labels: Labels, groups: ArrayLike | None) -> Ints | None:
    """Return (N,) codes from 0 of ``groups``, or of the labels' own groups; None without any."""
    array = labels.groups if groups is None else to_ids("groups", groups, len(labels), unique=False)
    return None if array is None else text_codes(array)


def presence(
    units: Units, n_parts: int, minimum: int, priority: Sequence[int] | None
) -> tuple[Ints, NDArray[np.bool_]]:
    """Return (L, P) positives each part should get, and (L,) whether that is promised.

    Promised where there are as many positives as parts. A label with fewer goes to the parts in
    order of ``priority`` (None: wherever).
    """
    positives, holders = units.positives, units.holders
    hard = (positives >= n_parts) & (minimum > 0)
    need = np.zeros((positives.size, n_parts), dtype=np.int64)
    need[hard] = np.where(positives[hard] >= n_parts * minimum, minimum, 1)[:, None]
    for label in np.flatnonzero(~hard & (positives > 0)) if priority is not None else ():
        need[label, list(priority or ())[: int(holders[label])]] = 1
    return need, hard


def require_holders(units: Units, names: Sequence[str], hard: NDArray[np.bool_], n: int) -> None:
    """Raise if a label with enough rows sits in too few groups to reach every part."""
    stuck = np.flatnonzero(hard & (units.holders < n))
    if stuck.size:
        label = int(stuck[0])
        raise InfeasibleSplitError(
            say(
                f"label {names[label]}",
                f"occur in at least {n} groups, one for each part",
                f"{units.positives[label]} rows in {units.holders[label]} group(s)"
                + (f" (and {stuck.size - 1} more such labels)" if stuck.size > 1 else ""),
                hint("Use fewer parts, or pass {min_per_part:0} to let it be missing from a part."),
            )
        )


def allocate(
    units: Units,
    names: Sequence[str],
    fractions: NDArray[np.float64],
    minimum: int,
    priority: Sequence[int] | None,
    seed_stream: tuple[int, tuple[str | int, ...]],
    *,
    by_class: bool,
) -> Ints:
    """Return (T, P) units of each type in each part.

    Every promise of presence is kept where a part has rows for all of them; where it has not, and
    where rows are moved for the sizes of parts, :func:`traded_labels` names what had to give way.
    """
    need, hard = presence(units, fractions.size, minimum, priority)
    require_holders(units, names, hard, fractions.size)
    if by_class:
        return allocate_classes(units.number, fractions, need)
    seed, stream = seed_stream
    # More promises than a part has rows cannot be what rows are chosen by.
    crowded = bool((need[hard].sum(axis=0) > units.n_rows * fractions).any())
    lack = need
    for attempt in range(1 if crowded and units.sizes.size > _MANY else _ATTEMPTS):
        rng = generator(seed, *stream, "allocate", attempt)
        table = allocate_iteratively(units, fractions, need, rng)
        table = repair(units, table, need, hard)
        lack = shortfall(units, table, need) * hard[:, None]
        if not lack.any():
            break
    if lack.any() and not crowded:
        label, part = (int(i) for i in np.argwhere(lack)[0])
        raise InfeasibleSplitError(
            say(
                f"label {names[label]}",
                f"reach every part with {need[label, part]} positive(s)",
                f"no such split in {_ATTEMPTS} attempts ({units.positives[label]} rows in "
                f"{units.holders[label]} units, tied to other rare labels)",
                hint("Use fewer parts, or pass {min_per_part:0} to let it be missing from a part."),
            )
        )
    if is_off(units, table, fractions):
        table = balance(units, table, fractions, need, hard)
    return table


def _fractions(fractions: Sequence[float]) -> NDArray[np.float64]:
    array = np.asarray(fractions, dtype=float)
    fits = array.shape == (3,) and bool((array >= 0).all()) and abs(array.sum() - 1) < 1e-6
    if not fits or array[0] == 0:
        raise UsageError(
            say(
                "fractions",
                "be three shares (train, val, test) >= 0 that sum to 1, train above 0",
                tuple(fractions),
                "For example (0.7, 0.15, 0.15), or (0.8, 0.2, 0.0) without a test part.",
            )
        )
    return np.asarray(array / array.sum())


def _short(labels: Labels, n_parts: int) -> dict[str, int]:
    """Return labels with fewer positives than parts; those without any are not named."""
    pairs = zip(labels.names, labels.counts.tolist(), strict=True)
    return {name: n for name, n in pairs if 0 < n < n_parts}


def traded_labels(
    labels: Labels, counts: Ints, parts: Sequence[str], minimum: int
) -> dict[str, tuple[str, ...]]:
    """Return labels with enough positives for every part -> the parts that hold too few.

    Args:
        labels: What was split.
        counts: (P, C) positives of each part.
        parts: One name per part.
        minimum: Positives that every part should hold where there are enough, else one.
    """
    total, n = counts.sum(axis=0), len(parts)
    need = np.where(total >= n * minimum, minimum, 1) * ((total >= n) & (minimum > 0))
    lacking = counts < need
    return {
        labels.names[c]: tuple(parts[p] for p in np.flatnonzero(lacking[:, c]).tolist())
        for c in np.flatnonzero(lacking.any(axis=0)).tolist()
    }


def _build(labels: Labels, member: Ints, codes: Ints | None, seed: int, **proof: Any) -> Split:
    crossing = None
    if codes is not None:
        crossing = (int(codes.max()) + 1, int(crossing_groups(member, codes).size))
    return Split.from_parts(
        *(np.flatnonzero(member == p) for p in range(3)),
        n_rows=len(labels),
        seed=seed,
        method="stratified" if codes is None else "stratified by groups",
        proof=make_proof(
            labels,
            PARTS,
            count_parts(labels, member, 3),
            fingerprint=labels.fingerprint,
            groups=crossing,
            **proof,
        ),
    )


def stratified_split(
    labels: Labels,
    *,
    fractions: Sequence[float] = (0.7, 0.15, 0.15),
    groups: ArrayLike | None = None,
    seed: int = 0,
    min_per_part: int = 1,
) -> Split:
    """Split rows so that every class or label is as frequent in each part as in the whole.

    Use when labels are rare enough for a random split to lose some. Prefer
    :func:`stratified_kfold` where one validation part would hold too few positives.

    Classes without groups are rounded by largest remainder: each class is off by less than one
    row in each part. Labels, and anything with groups, are stratified iteratively (the rarest
    remaining label first; its rows to the part that lacks it most, ties by the part that lacks
    most of their other labels, then most rows, then at random; whole groups, largest first).
    Rows of equal labels are handed out together, so counts do not depend on the order of rows.
    Unknown entries count neither way.

    *Presence.* A label with at least as many positives as there are parts stands in every part.
    One with fewer goes to train first, then test, then val; the proof lists it under
    "short_labels".

    *Sizes.* Rare labels may pull more rows into a part than its share. Where that is more than
    1 % of all rows (and more than 4 rows), and rows are not in groups, rows are moved until sizes
    are met, those first that cost no presence. So where there are more labels than a part has
    rows, some are missing from it: the proof lists them under "traded_labels".

    Args:
        labels: Classes or labels.
        fractions: Shares of train, val and test; val or test may be 0.
        groups: (N,) rows that must stay together; by default the labels' own groups.
        seed: Same seed, same split.
        min_per_part: Positives of each label that every part must hold where there are enough
            (else one); 0 makes no promise.

    Returns:
        The split. Its proof holds counts and prevalence per part, the largest deviation of a
        prevalence, groups that cross parts (0), and the fingerprint of the labels.

    Raises:
        InfeasibleSplitError: a label has enough rows, but groups keep it from some part.
        LeakageError: labels that were resampled.
        DataError: fewer rows than parts.
        UsageError: fractions that are not three shares.

    Example:
        >>> labels = Labels.from_array([0] * 80 + [1] * 20, kind="multiclass")
        >>> split = stratified_split(labels, fractions=(0.5, 0.25, 0.25))
        >>> split.proof["counts"]
        {'train': [40, 10], 'val': [20, 5], 'test': [20, 5]}

    References:
        Sechidis, Tsoumakas, Vlahavas. On the stratification of multi-label data. ECML PKDD 2011,
        algorithm 1.
    """
    refuse_resampled("labels", labels)
    require_labels("labels", labels)
    shares = _fractions(fractions)
    if min_per_part < 0:
        raise UsageError(say("min_per_part", "be >= 0", min_per_part))
    active = np.flatnonzero(shares > 0)
    codes = group_codes(labels, groups)
    units = gather_units(labels, codes)
    if units.unit_type.size < active.size:
        what = "rows" if codes is None else "groups"
        raise DataError(
            say("labels", f"have at least {active.size} {what}, one per part", len(units.unit_type))
        )
    priority = [int(np.searchsorted(active, p)) for p in (0, 2, 1) if p in active]
    table = allocate(
        units,
        labels.names,
        shares[active],
        min_per_part,
        priority,
        (seed, ("stratified_split",)),
        by_class=labels.kind == "multiclass" and codes is None,
    )
    member = active[units.spread(table, generator(seed, "stratified_split", "rows"))]
    counts = count_parts(labels, member, 3)[1][active]
    traded = traded_labels(labels, counts, [PARTS[p] for p in active], min_per_part)
    split = _build(
        labels,
        member,
        codes,
        seed,
        fractions=shares,
        min_per_part=min_per_part,
        short_labels=_short(labels, active.size),
        **({"traded_labels": traded} if traded else {}),
    )
    for part in active:
        if split.sizes[PARTS[part]] == 0:
            raise InfeasibleSplitError(
                say(f"part {PARTS[part]}", "hold at least one row", "none", "Raise its fraction.")
            )
    return split


def redraw_validation(
    split: Split,
    labels: Labels,
    *,
    seed: int,
    groups: ArrayLike | None = None,
    min_per_part: int = 1,
) -> Split:
    """Draw train and val anew from the rows of both, and leave test as it is.

    Use when an experiment is repeated over seeds: the test part stays the same in all of them.

    Args:
        split: The split whose test part is kept.
        labels: The labels that were split.
        seed: Same seed, same split.
        groups: (N,) rows that must stay together; by default the labels' own groups.
        min_per_part: As in :func:`stratified_split`.

    Returns:
        A split with the same test part and about the same sizes.

    Example:
        >>> labels = Labels.from_array([0, 1] * 50, kind="multiclass")
        >>> first = stratified_split(labels)
        >>> again = redraw_validation(first, labels, seed=1)
        >>> (again.test == first.test).all(), (again.val == first.val).all()
        (np.True_, np.False_)
    """
    refuse_resampled("labels", labels)
    require_labels("labels", labels)
    rows = np.sort(np.concatenate([split.train, split.val]))
    codes = group_codes(labels, groups)
    part = split.val.size / rows.size
    inner = stratified_split(
        labels[rows],
        fractions=(1 - part, part, 0.0),
        groups=None if codes is None else codes[rows],
        seed=seed,
        min_per_part=min_per_part,
    )
    member = np.full(len(labels), -1, dtype=np.int64)
    member[split.test] = 2
    member[rows[inner.train]], member[rows[inner.val]] = 0, 1
    stated = ("min_per_part", "short_labels", "traded_labels")
    kept = {k: inner.proof[k] for k in stated if k in inner.proof}
    return _build(labels, member, codes, seed, test_fixed=True, **kept)
