"""Checks on a split; the looking is done by ``splits.audit_split``."""

from __future__ import annotations

from equipoise.artifacts.finding import Finding
from equipoise.diagnosis._registry import check
from equipoise.diagnosis.material import Material
from equipoise.splits import copies_finding


def _of(material: Material, code: str) -> list[Finding]:
    return [found for found in material.audit if found.code == code]


@check("EQ201")
def groups_cross(material: Material) -> list[Finding] | None:
    """Find groups in more than one part; needs labels with groups."""
    if material.split is None or material.labels is None or material.labels.groups is None:
        return None
    return _of(material, "EQ201")


@check("EQ202")
def identical_rows(material: Material) -> list[Finding] | None:
    """Find identical rows in more than one part; needs features."""
    return None if material.split is None or not material.has_features else _of(material, "EQ202")


@check("EQ203")
def missing_labels(material: Material) -> list[Finding] | None:
    """Find labels that are missing from a part though there are enough."""
    return None if material.split is None or material.labels is None else _of(material, "EQ203")


@check("EQ204")
def repeated_rows(material: Material) -> list[Finding] | None:
    """Find rows that occur more than once; needs features."""
    return None if material.split is None or not material.has_features else _of(material, "EQ204")


@check("EQ208")
def copies_kept_together(material: Material) -> list[Finding] | None:
    """Say that a split kept copies together; its proof tells."""
    if material.split is None or material.labels is None:
        return None
    copies = material.split.proof.get("copies")
    if copies is None:
        return None
    return [copies_finding(copies, material.labels)] if copies["rows"] else []
