"""What the draws do to labels and rows: few rows, unseen rows, rising labels, implied weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import require_finite, require_shape, to_array
from equipoise._core.words import listed
from equipoise.artifacts.finding import Finding
from equipoise.artifacts.labels import Labels
from equipoise.audit.probe import finding
from equipoise.sampling.report import SamplingReport

_FEW_SHARE, _MANY_DRAWS, _PAIRS = 0.2, 20.0, 50
_LEAST_GROUP, _HALF = 20, 0.5
_FEWEST_EXPECTED = 7.0  # below it, a label may be missed by chance
_RISE, _SIGMAS = 1.1, 4.0


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Draws of all epochs together.

    Args:
        counts: (N,) how often each row was drawn.
        epochs: Number of epochs behind them.
        labels: The labels of the rows.
    """

    counts: NDArray[np.int64]
    epochs: int
    labels: Labels

    @property
    def uniform(self) -> float:
        """Share of the rows that equal draws, with replacement, would have seen."""
        return float(-np.expm1(-self.counts.sum() / self.counts.size))

    @property
    def effective_share(self) -> float:
        """Effective sample of the weights behind the draws over N, at most 1.

        Chance repeats are taken out: it is 1 for uniform draws, with or without replacement.
        """
        pairs = float((self.counts * (self.counts - 1)).sum())
        total = float(self.counts.sum())
        if pairs < _PAIRS:
            return 1.0
        return min(1.0, total * (total - 1) / pairs / self.counts.size)

    def groups(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Yield the rows of each label or class, and those without any label."""
        values = self.labels.values
        for k, name in enumerate(self.labels.names):
            one = values == k if self.labels.kind == "multiclass" else values[:, k] == 1
            yield f"'{name}'", one
        if self.labels.kind == "multilabel":
            yield "rows without labels", ~(values == 1).any(axis=1)


def idle_finding(weights: Any, seen: Seen) -> list[Finding]:
    """Return EQ612 where a sampler's own unequal weights leave every row drawn once an epoch."""
    try:
        given = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError):
        return []
    if given.shape != seen.counts.shape or not (given > 0).any():
        return []
    used = given > 0
    if np.ptp(given[used]) == 0 or (seen.counts != np.where(used, seen.epochs, 0)).any():
        return []
    message = (
        f"Its weights differ by up to {given.max() / given[used].min():.3g}, but each of the "
        f"{int(used.sum()):,} rows comes exactly once per epoch: they decide the order alone, and "
        "classes come as often as they are."
    )
    todo = (
        "Draw with replacement, or fewer rows than there are.",
        "Do not undo the weights: sampler_correction(weights, labels, replacement=False).",
    )
    evidence = {"rows": int(used.sum()), "epochs": seen.epochs}
    return [finding("EQ612", message, evidence, todo)]


def drawn_findings(report: SamplingReport, seen: Seen) -> list[Finding]:
    """Return findings EQ606 to EQ610."""
    found = [*_few_rows(report, seen), *_unseen(seen), *_never_drawn(seen)]
    if seen.labels.kind == "multilabel":
        found += _rising(report)
    return [*found, *_implied(report)]


