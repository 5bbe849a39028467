"""Figures for notebooks, one question each, in scikit-learn's manner: ``from_*``, then ``plot``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from equipoise._core.arrays import Bools, Floats
from equipoise._core.logistic import one_vs_rest
from equipoise._core.messages import closest, hint, say
from equipoise.artifacts import ArmRecord, Comparison, DecisionRule, Scores
from equipoise.comparison.confusion import Confusion, count_confusions
from equipoise.errors import DataError, UsageError
from equipoise.metrics import confusion_matrix, reliability_band, reliability_curve
from equipoise.metrics._columns import as_columns, known_column
from equipoise.metrics.sweep import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class Hues:
    """What things are drawn in."""

    ink: str
    soft: str
    line: str
    band: str
    good: str
    free: str
    bad: str


# Okabe and Ito's palette, told apart by colour-blind readers; greys that show on white and on dark.
HUES = Hues("0.35", "0.5", "0.6", "0.85", "#009e73", "#0072b2", "#d55e00")


def draw_differences(
    axes: Axes, comparison: Comparison, arms: Sequence[ArmRecord], hues: Hues
) -> None:
    """Draw paired differences from the baseline with intervals, seeds and the equivalence band."""
    axes.axvspan(-comparison.rope, comparison.rope, color=hues.band, lw=0)
    axes.axvline(0, color=hues.line, lw=1)
    for row, arm in enumerate(arms):
        gain = arm.gain
        if gain is None:
            continue
        hue = {"ranking gain": hues.good, "harmful": hues.bad}.get(gain.verdict, hues.ink)
        axes.plot(
            gain.per_seed, [row + 0.22] * len(gain.per_seed), "|", color=hues.soft, ms=4, alpha=0.6
        )
        if not math.isnan(gain.primary.low):
            axes.plot([gain.primary.low, gain.primary.high], [row, row], color=hue, lw=1.2)
            axes.plot([gain.bounds.low, gain.bounds.high], [row, row], color=hue, lw=3.2)
        axes.plot([gain.primary.value], [row], "o", color=hue, ms=5.5)


def draw_confusion(
    axes: Axes, found: Confusion, names: Sequence[Sequence[str]], hues: Hues
) -> None:
    """Draw shares of each row, and counts; what is right in a hue of its own."""
    from matplotlib.patches import Rectangle

    for (row, column), share in np.ndenumerate(found.shares):
        if not share > 0:
            continue
        hue = hues.good if found.truth[row] == found.said[column] else hues.free
        box = Rectangle((column - 0.5, row - 0.5), 1, 1, fc=hue, alpha=0.08 + 0.42 * share, lw=0)
        axes.add_patch(box)
        text = f"{100 * share:.0f} %" if share >= 0.005 else "<1 %"
        axes.text(column, row, text, ha="center", va="bottom")
        count = f"{found.counts[row, column]:,}"
        axes.text(column, row + 0.06, count, ha="center", va="top", fontsize=8, color=hues.soft)
    side = len(found.said)
    axes.set_xlim(-0.5, side - 0.5)
    axes.set_ylim(len(found.truth) - 0.5, -0.5)
    axes.set_xticks(range(side), names[0], rotation=0 if side <= 6 else 60,
                    ha="center" if side <= 6 else "right")  # fmt: skip
    axes.set_yticks(range(len(found.truth)), names[1])
    axes.tick_params(length=0)
    axes.set_xlabel("said")
    axes.set_ylabel("true")


@dataclass(eq=False)
class _Display:
    """What every display has once it is drawn."""

    ax_: Any = field(init=False, default=None, repr=False)
    figure_: Any = field(init=False, default=None, repr=False)

    def _axes(self, ax: Axes | None) -> Axes:
        if ax is None:
            import matplotlib.pyplot as plt  # late: it opens a backend

            _, ax = plt.subplots()
        self.ax_, self.figure_ = ax, ax.figure
        return ax


@dataclass(frozen=True)
class _Rows:
    """One label's known rows, or a class against the rest."""

    positive: Bools
    score: Floats
    weight: Floats | None
    name: str

    @classmethod
    def of_arrays(cls, y_true: ArrayLike, scores: ArrayLike, weight: ArrayLike | None,
                  name: str | None) -> _Rows:  # fmt: skip
        truth, values = as_columns(y_true, scores)
        if truth.shape[1] != 1:
            do = "Give one column at a time."
            raise DataError(say("y_true", "be one label", f"{truth.shape[1]} columns", do))
        positive, score, rows = known_column(truth, values, 0)
        own = None if weight is None else np.asarray(weight, dtype=np.float64)[rows]
        return cls(positive, score, own, name or "")

    @classmethod
    def of_scores(cls, scores: Scores, label: str | None, rule: DecisionRule | None) -> _Rows:
        """Take a column of log-odds, calibrated by a rule or by formula, else of what ranks."""
        aligned = scores if rule is None else rule.align(scores)
        labels = aligned.require_labels()
        if label is None and len(labels.names) > 1 and labels.kind == "multilabel":
            do = f"Name one of {', '.join(labels.names[:20])}."
            raise UsageError(say("label", "be given where there are several", None, do))
        name = labels.names[-1] if label is None else label
        if name not in labels.names:
            raise UsageError(
                say("label", "be one of the scores", name, closest(name, labels.names))
            )
        column = labels.names.index(name)
        if rule is None and not aligned.has_probabilities:
            values = aligned.values
        else:
            values = aligned.log_odds() if rule is None else rule.log_odds(aligned)
            values = one_vs_rest(values) if labels.kind == "multiclass" else values
        return cls.of_arrays(labels.one_hot()[:, column], values[:, column], labels.weights, name)

    @property
    def sweep(self) -> Sweep:
        """All operating points, from strict to lax."""
        order = np.argsort(-self.score, kind="stable")
        own = None if self.weight is None else self.weight[order]
        return Sweep.from_sorted(self.score[order], self.positive[order], own)

    @property
    def prevalence(self) -> float:
        """Share of positives."""
        return float(np.average(self.positive, weights=self.weight))


