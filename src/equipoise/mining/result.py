"""What a trainer gets in each round, what it hands back, and what came of all rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.logistic import expit
from equipoise.artifacts import DecisionRule, Estimate, Finding, Scores
from equipoise.artifacts._io import plain
from equipoise.diagnosis.score_checks import chance_finding
from equipoise.mining.book import MistakeBook
from equipoise.mining.inclusion import MinedRows
from equipoise.mining.pools import Pool
from equipoise.mining.scoring import Scorer, foreground


@dataclass(frozen=True, eq=False)
class MiningTask:
    """What one round trains on.

    Args:
        pool: Where the rows are.
        rows: (n,) int64 positions in it.
        weights: (n,) float64 with mean 1; train with them, or probabilities are off.
        validation: Unmined rows, to stop on or to choose the epoch; never to train on.
        seed: Of initialisation and order, the same for a round in every run.
        round: 0 for the first training.
        previous: The scorer of the round before, to go on from; None to begin anew.
        folder: The trainer may keep things here; after a kill it is called again with the same
            task and finds them.
    """

    pool: Pool
    rows: NDArray[np.int64]
    weights: NDArray[np.float64]
    validation: Pool
    seed: int
    round: int
    previous: Scorer | None
    folder: Path = field(default_factory=Path)

    @property
    def x(self) -> NDArray[Any]:
        """The inputs of the rows, read as one array."""
        return self.pool.read(self.rows)

    @property
    def y(self) -> NDArray[np.int64]:
        """Their labels: 0 or 1, or classes."""
        return self.pool.values[self.rows].astype(np.int64)


Trainer = Callable[[MiningTask], Scorer]
"""Trains on a task and returns a scorer: from a batch of inputs to outputs, the larger the more
positive: (n,) or (n, 1) for one label, (n, C) before the softmax for classes."""


@dataclass(frozen=True, slots=True)
class MiningRound:
    """One round in numbers.

    Args:
        round: 0 for the first training.
        counts: Rows it trained on, by origin.
        ap: Average precision on validation rows, with its interval.
        cut: Lowest calibrated probability that was hard; NaN where nothing was mined after it.
        new: Hard negatives that were added after it.
        easy: Easy negatives that were added after it.
        known: Rows of its training set that were hard nevertheless.
        skipped: Rows above the ceiling.
        easy_rate: Share of the other negatives that was drawn.
    """

    round: int
    counts: Mapping[str, int]
    ap: Estimate
    cut: float = float("nan")
    new: int = 0
    easy: int = 0
    known: int = 0
    skipped: int = 0
    easy_rate: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        body: dict[str, Any] = plain(asdict(self))
        return body


@dataclass(frozen=True, slots=True, eq=False)
class Mined:
    """What came of mining.

    Args:
        pool: What was mined.
        rounds: One record per training.
        best: The round with the highest average precision on validation rows; of equals the one
            whose calibrated probabilities have the lower log loss there, then the first.
        stopped: Why it ended: "rounds", "patience" or "few new".
        rule: Calibration and threshold of the best round, from unmined validation rows.
        scores: Of the validation rows by the best round's model, kind "ranking".
        training: What the best round trained on, with inclusion probabilities.
        book: The mistake book of all rounds.
        folder: Where all of it is written, or None.
        trial: What the trainer left behind for the best round, or None.
        make_scorer: Returns the best round's scorer; it may have to be trained again.
    """

    pool: Pool
    rounds: tuple[MiningRound, ...]
    best: int
    stopped: str
    rule: DecisionRule
    scores: Scores
    training: MinedRows
    book: MistakeBook
    folder: Path | None
    trial: Path | None
    make_scorer: Callable[[], Scorer]

    @property
    def scorer(self) -> Scorer:
        """The best round's model: from a batch of inputs to outputs.

        After a run that was resumed, a trainer that keeps nothing on disk is called once more.
        """
        return self.make_scorer()

    @property
    def findings(self) -> list[Finding]:
        """What is wrong with the kept round: EQ321 where it ranks no better than chance."""
        ap, truth = self.rounds[self.best].ap.value, self.scores.require_labels().values
        name = self.pool.names[0] if self.pool.kind == "multilabel" else "positives"
        n_positive = int((truth != self.pool.background).sum())
        return chance_finding({name: (ap, n_positive, len(truth))})

    def probabilities(self, x: Any) -> NDArray[np.float64]:
        """Return the calibrated probability of being a positive for a batch of inputs, (n,)."""
        raw = np.asarray(self.scorer(x), dtype=np.float64)
        return expit(foreground(self.pool, raw[:, None] if raw.ndim == 1 else raw, self.rule))

    @property
    def history(self) -> list[dict[str, Any]]:
        """One flat record per round, for tables and pictures."""
        return [
            {
                "round": r.round,
                **r.counts,
                "ap": r.ap.value,
                "ap_low": r.ap.low,
                "ap_high": r.ap.high,
                "cut": r.cut,
                "new": r.new,
                "known": r.known,
                "skipped": r.skipped,
                "best": r.round == self.best,
            }
            for r in self.rounds
        ]
