"""From validation scores to a decision rule: correction, calibration, prior shift, thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from equipoise._core.checks import require_type
from equipoise._core.messages import one_of, say
from equipoise.artifacts import Correction, DecisionRule, Evidence, Labels, Scores
from equipoise.artifacts._io import plain
from equipoise.artifacts.labels import effective_size
from equipoise.decisions._classes import tune_classes
from equipoise.decisions._folds import CLEARLY
from equipoise.decisions._labels import tune_labels
from equipoise.decisions._wide import goes_in_blocks, tune_wide
from equipoise.decisions.calibration import LABEL_METHODS
from equipoise.decisions.class_calibration import CLASS_METHODS
from equipoise.decisions.evidence import default_at, measure_evidence, natural_log_odds, way_back
from equipoise.decisions.objectives import (
    Budget,
    Objective,
    Precision,
    Rescale,
    to_objective,
)
from equipoise.decisions.priors import TargetPrior, deployment_prior
from equipoise.errors import DataError, LeakageError, UsageError

GRADES = ((100, "A"), (50, "B"), (10, "C"), (0, "D"))


def tune(
    scores: Scores,
    *,
    objective: str | Objective | None = None,
    target_prior: TargetPrior = "validation",
    calibration: str = "auto",
    score_names: Sequence[str] | None = None,
    deployment: Scores | None = None,
    seed: int = 0,
) -> DecisionRule:
    """Make a decision rule from validation (or out-of-fold) scores.

    Args:
        scores: With labels, of split "val" or "oof"; anything else is refused.
        objective: What the decisions are for: a name, or a record with parameters. For labels
            "f1" (default), "f2", "f0.5", ...; "balanced_accuracy"; "mcc"; "prevalence" (as many
            flags as positives); "rescale" (the textbook cut at the training share, nothing tuned)
            or ``Rescale(train_prior)``; ``Cost((false alarm, miss))``; ``Precision(at_least)``
            (certified); ``Recall(at_least)``; ``NetBenefit(threshold_probability)``;
            ``Budget(flags_per_row)``; ``TopK(k)``. For classes "balanced_accuracy" (default) or
            "macro_f1", as records with ``free_offsets``; "accuracy"; ``Cost(matrix)``; "rescale".
        target_prior: What share of each class or label the decisions are for: "validation",
            "uniform", one share each, or "em": estimated from ``deployment``.
        calibration: The highest rung: "auto" (slope and offset; for classes a temperature, or a
            slope and an offset each where their cross-fitted log loss is lower), "formula",
            "offset", "platt"; "isotonic" for labels with 1,000 positives and negatives; "vector"
            for classes.
        score_names: What the score columns are called where they come from, in the order of the
            names; stored, so that columns are matched by name later. None takes the names.
        deployment: Unlabelled scores of split "new", for ``target_prior="em"``.
        seed: For the bootstrap rounds of the thresholds and the folds of the cross-fitted value.

    Returns:
        A rule whose probabilities refer to ``target_prior``. ``claimed`` is its ``measure`` on
        these rows, per label at the target prior or per class; ``cross_fitted`` the same with
        calibration and threshold made on other folds, NaN where there is one row or group only.
        Where the cut at 0.5 (or the largest score) clearly reaches more on cross-fitted rows than
        what is tuned, it is kept; a rule that reaches less than the scores as they came never has
        grade "A", and "D" where it clearly does.
        Labels without positives are never flagged by a cut that is fitted to a metric.

    Raises:
        LeakageError: the scores are of training, test or new rows.
        DataError: the scores carry no labels, fewer than two rows, or no known label.
        UsageError: an objective, a calibration or a target prior that does not fit.
        ShapeError: costs or shares of another number of labels or classes.

    Note:
        Labels with ``weights`` count rows by them, in calibration, cuts and claims; grades, ladder
        and shrinkage go by the rows of equal weight that say as much. A certified precision and a
        budget count rows, and are refused.

        For classes the prior that the model was trained on has to be known to move away from it:
        ``Correction.identity("multiclass", prior=train_shares)``. Without it the validation rows
        are taken to have the prior of the training rows. Probabilities that come in steps (votes
        of a forest, neighbours, rounded files) are limited in what one of them says; see
        :class:`equipoise.artifacts.Evidence`.

    Example:
        >>> from equipoise.artifacts import Labels
        >>> rng = np.random.default_rng(0)
        >>> y = (rng.random(500) < 0.1).astype(int)
        >>> labels = Labels.from_array(y, kind="multilabel", names=["A"])
        >>> logits = 2 * y - 3 + rng.normal(size=500)
        >>> rule = tune(Scores.from_arrays(labels, logits=logits, split="val"))
        >>> rule.grades, rule.calibrator.method
        (('C',), ('platt',))
        >>> from equipoise.decisions import Recall
        >>> rule = tune(Scores.from_arrays(labels, logits=logits, split="val"),
        ...             objective=Recall(at_least=0.9))
        >>> rule.objective, rule.parameters, rule.claimed.round(2).tolist()
        ('recall', {'at_least': 0.9}, [0.91])

    References:
        Lipton, Elkan and Naryanaswamy (ECML 2014), theorem 1, for the cut; Menon et al. (ICLR
        2021), section 4.1, for the offset of classes.
    """
    made = make_rule(
        scores, objective=objective, target_prior=target_prior, calibration=calibration,
        score_names=score_names, deployment=deployment, seed=seed,
    )  # fmt: skip
    fingerprint = {"fingerprint": scores.fingerprint}
    return replace(made, rows=scores.marks, tuned_on={**made.tuned_on, **fingerprint})


def make_rule(
    scores: Scores,
    *,
    objective: str | Objective | None = None,
    target_prior: TargetPrior = "validation",
    calibration: str = "auto",
    score_names: Sequence[str] | None = None,
    deployment: Scores | None = None,
    seed: int = 0,
) -> DecisionRule:
    """Return what :func:`tune` does, without hashes of the rows.

    For rules that are used where they are made and judged on rows that are known to be others:
    hashing a million ids costs more than tuning on them.
    """
    require_type("scores", scores, Scores, 'Make them: Scores.from_arrays(..., split="val").')
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
    labels = scores.require_labels()
    wanted = to_objective(objective, scores.kind, labels.num_classes)
    _require_rows(labels)
    _check_weights(scores, wanted)
    evidence = measure_evidence(scores)
    correction = way_back(scores)
    _check_fit(wanted, correction, calibration)
    by_blocks = goes_in_blocks(scores, wanted, target_prior)
    natural = np.empty((0, 0)) if by_blocks else natural_log_odds(scores, evidence)
    prior, remarks = deployment_prior(
        scores, correction, natural, target_prior, calibration, deployment
    )
    if by_blocks:
        rung = one_of("calibration", calibration, LABEL_METHODS)
        made = tune_wide(scores, evidence, wanted, prior, rung, seed)
    elif scores.kind == "multiclass":
        method = one_of("calibration", calibration, CLASS_METHODS)
        made = tune_classes(scores, correction, natural, wanted, prior, method, seed)
    else:
        rung = one_of("calibration", calibration, LABEL_METHODS)
        at = default_at(scores, evidence)
        made = tune_labels(scores, correction, natural, wanted, prior, rung, seed, at)
    source = {"target_prior": "em"} if prior is not target_prior else {}
    named = prior if isinstance(prior, str) else tuple(float(p) for p in prior)
    return DecisionRule(
        kind=scores.kind,
        names=scores.names,
        correction=correction,
        calibrator=made.calibrator,
        prior_shift=made.prior_shift,
        thresholds=made.thresholds,
        class_offset=made.class_offset,
        objective=wanted.name,
        target_prior=named,
        tuned_on={
            "split": scores.split,
            "n_rows": len(scores),
            "score_kind": scores.score_kind,
            **(
                {} if labels.weights is None else {"effective_rows": effective_size(labels.weights)}
            ),
        },
        score_names=scores.names if score_names is None else tuple(score_names),
        evidence=evidence,
        grades=_grades(labels.effective_counts[0], made.behind),
        claimed=made.claimed,
        cross_fitted=made.cross_fitted,
        notes=tuple(
            "; ".join(filter(None, parts))
            for parts in zip(made.notes, remarks, _on_steps(evidence, scores.names), strict=True)
        ),
        measure=wanted.measure(scores.kind),
        parameters=plain(wanted.parameters | source),
        threshold_low=made.low,
        threshold_high=made.high,
        choice=made.choice,
        prior=made.prior,
        decided=made.decided,
    )


def _check_fit(objective: Objective, correction: Correction | None, calibration: str) -> None:
    """Refuse combinations that would silently do something else than asked for."""
    if not isinstance(objective, Rescale):
        return
    if correction is None:
        do = "Scores that only rank need a fitted threshold, for example objective='f1'."
        raise UsageError(say("objective", "be another one for ranking scores", "'rescale'", do))
    if calibration not in ("auto", "formula"):
        do = "The textbook cut fits nothing: leave it out."
        raise UsageError(say("calibration", "be 'formula' for 'rescale'", repr(calibration), do))


def _require_rows(labels: Labels) -> None:
    """Refuse rows from which nothing can be tuned."""
    do = "Give validation rows with known labels; a few hundred make a rule, ten do not."
    if len(labels) < 2:
        raise DataError(say("scores", "have at least two rows to tune on", len(labels), do))
    if not labels.known.any():
        raise DataError(say("labels", "be known in some rows", "unknown throughout", do))


def _check_weights(scores: Scores, objective: Objective) -> None:
    """Refuse row weights where rows have to be counted."""
    if scores.require_labels().weights is None:
        return
    why = {Precision: "a precision is certified by counting rows",
           Budget: "a budget is a number of rows"}.get(type(objective))  # fmt: skip
    if why is not None:
        do = f"{why[0].upper()}{why[1:]}: take another objective, or labels without weights."
        raise UsageError(say("objective", "go with row weights", f"'{objective.name}'", do))
    if scores.is_wide:
        do = "Take labels without weights."
        got = f"{len(scores):,} rows x {len(scores.names):,} labels"
        raise UsageError(say("weights", "go with scores that are not wide", got, do))


def _grades(counts: NDArray[np.floating], behind: NDArray[np.int8]) -> tuple[str, ...]:
    """Return the grade of the evidence; a rule that is behind the default one is never an A."""
    grades = []
    for n, lag in zip(counts, behind, strict=True):
        grade = next(grade for least, grade in GRADES if n >= least)
        grades.append("D" if lag == CLEARLY else max(grade, "B") if lag else grade)
    return tuple(grades)


def _on_steps(evidence: Evidence | None, names: Sequence[str]) -> list[str]:
    return ["" if evidence is None else evidence.describe(c) for c in range(len(names))]
