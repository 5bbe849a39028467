"""Units of a split, rows or whole groups, to its parts: how many of each, and repairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from heapq import heapify, heappop, heappush
from operator import add

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from equipoise._core.arrays import Floats, Ints
from equipoise._core.rng import generator
from equipoise.artifacts.labels import Labels
from equipoise.labels.pairs import present_table


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """U units of T types; units of one type hold the same positives and the same rows.

    What a split decides is how many units of each type go to each part. So its work grows with
    the number of types, and its counts cannot depend on the order of rows.

    Args:
        vectors: (T, L) int64 positives of each label in one unit, sparse, columns in order.
        sizes: (T,) rows in one unit.
        number: (T,) units of each type.
        unit_type: (U,) type of each unit.
        row_unit: (N,) unit of each row; None where each row is a unit.
    """

    vectors: csr_array
    sizes: NDArray[np.int64]
    number: NDArray[np.int64]
    unit_type: NDArray[np.int64]
    row_unit: NDArray[np.int64] | None

    @property
    def positives(self) -> NDArray[np.int64]:
        """(L,) positives of each label."""
        return product(self.vectors, self.number)

    @property
    def holders(self) -> NDArray[np.int64]:
        """(L,) units that hold at least one positive of each label."""
        return product((self.vectors > 0).astype(np.int64), self.number)

    @property
    def n_rows(self) -> int:
        """Rows in all units."""
        return int(self.sizes @ self.number)

    def spread(self, table: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Return (N,) the part of each row, given a (T, P) table of units per type and part."""
        order = np.lexsort((rng.random(self.unit_type.size), self.unit_type))
        parts = np.tile(np.arange(table.shape[1]), table.shape[0])
        chosen = np.empty(self.unit_type.size, dtype=np.int64)
        chosen[order] = np.repeat(parts, table.ravel())
        return chosen if self.row_unit is None else chosen[self.row_unit]


