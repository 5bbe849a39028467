"""Pictures of a comparison as inline SVG whose colours follow the page's light or dark theme."""

from __future__ import annotations

import hashlib
import html
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from equipoise._core.language import said
from equipoise.artifacts import ArmRecord, Comparison, Trial
from equipoise.comparison import Confusion
from equipoise.report.displays import Hues, draw_confusion, draw_differences
from equipoise.report.pictures import draw_svg, shortened

# Stand-ins that are replaced by the page's CSS variables after drawing.
INK, SOFT, LINE, BAND = "#010101", "#020202", "#030303", "#040404"
GOOD, FREE, BAD = "#050505", "#060606", "#070707"
_PAGE = Hues(INK, SOFT, LINE, BAND, GOOD, FREE, BAD)
_VARIABLES = {
    INK: "--ink",
    SOFT: "--soft",
    LINE: "--line",
    BAND: "--band",
    GOOD: "--rank",
    FREE: "--free",
    BAD: "--bad",
}
# Okabe and Ito's palette, told apart by colour-blind readers; and by shape where colours are few.
ARMS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8c8c8c", "#8a63c7")
SHAPES = ("o", "s", "^", "D", "v", "P", "X", "*")
_STYLE: Any = {
    "font.sans-serif": ["system-ui", "DejaVu Sans"],
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.titlecolor": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "text.color": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
# Of its drawn width: narrower, and a phone could not read the text; it scrolls instead.
_NARROWEST = 0.95


def _svg(size: tuple[float, float], draw: Callable[[Figure], None], title: str, alt: str) -> str:
    """Draw a figure and return it as an SVG element; ``alt`` says what it shows."""
    text = draw_svg(size, draw, None, _STYLE)
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    for stand_in, variable in _VARIABLES.items():
        text = text.replace(stand_in, f"var({variable})")
    text = _compact(text)
    # Ids repeat between figures of one page; a prefix made of the title keeps them apart.
    key = hashlib.sha256(title.encode()).hexdigest()[:6]
    text = re.sub(r"(id=\"|url\(#|href=\"#)", rf"\g<1>f{key}-", text)
    most = size[0] * 96
    view = re.search(r"<svg [^>]*?viewBox=\"([^\"]+)\"[^>]*>", text)
    if view is None:
        return text
    head = (
        f'<svg viewBox="{view[1]}" role="img" aria-label="{html.escape(said(alt))}" '
        f'style="max-width:{most:.0f}px;min-width:{most * _NARROWEST:.0f}px">'
    )
    return text.replace(view[0], head, 1).replace("\n", " ").strip()


_NUMBER = re.compile(r"\d+\.\d+")


def _two_digits(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _compact(text: str) -> str:
    """Return the same drawing in half the bytes: what says nothing is left out."""
    text = re.sub(r"<!--.*?-->|<defs>\s*<style.*?</style>\s*</defs>", "", text, flags=re.DOTALL)
    # Coordinates alone: what is written beside an axis keeps its digits.
    text = re.sub(r"<[^>]*>", lambda tag: _NUMBER.sub(_two_digits, tag[0]), text)
    text = re.sub(r" transform=\"rotate\(-0 [^\"]*\"| font-family: [^;\"]*;", "", text)
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", text))
    text = re.sub(r" id=\"([^\"]+)\"", lambda m: m[0] if m[1] in used else "", text)
    text = re.sub(r"\s*([<>])\s*|\s+", lambda m: m[1] or " ", text)
    kept: list[str] = []
    held: list[bool] = []
    for piece in re.split(r"(</?g\b[^>]*>)", text):
        if piece.startswith("<g") and piece.endswith("/>"):
            continue
        if piece.startswith("<g"):
            held.append(piece != "<g>")
            kept.append(piece if held[-1] else "")
        elif piece == "</g>":
            kept.append(piece if held.pop() else "")
        else:
            kept.append(piece)
    return "".join(kept)


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [shortened(name) for name in names])
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
        draw_differences(axes, comparison, arms, _PAGE)
        _rows(axes, [a.method for a in arms])
        axes.set_xlabel(said(f"difference in {metric} from {comparison.baseline}"))

    alt = f"Difference in {metric} from {comparison.baseline} of each remedy, with intervals"
    return _svg((7.4, 0.75 + 0.42 * len(arms)), draw, f"{comparison.title} differences", alt)


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
        axes.set_xlabel(said(f"gain in {comparison.rule_metric} at the default rule"))

    alt = f"Gain in {comparison.rule_metric} of each remedy: its ranking and operating-point parts"
    return _svg((7.4, 0.75 + 0.42 * len(arms)), draw, f"{comparison.title} gains", alt)


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
                axes.plot([after], [row], "o", mfc="none", mec=SOFT, ms=5, clip_on=False)
                axes.plot([before], [row], "o", color=FREE, ms=5, clip_on=False)
            _rows(axes, [a.method for a in arms] if place == 1 else [""] * len(arms))
            axes.set_title(shortened(name))
            axes.set_xlim(left=0)
            axes.xaxis.set_major_locator(MaxNLocator(3))

    size = (max(7.4, 1.5 + 1.55 * len(names)), 0.7 + 0.3 * len(arms))
    alt = "Share of rows that each arm flags, per label, beside the share that is positive"
    return _svg(size, draw, f"{comparison.title} flagged", alt)


def _grid(
    comparison: Comparison,
    names: Sequence[str],
    draw_one: Callable[[Axes, str], None],
    title: str,
    labels: tuple[str, str],
    alt: str,
) -> str:
    columns = min(5, len(names))
    rows = math.ceil(len(names) / columns)

    def draw(figure: Figure) -> None:
        for place, name in enumerate(names):
            axes = figure.add_subplot(rows, columns, place + 1)
            draw_one(axes, name)
            axes.set_title(shortened(name))
            axes.set_xlim(0, 1.01)
            axes.set_ylim(0, 1.02)
            axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
            axes.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
            if place % columns == 0:
                axes.set_ylabel(said(labels[1]))
            if place >= len(names) - columns:
                axes.set_xlabel(said(labels[0]))
        handles, words = figure.axes[0].get_legend_handles_labels()
        if handles:
            figure.legend(handles, words, loc="outside lower center", ncols=4, labelcolor=INK)

    return _svg(
        (max(4.0, 1.85 * columns), 1.75 * rows + 0.6), draw, f"{comparison.title} {title}", alt
    )


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

    return _grid(comparison, names, one, "precision recall", ("recall", "precision"),
                 "Precision against recall of every arm, one panel each")  # fmt: skip


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

    return _grid(comparison, names, one, "reliability", ("probability", "observed"),
                 f"Observed share against calibrated probability of {method}")  # fmt: skip


def confusion(found: Confusion, title: str) -> str:
    """What is true in rows, what was said in columns: shares of each row, and counts."""
    side = len(found.said)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        names = [[shortened(name, 18) for name in each] for each in (found.said, found.truth)]
        draw_confusion(axes, found, names, _PAGE)
        axes.tick_params(colors=INK)
        axes.set_xlabel(said("said"))
        axes.set_ylabel(said("true"))
        axes.set_title(said(title))

    alt = f"{title}: share of each true class or label that was said to be each other"
    size = (1.6 + 0.62 * side, 1.3 + 0.5 * len(found.truth))
    return _svg((max(size[0], 4.4), size[1]), draw, title, alt)


def by_class(comparison: Comparison, names: Sequence[str]) -> str:
    """Recall and precision of each class or label in every arm, with intervals."""
    arms = comparison.arms[: len(ARMS)]

    def draw(figure: Figure) -> None:
        for place, metric in enumerate(("recall", "precision"), start=1):
            axes = figure.add_subplot(1, 2, place)
            for turn, (arm, hue, shape) in enumerate(zip(arms, ARMS, SHAPES, strict=False)):
                shift = 0.7 * (turn + 0.5) / len(arms) - 0.35
                for row, name in enumerate(names):
                    found = arm.evaluation.per_label[name][metric]
                    axes.plot([found.low, found.high], [row + shift] * 2, color=hue, lw=0.9)
                    axes.plot([found.value], [row + shift], shape, color=hue, ms=4,
                              label=arm.method if row == 0 else "_")  # fmt: skip
            for row in range(1, len(names)):
                axes.axhline(row - 0.5, color=LINE, lw=0.5)
            _rows(axes, names if place == 1 else [""] * len(names))
            axes.set_xlim(-0.02, 1.02)
            axes.set_title(said(metric))
        handles, words = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, words, loc="outside lower center", ncols=4, labelcolor=INK)

    alt = "Recall and precision of each class or label in every arm, with intervals"
    height = 1.0 + len(names) * max(0.4, 0.12 * len(arms))
    return _svg((8.4, height), draw, f"{comparison.title} recall and precision", alt)


