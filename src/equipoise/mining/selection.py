"""Which negatives are hard: the highest scores below a ceiling, so many per group."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Floats, Ints

Shards = Callable[[], Iterable[tuple[int, NDArray[np.floating]]]]
"""Called for each pass; yields where a shard begins and its scores, NaN for all but negatives."""
Groups = Callable[[Ints], NDArray[Any] | None]
_NO_ROWS: Ints = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Hard:
    """The hard negatives of one round, hardest first; of equal scores the lower row.

    Args:
        rows: (n,) int64, not in the training set: to be added.
        scores: (n,) their log-odds.
        known: (k,) int64 rows of the training set that would be taken, were they not there yet.
        known_scores: (k,).
        skipped: (m,) int64 rows above the ceiling, of the training set or not.
        skipped_scores: (m,).
        cut: Lowest score that is hard; -inf where every score is.
    """

    rows: Ints
    scores: Floats
    known: Ints
    known_scores: Floats
    skipped: Ints
    skipped_scores: Floats
    cut: float


def find_hard(
    shards: Shards,
    members: Ints,
    groups: Groups,
    *,
    n_left: int,
    top_k: int | None,
    threshold: float | None,
    cap: int | None,
    ceiling: float,
) -> Hard:
    """Return the negatives that a round adds, in two passes over scores that lie on disk.

    Memory holds the rows that are kept so far and one shard. Keeping the best k of each shard and
    of what was kept before is exact, with a limit per group too: a row that is dropped has k better
    ones, and each of these is only ever replaced by one that is better still.

    Args:
        shards: The scores, log-odds.
        members: Sorted rows of the training set.
        groups: Group of each of some rows.
        n_left: Negatives that are not in the training set.
        top_k: Rows at most, or None.
        threshold: Lowest log-odds, or None.
        cap: Rows of one group at most, or None.
        ceiling: Share of ``n_left`` that is skipped.

    Example:
        >>> scores = np.array([0.1, 3.0, 2.0, np.nan, 1.0])
        >>> found = find_hard(lambda: [(0, scores)], np.array([2]), lambda rows: None, n_left=3,
        ...     top_k=1, threshold=None, cap=None, ceiling=0.34)
        >>> found.skipped.tolist(), found.known.tolist(), found.rows.tolist(), found.cut
        ([1], [2], [4], 1.0)
    """
    lowest = -np.inf if threshold is None else threshold
    n_skip = int(np.floor(ceiling * n_left))
    over = _Best(n_skip, None, groups)
    for rows, scores in _free(shards, members) if n_skip else ():
        over.take(rows, scores)
    # A row is over the ceiling where it comes before the last one that is skipped.
    top = (over.scores[-1], over.rows[-1]) if over.rows.size else (np.inf, -1)
    best = _Best(top_k, cap, groups)
    for rows, scores in _free(shards, members):
        fits = (scores >= lowest) & ~_before(scores, rows, top)
        best.take(rows[fits], scores[fits])
    is_full = top_k is not None and best.rows.size == top_k
    last = (best.scores[-1], best.rows[-1]) if is_full else (lowest, np.iinfo(np.int64).max)
    known, known_scores = _of_members(shards, members)
    beyond = _before(known_scores, known, top)
    would = ~beyond & _before(known_scores, known, last)
    if cap is not None:
        would[would] = _room(known[would], known_scores[would], best, cap, groups)
    skipped = np.concatenate([over.rows, known[beyond]])
    skipped_scores = np.concatenate([over.scores, known_scores[beyond]])
    order = np.lexsort((skipped, -skipped_scores))
    return Hard(
        best.rows,
        best.scores,
        known[would],
        known_scores[would],
        skipped[order],
        skipped_scores[order],
        float(last[0]),
    )


def draw_rows(
    is_negative: Callable[[int, int], NDArray[np.bool_]],
    n_rows: int,
    leave_out: Ints,
    n: int,
    rng: np.random.Generator,
    step: int = 2**22,
) -> tuple[Ints, int]:
    """Draw n negatives at random, without those to leave out, in one pass over the labels.

    Args:
        is_negative: Says which rows of a range are negatives.
        n_rows: Rows of the pool.
        leave_out: Sorted rows that cannot be drawn.
        n: Rows to draw; all there are where there are fewer.
        rng: Draws.
        step: Rows that are looked at together.

    Returns:
        Sorted rows, and how many could have been drawn.
    """
    free = [int(_eligible(is_negative, s, n_rows, leave_out, step).sum())
            for s in range(0, n_rows, step)]  # fmt: skip
    total = sum(free)
    places = np.sort(rng.choice(total, min(n, total), replace=False)) if total else _NO_ROWS
    found, before = [_NO_ROWS], 0
    for count, start in zip(free, range(0, n_rows, step), strict=True):
        mine = places[(places >= before) & (places < before + count)] - before
        if mine.size:
            rows = np.flatnonzero(_eligible(is_negative, start, n_rows, leave_out, step))
            found.append(start + rows[mine])
        before += count
    return np.concatenate(found), total


def _eligible(
    is_negative: Callable[[int, int], NDArray[np.bool_]],
    start: int,
    n_rows: int,
    leave_out: Ints,
    step: int,
) -> NDArray[np.bool_]:
    stop = min(start + step, n_rows)
    mask = is_negative(start, stop).copy()
    low, high = np.searchsorted(leave_out, (start, stop))
    mask[leave_out[low:high] - start] = False
    return mask


class _Best:
    """The best rows of all that were shown so far."""

    def __init__(self, most: int | None, cap: int | None, groups: Groups) -> None:
        self.most, self.cap, self.groups = most, cap, groups
        self.rows, self.scores = _NO_ROWS, np.zeros(0)

    def take(self, rows: Ints, scores: Floats) -> None:
        if self.most is not None and self.rows.size == self.most and self.most > 0:
            better = scores >= self.scores[-1]
            rows, scores = rows[better], scores[better]
        rows, scores = np.append(self.rows, rows), np.append(self.scores, scores)
        order = np.lexsort((rows, -scores))
        if self.cap is not None:
            member = self.groups(rows[order])
            order = order if member is None else order[_rank_in_group(member) < self.cap]
        order = order[: self.most]
        self.rows, self.scores = rows[order], scores[order]


def _rank_in_group(groups: NDArray[Any]) -> Ints:
    """Return how many entries of its group come before each entry."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    first = np.append(True, ordered[1:] != ordered[:-1]) if ordered.size else np.zeros(0, bool)
    begin = np.maximum.accumulate(np.where(first, np.arange(ordered.size), 0))
    rank = np.empty(ordered.size, dtype=np.int64)
    rank[order] = np.arange(ordered.size) - begin
    return rank


