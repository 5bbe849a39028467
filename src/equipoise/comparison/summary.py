"""The data card and the recommendation: one sentence, and why it could be wrong."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from equipoise.artifacts import ArmRecord, Gain, Trial
from equipoise.comparison.gain import Arm, Design, decide
from equipoise.decisions.priors import TargetPrior
from equipoise.metrics import holm
from equipoise.metrics.paired import PairedDifference

METRIC_WORDS = {
    "macro_ap": "macro AP",
    "macro_auroc": "macro AUROC",
    "tuned": "tuned balanced accuracy",
}


def describe_data(trials: Sequence[Trial], target_prior: TargetPrior) -> dict[str, Any]:
    """Return the data card: rows, groups, positives and prevalence per part."""
    first = trials[0]
    labels = first.scores["test"].require_labels()
    val = first.scores["val"].require_labels()
    rows = {"train": first.n_train, "val": first.n_val, "test": len(labels)}
    groups = {
        part: int(np.unique(part_labels.groups).size)
        for part, part_labels in (("val", val), ("test", labels))
        if part_labels.groups is not None
    }
    return {
        "rows": rows,
        "groups": groups,
        "positives": {
            name: {
                "train": first.train_counts[name],
                "val": int(val.counts[i]),
                "test": int(labels.counts[i]),
                "prevalence": float(labels.prevalence[i]),
            }
            for i, name in enumerate(labels.names)
        },
        "target_prior": target_prior if isinstance(target_prior, str) else list(target_prior),
        "seeds": [t.seed for t in trials],
    }


def _beats(pair: PairedDifference, alpha: float, rope: float) -> bool:
    near = pair.interval(0.90)
    return decide(pair.interval(1 - alpha), near, near, rope) == "ranking gain"


def _unbeaten(arms: Mapping[str, Arm], design: Design, tuned: str) -> list[str]:
    """Return the methods that no other beats on the primary metric, Holm-adjusted per method.

    The baseline with tuned thresholds is the same model as the baseline: it shares its fate. A
    difference that is practically equal beats nobody.
    """
    models = {method: arm for method, arm in arms.items() if method != tuned}
    keep = []
    for method, arm in models.items():
        rivals = [other for name, other in models.items() if name != method]
        pairs = [design.pair(rival, arm, design.primary) for rival in rivals]
        _, levels = holm([p.p_value for p in pairs], alpha=design.alpha)
        beaten = any(
            _beats(pair, level, design.rope) for level, pair in zip(levels, pairs, strict=True)
        )
        if not beaten:
            keep.append(method)
    return keep


def recommend(
    records: Sequence[ArmRecord],
    arms: Mapping[str, Arm],
    design: Design,
    baseline: str,
    tuned: str,
    rule_metric: str,
    references: Collection[str] = (),
) -> tuple[str, tuple[str, str]]:
    """Return the simplest arm that no other beats, and the two sentences that go with it.

    Simplest first is the order of the arms: the baseline, its thresholds, then the study's order.
    References are never recommended; one that beats what is, or does as well, is named.
    """
    by_method = {r.method: r for r in records if r.method not in references}
    own = {method: arm for method, arm in arms.items() if method not in references}
    unbeaten = _unbeaten(own, design, tuned)
    pick = next((m for m in by_method if m in unbeaten), baseline)
    free = by_method[tuned].gain
    if pick == baseline and free is not None and _may_lift(free, design):
        pick = tuned
    sentence = _sentence(pick, by_method, design, baseline, tuned, rule_metric)
    picked = arms[baseline if pick == tuned else pick]
    remarks = [_reference(arms[name], picked, pick, design) for name in references]
    doubt = _doubt(list(by_method.values()), design, [r for r in remarks if r])
    return pick, (sentence, doubt)


def _may_lift(free: Gain, design: Design) -> bool:
    """Whether tuned thresholds of the same model lift its metric, as far as is known.

    They cost nothing, so what is not shown to be no use is used; a gain that is practically none,
    or that the interval denies, is not.
    """
    total = free.total
    if free.verdict == "threshold only":
        return True
    return bool(total.value > design.rope) and not bool(total.high <= 0)


def _reference(reference: Arm, picked: Arm, name: str, design: Design) -> str:
    """Say where a reference, which no remedy has touched, does better or as well."""
    pair = design.pair(reference, picked, design.primary)
    if _beats(pair, design.alpha, design.rope):
        by = pair.interval(design.confidence_level)
        return f"{reference.method} beats {name} by {by}: change the model"
    near = pair.interval(0.90)
    if -design.rope <= near.low and near.high <= design.rope:
        return f"{reference.method} does as well as {name}"
    return ""


def _sentence(
    pick: str,
    by_method: Mapping[str, ArmRecord],
    design: Design,
    baseline: str,
    tuned: str,
    rule_metric: str,
) -> str:
    word = METRIC_WORDS.get(design.primary, design.primary)
    rule = by_method[baseline].record
    better = [m for m, r in by_method.items() if r.gain and r.gain.verdict == "ranking gain"]
    if pick not in (baseline, tuned):
        gain = by_method[pick].gain
        reach = f" by {gain.primary}" if gain is not None else ""
        proven = "beats" if pick in better else "is not shown to beat"
        return (
            f"Use {pick}: it {proven} {baseline} in {word}{reach}, "
            "and nothing simpler does as well."
        )
    seeds = by_method[baseline].n_seeds
    lead = "No remedy is shown to beat" if not better else "Nothing clearly beats"
    if seeds < 2:
        lead = "One seed cannot show that a remedy beats"
    if pick == tuned:
        before, after = rule["default"].value, by_method[tuned].record["tuned"].value
        gain = by_method[tuned].gain
        return (
            f"Use {tuned}: {_lower(lead)} the untreated model in {word}, and tuned thresholds "
            f"alone take its {rule_metric} from {before:.3f} to {after:.3f}"
            f"{_certainty(gain, seeds)}."
        )
    open_ = [m for m, r in by_method.items() if r.gain and r.gain.verdict == "undecided"]
    rest = ""
    if any(m != tuned for m in open_):
        rest = "; that is no proof that none does" if seeds > 1 else ""
    return f"Use {baseline}: {_lower(lead)} the untreated model in {word}{rest}."


def _lower(lead: str) -> str:
    return lead[0].lower() + lead[1:]


def _certainty(gain: Gain | None, seeds: int) -> str:
    """Say how sure the lift by thresholds is, where that is not beyond doubt."""
    if gain is None or gain.total.low > 0:
        return ""
    if seeds < 2:
        return " (one seed: no interval)"
    return f" (difference {gain.total.low:+.3f} to {gain.total.high:+.3f}: not certain)"


def _doubt(records: Sequence[ArmRecord], design: Design, remarks: Sequence[str]) -> str:
    reached = [
        r.gain.smallest_detectable
        for r in records
        if r.gain is not None and not math.isnan(r.gain.smallest_detectable)
    ]
    seeds = records[0].n_seeds
    undecided = [r.method for r in records if r.gain and r.gain.verdict == "undecided"]
    parts = list(remarks)
    if seeds < 2:
        parts.append("one seed gives no interval at all")
    elif seeds < 5:
        parts.append(f"{seeds} seeds are few; 5 or more say what a fresh training run would do")
    if reached and max(reached) > 0:
        word = METRIC_WORDS.get(design.primary, design.primary)
        parts.append(
            f"{seeds} seeds on these test rows would miss differences in {word} below "
            f"{max(reached):.3f}"
        )
    if undecided:
        parts.append(f"undecided: {', '.join(undecided)}")
    return "Why this could be wrong: " + ("; ".join(parts) or "other data may differ") + "."
