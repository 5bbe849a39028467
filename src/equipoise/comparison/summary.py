"""The data card and the recommendation: one sentence, and why it could be wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from equipoise._core.messages import counted
from equipoise.artifacts import ArmRecord, Gain
from equipoise.artifacts.estimate import FEW
from equipoise.artifacts.labels import effective_size
from equipoise.comparison.gain import Arm, Design, Field, price
from equipoise.comparison.verdict import Levels, judge, levels_of
from equipoise.decisions.priors import TargetPrior
from equipoise.metrics import holm
from equipoise.metrics.paired import PairedDifference

METRIC_WORDS = {
    "macro_ap": "macro AP",
    "macro_auroc": "macro AUROC",
    "tuned": "tuned balanced accuracy",
}


def describe_data(base: Arm, target_prior: TargetPrior, *, crossed: bool) -> dict[str, Any]:
    """Return the data card: rows, groups, positives and prevalence per part."""
    first = base.trials[0][0]
    labels = base.seeds[0].judged.require_labels()
    val = first.scores["val"].require_labels()
    rows = {"train": first.n_train, "val": first.n_val, "test": len(labels)}
    groups = {
        part: int(np.unique(part_labels.groups).size)
        for part, part_labels in (("val", val), ("test", labels))
        if part_labels.groups is not None
    }
    card = {
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
        "seeds": [seed[0].seed for seed in base.trials],
    }
    if labels.weights is not None:
        card["effective_rows"] = round(effective_size(labels.weights), 1)
    return card | ({"folds": len(base.trials[0])} if crossed else {})


_CHANGE = ": change the model"
_THIN = 3.0  # see tests/statistical/test_verdict_coverage.py


def _beats(pair: PairedDifference, level: float, levels: Levels, rope: float) -> bool:
    """Whether a difference is above 0 at a level, and more than practically nothing."""
    one = Levels.one_look(level, levels.bound)
    judged = judge([pair.value], [pair.standard_error], [pair.df], one, rope)
    return bool(judged.gain[0]) and not bool(judged.equal[0])


def _unbeaten(arms: Sequence[Arm], design: Design) -> list[str]:
    """Return the methods that no other beats on the primary metric, Holm-adjusted per method.

    A difference that is practically equal beats nobody.
    """
    keep = []
    for arm in arms:
        rivals = [other for other in arms if other is not arm]
        pairs = design.moderated({r.method: design.pair(r, arm, design.primary) for r in rivals})
        read = list(pairs.values())
        fewest = min((pair.n_seeds for pair in read), default=2)
        levels = levels_of(fewest, design.looks, len(read), design.alpha)
        _, steps = holm([pair.p_value for pair in read], alpha=2 * levels.gain)
        if not any(
            _beats(pair, float(step), levels, design.rope)
            for step, pair in zip(steps, read, strict=True)
        ):
            keep.append(arm.method)
    return keep


def _simplest(
    by_method: Mapping[str, ArmRecord], models: Sequence[Arm], design: Design
) -> str | None:
    """Return the first remedy with a ranking gain that no other model beats; None without one."""
    gained = {m: r.gain.primary.value for m, r in by_method.items()
              if r.gain and r.gain.verdict == "ranking gain"}  # fmt: skip
    if not gained:
        return None
    unbeaten = _unbeaten(models, design)
    largest = max(gained, key=lambda method: gained[method])
    return next((m for m in gained if m in unbeaten), largest)


@dataclass(frozen=True, slots=True)
class Advice:
    """What is recommended, and what it may cost.

    Args:
        pick: The simplest arm that no other beats.
        summary: The sentence, and why it could be wrong.
        regret: By how much the best other arm may still beat it.
        rival: That arm.
        sentence: The summary's first sentence without the price.
    """

    pick: str
    summary: tuple[str, str]
    regret: float
    rival: str
    sentence: str = ""


def recommend(
    records: Sequence[ArmRecord], arms: Field, design: Design, rule_metric: str
) -> Advice:
    """Return the simplest arm that no other beats, the sentences that go with it, and its price.

    The baseline gives way to remedies that have a ranking gain, and to no others: what is said of
    an arm and what is recommended rest on one reading. Simplest first is the order of the arms.
    References are never recommended; one that beats what is, or does as well, is named.
    """
    baseline, tuned = arms.baseline.method, arms.tuned.method
    references = {arm.method for arm in arms.references}
    by_method = {r.method: r for r in records if r.method not in references}
    models = [arms.baseline, *arms.remedies]
    pick = _simplest(by_method, models, design) or baseline
    free = by_method[tuned].gain
    if pick == baseline and free is not None and _may_lift(free, design):
        pick = tuned
    # The baseline with tuned thresholds is the same model: it ranks as the baseline does.
    picked = next(a for a in models if a.method == (baseline if pick == tuned else pick))
    regret, rival = price(picked, [a for a in models if a is not picked], design)
    sentence = _sentence(pick, by_method, design, baseline, tuned, rule_metric)
    cost = _price_in_words(regret, rival, design, len(models))
    remarks = [r for r in (_reference(a, picked, pick, design) for a in arms.references) if r]
    # A reference that wins is the first thing to know: no remedy is worth what a model is.
    better = [r for r in remarks if r.endswith(_CHANGE)]
    lead = "".join(f"{r}. " for r in better)
    doubt = _doubt(list(by_method.values()), design, [r for r in remarks if r not in better])
    return Advice(pick, (f"{lead}{sentence}{cost}", doubt), regret, rival, f"{lead}{sentence}")


def _price_in_words(regret: float, rival: str, design: Design, models: int) -> str:
    """Say what the recommendation may cost."""
    if models < 2 or math.isnan(regret):
        return ""
    word = METRIC_WORDS.get(design.primary, design.primary)
    level = f"{design.confidence_level:.0%}"
    if regret == 0:
        return f" No other remedy is better in {word} ({level})."
    by = f"{regret:.3f}" if regret >= 0.0005 else f"{regret:.1g}"
    bound = f"by at most {by} in {word} ({level}; {rival})"
    return f" Whatever other remedy is best would beat it {bound}."


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
    levels = Levels.one_look(design.alpha, design.alpha)
    if _beats(pair, design.alpha, levels, design.rope):
        by = pair.interval(design.confidence_level)
        return f"{reference.method} beats {name} by {by}{_CHANGE}"
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
    if pick not in (baseline, tuned):
        gain = by_method[pick].gain
        reach = f" by {gain.primary}" if gain is not None else ""
        return (
            f"Use {pick}: it beats {baseline} in {word}{reach}, and nothing simpler does as well."
        )
    seeds = by_method[baseline].n_seeds
    lead = "No remedy is shown to beat"
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
    if design.tested < FEW:
        parts.append(f"{design.tested} tested positives tell nothing of any arm")
    elif reached and max(reached) > 0:
        word = METRIC_WORDS.get(design.primary, design.primary)
        rows = "rows" if design.crossed else "test rows"
        parts.append(
            f"{counted(seeds, 'seed')} on these {rows} would miss differences in {word} below "
            f"{max(reached):.3f}"
        )
    if design.per_fold < _THIN:
        parts.append(
            f"the rarest has {design.per_fold:.2g} positives per fold: below {_THIN:g} "
            "nobody has measured how often intervals hold"
        )
    if undecided:
        parts.append(f"undecided: {', '.join(undecided)}")
    return "Why this could be wrong: " + ("; ".join(parts) or "other data may differ") + "."
