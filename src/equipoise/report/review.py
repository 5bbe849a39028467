"""The page of mistakes worth a human look, and the picture of a mistake book that grows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from equipoise._core.language import said
from equipoise.report.page import page_of
from equipoise.report.pictures import draw_svg

_PARTS = (
    ("positive", "positives", "#0072b2"),
    ("initial", "first negatives", "#8c8c8c"),
    ("easy", "easy negatives", "#56b4e9"),
    ("hard", "hard negatives", "#d55e00"),
)


def render_review(
    rows: Sequence[Mapping[str, Any]],
    numbers: Mapping[str, Any],
    growth: str | None,
    title: str,
) -> str:
    """Return the review sheet as text.

    Args:
        rows: One mapping per row, worst first: rank, id, group, score, last_score, first_round,
            times_selected, times_skipped, nearest_positive, distance, near, thumbnail and
            nearest_thumbnail (data addresses, or None).
        numbers: "overlap", "overlap_of_random", "n_rows", "n_skipped".
        growth: An SVG, or None.
        title: Heading.
    """
    picture = None if growth is None else growth[growth.index("<svg") :]
    return page_of(
        "review.html.j2",
        "report.js",
        rows=rows,
        numbers=numbers,
        growth=picture,
        title=title,
        has_pictures=any(row["thumbnail"] for row in rows),
        has_groups=any(row["group"] is not None for row in rows),
    )


def growth_picture(history: Sequence[Mapping[str, Any]], title: str = "Mining") -> str:
    """Return how the training set grew, and what validation said, as a whole SVG file.

    Args:
        history: One record per round: round, positive, initial, hard, easy (rows trained on), ap,
            ap_low, ap_high, best.
        title: Of the file, for screen readers.

    Example:
        >>> row = {"round": 0, "positive": 9, "initial": 27, "hard": 0, "easy": 0, "best": True}
        >>> growth_picture([{**row, "ap": 0.5, "ap_low": 0.4, "ap_high": 0.6}]).count("<svg")
        1
    """

    def draw(figure: Figure) -> None:
        bars, line = figure.subplots(1, 2)
        at = [row["round"] for row in history]
        base = np.zeros(len(history))
        for key, word, colour in _PARTS:
            heights = np.array([row[key] for row in history], dtype=float)
            bars.bar(at, heights, 0.7, bottom=base, color=colour, label=said(word))
            base = base + heights
        bars.set_title(said("rows trained on"))
        bars.set_ylim(0, 1.35 * float(base.max()))
        bars.legend(ncols=2, loc="upper left", fontsize=8)
        known = [row for row in history if not math.isnan(row["ap"])]
        ap = np.array([[row["ap"], row["ap_low"], row["ap_high"]] for row in known]).reshape(-1, 3)
        low, high = ap[:, 0] - ap[:, 1], ap[:, 2] - ap[:, 0]
        where = [row["round"] for row in known]
        line.errorbar(
            where, ap[:, 0], yerr=[np.nan_to_num(low), np.nan_to_num(high)], color="#0072b2",
            marker="o", ms=4, lw=1.4, capsize=3,
        )  # fmt: skip
        for row in known:
            if row["best"]:
                line.axvline(row["round"], color="#8c8c8c", lw=0.8)
        line.set_title(said("average precision on validation rows, 95 % interval"))
        for axes in (bars, line):
            axes.set_xlabel(said("round"))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))

    return draw_svg((9.6, 3.0), draw, title)
