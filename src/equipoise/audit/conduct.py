"""Does a loss depend on the batch, reduce as it says, and leave everything else alone?"""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from torch import Tensor, nn

from equipoise.artifacts.finding import Finding
from equipoise.audit.probe import Probe, finding
from equipoise.audit.state import changed_state, global_state

_ROWS = 6


def _close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-3, atol=1e-6)


def batch_findings(probe: Probe) -> list[Finding]:
    """Return whether the gradient of a row depends on the rows or labels beside it."""
    logits, target = probe.draw(_ROWS)
    whole = probe.ask(logits, target).gradient
    alone = probe.ask(logits[:1], target[:1]).gradient
    if whole is None or alone is None:
        return []
    depends = []
    if not any(_close(whole[:1] * factor, alone) for factor in (1.0, float(_ROWS))):
        depends.append("batch size")
    others, other_targets = probe.draw(_ROWS, seed=1)
    others[0] = logits[0]
    other_targets[1:] = 1  # all positive, or all of one class
    other_targets[0] = target[0]
    beside = probe.ask(others, other_targets).gradient
    if beside is not None and not _close(whole[0], beside[0]):
        depends.append("the other rows")
    order = torch.arange(_ROWS - 1, -1, -1)
    turned = probe.ask(logits[order], target[order]).gradient
    if turned is not None and not _close(whole[order], turned):
        depends.append("the order of rows")
    if probe.kind == "multilabel" and probe.width > 1:
        beside = _other_labels(probe, logits, target)
        if beside is not None and not _close(whole[:, 0], beside[:, 0]):
            depends.append("the other labels")
    single = _single_rows(probe)
    if not depends:
        return single
    message = f"The gradient of a row depends on {', '.join(depends)}."
    todo = (
        (
            "With a mean over weights or over positives, gradient accumulation and several devices "
            "change the result: divide by the number of rows, or by a total over the whole step."
        ),
        "Where labels depend on one another, outputs rank but carry no probability: calibrate.",
    )
    return [finding("EQ507", message, {"depends_on": depends}, todo), *single]


def _single_rows(probe: Probe) -> list[Finding]:
    """Return whether batches of one row have no gradient, which batches of several have."""
    logits, target = probe.draw(_ROWS)
    whole = probe.ask(logits, target).gradient
    alone = [probe.ask(logits[i : i + 1], target[i : i + 1]).gradient for i in range(_ROWS)]
    learns = whole is None or not bool((whole != 0).any())
    if learns or any(g is None or bool((g != 0).any()) for g in alone):
        return []
    message = (
        "A batch of one row has no gradient: the loss compares rows with each other, so training "
        "with batch_size=1 ends at a loss of 0 and learns nothing."
    )
    todo = "Take batches that hold positives and negatives of every label."
    return [finding("EQ513", message, {"rows": 1}, (todo,))]


def _other_labels(probe: Probe, logits: Tensor, target: Tensor) -> Tensor | None:
    changed, other = -logits, 1.0 - target
    changed[:, 0], other[:, 0] = logits[:, 0], target[:, 0]
    return probe.ask(changed, other).gradient


def mask_findings(probe: Probe) -> list[Finding]:
    """Return which marks of unknown targets a loss takes for targets, or cannot stand."""
    logits, target = probe.draw(_ROWS)
    alone = probe.ask(logits[1:], target[1:]).gradient
    marks = (torch.nan, -1.0) if probe.kind == "multilabel" else (-100, -1)
    wrong = {}
    for mark in marks:
        marked = target.clone()
        marked[0] = mark
        answer = probe.ask(logits, marked)
        if answer.gradient is None or alone is None:
            continue  # it refuses them, which is an answer as well
        name = "NaN" if mark != mark else f"{mark:g}"
        if not answer.finite:
            wrong[name] = "makes the loss or its gradient not finite"
        elif bool((answer.gradient[0] != 0).any()):
            wrong[name] = "is taken for a target"
        elif not _close(answer.gradient[1:], alone):
            wrong[name] = "has no loss, but the mean counts it"
    if not wrong:
        return []
    what = "an unknown entry" if probe.kind == "multilabel" else "a row of unknown class"
    listed = "; ".join(f"{mark} {does}" for mark, does in wrong.items())
    todo = "Where any are unknown, take a loss of equipoise.losses, or leave those rows out."
    return [finding("EQ512", f"Marked as {what}, {listed}.", {"marks": wrong}, (todo,))]


def reduction_findings(probe: Probe) -> list[Finding]:
    """Return where "mean" or "sum" is not the mean or sum of "none"."""
    variants = {name: _reduced(probe, name) for name in ("none", "mean", "sum")}
    if variants["none"] is None:
        return []
    logits, target = probe.draw(_ROWS)
    answers = {name: p.ask(logits, target).value for name, p in variants.items() if p is not None}
    each = answers.pop("none")
    if each is None:
        return []
    wrong = []
    if each.numel() == 1:
        wrong.append('"none" returns one number')
    else:
        for name, expected in (("mean", each.mean()), ("sum", each.sum())):
            value = answers.get(name)
            if value is not None and not _close(value.reshape(()), expected):
                ratio = float(each.sum() / value.sum())
                wrong.append(
                    f'"{name}" is the sum over {each.numel()} values divided by {ratio:.4g}'
                )
    if not wrong:
        return []
    todo = "State the divisor; a learning rate tuned with one does not carry over to another."
    return [finding("EQ508", f"{'; '.join(wrong)}.", {"reduction": wrong}, (todo,))]


def _reduced(probe: Probe, name: str) -> Probe | None:
    """Return a probe of the same loss with another reduction, if it has the setting."""
    loss: Any = probe.loss
    if isinstance(loss, nn.Module):
        if not hasattr(loss, "reduction"):
            return None
        twin: Any = copy.deepcopy(loss)
        twin.reduction = name
    else:
        try:
            known = inspect.signature(loss).parameters
        except (TypeError, ValueError):
            return None
        if "reduction" not in known:
            return None

        def twin(outputs: Tensor, target: Tensor) -> Tensor:
            value: Tensor = loss(outputs, target, reduction=name)
            return value

    return Probe(twin, probe.kind, probe.names, probe.scale)


def side_effect_findings(probe: Probe) -> list[Finding]:
    """Return what a call changed beside returning a value."""
    logits, target = probe.draw(_ROWS)
    outputs, given = probe.squash(logits).detach().clone(), target.clone()
    kept = copy.deepcopy(probe.loss.state_dict()) if isinstance(probe.loss, nn.Module) else {}
    before = global_state()
    try:
        first = probe.loss(outputs, given)
        second = probe.loss(outputs, given)
    except Exception:
        return []  # what it fails on is said elsewhere
    own = {
        "its outputs argument": torch.equal(outputs, probe.squash(logits)),
        "its target argument": torch.equal(given, target),
    }
    changed = [name for name, same in own.items() if not same]
    changed += changed_state(before, global_state())
    changed += [
        name
        for name, same in {
            "its own buffers": _same_state(probe.loss, kept),
            "its value from call to call": torch.equal(first, second),
        }.items()
        if not same
    ]
    if not changed:
        return []
    todo = "Write to copies; draw from a torch.Generator of its own."
    return [
        finding("EQ509", f"A call changes {', '.join(changed)}.", {"changed": changed}, (todo,))
    ]


def _same_state(loss: Any, kept: dict[str, Any]) -> bool:
    if not isinstance(loss, nn.Module):
        return True
    now = loss.state_dict()
    return now.keys() == kept.keys() and all(torch.equal(now[k], kept[k]) for k in kept)
