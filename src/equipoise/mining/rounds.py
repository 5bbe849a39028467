"""Rounds of hard negatives: train, judge, score what was left out, add what is believed in."""

from __future__ import annotations

import shutil
import tempfile
import time
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import log_softmax

from equipoise._core.arrays import Ints
from equipoise._core.files import is_set_aside
from equipoise._core.fingerprint import fingerprint_config
from equipoise._core.locks import Locks
from equipoise._core.logistic import expit
from equipoise._core.messages import say
from equipoise._core.progress import Progress
from equipoise._core.rng import child_seed, generator
from equipoise.artifacts import DecisionRule, Estimate, Scores
from equipoise.artifacts._io import plain, read_json, reading, to_float, write_json
from equipoise.artifacts.finding import save_findings
from equipoise.artifacts.labels import UNKNOWN
from equipoise.comparison.evaluate import Judge
from equipoise.decisions import tune
from equipoise.errors import DataError, LeakageError, NoSkillWarning, UsageError
from equipoise.metrics import average_precision_influence
from equipoise.metrics.ranks import rank_positives
from equipoise.mining.book import MistakeBook
from equipoise.mining.inclusion import History, MinedRows
from equipoise.mining.options import MiningOptions
from equipoise.mining.pools import Pool, PoolPart
from equipoise.mining.result import Mined, MiningRound, MiningTask, Trainer
from equipoise.mining.scoring import Scorer, barrier, foreground, outputs_of, place, score_pool
from equipoise.mining.selection import Hard, draw_rows, find_hard


def judge(scorer: Scorer, validation: Pool, seed: int) -> tuple[Scores, DecisionRule, Estimate]:
    """Return validation scores, the rule that is tuned on them, and average precision.

    Args:
        scorer: From inputs to outputs.
        validation: Unmined rows; unknown ones are left out.
        seed: Of the rule's bootstrap rounds.

    Returns:
        Scores of kind "ranking" and split "val"; the rule, whose calibrator is fitted: slope and
        offset of one label, or of each class; and average precision of positives among all, with
        its 95 % interval as an evaluation gives it.
    """
    rows = np.flatnonzero(validation.values >= 0)
    raw = outputs_of(scorer, validation, rows)
    labels = validation.labels(rows)
    scores = Scores.from_arrays(labels, ranking=raw, split="val")
    highest = "auto" if validation.kind == "multilabel" else "vector"
    rule = tune(scores, calibration=highest, seed=seed)
    truth = validation.truth(rows)
    score = foreground(validation, raw, None)
    found, ranks = average_precision_influence(truth, score), rank_positives(truth, score)
    n_pos = int(ranks.n_positive)
    ap = Judge(labels, 0.95, seed).average_precision(found, ranks, n_pos, "no positives")
    return scores, rule, ap


def calibrated_loss(scores: Scores, rule: DecisionRule) -> float:
    """Return the log loss of the validation rows by the probabilities of their rule."""
    z, labels = np.asarray(rule.log_odds(scores)), scores.require_labels()
    if labels.kind == "multiclass":
        return float(-log_softmax(z, axis=1)[np.arange(len(labels)), labels.values].mean())
    known = labels.values != UNKNOWN
    return float(np.logaddexp(0.0, np.where(labels.values == 1, -z, z))[known].mean())


_SCHEMA, _VERSION = "equipoise.MiningRound", 1


def save_round(path: Path, done: MiningRound) -> Path:
    """Write the record of a round."""
    return write_json(path, _SCHEMA, _VERSION, done.to_dict())


def load_round(path: Path) -> MiningRound:
    """Read what :func:`save_round` wrote."""
    body = read_json(path, _SCHEMA, _VERSION)
    with reading(path, _SCHEMA):
        numbers = {name: int(body[name]) for name in ("new", "easy", "known", "skipped")}
        return MiningRound(
            round=int(body["round"]),
            counts={str(k): int(v) for k, v in body["counts"].items()},
            ap=Estimate.from_dict(body["ap"]),
            cut=to_float(body["cut"]),
            easy_rate=float(body["easy_rate"]),
            **numbers,
        )


