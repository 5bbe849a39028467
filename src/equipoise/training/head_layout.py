"""Where each head's columns stand in the first layer of a stack: side by side in equal blocks.

A matrix product with 64 columns costs little more than one with 4, so heads that read the same
inputs share one. All blocks have the same shape, so how a head is computed does not depend on how
many others there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import pad

COLUMNS = 64


class Layout:
    """Blocks of columns, each for heads of one run.

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
