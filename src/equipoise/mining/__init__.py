"""Mining: boxes and proposals that turn detection data into classification (NumPy), and patches."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipoise.mining.annotations import Annotations, read_box_table
    from equipoise.mining.boxes import best_cover, best_iou, box_areas, box_iou
    from equipoise.mining.coco import read_coco
    from equipoise.mining.patches import PatchDataset
    from equipoise.mining.proposals import BACKGROUND, IGNORED, Proposals, label_proposals
    from equipoise.mining.windows import random_boxes, sliding_windows

_HOME = {
    "BACKGROUND": "proposals",
    "IGNORED": "proposals",
    "Annotations": "annotations",
    "PatchDataset": "patches",
    "Proposals": "proposals",
    "best_cover": "boxes",
    "best_iou": "boxes",
    "box_areas": "boxes",
    "box_iou": "boxes",
    "label_proposals": "proposals",
    "random_boxes": "windows",
    "read_box_table": "annotations",
    "read_coco": "coco",
    "sliding_windows": "windows",
}

__all__ = [
    "BACKGROUND",
    "IGNORED",
    "Annotations",
    "PatchDataset",
    "Proposals",
    "best_cover",
    "best_iou",
    "box_areas",
    "box_iou",
    "label_proposals",
    "random_boxes",
    "read_box_table",
    "read_coco",
    "sliding_windows",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'equipoise.mining' has no attribute {name!r}")
    return getattr(import_module(f"equipoise.mining.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