def _before(scores: Floats, rows: Ints, last: tuple[float, int]) -> NDArray[np.bool_]:
    """Return which rows stand at or before a place in the order: score down, then row up."""
    score, row = last
    return np.asarray((scores > score) | ((scores == score) & (rows <= row)))


def _room(rows: Ints, scores: Floats, best: _Best, cap: int, groups: Groups) -> NDArray[np.bool_]:
    """Return whether each row's group has room for it among what was selected."""
    own, others = groups(rows), groups(best.rows)
    if own is None or others is None:
        return np.ones(rows.size, dtype=bool)
    room = np.empty(rows.size, dtype=bool)
    for i in range(rows.size):
        same = others == own[i]
        room[i] = _before(best.scores[same], best.rows[same], (scores[i], rows[i])).sum() < cap
    return room


def _free(shards: Shards, members: Ints) -> Iterable[tuple[Ints, Floats]]:
    """Yield rows and scores of the negatives outside the training set."""
    for start, scores in shards():
        mask = ~np.isnan(scores)
        low, high = np.searchsorted(members, (start, start + scores.size))
        mask[members[low:high] - start] = False
        rows = np.flatnonzero(mask)
        yield start + rows, scores[rows].astype(np.float64)


def _of_members(shards: Shards, members: Ints) -> tuple[Ints, Floats]:
    """Return the negatives of the training set and their scores."""
    rows, values = [_NO_ROWS], [np.zeros(0)]
    for start, scores in shards():
        low, high = np.searchsorted(members, (start, start + scores.size))
        own = members[low:high]
        found = scores[own - start].astype(np.float64)
        rows.append(own[~np.isnan(found)])
        values.append(found[~np.isnan(found)])
    return np.concatenate(rows), np.concatenate(values)
