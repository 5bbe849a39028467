"""Pictures of a comparison as inline SVG whose colours follow the page's light or dark theme."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from equipoise.artifacts import ArmRecord, Comparison

# Stand-ins that are replaced by the page's CSS variables after drawing.
INK, SOFT, LINE, BAND = "#010101", "#020202", "#030303", "#040404"
GOOD, FREE, BAD = "#050505", "#060606", "#070707"
_VARIABLES = {
    INK: "--ink",
    SOFT: "--soft",
    LINE: "--line",
    BAND: "--band",
    GOOD: "--rank",
    FREE: "--free",
    BAD: "--bad",
}
# Okabe and Ito's palette, told apart by colour-blind readers.
ARMS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8c8c8c", "#6a3d9a")
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "equipoise",
    "font.family": "sans-serif",
    "font.sans-serif": ["system-ui", "DejaVu Sans"],
    "font.size": 9,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.titlesize": 9,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "text.color": INK,
    "legend.frameon": False,
}


def _svg(size: tuple[float, float], draw: Callable[[Figure], None], title: str) -> str:
    """Draw a figure and return it as an SVG element with a title for screen readers."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        buffer = io.StringIO()
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<g id=\"patch_1\">.*?</g>", "", text, count=1, flags=re.DOTALL)
    for stand_in, variable in _VARIABLES.items():
        text = text.replace(stand_in, f"var({variable})")
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 var(--sans)", text)
    text = re.sub(r"(\d+\.\d{3})\d+", r"\1", text)
    # Ids repeat between figures of one page; a prefix made of the title keeps them apart.
    key = re.sub(r"\W+", "-", title.lower())
    text = re.sub(r"(id=\"|url\(#|href=\"#)", rf"\1{key}-", text)
    width, _ = size
    text = re.sub(
        r"<svg [^>]*?viewBox=\"([^\"]+)\"[^>]*>",
        rf'<svg viewBox="\1" role="img" aria-label="{title}" style="max-width:{width * 96:.0f}px">',
        text,
        count=1,
    )
    return text.replace("\n", " ").strip()


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, colors=INK)
    axes.spines["left"].set_visible(False)


def _treated(comparison: Comparison) -> list[ArmRecord]:
    """Return the remedies; references lie so far off that they would squeeze the rest."""
    known = (a for a in comparison.arms if a.gain is not None and not a.is_reference)
    return [a for a in known if a.gain and a.gain.per_seed]


def forest(comparison: Comparison, metric: str) -> str:
    """Paired differences from the baseline with intervals, seeds and the equivalence band."""
    tuned = f"{comparison.baseline} + thresholds"
    arms = [a for a in _treated(comparison) if a.method != tuned]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.axvspan(-comparison.rope, comparison.rope, color=BAND, lw=0)
        axes.axvline(0, color=LINE, lw=1)
        for row, arm in enumerate(arms):
            gain = arm.gain
            if gain is None:
                continue
            colour = {"ranking gain": GOOD, "harmful": BAD}.get(gain.verdict, INK)
            axes.plot(
                gain.per_seed, [row + 0.22] * len(gain.per_seed), "|", color=SOFT, ms=4, alpha=0.6
            )
            if not math.isnan(gain.primary.low):
                axes.plot([gain.primary.low, gain.primary.high], [row, row], color=colour, lw=1.2)
                axes.plot([gain.bounds.low, gain.bounds.high], [row, row], color=colour, lw=3.2)
            axes.plot([gain.primary.value], [row], "o", color=colour, ms=5.5)
        _rows(axes, [a.method for a in arms])
        axes.set_xlabel(f"difference in {metric} from {comparison.baseline}")

    return _svg((7.4, 0.75 + 0.42 * len(arms)), draw, f"{comparison.title} differences")


