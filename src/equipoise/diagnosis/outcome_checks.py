"""Checks on what came of runs: cuts, rows that rules have seen, headlines, arms side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from equipoise._core.logistic import one_vs_rest
from equipoise._core.messages import listed
from equipoise.artifacts.estimate import FEW
from equipoise.artifacts.finding import Finding
from equipoise.artifacts.labels import UNKNOWN
from equipoise.artifacts.row_marks import RowMarks, Shared
from equipoise.artifacts.rule import DecisionRule
from equipoise.artifacts.scores import Scores
from equipoise.decisions.priors import estimate_prior
from equipoise.diagnosis._registry import check, finding
from equipoise.diagnosis.material import Material
from equipoise.metrics.influence import Influence, average_precision_influence, macro_influence

_SAME, _FLOOD = 0.02, 1.5
_GAP = 0.05


def _macro(scores: Scores, columns: NDArray[np.int64]) -> tuple[Influence, NDArray[np.int8]]:
    labels = scores.require_labels()
    truth = labels.one_hot()
    values = one_vs_rest(scores.values) if scores.kind == "multiclass" else scores.values
    each = [average_precision_influence(truth[:, c], values[:, c]) for c in columns]
    return macro_influence(each, len(scores)), truth


def _flagged(scores: Scores) -> NDArray[np.float64]:
    """Return the share of rows above 0.5 (classes: the largest), as scores come."""
    if scores.kind == "multiclass":
        picked = scores.values.argmax(1)
        return np.bincount(picked, minlength=scores.values.shape[1]) / len(scores)
    cut = 0.5 if scores.score_kind == "probabilities" else 0.0
    return np.asarray((scores.values > cut).mean(0))


@check("EQ406")
def only_the_cut(material: Material) -> list[Finding] | None:
    """Find two runs that rank alike and differ in how much they flag."""
    one, two = material.scores, material.other
    if one is None or two is None or one.labels is None or two.labels is None:
        return None
    if len(one) != len(two) or set(one.names) != set(two.names):
        return None
    two = two.in_order(one.names)
    if two.labels is None:
        return None
    truth = one.labels.one_hot()
    usable = np.flatnonzero(((truth == 1).sum(0) > 0) & ((truth == 0).sum(0) > 0))
    if not usable.size:
        return []
    left, _ = _macro(one, usable)
    right, _ = _macro(two, usable)
    gap = right - left
    half = float(norm.isf(0.025)) * float(np.sqrt((gap.rows**2).sum()))
    before, after = _flagged(one)[usable], _flagged(two)[usable]
    low, high = np.minimum(before, after), np.maximum(before, after)
    moved = usable[high > _FLOOD * np.maximum(low, 1 / len(one))]
    if abs(gap.value) + half > _SAME and not abs(gap.value) <= half:
        return []
    if not moved.size:
        return []
    shares = {
        one.names[c]: [float(_flagged(s)[c]) for s in (one, two)]
        + [float((truth[:, c] == 1).mean())]
        for c in moved
    }
    shown = [f"{n} {a:.1%} and {b:.1%} ({p:.1%} positive)" for n, (a, b, p) in shares.items()]
    return [
        finding(
            "EQ406",
            f"The two runs rank alike: macro AP {left.value:.3f} and {right.value:.3f}, difference "
            f"{gap.value:+.3f} [{gap.value - half:+.3f}, {gap.value + half:+.3f}], paired over "
            f"rows. What differs is how much lies above 0.5: {listed(shown)}. So one finds nothing "
            "and the other too much, by the cut and not by what they have learned.",
            {
                "macro_ap": [left.value, right.value],
                "difference": [gap.value, gap.value - half, gap.value + half],
                "flagged": shares,
            },
            "Tune one threshold per label on validation scores of either run: equipoise tune.",
        )
    ]


@check("EQ207")
def tuned_on_test(material: Material) -> list[Finding] | None:
    """Find rows that a rule was tuned on among those it is judged on, or among test rows."""
    rule = material.rule
    if rule is None:
        return None
    found = []
    scores = material.scores
    if scores is not None and scores.split in ("test", "new"):
        made = rule.rows.compare(scores.marks)
        named = scores.ids is not None or made["contents"].outcome != "not made"
        if named and rule.tuned_on.get("fingerprint") == scores.fingerprint:
            found.append((len(scores), len(scores), "rows it is judged on, the very same"))
        else:
            found += _shared(made, len(scores), "it is judged on")
    if material.split is not None and material.labels is not None:
        test = material.labels[material.split.test]
        marks = RowMarks.of(ids=test.ids, groups=test.groups, contents=None)
        found += _shared(rule.rows.compare(marks), len(test), "of the split's test part")
    if not found and not _was_looked_at(material, rule):
        # Nothing here can be compared with what the rule was tuned on.
        return None
    return [
        finding(
            "EQ207",
            f"The rule was tuned on {shared:,} of the {n:,} {what}. Its thresholds have seen the "
            "answers: what is measured there is a claim, not an estimate.",
            {"shared": shared, "rows": n},
            "Tune on validation (or out-of-fold) scores, and touch test rows once.",
        )
        for shared, n, what in found
    ]


def _shared(made: Mapping[str, Shared], n: int, where: str) -> list[tuple[int, int, str]]:
    """Return what was found of ids, groups and scores: how many, of how many, what they are."""
    words = {"ids": "rows", "groups": "groups of the rows", "contents": "rows (by their scores)"}
    return [
        (result.rows, max(n, result.rows), f"{words[what]} {where} ({result.text})")
        for what, result in made.items()
        if result.outcome == "found"
    ]


def _was_looked_at(material: Material, rule: DecisionRule) -> bool:
    """Whether ids or scores, which say what rows are, stand on both sides."""
    scores = material.scores
    if scores is not None and scores.split in ("test", "new"):
        made = rule.rows.compare(scores.marks)
        return "fine" in (made["ids"].outcome, made["contents"].outcome)
    ids = material.labels is not None and material.labels.ids is not None
    return material.split is not None and ids and rule.rows.ids is not None


@check("EQ407")
def anecdotal_headline(material: Material) -> list[Finding] | None:
    """Find averages that rest on labels with under ten test positives."""
    positives: dict[str, int] = {}
    if material.comparison is not None:
        known = material.comparison.data.get("positives", {})
        positives = {name: int(row["test"] or 0) for name, row in known.items()}
    elif material.scores is not None and material.scores.labels is not None:
        counts = material.scores.labels.counts
        positives = {n: int(c) for n, c in zip(material.scores.names, counts, strict=True)}
    if not positives:
        return None
    usable = {n: c for n, c in positives.items() if c > 0}
    few = {n: c for n, c in usable.items() if c < FEW}
    if len(few) < 2 and not (few and len(usable) <= 4):
        return []
    share = len(few) / len(usable)
    return [
        finding(
            "EQ407",
            f"{len(few)} of the {len(usable)} labels that a macro average counts have fewer than "
            f"{FEW} positives: {listed([f'{n} ({c})' for n, c in few.items()])}. They are "
            f"{share:.0%} of the headline, and one row more or less moves each by a tenth or more.",
            {"positives": few, "share_of_average": share},
            "Report the average over labels with 10 positives or more beside it, with intervals.",
            "Pool folds (fit(folds=5)), so that every positive is judged once.",
        )
    ]


@check("EQ409")
def optimistic(material: Material) -> list[Finding] | None:
    """Find rules whose claim lies far above what cross-fitting says."""
    rule = material.rule
    if rule is None or not rule.claimed.size or not rule.cross_fitted.size:
        return None
    gap = rule.claimed - rule.cross_fitted
    bad = np.flatnonzero(np.nan_to_num(gap) > _GAP)
    if not bad.size:
        return []
    values = np.broadcast_to(gap, (len(rule.names),)) if gap.size == 1 else gap
    rows = {
        rule.names[i]: {
            "claimed": float(np.resize(rule.claimed, values.size)[i]),
            "cross_fitted": float(np.resize(rule.cross_fitted, values.size)[i]),
        }
        for i in bad
    }
    measure = rule.measure or rule.objective
    shown = [f"{n} {r['claimed']:.2f} for {r['cross_fitted']:.2f}" for n, r in rows.items()]
    return [
        finding(
            "EQ409",
            f"For {len(rows)} of {len(rule.names)} the rule claims over {_GAP} more {measure} on "
            f"its own rows than with calibration and threshold made on other folds: "
            f"{listed(shown)}. The threshold has been fitted to noise.",
            {"labels": rows},
            "Expect the second number. More validation positives, or out-of-fold scores, help.",
        )
    ]


_SEEDS = 5


@check("EQ408")
def few_seeds(material: Material) -> list[Finding] | None:
    """Find comparisons of fewer than five trainings per arm."""
    if material.comparison is not None:
        seeds = {a.method: a.n_seeds for a in material.comparison.arms}
    elif material.trials:
        counted: dict[str, set[int]] = {}
        for trial in material.trials:
            counted.setdefault(trial.method, set()).add(trial.seed)
        seeds = {method: len(found) for method, found in counted.items()}
    else:
        return None
    few = {m: n for m, n in seeds.items() if n < _SEEDS}
    if not few or len(seeds) < 2:
        return []
    return [
        finding(
            "EQ408",
            f"{len(few)} of {len(seeds)} arms rest on fewer than {_SEEDS} trainings "
            f"({listed([f'{m} {n}' for m, n in few.items()])}). What another seed would change is "
            "not known well, and one training gives no interval at all.",
            {"seeds": few},
            "Five seeds to look, ten to claim; they redraw train and validation rows too.",
        )
    ]


@check("EQ410")
def no_better(material: Material) -> list[Finding] | None:
    """Find remedies that buy nothing beyond tuned thresholds."""
    result = material.comparison
    if result is None:
        return None
    tuned = f"{result.baseline} + thresholds"
    arms = [
        a for a in result.arms
        if a.gain and a.method != tuned and not a.is_reference
    ]  # fmt: skip
    nothing = ("threshold only", "no effect", "not worth it")
    idle = [a.method for a in arms if a.gain and a.gain.verdict in nothing]
    if not idle:
        return []
    return [
        finding(
            "EQ410",
            f"{len(idle)} of {len(arms)} remedies buy nothing beyond the untreated model with "
            f"tuned thresholds: {listed(idle)}. In ranking they are practically equal to it, or "
            "at least not better by as much as counts.",
            {"arms": idle},
            f"Take '{tuned}': it is simpler, and its probabilities need no correction.",
        )
    ]


@check("EQ411")
def shifted_prior(material: Material) -> list[Finding] | None:
    """Find labels whose share at deployment differs from that of validation, by EM."""
    new, val = material.new, material.scores
    if new is None or val is None or val.labels is None or set(new.names) != set(val.names):
        return None
    if material.rule is None and not (new.has_probabilities and val.has_probabilities):
        return None
    new = new.in_order(val.names)
    truth = val.labels.one_hot()
    known = (truth != UNKNOWN).sum(0)
    source = ((truth == 1).sum(0) + 0.5) / (known + 1)
    if val.kind == "multiclass":
        source = source / source.sum()
    found = estimate_prior(new, source, rule=material.rule)
    p_values = np.broadcast_to(found.p_value, source.shape)
    low, high = source / 1.5, source * 1.5
    bad = np.flatnonzero(
        (p_values < 0.01 / source.size) & ((found.prior < low) | (found.prior > high))
    )
    if not bad.size:
        return []
    rows = {
        val.names[i]: {"validation": float(source[i]), "deployment": float(found.prior[i]),
                       "interval": [float(found.low[i]), float(found.high[i])]}
        for i in bad
    }  # fmt: skip
    shown = [f"{n} {r['validation']:.3f} to {r['deployment']:.3f}" for n, r in rows.items()]
    return [
        finding(
            "EQ411",
            f"Where decisions are to be made, {len(rows)} of {len(val.names)} occur more or less "
            f"often than on validation rows, by EM on the scores: {listed(shown)}. That assumes "
            "that only shares have changed, which no scores can prove.",
            {"labels": rows},
            'Tune for it: tune(scores, target_prior="em", deployment=new), or declare the shares.',
            "Label a few hundred of the new rows to be sure.",
        )
    ]


@check("EQ340")
def differing_arms(material: Material) -> list[Finding] | None:
    """Find arms that differ in data, length or budget."""
    if len({t.method for t in material.trials}) < 2:
        return None
    parts: dict[str, dict[str, set[str]]] = {}
    for trial in material.trials:
        training = trial.config.get("training", {})
        said = {
            "epochs": training.get("epochs", len(trial.history) or None),
            "batch size": training.get("batch_size"),
            "training rows": trial.n_train,
            "split": (trial.seed, trial.config.get("split")),
            "settings tried": trial.config.get("tuning", {}).get("chosen_among", 1),
        }
        for key, value in said.items():
            parts.setdefault(key, {}).setdefault(trial.method, set()).add(repr(value))
    odd = {
        key: {m: sorted(v) for m, v in by_arm.items()}
        for key, by_arm in parts.items()
        if len({frozenset(v) for v in by_arm.values()}) > 1
    }
    if not odd:
        return []
    shown = [
        f"{key} ({listed([f'{m} {min(v)}' for m, v in by_arm.items()], 3)})"
        for key, by_arm in odd.items()
        if key != "split"
    ] + (["rows of the same seed"] if "split" in odd else [])
    return [
        finding(
            "EQ340",
            f"The arms differ in more than the remedy: {listed(shown)}. What looks like the "
            "remedy's doing may be that.",
            {"differences": odd},
            "Give every arm, the untreated one too, the same rows, steps and number of settings.",
        )
    ]
