"""A confusion table as an SVG file that stands alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray

from equipoise._core.checks import require_shape
from equipoise._core.words import say
from equipoise.errors import UsageError

# Above this many columns numbers no longer fit into their cells.
MOST_NUMBERS = 20
STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "equipoise", "font.size": 8}


def draw_confusion(
    path: str | Path,
    truth: Sequence[str],
    said: Sequence[str],
    counts: NDArray[np.int64],
) -> Path:
    """Draw counts, shaded by their share of the row, and write them as SVG.

    Args:
        path: Ends in .svg.
        truth: Names of the rows.
        said: Names of the columns.
        counts: One per row and column.

    Raises:
        UsageError: the path does not end in .svg.
    """
    file = Path(path)
    if file.suffix.lower() != ".svg":
        raise UsageError(say("figure", "end in .svg", repr(str(path)), "SVG stays sharp."))
    require_shape("counts", counts, (len(truth), len(said)), "One count per row and column.")
    total = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(total, 1)
    side = 1.5 + 0.35 * max(len(said), 4)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(side + 1.0, side), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(said)), said, rotation=90)
        axes.set_yticks(range(len(truth)), truth)
        axes.set_xlabel("said")
        axes.set_ylabel("true")
        if len(said) <= MOST_NUMBERS:
            for (row, column), share in np.ndenumerate(shares):
                color = "white" if share > 0.5 else "black"
                text = f"{counts[row, column]:,}"
                axes.text(column, row, text, ha="center", va="center", color=color)
        buffer = io.StringIO()
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(buffer.getvalue(), encoding="utf-8")
    return file
