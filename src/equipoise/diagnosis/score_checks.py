"""Checks on scores: declared wrongly, out of digits, or probabilities that cannot be true."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, softmax

from equipoise._core.checks import to_array, to_floats
from equipoise._core.logistic import one_vs_rest
from equipoise._core.messages import listed, one_of
from equipoise.artifacts.finding import Finding
from equipoise.artifacts.labels import KINDS, UNKNOWN, Kind
from equipoise.artifacts.scores import SCORE_KINDS, Scores
from equipoise.diagnosis._registry import check, finding
from equipoise.diagnosis.material import Material
from equipoise.metrics import average_precision

ROUNDING, SUM_ROUNDING = 1e-6, 1e-3
ENOUGH = 20


def wrap_unchecked(values: ArrayLike, score_kind: str, kind: Kind) -> Scores:
    """Return scores that may be anything, so that they can be looked at."""
    array = to_array("values", values, ndim=(1, 2))
    table = to_floats("values", array.reshape(array.shape[0], -1))
    names = tuple(str(i) for i in range(table.shape[1]))
    declared = one_of("score_kind", score_kind, SCORE_KINDS)
    return Scores(table, declared, "new", one_of("kind", kind, KINDS), names)


@check("EQ403")
def constant(material: Material) -> list[Finding] | None:
    """Find columns that hold one value throughout."""
    scores = material.scores
    if scores is None:
        return None
    first = scores.values[0]
    same = (scores.values == first).all(axis=0)
    if len(scores) < 2 or not same.any():
        return []
    bad = np.flatnonzero(same).tolist()
    held = {scores.names[i]: float(first[i]) for i in bad}
    return [
        finding(
            "EQ403",
            f"{len(bad)} of {len(scores.names)} columns hold one value in every row: "
            f"{listed([f'{name} ({value:.4g})' for name, value in held.items()])}. Nothing is "
            "ranked there, and a threshold flags all rows or none.",
            {"columns": held},
            "Check that the output belongs to the trained layer, and that it was trained at all.",
            "A label without positives in training learns a constant: see EQ101.",
        )
    ]


@check("EQ404")
def misdeclared(material: Material) -> list[Finding] | None:
    """Find scores that contradict their declared kind."""
    scores = material.scores
    if scores is None or scores.score_kind == "ranking":
        return None
    values = scores.values[np.isfinite(scores.values).all(axis=1)]
    if not values.size:
        return []
    low, high = float(values.min()), float(values.max())
    odd = float(np.abs(values.sum(axis=1) - 1).max())
    several = values.shape[1] > 1
    what = ""
    if scores.score_kind == "logits":
        if low >= 0 and high <= 1 and values.size >= ENOUGH:
            what = f"declared logits, but all lie in [0, 1] ({low:.4g} to {high:.4g})"
    elif low < -ROUNDING or high > 1 + ROUNDING:
        what = f"declared probabilities, but they run from {low:.4g} to {high:.4g}"
    elif scores.kind == "multiclass" and odd > SUM_ROUNDING:
        what = f"declared probabilities of classes, but a row sums to 1 only within {odd:.3g}"
    elif scores.kind == "multilabel" and several and odd < ROUNDING and len(values) >= ENOUGH:
        what = "declared probabilities of independent labels, but every row sums to 1"
    if not what:
        return []
    return [
        finding(
            "EQ404",
            f"The scores are {what}. A wrong kind bends every probability and threshold after it.",
            {"low": low, "high": high, "farthest_sum_from_1": odd, "declared": scores.score_kind},
            "Outputs before sigmoid or softmax are logits; after it, probabilities.",
            "A softmax belongs to classes (multiclass), a sigmoid to labels (multilabel).",
        )
    ]


@check("EQ405")
def not_finite(material: Material) -> list[Finding] | None:
    """Find NaN and infinite scores."""
    scores = material.scores
    if scores is None:
        return None
    nan, infinite = np.isnan(scores.values), np.isinf(scores.values)
    rows = int((nan | infinite).any(axis=1).sum())
    if not rows:
        return []
    columns = {
        name: {"nan": int(nan[:, i].sum()), "infinite": int(infinite[:, i].sum())}
        for i, name in enumerate(scores.names)
        if nan[:, i].any() or infinite[:, i].any()
    }
    shown = [f"{n} ({c['nan']} NaN, {c['infinite']} infinite)" for n, c in columns.items()]
    return [
        finding(
            "EQ405",
            f"{rows} of {len(scores)} rows hold NaN or infinite scores: {listed(shown)}. They "
            "cannot be ranked; no verb takes them.",
            {"rows": rows, "columns": columns},
            "Leave failed rows out, or recompute them; do not fill them with 0.",
            "Infinite logits come from log(0): clip the probabilities before the logarithm.",
        )
    ]


_SHARE = 0.01
_LOGIT_LIMIT = 16.6  # beyond it the float32 sigmoid is 1 exactly
_TIES = 3
_ROUNDING = 1e-9


def implied_weight(scores: Scores, column: int) -> float:
    """Return the weight on positives that explains a mean probability off the prevalence.

    The w for which the mean of p / (p + w (1 - p)) is the share of positives.
    """
    truth = scores.require_labels().one_hot()[:, column]
    z = scores.log_odds()[truth != UNKNOWN, column]
    share = float((truth == 1).sum()) / z.size
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if float(expit(z - middle).mean()) > share else (low, middle)
    return float(np.exp((low + high) / 2))


def _saturated(scores: Scores) -> NDArray[np.float64]:
    """Return (C,) share of rows whose output has run out of digits."""
    values = scores.values
    if scores.score_kind == "probabilities":
        return np.asarray(((values <= 0) | (values >= 1)).mean(axis=0))
    if scores.score_kind == "ranking":
        return np.zeros(values.shape[1])
    if scores.kind == "multilabel":
        return np.asarray((np.abs(values) > _LOGIT_LIMIT).mean(axis=0))
    rest = 1 - softmax(values, axis=1)
    return np.asarray((rest < 2.0**-24).mean(axis=0))


def _tied(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (C,) share of rows whose value occurs at least three times in its column."""
    shares = []
    for column in values.T:
        counts = np.unique(column, return_counts=True)[1]
        shares.append(counts[counts >= _TIES].sum() / column.size)
    return np.asarray(shares)


