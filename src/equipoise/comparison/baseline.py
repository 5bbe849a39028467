"""Whether the untreated baseline has learned enough for a remedy to be judged on it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equipoise._core.codes import CODES
from equipoise.artifacts import Finding, Trial
from equipoise.artifacts.labels import UNKNOWN
from equipoise.metrics import roc_auc

_SKILL = 0.1  # of what lies between chance and perfect; an AUROC of .55
_FALLEN = 0.9  # of the loss of an answer that ignores the inputs
_FEWEST = 20


def baseline_findings(trials: Sequence[Trial]) -> list[Finding]:
    """Return EQ412 where a baseline ranks and finds hardly better than chance on validation rows.

    What imbalance itself does must not count against it: labels are judged by AUROC, classes by
    balanced accuracy after the prior is taken out, both of which no threshold could raise.

    Args:
        trials: Of the baseline, with validation scores; one per seed.
    """
    skills = [skill for trial in trials if (skill := _skill(trial)) is not None]
    if not skills or float(np.mean(skills)) >= _SKILL:
        return []
    kind = trials[0].scores["val"].require_labels().kind
    found, chance = _in_words(trials, kind)
    first, last, naive = (float(np.mean(v)) for v in zip(*map(_losses, trials), strict=True))
    evidence = {"skill": float(np.mean(skills)), "loss": [first, last], "loss_of_prior": naive}
    learned = last < _FALLEN * naive
    message = f"The baseline hardly learns: {found} on validation rows, {chance} by chance. "
    if np.isfinite(last):
        message += (
            f"Its training loss fell to {last:.3g}, so it learns its rows by heart, and nothing "
            "that holds for others. "
            if learned
            else f"Its training loss ended at {last:.3g}, where an answer that ignores the inputs "
            f"has {naive:.3g}. "
        )
    message += "No remedy can be judged on it: arms differ by how they escape, not by what they do."
    todo = (
        "More data, a smaller network, augmentation, or features of a trained network."
        if learned
        else "Train until the training loss falls: a lower learning rate with warm-up and clipping "
        "(training: lr, warmup, clip), more epochs, batch norm."
    )
    return [Finding("EQ412", *CODES["EQ412"], message, evidence, (todo, "Then compare again."))]


def _skill(trial: Trial) -> float | None:
    """Return what lies between chance (0) and perfect (1); None where nothing can be judged."""
    scores = trial.scores["val"]
    labels = scores.require_labels()
    if not np.isfinite(scores.values).all():
        return None
    if labels.kind == "multiclass":
        recall = _recalls(trial)
        chance = 1 / recall.size if recall.size else 1.0
        if recall.size < 2 or len(labels) < _FEWEST:
            return None
        return (float(recall.mean()) - chance) / (1 - chance)
    truth = labels.one_hot()
    known = (truth != UNKNOWN).all(axis=1)
    positives = (truth[known] == 1).sum(0)
    usable = (positives > 0) & (positives < known.sum())
    if positives[usable].sum() < _FEWEST:
        return None
    area = np.asarray(roc_auc(truth[known][:, usable], scores.values[known][:, usable]))
    return 2 * float(np.mean(area)) - 1


def _recalls(trial: Trial) -> np.ndarray:
    """Return the recall of each class that has validation rows, its prior taken out."""
    scores = trial.scores["val"]
    values = scores.log_odds() if scores.has_probabilities else scores.values
    counts = np.array([trial.train_counts.get(name, 0) for name in scores.names], dtype=float)
    answer = (values - np.log(np.maximum(counts, 1))).argmax(axis=1)
    truth = scores.require_labels().values
    return np.array([(answer[truth == k] == k).mean() for k in np.unique(truth[truth >= 0])])


def _in_words(trials: Sequence[Trial], kind: str) -> tuple[str, str]:
    if kind == "multiclass":
        every = [_recalls(trial) for trial in trials]
        lost = int(sum((r == 0).sum() for r in every))
        words = f"balanced accuracy {np.mean([r.mean() for r in every]):.2f} with the prior undone"
        if lost:
            words += f", {lost} of {sum(r.size for r in every)} recalls at zero"
        return words, f"{np.mean([1 / r.size for r in every]):.2f}"
    area = [(1 + s) / 2 for t in trials if (s := _skill(t)) is not None]
    return f"macro AUROC {np.mean(area):.2f}", "0.50"


def _losses(trial: Trial) -> tuple[float, float, float]:
    """Return the first and last training loss, and that of an answer that is the prior."""
    told = [float(row["loss"]) for row in trial.history if "loss" in row]
    counts = np.array(list(trial.train_counts.values()), dtype=float)
    p = counts / max(trial.n_train, 1)
    if trial.scores["val"].require_labels().kind == "multiclass":
        naive = float(-(p * np.log(np.maximum(p, 1e-12))).sum())
    else:
        q = np.clip(p, 1e-12, 1 - 1e-12)
        naive = float(-(q * np.log(q) + (1 - q) * np.log(1 - q)).mean())
    return (told[0], told[-1], naive) if told else (np.nan, np.nan, naive)
