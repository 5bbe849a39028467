"""The inverse of any loss: from its own gradients to the true probabilities.

Where the expected training gradient is zero, the probabilities follow from the gradients of the
loss at each possible target. So they need no formula, and they use the gradient that training
uses: a detached focusing weight is accounted for.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from equipoise._core.messages import hint, one_of, say
from equipoise.artifacts._tables import sample_tables
from equipoise.artifacts.labels import KINDS, Kind
from equipoise.errors import NotRecoverableError, ShapeError, UsageError

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


LossFunction = Callable[[Tensor, Tensor], Tensor]
MAX_CLASSES = 100
# Numbers in one chunk of class-by-class gradients, 16 MB in float64.
_CELLS = 2_000_000
# Rows on which it is looked at whether entries depend on one another.
_PROBE = 64


class Recovery(NamedTuple):
    """True probabilities, and how much of them was outside [0, 1] and clipped."""

    posterior: Tensor
    clipped_mass: Tensor


@overload
def recover_posterior(
    loss: LossFunction,
    logits: Tensor,
    *,
    kind: Kind | None = None,
    return_clipped: Literal[False] = False,
) -> Tensor: ...


@overload
def recover_posterior(
    loss: LossFunction, logits: Tensor, *, kind: Kind | None = None, return_clipped: Literal[True]
) -> Recovery: ...


def recover_posterior(
    loss: LossFunction,
    logits: Tensor,
    *,
    kind: Kind | None = None,
    return_clipped: bool = False,
) -> Tensor | Recovery:
    r"""Return the true probabilities that the outputs of a model trained with ``loss`` stand for.

    Use for a loss from elsewhere. A loss of this package has ``Loss.posterior``, which is exact
    and cheap where a closed form exists and calls this where not.

    .. math::
        \eta = \frac{l_0'}{l_0' - l_1'} \text{ (labels)}, \qquad
        \sum_c \eta_c \, \partial l_c / \partial z = 0 \text{ (classes)}

    Args:
        loss: A Module or function of (logits, target) that returns one value per row (classes) or
            per entry (labels). A Module's ``reduction`` is set to "none" on a copy.
        logits: (..., N, C), floating; at most 100 classes.
        kind: "multiclass" or "multilabel"; needed where ``loss`` has no ``kind`` of its own.
        return_clipped: Whether to report beside the posterior how much of it lay outside [0, 1],
            per row (..., N) for classes, per entry (..., N, L) for labels. It is above 0 where no
            true probability could have led to these logits, for example where a network is surer
            than its loss rewards.

    Returns:
        (..., N, C) float64 on the device of ``logits``; with ``return_clipped`` a `Recovery` of
        ``posterior`` and ``clipped_mass``.

    Raises:
        UsageError: ``kind`` is not known.
        ShapeError: the loss returns reduced values.
        NotRecoverableError: labels or rows of the batch depend on one another, a class has weight
            zero, or nothing determines its probability.

    Note:
        Holds in the population limit: a network that separates its training set expresses only
        part of a weight.

    Example:
        >>> loss = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor([9.0]))
        >>> round(recover_posterior(loss, torch.zeros(1, 1), kind="multilabel").item(), 6)
        0.1
    """
    known = one_of("kind", str(kind or getattr(loss, "kind", None)), KINDS)
    if logits.ndim < 2 or not logits.is_floating_point():
        got = f"{tuple(logits.shape)} {logits.dtype}"
        raise ShapeError(say("logits", "be floating of shape (..., N, C)", got))
    z = logits.detach().reshape(-1, logits.shape[-1]).to(torch.float64)
    # A caller in inference mode gets gradients all the same: they are what the answer is made of.
    with torch.inference_mode(False):
        solve = _solve_classes if known == "multiclass" else _solve_labels
        eta, clipped = solve(unreduced(loss), z.clone())
    eta = eta.reshape(logits.shape)
    if not return_clipped:
        return eta
    return Recovery(eta, clipped.reshape(*logits.shape[:-1], *clipped.shape[1:]))


def unreduced(loss: LossFunction) -> LossFunction:
    """Return a float64 copy of a Module with reduction "none"; functions as they are."""
    if not isinstance(loss, nn.Module):
        return loss
    twin: Any = copy.deepcopy(loss).double()
    if hasattr(twin, "reduction"):
        twin.reduction = "none"
    if isinstance(getattr(twin, "class_dim", None), int):
        twin.class_dim = -1  # it is asked rows, (N, C)
    return twin  # type: ignore[no-any-return]


def gradient(
    loss: LossFunction, z: Tensor, target: Tensor, shape: torch.Size, scale: Tensor | None = None
) -> Tensor:
    """Return d loss / d z, summed over rows; each row's loss multiplied by ``scale``."""
    with torch.enable_grad():
        leaf = z.detach().clone().requires_grad_()
        value = loss(leaf, target)
        if value.shape != shape:
            do = hint("Pass {reduction=none}: one value per row for classes, per entry for labels.")
            wanted = f"return shape {tuple(shape)}"
            raise ShapeError(say("loss", wanted, tuple(value.shape), do))
        total = value.sum() if scale is None else (value * scale).sum()
        (gradient,) = torch.autograd.grad(total, leaf)
    return gradient


def _require_uncoupled(found: Tensor, expected: Tensor, what: str) -> None:
    if not torch.allclose(found, expected, rtol=1e-6, atol=1e-12):
        raise NotRecoverableError(
            f"In this loss {what} depend on one another, so no probability follows from one logit. "
            "Treat its scores as ranking and fit a calibrator on validation data."
        )


