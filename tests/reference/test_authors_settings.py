"""What the authors' settings are called here: equal values, by their formula in their terms."""

from __future__ import annotations

import math

import pytest
import torch

from equipoise.losses import AsymmetricLoss, DistributionBalancedLoss, LDAMLoss

G = torch.Generator().manual_seed(0)
LOGITS = 2.0 * torch.randn(40, 4, generator=G, dtype=torch.float64)
HOT = (torch.rand(40, 4, generator=G) < torch.tensor([0.1, 0.3, 0.5, 0.8])).double()
CLASSES = torch.randint(0, 4, (40,), generator=G)
COUNTS = [500.0, 120.0, 30.0, 7.0]


def sigmoid(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z))


@pytest.mark.parametrize("gamma_pos", [0, 1])
@pytest.mark.parametrize(("gamma_neg", "clip"), [(4, 0.05), (2, 0.2)])
def test_asymmetric_loss_sums_what_its_authors_sum(
    gamma_neg: int, gamma_pos: int, clip: float
) -> None:
    """They raise the probability of a negative by ``clip``, at most to 1."""
    total = 0.0
    for z, y in zip(LOGITS.flatten().tolist(), HOT.flatten().tolist(), strict=True):
        right = sigmoid(z) if y else min(1.0 - sigmoid(z) + clip, 1.0)
        total -= (1.0 - right) ** (gamma_pos if y else gamma_neg) * math.log(right)
    loss = AsymmetricLoss(
        gamma_positive=gamma_pos, gamma_negative=gamma_neg, margin=clip, reduction="sum"
    )
    assert loss(LOGITS, HOT).item() == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize(("s", "max_m"), [(30.0, 0.5), (10.0, 0.3)])
def test_ldam_has_the_margins_of_its_authors(s: float, max_m: float) -> None:
    """Margins fall with the fourth root of the counts; the rarest class has ``max_m``."""
    cosines = torch.tanh(LOGITS)
    roots = [count**-0.25 for count in COUNTS]
    margins = [max_m * root / max(roots) for root in roots]
    total = 0.0
    for row, y in zip(cosines.tolist(), CLASSES.tolist(), strict=True):
        moved = [s * (value - margins[y] * (k == y)) for k, value in enumerate(row)]
        total += math.log(sum(map(math.exp, moved))) - moved[y]
    loss = LDAMLoss.from_class_counts(COUNTS, max_margin=max_m, scale=s).double()
    # Margins are kept as float32.
    assert loss(cosines, CLASSES).item() == pytest.approx(total / len(CLASSES), rel=1e-6)


@pytest.mark.parametrize(("neg_scale", "init_bias"), [(2.0, 0.05), (5.0, 0.1)])
@pytest.mark.parametrize("map_gamma", [0.2, 0.3])
def test_distribution_balanced_is_half_of_what_its_authors_code_has(
    neg_scale: float, init_bias: float, map_gamma: float
) -> None:
    """Their code divides the bias by ``neg_scale``, and doubles by ``balance_param``."""
    map_alpha, map_beta, focal_gamma, balance_param, n_rows = 0.1, 10.0, 2.0, 2.0, 1000.0
    rows = [row for row in range(len(HOT)) if HOT[row].any()]
    total = 0.0
    for row in rows:
        shares = [HOT[row, k].item() / COUNTS[k] for k in range(4)]
        for k in range(4):
            y, n = bool(HOT[row, k]), COUNTS[k]
            weight = map_alpha + sigmoid(map_beta * (1.0 / n / sum(shares) - map_gamma))
            z = LOGITS[row, k].item() - math.log(n_rows / n - 1.0) * init_bias / neg_scale
            right = sigmoid(z) if y else sigmoid(-neg_scale * z)
            value = -weight * (1.0 - right) ** focal_gamma * math.log(right)
            total += balance_param * value / (1.0 if y else neg_scale)
    loss = DistributionBalancedLoss(
        COUNTS, n_rows=n_rows, alpha=map_alpha, beta=map_beta, mu=map_gamma,
        kappa=init_bias / neg_scale, scale=neg_scale, gamma=focal_gamma, reduction="sum",
    ).double()  # fmt: skip
    assert loss(LOGITS[rows], HOT[rows]).item() == pytest.approx(total / 2.0, rel=1e-9)
