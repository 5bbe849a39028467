"""What ``equipoise tune`` reads as text, costs and shares, and the table it prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise._core.words import say
from equipoise.cli.console import table
from equipoise.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from equipoise.artifacts import DecisionRule

__all__ = ["parse_costs", "parse_shares", "parse_target", "rule_table"]


def parse_shares(name: str, text: str | None) -> list[float] | None:
    """Return the numbers of "0.1,0.9"."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(say(name, "be numbers as 0.1,0.9", repr(text))) from None


def parse_target(text: str) -> str | list[float]:
    """Return "validation", "uniform", "em" or the listed shares."""
    from equipoise.experiments.inputs import parse_prior

    return text if text == "em" else parse_prior(text)


def parse_costs(text: str | None) -> list[float] | list[list[float]] | None:
    """Return (false alarm, miss), or the rows of "0,1;5,0"."""
    if text is None or ";" not in text:
        return parse_shares("--costs", text)
    rows = [parse_shares("--costs", row) or [] for row in text.split(";")]
    if len({len(row) for row in rows}) > 1:
        raise UsageError(say("--costs", "have rows of one length", repr(text)))
    return rows


def rule_table(rule: DecisionRule) -> str:
    """Return one line per label: evidence, calibration, threshold, claimed and cross-fitted."""
    from scipy.special import expit

    from equipoise.artifacts.rule import GRADES

    cuts = [""] * len(rule.names)
    if rule.thresholds is not None:
        cuts = [f"{p:.4f}" for p in expit(rule.thresholds)]
    notes, shared = _apart(rule.notes)
    columns = (rule.names, rule.grades, rule.calibrator.method, cuts, rule.claimed,
               rule.cross_fitted, notes)  # fmt: skip
    rows = [
        [n, g, m, c, f"{a:.3f}", f"{b:.3f}", note]
        for n, g, m, c, a, b, note in zip(*columns, strict=True)
    ]
    measure = f"{rule.measure} claimed"
    head = ["label", "grade", "calibration", "threshold", measure, "cross-fitted", ""]
    grades = "; ".join(f"{g} {GRADES[g]}" for g in sorted(set(rule.grades)))
    bound = [
        f"score columns: {', '.join(f'{c} for {n}' for c, n in pairs)}"
        for pairs in [list(zip(rule.score_names, rule.names, strict=False))]
        if rule.score_names and rule.score_names != rule.names
    ]
    return "\n".join([table(head, rows), *shared, f"grade: {grades}", *bound])


def _apart(notes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the notes of each label, and apart from them what all labels have in common."""
    split = [note.split("; ") if note else [] for note in notes]
    if len(split) < 2:
        return list(notes), []
    shared = [part for part in split[0] if all(part in other for other in split[1:])]
    return ["; ".join(p for p in parts if p not in shared) for parts in split], shared
