"""Other training rows for one model of a table: synthetic ones by imbalanced-learn, copies, fewer.

Numbers are interpolated; categories, truths and gaps never are: between codes 1 and 2 lies no code
1.4, and rows without gaps would tell by that which class they are made for. A synthetic row has the
gaps of some row of its class.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Ints
from equipoise._core.checks import require_within
from equipoise._core.messages import one_of, say
from equipoise._core.rng import child_seed, generator
from equipoise.artifacts.labels import Labels
from equipoise.artifacts.resampled import TrainingRows
from equipoise.errors import DataError, MissingExtraError, NoEffectWarning
from equipoise.sampling.resample._build import whole
from equipoise.sampling.resample.classes import (
    class_targets,
    random_oversample,
    random_undersample,
)

Floats = NDArray[np.floating[Any]]
Blocks = Sequence[tuple[int, ...]]
Kind = Literal["smote", "borderline_smote"]


@dataclass(frozen=True)
class SyntheticRows:
    """Adds rows between those of each rare class, until it has ``ratio`` times the largest.

    Use with :func:`equipoise.remedy`, as the methods "smote" and "borderline_smote". Prefer weights
    or a threshold: synthetic rows improve no ranking in general and spoil the probabilities.

    Args:
        kind: "smote" (Chawla et al., 2002): imbalanced-learn's SMOTE where all columns are numbers,
            SMOTENC where some are categories (those of a synthetic row are the most frequent among
            the neighbours), SMOTEN where all are. "borderline_smote" (Han et al., 2005): only rows
            with half or more of their neighbours in other classes, but not all, are started from;
            a category is that of the nearer of the two rows joined.
        ratio: Smallest over largest class afterwards, in (0, 1].
        k_neighbors: Neighbours to choose from, at most one less than the rows of the class.
        m_neighbors: Of "borderline_smote": neighbours that say whether a row lies at the border.
        seed: Added to the seed of each call.

    Note:
        There is no way back to the true probability: calibrate on natural validation data.
    """

    kind: Kind = "smote"
    ratio: float = 1.0
    k_neighbors: int = 5
    m_neighbors: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        one_of("kind", self.kind, ("smote", "borderline_smote"))
        require_within("ratio", self.ratio, "(0, 1]")
        for name in ("k_neighbors", "m_neighbors"):
            whole(name, getattr(self, name), 1)
        over_sampling()

    def __call__(self, x: Floats, y: Ints, *, blocks: Blocks = (), seed: int = 0) -> Any:
        """Return the training rows and, behind them, synthetic ones.

        Args:
            x: (n, D) training rows alone; NaN for a gap.
            y: (n,) classes, or 0 and 1.
            blocks: Columns that stand for one category together: one that holds its place, or one
                for each of its values. A column of two values is one in any case.
            seed: Same seed, same rows.

        Returns:
            (m, D) rows and (m,) classes. A class of one row has no neighbour and stays as it is, as
            does one without rows at a border.

        Raises:
            DataError: an infinite number.

        Example:
            >>> x = np.array([[0.0, 0], [1, 0], [2, 1], [3, 1], [9, 2], [8, 2]])
            >>> grown, of = SyntheticRows()(x, np.array([0, 0, 0, 0, 1, 1]), blocks=[(1,)])
            >>> grown.shape, of.tolist(), sorted(set(grown[6:, 1].tolist()))
            ((8, 2), [0, 0, 0, 0, 1, 1, 1, 1], [2.0])
        """
        if np.isinf(x).any():
            do = "Leave the column out, or cap it."
            raise DataError(say("x", "be finite numbers, or gaps", "infinite ones", do))
        table = _Mixed.of(x, blocks)
        have, wanted = class_targets(y, int(y.max()) + 1, self.ratio, None)
        rows, truth = [x], [y]
        for c in np.flatnonzero((wanted > have) & (have > 1)).tolist():
            extra, own = int(wanted[c] - have[c]), child_seed(self.seed, "rows", seed, c) % 2**31
            made = table.decoded(self._one_class(table, y, c, extra, own))
            of_class = table.gap[y == c]
            made[of_class[generator(own, "gaps").integers(0, len(of_class), len(made))]] = np.nan
            rows.append(made.astype(x.dtype))
            truth.append(np.full(len(made), c, dtype=y.dtype))
        return np.concatenate(rows), np.concatenate(truth)

    def adds(self, counts: Ints) -> bool:
        """Return whether any of these classes is to have more rows than it has."""
        codes = np.repeat(np.arange(len(counts)), counts)
        have, wanted = class_targets(codes, len(counts), self.ratio, None)
        return bool(((wanted > have) & (have > 1)).any())

    def _one_class(self, table: _Mixed, y: Ints, c: int, extra: int, seed: int) -> Floats:
        over, rows = over_sampling(), np.flatnonzero(y == c)
        how: dict[str, Any] = {
            "random_state": seed, "k_neighbors": min(self.k_neighbors, rows.size - 1),
        }  # fmt: skip
        if self.kind == "borderline_smote":
            how |= {"m_neighbors": min(self.m_neighbors, y.size - 1)}
            points, kind = table.spread_out, over.BorderlineSMOTE
            grown = _grown(kind(sampling_strategy={1: rows.size + extra}, **how), points, y == c)
            return table.gathered(grown)
        points, places = table.points, table.places
        if places.size == points.shape[1]:
            # How alike two categories are is seen from all classes.
            kind = over.SMOTEN(sampling_strategy={1: rows.size + extra}, **how)
            return _grown(kind, points, y == c)
        kind = over.SMOTE
        if places.size:
            kind, how = over.SMOTENC, {**how, "categorical_features": places.tolist()}
        # imbalanced-learn wants two classes, and SMOTE looks at the rare one alone.
        both = np.concatenate([points[rows], points[rows[:1]]])
        of = np.arange(len(both)) < rows.size
        return _grown(kind(sampling_strategy={1: rows.size + extra}, **how), both, of)


def _grown(sampler: Any, points: Floats, of_class: NDArray[np.bool_]) -> Floats:
    """Return what a sampler adds to the rows of a class."""
    found, _ = sampler.fit_resample(points, of_class.astype(np.int64))
    return np.asarray(found[len(points) :], dtype=np.float64)


def over_sampling() -> Any:
    """Return imbalanced-learn's over-sampling, or say which extra brings it."""
    try:
        from imblearn import over_sampling as found
    except (ImportError, RuntimeError) as error:
        raise MissingExtraError("imbalanced-learn", "resample", "SMOTE") from error
    return found


