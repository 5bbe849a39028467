"""Logit adjustment: add the log prior while training, so that plain logits are balanced."""

from __future__ import annotations

from torch import Tensor

from equipoise._core.targets import IGNORE_INDEX
from equipoise.labels.losses import LogitAdjustedSide, ZeroPrior, to_strength
from equipoise.losses._checks import (
    Vector,
    check_classes,
    check_vector,
    pick,
    upcast,
)
from equipoise.losses._dense import dense
from equipoise.losses._passes import Reduction, reduce_rows
from equipoise.losses.base import ClassLoss

_FLOOR = 1e-30
_WHY = "Pass one share per class, e.g. `priors(counts)`."


@dense("multiclass", "row")
def logit_adjusted_loss(
    logits: Tensor,
    target: Tensor,
    *,
    prior: Tensor,
    tau: float = 1.0,
    target_prior: Tensor | None = None,
    ignore_index: int = IGNORE_INDEX,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Train balanced logits by adding the log prior inside cross entropy (Menon et al., 2021).

    Use when balanced accuracy, or accuracy under another known prior, is the aim. Prefer plain
    cross entropy and a shift of its logits afterwards when one model serves several priors. With
    tau = 1 this is Balanced Softmax (Ren et al., 2020).

    .. math:: \ell_i = -\log \mathrm{softmax}(z_i + \tau (\log \pi - \log \pi^{t}))_{y_i}

    Args:
        logits: Unnormalised scores, (..., N, C), floating. Probabilities are not accepted.
        target: Class indices, (..., N), int64 in [0, C); or class probabilities, (..., N, C).
        prior: Class shares of the training rows, (C,), floating; counts do as well. A share of 0
            is floored at 1e-30, which leaves the class out of the softmax; a loss at such a target
            stays finite.
        tau: Strength, >= 0; 0 is cross entropy exactly.
        target_prior: Class shares where the model is to be right, (C,); None is uniform.
        ignore_index: Class index of rows whose class is unknown: they have no loss and no gradient.
        class_dim: Axis of the classes: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, C, H, W) with targets (N, H, W), and 2 (N, T, C): each pixel or step is a row.
        reduction: "none" gives (..., N), 0 where unknown; "mean" divides by the rows that
            are known; "sum". Both keep leading axes.

    Returns:
        A scalar for (N, C) logits, (...) with leading axes; 0 for an empty batch. Dtype and
        device of ``logits``; the log prior is added in float32 or wider.

    Raises:
        UsageError: ``tau`` < 0.
        ShapeError: ``prior`` is not (C,), or ``target`` does not fit ``logits``.

    Note:
        softmax(z) is the posterior under ``target_prior`` (with tau = 1), not under the training
        prior; the latter is softmax(z + tau (log prior - log target_prior)). Do not combine with
        a class-balanced sampler: both correct the prior. Distributed: no communication.

    Example:
        >>> import torch
        >>> logit_adjusted_loss(
        ...     torch.tensor([[0.0, 0.0]]), torch.tensor([1]), prior=torch.tensor([0.9, 0.1])
        ... )
        tensor(2.3026)

    References:
        Menon et al., Long-tail Learning via Logit Adjustment, ICLR 2021, eq. 10.
    """
    target, known = check_classes(logits, target, ignore_index)
    check_vector("prior", prior, logits, _WHY)
    if target_prior is not None:
        check_vector("target_prior", target_prior, logits, _WHY)
    z = upcast(logits)
    z = z + to_strength("tau", tau) * _log_ratio(prior, target_prior).to(z.dtype)
    return reduce_rows(-pick(z.log_softmax(-1), target), known, reduction, dtype=logits.dtype)


@dense("multiclass", "row")
def balanced_softmax_loss(
    logits: Tensor,
    target: Tensor,
    *,
    prior: Tensor,
    ignore_index: int = IGNORE_INDEX,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Weigh each class of the softmax by its share of rows (Ren et al., 2020).

    Use as :func:`logit_adjusted_loss`, of which it is the case tau = 1 under its own name. Prefer
    that one to choose tau or a target prior.

    .. math:: \ell_i = -\log \frac{\pi_{y_i} e^{z_{i,y_i}}}{\sum_k \pi_k e^{z_{i,k}}}

    Args:
        logits: Unnormalised scores, (..., N, C), floating. Probabilities are not accepted.
        target: Class indices, (..., N), int64 in [0, C); or class probabilities, (..., N, C).
        prior: Class shares or counts of the training rows, (C,), floating.
        ignore_index: Class index of rows whose class is unknown: they have no loss and no gradient.
        class_dim: Axis of the classes: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, C, H, W) with targets (N, H, W), and 2 (N, T, C): each pixel or step is a row.
        reduction: "none" gives (..., N), 0 where unknown; "mean" divides by the rows that
            are known; "sum". Both keep leading axes.

    Returns:
        A scalar for (N, C) logits, (...) with leading axes; 0 for an empty batch.

    Raises:
        ShapeError: ``prior`` is not (C,), or ``target`` does not fit ``logits``.

    Note:
        As for :func:`logit_adjusted_loss`.

    Example:
        >>> import torch
        >>> balanced_softmax_loss(
        ...     torch.tensor([[0.0, 0.0]]), torch.tensor([1]), prior=torch.tensor([0.9, 0.1])
        ... )
        tensor(2.3026)

    References:
        Ren et al., Balanced Meta-Softmax for Long-Tailed Visual Recognition, NeurIPS 2020, eq. 4.
    """
    return logit_adjusted_loss(
        logits, target, prior=prior, ignore_index=ignore_index, reduction=reduction
    )


