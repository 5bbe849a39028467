"""A scikit-learn estimator that decides by a rule tuned on out-of-fold scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils import Tags, get_tags, indexable
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import _num_samples, check_is_fitted

from equipoise._core.arrays import Floats
from equipoise._core.messages import say
from equipoise.artifacts import Labels, Scores
from equipoise.artifacts.labels import to_weights
from equipoise.decisions import Objective, tune
from equipoise.errors import DataError, InfeasibleSplitError, UsageError
from equipoise.splits import feature_contents, find_copies, stratified_kfold
from equipoise.studies.baselines import fit_weighted


class DecisionRuleClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Wrap a classifier so that it decides by calibrated probabilities and tuned thresholds.

    Use with any scikit-learn classifier, for two classes, several, or several labels a row, where
    `TunedThresholdClassifierCV` knows two classes alone and `OneVsRestClassifier` ignores it.

    Args:
        estimator: A classifier with ``predict_proba`` or ``decision_function``; None takes
            logistic regression.
        objective: As for :func:`equipoise.tune`; None is "f1" for labels and two classes (of the
            second), and "balanced_accuracy" for several classes. Two classes are one label:
            ``Cost((false alarm, miss))`` of the second.
        target_prior: As for :func:`equipoise.tune`.
        cv: Folds of the out-of-fold scores, stratified by class or label, >= 2. "prefit" takes
            ``estimator`` as it is: ``fit`` then needs rows that it was not trained on.
        seed: For folds and tuning.

    Attributes:
        estimator_: The classifier, fitted on all rows (or as it was given).
        rule_: The :class:`equipoise.DecisionRule`.
        classes_: The classes; for several labels their names.

    Note:
        Probabilities are calibrated on the out-of-fold scores at ``target_prior``. Copies of a row
        in two folds would leak: pass ``groups`` to ``fit``.

    Example:
        >>> from sklearn.datasets import make_classification
        >>> X, y = make_classification(1000, weights=[0.9], class_sep=0.5, random_state=0)
        >>> plain = LogisticRegression().fit(X, y)
        >>> tuned = DecisionRuleClassifier(LogisticRegression()).fit(X, y)
        >>> int(plain.predict(X).sum()), int(tuned.predict(X).sum()), int(y.sum())
        (56, 95, 102)
        >>> from equipoise import Recall
        >>> found = DecisionRuleClassifier(LogisticRegression(), objective=Recall(at_least=0.9))
        >>> int(found.fit(X, y).predict(X)[y == 1].sum())
        95
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        objective: str | Objective | None = None,
        target_prior: str | Sequence[float] = "validation",
        cv: int | str = 5,
        seed: int = 0,
    ) -> None:
        self.estimator = estimator
        self.objective = objective
        self.target_prior = target_prior
        self.cv = cv
        self.seed = seed

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Fit the classifier on every fold and on all rows, and tune the rule between.

        Args:
            X: Rows, as the classifier takes them.
            y: (N,) classes, or (N, L) multi-hot.
            groups: (N,) rows that must stay in one fold.
            sample_weight: (N,) how many rows of the population each stands for, >= 0: they enter
                the classifier's own fit, which must take them, calibration and thresholds. They
                are no counts of repeated rows: of unequal ones fewer rows say as much.
        """
        if y is None:
            do = "DecisionRuleClassifier requires y to be passed, but the target y is None."
            raise DataError(do)
        X, y = indexable(X, y)
        if np.asarray(y).dtype == object and any(value is None for value in np.ravel(y)):
            do = "Leave rows out whose class nobody knows."
            raise DataError(say("y", "hold a class for every row", "None", do))
        check_classification_targets(y)
        weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        if weights is not None and weights.shape == (_num_samples(X),) and (weights > 0).any():
            # Rows of zero weight stand for nothing, as in scikit-learn.
            at = np.flatnonzero(weights != 0)
            if at.size < weights.size:
                groups = None if groups is None else np.asarray(groups)[at]
                X, y, weights = _take(X, at), _take(y, at), weights[at]
        labels = self._read(np.asarray(y))
        weights = to_weights("sample_weight", weights, len(labels))
        labels = replace(labels, weights=weights)
        base = LogisticRegression() if self.estimator is None else self.estimator
        if self.cv == "prefit":
            check_is_fitted(base)
            self.estimator_ = base
            values = self._outputs(base, X)
        else:
            self.estimator_ = _fit(clone(base), X, np.asarray(y), weights)
            values = self._out_of_fold(base, X, y, labels, groups)
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        self._score_kind = _kind_of(self.estimator_)
        found: dict[str, Any] = {self._score_kind: values}
        part: Literal["val", "oof"] = "val" if self.cv == "prefit" else "oof"
        scores = Scores.from_arrays(labels, **found, split=part, check_kind=False)
        self.rule_ = tune(
            scores, objective=self.objective, target_prior=self.target_prior, seed=self.seed
        )
        return self

    def _read(self, y: NDArray[Any]) -> Labels:
        """Return the labels, and set ``classes_``; two classes are one label, the second."""
        self._target = type_of_target(y)
        if self._target == "multilabel-indicator":
            self.classes_ = np.arange(y.shape[1])
            return Labels.from_array(y.astype(np.int8), kind="multilabel")
        y = y.ravel()
        self.classes_, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
        if self.classes_.size < 2:
            do = "Nothing is to be decided."
            raise DataError(say("y", "hold more than one class", f"{self.classes_.size} class", do))
        if self.cv != "prefit" and counts.min() < 2:
            expected = "have two rows of each class, one to train on where the other is held out"
            do = "Collect more of it, or leave it out."
            got = f"one of {self.classes_.tolist()[counts.argmin()]!r}"
            raise DataError(say("y", expected, got, do))
        if self.classes_.size == 2:
            return Labels.from_array(codes[:, None].astype(np.int8), kind="multilabel")
        names = [str(c) for c in self.classes_]
        return Labels.from_array(codes.astype(np.int64), kind="multiclass", names=names)

    def _out_of_fold(
        self, base: Any, X: Any, y: Any, labels: Labels, groups: ArrayLike | None
    ) -> Floats:
        if not isinstance(self.cv, int) or self.cv < 2:
            raise UsageError(say("cv", "be 'prefit' or a whole number >= 2", self.cv))
        rows = _num_samples(X)
        values = np.zeros((rows, labels.num_classes))
        units = _with_copies(X, groups)
        most = rows if units is None else np.unique(units).size
        folds = max(2, min(self.cv, most))
        try:
            splits = stratified_kfold(labels, folds=folds, groups=units, seed=self.seed)
        except InfeasibleSplitError:
            if units is groups:
                raise
            # All rows of a class are copies of one: it is missing from the other folds.
            splits = stratified_kfold(
                labels, folds=folds, groups=units, seed=self.seed, min_per_part=0
            )
        for split in splits:
            weights = None if labels.weights is None else labels.weights[split.train]
            part = _fit(clone(base), _take(X, split.train), _take(y, split.train), weights)
            values[split.val] = self._outputs(part, _take(X, split.val))
        return values

    def _outputs(self, fitted: Any, X: Any) -> Floats:
        """Return (N, C) outputs of one fitted classifier, its missing classes filled in."""
        if _kind_of(fitted) == "probabilities":
            made = fitted.predict_proba(X)
            if self._target == "multilabel-indicator":
                return _label_probabilities(made, fitted.classes_)
        else:
            made = np.asarray(fitted.decision_function(X), dtype=np.float64)
            if self._target == "multilabel-indicator":
                return made
            made = np.stack([-made, made], axis=1) if made.ndim == 1 else made
        lowest = 0.0 if _kind_of(fitted) == "probabilities" else float(np.min(made)) - 1.0
        values = np.full((made.shape[0], self.classes_.size), lowest)
        values[:, np.searchsorted(self.classes_, fitted.classes_)] = made
        return values[:, 1:] if self.classes_.size == 2 else values

    def _decided(self, X: Any) -> Any:
        check_is_fitted(self)
        values: dict[str, Any] = {self._score_kind: self._outputs(self.estimator_, X)}
        scores = Scores.from_arrays(
            None,
            **values,
            split="new",
            kind=self.rule_.kind,
            names=self.rule_.names,
            check_kind=False,
        )
        return self.rule_.apply(scores)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the rule's decisions: (N,) classes, or (N, L) flags for several labels."""
        made = self._decided(X).predictions
        if self._target == "multilabel-indicator":
            return np.asarray(made)
        return np.asarray(self.classes_[made[:, 0] if made.ndim == 2 else made])

    def predict_proba(self, X: Any) -> Floats:
        """Return calibrated probabilities: (N, C), or (N, L) for several labels."""
        p: Floats = self._decided(X).probabilities
        if self._target != "multilabel-indicator" and p.shape[1] == 1:
            return np.concatenate([1.0 - p, p], axis=1)
        return p

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        if self.estimator is not None:
            tags.input_tags = get_tags(self.estimator).input_tags
            tags.classifier_tags.multi_label = _takes_labels(self.estimator)
        return tags


