"""The laws of the way back: from the logits where training rests to the true probabilities."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from cases import CASES, LossCase
from scipy.optimize import root
from torch import Tensor

from equipoise.artifacts import Correction
from equipoise.errors import NotRecoverableError
from equipoise.losses import DistributionBalancedLoss, Loss, recover_posterior

INVERTIBLE = [c for c in CASES if c.module.exactness != "none"]
every_loss = pytest.mark.parametrize("case", INVERTIBLE, ids=lambda case: case.name)
every_exact_loss = pytest.mark.parametrize(
    "case", [c for c in CASES if c.module.exactness == "exact"], ids=lambda case: case.name
)
every_label_loss = pytest.mark.parametrize(
    "case", [c for c in INVERTIBLE if c.kind == "multilabel"], ids=lambda case: case.name
)
every_ranking_loss = pytest.mark.parametrize(
    "case", [c for c in CASES if c.module.exactness == "none"], ids=lambda case: case.name
)


def true_probabilities(case: LossCase, n: int = 8) -> Tensor:
    rng = np.random.default_rng(7)
    if case.kind == "multiclass":
        return torch.from_numpy(rng.dirichlet(np.full(case.width, 0.6), n).clip(1e-4))
    low, high = case.reach
    share = 1.0 / (1.0 + np.exp(-rng.uniform(-6, 6, (n, case.width))))
    return torch.from_numpy(low + (high - low) * share)


def gradients(loss: Loss, z: Tensor, target: Tensor) -> Tensor:
    leaf = z.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(leaf, target).sum(), leaf)
    return found


def rest_of_labels(loss: Loss, eta: Tensor) -> Tensor:
    """Bisect the expected gradient of every entry."""
    low, high = torch.full_like(eta, -80.0), torch.full_like(eta, 80.0)
    for _ in range(120):
        z = 0.5 * (low + high)
        one, zero = torch.ones_like(z), torch.zeros_like(z)
        slope = eta * gradients(loss, z, one) + (1.0 - eta) * gradients(loss, z, zero)
        low, high = torch.where(slope < 0, z, low), torch.where(slope < 0, high, z)
    return 0.5 * (low + high)


def rest_of_classes(loss: Loss, eta: Tensor) -> Tensor:
    """Solve for a zero of the expected gradient, row by row, with the last logit at 0."""
    eta = eta / eta.sum(1, keepdim=True)
    width = eta.shape[1]
    classes = torch.arange(width)
    found = []
    for row in eta:

        def slope(free: np.ndarray, row: Tensor = row) -> np.ndarray:
            z = torch.cat([torch.from_numpy(free), torch.zeros(1, dtype=torch.float64)])
            each = gradients(loss, z.expand(width, width), classes)
            return (row @ each)[:-1].numpy()

        start = (row.log() - row[-1].log())[:-1].numpy()
        answer = root(slope, start, method="lm", tol=1e-14)
        assert np.abs(answer.fun).max() < 1e-9
        found.append(torch.tensor([*answer.x, 0.0], dtype=torch.float64))
    return torch.stack(found)


def at_rest(case: LossCase) -> tuple[Loss, Tensor, Tensor]:
    loss = case.build(reduction="none").double()
    eta = true_probabilities(case)
    if case.kind == "multilabel":
        return loss, eta, rest_of_labels(loss, eta)
    return loss, eta / eta.sum(1, keepdim=True), rest_of_classes(loss, eta)


@every_exact_loss
def test_posterior_returns_the_truth_where_training_rests(case: LossCase) -> None:
    loss, eta, z = at_rest(case)
    torch.testing.assert_close(loss.posterior(z), eta, rtol=0, atol=1e-6)
    torch.testing.assert_close(recover_posterior(loss, z), eta, rtol=0, atol=1e-6)


@every_exact_loss
def test_closed_form_is_the_general_solution(case: LossCase) -> None:
    loss = case.build()
    g = torch.Generator().manual_seed(3)
    z = 6.0 * torch.randn(40, case.width, generator=g, dtype=torch.float64)
    closed, general = loss.posterior(z), recover_posterior(loss, z)
    torch.testing.assert_close(closed, general, rtol=1e-6, atol=1e-9)
    assert (recover_posterior(loss, z, return_clipped=True).clipped_mass.max() > 0) == case.clips


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_where_rows_weigh_alike_the_approximate_form_is_the_general_solution(
    scale: float, gamma: float
) -> None:
    """With beta 0 labels do not couple, so that gradients tell what the formula has to say."""
    counts = [50.0, 5.0, 1.0, 0.0]
    loss = DistributionBalancedLoss(counts, n_rows=100, beta=0.0, scale=scale, gamma=gamma)
    z = 4.0 * torch.randn(40, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    torch.testing.assert_close(loss.posterior(z), recover_posterior(loss, z), rtol=1e-6, atol=1e-9)


@every_loss
def test_a_correction_from_json_agrees_with_the_posterior(case: LossCase) -> None:
    loss = case.build()
    text = json.dumps(loss.correction().to_dict())
    correction = Correction.from_dict(json.loads(text))
    g = torch.Generator().manual_seed(4)
    z = 5.0 * torch.randn(200, case.width, generator=g, dtype=torch.float64)
    np.testing.assert_allclose(
        correction.probabilities(z.numpy()), loss.posterior(z).numpy(), rtol=0, atol=1e-6
    )
    assert correction.kind == case.kind
    assert correction.exactness == loss.exactness


@every_label_loss
def test_a_correction_keeps_the_order_of_saturated_scores(case: LossCase) -> None:
    z = np.linspace(-200, 200, 4001)[:, None].repeat(case.width, 1)
    assert (np.diff(case.build().correction().apply(z), axis=0) > 0).all()


@every_exact_loss
def test_leading_axes_of_the_posterior(case: LossCase) -> None:
    z = torch.randn(2, 3, case.width, generator=torch.Generator().manual_seed(5))
    loss = case.build()
    for invert in (loss.posterior, lambda z: recover_posterior(loss, z)):
        found = invert(z)
        assert found.shape == z.shape
        assert found.dtype == torch.float64
        torch.testing.assert_close(found[1], invert(z[1]))
    lost = recover_posterior(loss, z, return_clipped=True).clipped_mass
    assert lost.shape == (z.shape if case.kind == "multilabel" else z.shape[:-1])


@every_loss
def test_operating_point_is_the_posterior_at_equal_logits(case: LossCase) -> None:
    loss = case.build()
    point = loss.operating_point(case.width)
    expected = loss.posterior(torch.zeros(1, case.width))[0]
    torch.testing.assert_close(point, expected[: point.numel()])
    if case.same_at_zero is not None:
        assert point.numpy() == pytest.approx(case.same_at_zero)
    if case.kind == "multiclass":
        assert point.sum().item() == pytest.approx(1.0)


@every_exact_loss
def test_inverse_works_inside_inference_mode(case: LossCase) -> None:
    z = torch.randn(3, case.width, generator=torch.Generator().manual_seed(6))
    loss = case.build()
    expected = recover_posterior(loss, z)
    with torch.inference_mode():
        found = recover_posterior(loss, z.clone())
        assert torch.equal(found, expected)
        assert torch.equal(loss.posterior(z.clone()), loss.posterior(z))


@every_exact_loss
def test_the_inverse_leaves_the_loss_as_it_was(case: LossCase) -> None:
    loss = case.build(reduction="sum")
    recover_posterior(loss, torch.zeros(2, case.width))
    assert loss.reduction == "sum"
    assert all(buffer.dtype == torch.float32 for buffer in loss.buffers())


@every_label_loss
def test_the_correction_states_the_range_of_the_loss(case: LossCase) -> None:
    low, high = case.build().correction().valid_range
    assert (low, high) == pytest.approx(case.reach, abs=2e-3)


@every_ranking_loss
def test_a_loss_without_an_inverse_says_so(case: LossCase) -> None:
    loss = case.build()
    logits = torch.zeros(2, case.width)
    for ask in (lambda: loss.posterior(logits), loss.correction, loss.operating_point):
        with pytest.raises(NotRecoverableError, match="rank but carry no probability"):
            ask()
