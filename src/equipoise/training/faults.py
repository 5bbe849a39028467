"""What goes wrong while training runs, in one line that says what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from equipoise.errors import EquipoiseError, TrainingError, UsageError
from equipoise.training.options import TrainingOptions

__all__ = ["plain_faults", "require_device"]


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


def require_device(options: TrainingOptions) -> None:
    """Raise where a precision is not to be had on the device."""
    on_cuda = options.accelerator in ("cuda", "gpu") or (
        options.accelerator == "auto" and torch.cuda.is_available()
    )
    if options.precision == "16-mixed" and not on_cuda:
        raise UsageError(
            "`precision` '16-mixed' needs a GPU, got the CPU. Take 'bf16-mixed' or '32-true'."
        )
