"""Stratified folds, grouped where groups are given, repeated where asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Ints
from equipoise._core.messages import say
from equipoise._core.rng import generator
from equipoise.artifacts.labels import Labels, require_labels
from equipoise.artifacts.resampled import refuse_resampled
from equipoise.artifacts.split import Split
from equipoise.errors import DataError, UsageError
from equipoise.splits._allocate import Units, gather_units
from equipoise.splits._proof import count_parts, crossing_groups, make_proof
from equipoise.splits.stratified import allocate, group_codes, traded_labels


def _folds(
    labels: Labels, units: Units, folds: int, minimum: int, seed: int, repeat: int, grouped: bool
) -> Ints:
    """Return (N,) the fold of each row."""
    table = allocate(
        units,
        labels.names,
        np.full(folds, 1.0 / folds),
        minimum,
        None,
        (seed, ("stratified_kfold", repeat)),
        by_class=labels.kind == "multiclass" and not grouped,
    )
    return units.spread(table, generator(seed, "stratified_kfold", repeat, "rows"))


def _train_and_val(tallies: tuple[Ints, Ints, Ints], k: int) -> tuple[Ints, Ints, Ints]:
    """Return the tallies of all other folds and of fold ``k``."""
    rows, positives, known = (np.stack([t.sum(axis=0) - t[k], t[k]]) for t in tallies)
    return rows, positives, known


def _fold_split(
    inside: NDArray[np.bool_], seed: int, method: str, proof: Mapping[str, Any]
) -> Split:
    train, val = np.flatnonzero(~inside), np.flatnonzero(inside)
    n_rows = inside.size
    return Split.from_parts(train, val, [], n_rows=n_rows, seed=seed, method=method, proof=proof)


def stratified_kfold(
    labels: Labels,
    *,
    folds: int = 5,
    n_repeats: int = 1,
    groups: ArrayLike | None = None,
    seed: int = 0,
    min_per_part: int = 1,
) -> list[Split]:
    """Cut rows into folds in which every class or label is equally frequent.

    Use when one validation part would hold too few positives: scores of all folds, each from the
    model that did not see it, are pooled. Prefer :func:`stratified_split` otherwise. The method
    and its promises are those of :func:`stratified_split`: a label with at least ``folds``
    positives stands in every fold; one with fewer is spread over as many folds as it can be. Sizes
    come first where a fold has fewer rows than there are labels.

    Args:
        labels: Classes or labels.
        folds: Number of folds, at least 2.
        n_repeats: How often to cut anew.
        groups: (N,) rows that must stay together; by default the labels' own groups.
        seed: Same seed, same folds.
        min_per_part: Positives of each label that every fold must hold where there are enough;
            0 makes no promise.

    Returns:
        ``folds * n_repeats`` splits: val is the fold, train all others, test is empty.

    Raises:
        InfeasibleSplitError: a label has enough rows, but groups keep it from some fold.
        LeakageError: labels that were resampled.
        DataError: fewer rows (or groups) than folds.

    Example:
        >>> labels = Labels.from_array([0] * 40 + [1] * 10, kind="multiclass")
        >>> [s.proof["counts"]["val"] for s in stratified_kfold(labels)]
        [[8, 2], [8, 2], [8, 2], [8, 2], [8, 2]]
    """
    refuse_resampled("labels", labels)
    require_labels("labels", labels)
    for name, value, least in (("folds", folds, 2), ("n_repeats", n_repeats, 1)):
        if value < least:
            raise UsageError(say(name, f"be at least {least}", value))
    codes = group_codes(labels, groups)
    units = gather_units(labels, codes)
    if units.unit_type.size < folds:
        what = "rows" if codes is None else "groups"
        raise DataError(
            say("folds", f"be at most the number of {what} = {units.unit_type.size}", folds)
        )
    fingerprint = labels.fingerprint
    splits = []
    for repeat in range(n_repeats):
        fold = _folds(labels, units, folds, min_per_part, seed, repeat, codes is not None)
        tallies = count_parts(labels, fold, folds)
        crossing = None
        if codes is not None:
            crossing = (int(codes.max()) + 1, int(crossing_groups(fold, codes).size))
        settings = {"repeat": repeat, "folds": folds, "min_per_part": min_per_part}
        places = [f"fold {k}" for k in range(folds)]
        traded = traded_labels(labels, tallies[1], places, min_per_part)
        for k in range(folds):
            here = {name: ("val",) for name, lack in traded.items() if places[k] in lack}
            proof = make_proof(
                labels,
                ("train", "val"),
                _train_and_val(tallies, k),
                fingerprint=fingerprint,
                groups=crossing,
                fold=k,
                **settings,
                **({"traded_labels": here} if here else {}),
            )
            method = "stratified k-fold" + ("" if codes is None else " by groups")
            splits.append(_fold_split(fold == k, seed, method, proof))
    return splits
