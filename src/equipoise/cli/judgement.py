"""An evaluation in the terminal: the headline, the labels, and on request everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise.cli.console import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from equipoise.artifacts import DecisionRule, Estimate, Evaluation, Scores

FIRST = ("prevalence", "ap", "auroc", "precision", "recall", "f1")
SECTIONS = {
    "Region": ("partial_auroc", "recall_at_fpr", "precision_at_top"),
    "Decisions": ("specificity", "balanced_accuracy", "mcc", "flagged"),
    "Probabilities": ("log_loss", "brier", "brier_skill", "brier_positives", "brier_negatives"),
    "Calibration": ("calibration_ratio", "calibration_slope", "calibration_intercept"),
    "Worth": ("expected_cost", "net_benefit", "net_benefit_all"),
}
RARE = 10
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
    names = list(found.names)
    if not everything and len(names) > MOST_LABELS:
        names = sorted(names, key=lambda n: found.per_label[n]["prevalence"].value)[:MOST_LABELS]
    lines = [*_headline(found), "", _labels(found, names, FIRST)]
    if len(names) < len(found.names):
        lines.append(f"the {len(names)} rarest of {len(found.names)} labels; all of them: --all")
    few = [n for n in found.names if 0 < (found.per_label[n]["auroc"].n_positive or 0) < RARE]
    if few:
        lines.append(f"fewer than {RARE} positives, read with care: {', '.join(few)}")
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
