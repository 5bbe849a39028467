"""Stacked small networks: where each head's columns stand, forward, backward and AdamW.

The gradient of a linear layer is two matrix products, so only losses need autograd.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import normalize, pad

from equipoise._core.rng import child_seed

COLUMNS = 64


class Layout:
    """Blocks of columns of a first layer, side by side, each for heads of one run.

    A matrix product with 64 columns costs little more than one with 4, so heads that read the same
    inputs share one. All blocks have the same shape, so how a head is computed does not depend on
    how many others there are.

    Args:
        runs: Heads per run.
        width: Columns of one head.

    Example:
        >>> layout = Layout([3, 1], width=20)
        >>> layout.blocks, layout.columns, layout.heads_of
        (2, 64, [slice(0, 3, None), slice(3, 4, None)])
    """

    def __init__(self, runs: Sequence[int], width: int) -> None:
        self.width, self.per_block = width, max(1, COLUMNS // width)
        self.columns = COLUMNS if self.per_block > 1 else width
        self.heads_of: list[slice] = []
        self.blocks_of: list[slice] = []
        self._places: list[tuple[int, int]] = []
        self.blocks = 0
        for size in runs:
            first, needed = len(self._places), -(-size // self.per_block)
            self.heads_of.append(slice(first, first + size))
            self.blocks_of.append(slice(self.blocks, self.blocks + needed))
            for head in range(size):
                block, place = divmod(head, self.per_block)
                self._places.append((self.blocks + block, place * width))
            self.blocks += needed

    def part(self, param: Tensor, head: int) -> Tensor:
        """Return the view of one head's columns, (in, width)."""
        block, start = self._places[head]
        return param[block, :, start : start + self.width]

    def to_heads(self, run: int, blocks: Tensor) -> Tensor:
        """Return (heads, B, width) of a run, from its blocks (blocks, B, columns)."""
        if self.per_block == 1:
            return blocks
        heads = self.heads_of[run]
        n, rows, _ = blocks.shape
        filled = blocks[:, :, : self.per_block * self.width]
        apart = filled.reshape(n, rows, self.per_block, self.width).transpose(1, 2)
        return apart.reshape(-1, rows, self.width)[: heads.stop - heads.start]

    def to_blocks(self, run: int, heads: Tensor) -> Tensor:
        """Return (blocks, B, columns) of a run, zeros where no head is, from (heads, B, width)."""
        if self.per_block == 1:
            return heads
        blocks = self.blocks_of[run]
        n, (size, rows, _) = blocks.stop - blocks.start, heads.shape
        full = heads.new_zeros(n * self.per_block, rows, self.width)
        full[:size] = heads
        beside = full.reshape(n, self.per_block, rows, self.width).transpose(1, 2)
        return pad(beside.reshape(n, rows, -1), (0, self.columns - self.per_block * self.width))

    def spread(self, values: Tensor) -> Tensor:
        """Return one value per head, (H,), as (blocks, 1, columns)."""
        return values[self._owner.to(values.device)]

    @cached_property
    def _owner(self) -> Tensor:
        # Columns without a head hold zeros and stay so, whatever they are multiplied by.
        owner = torch.zeros(self.blocks, 1, self.columns, dtype=torch.int64)
        for head, (block, start) in enumerate(self._places):
            owner[block, :, start : start + self.width] = head
        return owner


BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
TINY = 1e-12  # the shortest length that `normalize` divides by
HIDDEN, HEAD = ("hidden.weight", "hidden.bias"), ("head.weight", "head.bias")


