"""Mining: rounds of hard negatives and the mistake book; boxes, proposals and patches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise._core.faces import lazy_face

if TYPE_CHECKING:
    from equipoise.mining.annotations import (
        Annotations as Annotations,
        read_box_table as read_box_table,
        read_coco as read_coco,
    )
    from equipoise.mining.book import (
        MistakeBook as MistakeBook,
    )
    from equipoise.mining.boxes import (
        best_cover as best_cover,
        best_iou as best_iou,
        box_areas as box_areas,
        box_iou as box_iou,
    )
    from equipoise.mining.dataset_pool import (
        DatasetPool as DatasetPool,
    )
    from equipoise.mining.inclusion import (
        MinedRows as MinedRows,
    )
    from equipoise.mining.nearest import (
        Nearest as Nearest,
        nearest_positives as nearest_positives,
    )
    from equipoise.mining.options import (
        MiningOptions as MiningOptions,
    )
    from equipoise.mining.patches import (
        PatchDataset as PatchDataset,
    )
    from equipoise.mining.pools import (
        ArrayPool as ArrayPool,
        ParquetPool as ParquetPool,
        Pool as Pool,
    )
    from equipoise.mining.proposals import (
        BACKGROUND as BACKGROUND,
        IGNORED as IGNORED,
        Proposals as Proposals,
        label_proposals as label_proposals,
        random_boxes as random_boxes,
        sliding_windows as sliding_windows,
    )
    from equipoise.mining.result import (
        Mined as Mined,
        MiningRound as MiningRound,
        MiningTask as MiningTask,
    )
    from equipoise.mining.review import (
        write_review as write_review,
    )
    from equipoise.mining.rounds import (
        mine_hard_negatives as mine_hard_negatives,
    )
    from equipoise.mining.scoring import (
        PoolScores as PoolScores,
        score_pool as score_pool,
    )
    from equipoise.mining.trainer import (
        FitTrainer as FitTrainer,
    )

_HOME = {
    "annotations": "Annotations read_box_table read_coco",
    "book": "MistakeBook",
    "boxes": "best_cover best_iou box_areas box_iou",
    "dataset_pool": "DatasetPool",
    "inclusion": "MinedRows",
    "nearest": "Nearest nearest_positives",
    "options": "MiningOptions",
    "patches": "PatchDataset",
    "pools": "ArrayPool ParquetPool Pool",
    "proposals": "BACKGROUND IGNORED Proposals label_proposals random_boxes sliding_windows",
    "result": "Mined MiningRound MiningTask",
    "review": "write_review",
    "rounds": "mine_hard_negatives",
    "scoring": "PoolScores score_pool",
    "trainer": "FitTrainer",
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _HOME)
