"""The multi-layer perceptron."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from equipoise.errors import UsageError
from equipoise.models import MLP


def test_layers_are_those_asked_for() -> None:
    net = MLP(6, 3, hidden=(5, 4), dropout=0.1)
    kinds = [type(layer).__name__ for layer in net.body]
    assert kinds == ["Flatten", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout"]
    assert sum(p.numel() for p in net.parameters()) == 6 * 5 + 5 + 5 * 4 + 4 + 4 * 3 + 3
    assert not any(isinstance(m, nn.Dropout) for m in MLP(6, 3).modules())


def test_without_hidden_layers_it_is_linear() -> None:
    net, x = MLP(6, 3, hidden=()), torch.randn(4, 2, 3)
    torch.testing.assert_close(net(x), net.head(x.flatten(1)))


def test_equals_its_layers_by_hand() -> None:
    net, x = MLP(4, 2, hidden=(3,)), torch.randn(5, 4)
    torch.testing.assert_close(net(x), net.head(torch.relu(net.body[1](x))))


def test_dropout_only_in_training() -> None:
    net, x = MLP(4, 2, hidden=(50,), dropout=0.5), torch.randn(5, 4)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dropout": 1.0}, r"`dropout` must lie in \[0, 1\), got 1.0"),
        ({"hidden": 64}, r"`hidden` must be a sequence of widths, got 64. Pass \(64,\)"),
        ({"hidden": (4, 0)}, "`hidden` must be >= 1, got 0"),
        ({"num_classes": 0}, "`num_classes` must be >= 1"),
        ({"in_features": 0}, "`in_features` must be >= 1"),
    ],
)
def test_wrong_settings_are_refused(given: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        MLP(**{"in_features": 4, "num_classes": 2, **given})
