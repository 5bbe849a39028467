"""Losses for labels whose positives are partly missing: Hill and SPLC."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from equipoise._core.arrays import Floats
from equipoise._core.checks import to_integer, to_number
from equipoise._core.logistic import expit, log_expit
from equipoise._core.messages import say
from equipoise.artifacts._steps import focal_log_scale
from equipoise.errors import NotRecoverableError, UsageError
from equipoise.labels.losses import to_strength
from equipoise.losses._checks import check_labels, upcast
from equipoise.losses._dense import dense
from equipoise.losses._passes import Entrywise, Reduction, Term, reduce_loss
from equipoise.losses._terms import focal_term, negative_focal, positive_focal, sigmoids
from equipoise.losses.base import Loss


@dense("multilabel", "entry")
def hill_loss(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: float = 2.0,
    shift: float = 1.0,
    hill: float = 1.5,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Trust negatives less the surer the model is that they are positive (Zhang et al., 2021).

    Use only when many positives were never marked. Prefer :func:`bce_loss` with clean labels:
    there this silences the hard negatives that teach most.

    .. math::
        \ell = -y (1-p')^\gamma \log p' + (1-y) (\lambda - p)\, p^2, \quad p' = \sigma(z - m)

    Args:
        logits: Scores before sigmoid, (..., N, L), floating. Probabilities are not accepted.
        target: 0, 1 or a fraction, (..., N, L), floating or bool; NaN or < 0 is unknown.
        gamma: Focusing of positives, >= 0.
        shift: Margin m of positives, subtracted from the logit, >= 0.
        hill: Lambda, >= 0. Below 1.5 sure negatives are pushed up, as if they were positive.
        class_dim: Axis of the labels: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, L, H, W) with targets alike, and 2 (N, T, L): each pixel or step is a row.
        reduction: "none" gives (..., N, L), 0 where unknown; "mean" divides by the number of known
            entries; "batchmean" by the number of rows with one; "sum". All keep leading axes.

    Returns:
        A scalar for (N, L) logits, (...) with leading axes; 0 where nothing is known. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        UsageError: a negative setting.
        ShapeError: ``target`` does not fit ``logits``.

    Note:
        With the defaults the output 0.5 means 0.196. With ``hill`` below 1.5 there is no inverse.
        A negative at a very high logit has no gradient.

    Example:
        >>> import torch
        >>> hill_loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), reduction="none")
        tensor([[0.7019, 0.2500]])

    References:
        Zhang et al., Simple and Robust Loss Design for Multi-Label Learning with Missing Labels,
        arXiv 2112.07368.
    """
    check_labels(logits, target)
    z = upcast(logits)
    focus, move = to_strength("gamma", gamma), to_strength("shift", shift)
    positive = positive_focal(focus, shift=move)
    loss = Entrywise(positive, _hill_term(to_strength("hill", hill)))
    return reduce_loss(loss, z, target, reduction, dtype=logits.dtype)


def _hill_term(hill: float) -> Term:
    def term(z: Tensor) -> tuple[Tensor, Tensor]:
        p, q = sigmoids(z)
        square = p * p
        return (hill - p) * square, square * q * ((2.0 * hill - 3.0) + 3.0 * q)

    return term


@dense("multilabel", "entry")
def splc_loss(
    logits: Tensor,
    target: Tensor,
    *,
    correcting: bool,
    cut: float = 0.6,
    gamma: float = 2.0,
    shift: float = 1.0,
    class_dim: int = -1,
    reduction: Reduction = "mean",
) -> Tensor:
    r"""Take negatives for positives where the model is sure of it (Zhang et al., 2021).

    Use only when many positives were never marked, and after the first epoch. Prefer
    :func:`bce_loss` with clean labels: there this removes the hard negatives.

    .. math::
        \ell_1 = -(1-p')^\gamma \log p', \; p' = \sigma(z - m), \qquad
        \ell_0 = \begin{cases} -p^\gamma \log(1-p) & p \le \tau \\ \ell_1 & p > \tau
        \end{cases}

    Args:
        logits: Scores before sigmoid, (..., N, L), floating. Probabilities are not accepted.
        target: 0, 1 or a fraction, (..., N, L), floating or bool; NaN or < 0 is unknown.
        correcting: Whether negatives above the cut count as positives: False in the first epoch,
            True afterwards. False with ``gamma`` and ``shift`` 0 is BCE exactly.
        cut: Probability tau above which a negative is not believed, in (0, 1).
        gamma: Focusing, >= 0.
        shift: Margin m of positives, subtracted from the logit, >= 0.
        class_dim: Axis of the labels: -1 is last and keeps leading axes; 1 takes dense outputs, as
            (N, L, H, W) with targets alike, and 2 (N, T, L): each pixel or step is a row.
        reduction: "none" gives (..., N, L), 0 where unknown; "mean" divides by the number of known
            entries; "batchmean" by the number of rows with one; "sum". All keep leading axes.

    Returns:
        A scalar for (N, L) logits, (...) with leading axes; 0 where nothing is known. Dtype and
        device of ``logits``; computed in float32 where they are half precision.

    Raises:
        UsageError: ``cut`` outside (0, 1), or a negative setting.
        ShapeError: ``target`` does not fit ``logits``.

    Note:
        No inverse: above the cut both targets pull alike. Scores rank, and probabilities need a
        fitted calibrator.

    Example:
        >>> import torch
        >>> z, y = torch.tensor([[2.0]]), torch.tensor([[0.0]])
        >>> splc_loss(z, y, correcting=False), splc_loss(z, y, correcting=True)
        (tensor(1.6501), tensor(0.0227))

    References:
        Zhang et al., arXiv 2112.07368, eq. 8.
    """
    check_labels(logits, target)
    z = upcast(logits)
    height = _open_cut(cut) if correcting else None
    focus, move = to_strength("gamma", gamma), to_strength("shift", shift)
    negative = negative_focal(focus)
    if height is not None:
        negative = _doubting(focus, move, math.log(height / (1.0 - height)))
    loss = Entrywise(positive_focal(focus, shift=move), negative)
    return reduce_loss(loss, z, target, reduction, dtype=logits.dtype)