def decomposition(comparison: Comparison) -> str:
    """The gain at the default rule, as its ranking part and its operating-point part."""
    arms = _treated(comparison)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.axvline(0, color=LINE, lw=1)
        for row, arm in enumerate(arms):
            gain = arm.gain
            if gain is None:
                continue
            left = {True: 0.0, False: 0.0}
            for part, colour in ((gain.ranking_part, GOOD), (gain.operating_part, FREE)):
                side = part.value >= 0
                axes.barh(row, part.value, left=left[side], height=0.5, color=colour, lw=0)
                left[side] += part.value
            if not math.isnan(gain.total.low):
                axes.plot([gain.total.low, gain.total.high], [row, row], color=INK, lw=1)
            axes.plot([gain.total.value], [row], "D", color=INK, ms=4)
        _rows(axes, [a.method for a in arms])
        axes.set_xlabel(f"gain in {comparison.rule_metric} at the default rule")

    return _svg((7.4, 0.75 + 0.42 * len(arms)), draw, f"{comparison.title} gains")


def operating_points(comparison: Comparison, names: Sequence[str]) -> str:
    """Share of rows flagged per label at the default rule, beside the share that is positive."""
    arms = comparison.arms

    def draw(figure: Figure) -> None:
        for place, name in enumerate(names, start=1):
            axes = figure.add_subplot(1, len(names), place)
            truth = arms[0].flagged[name][2]
            axes.axvline(truth, color=GOOD, lw=1.5)
            for row, arm in enumerate(arms):
                before, after, _ = arm.flagged[name]
                axes.plot([before, after], [row, row], color=LINE, lw=1)
                axes.plot([after], [row], "o", mfc="none", mec=SOFT, ms=5)
                axes.plot([before], [row], "o", color=FREE, ms=5)
            _rows(axes, [a.method for a in arms] if place == 1 else [""] * len(arms))
            axes.set_title(name)
            axes.set_xlim(left=0)

    size = (max(7.4, 1.5 + 1.55 * len(names)), 0.7 + 0.3 * len(arms))
    return _svg(size, draw, f"{comparison.title} flagged")


def _grid(
    comparison: Comparison,
    names: Sequence[str],
    draw_one: Callable[[Axes, str], None],
    title: str,
    labels: tuple[str, str],
) -> str:
    columns = min(5, len(names))
    rows = math.ceil(len(names) / columns)

    def draw(figure: Figure) -> None:
        for place, name in enumerate(names):
            axes = figure.add_subplot(rows, columns, place + 1)
            draw_one(axes, name)
            axes.set_title(name)
            axes.set_xlim(0, 1.01)
            axes.set_ylim(0, 1.02)
            axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
            axes.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
            if place % columns == 0:
                axes.set_ylabel(labels[1])
            if place >= len(names) - columns:
                axes.set_xlabel(labels[0])
        handles, words = figure.axes[0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, words, loc="outside lower center", ncols=4, labelcolor=INK)

    return _svg((max(4.0, 1.85 * columns), 1.75 * rows + 0.6), draw, f"{comparison.title} {title}")


def _curves(arm: ArmRecord, name: str) -> Any:
    return arm.curves.get(name)


def precision_recall(comparison: Comparison, names: Sequence[str]) -> str:
    """Precision against recall on the test rows of the first seed, one panel per label."""
    tuned = f"{comparison.baseline} + thresholds"
    arms = [a for a in comparison.arms if a.method != tuned]

    def one(axes: Axes, name: str) -> None:
        for arm, colour in zip(arms, ARMS, strict=False):
            points = _curves(arm, name)
            if points is None:
                continue
            axes.axhline(points["prevalence"], color=LINE, lw=0.8, ls=":")
            first = arm.method == comparison.baseline
            axes.plot(
                points["recall"],
                points["precision"],
                color=INK if first else colour,
                lw=1.6 if first else 1.0,
                label=arm.method,
                zorder=3 if first else 2,
            )

    return _grid(comparison, names, one, "precision recall", ("recall", "precision"))


def reliability(comparison: Comparison, names: Sequence[str], method: str) -> str:
    """Observed share against calibrated probability (isotonic), one panel per label."""
    arm = comparison.arm(method)

    def one(axes: Axes, name: str) -> None:
        axes.plot([0, 1], [0, 1], color=LINE, lw=0.8)
        points = _curves(arm, name)
        if points is None:
            return
        largest = max(points["rows"])
        sizes = [4 + 40 * n / largest for n in points["rows"]]
        axes.plot(points["predicted"], points["observed"], color=GOOD, lw=1)
        axes.scatter(points["predicted"], points["observed"], s=sizes, color=GOOD, lw=0, alpha=0.7)

    return _grid(comparison, names, one, "reliability", ("probability", "observed"))
