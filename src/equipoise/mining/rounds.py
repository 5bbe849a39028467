"""Rounds of hard negatives: train, score what was left out, add what the model believes in."""

from __future__ import annotations

import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from equipoise._core.fingerprint import fingerprint_config
from equipoise._core.locks import Locks
from equipoise._core.progress import Progress
from equipoise._core.words import say
from equipoise.artifacts._io import plain
from equipoise.errors import DataError, LeakageError, UsageError
from equipoise.mining.options import MiningOptions
from equipoise.mining.pools import Pool, PoolPart
from equipoise.mining.result import Mined
from equipoise.mining.run import MiningRun
from equipoise.mining.scoring import barrier, place
from equipoise.mining.task import Trainer

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
        config: Further facts that tell runs apart, such as the trainer's settings; they enter the
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
    facts = {
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
        folder = Path(out) / f"mining-s{seed}-{fingerprint_config(facts)}"
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
