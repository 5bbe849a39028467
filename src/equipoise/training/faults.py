"""What goes wrong while training runs, or would teach nothing, in a line that says what to do."""

from __future__ import annotations

import copy
import errno
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equipoise._core.messages import say
from equipoise.artifacts import Labels
from equipoise.errors import EquipoiseError, NoEffectWarning, TrainingError, UsageError
from equipoise.training.devices import choose_device, devices_here
from equipoise.training.options import TrainingOptions
from equipoise.training.remedy import Remedy, start_epoch
from equipoise.training.targets import to_target

BATCHES = 20
"""Batches that are looked at."""
_MOST = 0.5


def share_without(loss: nn.Module, batches: Iterable[Labels]) -> float:
    """Return the share of batches whose targets give outputs no gradient, whatever the outputs.

    Args:
        loss: A copy is asked.
        batches: Labels of the rows of each.
    """
    # In training it may ask other ranks, which are not asked here.
    asked = copy.deepcopy(loss).cpu().eval()
    start_epoch(asked, 0)
    source = torch.Generator().manual_seed(0)
    empty = []
    for labels in batches:
        target = to_target(labels, torch.float32)
        logits = torch.randn(len(labels), labels.num_classes, generator=source)
        leaf = logits.requires_grad_()
        with torch.enable_grad():
            value = asked(leaf, target)
            slope = torch.autograd.grad(value.sum(), leaf)[0] if value.requires_grad else None
        empty.append(slope is None or not bool((slope != 0).any()))
    return float(np.mean(empty)) if empty else 0.0


def require_lessons(remedy: Remedy, labels: Labels, size: int) -> None:
    """Raise where the first batches of a training teach its loss nothing; no data are read.

    Args:
        remedy: Whose loss is asked, where it compares rows or entries with each other.
        labels: Of the first rows, in the order in which they come.
        size: Rows of a batch.

    Raises:
        UsageError: none of the batches has a gradient.

    Note:
        Issues a `NoEffectWarning` where most of them have none.
    """
    loss = remedy.loss
    # A loss of single entries or rows learns from any of them; one that mixes rows says so.
    if getattr(loss, "linear_in_target", True) or getattr(loss, "reads_targets", False):
        return
    starts = range(0, min(len(labels), size * BATCHES), size)
    share = share_without(loss, (labels[start : start + size] for start in starts))
    if share == 1.0:
        do = "It compares rows with each other: raise batch_size, or take a loss of single rows."
        expected = f"hold what '{remedy.name}' learns from"
        raise UsageError(say("batch_size", expected, f"none in batches of {size}", do))
    if share > _MOST:
        warnings.warn(
            f"{share:.0%} of the first batches of {size} rows hold nothing that "
            f"'{remedy.name}' learns from: it compares rows with each other. Raise batch_size.",
            NoEffectWarning,
            stacklevel=4,
        )


@contextmanager
def plain_faults(options: TrainingOptions, folder: Path | None) -> Iterator[None]:
    """Turn what a machine reports into a `TrainingError` of one line.

    Args:
        options: Of the run, for the advice.
        folder: Where the run's checkpoint is, or None.

    A run that fails keeps its last checkpoint; the line says so.
    """
    try:
        yield
    except EquipoiseError as error:
        # An error in a worker process carries that process' traceback in its text.
        if "Original Traceback" not in str(error):
            raise
        raise type(error)(_last_line(str(error))) from error
    except Exception as error:
        line = _explain(error, options)
        if line is None:
            raise
        kept = _kept(folder)
        raise TrainingError(f"{line}{kept}") from error


