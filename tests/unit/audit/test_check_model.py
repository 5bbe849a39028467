"""Model, loss and a batch: each fault is found, sound pairs pass, nothing is left changed."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import foreign_losses as foreign
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import equipoise as eq
from equipoise import losses, models
from equipoise.artifacts import Finding
from equipoise.errors import UsageError

X = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
MULTI = (torch.arange(32).reshape(8, 4) % 3 == 0).float()
CLASS = torch.arange(8) % 4
ALPHA = torch.tensor([10.79, 2.45, 4.90, 1.13])


def check(model: nn.Module, loss: Callable[..., Any], target: Tensor, x: Any = X) -> list[str]:
    found = eq.check_model(model, loss, (x, target))
    for item in found:
        assert item.message.endswith(".")
        assert item.suggests
        assert Finding.from_dict(item.to_dict()).message == item.message
    return [item.code for item in found]


def net(*ending: nn.Module, outputs: int = 4) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, outputs), *ending)


class ByHand(nn.Module):
    """A sigmoid that no graph node is named after."""

    def __init__(self, times: int = 1) -> None:
        super().__init__()
        self.body, self.times = net(), times

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.body(x)
        for _ in range(self.times):
            z = 1 / (1 + torch.exp(-z.clamp(-50, 50)))
        return z


class ShiftedBatchNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = nn.BatchNorm1d(6), nn.Linear(6, 4)
        self.norm.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.head(self.norm(x))
        return z


@pytest.mark.parametrize(
    ("model", "loss", "target", "codes"),
    [
        (net(nn.Sigmoid()), nn.BCEWithLogitsLoss(), MULTI, ["EQ301"]),
        (net(nn.Sigmoid()), losses.BCELoss(), MULTI, ["EQ301"]),
        (net(nn.Sigmoid()), losses.AsymmetricLoss(), MULTI, ["EQ301"]),
        (net(nn.Sigmoid(), nn.Flatten()), nn.BCEWithLogitsLoss(), MULTI, ["EQ301"]),
        (ByHand(), nn.BCEWithLogitsLoss(), MULTI, ["EQ301"]),
        (net(nn.Softmax(1)), nn.CrossEntropyLoss(), CLASS, ["EQ301"]),
        (net(nn.Softmax(1)), losses.CrossEntropyLoss(), CLASS, ["EQ301"]),
        (net(), nn.BCELoss(), MULTI, ["EQ302"]),
        (net(), foreign.ProbabilityFocal(ALPHA), MULTI, ["EQ302"]),
        (net(), foreign.clamped, MULTI, ["EQ302"]),
        (net(), nn.NLLLoss(), CLASS, ["EQ302"]),
        (net(nn.Sigmoid(), nn.Sigmoid()), nn.BCELoss(), MULTI, ["EQ303"]),
        (ByHand(2), nn.BCELoss(), MULTI, ["EQ303"]),
        (net(nn.Sigmoid(), nn.Sigmoid()), nn.BCEWithLogitsLoss(), MULTI, ["EQ301", "EQ303"]),
        (net(nn.Softmax(1), nn.LogSoftmax(1)), nn.NLLLoss(), CLASS, ["EQ303"]),
        (net(outputs=3), nn.BCEWithLogitsLoss(), MULTI, ["EQ304"]),
        (net(outputs=3), losses.CrossEntropyLoss(), CLASS, ["EQ304"]),
        (net(outputs=1), nn.BCEWithLogitsLoss(), MULTI[:, 0], ["EQ304"]),
        (net(), nn.CrossEntropyLoss(), CLASS[:7], ["EQ304"]),
        (net().requires_grad_(False), nn.CrossEntropyLoss(), CLASS, ["EQ305"]),
        (ShiftedBatchNorm(), nn.CrossEntropyLoss(), CLASS, ["EQ306"]),
        (nn.Linear(7, 4), nn.CrossEntropyLoss(), CLASS, ["EQ307"]),
    ],
)
def test_each_fault_is_found(
    model: nn.Module, loss: Callable[..., Any], target: Tensor, codes: list[str]
) -> None:
    assert check(model, loss, target) == codes


@pytest.mark.parametrize(
    ("model", "loss", "target"),
    [
        (net(), nn.BCEWithLogitsLoss(), MULTI),
        (net(), nn.BCEWithLogitsLoss(pos_weight=ALPHA), MULTI),
        (net(), losses.BCELoss(), MULTI),
        (net(), losses.SigmoidFocalLoss(), MULTI),
        (net(nn.Sigmoid()), nn.BCELoss(), MULTI),
        (ByHand(), nn.BCELoss(), MULTI),
        (net(nn.Sigmoid()), foreign.ProbabilityFocal(ALPHA), MULTI),
        (net(), nn.CrossEntropyLoss(), CLASS),
        (net(), losses.CrossEntropyLoss(), CLASS),
        (net(nn.LogSoftmax(1)), nn.CrossEntropyLoss(), CLASS),
        (net(nn.LogSoftmax(1)), nn.NLLLoss(), CLASS),
        (net(nn.Dropout(0.5)), nn.CrossEntropyLoss(), CLASS),
        (net(outputs=1), nn.BCEWithLogitsLoss(), MULTI[:, :1]),
        (net(nn.Flatten(0), outputs=1), nn.BCEWithLogitsLoss(), MULTI[:, 0]),
        (models.MLP(6, 4, head="cosine"), losses.CrossEntropyLoss(), CLASS),
    ],
)
def test_sound_pairs_pass(model: nn.Module, loss: Callable[..., Any], target: Tensor) -> None:
    assert check(model, loss, target) == []


def test_a_start_at_zero_or_in_the_suspect_range_is_not_mistaken_for_a_sigmoid() -> None:
    for bias in (0.0, 0.6):
        model = net()
        nn.init.zeros_(model[2].weight)
        nn.init.constant_(model[2].bias, bias)
        assert check(model, nn.BCEWithLogitsLoss(), MULTI) == []


def test_unknown_labels_are_no_fault() -> None:
    target = MULTI.clone()
    target[0, 0] = float("nan")
    assert check(net(), losses.BCELoss(), target) == []
    assert check(net(), nn.BCEWithLogitsLoss(), target) == ["EQ319"]
    target[0, 0] = -1.0
    assert check(net(), losses.BCELoss(), target) == []
    (found,) = eq.check_model(net(), nn.BCEWithLogitsLoss(), (X, target))
    assert found.code == "EQ319"
    assert found.evidence["unknown"] == 1
    assert "takes them for numbers" in found.message


def test_unknown_classes_are_no_fault() -> None:
    target = CLASS.clone()
    target[0] = -100
    for loss in (losses.CrossEntropyLoss(), losses.SoftmaxFocalLoss(), nn.CrossEntropyLoss()):
        assert check(net(), loss, target) == []


@pytest.mark.parametrize("wrong", [-100.0, 2.0, 255.0])
def test_labels_that_are_none_are_named(wrong: float) -> None:
    target = MULTI.clone()
    target[0, 0] = wrong
    found = {f.code: f for f in eq.check_model(net(), losses.BCELoss(), (X, target))}
    assert f"must be 0 to 1, or NaN or -1 where unknown, got {wrong:g}" in found["EQ320"].message


def test_classes_that_are_none_are_named() -> None:
    target = CLASS.clone()
    target[0] = -1
    for loss in (losses.CrossEntropyLoss(), nn.CrossEntropyLoss()):
        (found,) = eq.check_model(net(), loss, (X, target))
        assert found.code == "EQ320"
        assert "or be ignore_index = -100, got -1" in found.message


def test_a_loss_made_for_another_number_of_classes() -> None:
    loss = losses.WeightedCrossEntropyLoss(torch.ones(5))
    (found,) = eq.check_model(net(), loss, (X, CLASS))
    assert found.code == "EQ304"
    assert "made for 5 classes, but there are 4 outputs" in found.message


def test_gradient_that_reaches_nothing() -> None:
    class Detached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(6, 5), nn.Linear(5, 4)
            self.head.requires_grad_(False)

        def forward(self, x: Tensor) -> Tensor:
            z: Tensor = self.head(self.body(x).detach())
            return z

    assert check(Detached(), nn.CrossEntropyLoss(), CLASS) == ["EQ305"]


def test_batch_norm_frozen_by_freeze_is_sound() -> None:
    model = models.ResNet32(4)
    x = torch.randn(8, 3, 8, 8)
    model.bn1.requires_grad_(False)
    (found,) = eq.check_model(model, nn.CrossEntropyLoss(), (x, CLASS))
    assert found.evidence["layers"] == ["bn1"]
    models.freeze(model, ["bn1", "layer1"])
    assert check(model, nn.CrossEntropyLoss(), CLASS, x) == []


def test_sequences_and_dicts_as_inputs() -> None:
    model = models.LSTMClassifier(3, 4, hidden=5)
    x = torch.randn(8, 6, 3), torch.arange(1, 9).clamp(max=6)
    assert check(model, nn.CrossEntropyLoss(), CLASS, x) == []

    class Named(nn.Linear):
        def forward(self, x: dict[str, Tensor]) -> Tensor:  # type: ignore[override]
            return super().forward(x["values"])

    assert check(Named(6, 4), nn.CrossEntropyLoss(), CLASS, {"values": X}) == []


def test_one_row_does_for_batch_norm() -> None:
    model = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 4))
    assert check(model, nn.CrossEntropyLoss(), CLASS[:1], X[:1]) == []


def test_nothing_is_left_changed() -> None:
    class Restless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.head, self.calls = nn.BatchNorm1d(6), nn.Linear(6, 4), 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            random.random()  # noqa: S311
            np.random.rand()  # noqa: NPY002
            z: Tensor = self.head(self.norm(x.mul_(1 + torch.rand(()))))
            return z

    model, x, target = Restless().eval(), X.clone(), CLASS.clone()
    before = copy.deepcopy(model.state_dict())
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    assert check(model, foreign_cross_entropy, target, x) == []
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert model.calls == 0
    assert not any(m.training for m in model.modules())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    assert not any(m._forward_hooks for m in model.modules())
    assert torch.equal(x, X)
    assert torch.equal(target, CLASS)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()
    assert np.array_equal(states[2], np.random.get_state()[1])  # noqa: NPY002


def foreign_cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    return nn.functional.cross_entropy(z, y)


def test_works_under_no_grad() -> None:
    with torch.no_grad():
        assert check(net(nn.Sigmoid()), nn.BCEWithLogitsLoss(), MULTI) == ["EQ301"]
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (X, r"`batch` must be \(inputs, targets\), got Tensor. Pass next\(iter\(loader\)\)"),
        ((X,), "`batch` must be"),
        ((X, None), "`batch` must be"),
    ],
)
def test_a_batch_that_is_no_pair(batch: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        eq.check_model(net(), nn.BCELoss(), batch)


def test_a_model_that_cannot_be_copied_is_named() -> None:
    model = net()
    model.kept = model(X)
    with pytest.raises(UsageError, match="be copied"):
        eq.check_model(model, nn.BCELoss(), (X, MULTI))
    with pytest.raises(UsageError, match="be a torch module"):
        eq.check_model(len, nn.BCELoss(), (X, MULTI))  # type: ignore[arg-type]


STEPS = torch.randn(8, 5, 6, generator=torch.Generator().manual_seed(1))
STEP_CLASS = torch.arange(40).reshape(8, 5) % 4
STEP_LABELS = (torch.arange(160).reshape(8, 5, 4) % 3 == 0).float()


def flattened(outputs: Tensor, target: Tensor) -> Tensor:
    return nn.functional.cross_entropy(outputs.flatten(0, 1), target.flatten())


class ClassesSecond(nn.Module):
    """Outputs (N, C, T), as torch's own losses take them."""

    def __init__(self, *ending: nn.Module) -> None:
        super().__init__()
        self.body = net(*ending)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.body(x).movedim(-1, 1)
        return z


