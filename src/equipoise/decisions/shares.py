"""What a rule decides beside what it expects: the first sign that new rows are not as before."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from equipoise.artifacts import DecisionRule, Scores

# Objectives that aim at as many flags as there are positives, more or less. Others flag more or
# fewer by nature, and are held against what they did where the rule was tuned.
_NEAR_PREVALENCE = ("mcc", "prevalence", "accuracy", "macro_f1")
TIMES, NOISE = 3.0, 3.0


def count_decided(
    rule: DecisionRule, scores: Scores
) -> tuple[dict[str, float], dict[str, float], int]:
    """Return rows decided as each name, rows expected of it by calibrated probability, and rows."""
    made = rule.apply(scores)
    flags = made.predictions
    if rule.kind == "multiclass":
        counts = np.bincount(flags, minlength=len(rule.names))
    else:
        counts = (flags == 1).sum(axis=0)
    expected = made.probabilities.sum(axis=0)
    return (
        dict(zip(rule.names, counts.astype(float).tolist(), strict=True)),
        dict(zip(rule.names, expected.tolist(), strict=True)),
        len(scores),
    )


def parted_shares(
    rule: DecisionRule, decided: Mapping[str, float], expected: Mapping[str, float], n_rows: int
) -> dict[str, str]:
    """Return name -> remark where decided and expected numbers of rows part.

    They part where one is over three times the other, by more than three standard deviations of a
    count. Costs, recall floors and the like flag more than they expect by nature; there the ratio
    on the rows that the rule was tuned on is the measure.

    Args:
        rule: The rule.
        decided: Name -> rows decided as this label or class.
        expected: Name -> sum of their calibrated probabilities.
        n_rows: Rows in all.

    Example:
        >>> from equipoise import Labels, Scores, tune
        >>> y = np.arange(200) % 10 == 0
        >>> labels = Labels.from_array(y.astype(int), kind="multilabel", names=["A"])
        >>> z = 2.0 * y - 1 + np.linspace(-1, 1, 200)
        >>> rule = tune(Scores.from_arrays(labels, logits=z, split="val"))
        >>> parted_shares(rule, {"A": 90}, {"A": 20.0}, 200)
        {'A': '90 decided (45.0%) where 20.0 are expected (10.0%)'}
    """
    remarks = {}
    near = rule.objective in _NEAR_PREVALENCE or rule.objective.startswith("f")
    for i, name in enumerate(rule.names):
        usual = 1.0
        if not near:
            if rule.decided.size == 0 or rule.prior.size == 0:
                continue
            usual = max(float(rule.decided[i]), 0.5 / max(n_rows, 1)) / float(rule.prior[i])
        said, due = float(decided[name]), usual * float(expected[name])
        slack = NOISE * np.sqrt(due + 1)
        if said > TIMES * due + slack or said < due / TIMES - slack:
            share, wanted = said / max(n_rows, 1), float(expected[name]) / max(n_rows, 1)
            remarks[name] = (
                f"{said:,.0f} decided ({share:.1%}) where {expected[name]:,.1f} are expected "
                f"({wanted:.1%})"
            )
            if not near:
                remarks[name] += f", {usual:.1f} times as many as expected where it was tuned"
    return remarks
