"""The verdict in the terminal: the comparison as two small tables and two sentences."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from equipoise.cli.console import table

if TYPE_CHECKING:
    from equipoise.artifacts import Comparison, Estimate

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
    lines = [comparison.title, table(head, rows), explained]
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
