"""One run of mining: rounds of training, judging and selecting, all of whose state is on disk."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np

from equipoise._core.arrays import Ints
from equipoise._core.logistic import expit
from equipoise._core.progress import Progress
from equipoise._core.rng import child_seed, generator
from equipoise.artifacts import DecisionRule, Scores
from equipoise.errors import NoSkillWarning
from equipoise.mining.book import MistakeBook
from equipoise.mining.inclusion import History, MinedRows
from equipoise.mining.judging import calibrated_loss, judge
from equipoise.mining.options import MiningOptions
from equipoise.mining.pools import Pool
from equipoise.mining.records import load_round, new_entries, save_round, trial_in, write_result
from equipoise.mining.result import Mined, MiningRound
from equipoise.mining.scoring import Scorer, barrier, place, score_pool
from equipoise.mining.selection import Hard, draw_rows, find_hard
from equipoise.mining.task import MiningTask, Trainer


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
