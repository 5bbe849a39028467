"""Losses of whole regions, from MONAI: Dice, Tversky and focal Tversky, as methods."""

from __future__ import annotations

import importlib
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from equipoise._core.checks import to_integer
from equipoise._core.messages import say
from equipoise._core.targets import (
    IGNORE_INDEX,
    require_classes,
    require_classes_for_index,
    to_class_dim,
)
from equipoise.artifacts.labels import Kind
from equipoise.errors import MissingExtraError, NotRecoverableError, ShapeError
from equipoise.labels.losses import to_scale, to_strength

Region = Literal["dice", "tversky"]
_LEAST = 1e-6


class RegionLoss(nn.Module):
    r"""One minus an overlap of predicted and true regions, by class or label, from MONAI.

    Use where Dice or IoU of a rare structure is the aim and cross entropy, whose gradient the
    background fills, does not start to learn it. Prefer a loss with an inverse and a tuned rule
    first: it reaches the same overlap on most data and keeps probabilities.

    .. math::
        \ell = \operatorname{mean}_c \Big(1 -
        \frac{TP_c}{TP_c + \alpha FP_c + \beta FN_c}\Big)^{1 / \gamma}

    Args:
        kind: "multiclass" (softmax) or "multilabel" (sigmoid).
        alpha: Weight of false positives, >= 0; with ``beta`` 0.5 this is Dice.
        beta: Weight of false negatives, >= 0.
        gamma: > 0; above 1 regions of poor overlap weigh less, below 1 more (focal Tversky).
        region: "dice" or "tversky", the class of MONAI.
        ignore_index: Class index of pixels that are left out; unknown labels are NaN or below 0.
        class_dim: Axis of classes or labels: -1 keeps leading axes; 1 takes (N, C, H, W).

    Raises:
        MissingExtraError: MONAI is not installed.
        UsageError: a setting out of range.

    Note:
        Sums over all pixels of the batch, so it depends on the batch. Outputs rank: they carry no
        probability, and a fitted calibrator is compulsory.

    Example:
        >>> loss = RegionLoss("multilabel")
        >>> z, y = torch.full((1, 1, 2, 2), 20.0), torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
        >>> round(RegionLoss("multilabel", class_dim=1)(z, y).item(), 4)
        0.3333

    References:
        Milletari et al., 3DV 2016 (Dice); Salehi et al., MLMI 2017 (Tversky); Abraham and Khan,
        ISBI 2019 (focal Tversky).
    """

    exactness = "none"
    linear_in_target = False

    def __init__(
        self,
        kind: Kind,
        *,
        alpha: float = 0.5,
        beta: float = 0.5,
        gamma: float = 1.0,
        region: Region = "dice",
        ignore_index: int = IGNORE_INDEX,
        class_dim: int = -1,
    ) -> None:
        super().__init__()
        try:
            made: Any = importlib.import_module("monai.losses")
        except (ImportError, RuntimeError) as error:
            raise MissingExtraError("monai", "vision", "dice") from error
        self.kind = kind
        self.alpha, self.beta = to_strength("alpha", alpha), to_strength("beta", beta)
        self.gamma = to_scale("gamma", gamma)
        self.ignore_index, self.class_dim = (
            to_integer("ignore_index", ignore_index),
            to_class_dim(class_dim),
        )
        self.reduction = "mean"
        # Probabilities and masks are made here: MONAI knows neither unknown labels nor stacks.
        self.overlap: nn.Module = (
            made.DiceLoss(reduction="none")
            if region == "dice"
            else made.TverskyLoss(alpha=self.alpha, beta=self.beta, reduction="none")
        )

    def along(self, class_dim: int, ignore_index: int | None = None) -> None:
        """Take classes or labels from another axis, and leave out what has another index."""
        self.class_dim = to_class_dim(class_dim)
        if ignore_index is not None:
            require_classes_for_index(self.kind, ignore_index)
            self.ignore_index = to_integer("ignore_index", ignore_index)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return a scalar, or one value per leading slice where ``class_dim`` is -1."""
        z, y = self._stacked(logits, target)
        p = (z.softmax(-1) if self.kind == "multiclass" else z.sigmoid()).mT
        hot, known = self._truth(y, z)
        p, hot = torch.where(known, p, 0.0), hot.to(p.dtype)
        value = self.overlap(p, hot).flatten(1)
        if self.gamma != 1.0:
            # At a perfect overlap the slope of a root has no end.
            value = value.clamp_min(_LEAST) ** (1.0 / self.gamma)
        mean: Tensor = value.mean(-1).to(logits.dtype)
        return mean[0] if self.class_dim != -1 else mean.reshape(logits.shape[:-2])

    def _stacked(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return (S, M, C) outputs and targets (S, M) or (S, M, C)."""
        wide = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
        same = target.ndim == logits.ndim
        expected = tuple(logits.shape)
        if not same:
            axis = self.class_dim % logits.ndim
            expected = expected[:axis] + expected[axis + 1 :]
        if tuple(target.shape) != expected:
            do = "Give one class index, or one entry per label, for every pixel."
            raise ShapeError(say("target", f"have shape {expected}", tuple(target.shape), do))
        z = wide.movedim(self.class_dim, -1)
        y = target.movedim(self.class_dim, -1) if same else target
        stacks = 1 if self.class_dim != -1 else max(logits.shape[:-2].numel(), 1)
        z = z.reshape(stacks, -1, z.shape[-1])
        return z, y.reshape(z.shape) if same else y.reshape(z.shape[:-1])

    def _truth(self, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return truth and what is known, (S, C, M) and broadcasting to it."""
        if y.ndim == z.ndim:
            known = y >= 0 if y.dtype != torch.bool else torch.ones_like(y)
            if self.kind == "multiclass":
                known = known.all(-1, keepdim=True)
            return torch.where(known, y, 0).mT, known.mT
        known = y != self.ignore_index
        if y.device.type == "cpu":
            require_classes("target", y.numpy(), z.shape[-1], self.ignore_index)
        hot = one_hot(torch.where(known, y, 0), z.shape[-1]).mT
        return torch.where(known.unsqueeze(-2), hot, 0), known.unsqueeze(-2)

    def divisor(self, target: Tensor) -> Tensor:
        """Return what the mean divides by: the batch is one."""
        return torch.ones((), device=target.device)

    def posterior(self, logits: Tensor) -> Tensor:
        """Raise: overlap of regions says nothing of one pixel's probability.

        Raises:
            NotRecoverableError: always.
        """
        raise NotRecoverableError(
            "A loss of regions has no inverse: its scores are of kind 'ranking'. "
            f"Fit a calibrator on validation data, got outputs of shape {tuple(logits.shape)}."
        )

    def extra_repr(self) -> str:
        """Name the settings."""
        own: dict[str, Any] = {"alpha": self.alpha, "beta": self.beta, "gamma": self.gamma}
        said = ", ".join(f"{name}={value:g}" for name, value in own.items())
        dense = "" if self.class_dim == -1 else f", class_dim={self.class_dim}"
        index = "" if self.ignore_index == IGNORE_INDEX else f", ignore_index={self.ignore_index}"
        return f"{self.kind!r}, {said}{index}{dense}"