def _explain(error: BaseException, options: TrainingOptions) -> str | None:
    text = str(error)
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or _no_memory(text):
        parts = options.accumulation * 2
        return (
            f"A batch of {options.batch_size} rows in {options.accumulation} part(s) does not fit "
            f"into memory. Compute it in more parts: accumulation={parts}."
        )
    if "DataLoader worker" in text and ("exited unexpectedly" in text or "killed" in text):
        return (
            "A process that loads data died, most often for lack of memory. Take fewer: "
            f"num_workers={options.num_workers // 2}, or free memory."
        )
    if "must have the same dtype" in text or "expected scalar type" in text:
        return (
            f"The data set and the network hold numbers of different types ({_last_line(text)}). "
            "Give float32, as array.astype(np.float32), or take precision='64-true'."
        )
    if "shapes cannot be multiplied" in text:
        return (
            f"The network does not take inputs of this width ({_last_line(text)}). Make its first "
            "layer as wide as the rows of the data set."
        )
    if _no_space(error, text):
        return "The disk is full. Free space; nothing half-written is left."
    if "Caught " in text and "DataLoader worker" in text:
        return f"A row could not be loaded: {_last_line(text)}"
    if isinstance(error, OSError):
        return f"A file could not be read or written: {' '.join(text.split())}."
    return None


def _no_space(error: BaseException, text: str) -> bool:
    # Torch and safetensors report it in words of their own.
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return (isinstance(error, OSError) and error.errno in full) or any(
        words in text
        for words in ("No space left", "quota exceeded", "PytorchStreamWriter failed writing")
    )


def _no_memory(text: str) -> bool:
    return any(words in text for words in ("not enough memory", "out of memory", "can't allocate"))


def _kept(folder: Path | None) -> str:
    if folder is None or not (folder / "resume.ckpt").exists():
        return ""
    return f" The last checkpoint is kept in {folder}: the same call goes on from there."


def _last_line(text: str) -> str:
    line = text.strip().splitlines()[-1]
    _, _, message = line.partition(": ")
    return message or line


def _on_cuda(options: TrainingOptions) -> bool:
    auto = options.accelerator == "auto" and torch.cuda.is_available()
    return auto or options.accelerator in ("cuda", "gpu")


def require_device(options: TrainingOptions) -> None:
    """Raise where the device is not there, or a precision is not to be had on it."""
    device = choose_device(options.accelerator, "accelerator")
    count = devices_here()[device.type]
    if device.type == "cuda" and options.devices != "auto" and options.devices > count:
        raise UsageError(say("devices", f"be at most {count}, the GPUs here", options.devices))
    if options.precision == "16-mixed" and not _on_cuda(options):
        raise UsageError(
            "`precision` '16-mixed' needs a GPU, got the CPU. Take 'bf16-mixed' or '32-true'."
        )


def require_precision(network: nn.Module, x: Any, options: TrainingOptions) -> None:
    """Raise where this processor cannot run a network in the precision that is asked for.

    Which kinds of layers there are for bfloat16 hangs on the processor and is told by nothing but a
    try: one forward and backward pass of a copy.

    Args:
        network: On the CPU; left as it is.
        x: A batch of a few rows.
        options: Of the run.

    Raises:
        UsageError: it cannot, but can in float32.
    """
    if options.precision != "bf16-mixed" or _on_cuda(options):
        return
    failed = _try(network, x, half=True)
    if failed is None or _try(network, x, half=False) is not None:
        return  # what fails in float32 as well is no matter of precision
    layer, error = failed
    where = f"its {layer}" if layer else "the network"
    reason = " ".join(str(error).split()).rstrip(".")[:160]
    raise UsageError(
        f"`precision` 'bf16-mixed' is not to be had on this processor for {where} ({reason}). Take "
        "precision '32-true', or a machine with a GPU or AVX-512."
    )


def _try(network: nn.Module, x: Any, *, half: bool) -> tuple[str, RuntimeError] | None:
    """Return what a forward and backward pass fails with, and the innermost layer it was in."""
    twin = copy.deepcopy(network).train()
    inside: list[str] = []
    for module in twin.modules():
        module.register_forward_pre_hook(lambda m, _: inside.append(type(m).__name__))
        module.register_forward_hook(lambda *_: (inside.pop(), None)[1])
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        try:
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                outputs = twin(copy.deepcopy(x))
            if isinstance(outputs, Tensor) and outputs.requires_grad:
                outputs.float().sum().backward()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            return (inside[-1] if inside else ""), error
        except Exception:
            return None  # a fault of network or data, which its own step reports
    return None
