"""Checks on scores as they come: constant, declared wrongly, not finite."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from equipoise._core.checks import to_array, to_floats
from equipoise._core.words import listed, one_of
from equipoise.artifacts.finding import Finding
from equipoise.artifacts.labels import KINDS, Kind
from equipoise.artifacts.scores import SCORE_KINDS, Scores
from equipoise.diagnosis._registry import check, finding
from equipoise.diagnosis.material import Material

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
