"""Keras callbacks for the time of training: late re-weighting, and findings as they are due."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.checks import require_within
from equipoise._core.messages import say
from equipoise.artifacts.finding import Finding, save_findings
from equipoise.artifacts.labels import Labels
from equipoise.diagnosis import check_history
from equipoise.diagnosis.course import default_recalls
from equipoise.diagnosis.histories import WINDOW
from equipoise.errors import UsageError
from equipoise.keras._keras import keras
from equipoise.keras.callbacks._outputs import OutputKind, output_kind, predict_rows
from equipoise.keras.losses.deferred import DeferredLoss
from equipoise.metrics import average_precision, balanced_accuracy, macro_average

_LEAST = np.finfo(np.float64).tiny


class DeferredReweighting(keras.callbacks.Callback):  # type: ignore[misc]
    """Let the late loss of a `DeferredLoss` take over after a share of training.

    Use where weights from the start spoil the features. Prefer the late loss alone on short
    trainings.

    Args:
        start: Share of training after which it takes over, in [0, 1]: epoch ``round(start x
            epochs)`` is the first, or the last of a training so short that this lies beyond it.
            0 is the late loss from the beginning; 1 never.

    Raises:
        UsageError: ``start`` outside [0, 1], or the model is not compiled with a `DeferredLoss`.

    Note:
        Calibration: outputs end between the two operating points; see :class:`DeferredLoss`. The
        train and test functions are made anew once, which JAX and TensorFlow then compile again;
        the optimizer goes on. Training and validation loss jump at that epoch.

    Example:
        >>> DeferredReweighting(0.8).first_epoch(200), DeferredReweighting(0.8).first_epoch(2)
        (160, 1)

    References:
        Cao et al., NeurIPS 2019, algorithm 1.
    """

    def __init__(self, start: float = 0.8) -> None:
        super().__init__()
        require_within("start", start, "[0, 1]", why=", a share of training")
        self.start = float(start)

    def first_epoch(self, epochs: int) -> int:
        """Return the first epoch, counted from 0, of the late loss; ``epochs`` for never."""
        first = round(self.start * epochs)
        return first if self.start == 1 else min(first, epochs - 1)

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Look for the loss."""
        if not isinstance(self.model.loss, DeferredLoss):
            do = "model.compile(loss=equipoise.keras.losses.DeferredLoss(early, late))."
            got = type(self.model.loss).__name__
            raise UsageError(say("model.loss", "be a DeferredLoss", got, do))

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Put the loss of this epoch in force."""
        late = epoch >= self.first_epoch(int(self.params["epochs"]))
        loss = self.model.loss
        if loss.is_late != late:
            loss.is_late = late
            self.model.make_train_function(force=True)
            self.model.make_test_function(force=True)


class WatchTraining(keras.callbacks.Callback):  # type: ignore[misc]
    """Judge the model on validation rows after every epoch, and say what goes wrong as it does.

    Adds ``val_macro_ap`` (for classes ``val_balanced_accuracy``) to the logs, exact and over the
    labels that have positives, so list it before callbacks that monitor it, such as
    ``EarlyStopping(monitor="val_macro_ap", mode="max")``.

    Args:
        x: Inputs of validation rows, in order: as for ``predict``, or `RaggedSequences`.
        labels: `Labels` of the same rows.
        path: Where the findings are written, as JSON, after every new one and at the end; None
            writes nothing.
        tell: Called with one line per new finding; None is silent.
        outputs: As for :class:`WriteScores`.
        batch_size: For ``predict``.

    Attributes:
        found: Findings so far: learning rate gone too early (EQ308), loss flat while the metric
            moves (EQ309), outputs on one side of the cut (EQ310), validation loss rises (EQ311).
        label_history: One row per epoch and label: "epoch", "label", "recall", "average_precision".

    Raises:
        UsageError: outputs that are neither declared nor told by the model.

    Note:
        Costs one pass over the validation rows per epoch. EQ311 needs ``validation_data`` in
        ``fit``, which gives ``val_loss``.

    Example:
        >>> labels = Labels.from_array([[0], [1], [0], [0]], kind="multilabel", names=["A"])
        >>> x = labels.values.astype("float32")
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> model.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True))
        >>> model.layers[-1].set_weights([np.ones((1, 1)), -9.0 * np.ones(1)])
        >>> watch = WatchTraining(x, labels, tell=None)
        >>> history = model.fit(x, x, epochs=5, verbose=0, callbacks=[watch]).history
        >>> history["val_macro_ap"][-1], [f.code for f in watch.found]
        (1.0, ['EQ310'])
    """

    def __init__(
        self,
        x: Any,
        labels: Labels,
        *,
        path: str | Path | None = None,
        tell: Callable[[str], None] | None = print,
        outputs: OutputKind = "auto",
        batch_size: int = 256,
    ) -> None:
        super().__init__()
        self.x, self.labels, self.path, self.tell = x, labels, path, tell
        self.outputs: OutputKind = outputs
        self.batch_size = batch_size
        self.found: list[Finding] = []
        self.history: list[dict[str, float]] = []
        self.label_history: list[dict[str, Any]] = []

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Begin anew."""
        self.found, self.history, self.label_history = [], [], []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Judge the validation rows and look at the history."""
        logs = {} if logs is None else logs
        values = self._centred(predict_rows(self.model, self.x, self.batch_size))
        name, metric, per_label = self._judge(values)
        logs[f"val_{name}"] = metric
        rate = getattr(self.model.optimizer, "learning_rate", None)
        self.history.append(
            {
                "loss": float(logs.get("loss", np.nan)),
                "val_loss": float(logs.get("val_loss", np.nan)),
                "val_metric": metric,
                "lr": np.nan if rate is None else float(keras.ops.convert_to_numpy(rate)),
            }
        )
        recalls = default_recalls(values, self.labels)
        at = len(self.history) - 1
        self.label_history += [
            {"epoch": at, "label": label, "recall": recall, "average_precision": ap}
            for label, recall, ap in zip(self.labels.names, recalls, per_label, strict=True)
        ]
        self._look(values)

    def _centred(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return outputs on the logit scale, where a label is flagged above 0."""
        if output_kind(self.model, self.outputs) != "probabilities":
            return values
        if self.labels.kind == "multiclass":
            return np.asarray(np.log(np.maximum(values, _LEAST)))
        rest = np.maximum(1.0 - values, np.finfo(np.float64).epsneg)
        return np.asarray(np.log(np.maximum(values, _LEAST)) - np.log(rest))

    def _judge(self, values: NDArray[np.float64]) -> tuple[str, float, list[float]]:
        truth = self.labels.one_hot()
        per_label = np.atleast_1d(average_precision(truth, values))
        if self.labels.kind == "multilabel":
            return "macro_ap", macro_average(per_label).value, per_label.tolist()
        said = values.argmax(1)
        classes = self.labels.num_classes
        metric = balanced_accuracy(self.labels.values, said, num_classes=classes)
        return "balanced_accuracy", metric, per_label.tolist()

    def _look(self, values: NDArray[np.float64]) -> None:
        due = check_history(
            self.history,
            self.label_history[-WINDOW * self.labels.num_classes :],
            outputs=values,
            labels=self.labels,
        )
        known = {item.code for item in self.found}
        new = [item for item in due if item.code not in known]
        self.found += new
        if new:
            self._write()
        if self.tell is not None:
            for item in new:
                self.tell(str(item))

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Leave a file behind also where nothing was found."""
        self._write()

    def _write(self) -> None:
        if self.path is not None:
            save_findings(self.found, self.path)
