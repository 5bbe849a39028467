"""Mixup, CutMix and Remix: train on blends of two rows and of their targets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from equipoise._core.checks import require_finite, to_array, to_floats, to_fraction
from equipoise._core.targets import IGNORE_INDEX
from equipoise._core.words import say
from equipoise.errors import DataError, UsageError
from equipoise.training._mixing_parts import (
    blend_inputs,
    blend_targets,
    check_settings,
    cut_boxes,
    draw_pairs,
    require_images,
    require_rows,
    to_soft,
)


@dataclass(frozen=True, slots=True)
class Mixup:
    r"""Blend every row with another row of the batch (Zhang et al., 2018).

    Use to regularise a network that learns rare classes by heart; give it longer training. Prefer
    no mixing where the network is small or the budget short. Does not by itself favour rare
    classes: join it with a sampler, a schedule or :class:`Remix` for that.

    .. math::
        \tilde x = \lambda x_i + (1 - \lambda) x_j, \quad
        \tilde y = \lambda y_i + (1 - \lambda) y_j, \quad \lambda \sim \mathrm{Beta}(\alpha, \alpha)

    Args:
        alpha: Both parameters of the beta distribution, > 0: 1 is uniform, 0.2 mostly leaves one
            row alone.
        num_classes: C, for targets that are class indices; None for labels.
        per_sample: One weight per row. In expectation the same as one per batch, as the authors'
            code has it, but no batch consists of half-and-half blends alone, so losses and
            gradients vary less between batches.
        probability: Of mixing a batch at all, in [0, 1].

    Call it as ``mix(x, target, generator)``.

    ``x`` is (N, ...) floating, or uint8, which is rounded back; or a pair of padded sequences
    (N, T, ...) with lengths (N,) or a mask (N, T) bool. What stands in the padding counts as 0,
    and a blend is as long as the longer of its two. ``target`` is (N,) int64; or (N, C) or (N, L),
    floating in [0, 1] or bool, NaN unknown. ``generator`` is on the CPU whatever the device, and
    moves on by one number per call: the same state gives the same result. Nothing is changed in
    place.

    Returns, when called:
        Inputs like ``x``, and float targets (N, C) or (N, L). An entry of a label is NaN where
        either of two partners with a weight above 0 is unknown.

    Raises:
        UsageError: a setting out of range, or class indices without ``num_classes``.
        DataError: inputs that are whole numbers, or targets that are neither classes nor labels.
        ShapeError: inputs and targets that do not fit one another.

    Note:
        Blended targets are softer than the truth, so outputs are drawn towards the middle by an
        amount that depends on the data: no formula undoes it. Scores are of kind "ranking" and a
        fitted calibrator is compulsory. Only for losses that are linear in the target: see
        :attr:`equipoise.losses.Loss.linear_in_target`.

    Example:
        >>> mix, seeded = Mixup(1.0, num_classes=2), torch.Generator().manual_seed(1)
        >>> x, y = mix(torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1]), seeded)
        >>> torch.equal(x[:, 0], y[:, 1]), bool(((x > 0) & (x < 1)).all())
        (True, True)

    References:
        Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018, section 2.
    """

    alpha: float = 1.0
    num_classes: int | None = field(default=None, kw_only=True)
    per_sample: bool = field(default=True, kw_only=True)
    probability: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        check_settings(self.alpha, self.probability, self.num_classes)

    def __call__(self, x: Any, target: Tensor, generator: torch.Generator) -> tuple[Any, Tensor]:
        """Return blended inputs and targets."""
        require_rows(x, target)
        soft = to_soft(target, self.num_classes)
        drawn = draw_pairs(len(target), self.alpha, self.probability, self.per_sample, generator)
        if drawn is None:
            return x, soft
        partner, weight, _ = drawn
        return blend_inputs(x, partner, weight), blend_targets(soft, partner, weight)


@dataclass(frozen=True, slots=True)
class CutMix:
    r"""Paste a rectangle of another image of the batch into every image (Yun et al., 2019).

    Use on photographs, where what is cut out still looks like a photograph. Prefer :class:`Mixup`
    on radiographs and other images in which the place of a finding matters, and on all that is no
    image.

    A box of the sides H sqrt(1 - lambda) and W sqrt(1 - lambda), with lambda from Beta(alpha,
    alpha) and its centre anywhere, is cut at the borders of the image. The target of a row keeps
    one minus the share of pixels inside, counted after that.

    .. math::
        \tilde x = M \odot x_i + (1 - M) \odot x_j, \quad
        \tilde y = w y_i + (1 - w) y_j, \quad w = \textstyle\sum M / (H W)

    Args:
        alpha: As in :class:`Mixup`; since boxes are cut at borders, rows keep more than half of
            themselves on average.
        num_classes: As in :class:`Mixup`, and so are the others.
        per_sample: One box per row; False cuts the same box out of all rows, as the authors' code
            has it.
        probability: Of mixing a batch at all, in [0, 1].

    Call it as ``mix(x, target, generator)`` with images (N, C, H, W) of any dtype, kept bit for
    bit, and targets as in :class:`Mixup`.

    Raises:
        DataError: inputs that are no images (N, C, H, W), and as in :class:`Mixup`.
        UsageError: as in :class:`Mixup`.

    Note:
        Takes an object in the cut part for present in proportion to the area, which is wrong more
        often for small findings. The way back to probabilities is that of :class:`Mixup`: none.

    Example:
        >>> mix, seeded = CutMix(1.0, num_classes=2), torch.Generator().manual_seed(0)
        >>> images = torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 8, 8)
        >>> x, y = mix(images, torch.tensor([0, 1]), seeded)
        >>> torch.equal(x.mean((1, 2, 3)), y[:, 1])
        True

    References:
        Yun et al., CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
        Features, ICCV 2019, eq. 1 and 2.
    """

    alpha: float = 1.0
    num_classes: int | None = field(default=None, kw_only=True)
    per_sample: bool = field(default=True, kw_only=True)
    probability: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        check_settings(self.alpha, self.probability, self.num_classes)

    def __call__(
        self, x: Tensor, target: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return images with pasted boxes, and blended targets."""
        images = require_images(x)
        require_rows(images, target)
        soft = to_soft(target, self.num_classes)
        drawn = draw_pairs(len(target), self.alpha, self.probability, self.per_sample, generator)
        if drawn is None:
            return images, soft
        partner, weight, source = drawn
        inside, kept = cut_boxes(source, 1.0 - weight.numpy(), *images.shape[-2:])
        others = images[partner.to(images.device)]
        pasted = torch.where(inside.to(images.device), others, images)
        return pasted, blend_targets(soft, partner, kept)


