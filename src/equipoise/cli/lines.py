"""What verbs found, planned or made, as lines for the terminal."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise._core.language import mark, said
from equipoise._core.messages import counted, listed
from equipoise._core.text import table
from equipoise.cli.console import findings_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from equipoise.artifacts import (
        DecisionRule,
        Finding,
        Scores,
        Trial,
    )
    from equipoise.mining import Mined
    from equipoise.mining.review import Review
    from equipoise.splits import SplitSummary
    from equipoise.studies.mining import MinePlan
    from equipoise.studies.network import TrainPlan


_SHOWN = 5


def proof_lines(summary: SplitSummary, on_purpose: bool) -> list[str]:
    """Return the table and what to know about it; a long tail deviates ``on_purpose``."""
    head = ["", *map(said, summary.parts)] + (
        [] if on_purpose else [said("rate"), said("deviation")]
    )
    body = []
    for k, name in enumerate(summary.names):
        row = [name, *(str(counts[k]) for counts in summary.counts)]
        if not on_purpose:
            gap = summary.deviations[k]
            row += [f"{summary.rates[k]:.2%}", "-" if gap != gap else f"{gap:.2%}"]
        body.append(row)
    body.append([said("rows"), *map(str, summary.rows)] + ([] if on_purpose else ["", ""]))
    lines: list[str] = [table(head, body)]
    if not on_purpose:
        worst = max((d for d in summary.deviations if d == d), default=0.0)
        mean = f"{summary.mean_deviation:.3%} on average over labels"
        lines.append(said(f"deviation of a rate: {mean}, {worst:.3%} at most"))
    gone = [f"{name} from {', '.join(parts)}" for name, parts in summary.missing.items()]
    lines.append(said(f"missing labels: {listed(gone, _SHOWN, '; ') or 'none'}"))
    if summary.absent:
        absent = listed(list(summary.absent), _SHOWN, "; ")
        lines.append(said(f"without positives anywhere: {absent}"))
    if summary.unknown:
        lines.append(said(f"unknown entries (-1 or empty): {summary.unknown:,}"))
    if summary.groups is not None:
        number, crossing = summary.groups
        lines.append(said(f"groups: {number - crossing} of {number} kept together"))
    if summary.left_out:
        lines.append(said(f"rows left out: {summary.left_out}"))
    return lines


def plan_lines(plan: TrainPlan) -> list[str]:
    """Return what will be trained, on what, for how long."""
    split, options = plan.split, plan.options
    parts = (
        f"{split.train.size:,} training, {split.val.size:,} validation, {split.test.size:,} test"
    )
    lines = [
        f"{plan.rows.description}: {parts} rows",
        (
            f"{plan.model.name}, {plan.job.arm.label}, "
            f"{counted(options.epochs, 'epoch')} of batches of {options.batch_size}, "
            f"{options.optimizer} at {options.lr:g}"
        ),
    ]
    return [said(line) for line in lines]


def short_findings(findings: Sequence[Finding]) -> list[str]:
    """Return a line per finding; its page has the rest."""
    lines = [finding_line(f, f"{f.message.split('. ')[0].rstrip('.')}.") for f in findings]
    if lines:
        lines.append(said(f"More: equipoise diagnose --explain {findings[0].code}"))
    return lines


def finding_line(finding: Finding, message: str) -> str:
    """Return a finding in a line."""
    return f"{finding.code} {said(finding.severity)}{mark(': ')}{said(message)}"


def trial_lines(trial: Trial, place: Path) -> list[str]:
    """Return what came of training."""
    seen = trial.selection
    lines = []
    if "epoch" in seen:
        lines.append(
            f"{seen['metric']}: {seen['value']:.3f} in epoch {seen['epoch']}, kept; "
            f"{seen['last_value']:.3f} in the last, {trial.history[-1]['epoch']}"
        )
    else:
        lines.append(f"{seen['metric']}: {seen['last_value']:.3f}, mean of {seen['folds']} folds")
    lines.append(f"Trial: {place}")
    if "val" in trial.scores:
        lines.append(f"Next: equipoise evaluate {place}/rule.json {place}/test.parquet")
        lines.append(f"      equipoise predict {place} NEW_DATA -o predictions.parquet")
    else:
        lines.append(f"Next: equipoise tune {place}/oof.parquet -o rule.json")
    return [said(line) for line in lines]


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
    most = f"{counted(options.rounds, 'round')} at most"
    size = (
        f"{counted(training.options.epochs, 'epoch')} of batches of {training.options.batch_size}"
    )
    lines = [
        f"{training.rows.description}: {parts} rows",
        f"{pool.positives().size:,} positives, {pool.n_negative:,} negatives ({plan.negative})",
        f"{plan.n_first:,} negatives to begin with, {how}{cut} per round, {most}",
        f"{training.model.name}, {training.job.arm.label}, {size} in each round",
    ]
    return [*map(said, lines), *(findings_lines(wrong) if wrong else ())]


def mined_lines(mined: Mined, review: Review | None) -> list[str]:
    """Return what came of it."""
    rows = []
    for done in mined.rounds:
        cut = "" if math.isnan(done.cut) else f"{done.cut:.3f}"
        ap = f"{done.ap.value:.3f} [{done.ap.low:.3f}, {done.ap.high:.3f}]"
        star = " *" if done.round == mined.best else ""
        counts = (sum(done.counts.values()), done.counts["hard"], done.new, done.skipped)
        rows.append([f"{done.round}{star}", *(f"{n:,}" for n in counts), cut, ap])
    words = ("round", "rows", "of them hard", "new", "skipped", "cut", "validation AP")
    head = [said(word) for word in words]
    ended = said(f"* kept. Ended: {_WHY[mined.stopped]}.")
    shown = [table(head, rows), ended, said(f"Run: {mined.folder}")]
    if mined.findings:
        shown += findings_lines(mined.findings)
    lines: list[str] = []
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
    return [*shown, *map(said, lines)]


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


# Longer tables show the rarest labels only; --all and --json hold every one.
MOST_LABELS = 30


def decided_lines(
    rule: DecisionRule, decided: Mapping[str, float], expected: Mapping[str, float], n_rows: int
) -> str:
    """Return a table of how many rows are decided as each name, and how many are expected."""
    n = max(n_rows, 1)
    rows = [[name, rule.grades[i] if rule.grades else "", f"{decided[name]:,.0f}",
             f"{decided[name] / n:.2%}", f"{expected[name] / n:.2%}"]
            for i, name in enumerate(rule.names)]  # fmt: skip
    words = ("name", "grade", "decided", "share", "expected")
    return table([said(word) for word in words], rows)


def parted_lines(
    rule: DecisionRule, decided: Mapping[str, float], expected: Mapping[str, float], n_rows: int
) -> list[str]:
    """Return a warning for every label whose decided and expected shares part."""
    from equipoise.decisions import parted_shares

    found = parted_shares(rule, decided, expected, n_rows)
    lines = [
        f"{said('warning')}{mark(': ')}{name}{mark(': ')}{said(text)}"
        for name, text in list(found.items())[:MOST_LABELS]
    ]
    if len(found) > MOST_LABELS:
        lines.append(said(f"warning: and {len(found) - MOST_LABELS} more labels"))
    if lines:
        do = "Check on labelled rows whether these rows are like those it was tuned on."
        lines.append(said(do))
    return lines


def draw_figure(path: Path | None, rule: DecisionRule, scores: Scores) -> None:
    """Draw the confusion table where a file is named for it."""
    if path is None:
        return
    from equipoise.comparison import count_confusions
    from equipoise.report.pictures import draw_confusion

    seen = count_confusions(rule, scores)
    draw_confusion(path, seen.truth, seen.said, seen.counts)