@pytest.mark.parametrize(
    ("model", "loss", "target", "codes"),
    [
        (net(), flattened, STEP_CLASS, []),
        (net(), losses.CrossEntropyLoss(), STEP_CLASS, []),
        (ClassesSecond(), nn.CrossEntropyLoss(), STEP_CLASS, []),
        (net(), nn.BCEWithLogitsLoss(), STEP_LABELS, []),
        (net(), losses.BCELoss(), STEP_LABELS, []),
        (net(nn.Flatten(1), outputs=1), nn.BCEWithLogitsLoss(), STEP_LABELS[..., 0], []),
        (net(nn.Softmax(-1)), flattened, STEP_CLASS, ["EQ301"]),
        (net(nn.Sigmoid()), nn.BCEWithLogitsLoss(), STEP_LABELS, ["EQ301"]),
        (ClassesSecond(nn.Softmax(-1)), nn.CrossEntropyLoss(), STEP_CLASS, ["EQ301"]),
        (net(), nn.BCELoss(), STEP_LABELS, ["EQ302"]),
        (net(), flattened, STEP_CLASS + 1, ["EQ304"]),
        (net(), flattened, STEP_CLASS[:, :3], ["EQ304"]),
    ],
)
def test_taggers_are_checked_as_rows_are(
    model: nn.Module, loss: Callable[..., Any], target: Tensor, codes: list[str]
) -> None:
    assert check(model, loss, target, STEPS) == codes


