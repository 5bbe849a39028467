"""Freezing by pattern; frozen batch norm stays in eval."""

from __future__ import annotations

import copy
import io
import pickle
import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import equipoise as eq
from equipoise.data import ArrayDataset
from equipoise.errors import UsageError
from equipoise.models import VGG16, ResNet32, freeze, trainable_share, unfreeze


def small() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(4, 3),
        nn.BatchNorm1d(3),
        nn.Linear(3, 3),
        nn.BatchNorm1d(3, affine=False),
        nn.Linear(3, 2),
    )


def statistics(net: nn.Module) -> list[Tensor]:
    return [b.clone() for b in net.buffers()]


def test_frozen_batch_norm_stays_in_eval_after_train() -> None:
    net = small()
    freeze(net, ["0", "1"])
    net.train()
    assert [m.training for m in net] == [True, False, True, True, True]
    before = net[1].running_mean.clone()
    net(torch.randn(8, 4))
    assert torch.equal(net[1].running_mean, before)
    assert net[3].num_batches_tracked == 1


@pytest.mark.parametrize("pattern", ["layer*", "re:layer[123].*", re.compile(r"layer\d.*")])
def test_a_frozen_backbone_does_not_move_at_all(pattern: str | re.Pattern[str]) -> None:
    net = ResNet32(3)
    freeze(net, ["conv1", "bn1", pattern])
    assert trainable_share(net) == pytest.approx((64 * 3 + 3) / (463_504 + 64 * 3 + 3))
    before = [p.detach().clone() for p in net.parameters()] + statistics(net)
    net.train()
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.5)
    net(torch.randn(4, 3, 32, 32)).sum().backward()
    optimizer.step()
    after = [*net.parameters(), *net.buffers()]
    moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert sum(moved) == 2


def test_batch_norm_without_weights_is_frozen_by_its_name() -> None:
    net = small()
    freeze(net, ["2", "3"])
    net.train()
    assert [m.training for m in net] == [True, True, True, False, True]
    unfreeze(net, "3")
    assert net[3].training


def test_half_frozen_batch_norm_goes_on_training() -> None:
    net = small()
    freeze(net, "1.weight")
    assert net.train()[1].training
    freeze(net, "*.bias")
    assert not net.train()[1].training


def test_unfreezing_gives_back_the_class_and_the_mode() -> None:
    net = small()
    freeze(net, "*")
    assert trainable_share(net) == 0
    assert isinstance(net[1], nn.BatchNorm1d)
    assert type(net[1]) is not nn.BatchNorm1d
    unfreeze(net)
    assert trainable_share(net) == 1
    assert type(net[1]) is nn.BatchNorm1d
    assert all(m.training for m in net)
    freeze(net.eval(), "1")
    unfreeze(net, "1")
    assert not net[1].training


def test_freezing_twice_changes_nothing() -> None:
    net = small()
    assert freeze(net, "1") == freeze(net, ["1", "1.*"]) == ("1.weight", "1.bias")
    assert not net.train()[1].training


def test_copies_pickles_and_state_dicts_keep_it() -> None:
    net = small()
    freeze(net, "1")
    state = net.state_dict()
    saved = io.BytesIO()
    torch.save(net, saved)
    saved.seek(0)
    for twin in (
        copy.deepcopy(net),
        pickle.loads(pickle.dumps(net)),  # noqa: S301
        torch.load(saved, weights_only=False),
    ):
        assert not twin.train()[1].training
        twin[1].running_mean.add_(1.0)
        assert not torch.equal(twin[1].running_mean, net[1].running_mean)
        assert list(twin.state_dict()) == list(state)
        unfreeze(twin)
        assert type(twin[1]) is nn.BatchNorm1d
        assert not net[1].training
    fresh = small()
    fresh.load_state_dict(state)


def test_fit_leaves_what_is_frozen_as_it_is() -> None:
    labels = eq.Labels.from_array([0, 1] * 12, kind="multiclass")
    x = np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32)
    split = eq.stratified_split(labels, seed=0)
    net, trained = small()[:4], nn.Linear(3, 2)
    freeze(net, "*")
    whole = nn.Sequential(net, trained)
    before = {k: v.clone() for k, v in whole.state_dict().items()}
    kept: list[nn.Module] = []

    def build() -> nn.Module:
        kept.append(copy.deepcopy(whole))
        return kept[0]

    remedy = eq.remedy("none", labels[split.train])
    eq.fit(
        build,
        ArrayDataset(x, labels),
        split,
        remedy,
        options=eq.TrainingOptions(epochs=2, accelerator="cpu"),
    )
    moved = [k for k, v in kept[0].state_dict().items() if not torch.equal(v, before[k])]
    assert moved == ["1.weight", "1.bias"]


def test_foreign_subclasses_of_batch_norm_are_held_too() -> None:
    class Activated(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).relu()

    net = nn.Sequential(nn.Conv2d(1, 2, 1), Activated(2))
    freeze(net, "1")
    net.train()
    before = net[1].running_var.clone()
    assert (net(torch.randn(2, 1, 3, 3)) >= 0).all()
    assert torch.equal(net[1].running_var, before)


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ("featurs", "each cover a parameter, got 'featurs'"),
        ([], "hold at least one pattern"),
        ([re.compile("nothing")], "got 'nothing'"),
        ("re:features", "got 're:features'"),
        ("head.wieght", "Did you mean `head.weight`"),
    ],
)
def test_a_pattern_that_covers_nothing_is_named(patterns: str | list, message: str) -> None:
    net = VGG16(2)
    with pytest.raises(UsageError, match=message):
        freeze(net, patterns)
    assert trainable_share(net) == 1


def test_a_model_without_parameters_has_nothing_to_train() -> None:
    assert trainable_share(nn.ReLU()) == 0