def _solve_labels(loss: LossFunction, z: Tensor) -> tuple[Tensor, Tensor]:
    for_one = gradient(loss, z, torch.ones_like(z), z.shape)
    for_zero = gradient(loss, z, torch.zeros_like(z), z.shape)
    require_elementwise(loss, z[:_PROBE], for_one[:_PROBE], for_zero[:_PROBE])
    # At the logit 0 a slope of 0 is taken for a weight of 0; elsewhere it may come of a margin.
    probe = torch.zeros_like(z[:1])
    still = (gradient(loss, probe, torch.ones_like(probe), probe.shape) == 0) | (
        gradient(loss, probe, torch.zeros_like(probe), probe.shape) == 0
    )
    if still.any():
        raise _weightless("label", still.any(0))
    slope = for_zero - for_one
    if (slope == 0).any():
        at = tuple(int(i) for i in (slope == 0).nonzero()[0])
        raise NotRecoverableError(
            f"The loss is flat for both targets at row {at[0]}, label {at[1]} "
            f"(logit {z[at].item():.4g}), so nothing determines its probability."
        )
    eta = for_zero / slope
    inside = eta.clamp(0.0, 1.0)
    return inside, (eta - inside).abs()


def require_elementwise(loss: LossFunction, z: Tensor, one: Tensor, zero: Tensor) -> None:
    """Raise if the loss of an entry depends on other logits or on other targets."""
    # Targets and scales without a pattern, and the same in every call; no random state is touched.
    # Mixed targets show a loss that looks at other targets. Scaled losses show one that looks at
    # other logits: its gradient would gather the scales of other entries.
    pattern = torch.arange(z.numel(), dtype=z.dtype, device=z.device).reshape(z.shape)
    mixed = (torch.sin(12.9898 * pattern) > 0).to(z.dtype)
    scale = 1.5 + torch.sin(78.233 * pattern + 1.0)
    expected = torch.where(mixed > 0, one, zero)
    _require_uncoupled(gradient(loss, z, mixed, z.shape), expected, "labels or rows")
    found = gradient(loss, z, mixed, z.shape, scale)
    _require_uncoupled(found, scale * expected, "labels or rows")


def _weightless(noun: str, still: Tensor) -> NotRecoverableError:
    at = ", ".join(str(int(i)) for i in still.nonzero()[:5, 0])
    return NotRecoverableError(
        f"The loss gives {noun} {at} no gradient (weight zero?), so its probability cannot be "
        "recovered. Leave it out of the model or give it a weight above 0."
    )


def _class_gradients(loss: LossFunction, z: Tensor) -> Tensor:
    """Return (N, C, C): row c holds the gradient of the loss of class c."""
    n, width = z.shape
    rows = [
        gradient(loss, z, torch.full((n,), c, dtype=torch.int64, device=z.device), z.shape[:1])
        for c in range(width)
    ]
    return torch.stack(rows, dim=1)


def _solve_classes(loss: LossFunction, z: Tensor) -> tuple[Tensor, Tensor]:
    n, width = z.shape
    if not 2 <= width <= MAX_CLASSES:
        do = "Use a loss with a closed form for more classes."
        raise UsageError(say("logits", f"have 2 to {MAX_CLASSES} classes", width, do))
    head = z[:_PROBE]
    scale = 1.5 + torch.sin(78.233 * torch.arange(head.shape[0], device=z.device, dtype=z.dtype))
    first = torch.zeros(head.shape[0], dtype=torch.int64, device=z.device)
    plain = gradient(loss, head, first, head.shape[:1])
    found = gradient(loss, head, first, head.shape[:1], scale)
    _require_uncoupled(found, scale[:, None] * plain, "rows")
    probe = _class_gradients(loss, torch.zeros_like(z[:1]))[0]
    still = (probe == 0).all(1)
    if still.any():
        raise _weightless("class", still)
    eta, clipped = torch.empty_like(z), torch.empty_like(z[:, 0])
    step = max(1, _CELLS // width**2)
    for start in range(0, n, step):
        part = slice(start, start + step)
        eta[part], clipped[part] = stationary_distribution(_class_gradients(loss, z[part]))
    return eta, clipped


def log_odds_tables(
    loss: LossFunction,
    num_labels: int,
    *,
    reach: float = 20.0,
    tolerance: float = 5e-7,
    max_knots: int = 20_000,
) -> tuple[list[dict[str, list[float]]], tuple[float, float]]:
    """Sample logit -> log-odds of the true probability, for a ``monotone_table``.

    Args:
        loss: Elementwise, as for :func:`recover_posterior`.
        num_labels: Columns that the loss expects.
        reach: Logits from -reach to reach are sampled, denser where the map bends. Beyond 20 a
            loss that takes 1 - sigmoid(z) has no digits left in float64.
        tolerance: Largest error of linear interpolation at the middle of two knots, in log-odds.
        max_knots: Stop refining beyond this.

    Returns:
        One table for all labels or one per label, with strictly increasing ``log_odds`` (flat or
        falling parts are left out), and the true probabilities between which they all hold.
    """
    function = unreduced(loss)

    def log_odds(logit: NDArray[np.float64]) -> NDArray[np.float64]:
        z = torch.from_numpy(logit)[:, None].repeat(1, num_labels)
        device = next((b.device for b in _buffers(loss)), torch.device("cpu"))
        z = z.to(device)
        one = gradient(function, z, torch.ones_like(z), z.shape)
        zero = gradient(function, z, torch.zeros_like(z), z.shape)
        # Not the log of a ratio: either slope may be too small for their quotient.
        return np.asarray((torch.log(zero) - torch.log(-one)).cpu().numpy())

    return sample_tables(log_odds, reach=reach, tolerance=tolerance, max_knots=max_knots)


def _buffers(loss: LossFunction) -> list[Tensor]:
    return list(loss.buffers()) if isinstance(loss, nn.Module) else []