class HeadNetwork:
    """H linear networks, or H with one hidden ReLU layer, with stacked weights.

    Args:
        widths: (D, C), or (D, hidden, C).
        runs: Heads per run: those of one run read the same inputs.
        dtype: Of weights and logits.
        device: Where they are.

    ``params`` holds weight and bias of each layer: the first layer in the blocks of a
    :class:`Layout`, a second one as (H, hidden, C) and (H, 1, C). All are zero at first.
    """

    has_last_bias = True

    def __init__(
        self,
        widths: Sequence[int],
        runs: Sequence[int],
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
    ) -> None:
        self.widths, self.heads = tuple(widths), sum(runs)
        self.layout = Layout(runs, widths[1])
        blocks, columns = self.layout.blocks, self.layout.columns
        shapes = [(blocks, widths[0], columns), (blocks, 1, columns)]
        self.names: tuple[str, ...] = HEAD
        if len(widths) > 2:
            shapes += [(self.heads, widths[1], widths[2]), (self.heads, 1, widths[2])]
            self.names = HIDDEN + HEAD
        if not self.has_last_bias:
            shapes, self.names = shapes[:-1], self.names[:-1]
        self.params, self.grads, self.first, self.second = (
            [torch.zeros(shape, dtype=dtype, device=device) for shape in shapes] for _ in range(4)
        )
        self.steps = 0

    def start(self, seeds: Sequence[int]) -> None:
        """Set all weights to where `nn.Linear` starts: uniform within 1 / sqrt(inputs).

        Args:
            seeds: One per head; heads of one seed start at the same point.
        """
        drawn: dict[int, list[Tensor]] = {}
        for head, seed in enumerate(seeds):
            if seed not in drawn:
                drawn[seed] = self._draw(seed)
            for part, value in zip(self.parts(self.params, head), drawn[seed], strict=False):
                part.copy_(value)

    def _draw(self, seed: int) -> list[Tensor]:
        random = torch.Generator().manual_seed(child_seed(seed, "init"))
        drawn = []
        for fan_in, fan_out in pairwise(self.widths):
            for rows in (fan_in, 1):
                uniform = torch.rand((rows, fan_out), generator=random, dtype=torch.float64)
                drawn.append((2 * uniform - 1) / math.sqrt(fan_in))
        return drawn

    def parts(self, params: Sequence[Tensor], head: int) -> list[Tensor]:
        """Return views of one head's weights (in, out) and biases (1, out)."""
        return [self.layout.part(p, head) if i < 2 else p[head] for i, p in enumerate(params)]

    def state(self, params: Sequence[Tensor], head: int) -> dict[str, NDArray[np.floating]]:
        """Return copies of :meth:`parts` by name."""
        parts = self.parts(params, head)
        return {n: p.cpu().numpy().copy() for n, p in zip(self.names, parts, strict=True)}

    def load(self, head: int, state: Mapping[str, NDArray[Any]]) -> None:
        """Set the weights of one head to what :meth:`state` returned."""
        for name, part in zip(self.names, self.parts(self.params, head), strict=True):
            part.copy_(torch.from_numpy(np.array(state[name])))

    def spread(self, values: Tensor) -> list[Tensor]:
        """Return one value per head, (H,), in a shape that goes with each of ``params``."""
        wide, tall = self.layout.spread(values), values[:, None, None]
        return [wide if i < 2 else tall for i in range(len(self.params))]

    def keep(self, kept: Sequence[Tensor], heads: Tensor) -> None:
        """Copy the present weights of some heads, (H,) bool, into ``kept``."""
        for old, now, mask in zip(kept, self.params, self.spread(heads), strict=True):
            torch.where(mask, now, old, out=old)

    def forward(self, x: Tensor, run: int, params: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Return the output of each layer, hidden ones after ReLU, (h, B, width).

        Args:
            x: (B, D), shared by the heads of a run.
            run: Which run.
            params: Other weights than the present ones.
        """
        own = self._own(run, params)
        first = torch.bmm(x.expand(own[0].shape[0], *x.shape), own[0]).add_(own[1])
        if len(own) == 2:
            return [self.layout.to_heads(run, first)]
        out = self.layout.to_heads(run, first.relu_())
        return [out, torch.bmm(out, own[2]).add_(own[3])]

    def _own(self, run: int, params: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Return the weights of a run: blocks of the first layer, heads of the second."""
        heads, blocks = self.layout.heads_of[run], self.layout.blocks_of[run]
        given = self.params if params is None else params
        return [p[blocks if i < 2 else heads] for i, p in enumerate(given)]

    def backward(self, x: Tensor, run: int, outputs: Sequence[Tensor], slope: Tensor) -> None:
        """Write the gradients of a run's weights to ``grads``.

        Args:
            x: (B, D), as in :meth:`forward`.
            run: The same run.
            outputs: What :meth:`forward` returned.
            slope: Gradient of each head's loss with respect to its logits, (h, B, C).
        """
        own, grads = self._own(run), self._own(run, self.grads)
        if len(outputs) > 1:
            torch.bmm(outputs[0].transpose(1, 2), slope, out=grads[2])
            torch.sum(slope, 1, keepdim=True, out=grads[3])
            slope = torch.bmm(slope, own[2].transpose(1, 2)) * (outputs[0] > 0)
        self._first_layer(x, run, slope, grads)

    def _first_layer(self, x: Tensor, run: int, slope: Tensor, grads: Sequence[Tensor]) -> None:
        slope = self.layout.to_blocks(run, slope)
        torch.bmm(x.T.expand(slope.shape[0], *x.T.shape), slope, out=grads[0])
        torch.sum(slope, 1, keepdim=True, out=grads[1])

    def step(self, lr: Sequence[Tensor], weight_decay: Sequence[Tensor]) -> None:
        """One AdamW step on all heads (Loshchilov and Hutter 2019, algorithm 2).

        Args:
            lr: The learning rates of this step, float64, as :meth:`spread` returns them.
            weight_decay: In the same form.
        """
        self.steps += 1
        correct1, correct2 = 1 - BETA1**self.steps, 1 - BETA2**self.steps
        tensors = zip(self.params, self.grads, self.first, self.second, strict=True)
        for (p, g, m, v), rate, decay in zip(tensors, lr, weight_decay, strict=True):
            # p - rate / correct1 * m / (sqrt(v / correct2) + eps), with the rate in the divisor.
            scale = correct1 / rate
            m.lerp_(g, 1 - BETA1)
            v.mul_(BETA2).addcmul_(g, g, value=1 - BETA2)
            floor, factor = (scale * EPS).to(p.dtype), (scale / math.sqrt(correct2)).to(p.dtype)
            divisor = torch.addcmul(floor, v.sqrt(), factor)
            p.mul_((1 - rate * decay).to(p.dtype)).addcdiv_(m, divisor, value=-1)


class CosineNetwork(HeadNetwork):
    """The same networks with cosines as outputs: of the last layer's inputs and its weights.

    ``params`` holds no bias of the last layer; all else starts where it does with a linear one.
    """

    has_last_bias = False

    def forward(self, x: Tensor, run: int, params: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Return the output of each layer; see :meth:`HeadNetwork.forward`."""
        own = self._own(run, params)
        inputs = x.expand(own[0].shape[0], *x.shape)
        if len(own) == 1:
            cosines = torch.bmm(normalize(inputs, dim=2), normalize(own[0], dim=1))
            return [self.layout.to_heads(run, cosines)]
        first = torch.bmm(inputs, own[0]).add_(own[1]).relu_()
        out = self.layout.to_heads(run, first)
        return [out, torch.bmm(normalize(out, dim=2), normalize(own[2], dim=1))]

    def backward(self, x: Tensor, run: int, outputs: Sequence[Tensor], slope: Tensor) -> None:
        """Write the gradients of a run's weights; see :meth:`HeadNetwork.backward`."""
        own, grads = self._own(run), self._own(run, self.grads)
        weight, is_last = own[-1], len(outputs) == 1
        if is_last:
            slope = self.layout.to_blocks(run, slope)
        inputs = x.expand(slope.shape[0], *x.shape) if is_last else outputs[0]
        rows, columns = normalize(inputs, dim=2), normalize(weight, dim=1)
        turned = torch.bmm(rows.transpose(1, 2), slope)
        grads[-1].copy_(_undo_length(turned, weight, columns, 1))
        if not is_last:
            slope = _undo_length(torch.bmm(slope, columns.transpose(1, 2)), inputs, rows, 2)
            self._first_layer(x, run, slope * (inputs > 0), grads)


def make_network(head: str, *arguments: Any) -> HeadNetwork:
    """Return the network that a remedy's ``head`` asks for."""
    return (CosineNetwork if head == "cosine" else HeadNetwork)(*arguments)


def _undo_length(slope: Tensor, vector: Tensor, unit: Tensor, dim: int) -> Tensor:
    """Return the gradient with respect to a vector, given that with respect to its direction."""
    along = (slope * unit).sum(dim, keepdim=True)
    length: Tensor = vector_norm(vector, dim=dim, keepdim=True).clamp_min(TINY)
    return (slope - along * unit) / length
