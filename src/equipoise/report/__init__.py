"""One self-contained HTML file from artifacts, and its figures for notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise._core.faces import lazy_face

if TYPE_CHECKING:
    from equipoise.report.chapter import Chapter as Chapter, read_chapter as read_chapter
    from equipoise.report.displays import (
        ComparisonDisplay as ComparisonDisplay,
        ConfusionDisplay as ConfusionDisplay,
        PrecisionRecallDisplay as PrecisionRecallDisplay,
        ReliabilityDisplay as ReliabilityDisplay,
        ThresholdDisplay as ThresholdDisplay,
    )
    from equipoise.report.render import write_report as write_report

_HOME = {
    "chapter": "Chapter read_chapter",
    "displays": (
        "ComparisonDisplay ConfusionDisplay PrecisionRecallDisplay ReliabilityDisplay "
        "ThresholdDisplay"
    ),
    "render": "write_report",
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _HOME)