def _log_ratio(prior: Tensor, target_prior: Tensor | None) -> Tensor:
    """Return log prior - log target_prior in float32 or wider."""
    log_prior = upcast(prior).clamp_min(_FLOOR).log()
    return log_prior if target_prior is None else log_prior - _log_ratio(target_prior, None)


class LogitAdjustedLoss(LogitAdjustedSide, ClassLoss):
    """Cross entropy with the log prior added to the logits. See :func:`logit_adjusted_loss`.

    Args:
        prior: Class shares (or counts) of the training rows, (C,); a float32 buffer, normalised.
        tau: Strength, >= 0.
        target_prior: Class shares where the model is to be right, (C,); None is uniform.
        zero_prior: "error" refuses a share of 0; "ignore" leaves such classes out of the softmax.
        ignore_index: Class index of rows that are left out.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean" or "sum".
    """

    prior: Tensor
    target_prior: Tensor | None

    def __init__(
        self,
        prior: Vector,
        *,
        tau: float = 1.0,
        target_prior: Vector | None = None,
        zero_prior: ZeroPrior = "error",
        ignore_index: int = IGNORE_INDEX,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(ignore_index=ignore_index, class_dim=class_dim, reduction=reduction)
        self._settle(prior, tau, target_prior, zero_prior)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`logit_adjusted_loss`."""
        return logit_adjusted_loss(
            logits,
            target,
            prior=self.prior,
            tau=self.tau,
            target_prior=self.target_prior,
            ignore_index=self.ignore_index,
            class_dim=self.class_dim,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        """Name the settings."""
        aim = "uniform" if self.target_prior is None else tuple(self.target_prior.shape)
        shape = tuple(self.prior.shape)
        return f"prior={shape}, tau={self.tau:g}, target_prior={aim}, {super().extra_repr()}"


class BalancedSoftmaxLoss(LogitAdjustedLoss):
    """Logit adjustment with tau = 1. See :func:`balanced_softmax_loss`.

    Args:
        prior: Class shares (or counts) of the training rows, (C,); a float32 buffer, normalised.
        zero_prior: "error" refuses a share of 0; "ignore" leaves such classes out of the softmax.
        ignore_index: Class index of rows that are left out.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean" or "sum".
    """

    def __init__(
        self,
        prior: Vector,
        *,
        zero_prior: ZeroPrior = "error",
        ignore_index: int = IGNORE_INDEX,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(
            prior,
            zero_prior=zero_prior,
            ignore_index=ignore_index,
            class_dim=class_dim,
            reduction=reduction,
        )
