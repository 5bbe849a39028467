"""The general inverse, on losses of others and at its limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy as torch_cross_entropy, logsigmoid, softplus

from equipoise.artifacts import Correction
from equipoise.errors import NotRecoverableError, ShapeError, UsageError
from equipoise.losses import (
    LogitAdjustedLoss,
    Loss,
    PosWeightBCELoss,
    SigmoidFocalLoss,
    SoftmaxFocalLoss,
    WeightedCrossEntropyLoss,
    recover_posterior,
)
from equipoise.losses.posterior import log_odds_tables, stationary_distribution

Z = torch.randn(20, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def asymmetric(z: Tensor, y: Tensor, *, detach: bool, positive: float = 0.0, negative: float = 4.0):
    """ASL by the book (Ridnik et al., 2021), margin 0.05, with and without gradient of weights."""
    p, shifted = z.sigmoid(), (z.sigmoid() - 0.05).clamp_min(0.0)
    one, zero = (1 - p) ** positive, shifted**negative
    if detach:
        one, zero = one.detach(), zero.detach()
    return -y * one * logsigmoid(z) - (1 - y) * zero * torch.log1p(-shifted)


class Asymmetric(Loss):
    """ASL without any closed form, as another family would be written first."""

    kind = "multilabel"

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return asymmetric(logits, target, detach=False)


class Poly(Loss):
    kind = "multiclass"

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        log_p = logits.log_softmax(-1).gather(-1, target[:, None])[:, 0]
        return -log_p + 2.0 * (1.0 - log_p.exp())


class Ranking(Asymmetric):
    exactness = "none"


@pytest.mark.parametrize(
    ("detach", "positive", "negative", "point"),
    [
        (False, 0, 2, 0.312),
        (True, 0, 2, 0.156),
        (False, 1, 4, 0.147),
        (True, 1, 4, 0.069),
        (False, 0, 4, 0.128),
        (True, 0, 4, 0.036),
    ],
)
def test_published_operating_points_of_asl(
    detach: bool, positive: float, negative: float, point: float
) -> None:
    def loss(z: Tensor, y: Tensor) -> Tensor:
        return asymmetric(z, y, detach=detach, positive=positive, negative=negative)

    zero = torch.zeros(1, 1, dtype=torch.float64)
    found = recover_posterior(loss, zero, kind="multilabel").item()
    assert found == pytest.approx(point, abs=1e-3)


@pytest.mark.parametrize(("detach", "ceiling"), [(False, 0.964), (True, 0.942)])
def test_asl_cannot_express_more_than_its_ceiling(detach: bool, ceiling: float) -> None:
    def loss(z: Tensor, y: Tensor) -> Tensor:
        return asymmetric(z, y, detach=detach)

    z = torch.linspace(-8, 12, 2001, dtype=torch.float64)[:, None]
    eta = recover_posterior(loss, z, kind="multilabel")
    assert eta.max().item() == pytest.approx(ceiling, abs=2e-3)
    assert (eta[z < np.log(0.05 / 0.95)] == 0).all()


@pytest.mark.parametrize(("p_true", "output"), [(0.01, 0.154), (0.085, 0.292), (0.5, 0.5)])
def test_published_outputs_of_sigmoid_focal(p_true: float, output: float) -> None:
    z = torch.logit(torch.tensor([[output]], dtype=torch.float64))
    assert SigmoidFocalLoss(gamma=2.0).posterior(z).item() == pytest.approx(p_true, rel=0.02)


@pytest.mark.parametrize("weight", [0.5, 1.0, 9.0, 2262.0])
def test_operating_point_of_pos_weight(weight: float) -> None:
    point = PosWeightBCELoss([weight]).operating_point().item()
    assert point == pytest.approx(1.0 / (1.0 + weight), rel=1e-6)


def test_torch_losses_need_their_kind() -> None:
    with pytest.raises(UsageError, match="`kind` must be one of 'multiclass', 'multilabel'"):
        recover_posterior(nn.BCEWithLogitsLoss(), Z)


def test_torch_losses_are_inverted_without_touching_them() -> None:
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0])
    loss = nn.CrossEntropyLoss(weight=weight)
    found = recover_posterior(loss, Z, kind="multiclass")
    torch.testing.assert_close(found, WeightedCrossEntropyLoss(weight).posterior(Z))
    assert loss.reduction == "mean"


def test_label_smoothing_is_inverted_and_the_clipped_mass_reported() -> None:
    eps, width = 0.1, 4

    def loss(z: Tensor, y: Tensor) -> Tensor:
        return torch_cross_entropy(z, y, label_smoothing=eps, reduction="none")

    mild = recover_posterior(loss, 0.5 * Z, kind="multiclass", return_clipped=True)
    expected = ((0.5 * Z).softmax(1) - eps / width) / (1 - eps)
    torch.testing.assert_close(mild.posterior, expected)
    assert mild.clipped_mass.max() < 1e-12
    sure = recover_posterior(
        loss, torch.tensor([[9.0, 0.0, 0.0, 0.0]]), kind="multiclass", return_clipped=True
    )
    assert sure.clipped_mass.item() == pytest.approx(3 * eps / width / (1 - eps), rel=0.02)
    torch.testing.assert_close(sure.posterior, torch.eye(4, dtype=torch.float64)[:1])


def test_ldam_by_its_formula() -> None:
    margin = torch.tensor([0.1, 0.2, 0.3, 0.5], dtype=torch.float64)
    scale = 10.0

    def loss(z: Tensor, y: Tensor) -> Tensor:
        hot = nn.functional.one_hot(y, 4).to(z.dtype)
        return torch_cross_entropy(scale * (z - hot * margin), y, reduction="none")

    z = 0.2 * Z
    p = (scale * z).softmax(1)
    eta = p * (1 - p * (1 - torch.exp(-scale * margin)))
    found = recover_posterior(loss, z, kind="multiclass")
    torch.testing.assert_close(found, eta / eta.sum(1, keepdim=True))


def test_poly_has_a_posterior_but_no_file() -> None:
    p = Z.softmax(1)
    eta = p / (1.0 + 2.0 * p)
    torch.testing.assert_close(Poly().posterior(Z), eta / eta.sum(1, keepdim=True))
    with pytest.raises(NotRecoverableError, match="Poly has no closed form that a file could hold"):
        Poly().correction()


def test_a_loss_without_closed_form_gets_a_table() -> None:
    correction = Asymmetric().correction()
    z = np.linspace(-2.7, 5.0, 500)[:, None]
    expected = Asymmetric().posterior(torch.from_numpy(z)).numpy()
    np.testing.assert_allclose(correction.probabilities(z), expected, rtol=0, atol=1e-6)
    assert correction.valid_range[0] < 1e-6
    assert correction.valid_range[1] == pytest.approx(0.964, abs=2e-3)
    rising = np.linspace(-60, 60, 2001)[:, None]
    assert (np.diff(correction.apply(rising), axis=0) > 0).all()


def test_a_loss_without_inverse_says_so() -> None:
    for call in (lambda: Ranking().posterior(Z), Ranking().correction, Ranking().operating_point):
        with pytest.raises(NotRecoverableError, match="Ranking rank but carry no probability"):
            call()


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
def test_tables_are_accurate_between_their_knots(gamma: float) -> None:
    loss = SigmoidFocalLoss(gamma=gamma)
    (table,), reach = log_odds_tables(loss, 1, reach=40.0)
    z = np.random.default_rng(1).uniform(-40, 40, (5000, 1))
    by_table = Correction("multilabel", ({"op": "monotone_table", "tables": [table]},))
    assert np.abs(by_table.apply(z) - loss.correction().apply(z)).max() < 1e-6
    assert len(table["logit"]) < 10_000
    assert reach == (0.0, 1.0)


def log_focal_slope(log_p: Tensor, log_q: Tensor, gamma: float) -> Tensor:
    """log of q^gamma - gamma p q^(gamma-1) log p, to the first order in q where p rounds to 1."""
    inner = log_q.exp() - gamma * log_p.exp() * log_p
    near_one = log_q + np.log1p(gamma)
    return (gamma - 1.0) * log_q + torch.where(log_q > -30.0, inner.log(), near_one)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [None, 0.25, [0.25, 0.9]])
def test_sigmoid_focal_is_undone_in_closed_form(gamma: float, alpha: object) -> None:
    loss = SigmoidFocalLoss(gamma=gamma, alpha=alpha)
    z = np.random.default_rng(1).uniform(-300, 300, (2000, 2))
    correction = loss.correction()
    outputs = torch.from_numpy(z)
    log_p, log_q = logsigmoid(outputs), logsigmoid(-outputs)
    log_odds = outputs + log_focal_slope(log_q, log_p, gamma) - log_focal_slope(log_p, log_q, gamma)
    share = torch.tensor(0.5 if alpha is None else alpha, dtype=torch.float64)
    expected = log_odds - torch.logit(share if share.ndim == 0 else share.float().double())
    np.testing.assert_allclose(correction.apply(z), expected.numpy(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(loss.posterior(outputs), expected.sigmoid(), rtol=1e-9, atol=1e-300)
    near = torch.from_numpy(z / 20)
    slow = recover_posterior(loss, near).numpy()
    np.testing.assert_allclose(correction.probabilities(z / 20), slow, rtol=0, atol=1e-9)
    assert len(str(correction.to_dict())) < 300


def test_labels_with_settings_of_their_own_get_tables_of_their_own() -> None:
    tables, _ = log_odds_tables(PosWeightBCELoss([1.0, 9.0]), 2)
    assert len(tables) == 2
    gap = np.asarray(tables[0]["log_odds"]) - np.asarray(tables[1]["log_odds"])
    np.testing.assert_allclose(gap, np.log(9.0), atol=1e-6)


@pytest.mark.parametrize(
    "build",
    [
        lambda w: WeightedCrossEntropyLoss(w),
        lambda w: SoftmaxFocalLoss(gamma=1.0, weight=w),
        lambda w: PosWeightBCELoss(w),
    ],
)
def test_a_weight_of_zero_cannot_be_undone(build: object) -> None:
    loss = build([1.0, 0.0, 2.0, 1.0])  # type: ignore[operator]
    for call in (loss.correction, lambda: loss.posterior(Z)):
        with pytest.raises(NotRecoverableError, match="is 0 for class or label 1: training never"):
            call()
    with pytest.raises(NotRecoverableError, match=r"gives (class|label) 1 no gradient"):
        recover_posterior(loss, Z)


def test_labels_that_depend_on_one_another_are_refused() -> None:
    def coupled(z: Tensor, y: Tensor) -> Tensor:
        return softplus(z) - y * z + 0.1 * (z.sum(1, keepdim=True)) ** 2

    def target_coupled(z: Tensor, y: Tensor) -> Tensor:
        return (softplus(z) - y * z) * (1.0 + y.sum(1, keepdim=True))

    def rows_coupled(z: Tensor, y: Tensor) -> Tensor:
        return torch_cross_entropy(z - z.mean(0) * torch.arange(4.0), y, reduction="none")

    for loss in (coupled, target_coupled):
        with pytest.raises(NotRecoverableError, match="labels or rows depend on one another"):
            recover_posterior(loss, Z, kind="multilabel")
    with pytest.raises(NotRecoverableError, match="rows depend on one another"):
        recover_posterior(rows_coupled, Z, kind="multiclass")


def test_reduced_losses_are_refused() -> None:
    def mean(z: Tensor, y: Tensor) -> Tensor:
        return torch_cross_entropy(z, y)

    with pytest.raises(ShapeError, match=r'return shape \(20,\), got \(\)\. Pass reduction="none"'):
        recover_posterior(mean, Z, kind="multiclass")


def test_too_many_classes_are_refused() -> None:
    with pytest.raises(UsageError, match="have 2 to 100 classes, got 101"):
        recover_posterior(SoftmaxFocalLoss(), torch.zeros(1, 101))


def test_a_hundred_classes_in_chunks() -> None:
    z = torch.randn(450, 100, generator=torch.Generator().manual_seed(1))
    loss = SoftmaxFocalLoss(gamma=2.0)
    torch.testing.assert_close(recover_posterior(loss, z), loss.posterior(z))


def test_rare_classes_keep_their_digits_at_large_gaps() -> None:
    weight = torch.tensor([1.0, 10.0, 100.0])
    z = torch.tensor([[60.0, 20.0, 0.0], [0.0, 30.0, 90.0], [0.0, 700.0, 5.0]])
    exact = WeightedCrossEntropyLoss(weight).posterior(z)
    found = recover_posterior(WeightedCrossEntropyLoss(weight), z)
    torch.testing.assert_close(found, exact, rtol=1e-9, atol=0)


def test_stationary_distribution_of_a_known_chain() -> None:
    rng = np.random.default_rng(2)
    rates = rng.random((6, 7, 7)) * 10.0 ** rng.uniform(-6, 0, (6, 1, 7))
    rates[:, range(7), range(7)] = 0
    rates[:, range(7), range(7)] = -rates.sum(2)
    eta, clipped = stationary_distribution(torch.from_numpy(rates))
    left = np.einsum("nc,nck->nk", eta.numpy(), rates)
    assert np.abs(left).max() < 1e-14
    assert eta.sum(1).numpy() == pytest.approx(1.0)
    assert (clipped == 0).all()


def test_a_reducible_chain_is_refused() -> None:
    apart = torch.tensor([[[-1.0, 1, 0, 0], [1, -1, 0, 0], [0, 0, -1, 1], [0, 0, 1, -1]]])
    with pytest.raises(NotRecoverableError, match="groups that never meet"):
        stationary_distribution(apart.double())


def test_a_matrix_without_null_vector_is_refused() -> None:
    matrix = torch.tensor([[[1.0, 2.0, -0.5], [0.0, 1.0, 3.0], [-1.0, 0.0, 2.0]]])
    with pytest.raises(NotRecoverableError, match="No class probabilities make"):
        stationary_distribution(matrix.double())


def test_the_prior_travels_with_the_correction() -> None:
    loss = LogitAdjustedLoss.from_class_counts([30, 10])
    assert loss.correction().prior == (0.75, 0.25)
    assert PosWeightBCELoss([3.0]).correction(prior=[0.25]).prior == (0.25,)
    assert PosWeightBCELoss([3.0]).correction().nominal_weight == (3.0,)


def test_softmax_losses_without_width_ask_for_it() -> None:
    with pytest.raises(UsageError, match="`num_classes` must be given"):
        SoftmaxFocalLoss().operating_point()
