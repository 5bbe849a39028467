"""From a study's data to one split per seed: test stays, train and validation are redrawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from equipoise._core.words import say
from equipoise.artifacts import Finding, Labels, Split
from equipoise.errors import DataError, InfeasibleSplitError, UsageError
from equipoise.splits import (
    Copies,
    audit_split,
    copies_finding,
    find_copies,
    long_tail_split,
    stratified_split,
)
from equipoise.studies.schema import LongTailSpec, SplitFile, StratifiedSpec
from equipoise.studies.source import StudyData

Spec = StratifiedSpec | LongTailSpec


def copies_of(data: StudyData) -> Copies | None:
    """Return which rows are copies of another, joined with the groups; None if nobody knows."""
    return find_copies(data.contents, data.labels.groups)


def fixed_test(spec: Spec, data: StudyData, copies: Copies | None = None) -> NDArray[np.int64]:
    """Return the test rows, which no seed changes; copies stay on one side."""
    if data.test is not None:
        return data.test
    if isinstance(spec, LongTailSpec):
        if spec.test_per_class is None:
            raise UsageError(say("split.test_per_class", "be given: there is no test part", None))
        first = long_tail_split(
            data.labels, test_per_class=spec.test_per_class, seed=spec.seed, **spec.tail
        )
        return first.test
    units = None if copies is None else copies.units
    return _stratified(data.labels, (1 - spec.test, 0.0, spec.test), units, spec.seed).test


def splitter(
    spec: Spec | SplitFile, data: StudyData
) -> tuple[NDArray[np.int64], Callable[[int], Split]]:
    """Return the test rows and a function from seed to split; its proof tells of copies.

    Raises:
        DataError: a split file of other rows.
        UsageError: a long tail without test rows.
    """
    if isinstance(spec, SplitFile):
        written = Split.load(spec.path)
        if written.n_rows != len(data.labels):
            do = "Split the table that is trained on."
            expected = f"be of the data's {len(data.labels)} rows"
            raise DataError(say(spec.path, expected, written.n_rows, do))
        return written.test, lambda _: written
    copies = copies_of(data)
    test = np.sort(fixed_test(spec, data, copies))
    rest = np.setdiff1d(np.arange(len(data.labels)), test)
    labels = data.labels[rest]
    units = None if copies is None or copies.units is None else copies.units[rest]

    def draw(seed: int) -> Split:
        inner = _inner(spec, labels, units, seed)
        told = {} if copies is None else {"copies": copies.to_dict()}
        return Split.from_parts(
            rest[inner.train],
            rest[inner.val],
            test,
            n_rows=len(data.labels),
            seed=seed,
            method=inner.method,
            proof={**inner.proof, **told},
        )

    return test, draw


def _inner(spec: Spec, labels: Labels, units: NDArray[np.int64] | None, seed: int) -> Split:
    if isinstance(spec, LongTailSpec):
        return long_tail_split(labels, val_per_class=spec.val_per_class, seed=seed, **spec.tail)
    return _stratified(labels, (1 - spec.val, spec.val, 0.0), units, seed)


def _stratified(
    labels: Labels,
    fractions: tuple[float, float, float],
    units: NDArray[np.int64] | None,
    seed: int,
) -> Split:
    """Draw a split; a label whose rows are copies of one may be missing from a part."""
    try:
        return stratified_split(labels, fractions=fractions, groups=units, seed=seed)
    except InfeasibleSplitError:
        if units is None:
            raise
        return stratified_split(
            labels, fractions=fractions, groups=units, seed=seed, min_per_part=0
        )


def split_findings(data: StudyData, split: Split) -> list[Finding]:
    """Return what is to be said of copies: kept together, or on both sides of a given test part."""
    copies = split.proof.get("copies")
    if not copies or not copies["rows"]:
        return []
    contents = data.contents
    leaks = [] if contents is None else [
        found for found in audit_split(split, data.labels, hashes=contents) if found.code == "EQ202"
    ]  # fmt: skip
    return leaks or [copies_finding(copies, data.labels)]
