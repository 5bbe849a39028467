"""Slopes and curvatures of boosters beside closed forms and differences of the loss itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit, log_expit

import equipoise as eq
from equipoise import losses
from equipoise.boosting.objectives import (
    KNOTS,
    ClassObjective,
    LabelObjective,
    MarginObjective,
    grid,
)
from equipoise.errors import UsageError
from equipoise.losses.slopes import class_factors, label_slopes

Z = np.linspace(-6, 6, 41)


def of_label(loss: torch.nn.Module, prevalence: float) -> LabelObjective:
    zero, one = label_slopes(loss, 1, grid())
    return LabelObjective.of(zero[:, 0], one[:, 0], prevalence)


def test_the_plain_loss_is_what_boosters_have_themselves() -> None:
    made = of_label(losses.BCELoss(), 0.1)
    assert made.start == pytest.approx(np.log(0.1 / 0.9), abs=1e-5)
    g, h = made(Z, np.ones(41, dtype=int))
    np.testing.assert_allclose(g, expit(Z) - 1, atol=3e-6)
    np.testing.assert_allclose(h, expit(Z) * expit(-Z), rtol=2e-4)


def test_a_weight_starts_at_its_rest_point_and_keeps_the_scale_of_curvatures() -> None:
    made = of_label(losses.PosWeightBCELoss(np.array([9.0])), 0.1)
    assert made.start == pytest.approx(0.0, abs=1e-4)
    # s = pi (1 - pi) / E[h](z0), E[h] = eta w p q + (1 - eta) p q with eta = .1, p = .5
    scale = 0.09 / (0.1 * 9 * 0.25 + 0.9 * 0.25)
    g, h = made(np.zeros(2), np.array([0, 1]))
    np.testing.assert_allclose(g, [scale * 0.5, -scale * 4.5], rtol=1e-5)
    np.testing.assert_allclose(h, [0.09, scale * 9 * 0.25], rtol=1e-4)


def test_focal_curvature_is_the_larger_of_expected_and_own() -> None:
    gamma, made = 2.0, of_label(losses.SigmoidFocalLoss(gamma=2.0), 0.2)
    p, q = expit(Z), expit(-Z)
    g1 = q**gamma * (gamma * p * log_expit(Z) - q)
    c1 = p * q**gamma * (q * (1 + 2 * gamma) + gamma * log_expit(Z) * (q - gamma * p))
    g0 = -(p**gamma) * (gamma * q * log_expit(-Z) - p)
    c0 = q * p**gamma * (p * (1 + 2 * gamma) + gamma * log_expit(-Z) * (p - gamma * q))
    eta = g0 / (g0 - g1)
    expected = eta * c1 + (1 - eta) * c0
    for y, slope, own in ((0, g0, c0), (1, g1, c1)):
        g, h = made(Z, np.full(41, y))
        scale = g[20] / slope[20]
        np.testing.assert_allclose(g, scale * slope, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(h, scale * np.maximum(expected, own), rtol=2e-3, atol=1e-6)


def test_log_loss_is_that_of_the_true_probability() -> None:
    made = of_label(losses.PosWeightBCELoss(np.array([4.0])), 0.2)
    z, y = np.array([-1.0, 0.5, 2.0]), np.array([0, 1, 1])
    eta = expit(z - np.log(4.0))
    wanted = -np.mean(np.log(np.where(y == 1, eta, 1 - eta)))
    assert made.log_losses(z, y).mean() == pytest.approx(wanted, abs=1e-6)


def test_a_loss_that_joins_labels_is_refused() -> None:
    with pytest.raises(UsageError, match="ZLPRLoss joins labels or rows"):
        label_slopes(losses.ZLPRLoss(), 2, grid())


CLASS_LOSSES = {
    "weights": losses.WeightedCrossEntropyLoss(np.array([1.0, 2.0, 5.0])),
    "focal": losses.SoftmaxFocalLoss(gamma=2.0, weight=np.array([1.0, 2.0, 5.0])),
    "poly": losses.Poly1CrossEntropyLoss(epsilon=1.0),
}


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_classes_get_slopes_and_expected_curvatures_of_the_loss(name: str) -> None:
    loss = CLASS_LOSSES[name]
    twin = type(loss).__new__(type(loss))
    twin.__dict__ = loss.__dict__ | {"reduction": "none"}
    prior = np.array([0.8, 0.15, 0.05])
    factor = class_factors(loss, 3, grid())
    made = ClassObjective.of(factor, prior)
    z = np.random.default_rng(0).normal(size=(6, 3)) * 2
    y = np.array([0, 1, 2, 2, 1, 0])

    def slope(at: np.ndarray, truth: np.ndarray) -> np.ndarray:
        leaf = torch.tensor(at, requires_grad=True)
        twin.double()(leaf, torch.tensor(truth)).sum().backward()
        return leaf.grad.numpy()

    g, h = made(z, y)
    np.testing.assert_allclose(g, made.scale * slope(z, y), rtol=1e-4, atol=1e-7)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    eta = np.stack([p[:, c] / np.interp(np.log(p[:, c] / (1 - p[:, c])), grid(), factor[:, c])
                    for c in range(3)], 1)  # fmt: skip
    eta /= eta.sum(1, keepdims=True)
    expected, own, step = np.zeros_like(z), np.zeros_like(z), 1e-4
    for c in range(3):
        shift = np.zeros(3)
        shift[c] = step
        for k in range(3):
            truth = np.full(6, k)
            change = (slope(z + shift, truth) - slope(z - shift, truth))[:, c] / (2 * step)
            expected[:, c] += eta[:, k] * change
            own[:, c] += np.where(y == k, change, 0.0)
    np.testing.assert_allclose(h, made.scale * np.maximum(expected, own), rtol=5e-3, atol=1e-6)


def test_a_shift_of_outputs_is_undone_by_where_training_starts() -> None:
    """Logit adjustment is no remedy in a booster: it starts where the shift does nothing."""
    prior = np.array([0.7, 0.2, 0.1])
    even = np.ones((KNOTS, 3))
    plain, shifted = ClassObjective.of(even, prior), ClassObjective.of(even, prior, np.log(prior))
    y, step = np.array([0, 1, 2]), np.array([[0.3, -0.1, 0.2]])
    at = step.repeat(3, 0)
    pairs = zip(plain(plain.start + at, y), shifted(shifted.start + at, y), strict=True)
    for first, second in pairs:
        np.testing.assert_allclose(first, second, rtol=1e-12)


def test_margins_have_the_slope_of_ldam_without_its_head() -> None:
    margin = np.array([0.1, 0.3, 0.5])
    loss = losses.LDAMLoss(margin, scale=1.0, reduction="none").double()
    z, y = np.random.default_rng(1).normal(size=(5, 3)), np.array([0, 2, 1, 2, 0])
    leaf = torch.tensor(z, requires_grad=True)
    loss(leaf, torch.tensor(y)).sum().backward()
    g, h = MarginObjective(np.zeros(3), margin)(z, y)
    np.testing.assert_allclose(g, leaf.grad.numpy(), atol=1e-6)
    assert (h > 0).all()


def test_a_loss_of_other_outputs_is_refused() -> None:
    loss = losses.LabelAwareSmoothingLoss.from_class_counts(np.array([90, 9, 1]))
    with pytest.raises(UsageError, match="no function of the true class's probability alone"):
        class_factors(loss, 3, grid())


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_a_loss_of_regions_is_refused_on_a_booster(kind: str) -> None:
    pytest.importorskip("monai")
    from equipoise.boosting.families import FAMILIES
    from equipoise.methods.on_tables import treat

    y = [0] * 80 + [1] * 15 + [2] * 5 if kind == "multiclass" else [[1, 0]] * 10 + [[0, 1]] * 40
    labels = eq.Labels.from_array(y, kind=kind)
    treated = treat(eq.remedy("dice", labels), labels, FAMILIES["lightgbm"], 0)
    one = kind == "multilabel"
    with pytest.raises(UsageError, match=r"RegionLoss (joins labels or rows|is no function of)"):
        treated.objective(labels.values[:, 0] if one else labels.values, 0, 1 if one else 3)