ToProb = Callable[[Floats], Floats]


class _OfLabel(_Display):
    """A display of one label, or of a class against the rest."""

    _of_probabilities: ClassVar[bool] = True

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        scores: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        name: str | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw one label.

        Args:
            y_true: (N,) 0, 1 or -1 (unknown, left out).
            scores: (N,) probabilities; for precision and recall alone any increasing scale.
            sample_weight: (N,) how many rows each stands for, or None.
            name: Of the label.
            ax: Where to draw; None makes a figure.

        Raises:
            DataError: several columns, or no probabilities where these are shown.
        """
        rows = _Rows.of_arrays(y_true, scores, sample_weight, name)
        return cls._of(rows, np.asarray, None).plot(ax)

    @classmethod
    def from_scores(
        cls,
        scores: Scores,
        label: str | None = None,
        *,
        rule: DecisionRule | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw a label, or a class against the rest.

        Args:
            scores: With labels.
            label: Which; None where there is one, of classes the last.
            rule: Calibrates, and its cut is marked; None takes the scores' own formula.
            ax: Where to draw; None makes a figure.

        Raises:
            UsageError: no such label, or scores that only rank where probabilities are shown and no
                rule is given.
        """
        if cls._of_probabilities and rule is None and not scores.has_probabilities:
            do = hint("Pass {rule=}, tuned on validation scores: it calibrates them.")
            raise UsageError(say("scores", "be probabilities", "scores that only rank", do))
        rows = _Rows.of_scores(scores, label, rule)
        return cls._of(rows, expit, _cut_of(rule, rows.name)).plot(ax)

    @classmethod
    def _of(cls, rows: _Rows, to_prob: ToProb, cut: float | None) -> Self:
        raise NotImplementedError

    def plot(self, ax: Axes | None = None, **line: Any) -> Self:
        """Draw on ``ax``, or on a figure of its own; ``line`` goes to matplotlib's ``plot``."""
        raise NotImplementedError


def _cut_of(rule: DecisionRule | None, name: str) -> float | None:
    """Return the rule's cut of a label, in log-odds; None where another choice decides."""
    if rule is None or rule.thresholds is None:
        return None
    return float(rule.thresholds[rule.names.index(name)])


