"""MLSMOTE: synthetic rows between rows that share a minority label."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.messages import one_of
from equipoise._core.rng import generator
from equipoise.artifacts.labels import UNKNOWN
from equipoise.artifacts.resampled import Resampled, TrainingRows
from equipoise.sampling.resample._build import (
    Synthetic,
    label_fold,
    whole,
    with_synthetic,
    without_effect,
)
from equipoise.sampling.resample._neighbours import (
    Gap,
    check_gap,
    draw_gap,
    interpolate,
    nearest,
    training_columns,
)
from equipoise.sampling.resample.minority import minority_labels

LabelRule = Literal["ranking", "union", "intersection"]
LABEL_RULES: tuple[LabelRule, ...] = ("ranking", "union", "intersection")


def vote(values: NDArray[np.int8], rule: LabelRule) -> NDArray[np.int8]:
    """Join the labels of a seed and its neighbours, (B, 1 + k, L) -> (B, L).

    "union": present in any; "intersection": present in all; "ranking": present in more than half.
    The answer is unknown where it depends on unknown entries.

    Example:
        >>> votes = np.array([[[1, 1, 0], [1, 0, -1], [0, 0, -1]]], dtype=np.int8)
        >>> [vote(votes, rule)[0].tolist() for rule in LABEL_RULES]
        [[1, 0, -1], [1, 1, -1], [0, 0, 0]]
    """
    n = values.shape[1]
    least = {"union": 1, "intersection": n, "ranking": n // 2 + 1}[rule]
    sure = (values == 1).sum(axis=1)
    possible = sure + (values == UNKNOWN).sum(axis=1)
    return np.where(sure >= least, 1, np.where(possible < least, 0, UNKNOWN)).astype(np.int8)


def mlsmote(
    train: TrainingRows,
    features: ArrayLike,
    *,
    k_neighbors: int = 5,
    label_rule: LabelRule = "ranking",
    gap: Gap = "row",
    categorical: ArrayLike | None = None,
    interpolate_codes: bool = False,
    seed: int = 0,
) -> Resampled:
    r"""Add a point between each row of a minority label and a neighbour that has it (MLSMOTE).

    Use with feature vectors and several labels per row. Prefer weights or raking where the rare
    labels occur with frequent ones: the synthetic rows inherit those.

    For each label with IRLbl > MeanIR, each row s that has it is a seed: r is one of its k nearest
    neighbours *among the rows that have the label*, and

    .. math:: x = x_s + u (x_r - x_s), \quad u \sim U(0, 1).

    Args:
        train: Training rows with labels.
        features: (N, F) floating point, of the whole data, on one scale; never pixels or tokens
            (their mean is neither; see :func:`smote`).
        k_neighbors: Neighbours to choose from and to ask for labels; in a bag of n rows at most
            n - 1.
        label_rule: "ranking" gives the labels that more than half of seed and neighbours have,
            "union" those of any, "intersection" those of all.
        gap: "row" draws u once, a point on the segment between the two; "feature" draws it for
            each feature, a point in the box between them.
        categorical: Positions of columns that hold codes: they are no part of distances, and a
            synthetic row has each code of its seed or of its reference row. Columns of a few whole
            numbers that are not declared are refused.
        interpolate_codes: Take such columns for amounts, and interpolate them.
        seed: Same seed, same points.

    Returns:
        All training rows once, then one synthetic row per minority label and row that has it. A
        label with one row has no neighbour and is left as it is, with a warning.

    Raises:
        LeakageError: anything but training rows.
        ShapeError, DataError: features that are not (N, F) floating point and finite.
        UsageError: codes that are not declared, classes, or unknown settings.

    Note:
        Readings: bags hold rows of the data only (Mulan adds earlier synthetic rows) and IRLbl is
        that before the first; a row is not its own neighbour; the listing in the paper draws u per
        feature, the text speaks of a line: "row" keeps to the line. Ranking needs more than half,
        as in the paper (Mulan: half). Votes that hang on unknown entries stay unknown. There is no
        way back to the true probability: calibrate on natural validation data.

    Example:
        >>> from equipoise import Labels, Split
        >>> labels = Labels.from_array([[1, 0]] * 8 + [[0, 1]] * 2, kind="multilabel")
        >>> split = Split.from_parts(range(10), [], [], n_rows=10, seed=0, method="all")
        >>> after = mlsmote(TrainingRows.of(labels, split), np.arange(10.0)[:, None])
        >>> after.values.tolist(), after.seed_rows.tolist(), after.reference_rows.tolist()
        ([[0, 1], [0, 1]], [8, 9], [9, 8])

    References:
        Charte, Rivera, del Jesus, Herrera. MLSMOTE: approaching imbalanced multilabel learning
        through synthetic instance generation. Knowledge-Based Systems 89, 2015.
    """
    fold = label_fold(train, "mlsmote")
    columns = training_columns(train, features, categorical, interpolate_codes)
    points = columns.room
    k = whole("k_neighbors", k_neighbors, 1)
    one_of("label_rule", label_rule, LABEL_RULES)
    check_gap(gap)
    none = np.empty(0, dtype=np.int64)
    parts = [Synthetic(points[:0], fold.values[:0], none, none)]
    skipped = []
    rare, mean = minority_labels(fold)
    for column in rare.tolist():
        bag = np.flatnonzero(fold.values[:, column] == 1)
        if bag.size < 2:
            skipped.append(fold.names[column])
            continue
        rng = generator(seed, "resample", "mlsmote", column)
        near = bag[nearest(points[bag], np.arange(bag.size), k)]
        chosen = near[np.arange(bag.size), rng.integers(0, near.shape[1], bag.size)]
        u = draw_gap(rng, gap, bag.size, points.shape[1])
        asked = fold.values[np.concatenate([bag[:, None], near], axis=1)]
        made = interpolate(points[bag], points[chosen], u)
        parts.append(Synthetic(made, vote(asked, label_rule), bag, chosen))
    if skipped or not rare.size:
        why = f"one row has no neighbour to join (labels {skipped})."
        without_effect("mlsmote", why if skipped else "no label has an IRLbl above MeanIR.")
    settings = {
        "k_neighbors": k,
        "label_rule": label_rule,
        "gap": gap,
        "minority": [fold.names[c] for c in rare],
        "MeanIR": mean,
        "skipped": skipped,
    }
    settings |= {"categorical": columns.codes.tolist()} if columns.codes.size else {}
    joined = Synthetic(*(np.concatenate(p) for p in zip(*parts, strict=True)))
    whole_rows = columns.complete(joined.features, joined.seeds, joined.references, seed)
    joined = joined._replace(features=whole_rows)
    return with_synthetic(train, joined, "mlsmote", settings, seed)
