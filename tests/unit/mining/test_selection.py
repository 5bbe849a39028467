"""Which rows are hard, against a loop over all of them; and what the draws promise."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, strategies as st

from equipoise.mining.inclusion import History, MinedRows
from equipoise.mining.selection import Hard, draw_rows, find_hard


def in_order(rows, score):
    return sorted(rows, key=lambda r: (-score[r], r))


def oracle(left, score, group, n_skip, top_k, threshold, cap):
    """Go down the list by score: skip, stop, leave out, take."""
    order = in_order(left, score)
    taken, used = [], Counter()
    for row in order[n_skip:]:
        if len(taken) == top_k or (threshold is not None and score[row] < threshold):
            break
        if cap is not None and used[group[row]] >= cap:
            continue
        used[group[row]] += 1
        taken.append(row)
    return order[:n_skip], taken


def found(score, negative, members, group, shard, **settings) -> Hard:
    values = np.where(negative, score, np.nan)

    def shards():
        return [(s, values[s : s + shard]) for s in range(0, len(values), shard)]

    n_left = int(negative.sum()) - sum(negative[m] for m in members)
    return find_hard(
        shards, np.array(sorted(members), dtype=np.int64), lambda rows: group[rows],
        n_left=n_left, **settings,
    )  # fmt: skip


@st.composite
def cases(draw):
    n = draw(st.integers(1, 30))
    score = np.array(draw(st.lists(st.integers(-3, 3), min_size=n, max_size=n)), dtype=float)
    negative = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    member = np.array(draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))) == 0
    group = np.array(draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    settings = {
        "top_k": draw(st.none() | st.integers(1, 6)),
        "threshold": draw(st.none() | st.integers(-2, 2)),
        "cap": draw(st.none() | st.integers(1, 3)),
        "ceiling": draw(st.sampled_from([0.0, 0.1, 0.4])),
    }
    return (
        score,
        negative,
        np.flatnonzero(member).tolist(),
        group,
        draw(st.integers(1, 8)),
        settings,
    )


@given(cases())
def test_selection_is_that_of_a_walk_down_the_list(case) -> None:
    score, negative, members, group, shard, settings = case
    hard = found(score, negative, members, group, shard, **settings)
    left = [r for r in np.flatnonzero(negative).tolist() if r not in members]
    n_skip = math.floor(settings["ceiling"] * len(left))
    rest = {k: v for k, v in settings.items() if k != "ceiling"}
    skipped, taken = oracle(left, score, group, n_skip, **rest)
    assert hard.rows.tolist() == taken
    assert [r for r in hard.skipped.tolist() if r not in members] == skipped
    np.testing.assert_array_equal(hard.scores, score[hard.rows])
    for row in members:
        if not negative[row]:
            assert row not in [*hard.known, *hard.skipped]
            continue
        # What would have come of a member, had it been left out.
        skip, take = oracle([*left, row], score, group, n_skip, **rest)
        assert (row in hard.known.tolist()) == (row in take)
        assert (row in hard.skipped.tolist()) == (row in skip)


@given(st.lists(st.booleans(), max_size=40), st.integers(0, 12), st.integers(1, 7))
def test_draws_are_distinct_negatives_that_are_not_left_out(flags, n, step) -> None:
    negative = np.array(flags, dtype=bool)
    out = np.flatnonzero(np.arange(negative.size) % 3 == 0)
    rows, total = draw_rows(
        lambda a, b: negative[a:b], negative.size, out, n, np.random.default_rng(0), step
    )
    free = [i for i in range(negative.size) if negative[i] and i % 3]
    assert total == len(free)
    assert rows.size == min(n, total)
    assert len(set(rows.tolist())) == rows.size
    assert set(rows.tolist()) <= set(free)


def test_every_free_row_is_drawn_equally_often() -> None:
    rng, counts = np.random.default_rng(0), np.zeros(10)
    for _ in range(2000):
        rows, _ = draw_rows(lambda a, b: np.ones(b - a, bool), 10, np.array([3]), 3, rng, step=4)
        counts[rows] += 1
    assert counts[3] == 0
    # 2,000 draws of 1 in 3: a standard deviation of 0.0105.
    np.testing.assert_allclose(np.delete(counts, 3) / 2000, 1 / 3, atol=4 * 0.0105)


def mined_once(score, seed, rounds=3, threshold=0.6, easy=2):
    """One mining run with scores that stand still; returns the last training set."""
    n, rng = score.size, np.random.default_rng(seed)
    none = np.zeros(0, dtype=np.int64)
    every = np.ones(n, dtype=bool)
    first, _ = draw_rows(lambda a, b: every[a:b], n, none, 6, rng)
    history = History(6 / n)
    rows = MinedRows(first, np.full(6, "initial"), np.zeros(6, int), history.inclusion(first))
    for number in range(rounds):
        moved = score + 0.05 * number
        hard = found(moved, every, rows.rows.tolist(), np.zeros(n, int), 7, top_k=None,
                     threshold=threshold, cap=None, ceiling=0.0)  # fmt: skip
        out = np.unique(np.concatenate([rows.rows, hard.rows, hard.skipped]))
        drawn, total = draw_rows(lambda a, b: every[a:b], n, out, easy, rng)
        history.add(np.concatenate([hard.rows, hard.known]), hard.skipped, drawn.size / total)
        rows = rows.grown(hard.rows, drawn, number + 1, history)
    return rows


def test_inverse_inclusion_counts_every_row_once_on_average() -> None:
    """Horvitz and Thompson: the mean of 1 / inclusion over draws is 1 for every row."""
    score = np.linspace(0, 1, 40)
    runs, total = 800, np.zeros((800, 40))
    for seed in range(runs):
        rows = mined_once(score, seed)
        total[seed, rows.rows] = 1 / rows.inclusion
    hard = score + 0.1 >= 0.6
    assert (total[:, hard] == 1).all()
    error = total.std(axis=0) / math.sqrt(runs)
    assert (np.abs(total.mean(axis=0) - 1)[~hard] < 4.5 * error[~hard]).all()
    # Without the weights easy rows are far too few.
    assert (total[:, ~hard] > 0).mean() < 0.7


def test_a_row_above_the_ceiling_keeps_its_first_chance() -> None:
    history = History(0.2)
    history.add([1], [2, 5], 0.5)
    history.add([5], [], 0.25)
    rows = np.array([1, 2, 3, 5])
    want = [1.0, 1 - 0.8 * 0.75, 1 - 0.8 * 0.5 * 0.75, 1.0]
    np.testing.assert_allclose(history.inclusion(rows), want)
    other = history.copy()
    other.add([3], [], 0.0)
    assert history.inclusion(np.array([3]))[0] < 1 == other.inclusion(np.array([3]))[0]


def test_training_sets_are_saved_and_read(tmp_path) -> None:
    rows = mined_once(np.linspace(0, 1, 40), 0)
    again = MinedRows.load(rows.save(tmp_path / "rows.parquet"))
    for name in ("rows", "origin", "since", "inclusion"):
        np.testing.assert_array_equal(getattr(again, name), getattr(rows, name))
    assert rows.weights("inverse").mean() == pytest.approx(1)
    assert (rows.weights("none") == 1).all()
    assert sum(rows.counts.values()) == len(rows)
