"""Mixup, CutMix and Remix: train on blends of two rows and of their targets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from equipoise._core.checks import require_finite, to_array, to_floats, to_fraction, to_positive
from equipoise._core.messages import say
from equipoise._core.targets import IGNORE_INDEX, require_classes
from equipoise.data.sequences import padding_mask
from equipoise.errors import DataError, ShapeError, UsageError

_NAN_DO = "Classes are int64 indices (N,); labels are floating or bool (N, L), unknown NaN."


class Draw(NamedTuple):
    """Partners of the rows of a batch, (N,) int64, their own weights, (N,) or (1,) float64."""

    partner: Tensor
    weight: Tensor
    source: np.random.Generator


def check_settings(alpha: float, probability: float, num_classes: int | None) -> None:
    """Raise where a setting is out of its range."""
    to_positive("alpha", alpha)
    to_fraction("probability", probability, inclusive=True)
    if num_classes is not None and (int(num_classes) != num_classes or num_classes < 2):
        raise UsageError(say("num_classes", "be a whole number >= 2", num_classes))


def draw_pairs(
    rows: int, alpha: float, probability: float, per_sample: bool, generator: torch.Generator
) -> Draw | None:
    """Return partners and weights, on the CPU, or None where the batch is left as it is.

    The generator moves on by one number whatever the settings and the batch are, so that what else
    draws from it does not depend on them.
    """
    if generator.device.type != "cpu":
        do = "Make it with torch.Generator(): the same draw then serves every device."
        raise UsageError(say("generator", "be on the CPU", generator.device, do))
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    # NumPy draws beta variates in log space where alpha is small; gamma ratios would be 0 / 0.
    source = np.random.default_rng(seed)
    if source.random() >= probability:
        return None
    partner = torch.from_numpy(source.permutation(rows))
    # As float32 values, so that inputs, targets and lengths agree on who has no weight at all.
    weight = source.beta(alpha, alpha, rows if per_sample else 1).astype(np.float32)
    return Draw(partner, torch.from_numpy(weight.astype(np.float64)), source)


def to_soft(target: Tensor, num_classes: int | None) -> Tensor:
    """Return targets as floats that can be blended, (N, C) for classes, (N, L) for labels.

    Unknown ones, rows of index -100 and entries below 0, are NaN.
    """
    if target.dtype == torch.int64 and target.ndim == 1:
        if num_classes is None:
            do = "E.g. Mixup(1.0, num_classes=10)."
            raise UsageError(say("num_classes", "be given for class indices", None, do))
        # Elsewhere than on the CPU the answer would make the host wait; torch asserts there.
        if target.device.type == "cpu":
            require_classes("target", target.numpy(), num_classes)
        unknown = (target == IGNORE_INDEX).unsqueeze(1)
        hot = torch.zeros(len(target), num_classes, device=target.device)
        hot.scatter_(1, target.unsqueeze(1).masked_fill(unknown, 0), 1.0)
        return hot.masked_fill_(unknown, torch.nan)
    if target.ndim != 2 or not (target.is_floating_point() or target.dtype == torch.bool):
        got = f"{target.dtype} of shape {tuple(target.shape)}"
        raise DataError(say("target", "be classes or labels", got, _NAN_DO))
    if num_classes is not None and target.shape[1] != num_classes:
        wanted = f"have shape (N, C) = ({len(target)}, {num_classes})"
        raise ShapeError(say("target", wanted, tuple(target.shape), _NAN_DO))
    if target.dtype == torch.bool:
        return target.float()
    # Blended with a positive, -1 would pass for a share.
    return torch.where(target < 0, torch.nan, target)


def blend_targets(soft: Tensor, partner: Tensor, weight: Tensor) -> Tensor:
    """Return ``weight`` of each row and the rest of its partner; weights (N,) or (1,).

    An entry that one of the two does not know (NaN) stays unknown, unless that one has no weight.
    """
    other = soft[partner.to(soft.device)]
    share = _beside(weight, soft)
    mixed = torch.lerp(other, soft, share)
    return torch.where(share == 1, soft, torch.where(share == 0, other, mixed))


def _beside(weight: Tensor, x: Tensor) -> Tensor:
    """Return weights with the dtype, device and number of axes of ``x``."""
    # Converted first: not every device has float64.
    return weight.to(x.dtype).to(x.device).reshape(-1, *[1] * (x.ndim - 1))


def blend_inputs(x: Any, partner: Tensor, weight: Tensor) -> Any:
    """Return blended rows of a tensor, or of a padded tensor with its lengths or mask."""
    if isinstance(x, Tensor):
        return _blend(x, partner, weight)
    padded, second = _pair(x)
    counts = second if second.dtype == torch.bool else padding_mask(second, padded.shape[1])
    if counts.shape != padded.shape[:2]:
        wanted = f"be for {padded.shape[0]} rows of {padded.shape[1]} steps"
        raise ShapeError(say("lengths or mask", wanted, f"shape {tuple(second.shape)}"))
    steps = counts.reshape(*counts.shape, *[1] * (padded.ndim - 2))
    # Whatever stands in the padding, the longer partner must not be mixed with it.
    mixed = _blend(padded.masked_fill(~steps, 0), partner, weight)
    other = second[partner.to(second.device)]
    joined = second | other if second.dtype == torch.bool else torch.maximum(second, other)
    alone, gone = (
        at.to(second.device).reshape(-1, *[1] * (second.ndim - 1))
        for at in (weight == 1, weight == 0)
    )
    return mixed, torch.where(alone, second, torch.where(gone, other, joined))


def _pair(x: Any) -> tuple[Tensor, Tensor]:
    if not (isinstance(x, tuple | list) and len(x) == 2 and all(isinstance(p, Tensor) for p in x)):
        do = "Other inputs need a mixing of their own: any callable (x, target, generator)."
        raise DataError(say("x", "be a tensor, or a pair with lengths or mask", type(x), do))
    padded, second = x
    axes = 2 if second.dtype == torch.bool else 1
    if padded.ndim < 2 or second.ndim != axes or second.is_floating_point():
        got = f"shapes {tuple(padded.shape)} and {tuple(second.shape)} of {second.dtype}"
        do = "As `equipoise.data.pad_batch` makes them."
        raise ShapeError(say("x", "be (N, T, ...) with lengths (N,) or a mask (N, T)", got, do))
    return padded, second


def _blend(x: Tensor, partner: Tensor, weight: Tensor) -> Tensor:
    if x.dtype == torch.uint8:
        return _blend(x.float(), partner, weight).round_().to(torch.uint8)
    if not x.is_floating_point():
        do = "Whole numbers that stand for words or categories have no values between them."
        raise DataError(say("x", "be floating or uint8", x.dtype, do))
    return torch.lerp(x[partner.to(x.device)], x, _beside(weight, x))


def require_rows(x: Any, target: Tensor) -> None:
    """Raise unless inputs and targets have one row each."""
    rows = len(x) if isinstance(x, Tensor) else len(_pair(x)[0])
    if rows != len(target):
        raise ShapeError(say("target", f"have one row per input, {rows}", len(target)))


def require_images(x: Any) -> Tensor:
    """Return ``x`` if it is a batch of images."""
    if not isinstance(x, Tensor) or x.ndim != 4:
        shape = f"shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        do = "Cutting needs two axes of neighbours; take Mixup."
        raise DataError(say("x", "be images (N, C, H, W)", shape, do))
    return x


def cut_boxes(
    source: np.random.Generator, rest: NDArray[np.float64], height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Draw one box per entry of ``rest``, the share that it is meant to have before clipping.

    Returns:
        Where the boxes are, (n, 1, H, W) bool, and the share that they leave, (n,) float64: one
        minus the pixels inside over all pixels, exactly.
    """
    edges = []
    for size in (height, width):
        cut = np.floor(size * np.sqrt(rest)).astype(np.int64)
        first = source.integers(0, size, rest.size) - cut // 2
        edges.append((np.clip(first, 0, size), np.clip(first + cut, 0, size)))
    (top, bottom), (left, right) = edges
    kept = 1.0 - (bottom - top) * (right - left) / (height * width)
    rows, columns = np.arange(height), np.arange(width)
    down = (rows >= top[:, None]) & (rows < bottom[:, None])
    across = (columns >= left[:, None]) & (columns < right[:, None])
    inside = torch.from_numpy(down[:, None, :, None] & across[:, None, None, :])
    return inside, torch.from_numpy(kept)


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