def new_entries(
    pool: Pool,
    number: int,
    hard: Hard,
    members: Ints,
    history: History,
    before: Sequence[MistakeBook],
) -> MistakeBook:
    """Return the entries of one round.

    Args:
        pool: Gives ids.
        number: The round.
        hard: What was found.
        members: Sorted rows that the round trained on.
        history: This round included.
        before: The books of earlier rounds.
    """
    rows = np.concatenate([hard.rows, hard.known, hard.skipped])
    scores = np.concatenate([hard.scores, hard.known_scores, hard.skipped_scores])
    sizes = [hard.rows.size + hard.known.size, hard.skipped.size]
    events = np.repeat(np.array(["hard", "skipped"]), sizes)
    order = np.lexsort((rows, -scores))
    rows, scores, events = rows[order], scores[order], events[order]
    earlier = MistakeBook.join(before)
    seen, counts = np.unique(earlier.rows[earlier.events == "hard"], return_counts=True)
    times = (events == "hard").astype(np.int64)
    if seen.size:
        at = np.minimum(np.searchsorted(seen, rows), seen.size - 1)
        times += np.where(seen[at] == rows, counts[at], 0)
    return MistakeBook(
        rows,
        pool.ids(rows),
        np.full(rows.size, number),
        expit(scores),
        events,
        np.isin(rows, members),
        times,
        history.inclusion(rows),
    )


def trial_in(folder: Path) -> Path | None:
    """Return the folder of the finished trial that `fit` wrote there, or None."""
    found = [p.parent for p in folder.glob("*/trial.json") if not is_set_aside(p.parent)]
    return found[0] if len(found) == 1 else None


def write_result(mined: Mined) -> None:
    """Write what came of mining into its folder; mining.json comes last."""
    folder = mined.folder
    assert folder is not None  # noqa: S101  # only called where there is one
    mined.book.save(folder / "book.parquet")
    mined.training.save(folder / "training.parquet")
    mined.scores.save(folder / "val.parquet")
    mined.rule.save(folder / "rule.json")
    save_findings(mined.findings, folder / "findings.json")
    body = {
        "best": mined.best,
        "stopped": mined.stopped,
        "trial": None if mined.trial is None else mined.trial.relative_to(folder).as_posix(),
        "rounds": [done.to_dict() for done in mined.rounds],
    }
    write_json(folder / "mining.json", "equipoise.Mining", 1, body)