@check("EQ401")
def saturated(material: Material) -> list[Finding] | None:
    """Find scores that are saturated, or tied, in more than 1 % of rows."""
    scores = material.scores
    if scores is None:
        return None
    full, tied = _saturated(scores), _tied(scores.values)
    # A constant column has a finding of its own.
    varied = (scores.values != scores.values[0]).any(axis=0)
    bad = np.flatnonzero(((full > _SHARE) | (tied > _SHARE)) & varied)
    if not bad.size:
        return []
    rows = {
        scores.names[i]: {"saturated": float(full[i]), "tied": float(tied[i])} for i in bad.tolist()
    }
    shown = [f"{n} ({r['saturated']:.1%} saturated, {r['tied']:.1%} tied)" for n, r in rows.items()]
    return [
        finding(
            "EQ401",
            f"{bad.size} of {len(scores.names)} columns hold scores that can no longer be told "
            f"apart: {listed(shown)}. Ranking metrics and thresholds lose their resolution there.",
            {"columns": rows},
            "Save logits in float32 before sigmoid or softmax, not rounded probabilities.",
            "If logits themselves saturate: less training, more weight decay, or a lower weight.",
        )
    ]


@check("EQ321")
def no_better_than_chance(material: Material) -> list[Finding] | None:
    """Find scores that rank positives no better than chance."""
    return None if material.scores is None else chance_findings(material.scores)