def _open_cut(cut: float) -> float:
    number = to_number("cut", cut)
    if not 0.0 < number < 1.0:
        raise UsageError(say("cut", "lie in (0, 1)", cut, "The published cut is 0.6."))
    return number


def _doubting(gamma: float, shift: float, cut: float) -> Term:
    """Return the term of negatives that takes those above ``cut`` for positives."""

    def term(z: Tensor) -> tuple[Tensor, Tensor]:
        # A doubted negative is taken for a positive, whose wrong answer has the logit -(z - shift).
        doubted = (z > cut).to(z.dtype)
        sign = 1.0 - 2.0 * doubted
        value, slope = focal_term(z * sign + shift * doubted, gamma)
        return value, slope * sign

    return term


class HillLoss(Loss):
    """Hill loss of independent labels. See :func:`hill_loss`.

    Args:
        gamma: Focusing of positives, >= 0.
        shift: Margin of positives on the logit, >= 0.
        hill: Height lambda of the loss of negatives; no inverse below 1.5.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean", "sum" or "batchmean".
    """

    kind = "multilabel"

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        shift: float = 1.0,
        hill: float = 1.5,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_dim=class_dim, reduction=reduction)
        self.gamma = to_strength("gamma", gamma)
        self.shift = to_strength("shift", shift)
        self.hill = to_strength("hill", hill)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`hill_loss`."""
        return hill_loss(
            logits,
            target,
            gamma=self.gamma,
            shift=self.shift,
            hill=self.hill,
            class_dim=self.class_dim,
            reduction=self.reduction,
        )

    def _require_recoverable(self) -> None:
        if self.hill < 1.5:
            raise NotRecoverableError(
                f"HillLoss with hill {self.hill:g} pushes sure negatives up, so one output can "
                "stand for two probabilities. Set hill to 1.5 or more, or fit a calibrator."
            )

    def _log_odds(self, z: Floats) -> Floats:
        """Return log(l0' / -l1'), with l0' = p^2 q (2 hill - 3 p)."""
        moved = z - self.shift
        log_p, log_q = log_expit(moved), log_expit(-moved)
        one = focal_log_scale(log_p, log_q, self.gamma) + log_q
        # 2 hill - 3 p by way of q = 1 - p: at hill 1.5 it is 3 q, where p that rounds to 1 gives 0.
        bracket = np.log((2.0 * self.hill - 3.0) + 3.0 * expit(-z))
        return np.asarray(2.0 * log_expit(z) + log_expit(-z) + bracket - one)

    def extra_repr(self) -> str:
        """Name the settings."""
        own = f"gamma={self.gamma:g}, shift={self.shift:g}, hill={self.hill:g}"
        return f"{own}, {super().extra_repr()}"


class SPLCLoss(Loss):
    """Self-paced correction of missing positives. See :func:`splc_loss`.

    Call :meth:`set_epoch` at the start of every epoch: correction begins at ``first_epoch``.

    Args:
        cut: Probability above which a negative is not believed, in (0, 1).
        gamma: Focusing, >= 0.
        shift: Margin of positives on the logit, >= 0.
        correcting: Whether correction has begun, until :meth:`set_epoch` says so.
        first_epoch: Epoch, counted from 0, at which correction begins.
        class_dim: Axis of classes or labels, -1 or at least 1.
        reduction: "none", "mean", "sum" or "batchmean".
    """

    kind = "multilabel"
    exactness = "none"

    def __init__(
        self,
        *,
        cut: float = 0.6,
        gamma: float = 2.0,
        shift: float = 1.0,
        correcting: bool = False,
        first_epoch: int = 1,
        class_dim: int = -1,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(class_dim=class_dim, reduction=reduction)
        self.cut = _open_cut(cut)
        self.gamma = to_strength("gamma", gamma)
        self.shift = to_strength("shift", shift)
        self.correcting = bool(correcting)
        self.first_epoch = to_integer("first_epoch", first_epoch)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch, counted from 0, begins."""
        self.correcting = epoch >= self.first_epoch

    def get_extra_state(self) -> Tensor:
        """Return whether correction has begun, as a tensor: no file needs a pickle."""
        return torch.tensor(self.correcting)

    def set_extra_state(self, state: Tensor) -> None:
        """Take up what :meth:`get_extra_state` returned."""
        self.correcting = bool(state)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """See :func:`splc_loss`."""
        return splc_loss(
            logits,
            target,
            correcting=self.correcting,
            cut=self.cut,
            gamma=self.gamma,
            shift=self.shift,
            class_dim=self.class_dim,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        """Name the settings."""
        own = f"cut={self.cut:g}, gamma={self.gamma:g}, shift={self.shift:g}"
        return f"{own}, first_epoch={self.first_epoch}, {super().extra_repr()}"