class MiningRun:
    """One run of mining, all of whose state lies in a folder; see `mine_hard_negatives`."""

    def __init__(
        self,
        fit: Trainer,
        pool: Pool,
        validation: Pool,
        options: MiningOptions,
        seed: int,
        folder: Path,
        shard_rows: int | None,
        progress: Progress | None,
    ) -> None:
        self.fit, self.pool, self.validation = fit, pool, validation
        self.options, self.seed, self.folder = options, seed, folder
        self.shard_rows, self.progress = shard_rows, progress
        self._scorers: dict[int, Scorer] = {}
        self.rounds: list[MiningRound] = []
        self.books: list[MistakeBook] = []
        self.n_positive = int(pool.positives().size)

    def place_of(self, number: int) -> Path:
        """Return the folder of a round."""
        return self.folder / f"round-{number:02d}"

    def run_to_end(self, is_kept: bool) -> Mined:
        """Go through all rounds, those that stand on disk included; return what came of them."""
        stopped = self._all_rounds()
        best = self._best()
        here = self.place_of(best)
        mined = Mined(
            pool=self.pool,
            rounds=tuple(self.rounds),
            best=best,
            stopped=stopped,
            rule=DecisionRule.load(here / "rule.json"),
            scores=Scores.load(here / "val.parquet"),
            training=MinedRows.load(here / "training.parquet"),
            book=MistakeBook.join(self.books),
            folder=self.folder if is_kept else None,
            trial=trial_in(here / "fit") if is_kept else None,
            make_scorer=lambda: self.scorer(best),
        )
        if place()[0] == 0:
            for found in mined.findings:
                warnings.warn(found.message, NoSkillWarning, stacklevel=3)
        if is_kept and place()[0] == 0:
            write_result(mined)
        barrier()
        return mined

    def _best(self) -> int:
        """Return the round with the highest AP; of equals that whose rule has the lowest loss."""
        values = np.array([r.ap.value for r in self.rounds])
        highest = np.flatnonzero(values == values.max())
        if highest.size < 2:
            return int(np.argmax(values))
        losses = []
        for number in highest.tolist():
            here = self.place_of(number)
            rule = DecisionRule.load(here / "rule.json")
            losses.append(calibrated_loss(Scores.load(here / "val.parquet"), rule))
        return int(highest[int(np.argmin(losses))])

    def _all_rounds(self) -> str:
        """Go through the rounds and return why they ended."""
        rows, history, waited, top = self._first(), self._new_history(), 0, -np.inf
        for number in range(self.options.rounds + 1):
            done = self._judged(number, rows)
            self.rounds.append(done)
            waited, top = (0, done.ap.value) if done.ap.value > top else (waited + 1, top)
            if number == self.options.rounds:
                return "rounds"
            if waited >= self.options.patience:
                return "patience"
            rows, history = self._mined(number, rows, history)
            if self.rounds[-1].new < self.options.min_new:
                return "few new"
        raise AssertionError  # the last round returns

    def _new_history(self) -> History:
        drawn = min(self._n_first(), self.pool.n_negative)
        return History(drawn / self.pool.n_negative)

    def _n_first(self) -> int:
        return max(1, round(self.options.ratio * self.n_positive))

    def _first(self) -> MinedRows:
        pool, none = self.pool, np.zeros(0, dtype=np.int64)
        rng = generator(self.seed, "first negatives")
        drawn, _ = draw_rows(pool.is_negative, len(pool), none, self._n_first(), rng)
        positives = pool.positives()
        origin = np.repeat(np.array(["positive", "initial"]), [positives.size, drawn.size])
        rate = self._new_history().inclusion(drawn)
        inclusion = np.concatenate([np.ones(positives.size), rate])
        rows = np.concatenate([positives, drawn])
        return MinedRows(rows, origin, np.zeros(rows.size, dtype=np.int64), inclusion)

    # Training and judging.

    def scorer(self, number: int) -> Scorer:
        """Return the scorer of a round, trained now unless it is at hand."""
        if number not in self._scorers:
            rows = MinedRows.load(self.place_of(number) / "training.parquet")
            goes_on = not self.options.restart and number > 0
            previous = self.scorer(number - 1) if goes_on else None
            folder = self.place_of(number) / "fit"
            folder.mkdir(parents=True, exist_ok=True)
            # 31 bits, which every library takes, and which folders may be called by.
            seed = child_seed(self.seed, "round", number if self.options.restart else 0) % 2**31
            task = MiningTask(
                self.pool, rows.rows, rows.weights(self.options.weighting), self.validation,
                seed, number, previous, folder,
            )  # fmt: skip
            self._say("training", number)
            # Only the last one is kept: a model may be large.
            self._scorers = {number: self.fit(task)}
        return self._scorers[number]

    def _say(self, word: str, number: int) -> None:
        if self.progress is not None:
            self.progress(f"{word} {number}", number, self.options.rounds + 1)

    def _judged(self, number: int, rows: MinedRows) -> MiningRound:
        here = self.place_of(number)
        if not (here / "judged.json").exists():
            if place()[0] == 0:
                rows.save(here / "training.parquet")
            barrier()
            scores, rule, ap = judge(self.scorer(number), self.validation, self.seed)
            if place()[0] == 0:
                scores.save(here / "val.parquet")
                rule.save(here / "rule.json")
                save_round(here / "judged.json", MiningRound(number, rows.counts, ap))
            barrier()
        return load_round(here / "judged.json")

    # Mining.

    def _mined(self, number: int, rows: MinedRows, history: History) -> tuple[MinedRows, History]:
        here = self.place_of(number)
        if not (here / "mined.json").exists():
            self._mine(number, rows, history)
        done, book = load_round(here / "mined.json"), MistakeBook.load(here / "book.parquet")
        is_hard = book.events == "hard"
        history.add(book.rows[is_hard], book.rows[~is_hard], done.easy_rate)
        self.rounds[-1] = done
        self.books.append(book)
        return MinedRows.load(here / "next.parquet"), history

    def _mine(self, number: int, rows: MinedRows, history: History) -> None:
        here, options = self.place_of(number), self.options
        rule = DecisionRule.load(here / "rule.json")
        scored = score_pool(
            lambda: self.scorer(number),
            self.pool,
            here / "scores",
            rule=rule,
            shard_rows=self.shard_rows,
            progress=self.progress,
        )
        if place()[0] == 0:
            members = np.sort(rows.rows)
            n_left = self.pool.n_negative - (rows.rows.size - self.n_positive)
            cut = options.threshold
            hard = find_hard(
                scored.shards,
                members,
                self.pool.groups,
                n_left=n_left,
                top_k=options.most_new(self.n_positive),
                threshold=None if cut is None else float(np.log(cut) - np.log1p(-cut)),
                cap=options.cap,
                ceiling=options.ceiling,
            )
            easy, rate = self._easy(number, members, hard)
            self._write_round(number, rows, hard, easy, rate, history)
            shutil.rmtree(scored.folder)
        barrier()

    def _easy(self, number: int, members: Ints, hard: Hard) -> tuple[Ints, float]:
        """Return the easy negatives that are drawn, and their share of those there are."""
        wanted = round(self.options.easy * hard.rows.size)
        others = np.unique(np.concatenate([members, hard.rows, hard.skipped]))
        rng = generator(self.seed, "easy negatives", number)
        easy, total = draw_rows(self.pool.is_negative, len(self.pool), others, wanted, rng)
        return easy, easy.size / total if total else 0.0

    def _write_round(
        self,
        number: int,
        rows: MinedRows,
        hard: Hard,
        easy: Ints,
        rate: float,
        history: History,
    ) -> None:
        here = self.place_of(number)
        after = history.copy()
        members = np.sort(rows.rows)
        every = np.concatenate([hard.rows, hard.known])
        after.add(every, hard.skipped, rate)
        book = new_entries(self.pool, number, hard, members, after, self.books)
        book.save(here / "book.parquet")
        rows.grown(hard.rows, easy, number + 1, after).save(here / "next.parquet")
        done = MiningRound(
            number,
            rows.counts,
            self.rounds[-1].ap,
            float(expit(np.asarray(hard.cut))),
            int(hard.rows.size),
            int(easy.size),
            int(hard.known.size),
            int(hard.skipped.size),
            rate,
        )
        # Comes last: it says that the rest is whole.
        save_round(here / "mined.json", done)


