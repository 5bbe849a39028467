"""Methods that train on blends of rows, and a check of the losses that they can be joined with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from equipoise._core.messages import say
from equipoise.artifacts import Correction, Labels
from equipoise.errors import UsageError
from equipoise.methods.losses import plain
from equipoise.methods.method import CLASSES, LABELS, OnDemand, method

if TYPE_CHECKING:
    from torch import nn

    from equipoise import training
    from equipoise.training import Mixing, Remedy
else:
    training = OnDemand("equipoise.training")


def require_linear(loss: nn.Module, mixing: Mixing) -> None:
    """Raise unless the loss of a blend of targets is the blend of their losses.

    Args:
        loss: Says so by ``linear_in_target``, as :class:`equipoise.losses.Loss` does; a module
            that says nothing is not taken on trust.
        mixing: What would be joined with it; named in the message.

    Raises:
        UsageError: the loss is not linear in the target, or does not say that it is.

    Example:
        >>> from equipoise.losses import AsymmetricLoss, ZLPRLoss
        >>> from equipoise.training import Mixup
        >>> require_linear(AsymmetricLoss(), Mixup())
        >>> require_linear(ZLPRLoss(), Mixup())  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        equipoise.errors.UsageError: `loss` must be linear in the target, ... got ZLPRLoss. ...
    """
    linear = getattr(loss, "linear_in_target", None)
    if linear is True:
        return
    expected = f"be linear in the target, to be joined with {type(mixing).__name__}"
    name = type(loss).__name__
    if linear is None:
        do = "If a blend of targets costs the blend of their losses, set its `linear_in_target`."
        raise UsageError(say("loss", expected, f"{name}, which does not say so", do))
    do = "Take an elementwise or softmax loss such as BCELoss, AsymmetricLoss or LogitAdjustedLoss."
    raise UsageError(say("loss", expected, name, do))


def add_mixing(
    base: Remedy,
    mixing: Mixing,
    *,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Remedy:
    """Return a remedy that trains with the loss and the rows of ``base``, on blends of rows.

    Use to join mixing with a loss or a sampler for rare classes. Prefer the methods ``mixup``,
    ``cutmix`` and ``remix`` of the catalogue to begin with: they have the plain loss, so what they
    gain is their own.

    Args:
        base: A remedy without mixing whose loss is linear in the target, a later one of its
            schedule too.
        mixing: E.g. :class:`equipoise.training.mixing.Mixup`; for classes with their number.
        name: Of the new remedy; None adds "+ mixing" to that of ``base``.
        settings: What enters the trial's config; None keeps those of ``base``.

    Returns:
        A remedy whose correction is of exactness "none": its scores are of kind "ranking" until a
        calibrator is fitted.

    Raises:
        UsageError: ``base`` mixes already, or its loss is not linear in the target.

    Example:
        >>> import equipoise as eq
        >>> from equipoise.training import Mixup
        >>> labels = eq.Labels.from_array([[1], [0], [0], [0]], kind="multilabel")
        >>> made = add_mixing(eq.remedy("focal", labels), Mixup(0.2))
        >>> made.name, made.score_kind
        ('focal + mixing', 'ranking')
    """
    if base.mixing is not None:
        do = "Mix once, and choose one alpha."
        raise UsageError(say("base", "have no mixing", f"'{base.name}', which has one", do))
    require_linear(base.loss, mixing)
    late = getattr(base.schedule, "loss", None)
    if late is not None:
        require_linear(late, mixing)
    known = base.correction
    return replace(
        base,
        name=f"{base.name} + mixing" if name is None else name,
        mixing=mixing,
        correction=Correction(known.kind, exactness="none", prior=known.prior),
        settings=base.settings if settings is None else settings,
    )


def _mixed(_: str, mixing: Mixing, labels: Labels) -> Remedy:
    return add_mixing(plain(labels), mixing)


def class_width(labels: Labels) -> int | None:
    """Return the number of classes where targets are indices."""
    return labels.num_classes if labels.kind == CLASSES else None


by_blends = partial(method, "mixing", exactness="none", finish=_mixed)


@by_blends(CLASSES, LABELS, reference="Zhang et al., ICLR 2018, section 2")
def mixup(
    labels: Labels, *, alpha: float = 1.0, per_sample: bool = True, probability: float = 1.0
) -> Mixing:
    """Blend pairs of rows and of their targets; train longer with it."""
    return training.Mixup(
        alpha, num_classes=class_width(labels), per_sample=per_sample, probability=probability
    )


@by_blends(CLASSES, LABELS, reference="Yun et al., ICCV 2019, eq. 1 and 2", needs_images=True)
def cutmix(
    labels: Labels, *, alpha: float = 1.0, per_sample: bool = True, probability: float = 1.0
) -> Mixing:
    """Paste a box of another image into each image, and its share into the target."""
    return training.CutMix(
        alpha, num_classes=class_width(labels), per_sample=per_sample, probability=probability
    )


@by_blends(CLASSES, reference="Chou et al., ECCV workshops 2020")
def remix(
    labels: Labels,
    *,
    alpha: float = 1.0,
    ratio: float = 3.0,
    threshold: float = 0.5,
    per_sample: bool = True,
    probability: float = 1.0,
) -> Mixing:
    """Blend pairs of rows, and give a blend of a frequent and a rare class to the rare one."""
    return training.Remix(
        alpha,
        labels.counts,
        ratio=ratio,
        threshold=threshold,
        per_sample=per_sample,
        probability=probability,
    )
