"""Every name gives a network that trains; libraries that are absent or broken say so."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from equipoise.artifacts import Labels
from equipoise.errors import DataError, MissingExtraError, UsageError
from equipoise.losses import BCELoss, CrossEntropyLoss
from equipoise.models import (
    MODEL_NAMES,
    CosineHead,
    find_last_layer,
    freeze,
    initialise_prior_bias,
    make_model,
    trainable_share,
)

SMALL = (3, 16, 16)
SHAPES = {
    "vgg16": (3, 32, 32),
    "vgg16_bn": (1, 32, 32),
    "resnet32": (1, 8, 8),
    "lstm": (6, 5),
    "mlp": (12,),
    "monai:DenseNet121": SMALL,
    "monai:resnet18": (2, 16, 16),
    "torchvision:stub_net": SMALL,
    "timm:stub_net": (4, 16, 16),
    "stub_models:make_net": SMALL,
    "stub_models:fixed_net": SMALL,
}


class Stub(nn.Module):
    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(8, outputs)
        self.features = nn.Sequential(nn.Conv2d(channels, 8, 3), nn.BatchNorm2d(8))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


def stub(name: str, **members: Any) -> ModuleType:
    module = ModuleType(name)
    for key, value in members.items():
        setattr(module, key, value)
    return module


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    def densenet(spatial_dims: int, in_channels: int, out_channels: int) -> nn.Module:
        assert spatial_dims == 2
        return Stub(in_channels, out_channels)

    def resnet18(pretrained: bool = False, **kwargs: Any) -> nn.Module:
        assert not pretrained
        assert kwargs.pop("spatial_dims") == 2
        return Stub(kwargs.pop("n_input_channels"), kwargs.pop("num_classes"), **kwargs)

    def stub_net(*, weights: Any = "DEFAULT", num_classes: int = 1000) -> nn.Module:
        assert weights is None
        return Stub(3, num_classes)

    def create_model(name: str, *, pretrained: bool, num_classes: int, in_chans: int) -> nn.Module:
        assert not pretrained
        if name != "stub_net":
            raise RuntimeError(f"Unknown model ({name})")
        return Stub(in_chans, num_classes)

    nets = stub("monai.networks.nets", DenseNet121=densenet, resnet18=resnet18)
    networks = stub("monai.networks", nets=nets)
    vision = stub("torchvision.models", stub_net=stub_net)
    own = stub(
        "stub_models",
        make_net=lambda num_classes: Stub(3, num_classes),
        fixed_net=lambda: Stub(3, 1000),
        nothing=lambda: None,
        number=3,
    )
    for name, module in {
        "monai": stub("monai", networks=networks),
        "monai.networks": networks,
        "monai.networks.nets": nets,
        "torchvision": stub("torchvision", models=vision),
        "torchvision.models": vision,
        "timm": stub("timm", create_model=create_model),
        "stub_models": own,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_every_network_trains_one_step(name: str, head: Any) -> None:
    x = torch.randn(4, *SHAPES[name])
    for loss, target in ((CrossEntropyLoss(), torch.arange(4)), (BCELoss(), torch.eye(4))):
        net = make_model(
            name, 4, input_shape=SHAPES[name], head=head, seed=0, allow_code="stub" in name
        )
        assert net.training
        before = [p.detach().clone() for p in net.parameters()]
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        value = loss(net(x), target)
        value.backward()
        optimizer.step()
        assert value.isfinite()
        assert any(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
        last = net.get_submodule(find_last_layer(net, x))
        assert isinstance(last, CosineHead) == (head == "cosine")


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("name", SHAPES)
def test_prior_bias_and_freezing_work_on_every_network(name: str) -> None:
    net = make_model(name, 2, input_shape=SHAPES[name], allow_code=True)
    last = find_last_layer(net, torch.zeros(1, *SHAPES[name]))
    labels = Labels.from_array([[1, 0], [0, 0], [0, 0]], kind="multilabel")
    initialise_prior_bias(net.get_submodule(last), labels)
    assert net.get_submodule(last).bias.tolist() == pytest.approx([-0.405, -1.386], abs=1e-3)
    freeze(net, f"re:(?!{last}[.]).*")
    assert 0 < trainable_share(net) < 1


def test_a_seed_decides_and_leaves_the_global_state_alone() -> None:
    state = torch.get_rng_state()
    first, second, other = (make_model("resnet32", 3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first.head.weight, second.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)
    make_model("mlp", 3, input_shape=(4,))
    assert not torch.equal(state, torch.get_rng_state())


def test_settings_reach_the_network() -> None:
    net = make_model("lstm", 2, input_shape=(5,), settings={"hidden": 7, "bidirectional": True})
    assert net.head.in_features == 14
    assert make_model("mlp", 2, input_shape=(3, 4), head="cosine", scale=16.0).head.scale == 16
    assert any(isinstance(m, nn.BatchNorm2d) for m in make_model("vgg16_bn", 2).modules())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in make_model("vgg16", 2).modules())


def test_weights_of_a_trained_network_start_another_one(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    trained = make_model("resnet32", 10, seed=0)
    save_file(trained.state_dict(), path)
    body = trained.layer2[0].conv1.weight
    assert torch.equal(make_model("resnet32", 10, weights=path).head.weight, trained.head.weight)
    for head in ("linear", "cosine"):
        net = make_model("resnet32", 4, head=head, weights=path)  # type: ignore[arg-type]
        assert torch.equal(net.layer2[0].conv1.weight, body)
        assert net.head.weight.shape == (4, 64)
    other = {k.replace("head.", "linear."): v for k, v in trained.state_dict().items()}
    save_file(other, path)
    assert torch.equal(make_model("resnet32", 4, weights=path).layer2[0].conv1.weight, body)
    del other["conv1.weight"]
    save_file(other, path)
    with pytest.raises(DataError, match=r"`weights` must fit the network.*conv1\.weight"):
        make_model("resnet32", 4, weights=path)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet23", {}, "be a known network, got 'resnet23'. Did you mean `resnet32`"),
        ("nothing at all", {}, "Known: lstm"),
        ("timm:", {}, "be a known network"),
        ("lstm", {}, r"`input_shape` must be given for 'lstm', got None. E.g. \(7, 128\)"),
        ("mlp", {"input_shape": 4}, r"be a sequence of sizes, got 4. Pass \(4,\)"),
        ("mlp", {"input_shape": (0,)}, "hold sizes >= 1"),
        ("resnet32", {"settings": {"depth": 3}}, "'resnet32' has no settings, got `depth`"),
        ("resnet32", {"head": "cosin"}, "Did you mean `cosine`"),
        ("os:getcwd", {}, "not run code, got 'os:getcwd'. Pass allow_code=True"),
        ("os:nothing", {"allow_code": True}, "exist, got 'os:nothing'"),
        ("no_such_module:f", {"allow_code": True}, "exist, got 'no_such_module:f'"),
        ("stub_models:nothing", {"allow_code": True}, "build a torch module"),
        ("stub_models:number", {"allow_code": True}, "be callable"),
        ("stub_models:make_net", {"allow_code": True, "head": "cosine"}, "be given for a cosine"),
        ("monai:DenseNet12", {}, "Did you mean `DenseNet121`"),
        ("timm:nothing", {}, "Unknown model"),
        ("monai:DenseNet121", {"settings": {"depth": 3}}, "be what it takes.*'depth'"),
        ("torchvision:stub_net", {"input_shape": (1, 8, 8)}, "have 3 channels"),
    ],
)
@pytest.mark.usefixtures("libraries")
def test_wrong_use_is_named(name: str, options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_model(name, 4, **options)
    with pytest.raises(UsageError, match="`num_outputs` must be >= 1"):
        make_model(name, 0, **options)


class Broken:
    """Imports that fail in the way of a CUDA build beside a CPU torch."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def find_spec(self, name: str, *_: Any) -> None:
        if name.partition(".")[0] in ("torchvision", "timm", "monai"):
            raise self.error


def test_absent_and_broken_libraries_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] in ("torchvision", "timm", "monai")]:
        monkeypatch.delitem(sys.modules, name)
    absent, broken = ImportError("No module named it"), RuntimeError("operator nms does not exist")
    monkeypatch.setattr(sys, "meta_path", [Broken(absent), *sys.meta_path])
    with pytest.raises(MissingExtraError, match=r"pip install \"equipoise\[vision\]\""):
        make_model("monai:DenseNet121", 4)
    with pytest.raises(UsageError, match="`timm` must be importable, got ImportError"):
        make_model("timm:resnet18", 4)
    monkeypatch.setattr(sys, "meta_path", [Broken(broken), *sys.meta_path[1:]])
    for name in ("torchvision", "timm", "monai"):
        message = f"`{name}` must be importable, got RuntimeError: operator nms does not exist"
        with pytest.raises(UsageError, match=message):
            make_model(f"{name}:Net", 4)


def test_the_names_are_listed() -> None:
    assert MODEL_NAMES[:5] == ("vgg16", "vgg16_bn", "resnet32", "lstm", "mlp")
    assert set(MODEL_NAMES[5:]) == {
        "monai:NAME",
        "torchvision:NAME",
        "timm:NAME",
        "module:callable",
    }
