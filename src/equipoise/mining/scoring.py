"""Score a pool out of core: shard by shard to disk, resumable, shared among ranks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Floats, Ints
from equipoise._core.checks import require_finite, require_shape
from equipoise._core.files import atomic_path
from equipoise._core.progress import Progress
from equipoise.artifacts import DecisionRule, Scores
from equipoise.mining.pools import Pool

Scorer = Callable[[Any], Any]
"""From a batch of inputs to outputs: (n,) or (n, 1) for one label, (n, C) for classes."""
_BATCHES = 16
_MOST_ROWS = 2**20


@dataclass(frozen=True, slots=True)
class PoolScores:
    """Calibrated log-odds of the negatives of a pool, on disk.

    Args:
        folder: Holds one .npy per shard, float32; NaN for rows that are no negatives.
        n_rows: Rows of the pool.
        shard_rows: Rows per shard.
    """

    folder: Path
    n_rows: int
    shard_rows: int

    @property
    def starts(self) -> range:
        """Where shards begin."""
        return range(0, self.n_rows, self.shard_rows)

    def path(self, start: int) -> Path:
        """Return the file of the shard that begins there."""
        return self.folder / f"{start:012d}.npy"

    def shards(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield where each shard begins, and its scores."""
        for start in self.starts:
            yield start, np.load(self.path(start), allow_pickle=False)


def place() -> tuple[int, int]:
    """Return rank and number of ranks without loading torch: (0, 1) where it is not in use."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available():
        return 0, 1
    group = torch.distributed
    return (group.get_rank(), group.get_world_size()) if group.is_initialized() else (0, 1)


def barrier() -> None:
    """Wait for all ranks."""
    if place()[1] > 1:
        sys.modules["torch"].distributed.barrier()


def score_pool(
    scorer: Callable[[], Scorer],
    pool: Pool,
    folder: Path,
    *,
    rule: DecisionRule | None = None,
    shard_rows: int | None = None,
    progress: Progress | None = None,
) -> PoolScores:
    """Score all negatives of a pool in bounded memory.

    Use for pools larger than memory. A shard that is there already is not scored again; under
    torch.distributed each rank scores every so many-th shard, and all wait for the last one.

    Args:
        scorer: Returns the scorer; called only if a shard is missing.
        pool: N rows.
        folder: Of the shards; all ranks must see it.
        rule: Calibrates; None takes outputs as they are: log-odds of one label, logits of classes.
        shard_rows: Rows per shard; None takes 16 batches of the pool, a million at most.
        progress: Called with "scoring", rows done and rows in all.

    Returns:
        Where the scores lie, float32 log-odds of being a positive: 4 N bytes on disk. Memory is
        that of a batch and a shard, whatever N.

    Raises:
        ShapeError: outputs that are not one row per input.
        DataError: outputs that are NaN or infinite.

    Example:
        >>> import tempfile
        >>> from equipoise.artifacts import Labels
        >>> from equipoise.mining import ArrayPool
        >>> labels = Labels.from_array([0, 1, 0], kind="multilabel")
        >>> pool = ArrayPool([[1.0], [2.0], [3.0]], labels)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     scores = score_pool(lambda: lambda x: 2 * x[:, 0], pool, Path(folder))
        ...     [part.tolist() for _, part in scores.shards()]
        [[2.0, nan, 6.0]]
    """
    rows = min(_MOST_ROWS, _BATCHES * pool.batch_rows) if shard_rows is None else shard_rows
    scores = PoolScores(folder, len(pool), rows)
    folder.mkdir(parents=True, exist_ok=True)
    rank, world = place()
    mine = scores.starts[rank::world]
    # All ranks look before one writes: they must agree on whether a scorer is made.
    barrier()
    is_whole = all(scores.path(start).exists() for start in scores.starts)
    missing = [start for start in mine if not scores.path(start).exists()]
    barrier()
    use = None if is_whole else scorer()
    for start in missing:
        assert use is not None  # noqa: S101  # there is one where a shard is missing
        stop = min(start + rows, len(pool))
        values = _score_shard(use, pool, rule, start, stop)
        with atomic_path(scores.path(start)) as temporary, temporary.open("wb") as file:
            np.save(file, values)
        if progress is not None:
            progress("scoring", min(stop * world, len(pool)), len(pool))
    barrier()
    return scores


def _score_shard(
    scorer: Scorer, pool: Pool, rule: DecisionRule | None, start: int, stop: int
) -> NDArray[np.float32]:
    values = np.full(stop - start, np.nan, dtype=np.float32)
    rows = start + np.flatnonzero(pool.is_negative(start, stop))
    done = 0
    for raw in _run(scorer, pool, rows):
        part = rows[done : done + len(raw)]
        values[part - start] = foreground(pool, raw, rule)
        done += len(raw)
    return values


def outputs_of(scorer: Scorer, pool: Pool, rows: Ints) -> Floats:
    """Return raw outputs of some rows, (n, 1) or (n, C) float64.

    Raises:
        ShapeError: outputs that are not one row per input.
        DataError: outputs that are NaN or infinite.
    """
    parts = list(_run(scorer, pool, rows))
    return np.concatenate(parts) if parts else np.zeros((0, len(pool.names)))


def _run(scorer: Scorer, pool: Pool, rows: Ints) -> Iterable[Floats]:
    done = 0
    for x in pool.batches(rows, pool.batch_rows):
        expected = min(pool.batch_rows, rows.size - done)
        raw = np.asarray(scorer(x), dtype=np.float64)
        raw = raw[:, None] if raw.ndim == 1 else raw
        why = "A scorer returns one row per input: outputs before sigmoid or softmax."
        require_shape("scores", raw, (expected, len(pool.names)), why)
        require_finite("scores", raw, "Training diverged: lower the learning rate.")
        done += expected
        yield raw


def foreground(pool: Pool, raw: Floats, rule: DecisionRule | None) -> Floats:
    """Return the log-odds of being a positive, (n,), calibrated by a rule where there is one.

    Args:
        pool: Says what outputs mean, and which class is the background.
        raw: (n, 1) or (n, C) outputs.
        rule: Tuned on scores of kind "ranking".
    """
    values = raw
    if rule is not None:
        new = Scores.from_arrays(None, ranking=raw, split="new", kind=pool.kind, names=pool.names)
        values = rule.log_odds(new)
    if pool.kind == "multilabel":
        return np.asarray(values[:, 0])
    others = np.delete(values, pool.background, axis=1)
    return np.asarray(np.logaddexp.reduce(others, axis=1) - values[:, pool.background])
