"""What a run of mining writes: records of rounds, entries of the book, and the final files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from equipoise._core.arrays import Ints
from equipoise._core.logistic import expit
from equipoise.artifacts import Estimate
from equipoise.artifacts._io import read_json, reading, to_float, write_json
from equipoise.artifacts.finding import save_findings
from equipoise.mining.book import MistakeBook
from equipoise.mining.inclusion import History
from equipoise.mining.pools import Pool
from equipoise.mining.result import Mined, MiningRound
from equipoise.mining.selection import Hard

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
    found = sorted(p.parent for p in folder.glob("*/trial.json"))
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
