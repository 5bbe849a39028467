"""The null vector of per-class gradients: elimination without subtraction where it is possible."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.errors import NotRecoverableError

# Row sums up to this share of the largest entry are rounding of 0.
_BALANCED = 1e-9
# What eta G may leave, against what its terms could add up to.
_RESIDUAL = 1e-6
# Clipped mass up to this is no finding.
_ROUNDING = 1e-12


def stationary_distribution(gradients: Tensor) -> tuple[Tensor, Tensor]:
    """Return eta (N, C) with eta G = 0 on the simplex, and the mass clipped to get there, (N,).

    Args:
        gradients: (N, C, C) float64, row c the gradient of the loss of class c.

    Raises:
        NotRecoverableError: the matrix is reducible or has no null vector.
    """
    eye = torch.eye(gradients.shape[-1], dtype=torch.bool, device=gradients.device)
    off = gradients.masked_fill(eye, 0.0)
    size = gradients.abs().amax((1, 2))
    # No negative entry off the diagonal and rows that sum to 0: the rates of a Markov chain, whose
    # stationary distribution is eta. Cross-entropy is of this kind: row c is softmax less one-hot.
    # The diagonal is then minus the rest of its row, so the entries off it say everything.
    balanced = gradients.sum(2).abs().amax(1) <= _BALANCED * size
    generator = (off >= 0).all(2).all(1) & balanced
    eta = torch.empty_like(gradients[:, 0])
    clipped = torch.zeros_like(size)
    if generator.any():
        eta[generator] = _eliminate(off[generator])
    if not generator.all():
        eta[~generator], clipped[~generator] = _solve(gradients[~generator])
    return eta, clipped


def _eliminate(rates: Tensor) -> Tensor:
    """Grassmann, Taksar and Heyman: the stationary distribution from off-diagonal rates alone.

    States that the others go to come first, so the rate out of an eliminated state is never lost
    to underflow. No subtraction: small probabilities keep their relative precision.
    """
    exits = rates.sum(2, keepdim=True)
    pull = (rates / exits.clamp_min(torch.finfo(rates.dtype).tiny)).sum(1)
    order = pull.argsort(dim=1, descending=True)
    width = rates.shape[1]
    rows = order[:, :, None].expand_as(rates)
    a = rates.gather(1, rows).gather(2, order[:, None, :].expand_as(rates)).clone()
    for k in range(width - 1, 0, -1):
        # The chain watched only in states 0 to k: what leaves k is a sum of rates that are at hand,
        # where the diagonal would have to be a difference, of numbers that may be nearly equal. The
        # updates below write to the diagonal too; it is never read.
        out = a[:, k, :k].sum(1)
        if (out == 0).any():
            raise NotRecoverableError(
                "The gradients split the classes into groups that never meet (a weight of zero, or "
                "logits beyond float64), so their probabilities cannot be recovered."
            )
        a[:, :k, k] /= out[:, None]
        # Without k, its share of what entered it goes on to each state directly.
        a[:, :k, :k] += a[:, :k, k, None] * a[:, k, None, :k]
    # What enters k is what leaves it: eta_k out_k = sum over i < k of eta_i rate_ik, and the rates
    # into k stand divided by out_k. State 0 has 1 until all are known; only then is the sum 1.
    eta = torch.ones_like(rates[:, 0])
    for k in range(1, width):
        eta[:, k] = (eta[:, :k] * a[:, :k, k]).sum(1)
    eta = eta / eta.sum(1, keepdim=True)
    return torch.empty_like(eta).scatter(1, order, eta)


def _solve(gradients: Tensor) -> tuple[Tensor, Tensor]:
    """Solve eta G = 0 with sum 1, clip to the simplex.

    Terms of either sign cancel, so nothing keeps eta from going below 0, and small probabilities
    keep no relative precision.
    """
    n, width, _ = gradients.shape
    # Equation k, row k of the transpose: sum over c of eta_c dl_c/dz_k = 0.
    system = gradients.transpose(1, 2).clone()
    # Where gradients sum to 0 the equations do too, so one can make room for the sum of 1: that of
    # the most likely class, whose own gradient is the smallest.
    drop = gradients.diagonal(dim1=1, dim2=2).abs().argmin(1)
    here = torch.arange(n, device=gradients.device)
    system[here, drop] = 1.0
    right = torch.zeros(n, width, dtype=gradients.dtype, device=gradients.device)
    right[here, drop] = 1.0
    try:
        eta = torch.linalg.solve(system, right)
    except RuntimeError as error:
        raise NotRecoverableError(
            "The gradients of the classes leave more than one answer, so the probabilities cannot "
            "be recovered (two classes that share a weight of zero?)."
        ) from error
    # All equations are looked at, the one that made room as well.
    left = torch.einsum("nc,nck->nk", eta, gradients).abs().amax(1)
    if (left > _RESIDUAL * gradients.abs().amax((1, 2)) * eta.abs().sum(1)).any():
        raise NotRecoverableError(
            "No class probabilities make the expected gradient of this loss vanish at these "
            "logits. Treat its scores as ranking and fit a calibrator on validation data."
        )
    # The mass below 0 is reported as it was before what is left is brought to sum 1 again.
    inside = eta.clamp_min(0.0)
    clipped = (inside - eta).sum(1)
    clipped = torch.where(clipped > _ROUNDING, clipped, 0.0)
    return inside / inside.sum(1, keepdim=True), clipped
