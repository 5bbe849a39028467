"""Audit anyone's loss: ask it a few hundred times and say what it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from equipoise._core.words import one_of, say
from equipoise.artifacts.finding import SEVERITIES, Finding
from equipoise.artifacts.labels import KINDS, Kind, Labels
from equipoise.audit.conduct import (
    batch_findings,
    mask_findings,
    reduction_findings,
    side_effect_findings,
)
from equipoise.audit.gradients import gradient_findings
from equipoise.audit.meaning import meaning_findings
from equipoise.audit.probe import Probe
from equipoise.audit.scale import find_scale, scale_findings
from equipoise.audit.state import guest
from equipoise.errors import UsageError

_USUAL_WIDTH = 4


def audit_loss(
    loss: Callable[..., Any],
    *,
    labels: Labels | Sequence[str] | int | None = None,
    kind: Kind | None = None,
) -> list[Finding]:
    """Find out what a loss expects, what its outputs mean and where it breaks.

    Use before training with a loss from anywhere, or when a model flags everything or nothing.
    The loss is a black box: it is called on CPU with small batches, as if it took logits and as if
    it took probabilities.

    Args:
        loss: A function or Module of (outputs (N, C), targets): class indices (N,) for
            "multiclass", floats (N, L) for "multilabel".
        labels: Their names, or number, or the labels themselves; None takes the number from the
            loss's own tensors.
        kind: "multiclass" or "multilabel"; None asks ``loss.kind``, else tries.

    Returns:
        Findings EQ5xx, errors first: input scale, operating point, what per-label weights do,
        gradients at large outputs and in half precision, dependence on the batch, reduction,
        unknown targets, side effects.

    Raises:
        UsageError: it cannot be called with outputs and targets of these shapes.

    Note:
        Global random states are put back afterwards. Only the probed points are covered: an audit
        that finds nothing proves nothing.

    Example:
        >>> import torch
        >>> weighted = torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor([9.0, 1.0]))
        >>> found = audit_loss(weighted, labels=["rare", "even"])
        >>> [f.code for f in found]
        ['EQ502', 'EQ503', 'EQ512']
        >>> found[1].evidence["operating_point"]
        {'rare': 0.1, 'even': 0.5}
    """
    if not callable(loss):
        raise UsageError(say("loss", "be a function or Module", type(loss).__name__))
    names = _names(loss, labels)
    with guest():
        probe = Probe(loss, _kind(loss, kind, names), names)
        scale, on_logits, on_probabilities = find_scale(probe)
        probe = probe.on(scale)
        found = scale_findings(probe, on_logits, on_probabilities)
        if not (on_logits and on_probabilities):
            found += meaning_findings(probe)
            found += gradient_findings(probe)
        found += batch_findings(probe)
        found += reduction_findings(probe)
        found += mask_findings(probe)
        found += side_effect_findings(probe)
    return sorted(found, key=lambda f: (-SEVERITIES.index(f.severity), f.code))


def _kind(loss: Any, kind: Kind | None, names: tuple[str, ...]) -> Kind:
    known = kind or getattr(loss, "kind", None)
    if known is not None:
        return one_of("kind", str(known), KINDS)
    if len(names) == 1:
        return "multilabel"
    as_classes = Probe(loss, "multiclass", names)
    # One row more than columns, so that class indices cannot pass for a row of targets.
    for probe in (as_classes, as_classes.on("probabilities")):
        if probe.ask(*probe.draw(probe.width + 1)).value is not None:
            return "multiclass"
    return "multilabel"


def _names(loss: Any, labels: Labels | Sequence[str] | int | None) -> tuple[str, ...]:
    if isinstance(labels, Labels):
        return tuple(labels.names)
    if isinstance(labels, str):
        do = "Pass a list of names, or their number."
        raise UsageError(say("labels", "be names", repr(labels), do))
    if labels is None:
        labels = getattr(loss, "num_classes", None) or _width_of_tensors(loss)
    if isinstance(labels, int):
        if labels < 1:
            raise UsageError(say("labels", "be at least one", labels))
        return tuple(str(i) for i in range(labels))
    return tuple(str(name) for name in labels)


def _width_of_tensors(loss: Any) -> int:
    own = [*vars(loss).values()] if hasattr(loss, "__dict__") else []
    buffers = getattr(loss, "_buffers", {})
    sizes = [int(v.shape[0]) for v in [*own, *buffers.values()] if getattr(v, "ndim", 0) == 1]
    return max([n for n in sizes if n > 1], default=_USUAL_WIDTH)
