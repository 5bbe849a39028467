"""The last layer is the one that is executed last, whatever its name and place."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from equipoise.errors import UsageError
from equipoise.models import MLP, VGG16, CosineHead, ResNet32, find_last_layer, replace_head

X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Backwards(nn.Module):
    """Registered first, executed last; the layer registered last is an auxiliary one."""

    def __init__(self) -> None:
        super().__init__()
        self.top = nn.Linear(6, 4)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Dropout(0.5))
        self.auxiliary = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        features = self.body(x).mean((2, 3))
        if self.training:
            self.auxiliary(features)
        logits: Tensor = self.top(features)
        return logits


class Squeezed(nn.Module):
    """Ends in a 1x1 convolution, registered under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.last = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 4, 1, bias=False)
        self.alias = nn.Sequential(self.last)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.alias(self.body(x)).relu().mean((2, 3))
        return logits


def test_the_order_of_execution_decides() -> None:
    assert find_last_layer(Backwards(), X) == "top"
    assert find_last_layer(Squeezed(), X) == "last"
    assert find_last_layer(MLP(192, 2), X) == "head"
    assert find_last_layer(nn.Linear(8, 2), X) == ""


@pytest.mark.parametrize("cosine", [False, True])
def test_everything_else_is_kept(cosine: bool) -> None:
    net = Backwards().double()
    net.body.eval()
    before = {k: v.clone() for k, v in net.state_dict().items() if not k.startswith("top")}
    modes = [m.training for m in net.modules()]
    state = torch.get_rng_state()
    find_last_layer(net, X.double())
    assert torch.equal(state, torch.get_rng_state())
    assert replace_head(net, 7, example_input=X.double(), cosine=cosine, scale=1.0) is net
    assert net(X.double()).shape == (2, 7)
    assert isinstance(net.top, CosineHead if cosine else nn.Linear)
    assert net.top.weight.dtype == torch.float64
    assert all(torch.equal(net.state_dict()[k], v) for k, v in before.items())
    assert [m.training for m in net.modules()] == modes
    assert not any(m._forward_hooks for m in net.modules())


def test_a_convolution_is_replaced_at_all_its_names() -> None:
    net = Squeezed()
    replace_head(net, 9, example_input=X)
    assert net.last is net.alias[0]
    assert net.last.bias is None
    assert net(X).shape == (2, 9)
    with pytest.raises(UsageError, match="end in a linear layer for cosine=True"):
        replace_head(net, 9, example_input=X, cosine=True)


def test_a_cosine_head_can_become_linear_again() -> None:
    net = ResNet32(4, head="cosine")
    replace_head(net, 3, example_input=X)
    assert net.head.bias is not None
    assert net(X).shape == (2, 3)


def test_a_model_that_is_one_layer_is_answered_with_a_new_one() -> None:
    assert replace_head(nn.Linear(8, 2), 5, example_input=torch.zeros(1, 8)).out_features == 5


def test_what_is_not_the_head_is_put_back() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.weight = nn.Linear(3, 4), nn.Parameter(torch.ones(4, 2))

        def forward(self, x: Tensor) -> Tensor:
            return self.gate(x.mean((2, 3))) @ self.weight

    net = Gated()
    gate = net.gate
    with pytest.raises(UsageError, match=r"return \(N, 6\) then.*'gate' was executed last"):
        replace_head(net, 6, example_input=X)
    assert net.gate is gate
    assert net(X).shape == (2, 2)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (nn.Conv2d(3, 2, 3), "execute a linear or 1x1 convolution layer"),
        (VGG16(2), r"`example_input` must run through the model, got ShapeError: `x` must have"),
    ],
)
def test_models_without_such_a_layer_or_with_another_input(net: nn.Module, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_last_layer(net, X)
