"""The arms of the study: each scores all rows out of fold, by models that never saw them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from equipoise._core.arrays import Floats
from equipoise._core.rng import child_seed
from equipoise.artifacts.correction import Correction
from equipoise.artifacts.labels import Labels
from equipoise.artifacts.scores import Scores
from equipoise.artifacts.split import Split
from equipoise.keras._keras import keras
from equipoise.keras.losses import BCELoss, Loss, PosWeightBCELoss
from equipoise.keras.transfer import initialise_prior_bias
from examples.keras_sequences.data import Case
from examples.keras_sequences.network import features_of, join, make_head

EPOCHS, BATCH = 15, 256
TUNING_EPOCHS, TUNING_BATCH, TUNING_RATE = 8, 128, 3e-3


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """What every arm works on.

    Args:
        case: Sequences and labels.
        body: The frozen body.
        padded: All sequences, (N, T, 128).
        features: What the body says about them, (N, 64).
        pooled: Means over the steps, (N, 128).
    """

    case: Case
    body: Any
    padded: NDArray[np.float32]
    features: NDArray[np.float32]
    pooled: NDArray[np.float32]

    @classmethod
    def of(cls, case: Case, body: Any) -> Given:
        """Compute what arms share."""
        padded = case.padded
        return cls(case, body, padded, features_of(body, padded), case.sequences.mean())


def posted_class_weight(labels: Labels) -> dict[int, float]:
    """Return the dict of the posted set-up: rows over labels times count."""
    counts = labels.counts
    total = counts.sum() / labels.num_classes
    return {k: float(total / n) for k, n in enumerate(counts) if n > 0}


def posted_model(head: Any) -> Any:
    """Compile as posted: sigmoid, binary cross entropy, categorical accuracy."""
    head.compile("adam", "binary_crossentropy", metrics=["categorical_accuracy"])
    return head


def _as_posted(given: Given, split: Split) -> tuple[Floats, Correction | None]:
    train = given.case.labels[split.train]
    head = posted_model(make_head(activation="sigmoid"))
    head.fit(
        given.features[split.train],
        train.values.astype(np.float32),
        batch_size=BATCH,
        epochs=EPOCHS,
        class_weight=posted_class_weight(train),
        verbose=0,
    )
    return _outputs(head, given.features[split.val]), None


def _headed(
    given: Given, split: Split, make: Callable[[Labels], Loss]
) -> tuple[Any, Loss, NDArray[np.float32]]:
    """Train a head on the frozen features, from the prior."""
    train = given.case.labels[split.train]
    head, loss = make_head(), make(train)
    initialise_prior_bias(head.layers[-1], train)
    head.compile("adam", loss)
    target = train.values.astype(np.float32)
    head.fit(given.features[split.train], target, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return head, loss, target


def _frozen(
    given: Given, split: Split, make: Callable[[Labels], Loss]
) -> tuple[Floats, Correction | None]:
    head, loss, _ = _headed(given, split, make)
    return _outputs(head, given.features[split.val]), loss.correction()


def _unfrozen(
    given: Given, split: Split, make: Callable[[Labels], Loss]
) -> tuple[Floats, Correction | None]:
    """Train the head first, then all of a copy of the network."""
    head, loss, target = _headed(given, split, make)
    body = keras.models.clone_model(given.body)
    body.set_weights(given.body.get_weights())
    body.trainable = True
    model = join(body, head)
    model.compile(keras.optimizers.Adam(TUNING_RATE), loss)
    rows = given.padded[split.train]
    model.fit(rows, target, batch_size=TUNING_BATCH, epochs=TUNING_EPOCHS, verbose=0)
    return _outputs(model, given.padded[split.val]), loss.correction()


def _logistic(given: Given, split: Split) -> tuple[Floats, Correction | None]:
    """Fit one regression per label on mean-pooled features; a label without positives gets -20."""
    labels, x = given.case.labels, given.pooled
    values = np.full((split.val.size, labels.num_classes), -20.0)
    for label in range(labels.num_classes):
        y = labels.values[split.train, label]
        if y.any():
            fitted = LogisticRegression(C=0.1, max_iter=200).fit(x[split.train], y)
            values[:, label] = fitted.decision_function(x[split.val])
    return values, None


def _outputs(model: Any, x: Any) -> Floats:
    return np.asarray(model.predict(x, batch_size=512, verbose=0), dtype=np.float64)


def _weighted(labels: Labels) -> Loss:
    return PosWeightBCELoss.from_label_counts(
        labels, power=0.5, cap=10.0, zero_counts="ignore", from_logits=True
    )


def _plain(_labels: Labels) -> Loss:
    return BCELoss(from_logits=True)


ARMS: dict[str, Callable[[Given, Split], tuple[Floats, Correction | None]]] = {
    "as posted": _as_posted,
    "BCE": partial(_frozen, make=_plain),
    "pos_weight": partial(_frozen, make=_weighted),
    "pos_weight, unfrozen": partial(_unfrozen, make=_weighted),
    "logistic regression": _logistic,
}
"""Name -> function of what is given and a split, to outputs of its validation rows."""


def score_out_of_fold(name: str, given: Given, folds: list[Split], seed: int) -> Scores:
    """Return the scores of all rows, each by the model of the fold that left it out.

    The correction is that of the first fold: counts of the folds differ by one row at most.
    """
    labels = given.case.labels
    values = np.empty((len(labels), labels.num_classes))
    correction = None
    for fold, split in enumerate(folds):
        # Keras draws weights, dropout and order from the global generators alone.
        keras.utils.set_random_seed(child_seed(seed, "keras", "example", fold) % 2**31)
        values[split.val], found = ARMS[name](given, split)
        correction = found if fold == 0 else correction
    if name == "as posted":
        return Scores.from_arrays(labels, probabilities=values, split="oof")
    return Scores.from_arrays(
        labels, logits=values, split="oof", correction=correction, check_kind=False
    )
