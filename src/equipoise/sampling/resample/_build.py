"""What all resamplers share: the checks of what they are given, and the record they return."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Ints
from equipoise._core.checks import to_positive
from equipoise._core.identity import as_text
from equipoise._core.messages import say
from equipoise.artifacts.labels import UNKNOWN, Kind, Labels
from equipoise.artifacts.resampled import (
    Resampled,
    ResampledLabels,
    TrainingRows,
    refuse_resampled,
)
from equipoise.errors import DataError, LeakageError, NoEffectWarning, UsageError


class Synthetic(NamedTuple):
    """Synthetic rows: features, labels, and positions within the training rows."""

    features: NDArray[Any]
    values: NDArray[Any]
    seeds: Ints
    references: Ints


def require_training(train: TrainingRows) -> TrainingRows:
    """Raise unless ``train`` is the training part of a split."""
    refuse_resampled("train", train)
    if not isinstance(train, TrainingRows):
        do = "Split first: TrainingRows.of(labels, stratified_split(labels))."
        raise LeakageError(say("train", "be TrainingRows", type(train).__name__, do))
    return train


def label_fold(train: TrainingRows, method: str) -> Labels:
    """Return the labels of the training rows; classes are an error."""
    fold = require_training(train).fold
    if fold.kind != "multilabel":
        do = "Use random_oversample, random_undersample or smote for classes."
        raise UsageError(say("train", f"hold labels for {method}", "classes", do))
    return fold


def class_codes(train: TrainingRows, method: str) -> tuple[Ints, tuple[str, ...]]:
    """Return (N,) class of each training row and the names; one label gives two classes.

    Rows where that one label is unknown get -1: they are kept as they are.
    """
    fold = require_training(train).fold
    if fold.kind == "multiclass":
        return fold.values, fold.names
    if fold.num_classes > 1:
        got, do = f"{fold.num_classes} labels per row", "Use ml_ros or repeat_factor_oversample."
        raise UsageError(say("train", f"hold classes, or one label, for {method}", got, do))
    return fold.values[:, 0].astype(np.int64), (f"not {fold.names[0]}", fold.names[0])


def whole(name: str, value: int, least: int) -> int:
    """Return a whole number that is at least ``least``."""
    if int(value) != value or value < least:
        raise UsageError(say(name, f"be a whole number >= {least}", value))
    return int(value)


def share_of(n: int, fraction: float) -> int:
    """Return how many whole rows ``fraction`` of ``n`` rows is."""
    return int(to_positive("fraction", fraction) * n + 1e-9)


def without_effect(method: str, why: str) -> None:
    """Warn that a resampler has nothing to do, and why."""
    warnings.warn(f"{method} changes nothing here: {why}", NoEffectWarning, stacklevel=3)


def _labels_after(train: TrainingRows, rows: Ints, made: Synthetic | None) -> ResampledLabels:
    source = train.labels
    values = source.values[rows]
    origin = rows
    if made is not None:
        values = np.concatenate([values, made.values.astype(values.dtype)])
        origin = np.concatenate([rows, train.rows[made.seeds]])
    groups = as_text(origin) if source.groups is None else source.groups[origin]
    kind: Kind = source.kind
    return ResampledLabels(values, kind, source.names, groups=groups)


def from_times(
    train: TrainingRows, times: Ints, method: str, settings: Mapping[str, Any], seed: int
) -> Resampled:
    """Make the record from how often each training row comes; first copies stand first."""
    if not times.any():
        raise DataError(say("settings", "leave at least one row", "none", "Remove fewer rows."))
    place = np.repeat(np.arange(times.size), times)
    copies = np.arange(place.size) - np.repeat(np.cumsum(times) - times, times)
    order = np.argsort(copies, kind="stable")
    rows = train.rows[place[order]]
    labels = _labels_after(train, rows, None)
    return Resampled(rows, copies[order], labels, method, settings, seed, train.fingerprint)


def with_synthetic(
    train: TrainingRows, made: Synthetic, method: str, settings: Mapping[str, Any], seed: int
) -> Resampled:
    """Make the record of all training rows, once each, followed by synthetic ones."""
    return Resampled(
        train.rows,
        np.zeros(len(train), dtype=np.int64),
        _labels_after(train, train.rows, made),
        method,
        settings,
        seed,
        train.fingerprint,
        made.features,
        train.rows[made.seeds],
        train.rows[made.references],
    )


def known_absent(values: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Return (N,) whether all entries of a row are known to be 0."""
    return np.asarray(~((values == 1) | (values == UNKNOWN)).any(axis=1))
