"""Training rows and what resampling makes of them; neither can be split again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.arrays import Ints
from equipoise._core.checks import require_shape
from equipoise._core.fingerprint import fingerprint_array
from equipoise._core.messages import say
from equipoise.artifacts.labels import Labels
from equipoise.artifacts.split import Split
from equipoise.errors import DataError, LeakageError


@dataclass(frozen=True, slots=True, eq=False)
class ResampledLabels(Labels):
    """Labels of resampled rows, to count and to train on; splits refuse them.

    Copies share the group of their row (the row's position where there were no groups), so even
    labels that were written and read again keep copies together when they are split.
    """

    def __getitem__(self, rows: ArrayLike | slice) -> ResampledLabels:
        """Return the labels of some rows; they stay resampled."""
        picked = Labels.__getitem__(self, rows)
        return ResampledLabels(
            picked.stored, self.kind, self.names, None, picked.groups, picked.weights
        )


def refuse_resampled(name: str, labels: object) -> None:
    """Raise if ``labels`` were resampled: their copies would reach val and test."""
    if isinstance(labels, Resampled | ResampledLabels):
        raise LeakageError(
            say(
                name,
                "be the labels as they were collected",
                f"resampled ones ({type(labels).__name__}, {len(labels)} rows)",
                "Split first, then resample TrainingRows.of(labels, split).",
            )
        )


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRows:
    """The training part of a split: all that a resampler may see and change.

    Args:
        labels: Labels of the whole data; positions count in these.
        rows: (N,) int64 positions of the training part.
        split_fingerprint: Names the split they come from.

    Raises:
        LeakageError: labels that were resampled before.
        DataError: no rows, or rows outside the labels.

    Example:
        >>> labels = Labels.from_array([0, 0, 1, 0], kind="multiclass")
        >>> split = Split.from_parts([0, 2], [1], [3], n_rows=4, seed=0, method="by hand")
        >>> train = TrainingRows.of(labels, split)
        >>> train.rows.tolist(), train.fold.counts.tolist()
        ([0, 2], [1, 1])
    """

    labels: Labels
    rows: Ints
    split_fingerprint: str

    @classmethod
    def of(cls, labels: Labels, split: Split) -> TrainingRows:
        """Take the training part of ``split``, which must be a split of these labels."""
        refuse_resampled("labels", labels)
        if split.n_rows != len(labels):
            do = "Give the labels of the whole data, not of one part."
            raise DataError(say("split", f"be of the {len(labels)} rows", split.n_rows, do))
        return cls(labels, split.train, split.fingerprint)

    def __post_init__(self) -> None:
        refuse_resampled("labels", self.labels)
        if self.rows.size == 0:
            raise DataError(say("split", "have rows to train on", "none", "Raise its fraction."))
        if self.rows.min() < 0 or self.rows.max() >= len(self.labels):
            expected = f"be positions in [0, {len(self.labels)})"
            raise DataError(say("rows", expected, f"{self.rows.min()} to {self.rows.max()}"))
        if np.unique(self.rows).size < self.rows.size:
            raise LeakageError(say("rows", "hold each row once", "rows more than once"))

    def __len__(self) -> int:
        return int(self.rows.size)

    @property
    def fold(self) -> Labels:
        """Labels of the training rows alone, in the order of ``rows``."""
        return self.labels[self.rows]

    @property
    def fingerprint(self) -> str:
        """16 hex digits that name the rows and their labels."""
        return fingerprint_array(self.rows, self.labels.values[self.rows])


@dataclass(frozen=True, slots=True, eq=False)
class Resampled:
    """What a resampler made of the training rows: rows of the data, then synthetic rows.

    There are M rows of the data (a row of them may come several times) and S synthetic ones, each
    on the way from a seed row to a reference row. It has no rows to index and is no `Labels`, so
    it cannot be split; splits refuse it with `LeakageError`.

    Args:
        rows: (M,) int64 positions in the whole data, training rows only.
        copies: (M,) int64: 0 for the first time a row comes, 1, 2, ... for its further copies.
        labels: Labels of all M + S rows, the synthetic ones last.
        method: Name of the resampler.
        settings: What it was called with, and what it found out.
        seed: The seed it was called with.
        fingerprint: Names the training rows and their labels before resampling.
        features: (S, F) features of the synthetic rows, or None where there are none.
        seed_rows: (S,) int64 positions of the rows that synthetic rows start from.
        reference_rows: (S,) int64 positions of the neighbours that they move towards.

    Raises:
        ShapeError: arrays whose lengths do not belong together.

    Example:
        >>> labels = ResampledLabels(np.array([0, 1, 1]), "multiclass", ("no", "yes"))
        >>> after = Resampled(np.array([4, 7, 7]), np.array([0, 0, 1]), labels, "x", {}, 0, "")
        >>> len(after), after.n_synthetic, after.labels.counts.tolist()
        (3, 0, [1, 2])
    """

    rows: Ints
    copies: Ints
    labels: ResampledLabels
    method: str
    settings: Mapping[str, Any]
    seed: int
    fingerprint: str
    features: NDArray[Any] | None = None
    seed_rows: Ints | None = None
    reference_rows: Ints | None = None

    def __post_init__(self) -> None:
        m, s = self.rows.size, self.n_synthetic
        why = "It is made by a resampler, not by hand."
        require_shape("copies", self.copies, (m,), why)
        require_shape("labels", self.labels.values, (m + s, *self.labels.values.shape[1:]), why)
        for name in ("seed_rows", "reference_rows"):
            value = getattr(self, name)
            require_shape(name, np.empty(0) if value is None else value, (s,), why)

    def __len__(self) -> int:
        return int(self.rows.size) + self.n_synthetic

    @property
    def n_synthetic(self) -> int:
        """Number of synthetic rows, S."""
        return 0 if self.features is None else int(self.features.shape[0])

    @property
    def values(self) -> NDArray[Any]:
        """(S,) classes or (S, L) labels of the synthetic rows."""
        return np.asarray(self.labels.values[self.rows.size :])

    def take(self, features: ArrayLike) -> NDArray[Any]:
        """Return (M + S, ...) features of all rows, given those of the whole data.

        Use to train on arrays. Prefer :class:`equipoise.data.CopiesDataset` where copies are to be
        augmented, each in its own way.
        """
        array = features if isinstance(features, np.ndarray) else np.asarray(features)
        rows = array[self.rows]
        return rows if self.features is None else np.concatenate([rows, self.features])
