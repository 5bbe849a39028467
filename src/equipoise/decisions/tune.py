"""From validation scores to a decision rule: correction, calibration, prior shift, thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.checks import say
from equipoise.artifacts import Correction, DecisionRule, Scores
from equipoise.artifacts.rule import hash_ids
from equipoise.decisions._classes import tune_classes
from equipoise.decisions._labels import tune_labels
from equipoise.decisions.priors import TargetPrior
from equipoise.errors import LeakageError

__all__ = ["tune"]

GRADES = ((100, "A"), (50, "B"), (10, "C"), (0, "D"))


def tune(
    scores: Scores,
    *,
    objective: str | None = None,
    target_prior: TargetPrior = "validation",
    seed: int = 0,
) -> DecisionRule:
    """Make a decision rule from validation (or out-of-fold) scores.

    Args:
        scores: With labels, of split "val" or "oof"; anything else is refused.
        objective: "f1", "f2", "f0.5", ... for labels (default "f1"); "balanced_accuracy" (default)
            or "accuracy" for classes.
        target_prior: What share of each class or label the decisions are for: "validation",
            "uniform", or one share each.
        seed: For the bootstrap rounds of the thresholds and the folds of the cross-fitted value.

    Returns:
        A rule whose probabilities refer to ``target_prior``. ``claimed`` is the objective on these
        rows, per label at the target prior or as recall per class; ``cross_fitted`` the same with
        calibration and threshold made on other folds, NaN where there is one row or group only.

    Raises:
        LeakageError: the scores are of training, test or new rows.
        DataError: the scores carry no labels.
        UsageError: an objective or a target prior that does not fit.

    Note:
        For classes the prior that the model was trained on has to be known to move away from it:
        ``Correction.identity("multiclass", prior=train_shares)``. Without it the validation rows
        are taken to have the prior of the training rows.

    Example:
        >>> from equipoise.artifacts import Labels
        >>> rng = np.random.default_rng(0)
        >>> y = (rng.random(500) < 0.1).astype(int)
        >>> labels = Labels.from_array(y, kind="multilabel", names=["A"])
        >>> logits = 2 * y - 3 + rng.normal(size=500)
        >>> rule = tune(Scores.from_arrays(labels, logits=logits, split="val"))
        >>> rule.grades, rule.calibrator.method
        (('C',), ('platt',))

    References:
        Lipton, Elkan and Naryanaswamy (ECML 2014), theorem 1, for the cut; Menon et al. (ICLR
        2021), section 4.1, for the offset of classes.
    """
    if scores.split not in ("val", "oof"):
        raise LeakageError(
            say(
                "scores.split",
                "be 'val' or 'oof'",
                repr(scores.split),
                "Thresholds are chosen on validation data and judged on test data, never on the "
                "same rows.",
            )
        )
    counts = scores.require_labels().counts
    correction, natural = _natural(scores)
    if scores.kind == "multiclass":
        goal = objective or "balanced_accuracy"
        made = tune_classes(scores, correction, natural, goal, target_prior, seed)
    else:
        goal = objective or "f1"
        made = tune_labels(scores, correction, natural, goal, target_prior, seed)
    named = target_prior if isinstance(target_prior, str) else tuple(float(p) for p in target_prior)
    return DecisionRule(
        kind=scores.kind,
        names=scores.names,
        correction=correction,
        calibrator=made.calibrator,
        prior_shift=made.prior_shift,
        thresholds=made.thresholds,
        class_offset=made.class_offset,
        objective=goal,
        target_prior=named,
        tuned_on={
            "split": scores.split,
            "n_rows": len(scores),
            "fingerprint": scores.fingerprint,
            "score_kind": scores.score_kind,
        },
        id_hashes=None if scores.ids is None else hash_ids(scores.ids),
        grades=_grades(counts),
        claimed=made.claimed,
        cross_fitted=made.cross_fitted,
        notes=made.notes,
    )


def _grades(counts: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(next(grade for least, grade in GRADES if n >= least) for n in counts)


def _natural(scores: Scores) -> tuple[Correction | None, NDArray[Any]]:
    """Return the way back and natural-prior log-odds; None and raw scores where there is none."""
    if not scores.has_probabilities:
        return None, scores.logits()
    correction = scores.correction or Correction.identity(scores.kind)
    return correction, correction.apply(scores.logits())
