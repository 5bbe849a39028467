"""Which kind of model a table gets: the untreated ones are compared first, remedies on the best.

"What did the model buy" and "what did the remedy buy" are two questions. The untreated models are
fitted on the first draws and compared on *validation* rows, which are parts of the training rows:
test rows, and rows that are tested fold by fold, are not looked at.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from equipoise._core.messages import say
from equipoise.artifacts import Labels, Trial
from equipoise.boosting.families import FAMILIES, get_family
from equipoise.errors import EquipoiseError, MissingExtraError, UsageError
from equipoise.methods import THRESHOLDS, get_method
from equipoise.methods.on_tables import treat
from equipoise.studies.engine import Plan, has_torch
from equipoise.studies.heads import SLOTS
from equipoise.studies.schema import HEAD, REFERENCES, Study, StudyArm

_FIRST = 5
"""Seeds that the choice of a model rests on: as many as a study has before it looks at its arms."""
SIMPLE = ("logistic_regression", "random_forest", "hist_gradient_boosting", "lightgbm", "xgboost",
          "catboost", HEAD)  # fmt: skip
"""From the simplest: what a model bought is said against the first of these that is compared."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which kind of model remedies are judged on, and why.

    Args:
        name: The kind.
        metric: What was compared on validation rows.
        values: Kind -> mean of it over the first draws.
        left_out: Kind or arm -> why it is not compared.
    """

    name: str
    metric: str
    values: Mapping[str, float]
    left_out: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as the provenance of a comparison has them."""
        return {
            "chosen": self.name,
            "by": self.metric,
            "values": {k: float(v) for k, v in self.values.items()},
            "left_out": dict(self.left_out),
        }


def installed_models() -> list[str]:
    """Return the kinds of models that a table gets by default: what is installed of five."""
    wanted = ("lightgbm", "random_forest", "hist_gradient_boosting", "logistic_regression")
    heads = [HEAD] if has_torch() else []
    return [*(name for name in wanted if FAMILIES[name].is_installed), *heads]


def require_models(study: Study) -> None:
    """Raise unless every kind of model of a study is known, installed and has its settings.

    Raises:
        UsageError: an unknown kind or setting, or one twice.
        MissingExtraError: a kind whose package is missing.
    """
    names = [model.name for model in study.models]
    for model in study.models:
        if names.count(model.name) > 1:
            raise UsageError(f"`models` must name each kind once, got {model.name} twice.")
        if model.name == HEAD:
            if not has_torch():
                raise MissingExtraError("torch", "torch", "The model mlp")
            if model.settings or model.grid:
                do = "Settings of heads stand under `training`, values to choose from `tuning`."
                raise UsageError(f"`models`: {HEAD} takes no settings here. {do}")
            continue
        family = get_family(model.name)
        if family.is_remedy:
            do = "It treats imbalance itself: list it under `arms`."
            raise UsageError(say("models", "name untreated kinds of models", model.name, do))
        family.require()
        family.resolved({**model.settings, **model.grid})
    _require_grids(study)
    for arm in study.arms:
        if arm.model is not None and arm.model != HEAD:
            get_family(arm.model).require()


def _require_grids(study: Study) -> None:
    """Raise where a remedy has values to choose from and a model that it may stand on has none."""
    of_arms = [arm.label for arm in study.arms if any(len(v) > 1 for v in arm.grid.values())
               and ":" not in arm.method and arm.method not in REFERENCES
               and get_method(arm.method).model is None]  # fmt: skip
    heads = len(study.tuning.lr) > 1 or len(study.tuning.weight_decay) > 1
    bare = [
        model.name
        for model in study.models
        if not (heads if model.name == HEAD else any(len(v) > 1 for v in model.grid.values()))
    ]
    if of_arms and bare:
        do = "Any may be the best, and the remedy would be tuned where the untreated model is not."
        expected = f"have a grid each (mlp: tuning.lr), as `{of_arms[0]}` has one"
        raise UsageError(say("models", expected, f"none for {', '.join(bare)}", do))


def untreated(name: str) -> StudyArm:
    """Return the arm of an untreated model, called as its kind."""
    return StudyArm(method="none", model=name, name=name)


