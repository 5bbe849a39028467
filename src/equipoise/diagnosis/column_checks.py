"""Checks of a table's columns: which of them give the label away."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from equipoise._core.messages import hint, listed
from equipoise.artifacts.finding import Finding
from equipoise.artifacts.labels import Labels
from equipoise.diagnosis._registry import check, finding
from equipoise.diagnosis.material import Material

_BINS = 256
_ENOUGH, _GIVEN_AWAY = 10, 0.99
_TOGETHER = 0.02
"""Changes of class in the order of ids, as a share of those of shuffled rows, that are too few."""
_TARGETS = 50
"""Labels that each column is tried on; of more, those with the most positives."""


class Leak(NamedTuple):
    """A column that tells a label by itself."""

    column: str
    label: str
    accuracy: float


class Order(NamedTuple):
    """Ids in whose order rows of one class stand together."""

    column: str
    label: str
    changes: int
    expected: float


@check("EQ117")
def giving_away(material: Material) -> list[Finding] | None:
    """Find columns that tell the label by themselves, and ids that sort by class."""
    labels = material.labels
    if labels is None or not (material.columns or material.ids):
        return None
    made = [_told_by(leaks(material.columns, labels)), _sorted_by(orders(material.ids, labels))]
    return [each for each in made if each is not None]


def _sorted_by(found: list[Order]) -> Finding | None:
    """Return what is to be said of ids, which no model sees."""
    if not found:
        return None
    names = list(dict.fromkeys(order.column for order in found))
    worst = max(found, key=lambda order: order.changes / order.expected)
    one = len(names) == 1
    times = f"{worst.changes} time{'' if worst.changes == 1 else 's'}"
    return finding(
        "EQ117",
        f"{listed([repr(name) for name in names], 10)} {'sorts' if one else 'sort'} the rows by "
        f"class: in {'its' if one else 'their'} order it changes {times}, where shuffled rows "
        f"would change {worst.expected:,.0f} times. No model is given it, but rows of one class "
        "were put together: what came with them (dates, sites, devices) may tell the label too.",
        {"columns": names, "changes": worst.changes, "expected": worst.expected, "left_out": True},
        "Ask how the table was put together; a column that came with the rows is to be left out.",
        severity="tip",
    )


def _told_by(found: list[Leak]) -> Finding | None:
    """Return what is to be said of columns that are features."""
    if not found:
        return None
    by_column = {leak.column: leak for leak in found}
    shown = [
        f"{name!r}{f' ({leak.label})' if leak.label else ''}" for name, leak in by_column.items()
    ]
    least = min(leak.accuracy for leak in found)
    one = len(by_column) == 1
    return finding(
        "EQ117",
        f"{listed(shown, 10)} {'tells' if one else 'tell'} the label by "
        f"{'itself' if one else 'themselves'}: from {'it' if one else 'each'} alone a balanced "
        f"accuracy of {least:.3f} or more on rows that were not looked at.",
        {"columns": list(by_column), "balanced_accuracy": least},
        hint(
            "Ask whether it is known when the decision is made. If not, leave it out: "
            "{drop=COLUMN}."
        ),
        "An id or a date that sorts by class comes of how the table was put together.",
    )


def orders(ids: dict[str, NDArray[np.floating]], labels: Labels) -> list[Order]:
    """Return the columns of ids in whose order rows of one class stand together.

    Args:
        ids: Name -> (N,) places of rows, NaN for none.
        labels: Of the same rows.

    Example:
        >>> y = np.repeat([0, 1], [300, 100])
        >>> labels = Labels.from_array(y, kind="multilabel", names=["A"])
        >>> shuffled = np.argsort(np.random.default_rng(0).random(400)).astype(float)
        >>> [tuple(o) for o in orders({"id": np.arange(400.0), "other": shuffled}, labels)]
        [('id', '', 1, 150.0)]
    """
    found = []
    for name, truth in _targets(labels):
        for column, place in ids.items():
            known = (truth >= 0) & ~np.isnan(place)
            y = truth[known][np.argsort(place[known], kind="stable")]
            counts = np.bincount(y)
            counts = counts[counts > 0]
            if counts.size < 2 or counts.min() < _ENOUGH:
                continue
            changes = int((y[1:] != y[:-1]).sum())
            expected = float(y.size - (counts**2).sum() / y.size)
            if changes <= max(counts.size - 1, _TOGETHER * expected):
                found.append(Order(column, name, changes, expected))
    return found


def leaks(columns: dict[str, NDArray[np.floating]], labels: Labels) -> list[Leak]:
    """Return the columns from which alone a label follows on rows that were not looked at.

    Each column is cut into its values, or into 256 pieces of equally many rows, with one for gaps;
    pieces learn their class from one half of the rows, by shares within classes, and are tried on
    the other, both ways round.

    Args:
        columns: Name -> (N,) numbers, NaN for a gap; categories as places.
        labels: Of the same rows.

    Example:
        >>> y = np.arange(400) % 4 == 0
        >>> table = {"copy": 3.0 * y, "age": np.arange(400) % 37.0}
        >>> found = leaks(table, Labels.from_array(y.astype(int), kind="multilabel", names=["A"]))
        >>> [(leak.column, leak.accuracy) for leak in found]
        [('copy', 1.0)]
    """
    pieces = {name: _pieces(values) for name, values in columns.items()}
    found = []
    for name, truth in _targets(labels):
        known = truth >= 0
        y = truth[known]
        counts = np.bincount(y) if y.size else np.zeros(0, dtype=np.int64)
        if (counts > 0).sum() < 2 or counts[counts > 0].min() < _ENOUGH:
            continue
        for column, piece in pieces.items():
            accuracy = _told(piece[known], y)
            if accuracy >= _GIVEN_AWAY:
                found.append(Leak(column, name, accuracy))
    return found


def _targets(labels: Labels) -> list[tuple[str, NDArray[np.int64]]]:
    if labels.kind == "multiclass":
        # Classes of few rows are nobody's evidence, for or against.
        y = np.asarray(labels.values, dtype=np.int64)
        return [("", np.where(labels.counts[y] >= _ENOUGH, y, -1))]
    order = np.argsort(-labels.counts, kind="stable")[:_TARGETS]
    single = labels.num_classes == 1
    return [
        ("" if single else labels.names[i], np.asarray(labels.values[:, i], dtype=np.int64))
        for i in order
    ]


def _pieces(values: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return which piece each value is in; gaps are the last."""
    gap = np.isnan(values)
    distinct, place = np.unique(values[~gap], return_inverse=True)
    if distinct.size > _BINS:
        ranks = np.empty(place.size, dtype=np.int64)
        ranks[np.argsort(place, kind="stable")] = np.arange(place.size)
        # Equal values share the piece of their first.
        first = np.zeros(distinct.size, dtype=np.int64)
        first[place[np.argsort(place, kind="stable")][::-1]] = np.arange(place.size)[::-1]
        place = first[place] * _BINS // max(place.size, 1)
    found = np.full(values.size, min(distinct.size, _BINS), dtype=np.int64)
    found[~gap] = place
    return found


def _told(piece: NDArray[np.int64], y: NDArray[np.int64]) -> float:
    """Return the balanced accuracy of telling y by the piece, from one half to the other."""
    width, classes = int(piece.max()) + 1, int(y.max()) + 1
    # Every other row of each class: a table that is sorted has all of one in each half.
    half = np.zeros(y.size, dtype=bool)
    half[np.argsort(y, kind="stable")[::2]] = True
    recalls = []
    for fitted in (half, ~half):
        table = np.zeros((width, classes))
        np.add.at(table, (piece[fitted], y[fitted]), 1.0)
        total = np.maximum(table.sum(0), 1.0)
        decided = (table / total).argmax(1)
        tried = ~fitted
        hits = np.bincount(y[tried], decided[piece[tried]] == y[tried], minlength=classes)
        there = np.bincount(y[tried], minlength=classes)
        recalls.append((hits[there > 0] / there[there > 0]).mean())
    return float(np.mean(recalls))
