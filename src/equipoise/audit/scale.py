"""Does a loss expect logits or probabilities, and what happens on the other?"""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.artifacts.finding import Finding
from equipoise.audit.probe import Answer, Probe, Scale, finding
from equipoise.errors import UsageError

_ENOUGH = 0.9
# Smoothed targets pull back what is surer than they are: up to a third of outputs in -6 to 6.
_AGAINST = 0.36
_TWICE = "0.5 to 0.731"


def _wrong(probe: Probe, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return which way each output should move, and where it is on the wrong side."""
    if probe.kind == "multilabel":
        push = 1.0 - 2.0 * target
        return push, push * logits > 0
    hot = torch.nn.functional.one_hot(target, probe.width).bool()
    push = torch.where(hot, -1.0, 0.0)
    missed = logits.argmax(-1) != target
    return push, hot & missed[:, None]


def _trouble(probe: Probe) -> tuple[str, Answer]:
    """Return what is wrong with the loss on this scale, or ""."""
    logits, target = probe.draw(60)
    answer = probe.ask(logits, target)
    if answer.value is None or answer.gradient is None:
        return f"it fails ({answer.error})", answer
    bad = ~answer.gradient.isfinite()
    if bad.any() or not answer.value.isfinite().all():
        share = float(bad.float().mean())
        what = f"{share:.0%} of the outputs have" if share else "the value is"
        return f"{what} NaN or infinite" + (" gradients" if share else ""), answer
    push, wrong = _wrong(probe, logits, target)
    helpful = float(((push * answer.gradient) > 0)[wrong].float().mean())
    against = float(((push * answer.gradient) < 0)[push != 0].float().mean())
    if against > _AGAINST:
        return f"{against:.0%} of its gradients push the wrong way", answer
    if helpful < _ENOUGH:
        return f"{1 - helpful:.0%} of the wrong answers get no gradient: it is flat", answer
    return "", answer


def find_scale(probe: Probe) -> tuple[Scale, str, str]:
    """Return the scale that the loss is for, and its trouble on logits and on probabilities.

    Raises:
        UsageError: it cannot be called on either.
    """
    on_logits, first = _trouble(probe.on("logits"))
    on_probabilities, second = _trouble(probe.on("probabilities"))
    if first.value is None and second.value is None:
        form = "(N,) class indices" if probe.kind == "multiclass" else "(N, L) floats"
        raise UsageError(
            f"`loss` must take outputs (N, {probe.width}) and targets {form} and return a tensor "
            f"with a gradient, got {first.error}. Give `labels` the number it is made for, and "
            "check `kind`."
        )
    scale: Scale = "probabilities" if on_logits and not on_probabilities else "logits"
    return scale, on_logits, on_probabilities


def scale_findings(probe: Probe, on_logits: str, on_probabilities: str) -> list[Finding]:
    """Return what to know about the scale of the inputs."""
    squash = "sigmoid" if probe.kind == "multilabel" else "softmax"
    evidence = {"expects": probe.scale, "logits": on_logits or "fine",
                "probabilities": on_probabilities or "fine"}  # fmt: skip
    if on_logits and on_probabilities:
        message = f"On logits, {on_logits}; on probabilities, {on_probabilities}."
        advice = "Compare its gradient with the formula; train with a loss of this package."
        return [finding("EQ506", message, evidence, (advice,))]
    if on_logits:
        message = (
            f"It expects probabilities: on those it works; on logits, {on_logits}. "
            f"Outputs have to pass exactly one {squash} before it."
        )
        todo = (
            (
                f"Apply {squash} once: if the model's last layer has it, take it out of training "
                "and evaluation code, or the other way round."
            ),
            "Better: a loss on logits, which keeps its gradient where sigmoid saturates.",
        )
        return [finding("EQ501", message, evidence, todo)]
    return [_squashed_twice(probe, squash, on_probabilities, evidence)]


def _squashed_twice(probe: Probe, squash: str, trouble: str, evidence: dict[str, str]) -> Finding:
    logits, target = probe.draw(60)
    whole = probe.ask(logits, target).gradient
    flat = probe.on("probabilities").ask(logits, target).gradient
    lost = 1.0
    if whole is not None and flat is not None:
        lost = float(flat.abs().mean() / whole.abs().mean().clamp_min(1e-30))
    where = f"outputs would lie in {_TWICE}, all positive at a cut of 0.5"
    if probe.kind == "multiclass":
        where = "no class could get far ahead of the others"
    silent = f"there {trouble}" if trouble else f"no error is raised: {where}"
    message = (
        f"It expects logits. After a {squash} of the model's own, {silent}; gradients are "
        f"{lost:.0%} of those on logits."
    )
    todo = f"Make sure that neither the model nor the training code applies {squash} before it."
    return finding("EQ502", message, {**evidence, "gradient_left": lost}, (todo,))
