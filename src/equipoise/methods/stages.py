"""Methods that treat late, or in a second stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from equipoise._core.messages import say
from equipoise.artifacts import Correction, Labels
from equipoise.errors import UsageError
from equipoise.methods.losses import class_balanced, effective_weights, ldam, plain
from equipoise.methods.method import CLASSES, LABELS, OnDemand, method
from equipoise.methods.mixing import add_mixing, class_width
from equipoise.methods.samplers import balanced

if TYPE_CHECKING:
    from equipoise import training
    from equipoise.training import Remedy
else:
    training = OnDemand("equipoise.training")

_DEFERRED = "Cao et al., NeurIPS 2019, algorithm 1"
_DECOUPLED = "Kang et al., ICLR 2020, section 4"


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

    References:
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
    undo = early.correction
    schedule = training.Deferred(start, loss=late.loss, sampler=late.sampler, before=undo)
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


by_schedule = partial(method, "schedule", exactness="approximate")


@by_schedule(CLASSES, LABELS, reference=_DEFERRED)
def drw(labels: Labels, *, start: float = 0.8, beta: Any = 0.9999) -> Remedy:
    """Train plainly, then weight classes or positives by inverse effective numbers."""
    return defer(plain(labels), class_balanced.make(labels, beta=beta), start)


@by_schedule(CLASSES, LABELS, reference=f"{_DEFERRED} with draws for weights")
def drs(labels: Labels, *, start: float = 0.8) -> Remedy:
    """Train on all rows, then draw classes equally often, or rows by their rarest label."""
    return defer(plain(labels), balanced(labels), start)


@by_schedule(CLASSES, reference=f"{_DEFERRED} and eq. 13")
def ldam_drw(
    labels: Labels,
    *,
    start: float = 0.8,
    beta: Any = 0.9999,
    max_margin: float = 0.5,
    scale: float = 30.0,
) -> Remedy:
    """Train with LDAM on cosines, then with LDAM and class weights by effective numbers."""
    early = ldam.make(labels, max_margin=max_margin, scale=scale)  # says it if torch is missing
    import torch

    from equipoise.losses.ldam import ClassWeighted

    weight = effective_weights(labels, beta)
    undo = early.correction.then(Correction.from_class_weights(weight))
    loss = ClassWeighted(early.loss, torch.as_tensor(weight, dtype=torch.float32))
    return defer(early, replace(early, loss=loss, correction=undo), start)


@method(
    "schedule",
    CLASSES,
    LABELS,
    reference=f"Zhang et al., ICLR 2018, section 2; {_DEFERRED}",
    exactness="none",
)
def mixup_drw(
    labels: Labels,
    *,
    start: float = 0.8,
    beta: Any = 0.9999,
    alpha: float = 1.0,
    per_sample: bool = True,
    probability: float = 1.0,
) -> Remedy:
    """Blend pairs of rows all along, and weight classes or positives late; train longer."""
    blends = training.Mixup(
        alpha, num_classes=class_width(labels), per_sample=per_sample, probability=probability
    )
    return add_mixing(drw.make(labels, start=start, beta=beta), blends)


by_stage = partial(method, "two_stage", reference=_DECOUPLED)


def _retrained(
    labels: Labels, kind: Literal["crt", "lws"], undo: Correction, epochs: int, lr: float | None
) -> Remedy:
    remedy = replace(balanced(labels), name=kind, correction=undo, settings={})
    stage = training.SecondStage(kind, remedy, epochs=epochs, lr=lr)
    return replace(plain(labels), second_stage=stage)


@by_stage(CLASSES, LABELS, exactness="approximate")
def crt(labels: Labels, *, epochs: int = 10, lr: float | None = None) -> Remedy:
    """Train plainly, then train a new last layer alone, on rows drawn for balance."""
    # A last layer on features that learned without balance follows the draws only so far.
    undo = replace(balanced(labels).correction, exactness="approximate")
    return _retrained(labels, "crt", undo, epochs, lr)


@by_stage(CLASSES, exactness="none")
def lws(labels: Labels, *, epochs: int = 10, lr: float | None = None) -> Remedy:
    """Train plainly, then learn one scale per class, on rows drawn for balance."""
    # Scales, which cannot shift an output, do not follow the draws in a way that has a formula.
    undo = Correction(labels.kind, exactness="none", prior=balanced(labels).correction.prior)
    return _retrained(labels, "lws", undo, epochs, lr)


def _computed(labels: Labels, kind: Literal["tau_norm", "ncm"], **settings: Any) -> Remedy:
    first = plain(labels)
    lost = Correction(labels.kind, exactness="none", prior=first.correction.prior)
    stage = training.SecondStage(kind, replace(first, correction=lost), **settings)
    return replace(first, second_stage=stage)


@by_stage(CLASSES, exactness="none")
def tau_norm(labels: Labels, *, bias: Literal["keep", "drop"] = "keep") -> Remedy:
    """Divide the last layer's class weights by their norm to a power chosen on validation."""
    return _computed(labels, "tau_norm", bias=bias)


@by_stage(CLASSES, exactness="none")
def ncm(labels: Labels) -> Remedy:
    """Decide by the nearest class mean of the training features."""
    return _computed(labels, "ncm")
