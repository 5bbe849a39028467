"""From training labels to remedies that treat late, or in a second stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from equipoise._core.checks import say
from equipoise.artifacts import Correction, Labels
from equipoise.errors import UsageError
from equipoise.experiments import builders, sampling_builders
from equipoise.experiments.mixing_builders import add_mixing
from equipoise.labels import class_weights
from equipoise.training.mixing import Mixup
from equipoise.training.remedy import Remedy
from equipoise.training.schedule import Deferred
from equipoise.training.second_stage import SecondStage

__all__ = ["crt", "defer", "drs", "drw", "ldam_drw", "lws", "mixup_drw", "ncm", "tau_norm"]


def defer(
    early: Remedy,
    late: Remedy,
    start: float = 0.8,
    *,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Remedy:
    """Return a remedy that trains as ``early`` says at first, and as ``late`` says from then on.

    Use to put off a loss or a sampler of your choice. Prefer the methods ``drw``, ``drs`` and
    ``ldam_drw`` of the catalogue to begin with.

    Args:
        early: In force at first; a remedy with a loss and, where it has one, a sampler.
        late: Takes over; made for the same labels and for outputs of the same head.
        start: Share of training after which it does, in [0, 1]; 1 never.
        name: Of the new remedy; None joins the two names.
        settings: What enters the trial's config; None keeps ``start`` and those of ``late``.

    Returns:
        A remedy with the correction of ``late``, stated as approximate at best: outputs lie
        between the operating points of the two, the nearer to the late one the longer it was in
        force and the higher the learning rate was meanwhile. With ``start`` 0 it is that of
        ``late`` as it stands, with 1 that of ``early``.

    Raises:
        UsageError: one of the two mixes, defers or has a second stage; only ``early`` has a
            sampler; or the two are for different heads.

    Example:
        >>> import equipoise as eq
        >>> labels = eq.Labels.from_array([[1], [0], [0], [0]], kind="multilabel")
        >>> made = defer(eq.remedy("none", labels), eq.remedy("pos_weight", labels), 0.5)
        >>> made.name, made.correction.exactness, made.schedule.first_epoch(10)
        ('none, then pos_weight', 'approximate', 5)
        >>> made.correction.probabilities([[0.0]]).round(3).tolist()
        [[0.333]]

    Source:
        Cao et al., NeurIPS 2019, algorithm 1.
    """
    for part, given in (("early", early), ("late", late)):
        given.require_supported("defer", ("sampler",))
        if given.head != early.head:
            expected = f"be for the same head as '{early.name}', {early.head}"
            raise UsageError(say(part, expected, given.head))
    if early.sampler is not None and late.sampler is None:
        do = "A schedule does not end a sampler; join one with `add_sampler`."
        raise UsageError(say("late", "have a sampler where `early` has one", late.name, do))
    schedule = Deferred(start, loss=late.loss, sampler=late.sampler, before=early.correction)
    correction = late.correction
    if start == 1:
        correction = early.correction
    elif start > 0 and correction.exactness == "exact":
        correction = replace(correction, exactness="approximate")
    return replace(
        early,
        name=f"{early.name}, then {late.name}" if name is None else name,
        schedule=schedule,
        correction=correction,
        settings={"start": start, **late.settings} if settings is None else settings,
    )


def _plain(labels: Labels) -> Remedy:
    if labels.kind == "multilabel":
        return builders.plain_bce(labels)
    return builders.plain_cross_entropy(labels)


def _balanced(labels: Labels) -> Remedy:
    """Return the plain loss on classes drawn equally often, or rows by their rarest label."""
    if labels.kind == "multilabel":
        return sampling_builders.weighted_sampling(labels, rule="max", empty_weight=1.0)
    return sampling_builders.class_balanced_sampling(labels)


def drw(labels: Labels, *, start: float, beta: Any) -> Remedy:
    """Plain loss, then weights on classes, or on the positives of labels, by effective number."""
    make = builders.class_balanced_labels
    if labels.kind == "multiclass":
        make = builders.class_balanced
    late = make(labels, beta=beta)
    return defer(_plain(labels), late, start, name="drw", settings={"start": start, "beta": beta})


def drs(labels: Labels, *, start: float) -> Remedy:
    """Plain loss on all rows, then on rows drawn for balance."""
    late = _balanced(labels)
    return defer(_plain(labels), late, start, name="drs", settings={"start": start})


def ldam_drw(labels: Labels, *, start: float, beta: Any, max_margin: float, scale: float) -> Remedy:
    """LDAM on cosines, then LDAM with class weights by effective number."""
    early = builders.ldam(labels, max_margin=max_margin, scale=scale)
    weight = class_weights(
        labels.counts, method="effective_number", beta=beta, zero_counts="smooth"
    )
    undo = early.correction.then(Correction.from_class_weights(weight))
    loss = ClassWeighted(early.loss, torch.as_tensor(weight, dtype=torch.float32))
    late = replace(early, loss=loss, correction=undo)
    settings = {"start": start, "beta": beta, "max_margin": max_margin, "scale": scale}
    return defer(early, late, start, name="ldam_drw", settings=settings)


def mixup_drw(
    labels: Labels,
    *,
    start: float,
    beta: Any,
    alpha: float,
    per_sample: bool,
    probability: float,
) -> Remedy:
    """Deferred re-weighting on blends of rows."""
    mixing: dict[str, Any] = {"per_sample": per_sample, "probability": probability}
    width = labels.num_classes if labels.kind == "multiclass" else None
    settings = {"start": start, "beta": beta, "alpha": alpha, **mixing}
    base = drw(labels, start=start, beta=beta)
    blend = Mixup(alpha, num_classes=width, **mixing)
    return add_mixing(base, blend, name="mixup_drw", settings=settings)


class ClassWeighted(nn.Module):
    """A softmax loss with one weight per class, for losses that take none themselves.

    Args:
        loss: Linear in its target: the weights go into the targets. Its mean still divides by
            rows.
        weight: (C,), >= 0.
    """

    linear_in_target = True
    weight: Tensor

    def __init__(self, loss: nn.Module, weight: Tensor) -> None:
        super().__init__()
        self.loss = loss
        self.register_buffer("weight", weight)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the loss of logits (N, C) and class indices (N,), or class shares (N, C)."""
        if not target.is_floating_point():
            target = one_hot(target, len(self.weight))
        value: Tensor = self.loss(logits, target * self.weight)
        return value

    def divisor(self, target: Tensor) -> Tensor:
        """Return what the mean divides by: rows."""
        return torch.tensor(len(target))


