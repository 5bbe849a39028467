"""Treatment that begins late: another loss or sampler, or a last layer trained anew."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from equipoise._core.checks import require_within, to_positive
from equipoise._core.messages import one_of, say
from equipoise.artifacts import Correction
from equipoise.errors import UsageError
from equipoise.models import CosineHead, find_last_layer, freeze
from equipoise.models.last_layer import run_once
from equipoise.training.options import TrainingOptions
from equipoise.training.remedy import Remedy, RowSampler

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, eq=False)
class Deferred:
    """What takes over late in training, as the slot ``schedule`` of a remedy.

    Use deferred re-weighting or re-sampling where treatment from the start spoils the features:
    with many classes it loses against no treatment at all. Prefer plain treatment on short
    trainings, in which little time is left to defer to.

    Args:
        start: Share of training after which it takes over, in [0, 1]: epoch ``round(start x
            epochs)`` is the first, or the last of a training so short that this lies beyond it.
            0 is treatment from the beginning; 1 never.
        loss: Takes over from the remedy's loss; None keeps that.
        sampler: Takes over from the remedy's sampler, as ``sampler(seed=...)``, and draws as many
            rows per epoch; None keeps that.
        before: What undoes the outputs until then, for the validation metric; the epoch that is
            kept is always a later one. None takes the remedy's correction.

    Raises:
        UsageError: ``start`` outside [0, 1], or nothing that takes over.

    Note:
        Calibration: at the end of training the outputs lie between the two operating points, near
        the first where the learning rate falls to 0 meanwhile ("cosine"): leave the late part a
        rate to learn with ("multistep", as in the paper), and calibrate on validation rows.
        The remedy's correction is that of the late loss and sampler, marked approximate; with
        ``start`` 1 it must be that of plain training.

    Example:
        >>> from torch import nn
        >>> late = Deferred(0.8, loss=nn.CrossEntropyLoss())
        >>> late.first_epoch(200), late.first_epoch(2)
        (160, 1)

    References:
        Cao et al., NeurIPS 2019, algorithm 1 (DRW).
    """

    start: float = 0.8
    loss: nn.Module | None = None
    sampler: Callable[..., RowSampler] | None = None
    before: Correction | None = None

    def __post_init__(self) -> None:
        require_within("start", self.start, "[0, 1]", why=", a share of training")
        if self.loss is None and self.sampler is None:
            raise UsageError(say("schedule", "defer a loss or a sampler", "neither"))

    def first_epoch(self, epochs: int) -> int:
        """Return the first epoch, counted from 0, in which it is in force; ``epochs`` for never."""
        first = round(self.start * epochs)
        # Else 2 epochs with 0.8 would be plain training, corrected for a loss it never had.
        return first if self.start == 1 else min(first, epochs - 1)


Kind = Literal["crt", "lws", "tau_norm", "ncm"]
Bias = Literal["keep", "drop"]


@dataclass(frozen=True, slots=True, eq=False)
class SecondStage:
    """What follows the first stage, as the slot ``second_stage`` of a remedy.

    Use where the features of plain training are good and only the last layer favours frequent
    classes. Prefer tuned thresholds or class offsets first: they move the operating point too,
    keep the probabilities, and cost no training.

    Args:
        kind: "crt" trains a new last layer, "lws" one scale per class on the old one, both with
            everything else frozen, batch norm included; dropout and augmentation stay active.
            "tau_norm" divides the last layer's rows by their norm to the power tau, chosen on
            validation; "ncm" puts the class means of the training features there. The last two
            are for classes.
        remedy: Loss, sampler and correction of the second stage. Its correction is what undoes
            the final outputs. Of "tau_norm" and "ncm" only the correction counts.
        epochs: Of "crt" and "lws", >= 1.
        lr: Their learning rate, > 0; None keeps that of the first stage.
        taus: Candidates of tau, >= 0; equal values on validation go to the smallest.
        bias: Whether "tau_norm" keeps the bias, (C,), or drops it.

    Raises:
        UsageError: an unknown kind, no epochs, a rate that is not above 0, no tau >= 0, or a
            remedy that fills a slot which the stage does not use.

    Note:
        Calibration: outputs of "crt" and "lws" follow the prior of the second stage's draws, as
        its correction says, approximately. Those of "tau_norm" and "ncm" rank: give them a
        correction of exactness "none", and fit a calibrator on validation rows.

    Example:
        >>> import equipoise as eq
        >>> labels = eq.Labels.from_array([0, 0, 0, 1], kind="multiclass")
        >>> stage = SecondStage("crt", eq.remedy("class_balanced_sampling", labels), epochs=5)
        >>> stage.remedy.correction.probabilities([[0.0, 0.0]]).round(2).tolist()
        [[0.75, 0.25]]

    References:
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
        if self.lr is not None:
            to_positive("lr", self.lr)
        if not self.taus or not all(0 <= tau < math.inf for tau in self.taus):
            raise UsageError(say("taus", "hold finite values >= 0", list(self.taus)))
        # A slot that is filled is used or refused, never ignored.
        slots = ("sampler", "mixing", "schedule") if self.is_trained else ()
        self.remedy.require_supported(f"second stage '{self.kind}'", slots)

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
        UsageError: the last layer is not one that the stage can work on.
    """
    network = copy.deepcopy(network)
    head = last_layer(network, stage.kind, example)
    freeze(network, "*")
    if stage.kind == "lws" and isinstance(head, nn.Linear):
        return _replace(network, head, LearnedScales(head))
    _begin_anew(head)
    return network


def last_layer(network: nn.Module, kind: Kind, example: object) -> nn.Linear | CosineHead:
    """Return the layer that a second stage works on.

    Args:
        network: Run once on ``example``, and left as it is.
        kind: Of the stage; "crt" takes a cosine head too.
        example: A batch of one row, as the network takes it.

    Raises:
        UsageError: it is no linear layer, or its weight is computed (weight norm); or, where the
            new weights are computed, its outputs are not what the network returns.
    """
    head = network.get_submodule(find_last_layer(network, example))
    own = "weight" in dict(head.named_parameters(recurse=False))
    if (
        not own
        or not isinstance(head, (nn.Linear, CosineHead))
        or (kind != "crt" and isinstance(head, CosineHead))
    ):
        do = "A second stage works on the weights of one linear layer."
        raise UsageError(say("model", f"end in a linear layer for '{kind}'", head, do))
    if kind in ("crt", "lws"):
        return head
    said: list[Tensor] = []
    hook = head.register_forward_hook(lambda *given: said.append(given[-1]))
    try:
        outputs = run_once(network, example)
    finally:
        hook.remove()
    if len(said) != 1 or not torch.equal(outputs, said[0]):
        do = "Leave out what follows it, or is not one vector of features per row."
        raise UsageError(say("model", f"return what its last layer does for '{kind}'", head, do))
    return head


def _replace(network: nn.Module, old: nn.Module, new: nn.Module) -> nn.Module:
    """Put a layer in the place of another, wherever that is registered; return the network."""
    if network is old:
        return new
    # Listed first: a new layer may hold the old one.
    places = [name for name, m in network.named_modules(remove_duplicate=False) if m is old]
    for place in places:
        network.set_submodule(place, new)
    return network


def _begin_anew(head: nn.Module) -> None:
    """Draw the weights of a last layer again, from torch's state."""
    if isinstance(head, nn.Linear):
        head.reset_parameters()
    elif isinstance(head, CosineHead):
        nn.init.kaiming_uniform_(head.weight, a=5**0.5)
    for parameter in head.parameters():
        parameter.requires_grad_(True)


