"""Mining: rounds of hard negatives and the mistake book; boxes, proposals and patches."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipoise.mining.annotations import Annotations, read_box_table, read_coco
    from equipoise.mining.book import MistakeBook
    from equipoise.mining.boxes import best_cover, best_iou, box_areas, box_iou
    from equipoise.mining.dataset_pool import DatasetPool
    from equipoise.mining.inclusion import MinedRows
    from equipoise.mining.nearest import Nearest, nearest_positives
    from equipoise.mining.options import MiningOptions
    from equipoise.mining.patches import PatchDataset
    from equipoise.mining.pools import ArrayPool, ParquetPool, Pool
    from equipoise.mining.proposals import (
        BACKGROUND,
        IGNORED,
        Proposals,
        label_proposals,
        random_boxes,
        sliding_windows,
    )
    from equipoise.mining.result import Mined, MiningRound, MiningTask
    from equipoise.mining.review import write_review
    from equipoise.mining.rounds import mine_hard_negatives
    from equipoise.mining.scoring import PoolScores, score_pool
    from equipoise.mining.trainer import FitTrainer

_HOME = {
    "BACKGROUND": "proposals",
    "IGNORED": "proposals",
    "Annotations": "annotations",
    "ArrayPool": "pools",
    "DatasetPool": "dataset_pool",
    "FitTrainer": "trainer",
    "Mined": "result",
    "MinedRows": "inclusion",
    "MiningOptions": "options",
    "MiningRound": "result",
    "MiningTask": "result",
    "MistakeBook": "book",
    "Nearest": "nearest",
    "ParquetPool": "pools",
    "PatchDataset": "patches",
    "Pool": "pools",
    "PoolScores": "scoring",
    "Proposals": "proposals",
    "best_cover": "boxes",
    "best_iou": "boxes",
    "box_areas": "boxes",
    "box_iou": "boxes",
    "label_proposals": "proposals",
    "mine_hard_negatives": "rounds",
    "nearest_positives": "nearest",
    "random_boxes": "proposals",
    "read_box_table": "annotations",
    "read_coco": "annotations",
    "score_pool": "scoring",
    "sliding_windows": "proposals",
    "write_review": "review",
}

__all__ = [
    "BACKGROUND",
    "IGNORED",
    "Annotations",
    "ArrayPool",
    "DatasetPool",
    "FitTrainer",
    "Mined",
    "MinedRows",
    "MiningOptions",
    "MiningRound",
    "MiningTask",
    "MistakeBook",
    "Nearest",
    "ParquetPool",
    "PatchDataset",
    "Pool",
    "PoolScores",
    "Proposals",
    "best_cover",
    "best_iou",
    "box_areas",
    "box_iou",
    "label_proposals",
    "mine_hard_negatives",
    "nearest_positives",
    "random_boxes",
    "read_box_table",
    "read_coco",
    "score_pool",
    "sliding_windows",
    "write_review",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'equipoise.mining' has no attribute {name!r}")
    return getattr(import_module(f"equipoise.mining.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
