"""Audit anyone's sampler: draw some epochs and say what they hold and how it behaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from equipoise._core.words import say
from equipoise.artifacts.finding import SEVERITIES, Finding
from equipoise.artifacts.labels import Labels
from equipoise.audit.batches import BatchFacts, batch_facts
from equipoise.audit.behaviour import (
    epoch_finding,
    length_finding,
    random_finding,
    rank_finding,
    row_finding,
    stated_length,
)
from equipoise.audit.drawn import Seen, drawn_findings, idle_finding, weight_finding
from equipoise.audit.draws import Draws, take
from equipoise.audit.source import set_epoch, source_of
from equipoise.audit.state import guest
from equipoise.errors import EquipoiseError, UsageError
from equipoise.sampling.report import SamplingReport
from equipoise.sampling.weights import to_labels


@dataclass(frozen=True, slots=True)
class SamplerAudit:
    """What a sampler does: counts of one epoch, facts per batch, findings.

    Args:
        report: What one epoch does to labels and rows, counted.
        batches: Positives per batch; None for a sampler that yields single rows.
        findings: EQ6xx, errors first.
    """

    report: SamplingReport
    batches: BatchFacts | None
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
        the order of rows alone.

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
    found = found + drawn_findings(report, seen) + idle_finding(weights, seen)
    if weight is not None:
        found += weight_finding(report, weight, labels.kind == "multiclass")
    facts = None
    if first.sizes is not None and first.sizes.size:
        owner = np.repeat(np.arange(first.sizes.size), first.sizes)
        sizes = np.bincount(owner[inside], minlength=first.sizes.size)
        facts = batch_facts(first.rows[inside], sizes, labels)
    ordered = sorted(found, key=lambda f: (-SEVERITIES.index(f.severity), f.code))
    return SamplerAudit(report, facts, tuple(ordered))
