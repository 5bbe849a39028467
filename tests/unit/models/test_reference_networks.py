"""VGG16, ResNet-32 and the LSTM: sizes, shapes, an oracle, padding, half precision, one step."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from equipoise.artifacts import Labels
from equipoise.errors import DataError, ShapeError, UsageError
from equipoise.losses import BCELoss, CrossEntropyLoss
from equipoise.models import (
    MLP,
    VGG16,
    CosineHead,
    Head,
    LSTMClassifier,
    ResNet32,
    initialise_prior_bias,
    prior_bias,
)
from equipoise.training import TrainingOptions
from equipoise.training.faults import require_precision

BUILD: dict[str, Callable[[Head], nn.Module]] = {
    "vgg16": lambda head: VGG16(4, head=head),
    "vgg16_bn": lambda head: VGG16(4, batch_norm=True, head=head),
    "resnet32": lambda head: ResNet32(4, head=head),
    "lstm": lambda head: LSTMClassifier(5, 4, hidden=6, dropout=0.2, head=head),
    "mlp": lambda head: MLP(12, 4, hidden=(6,), head=head),
}
# The large ones obey every law too; one of them will do each time.
NETWORKS = [pytest.param(n, marks=pytest.mark.slow) if n == "vgg16_bn" else n for n in BUILD]
ROW = {"lstm": (7, 5), "mlp": (3, 4)}


def batch(name: str, rows: int = 4) -> Tensor:
    return torch.randn(rows, *ROW.get(name, (3, 32, 32)))


def size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize(
    ("net", "parameters"),
    [
        (lambda: VGG16(10), 15_245_130),
        (lambda: VGG16(100), 15_291_300),
        (lambda: VGG16(10, batch_norm=True), 15_253_578),
        (lambda: VGG16(100, batch_norm=True), 15_299_748),
        (lambda: ResNet32(10), 464_154),
        (lambda: ResNet32(100), 470_004),
        (lambda: LSTMClassifier(128, 23), 135_063),
    ],
)
def test_the_number_of_parameters_is_the_stated_one(
    net: Callable[[], nn.Module], parameters: int
) -> None:
    built = net()
    assert size(built) == parameters
    assert f"{parameters:,}" in (type(built).__doc__ or "")


def test_vgg16_has_sixteen_layers_with_weights() -> None:
    layers = [m for m in VGG16(10).modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(layers) == 16
    assert sum(isinstance(m, nn.Conv2d) for m in layers) == 13


def test_resnet32_has_thirty_two_layers_and_the_shapes_of_the_paper() -> None:
    net = ResNet32(10)
    layers = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(layers) == 32
    x = functional.relu(net.bn1(net.conv1(torch.zeros(2, 3, 32, 32))))
    shapes = [tuple(x.shape[1:])]
    for stage in (net.layer1, net.layer2, net.layer3):
        for block in stage:
            x = block(x)
            shapes.append(tuple(x.shape[1:]))
    assert shapes == [(16, 32, 32)] * 6 + [(32, 16, 16)] * 5 + [(64, 8, 8)] * 5


def by_hand(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """ResNet-32 in eval mode, written out from the paper and the weights alone."""

    def norm(name: str, y: Tensor) -> Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        y = (y - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
        return y * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]

    def conv(name: str, y: Tensor, stride: int) -> Tensor:
        return functional.conv2d(y, state[f"{name}.weight"], stride=stride, padding=1)

    y = norm("bn1", conv("conv1", x, 1)).clamp_min(0)
    for stage in (1, 2, 3):
        for block in range(5):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            z = norm(f"{name}.bn1", conv(f"{name}.conv1", y, stride)).clamp_min(0)
            z = norm(f"{name}.bn2", conv(f"{name}.conv2", z, 1))
            skip = torch.zeros_like(z)
            before = (z.shape[1] - y.shape[1]) // 2
            skip[:, before : before + y.shape[1]] = y[:, :, ::stride, ::stride]
            y = (z + skip).clamp_min(0)
    return y.mean((2, 3)) @ state["head.weight"].T + state["head.bias"]


def test_resnet32_equals_the_network_by_hand() -> None:
    net, x = ResNet32(10).double(), torch.randn(3, 3, 32, 32, dtype=torch.float64)
    net(x)
    net.eval()
    torch.testing.assert_close(net(x), by_hand(net.state_dict(), x))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_forward_and_backward_are_finite(name: str, head: Head) -> None:
    net = BUILD[name](head)
    logits = net(batch(name))
    assert logits.shape == (4, 4)
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    if head == "cosine":
        assert logits.abs().max() <= 1 + 1e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_the_head_comes_last_so_that_fit_can_see_it(name: str) -> None:
    *_, last = BUILD[name]("cosine").modules()
    assert isinstance(last, CosineHead)


# Emulated on most processors, half precision is slow: the convolutions of one network will do.
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if "vgg" in n else n for n in BUILD]
)
def test_bfloat16_autocast_trains(name: str) -> None:
    """Where the processor has the layers for it; `fit` says beforehand where it has not."""
    net, bf16 = BUILD[name]("linear"), TrainingOptions(precision="bf16-mixed", accelerator="cpu")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(batch(name))
    except RuntimeError:
        assert name == "lstm"
        with pytest.raises(UsageError, match=r"'bf16-mixed' .* for its LSTM \(.*'32-true'"):
            require_precision(net, batch(name), bf16)
        return
    require_precision(net, batch(name), bf16)
    CrossEntropyLoss()(logits, torch.arange(4)).backward()
    assert logits.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_seed_decides_everything(name: str) -> None:
    def once() -> Tensor:
        torch.manual_seed(3)
        net = BUILD[name]("linear")
        x = batch(name)
        net(x).sum().backward()
        return torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])

    assert torch.equal(once(), once())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_a_state_dict_makes_the_same_network(name: str, head: Head) -> None:
    first, second = BUILD[name](head), BUILD[name](head)
    first(batch(name))
    second.load_state_dict(first.state_dict())
    x = batch(name)
    assert torch.equal(first.eval()(x), second.eval()(x))


@pytest.mark.parametrize("name", NETWORKS)
def test_one_step_with_each_baseline_lowers_the_loss(name: str) -> None:
    x = batch(name)
    for loss, target in ((CrossEntropyLoss(), torch.arange(4)), (BCELoss(), torch.eye(4))):
        net = BUILD[name]("linear")
        optimizer = torch.optim.SGD(net.parameters(), lr=1e-4)
        torch.manual_seed(0)
        before = loss(net(x), target)
        before.backward()
        optimizer.step()
        torch.manual_seed(0)
        assert loss(net(x), target) < before


@pytest.mark.parametrize("name", NETWORKS)
def test_training_starts_from_the_prior(name: str) -> None:
    net, labels = (
        BUILD[name]("linear").eval(),
        Labels.from_array([0, 0, 1, 2, 3], kind="multiclass"),
    )
    x = batch(name)
    before = net(x) - net.head.bias
    initialise_prior_bias(net.head, labels)
    wanted = torch.from_numpy(prior_bias(labels)).float()
    torch.testing.assert_close(net(x) - before, wanted.expand(4, 4), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("net", "x", "message"),
    [
        (lambda: ResNet32(2), (1, 1, 32, 32), r"`x` must have shape \(N, 3, H, W\)"),
        (lambda: ResNet32(2), (3, 32, 32), r"got \(3, 32, 32\)"),
        (lambda: VGG16(2), (1, 3, 16, 16), "H and W >= 32"),
        (lambda: LSTMClassifier(5, 2), (1, 4, 6), r"`x` must have shape \(N, T, 5\)"),
    ],
)
def test_inputs_of_another_form_are_named(
    net: Callable[[], nn.Module], x: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ShapeError, match=message):
        net()(torch.zeros(x))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ResNet32(0), "`num_classes` must be >= 1"),
        (lambda: VGG16(2, dropout=1.0), r"`dropout` must lie in \[0, 1\)"),
        (lambda: LSTMClassifier(5, 2, hidden=0), "`hidden` must be >= 1"),
        (lambda: ResNet32(2, head="cosin"), "Did you mean `cosine`"),  # type: ignore[arg-type]
        (lambda: ResNet32(2, scale=30.0), "`scale` must be 1 for a linear head"),
    ],
)
def test_settings_out_of_range_are_named(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


def sequences(values: list[Tensor], steps: int, fill: float, *, front: bool = False) -> Tensor:
    x = torch.full((len(values), steps, values[0].shape[1]), fill)
    for row, value in enumerate(values):
        where = slice(steps - len(value), steps) if front else slice(0, len(value))
        x[row, where] = value
    return x


@pytest.mark.parametrize("settings", [{}, {"bidirectional": True, "num_layers": 2}])
def test_padding_changes_nothing(settings: dict) -> None:
    net = LSTMClassifier(3, 2, hidden=4, **settings)
    values = [torch.randn(n, 3) for n in (5, 1, 3)]
    lengths = torch.tensor([5, 1, 3])
    alone = torch.cat([net(v[None]) for v in values])
    for steps, fill in ((5, 0.0), (9, 7.0), (6, float("nan"))):
        padded = sequences(values, steps, fill)
        mask = torch.arange(steps) < lengths[:, None]
        torch.testing.assert_close(net(padded, lengths), alone)
        torch.testing.assert_close(net(padded, mask=mask), alone)
        torch.testing.assert_close(net((padded, mask)), alone)
        torch.testing.assert_close(net((padded, lengths.int())), alone)
        front = sequences(values, steps, fill, front=True)
        torch.testing.assert_close(net(front, mask=mask.flip(1)), alone)


def test_no_gradient_flows_into_padding() -> None:
    net = LSTMClassifier(3, 2, hidden=4)
    x = torch.randn(2, 6, 3, requires_grad=True)
    net(x, torch.tensor([2, 6])).sum().backward()
    assert x.grad is not None
    assert (x.grad[0, 2:] == 0).all()
    assert (x.grad[0, :2] != 0).any()


@pytest.mark.parametrize(
    ("lengths", "mask", "error", "message"),
    [
        (torch.tensor([0, 2]), None, DataError, "got 0 in row 0. Leave empty sequences out"),
        (torch.tensor([2, 5]), None, DataError, "lie in 1 to 4, got 5 in row 1"),
        (torch.tensor([2]), None, ShapeError, r"`lengths` must have shape \(2,\)"),
        (torch.tensor([2.0, 1.0]), None, UsageError, "`lengths` must be integers"),
        (None, torch.ones(2, 4), UsageError, "`mask` must be bool"),
        (None, torch.ones(2, 3, dtype=torch.bool), ShapeError, r"`mask` must have shape \(2, 4\)"),
        (None, torch.zeros(2, 4, dtype=torch.bool), DataError, "got 0 in row 0"),
        (torch.tensor([2, 2]), torch.ones(2, 4, dtype=torch.bool), UsageError, "got both"),
    ],
)
def test_lengths_and_masks_that_do_not_fit(
    lengths: Tensor | None, mask: Tensor | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        LSTMClassifier(3, 2)(torch.zeros(2, 4, 3), lengths, mask=mask)


def test_copies_are_independent() -> None:
    net = ResNet32(4).eval()
    twin, x = copy.deepcopy(net), batch("resnet32", 2)
    with torch.no_grad():
        twin.head.weight.zero_()
    assert not torch.equal(net(x), twin(x))