def histories(trials: Sequence[Trial], title: str) -> str:
    """Validation loss and metric over epochs, a line per method; one epoch is a point."""
    shown = trials[: len(ARMS)]
    metric = str(next((t.selection["metric"] for t in shown if "metric" in t.selection), "metric"))
    panels = {"loss": "training loss", "val_loss": "validation loss", "val_metric": metric}
    kept = [key for key in panels if any(_history(t.history, key) for t in shown)]

    def draw(figure: Figure) -> None:
        for place, key in enumerate(kept, start=1):
            axes = figure.add_subplot(1, len(kept), place)
            for trial, hue, shape in zip(shown, ARMS, SHAPES, strict=False):
                values = _history(trial.history, key)
                one = len(values) == 1
                axes.plot(range(len(values)), values, color=hue, lw=1.2, label=trial.method,
                          marker=shape if one else "", ms=6)  # fmt: skip
            axes.set_title(shortened(said(panels[key]), 40))
            axes.set_xlabel(said("epoch"))
            longest = max(len(_history(t.history, key)) for t in shown)
            if longest == 1:
                axes.set_xticks([0])
                axes.set_xlim(-0.5, 0.5)
            else:
                axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        handles, words = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, words, loc="outside lower center", ncols=4, labelcolor=INK)

    alt = "Losses and validation metric over the epochs of the first seed, a line per arm"
    return _svg((9.0, 3.1), draw, f"{title} histories", alt) if kept else ""


def _history(history: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    """Return a curve, empty where nothing of it is known."""
    values = [float(row.get(key, math.nan)) for row in history]
    return [] if all(map(math.isnan, values)) else values
