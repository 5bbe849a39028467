"""Terms of elementwise losses: sigmoid, softplus and focal weights from one exponential."""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.losses._passes import Term


def tails(u: Tensor, *, mirrored: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Return sigmoid(u), sigmoid(-u) and softplus(u), or of -u where mirrored.

    Each to full relative precision, with derivatives, and with the same last bits wherever in
    memory an entry lies, which torch.sigmoid does not promise: a model trained in a stack is to be
    the model trained alone. Compiled, both sides come from |u|, so that a term of positives and
    one of negatives share their exponential and their logarithm.
    """
    if torch.compiler.is_compiling():
        s, c = sigmoids(u)
        fade = (-u.abs()).exp().log1p()
        if mirrored:
            return c, s, fade + (-u).clamp_min(0.0)
        return s, c, fade + u.clamp_min(0.0)
    u = -u if mirrored else u
    c, e = _lower(u)
    return e * c, c, torch.maximum(e.log1p(), u)


def sigmoids(u: Tensor) -> tuple[Tensor, Tensor]:
    """Return sigmoid(u) and sigmoid(-u); see :func:`tails`."""
    if torch.compiler.is_compiling():
        e = (-u.abs()).exp()
        large = (e + 1.0).reciprocal()
        small, up = e * large, u >= 0
        return torch.where(up, large, small), torch.where(up, small, large)
    c, e = _lower(u)
    return e * c, c


def _lower(u: Tensor) -> tuple[Tensor, Tensor]:
    # exp overflows at 88 (709 in float64). Beyond the limit the small side stands still at a number
    # that is still normal, 2e-35 (1e-304), and softplus of the large one goes on as u itself.
    limit = 80.0 if u.dtype == torch.float32 else 700.0
    e = u.clamp(-limit, limit).exp()
    return (e + 1.0).reciprocal(), e


def power(base: Tensor, exponent: float) -> Tensor:
    """Return base ** exponent for base >= 0, with products for small whole exponents."""
    if exponent == 0.0:
        return torch.ones_like(base)
    if exponent in (1.0, 2.0, 3.0, 4.0):
        square = base * base
        return {1.0: base, 2.0: square, 3.0: square * base, 4.0: square * square}[exponent]
    tiny = torch.finfo(base.dtype).tiny
    # exp and log round alike everywhere in memory; pow does not.
    return (base.clamp_min(tiny).log() * exponent).exp()


def focal_term(
    u: Tensor, gamma: float, *, detach: bool = False, mirrored: bool = False
) -> tuple[Tensor, Tensor]:
    """Return s^gamma softplus(u), s = sigmoid(u) the chance given to the wrong answer, and slope.

    The slope is by ``u``, the logit of a negative; mirrored, all is for -u, of a positive.
    """
    s, c, loss = tails(u, mirrored=mirrored)
    if gamma == 0.0:
        return loss, s
    if torch.compiler.is_compiling() and not gamma.is_integer():
        # log s is at hand: minus the softplus of the other side.
        weight = (-gamma * tails(u, mirrored=not mirrored)[2]).exp()
    else:
        weight = power(s, gamma)
    # d/du s^gamma loss = s^gamma (s + gamma c loss): divided by no s, so nothing breaks at s = 0.
    inner = s if detach else (c * loss).mul_(gamma).add_(s)
    return weight * loss, weight * inner


def positive_focal(gamma: float, *, shift: float = 0.0, detach: bool = False) -> Term:
    """Return the focal term of positives, whose logit is lowered by ``shift``."""

    def term(z: Tensor) -> tuple[Tensor, Tensor]:
        moved = z - shift if shift else z
        value, slope = focal_term(moved, gamma, detach=detach, mirrored=True)
        return value, -slope

    return term


def negative_focal(gamma: float, *, detach: bool = False) -> Term:
    """Return the focal term of negatives."""

    def term(z: Tensor) -> tuple[Tensor, Tensor]:
        return focal_term(z, gamma, detach=detach)

    return term
