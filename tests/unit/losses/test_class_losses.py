"""Single-label losses beyond the laws: smoothing, totals over a step, margins from counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from equipoise.artifacts import Correction
from equipoise.errors import DataError, UsageError
from equipoise.losses import (
    BalancedSoftmaxLoss,
    CDTLoss,
    LabelAwareSmoothingLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    Poly1CrossEntropyLoss,
    VectorScalingLoss,
    WeightedCrossEntropyLoss,
    cross_entropy,
    ldam_loss,
    logit_adjusted_loss,
    poly1_cross_entropy_loss,
    vector_scaling_loss,
    weighted_cross_entropy,
)
from equipoise.models import CosineHead

G = torch.Generator().manual_seed(0)
LOGITS = 3 * torch.randn(20, 3, generator=G)
CLASSES = torch.randint(0, 3, (20,), generator=G)
SOFT = torch.rand(20, 3, generator=G).softmax(-1)
WEIGHT = torch.tensor([0.5, 1.0, 10.0])
COUNTS = [900, 90, 10]


@pytest.mark.parametrize("target", [CLASSES, SOFT], ids=["indices", "mixup"])
def test_label_smoothing_is_that_of_torch(target: torch.Tensor) -> None:
    found = cross_entropy(LOGITS, target, label_smoothing=0.2)
    expected = functional.cross_entropy(LOGITS, target, label_smoothing=0.2)
    torch.testing.assert_close(found, expected)


def test_weights_count_for_the_whole_smoothed_term() -> None:
    """With weights inside the sum the minimiser for class 0 would be 0.161 here."""
    weight, target = torch.tensor([0.01, 0.99]), torch.tensor([0])
    z = torch.zeros(1, 2, requires_grad=True, dtype=torch.float64)
    optimizer = torch.optim.LBFGS([z], max_iter=200, tolerance_grad=1e-14, tolerance_change=0)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = 100 * weighted_cross_entropy(z, target, weight=weight, label_smoothing=0.1)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert z.detach().softmax(-1)[0, 0].item() == pytest.approx(0.95, abs=1e-6)


def test_smoothing_outside_its_range_is_named() -> None:
    with pytest.raises(UsageError, match=r"`label_smoothing` must lie in \[0, 1\), got 1.0"):
        cross_entropy(LOGITS, CLASSES, label_smoothing=1.0)


def test_global_total_makes_micro_batches_add_up_to_the_batch() -> None:
    loss = WeightedCrossEntropyLoss(WEIGHT, normalizer="global")
    whole = functional.cross_entropy(LOGITS, CLASSES, WEIGHT)
    torch.testing.assert_close(loss(LOGITS, CLASSES), whole)
    total = loss.weight_total(*CLASSES.split(7))
    torch.testing.assert_close(total, WEIGHT[CLASSES].sum())
    parts = [
        loss(z, y, weight_total=total)
        for z, y in zip(LOGITS.split(7), CLASSES.split(7), strict=True)
    ]
    torch.testing.assert_close(torch.stack(parts).sum(), whole)
    torch.testing.assert_close(loss.weight_total(SOFT), (SOFT * WEIGHT).sum())


def test_a_total_for_another_normalizer_is_refused() -> None:
    with pytest.raises(UsageError, match="`weight_total` must come with 'global', got 'samples'"):
        weighted_cross_entropy(LOGITS, CLASSES, weight=WEIGHT, weight_total=3.0)


def test_balanced_softmax_is_logit_adjustment_with_tau_one() -> None:
    counts = torch.tensor(COUNTS, dtype=torch.float32)
    balanced = functional.cross_entropy(LOGITS + counts.log(), CLASSES)
    torch.testing.assert_close(logit_adjusted_loss(LOGITS, CLASSES, prior=counts), balanced)
    adjusted = LogitAdjustedLoss.from_class_counts(COUNTS)
    assert torch.equal(
        BalancedSoftmaxLoss.from_class_counts(COUNTS)(LOGITS, CLASSES), adjusted(LOGITS, CLASSES)
    )
    torch.testing.assert_close(
        LogitAdjustedLoss.from_class_counts(COUNTS)(LOGITS, CLASSES), balanced
    )


def test_margins_go_with_the_fourth_root_of_counts() -> None:
    loss = LDAMLoss.from_class_counts([10_000, 625, 16])
    torch.testing.assert_close(loss.margin, 0.5 * torch.tensor([0.2, 0.4, 1.0]))
    with pytest.raises(DataError, match="0"):
        LDAMLoss.from_class_counts([10, 0])
    empty = LDAMLoss.from_class_counts([16, 1, 0], zero_counts="ignore", max_margin=0.4)
    torch.testing.assert_close(empty.margin, torch.tensor([0.2, 0.4, 0.4]))


def test_ldam_by_definition_keeps_digits_where_right_and_sure() -> None:
    cosines = torch.tensor([[1.0, -1.0, -1.0]])
    found = ldam_loss(cosines, torch.tensor([0]), margin=torch.tensor([0.1, 0.2, 0.5]))
    assert found.item() == pytest.approx(math.log1p(2 * math.exp(-57)), rel=1e-4)


def test_ldam_on_a_cosine_head_learns() -> None:
    torch.manual_seed(0)
    x = torch.randn(60, 4)
    y = x[:, :3].argmax(1)
    head, loss = CosineHead(4, 3), LDAMLoss([0.1, 0.1, 0.3])
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    first = loss(head(x), y).item()
    for _ in range(50):
        optimizer.zero_grad()
        loss(head(x), y).backward()
        optimizer.step()
    assert loss(head(x), y).item() < 0.5 * first


def test_vector_scaling_without_factors_is_logit_adjustment() -> None:
    prior = torch.tensor(COUNTS) / 1000
    found = vector_scaling_loss(LOGITS, CLASSES, prior=prior, gamma=0.0, tau=1.5)
    expected = logit_adjusted_loss(LOGITS, CLASSES, prior=prior, tau=1.5)
    torch.testing.assert_close(found, expected)
    cdt, vs = CDTLoss(prior, gamma=0.3), VectorScalingLoss(prior, gamma=0.3, tau=0.0)
    assert torch.equal(cdt(LOGITS, CLASSES), vs(LOGITS, CLASSES))


def test_temperatures_are_the_published_ones() -> None:
    divided = LOGITS / torch.tensor([1.0, 10**0.2, 90**0.2])
    found = CDTLoss.from_class_counts(COUNTS, gamma=0.2)(LOGITS, CLASSES)
    torch.testing.assert_close(found, functional.cross_entropy(divided, CLASSES))
    with pytest.raises(DataError):
        VectorScalingLoss.from_class_counts([10, 0])
    torch.testing.assert_close(
        VectorScalingLoss.from_class_counts([3, 0], smooth=True).prior, torch.tensor([0.8, 0.2])
    )


def test_smoothing_goes_from_tail_to_head_by_a_sine() -> None:
    loss = LabelAwareSmoothingLoss.from_class_counts([500, 255, 10])
    middle = 0.1 + 0.3 * math.sin(math.pi / 4)
    torch.testing.assert_close(loss.smoothing, torch.tensor([0.4, middle, 0.1]))
    same = LabelAwareSmoothingLoss.from_class_counts([7, 7, 7], head=0.2)
    torch.testing.assert_close(same.smoothing, torch.full((3,), 0.2))
    with pytest.raises(UsageError, match=r"stay below \(C - 1\) / C = 0.5"):
        LabelAwareSmoothingLoss([0.5, 0.1])


@pytest.mark.parametrize("epsilon", [-1.0, math.inf, math.nan])
def test_poly_never_pushes_right_answers_away(epsilon: float) -> None:
    for call in (
        lambda: Poly1CrossEntropyLoss(epsilon=epsilon),
        lambda: poly1_cross_entropy_loss(LOGITS, CLASSES, epsilon=epsilon),
    ):
        with pytest.raises(UsageError, match="`epsilon` must be finite and > -1"):
            call()


@pytest.mark.parametrize(
    ("op", "need"),
    [
        ({"op": "scale", "scale": [1.0, 0.0]}, "finite `scale` > 0"),
        ({"op": "poly", "epsilon": -1.0}, "`epsilon` > -1"),
        ({"op": "ldam", "margin": [-0.1], "scale": 30.0}, "`margin` >= 0"),
        ({"op": "unmix", "smoothing": 1.0}, "`smoothing` in"),
        ({"op": "unmix"}, "`smoothing` in"),
    ],
)
def test_steps_that_cannot_run_are_refused(op: dict[str, object], need: str) -> None:
    with pytest.raises(DataError, match=need):
        Correction("multiclass", (op,))


def test_steps_for_classes_are_refused_for_labels() -> None:
    with pytest.raises(UsageError, match="fit labels"):
        Correction("multilabel", ({"op": "poly", "epsilon": 1.0},))


def test_classes_below_the_smoothed_share_keep_their_order() -> None:
    z = np.array([[30.0, 1.0, 0.0, -50.0]])
    found = Correction("multiclass", ({"op": "unmix", "smoothing": 0.1},)).apply(z)
    assert np.isfinite(found).all()
    assert (np.diff(found[0]) < 0).all()
