"""Audit anyone's sampler: how it behaves, and what its draws do to labels and rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.utils.data import DistributedSampler

from equipoise._core.checks import require_finite, require_shape, to_array, to_floats
from equipoise._core.messages import listed, say
from equipoise.artifacts.finding import Finding, in_order
from equipoise.artifacts.labels import Labels
from equipoise.audit.draws import (
    BatchSummary,
    Draws,
    Source,
    as_rank,
    set_epoch,
    source_of,
    summarise_batches,
    take,
)
from equipoise.audit.loss import finding
from equipoise.audit.state import changed_state, global_state, guest
from equipoise.errors import EquipoiseError, UsageError
from equipoise.sampling.report import SamplingReport
from equipoise.sampling.weights import to_labels

PREFIX = 100_000


def stated_length(sampler: Any) -> int | None:
    """Return ``len(sampler)``, or None where it has none."""
    try:
        return len(sampler)
    except (TypeError, NotImplementedError, AttributeError):
        return None


def length_finding(sampler: Any, epochs: list[Draws]) -> list[Finding]:
    """Return where ``len`` is not what is yielded."""
    stated = stated_length(sampler)
    what = "rows" if epochs[0].sizes is None else "batches"
    whole = [e.items for e in epochs if e.ended]
    evidence = {"length": stated, "yielded": [e.items for e in epochs]}
    if len(whole) > 1 and whole[0] and not all(whole[1:]):
        message = f"The first epoch yields {whole[0]:,} {what}, a later one yields nothing."
        todo = "Start anew in `__iter__`; do not hand over an iterator that is used up."
    elif stated is None:
        message = f"It has no length; one epoch yielded {epochs[0].items:,} {what}"
        message += "." if epochs[0].ended else " and was not at its end."
        todo = "Add `__len__`: progress bars, schedulers and equal work on all ranks need it."
    elif any(n != stated for n in whole) or any(not e.ended and e.items > stated for e in epochs):
        seen = ", ".join(f"{e.items:,}" + ("" if e.ended else " and more") for e in epochs)
        message = f"Its length is {stated:,}, but epochs yield {seen} {what}."
        todo = "Return from `__len__` what `__iter__` yields on this rank, in each epoch."
    else:
        return []
    return [finding("EQ601", message, evidence, (todo,))]


def row_finding(draws: Draws, n: int) -> list[Finding]:
    """Return what was yielded that is no row of the data."""
    outside = draws.rows[~draws.inside(n)]
    if not outside.size and not draws.odd_count:
        return []
    said = []
    if outside.size:
        said.append(f"{outside.size:,} indices outside 0 to {n - 1:,} (first: {outside[0]})")
    if draws.odd_count:
        said.append(f"{draws.odd_count:,} things that are no index ({', '.join(draws.odd)})")
    low = bool(outside.size and outside.min() < 0)
    message = f"It yields {' and '.join(said)}."
    message += " Negative indices silently count from the end." if low else ""
    evidence = {"outside": int(outside.size), "no_index": draws.odd_count, "rows": n}
    todo = "Audit it with the labels of the data set it is for: one label row per item, in order."
    return [finding("EQ602", message, evidence, (todo, "Yield plain integers from 0 to N - 1."))]


def epoch_finding(epochs: list[Draws], has_epochs: bool) -> list[Finding]:
    """Return whether every epoch draws the same rows in the same order."""
    if len(epochs) < 2 or epochs[0].rows.size < 2 or not epochs[1].rows.size:
        return []
    if not all(e.starts_like(epochs[0]) for e in epochs[1:]):
        return []
    why = "although `set_epoch` is called" if has_epochs else "and there is no `set_epoch`"
    message = f"Epochs 0 to {len(epochs) - 1} draw the same rows in the same order, {why}."
    todo = "Derive the draw from seed + epoch, and let `set_epoch(epoch)` change it."
    return [finding("EQ603", message, {"set_epoch": has_epochs}, (todo,))]


def random_finding(source: Source, first: Draws) -> list[Finding]:
    """Return whether draws repeat, and whether they come from the global generators.

    Args:
        source: The sampler.
        first: Epoch 0 of a fresh one, the global generators seeded with 0.
    """
    again = source.fresh(0)
    if again is None:
        return []
    before = global_state()
    set_epoch(again, 0)
    same = take(again, PREFIX)
    moved = changed_state(before, global_state())
    other = source.fresh(1)
    set_epoch(other, 0)
    other = take(other, PREFIX)
    said = []
    if not first.starts_like(same):
        said.append(
            "two samplers made alike, with all global generators seeded alike, draw different rows"
        )
    elif not first.starts_like(other):
        said.append("its draws depend on the global generators, not on a seed of its own")
    if moved:
        said.append(f"drawing moves {' and '.join(moved)}, so everything after it changes too")
    if not said:
        return []
    message = f"{'; '.join(said)}."
    evidence = {
        "repeats": first.starts_like(same),
        "reads_global": first.starts_like(same) and not first.starts_like(other),
        "moves": moved,
    }
    todo = "Give it a seed and a generator of its own: torch.Generator().manual_seed(seed + epoch)."
    return [finding("EQ604", message[0].upper() + message[1:], evidence, (todo,))]


def rank_finding(sampler: Any, source: Source) -> list[Finding]:
    """Return what happens on two ranks, with ``torch.distributed`` answering as there."""
    try:
        shares = [share for rank in (0, 1) if (share := _share(source, rank)) is not None]
    except Exception:
        return []  # it asks the other processes, which are not there
    if len(shares) < 2:
        return []
    (first, long), (second, short) = shares
    inner = getattr(sampler, "sampler", None)
    shardable = isinstance(sampler, DistributedSampler) or isinstance(inner, DistributedSampler)
    evidence: dict[str, Any] = {"distributed_sampler": shardable, "lengths": [long, short]}
    if long != short or (first.ended and second.ended and first.items != second.items):
        message = (
            f"On two ranks it yields {first.items:,} and {second.items:,} items: the longer rank "
            "waits for the other one without end."
        )
        return [finding("EQ605", message, evidence, ("Yield the same number on every rank.",))]
    if first.starts_like(second):
        return [] if shardable and source.make is None else _unsharded(sampler, evidence)
    again = _share(source, 0)
    if again is not None and not first.starts_like(again[0]):
        return [] if shardable else _unsharded(sampler, evidence, agreed=False)
    if shardable or first.sizes is not None:
        return []
    message = (
        "It gives each rank rows of its own but is no `DistributedSampler`, so trainers do not "
        "see that: Lightning and accelerate shard it once more, and half of the rows get lost."
    )
    todo = "Derive it from torch.utils.data.DistributedSampler."
    return [finding("EQ605", message, evidence, (todo,))]


def _share(source: Source, rank: int) -> tuple[Draws, int | None] | None:
    """Return what one of two ranks draws, and the length it states."""
    with as_rank(rank):
        one = source.fresh(0)
        if one is None:
            return None
        set_epoch(one, 0)
        return take(one, PREFIX), stated_length(one)


def _unsharded(sampler: Any, evidence: dict[str, Any], *, agreed: bool = True) -> list[Finding]:
    what = "unaware of ranks" if evidence["distributed_sampler"] else "no `DistributedSampler`"
    draws = "both draw the same rows" if agreed else "each draws for itself, and never alike"
    message = (
        f"{type(sampler).__name__} is {what}: on two ranks {draws}, so a bare loop does not share "
        "the work. Lightning wraps it, which is right only while all ranks are seeded alike; Ray "
        "Train replaces it without a word, and the balance is gone."
    )
    todo = (
        "Draw with `equipoise.sampling.WeightedSampler(weights)`, a `DistributedSampler`.",
        "In one process there is nothing to do.",
    )
    return [finding("EQ605", message, evidence, todo)]


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


def per_class_finding(seen: Seen, weights: Any) -> list[Finding]:
    """Return EQ613 where the first rows are drawn as if each were a class."""
    drawn, classes = np.flatnonzero(seen.counts), seen.labels.num_classes
    least = max(2 * classes, _LEAST_GROUP)
    listed_ones = isinstance(weights, (list, tuple, np.ndarray, Tensor))
    told = listed_ones and len(weights) == classes
    if drawn[-1] >= classes or seen.counts.size < least:
        return []
    if not told and seen.counts.sum() < least:
        return []
    message = (
        f"Only rows 0 to {drawn[-1]} of {seen.counts.size:,} are ever drawn, and there are "
        f"{classes} {'classes' if seen.labels.kind == 'multiclass' else 'labels'}: weights per "
        "class were given where one per row is asked for."
    )
    todo = (
        "Give each row the weight of its class: `weights[y]`.",
        "Or draw with `equipoise.sampling`: ClassBalancedSampler, or row_weights for labels.",
    )
    return [finding("EQ613", message, {"rows_drawn": drawn.tolist()}, todo)]


def drawn_findings(report: SamplingReport, seen: Seen, weights: Any = None) -> list[Finding]:
    """Return findings EQ606 to EQ610, or EQ613, of which they would be symptoms."""
    if cause := per_class_finding(seen, weights):
        return cause
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
    given = to_floats("weight", to_array("weight", weight, ndim=1))
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


@dataclass(frozen=True, slots=True)
class SamplerAudit:
    """What a sampler does: counts of one epoch, facts per batch, findings.

    Args:
        report: What one epoch does to labels and rows, counted.
        batches: Positives per batch; None for a sampler that yields single rows.
        findings: EQ6xx, errors first.
    """

    report: SamplingReport
    batches: BatchSummary | None
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "report": self.report.to_dict(),
            "batches": None if self.batches is None else self.batches.to_dict(),
            "findings": [f.to_dict() for f in self.findings],
        }

    def text(self) -> str:
        """Return the counts as plain text, without the findings."""
        parts = [self.report.text()]
        if self.batches is not None:
            parts.append(self.batches.text())
        return "\n\n".join(parts)

    def __str__(self) -> str:
        return "\n\n".join([self.text(), *map(str, self.findings)])


def audit_sampler(
    sampler: Any,
    labels: Labels | ArrayLike,
    *,
    weight: ArrayLike | None = None,
    epochs: int = 3,
    max_draws: int = 20_000_000,
) -> SamplerAudit:
    """Find out what a sampler or batch sampler does to labels, rows, epochs and ranks.

    Use before training with a sampler from anywhere. The sampler is a black box: it is copied (or
    built anew) and drawn from, in this process; no data are loaded.

    Args:
        sampler: An instance, which is copied and left as it is where it can be copied; or a class
            or function that builds one. Those get the labels for a parameter named ``labels``,
            ``targets`` or ``y``, and it can then be tested whether equal settings draw alike.
        labels: The labels of all rows: `Labels`, class indices (N,), or multi-hot (N, L).
        weight: Weights of the loss it is trained with, (C,): ``pos_weight`` of labels, weight of
            classes. They are set against what the sampler does already.
        epochs: Epochs to draw, at least 1.
        max_draws: Rows to draw in all; an epoch that is longer is cut off there.

    Returns:
        A :class:`SamplerAudit`. Findings: EQ601 length, EQ602 rows that do not exist, EQ603 equal
        epochs, EQ604 global randomness, EQ605 ranks, EQ606 few rows carry the epoch, EQ607 rows
        not seen, EQ608 frequent labels that rise, EQ609 the ``pos_weight`` it amounts to, EQ610
        labels never drawn, EQ611 the same done twice by sampler and loss, EQ612 weights that decide
        the order of rows alone, EQ613 weights per class instead of per row.

    Raises:
        UsageError: it cannot be built or iterated, or yields no row of these labels.

    Note:
        Two ranks are simulated: ``torch.distributed`` answers accordingly meanwhile, so do not
        audit while other threads use it. Global random states are put back.

    Example:
        >>> from torch.utils.data import WeightedRandomSampler
        >>> y = [0] * 950 + [1] * 50
        >>> weights = [1 / 950] * 950 + [1 / 50] * 50
        >>> audit = audit_sampler(WeightedRandomSampler(weights, 1000), y)
        >>> [f.code for f in audit.findings]
        ['EQ604', 'EQ605', 'EQ606', 'EQ609']
        >>> round(audit.report.rates_before[1], 2), 0.4 < audit.report.rates_after[1] < 0.6
        (0.05, True)
    """
    given = to_labels(labels)
    if len(given) == 0:
        raise UsageError(say("labels", "have at least one row", "none"))
    for name, value in (("epochs", epochs), ("max_draws", max_draws)):
        if value < 1:
            raise UsageError(say(name, "be at least 1", value))
    with guest():
        source = source_of(sampler, given)
        with source.alone():
            one = source.fresh(0)
            one = sampler if one is None else one
            drawn, has_epochs = _epochs(one, epochs, max_draws)
            found = length_finding(one, drawn) + row_finding(drawn[0], len(given))
            found += epoch_finding(drawn, has_epochs)
            found += random_finding(source, drawn[0]) + rank_finding(one, source)
    return _judge(drawn, given, weight, found, getattr(one, "weights", None))


def _epochs(sampler: Any, epochs: int, max_draws: int) -> tuple[list[Draws], bool]:
    """Draw epochs until the budget is used; the first one always, as far as it goes."""
    stated = stated_length(sampler)
    found: list[Draws] = []
    has_epochs, left = False, max_draws
    for epoch in range(epochs):
        has_epochs = set_epoch(sampler, epoch)
        # A sampler without end is followed to twice its length.
        most = None if stated is None else 2 * stated + 1_000
        try:
            found.append(take(sampler, left, most))
        except EquipoiseError:
            raise
        except Exception as error:
            raise _unusable(error) from error
        left -= max(found[-1].rows.size, found[-1].items)
        if left < found[0].rows.size:
            break
    return found, has_epochs


def _unusable(error: Exception) -> UsageError:
    do = "It is iterated as a DataLoader does."
    if "2^24" in str(error):
        do = (
            "torch.multinomial takes 16,777,216 rows at most: draw with "
            "`equipoise.sampling.WeightedSampler`, which has no such limit."
        )
    got = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    return UsageError(say("sampler", "yield rows", got, do))


def _judge(
    drawn: list[Draws],
    labels: Labels,
    weight: ArrayLike | None,
    found: list[Finding],
    weights: Any,
) -> SamplerAudit:
    first = drawn[0]
    inside = first.inside(len(labels))
    if not inside.any():
        odd = f" ({', '.join(first.odd)})" if first.odd else ""
        got = f"none in {first.items:,} items{odd}"
        do = "Pass the labels of the data set that it draws from."
        raise UsageError(say("sampler", f"yield rows 0 to {len(labels) - 1}", got, do))
    whole = [e for e in drawn if e.ended] or [first]
    rows = np.concatenate([e.rows[e.inside(len(labels))] for e in whole])
    seen = Seen(np.bincount(rows, minlength=len(labels)), len(whole), labels)
    report = SamplingReport.from_draws(first.rows[inside], labels)
    found = found + drawn_findings(report, seen, weights) + idle_finding(weights, seen)
    if weight is not None:
        found += weight_finding(report, weight, labels.kind == "multiclass")
    summary = None
    if first.sizes is not None and first.sizes.size:
        owner = np.repeat(np.arange(first.sizes.size), first.sizes)
        sizes = np.bincount(owner[inside], minlength=first.sizes.size)
        summary = summarise_batches(first.rows[inside], sizes, labels)
    return SamplerAudit(report, summary, tuple(in_order(found)))
