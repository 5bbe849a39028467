"""Arms that keep one honest: no model, neighbours, logistic regression, scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import has_fit_parameter

from equipoise._core.messages import closest, say
from equipoise._core.rng import child_seed
from equipoise.artifacts import Correction, Labels, Scores, Split, Trial
from equipoise.artifacts.labels import with_ids
from equipoise.artifacts.scores import SplitName
from equipoise.errors import DataError, UsageError
from equipoise.studies.rows import Parts
from equipoise.training.selection import METRIC_NAMES, realised_histogram, selection_metric

Floats = NDArray[np.floating]
Outputs = NDArray[np.float64]
_NEVER = -20.0
"""Log-odds that decide for nobody, and are finite."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """An arm without training by gradients.

    Args:
        name: As in a study.
        kinds: Labels that it is for.
        summary: One sentence.
        score: From features and labels of training rows, and features of others, to outputs
            (N, C).
        score_kind: What these outputs are.
        settings: Parameters and their defaults.
    """

    name: str
    kinds: tuple[str, ...]
    summary: str
    score: Callable[..., Outputs]
    score_kind: str
    settings: Mapping[str, Any]


def _shares(labels: Labels) -> Outputs:
    """Return prevalences among known rows, (C,), with one row of each side added."""
    counts, known = labels.weighed
    if labels.kind == "multiclass":
        return np.asarray((counts + 1) / (counts.sum() + labels.num_classes))
    return np.asarray((counts + 1) / (known + 2))


def _prevalence(x: Floats, labels: Labels, others: Floats, seed: int) -> Outputs:  # noqa: ARG001
    return np.tile(_shares(labels), (len(others), 1))


def _all_negative(x: Floats, labels: Labels, others: Floats, seed: int) -> Outputs:  # noqa: ARG001
    return np.full((len(others), labels.num_classes), _NEVER)


def _neighbours(x: Floats, labels: Labels, others: Floats, seed: int, *, k: int) -> Outputs:  # noqa: ARG001
    scaler = StandardScaler().fit(x)
    tree = NearestNeighbors(n_neighbors=min(k, len(x))).fit(scaler.transform(x))
    near = tree.kneighbors(scaler.transform(others), return_distance=False)
    hot, own = labels.one_hot()[near], np.ones(len(labels))
    if labels.weights is not None:
        own = labels.weights / labels.weights.mean()
    positive, known = (
        np.einsum("nk,nkl->nl", own[near], 1.0 * part) for part in (hot == 1, hot >= 0)
    )
    # One neighbour more that says the prevalence: no label is ever impossible or certain.
    return np.asarray((positive + _shares(labels)) / (known + 1))


def _logistic(
    x: Floats, labels: Labels, others: Floats, seed: int, *, inverse_strength: float
) -> Outputs:
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=inverse_strength, max_iter=1000, random_state=0)
    )
    return _fitted(model, x, labels, others, seed)


def _fitted(model: Any, x: Floats, labels: Labels, others: Floats, seed: int) -> Outputs:
    """Fit one classifier for classes, or one per label on its known rows."""
    if labels.kind == "multiclass":
        return _classes(_seeded(model, seed), x, labels, others)
    columns = [_prevalence(x, labels, others, seed)[:, i] for i in range(labels.num_classes)]
    for i, truth in enumerate(labels.values.T):
        known = truth >= 0
        if len(np.unique(truth[known])) == 2:
            own = None if labels.weights is None else labels.weights[known]
            fitted = fit_weighted(_seeded(model, seed), x[known], truth[known], own)
            columns[i] = _positive(fitted, others)
    return np.stack(columns, axis=1)


def fit_weighted(model: Any, x: Any, y: Any, weights: Floats | None) -> Any:
    """Fit a classifier, the last step of a pipeline, to rows that count by their weights, (N,).

    Raises:
        UsageError: it takes no weights.
    """
    if weights is None:
        return model.fit(x, y)
    last = model.steps[-1] if isinstance(model, Pipeline) else ("", model)
    if not has_fit_parameter(last[1], "sample_weight"):
        do = "Leave the weights out, or take a classifier that knows them."
        name = type(last[1]).__name__
        raise UsageError(say("estimator", "take sample_weight, where rows have weights", name, do))
    key = f"{last[0]}__sample_weight" if last[0] else "sample_weight"
    return model.fit(x, y, **{key: weights / weights.mean()})


def _classes(model: Any, x: Floats, labels: Labels, others: Floats) -> Outputs:
    fitted = fit_weighted(model, x, labels.values, labels.weights)
    if not hasattr(fitted, "predict_proba"):
        do = "Wrap it in sklearn.calibration.CalibratedClassifierCV."
        raise UsageError(say("estimator", "have predict_proba for classes", type(model), do))
    out = np.zeros((len(others), labels.num_classes))
    out[:, np.asarray(fitted.classes_, dtype=np.int64)] = fitted.predict_proba(others)
    return out


def _positive(fitted: Any, others: Floats) -> Outputs:
    if hasattr(fitted, "predict_proba"):
        place = [*fitted.classes_].index(1)
        return np.asarray(fitted.predict_proba(others)[:, place], dtype=np.float64)
    return np.asarray(fitted.decision_function(others), dtype=np.float64)


def _seeded(model: Any, seed: int) -> Any:
    made = clone(model)
    names = [key for key in made.get_params() if key.split("__")[-1] == "random_state"]
    return made.set_params(**dict.fromkeys(names, child_seed(seed, "estimator") % 2**31))


_BOTH = ("multiclass", "multilabel")
BASELINES: Mapping[str, Baseline] = {
    b.name: b
    for b in (
        Baseline("prevalence", _BOTH, "Say the training shares of every row.", _prevalence,
                 "probabilities", {}),
        Baseline("all_negative", ("multilabel",), "Never flag a row.", _all_negative,
                 "logits", {}),
        Baseline("nearest_neighbours", _BOTH, "Shares among the k nearest training rows.",
                 _neighbours, "probabilities", {"k": 15}),
        Baseline("logistic_regression", _BOTH, "Linear, L2-regularised, on standardised features.",
                 _logistic, "probabilities", {"inverse_strength": 1.0}),
    )
}  # fmt: skip


def estimator_baseline(name: str, estimator: Any) -> Baseline:
    """Return an arm of any scikit-learn classifier, a pipeline with resampling included.

    Labels get one clone each, fitted on the rows where they are known. A classifier without
    ``predict_proba`` gives scores that only rank (labels only).

    Raises:
        UsageError: no classifier.

    Example:
        >>> from sklearn.naive_bayes import GaussianNB
        >>> estimator_baseline("bayes", GaussianNB()).score_kind
        'probabilities'
    """
    if not isinstance(estimator, BaseEstimator) or not hasattr(estimator, "fit"):
        do = "Return one from the callable, for example LogisticRegression()."
        raise UsageError(say(name, "be a scikit-learn classifier", type(estimator).__name__, do))

    def score(x: Floats, labels: Labels, others: Floats, seed: int) -> Outputs:
        return _fitted(estimator, x, labels, others, seed)

    kind = "probabilities" if hasattr(estimator, "predict_proba") else "ranking"
    return Baseline(name, _BOTH, "A scikit-learn classifier.", score, kind, {})


def baseline_trial(
    baseline: Baseline | str,
    features: Floats,
    labels: Labels,
    split: Split | Parts,
    *,
    seed: int = 0,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
) -> Trial:
    """Fit a baseline on training rows and score validation and test rows.

    Args:
        baseline: One of `BASELINES`, or from :func:`estimator_baseline`.
        features: (N, D).
        labels: Of the same rows.
        split: Training, validation and test rows.
        seed: Of estimators that draw.
        name: Of the arm; None takes the baseline's.
        settings: The baseline's own parameters.
        config: All that decides the outcome, as it names the trial.

    Returns:
        A Trial without history.

    Raises:
        UsageError: an unknown baseline or setting, or one for the other kind of labels.

    Note:
        Calibration: probabilities of the estimator as they are; ``class_weight`` or resampling in
        it shifts them, and the tuner's calibrator finds by how much.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(90, 2))
        >>> labels = Labels.from_array((x[:, :1] > 0.5).astype(int), kind="multilabel")
        >>> rows = np.arange(90)
        >>> split = Split.from_parts(rows[:50], rows[50:70], rows[70:], n_rows=90, seed=0,
        ...                          method="hand")
        >>> trial = baseline_trial("nearest_neighbours", x, labels, split, settings={"k": 5})
        >>> trial.scores["test"].values.shape, trial.selection["value"] > 0.8
        ((20, 1), True)
    """
    chosen = _named(baseline) if isinstance(baseline, str) else baseline
    if labels.kind not in chosen.kinds:
        raise UsageError(say(chosen.name, f"be used on {chosen.kinds[0]} labels", labels.kind))
    given = {**chosen.settings, **require_settings(chosen, settings or {})}
    x = np.asarray(features)
    if len(x) != len(labels):
        raise DataError(say("features", f"have {len(labels)} rows", len(x)))
    trained = labels[split.train]
    every = np.concatenate([split.val, split.test])
    outputs = chosen.score(x[split.train], trained, x[every], seed, **given)
    return fitted_trial(
        outputs,
        labels,
        split,
        name=name or chosen.name,
        seed=seed,
        kind=chosen.score_kind,
        correction=_correction(chosen, trained),
        config=config or {"engine": "baseline", "method": chosen.name, "settings": given,
                          "seed": seed, "split": getattr(split, "fingerprint", None)},
    )  # fmt: skip


def fitted_trial(
    outputs: Outputs,
    labels: Labels,
    split: Split | Parts,
    *,
    name: str,
    seed: int,
    kind: str,
    correction: Correction,
    config: Mapping[str, Any],
    drawn: NDArray[np.int64] | None = None,
    seen: Mapping[str, int] | None = None,
    chosen: Mapping[str, Any] | None = None,
) -> Trial:
    """Return the trial of outputs of validation rows and, behind them, test rows.

    Args:
        outputs: (V + T, C).
        labels: Of all rows.
        split: Which they are.
        name: Of the arm.
        seed: Of the trial.
        kind: What the outputs are: "logits", "probabilities" or "ranking".
        correction: The way back.
        config: All that decides the outcome.
        drawn: How often each training row was used; None for once.
        seen: Rows of each class or label that were trained on, where that says more than ``drawn``.
        chosen: What else validation rows chose.
    """
    trained = labels[split.train]
    rows: dict[SplitName, NDArray[np.int64]] = {"val": split.val, "test": split.test}
    scores: dict[str, Scores] = {}
    done = 0
    for part, part_rows in rows.items():
        if not part_rows.size:
            continue
        values: dict[str, Any] = {kind: outputs[done : done + part_rows.size]}
        done += part_rows.size
        scores[part] = Scores.from_arrays(
            with_ids(labels, part_rows), split=part, correction=correction, check_kind=False,
            **values,
        )  # fmt: skip
    # Probabilities that are said outright are compared as they are.
    undo = correction if kind == "logits" else Correction(labels.kind, exactness="none")
    value = selection_metric(outputs[: split.val.size], labels[split.val], undo)
    counts = {n: int(c) for n, c in zip(labels.names, trained.counts, strict=True)}
    if seen is None:
        seen = counts if drawn is None else realised_histogram(trained, drawn)
    return Trial(
        method=name,
        seed=seed,
        config=config,
        n_train=int(split.train.size),
        n_val=int(split.val.size),
        train_counts=counts,
        histogram=seen,
        history=[],
        scores=scores,
        selection={"metric": METRIC_NAMES[labels.kind], "value": value, **(chosen or {})},
    )


def _named(name: str) -> Baseline:
    if name not in BASELINES:
        hint = closest(name, BASELINES)
        raise UsageError(say("baseline", "be one that is known", repr(name), hint))
    return BASELINES[name]


def require_settings(baseline: Baseline, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return settings that are all of a baseline; raise otherwise."""
    for key in settings:
        if key not in baseline.settings:
            raise UsageError(say(f"{baseline.name}.{key}", "be a setting", key,
                                 closest(key, baseline.settings)))  # fmt: skip
    return settings


def _correction(baseline: Baseline, trained: Labels) -> Correction:
    if baseline.score_kind == "ranking":
        return Correction(trained.kind, exactness="none")
    shares = tuple(_shares(trained).tolist()) if trained.kind == "multiclass" else None
    if shares is not None:
        total = sum(shares)
        shares = tuple(s / total for s in shares)
    return Correction(trained.kind, prior=shares)
