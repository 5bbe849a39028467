"""Check model, loss and one batch together before training: ending, widths, scales."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equipoise._core.messages import listed, say
from equipoise._core.targets import IGNORE_INDEX, require_classes, require_labels
from equipoise.artifacts.finding import Finding, in_order
from equipoise.artifacts.labels import Kind
from equipoise.audit.loss import COSINES, Probe, find_scale, find_turn, finding, margin_findings
from equipoise.audit.state import guest
from equipoise.errors import DataError, UsageError

# The interval of a sigmoid of something that is a probability already.
TWICE = (0.5, 0.7310586)
_SQUASH = ("Sigmoid", "Softmax", "LogSoftmax", "Hardsigmoid")
# Operations that leave every value as it is, or drop some.
_PASS = (
    "View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "Select", "Slice", "Transpose",
    "T", "Permute", "Clone", "ToCopy", "Alias", "Expand", "Clamp", "ClampMin", "ClampMax", "Index",
)  # fmt: skip
_DRAWS = 4
_SLACK = 1e-2


@dataclass(frozen=True, slots=True)
class Ending:
    """How a model ends.

    Args:
        steps: Squashing operations at its very end, the last one first, e.g. ("sigmoid",).
        low: Least output while the weights of its last layer were drawn anew, NaN if unknown.
        high: Largest output then.
    """

    steps: tuple[str, ...]
    low: float
    high: float

    @property
    def squashed(self) -> bool:
        """Whether outputs cannot leave [0, 1]."""
        if self.steps:
            return self.steps[0] != "logsoftmax"
        return self.low >= 0.0 and self.high <= 1.0

    @property
    def twice(self) -> bool:
        """Whether outputs were squashed, and squashed again."""
        confined = self.low >= TWICE[0] - _SLACK and self.high <= TWICE[1] + _SLACK
        # A second log_softmax changes nothing.
        return confined or (len(self.steps) > 1 and set(self.steps) != {"logsoftmax"})

    @property
    def bounded(self) -> bool:
        """Whether outputs stay within -1 and 1 whatever the last layer, as cosines do."""
        return self.low >= -1 - _SLACK and self.high <= 1 + _SLACK

    @property
    def name(self) -> str:
        """What to call the squashing."""
        return self.steps[0] if self.steps else "sigmoid or the like"


def find_ending(model: nn.Module, ask: Callable[[], Any], outputs: Tensor) -> Ending:
    """Look at the end of a model in two ways: its graph, and outputs under other last layers.

    Random weights in the last layer, drawn with either sign, give raw outputs of either sign; only
    squashed ones stay in [0, 1]. A model at its start, whose outputs are all near 0, or one that
    happens to answer 0.6 everywhere, is not mistaken for one.

    Args:
        model: A copy: the weights of its last layer are changed and put back.
        ask: Runs the model on the batch.
        outputs: What it returned, with a graph.
    """
    low, high = _reach(model, ask)
    return Ending(_steps(outputs), low, high)


def _steps(outputs: Tensor) -> tuple[str, ...]:
    """Walk back through the graph as long as it only squashes and reshapes."""
    found, node = [], outputs.grad_fn
    while node is not None:
        name = re.sub(r"Backward\d*$", "", node.name())
        if name in _SQUASH:
            found.append(name.lower())
        elif name not in _PASS:
            break
        node = node.next_functions[0][0] if node.next_functions else None
    return tuple(found)


def _reach(model: nn.Module, ask: Callable[[], Any]) -> tuple[float, float]:
    """Return the least and largest output under random last layers of either sign."""
    unknown = float("nan"), float("nan")
    called: list[nn.Module] = []
    hooks = [
        m.register_forward_hook(lambda module, *_: called.append(module))
        for m in model.modules()
        if isinstance(weight := getattr(m, "weight", None), Tensor) and weight.ndim > 1
    ]
    try:
        ask()
    finally:
        for hook in hooks:
            hook.remove()
    if not called:
        return unknown
    own = list(called[-1].parameters(recurse=False))
    before = [p.detach().clone() for p in own]
    generator = torch.Generator().manual_seed(0)
    seen = []
    with torch.no_grad():
        for _ in range(_DRAWS):
            drawn = [3.0 * torch.randn(p.shape, generator=generator).to(p) for p in own]
            for sign in (1.0, -1.0):
                for p, value in zip(own, drawn, strict=True):
                    p.copy_(sign * value)
                seen.append(ask().detach().float().flatten())
        for p, value in zip(own, before, strict=True):
            p.copy_(value)
    values = torch.cat(seen)
    values = values[values.isfinite()]
    return (float(values.min()), float(values.max())) if values.numel() else unknown


_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_MOST = 5


def check_model(model: nn.Module, loss: Callable[..., Any], batch: Sequence[Any]) -> list[Finding]:
    """Find what would spoil training without an error, from one batch.

    Use before the first epoch, or when a model flags everything, nothing or does not learn. The
    loss is asked as in :func:`audit_loss` whether it takes logits or probabilities; where the model
    ends in a sigmoid or softmax is read from its graph and tried with other last layers.

    Args:
        model: Maps ``batch[0]`` to outputs (N, C) or (N, L); for steps or pixels (N, T, C),
            (N, C, T) or (N, C, H, W) with one class each, or as the targets are. A copy is run, in
            train mode.
        loss: A function or Module of (outputs, targets). A copy is used.
        batch: (inputs, targets) as the loader yields them; inputs may be a tensor, or a tuple, list
            or dict of them. 8 rows are enough.

    Returns:
        Findings EQ3xx, errors first: squashed before a loss on logits (EQ301), logits into a loss
        on probabilities (EQ302), squashed twice (EQ303), outputs and labels that do not match
        (EQ304), nothing trainable (EQ305), frozen batch norm in train mode (EQ306), no finite loss
        (EQ307), unknown targets taken for numbers (EQ319), targets that are none (EQ320), a loss
        that scales cosines on outputs without bound (EQ322).

    Raises:
        UsageError: the batch is no pair, or the model cannot be copied.

    Note:
        Model, loss, batch and random states are as before. What is found depends on the batch as
        little as it can; labels that it does not hold are not seen.

    Example:
        >>> net = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid())
        >>> batch = torch.randn(8, 3), torch.ones(8, 2)
        >>> [f.code for f in check_model(net, nn.BCEWithLogitsLoss(), batch)]
        ['EQ301']
        >>> check_model(net, nn.BCELoss(), batch)
        []
    """
    if not isinstance(model, nn.Module) or not callable(loss):
        raise UsageError(say("model and loss", "be a torch module and a function", (model, loss)))
    if not isinstance(batch, (tuple, list)) or len(batch) < 2 or not isinstance(batch[1], Tensor):
        do = "Pass next(iter(loader))."
        raise UsageError(say("batch", "be (inputs, targets)", type(batch).__name__, do))
    in_use: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = range(torch.cuda.device_count() if in_use else 0)
    with guest(), torch.random.fork_rng(devices=devices), torch.enable_grad():
        try:
            trial = _Trial(copy.deepcopy(model), copy.deepcopy(loss), batch[0], batch[1])
        except Exception as error:
            do = "Check a model that has not been run yet."
            raise UsageError(say("model and loss", "be copied", repr(error), do)) from error
        found = [*_frozen_norms(trial.model), *_outcome(trial)]
    return in_order(found)


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """Copies of model and loss, and the batch that they are tried on."""

    model: nn.Module
    loss: Callable[..., Any]
    inputs: Any
    target: Tensor

    def ask(self) -> Any:
        """Run the model on a copy of the inputs; a batch of one row cannot do in train mode."""
        self.model.train(len(self.target) > 1)
        return self.model(_cloned(self.inputs))


def _cloned(inputs: Any) -> Any:
    """Return a copy of all tensors: layers that work in place may come first."""
    if isinstance(inputs, Tensor):
        return inputs.detach().clone()
    if isinstance(inputs, dict):
        return {key: _cloned(value) for key, value in inputs.items()}
    if isinstance(inputs, (tuple, list)):
        parts = [_cloned(value) for value in inputs]
        return type(inputs)(*parts) if hasattr(inputs, "_fields") else type(inputs)(parts)
    return inputs


def _frozen_norms(model: nn.Module) -> list[Finding]:
    """Return batch norm without trainable weights whose statistics would move nevertheless."""
    model.train()
    names = [
        name
        for name, m in model.named_modules()
        if isinstance(m, _NORMS)
        and m.training
        and m.track_running_stats
        and m.affine
        and not any(p.requires_grad for p in m.parameters(recurse=False))
    ]
    if not names:
        return []
    message = (
        f"{len(names)} batch norm layers have frozen weights, but would go on updating their means "
        f"and variances after model.train(): {listed(names, _MOST)}."
    )
    todo = (
        "Freeze with equipoise.models.freeze(model, patterns), which holds them in eval mode.",
        "Or call .eval() on them after every model.train().",
    )
    return [finding("EQ306", message, {"layers": names}, todo)]


def _outcome(trial: _Trial) -> list[Finding]:
    """Return what one forward and backward pass show."""
    free = [p for p in trial.model.parameters() if p.requires_grad]
    found = [] if free else [_nothing_trainable(trial.model)]
    # Else a frozen model would have no graph to read.
    for p in trial.model.parameters():
        if p.is_floating_point():
            p.requires_grad_(True)
    try:
        outputs = trial.ask()
    except Exception as error:
        return [*found, _failed("The model fails on the batch", _text(error))]
    if not isinstance(outputs, Tensor):
        got = f"The model returns {type(outputs).__name__}, not a tensor of outputs"
        return [*found, _failed(got, type(outputs).__name__)]
    mismatch = [*_mismatch(outputs, trial), *_strange(outputs, trial), *_shared(outputs, trial)]
    ending = find_ending(trial.model, trial.ask, outputs)
    found += mismatch + _scales(outputs, trial, ending)
    explained = bool(mismatch) or any(f.code == "EQ302" for f in found)
    if not explained:
        unmasked = _unmasked(outputs, trial)
        found += unmasked or _one_step(trial, free)
    return found


def _kind(outputs: Tensor, trial: _Trial) -> Kind:
    known = getattr(trial.loss, "kind", None)
    if known in ("multiclass", "multilabel"):
        return "multiclass" if known == "multiclass" else "multilabel"
    whole = not trial.target.is_floating_point() and trial.target.dtype != torch.bool
    indices = trial.target.ndim == 1 or _class_axis(outputs, trial) is not None
    indices |= whole and outputs.shape != trial.target.shape and bool((trial.target > 1).any())
    return "multiclass" if whole and indices else "multilabel"


def _said_axis(outputs: Tensor, trial: _Trial) -> int | None:
    """Return the axis that the loss says itself to read classes or labels from."""
    said = getattr(trial.loss, "class_dim", None)
    if isinstance(said, int) and 1 <= said < outputs.ndim:
        return said
    return None


def _class_axis(outputs: Tensor, trial: _Trial) -> int | None:
    """Return where outputs have their classes if targets hold one index per row, step or pixel.

    Where the loss says it; else last, as sequence models have it, or second, as torch's own losses
    have it.
    """
    have, want = tuple(outputs.shape), tuple(trial.target.shape)
    if len(have) != len(want) + 1:
        return None
    said = _said_axis(outputs, trial)
    if said is not None:
        return said if have[:said] + have[said + 1 :] == want else None
    if have[:-1] == want:
        return len(have) - 1
    return 1 if (have[0], *have[2:]) == want else None


def _mismatch(outputs: Tensor, trial: _Trial) -> list[Finding]:
    """Return where outputs and labels cannot belong to one another."""
    have, want = tuple(outputs.shape), tuple(trial.target.shape)
    problem, evidence = "", {"outputs": list(have), "labels": list(want)}
    axis = _class_axis(outputs, trial)
    if _kind(outputs, trial) == "multiclass" and have != want:
        width = have[axis] if axis is not None else 0
        held = trial.target[trial.target != getattr(trial.loss, "ignore_index", IGNORE_INDEX)]
        top = int(held.max()) if held.numel() else -1
        known = getattr(trial.loss, "num_classes", None)
        if axis is None:
            shown = ", ".join(map(str, want))
            problem = f"Outputs are {have}, but {want[0]} classes ask for ({shown}, C)"
        elif top >= width:
            problem = (
                f"The batch holds class {top}, but there are {width} outputs, 0 to {width - 1}"
            )
        elif isinstance(known, int) and known != width:
            problem = f"The loss is made for {known} classes, but there are {width} outputs"
    elif have != want:
        problem = f"Outputs are {have}, labels {want}"
        if len(have) != len(want):
            problem += "; losses that broadcast compare every row with every other"
    if not problem:
        return []
    todo = (
        "Give the last layer one output per class or label: equipoise.models.replace_head.",
        "For one label, keep the labels as (N, 1), as the outputs are.",
    )
    return [finding("EQ304", f"{problem}.", evidence, todo)]


def _strange(outputs: Tensor, trial: _Trial) -> list[Finding]:
    """Return targets that are neither targets nor marks of what is unknown."""
    target = trial.target
    if target.dtype == torch.bool or outputs.ndim < 2:
        return []
    values = target.detach().cpu().double().numpy()
    try:
        if _kind(outputs, trial) == "multilabel" or target.is_floating_point():
            require_labels("The batch's targets", values)
        else:
            # What is too high for the outputs is said with their number.
            index = int(getattr(trial.loss, "ignore_index", IGNORE_INDEX))
            axis = _class_axis(outputs, trial)
            width = 2**31 if axis is None else int(outputs.shape[axis])
            require_classes("The batch's targets", np.minimum(values, width - 1), width, index)
    except DataError as error:
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        todo = "Declare the coding where labels are read; unknown ones are NaN, classes -100."
        return [finding("EQ320", str(error), {"low": low, "high": high}, (todo,))]
    return []


def _shared(outputs: Tensor, trial: _Trial) -> list[Finding]:
    """Return whether rows of several labels go into a loss of one class per row."""
    target = trial.target
    if not isinstance(trial.loss, nn.CrossEntropyLoss) or outputs.shape != target.shape:
        return []
    total = target.detach().double().sum(1)
    odd = float(((total - 1).abs() > _SLACK).double().mean())
    if not odd:
        return []
    message = (
        f"The loss is for one class per row, and the targets of {odd:.0%} of the rows do not sum "
        "to 1: a softmax shares out what independent labels do not share."
    )
    todo = "Take BCEWithLogitsLoss, or equipoise.losses.BCELoss, which masks what is unknown."
    return [finding("EQ317", message, {"rows_not_1": odd}, (todo,))]


def _unmasked(outputs: Tensor, trial: _Trial) -> list[Finding]:
    """Return whether unknown entries of the batch get a gradient."""
    target = trial.target
    if _kind(outputs, trial) != "multilabel" or not target.is_floating_point():
        return []
    unknown = (target < 0) | target.isnan()
    if not bool(unknown.any()):
        return []
    leaf = outputs.detach().clone().requires_grad_()
    try:
        (slope,) = torch.autograd.grad(trial.loss(leaf, target.clone()).sum(), leaf)
    except Exception:
        return []  # what it fails on is said by the step
    if bool((slope[unknown] == 0).all()) and bool(slope.isfinite().all()):
        return []
    count = int(unknown.sum())
    name = getattr(trial.loss, "__name__", type(trial.loss).__name__)
    message = (
        f"{count:,} targets of the batch ({count / unknown.numel():.1%}) are unknown, and {name} "
        "takes them for numbers: the loss of -1 falls without end as the output goes to 0, and NaN "
        "makes it NaN."
    )
    todo = "Take equipoise.losses.BCELoss or another of its losses for labels: they mask both."
    return [finding("EQ319", message, {"unknown": count, "loss": name}, (todo,))]


def _scales(outputs: Tensor, trial: _Trial, ending: Ending) -> list[Finding]:
    """Return where the end of the model and the loss disagree about what outputs are."""
    probe = _probe(outputs, trial)
    scale = _scale_of(probe)
    evidence = {"loss": scale, "ending": list(ending.steps), "low": ending.low, "high": ending.high}
    found: list[tuple[str, str, str]] = []
    if ending.twice:
        message = f"Outputs are squashed twice ({' of '.join(ending.steps)})."
        if set(ending.steps) <= {"sigmoid"}:
            message = (
                f"Outputs cannot leave {TWICE[0]:g} to {TWICE[1]:.3f}: they pass a sigmoid twice. "
                "A cut at 0.5 flags every row, and gradients are a fifth of what they were."
            )
        found.append(("EQ303", message, "Leave both out and train on logits."))
    if scale == "logits" and ending.squashed:
        message = (
            f"The loss takes logits, but the model ends in a {ending.name}: outputs never leave 0 "
            "to 1, so probabilities stay within 0.5 to 0.731 (for classes: none gets far ahead)."
        )
        todo = f"Take the {ending.name} out of the model; apply it to outputs after training."
        found.append(("EQ301", message, todo))
    if scale == "probabilities" and not ending.squashed:
        message = (
            "The loss takes probabilities, but the model returns raw outputs, not within 0 to 1."
        )
        todo = "Take a loss on logits, e.g. BCEWithLogitsLoss; or end in exactly one sigmoid."
        found.append(("EQ302", message, todo))
    if isinstance(trial.loss, nn.NLLLoss) and "logsoftmax" not in ending.steps:
        message = "NLLLoss takes log-probabilities, but the model does not end in log_softmax."
        found.append(("EQ302", message, "Take CrossEntropyLoss on logits."))
    turn = None if probe is None or scale != "logits" or ending.steps else find_turn(probe)
    factor = 0.0 if turn is None else turn.scale
    if factor > COSINES and not ending.bounded:
        message = (
            f"The loss multiplies outputs by about {factor:.0f}, as margin losses do with cosines, "
            "but these outputs have no bound: after a few steps the loss is beyond all numbers, or "
            "saturated and without a gradient."
        )
        todo = "End in a normalised layer: equipoise.models.CosineHead(features, classes, scale=1)."
        evidence["factor"] = factor
        found.append(("EQ322", message, todo))
    out_of_reach = [] if turn is None else margin_findings(turn)
    told = [finding(code, message, evidence, (todo,)) for code, message, todo in found]
    return [*told, *(f for f in out_of_reach if f.code == "EQ516")]


def _probe(outputs: Tensor, trial: _Trial) -> Probe | None:
    """Return what asks the loss about single rows, in the shape of the batch."""
    if isinstance(trial.loss, nn.NLLLoss):
        return None
    loss = trial.loss.cpu() if isinstance(trial.loss, nn.Module) else trial.loss
    axis = _class_axis(outputs, trial)
    kind = _kind(outputs, trial)
    said = _said_axis(outputs, trial)
    last = outputs.ndim - 1 if said is None else said
    width = 1 if outputs.ndim == 1 else int(outputs.shape[last if axis is None else axis])
    between = outputs.ndim - 2
    ask = loss
    if between > 0:
        # A row becomes a sequence of one step, an image of one pixel.
        def ask(rows: Tensor, target: Tensor) -> Tensor:
            steps = rows.reshape(len(rows), *[1] * between, width)
            steps = steps.movedim(-1, last if axis is None else axis)
            hot = target.reshape(len(rows), *[1] * between, *target.shape[1:])
            if said is not None and target.ndim == 2:
                hot = hot.movedim(-1, said)
            value: Tensor = loss(steps, hot)
            return value

    return Probe(ask, kind, tuple(str(i) for i in range(width)))


def _scale_of(probe: Probe | None) -> str:
    """Return "logits" or "probabilities", or "" where the loss does not answer clearly."""
    try:
        scale, on_logits, on_probabilities = ("", "", "") if probe is None else find_scale(probe)
    except UsageError:
        return ""
    return "" if on_logits and on_probabilities else scale


def _one_step(trial: _Trial, free: list[nn.Parameter]) -> list[Finding]:
    """Return whether the loss of the batch is finite and its gradient reaches any weight."""
    outputs = trial.ask()
    if isinstance(trial.loss, nn.Module):
        trial.loss.to(outputs.device)
    try:
        value = trial.loss(outputs, trial.target.clone())
        gradients = torch.autograd.grad(value.sum(), free, allow_unused=True) if free else ()
    except Exception as error:
        if free and outputs.grad_fn is None:
            return [_nothing_trainable(trial.model, "no gradient leaves the outputs")]
        return [_failed("The loss of the batch cannot be computed", _text(error))]
    seen = [g for g in gradients if g is not None]
    if not value.isfinite().all() or any(not g.isfinite().all() for g in seen):
        return [_failed("The loss of the batch or its gradient is not finite", str(value.tolist()))]
    if free and not any(bool((g != 0).any()) for g in seen):
        return [_nothing_trainable(trial.model, "the gradient of this batch is 0 in all of them")]
    return []


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def _failed(what: str, detail: str) -> Finding:
    todo = "Run model and loss on this batch by hand to see where it comes from."
    return finding("EQ307", f"{what}: {detail}.", {"detail": detail}, (todo,))


def _nothing_trainable(model: nn.Module, why: str = "") -> Finding:
    sizes = [p.numel() for p in model.parameters()]
    message = f"None of {sum(sizes):,} parameters would be trained"
    message += f": {why}." if why else ": all are frozen."
    todo = "Unfreeze some: equipoise.models.unfreeze(model, patterns); look for detach() too."
    return finding("EQ305", message, {"parameters": sum(sizes)}, (todo,))