def arcface(outputs: Tensor, target: Tensor) -> Tensor:
    margin = 0.3 * nn.functional.one_hot(target, 4)
    return nn.functional.cross_entropy(30 * (outputs - margin), target)


COUNTS = torch.tensor([500.0, 100.0, 50.0, 10.0])


@pytest.mark.parametrize("loss", [losses.LDAMLoss.from_class_counts(COUNTS), arcface])
def test_a_loss_of_cosines_on_raw_outputs_is_named(loss: Callable[..., Any]) -> None:
    assert check(nn.Linear(6, 4), loss, CLASS) == ["EQ322"]
    assert check(models.CosineHead(6, 4), loss, CLASS) == []


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(weight=COUNTS),
        nn.CrossEntropyLoss(label_smoothing=0.1),
        nn.CrossEntropyLoss(label_smoothing=0.3),
        losses.SoftmaxFocalLoss(gamma=5.0),
        losses.LogitAdjustedLoss(COUNTS),
        losses.VectorScalingLoss.from_class_counts(COUNTS),
        losses.Poly1CrossEntropyLoss(),
        losses.LDAMLoss.from_class_counts(COUNTS, scale=1.0),
    ],
)
def test_weights_focal_terms_and_margins_are_no_scale(loss: Callable[..., Any]) -> None:
    assert "EQ322" not in check(nn.Linear(6, 4), loss, CLASS)


