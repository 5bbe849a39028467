"""SMOTE for classes of feature vectors, through imbalanced-learn (extra "resample")."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Ints
from equipoise._core.rng import child_seed
from equipoise.artifacts.resampled import Resampled, TrainingRows
from equipoise.errors import MissingExtraError
from equipoise.sampling.resample._build import (
    Synthetic,
    class_codes,
    whole,
    with_synthetic,
    without_effect,
)
from equipoise.sampling.resample._neighbours import training_columns
from equipoise.sampling.resample.classes import class_targets

Floats = NDArray[np.floating[Any]]


def _recording_smote() -> Any:
    """Return imbalanced-learn's SMOTE with a note of which rows it joined."""
    try:
        from imblearn.over_sampling import SMOTE
    except (ImportError, RuntimeError) as error:
        name = "equipoise.sampling.smote"
        raise MissingExtraError("imbalanced-learn", "resample", name) from error

    class RecordingSMOTE(SMOTE):  # type: ignore[misc]
        def _generate_samples(
            self, X: Any, nn_data: Any, nn_num: Any, rows: Any, cols: Any, *rest: Any
        ) -> Any:
            self.joined_ = (rows.astype(np.int64), nn_num[rows, cols].astype(np.int64))
            return super()._generate_samples(X, nn_data, nn_num, rows, cols, *rest)

    return RecordingSMOTE


def _one_class(kind: Any, points: Floats, extra: int, k: int, seed: int) -> tuple[Any, Ints, Ints]:
    """Return ``extra`` points among those of one class, and the rows each lies between."""
    # imbalanced-learn wants two classes, and gives classes resampled together the same draws.
    both = np.concatenate([points, points[:1]])
    y = np.append(np.ones(points.shape[0], dtype=np.int64), 0)
    sampler = kind(
        sampling_strategy={1: points.shape[0] + extra},
        random_state=seed % 2**32,
        k_neighbors=min(k, points.shape[0] - 1),
    )
    grown, _ = sampler.fit_resample(both, y)
    return grown[both.shape[0] :], *sampler.joined_


def smote(
    train: TrainingRows,
    features: ArrayLike,
    *,
    ratio: float = 1.0,
    k_neighbors: int = 5,
    categorical: ArrayLike | None = None,
    interpolate_codes: bool = False,
    seed: int = 0,
) -> Resampled:
    r"""Add points between rows of the same rare class (SMOTE; Chawla et al., 2002).

    Use with feature vectors and a model that draws sharp lines around few rows, such as a tree or
    nearest neighbours. Prefer class weights, or :func:`random_oversample` with augmentation:
    across studies SMOTE improves no ranking and spoils the probabilities.

    .. math:: x = x_s + u (x_r - x_s), \quad u \sim U(0, 1)

    with :math:`x_s` a random row of the class and :math:`x_r` one of its nearest neighbours in it.

    Args:
        train: Training rows with classes, or with one label, as in :func:`random_oversample`.
        features: (N, F) floating point, of the *whole* data; only training rows are read. Put
            columns on one scale first, by statistics of the training part. Embeddings or measured
            columns: the mean of two images is a double exposure, not an image, and the mean of two
            token ids is a third word, so pixels and tokens are refused (flattened pixels cannot be
            told apart: do not pass them).
        ratio: Smallest over largest class afterwards, in (0, 1].
        k_neighbors: Neighbours to choose from, at most one less than the rows of the class.
        categorical: Positions of columns that hold codes: they are no part of distances, and a
            synthetic row has each code of its seed or of its reference row. Columns of a few whole
            numbers that are not declared are refused.
        interpolate_codes: Take such columns for amounts, and interpolate them.
        seed: Same seed, same points.

    Returns:
        All training rows once, then the synthetic ones with their seed and reference rows. A class
        of one row has no neighbour and is left as it is, with a warning.

    Raises:
        MissingExtraError: imbalanced-learn is not installed.
        LeakageError: anything but training rows.
        ShapeError, DataError: features that are not (N, F) floating point and finite.
        UsageError: columns of codes that are not declared.

    Note:
        There is no way back to the true probability: calibrate on natural validation data.

    Example:
        >>> from equipoise import Labels, Split
        >>> labels = Labels.from_array([0] * 6 + [1] * 3, kind="multiclass")
        >>> split = Split.from_parts(range(9), [], [], n_rows=9, seed=0, method="all")
        >>> after = smote(TrainingRows.of(labels, split), np.arange(18.0).reshape(9, 2))
        >>> after.n_synthetic, after.labels.counts.tolist(), bool((after.seed_rows > 5).all())
        (3, [6, 6], True)

    References:
        Chawla, Bowyer, Hall, Kegelmeyer. SMOTE: synthetic minority over-sampling technique. JAIR
        16, 2002.
    """
    codes, names = class_codes(train, "smote")
    columns = training_columns(train, features, categorical, interpolate_codes)
    points = columns.room
    k = whole("k_neighbors", k_neighbors, 1)
    have, wanted = class_targets(codes, len(names), ratio, None)
    kind = _recording_smote()
    parts = [Synthetic(points[:0], codes[:0], *(np.empty(0, dtype=np.int64) for _ in range(2)))]
    skipped = []
    for c in np.flatnonzero(wanted > have).tolist():
        if have[c] < 2:
            skipped.append(names[c])
            continue
        rows = np.flatnonzero(codes == c)
        extra = int(wanted[c] - have[c])
        made, s, r = _one_class(kind, points[rows], extra, k, child_seed(seed, "smote", c))
        parts.append(Synthetic(made, np.full(extra, c), rows[s], rows[r]))
    if skipped:
        without_effect("smote", f"one row has no neighbour to join (classes {skipped}).")
    joined = Synthetic(*(np.concatenate(p) for p in zip(*parts, strict=True)))
    whole_rows = columns.complete(joined.features, joined.seeds, joined.references, seed)
    joined = joined._replace(features=whole_rows)
    if train.labels.kind == "multilabel":
        joined = joined._replace(values=joined.values[:, None])
    settings = {"ratio": float(ratio), "k_neighbors": k, "skipped": skipped}
    settings |= {"categorical": columns.codes.tolist()} if columns.codes.size else {}
    return with_synthetic(train, joined, "smote", settings, seed)