@dataclass(frozen=True, eq=False)
class _Mixed:
    """Rows as distances need them: standardised numbers without gaps, and places of categories.

    Args:
        x: (n, D) rows.
        numbers: (M,) columns that are measured.
        middle: (M,) their medians, which stand for gaps.
        spread: (M,) their standard deviations.
        groups: Columns of each category.
        levels: What a place of each stands for, (number, columns).
        points: (n, M + K) numbers, then places.
        gap: (n, D) whether a number is missing.
    """

    x: Floats
    numbers: Ints
    middle: NDArray[np.float64]
    spread: NDArray[np.float64]
    groups: tuple[tuple[int, ...], ...]
    levels: tuple[Floats, ...]
    points: NDArray[np.float64]
    gap: NDArray[np.bool_]

    @classmethod
    def of(cls, x: Floats, blocks: Blocks) -> _Mixed:
        """Tell numbers from categories."""
        inside = {column for block in blocks for column in block}
        groups = [tuple(block) for block in blocks]
        numbers = []
        for column in (j for j in range(x.shape[1]) if j not in inside):
            known = x[:, column][~np.isnan(x[:, column])]
            if known.size and (known != known[0]).any() and np.unique(known).size > 2:
                numbers.append(column)
            else:
                groups.append((column,))
        measured = np.asarray(numbers, dtype=np.int64)
        values = x[:, measured].astype(np.float64)
        middle = np.array([np.nanmedian(column) for column in values.T])
        spread = np.array([np.nanstd(column) for column in values.T])
        spread[spread == 0] = 1.0  # rounding
        gap = np.zeros(x.shape, dtype=bool)
        gap[:, measured] = np.isnan(values)
        parts = [(np.where(np.isnan(values), middle, values) - middle) / spread]
        levels: list[Floats] = []
        for group in groups:
            # No gap equals another to NumPy.
            filled = np.nan_to_num(x[:, group], nan=-np.inf, neginf=-np.inf)
            found, place = np.unique(filled, axis=0, return_inverse=True)
            levels.append(np.where(np.isneginf(found), np.nan, found))
            parts.append(place.reshape(-1, 1).astype(np.float64))
        points = np.concatenate(parts, axis=1)
        return cls(x, measured, middle, spread, tuple(groups), tuple(levels), points, gap)

    @property
    def places(self) -> Ints:
        """Which columns of ``points`` are places."""
        return np.arange(self.numbers.size, self.points.shape[1])

    def decoded(self, points: Floats) -> NDArray[np.float64]:
        """Return numbers and places as rows of the table."""
        m = self.numbers.size
        made = np.empty((len(points), self.x.shape[1]))
        made[:, self.numbers] = points[:, :m] * self.spread + self.middle
        for k, (group, levels) in enumerate(zip(self.groups, self.levels, strict=True)):
            made[:, group] = levels[points[:, m + k].round().astype(np.int64)]
        return made

    @property
    def spread_out(self) -> NDArray[np.float64]:
        """Numbers, then a column for each place, as far apart as a number's standard deviation."""
        m = self.numbers.size
        parts = [self.points[:, :m]]
        for k in range(len(self.groups)):
            place = self.points[:, m + k].astype(np.int64)
            parts.append(np.eye(int(place.max()) + 1)[place] / np.sqrt(2.0))
        return np.concatenate(parts, axis=1)

    def gathered(self, points: Floats) -> NDArray[np.float64]:
        """Return interpolated rows of ``spread_out`` with the nearer row's places."""
        m = self.numbers.size
        parts, at = [points[:, :m]], m
        for k in range(len(self.groups)):
            width = int(self.points[:, m + k].max()) + 1
            parts.append(points[:, at : at + width].argmax(axis=1)[:, None])
            at += width
        return np.concatenate(parts, axis=1).astype(np.float64)