@dataclass(eq=False)
class PrecisionRecallDisplay(_OfLabel):
    """Precision against recall of every cut, with the cut that a rule takes.

    Args:
        recall: (K,) rising, of every distinct score.
        precision: (K,) at the same cuts.
        average_precision: Area by steps, NaN without positives.
        prevalence: Precision of flagging at random.
        name: Of the label.
        chosen: (recall, precision) of the rule's cut, or None.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("Agg")
        >>> shown = PrecisionRecallDisplay.from_predictions([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
        >>> round(shown.average_precision, 3), shown.recall.tolist()
        (0.833, [0.5, 0.5, 1.0, 1.0])
    """

    _of_probabilities: ClassVar[bool] = False
    recall: Floats = field(default_factory=lambda: np.zeros(0))
    precision: Floats = field(default_factory=lambda: np.zeros(0))
    average_precision: float = math.nan
    prevalence: float = math.nan
    name: str = ""
    chosen: tuple[float, float] | None = None

    @classmethod
    def _of(cls, rows: _Rows, to_prob: ToProb, cut: float | None) -> Self:  # noqa: ARG003
        points = rows.sweep
        positives = points.n_positive
        recall = points.tp / positives if positives else np.full(points.tp.size, np.nan)
        precision = points.tp / (points.tp + points.fp)
        chosen = None
        if cut is not None and positives:
            flagged = int(np.searchsorted(-points.score, -cut, side="right")) - 1
            if flagged >= 0:
                chosen = float(recall[flagged]), float(precision[flagged])
        return cls(recall, precision, points.average_precision, rows.prevalence, rows.name, chosen)

    def plot(self, ax: Axes | None = None, **line: Any) -> Self:
        """Draw on ``ax``, or on a figure of its own; ``line`` goes to matplotlib's ``plot``."""
        axes = self._axes(ax)
        told = f"{self.name} " if self.name else ""
        style: dict[str, Any] = {"label": f"{told}AP {self.average_precision:.3f}", **line}
        # Precision falls with each false alarm and rises with each find: steps, no straight lines.
        (drawn,) = axes.plot(self.recall, self.precision, drawstyle="steps-pre", **style)
        axes.axhline(self.prevalence, ls=":", lw=1, color=HUES.line)
        if self.chosen is not None:
            axes.plot(*self.chosen, "o", color=drawn.get_color(), ms=7, label="the rule's cut")
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.02))
        axes.legend(loc="best", frameon=False)
        return self


@dataclass(eq=False)
class ReliabilityDisplay(_OfLabel):
    """Observed share against probability, by isotonic blocks, with where right ones would lie.

    Args:
        predicted: (K,) mean probability of each block, rising.
        observed: (K,) share of positives in it.
        rows: (K,) its rows, or their weight.
        low: (K,) lower end of the consistency band.
        high: (K,) upper end.
        name: Of the label.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("Agg")
        >>> shown = ReliabilityDisplay.from_predictions([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.8])
        >>> shown.observed.tolist(), shown.rows.tolist()
        ([0.0, 1.0], [2.0, 2.0])

    References:
        Dimitriadis, Gneiting and Jordan (PNAS 2021).
    """

    predicted: Floats = field(default_factory=lambda: np.zeros(0))
    observed: Floats = field(default_factory=lambda: np.zeros(0))
    rows: Floats = field(default_factory=lambda: np.zeros(0))
    low: Floats = field(default_factory=lambda: np.zeros(0))
    high: Floats = field(default_factory=lambda: np.zeros(0))
    name: str = ""

    @classmethod
    def _of(cls, rows: _Rows, to_prob: ToProb, cut: float | None) -> Self:  # noqa: ARG003
        truth = rows.positive.astype(np.int8)
        prob = to_prob(rows.score)
        predicted, observed, sizes = reliability_curve(truth, prob, rows.weight)
        low, high = reliability_band(prob, predicted)
        return cls(predicted, observed, sizes, low, high, rows.name)

    def plot(self, ax: Axes | None = None, **line: Any) -> Self:
        """Draw on ``ax``, or on a figure of its own; ``line`` goes to matplotlib's ``plot``."""
        axes = self._axes(ax)
        axes.plot([0, 1], [0, 1], color=HUES.line, lw=1)
        axes.fill_between(self.predicted, self.low, self.high, color=HUES.band, lw=0,
                          label="90 % of right ones")  # fmt: skip
        style: dict[str, Any] = {"label": self.name or "observed", **line}
        (drawn,) = axes.plot(self.predicted, self.observed, **style)
        sizes = 4 + 40 * self.rows / max(float(self.rows.max(initial=0.0)), 1e-12)
        axes.scatter(self.predicted, self.observed, s=sizes, color=drawn.get_color(), lw=0)
        axes.set(xlabel="probability", ylabel="observed share", xlim=(0, 1.01), ylim=(-0.01, 1.02))
        axes.legend(loc="upper left", frameon=False)
        return self


