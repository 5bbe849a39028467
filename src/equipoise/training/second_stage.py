"""A second stage: the last layer trained or computed anew on features that stand still."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from equipoise._core.checks import one_of, say
from equipoise.errors import UsageError
from equipoise.models import CosineHead, find_last_layer, freeze
from equipoise.training.options import TrainingOptions
from equipoise.training.remedy import Remedy

__all__ = ["LearnedScales", "SecondStage", "fold_scales", "prepare_head", "scale_rows"]

Kind = Literal["crt", "lws", "tau_norm", "ncm"]
Bias = Literal["keep", "drop"]


@dataclass(frozen=True, slots=True, eq=False)
class SecondStage:
    """What follows the first stage, as the slot ``second_stage`` of a remedy.

    Args:
        kind: "crt" trains a new last layer, "lws" one scale per class on the old one, both with
            everything else frozen, batch norm included. "tau_norm" divides the last layer's rows
            by their norm to the power tau, chosen on validation; "ncm" puts the class means of
            the training features there.
        remedy: Loss, sampler and correction of the second stage. Its correction is what undoes
            the final outputs.
        epochs: Of "crt" and "lws".
        lr: Their learning rate; None keeps that of the first stage.
        taus: Candidates of tau; equal values on validation go to the smallest.
        bias: Whether "tau_norm" keeps the bias or drops it.

    Raises:
        UsageError: an unknown kind, no epochs, or no tau >= 0.

    Source:
        Kang et al., ICLR 2020, section 4.
    """

    kind: Kind
    remedy: Remedy
    epochs: int = 10
    lr: float | None = None
    taus: Sequence[float] = tuple(round(0.1 * i, 1) for i in range(21))
    bias: Bias = "keep"

    def __post_init__(self) -> None:
        one_of("kind", self.kind, get_args(Kind))
        one_of("bias", self.bias, get_args(Bias))
        if self.epochs < 1:
            raise UsageError(say("epochs", "be >= 1", self.epochs))
        if not self.taus or min(self.taus) < 0:
            raise UsageError(say("taus", "hold values >= 0", list(self.taus)))

    @property
    def is_trained(self) -> bool:
        """Whether gradients are needed."""
        return self.kind in ("crt", "lws")

    def options(self, first: TrainingOptions) -> TrainingOptions:
        """Return the options of the second stage, given those of the first."""
        lr = first.lr if self.lr is None else self.lr
        warmup = first.warmup if first.warmup < self.epochs else 0.0
        return replace(first, epochs=self.epochs, lr=lr, warmup=warmup)


class LearnedScales(nn.Module):
    """A frozen linear layer whose outputs, bias apart, are scaled by one number per class."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        for parameter in layer.parameters():
            parameter.requires_grad_(False)
        self.scale = nn.Parameter(torch.ones_like(layer.weight[:, 0]))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C) for features (N, D)."""
        outputs = nn.functional.linear(x, self.layer.weight) * self.scale
        return outputs if self.layer.bias is None else outputs + self.layer.bias


def prepare_head(network: nn.Module, stage: SecondStage, example: object) -> nn.Module:
    """Return a copy of a network for a second stage that is trained.

    Everything but the last layer is frozen, batch norm included.

    Raises:
        UsageError: the last layer is not linear.
    """
    network = copy.deepcopy(network)
    name = find_last_layer(network, example)
    head = network.get_submodule(name)
    if not isinstance(head, (nn.Linear, CosineHead)) or (
        stage.kind != "crt" and not isinstance(head, nn.Linear)
    ):
        do = "A second stage works on the weights of one linear layer."
        raise UsageError(say("model", f"end in a linear layer for '{stage.kind}'", head, do))
    freeze(network, "*")
    new = LearnedScales(head) if stage.kind == "lws" else _begin_anew(head)  # type: ignore[arg-type]
    if not name:
        return new
    network.set_submodule(name, new)
    return network


def _begin_anew(head: nn.Module) -> nn.Module:
    """Draw the weights of a last layer again, from torch's state."""
    if isinstance(head, nn.Linear):
        head.reset_parameters()
    elif isinstance(head, CosineHead):
        nn.init.kaiming_uniform_(head.weight, a=5**0.5)
    for parameter in head.parameters():
        parameter.requires_grad_(True)
    return head


def fold_scales(network: nn.Module) -> nn.Module:
    """Return the network with learned scales multiplied into its last layer."""
    for name, module in network.named_modules():
        if isinstance(module, LearnedScales):
            with torch.no_grad():
                module.layer.weight.mul_(module.scale[:, None])
            if not name:
                return module.layer
            network.set_submodule(name, module.layer)
            break
    return network


def scale_rows(
    logits: NDArray[np.floating],
    weight: NDArray[np.floating],
    bias: NDArray[np.floating] | None,
    tau: float,
    *,
    keep_bias: bool = True,
) -> NDArray[np.float64]:
    """Return what a network would output, were its last layer tau-normalised.

    Args:
        logits: (N, C) of the network as it stands.
        weight: (C, D) of its last layer.
        bias: (C,), or None.
        tau: Power of the norm; 0 changes nothing.
        keep_bias: Keep the bias as it is, or leave it out.

    Example:
        >>> scale_rows([[4.0, 1.0]], np.array([[2.0], [0.5]]), None, 1.0).tolist()
        [[2.0, 2.0]]
    """
    shift = np.zeros(len(weight)) if bias is None else np.asarray(bias, dtype=np.float64)
    norms = np.linalg.norm(np.asarray(weight, dtype=np.float64), axis=1)
    plain = np.asarray(logits, dtype=np.float64) - shift
    return np.asarray(plain / norms**tau + (shift if keep_bias else 0.0))