@dataclass(frozen=True)
class RepeatedRows:
    """Repeats rows of the rarer of two sides, or leaves out rows of the other, one label at a time.

    Args:
        kind: "random_oversample" or "random_undersample".
        ratio: Smaller over larger side afterwards, in (0, 1].
        max_repeat: Of "random_oversample": a row comes at most this often; None for no limit.
        seed: Added to the seed of each call.
    """

    kind: Literal["random_oversample", "random_undersample"]
    ratio: float = 1.0
    max_repeat: int | None = None
    seed: int = 0

    def __call__(self, x: Floats, y: Ints, *, blocks: Blocks = (), seed: int = 0) -> Any:  # noqa: ARG002
        """Return rows as :func:`random_oversample` or :func:`random_undersample` picks them."""
        labels = Labels.from_array(y, kind="multiclass")
        rows = TrainingRows(labels, np.arange(len(y)), "")
        how: dict[str, Any] = {
            "ratio": self.ratio, "seed": child_seed(self.seed, "rows", seed) % 2**31,
        }  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoEffectWarning)  # said where the method is made
            if self.kind == "random_oversample":
                made = random_oversample(rows, max_repeat=self.max_repeat, **how)
            else:
                made = random_undersample(rows, **how)
        return x[made.rows], y[made.rows]

    def weight(self, negatives: int, positives: int) -> float:
        """Return what it weighs positives by: their share of copies over that of negatives.

        Example:
            >>> RepeatedRows("random_oversample").weight(90, 10)
            9.0
            >>> RepeatedRows("random_undersample", ratio=0.5).weight(90, 10)
            4.5
        """
        if not negatives or not positives:
            return 1.0
        y = np.repeat([0, 1], [negatives, positives])
        _, kept = self(y[:, None], y)
        after = np.bincount(kept, minlength=2)
        return float(after[1] / positives * negatives / after[0])
