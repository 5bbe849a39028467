"""What verbs found, planned or made, as lines for the terminal."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise._core.messages import listed
from equipoise.cli.console import findings_lines, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from equipoise.artifacts import (
        Comparison,
        DecisionRule,
        Estimate,
        Evaluation,
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
    head = ["", *summary.parts] + ([] if on_purpose else ["rate", "deviation"])
    body = []
    for k, name in enumerate(summary.names):
        row = [name, *(str(counts[k]) for counts in summary.counts)]
        if not on_purpose:
            gap = summary.deviations[k]
            row += [f"{summary.rates[k]:.2%}", "-" if gap != gap else f"{gap:.2%}"]
        body.append(row)
    body.append(["rows", *map(str, summary.rows)] + ([] if on_purpose else ["", ""]))
    lines = [table(head, body)]
    if not on_purpose:
        worst = max((d for d in summary.deviations if d == d), default=0.0)
        lines.append(
            f"deviation of a rate: {summary.mean_deviation:.3%} on average over labels, "
            f"{worst:.3%} at most"
        )
    gone = [f"{name} from {', '.join(parts)}" for name, parts in summary.missing.items()]
    lines.append(f"missing labels: {listed(gone, _SHOWN, '; ') or 'none'}")
    if summary.absent:
        lines.append(f"without positives anywhere: {listed(list(summary.absent), _SHOWN, '; ')}")
    if summary.unknown:
        lines.append(f"unknown entries (-1 or empty): {summary.unknown:,}")
    if summary.groups is not None:
        number, crossing = summary.groups
        lines.append(f"groups: {number - crossing} of {number} kept together")
    if summary.left_out:
        lines.append(f"rows left out: {summary.left_out}")
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
            f"{plan.model.name}, {plan.job.arm.label}, {options.epochs} epochs of batches of "
            f"{options.batch_size}, {options.optimizer} at {options.lr:g}"
        ),
    ]
    if plan.rows.left_out:
        shown = "; ".join(plan.rows.left_out[:3])
        lines.append(f"{len(plan.rows.left_out)} broken images left out: {shown}")
    return lines


def short_findings(findings: Sequence[Finding]) -> list[str]:
    """Return a line per finding; its page has the rest."""
    lines = [f"{f.code} {f.severity}: {f.message.split('. ')[0].rstrip('.')}." for f in findings]
    if lines:
        lines.append(f"More: equipoise diagnose --explain {findings[0].code}")
    return lines


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
    return lines


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


FEW_LABELS = 6


def _number(estimate: Estimate) -> str:
    return "-" if math.isnan(estimate.value) else f"{estimate.value:.3f}"


def comparison_lines(comparison: Comparison) -> list[str]:
    """Return the verdict table and the two sentences, at most 30 lines."""
    short = "AP" if comparison.primary == "macro_ap" else "primary"
    head = [
        "arm",
        "macro AP",
        "AUROC",
        "default",
        "tuned",
        "log loss",
        f"d {short} [95 %]",
        "verdict",
    ]
    rows = []
    for arm in comparison.arms:
        record, gain = arm.record, arm.gain
        same = arm.method == f"{comparison.baseline} + thresholds"
        difference = "" if gain is None else ("same model" if same else _signed(gain.primary))
        columns = ("macro_ap", "macro_auroc", "default", "tuned", "log_loss_calibrated")
        numbers = [_number(record[k]) for k in columns]
        rows.append([arm.method, *numbers, difference, arm.verdict])
    explained = (
        f"default, tuned: {comparison.rule_metric} at 0.5 or argmax, and with the rule tuned on "
        f"validation rows; {comparison.arms[0].n_seeds} seeds; intervals are Holm-adjusted"
    )
    doubts = [f"{f.code}: {f.message}" for f in comparison.findings]
    lines = [comparison.title, *doubts, table(head, rows), explained]
    if comparison.kind == "multilabel" and len(comparison.names) <= FEW_LABELS:
        lines += ["", *_decision_lines(comparison), ""]
    return [*lines, *comparison.summary]


def _decision_lines(comparison: Comparison) -> list[str]:
    """Return recall and the share of rows flagged per label at the default rule."""
    names = comparison.names
    rows = []
    for arm in comparison.arms:
        pairs = [(arm.recall[n][0], arm.flagged[n][0]) for n in names]
        rows.append([arm.method, *(f"{r:.2f} ({100 * f:4.1f} %)" for r, f in pairs)])
    truth = comparison.arms[0].flagged
    rows.append(["share positive", *(f"({100 * truth[n][2]:4.1f} %)" for n in names)])
    return [table(["recall (flagged) at 0.5", *names], rows)]


def _signed(estimate: Estimate) -> str:
    if math.isnan(estimate.low):
        return f"{estimate.value:+.3f}"
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


FIRST = ("prevalence", "ap", "auroc", "precision", "recall", "f1")
SECTIONS = {
    "Region": ("partial_auroc", "recall_at_fpr", "precision_at_top"),
    "Decisions": ("specificity", "balanced_accuracy", "mcc", "flagged"),
    "Probabilities": ("log_loss", "brier", "brier_skill", "brier_positives", "brier_negatives"),
    "Calibration": ("calibration_ratio", "calibration_slope", "calibration_intercept"),
    "Worth": ("expected_cost", "net_benefit", "net_benefit_all"),
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
    return table(["name", "grade", "decided", "share", "expected"], rows)


def parted_lines(
    rule: DecisionRule, decided: Mapping[str, float], expected: Mapping[str, float], n_rows: int
) -> list[str]:
    """Return a warning for every label whose decided and expected shares part."""
    from equipoise.decisions import parted_shares

    found = parted_shares(rule, decided, expected, n_rows)
    lines = [f"warning: {name}: {text}" for name, text in list(found.items())[:MOST_LABELS]]
    if len(found) > MOST_LABELS:
        lines.append(f"warning: and {len(found) - MOST_LABELS} more labels")
    if lines:
        lines.append("Check on labelled rows whether these rows are like those it was tuned on.")
    return lines


def draw_figure(path: Path | None, rule: DecisionRule, scores: Scores) -> None:
    """Draw the confusion table where a file is named for it."""
    if path is None:
        return
    from equipoise.comparison import count_confusions
    from equipoise.report.pictures import draw_confusion

    seen = count_confusions(rule, scores)
    draw_confusion(path, seen.truth, seen.said, seen.counts)


def evaluation_lines(found: Evaluation, everything: bool) -> list[str]:
    """Return the printed evaluation, headline first."""
    from equipoise.metrics.intervals import FEW

    names = list(found.names)
    if not everything and len(names) > MOST_LABELS:
        names = sorted(names, key=lambda n: found.per_label[n]["prevalence"].value)[:MOST_LABELS]
    lines = [*_headline(found), "", _labels(found, names, FIRST)]
    if len(names) < len(found.names):
        lines.append(f"the {len(names)} rarest of {len(found.names)} labels; all of them: --all")
    few = [n for n in found.names if 0 < (found.per_label[n]["auroc"].n_positive or 0) < FEW]
    if few:
        lines.append(f"fewer than {FEW} positives, read with care: {', '.join(few)}")
    if everything:
        for title, metrics in SECTIONS.items():
            known = [m for m in metrics if m in found.per_label[names[0]]]
            if known:
                lines += ["", _title(title, found), _labels(found, names, known)]
        counts = [[n, *(str(found.counts[n][k]) for k in ("tp", "fp", "fn", "tn"))] for n in names]
        lines += ["", "Counts", table(["label", "tp", "fp", "fn", "tn"], counts)]
    if found.groups:
        lines += ["", _groups(found)]
    for title, rows in _by(found):
        lines += ["", _block(title, rows)]
    return [*lines, "", _rests_on(found)]


def _title(title: str, found: Evaluation) -> str:
    """Return the title of a section, with what its metrics were asked at."""
    asked = found.evaluated_on.get("settings", {})
    if title == "Region":
        rate, share = asked["max_fpr"], asked["top_fraction"]
        return f"Region: false positive rate up to {rate:g}, the top {share:.3g} of rows"
    if title == "Worth" and "break_even" in asked:
        points = sorted({f"{t:.3g}" for t in asked["break_even"]})
        return f"Worth: net benefit at a probability of {', '.join(points)}; all = flag everybody"
    return title


def _groups(found: Evaluation) -> str:
    """Return the macro averages of head, medium and tail: and the labels in them."""
    held = found.evaluated_on["group_labels"]
    body = [[group, str(held[group]), *(_cell(row[m]) for m in FIRST[1:])]
            for group, row in found.groups.items()]  # fmt: skip
    return table(["by frequency in training", "labels", *FIRST[1:]], body)


def _headline(found: Evaluation) -> list[str]:
    macro = found.overall["macro"]
    lines = [f"macro AP {macro['ap']}   macro AUROC {macro['auroc']}   macro F1 {macro['f1']}"]
    for level, row in found.overall.items():
        if level != "macro":
            numbers = "   ".join(f"{m.replace('_', ' ')} {e}" for m, e in row.items())
            lines.append(f"{level}: {numbers}")
    missing = "; ".join(f"{n}: {why}" for n, why in found.not_evaluable.items())
    over = f"macro AP over {found.n_evaluable['ap']} of {len(found.names)} labels"
    lines.append(over + (f" ({missing})" if missing else ""))
    worst = found.worst("ap")
    if worst is not None:
        lines.append(f"lowest AP: {worst[0]} {worst[1]}")
    return lines


def _labels(found: Evaluation, names: Sequence[str], metrics: Sequence[str]) -> str:
    rows = [[n, *(_cell(found.per_label[n][m]) for m in metrics)] for n in names]
    macro = found.overall["macro"]
    rows.append(["macro", *(_cell(macro[m]) if m in macro else "" for m in metrics)])
    return table(["label", *(m.replace("_", " ") for m in metrics)], rows)


def _cell(estimate: Estimate) -> str:
    return f"- ({estimate.reason})" if estimate.is_missing else str(estimate)


def _by(found: Evaluation) -> list[tuple[str, Mapping[str, Mapping[str, Estimate]]]]:
    return [("by " + what.replace("_", " "), rows) for what, rows in found.by.items()]


def _block(title: str, rows: Mapping[str, Mapping[str, Estimate]]) -> str:
    metrics = [m for m in next(iter(rows.values())) if m in PRINTED]
    body = [[name, str(row[metrics[0]].n), *(_cell(row[m]) for m in metrics)]
            for name, row in rows.items()]  # fmt: skip
    return table([title, "rows", *(m.replace("_", " ") for m in metrics)], body)


PRINTED = ("ap", "auroc", "precision", "recall", "f1", "samples_f1", "exact_match")


def _rests_on(found: Evaluation) -> str:
    return f"{found.n_rows} rows; overlap with the rows it was tuned on: {found.overlap}"
