"""The proof of a split in the terminal: counts per part, deviations, what is missing, groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise.cli.console import table

if TYPE_CHECKING:
    from equipoise.splits import SplitSummary

_SHOWN = 5


def _some(items: list[str]) -> str:
    rest = len(items) - _SHOWN
    return "; ".join(items[:_SHOWN]) + (f"; and {rest} more" if rest > 0 else "")


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
    lines.append(f"missing labels: {_some(gone) or 'none'}")
    if summary.absent:
        lines.append(f"without positives anywhere: {_some(list(summary.absent))}")
    if summary.unknown:
        lines.append(f"unknown entries (-1 or empty): {summary.unknown:,}")
    if summary.groups is not None:
        number, crossing = summary.groups
        lines.append(f"groups: {number - crossing} of {number} kept together")
    if summary.left_out:
        lines.append(f"rows left out: {summary.left_out}")
    return lines
