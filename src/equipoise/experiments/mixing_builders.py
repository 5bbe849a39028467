"""From training labels to remedies that train on blends of rows, and a check of their loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from equipoise._core.checks import say
from equipoise.artifacts import Correction, Labels
from equipoise.errors import UsageError
from equipoise.experiments.builders import plain_bce, plain_cross_entropy
from equipoise.training.mixing import CutMix, Mixup, Remix
from equipoise.training.remedy import Mixing, Remedy

__all__ = ["add_mixing", "cutmix", "mixup", "remix", "require_linear"]


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


def _plain(labels: Labels) -> tuple[Remedy, int | None]:
    """Return the plain remedy, and the number of classes where targets are indices."""
    if labels.kind == "multilabel":
        return plain_bce(labels), None
    return plain_cross_entropy(labels), labels.num_classes


def mixup(labels: Labels, *, alpha: float, per_sample: bool, probability: float) -> Remedy:
    """Plain loss on blends of two rows."""
    settings: dict[str, Any] = {"per_sample": per_sample, "probability": probability}
    base, width = _plain(labels)
    mixing = Mixup(alpha, num_classes=width, **settings)
    return add_mixing(base, mixing, name="mixup", settings={"alpha": alpha, **settings})


def cutmix(labels: Labels, *, alpha: float, per_sample: bool, probability: float) -> Remedy:
    """Plain loss on images with a box of another image."""
    settings: dict[str, Any] = {"per_sample": per_sample, "probability": probability}
    base, width = _plain(labels)
    mixing = CutMix(alpha, num_classes=width, **settings)
    return add_mixing(base, mixing, name="cutmix", settings={"alpha": alpha, **settings})


def remix(
    labels: Labels,
    *,
    alpha: float,
    ratio: float,
    threshold: float,
    per_sample: bool,
    probability: float,
) -> Remedy:
    """Plain loss on blends of two rows that count for the rarer class."""
    settings: dict[str, Any] = {
        "ratio": ratio,
        "threshold": threshold,
        "per_sample": per_sample,
        "probability": probability,
    }
    mixing = Remix(alpha, labels.counts, **settings)
    settings = {"alpha": alpha, **settings}
    return add_mixing(plain_cross_entropy(labels), mixing, name="remix", settings=settings)
