"""The explorer's face: its words, and its data as the template puts them into the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from equipoise._core.language import said
from equipoise.report.explorer import Arm, explorer_data
from equipoise.report.words import as_json

_PARTS = {
    "val": "validation",
    "oof": "out-of-fold",
    "test": "test",
    "new": "new",
    "train": "training",
}
_LOCKED = {
    "": "",
    "test": "These are test rows: they may be looked at, but a cut that is chosen on them would "
    "flatter itself, so nothing can be saved here.",
    "part": "These rows are neither validation nor out-of-fold rows: nothing can be saved here.",
    "rows": "These are other rows than those the rule was tuned on: nothing can be saved here.",
}
_METRICS = (
    ("found", "found, per 1,000 cases"),
    ("missed", "missed, per 1,000 cases"),
    ("false_alarms", "false alarms, per 1,000 cases"),
    ("passed", "rightly left alone, per 1,000 cases"),
    ("recall", "recall: share of positives found"),
    ("precision", "precision: share of flags that are right"),
    ("f1", "F1"),
    ("flagged", "flagged, per 1,000 cases"),
    ("net_benefit", "net benefit per 1,000 cases, in cases found"),
    ("cost", "cost per 1,000 cases, a false alarm costing 1"),
)
_LABEL_TOTALS = (
    ("recall", "mean", "recall, mean of labels"),
    ("precision", "mean", "precision, mean of labels"),
    ("f1", "mean", "F1, mean of labels"),
    ("flagged", "sum", "flags per 1,000 rows"),
    ("cost", "sum", "cost per 1,000 rows"),
)
_CLASS_TOTALS = (
    ("recall", "mean", "balanced accuracy: mean recall"),
    ("precision", "mean", "precision, mean of classes"),
    ("f1", "mean", "macro F1"),
    ("accuracy", "share", "accuracy: share of rows that are right"),
)
_WORDS = {
    "cut": "cut, as a probability",
    "to": "to",
    "recall": "recall",
    "precision": "precision",
    "cost": "cost per 1,000",
    "breakEven": "acting breaks even at",
    "benefit": "net benefit per 1,000",
    "fragile": "Fragile: {n} positives. A cut that so few rows decide moves with every new one; "
    "its numbers are shown in grey.",
    "lacking": "Not to be had: {all} positives, all of them found, certify this share; {n} are "
    "lacking. The tuned cut stays.",
    "certified": "Certified where at least {k} of the {n} positives are found.",
    "lackingFlagged": "Not to be had: some cut would have to flag {n} more positives, and nothing "
    "else more, to certify this share. The tuned cut stays.",
    "certifiedFlagged": "Certified: {k} of the {n} flagged rows are positives.",
    "reached": "Reached on these rows; on others it may be less: see the interval.",
    "unreached": "No cut reaches this on these rows. The tuned one stays.",
    "drawn": "{n} of {all} positives are drawn, evenly by rank.",
    "count": "{n} of {all} shown",
}


def explorer_view(arms: Sequence[Arm], anchor: str) -> dict[str, Any]:
    """Return what the template needs to set cuts of these arms by hand."""
    data = explorer_data(arms)
    labelled = data["kind"] == "multilabel"
    main = arms[0]
    words = dict(_WORDS)
    if not labelled:
        words |= {"cut": "offset of the class"}
    seen = f"{data['rows']:,} {_PARTS[data['part']]} rows of {main.name}"
    if main.note:
        seen += f", {main.note}"
    if data.get("sampled"):
        seen = f"a random sample of {data['sampled']:,} of {seen}"
    return {
        "id": anchor,
        "kind": data["kind"],
        "name": main.name,
        "noun": "label" if labelled else "class",
        "nouns": "labels" if labelled else "classes",
        "arms": [arm["name"] for arm in data["arms"]],
        "rows_words": f"Looked at on {seen}.",
        "grouped": bool(data.get("groups") or data.get("codes")),
        "locked": data["locked"],
        "locked_words": _LOCKED[data["locked"]],
        "level": data["level"],
        "metrics": _METRICS,
        "totals": _LABEL_TOTALS if labelled else _CLASS_TOTALS,
        "words": as_json({name: said(text) for name, text in words.items()}),
        "json": as_json(data),
    }
