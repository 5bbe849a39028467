"""Sequences of different length: stored end to end, padded per batch or to one length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from equipoise._core.checks import require_least
from equipoise._core.messages import say
from equipoise._core.ragged import flat_sequences, join_sequences, require_numbers
from equipoise.artifacts import Labels
from equipoise.data._rows import Rows, pack, unpack
from equipoise.errors import DataError


class Sequences(Rows):
    """Sequences of F values per step, of different length.

    Args:
        sequences: N arrays (T_i, F), or one array or memory map (sum of T_i, F) with ``offsets``.
            float32 and float64 are kept, all else becomes float32.
        labels: One row per sequence; without them item i is (sequence, i).
        offsets: (N + 1,) integers: sequence i is rows ``offsets[i]`` to ``offsets[i + 1]``.
        pad_to: Pad each sequence with zeros behind its last step to this many steps, so that
            items of one shape come out. None leaves them as they are: hand :func:`pad_batch` to
            the loader.

    Item i is (sequence, target): (T_i, F) or (pad_to, F), and an int64 class or (L,) float32 with
    NaN where unknown.

    Attributes:
        lengths: (N,) int64, steps of each sequence without padding.

    Raises:
        ShapeError: sequences of other than two dimensions, or of different width.
        DataError: an empty sequence, values that are no numbers or not finite (not checked in
            memory maps), offsets that do not fit, or a sequence longer than ``pad_to``.

    Example:
        >>> data = Sequences([np.ones((3, 2)), np.ones((1, 2))])
        >>> data.lengths.tolist(), data[1][0].shape
        ([3, 1], torch.Size([1, 2]))
        >>> Sequences(np.ones((4, 2)), offsets=[0, 3, 4], pad_to=3)[1][0].sum(1)
        tensor([2., 0., 0.], dtype=torch.float64)
    """

    def __init__(
        self,
        sequences: Sequence[ArrayLike] | NDArray[Any],
        labels: Labels | None = None,
        *,
        offsets: ArrayLike | None = None,
        pad_to: int | None = None,
    ) -> None:
        if offsets is None:
            self.steps, self.offsets = join_sequences(sequences)
        else:
            # An array that is one already is not copied: it may be a memory map.
            given = sequences if isinstance(sequences, np.ndarray) else np.asarray(sequences)
            self.steps, self.offsets = flat_sequences(given, offsets)
        require_numbers(self.steps)
        self.lengths = np.diff(self.offsets)
        if pad_to is not None:
            self._check_pad_to(pad_to)
        self.pad_to = pad_to
        super().__init__(self.lengths.size, labels, "sequences")

    def _check_pad_to(self, pad_to: int) -> None:
        require_least("pad_to", pad_to, 1)
        longest = int(self.lengths.argmax())
        if self.lengths[longest] > pad_to:
            found = f"{self.lengths[longest]} steps in sequence {longest}"
            do = "Raise pad_to, or cut the sequences first."
            raise DataError(say("sequences", f"have at most pad_to = {pad_to} steps", found, do))

    def _input(self, index: int) -> Tensor:
        steps = self.steps[self.offsets[index] : self.offsets[index + 1]]
        dtype = np.float64 if steps.dtype == np.float64 else np.float32
        rows = len(steps) if self.pad_to is None else self.pad_to
        padded = np.zeros((rows, steps.shape[1]), dtype=dtype)
        padded[: len(steps)] = steps
        return torch.from_numpy(padded)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "steps": pack(self.steps)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, steps=unpack(state["steps"]))


def padding_mask(lengths: Tensor, steps: int | None = None) -> Tensor:
    """Return (N, T) bool: True at steps that count, False at padding behind them.

    Args:
        lengths: (N,) integers.
        steps: T; None takes the largest length.

    Example:
        >>> padding_mask(torch.tensor([1, 3])).int()
        tensor([[1, 0, 0],
                [1, 1, 1]], dtype=torch.int32)
    """
    width = int(lengths.max()) if steps is None else steps
    return torch.arange(width, device=lengths.device) < lengths[:, None]


def pad_batch(
    items: Sequence[tuple[Tensor, Tensor]], *, padding: float = 0.0
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Pad sequences to the longest of the batch; a ``collate_fn`` for a DataLoader.

    Args:
        items: Pairs of a sequence (T_i, ...) and a target, all targets of one shape.
        padding: Value behind the last step.

    Returns:
        ((sequences (N, T, ...), lengths (N,) int64), targets (N, ...)); the inner pair is what
        :class:`equipoise.models.LSTMClassifier` takes. :func:`padding_mask` makes masks of it.

    Raises:
        DataError: no items.

    Example:
        >>> data = Sequences([np.ones((3, 1)), np.ones((1, 1))])
        >>> (x, lengths), rows = pad_batch([data[0], data[1]])
        >>> x.shape, x[1].flatten().tolist(), lengths
        (torch.Size([2, 3, 1]), [1.0, 0.0, 0.0], tensor([3, 1]))
    """
    if not items:
        raise DataError(say("items", "be at least one", "none"))
    sequences = [x for x, _ in items]
    lengths = torch.tensor([len(x) for x in sequences])
    padded = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=padding)
    return (padded, lengths), torch.stack([target for _, target in items])