@dataclass(eq=False)
class ThresholdDisplay(_OfLabel):
    """Precision, recall, F1 and the share that is flagged, at every cut.

    Args:
        threshold: (K,) probabilities, falling.
        precision: (K,) of flagging at or above each.
        recall: (K,).
        f1: (K,).
        flagged: (K,) share of rows.
        name: Of the label.
        chosen: The rule's cut as a probability, or None.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("Agg")
        >>> shown = ThresholdDisplay.from_predictions([1, 0, 1, 0], [0.9, 0.8, 0.7, 0.1])
        >>> shown.threshold.tolist(), shown.f1.round(3).tolist()
        ([0.9, 0.8, 0.7, 0.1], [0.667, 0.5, 0.8, 0.667])
    """

    threshold: Floats = field(default_factory=lambda: np.zeros(0))
    precision: Floats = field(default_factory=lambda: np.zeros(0))
    recall: Floats = field(default_factory=lambda: np.zeros(0))
    f1: Floats = field(default_factory=lambda: np.zeros(0))
    flagged: Floats = field(default_factory=lambda: np.zeros(0))
    name: str = ""
    chosen: float | None = None

    @classmethod
    def _of(cls, rows: _Rows, to_prob: ToProb, cut: float | None) -> Self:
        points = rows.sweep
        threshold = to_prob(points.score)
        chosen = None if cut is None else float(expit(cut))
        flagged = points.tp + points.fp
        total = points.n_positive + points.n_negative
        recall = np.full(flagged.size, np.nan)
        if points.n_positive:
            recall = points.tp / points.n_positive
        return cls(threshold, points.tp / flagged, recall, points.f_beta(),
                   flagged / max(total, 1e-300), rows.name, chosen)  # fmt: skip

    def plot(self, ax: Axes | None = None, **line: Any) -> Self:
        """Draw on ``ax``, or on a figure of its own; ``line`` goes to every ``plot``."""
        axes = self._axes(ax)
        for metric in ("precision", "recall", "f1", "flagged"):
            words = {"f1": "F1", "flagged": "flagged share"}.get(metric, metric)
            axes.plot(
                self.threshold, getattr(self, metric), drawstyle="steps-post", label=words, **line
            )
        if self.chosen is not None:
            axes.axvline(self.chosen, color=HUES.line, lw=1, ls="--", label="the rule's cut")
        axes.set(xlabel="flag from a probability of", xlim=(0, 1), ylim=(0, 1.02), title=self.name)
        axes.legend(loc="best", frameon=False)
        return self


@dataclass(eq=False)
class ConfusionDisplay(_Display):
    """What is true in rows, what was said in columns: shares of each row, and counts.

    Args:
        confusion: Names and counts.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("Agg")
        >>> shown = ConfusionDisplay.from_predictions([0, 1, 1], [0, 0, 1], names=["no", "yes"])
        >>> shown.confusion.shares.tolist()
        [[1.0, 0.0], [0.5, 0.5]]
    """

    confusion: Confusion | None = None

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        names: Sequence[str],
        ax: Axes | None = None,
    ) -> Self:
        """Draw classes, (N,) each, 0 to C - 1, called ``names``."""
        counts = confusion_matrix(y_true, y_pred, num_classes=len(names))
        called = tuple(names)
        return cls(Confusion(called, called, counts)).plot(ax)

    @classmethod
    def from_scores(cls, scores: Scores, *, rule: DecisionRule, ax: Axes | None = None) -> Self:
        """Draw what a rule says of test rows: of classes, or which label stands for which.

        Raises:
            LeakageError: the rows are not test rows, or overlap with those the rule was tuned on.
        """
        return cls(count_confusions(rule, scores)).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw on ``ax``, or on a figure of its own."""
        axes, found = self._axes(ax), self.confusion
        if found is None:
            raise UsageError(say("confusion", "be given", None, "Use from_scores."))
        draw_confusion(axes, found, (found.said, found.truth), HUES)
        return self


@dataclass(eq=False)
class ComparisonDisplay(_Display):
    """What each remedy bought: paired differences with intervals, seeds and the region of equals.

    Args:
        comparison: What is shown.
    """

    comparison: Comparison | None = None

    @classmethod
    def from_comparison(cls, comparison: Comparison, *, ax: Axes | None = None) -> Self:
        """Draw the remedies of a comparison; thick: read against the region, thin: against 0."""
        return cls(comparison).plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw on ``ax``, or on a figure of its own."""
        axes, found = self._axes(ax), self.comparison
        if found is None:
            raise UsageError(say("comparison", "be given", None, "Use from_comparison."))
        tuned = f"{found.baseline} + thresholds"
        arms = [a for a in found.arms if a.gain and not a.is_reference and a.method != tuned]
        draw_differences(axes, found, arms, HUES)
        axes.set_yticks(range(len(arms)), [a.method for a in arms])
        axes.set_ylim(len(arms) - 0.4, -0.6)
        word = {"macro_ap": "macro AP", "macro_auroc": "macro AUROC"}.get(
            found.primary, f"tuned {found.rule_metric}"
        )
        axes.set_xlabel(f"difference in {word} from {found.baseline}")
        return self
