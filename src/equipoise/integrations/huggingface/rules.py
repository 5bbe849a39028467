"""From a Trainer's predictions to scores, metrics and a rule that the model's config carries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from equipoise._core.arrays import Floats
from equipoise._core.messages import say
from equipoise.artifacts import DecisionRule, Scores
from equipoise.artifacts._io import reading
from equipoise.artifacts.row_marks import RowMarks
from equipoise.artifacts.scores import SplitName, default_flags
from equipoise.decisions import tune
from equipoise.errors import DataError, UsageError
from equipoise.integrations.huggingface.truth import names_of, read_truth
from equipoise.metrics import average_precision, f_beta, macro_average, roc_auc
from equipoise.training.remedy import Remedy

KEY = "equipoise_rule"
"""Under which a model's config carries its rule."""
FIELD = {"multilabel": "f1", "multiclass": "macro_f1"}
"""What rules are tuned for where nothing else is said: macro F1, as the field reports it."""


def to_scores(
    remedy: Remedy,
    config: Any,
    prediction: Any,
    part: SplitName,
    ids: ArrayLike | None = None,
) -> Scores:
    """Return what a `PredictionOutput` or `EvalPrediction` says, with the remedy's way back."""
    outputs = prediction.predictions
    outputs = np.asarray(outputs[0] if isinstance(outputs, tuple) else outputs)
    if prediction.label_ids is None:
        do = "Give rows with their labels; new rows go to `equipoise predict`."
        raise DataError(say("dataset", "hold labels", "none", do))
    labels, at = read_truth(prediction.label_ids, config, ids)
    wide = outputs.reshape(-1, outputs.shape[-1])[at]
    return remedy.to_scores(labels, wide.astype(np.float64), part)


def field_metrics(scores: Scores, rule: DecisionRule | None) -> dict[str, float]:
    """Return macro AP, AUROC and F1, each over the classes or labels that can be judged.

    F1 is at the default cut, and at that of a rule: of one tuned on these rows its cross-fitted
    value, of another its decisions.
    """
    truth = scores.require_labels().one_hot()
    ranked = scores.values
    if scores.kind == "multiclass" and scores.has_probabilities:
        ranked = scores.log_odds()  # logits of a class compare within a row alone
    found = {
        "macro_ap": average_precision(truth, ranked),
        "macro_auroc": roc_auc(truth, ranked),
        "macro_f1_default": f_beta(truth, _default(scores)),
    }
    if rule is not None:
        tuned_here = rule.tuned_on.get("fingerprint") == scores.fingerprint
        decided = rule.apply(scores).predictions
        flags = decided if scores.kind == "multilabel" else _hot(decided, len(scores.names))
        found["macro_f1"] = rule.cross_fitted if tuned_here else f_beta(truth, flags)
    return {name: macro_average(values).value for name, values in found.items()}


def _default(scores: Scores) -> Any:
    if scores.kind == "multilabel":
        return default_flags(scores).astype(np.int8)
    return _hot(scores.values.argmax(axis=1), len(scores.names))


def _hot(decided: Any, width: int) -> Any:
    return np.eye(width, dtype=np.int8)[decided]


def scores_from(
    trainer: Any, dataset: Any, part: SplitName, *, ids: ArrayLike | None = None
) -> Scores:
    """Score a data set with a trained model.

    Args:
        trainer: A :class:`RemedyTrainer`.
        dataset: Rows with labels, as for ``trainer.predict``.
        part: "val", "oof", "test" or "train": what the rows are to the model.
        ids: One per row; without them an overlap of rows is told by their scores alone. Tokens are
            called "ID:POSITION".

    Returns:
        Logits with the way back of the remedy; of tokens one row each, those of -100 left out,
        with their sentences as groups, so that intervals resample sentences.
    """
    _require_trainer(trainer)
    kept, trainer.compute_metrics = trainer.compute_metrics, None
    try:
        prediction = trainer.predict(dataset)
    finally:
        trainer.compute_metrics = kept
    return to_scores(trainer.remedy, trainer.model.config, prediction, part, ids)


def rule_from(
    trainer: Any, validation: Any, *, ids: ArrayLike | None = None, **tuning: Any
) -> DecisionRule:
    """Tune a rule on validation rows and put it into the model's config.

    Args:
        trainer: A :class:`RemedyTrainer` that has trained.
        validation: Rows with labels that the model was not trained on.
        ids: One per row.
        **tuning: As for :func:`equipoise.tune`; the objective is macro F1 where it is not given.

    Returns:
        The rule. ``model.config`` carries it through ``save_pretrained`` and ``from_pretrained``,
        without the hashes of the rows it was tuned on: save the rule itself where an overlap with
        test rows is to be checked later.

    Raises:
        UsageError: another trainer, or an objective that does not fit.
        DataError: rows without labels.

    Note:
        Calibration: the rule undoes what loss and sampler did to the probabilities, and fits the
        rest on these rows.
    """
    scores = scores_from(trainer, validation, "val", ids=ids)
    rule = tune(scores, **{"objective": FIELD[scores.kind], **tuning})
    put_rule(trainer.model, rule)
    return rule


def put_rule(model: Any, rule: DecisionRule) -> None:
    """Let a model's config carry a rule.

    Args:
        model: With a ``config``.
        rule: For the model's outputs, by name.

    Raises:
        DataError: the names of the rule are not those of the model's outputs.

    Example:
        >>> import equipoise as eq
        >>> from transformers import BertConfig
        >>> class Model:
        ...     config = BertConfig(
        ...         id2label={0: "A"}, problem_type="multi_label_classification"
        ...     )
        >>> y = np.arange(40)[:, None] % 4 == 0
        >>> labels = eq.Labels.from_array(y.astype(int), kind="multilabel", names=["A"])
        >>> scores = eq.Scores.from_arrays(labels, logits=y * 2.0 - 1.0, split="val")
        >>> put_rule(Model, eq.tune(scores))
        >>> read = BertConfig.from_dict(Model.config.to_dict())
        >>> rule_of(read).objective
        'f1'
    """
    names = names_of(model.config)
    if set(names) != set(rule.names):
        do = "Tune the rule on scores of this model."
        raise DataError(say("rule", f"be for the outputs {list(names)}", list(rule.names), do))
    setattr(model.config, KEY, replace(rule, rows=RowMarks()).to_dict())


def rule_of(config: Any) -> DecisionRule | None:
    """Return the rule that a config carries, or None.

    Raises:
        DataError: what it carries is no rule.
    """
    body = getattr(config, KEY, None)
    if body is None:
        return None
    with reading(f"config.{KEY}", "equipoise.DecisionRule"):
        return DecisionRule.from_dict(body)


def to_new_scores(rule: DecisionRule, config: Any, outputs: Floats, **more: Any) -> Scores:
    """Return a model's outputs on rows without labels, (N, C), as its rule takes them."""
    kind = rule.tuned_on.get("score_kind", "logits")
    given: dict[str, Any] = {kind: outputs}
    return Scores.from_arrays(
        None,
        split="new",
        kind=rule.kind,
        names=names_of(config),
        check_kind=False,
        **given,
        **more,
    )


def _require_trainer(trainer: Any) -> None:
    if not isinstance(getattr(trainer, "remedy", None), Remedy):
        do = "Train with RemedyTrainer; Remedy `none` is the untreated model."
        raise UsageError(say("trainer", "be a RemedyTrainer", type(trainer).__name__, do))