def chance_findings(scores: Scores) -> list[Finding] | None:
    """Return EQ321 where the scores show it; None where no label can be judged."""
    if scores.labels is None or not np.isfinite(scores.values).all():
        return None
    truth, values = scores.labels.one_hot(), scores.values
    if scores.kind == "multiclass":
        values = one_vs_rest(scores.log_odds() if scores.has_probabilities else values)
    found: dict[str, tuple[float, int, int]] = {}
    for i, name in enumerate(scores.names):
        known = truth[:, i] != UNKNOWN
        n, positives = int(known.sum()), int((truth[:, i] == 1).sum())
        if 0 < positives < n:
            ap = float(average_precision(truth[known, i], values[known, i]))
            found[name] = ap, positives, n
    return chance_finding(found) if found else None


def chance_finding(judged: Mapping[str, tuple[float, int, int]]) -> list[Finding]:
    """Return EQ321 where mean average precision is not above the mean prevalence.

    Args:
        judged: Average precision, positives and known rows of each label, one at least.
    """
    rows = {
        name: {"ap": ap, "prevalence": positives / n} for name, (ap, positives, n) in judged.items()
    }
    ap, prevalence = (
        float(np.mean([r[key] for r in rows.values()])) for key in ("ap", "prevalence")
    )
    if ap > prevalence + _ROUNDING:
        return []
    means = "" if len(rows) == 1 else f" (means over {len(rows)})"
    return [
        finding(
            "EQ321",
            f"Average precision is {ap:.3f} at a prevalence of {prevalence:.3f}{means}, which rows "
            "in random order come to as well. The scores say nothing about who is positive, "
            "whatever the accuracy.",
            {"ap": ap, "prevalence": prevalence, "labels": rows},
            "Look at the kept epoch and the training loss: does it fall at all? If not, raise the "
            "learning rate or train longer.",
            "Check that inputs and labels belong to the same rows, the sign of the scores, and "
            "which column is whose.",
        )
    ]


@check("EQ402")
def flood_or_drought(material: Material) -> list[Finding] | None:
    """Find labels whose mean probability is far from how often they occur."""
    scores = material.scores
    if scores is None or scores.labels is None or not scores.has_probabilities:
        return None
    z = scores.log_odds()
    prob = softmax(z, axis=1) if scores.kind == "multiclass" else expit(z)
    truth = scores.labels.one_hot()
    known = truth != UNKNOWN
    rows: dict[str, dict[str, float]] = {}
    for i, name in enumerate(scores.names):
        p, positives = prob[known[:, i], i], int((truth[:, i] == 1).sum())
        if not positives:
            continue
        ratio = float(p.sum() / positives)
        noise = float(np.sqrt((p * (1 - p)).sum()))
        if not 0.5 <= ratio <= 2 and abs(p.sum() - positives) > 3 * noise:
            rows[name] = {
                "mean_probability": float(p.mean()),
                "prevalence": positives / p.size,
                "ratio": ratio,
                "implied_weight": implied_weight(scores, i)
                if scores.kind == "multilabel"
                else float("nan"),
            }
    if not rows:
        return []
    shown = [
        f"{n} ({r['mean_probability']:.3f} for {r['prevalence']:.3f})" for n, r in rows.items()
    ]
    flood = sum(r["ratio"] > 2 for r in rows.values())
    weights = [f"{n} {r['implied_weight']:.3g}" for n, r in rows.items()]
    by_weight = (
        f" Weights on positives that would explain it: {listed(weights)}."
        if scores.kind == "multilabel"
        else ""
    )
    return [
        finding(
            "EQ402",
            f"Mean probability against prevalence is off by more than a factor of 2 for "
            f"{len(rows)} of {len(scores.names)}: {flood} too high, {len(rows) - flood} too low: "
            f"{listed(shown)}. A cut at 0.5 then floods or starves the label, however good the "
            f"ranking.{by_weight}",
            {"labels": rows},
            "Undo what weights or samplers did (correction=), then calibrate on validation data.",
            "Judge the model by average precision before blaming it.",
        )
    ]
