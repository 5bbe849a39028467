"""Identities, parity with torch and known traps of each family."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from equipoise.errors import DataError, NoEffectWarning, UsageError
from equipoise.losses import (
    LogitAdjustedLoss,
    PosWeightBCELoss,
    SigmoidFocalLoss,
    SoftmaxFocalLoss,
    WeightedCrossEntropyLoss,
    bce_loss,
    cross_entropy,
    logit_adjusted_loss,
    pos_weight_bce_loss,
    sigmoid_focal_loss,
    softmax_focal_loss,
    weighted_cross_entropy,
)

G = torch.Generator().manual_seed(0)
LOGITS = 3 * torch.randn(20, 3, generator=G)
CLASSES = torch.randint(0, 3, (20,), generator=G)
HOT = torch.randint(0, 2, (20, 3), generator=G).float()
WEIGHT = torch.tensor([0.5, 1.0, 10.0])


def test_weights_normalizer_is_torch_and_ignores_scale() -> None:
    found = weighted_cross_entropy(LOGITS, CLASSES, weight=WEIGHT, normalizer="weights")
    torch.testing.assert_close(found, functional.cross_entropy(LOGITS, CLASSES, WEIGHT))
    scaled = weighted_cross_entropy(LOGITS, CLASSES, weight=7 * WEIGHT, normalizer="weights")
    torch.testing.assert_close(found, scaled)


def test_samples_normalizer_counts_the_weight_of_a_single_row() -> None:
    z, y = LOGITS[:1], torch.tensor([2])
    plain = cross_entropy(z, y)
    torch.testing.assert_close(weighted_cross_entropy(z, y, weight=WEIGHT), 10 * plain)
    by_weights = weighted_cross_entropy(z, y, weight=WEIGHT, normalizer="weights")
    torch.testing.assert_close(by_weights, plain)


def test_micro_batches_of_equal_size_average_to_the_batch() -> None:
    whole = weighted_cross_entropy(LOGITS, CLASSES, weight=WEIGHT)
    parts = [
        weighted_cross_entropy(z, y, weight=WEIGHT)
        for z, y in zip(LOGITS.split(5), CLASSES.split(5), strict=True)
    ]
    torch.testing.assert_close(torch.stack(parts).mean(), whole)


def test_one_hot_and_indices_agree_under_either_normalizer() -> None:
    hot = functional.one_hot(CLASSES, 3).float()
    for normalizer in ("samples", "weights"):
        a = weighted_cross_entropy(LOGITS, CLASSES, weight=WEIGHT, normalizer=normalizer)
        b = weighted_cross_entropy(LOGITS, hot, weight=WEIGHT, normalizer=normalizer)
        torch.testing.assert_close(a, b)


def test_an_unknown_normalizer_is_named() -> None:
    with pytest.raises(UsageError, match="`normalizer` must be one of 'samples', 'weights'"):
        WeightedCrossEntropyLoss(WEIGHT, normalizer="sum")  # type: ignore[arg-type]


def test_a_batch_of_weightless_rows_is_zero() -> None:
    weight = torch.tensor([0.0, 1.0, 1.0])
    zeros = torch.zeros_like(CLASSES)
    assert weighted_cross_entropy(LOGITS, zeros, weight=weight, normalizer="weights") == 0


def test_focal_p_is_that_of_the_unweighted_softmax() -> None:
    plain = softmax_focal_loss(LOGITS, CLASSES, reduction="none")
    weighted = softmax_focal_loss(LOGITS, CLASSES, weight=WEIGHT, reduction="none")
    torch.testing.assert_close(weighted, WEIGHT[CLASSES] * plain)


def test_focal_keeps_the_gradient_of_easy_rows_in_float32() -> None:
    z = torch.tensor([[20.0, 0.0, 0.0]], requires_grad=True)
    softmax_focal_loss(z, torch.tensor([0]), gamma=0.5).backward()
    exact = torch.tensor([[20.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    softmax_focal_loss(exact, torch.tensor([0]), gamma=0.5).backward()
    found, expected = z.grad[0, 1:].double(), exact.grad[0, 1:]
    assert (found > 0).all()
    torch.testing.assert_close(found, expected, rtol=0.5, atol=0)


@pytest.mark.parametrize("size", [10.0, 100.0, 200.0, 1000.0])
@pytest.mark.parametrize("gamma", [0.1, 0.5, 1.0, 5.0])
def test_focal_gradients_survive_saturation(gamma: float, size: float) -> None:
    for sign in (-1.0, 1.0):
        z = torch.tensor([[sign * size, 0.0]], requires_grad=True)
        softmax_focal_loss(z, torch.tensor([0]), gamma=gamma).backward()
        assert z.grad.isfinite().all()
        z.grad = None
        target = torch.tensor([[1.0, 0.0]])
        sigmoid_focal_loss(z, target, gamma=gamma, alpha=0.25).backward()
        assert z.grad.isfinite().all()


def test_focal_of_one_half_is_half_of_bce() -> None:
    found = sigmoid_focal_loss(LOGITS, HOT, gamma=0.0, alpha=0.5)
    torch.testing.assert_close(found, 0.5 * bce_loss(LOGITS, HOT))


def test_alpha_weighs_positives_not_negatives() -> None:
    zero = torch.zeros(1, 1)
    one = sigmoid_focal_loss(zero, torch.ones(1, 1), gamma=0.0, alpha=0.25)
    torch.testing.assert_close(one, torch.tensor(0.25 * math.log(2)))


def test_sigmoid_of_the_gap_is_softmax_of_two() -> None:
    two = LOGITS[:, :2]
    hard = softmax_focal_loss(two, CLASSES.clamp_max(1), gamma=1.5)
    gap, target = two[:, 1:] - two[:, :1], CLASSES.clamp_max(1)[:, None].float()
    torch.testing.assert_close(sigmoid_focal_loss(gap, target, gamma=1.5), hard)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.5])
def test_alpha_lies_between_zero_and_one(alpha: float) -> None:
    for call in (
        lambda: SigmoidFocalLoss(alpha=alpha),
        lambda: sigmoid_focal_loss(LOGITS, HOT, alpha=alpha),
    ):
        with pytest.raises(UsageError, match=r"`alpha` must lie in \(0, 1\)"):
            call()


@pytest.mark.parametrize("gamma", [-0.1, math.inf, math.nan])
def test_gamma_is_finite_and_not_negative(gamma: float) -> None:
    for call in (SigmoidFocalLoss, SoftmaxFocalLoss):
        with pytest.raises(UsageError, match="`gamma` must be finite and >= 0"):
            call(gamma=gamma)
    with pytest.raises(UsageError, match="`gamma` must be finite and >= 0"):
        softmax_focal_loss(LOGITS, CLASSES, gamma=gamma)


def test_pos_weight_is_torch() -> None:
    found = pos_weight_bce_loss(LOGITS, HOT, pos_weight=WEIGHT)
    expected = functional.binary_cross_entropy_with_logits(LOGITS, HOT, pos_weight=WEIGHT)
    torch.testing.assert_close(found, expected)


def test_fractions_are_mixtures_of_targets() -> None:
    found = pos_weight_bce_loss(LOGITS, torch.full_like(HOT, 0.3), pos_weight=WEIGHT)
    one = pos_weight_bce_loss(LOGITS, torch.ones_like(HOT), pos_weight=WEIGHT)
    zero = pos_weight_bce_loss(LOGITS, torch.zeros_like(HOT), pos_weight=WEIGHT)
    torch.testing.assert_close(found, 0.3 * one + 0.7 * zero)


def test_log_counts_and_log_shares_are_the_same_loss() -> None:
    counts = torch.tensor([70_000.0, 300.0, 20.0])
    by_counts = logit_adjusted_loss(LOGITS, CLASSES, prior=counts)
    by_shares = logit_adjusted_loss(LOGITS, CLASSES, prior=counts / counts.sum())
    torch.testing.assert_close(by_counts, by_shares)
    torch.testing.assert_close(by_counts, functional.cross_entropy(LOGITS + counts.log(), CLASSES))


def test_equal_shares_are_cross_entropy() -> None:
    found = logit_adjusted_loss(LOGITS, CLASSES, prior=torch.full((3,), 1 / 3))
    torch.testing.assert_close(found, cross_entropy(LOGITS, CLASSES))


def test_classes_without_rows_are_refused_or_left_out() -> None:
    with pytest.raises(
        DataError, match="`prior` must be above 0 for every class, got 0 for class 1"
    ):
        LogitAdjustedLoss([0.5, 0.0, 0.5])
    with pytest.raises(DataError, match="be above 0 for every class"):
        LogitAdjustedLoss.from_class_counts([30, 0, 10])
    loss = LogitAdjustedLoss.from_class_counts([30, 0, 10], zero_counts="ignore")
    z = LOGITS.clone().requires_grad_()
    value = loss(z, CLASSES % 2 * 2)
    value.backward()
    assert value.isfinite()
    assert z.grad[:, 1].abs().max() < 1e-20
    assert loss.posterior(LOGITS)[:, 1].max() < 1e-20
    assert loss(LOGITS, torch.ones_like(CLASSES)).isfinite()
    smooth = LogitAdjustedLoss.from_class_counts([3, 0, 1], zero_counts="smooth")
    torch.testing.assert_close(smooth.prior, torch.tensor([4, 1, 2]) / 7)


def test_target_prior_moves_the_operating_point() -> None:
    loss = LogitAdjustedLoss([0.9, 0.1], target_prior=[0.5, 0.5])
    torch.testing.assert_close(
        loss.operating_point(), torch.tensor([0.9, 0.1], dtype=torch.float64), rtol=1e-6, atol=0
    )


def test_losses_build_from_counts() -> None:
    counts = {"cat": 90, "dog": 10}
    weighted = WeightedCrossEntropyLoss.from_class_counts(counts, normalizer="weights")
    torch.testing.assert_close(weighted.weight, torch.tensor([100 / 180, 5.0]))
    focal = SoftmaxFocalLoss.from_class_counts(counts, gamma=1.0, method="power", normalize=None)
    torch.testing.assert_close(focal.weight, torch.tensor([10 / 9, 10.0]).sqrt())
    binary = PosWeightBCELoss.from_label_counts([10, 50], 100, power=0.5, cap=2.0)
    torch.testing.assert_close(binary.pos_weight, torch.tensor([2.0, 1.0]))
    with pytest.warns(NoEffectWarning):
        WeightedCrossEntropyLoss.from_class_counts([10, 10])


def test_repr_names_the_settings() -> None:
    assert repr(SigmoidFocalLoss(gamma=2.0, alpha=0.25)) == (
        "SigmoidFocalLoss(gamma=2, alpha=0.25, reduction='mean')"
    )
    assert repr(LogitAdjustedLoss([0.5, 0.5])) == (
        "LogitAdjustedLoss(prior=(2,), tau=1, target_prior=uniform, reduction='mean')"
    )
