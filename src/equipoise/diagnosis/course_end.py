"""Checks on how a training ends: a validation loss that rises, a loss that still falls."""

from __future__ import annotations

import numpy as np

from equipoise.artifacts.finding import Finding
from equipoise.diagnosis._course import Course, noise
from equipoise.diagnosis._registry import check, finding
from equipoise.diagnosis.material import Material

RISEN = 0.05  # of the lowest validation loss
SINCE = 3  # epochs since the lowest validation loss
LAST = 0.10  # of the loss's whole fall, in the last quarter of the epochs
LONG = 5  # epochs below which nothing is said of the end
FALLEN = 100.0  # the rate counts as gone below its height divided by this


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
