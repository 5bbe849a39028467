"""Checks on a split; the looking is done by ``splits.audit_split``."""

from __future__ import annotations

from equipoise.artifacts.finding import Finding
from equipoise.diagnosis._registry import Facts, check
from equipoise.splits import copies_finding


def _of(facts: Facts, code: str) -> list[Finding]:
    return [found for found in facts.audit if found.code == code]


@check("EQ201")
def groups_cross(facts: Facts) -> list[Finding] | None:
    """Find groups in more than one part; needs labels with groups."""
    if facts.split is None or facts.labels is None or facts.labels.groups is None:
        return None
    return _of(facts, "EQ201")


@check("EQ202")
def identical_rows(facts: Facts) -> list[Finding] | None:
    """Find identical rows in more than one part; needs features."""
    return None if facts.split is None or not facts.has_features else _of(facts, "EQ202")


@check("EQ203")
def missing_labels(facts: Facts) -> list[Finding] | None:
    """Find labels that are missing from a part though there are enough."""
    return None if facts.split is None or facts.labels is None else _of(facts, "EQ203")


@check("EQ204")
def repeated_rows(facts: Facts) -> list[Finding] | None:
    """Find rows that occur more than once; needs features."""
    return None if facts.split is None or not facts.has_features else _of(facts, "EQ204")


@check("EQ208")
def copies_kept_together(facts: Facts) -> list[Finding] | None:
    """Say that a split kept copies together; its proof tells."""
    if facts.split is None or facts.labels is None:
        return None
    copies = facts.split.proof.get("copies")
    if copies is None:
        return None
    return [copies_finding(copies, facts.labels)] if copies["rows"] else []
