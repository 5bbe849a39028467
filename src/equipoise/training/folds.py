"""Train on k folds and pool what each says about the rows that it has not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from equipoise._core.words import say
from equipoise.artifacts import Correction, Labels, Scores, Split, Trial
from equipoise.errors import UsageError
from equipoise.splits import stratified_kfold
from equipoise.training.options import TrainingOptions
from equipoise.training.remedy import Remedy
from equipoise.training.targets import with_ids

Maker = Callable[[Labels], Remedy]


def check_folds(remedy: Remedy | Maker, options: TrainingOptions) -> Maker:
    """Return what makes a remedy for each fold.

    Raises:
        UsageError: a remedy that is made already, or an epoch chosen by the metric: on the rows
            whose scores are pooled, that choice would flatter them.
    """
    if isinstance(remedy, Remedy):
        do = f'Pass functools.partial(eq.remedy, "{remedy.name}").'
        raise UsageError(say("remedy", "be made anew for each fold", "a finished one", do))
    if options.keep != "last" or options.patience is not None:
        do = 'Set keep="last" and patience=None: fix the number of epochs beforehand.'
        raise UsageError(say("options", "keep the last epoch of each fold", options.keep, do))
    return remedy


def split_folds(labels: Labels, split: Split, folds: int, seed: int) -> list[Split]:
    """Return one split per fold of the training and validation rows; test rows stay.

    Args:
        labels: Of all rows.
        split: Its training and validation rows are pooled; groups stay whole.
        folds: k.
        seed: Of the partition.
    """
    pool = np.sort(np.concatenate([split.train, split.val]))
    inner = stratified_kfold(labels[pool], n_splits=folds, seed=seed)
    return [
        Split.from_parts(
            pool[fold.train],
            pool[fold.val],
            split.test,
            n_rows=split.n_rows,
            seed=seed,
            method=fold.method,
            proof=fold.proof,
        )
        for fold in inner
    ]


def pool_folds(
    trials: list[Trial], splits: list[Split], labels: Labels, config: Mapping[str, Any]
) -> Trial:
    """Return one trial of k: out-of-fold scores of the pool, mean scores of the test rows.

    Each fold's outputs are corrected by its own remedy before they are pooled, so that folds with
    different counts speak of the same probabilities. Outputs that only rank are pooled as they
    are; whether folds agree on their scale, only a calibrator can tell.
    """
    first = trials[0]
    parts = [(_corrected(t.scores["val"]), s.val) for t, s in zip(trials, splits, strict=True)]
    rows = np.concatenate([part for _, part in parts])
    order = np.argsort(rows)
    values = np.concatenate([v for v, _ in parts])[order]
    correction, name = _pooled_correction(trials, labels, splits)
    scores = {"oof": _scores(labels, rows[order], values, name, correction, "oof")}
    if "test" in first.scores:
        mean = np.mean([_corrected(t.scores["test"]) for t in trials], axis=0)
        scores["test"] = _scores(labels, splits[0].test, mean, name, correction, "test")
    values_of = [t.selection["last_value"] for t in trials]
    pool = labels[np.sort(rows)]
    return replace(
        first,
        config=dict(config),
        n_train=int(rows.size),
        n_val=0,
        train_counts={n: int(c) for n, c in zip(labels.names, pool.counts, strict=True)},
        histogram={n: sum(t.histogram[n] for t in trials) for n in labels.names},
        history=[{**row, "fold": k} for k, t in enumerate(trials) for row in t.history],
        label_history=(),
        scores=scores,
        selection={
            "metric": first.selection["metric"],
            "folds": len(trials),
            "last_value": float(np.mean(values_of)),
            "last_values": values_of,
        },
        model_file=None,
    )


def _corrected(scores: Scores) -> NDArray[np.float64]:
    if scores.score_kind == "ranking" or scores.correction is None:
        return np.asarray(scores.values, dtype=np.float64)
    applied = np.asarray(scores.correction.apply(scores.values))
    return np.asarray(log_softmax(applied, axis=1)) if scores.kind == "multiclass" else applied


def _pooled_correction(
    trials: list[Trial], labels: Labels, splits: list[Split]
) -> tuple[Correction, str]:
    """Return the correction of pooled scores, which are corrected, and their kind."""
    own = trials[0].scores["val"]
    if own.score_kind == "ranking":
        return Correction(labels.kind, exactness="none"), "ranking"
    pool = labels[np.concatenate([s.val for s in splits])]
    prior = tuple((pool.counts / len(pool)).tolist()) if labels.kind == "multiclass" else None
    exactness = "exact" if own.correction is None else own.correction.exactness
    return Correction(labels.kind, exactness=exactness, prior=prior), "logits"


def _scores(
    labels: Labels,
    rows: NDArray[np.int64],
    values: NDArray[np.float64],
    kind: str,
    correction: Correction,
    part: Any,
) -> Scores:
    given: dict[str, Any] = {kind: values}
    return Scores.from_arrays(
        with_ids(labels, rows), split=part, correction=correction, check_kind=False, **given
    )
