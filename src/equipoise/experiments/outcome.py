"""What comes of a study of either kind: its comparison, findings and how much was trained."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from equipoise.artifacts import Comparison, Finding, Trial
from equipoise.comparison import compare
from equipoise.experiments.study import ComparisonSpec

__all__ = ["Outcome", "judge"]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came of a study.

    Args:
        comparison: Arms side by side.
        findings: On the labels.
        trained: Trainings that were done here.
        reused: Trainings that were found done.
    """

    comparison: Comparison
    findings: tuple[Finding, ...]
    trained: int
    reused: int


def judge(
    trials: Sequence[Trial],
    settings: ComparisonSpec,
    title: str,
    provenance: Mapping[str, Any],
    references: Sequence[str] = (),
) -> Comparison:
    """Compare the trials of a study as it says.

    Args:
        trials: One per arm and seed.
        settings: How arms are tuned and judged.
        title: Of the study.
        provenance: How the trials came about; versions are added.
        references: Arms that are no remedies.
    """
    return compare(
        trials,
        references=references,
        primary=settings.primary,
        objective=settings.objective,
        target_prior=settings.target_prior,
        rope=settings.rope,
        confidence_level=settings.confidence_level,
        title=title,
        provenance={**provenance, "versions": _versions()},
    )


def _versions() -> dict[str, str]:
    names = ("equipoise", "numpy", "scikit-learn", "torch")
    return {"python": platform.python_version()} | {n: version(n) for n in names}
