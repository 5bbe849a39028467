"""An evaluation: estimates per label, macro, micro and by frequency group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equipoise._core.language import mark, said
from equipoise._core.text import as_html, table
from equipoise.artifacts._io import as_declared, plain, read_json, reading, write_json
from equipoise.artifacts.estimate import FEW, Estimate
from equipoise.artifacts.labels import Kind

_SCHEMA, _VERSION = "equipoise.Evaluation", 1
Estimates = Mapping[str, Estimate]


def _dump(table: Mapping[str, Estimates]) -> dict[str, dict[str, Any]]:
    return {k: {m: e.to_dict() for m, e in row.items()} for k, row in table.items()}


def _read(table: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Estimate]]:
    return {k: {m: Estimate.from_dict(e) for m, e in row.items()} for k, row in table.items()}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good a model and its rule are on rows neither has seen.

    Args:
        kind: "multiclass" or "multilabel".
        names: One name per class or label.
        per_label: name -> metric -> Estimate.
        overall: "macro" (over evaluable labels), "micro" and "samples" (mean over rows), or
            "overall" (classes) -> metric -> Estimate.
        groups: "head", "medium", "tail" -> metric -> Estimate, macro within the group.
        n_rows: Rows evaluated.
        n_evaluable: metric -> number of labels in the macro average.
        not_evaluable: name -> why it is left out of ranking metrics.
        overlap: What came of comparing ids, groups and scores with the rows the rule was tuned on:
            of each "fine", "found: ..." or "not made: ..." with the reason.
        evaluated_on: Part and fingerprint of the rows, what the rule was tuned on, the settings
            of region and worth, and how many labels each group holds.
        counts: name -> "tp", "fp", "fn", "tn".
        by: "label_count" -> "0", "1", "2", "3+" true labels of a row -> metric -> Estimate.
    """

    kind: Kind
    names: tuple[str, ...]
    per_label: Mapping[str, Estimates]
    overall: Mapping[str, Estimates]
    groups: Mapping[str, Estimates]
    n_rows: int
    n_evaluable: Mapping[str, int]
    not_evaluable: Mapping[str, str]
    overlap: str
    evaluated_on: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    by: Mapping[str, Mapping[str, Estimates]] = field(default_factory=dict)

    def worst(self, metric: str) -> tuple[str, Estimate] | None:
        """Return the label with the lowest value of a metric; None where no label has one."""
        seen = {n: row[metric] for n, row in self.per_label.items() if not row[metric].is_missing}
        return min(seen.items(), key=lambda item: item[1].value) if seen else None

    def text(self, everything: bool = False, *, more: str = "text(everything=True)") -> str:
        """Return what matters as text: headline, labels (the rarest 30), groups, overlap.

        Args:
            everything: Every metric and every label.
            more: How to see all, in words.
        """
        return "\n".join(_parts(self, everything, more))

    def _repr_html_(self) -> str:
        return as_html(_parts(self, False, "text(everything=True)"))

    def __str__(self) -> str:
        return self.text()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        body: dict[str, Any] = plain(
            {
                "kind": self.kind,
                "names": self.names,
                "per_label": _dump(self.per_label),
                "overall": _dump(self.overall),
                "groups": _dump(self.groups),
                "n_rows": self.n_rows,
                "n_evaluable": self.n_evaluable,
                "not_evaluable": self.not_evaluable,
                "overlap": self.overlap,
                "evaluated_on": self.evaluated_on,
                "counts": self.counts,
                "by": {k: _dump(table) for k, table in self.by.items()},
            }
        )
        return body

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Evaluation:
        """Read what :meth:`to_dict` wrote."""
        body = {k: v for k, v in fields.items() if k not in ("schema", "version")}
        for name in ("per_label", "overall", "groups"):
            body[name] = _read(body[name])
        body["by"] = {k: _read(table) for k, table in body["by"].items()}
        body["counts"] = dict(body["counts"])
        body["names"] = tuple(body["names"])
        return as_declared(cls(**body))

    def save(self, path: str | Path) -> Path:
        """Write as JSON."""
        return write_json(path, _SCHEMA, _VERSION, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> Evaluation:
        """Read what :meth:`save` wrote."""
        body = read_json(path, _SCHEMA, _VERSION)
        with reading(path, _SCHEMA):
            return cls.from_dict(body)


FIRST = ("prevalence", "ap", "auroc", "precision", "recall", "f1")
# Of pixels, whose scores are not kept to be ranked.
FIRST_OF_PIXELS = ("prevalence", "precision", "recall", "iou", "dice", "dice_per_image")
SECTIONS = {
    "Region": ("partial_auroc", "recall_at_fpr", "precision_at_top"),
    "Decisions": ("specificity", "balanced_accuracy", "mcc", "flagged"),
    "Probabilities": ("log_loss", "brier", "brier_skill", "brier_positives", "brier_negatives"),
    "Calibration": ("calibration_ratio", "calibration_slope", "calibration_intercept"),
    "Worth": ("expected_cost", "net_benefit", "net_benefit_all"),
}
# Longer tables show the rarest labels only.
MOST_LABELS = 30


def _parts(found: Evaluation, everything: bool, more: str) -> list[str]:
    """Return an evaluation in words and tables, headline first.

    Args:
        found: What is shown.
        everything: Every metric and label.
        more: How to see the labels that are left out.
    """
    names = list(found.names)
    if not everything and len(names) > MOST_LABELS:
        names = sorted(names, key=lambda n: found.per_label[n]["prevalence"].value)[:MOST_LABELS]
    ranked = "ap" in found.overall["macro"]
    first = FIRST if ranked else FIRST_OF_PIXELS
    lines = [*_headline(found), "", _labels(found, names, first)]
    if len(names) < len(found.names):
        left = f"the {len(names)} rarest of {len(found.names)} labels; all of them: {more}"
        lines.append(said(left))
    asked, unit = ("auroc", "positives") if ranked else ("iou", "images with it")
    few = [n for n in found.names if 0 < (found.per_label[n][asked].n_positive or 0) < FEW]
    if few:
        lines.append(said(f"fewer than {FEW} {unit}, read with care: {', '.join(few)}"))
    if everything:
        for title, metrics in SECTIONS.items():
            known = [m for m in metrics if m in found.per_label[names[0]]]
            if known:
                lines += ["", said(_title(title, found)), _labels(found, names, known)]
        counts = [[n, *(str(found.counts[n][k]) for k in ("tp", "fp", "fn", "tn"))] for n in names]
        lines += ["", said("Counts"), table([said("label"), "tp", "fp", "fn", "tn"], counts)]
    if found.groups:
        lines += ["", _groups(found)]
    for title, rows in _by(found):
        lines += ["", _block(title, rows)]
    return [*lines, "", said(_rests_on(found))]


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
    body = [[said(group), str(held[group]), *(_cell(row[m]) for m in FIRST[1:])]
            for group, row in found.groups.items()]  # fmt: skip
    return table([said("by frequency in training"), said("labels"), *map(said, FIRST[1:])], body)


def _headline(found: Evaluation) -> list[str]:
    macro = found.overall["macro"]
    ranked = "ap" in macro
    main, name = ("ap", "AP") if ranked else ("iou", "IoU")
    first = (
        f"macro AP {macro['ap']}   macro AUROC {macro['auroc']}   macro F1 {macro['f1']}"
        if ranked
        else f"macro IoU {macro['iou']}   macro Dice {macro['dice']}"
    )
    lines = [said(first)]
    for level, row in found.overall.items():
        if level != "macro":
            numbers = "   ".join(f"{_word(m)} {said(str(e))}" for m, e in row.items())
            lines.append(f"{said(level)}{mark(': ')}{numbers}")
    missing = mark("; ").join(
        f"{n}{mark(': ')}{said(why)}" for n, why in found.not_evaluable.items()
    )
    over = said(f"macro {name} over {found.n_evaluable[main]} of {len(found.names)} labels")
    lines.append(over + (f" ({missing})" if missing else ""))
    worst = found.worst(main)
    if worst is not None:
        lines.append(said(f"lowest {name}: {worst[0]} {worst[1]}"))
    return lines


def _labels(found: Evaluation, names: Sequence[str], metrics: Sequence[str]) -> str:
    rows = [[n, *(_cell(found.per_label[n][m]) for m in metrics)] for n in names]
    macro = found.overall["macro"]
    rows.append([said("macro"), *(_cell(macro[m]) if m in macro else "" for m in metrics)])
    return table([said("label"), *map(_word, metrics)], rows)


def _word(metric: str) -> str:
    return said(metric.replace("_", " "))


def _cell(estimate: Estimate) -> str:
    return f"- ({said(estimate.reason or '')})" if estimate.is_missing else str(estimate)


def _by(found: Evaluation) -> list[tuple[str, Mapping[str, Mapping[str, Estimate]]]]:
    return [(said("by " + what.replace("_", " ")), rows) for what, rows in found.by.items()]


def _block(title: str, rows: Mapping[str, Mapping[str, Estimate]]) -> str:
    metrics = [m for m in next(iter(rows.values())) if m in PRINTED]
    body = [[name, str(row[metrics[0]].n), *(_cell(row[m]) for m in metrics)]
            for name, row in rows.items()]  # fmt: skip
    return table([title, said("rows"), *map(_word, metrics)], body)


PRINTED = ("ap", "auroc", "precision", "recall", "f1", "samples_f1", "exact_match")


def _rests_on(found: Evaluation) -> str:
    worth = found.evaluated_on.get("effective_rows")
    weighed = "" if worth is None else f", by weight worth {worth:,.0f}"
    tuned = "effective_rows" in found.evaluated_on.get("tuned_on", {})
    if tuned != (worth is not None):
        weighed += ", without weights" if tuned else ""
        weighed += f" (the rule was tuned with{'' if tuned else 'out'} row weights)"
    images = found.evaluated_on.get("images")
    rows = f"{found.n_rows} rows{weighed}"
    if images is not None:
        rows = f"{found.n_rows:,} pixels of {images:,} images"
    return f"{rows}; overlap with the rows it was tuned on: {found.overlap}"
