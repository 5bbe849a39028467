"""Keras callbacks that write Scores, and tune a decision rule, once training has ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equipoise._core.messages import one_of, say
from equipoise.artifacts.correction import Correction
from equipoise.artifacts.labels import Labels
from equipoise.artifacts.rule import DecisionRule
from equipoise.artifacts.scores import PARTS, Scores, SplitName
from equipoise.decisions import tune
from equipoise.errors import LeakageError, UsageError
from equipoise.keras._keras import keras
from equipoise.keras.callbacks._outputs import OutputKind, beside, predict_rows, to_scores


class WriteScores(keras.callbacks.Callback):  # type: ignore[misc]
    """Score rows when training has ended, and write them as Scores beside the model.

    Use to lead from Keras to ``tune``, ``evaluate``, ``compare`` and the report, none of which
    needs Keras. List it after ``EarlyStopping(restore_best_weights=True)``, which puts the best
    weights back at the end as well.

    Args:
        x: Inputs of the rows, in order: as for ``predict``, or `RaggedSequences`.
        labels: `Labels` of the same rows; with ids, an overlap of rows can be checked later.
        part: "val", "oof", "test", "train" or "new": what the rows are to the model.
        model_file: Of the model, such as "lstm.keras": scores go to lstm.<part>.parquet beside it.
            None writes nothing.
        correction: From outputs back to natural-prior log-odds; None takes that of the loss where
            it is one of this package, else none. Join the draw's:
            ``loss.correction().then(data.correction())``.
        outputs: "auto" tells logits from probabilities by the last activation, or else the loss,
            never by the values; or "logits", "probabilities", "ranking".
        batch_size: For ``predict``.

    Attributes:
        scores: What was scored, after training.

    Raises:
        UsageError: outputs that are neither declared nor told by the model.

    Example:
        >>> labels = Labels.from_array([[0], [1], [1], [0]], kind="multilabel", names=["A"])
        >>> x = labels.values.astype("float32")
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True))
        >>> write = WriteScores(x, labels, "val")
        >>> _ = model.fit(x, x, verbose=0, callbacks=[write])
        >>> write.scores.score_kind, write.scores.values.shape
        ('logits', (4, 1))
    """

    def __init__(
        self,
        x: Any,
        labels: Labels,
        part: SplitName,
        model_file: str | Path | None = None,
        *,
        correction: Correction | None = None,
        outputs: OutputKind = "auto",
        batch_size: int = 256,
    ) -> None:
        super().__init__()
        if not isinstance(labels, Labels):
            do = "Wrap them: equipoise.Labels.from_array(y, kind='multilabel')."
            raise UsageError(say("labels", "be Labels", type(labels).__name__, do))
        self.x, self.labels, self.part = x, labels, one_of("part", part, PARTS)
        self.model_file, self.correction = model_file, correction
        self.outputs: OutputKind = outputs
        self.batch_size = batch_size
        self.scores: Scores | None = None

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Score the rows and write them."""
        values = predict_rows(self.model, self.x, self.batch_size)
        self.scores = to_scores(
            self.model,
            values,
            self.labels,
            self.part,
            outputs=self.outputs,
            correction=self.correction,
        )
        if self.model_file is not None:
            self.scores.save(beside(self.model_file, f"{self.part}.parquet"))


class TuneThresholds(WriteScores):
    """Tune calibration and thresholds on validation rows when training has ended.

    Use instead of a cut at 0.5. The rule serves with NumPy alone:
    ``DecisionRule.load(path).apply(scores)``. List it after ``EarlyStopping``.

    Args:
        x: Inputs of validation rows, in order: as for ``predict``, or `RaggedSequences`.
        labels: `Labels` of the same rows.
        model_file: Of the model, such as "lstm.keras": the rule goes to lstm.rule.json, the scores
            to lstm.val.parquet beside it. None writes nothing.
        part: "val", or "oof" for rows that the model has not seen in a cross-validation.
        correction: As for :class:`WriteScores`.
        outputs: As for :class:`WriteScores`.
        batch_size: For ``predict``.
        **tuning: As for :func:`equipoise.tune`, for example ``objective=Recall(at_least=0.9)``.

    Attributes:
        rule: The decision rule, after training.
        scores: What it was tuned on.

    Raises:
        LeakageError: rows of another part.
        UsageError: an unknown objective.

    Example:
        >>> labels = Labels.from_array([[0], [1], [1], [0]] * 9, kind="multilabel", names=["A"])
        >>> x = labels.values.astype("float32")
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True))
        >>> decide = TuneThresholds(x, labels)
        >>> _ = model.fit(x, x, verbose=0, callbacks=[decide])
        >>> decide.rule.tuned_on["split"], decide.rule.apply(decide.scores).predictions.shape
        ('val', (36, 1))
    """

    def __init__(
        self,
        x: Any,
        labels: Labels,
        model_file: str | Path | None = None,
        *,
        part: SplitName = "val",
        correction: Correction | None = None,
        outputs: OutputKind = "auto",
        batch_size: int = 256,
        **tuning: Any,
    ) -> None:
        if part not in ("val", "oof"):
            do = "Thresholds are chosen on validation rows, never on those that judge them."
            raise LeakageError(say("part", "be 'val' or 'oof'", repr(part), do))
        super().__init__(
            x,
            labels,
            part,
            model_file,
            correction=correction,
            outputs=outputs,
            batch_size=batch_size,
        )
        self.tuning = tuning
        self.rule: DecisionRule | None = None

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Score the rows, tune the rule on them, write both."""
        super().on_train_end(logs)
        if self.scores is not None:
            self.rule = tune(self.scores, **self.tuning)
            if self.model_file is not None:
                self.rule.save(beside(self.model_file, "rule.json"))
