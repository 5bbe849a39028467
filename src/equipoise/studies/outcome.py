"""What comes of a study of either kind: its comparison, findings and how much was trained."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from equipoise.artifacts import Comparison, Finding, Trial
from equipoise.comparison import compare
from equipoise.studies.schema import ComparisonSpec


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
        provenance={**provenance, **_chosen(trials), "versions": _versions()},
    )


def _chosen(trials: Sequence[Trial]) -> dict[str, Any]:
    """Return what was chosen on validation rows, arm -> one setting per seed; none if untuned."""
    found: dict[str, list[dict[str, Any]]] = {}
    for trial in trials:
        config = trial.config
        if "tuning" in config:
            training = config.get("training", {})
            rates = {key: training[key] for key in ("lr", "weight_decay") if key in training}
            found.setdefault(trial.method, []).append({**rates, **config.get("settings", {})})
    return {"chosen": found} if found else {}


def _versions() -> dict[str, str]:
    names = ("equipoise", "numpy", "scikit-learn", "torch")
    return {"python": platform.python_version()} | {n: version(n) for n in names}