_POLL_SECONDS = 0.5


def mine_hard_negatives(
    fit: Trainer | None,
    pool: Pool,
    validation: Pool,
    *,
    options: MiningOptions | None = None,
    model: Any = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = True,
    shard_rows: int | None = None,
    config: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Mined:
    """Train on few negatives, add those that the model wrongly believes in, and train again.

    Use when negatives outnumber positives so far that training on all of them is too dear, and most
    are easy: windows of images, pairs, log lines. Prefer training on all rows where that is
    affordable: it is the arm to beat, and often it is not beaten.

    Each round trains on the training set, fits a calibrator on the validation rows, scores all
    negatives of the pool, and adds the hardest of those left out, below a ceiling and a few per
    group where asked, and some easy ones drawn at random. What was in the set stays in it.

    Args:
        fit: Trains a model: ``fit(task)`` gets a :class:`MiningTask` and returns a scorer, a
            function from a batch of inputs to outputs. None trains ``model`` by
            :func:`equipoise.fit` with defaults; :class:`FitTrainer` has its settings.
        pool: Rows to train on and to mine; may be far larger than memory.
        validation: Unmined rows of the same meaning, with as many negatives as nature has.
        options: How many, which, how long; None takes the defaults of :class:`MiningOptions`.
        model: A torch module, or a callable that makes one; only where ``fit`` is None.
        seed: Of the draws; each round's trainer gets a seed made of it.
        out: Folder under which a folder for this run is written, or None.
        resume: With ``out``: go on with what is there. False begins again.
        shard_rows: Rows whose scores make one file; None takes 16 batches of the pool.
        config: Further keys that tell runs apart, such as the trainer's settings; they enter the
            folder's name.
        progress: Called with a word, what is done and what is to do.

    Returns:
        The best round's model and rule, the record of all rounds, and the mistake book. With
        ``out`` also on disk: book.parquet, training.parquet, rounds.json, rule.json, val.parquet.

    Raises:
        DataError: a pool without positives or negatives, or pools that do not mean the same.
        LeakageError: an id or a group stands in both pools.
        UsageError: both or neither of ``fit`` and ``model``.

    Note:
        Calibration: negatives are chosen by what they look like, so no single rate undoes the
        choice, and a calibrator on unmined rows is fitted in every round. By default rows are
        weighted by the inverse of their inclusion probability, so that the training set stands for
        the pool. The scores are of kind "ranking".

        Killed at any moment, the same call ends with the same mistake book, provided that the
        trainer does the same for the same task. Under torch.distributed, with a process group made
        before, every rank makes the same call; ranks share the scoring and rank 0 writes. A second
        runner on the same folder waits for the first, and takes over if that one is gone.

        The hash that names the run's folder covers labels, options, seed and ``config``; it sees
        neither the trainer nor a change of inputs behind the same labels.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> from equipoise.artifacts import Labels
        >>> from equipoise.mining import ArrayPool
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(6000, 2))
        >>> y = (x[:, 0] + 0.5 * rng.normal(size=6000) > 2.0).astype(int)
        >>> labels = Labels.from_array(y, kind="multilabel", names=["ship"])
        >>> pool, val = (ArrayPool(x[i], labels[i]) for i in (slice(4000), slice(4000, 6000)))
        >>> def train(task):
        ...     fitted = LogisticRegression().fit(task.x, task.y, sample_weight=task.weights)
        ...     return fitted.decision_function
        >>> mined = mine_hard_negatives(train, pool, val, options=MiningOptions(rounds=2))
        >>> [r.counts["hard"] for r in mined.rounds], mined.stopped
        ([0, 152, 304], 'rounds')

    References:
        Sung and Poggio, PAMI 1998 (bootstrapping); Felzenszwalb et al., PAMI 2010, section 4.4
        (rounds of hard negatives); Horvitz and Thompson, JASA 1952 (inverse inclusion weights).
    """
    options = MiningOptions() if options is None else options
    if (fit is None) == (model is None):
        do = "fit(task) returns a scorer; model= is trained by equipoise.fit."
        raise UsageError(say("fit and model", "be given, exactly one of the two", "not so", do))
    if fit is None:
        from equipoise.mining.trainer import FitTrainer

        fit = FitTrainer(model)
    _check(pool, validation)
    identity = {
        "pool": pool.fingerprint,
        "validation": validation.fingerprint,
        "options": {name: getattr(options, name) for name in options.__slots__},
        "seed": seed,
        "shard_rows": shard_rows,
        "batch_rows": pool.batch_rows,
        **plain(config or {}),
    }
    kept: tempfile.TemporaryDirectory[str] | None = None
    if out is None:
        kept = tempfile.TemporaryDirectory(prefix="equipoise-mining-")
        folder = Path(kept.name)
    else:
        folder = Path(out) / f"mining-s{seed}-{fingerprint_config(identity)}"
    with _alone(folder, out is not None, progress):
        if out is not None and not resume and place()[0] == 0:
            shutil.rmtree(folder, ignore_errors=True)
        barrier()
        run = MiningRun(fit, pool, validation, options, seed, folder, shard_rows, progress)
        if kept is not None:
            # The folder goes when nobody can ask for the scorer any more.
            weakref.finalize(run, kept.cleanup)
        return run.run_to_end(out is not None)


@contextmanager
def _alone(folder: Path, is_shared: bool, progress: Progress | None) -> Iterator[None]:
    """Wait until no other runner works on a folder; rank 0 does it for all."""
    if not is_shared or place()[0] != 0:
        yield
        return
    locks = Locks(folder.parent / "locks")
    try:
        with locks.released(), locks.kept():
            while not locks.claim(folder.name):
                if progress is not None:
                    progress("waiting for another runner", 0, 1)
                time.sleep(_POLL_SECONDS)
            yield
    finally:
        with suppress(OSError):  # others may be there
            locks.root.rmdir()


def _check(pool: Pool, validation: Pool) -> None:
    """Raise unless both pools hold both sides, mean the same, and share no row."""
    for name in ("kind", "names", "background"):
        have, want = getattr(validation, name), getattr(pool, name)
        if have != want:
            raise DataError(say("validation", f"have the pool's {name}, {want}", have))
    for name, part in (("pool", pool), ("validation", validation)):
        if not part.positives().size or not part.n_negative:
            got = f"{part.positives().size} positives and {part.n_negative} negatives"
            raise DataError(say(name, "hold positives and negatives", got))
    _refuse_shared_rows(pool, validation)
    rows = np.arange(len(validation))
    asked = ["ids"] if pool.has_ids and validation.has_ids else []
    for what in (*asked, "groups"):
        there = getattr(validation, what)(rows)
        if there is None:
            continue
        seen = np.unique(there)
        for start in range(0, len(pool), pool.batch_rows):
            stop = min(start + pool.batch_rows, len(pool))
            here = getattr(pool, what)(np.arange(start, stop))
            both = np.isin(here, seen) if here is not None else np.zeros(0, dtype=bool)
            if here is not None and both.any():
                got = f"'{here[both][0]}' in both"
                do = "Split by group before mining."
                raise LeakageError(say("validation", f"share no {what} with the pool", got, do))


def _refuse_shared_rows(pool: Pool, validation: Pool) -> None:
    if not (isinstance(pool, PoolPart) and isinstance(validation, PoolPart)):
        return
    if pool.whole is validation.whole:
        shared = np.intersect1d(pool.rows, validation.rows)
        if shared.size:
            got = f"{shared.size} in both (first: {shared[0]})"
            raise LeakageError(say("validation", "share no rows with the pool", got))
