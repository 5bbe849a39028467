"""Published operating points, identities and known traps of the losses for labels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from equipoise.errors import DataError, NotRecoverableError, UsageError
from equipoise.losses import (
    AsymmetricLoss,
    ClassBalancedBCELoss,
    DistributionBalancedLoss,
    HillLoss,
    Loss,
    PairwiseAUCLoss,
    SigmoidFocalLoss,
    SmoothAPLoss,
    SoftFBetaLoss,
    SPLCLoss,
    TwoWayLoss,
    ZLPRLoss,
    asymmetric_loss,
    bce_loss,
    class_balanced_focal_loss,
    sigmoid_focal_loss,
    zlpr_loss,
)

G = torch.Generator().manual_seed(0)
LOGITS = 3 * torch.randn(20, 3, generator=G)
HOT = torch.randint(0, 2, (20, 3), generator=G).float()


@pytest.mark.parametrize(
    ("settings", "detached", "expected"),
    [
        ((0.0, 4.0, 0.05), False, 0.128),
        ((0.0, 4.0, 0.05), True, 0.036),
        ((1.0, 4.0, 0.05), False, 0.147),
        ((1.0, 4.0, 0.05), True, 0.069),
        ((0.0, 2.0, 0.05), False, 0.312),
        ((0.0, 2.0, 0.05), True, 0.156),
    ],
)
def test_asymmetric_operating_points(settings: tuple, detached: bool, expected: float) -> None:
    positive, negative, margin = settings
    loss = AsymmetricLoss(
        gamma_positive=positive,
        gamma_negative=negative,
        margin=margin,
        detach_focus=detached,
    )
    assert loss.operating_point().item() == pytest.approx(expected, abs=6e-4)


def test_hill_operating_point_and_outputs() -> None:
    loss = HillLoss()
    assert loss.operating_point().item() == pytest.approx(0.196, abs=5e-4)
    outputs = torch.tensor([[0.065, 0.243, 0.937]]).logit()
    assert loss.posterior(outputs)[0].numpy() == pytest.approx([0.01, 0.085, 0.5], abs=2e-3)


def test_a_hill_that_turns_has_no_inverse() -> None:
    with pytest.raises(NotRecoverableError, match=r"Set hill to 1\.5 or more"):
        HillLoss(hill=1.2).correction()


def test_below_the_margin_the_posterior_is_zero_and_the_gradient_too() -> None:
    z = torch.tensor([[-4.0]], requires_grad=True)
    assert AsymmetricLoss().posterior(z).item() == 0.0
    asymmetric_loss(z, torch.zeros(1, 1)).backward()
    assert z.grad.item() == 0.0


def test_detaching_changes_slopes_and_no_values() -> None:
    plain = asymmetric_loss(LOGITS, HOT, detach_focus=False)
    assert torch.equal(plain, asymmetric_loss(LOGITS, HOT, detach_focus=True))


def test_blocks_are_the_whole() -> None:
    g = torch.Generator().manual_seed(1)
    z = torch.randn(3000, 50, generator=g, requires_grad=True)
    y = torch.randint(0, 2, z.shape, generator=g).float()
    whole = asymmetric_loss(z, y, reduction="none")
    parts = [
        asymmetric_loss(a, b, reduction="none")
        for a, b in zip(z.split(7), y.split(7), strict=False)
    ]
    torch.testing.assert_close(whole, torch.cat(parts))
    (found,) = torch.autograd.grad(whole.sum(), z)
    (expected,) = torch.autograd.grad(torch.cat(parts).sum(), z)
    torch.testing.assert_close(found, expected)


def test_focal_works_inside_vmap_with_settings_mapped() -> None:
    alpha = torch.tensor([[0.2, 0.5, 0.7], [0.6, 0.4, 0.9]])

    def one(a: torch.Tensor) -> torch.Tensor:
        return sigmoid_focal_loss(LOGITS, HOT, alpha=a)

    torch.testing.assert_close(torch.func.vmap(one)(alpha), torch.stack([one(a) for a in alpha]))


def test_effective_numbers_of_5000_to_50() -> None:
    for beta, expected in ((0.99, 2.53), (0.9999, 78.9)):
        loss = ClassBalancedBCELoss.from_label_counts([50], 5050, weight_on="positives", beta=beta)
        assert loss.weight.item() == pytest.approx(expected, rel=2e-3)
    loss = ClassBalancedBCELoss.from_label_counts([5000, 50], weight_on="label", beta=0.99)
    assert (loss.weight[1] / loss.weight[0]).item() == pytest.approx(2.53, rel=2e-3)


def test_class_balanced_counts_of_zero() -> None:
    with pytest.raises(DataError, match="n_positive"):
        ClassBalancedBCELoss.from_label_counts([0, 5], 10, weight_on="positives")
    loss = ClassBalancedBCELoss.from_label_counts(
        [0, 5], 10, weight_on="positives", zero_counts="smooth"
    )
    assert loss.weight.isfinite().all()


def test_class_balanced_focal_of_weight_one_is_focal() -> None:
    found = class_balanced_focal_loss(LOGITS, HOT, weight=torch.ones(3), weight_on="label")
    torch.testing.assert_close(found, sigmoid_focal_loss(LOGITS, HOT))
    assert SigmoidFocalLoss().operating_point().item() == pytest.approx(0.5)


def test_distribution_balanced_leads_a_model_of_biases_back_to_the_frequencies() -> None:
    g = torch.Generator().manual_seed(2)
    target = (torch.rand(400, 3, generator=g) < torch.tensor([0.05, 0.3, 0.6])).double()
    loss = DistributionBalancedLoss.from_targets(target).double()
    low, high = torch.full((3,), -20.0).double(), torch.full((3,), 20.0).double()
    for _ in range(60):
        z = (0.5 * (low + high)).requires_grad_()
        (slope,) = torch.autograd.grad(loss(z.expand(400, 3), target), z)
        low, high = torch.where(slope < 0, z, low), torch.where(slope < 0, high, z)
    found = loss.posterior(low.detach()[None])[0]
    torch.testing.assert_close(found, target.mean(0), rtol=0, atol=1e-6)


def test_zlpr_of_one_label_is_bce() -> None:
    torch.testing.assert_close(
        zlpr_loss(LOGITS[:, :1], HOT[:, :1]), bce_loss(LOGITS[:, :1], HOT[:, :1])
    )


def test_auc_loss_of_half_precision_sums_in_float64() -> None:
    z = torch.tensor([[100.0], [-100.0]], dtype=torch.float16)
    found = PairwiseAUCLoss()(z, torch.tensor([[0.0], [1.0]]))
    assert found.item() == pytest.approx(201.0**2, rel=1e-3)


def test_splc_begins_to_correct_at_its_epoch() -> None:
    loss = SPLCLoss(first_epoch=2)
    z, y = torch.tensor([[3.0]]), torch.zeros(1, 1)
    first = loss(z, y)
    loss.set_epoch(1)
    assert torch.equal(loss(z, y), first)
    loss.set_epoch(2)
    assert loss(z, y) < first


def test_splc_keeps_through_a_file_whether_it_corrects(tmp_path: Path) -> None:
    begun, fresh = SPLCLoss(), SPLCLoss()
    begun.set_epoch(1)
    torch.save(begun.state_dict(), tmp_path / "loss.pt")
    fresh.load_state_dict(torch.load(tmp_path / "loss.pt", weights_only=True))
    assert fresh.correcting
    assert torch.equal(fresh(LOGITS, HOT), begun(LOGITS, HOT))
    fresh.load_state_dict(SPLCLoss().state_dict())
    assert not fresh.correcting
    save_file(begun.state_dict(), tmp_path / "loss.safetensors")
    fresh.load_state_dict(load_file(tmp_path / "loss.safetensors"))
    assert fresh.correcting


@pytest.mark.parametrize("margin", [0.05, 0.3])
def test_without_focusing_the_slope_jumps_at_the_margin_and_the_value_does_not(
    margin: float,
) -> None:
    at = torch.tensor(margin, dtype=torch.float64).logit()
    z = (at + torch.tensor([[-1e-7, 1e-7]], dtype=torch.float64)).requires_grad_()
    loss = AsymmetricLoss(gamma_positive=0.0, gamma_negative=0.0, margin=margin, reduction="none")
    value = loss(z, torch.zeros_like(z))
    (slope,) = torch.autograd.grad(value.sum(), z)
    assert value[0].tolist() == pytest.approx([0.0, 0.0], abs=1e-7)
    assert slope[0].tolist() == pytest.approx([0.0, margin * (1 - margin)], abs=1e-6)
    known = loss.posterior(z.detach())[0].tolist()
    assert known == pytest.approx([0.0, margin / (1 + margin)], abs=1e-6)


@pytest.mark.parametrize(
    ("loss", "has_zero"),
    [
        (ZLPRLoss(), True),
        (SPLCLoss(correcting=True), True),
        (SoftFBetaLoss(), True),
        (TwoWayLoss(), False),
        (PairwiseAUCLoss(), False),
        (SmoothAPLoss(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_some_ranking_losses_give_the_output_zero_a_meaning(
    loss: Loss, has_zero: bool
) -> None:
    value, moved = loss(LOGITS.double(), HOT), loss(LOGITS.double() + 2.0, HOT)
    assert (abs(moved.item() - value.item()) > 0.01) == has_zero
    if not has_zero:
        torch.testing.assert_close(moved, value)


@pytest.mark.parametrize("margin", [-0.1, 1.0])
def test_a_margin_outside_its_range_is_named(margin: float) -> None:
    with pytest.raises(UsageError, match=r"`margin` must lie in \[0, 1\)"):
        AsymmetricLoss(margin=margin)


def test_unknown_entries_and_all_known_agree_with_torch() -> None:
    known = torch.rand(20, 3, generator=G) < 0.7
    masked = HOT.masked_fill(~known, float("nan"))
    expected = functional.binary_cross_entropy_with_logits(LOGITS[known], HOT[known])
    torch.testing.assert_close(bce_loss(LOGITS, masked), expected)
