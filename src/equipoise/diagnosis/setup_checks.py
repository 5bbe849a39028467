"""Checks on a training set-up: weights, alpha, sampler, batches, metrics, learning rate."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import numpy as np

from equipoise._core.arrays import Floats
from equipoise._core.messages import listed
from equipoise.artifacts.finding import Finding
from equipoise.diagnosis._registry import check, finding, in_one
from equipoise.diagnosis.material import Material
from equipoise.diagnosis.setup import Setup
from equipoise.errors import NoEffectWarning
from equipoise.labels.statistics import Statistics
from equipoise.labels.weights import class_weights, moderate_beta

_ALIKE = 0.02  # weights this close to a recipe are taken for it
_NEARLY = 0.15
_HUGE, _HANDFUL = 100.0, 20
_MISSED = 0.05
_FLOOD = 0.25  # a true probability that is called positive
_FLAT = 1.05  # weights closer than this do nothing that could be seen
_OF_PAIRS = ("pairwise", "smoothap", "auc")


def _each(
    material: Material, look: Callable[[Setup, Statistics], list[Finding]]
) -> list[Finding] | None:
    """Return what a check finds in every set-up; None without labels or set-ups."""
    if material.statistics is None or not material.setups:
        return None
    statistics = material.statistics
    return in_one([(setup, f) for setup in material.setups for f in look(setup, statistics)])


def _counts(statistics: Statistics) -> dict[str, int]:
    return {n: int(p) for n, p in zip(statistics.names, statistics.positives, strict=True) if p > 0}


def _number(value: float) -> str:
    return f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"


def _listed(values: Mapping[str, float], most: int = 6) -> str:
    return listed([f"{name} {_number(v)}" for name, v in values.items()], most)


@check("EQ330")
def moved_by_these(material: Material) -> list[Finding] | None:
    """Say which true probability a model trained with these weights calls 0.5."""

    def look(setup: Setup, statistics: Statistics) -> list[Finding]:
        if statistics.kind != "multilabel":
            return []
        weights = setup.weights(statistics.names)
        if "pos_weight" not in weights:
            return []
        cuts = {n: 1 / (1 + w) for n, w in weights["pos_weight"][1].items() if w > 0}
        moved = {n: c for n, c in cuts.items() if abs(c - 0.5) > 0.05}
        if not moved:
            return []
        return [
            finding(
                "EQ330",
                f"with these weights on positives an output of 0.5 stands for "
                f"these true probabilities: {_listed(cuts)}. A cut at 0.5 flags every row above "
                "them: that is the flood, and it says nothing about the ranking.",
                {"true_probability_at_output_half": cuts},
                "Undo the weights before the cut: subtract log(weight) from the logit.",
                "Or train without weights and tune one threshold per label on validation rows.",
                severity="warning" if min(moved.values()) < _FLOOD else "tip",
                effect=max(abs(float(np.log(c / (1 - c)))) for c in moved.values()),
            )
        ]

    return _each(material, look)


@check("EQ331")
def beyond_reason(material: Material) -> list[Finding] | None:
    """Find weights above 100 for labels with a handful of positives."""

    def look(setup: Setup, statistics: Statistics) -> list[Finding]:
        counts = _counts(statistics)
        huge = {
            name: {"weight": w, "positives": counts[name]}
            for _, given in setup.weights(statistics.names).values()
            for name, w in given.items()
            if w > _HUGE and name in counts and counts[name] < _HANDFUL
        }
        if not huge:
            return []
        shown = [f"{n}: {_number(v['weight'])} for {v['positives']} rows" for n, v in huge.items()]
        return [
            finding(
                "EQ331",
                f"weights beyond reason: {listed(shown)}. A few rows then decide "
                "every step they are in, and what is learned is those rows.",
                {"labels": huge},
                "Cap weights at 10 or so, or take their square root.",
                "No weight makes up for positives that are not there: pool folds, collect more.",
                effect=float(np.log(max(v["weight"] for v in huge.values()))),
            )
        ]

    return _each(material, look)


@check("EQ332")
def alpha_against(material: Material) -> list[Finding] | None:
    """Find a focal alpha below 0.5 where positives are the rare side."""

    def look(setup: Setup, statistics: Statistics) -> list[Finding]:
        alpha = setup.alpha
        if statistics.kind != "multilabel" or not isinstance(alpha, (int, float)):
            return []
        if alpha >= 0.5 or alpha <= 0 or setup.alpha_on == "both":
            return []
        high = statistics.counts.prevalence_range[1]
        rare = [n for n, p in zip(statistics.names, high, strict=True) if 0 < p < 0.5]
        if not rare:
            return []
        ratio = (1 - alpha) / alpha
        return [
            finding(
                "EQ332",
                f"alpha = {alpha:g} weighs the positive term, so negatives count "
                f"{_number(ratio)} times as much as positives, for {len(rare)} labels whose "
                f"positives are the rare side ({listed(rare)}). The published 0.25 was chosen for "
                "object detection beside gamma = 2.",
                {"alpha": alpha, "negatives_over_positives": ratio, "labels": rare},
                "Leave alpha out (0.5), or take one above 0.5.",
                "Then judge by average precision: alpha moves the cut, hardly the ranking.",
                effect=float(np.log(ratio)),
            )
        ]

    return _each(material, look)


@check("EQ344")
def side_of_alpha(material: Material) -> list[Finding] | None:
    """Say what an alpha per label means on either side, where the set-up does not say which."""

    def look(setup: Setup, statistics: Statistics) -> list[Finding]:
        unsaid = setup.alpha is not None and not isinstance(setup.alpha, (int, float))
        if statistics.kind != "multilabel" or not unsaid or setup.alpha_on is not None:
            return []
        alpha = setup.weights(statistics.names)["alpha"][1]
        # Beyond 1 there is no 1 - alpha for the negatives: then they keep a weight of 1.
        within = max(alpha.values()) < 1
        cuts = {n: 1 - a if within else 1 / (1 + a) for n, a in alpha.items() if a > 0}
        beside = " beside 1 - alpha on the negative one" if within else ""
        return [
            finding(
                "EQ344",
                "alpha is given per label, and not on what. On the positive term alone"
                f"{beside}, an output of 0.5 stands for these true probabilities: {_listed(cuts)}. "
                "On a label's whole term it cancels out: 0.5 stands for 0.5, and the imbalance is "
                "not treated.",
                {"alpha": alpha, "true_probability_at_output_half": cuts},
                "Look into the loss's code, or run `equipoise audit` on it, and say alpha_on: "
                "positive or alpha_on: both.",
                effect=max(abs(float(np.log(c / (1 - c)))) for c in cuts.values()) if cuts else 0.0,
            )
        ]

    return _each(material, look)


@check("EQ333")
def inverse_after_all(material: Material) -> list[Finding] | None:
    """Find class-balanced weights that are nearly inverse frequency."""

    def look(setup: Setup, statistics: Statistics) -> list[Finding]:
        counts = np.array(list(_counts(statistics).values()), dtype=np.float64)
        if setup.beta is None or counts.size < 2:
            return []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoEffectWarning)  # weights that do nothing pass here
            made = class_weights(counts, method="effective_number", beta=setup.beta)
        ratio, inverse = float(made.max() / made.min()), float(counts.max() / counts.min())
        if inverse < 1.5 or ratio < (1 - _NEARLY) * inverse:
            return []
        return [
            finding(
                "EQ333",
                f"with beta = {setup.beta:.6g} the effective numbers are nearly "
                f"the counts: the weights differ {ratio:.3g} : 1, inverse frequency "
                f"{inverse:.3g} : 1. This arm is inverse frequency under another name.",
                {"ratio": ratio, "inverse_frequency": inverse, "beta": setup.beta},
                f"{_between(counts)}Or take the square root of inverse frequency.",
                "Or drop one of the two arms.",
            )
        ]

    return _each(material, look)


@check("EQ343")
def idle(material: Material) -> list[Finding] | None:
    """Find settings that can do nothing on these labels."""

    def look(setup: Setup, statistics: Statistics) -> list[Finding]:
        why: dict[str, str] = {}
        for key, (on, given) in setup.weights(statistics.names).items():
            values = np.array(list(given.values()))
            flat = values.size > 1 and values.min() > 0 and values.max() / values.min() < _FLAT
            ones = values.size > 0 and bool((np.abs(values - 1) < _FLAT - 1).all())
            # On positives equal weights still move the cut; on rows and labels they scale the rate.
            if ones or (flat and on in ("rows", "both")):
                why[key] = f"all weights lie within {values.min():.4f} and {values.max():.4f}"
        if setup.alpha == 0.5 and setup.alpha_on != "both":
            why["alpha"] = "0.5 weighs positives and negatives alike"
        ratio = None if setup.beta is None else _by_effective_number(setup.beta, statistics)
        if ratio is not None and ratio < _FLAT:
            why["beta"] = (
                f"with {setup.beta:.6g} the effective numbers are at their limit, 1 / (1 - beta) = "
                f"{1 / (1 - (setup.beta or 0)):,.0f}: the weights differ by {ratio:.4f} at most"
            )
        words = "".join(c for c in (setup.loss or "").lower() if c.isalnum())
        if setup.batch_size == 1 and any(name in words for name in _OF_PAIRS):
            why["batch_size"] = f"{setup.loss} compares rows, and a batch of one row holds no pair"
        if not why:
            return []
        stronger = _between(np.array(list(_counts(statistics).values()))) if "beta" in why else ""
        return [
            finding(
                "EQ343",
                "without effect on these labels: "
                + "; ".join(f"{key} ({reason})" for key, reason in why.items())
                + ". The arm trains as the untreated model does, or not at all.",
                {"settings": why},
                f"{stronger or 'Take a stronger setting. '}Or drop the arm.",
            )
        ]

    return _each(material, look)


def _between(counts: Floats) -> str:
    """Say which beta lies between no weights and inverse frequency on these counts."""
    beta = moderate_beta(counts) if counts.size > 1 else None
    if beta is None:
        return ""
    ratio = float(np.sqrt(counts.max() / counts.min()))
    return f"beta = {beta:.6g} lies halfway here: its weights differ {ratio:.3g} : 1. "


def _by_effective_number(beta: float, statistics: Statistics) -> float | None:
    """Return how far class-balanced weights differ: of classes, or of positives from negatives."""
    positive = np.array(list(_counts(statistics).values()), dtype=np.float64)
    if statistics.kind == "multiclass":
        pairs = positive[None] if positive.size > 1 else np.empty((0, 2))
    elif statistics.counts.n_rows is None:
        return None
    else:
        rest = float(statistics.counts.n_rows) - positive
        pairs = np.stack([positive, rest], axis=1)[rest > 0]
    if not len(pairs):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoEffectWarning)
        made = [class_weights(pair, method="effective_number", beta=beta) for pair in pairs]
    return max(float(w.max() / w.min()) for w in made)


@check("EQ334")
def from_occurrences(material: Material) -> list[Finding] | None:
    """Find weights made from occurrences of labels instead of rows."""

    def look(setup: Setup, statistics: Statistics) -> list[Finding]:
        if statistics.kind != "multilabel" or statistics.counts.n_rows is None:
            return []
        counts, rows = _counts(statistics), float(statistics.counts.n_rows)
        total = float(sum(counts.values()))
        found = []
        for key, (_, given) in setup.weights(statistics.names).items():
            made = {n: w for n, w in given.items() if n in counts}
            if len(made) < 2 or abs(total / rows - 1) < 1e-3:
                continue
            share = np.array([made[n] * counts[n] for n in made])
            alike = {what: bool(np.all(np.abs(share / of - 1) < _ALIKE)) for what, of in
                     (("rows", rows), ("occurrences", total))}  # fmt: skip
            close = abs(float(share.mean()) / total - 1) < abs(float(share.mean()) / rows - 1)
            if not alike["occurrences"] or (alike["rows"] and not close):
                continue
            found.append(
                finding(
                    "EQ334",
                    f"{key} is the number of label occurrences, {total:,.0f}, over "
                    f"each count; the rows are {rows:,.0f}. A row with several labels was counted "
                    "several times, so the weights depend on the other labels.",
                    {"weights": made, "occurrences": total, "rows": rows},
                    "For independent labels the ratio that balances is (rows - count) / count.",
                    "If weights are wanted at all: see EQ330 for what they do to the cut.",
                )
            )
        return found

    return _each(material, look)


@check("EQ335")
def small_batches(material: Material) -> list[Finding] | None:
    """Find batches that hold no positive of a label most of the time."""

    def look(setup: Setup, statistics: Statistics) -> list[Finding]:
        if setup.batch_size is None or setup.sampler is not None:
            return []
        size = setup.batch_size
        low = statistics.counts.prevalence_range[0]
        rows = {
            name: {"expected": size * float(p), "share_without": float((1 - p) ** size)}
            for name, p, n in zip(statistics.names, low, statistics.positives, strict=True)
            if n > 0 and (1 - p) ** size > _MISSED
        }
        if not rows:
            return []
        name = max(rows, key=lambda key: rows[key]["share_without"])
        worst = rows[name]
        return [
            finding(
                "EQ335",
                f"batches of {size} hold {worst['expected']:.2g} positives of "
                f"'{name}' on average, and {worst['share_without']:.0%} of them none; {len(rows)} "
                "labels are missed by more than one batch in twenty. Their gradient comes in "
                "bursts, and losses that balance within a batch see nothing to balance.",
                {"labels": rows, "batch_size": size},
                "Larger batches or gradient accumulation, before any weight.",
                "Or batches that hold every label: equipoise.sampling's batch samplers.",
            )
        ]

    return _each(material, look)


@check("EQ337")
def twice(material: Material) -> list[Finding] | None:
    """Find a sampler and weights that both raise the rare labels."""

    def look(setup: Setup, statistics: Statistics) -> list[Finding]:
        if setup.sampler is None:
            return []
        weights = setup.weights(statistics.names)
        spread = {
            key: max(given.values()) / min(given.values())
            for key, (_, given) in weights.items()
            if given and min(given.values()) > 0
        }
        spread = {key: s for key, s in spread.items() if s > 1.5}
        if setup.weighting is not None or setup.beta is not None:
            spread[setup.weighting or "beta"] = float("nan")
        if not spread:
            return []
        return [
            finding(
                "EQ337",
                f"{setup.sampler} draws rare rows more often, and "
                f"{' and '.join(spread)} weighs them up as well. The two multiply: a label that is "
                "drawn 10 times as often and weighs 10 times as much counts 100 times.",
                {"sampler": setup.sampler, "weights": list(spread)},
                "Keep one of the two; or take the weights from counts after the rows are drawn.",
            )
        ]

    return _each(material, look)