def test_counts_for_margins_are_named() -> None:
    assert check(models.CosineHead(6, 4), losses.LDAMLoss(COUNTS), CLASS) == ["EQ516"]


def test_labels_into_a_loss_of_classes_are_named() -> None:
    assert check(net(), nn.CrossEntropyLoss(), MULTI) == ["EQ317"]
    shares = torch.softmax(torch.randn(8, 4), 1)
    assert check(net(), nn.CrossEntropyLoss(), shares) == []


def maps(*ending: nn.Module, outputs: int = 4) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, outputs, 1), *ending
    )


IMAGES = torch.randn(4, 3, 6, 5, generator=torch.Generator().manual_seed(0))
PIXELS = torch.randint(0, 4, (4, 6, 5), generator=torch.Generator().manual_seed(1))
HOLES = PIXELS.masked_fill(PIXELS == 3, -100)
OVERLAID = (torch.arange(480).reshape(4, 4, 6, 5) % 3 == 0).float()
UNKNOWN = OVERLAID.masked_fill(OVERLAID == 1, torch.nan)


@pytest.mark.parametrize(
    ("model", "loss", "target", "codes"),
    [
        (maps(), nn.CrossEntropyLoss(), PIXELS, []),
        (maps(), nn.CrossEntropyLoss(), HOLES, []),
        (maps(), losses.CrossEntropyLoss(class_dim=1), PIXELS, []),
        (maps(), losses.WeightedCrossEntropyLoss(torch.ones(4), class_dim=1), HOLES, []),
        (maps(), losses.SoftmaxFocalLoss(ignore_index=255, class_dim=1),
         PIXELS.masked_fill(PIXELS == 3, 255), []),
        (maps(), nn.CrossEntropyLoss(ignore_index=255), PIXELS.masked_fill(PIXELS == 3, 255), []),
        (maps(), losses.BCELoss(class_dim=1), OVERLAID, []),
        (maps(), losses.PosWeightBCELoss(torch.ones(4) * 3, class_dim=1), UNKNOWN, []),
        (maps(), nn.BCEWithLogitsLoss(pos_weight=torch.ones(4, 1, 1)), OVERLAID, []),
        (maps(nn.Softmax(1)), losses.CrossEntropyLoss(class_dim=1), PIXELS, ["EQ301"]),
        (maps(nn.Sigmoid()), losses.BCELoss(class_dim=1), OVERLAID, ["EQ301"]),
        (maps(outputs=3), losses.CrossEntropyLoss(class_dim=1), PIXELS, ["EQ304"]),
        (maps(), losses.WeightedCrossEntropyLoss(torch.ones(5), class_dim=1), PIXELS, ["EQ304"]),
        (maps(), losses.CrossEntropyLoss(class_dim=1), PIXELS[..., :3], ["EQ304"]),
        (maps(), losses.CrossEntropyLoss(class_dim=1), PIXELS.masked_fill(PIXELS == 3, -1),
         ["EQ320"]),
        (maps(), nn.BCEWithLogitsLoss(), UNKNOWN, ["EQ319"]),
        (maps(), losses.CrossEntropyLoss(), PIXELS, ["EQ307"]),
    ],
)  # fmt: skip
def test_segmentation_networks_are_checked_as_rows_are(
    model: nn.Module, loss: Callable[..., Any], target: Tensor, codes: list[str]
) -> None:
    assert check(model, loss, target, IMAGES) == codes


def test_a_forgotten_class_dim_is_named() -> None:
    (found,) = eq.check_model(maps(), losses.CrossEntropyLoss(), (IMAGES, PIXELS))
    assert "classes second ask for class_dim=1" in found.message


def test_a_dense_loss_is_audited_as_its_rows() -> None:
    weight = torch.tensor([9.0, 1.0])
    for class_dim in (1, 2):
        dense = losses.PosWeightBCELoss(weight, class_dim=class_dim)
        found = eq.audit_loss(dense, labels=["rare", "even"])
        flat = eq.audit_loss(losses.PosWeightBCELoss(weight), labels=["rare", "even"])
        assert [f.to_dict() for f in found] == [f.to_dict() for f in flat]
        assert dense.class_dim == class_dim
