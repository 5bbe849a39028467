"""Audit anyone's loss: what scale it expects, what its gradients, batches, masks and weights do."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from equipoise._core.codes import CODES
from equipoise._core.messages import listed, one_of, say
from equipoise.artifacts.finding import Finding, in_order
from equipoise.artifacts.labels import KINDS, Kind, Labels
from equipoise.audit.state import changed_state, global_state, guest
from equipoise.errors import NotRecoverableError, UsageError
from equipoise.losses.posterior import stationary_distribution

Scale = Literal["logits", "probabilities"]
LossFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a loss said: its value, the gradient with respect to the logits, or an error."""

    value: Tensor | None = None
    gradient: Tensor | None = None
    error: str = ""

    @property
    def finite(self) -> bool:
        """Whether there are a value and a gradient, both finite."""
        if self.value is None or self.gradient is None:
            return False
        return bool(self.value.isfinite().all() and self.gradient.isfinite().all())


@dataclass(frozen=True, slots=True)
class Probe:
    """A loss, what its inputs are, and how to ask it.

    Args:
        loss: A function of (outputs, targets).
        kind: "multiclass" or "multilabel".
        names: One per class or label.
        scale: What it is handed: logits, or their sigmoid (softmax for classes).
    """

    loss: LossFunction
    kind: Kind
    names: tuple[str, ...]
    scale: Scale = "logits"

    @property
    def width(self) -> int:
        """The number of classes or labels."""
        return len(self.names)

    def on(self, scale: Scale) -> Probe:
        """Return the probe that hands over ``scale``."""
        return replace(self, scale=scale)

    def squash(self, logits: Tensor) -> Tensor:
        """Return what the loss is handed for these logits."""
        if self.scale == "logits":
            return logits
        return logits.sigmoid() if self.kind == "multilabel" else logits.softmax(-1)

    def ask(self, logits: Tensor, target: Tensor) -> Answer:
        """Return value and gradient with respect to the logits, through the squashing."""
        leaf = logits.detach().clone().requires_grad_()
        try:
            with torch.enable_grad():
                value = self.loss(self.squash(leaf), target.clone())
                if not isinstance(value, Tensor):
                    return Answer(error=f"it returns {type(value).__name__}, not a tensor")
                if not value.requires_grad:
                    return Answer(error="its value carries no gradient")
                (gradient,) = torch.autograd.grad(value.sum(), leaf)
        except Exception as error:
            return Answer(error=f"{type(error).__name__}: {' '.join(str(error).split())[:160]}")
        return Answer(value.detach(), gradient)

    def draw(self, rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
        """Return logits in -6 to 6 and targets that do not depend on them."""
        g = torch.Generator().manual_seed(seed)
        logits = 12.0 * torch.rand(rows, self.width, generator=g) - 6.0
        if self.kind == "multiclass":
            return logits, torch.arange(rows) % self.width
        target = (torch.arange(rows)[:, None] + torch.arange(self.width)) % 2
        return logits, target.float()


def finding(
    code: str, message: str, evidence: dict[str, Any], suggests: Sequence[str] = ()
) -> Finding:
    """Make a finding with the severity and title of its code."""
    return Finding(code, *CODES[code], message, evidence, tuple(suggests))


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
    if _pulled(probe, answer.gradient, target, wrong):
        return "", answer  # neither flat nor backwards: some classes are helped in full
    helpful = float(((push * answer.gradient) > 0)[wrong].float().mean())
    against = float(((push * answer.gradient) < 0)[push != 0].float().mean())
    if against > _AGAINST:
        return f"{against:.0%} of its gradients push the wrong way", answer
    if helpful < _ENOUGH:
        return f"{1 - helpful:.0%} of the wrong answers get no gradient: it is flat", answer
    return "", answer


def _pulled(
    probe: Probe, gradient: Tensor, target: Tensor, wrong: Tensor
) -> dict[str, tuple[str, float]]:
    """Return the classes whose wrong answers are pushed away from them: whereto, and how often.

    Weights spread by label smoothing do so: a row pulls to each class by that class's weight.
    """
    if probe.kind == "multilabel":
        return {}
    found, helped = {}, False
    for k, name in enumerate(probe.names):
        rows = wrong[:, k] & (target == k)
        own = gradient[rows]
        if not len(own):
            continue
        away = own[:, k] > 0
        helped |= float((own[:, k] < 0).float().mean()) >= _ENOUGH
        if float(away.float().mean()) > 1 - _ENOUGH:
            to = int(own[away].mean(0).argmin())
            found[name] = probe.names[to], float(away.float().mean())
    return found if helped else {}


def pull_findings(probe: Probe) -> list[Finding]:
    """Return where rows of one class pull to another."""
    logits, target = probe.draw(60)
    gradient = probe.ask(logits, target).gradient
    if gradient is None or not gradient.isfinite().all():
        return []
    pulled = _pulled(probe, gradient, target, _wrong(probe, logits, target)[1])
    if not pulled:
        return []
    said = [
        f"of '{a}' to '{b}' ({share:.0%} of the wrong answers)" for a, (b, share) in pulled.items()
    ]
    message = (
        f"Rows pull away from their own class: {listed(said)}. Label smoothing does so where the "
        "weights of classes differ by more than it leaves to the row's own class: the share that "
        "it gives to a heavy class outweighs the row."
    )
    todo = (
        (
            "Smooth less, or weigh less: smoothing / C times the largest weight must stay below "
            "(1 - smoothing) times the smallest."
        ),
        "Or smooth by the weights: equipoise.losses.LabelAwareSmoothingLoss.",
    )
    return [finding("EQ514", message, {"pulled": pulled}, todo)]


COSINES = 8.0
"""Outputs multiplied by more are meant to be cosines; a focal pull falls by gamma + 1."""
_SPAN = 2.0  # by which one cosine can lead another
_NATS = 50.0  # beyond the odds of any prior: the rarest of a million classes asks for 14


@dataclass(frozen=True, slots=True)
class Turn:
    """Where a loss for classes stops to pull: half of its pull is left at the margin.

    Cross entropy of s (z - m) pulls with s / (1 + exp(s (d - m))) at a lead of d over one other
    class, whatever its weights: half at d = m, and from 9 to 1 tenths over a width of 4.394 / s.

    Args:
        scale: s, what outputs are multiplied by, of the class where it is largest.
        margins: (C,) the lead m that each class asks for; empty where that is not known.
        odds: (C,) the same in log-odds: times what its own output is multiplied by.
    """

    scale: float
    margins: tuple[float, ...] = ()
    odds: tuple[float, ...] = ()


def find_turn(probe: Probe) -> Turn | None:
    """Return scale and margins of a loss for classes; None where it has none that could be told."""
    if probe.kind != "multiclass" or probe.width < 2:
        return None
    near = _scale_nearby(probe)
    if near is None:
        return None
    scales, margins, odds = [near], [], []
    for k in range(probe.width):
        pull = _pull_of(probe, k)
        full, none = pull(-50.0), pull(1e8)
        if full is None or none is None or not full > max(10 * none, 0.0):
            return Turn(near)  # one of cosines that it clips, or that always pulls
        early, half, late = (_crossing(pull, share * full) for share in (0.9, 0.5, 0.1))
        # Leads that float32 no longer tells apart have no width.
        told = late - early > 1e-6 * max(abs(half), 1.0)
        own = float(np.log(81.0)) / (late - early) if told else max(near, 1.0)
        scales.append(own if told else near)
        margins.append(half)
        odds.append(own * half)
    return Turn(max(scales), tuple(margins), tuple(odds))


def _scale_nearby(probe: Probe) -> float | None:
    """Return how steeply the pull falls, at most, over leads from -2 to 2; None without an answer.

    Weights cancel out of the ratio of two leads, and a margin out of the steepest of them.
    """
    leads = torch.linspace(-2.0, 2.0, 401)
    logits = torch.full((leads.numel(), probe.width), -30.0)
    logits[:, 0], logits[:, 1] = leads, 0.0
    gradient = probe.ask(logits, torch.zeros(leads.numel(), dtype=torch.long)).gradient
    if gradient is None or not gradient.isfinite().all():
        return None
    pulls = -gradient[:, 0].double().numpy()
    # What is nearly let go falls without limit where smoothed targets turn it round.
    held = pulls > 0.05 * pulls.max(initial=0.0)
    falls = np.diff(np.log(np.where(held, pulls, np.nan))) / float(leads[1] - leads[0])
    return float(max(np.nanmax(-falls, initial=0.0), 0.0))


def _pull_of(probe: Probe, k: int) -> Callable[[float], float | None]:
    """Return how strongly a row of class k is pulled at a lead over one other class."""
    other = 0 if k else 1

    def pull(lead: float) -> float | None:
        logits = torch.full((1, probe.width), -1e3 - abs(lead))
        logits[0, k], logits[0, other] = lead, 0.0
        gradient = probe.ask(logits, torch.tensor([k])).gradient
        if gradient is None or not gradient.isfinite().all():
            return None
        return -float(gradient[0, k])

    return pull


def _crossing(pull: Callable[[float], float | None], level: float) -> float:
    """Return the lead at which a falling pull crosses a level, by bisection."""
    low, high = -50.0, 1e8
    for _ in range(60):
        # Halves of the distance at first, of its logarithm where that is long.
        middle = (low + high) / 2 if high < 1e2 else max(low, 1.0) * (high / max(low, 1.0)) ** 0.5
        value = pull(middle)
        if value is not None and value > level:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def margin_findings(turn: Turn) -> list[Finding]:
    """Return that outputs are meant to be cosines, and margins that none can reach."""
    evidence = {"scale": turn.scale, "margins": list(turn.margins)}
    most, found = max(turn.margins, default=0.0), []
    cosines = turn.scale > COSINES
    if max(turn.odds, default=0.0) > _NATS and (not cosines or most > _SPAN):
        message = (
            f"A class must lead by up to {most:,.4g} before a row of it counts as learned"
            + (", which two cosines never do. " if cosines else ": no model gets there. ")
            + "Its rows pull with full force for ever. Margins of LDAM are 0.5 at most, "
            "C / count^(1/4); these look like counts."
        )
        todo = "Make margins of the counts: 0.5 * (smallest count / count) ** 0.25."
        found.append(finding("EQ516", message, evidence, (todo,)))
    if cosines:
        message = (
            f"It multiplies outputs by about {turn.scale:.0f}, so it is made for cosines: on raw "
            "outputs, which have no bound, it saturates or leaves all numbers within some steps."
        )
        todo = "End the model in a normalised layer: equipoise.models.CosineHead(.., scale=1)."
        found.append(finding("EQ515", message, evidence, (todo,)))
    return found


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
        found = finding("EQ506", message, evidence, (advice,))
        # A loss that unlearns, as with its sign turned, is no matter of degree.
        backwards = "push" in on_logits and "push" in on_probabilities
        return [replace(found, severity="error") if backwards else found]
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


SIZES = (15.0, 50.0, 100.0)
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_GONE = 1e-3


def _sure(probe: Probe, size: float, *, right: bool, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return rows that are very sure, all rightly or all wrongly."""
    if probe.kind == "multiclass":
        target = torch.arange(probe.width)
        seen = target if right else (target + 1) % probe.width
        hot = torch.nn.functional.one_hot(seen, probe.width)
        return (size * (2.0 * hot - 1.0)).to(dtype), target
    target = (torch.arange(4) % 2)[:, None].repeat(1, probe.width).float()
    logits = size * (2.0 * target - 1.0) * (1.0 if right else -1.0)
    return logits.to(dtype), target.to(dtype)


def gradient_findings(probe: Probe) -> list[Finding]:
    """Return where the gradient breaks, and where it vanishes though the answer is wrong."""
    broken: list[str] = []
    faint: list[str] = []
    usual = _pull(probe, 2.0, torch.float32)
    for name, dtype in _DTYPES.items():
        for size in SIZES:
            where = f"+-{size:g} ({name})"
            for right in (True, False):
                answer = probe.ask(*_sure(probe, size, right=right, dtype=dtype))
                if answer.value is not None and not answer.finite:
                    broken.append(f"{where}, {'right' if right else 'wrong'} answers")
            pull = _pull(probe, size, dtype)
            if usual is not None and pull is not None and pull < _GONE * usual:
                faint.append(where)
    found = []
    if broken:
        message = f"Value or gradient is NaN or infinite at logits {'; '.join(broken)}."
        todo = ("Compute it with logsigmoid or log_softmax, in float32; never log(p + eps).",)
        found.append(finding("EQ505", message, {"where": broken}, todo))
    if faint:
        message = (
            "Wrong answers at these logits get less than a thousandth of the gradient that they "
            f"get at +-2: {', '.join(faint)}. Rows that went astray stay there."
        )
        todo = ("Use a form on logits (logsigmoid); keep half precision out of the loss.",)
        found.append(finding("EQ506", message, {"where": faint}, todo))
    return found


def _pull(probe: Probe, size: float, dtype: torch.dtype) -> float | None:
    """Return the least gradient, over classes and targets, that a wrong answer gets."""
    logits, target = _sure(probe, size, right=False, dtype=dtype)
    gradient = probe.ask(logits, target).gradient
    if gradient is None or not gradient.isfinite().all():
        return None
    if probe.kind == "multiclass":
        gradient = gradient.gather(1, target[:, None])
    return float(gradient.float().abs().amin())


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


_SAME = 0.01
_SCALED = 1.05
SUSPECTS = (
    (
        "If everything is flagged, look for a sigmoid applied twice, in training or at evaluation: "
        "outputs then lie in 0.5 to 0.731, and a cut at 0.5 flags every row."
    ),
    "Then at the cut: on which scale is it, and is it the same in training and evaluation code?",
    (
        "Then at sampling and at how unknown targets are filled; or tune thresholds on validation "
        "rows and be done."
    ),
)


def _pulls(probe: Probe, logit: float) -> tuple[Tensor, Tensor] | None:
    """Return the gradients at targets 1 and 0, (L,) each, from one batch with half of each."""
    target = (torch.arange(8) % 2)[:, None].repeat(1, probe.width).float()
    gradient = probe.ask(torch.full((8, probe.width), logit), target).gradient
    if gradient is None or not gradient.isfinite().all():
        return None
    return gradient[target == 1].reshape(4, -1).mean(0), gradient[target == 0].reshape(4, -1).mean(
        0
    )


def _share(pulls: tuple[Tensor, Tensor]) -> Tensor:
    one, zero = (p.double() for p in pulls)
    return zero / (zero - one)


def meaning_findings(probe: Probe) -> list[Finding]:
    """Return the operating point per label, and what weights do to it."""
    if probe.kind == "multiclass":
        return _class_point(probe)
    middle = _pulls(probe, 0.0)
    if middle is None or not bool(_share(middle).isfinite().all()):
        return []
    point = _share(middle)
    by_name = {n: round(float(p), 4) for n, p in zip(probe.names, point, strict=True)}
    found = [_operating_point(probe, point, by_name)]
    one, zero = middle
    size = torch.maximum(one.abs(), zero.abs())
    spread = float(size.max() / size.min().clamp_min(1e-30))
    if spread > _SCALED and float(point.max() - point.min()) < _SAME:
        found.append(_rate_only(probe, size / size.min(), spread, by_name))
    return found


def _operating_point(probe: Probe, point: Tensor, by_name: dict[str, float]) -> Finding:
    evidence: dict[str, object] = {"operating_point": by_name, "scale": probe.scale}
    for output in (0.1, 0.9):
        at = _pulls(probe, float(torch.logit(torch.tensor(output))))
        if at is not None:
            evidence[f"true_probability_at_{output}"] = [round(float(v), 4) for v in _share(at)]
    each = ", ".join(f"{n} {p:.3g}" for n, p in by_name.items())
    if bool(((point - 0.5).abs() < _SAME).all()):
        message = (
            "An output of 0.5 stands for a true probability of 0.5 for every label, whatever the "
            "weights. This loss by itself cannot cause a flood of positives."
        )
        return finding("EQ503", message, evidence, SUSPECTS)
    message = f"An output of 0.5 stands for these true probabilities: {each}."
    if float(point.min()) < 0.5 - _SAME:
        message += " Calling 0.5 positive floods the labels whose number is low."
    todo = (
        (
            "Undo it before the cut: the true probability follows from the loss's own gradients "
            "(`equipoise.losses.recover_posterior`)."
        ),
        "Or tune thresholds on validation rows.",
    )
    return finding("EQ503", message, evidence, todo)


def _rate_only(probe: Probe, relative: Tensor, spread: float, by_name: dict[str, float]) -> Finding:
    factors = {n: round(float(f), 3) for n, f in zip(probe.names, relative, strict=True)}
    each = ", ".join(f"{n} x{f:.3g}" for n, f in factors.items())
    message = (
        f"Gradients differ between labels by up to {spread:.3g} ({each}), for positives and "
        "negatives alike: the weights scale each label's learning rate and do not separate its "
        "positives from its negatives. They neither treat imbalance nor move the cut."
    )
    evidence = {"relative_gradient": factors, "operating_point": by_name}
    todo = (
        (
            "For rare positives weight the positive term alone (`pos_weight`), and undo it before "
            "the cut."
        ),
        "With Adam and a head per label the scale cancels to a large part; drop it to see.",
    )
    return finding("EQ504", message, evidence, todo)


def _class_point(probe: Probe) -> list[Finding]:
    classes = torch.arange(probe.width)
    gradient = probe.ask(torch.zeros(probe.width, probe.width), classes).gradient
    if gradient is None or not gradient.isfinite().all():
        return []
    try:
        eta, clipped = stationary_distribution(gradient.double()[None])
    except NotRecoverableError as error:
        message = f"No probabilities follow from its outputs: {error}"
        return [finding("EQ503", message, {}, ("Fit a calibrator on validation rows.",))]
    if float(clipped) > _SAME:
        message = "No mix of classes leaves equal outputs as they are: it always moves them apart."
        todo = "Read it on probabilities that are calibrated on validation rows."
        return [finding("EQ503", message, {"clipped": float(clipped)}, (todo,))]
    point = {n: round(float(p), 4) for n, p in zip(probe.names, eta[0], strict=True)}
    each = ", ".join(f"{n} {p:.3g}" for n, p in zip(probe.names, eta[0].tolist(), strict=True))
    if float((eta[0] - 1 / probe.width).abs().max()) < _SAME:
        message = "Equal outputs stand for equal probabilities: it moves no class against another."
        return [finding("EQ503", message, {"operating_point": point})]
    message = f"Equal outputs stand for these true probabilities: {each}."
    todo = "Undo it before probabilities are used: `equipoise.losses.recover_posterior`."
    return [finding("EQ503", message, {"operating_point": point}, (todo,))]


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
        gradients at large outputs and in half precision, rows that pull to another class,
        dependence on the batch, reduction, unknown targets, side effects.

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
    loss, names = _of_rows(loss), _names(loss, labels)
    with guest():
        probe = Probe(loss, _kind(loss, kind, names), names)
        scale, on_logits, on_probabilities = find_scale(probe)
        probe = probe.on(scale)
        found = scale_findings(probe, on_logits, on_probabilities)
        if not (on_logits and on_probabilities):
            found += meaning_findings(probe)
            found += pull_findings(probe)
            turn = find_turn(probe) if scale == "logits" else None
            found += [] if turn is None else margin_findings(turn)
            found += gradient_findings(probe)
        found += batch_findings(probe)
        found += reduction_findings(probe)
        found += mask_findings(probe)
        found += side_effect_findings(probe)
    return in_order(found)


def _of_rows(loss: Callable[..., Any]) -> Callable[..., Any]:
    """Return a loss that reads classes from another axis as one that is asked about rows."""
    if not isinstance(getattr(loss, "class_dim", None), int) or loss.class_dim == -1:  # type: ignore[attr-defined]
        return loss
    made: Any = copy.deepcopy(loss)
    made.class_dim = -1
    return made  # type: ignore[no-any-return]


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
