"""Stacked small networks: forward, backward and AdamW for many heads at once.

The gradient of a linear layer is two matrix products, so only losses need autograd.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import normalize, pad

from equipoise._core.rng import child_seed

__all__ = ["CosineNetwork", "HeadNetwork", "product"]

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
TINY = 1e-12  # the shortest length that `normalize` divides by


class HeadNetwork:
    """H linear networks, or H with one hidden ReLU layer, with stacked weights.

    Args:
        widths: (D, C), or (D, hidden, C).
        seeds: One per head; heads of one seed start at the same point, as `nn.Linear` does:
            uniform within 1 / sqrt(inputs).
        dtype: Of weights and logits.

    ``params`` holds weight (H, in, out) and bias (H, 1, out) of each layer.
    """

    def __init__(self, widths: Sequence[int], seeds: Sequence[int], dtype: torch.dtype) -> None:
        layers: list[list[Tensor]] = [[] for _ in range(2 * (len(widths) - 1))]
        for seed in seeds:
            random = torch.Generator().manual_seed(child_seed(seed, "init"))
            for depth, (fan_in, fan_out) in enumerate(pairwise(widths)):
                bound = 1 / math.sqrt(fan_in)
                for offset, shape in enumerate(((fan_in, fan_out), (1, fan_out))):
                    uniform = torch.rand(shape, generator=random, dtype=torch.float64)
                    layers[2 * depth + offset].append(((2 * uniform - 1) * bound).to(dtype))
        self.params = [torch.stack(layer) for layer in layers]
        self.first = [torch.zeros_like(p) for p in self.params]
        self.second = [torch.zeros_like(p) for p in self.params]
        self.steps = 0

    def forward(
        self, x: Tensor, heads: slice, params: Sequence[Tensor] | None = None
    ) -> list[Tensor]:
        """Return the output of each layer, hidden ones after ReLU, for rows (B, D) of some heads.

        Args:
            x: (B, D), shared by the heads.
            heads: A run of heads.
            params: Other weights than the present ones.
        """
        own = [p[heads] for p in (self.params if params is None else params)]
        out = [product(x.expand(own[0].shape[0], *x.shape), own[0]).add_(own[1])]
        if len(own) > 2:
            out[0].relu_()
            out.append(product(out[0], own[2]).add_(own[3]))
        return out

    def backward(
        self, x: Tensor, heads: slice, outputs: Sequence[Tensor], slope: Tensor
    ) -> list[Tensor]:
        """Return the gradients of the weights of some heads, in the order of ``params``.

        Args:
            x: (B, D), as in :meth:`forward`.
            heads: The same run of heads.
            outputs: What :meth:`forward` returned.
            slope: Gradient of each head's loss with respect to its logits, (h, B, C).
        """
        later: list[Tensor] = []
        if len(outputs) > 1:
            later = [product(outputs[0].transpose(1, 2), slope), slope.sum(1, keepdim=True)]
            slope = product(slope, self.params[2][heads].transpose(1, 2)) * (outputs[0] > 0)
        turned = x.T.expand(slope.shape[0], *x.T.shape)
        return [product(turned, slope), slope.sum(1, keepdim=True), *later]

    def step(self, grads: Sequence[Tensor], *, lr: float, weight_decay: float) -> None:
        """One AdamW step on all heads (Loshchilov and Hutter 2019, algorithm 2)."""
        self.steps += 1
        correct1, correct2 = 1 - BETA1**self.steps, 1 - BETA2**self.steps
        for p, g, m, v in zip(self.params, grads, self.first, self.second, strict=True):
            p.mul_(1 - lr * weight_decay)
            m.lerp_(g, 1 - BETA1)
            v.mul_(BETA2).addcmul_(g, g, value=1 - BETA2)
            p.addcdiv_(m, (v / correct2).sqrt_().add_(EPS), value=-lr / correct1)


class CosineNetwork(HeadNetwork):
    """The same networks with cosines as outputs: of the last layer's inputs and its weights.

    ``params`` holds no bias of the last layer; all else starts where it does with a linear one.
    """

    def __init__(self, widths: Sequence[int], seeds: Sequence[int], dtype: torch.dtype) -> None:
        super().__init__(widths, seeds, dtype)
        for tensors in (self.params, self.first, self.second):
            del tensors[-1]

    def forward(
        self, x: Tensor, heads: slice, params: Sequence[Tensor] | None = None
    ) -> list[Tensor]:
        """Return the output of each layer; see :meth:`HeadNetwork.forward`."""
        own = [p[heads] for p in (self.params if params is None else params)]
        out: list[Tensor] = []
        inputs = x.expand(own[0].shape[0], *x.shape)
        if len(own) > 1:
            out.append(product(inputs, own[0]).add_(own[1]).relu_())
            inputs = out[0]
        out.append(product(normalize(inputs, dim=2), normalize(own[-1], dim=1)))
        return out

    def backward(
        self, x: Tensor, heads: slice, outputs: Sequence[Tensor], slope: Tensor
    ) -> list[Tensor]:
        """Return the gradients of the weights; see :meth:`HeadNetwork.backward`."""
        weight = self.params[-1][heads]
        inputs = outputs[0] if len(outputs) > 1 else x.expand(slope.shape[0], *x.shape)
        rows, columns = normalize(inputs, dim=2), normalize(weight, dim=1)
        last = _undo_length(product(rows.transpose(1, 2), slope), weight, columns, 1)
        if len(outputs) == 1:
            return [last]
        slope = _undo_length(product(slope, columns.transpose(1, 2)), inputs, rows, 2)
        slope = slope * (inputs > 0)
        turned = x.T.expand(slope.shape[0], *x.T.shape)
        return [product(turned, slope), slope.sum(1, keepdim=True), last]


def _undo_length(slope: Tensor, vector: Tensor, unit: Tensor, dim: int) -> Tensor:
    """Return the gradient with respect to a vector, given that with respect to its direction."""
    along = (slope * unit).sum(dim, keepdim=True)
    length: Tensor = vector_norm(vector, dim=dim, keepdim=True).clamp_min(TINY)
    return (slope - along * unit) / length


def product(left: Tensor, right: Tensor) -> Tensor:
    """Return the batched matrix product; a slice does not depend on how many there are.

    With a dimension of 1, BLAS takes another way (and rounds otherwise) for one slice than for
    many, so such matrices are widened by zeros.
    """
    (n, k), m = left.shape[1:], right.shape[2]
    if min(n, k, m) > 1:
        return torch.bmm(left, right)
    left = pad(left, (0, int(k == 1), 0, int(n == 1)))
    right = pad(right, (0, int(m == 1), 0, int(k == 1)))
    return torch.bmm(left, right)[:, :n, :m]
