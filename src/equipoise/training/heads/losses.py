"""Many losses on stacked logits in few calls; from some epoch on, the late ones."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from equipoise._core.messages import say
from equipoise.artifacts import Labels
from equipoise.errors import UsageError
from equipoise.training.heads.jobs import deferred
from equipoise.training.remedy import Remedy, start_epoch

# What torch keeps on every module and no loss depends on.
_BOOKKEEPING = frozenset(vars(nn.Module()))


class SharedLosses:
    """One loss per head, (H,).

    Args:
        losses: One module per head, mapping logits (B, C) to a scalar. One without tensors of its
            own must also map (h, B, C) to (h,).
        device: Where the logits will be.

    Heads whose losses have the same form share a call: with stacked weights where the losses hold
    tensors. How a head is computed depends on its own loss alone, never on the others. Copies of
    the losses are used, so that telling them the epoch changes nothing outside.
    """

    def __init__(self, losses: Sequence[nn.Module], device: torch.device | str = "cpu") -> None:
        losses = [loss.to(device) for loss in copy.deepcopy(list(losses))]
        for loss in losses:
            start_epoch(loss, 0)
        groups: list[list[int]] = []
        for head, loss in enumerate(losses):
            for heads in groups:
                if same_form(loss, losses[heads[0]]):
                    heads.append(head)
                    break
            else:
                groups.append([head])
        self.groups = [_Group([losses[head] for head in heads]) for heads in groups]
        self.sizes = [len(heads) for heads in groups]
        self.order = torch.tensor([head for heads in groups for head in heads], device=device)
        self.back = torch.argsort(self.order)

    def start_epoch(self, epoch: int) -> None:
        """Say which epoch, counted from 0, begins to the losses that ask for it."""
        for group in self.groups:
            for loss in group.losses:
                start_epoch(loss, epoch)

    def __call__(self, logits: Tensor, targets: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses (H,) and their gradients with respect to the logits, (H, B, C).

        Args:
            logits: (H, B, C).
            targets: The distinct mini-batches of targets, (O, B) or (O, B, C).
            which: The mini-batch of each head, (H,).
        """
        grouped = torch.split(logits.index_select(0, self.order), self.sizes)
        wanted = torch.split(targets.index_select(0, which[self.order]), self.sizes)
        leaves = [part.detach().requires_grad_() for part in grouped]
        with torch.enable_grad():
            values = [
                group(leaf, target)
                for group, leaf, target in zip(self.groups, leaves, wanted, strict=True)
            ]
            gradients = torch.autograd.grad([value.sum() for value in values], leaves)
        value = torch.cat([v.detach() for v in values])
        return value[self.back], torch.cat(gradients).index_select(0, self.back)


