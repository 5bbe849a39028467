"""The rows of the catalogue that train on blends of rows."""

from __future__ import annotations

from functools import partial

from equipoise.experiments._method import CLASSES, LABELS, Method, entry

__all__ = ["MIXING_METHODS"]

_row = partial(entry, module="mixing_builders", first_choice=False)


def _both(builder: str) -> dict[str, str]:
    return {CLASSES: builder, LABELS: builder}


MIXING_METHODS: tuple[Method, ...] = (
    _row(
        "mixup",
        "mixing",
        _both("mixup"),
        "Blend pairs of rows and of their targets; train longer with it.",
        "Zhang et al., ICLR 2018, section 2",
        "none",
        alpha=1.0,
        per_sample=True,
        probability=1.0,
    ),
    _row(
        "cutmix",
        "mixing",
        _both("cutmix"),
        "Paste a box of another image into each image, and its share into the target.",
        "Yun et al., ICCV 2019, eq. 1 and 2",
        "none",
        needs_images=True,
        alpha=1.0,
        per_sample=True,
        probability=1.0,
    ),
    _row(
        "remix",
        "mixing",
        {CLASSES: "remix"},
        "Blend pairs of rows, and give a blend of a frequent and a rare class to the rare one.",
        "Chou et al., ECCV workshops 2020",
        "none",
        alpha=1.0,
        ratio=3.0,
        threshold=0.5,
        per_sample=True,
        probability=1.0,
    ),
)
