"""From artifacts to what the page's template prints: words, numbers and table rows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from equipoise._core.language import said
from equipoise._core.logistic import expit
from equipoise._core.messages import counted
from equipoise.artifacts import (
    ArmRecord,
    Comparison,
    DecisionRule,
    Estimate,
    Evaluation,
    Scores,
    Trial,
)
from equipoise.artifacts.comparison import forecast_words
from equipoise.comparison import Confusion, count_confusions, evaluate
from equipoise.report import charts
from equipoise.report.chapter import Chapter, Contents
from equipoise.report.decide import explorer_view
from equipoise.report.words import DASH, as_json, interval, no_nan, number, percent

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
# Classes or labels of a figure of confusions, errors shown, labels of a table of arms.
MOST_CONFUSED, MOST_ERRORS, MOST_TABLED = 16, 12, 30


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
        settled = f"settled after {counted(arm.n_seeds, 'seed')}"
        row["gain"] = {
            "primary": interval(gain.shown, signed=True),
            "total": interval(gain.total, signed=True),
            "ranking": interval(gain.ranking_part, signed=True),
            "operating": interval(gain.operating_part, signed=True),
            "p": DASH if math.isnan(gain.p_adjusted) else f"{gain.p_adjusted:.3f}",
            "verdict": arm.verdict.removesuffix(" (reference)"),
            "tone": "flat" if arm.is_reference else VERDICT_CLASS[gain.verdict],
            "needed": gain.needed,
            "settled": settled if looked and not gain.needed else "",
            "detectable": number(gain.smallest_detectable),
        }
    return row


def _label_rows(found: Evaluation, positives: Mapping[str, Any] | None) -> str:
    """Return the rows of the table of labels, the lowest F1 first, as the page's script takes them.

    A cell is what it is sorted by, its text, what stands below, and a remark.
    """
    rows = []
    for name in found.names:
        estimates = found.per_label[name]
        why = said(found.not_evaluable.get(name, ""))
        cells: list[list[Any]] = [[name, name, why, ""]]
        if positives is not None:
            held = positives[name]
            counts = " / ".join(str(held[part]) for part in ("train", "val", "test"))
            cells.append([held["train"], counts, "", ""])
        for metric in ("prevalence", "ap", "auroc", "precision", "recall", "f1"):
            shown = interval(estimates[metric])
            cells.append([shown["sort"], shown["text"], shown["bounds"], said(shown["why"])])
        ratio = _ratio(estimates)
        cells.append([-9 if math.isnan(ratio) else ratio, number(ratio, 2), "", ""])
        rows.append((estimates["f1"].value, cells))
    rows.sort(key=lambda row: (math.isnan(row[0]), row[0]))
    return as_json([cells for _, cells in rows])


def _ratio(estimates: Mapping[str, Estimate]) -> float:
    """Return flagged share over prevalence: how many times as many rows are flagged."""
    share = estimates["prevalence"].value
    return estimates["flagged"].value / share if share > 0 else math.nan


def _decisions(comparison: Comparison) -> dict[str, Any]:
    """Return the table of recall and flagged share; the longer side goes down the page."""
    arms, names = comparison.arms, comparison.names
    positives: Mapping[str, Any] = comparison.data["positives"]
    heads = {n: (n, f"{percent(positives[n]['prevalence'])} positive") for n in names}
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
        "flagged": percent(before),
        "flagged_tuned": percent(after),
        "tone": "flood" if times > 1.5 else ("drought" if times < 0.5 else ""),
    }


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
    return as_json(body)


def _study_view(comparison: Comparison) -> dict[str, Any]:
    """Return what the template prints of a comparison."""
    panels = _panels(comparison)
    metric = METRIC_WORDS.get(comparison.primary, comparison.primary)
    best = comparison.arm(comparison.recommended)
    rows = comparison.data["rows"]
    remedies = [a for a in comparison.arms if a.gain and not a.is_reference]
    tests_one = len([a for a in remedies if a.gain and a.gain.per_seed]) > 1
    tuned = f"{comparison.baseline} + thresholds"
    seeds = sorted({arm.n_seeds for arm in comparison.arms})
    noun = "label" if comparison.kind == "multilabel" else "class"
    few = _in_trouble(best.evaluation)[:MOST_CONFUSED]
    return {
        "title": comparison.title,
        "kind": comparison.kind,
        "noun": noun,
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
        "n_remedies": len([a for a in remedies if a.gain and a.method != tuned]),
        "crossed": "folds" in comparison.data,
        "regret": "" if math.isnan(comparison.regret) else number(comparison.regret),
        "settings_per_arm": comparison.provenance.get("settings_per_arm", 1),
        "rows": rows,
        "groups": comparison.data.get("groups", {}),
        "weighed": comparison.data.get("effective_rows"),
        "target_prior": comparison.data.get("target_prior", "validation"),
        "names": comparison.names,
        "positives": comparison.data["positives"],
        "largest": max(1, *(c["train"] or 0 for c in comparison.data["positives"].values())),
        "arms": [_arm_row(a, comparison.baseline, bool(comparison.looks)) for a in comparison.arms],
        "losses": ("log_loss_raw", "log_loss_formula", "log_loss_calibrated"),
        "decisions": _decisions(comparison) if len(comparison.names) <= MOST_TABLED else None,
        "by_class": charts.by_class(comparison, few),
        "by_class_shown": len(few),
        "by_class_table": _by_class_table(comparison, few),
        "forest": charts.forest(comparison, metric) if tests_one else "",
        "decomposition": charts.decomposition(comparison) if tests_one else "",
        "flagged": charts.operating_points(comparison, panels[:6])
        if comparison.kind == "multilabel" and panels
        else "",
        "precision_recall": charts.precision_recall(comparison, panels) if panels else "",
        "precision_at": _precision_at(comparison, panels),
        "reliability": charts.reliability(comparison, panels, best.method) if panels else "",
        "reliability_points": _reliability_points(best, panels),
        "panels": panels,
        "provenance_json": json.dumps(no_nan(dict(comparison.provenance)), indent=1, default=str),
        "json": _json_view(comparison),
    }


def _in_trouble(found: Evaluation) -> list[str]:
    """Return the labels with the lowest F1 first; those without one last."""

    def key(name: str) -> tuple[bool, float]:
        value = found.per_label[name]["f1"].value
        return math.isnan(value), value

    return sorted(found.names, key=key)


def _by_class_table(comparison: Comparison, names: Sequence[str]) -> list[dict[str, Any]]:
    arms = comparison.arms
    return [
        {
            "name": name,
            "cells": [
                [interval(arm.evaluation.per_label[name][m]) for m in ("recall", "precision")]
                for arm in arms
            ],
        }
        for name in names
    ]


RECALLS = (0.25, 0.5, 0.75, 0.9)


def _precision_at(comparison: Comparison, panels: Sequence[str]) -> list[dict[str, Any]]:
    """Return the best precision of each arm at some recalls: the table behind the curves."""
    tuned = f"{comparison.baseline} + thresholds"
    rows = []
    for name in panels:
        for arm in comparison.arms:
            points = arm.curves.get(name)
            if points is None or arm.method == tuned:
                continue
            recall, precision = np.asarray(points["recall"]), np.asarray(points["precision"])
            best = [float(precision[recall >= r - 1e-9].max()) if (recall >= r - 1e-9).any()
                    else math.nan for r in RECALLS]  # fmt: skip
            rows.append({"name": name, "arm": arm.method, "cells": [number(v) for v in best]})
    return rows


def _reliability_points(arm: ArmRecord, panels: Sequence[str]) -> list[dict[str, Any]]:
    """Return the points of the reliability curves, of many some: the table behind them."""
    rows = []
    for name in panels:
        points = arm.curves.get(name)
        if points is None:
            continue
        every = max(1, len(points["predicted"]) // 8)
        told = zip(points["predicted"], points["observed"], points["rows"], strict=True)
        cells = [f"{p:.3f} {ARROW} {o:.3f} ({n:,})" for p, o, n in list(told)[::every]]
        rows.append({"name": name, "cells": ", ".join(cells)})
    return rows


ARROW = "\N{RIGHTWARDS ARROW}"


def _confusion_view(rule: DecisionRule, scores: Scores) -> dict[str, Any]:
    """Return the figure of confusions, of many names the most confused, and the pairs in words."""
    found = count_confusions(rule, scores)
    counts = found.counts.astype(np.float64)
    size = len(rule.names)
    # What is no label of the rule says that there is none.
    truth, told = ([*names[:size], *map(said, names[size:])] for names in (found.truth, found.said))
    wrong = counts - np.diag(np.diag(counts))
    kept = np.arange(len(found.said))
    if size > MOST_CONFUSED:
        load = wrong[:size].sum(axis=1) + wrong[:, :size].sum(axis=0)
        most = np.sort(np.argsort(-load, kind="stable")[: MOST_CONFUSED - 1])
        kept = np.append(most, np.arange(size, len(found.said)))
    shown = Confusion(
        tuple(truth[i] for i in kept),
        tuple(told[i] for i in kept),
        found.counts[np.ix_(kept, kept)],
    )
    classes = rule.kind == "multiclass"
    title = (
        "What is taken for what" if classes else "Which label is flagged where another is missed"
    )
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_ERRORS]
    total = found.counts.sum(axis=1)
    pairs = [
        {
            "truth": truth[i],
            "said": told[j],
            "count": int(found.counts[i, j]),
            "share": percent(float(found.counts[i, j] / total[i])),
        }
        for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True)
        if wrong[i, j] > 0
    ]
    return {
        "svg": charts.confusion(shown, title),
        "pairs": pairs,
        "shown": len(kept) if len(kept) < len(found.said) else 0,
    }


def _errors_view(
    rule: DecisionRule, scores: Scores, contents: Contents | None
) -> list[dict[str, Any]]:
    """Return the errors the model was surest of, with what their rows hold."""
    labels = scores.require_labels()
    odds = rule.log_odds(scores)
    decided = rule.decide(odds)
    rows: list[dict[str, Any]] = []
    if rule.kind == "multiclass":
        truth = labels.values
        wrong = np.flatnonzero(decided != truth)
        sure = odds[wrong, truth[wrong]]
        for at in wrong[np.argsort(sure, kind="stable")][:MOST_ERRORS]:
            said = int(decided[at])
            rows.append({"row": int(at), "truth": rule.names[int(truth[at])],
                         "said": rule.names[said], "sure": math.exp(odds[at, said])})  # fmt: skip
    else:
        hot = labels.one_hot()
        at, column = np.nonzero((hot >= 0) & (hot != decided))
        flagged = decided[at, column] == 1
        p = expit(odds[at, column])
        sure = np.where(flagged, p, 1 - p)
        for i in np.argsort(-sure, kind="stable")[:MOST_ERRORS]:
            name = rule.names[int(column[i])]
            was, told = (_not(name), name) if flagged[i] else (name, _not(name))
            rows.append({"row": int(at[i]), "truth": was, "said": told, "sure": float(sure[i])})
    keys = [str(row["row"] if scores.ids is None else scores.ids[row["row"]]) for row in rows]
    known = {} if contents is None else contents(keys)
    for row, key in zip(rows, keys, strict=True):
        held = dict(known.get(key, {}))
        row |= {"id": key, "image": held.pop("image", ""), "text": held.pop("text", ""),
                "values": list(held.items()), "sure": percent(row["sure"])}  # fmt: skip
    return rows


def _not(name: str) -> str:
    return f"{said('not')} {name}"


def _sampling_view(trials: Sequence[Trial]) -> dict[str, Any] | None:
    """Return how often each class or label was drawn, of methods that draw otherwise than rows lie.

    A cell says the share of draws, and how many times its share of rows that is.
    """
    shown = {}
    for trial in trials:
        rows, drawn = (sum(c.values()) for c in (trial.train_counts, trial.histogram))
        if not rows or not drawn or set(trial.histogram) != set(trial.train_counts):
            continue
        times = {
            name: (drawn_of / drawn) / (trial.train_counts[name] / rows)
            for name, drawn_of in trial.histogram.items()
            if trial.train_counts[name]
        }
        if any(abs(t - 1) > 0.02 for t in times.values()):
            shown[trial.method] = (trial, drawn, times)
    if not shown:
        return None
    first = next(iter(shown.values()))[0]
    names = sorted(first.train_counts, key=lambda name: first.train_counts[name])[:MOST_TABLED]
    rows_ = [
        {
            "name": name,
            "rows": f"{first.train_counts[name]:,}",
            "cells": [
                (percent(t.histogram[name] / drawn), f"{times[name]:.2f} times" if name in times
                 else "") for t, drawn, times in shown.values()
            ],
        }
        for name in names
        if all(name in t.histogram for t, _, _ in shown.values())
    ]  # fmt: skip
    return {"arms": list(shown), "rows": rows_, "of": len(first.train_counts)}


def _histories_view(trials: Sequence[Trial], title: str) -> dict[str, Any] | None:
    shown = [trial for trial in trials if trial.history]
    if not shown:
        return None
    rows = []
    for trial in shown:
        last = trial.history[-1]
        kept = trial.selection.get("epoch", DASH)
        numbers = [number(float(last.get(k, math.nan))) for k in ("loss", "val_loss", "val_metric")]
        value = trial.selection.get("value")
        numbers.append(number(None if value is None else float(value)))
        epochs = len(trial.history)
        rows.append({"method": trial.method, "epochs": epochs, "kept": kept, "cells": numbers})
    return {"svg": charts.histories(shown, title), "rows": rows, "most": len(charts.ARMS)}


def chapter_view(chapter: Chapter, number_in_page: int) -> dict[str, Any]:
    """Return everything the template prints of one chapter."""
    anchor = f"study-{number_in_page}"
    comparison = chapter.comparison
    study = None if comparison is None else _study_view(comparison)
    arms = chapter.arms()
    decided = chapter.decided(arms)
    found, positives, judged = None, None, ""
    if comparison is not None:
        best = comparison.arm(comparison.recommended)
        found, positives, judged = best.evaluation, comparison.data["positives"], best.method
    elif decided is not None:
        found, judged = evaluate(*decided), chapter.main or "the rule"
    first = list({trial.method: trial for trial in reversed(chapter.trials)}.values())[::-1]
    weighed = any(arm.scores.require_labels().weights is not None for arm in arms)
    return {
        "anchor": anchor,
        "title": chapter.heading,
        "noun": "label" if _kind(chapter) == "multilabel" else "class",
        "nouns": "labels" if _kind(chapter) == "multilabel" else "classes",
        "s": study,
        **_lead(chapter, study, found),
        "explorer": explorer_view(arms, anchor) if arms and not weighed else None,
        "weighed": weighed,
        "judged": judged,
        "label_rows": "" if found is None else _label_rows(found, positives),
        "has_counts": positives is not None,
        "n_labels": 0 if found is None else len(found.names),
        "overlap": "" if found is None else found.overlap,
        "macro": None if found is None else _macro(found),
        "n_evaluable": 0 if found is None else found.n_evaluable["ap"],
        "confusion": None if decided is None else _confusion_view(*decided),
        "errors": [] if decided is None else _errors_view(*decided, chapter.contents),
        "histories": _histories_view(first, chapter.heading),
        "sampling": _sampling_view(first),
        "findings": chapter.findings,
    }


def _macro(found: Evaluation) -> dict[str, Any]:
    return {k: interval(v) for k, v in found.overall["macro"].items()}


def _kind(chapter: Chapter) -> str:
    if chapter.comparison is not None:
        return chapter.comparison.kind
    if chapter.rule is not None:
        return chapter.rule.kind
    return next(iter(chapter.trials[0].scores.values())).kind


def _lead(
    chapter: Chapter, study: Mapping[str, Any] | None, found: Evaluation | None
) -> dict[str, Any]:
    """Return what was asked, what is the answer, and what to do now: the first things read."""
    if study is not None:
        remedies = study["n_remedies"]
        untreated = f"the untreated model ({study['baseline']})"
        who = f"Does any of {remedies} remedies" if remedies > 1 else "Does the remedy"
        asked = f"{who} beat {untreated} in {study['metric']}, {study['question']}?"
        if remedies == 0:
            asked = f"How well does {untreated} do, {study['question']}?"
        head, _, rest = str(study["summary"][0]).partition(". ")
        more = [rest, *study["summary"][1:], study["forecast"]]
        answer, details = head.rstrip(".") + ".", " ".join(part for part in more if part)
    elif found is not None:
        what = "this rule" if chapter.rule is not None else f"{chapter.main} with tuned thresholds"
        asked = f"What does {what} do on {found.n_rows:,} test rows?"
        macro = found.overall["macro"]
        worst = found.worst("f1")
        answer = f"Macro F1 {macro['f1']}, macro AP {macro['ap']}."
        details = "" if worst is None else f"Weakest in F1: {worst[0]} {worst[1]}."
    else:
        asked = "Which cut serves these decisions?"
        rule = chapter.rule
        reached = np.array([]) if rule is None else rule.cross_fitted
        shown = reached[np.isfinite(reached)]
        measure = "" if rule is None else rule.measure or rule.objective
        answer = (
            f"The tuned cuts reach a mean {measure} of {shown.mean():.3f} on rows that they were "
            "not made on (cross-fitted)."
            if shown.size
            else "No rows are held out here: set cuts below, and judge them on test rows."
        )
        details = ""
    return {"asked": asked, "answer": answer, "details": details, **_next_step(chapter)}


def _next_step(chapter: Chapter) -> dict[str, str]:
    """Return the command that comes next, and what it does."""
    place = chapter.place or "RESULTS"
    comparison = chapter.comparison
    spec = {} if comparison is None else comparison.provenance.get("study", {})
    if comparison is not None and _is_kept(spec):
        does = (
            "trains what is recommended on all rows and keeps the model with its rule"
            if spec.get("model") is None
            else "keeps the network that is recommended, with its rule"
        )
        return {"command": f"equipoise refit {place} -o model/", "does": does}
    held = chapter.of(chapter.main)
    if held:
        inner = f"{place}/{held[0].folder_name}"
        if comparison is not None:
            inner = f"{place}/trials/{held[0].folder_name}"
        elif len(chapter.trials) == 1:
            inner = place
        does = "tunes the cuts on validation rows; or set them by hand below"
        return {"command": f"equipoise tune {inner}/val.parquet -o rule.json", "does": does}
    if chapter.rule is not None:
        command = "equipoise apply rule.json NEW.parquet -o decisions.parquet"
        return {"command": command, "does": "decides new rows by the rule"}
    does = "tunes the cuts of the recommended arm on its validation rows"
    return {"command": "equipoise tune VALIDATION.parquet -o rule.json", "does": does}


def _is_kept(spec: Mapping[str, Any]) -> bool:
    """Whether a model can be kept of the compared study."""
    data = spec.get("data", {})
    tabular = isinstance(data, Mapping) and data.get("source") == "table"
    return tabular or spec.get("model") is not None or spec.get("features") is not None
