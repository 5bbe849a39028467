"""Leakage: a rule is never judged on rows that it was tuned on."""

from __future__ import annotations

import numpy as np

from equipoise._core.checks import say
from equipoise.artifacts import DecisionRule, Scores
from equipoise.artifacts.rule import hash_ids
from equipoise.errors import LeakageError

__all__ = ["check_overlap"]


def check_overlap(rule: DecisionRule, scores: Scores, fingerprint: str | None = None) -> str:
    """Return "none" or "unchecked", or raise if a row was used to tune the rule.

    Without ids on both sides only an identical set of scores is noticed. ``fingerprint`` is that
    of the scores, where it is already known: hashing large scores takes time.

    Raises:
        LeakageError: the part is not a test part, or rows overlap.
    """
    if scores.split not in ("test", "new"):
        raise LeakageError(
            say(
                "scores.split",
                "be 'test'",
                repr(scores.split),
                "A rule is judged on rows that neither training nor tuning has seen.",
            )
        )
    if rule.tuned_on["fingerprint"] == (fingerprint or scores.fingerprint):
        raise LeakageError(
            say(
                "scores",
                "be rows the rule was not tuned on",
                "the very rows it was tuned on",
                "Evaluate on other rows, or tune on other rows.",
            )
        )
    if rule.id_hashes is None or scores.ids is None:
        return "unchecked"
    shared = np.intersect1d(rule.id_hashes, hash_ids(scores.ids))
    if shared.size:
        raise LeakageError(
            say(
                "scores",
                "share no row with those the rule was tuned on",
                f"{shared.size} of {len(scores)} rows in common",
                "Evaluate on other rows, or tune on other rows.",
            )
        )
    return "none"
