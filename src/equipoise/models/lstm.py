"""An LSTM classifier for padded batches of sequences."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from equipoise._core.messages import say
from equipoise.errors import DataError, ShapeError, UsageError
from equipoise.models.head import Head, make_head, require_dropout, require_sizes

Padded = Tensor | tuple[Tensor, Tensor] | list[Tensor]


class LSTMClassifier(nn.Module):
    """An LSTM whose last hidden state goes into a linear or cosine head.

    Use for sequences of different length. They are packed, so neither the length of the padding
    nor what stands in it (NaN included) changes the result.

    Args:
        in_features: Values per time step.
        num_classes: Outputs: classes or labels.
        hidden: Width of the hidden state, per direction.
        num_layers: Layers on top of one another.
        bidirectional: Whether a second LSTM reads from the end; the head sees both last states.
        dropout: Share dropped between layers and before the head in training, in [0, 1).
        head: "linear", or "cosine" for a :class:`CosineHead`.
        scale: Factor on the cosines.

    Parameters per direction: 4 h (d + h + 2) in the first layer, with d inputs and h hidden units;
    135,063 for 128 features, 128 hidden units and 23 outputs in one layer.

    Raises:
        UsageError: a size below 1, or ``dropout`` outside [0, 1).

    Example:
        >>> net = LSTMClassifier(128, 23).eval()
        >>> x, lengths = torch.zeros(2, 7, 128), torch.tensor([7, 3])
        >>> net(x, lengths).shape, sum(p.numel() for p in net.parameters())
        (torch.Size([2, 23]), 135063)
        >>> torch.equal(net(x, lengths), net((x, lengths)))
        True
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        hidden: int = 128,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        head: Head = "linear",
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        sizes = {"in_features": in_features, "num_classes": num_classes}
        require_sizes({**sizes, "hidden": hidden, "num_layers": num_layers})
        drop = require_dropout(dropout)
        self.lstm = nn.LSTM(
            in_features,
            hidden,
            num_layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=drop if num_layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout(drop)
        self.directions = 2 if bidirectional else 1
        self.head = make_head(hidden * self.directions, num_classes, head=head, scale=scale)

    def forward(
        self, x: Padded, lengths: Tensor | None = None, *, mask: Tensor | None = None
    ) -> Tensor:
        """Return logits (N, num_classes) of padded sequences.

        Args:
            x: (N, T, in_features) floating, or a pair of it with its lengths or its mask, as a
                loader yields it.
            lengths: (N,) integers in 1 to T: steps that count, padding after them. None with no
                mask: all of them count.
            mask: (N, T) bool, True at steps that count; padding may stand anywhere.

        Raises:
            ShapeError: shapes that do not fit one another.
            DataError: a sequence without any step, or one longer than the padded batch.
            UsageError: both ``lengths`` and ``mask``, or neither of a fitting dtype.
        """
        x, lengths, mask = _parts(x, lengths, mask)
        if x.ndim != 3 or x.shape[2] != self.lstm.input_size:
            expected = f"have shape (N, T, {self.lstm.input_size})"
            raise ShapeError(say("x", expected, tuple(x.shape), "One row per time step."))
        if mask is not None:
            x, lengths = _to_front(x, mask)
        if lengths is None:
            states = self.lstm(x)[1][0]
        else:
            steps = _checked(lengths, x).cpu()
            packed = pack_padded_sequence(x, steps, batch_first=True, enforce_sorted=False)
            states = self.lstm(packed)[1][0]
        last = torch.cat(list(states[-self.directions :]), dim=-1)
        logits: Tensor = self.head(self.dropout(last))
        return logits


def _parts(
    x: Padded, lengths: Tensor | None, mask: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Take a pair apart; the second of it is a mask if it is bool."""
    if not isinstance(x, Tensor):
        if len(x) != 2 or lengths is not None or mask is not None:
            do = "Its lengths or mask come with it or beside it, once."
            raise UsageError(say("x", "be a tensor or a pair", f"{len(x)} parts", do))
        x, second = x
        lengths, mask = (None, second) if second.dtype == torch.bool else (second, None)
    if lengths is not None and mask is not None:
        raise UsageError(say("lengths", "be left out where there is a mask", "both"))
    if mask is not None and mask.dtype != torch.bool:
        raise UsageError(say("mask", "be bool, True at steps that count", mask.dtype))
    if lengths is not None and (lengths.is_floating_point() or lengths.dtype == torch.bool):
        do = "Hand a bool mask over as mask=."
        raise UsageError(say("lengths", "be integers", lengths.dtype, do))
    return x, lengths, mask


def _to_front(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Move the steps that count to the front, in their order; return them and their number."""
    if mask.shape != x.shape[:2]:
        raise ShapeError(say("mask", f"have shape {tuple(x.shape[:2])}", tuple(mask.shape)))
    order = mask.to(torch.int8).argsort(dim=1, descending=True, stable=True)
    return x.gather(1, order[:, :, None].expand_as(x)), mask.sum(dim=1)


def _checked(lengths: Tensor, x: Tensor) -> Tensor:
    rows, steps = x.shape[:2]
    if lengths.shape != (rows,):
        raise ShapeError(say("lengths", f"have shape ({rows},)", tuple(lengths.shape)))
    bad = ((lengths < 1) | (lengths > steps)).nonzero()
    if bad.numel():
        row = int(bad[0, 0])
        got = f"{int(lengths[row])} in row {row}"
        raise DataError(say("lengths", f"lie in 1 to {steps}", got, "Leave empty sequences out."))
    return lengths
