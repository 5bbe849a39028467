"""Pictures as SVG files that stand alone: a confusion table, the curves of one training."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from equipoise._core import language
from equipoise._core.checks import require_shape
from equipoise._core.files import write_text
from equipoise._core.messages import say
from equipoise.artifacts import Trial
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
        axes.set_xlabel(language.said("said"))
        axes.set_ylabel(language.said("true"))
        if len(said) <= MOST_NUMBERS:
            for (row, column), share in np.ndenumerate(shares):
                color = "white" if share > 0.5 else "black"
                text = f"{counts[row, column]:,}"
                axes.text(column, row, text, ha="center", va="center", color=color)
        buffer = io.StringIO()
        canvas: Any = FigureCanvasSVG(figure)
        with _any_letters():
            canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, buffer.getvalue())
    return file


# Okabe and Ito's palette, told apart by colour-blind readers.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#8c8c8c")
MOST = len(_COLOURS)
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "equipoise",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "text.parse_math": False,
}
Rows = Sequence[Mapping[str, Any]]


def training_curves(trial: Trial) -> str:
    """Return loss, validation metric and learning rate over epochs, the kept epoch marked.

    A second stage follows the first, behind a dotted line.

    Args:
        trial: With its history.

    Returns:
        A whole SVG file, the same for the same history; it loads nothing.

    Example:
        >>> row = {"epoch": 0, "loss": 0.5, "val_loss": 0.6, "val_metric": 0.3, "lr": 1e-3}
        >>> trial = Trial("none", 0, {}, 9, 5, {}, {}, [row], {}, {"metric": "macro AP"})
        >>> training_curves(trial).count("<svg")
        1
    """
    first = [row for row in trial.history if "stage" not in row]
    second = [row for row in trial.history if "stage" in row]
    metric = str(trial.selection.get("metric", "validation metric"))
    panels: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
        ("loss", (("loss", "training"), ("val_loss", "validation"))),
        (metric, (("val_metric", metric),)),
        ("learning rate", (("lr", "learning rate"),)),
    )

    def draw(figure: Figure) -> None:
        for place, (title, curves) in enumerate(panels, start=1):
            axes = figure.add_subplot(1, len(panels), place)
            for (key, word), colour in zip(curves, _COLOURS, strict=False):
                _line(axes, range(len(first)), first, key, colour, language.said(word))
                behind = range(len(first), len(first) + len(second))
                _line(axes, behind, second, key, colour, "")
            if second:
                axes.axvline(len(first) - 0.5, color="#8c8c8c", lw=0.8, ls=":")
            _mark_kept(axes, trial)
            axes.set_title(language.said(title))
            axes.set_xlabel(_below(trial))
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if len(curves) > 1:
                axes.legend()

    title = f"Training of {trial.method}, seed {trial.seed}"
    return draw_svg((9.6, 2.7), draw, language.said(title))


def recall_curves(trial: Trial) -> str | None:
    """Return each label's recall on validation rows over epochs, at an output of 0 or the largest.

    With more than 8 labels the 8 with the fewest training positives are drawn, and the title says
    so. Labels without validation positives have no recall.

    Returns:
        A whole SVG file, or None where the trial has no recalls.
    """
    columns: dict[str, list[float]] = {}
    for row in trial.label_history:
        columns.setdefault(str(row["label"]), []).append(float(row["recall"]))
    seen = [name for name, values in columns.items() if not all(map(math.isnan, values))]
    if not seen:
        return None
    rarest = sorted(seen, key=lambda name: trial.train_counts.get(name, 0))[:MOST]
    title = "Recall on validation rows, rarest first"
    if len(rarest) < len(seen):
        title = f"Recall on validation rows, the {MOST} rarest of {len(seen)} labels"
    title = language.said(title)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        lines = [
            axes.plot(columns[name], color=colour, lw=1.4, marker=".", ms=4)[0]
            for name, colour in zip(rarest, _COLOURS, strict=False)
        ]
        _mark_kept(axes, trial)
        axes.set_ylim(-0.02, 1.02)
        axes.set_title(title)
        axes.set_xlabel(_below(trial))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        words = [_legend(name, trial.train_counts.get(name)) for name in rarest]
        figure.legend(lines, words, loc="outside right upper")

    return draw_svg((7.4, 3.2), draw, title)


def _line(axes: Axes, places: Sequence[int], rows: Rows, key: str, colour: str, word: str) -> None:
    values = [float(row.get(key, math.nan)) for row in rows]
    if values:
        # A name that begins with "_" keeps a line out of the legend.
        axes.plot(places, values, color=colour, lw=1.4, marker=".", ms=4, label=word or "_")


def _mark_kept(axes: Axes, trial: Trial) -> None:
    kept = _kept(trial)
    if kept is not None:
        axes.axvline(kept, color="#8c8c8c", lw=0.8)


def _below(trial: Trial) -> str:
    return language.said("epoch" if _kept(trial) is None else f"epoch ({_kept(trial)} is kept)")


def _kept(trial: Trial) -> int | None:
    kept = trial.selection.get("epoch")
    return kept if isinstance(kept, int) and kept >= 0 else None


def _legend(name: str, count: int | None) -> str:
    short = shortened(name)
    # The space: matplotlib leaves out what begins with "_".
    return f" {short}" if count is None else f" {short} ({count:,})"


def shortened(name: str, most: int = 24) -> str:
    """Return a name that fits beside an axis.

    Example:
        >>> shortened("a name that is far too long for it", 12)
        'a name that…'
    """
    return name if len(name) <= most else name[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


@contextmanager
def _any_letters() -> Iterator[None]:
    """Draw letters that no font here has: text stays text, and the fonts of the reader draw it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .*missing from")
        yield


def draw_svg(
    size: tuple[float, float],
    draw: Callable[[Figure], None],
    title: str | None,
    style: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """Draw a figure and return its SVG file, the same for the same drawing.

    Args:
        size: Width and height in inches.
        draw: Draws on the figure.
        title: Of the file, for screen readers; None for a figure of a page.
        style: Settings of matplotlib beside those that all pictures share.
    """
    with mpl.rc_context(), _any_letters():
        # The file must not hang on what else the process has set.
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE | dict(style))
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        buffer = io.StringIO()
        canvas: Any = FigureCanvasSVG(figure)
        named = {} if title is None else {"Title": title}
        canvas.print_svg(buffer, metadata={"Date": None, "Creator": None, **named})
    return buffer.getvalue()
