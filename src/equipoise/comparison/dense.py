"""How good pixels are decided: counts by image, gathered one image at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Floats, Ints
from equipoise._core.checks import to_fraction
from equipoise._core.messages import one_of, say
from equipoise._core.targets import IGNORE_INDEX
from equipoise.artifacts import DecisionRule, Estimate, Evaluation
from equipoise.artifacts.row_marks import RowMarks
from equipoise.artifacts.scores import SplitName
from equipoise.decisions.images import DenseBatch, PixelRows, decide_pixels, read_images
from equipoise.errors import DataError, LeakageError
from equipoise.metrics import Influence, influence_interval, macro_influence, ratio_influence

ABSENT = "no pixel of it, and none decided so"
_TINY = np.finfo(np.float64).tiny


def evaluate_dense(
    rule: DecisionRule,
    batches: Iterable[DenseBatch],
    *,
    split: SplitName = "test",
    class_dim: int = 1,
    ignore_index: int = IGNORE_INDEX,
    groups: Mapping[Any, Any] | None = None,
    confidence_level: float = 0.95,
) -> Evaluation:
    """Judge a rule on the pixels of images, one image at a time, in the memory of one batch.

    All metrics are sums over pixels, kept by image, so they are exact; their intervals go over
    images, since pixels of one image tell the same story. What needs all scores in order (average
    precision, area under the ROC curve, calibration lines) is estimated on pixels that are drawn:
    ``evaluate(rule, Scores.from_dense(..., per_image=2000))``.

    Args:
        rule: Tuned on validation pixels, from :meth:`Scores.from_dense`.
        batches: Yields (ids (N,), outputs (N, C, H, W), targets (N, H, W) or (N, L, H, W)); read
            once. Tiles of an image share an id. Names of outputs are taken to be the rule's.
        split: "test", or "new" with targets.
        class_dim: Axis of the classes or labels; 2 for (N, T, C).
        ignore_index: Class index of pixels that are left out.
        groups: Image id -> patient or site, where images belong together; None: each is its own.
        confidence_level: Nominal coverage of the intervals.

    Returns:
        Per label: prevalence, precision, recall, specificity, iou (Jaccard), dice (F1 of all
        pixels), dice_per_image (mean over the images that have it), flagged, and counts. Overall:
        "macro" over labels with a pixel; "overall" accuracy, balanced accuracy and log loss for
        classes; "micro" for labels. ``n`` of an estimate is the number of images or groups,
        ``n_positive`` of those that have the label, and ``n_rows`` that of known pixels.

    Raises:
        LeakageError: an image, or its group, is one that the rule was tuned on, or the part is
            no test part.
        DataError: no images, a target that is missing, or an image without a group.
        ShapeError: outputs, ids and targets do not fit one another or the rule.

    Example:
        >>> import equipoise as eq
        >>> y = np.zeros((8, 4, 4), dtype=int)
        >>> y[::2, :2] = 1
        >>> z = np.moveaxis(np.eye(2)[y], -1, 1) * 4.0 - 2.0
        >>> ids = [f"i{k}" for k in range(8)]
        >>> pixels = eq.Scores.from_dense(y, logits=z, split="val", kind="multiclass",
        ...                               image_ids=ids)
        >>> seen = evaluate_dense(eq.tune(pixels), [([f"t{k}" for k in range(8)], z, y)])
        >>> seen.n_rows, seen.per_label["1"]["iou"].value, seen.per_label["1"]["iou"].n
        (128, 1.0, 8)
    """
    level = to_fraction("confidence_level", confidence_level)
    one_of("split", split, ("test", "new"))
    tally: dict[str, _Counts] = {}
    width = len(rule.names)
    for image in read_images(rule, batches, class_dim, ignore_index):
        if image.truth is None:
            do = "Use rule.apply_dense for images without one."
            raise DataError(say("batches", "hold a target for every image", "None", do))
        counts = _count(rule, image, split, width)
        held = tally.get(image.image)
        tally[image.image] = counts if held is None else held.plus(counts)
    if not tally:
        raise DataError(say("batches", "hold at least one image", "none"))
    ids = np.array(list(tally))
    owners = _owners(ids, groups)
    overlap = _check_overlap(rule, ids, owners)
    judge = _Judge.of(list(tally.values()), owners, level)
    if judge.n_pixels == 0:
        do = "Check ignore_index, and that the masks belong to these images."
        raise DataError(say("targets", "have a known pixel", "none", do))
    return _to_evaluation(rule, judge, split, overlap, len(ids))


@dataclass(frozen=True, slots=True, eq=False)
class _Counts:
    """Of one image: (C,) counts of pixels, and its sum of losses."""

    tp: Ints
    truth: Ints
    flagged: Ints
    known: Ints
    loss: float

    def plus(self, other: _Counts) -> _Counts:
        return _Counts(
            self.tp + other.tp,
            self.truth + other.truth,
            self.flagged + other.flagged,
            self.known + other.known,
            self.loss + other.loss,
        )


def _count(rule: DecisionRule, image: PixelRows, split: SplitName, width: int) -> _Counts:
    kept = image.known
    truth = np.asarray(image.truth)[kept]
    if truth.shape[0] == 0:
        nothing = np.zeros(width, dtype=np.int64)
        return _Counts(nothing, nothing, nothing, nothing, 0.0)
    values = image.values if kept.all() else image.values[kept]
    made = decide_pixels(rule, values, split)
    if rule.kind == "multiclass":
        decided = made.predictions
        right = decided == truth
        p_true = made.probabilities[np.arange(truth.size), truth]
        return _Counts(
            np.bincount(truth[right], minlength=width),
            np.bincount(truth, minlength=width),
            np.bincount(decided, minlength=width),
            np.full(width, truth.size, dtype=np.int64),
            float(-np.log(np.maximum(p_true, _TINY)).sum()),
        )
    seen, positive, flag = truth >= 0, truth == 1, made.predictions == 1
    p_true = np.where(positive, made.probabilities, 1.0 - made.probabilities)
    return _Counts(
        (positive & flag).sum(axis=0),
        positive.sum(axis=0),
        (flag & seen).sum(axis=0),
        seen.sum(axis=0),
        float(-np.log(np.maximum(p_true[seen], _TINY)).sum()),
    )


def _owners(ids: NDArray[Any], groups: Mapping[Any, Any] | None) -> NDArray[Any]:
    if groups is None:
        return ids
    known = {str(image): str(group) for image, group in groups.items()}
    missing = [image for image in ids.tolist() if image not in known]
    if missing:
        do = "Name the group of every image."
        raise DataError(say("groups", "hold every image", f"none for '{missing[0]}'", do))
    return np.array([known[image] for image in ids.tolist()])


def _check_overlap(rule: DecisionRule, ids: NDArray[Any], owners: NDArray[Any]) -> str:
    """Return what came of comparing images with those the rule was tuned on, or raise."""
    # Pixels are tuned on with their images as groups; a rule of images has them as ids.
    marks = RowMarks.of(ids=ids, groups=np.concatenate([ids, owners]), contents=None)
    made = rule.rows.compare(marks)
    for what in ("ids", "groups"):
        if made[what].outcome == "found" and made[what].certain:
            expected = "share no image with those the rule was tuned on"
            do = "Evaluate on other images, or tune on other images."
            raise LeakageError(say("batches", expected, made[what].text, do))
    return "; ".join(f"{what} {result}" for what, result in made.items())


@dataclass(frozen=True, slots=True, eq=False)
class _Judge:
    """Counts (images, C), and how intervals are made of them."""

    tp: Ints
    truth: Ints
    flagged: Ints
    known: Ints
    loss: Floats
    codes: Ints | None
    level: float

    @classmethod
    def of(cls, counts: list[_Counts], owners: NDArray[Any], level: float) -> _Judge:
        def table(name: str) -> Ints:
            return np.stack([getattr(c, name) for c in counts])

        codes = np.unique(owners, return_inverse=True)[1].astype(np.int64)
        single = bool(np.unique(codes).size == codes.size)
        return cls(
            tp=table("tp"),
            truth=table("truth"),
            flagged=table("flagged"),
            known=table("known"),
            loss=np.array([c.loss for c in counts]),
            codes=None if single else codes,
            level=level,
        )

    @property
    def n_pixels(self) -> int:
        return int(self.known.max(axis=1).sum())

    def having(self, label: int) -> int:
        """Return in how many images, or groups, a label is."""
        there = self.truth[:, label] > 0
        return int(there.sum() if self.codes is None else np.unique(self.codes[there]).size)

    def influences(self, label: int) -> dict[str, Influence]:
        """Return the metrics of one label with the influence of each image."""
        tp, truth, flagged, known = (
            table[:, label].astype(np.float64)
            for table in (self.tp, self.truth, self.flagged, self.known)
        )
        there = truth > 0
        own = np.divide(2.0 * tp, truth + flagged, out=np.zeros_like(tp), where=there)
        return {
            "prevalence": ratio_influence(truth, known),
            "precision": ratio_influence(tp, flagged),
            "recall": ratio_influence(tp, truth),
            "specificity": ratio_influence(known - truth - flagged + tp, known - truth),
            "iou": ratio_influence(tp, truth + flagged - tp),
            "dice": ratio_influence(2.0 * tp, truth + flagged),
            "dice_per_image": ratio_influence(own, there),
            "flagged": ratio_influence(flagged, known),
        }

    def estimate(
        self, part: Influence, n_positive: int | None = None, reason: str | None = None
    ) -> Estimate:
        return influence_interval(
            part,
            confidence_level=self.level,
            groups=self.codes,
            n_positive=n_positive,
            reason=reason if np.isnan(part.value) else None,
        )


_MACRO = ("precision", "recall", "iou", "dice", "dice_per_image")


def _to_evaluation(
    rule: DecisionRule, judge: _Judge, split: SplitName, overlap: str, images: int
) -> Evaluation:
    names, per_label, counts = rule.names, {}, {}
    parts = [judge.influences(label) for label in range(len(names))]
    absent = {n: ABSENT for i, n in enumerate(names) if judge.truth[:, i].sum() == 0}
    for i, name in enumerate(names):
        own = {m: judge.estimate(e, judge.having(i), ABSENT) for m, e in parts[i].items()}
        per_label[name] = own
        tp, truth, flagged, known = (
            int(table[:, i].sum()) for table in (judge.tp, judge.truth, judge.flagged, judge.known)
        )
        right = known - truth - flagged + tp
        counts[name] = {"tp": tp, "fp": flagged - tp, "fn": truth - tp, "tn": right}
    held = [part for i, part in enumerate(parts) if names[i] not in absent]
    macro = {m: macro_influence([part[m] for part in held], images) for m in _MACRO}
    overall = {"macro": {m: judge.estimate(part) for m, part in macro.items()}}
    total = judge.known[:, 0] if rule.kind == "multiclass" else judge.known.sum(axis=1)
    loss = ratio_influence(judge.loss, total)
    mean_loss = influence_interval(
        loss, confidence_level=judge.level, groups=judge.codes, scale="log"
    )
    tp, truth, flagged = (t.sum(axis=1) for t in (judge.tp, judge.truth, judge.flagged))
    if rule.kind == "multiclass":
        overall["overall"] = {
            "accuracy": judge.estimate(ratio_influence(tp, total)),
            "balanced_accuracy": overall["macro"]["recall"],
            "log_loss": mean_loss,
        }
    else:
        micro = {
            "precision": ratio_influence(tp, flagged),
            "recall": ratio_influence(tp, truth),
            "iou": ratio_influence(tp, truth + flagged - tp),
            "dice": ratio_influence(2 * tp, truth + flagged),
        }
        overall["micro"] = {m: judge.estimate(part) for m, part in micro.items()}
        overall["micro"]["log_loss"] = mean_loss
    return Evaluation(
        kind=rule.kind,
        names=names,
        per_label=per_label,
        overall=overall,
        groups={},
        n_rows=judge.n_pixels,
        n_evaluable=dict.fromkeys(_MACRO, len(held)),
        not_evaluable=absent,
        overlap=overlap,
        evaluated_on={
            "split": split,
            "images": images,
            "tuned_on": dict(rule.tuned_on),
            "objective": rule.objective,
        },
        counts=counts,
    )
