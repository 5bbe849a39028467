"""From artifacts to what the page's template prints: words, numbers and table rows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from equipoise.artifacts import ArmRecord, Comparison, Estimate, Finding
from equipoise.artifacts.comparison import forecast_words
from equipoise.report import charts

METRIC_WORDS = {
    "macro_ap": "macro AP",
    "macro_auroc": "macro AUROC",
    "tuned": "tuned balanced accuracy",
    "default": "default-rule metric",
    "log_loss_raw": "log loss, raw",
    "log_loss_formula": "log loss, formula",
    "log_loss_calibrated": "log loss, calibrated",
}
VERDICT_CLASS = {
    "ranking gain": "good",
    "threshold only": "free",
    "no effect": "flat",
    "harmful": "bad",
    "not worth it": "flat",
    "undecided": "open",
}
PANELS = 10
DASH = "\N{EN DASH}"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with a fixed number of digits, or a dash."""
    if value is None or math.isnan(value):
        return DASH
    return f"{value:.{digits}f}"


def interval(estimate: Estimate, *, signed: bool = False) -> dict[str, Any]:
    """Return an estimate as text, bounds and a remark."""
    form = "+.3f" if signed else ".3f"
    if estimate.is_missing:
        return {"text": DASH, "bounds": "", "why": estimate.reason or "", "sort": -9}
    has_bounds = not math.isnan(estimate.low)
    bounds = f"{estimate.low:{form}} to {estimate.high:{form}}" if has_bounds else ""
    return {
        "text": f"{estimate.value:{form}}",
        "bounds": bounds,
        "why": estimate.reason or "",
        "sort": estimate.value,
    }


def _arm_row(arm: ArmRecord, baseline: str, looked: bool) -> dict[str, Any]:
    gain = arm.gain
    row: dict[str, Any] = {
        "method": arm.method,
        "record": {k: interval(v) for k, v in arm.record.items()},
        "exactness": arm.exactness,
        "notes": (("reference, no remedy",) if arm.is_reference else ()) + arm.notes,
        "gain": None,
        "same_model": arm.method == f"{baseline} + thresholds",
    }
    if gain is not None:
        row["gain"] = {
            "primary": interval(gain.shown, signed=True),
            "total": interval(gain.total, signed=True),
            "ranking": interval(gain.ranking_part, signed=True),
            "operating": interval(gain.operating_part, signed=True),
            "p": DASH if math.isnan(gain.p_adjusted) else f"{gain.p_adjusted:.3f}",
            "verdict": arm.verdict.removesuffix(" (reference)"),
            "tone": "flat" if arm.is_reference else VERDICT_CLASS[gain.verdict],
            "needed": gain.needed,
            "settled": "" if not looked or gain.needed else f"settled after {arm.n_seeds} seeds",
            "detectable": number(gain.smallest_detectable),
        }
    return row


def _label_rows(comparison: Comparison, arm: ArmRecord) -> list[dict[str, Any]]:
    positives: Mapping[str, Any] = comparison.data["positives"]
    rows = []
    for name in comparison.names:
        estimates = arm.evaluation.per_label[name]
        rows.append(
            {
                "name": name,
                "counts": positives[name],
                "why": arm.evaluation.not_evaluable.get(name, ""),
                "cells": {
                    metric: interval(estimates[metric])
                    for metric in ("prevalence", "ap", "auroc", "precision", "recall", "f1")
                },
                "calibration": number(_ratio(estimates), 2),
                "log_loss": interval(estimates["log_loss"]),
            }
        )
    return rows


def _ratio(estimates: Mapping[str, Estimate]) -> float:
    """Return flagged share over prevalence: how many times as many rows are flagged."""
    share = estimates["prevalence"].value
    return estimates["flagged"].value / share if share > 0 else math.nan


def _decisions(comparison: Comparison) -> dict[str, Any]:
    """Return the table of recall and flagged share; the longer side goes down the page."""
    arms, names = comparison.arms, comparison.names
    positives: Mapping[str, Any] = comparison.data["positives"]
    heads = {n: (n, f"{_percent(positives[n]['prevalence'])} positive") for n in names}
    if len(names) <= 6:
        rows = [
            {"head": (a.method, ""), "pick": a.method == comparison.recommended,
             "cells": [_decision(a, n) for n in names]}
            for a in arms
        ]  # fmt: skip
        return {"corner": "arm", "columns": [heads[n] for n in names], "rows": rows}
    rows = [
        {"head": heads[n], "pick": False, "cells": [_decision(a, n) for a in arms]} for n in names
    ]
    noun = "label" if comparison.kind == "multilabel" else "class"
    return {"corner": noun, "columns": [(a.method, "") for a in arms], "rows": rows}


