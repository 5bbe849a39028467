"""The folder of a trial: the record and all that belongs beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import Tensor

from equipoise._core.files import atomic_path, write_text
from equipoise.artifacts import DecisionRule, Evaluation, Trial
from equipoise.artifacts.finding import load_findings
from equipoise.comparison import evaluate
from equipoise.decisions import tune
from equipoise.errors import EquipoiseError


def write_trial(trial: Trial, weights: Mapping[str, Tensor], root: Path) -> Trial:
    """Write a trial's folder under ``root``; trial.json comes last and marks it finished.

    Beside what :meth:`equipoise.Trial.save` writes there are model.safetensors, rule.json (tuned on
    the validation rows for the default objective, where that can be done), curves.svg, recalls.svg
    and a model card, README.md. Findings stand in findings.json already.

    Args:
        trial: What came of training.
        weights: Of the model, name to tensor.
        root: The trial's folder is made under it.

    Returns:
        The trial with the name of its model file.
    """
    named = replace(trial, model_file="model.safetensors")
    folder = root / named.folder_name
    write_weights(weights, folder / "model.safetensors")
    write_card(named, folder)
    named.save(root)
    return named


def write_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write name -> tensor as safetensors, whole or not at all."""
    from safetensors.torch import save_file

    with atomic_path(path) as temporary:
        save_file({k: v.contiguous() for k, v in weights.items()}, temporary)


def write_card(trial: Trial, folder: Path, rule: DecisionRule | None = None) -> Evaluation | None:
    """Write rule, curves and card of a trial beside its weights; return how it does on test rows.

    Args:
        trial: What came of training.
        folder: Of the trial.
        rule: That decides; None tunes one on the validation rows, for the default objective.
    """
    from equipoise.report.model_card import model_card

    pictures = _pictures(trial)
    for name, picture in pictures.items():
        write_text(folder / name, picture)
    rule, no_rule = _tuned(trial) if rule is None else (rule, "")
    if rule is None:
        (folder / "rule.json").unlink(missing_ok=True)
    else:
        rule.save(folder / "rule.json")
    evaluation, no_evaluation = _judged(trial, rule)
    found = folder / "findings.json"
    card = model_card(
        trial,
        rule,
        evaluation,
        findings=load_findings(found) if found.exists() else (),
        no_rule=no_rule,
        no_evaluation=no_evaluation,
        pictures=tuple(pictures),
    )
    write_text(folder / "README.md", card)
    return evaluation


def _pictures(trial: Trial) -> dict[str, str]:
    # matplotlib is slow to load, and only a trial with a folder needs it.
    from equipoise.report.pictures import recall_curves, training_curves

    recalls = recall_curves(trial)
    return {"curves.svg": training_curves(trial)} | ({"recalls.svg": recalls} if recalls else {})


def _tuned(trial: Trial) -> tuple[DecisionRule | None, str]:
    """Return the rule for the default objective, or why there is none: training is done."""
    try:
        return tune(trial.scores["val"]), ""
    except (EquipoiseError, ValueError, ArithmeticError) as error:
        return None, _plain(error)


def _judged(trial: Trial, rule: DecisionRule | None) -> tuple[Evaluation | None, str]:
    """Return the evaluation on test rows, or why there is none."""
    test = trial.scores.get("test")
    if test is None or test.labels is None:
        return None, "there are no labelled test rows"
    if rule is None:
        return None, "there is no rule to judge"
    counts = np.array([trial.train_counts[name] for name in test.names])
    try:
        return evaluate(rule, test, train_counts=counts), ""
    except (EquipoiseError, ValueError, ArithmeticError) as error:
        return None, _plain(error)


def _plain(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
