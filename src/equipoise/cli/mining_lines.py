"""A plan of mining and what came of it, as lines."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

from equipoise.cli.console import findings_lines, table

if TYPE_CHECKING:
    from equipoise.mining import Mined
    from equipoise.mining.review import Review
    from equipoise.studies.mine_run import MinePlan

_WHY = {
    "rounds": "all rounds done",
    "patience": "validation stopped improving",
    "few new": "too few new hard negatives",
}


def is_first() -> bool:
    """Whether this process is the first of those that torchrun started, or the only one."""
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK", "RANK"))


def mining_lines(plan: MinePlan) -> list[str]:
    """Return what will be mined, with what, and what is wrong with it."""
    wrong = [f for f in plan.training.findings if f.severity == "error"]
    training, options, pool = plan.training, plan.options, plan.pool
    split = training.split
    new = options.most_new(pool.positives().size)
    how = "all" if new is None else f"{new:,} hard"
    cut = "" if options.threshold is None else f" above {options.threshold:g}"
    parts = (
        f"{split.train.size:,} training, {split.val.size:,} validation, {split.test.size:,} test"
    )
    most = f"{options.rounds} rounds at most"
    size = f"{training.options.epochs} epochs of batches of {training.options.batch_size}"
    return [
        f"{training.rows.description}: {parts} rows",
        f"{pool.positives().size:,} positives, {pool.n_negative:,} negatives ({plan.negative})",
        f"{plan.n_first:,} negatives to begin with, {how}{cut} per round, {most}",
        f"{training.model.name}, {training.job.arm.label}, {size} in each round",
        *(findings_lines(wrong) if wrong else ()),
    ]  # fmt: skip


def mined_lines(mined: Mined, review: Review | None) -> list[str]:
    """Return what came of it."""
    rows = []
    for done in mined.rounds:
        cut = "" if math.isnan(done.cut) else f"{done.cut:.3f}"
        ap = f"{done.ap.value:.3f} [{done.ap.low:.3f}, {done.ap.high:.3f}]"
        mark = " *" if done.round == mined.best else ""
        counts = (sum(done.counts.values()), done.counts["hard"], done.new, done.skipped)
        rows.append([f"{done.round}{mark}", *(f"{n:,}" for n in counts), cut, ap])
    head = ["round", "rows", "of them hard", "new", "skipped", "cut", "validation AP"]
    lines = [table(head, rows), f"* kept. Ended: {_WHY[mined.stopped]}.", f"Run: {mined.folder}"]
    if mined.findings:
        lines += findings_lines(mined.findings)
    if review is not None:
        lines.append(
            f"{review.overlap:.0%} of the worst mistakes lie nearer to a labelled positive than "
            f"positives to each other; of random negatives {review.overlap_of_random:.0%}"
        )
        lines.append(f"Look at them: {review.page}")
    if mined.trial is not None:
        if (mined.trial / "test.parquet").exists():
            lines.append(
                f"Next: equipoise evaluate {mined.folder}/rule.json {mined.trial}/test.parquet"
            )
        lines.append(
            f"Next: equipoise predict {mined.trial} NEW_DATA --rule {mined.folder}/rule.json"
        )
    return lines


def mined_dict(mined: Mined, review: Review | None) -> dict[str, Any]:
    """Return the same, for JSON."""
    return {
        "folder": mined.folder,
        "trial": mined.trial,
        "best": mined.best,
        "stopped": mined.stopped,
        "rounds": [done.to_dict() for done in mined.rounds],
        "findings": [found.to_dict() for found in mined.findings],
        "mistakes": len(set(mined.book.rows.tolist())),
        "review": None if review is None else review._asdict(),
    }