def _decision(arm: ArmRecord, name: str) -> dict[str, Any]:
    before, after, truth = arm.flagged[name]
    recall_before, recall_after = arm.recall[name]
    times = before / truth if truth else math.nan
    return {
        "recall": number(recall_before, 2),
        "recall_tuned": number(recall_after, 2),
        "flagged": _percent(before),
        "flagged_tuned": _percent(after),
        "tone": "flood" if times > 1.5 else ("drought" if times < 0.5 else ""),
    }


def _percent(share: float) -> str:
    return DASH if math.isnan(share) else f"{100 * share:.1f} %"


def _panels(comparison: Comparison) -> list[str]:
    """Return the labels that get a picture: all, or the rarest and the most frequent."""
    drawn = [n for n in comparison.names if n in comparison.arms[0].curves]
    if len(drawn) <= PANELS:
        return drawn
    by_count = sorted(drawn, key=lambda n: comparison.data["positives"][n]["test"])
    keep = set(by_count[: PANELS // 2] + by_count[-PANELS // 2 :])
    return [n for n in drawn if n in keep]


def _json_view(comparison: Comparison) -> str:
    """Return the numbers behind the page, for the download button; safe inside a script tag."""
    body = {
        "title": comparison.title,
        "baseline": comparison.baseline,
        "primary": comparison.primary,
        "rope": comparison.rope,
        "recommended": comparison.recommended,
        "arms": [
            {
                "method": a.method,
                "record": {k: [e.value, e.low, e.high] for k, e in a.record.items()},
                "verdict": a.gain.verdict if a.gain else None,
                "primary_gain": [a.gain.primary.value, a.gain.primary.low, a.gain.primary.high]
                if a.gain
                else None,
                "per_seed": a.gain.per_seed if a.gain else None,
            }
            for a in comparison.arms
        ],
    }
    text = json.dumps(_no_nan(body), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("&", "\\u0026")


def _no_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {k: _no_nan(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_no_nan(v) for v in value]
    return value


def comparison_view(
    comparison: Comparison, findings: Sequence[Finding], number_in_page: int
) -> dict[str, Any]:
    """Return everything the template prints for one comparison."""
    panels = _panels(comparison)
    metric = METRIC_WORDS.get(comparison.primary, comparison.primary)
    best = comparison.arm(comparison.recommended)
    rows = comparison.data["rows"]
    remedies = [a for a in comparison.arms if a.gain and not a.is_reference]
    tests_one = len([a for a in remedies if a.gain and a.gain.per_seed]) > 1
    seeds = sorted({arm.n_seeds for arm in comparison.arms})
    return {
        "anchor": f"study-{number_in_page}",
        "title": comparison.title,
        "kind": comparison.kind,
        "noun": "label" if comparison.kind == "multilabel" else "class",
        "nouns": "labels" if comparison.kind == "multilabel" else "classes",
        "metric": metric,
        "baseline": comparison.baseline,
        "rule_metric": comparison.rule_metric,
        "default_rule": "0.5" if comparison.kind == "multilabel" else "argmax",
        "rope": number(comparison.rope),
        "summary": comparison.summary,
        "question": comparison.question or "on these data",
        "forecast": " ".join(forecast_words(comparison)),
        "looks": ", ".join(map(str, comparison.looks)),
        "recommended": comparison.recommended,
        "n_seeds": seeds[0] if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}",
        "crossed": "folds" in comparison.data,
        "regret": "" if math.isnan(comparison.regret) else number(comparison.regret),
        "settings_per_arm": comparison.provenance.get("settings_per_arm", 1),
        "rows": rows,
        "groups": comparison.data.get("groups", {}),
        "target_prior": comparison.data.get("target_prior", "validation"),
        "names": comparison.names,
        "positives": comparison.data["positives"],
        "largest": max(1, *(c["train"] or 0 for c in comparison.data["positives"].values())),
        "arms": [_arm_row(a, comparison.baseline, bool(comparison.looks)) for a in comparison.arms],
        "losses": ("log_loss_raw", "log_loss_formula", "log_loss_calibrated"),
        "labels": _label_rows(comparison, best),
        "decisions": _decisions(comparison) if len(comparison.names) <= 30 else None,
        "findings": findings,
        "forest": charts.forest(comparison, metric) if tests_one else "",
        "decomposition": charts.decomposition(comparison) if tests_one else "",
        "flagged": charts.operating_points(comparison, panels[:6])
        if comparison.kind == "multilabel" and panels
        else "",
        "precision_recall": charts.precision_recall(comparison, panels) if panels else "",
        "reliability": charts.reliability(comparison, panels, best.method) if panels else "",
        "panels": panels,
        "overlap": best.evaluation.overlap,
        "macro": {k: interval(v) for k, v in best.evaluation.overall["macro"].items()},
        "n_evaluable": best.evaluation.n_evaluable,
        "provenance": comparison.provenance,
        "provenance_json": json.dumps(_no_nan(dict(comparison.provenance)), indent=1, default=str),
        "json": _json_view(comparison),
    }