def _few_rows(report: SamplingReport, seen: Seen) -> Iterator[Finding]:
    share = seen.effective_share
    most = float(seen.counts.max()) / seen.epochs
    often = most > _MANY_DRAWS * max(1.0, report.num_samples / report.rows)
    if share >= _FEW_SHARE and not often:
        return
    top = np.sort(seen.counts)[::-1][: max(1, seen.counts.size // 100)]
    carried = float(top.sum() / seen.counts.sum())
    message = (
        f"The draws are worth {_percent(share)} of the rows; the most-drawn 1 % of the rows take "
        f"{carried:.0%} of the draws, and row {int(seen.counts.argmax())} comes {most:,.3g} times "
        "an epoch. A model learns such rows by heart."
    )
    evidence = {"effective_share": share, "share_of_top_percent": carried,
                "most_drawn_row": int(seen.counts.argmax()), "most_draws": most}  # fmt: skip
    todo = (
        "Ask for less: `equipoise.sampling.rake(labels, rates, min_ess=0.3)`, or a square root.",
        "Augment each copy, and compare with no sampler and tuned thresholds.",
    )
    yield finding("EQ606", message, evidence, todo)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _unseen(seen: Seen) -> Iterator[Finding]:
    low = {}
    everything = np.ones(seen.counts.size, dtype=bool)
    for name, rows in [("all rows", everything), *seen.groups()]:
        enough = rows.sum() * seen.uniform >= _LEAST_GROUP
        share = float((seen.counts[rows] > 0).mean()) if enough else 1.0
        if share < _HALF * seen.uniform and (share or name in ("all rows", "rows without labels")):
            low[name] = share
    if not low:
        return
    epochs = "one epoch" if seen.epochs == 1 else f"{seen.epochs} epochs"
    shares = listed([f"{name} {share:.1%}" for name, share in low.items()])
    message = (
        f"After {epochs} few of these rows have been seen: {shares}; equal draws would have seen "
        f"{seen.uniform:.0%}."
    )
    todo = (
        "Give these rows more weight, or draw longer epochs.",
        "Rows without labels are the negatives: give them an explicit weight.",
    )
    yield finding("EQ607", message, {"seen": low, "equal_draws": seen.uniform}, todo)


def _never_drawn(seen: Seen) -> Iterator[Finding]:
    rate = seen.counts.sum() / seen.counts.size
    lost = {}
    for name, rows in seen.groups():
        n = int(rows.sum())
        if name.startswith("'") and n * rate >= _FEWEST_EXPECTED and not seen.counts[rows].any():
            lost[name] = n
    if lost:
        shown = listed([f"{name} ({n:,} rows)" for name, n in lost.items()])
        message = f"Never drawn, though equal draws would have: {shown}. It cannot be learned."
        todo = "Give each of its rows a weight above 0, or drop the label."
        yield finding("EQ610", message, {"never_drawn": lost}, (todo,))


def _rising(report: SamplingReport) -> Iterator[Finding]:
    before, after = np.array(report.rates_before), np.array(report.rates_after)
    known = (before > 0) & np.isfinite(after)
    if not known.any():
        return
    noise = np.sqrt(np.maximum(before * (1 - before), 0) / report.num_samples)
    frequent = known & (before >= _HALF * before[known].max())
    up = frequent & (after > np.maximum(_RISE * before, before + _SIGMAS * noise))
    if not up.any() or not (known & ~frequent & (after > _RISE * before)).any():
        return
    which = np.flatnonzero(up)
    shown = [f"'{report.names[i]}' {before[i]:.3f} -> {after[i]:.3f}" for i in which]
    message = (
        f"Lifting rare labels lifts frequent ones too: {listed(shown)}. Rows with a rare label "
        "bring the frequent ones along, so the imbalance only moves."
    )
    rates = {report.names[i]: [float(before[i]), float(after[i])] for i in which}
    todo = "State the rates you want: `equipoise.sampling.rake(labels, rates)` holds each label."
    yield finding("EQ608", message, {"rates": rates}, (todo,))


def _clear_factors(report: SamplingReport, classes: bool) -> dict[str, float]:
    """Return the weight that draws amount to, where it is no chance."""
    before, after = np.array(report.rates_before), np.array(report.rates_after)
    factor = np.array(report.pos_weight)
    if classes:
        factor = np.divide(after, before, out=np.full(after.shape, np.nan), where=before > 0)
    drawn = np.maximum(after * report.num_samples, 1e-9)
    others = np.maximum((1 - after) * report.num_samples, 1e-9)
    noise = np.sqrt(1 / drawn + 1 / others)
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.abs(np.log(factor))
    clear = np.isfinite(size) & (size > np.maximum(np.log(_RISE), _SIGMAS * noise))
    return {report.names[i]: float(factor[i]) for i in np.flatnonzero(clear)}


def _implied(report: SamplingReport) -> Iterator[Finding]:
    classes = report.sizes_before[1] == 1.0
    factors = _clear_factors(report, classes)
    if not factors:
        return
    shown = listed([f"{name} x{value:.3g}" for name, value in factors.items()], 8)
    what = "draws classes at these multiples of their share" if classes else (
        "acts like a `pos_weight` on these labels"
    )  # fmt: skip
    message = (
        f"The sampler {what}: {shown}. Outputs of a model trained on it are shifted by as much and "
        "are no natural probabilities; a cut at 0.5 means something else."
    )
    offset = {name: -float(np.log(value)) for name, value in factors.items()}
    todo = (
        (
            "Add log(1 / factor) to each logit before thresholds "
            "(`equipoise.sampling.sampler_correction`), then calibrate on validation rows."
        ),
        "Add no `pos_weight`, class weights or logit adjustment on top: the effects multiply.",
    )
    yield finding("EQ609", message, {"factor": factors, "offset": offset}, todo)


def weight_finding(report: SamplingReport, weight: ArrayLike, classes: bool) -> list[Finding]:
    """Return EQ611 where a label is lifted by the sampler and once more by the loss."""
    given = to_array("weight", weight, ndim=1).astype(np.float64)
    require_shape("weight", given, (len(report.names),), "One per label or class.")
    require_finite("weight", given, "Pass what the loss is given.")
    if classes:
        given = given / (given * report.rates_before).sum()
    factors = _clear_factors(report, classes)
    twice = {}
    for name, value in zip(report.names, given.tolist(), strict=True):
        both = factors.get(name, 1.0), value
        if min(both) > _RISE or max(both) < 1 / _RISE:
            twice[name] = [*both, both[0] * both[1]]
    if not twice:
        return []
    shown = [f"{n} {a:.3g} x {b:.3g} = {c:.3g}" for n, (a, b, c) in twice.items()]
    message = (
        f"The sampler and the weights of the loss do the same twice: {listed(shown, 8)}. "
        "Together they shift the outputs by the product."
    )
    todo = ("Use one of the two.", "Or undo both: the offsets add up.")
    return [finding("EQ611", message, {"sampler_loss_product": twice}, todo)]
