"""Checks on the history of a training: what the epochs, and how they end, say of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from equipoise._core.arrays import Floats
from equipoise._core.messages import listed
from equipoise.artifacts.finding import Finding
from equipoise.artifacts.labels import Labels
from equipoise.diagnosis._registry import check, finding, in_one
from equipoise.diagnosis.course import (
    Course,
    Row,
    noise,
    read_course,
)
from equipoise.diagnosis.material import Material
from equipoise.diagnosis.recipe_checks import collapsing

FALLEN = 100.0  # the rate counts as gone below its height divided by this
WORKING = 5.0  # and as at work from its height divided by this on
STILL_FALLING = 0.10  # of the loss's whole fall, in the last quarter of the epochs at work
WINDOW = 5  # epochs over which a loss counts as flat, and recalls as stuck
FLAT = 0.01  # of the loss's mean
MOVED = 0.02  # of the metric, along a straight line through the window
STRAIGHT = 0.8  # correlation of metric and epoch


def check_history(
    history: Sequence[Row],
    label_history: Sequence[Row] = (),
    *,
    outputs: ArrayLike | None = None,
    labels: Labels | None = None,
    kept: int | None = None,
) -> list[Finding]:
    """Find what the epochs of a training say about its settings, while it runs or afterwards.

    Use during training, epoch after epoch, with what there is so far: these four checks alone, and
    the outputs of the last epoch, which no record holds. For a finished trial or a log prefer
    ``diagnose(trial=trial)``.

    Args:
        history: One mapping per epoch: "loss", "val_loss", "val_metric" and "lr" (after the
            epoch). A check whose columns are missing steps aside; rows of a second stage (with
            "stage") are left out.
        label_history: One mapping per epoch and label: "epoch", "label" and "recall", NaN for a
            label without positives.
        outputs: (N, C) raw outputs of validation rows, of the last epoch; they tell whether
            everything is flagged. None leaves that out.
        labels: Of the same rows.
        kept: The epoch that is kept, for the message.

    Returns:
        Findings EQ308 (learning rate gone too early), EQ309 (loss flat while the metric moves),
        EQ310 (outputs on one side of 0), EQ311 (validation loss rises), in this order.

    Raises:
        ShapeError: ``outputs`` are not one row per label row and one column per name.

    Example:
        >>> rows = [
        ...     {"loss": loss, "val_loss": loss, "val_metric": 0.3, "lr": 0.1 ** (e + 4)}
        ...     for e, loss in enumerate([0.70, 0.50, 0.49, 0.489, 0.489, 0.489])
        ... ]
        >>> found = check_history(rows)
        >>> [f.code for f in found], found[0].evidence["epoch"]
        (['EQ308'], 2)
    """
    course = read_course(history, label_history, outputs, labels, kept)
    checks = (_early_rate, _flat_loss, _one_sided, overfit_course)
    return [item for look in checks for item in look(course) or ()]


def _early_rate(course: Course) -> list[Finding] | None:
    rate, loss = course.rate, course.loss
    if not course.epochs or not np.isfinite(rate + loss).all():
        return None
    peak = int(np.argmax(rate))
    low = np.flatnonzero(rate <= rate[peak] / FALLEN * (1 + 1e-9))
    low = low[low > peak]
    if course.epochs < 3 or not low.size or rate[peak] <= 0:
        return []
    gone = int(low[0])
    working = _at_work(rate, loss, gone)
    whole = float(working.max() - working[-1])
    last = max(1, len(working) // 4)
    recent = float(working[-last - 1] - working[-1]) if len(working) > last else 0.0
    settled = recent <= max(STILL_FALLING * whole, 3 * noise(working))
    if settled or whole <= FLAT * abs(float(working.max())):
        return []
    share = recent / whole
    return [
        finding(
            "EQ308",
            f"The learning rate had fallen to a {FALLEN:.0f}th of its height ({rate[peak]:.2g}) "
            f"by epoch {gone}, while the loss was still falling: the last {last} of "
            f"{len(working)} epochs at a working rate brought {share:.0%} of its whole fall (from "
            f"{working.max():.4g} to {working[-1]:.4g}). What follows hardly learns.",
            {
                "epoch": gone,
                "rate": [float(rate[peak]), float(rate[gone])],
                "working_epochs": len(working),
                "recent_share_of_fall": share,
                "loss": [float(working.max()), float(working[-1])],
            },
            "Let the rate fall later: more epochs, a cosine over all of them, or a larger factor.",
            "Or stop there: epochs at a rate near 0 only cost time.",
        )
    ]


def _at_work(rate: Floats, loss: Floats, gone: int) -> Floats:
    """Return the losses up to the last epoch that was trained at a working rate."""
    # A rate is noted after its epoch: what an epoch was trained at lies between two of them.
    used = np.maximum(rate, np.concatenate([rate[:1], rate[:-1]]))[: gone + 1]
    return loss[: int(np.flatnonzero(used >= rate.max() / WORKING)[-1]) + 1]


def _flat_loss(course: Course) -> list[Finding] | None:
    if not np.isfinite(course.loss).all() or not np.isfinite(course.metric).any():
        return None
    loss, metric = course.loss[-WINDOW - 1 :], course.metric[-WINDOW - 1 :]
    if len(loss) <= WINDOW or not np.isfinite(metric).all():
        return []
    change = float(np.ptp(loss) / max(float(np.abs(loss).mean()), 1e-300))
    moved = _along_a_line(metric)
    if change >= FLAT or abs(moved) < MOVED:
        return []
    way = "rose" if moved > 0 else "fell"
    last = course.epochs - 1
    return [
        finding(
            "EQ309",
            f"Over epochs {last - WINDOW} to {last} the loss changed by {change:.2%} "
            f"({loss[0]:.4g} to {loss[-1]:.4g}) while the validation metric {way} by "
            f"{abs(moved):.3f} ({metric[0]:.3f} to {metric[-1]:.3f}). The loss is carried by what "
            "is frequent; the rare labels move without it.",
            {
                "epochs": [last - WINDOW, last],
                "loss_change": change,
                "loss": [float(loss[0]), float(loss[-1])],
                "metric_change": moved,
                "metric": [float(metric[0]), float(metric[-1])],
            },
            "Judge and stop by the validation metric, not by the loss.",
            "Train on while the metric rises."
            if moved > 0
            else "Keep the epoch that validates best; lower the learning rate.",
        )
    ]


def _along_a_line(values: Floats) -> float:
    """Return how far a straight line through the values goes; 0 where they follow none."""
    steps = np.arange(len(values)) - (len(values) - 1) / 2
    slope = float(steps @ values / (steps @ steps))
    spread = float(values.std())
    straight = abs(slope) * float(steps.std()) / spread if spread > 0 else 0.0
    return slope * (len(values) - 1) if straight >= STRAIGHT else 0.0


def _one_sided(course: Course) -> list[Finding] | None:
    if not course.recalls.size:
        return None
    if course.epochs < WINDOW:
        return []
    missed, flooded = _stuck(course)
    parts = [
        f"{what} {len(names)} of {len(course.names)}: "
        + listed([_counted(course, name) for name in names])
        for what, names in (("nothing is found of", missed), ("everything is flagged as", flooded))
        if names
    ]
    if not parts:
        return []
    metric = float(course.metric[-1])
    ranks = "" if math.isnan(metric) else f" The validation metric is {metric:.3f}."
    return [
        finding(
            "EQ310",
            f"Where an output above 0 (classes: the largest) decides, in each of the last {WINDOW} "
            f"epochs {'; '.join(parts)}.{ranks} That is where the cut lies, not yet what the "
            "model ranks.",
            {
                "missed": missed,
                "flooded": {n: course.flagged[n] for n in flooded},
                "epochs": WINDOW,
                "metric": metric,
            },
            "Tune thresholds on validation scores: tune(trial.scores['val']).",
            "Judge the ranking (average precision) before changing loss or sampler.",
        )
    ]


def _stuck(course: Course) -> tuple[list[str], list[str]]:
    """Return the labels of which nothing, and those of which everything, has been flagged."""
    last = course.recalls[-WINDOW:]
    none, every = (last == 0).all(0), (last == 1).all(0)
    flooded = [
        name
        for i, name in enumerate(course.names)
        if every[i] and course.flagged.get(name, 0.0) >= 0.99 and _prevalence(course, name) < 0.9
    ]
    return [name for i, name in enumerate(course.names) if none[i]], flooded


def _prevalence(course: Course, name: str) -> float:
    positives, rows = course.positives.get(name, (0, 0))
    return positives / rows if rows else 0.0


def _counted(course: Course, name: str) -> str:
    if name not in course.positives:
        return name
    positives, rows = course.positives[name]
    return f"{name} ({positives} positives in {rows})"


# The same as checks of `diagnose(trial=...)`.


@check("EQ308")
def rate_too_early(material: Material) -> list[Finding] | None:
    """Find a learning rate that was gone before the loss had settled."""
    planned = in_one([(s, f) for s in material.setups if s.rates.size for f in collapsing(s)])
    if material.course is None:
        return planned if any(setup.rates.size for setup in material.setups) else None
    seen = _early_rate(material.course)
    return seen if seen is None and not planned else [*(seen or ()), *planned]


@check("EQ309")
def flat_loss(material: Material) -> list[Finding] | None:
    """Find a flat loss beside a metric that moves."""
    return None if material.course is None else _flat_loss(material.course)


@check("EQ310")
def one_sided(material: Material) -> list[Finding] | None:
    """Find labels of which nothing, or everything, is flagged epoch after epoch."""
    return None if material.course is None else _one_sided(material.course)


RISEN = 0.05  # of the lowest validation loss
SINCE = 3  # epochs since the lowest validation loss
LAST = 0.10  # of the loss's whole fall, in the last quarter of the epochs
LONG = 5  # epochs below which nothing is said of the end


def overfit_course(course: Course) -> list[Finding] | None:
    """Find a validation loss that rises while the training loss falls (EQ311)."""
    loss, val = course.loss, course.val_loss
    if not course.epochs or not np.isfinite(loss + val).all():
        return None
    best, last = int(np.argmin(val)), course.epochs - 1
    if last - best < SINCE:
        return []
    risen = float(np.median(val[-SINCE:]) - val[best])
    floor = max(RISEN * abs(float(val[best])), 3 * noise(val))
    if risen <= floor or loss[-1] >= loss[best]:
        return []
    metric = course.metric
    fell = bool(metric[last] < metric[best])
    first = (
        "Stop earlier (patience), or take more weight decay, augmentation or data."
        if fell
        else "Where the ranking holds, only probabilities suffer: tune(trial.scores['val'])."
    )
    return [
        finding(
            "EQ311",
            f"Since epoch {best} the training loss fell from {loss[best]:.4g} to {loss[last]:.4g} "
            f"while the validation loss rose from {val[best]:.4g} to {val[last]:.4g}."
            + _aside(course, best),
            {
                "epoch": best,
                "loss": [float(loss[best]), float(loss[last])],
                "val_loss": [float(val[best]), float(val[last])],
                "metric": [float(metric[best]), float(metric[last])],
                "kept": course.kept,
            },
            first,
            "Use the kept epoch, not the last.",
        )
    ]


def _aside(course: Course, best: int) -> str:
    """Return what the metric did meanwhile, and which epoch is kept."""
    words, metric, kept = "", course.metric, course.kept
    if np.isfinite(metric[[best, -1]]).all():
        words = f" The validation metric went from {metric[best]:.3f} to {metric[-1]:.3f}."
    if kept is not None and 0 <= kept < course.epochs:
        words += f" Epoch {kept} is kept (validation loss {course.val_loss[kept]:.4g})."
    return words


def _still_falling(course: Course) -> list[Finding] | None:
    loss = course.loss
    if len(loss) < LONG or not np.isfinite(loss).all():
        return None
    whole = float(loss[0] - loss[-1])
    last = max(1, len(loss) // 4)
    recent = float(loss[-last - 1] - loss[-1])
    if whole <= 0 or recent <= max(LAST * whole, 3 * noise(loss)):
        return []
    rate = course.rate
    gone = np.isfinite(rate).all() and rate[-1] <= rate.max() / FALLEN
    if gone:
        return []  # EQ308 says what held it back
    return [
        finding(
            "EQ338",
            f"The last {last} of {len(loss)} epochs still brought {recent / whole:.0%} of the "
            f"loss's whole fall ({loss[0]:.4g} to {loss[-1]:.4g}). Arms that learn faster look "
            "better than they are when all are stopped here.",
            {"epochs": len(loss), "recent_share_of_fall": recent / whole},
            "Train all arms longer, by the same number of epochs.",
        )
    ]


@check("EQ311")
def overfit(material: Material) -> list[Finding] | None:
    """Find a validation loss that rises while the training loss falls."""
    return None if material.course is None else overfit_course(material.course)


@check("EQ338")
def still_falling(material: Material) -> list[Finding] | None:
    """Find a training that was stopped while its loss still fell."""
    return None if material.course is None else _still_falling(material.course)