class _Group:
    """Losses of one form: (h, B, C) logits to (h,) values."""

    def __init__(self, losses: Sequence[nn.Module]) -> None:
        self.losses = losses
        # Reductions over one slice may add in another order than over many: one is made two.
        own = [_tensors(loss) for loss in losses] * (2 if len(losses) == 1 else 1)
        self.stacked = {key: torch.stack([tensors[key] for tensors in own]) for key in own[0]}
        self.proven = False

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        if len(self.losses) > 1:
            return self._values(logits, target)
        twice = (x.expand(2, *x.shape[1:]) for x in (logits, target))
        return self._values(*twice)[:1]

    def _values(self, logits: Tensor, target: Tensor) -> Tensor:
        if not self.stacked:
            value: Tensor = self.losses[0](logits, target)
        elif self.proven or self._can_be_mapped(logits, target):
            value = self._mapped(logits, target)
        else:
            # Of a lone loss the second slice is left out, and comes back as a copy.
            pairs = zip(self.losses, logits, target, strict=False)
            each = [loss(one, truth) for loss, one, truth in pairs]
            value = torch.stack(each * (len(logits) // len(each)))
        if value.shape != logits.shape[:1]:
            raise UsageError(
                say(
                    type(self.losses[0]).__name__,
                    f"return one value per slice of stacked logits, {tuple(logits.shape[:1])}",
                    f"shape {tuple(value.shape)}",
                    "Keep leading axes in the reduction, or train with `fit`.",
                )
            )
        return value

    def _mapped(self, logits: Tensor, target: Tensor) -> Tensor:
        def one(tensors: dict[str, Tensor], z: Tensor, truth: Tensor) -> Tensor:
            value: Tensor = functional_call(self.losses[0], tensors, (z, truth))
            return value

        value: Tensor = vmap(one)(self.stacked, logits, target)
        return value

    def _can_be_mapped(self, logits: Tensor, target: Tensor) -> bool:
        """Try once; what fails or warns here is called head by head, where true errors show."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                self._mapped(logits, target)
        except Exception:  # noqa: BLE001, RUF100
            self.proven = False
        else:
            self.proven = True
        return self.proven


def _tensors(loss: nn.Module) -> dict[str, Tensor]:
    return {**dict(loss.named_parameters()), **dict(loss.named_buffers())}


def same_form(left: nn.Module, right: nn.Module) -> bool:
    """Whether two losses differ in the values of their tensors at most.

    Settings that cannot be compared make them differ; this costs time, never correctness.
    """
    if left is right:
        return True
    if type(left) is not type(right) or _settings(left) != _settings(right):
        return False
    a, b = _tensors(left), _tensors(right)
    if a.keys() != b.keys():
        return False
    if any(a[k].shape != b[k].shape or a[k].dtype != b[k].dtype for k in a):
        return False
    inner, other = dict(left.named_children()), dict(right.named_children())
    return inner.keys() == other.keys() and all(same_form(inner[k], other[k]) for k in inner)


def _settings(loss: nn.Module) -> dict[str, Any]:
    """Return what a module holds beside tensors and modules."""
    own = {key: value for key, value in vars(loss).items() if key not in _BOOKKEEPING}
    # A setting of another kind is compared by identity, which no two modules share by chance.
    simple = (bool, int, float, str, bytes, type(None))
    return {k: v if isinstance(v, simple) else (type(v).__name__, id(v)) for k, v in own.items()}


def require_separate_rows(remedies: Sequence[Remedy], labels: Labels) -> None:
    """Raise for a remedy whose rows cannot be weighted one by one: it joins them."""
    for remedy in remedies:
        schedule = deferred(remedy)
        losses = [remedy.loss, None if schedule is None else schedule.loss]
        joined = "mixing of rows" if remedy.mixing is not None else ""
        if any(loss is not None and _joins(loss, labels) for loss in losses):
            joined = "a loss that compares rows"
        if joined:
            do = "Compare it without weights, or leave it out."
            expected = "take rows one by one, where rows have weights"
            raise UsageError(say(f"arm {remedy.name}", expected, joined, do))


def _joins(loss: nn.Module, labels: Labels) -> bool:
    """Whether the slopes of some rows change with the outputs of the others beside them."""
    loss, width = copy.deepcopy(loss).cpu().double(), labels.num_classes
    start_epoch(loss, 0)
    row, column = torch.arange(8)[:, None], torch.arange(width)
    target = (row + column) % 2.0 if labels.kind == "multilabel" else torch.arange(8) % width
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(8, width, generator=generator, dtype=torch.float64)
    slopes = []
    for scale in (1.0, -3.0):
        asked = torch.cat([z[:4], scale * z[4:]]).requires_grad_()
        (slope,) = torch.autograd.grad(loss(asked, target), asked)
        slopes.append(slope[:4])
    return not torch.allclose(slopes[0], slopes[1], rtol=1e-6, atol=1e-9)


class HeadLosses:
    """One loss per head, which its schedule may replace.

    Args:
        remedies: One per head.
        epochs: Of training.
        device: Where the logits will be.
    """

    def __init__(
        self, remedies: Sequence[Remedy], epochs: int, device: torch.device | str = "cpu"
    ) -> None:
        self.early = [remedy.loss for remedy in remedies]
        self.late: list[tuple[nn.Module, int]] = []
        for remedy in remedies:
            schedule = deferred(remedy)
            if schedule is None or schedule.loss is None:
                self.late.append((remedy.loss, epochs))
            else:
                self.late.append((schedule.loss, schedule.first_epoch(epochs)))
        self.device = device
        self._late_now: list[bool] = []
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Say which epoch, counted from 0, begins."""
        late_now = [epoch >= first for _, first in self.late]
        if late_now != self._late_now:
            self._late_now = late_now
            pairs = zip(self.early, self.late, late_now, strict=True)
            active = [late if now else early for early, (late, _), now in pairs]
            self.shared = SharedLosses(active, self.device)
        self.shared.start_epoch(epoch)

    def __call__(self, logits: Tensor, targets: Tensor, which: Tensor) -> tuple[Tensor, Tensor]:
        """Return the losses and their gradients; see :class:`SharedLosses`."""
        return self.shared(logits, targets, which)
