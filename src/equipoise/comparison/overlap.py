"""Leakage: a rule is never judged on rows that it was tuned on."""

from __future__ import annotations

import numpy as np

from equipoise._core.messages import say
from equipoise.artifacts import DecisionRule, Scores
from equipoise.artifacts.row_marks import NEARLY_ALL, RowMarks
from equipoise.errors import LeakageError

_OTHER = "Evaluate on other rows, or tune on other rows."


def check_overlap(rule: DecisionRule, scores: Scores) -> str:
    """Return what came of comparing these rows with those the rule was tuned on, or raise.

    Ids, groups and scores are compared, each where both sides have them; the text says of each
    "fine", "found: ..." or "not made: ...". Equal scores are looked for whatever the order of the
    rows, and count where they are no ties. Ids that are equal only after trimming or as numbers
    are said and not refused.

    Raises:
        LeakageError: the part is not a test part, an id stands on both sides, or nearly all rows
            have the very scores of those it was tuned on.
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
    marks = scores.marks if not rule.rows.is_empty else _without_hashes(scores)
    made = rule.rows.compare(marks)
    ids, contents = made["ids"], made["contents"]
    # Without ids the fingerprint is that of the scores, which may be equal by being constant.
    telling = scores.ids is not None or contents.outcome != "not made" or marks.contents is None
    same = telling and rule.tuned_on.get("fingerprint") == scores.fingerprint
    if same or contents.rows >= NEARLY_ALL * len(scores):
        expected = "be rows the rule was not tuned on"
        got = "the very rows it was tuned on" if same else contents.text
        raise LeakageError(say("scores", expected, got, _OTHER))
    if ids.outcome == "found" and ids.certain:
        expected = "share no row with those the rule was tuned on"
        raise LeakageError(say("scores", expected, ids.text, _OTHER))
    return "; ".join(f"{what} {result}" for what, result in made.items())


def _without_hashes(scores: Scores) -> RowMarks:
    """Return marks that only say of what there are some, for a rule that knows no rows."""
    some, labels = np.empty(0, dtype=np.uint64), scores.labels
    ids = None if scores.ids is None else some
    groups = None if labels is None or labels.groups is None else some
    return RowMarks(ids, ids, groups, groups, some)
