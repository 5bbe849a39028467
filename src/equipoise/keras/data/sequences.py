"""Sequences of different length for Keras: padded per batch, with masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import require_least
from equipoise._core.messages import say
from equipoise._core.ragged import flat_sequences, join_sequences, require_numbers
from equipoise.errors import DataError


class RaggedSequences:
    """Sequences of F values per step, of different length, that give padded batches with masks.

    Use as inputs of :class:`equipoise.keras.RowBatches`. Prefer one padded array where all lengths
    are about the same.

    Args:
        sequences: N arrays (T_i, F), or one array or memory map (sum of T_i, F) with ``offsets``.
        offsets: (N + 1,) integers: sequence i is rows ``offsets[i]`` to ``offsets[i + 1]``.
        padding: Value behind the last step. A ``keras.layers.Masking`` with the same ``mask_value``
            hides steps that hold nothing else, so choose a value that no step consists of.
        pad_to: Steps of every batch; None takes the longest of the batch.
        multiple_of: Round the steps of a batch up to a multiple: fewer shapes to compile for.
        with_mask: Whether :meth:`batch` returns a mask beside the steps, as a second input of the
            model.

    Raises:
        ShapeError: sequences of other than two dimensions, or of different width.
        DataError: an empty sequence, values that are no finite numbers (not checked in memory
            maps), offsets that do not fit, or a sequence longer than ``pad_to``.

    Example:
        >>> data = RaggedSequences([np.ones((3, 1)), np.ones((1, 1))], with_mask=True)
        >>> steps, mask = data.batch([0, 1])
        >>> steps[..., 0].tolist(), mask.tolist()
        ([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]], [[True, True, True], [True, False, False]])
    """

    def __init__(
        self,
        sequences: Sequence[ArrayLike] | NDArray[Any],
        *,
        offsets: ArrayLike | None = None,
        padding: float = 0.0,
        pad_to: int | None = None,
        multiple_of: int = 1,
        with_mask: bool = False,
    ) -> None:
        if offsets is None:
            self.steps, self.offsets = join_sequences(sequences)
        else:
            self.steps, self.offsets = flat_sequences(np.asarray(sequences), offsets)
        require_numbers(self.steps)
        self.lengths = np.diff(self.offsets)
        if pad_to is not None and self.lengths.max() > pad_to:
            found = f"{self.lengths.max()} steps in sequence {int(self.lengths.argmax())}"
            do = "Raise pad_to, or cut the sequences first."
            raise DataError(say("sequences", f"have at most pad_to = {pad_to} steps", found, do))
        require_least("multiple_of", multiple_of, 1)
        self.padding, self.pad_to = float(padding), pad_to
        self.multiple_of, self.with_mask = int(multiple_of), bool(with_mask)

    def __len__(self) -> int:
        return int(self.lengths.size)

    def mean(self) -> NDArray[np.float32]:
        """Return the mean over the steps of each sequence, (N, F): features of a baseline."""
        total = np.add.reduceat(self.steps, self.offsets[:-1], axis=0, dtype=np.float64)
        return np.asarray(total / self.lengths[:, None], dtype=np.float32)

    def batch(self, rows: ArrayLike) -> Any:
        """Return some sequences as (B, T, F) float32; with a mask (B, T) bool where asked for."""
        index = np.asarray(rows, dtype=np.int64)
        lengths = self.lengths[index]
        steps = int(lengths.max(initial=1)) if self.pad_to is None else self.pad_to
        steps = -(-steps // self.multiple_of) * self.multiple_of
        mask = np.arange(steps) < lengths[:, None]
        padded = np.full((index.size, steps, self.steps.shape[1]), self.padding, np.float32)
        for place, row in enumerate(index):
            padded[place, : lengths[place]] = self.steps[self.offsets[row] : self.offsets[row + 1]]
        return (padded, mask) if self.with_mask else padded
