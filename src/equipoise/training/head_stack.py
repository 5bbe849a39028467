"""Heads with equally many training rows as one batched tensor program.

One stacked weight tensor, each slice its own loss. Heads of one seed that share a sampler share
mini-batches; seeds never do. Each slice ends exactly where it would end if it were trained alone
with the same batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from equipoise._core.checks import say
from equipoise._core.rng import child_seed, generator
from equipoise.artifacts import Labels
from equipoise.errors import TrainingError
from equipoise.training.remedy import Remedy
from equipoise.training.selection import selection_metric
from equipoise.training.targets import to_target

__all__ = ["HeadJob", "HeadSettings", "Stack", "StackOutcome"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class HeadSettings:
    """What all heads of one call share.

    Args:
        hidden: Width of one hidden layer, or 0 for a linear head.
        epochs: Passes over the training rows.
        batch_size: Rows per mini-batch.
        lr: AdamW learning rate at the start; it falls to 0 along a half cosine.
        weight_decay: Decoupled weight decay.
        dtype: "float32" or "float64".
    """

    hidden: int = 0
    epochs: int = 30
    batch_size: int = 128
    lr: float = 1e-3
    weight_decay: float = 1e-4
    dtype: str = "float32"


@dataclass(frozen=True, slots=True, eq=False)
class HeadJob:
    """One head to train: a remedy, a seed and that seed's rows.

    Args:
        remedy: Its loss and sampler refer to the rows of ``train`` in this order.
        seed: Decides initialisation and order; heads of one seed share both.
        train: Positions to train on.
        val: Positions that choose the epoch.
        config: All that decides the outcome, as it names the trial; empty for the facts known here.
    """

    remedy: Remedy
    seed: int
    train: NDArray[np.int64]
    val: NDArray[np.int64]
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class StackOutcome:
    """One trained head: its place in the stack, history, logits and best weights."""

    head: int
    history: list[dict[str, Any]]
    val_logits: NDArray[Any]
    test_logits: NDArray[Any]
    state: dict[str, NDArray[np.floating]]


class Stack:
    """Heads with equally many training rows, as one batched tensor program."""

    def __init__(
        self,
        features: NDArray[np.floating],
        labels: Labels,
        jobs: Sequence[HeadJob],
        settings: HeadSettings,
    ) -> None:
        self.jobs, self.settings, self.labels = jobs, settings, labels
        self.dtype = torch.float64 if settings.dtype == "float64" else torch.float32
        self.x = torch.as_tensor(np.ascontiguousarray(features), dtype=self.dtype)
        self.y = to_target(labels, self.dtype)
        self.mean, self.std = self._standardise()
        self.params = self._initial()
        self.first = [torch.zeros_like(p) for p in self.params]
        self.second = [torch.zeros_like(p) for p in self.params]
        self.steps = 0
        self.losses = _shared_losses([job.remedy.loss for job in jobs])
        self.samplers = [
            None if j.remedy.sampler is None else j.remedy.sampler(seed=child_seed(j.seed, "order"))
            for j in jobs
        ]
        self.drawn = [np.zeros(job.train.size, dtype=np.int64) for job in jobs]

    def _standardise(self) -> tuple[Tensor, Tensor]:
        """Return mean and scale per head, (H, 1, D), from its own training rows."""
        by_seed: dict[bytes, tuple[Tensor, Tensor]] = {}
        rows = []
        for job in self.jobs:
            key = job.train.tobytes()
            if key not in by_seed:
                part = self.x[torch.from_numpy(job.train)]
                std = part.std(dim=0, correction=0)
                by_seed[key] = part.mean(dim=0), torch.where(std > 1e-8, std, torch.ones_like(std))
            rows.append(by_seed[key])
        means, stds = zip(*rows, strict=True)
        return torch.stack(means)[:, None], torch.stack(stds)[:, None]

    def _initial(self) -> list[Tensor]:
        """Return stacked weights and biases; heads of one seed start at the same point."""
        widths = [self.x.shape[1], self.labels.num_classes]
        if self.settings.hidden:
            widths.insert(1, self.settings.hidden)
        layers: list[list[Tensor]] = [[] for _ in range(2 * (len(widths) - 1))]
        for job in self.jobs:
            random = torch.Generator().manual_seed(child_seed(job.seed, "init"))
            for depth, (fan_in, fan_out) in enumerate(pairwise(widths)):
                bound = 1 / math.sqrt(fan_in)
                for offset, shape in enumerate(((fan_in, fan_out), (1, fan_out))):
                    uniform = torch.rand(shape, generator=random, dtype=torch.float64)
                    layers[2 * depth + offset].append(((2 * uniform - 1) * bound).to(self.dtype))
        return [torch.stack(layer).requires_grad_(True) for layer in layers]

    def _forward(self, x: Tensor) -> Tensor:
        """Return logits (H, B, C) of inputs (H, B, D)."""
        z = torch.baddbmm(self.params[1], x, self.params[0])
        if self.settings.hidden:
            z = torch.baddbmm(self.params[3], torch.relu(z), self.params[2])
        return z

    def _orders(self, epoch: int) -> tuple[list[NDArray[np.int64]], list[int]]:
        """Return the distinct orders of an epoch as row positions, and which one each head has."""
        orders: list[NDArray[np.int64]] = []
        index: dict[Any, int] = {}
        head_order = []
        for number, (job, sampler) in enumerate(zip(self.jobs, self.samplers, strict=True)):
            if sampler is None:
                key: Any = ("shuffle", job.seed, job.train.tobytes())
            else:
                key = ("sampler", number)
            if key not in index:
                index[key] = len(orders)
                if sampler is None:
                    random = generator(job.seed, "order", epoch)
                    orders.append(random.permutation(job.train.size).astype(np.int64))
                else:
                    sampler.set_epoch(epoch)
                    orders.append(np.fromiter(iter(sampler), dtype=np.int64))
            within = orders[index[key]]
            self.drawn[number] += np.bincount(within, minlength=job.train.size)
            head_order.append(index[key])
        return orders, head_order

    def _epoch(self, epoch: int, tick: Callable[[], None]) -> Tensor:
        """Train one epoch and return the mean loss per head, (H,)."""
        orders, head_order = self._orders(epoch)
        lengths = {order.size for order in orders}
        if len(lengths) > 1:
            raise TrainingError(say("samplers", "draw equally many rows", sorted(lengths)))
        rows = torch.stack(
            [
                torch.from_numpy(job.train[orders[o]])
                for job, o in zip(self.jobs, head_order, strict=True)
            ]
        )
        total, n = torch.zeros(len(self.jobs), dtype=torch.float64), rows.shape[1]
        for start in range(0, n, self.settings.batch_size):
            batch = rows[:, start : start + self.settings.batch_size]
            x = (self.x[batch] - self.mean) / self.std
            value = self._losses_of(self._forward(x), self.y[batch])
            grads = torch.autograd.grad(value.sum(), self.params)
            self._adamw(grads)
            total += value.detach().double() * batch.shape[1] / n
            tick()
        bad = torch.isnan(total)
        if bad.any():
            job = self.jobs[int(bad.nonzero()[0])]
            raise TrainingError(
                f"The loss of '{job.remedy.name}' (seed {job.seed}) became NaN in epoch {epoch}. "
                "Lower the learning rate, or check the weights of rare labels."
            )
        return total

    def _losses_of(self, logits: Tensor, target: Tensor) -> Tensor:
        out: list[Tensor] = [logits.new_zeros(())] * len(self.jobs)
        for loss, heads in self.losses:
            values = loss(logits[heads], target[heads])
            for position, head in enumerate(heads):
                out[head] = values[position]
        return torch.stack(out)

    def _adamw(self, grads: Sequence[Tensor]) -> None:
        """One AdamW step on the stacks (Loshchilov and Hutter 2019, algorithm 2)."""
        self.steps += 1
        total = self.total_steps
        rate = self.settings.lr * 0.5 * (1 + math.cos(math.pi * (self.steps - 1) / total))
        correct1, correct2 = 1 - 0.9**self.steps, 1 - 0.999**self.steps
        with torch.no_grad():
            for p, g, m, v in zip(self.params, grads, self.first, self.second, strict=True):
                p.mul_(1 - rate * self.settings.weight_decay)
                m.lerp_(g, 0.1)
                v.mul_(0.999).addcmul_(g, g, value=0.001)
                p.addcdiv_(m, (v / correct2).sqrt_().add_(1e-8), value=-rate / correct1)

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        per_epoch = math.ceil(self.jobs[0].train.size / self.settings.batch_size)
        return per_epoch * self.settings.epochs

    @torch.no_grad()
    def _score(self, rows: Sequence[NDArray[np.int64]], params: list[Tensor]) -> list[NDArray[Any]]:
        """Return each head's logits on its rows."""
        kept, self.params = self.params, params
        out: list[list[NDArray[Any]]] = [[] for _ in rows]
        longest = max(r.size for r in rows)
        for start in range(0, longest, 4096):
            # Shorter row lists are padded with their first row and cut afterwards.
            parts = [r[start : start + 4096] for r in rows]
            width = max(p.size for p in parts)
            padded = np.stack([np.pad(p, (0, width - p.size), constant_values=0) for p in parts])
            x = (self.x[torch.from_numpy(padded)] - self.mean) / self.std
            for head, values in enumerate(self._forward(x).double().numpy()):
                out[head].append(values[: parts[head].size])
        self.params = kept
        return [np.concatenate(o) for o in out]

    def run(self, test: NDArray[np.int64], progress: Progress | None) -> Iterator[StackOutcome]:
        """Train, choose each head's best epoch, score validation and test once."""
        done = 0

        def tick() -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done, self.total_steps)

        val_rows = [job.val for job in self.jobs]
        val_labels = [self.labels[job.val] for job in self.jobs]
        best = [p.detach().clone() for p in self.params]
        best_value = [-math.inf] * len(self.jobs)
        history: list[list[dict[str, Any]]] = [[] for _ in self.jobs]
        for epoch in range(self.settings.epochs):
            losses = self._epoch(epoch, tick)
            scored = self._score(val_rows, self.params)
            for head, job in enumerate(self.jobs):
                value = selection_metric(scored[head], val_labels[head], job.remedy.correction)
                history[head].append(
                    {"epoch": epoch, "loss": float(losses[head]), "val_metric": value}
                )
                if value > best_value[head] or math.isinf(best_value[head]):
                    best_value[head] = value
                    for kept, now in zip(best, self.params, strict=True):
                        kept[head] = now.detach()[head]
        val_scores = self._score(val_rows, best)
        test_scores = self._score([test] * len(self.jobs), best)
        for head in range(len(self.jobs)):
            state = self._state(head, best)
            yield StackOutcome(head, history[head], val_scores[head], test_scores[head], state)

    def _state(self, head: int, params: Sequence[Tensor]) -> dict[str, NDArray[np.floating]]:
        names = ("hidden.weight", "hidden.bias", "head.weight", "head.bias")
        own = names if self.settings.hidden else names[2:]
        state = {n: p[head].numpy().copy() for n, p in zip(own, params, strict=True)}
        return state | {"mean": self.mean[head, 0].numpy(), "std": self.std[head, 0].numpy()}


def _shared_losses(losses: Sequence[nn.Module]) -> list[tuple[nn.Module, list[int]]]:
    """Join heads whose losses are the same, so one call serves them all."""
    shared: list[tuple[nn.Module, list[int]]] = []
    for head, loss in enumerate(losses):
        for other, heads in shared:
            if _same(loss, other):
                heads.append(head)
                break
        else:
            shared.append((loss, [head]))
    return shared


def _same(left: nn.Module, right: nn.Module) -> bool:
    if type(left) is not type(right) or left.extra_repr() != right.extra_repr():
        return False
    a, b = left.state_dict(), right.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
