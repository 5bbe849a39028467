"""The documented table of row-weight rules, computed on the labels of two typical cases."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from equipoise._core.rng import generator
from equipoise.artifacts.labels import Labels
from equipoise.sampling.report import sampling_report
from equipoise.sampling.rules import ROW_RULES

PREVALENCE = (0.085, 0.29, 0.17, 0.469)
ROWS = 224_000
TAIL_COUNTS = {22: 4702, 0: 1749, 12: 130, 8: 43, 16: 39, 15: 30, 17: 24, 20: 17, 4: 13, 5: 13}
TAIL_COUNTS |= {19: 9, 6: 7, 7: 6, 2: 4, 10: 4}
TAIL_ROWS, TAIL_LABELS = 5_500, 23


@dataclass(frozen=True, slots=True)
class RuleRow:
    """What one rule does to one set of labels.

    Args:
        rule: Its name.
        rates: Rate of each label among drawn rows.
        rate_ratio: Largest over smallest rate.
        ess_share: Effective sample size over N.
        empty_share: Drawn rows without any label.
        max_weight: Weight of the most-drawn row; an average row has 1.
    """

    rule: str
    rates: tuple[float, ...]
    rate_ratio: float
    ess_share: float
    empty_share: float
    max_weight: float


def four_labels(correlation: float = 0.0) -> Labels:
    """Return 224,000 rows of four labels as a Gaussian copula has them, without chance.

    All pairs of the underlying normal variables have the same correlation. Each labelset gets its
    exact share by quadrature over the common factor, rounded to whole rows.
    """
    from scipy.special import ndtr, ndtri

    nodes, mass = np.polynomial.hermite_e.hermegauss(200)
    cut = ndtri(np.asarray(PREVALENCE))
    drift = np.sqrt(correlation) * nodes[:, None]
    present = ndtr((cut - drift) / np.sqrt(1.0 - correlation))
    sets = np.array(list(itertools.product((0, 1), repeat=len(PREVALENCE))), dtype=np.int8)
    chance = np.where(sets[:, None, :] == 1, present, 1.0 - present).prod(axis=2)
    exact = chance @ (mass / mass.sum()) * ROWS
    counts = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact)[: ROWS - counts.sum()]] += 1
    names = ("A", "B", "C", "D")
    return Labels.from_array(np.repeat(sets, counts, axis=0), kind="multilabel", names=names)


def long_tail_labels(seed: int = 0) -> Labels:
    """Return 5,500 rows of 23 labels with a long tail, eight of them without positives.

    Counts are exact; which rows have a label is drawn for each label by itself.
    """
    hot = np.zeros((TAIL_ROWS, TAIL_LABELS), dtype=np.int8)
    for label, count in TAIL_COUNTS.items():
        rng = generator(seed, "sampling", "rule_table", label)
        hot[rng.choice(TAIL_ROWS, count, replace=False), label] = 1
    return Labels.from_array(hot, kind="multilabel")


def rule_rows(labels: Labels, rules: Sequence[str] | None = None) -> list[RuleRow]:
    """Return one row per rule, for all rules that fit the kind of labels by default."""
    names = [r.name for r in ROW_RULES.values() if labels.kind in r.kinds]
    rows = []
    for name in names if rules is None else rules:
        report = sampling_report(ROW_RULES[name].weights(labels), labels)
        empty = report.sizes_after[0]
        numbers = (report.rate_ratio, report.ess_share, empty, report.max_weight)
        rows.append(RuleRow(name, report.rates_after, *numbers))
    return rows


def _markdown(rows: Sequence[RuleRow], *, rates: bool) -> list[str]:
    head = ["rule", *(["rates"] if rates else []), "max/min rate", "ESS/N"]
    head += ["rows without labels", "most-drawn row weighs"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for row in rows:
        shown = " ".join(f"{rate:.3f}".lstrip("0") for rate in row.rates)
        cells = [f"`{row.rule}`", *([shown] if rates else []), _number(row.rate_ratio)]
        cells += [f"{row.ess_share:.2f}" if row.ess_share >= 0.095 else f"{row.ess_share:.1g}"]
        cells += [f"{row.empty_share:.0%}", _number(row.max_weight)]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def rule_tables() -> str:
    """Return the tables of the documentation, as Markdown."""
    lines = ["| rule | weight of a row |", "|---|---|"]
    lines += [
        f"| `{r.name}` | {r.summary} |" for r in ROW_RULES.values() if "multilabel" in r.kinds
    ]
    cases = (
        ("Four labels that are independent, 224,000 rows", four_labels(), True),
        ("The same four labels, correlated (0.6)", four_labels(0.6), True),
        ("23 labels with a long tail, 5,500 rows", long_tail_labels(), False),
    )
    for title, labels, rates in cases:
        lines += ["", f"### {title}", "", *_markdown(rule_rows(labels), rates=rates)]
    return "\n".join(lines) + "\n"
