"""Which losses count as one, and what a shared call returns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from equipoise import losses
from equipoise.training.heads.losses import SharedLosses, same_form


class Scaled(nn.Module):
    """A loss of a user, without a word on its settings."""

    def __init__(self, scale: object) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        factor = self.scale if isinstance(self.scale, float) else 1.0
        return factor * losses.cross_entropy(logits, target)


class Nested(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.inner(logits, target)


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (losses.BCELoss(), losses.BCELoss(), True),
        (losses.BCELoss(), losses.BCELoss(reduction="sum"), False),
        (losses.SoftmaxFocalLoss(gamma=2.0), losses.SoftmaxFocalLoss(gamma=2.0), True),
        # Printed settings look alike: 2 and 2.
        (losses.SoftmaxFocalLoss(gamma=2.0), losses.SoftmaxFocalLoss(gamma=2.0 + 1e-9), False),
        (losses.PosWeightBCELoss([2.0, 3.0]), losses.PosWeightBCELoss([2.0, 3.0]), True),
        (losses.PosWeightBCELoss([2.0, 3.0]), losses.PosWeightBCELoss([2.0, 3.1]), True),
        (losses.PosWeightBCELoss([2.0, 3.0]), losses.PosWeightBCELoss([2.0]), False),
        (losses.CrossEntropyLoss(), losses.SoftmaxFocalLoss(gamma=0.0), False),
        (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(label_smoothing=0.1), False),
        (nn.BCEWithLogitsLoss(), nn.BCEWithLogitsLoss(pos_weight=torch.ones(2)), False),
        (Scaled(1.0), Scaled(2.0), False),
        (Scaled([1]), Scaled([1]), False),  # not comparable: two calls, no harm
        (Nested(Scaled(1.0)), Nested(Scaled(1.0)), True),
        (Nested(Scaled(1.0)), Nested(Scaled(2.0)), False),
    ],
)
def test_only_losses_of_one_form_are_joined(left: nn.Module, right: nn.Module, same: bool) -> None:
    assert same_form(left, right) is same
    assert same_form(left, left)


class Branching(nn.Module):
    """A loss of a user that looks at values, which cannot be mapped."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor([weight]))

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        value = losses.cross_entropy(logits, target) * self.weight[0]
        return value if value.item() > 0 else -value


def test_values_and_gradients_are_those_of_each_loss_alone() -> None:
    weighted = losses.WeightedCrossEntropyLoss
    given = [
        losses.CrossEntropyLoss(),
        weighted([1.0, 2.0, 5.0]),
        Scaled(3.0),
        losses.CrossEntropyLoss(),
        weighted([3.0, 1.0, 0.5]),
        weighted([3.0, 1.0, 0.5], normalizer="weights"),
        Branching(2.0),
        Branching(-1.0),
        losses.SoftmaxFocalLoss(gamma=1.0, weight=[1.0, 2.0, 3.0]),
    ]
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(9, 7, 3, generator=random, dtype=torch.float64)
    targets = torch.randint(3, (2, 7), generator=random)
    which = torch.tensor([0, 1, 1, 0, 0, 1, 0, 1, 1])
    shared = SharedLosses(given)
    assert shared.sizes == [2, 2, 1, 1, 2, 1]
    for _ in range(2):
        value, slope = shared(logits, targets, which)
    assert [group.proven for group in shared.groups] == [False, True, False, True, False, True]
    for head, loss in enumerate(given):
        leaf = logits[head].clone().requires_grad_()
        alone = loss(leaf, targets[which[head]])
        alone.backward()
        torch.testing.assert_close(value[head], alone.detach())
        torch.testing.assert_close(slope[head], leaf.grad)


def test_unknown_targets_in_mapped_losses() -> None:
    given = [losses.PosWeightBCELoss([w, 1.0]) for w in (1.0, 4.0)]
    logits = torch.zeros(2, 3, 2)
    target = torch.tensor([[[1.0, float("nan")], [0.0, 1.0], [float("nan"), 0.0]]])
    value, slope = SharedLosses(given)(logits, target, torch.zeros(2, dtype=torch.int64))
    for head, loss in enumerate(given):
        torch.testing.assert_close(value[head], loss(logits[head], target[0]))
    assert slope.isfinite().all()


class Counting(nn.Module):
    """A loss of a user that asks for the epoch, in a part of it."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.inner = losses.SPLCLoss(first_epoch=first)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.inner(logits, target)


def test_losses_are_told_the_epoch_each_by_its_own_setting() -> None:
    given = [
        losses.SPLCLoss(),
        losses.SPLCLoss(first_epoch=2),
        losses.SPLCLoss(correcting=True),
        Counting(1),
        losses.BCELoss(),
    ]
    random = torch.Generator().manual_seed(0)
    logits = 3.0 * torch.randn(1, 7, 3, generator=random, dtype=torch.float64)
    logits = logits.expand(5, 7, 3)
    targets = torch.randint(2, (1, 7, 3), generator=random).double()
    shared = SharedLosses(given)
    assert shared.sizes == [2, 1, 1, 1]
    for epoch in (0, 1, 2, 0):
        shared.start_epoch(epoch)
        value, _ = shared(logits, targets, torch.zeros(5, dtype=torch.int64))
        for head, first in ((0, 1), (1, 2), (2, 1), (3, 1)):
            alone = losses.splc_loss(logits[0], targets[0], correcting=epoch >= first)
            torch.testing.assert_close(value[head], alone)
    assert [loss.correcting for loss in given[:3]] == [False, False, True]  # copies were told