@dataclass(frozen=True, slots=True)
class Remix:
    r"""Mixup that gives a blend of a frequent and a rare class to the rare one (Chou et al., 2020).

    Use for long tails of classes, where :class:`Mixup` blurs what little there is of the rare
    ones. Prefer :class:`Mixup` with a balanced sampler where probabilities matter as well.

    Inputs are blended with lambda. Targets are blended row by row with

    .. math::
        \lambda_y = \begin{cases}
        0 & n_i / n_j \ge \kappa \text{ and } \lambda < \tau \\
        1 & n_i / n_j \le 1 / \kappa \text{ and } 1 - \lambda < \tau \\
        \lambda & \text{otherwise} \end{cases}

    where row i keeps lambda of itself and n are the counts of the two classes.

    Args:
        alpha: As in :class:`Mixup`.
        class_counts: Training rows per class, (C,), finite, >= 0; kept as a tuple.
        ratio: Kappa > 1: how many times as frequent a class must be to give way.
        threshold: Tau in [0, 1]: the share of the input below which the frequent class gives way.
        per_sample: One lambda per row, or one per batch. The rule for targets is always by row.
        probability: Of mixing a batch at all, in [0, 1].

    Call it as ``mix(x, target, generator)`` with inputs as in :class:`Mixup` and targets (N,)
    int64; targets come back as floats (N, C). For labels it is refused: a row has frequent and
    rare labels at once, so there is no one count by which one row gives way to the other, and a
    rule per label would mark findings as present of which the blend shows next to nothing.

    Raises:
        UsageError: a setting out of range.
        DataError: counts that are negative or not finite, or targets other than class indices.
        ShapeError: inputs and targets that do not fit one another.

    Note:
        Raises the outputs of rare classes and blurs all, by amounts that depend on the data: no
        formula undoes it, and a fitted calibrator is compulsory.

    Example:
        >>> mix = Remix(1.0, class_counts=[90, 10])
        >>> x, y = torch.tensor([[0.0], [1.0]] * 50), torch.tensor([0, 1] * 50)
        >>> blends, shares = mix(x, y, torch.Generator().manual_seed(0))
        >>> rare = (blends[:, 0] > 0.5) & (blends[:, 0] < 1)
        >>> shares[rare, 1].unique()
        tensor([1.])

    References:
        Chou et al., Remix: Rebalanced Mixup, ECCV workshops 2020.
    """

    alpha: float
    class_counts: ArrayLike
    ratio: float = 3.0
    threshold: float = 0.5
    per_sample: bool = field(default=True, kw_only=True)
    probability: float = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        counts = to_floats("class_counts", to_array("class_counts", self.class_counts, ndim=1))
        require_finite("class_counts", counts, "Count the training rows of each class.")
        if (counts < 0).any():
            raise DataError(say("class_counts", "be >= 0", float(counts.min())))
        object.__setattr__(self, "class_counts", tuple(counts.tolist()))
        check_settings(self.alpha, self.probability, self.num_classes)
        to_fraction("threshold", self.threshold, inclusive=True)
        if not self.ratio > 1.0:
            do = "Classes of one size have no reason to give way to each other."
            raise UsageError(say("ratio", "be > 1", self.ratio, do))

    @property
    def num_classes(self) -> int:
        """C."""
        return int(np.size(self.class_counts))

    def __call__(self, x: Any, target: Tensor, generator: torch.Generator) -> tuple[Any, Tensor]:
        """Return blended inputs, and targets blended by the rule."""
        if target.dtype != torch.int64 or target.ndim != 1:
            got = f"{target.dtype} of shape {tuple(target.shape)}"
            do = "A row of labels has no one count to compare; take Mixup for labels."
            raise DataError(say("target", "be int64 class indices (N,)", got, do))
        require_rows(x, target)
        soft = to_soft(target, self.num_classes)
        drawn = draw_pairs(len(target), self.alpha, self.probability, self.per_sample, generator)
        if drawn is None:
            return x, soft
        partner, weight, _ = drawn
        share = self._share(target.cpu(), partner, weight)
        return blend_inputs(x, partner, weight), blend_targets(soft, partner, share)

    def _share(self, target: Tensor, partner: Tensor, weight: Tensor) -> Tensor:
        """Return the weight of each row in its target, (N,) float64."""
        known = target != IGNORE_INDEX
        own = torch.tensor(self.class_counts, dtype=torch.float64)[target.where(known, 0)]
        other, both = own[partner], known & known[partner]
        gives = both & (own >= self.ratio * other) & (weight < self.threshold)
        takes = both & (self.ratio * own <= other) & (1.0 - weight < self.threshold)
        share = weight.expand_as(own)
        return torch.where(gives, 0.0, torch.where(takes, 1.0, share))