def first_round(study: Study) -> Study:
    """Return the study that chooses among the kinds of models: untreated, on the first draws."""
    arms = tuple(
        untreated(model.name).model_copy(update={"name": "none"} if i == 0 else {})
        for i, model in enumerate(study.models)
    )
    seeds = min(_FIRST, study.most_seeds)
    return study.model_copy(update={"arms": arms, "seeds": seeds})


def on_model(study: Study, name: str, labels: Labels) -> tuple[Study, dict[str, str]]:
    """Return the study with its remedies on a kind of model, and which of them it cannot take.

    The untreated other kinds stand beside as references; with ``remedies: all`` each remedy is
    judged on every kind that takes it.

    Args:
        study: With ``models``.
        name: The kind that was chosen.
        labels: Of training rows, that arms are tried on.
    """
    kinds = [model.name for model in study.models]
    arms: list[StudyArm] = []
    refused: dict[str, str] = {}
    for arm in study.arms:
        fixed = arm.method in REFERENCES or ":" in arm.method or arm.model is not None
        if arm.label in kinds and arm.method in REFERENCES:
            continue  # it is one of the kinds, and stands below
        if fixed or arm.method == THRESHOLDS:
            arms.append(arm)
            continue
        own = get_method(arm.method).model
        placed = arm.model_copy(update={"model": own or name})
        reason = "" if arm.method == "none" else _refusal(placed, labels)
        if reason:
            refused[arm.label] = reason
        else:
            arms.append(placed)
        if study.remedies == "all" and arm.method != "none" and own is None:
            for other in kinds:
                update = {"model": other, "name": f"{arm.label}, {other}"}
                again = arm.model_copy(update=update)
                if other != name and not _refusal(again, labels):
                    arms.append(again)
    if not any(arm.label == "none" for arm in arms):
        arms.insert(0, StudyArm(method="none", model=name))
    arms += [untreated(kind) for kind in kinds if kind != name]
    return study.model_copy(update={"arms": tuple(arms)}), refused


def _refusal(arm: StudyArm, labels: Labels) -> str:
    """Return why a kind of model cannot take an arm, or nothing."""
    if arm.model is None:
        return ""
    method = get_method(arm.method)
    if labels.kind not in method.kinds:
        return ""  # it is refused where it is checked, in words of its own
    made = None
    try:
        if arm.model != HEAD:
            get_family(arm.model).require()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are said where it is checked
            made = method.build(labels, **arm.settings)
        remedy = replace(made, name=arm.label)
        if arm.model == HEAD:
            remedy.require_supported(HEAD, SLOTS)
            return ""
        treatment = treat(remedy, labels, get_family(arm.model), 0)
        if treatment.loss is not None:
            _try_objective(treatment, labels)
    except EquipoiseError as error:
        # What was set wrongly is refused where it is checked.
        return "" if arm.settings and isinstance(error, UsageError) and made is None else str(error)
    return ""


def _try_objective(treatment: Any, labels: Labels) -> None:
    """Raise for a loss that boosters cannot fit."""
    if labels.kind == "multiclass":
        treatment.objective(np.asarray(labels.values), 0, labels.num_classes)
        return
    for output, column in enumerate(labels.values.T):
        known = column[column >= 0].astype(np.int64)
        if len(np.unique(known)) == 2:
            treatment.objective(known, output, 1)
            return


def choose(plan: Plan, trials: Sequence[Trial], values: Sequence[float], metric: str) -> Choice:
    """Return the kind of model with the best mean on validation rows.

    Args:
        plan: Of :func:`first_round`.
        trials: Its trials.
        values: Of each, on its validation rows.
        metric: What they are.
    """
    kinds = {arm.label: str(arm.model) for arm in plan.study.arms}
    by: dict[str, list[float]] = {}
    for trial, value in zip(trials, values, strict=True):
        by.setdefault(kinds[trial.method], []).append(value)
    means = {name: float(np.nanmean(v)) if not np.isnan(v).all() else np.nan
             for name, v in by.items()}  # fmt: skip
    known = {name: mean for name, mean in means.items() if not np.isnan(mean)}
    best = max(known, key=lambda name: known[name]) if known else next(iter(means))
    return Choice(best, metric, means, {})


def simplest(study: Study, name: str) -> str | None:
    """Return the simplest of a study's kinds of models, or None where that is the one."""
    kinds = {model.name for model in study.models}
    first = next((kind for kind in SIMPLE if kind in kinds), None)
    return None if first == name else first