def _fit(estimator: Any, rows: Any, y: Any, weights: Floats | None) -> Any:
    try:
        return fit_weighted(estimator, rows, y, weights)
    except ValueError as error:
        if np.ndim(y) == 2 and "1d array" in str(error):
            name, do = type(estimator).__name__, "Wrap it: OneVsRestClassifier(estimator)."
            raise UsageError(say("estimator", "take several labels", name, do)) from error
        raise


def _with_copies(X: Any, groups: ArrayLike | None) -> ArrayLike | None:
    """Return the groups, rows of the same numbers joined with them: copies share a fold."""
    if not isinstance(X, np.ndarray) and not hasattr(X, "to_numpy"):
        return groups
    copies = find_copies(feature_contents(np.asarray(X)), groups)
    return groups if copies is None or copies.units is None else copies.units


def _takes_labels(estimator: Any) -> bool:
    tags = get_tags(estimator).classifier_tags
    return tags is not None and bool(tags.multi_label)


def _kind_of(estimator: Any) -> str:
    if hasattr(estimator, "predict_proba"):
        return "probabilities"
    if hasattr(estimator, "decision_function"):
        return "ranking"
    name = type(estimator).__name__
    do = "Wrap it in scikit-learn's CalibratedClassifierCV."
    raise UsageError(say("estimator", "have predict_proba or decision_function", name, do))


def _label_probabilities(made: Any, classes: Any) -> Floats:
    """Return (N, L) from one array, or from one (N, 2) or (N, 1) array for each label."""
    if not isinstance(made, list):
        return np.asarray(made, dtype=np.float64)
    columns = []
    for part, known in zip(made, classes, strict=True):
        at = np.flatnonzero(np.asarray(known) == 1)
        columns.append(part[:, at[0]] if at.size else np.zeros(len(part)))
    return np.stack(columns, axis=1)


def _take(rows: Any, index: NDArray[np.int64]) -> Any:
    from sklearn.utils import _safe_indexing

    return _safe_indexing(rows, index)