def _two_stages(first: Remedy, stage: SecondStage, settings: Mapping[str, Any]) -> Remedy:
    return replace(first, name=stage.kind, second_stage=stage, settings=dict(settings))


def _retrained(
    labels: Labels, kind: Literal["crt", "lws"], epochs: int, lr: float | None
) -> Remedy:
    balanced = _balanced(labels)
    # A last layer on features that learned without balance follows the draws only so far; scales,
    # which cannot shift an output, do not follow them in a way that has a formula.
    undo = (
        replace(balanced.correction, exactness="approximate")
        if kind == "crt"
        else Correction(labels.kind, exactness="none", prior=balanced.correction.prior)
    )
    remedy = replace(balanced, name=kind, correction=undo, settings={})
    stage = SecondStage(kind, remedy, epochs=epochs, lr=lr)
    return _two_stages(_plain(labels), stage, {"epochs": epochs, "lr": lr})


def crt(labels: Labels, *, epochs: int, lr: float | None) -> Remedy:
    """Plain training, then a new last layer on rows drawn for balance."""
    return _retrained(labels, "crt", epochs, lr)


def lws(labels: Labels, *, epochs: int, lr: float | None) -> Remedy:
    """Plain training, then one scale per class, learned on rows drawn for balance."""
    return _retrained(labels, "lws", epochs, lr)


def _computed(labels: Labels, make: partial[SecondStage], **settings: Any) -> Remedy:
    plain = _plain(labels)
    lost = Correction(labels.kind, exactness="none", prior=plain.correction.prior)
    stage = make(remedy=replace(plain, correction=lost))
    return _two_stages(plain, stage, settings)


def tau_norm(labels: Labels, *, bias: Literal["keep", "drop"]) -> Remedy:
    """Plain training, then class weights divided by their norm to a power."""
    return _computed(labels, partial(SecondStage, "tau_norm", bias=bias), bias=bias)


def ncm(labels: Labels) -> Remedy:
    """Plain training, then the nearest class mean of the features."""
    return _computed(labels, partial(SecondStage, "ncm"))
