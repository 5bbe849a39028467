"""Rounds: what is trained on, when they stop, what is recorded, and true probabilities."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from mining_data import make_pools, make_rows, train_logistic
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from equipoise import DecisionRule, Labels, Scores
from equipoise._core.locks import Locks
from equipoise.artifacts.finding import load_findings
from equipoise.errors import DataError, LeakageError, NoSkillWarning, ShapeError, UsageError
from equipoise.metrics import average_precision
from equipoise.mining import (
    ArrayPool,
    MinedRows,
    MiningOptions,
    MistakeBook,
    mine_hard_negatives,
    rounds as run_module,
)
from equipoise.mining.rounds import calibrated_loss, judge


def mine(
    pool=None, validation=None, trainer=train_logistic, seed=0, out=None, progress=None, **options
):
    made = make_pools() if pool is None else (pool, validation)
    return mine_hard_negatives(
        trainer, *made, options=MiningOptions(**options), seed=seed, out=out, progress=progress
    )


@pytest.mark.parametrize(
    ("n_positive", "way"), [(49, "boyd"), (50, "gap bootstrap, percentile"), (201, "influence")]
)
def test_the_interval_of_a_round_goes_by_its_positives(n_positive: int, way: str) -> None:
    y = (np.arange(300) < n_positive).astype(int)
    x = y[:, None] + np.random.default_rng(0).normal(size=(300, 1))
    validation = ArrayPool(x.astype(np.float32), Labels.from_array(y, kind="multilabel"))
    assert judge(lambda rows: rows[:, 0], validation, 0)[2].method == way


def test_the_training_set_grows_as_the_book_says() -> None:
    seen = []

    def train(task):
        seen.append((task.rows.copy(), task.weights.copy(), task.round, task.previous))
        return train_logistic(task)

    pool, validation = make_pools()
    mined = mine(pool, validation, train, rounds=3, patience=9, easy=0.5)
    positives = pool.positives()
    first = seen[0][0]
    np.testing.assert_array_equal(first[: positives.size], positives)
    assert first.size == 4 * positives.size
    assert (pool.truth(first[positives.size :]) == 0).all()
    for number, (rows, weights, told, previous) in enumerate(seen[:4]):
        assert told == number
        assert previous is None
        assert weights.mean() == pytest.approx(1)
        assert np.unique(rows).size == rows.size
        record = mined.rounds[number]
        assert sum(record.counts.values()) == rows.size
        if number:
            before = seen[number - 1][0]
            np.testing.assert_array_equal(rows[: before.size], before)
            grown = rows[before.size :]
            book = mined.book
            now = (book.rounds == number - 1) & (book.events == "hard") & ~book.members
            np.testing.assert_array_equal(np.sort(grown[: now.sum()]), np.sort(book.rows[now]))
            assert record.counts["hard"] == number * positives.size
            assert mined.rounds[number - 1].easy == grown.size - now.sum()


def test_the_book_counts_how_often_a_row_was_hard() -> None:
    book = mine(rounds=3, patience=9).book
    counts: dict[int, int] = {}
    for row, event, times in zip(book.rows, book.events, book.times, strict=True):
        counts[row] = counts.get(row, 0) + (event == "hard")
        assert times == counts[row]
    lines = book.by_row()
    assert dict(zip(lines["row"], lines["times_selected"], strict=True)) == counts
    assert lines["times_selected"].to_list() == sorted(counts.values(), reverse=True)
    assert (book.scores[1:] <= book.scores[:-1])[book.rounds[1:] == book.rounds[:-1]].all()


def test_members_that_stay_hard_weigh_one() -> None:
    pool, validation = make_pools()
    mined = mine(pool, validation, rounds=2, patience=9, threshold=0.2)
    last = MinedRows(*(getattr(mined.training, n) for n in MinedRows.__slots__))
    known = mined.book.rows[mined.book.members & (mined.book.rounds < mined.best)]
    own = np.isin(last.rows, known)
    assert (last.inclusion[own] == 1).all()
    rest = (last.origin == "initial") & ~own
    assert (last.inclusion[rest] < 0.5).all()


@pytest.mark.parametrize(
    ("options", "stopped"),
    [
        ({"rounds": 1}, "rounds"),
        ({"rounds": 0}, "rounds"),
        ({"rounds": 30, "patience": 1}, "patience"),
        ({"rounds": 30, "threshold": 0.95, "patience": 30}, "few new"),
        ({"rounds": 30, "min_new": 500, "patience": 30}, "few new"),
    ],
)
def test_it_stops_for_a_reason(options, stopped) -> None:
    mined = mine(**options)
    assert mined.stopped == stopped
    values = [r.ap.value for r in mined.rounds]
    assert mined.best == int(np.argmax(values))
    if stopped == "patience":
        assert values[-1] <= max(values[:-1])
        assert len(values) == mined.best + 2
    if stopped == "few new":
        assert mined.rounds[-1].new < options.get("min_new", 1)


def test_average_precision_is_that_of_validation_rows() -> None:
    pool, validation = make_pools()
    mined = mine(pool, validation, rounds=1)
    truth = validation.values
    assert mined.scores.score_kind == "ranking"
    assert mined.scores.split == "val"
    for record in mined.rounds:
        assert record.ap.low < record.ap.value < record.ap.high
    best = mined.rounds[mined.best].ap.value
    assert best == pytest.approx(float(average_precision(truth, mined.scores.values[:, 0])))
    p = mined.probabilities(validation.features)
    assert p.mean() == pytest.approx(truth.mean(), rel=0.05)


def test_caps_ceilings_and_thresholds_hold() -> None:
    pool, validation = make_pools(groups=60)
    mined = mine(pool, validation, rounds=2, cap=1, ceiling=0.01, patience=9, top_k=30)
    for number in range(2):
        book = mined.book
        now = (book.rounds == number) & (book.events == "hard")
        new = now & ~book.members
        groups = pool.groups(book.rows[new])
        assert np.unique(groups).size == groups.size
        skipped = (book.rounds == number) & (book.events == "skipped")
        assert skipped.sum() >= 20
        assert book.scores[skipped].min() >= book.scores[now].max()
        assert not np.isin(book.rows[skipped & ~book.members], mined.training.rows).any()
    some = mine(rounds=1, threshold=0.3, patience=9)
    assert some.book.scores.min() >= 0.3


def test_what_is_written_is_what_came_back(tmp_path: Path) -> None:
    calls = []

    def train(task):
        calls.append(task.folder)
        assert task.folder.is_dir()
        return train_logistic(task)

    mined = mine(trainer=train, out=tmp_path, rounds=2, patience=9)
    n_calls = len(calls)
    assert mined.folder.parent == tmp_path
    book = MistakeBook.load(mined.folder / "book.parquet")
    assert book.to_frame().equals(mined.book.to_frame())
    assert MinedRows.load(mined.folder / "training.parquet").counts == mined.training.counts
    rule = DecisionRule.load(mined.folder / "rule.json")
    assert rule.tuned_on["score_kind"] == "ranking"
    assert rule.calibrator.method == ("platt",)
    assert Scores.load(mined.folder / "val.parquet").split == "val"
    told = json.loads((mined.folder / "mining.json").read_text())
    assert [r["round"] for r in told["rounds"]] == [0, 1, 2]
    assert not list(mined.folder.rglob("scores"))
    again = mine(trainer=train, out=tmp_path, rounds=2, patience=9)
    assert len(calls) == n_calls
    assert again.rounds == mined.rounds
    # Asked for its scorer, a trainer that keeps nothing is called once more, with the same task.
    x, _ = make_rows(50, 9)
    np.testing.assert_array_equal(again.probabilities(x), mined.probabilities(x))
    assert mine(trainer=train, out=tmp_path, rounds=1).folder != mined.folder
    fresh = mine_hard_negatives(
        train,
        *make_pools(),
        options=MiningOptions(rounds=2, patience=9),
        out=tmp_path,
        resume=False,
    )
    assert fresh.book.to_frame().equals(mined.book.to_frame())


def test_a_seed_decides() -> None:
    one, same, other = mine(rounds=1), mine(rounds=1), mine(rounds=1, seed=1)
    assert one.book.to_frame().equals(same.book.to_frame())
    assert not one.book.to_frame().equals(other.book.to_frame())


def test_without_restart_the_scorer_of_the_round_before_is_handed_on() -> None:
    seen = []

    def train(task):
        seen.append((task.round, task.previous, task.seed))
        return train_logistic(task)

    mine(trainer=train, rounds=2, patience=9, restart=False)
    assert [s[0] for s in seen] == [0, 1, 2]
    assert seen[0][1] is None
    assert callable(seen[1][1])
    restarted: list[int] = []

    def note(task):
        restarted.append(task.seed)
        return train_logistic(task)

    mine(trainer=note, rounds=2, patience=9)
    assert len(set(restarted)) == 3


def test_classes_are_mined_against_their_background() -> None:
    rng = np.random.default_rng(0)
    parts = []
    for n in (3000, 1500):
        x = rng.normal(size=(n, 2))
        noisy = x + 0.4 * rng.normal(size=(n, 2))
        y = np.where(noisy[:, 0] > 1.8, 2, np.where(noisy[:, 1] > 2.0, 0, 1))
        labels = Labels.from_array(y, kind="multiclass", names=["buoy", "sea", "ship"])
        parts.append(ArrayPool(x, labels, background=1))
    pool, validation = parts

    def train(task):
        fitted = LogisticRegression().fit(task.x, task.y, sample_weight=task.weights)
        return fitted.decision_function

    mined = mine(pool, validation, train, rounds=1)
    assert (pool.values[mined.book.rows] == 1).all()
    assert mined.rule.kind == "multiclass"
    p = mined.probabilities(validation.features)
    share = (validation.values != 1).mean()
    assert p.mean() == pytest.approx(share, rel=0.1)


def claims(weighting: str, seed: int, n: int = 12_000) -> tuple[float, float]:
    """Mean probability over prevalence above and below the mining cut, on new rows."""
    rng = np.random.default_rng(seed)

    def rows(n):
        x = rng.uniform(-3, 3, (n, 1))
        truth = 1 / (1 + np.exp(-(1.6 * x[:, 0] - 5 + np.cos(3 * x[:, 0]))))
        return x, (rng.random(n) < truth).astype(int), truth

    def train(task):
        model = HistGradientBoostingClassifier(
            max_iter=40, max_leaf_nodes=8, min_samples_leaf=20, random_state=0, early_stopping=False
        )
        return model.fit(task.x, task.y, sample_weight=task.weights).decision_function

    pools = []
    for size in (n, n // 2):
        x, y, _ = rows(size)
        pools.append(ArrayPool(x, Labels.from_array(y, kind="multilabel")))
    options = MiningOptions(rounds=2, patience=9, easy=0.1, ratio=1.0, top_k=n // 12,
                            weighting=weighting)  # fmt: skip
    mined = mine_hard_negatives(train, *pools, options=options, seed=seed)
    x, _, truth = rows(n)
    p = mined.probabilities(x)
    # The cut in the space of inputs: hard negatives lie to the right of it.
    hard = mined.training.rows[mined.training.inclusion == 1]
    cut = np.quantile(pools[0].features[hard, 0], 0.05)
    above = x[:, 0] > cut
    return p[above].mean() / truth[above].mean(), p[~above].mean() / truth[~above].mean()


@pytest.mark.parametrize("seeds", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_weighted_by_inverse_inclusion_probabilities_are_right_on_both_sides(seeds: int) -> None:
    right = np.mean([claims("inverse", seed) for seed in range(seeds)], axis=0)
    wrong = np.mean([claims("none", seed) for seed in range(seeds)], axis=0)
    assert np.abs(right - 1).max() < 0.15
    assert wrong[1] > 1.6


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda p, v: (None, p, v, {}), UsageError, "`fit and model` must be given, exactly one"),
        (lambda p, v: (train_logistic, p, v, {"model": 1}), UsageError, "`fit and model` must be"),
        (lambda p, _: (train_logistic, p, p[[0, 1]], {}), DataError, "`validation` must hold pos"),
        (
            lambda p, v: (train_logistic, p[np.flatnonzero(p.is_negative())], v, {}),
            DataError,
            "`pool` must hold positives and negatives, got 0 positives",
        ),
        (
            lambda p, _: (train_logistic, p[np.arange(2000)], p[np.arange(1999, 3000)], {}),
            LeakageError,
            r"share no rows with the pool, got 1 in both \(first: 1999\)",
        ),
        (
            lambda p, v: (lambda _: lambda x: np.zeros((len(x), 2)), p, v, {}),
            ShapeError,
            r"`scores` must have shape \(1500, 1\), got \(1500, 2\)",
        ),
        (
            lambda p, v: (lambda _: lambda x: np.full(len(x), np.nan), p, v, {}),
            DataError,
            "`scores` must be finite",
        ),
    ],
)
def test_wrong_use_is_told_in_one_line(change, error, message) -> None:
    fit, pool, validation, rest = change(*make_pools())
    with pytest.raises(error, match=message):
        mine_hard_negatives(fit, pool, validation, **rest)


def test_shared_groups_ids_and_other_meanings_are_refused() -> None:
    x, labels = make_rows(400, 1, groups=20)
    pool = ArrayPool(x, labels)
    with pytest.raises(LeakageError, match="share no groups with the pool, got '1000' in both"):
        mine(pool, ArrayPool(x, labels))
    numbered = Labels.from_array(labels.values, kind="multilabel", names=["ship"], ids=range(400))
    with pytest.raises(LeakageError, match="share no ids with the pool"):
        mine(ArrayPool(x, numbered), ArrayPool(x, numbered))
    renamed = Labels.from_array(labels.values, kind="multilabel", names=["boat"])
    with pytest.raises(DataError, match=r"`validation` must have the pool's names, \('ship',\)"):
        mine(pool, ArrayPool(x, renamed))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ratio": 0}, "`ratio` must be > 0"),
        ({"threshold": 1.0}, r"`threshold` must lie in \(0, 1\)"),
        ({"ceiling": 1.0}, r"`ceiling` must lie in \[0, 1\), got 1.0. 0.001 skips"),
        ({"top_k": 0}, "`top_k` must be a whole number >= 1, got 0"),
        ({"cap": 1.5}, "`cap` must be a whole number >= 1, got 1.5"),
        ({"rounds": True}, "`rounds` must be a whole number >= 0, got True"),
        ({"min_new": 0}, "`min_new` must be a whole number >= 1"),
        ({"easy": -1}, "`easy` must be >= 0"),
        ({"restart": "no"}, "`restart` must be true or false"),
        ({"weighting": "inversed"}, "Did you mean `inverse`"),
    ],
)
def test_options_out_of_range_are_named(given, message) -> None:
    with pytest.raises(UsageError, match=message):
        MiningOptions(**given)


def test_options_from_a_file_are_named() -> None:
    with pytest.raises(UsageError, match=r"`mining\.treshold` is not an option. Did you mean"):
        MiningOptions.from_mapping({"treshold": 0.5})
    with pytest.raises(UsageError, match=r"`mining\.ratio` must be a number, got '3x'"):
        MiningOptions.from_mapping({"ratio": "3x"})


def test_a_second_runner_waits_for_the_first(tmp_path: Path) -> None:
    first = mine(out=tmp_path, rounds=1)
    (folder,) = [p for p in tmp_path.iterdir() if p.name.startswith("mining-")]
    held, said = Locks(tmp_path / "locks"), []
    assert held.claim(folder.name)

    def show(what: str, _done: int, _of: int) -> None:
        said.append(what)
        held.release(folder.name)

    again = mine(out=tmp_path, rounds=1, progress=show)
    assert said[0] == "waiting for another runner"
    np.testing.assert_array_equal(again.book.rows, first.book.rows)
    np.testing.assert_array_equal(again.book.scores, first.book.scores)
    assert not (tmp_path / "locks").exists()


def constant(task):
    """A trainer that has learned nothing."""
    return lambda x: np.zeros((len(x), 1))


def test_a_model_that_ranks_by_chance_is_said(tmp_path: Path) -> None:
    pool, validation = make_pools()
    with pytest.warns(NoSkillWarning, match=r"^Average precision is .* which rows in random order"):
        mined = mine(pool, validation, constant, rounds=1, out=tmp_path)
    (found,) = mined.findings
    assert found.code == "EQ321"
    share = validation.positives().size / len(validation)
    assert found.evidence["ap"] == pytest.approx(found.evidence["prevalence"])
    assert found.evidence["prevalence"] == pytest.approx(share)
    (file,) = tmp_path.glob("*/findings.json")
    assert [f.code for f in load_findings(file)] == ["EQ321"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mine(pool, validation, rounds=0).findings == []


def test_of_rounds_that_rank_alike_the_better_calibrated_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool, validation = make_pools()
    losses = iter([0.3, 0.1, 0.1])
    monkeypatch.setattr(run_module, "calibrated_loss", lambda *_: next(losses))

    def coarse(_):
        return lambda x: (x[:, :1] > 1.0).astype(float)

    mined = mine(pool, validation, coarse, rounds=2, patience=9)
    assert len({r.ap.value for r in mined.rounds}) == 1
    assert mined.best == 1


def test_the_log_loss_of_a_rule_is_that_of_its_probabilities() -> None:
    pool, validation = make_pools()
    mined = mine(pool, validation, rounds=0)
    p = mined.probabilities(validation.features)
    truth = validation.truth(np.arange(len(validation)))
    expected = -np.log(np.where(truth == 1, p, 1.0 - p)).mean()
    assert calibrated_loss(mined.scores, mined.rule) == pytest.approx(expected, rel=1e-9)
