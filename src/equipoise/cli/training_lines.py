"""A plan of training and a finished trial as lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from equipoise.artifacts import Finding, Trial
    from equipoise.studies.network import TrainPlan


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
