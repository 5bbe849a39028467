"""Arms that are fitted and not trained: references and any scikit-learn classifier."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from equipoise._core.fingerprint import digest
from equipoise._core.words import say
from equipoise.artifacts import Labels, Split, Trial
from equipoise.audit.entry import load_object
from equipoise.errors import EquipoiseError, TrainingError, UsageError
from equipoise.studies.baselines import (
    BASELINES,
    Baseline,
    baseline_trial,
    estimator_baseline,
    require_settings,
)
from equipoise.studies.rows import StudyData
from equipoise.studies.schema import REFERENCES, StudyArm


def known_settings(arm: StudyArm) -> Mapping[str, Any] | None:
    """Return the settings that a fitted arm has; None where its callable takes what it takes."""
    return BASELINES[arm.method].settings if arm.method in REFERENCES else None


def code_of(arm: StudyArm) -> str | None:
    """Return a fingerprint of the module that a "module:callable" stands in.

    So an arm whose code has changed is fitted anew; what the module imports is not seen.
    """
    if arm.method in REFERENCES:
        return None
    load_object(arm.method, f"arm {arm.label}")
    module = sys.modules[arm.method.partition(":")[0]]
    try:
        return digest(inspect.getsource(module))[:16]
    except (OSError, TypeError):
        return str(getattr(module, "__version__", None))


def check_fitted(arm: StudyArm, settings: Mapping[str, Any], labels: Labels) -> None:
    """Raise unless an arm can be made and is for these labels.

    Raises:
        UsageError: an unknown setting, no classifier, or one for the other kind of labels.
    """
    made, rest = _made(arm, settings)
    require_settings(made, rest)
    if labels.kind not in made.kinds:
        raise UsageError(say(arm.label, f"be used on {made.kinds[0]} labels", labels.kind))


def _made(arm: StudyArm, settings: Mapping[str, Any]) -> tuple[Baseline, Mapping[str, Any]]:
    """Return what is fitted, and the settings that are left to hand over."""
    if arm.method in REFERENCES:
        return BASELINES[arm.method], settings
    make, name = load_object(arm.method, f"arm {arm.label}")
    try:
        estimator = make(**settings)
    except TypeError as error:
        got = f"{dict(settings)} ({' '.join(str(error).split())[:160]})"
        raise UsageError(say(f"settings of {arm.label}", f"be what {name} takes", got)) from error
    return estimator_baseline(arm.label, estimator), {}


def fit_arm(
    arm: StudyArm,
    settings: Mapping[str, Any],
    data: StudyData,
    split: Split,
    *,
    seed: int,
    config: Mapping[str, Any],
    with_test: bool,
) -> Trial:
    """Fit an arm on its training rows and score validation rows, and test rows if asked.

    Args:
        arm: A reference, or "module:callable".
        settings: What it is fitted with.
        data: Features and labels.
        split: Of their rows.
        seed: Of estimators that draw.
        config: All that decides the outcome.
        with_test: Whether test rows are scored.

    Raises:
        TrainingError: scikit-learn could not fit it; arm and seed are named.
    """
    made, rest = _made(arm, settings)
    if not with_test:
        split = replace(split, test=np.empty(0, dtype=np.int64))
    try:
        return baseline_trial(
            made,
            data.features,
            data.labels,
            split,
            seed=seed,
            name=arm.label,
            settings=rest,
            config=config,
        )
    except EquipoiseError:
        raise
    except Exception as error:
        words = " ".join(str(error).split())[:200]
        raise TrainingError(f"{arm.label}, seed {seed}: {type(error).__name__}: {words}") from error