def product(vectors: csr_array, number: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return vectors' x number."""
    return np.asarray(vectors.T @ number, dtype=np.int64)


def _types(
    sizes: NDArray[np.int64], content: csr_array
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (U,) type of each unit and (T,) a unit of each type; equal content, equal type."""
    n, width = content.shape
    factors = generator(0, "units").integers(1, 2**63, size=width + 1, dtype=np.uint64)
    # Sums of unsigned integers wrap around, and so do the differences of running sums.
    terms = content.data.astype(np.uint64) * factors[1:][content.indices]
    running = np.append(np.zeros(1, dtype=np.uint64), np.cumsum(terms, dtype=np.uint64))
    key = sizes.astype(np.uint64) * factors[0] + np.diff(running[content.indptr])
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    like = first[inverse]
    same = content[like]
    equal = (same.indptr == content.indptr).all() and (sizes[like] == sizes).all()
    if equal and (same.indices == content.indices).all() and (same.data == content.data).all():
        return inverse, first
    seen: dict[bytes, int] = {}  # two contents shared one key: compare them in full
    inverse = np.empty(n, dtype=np.int64)
    for unit in range(n):
        cells = slice(content.indptr[unit], content.indptr[unit + 1])
        parts = (sizes[unit : unit + 1], content.indices[cells], content.data[cells])
        inverse[unit] = seen.setdefault(b"".join(p.tobytes() for p in parts), len(seen))
    return inverse, np.unique(inverse, return_index=True)[1]


def gather_units(labels: Labels, row_unit: NDArray[np.int64] | None) -> Units:
    """Gather rows (or groups, given as (N,) codes from 0) into types of equal content."""
    if row_unit is None:
        sizes = np.ones(len(labels), dtype=np.int64)
        if labels.kind == "multiclass":  # one type per class, in class order
            each = np.ones(labels.num_classes, dtype=np.int64)
            places = np.arange(labels.num_classes)
            one = csr_array((each, places, np.arange(each.size + 1)))
            return Units(one, each, labels.counts, labels.values, None)
        content = present_table(labels.entries)
    else:
        sizes = np.bincount(row_unit)
        found = labels.entries.present
        ones = np.ones(found.columns.size, dtype=np.int64)
        # Cells of one group and label add up.
        content = csr_array(
            (ones, (row_unit[found.rows], found.columns)), shape=(sizes.size, found.width)
        )
        content.sum_duplicates()
    unit_type, first = _types(sizes, content)
    return Units(content[first], sizes[first], np.bincount(unit_type), unit_type, row_unit)


# Spread of the log of a unit's size when units are put in order.
JITTER = 0.5


def _class_row(expected: Floats, need: Ints, carry: Floats) -> Ints:
    """Round one class: floor, at least ``need``, the rest to the largest remainders."""
    total = round(float(expected.sum()))
    given = np.maximum(np.floor(expected + 1e-9).astype(np.int64), need)
    while given.sum() > total:
        surplus = np.where(given > need, given - expected, -np.inf)
        given[surplus.argmax()] -= 1
    rest = expected - given
    order = np.lexsort((-(rest + carry), rest <= 1e-9))
    for k in range(total - int(given.sum())):
        given[order[k % order.size]] += 1
    return given


def allocate_classes(counts: Ints, fractions: Floats, need: Ints) -> Ints:
    """Round each class by largest remainder; earlier roundings are carried into the next class.

    Args:
        counts: (C,) rows of each class.
        fractions: (P,) sum to 1.
        need: (C, P) rows that each part must get.

    Returns:
        (C, P) int64. Each entry is its exact share rounded down or up, ``need`` apart, and each
        part's total stays within about one row of its share.
    """
    table = np.zeros((counts.size, fractions.size), dtype=np.int64)
    carry = np.zeros(fractions.size)
    for c in np.argsort(counts, kind="stable"):
        expected = counts[c] * fractions
        table[c] = _class_row(expected, need[c], carry)
        carry += expected - table[c]
    return table


def lifted_demand(positives: Ints, fractions: Floats, need: Ints) -> Floats:
    """Return (L, P) demanded positives: shares, lifted to ``need`` at the cost of the others."""
    demand: Floats = np.maximum(np.outer(positives, fractions), need)
    excess = demand.sum(axis=1) - positives
    slack = demand - need
    room = slack.sum(axis=1)
    part = np.divide(excess, room, out=np.zeros_like(room), where=(excess > 1e-9) & (room > 0))
    return np.asarray(demand - slack * part[:, None])


def _water(demand: list[float], shares: list[float], amount: float) -> float:
    """Return the relative demand to which parts fall when ``amount`` goes to the highest first."""
    total, width, level = 0.0, 0.0, 0.0
    order = sorted(range(len(demand)), key=lambda p: -demand[p] / shares[p])
    for k, part in enumerate(order):
        total, width = total + demand[part], width + shares[part]
        level = (total - amount) / width
        if k + 1 == len(order) or level >= demand[order[k + 1]] / shares[order[k + 1]]:
            break
    return level


def _added(values: Sequence[float]) -> float:
    """Add from left to right; since Python 3.12 ``sum`` rounds floats otherwise.

    Ties are told apart by these sums, and a seed is to give one split on every version.
    """
    return reduce(add, values)


class _Ledger:
    """What each part still demands, as plain lists: parts are few and updates are many."""

    def __init__(self, units: Units, fractions: Floats, need: Ints, noise: Floats) -> None:
        self.demand = lifted_demand(units.positives, fractions, need).tolist()
        self.room = (units.n_rows * fractions).tolist()
        self.shares, self.ones = fractions.tolist(), [1.0] * fractions.size
        self.equal = bool(np.ptp(fractions) <= 1e-12)
        # Flat: tens of thousands of small lists would keep the garbage collector busy.
        self.noise: list[float] = noise.ravel().tolist()
        self.table: list[int] = [0] * noise.size
        self.starts = units.vectors.indptr.tolist()
        self.values = units.vectors.data.tolist()
        self.columns = units.vectors.indices.tolist()
        self.sizes, self.number = units.sizes.tolist(), units.number.tolist()

    def _others(self, span: range, size: int) -> tuple[list[float], int]:
        """Return what each part lacks of a unit's labels in all, and what one unit brings."""
        if len(span) < 2:
            return self.room, size
        rows = [self.demand[self.columns[i]] for i in span]
        return list(map(_added, zip(*rows, strict=True))), sum(self.values[i] for i in span)

    def _fill(self, kind: int, span: range, demand: list[float], step: int) -> list[int]:
        """Hand equal units out, each to the part with the highest relative demand.

        Parts that are nearest to it by half a unit count as equal; among them the unit goes to
        the one that lacks most of its labels in all, then most rows, then at random. As a loop
        over the units would do, but most of many units are handed out at once.
        """
        m, size, shares = self.number[kind], self.sizes[kind], self.shares
        given = [0] * len(shares)
        if m > 2 * len(shares):
            level = _water(demand, shares, m * step)
            given = [
                max(0, int((d - level * f) / step) - 1) for d, f in zip(demand, shares, strict=True)
            ]
        others, load = self._others(span, size)
        for _ in range(m - sum(given)):
            lack = [d - g * step for d, g in zip(demand, given, strict=True)]
            least = max((x - step / 2) / f for x, f in zip(lack, shares, strict=True)) - 1e-9
            near = [p for p, f in enumerate(shares) if lack[p] / f >= least]
            best = near[0]
            if len(near) > 1:
                keys = [
                    (
                        (others[p] - given[p] * load) / shares[p],
                        (self.room[p] - given[p] * size) / shares[p],
                        self.noise[kind * len(shares) + p],
                        p,
                    )
                    for p in near
                ]
                best = max(keys)[-1]
            given[best] += 1
        return given

    def _place_one(self, kind: int, span: range, demand: list[float], step: int) -> None:
        """Hand out the only unit of a type: what :meth:`_fill` would do, without its sums."""
        shares, half = self.shares, step / 2
        if self.equal:
            shares = self.ones
            least = max(demand) - half - 1e-9
            near = [p for p, d in enumerate(demand) if d >= least]
        else:
            least = max([(d - half) / f for d, f in zip(demand, shares, strict=True)]) - 1e-9
            near = [p for p, f in enumerate(shares) if demand[p] / f >= least]
        best, columns = near[0], self.columns[span.start : span.stop]
        if len(near) > 1:
            lacks = [self.demand[c] for c in columns] if len(columns) > 1 else [self.room]
            lacking = [_added([lack[p] for lack in lacks]) / shares[p] for p in near]
            most = max(lacking)
            near = [p for p, lack in zip(near, lacking, strict=True) if lack == most]
            best = near[0]
            if len(near) > 1:
                at = kind * len(shares)
                best = max(near, key=lambda p: (self.room[p] / shares[p], self.noise[at + p]))
        self.table[kind * len(shares) + best] = 1
        self.room[best] -= self.sizes[kind]
        for column, value in zip(columns, self.values[span.start : span.stop], strict=True):
            self.demand[column][best] -= value

    def place(self, kind: int, demand: list[float], step: int) -> None:
        """Hand out all units of one type by ``demand`` and write down what they fulfil."""
        size = self.sizes[kind]
        span = range(self.starts[kind], self.starts[kind + 1])
        if self.number[kind] == 1:
            self._place_one(kind, span, demand, step)
            return
        given = self._fill(kind, span, demand, step)
        self.table[kind * len(given) : (kind + 1) * len(given)] = given
        for part, units in enumerate(given):
            if units:
                self.room[part] -= units * size
                for i in span:
                    self.demand[self.columns[i]][part] -= units * self.values[i]


def allocate_iteratively(
    units: Units, fractions: Floats, need: Ints, rng: np.random.Generator
) -> Ints:
    """Stratify by the rarest remaining label first (Sechidis, Tsoumakas, Vlahavas, 2011).

    Two changes, neither of which shows with equal parts and one label. Demand is relative to the
    part's share: by absolute demand the first rows of every label all go to the largest part, so
    that rows of one labelset end up together. And where parts lack the rarest label about
    equally, the unit goes to the one that lacks most of its labels in all (the paper: most rows);
    with 80 labels that brings the largest deviation in a fold from tens of rows to under one.

    Args:
        units: Types of units and how many there are of each.
        fractions: (P,) sum to 1, all above 0.
        need: (L, P) positives that each part should get at least.
        rng: Breaks ties, and shuffles units of about the same size.

    Returns:
        (T, P) int64 units of each type in each part.
    """
    n_types = units.sizes.size
    ledger = _Ledger(units, fractions, need, rng.random((n_types, fractions.size)))
    by_label = csc_array(units.vectors)
    by_label.sort_indices()
    remaining = units.positives.tolist()
    waiting = np.ones(n_types, dtype=bool)
    # Strictly largest first would give nearly the same groups to the same part for every seed.
    jitter = np.exp(rng.normal(0.0, JITTER, n_types))
    # An entry that was overtaken by a later one of its label is passed over.
    rarest = [(n, label) for label, n in enumerate(remaining) if n > 0]
    heapify(rarest)
    while rarest:
        n, label = heappop(rarest)
        if n != remaining[label]:
            continue
        cells = slice(by_label.indptr[label], by_label.indptr[label + 1])
        kinds, step_of = by_label.indices[cells].astype(np.int64), by_label.data[cells]
        here = waiting[kinds]
        kinds, step_of = kinds[here], step_of[here]
        order = np.argsort(-step_of * jitter[kinds], kind="stable")
        kinds, steps = kinds[order], step_of[order].tolist()
        touched = set()
        for kind, step in zip(kinds.tolist(), steps, strict=True):
            ledger.place(kind, ledger.demand[label], step)
            for i in range(ledger.starts[kind], ledger.starts[kind + 1]):
                column = ledger.columns[i]
                remaining[column] -= ledger.values[i] * ledger.number[kind]
                touched.add(column)
        waiting[kinds] = False
        for column in touched:
            if remaining[column]:
                heappush(rarest, (remaining[column], column))
    kinds = np.flatnonzero(waiting)
    for kind in kinds[np.argsort(-units.sizes[kinds] * jitter[kinds], kind="stable")].tolist():
        ledger.place(kind, ledger.room, ledger.sizes[kind])
    return np.array(ledger.table, dtype=np.int64).reshape(n_types, fractions.size)


_TRIES = 64


def shortfall(units: Units, table: Ints, need: Ints) -> Ints:
    """Return (L, P) positives that each part lacks."""
    lack: Ints = np.maximum(need - product(units.vectors, table), 0)
    return lack


class _Search:
    """Single moves and swaps of units that lower the weighted shortfall."""

    def __init__(self, units: Units, table: Ints, need: Ints, weight: Ints) -> None:
        self.units, self.table, self.need, self.weight = units, table.copy(), need, weight
        self.have = product(units.vectors, table)
        self.by_label = csc_array(units.vectors)
        self.by_label.sort_indices()

    def _content(self, kind: int) -> tuple[Ints, Ints]:
        """Return the labels of one unit and how many positives of each it holds."""
        vectors = self.units.vectors
        cells = slice(vectors.indptr[kind], vectors.indptr[kind + 1])
        return vectors.indices[cells].astype(np.int64), vectors.data[cells]

    def _holders(self, label: int) -> Ints:
        """Return the types of units that hold a label."""
        cells = slice(self.by_label.indptr[label], self.by_label.indptr[label + 1])
        return np.asarray(self.by_label.indices[cells])

    def _cost(self, labels: Ints, have: Ints) -> int:
        lack = np.maximum(self.need[labels] - have, 0)
        return int((lack * self.weight[labels][:, None]).sum())

    def gain(self, kind: int, source: int, goal: int) -> int:
        """Return how much the weighted shortfall falls when one unit moves."""
        labels, held = self._content(kind)
        before = self.have[labels]
        after = before.copy()
        after[:, source] -= held
        after[:, goal] += held
        return self._cost(labels, before) - self._cost(labels, after)

    def move(self, kind: int, source: int, goal: int) -> None:
        """Move one unit."""
        labels, held = self._content(kind)
        self.table[kind, source] -= 1
        self.table[kind, goal] += 1
        self.have[labels, source] -= held
        self.have[labels, goal] += held

    def _movable(self, kinds: Ints, source: int) -> Iterator[int]:
        yield from kinds[self.table[kinds, source] > 0].tolist()

    def single(self, label: int, goal: int) -> bool:
        """Make the best single move that brings ``label`` to ``goal``, if one helps."""
        kinds = self._holders(label)
        options = [
            (self.gain(kind, source, goal), -int(self.units.sizes[kind]), kind, source)
            for source in range(self.table.shape[1])
            if source != goal
            for kind in self._movable(kinds, source)
        ]
        if not options or max(options)[0] <= 0:
            return False
        _, _, kind, source = max(options)
        self.move(kind, source, goal)
        return True

    def swap(self, label: int, goal: int) -> bool:
        """Move a unit with ``label`` to ``goal`` and another one back, if together they help."""
        kinds = self._holders(label)[:_TRIES]
        for source in range(self.table.shape[1]):
            if source == goal:
                continue
            for kind in list(self._movable(kinds, source)):
                first = self.gain(kind, source, goal)
                self.move(kind, source, goal)
                lacking = np.flatnonzero(self.have[:, source] < self.need[:, source])
                held = [self._holders(other) for other in lacking.tolist()]
                back = np.unique(np.concatenate(held))[:_TRIES] if held else lacking
                for other in list(self._movable(back, goal)):
                    if first + self.gain(other, goal, source) > 0:
                        self.move(other, goal, source)
                        return True
                self.move(kind, goal, source)
        return False


def repair(units: Units, table: Ints, need: Ints, hard: NDArray[np.bool_]) -> Ints:
    """Return a table in which fewer labels are missing from a part, by moves and swaps.

    Args:
        units: Types of units.
        table: (T, P) units of each type in each part.
        need: (L, P) positives that each part should get.
        hard: (L,) labels whose need comes before that of the others.
    """
    weight = np.where(hard, 1_000, 1).astype(np.int64)
    search = _Search(units, table, need, weight)
    progress = True
    while progress:
        progress = False
        lack = np.argwhere(np.maximum(need - search.have, 0) > 0)
        for label, part in sorted(lack.tolist(), key=lambda lp: (not hard[lp[0]], lp)):
            if search.have[label, part] < need[label, part] and (
                search.single(label, part) or search.swap(label, part)
            ):
                progress = True
    return search.table


# How far a part may be from its size before rows are moved for it: a share of all, and rows.
SIZE_SHARE, SIZE_ROWS = 0.01, 4
# No evenness is worth a positive that a part needs.
_PRESENCE = 1e6


def part_sizes(n_rows: int, fractions: Floats) -> Ints:
    """Return (P,) rows that parts should have, rounded by largest remainder."""
    return _class_row(n_rows * fractions, np.zeros(fractions.size, dtype=np.int64), 0 * fractions)


def is_off(units: Units, table: Ints, fractions: Floats) -> bool:
    """Whether a part of single rows is further from its size than is let pass."""
    if units.row_unit is not None:
        return False
    gap = np.abs(units.sizes @ table - units.n_rows * fractions).max()
    return bool(gap > max(SIZE_SHARE * units.n_rows, SIZE_ROWS))


def balance(
    units: Units, table: Ints, fractions: Floats, need: Ints, hard: NDArray[np.bool_]
) -> Ints:
    """Return a table of single rows whose parts have their sizes, by the moves that cost least.

    A move costs most where a part would lose the positives it needs, then what it takes from the
    evenness of the labels that move. The cheapest first, looked at again when its turn comes.

    Args:
        units: Types of units.
        table: (T, P) units of each type in each part.
        fractions: (P,) sum to 1.
        need: (L, P) positives that each part should get.
        hard: (L,) labels whose need comes before that of the others.
    """
    search = _Search(units, table, need, np.where(hard, 1_000, 1).astype(np.int64))
    over = units.sizes @ table - part_sizes(units.n_rows, fractions)
    even = np.outer(units.positives, fractions)

    def prices(cells: slice, source: int, goal: int) -> Floats:
        """Return what moving one positive each costs, for some cells of the units."""
        labels, held = units.vectors.indices[cells], units.vectors.data[cells]
        total = np.zeros(held.size)
        for part, change in ((source, -held), (goal, held)):
            have, fair, wanted = search.have[labels, part], even[labels, part], need[labels, part]
            total += change * (2 * (have - fair) + change) / np.maximum(fair, 1e-9)
            lack = np.maximum(wanted - have - change, 0) - np.maximum(wanted - have, 0)
            total += _PRESENCE * search.weight[labels] * lack
        return total

    def price(kind: int, source: int, goal: int) -> float:
        cells = slice(units.vectors.indptr[kind], units.vectors.indptr[kind + 1])
        return float(prices(cells, source, goal).sum())

    offers = []
    kind_of = np.repeat(np.arange(units.sizes.size), np.diff(units.vectors.indptr))
    for source in np.flatnonzero(over > 0).tolist():
        for goal in np.flatnonzero(over < 0).tolist():
            each = prices(slice(None), source, goal)
            asked_of = np.bincount(kind_of, each, minlength=units.sizes.size).tolist()
            kinds = np.flatnonzero(search.table[:, source]).tolist()
            offers += [(asked_of[kind], kind, source, goal) for kind in kinds]
    heapify(offers)
    while offers:
        asked, kind, source, goal = heappop(offers)
        if search.table[kind, source] == 0 or over[source] <= 0 or over[goal] >= 0:
            continue
        now = price(kind, source, goal)
        if offers and now > max(asked, offers[0][0]):
            heappush(offers, (now, kind, source, goal))
            continue
        search.move(kind, source, goal)
        over[source] -= 1
        over[goal] += 1
        heappush(offers, (price(kind, source, goal), kind, source, goal))
    return search.table