def fold_scales(network: nn.Module) -> nn.Module:
    """Return the network with learned scales multiplied into its last layer."""
    for module in network.modules():
        if isinstance(module, LearnedScales):
            with torch.no_grad():
                module.layer.weight.mul_(module.scale[:, None])
            return _replace(network, module, module.layer)
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

    Returns:
        (N, C) float64. A row of ``weight`` that is zero stays as it is.

    Example:
        >>> scale_rows([[4.0, 1.0]], np.array([[2.0], [0.5]]), None, 1.0).tolist()
        [[2.0, 2.0]]
    """
    shift = np.zeros(len(weight)) if bias is None else np.asarray(bias, dtype=np.float64)
    norms = np.linalg.norm(np.asarray(weight, dtype=np.float64), axis=1)
    norms = np.where(norms > 0, norms, 1.0)
    plain = np.asarray(logits, dtype=np.float64) - shift
    return np.asarray(plain / norms**tau + (shift if keep_bias else 0.0))


def centre_means(means: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the linear layer that decides for the nearest class mean.

    Args:
        means: (C, D) floating; NaN for a class without training rows.

    Returns:
        Weight (C, D) and bias (C,): outputs are half the squared distance of a row to the mean of
        all class means, less half of that to the mean of the class. A class without rows gets an
        output below the least that the largest of the others can be, so it is never decided for.

    Example:
        >>> weight, bias = centre_means(torch.tensor([[0.0], [4.0], [torch.nan]]))
        >>> (torch.tensor([[0.9], [3.0]]) @ weight.T + bias).argmax(1).tolist()
        [0, 1]
    """
    there = ~means.isnan().any(1)
    centre = means[there].mean(0)
    weight = (means - centre).nan_to_num(0.0)
    # (m - c)(x - (m + c) / 2): less is lost in rounding than with the squares of both.
    bias = -(weight * (means + centre).nan_to_num(0.0)).sum(1) / 2
    # Weights add up to zero, so for every row the largest output is at least the mean bias.
    lowest = bias[there].mean()
    bias[~there] = lowest - 1.0 - lowest.abs()
    return weight, bias
