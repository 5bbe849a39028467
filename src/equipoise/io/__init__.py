"""Foreign tables, arrays and score files, read into artifacts: one reader for all verbs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise._core.faces import lazy_face

if TYPE_CHECKING:
    from equipoise.io.coding import (
        LabelCoding as LabelCoding,
    )
    from equipoise.io.labels import (
        read_labels as read_labels,
    )
    from equipoise.io.scores import (
        read_scores as read_scores,
    )
    from equipoise.io.tables import (
        as_numbers as as_numbers,
        read_table as read_table,
        scan_table as scan_table,
    )

_HOME = {
    "coding": "LabelCoding",
    "labels": "read_labels",
    "scores": "read_scores",
    "tables": "as_numbers read_table scan_table",
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _HOME)
