"""Checks and readings that the losses share: shapes and dtypes only, never values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from equipoise._core.messages import say
from equipoise._core.targets import IGNORE_INDEX, require_classes
from equipoise.errors import DataError, ShapeError

Vector = Tensor | ArrayLike | Sequence[float]


def require_tensors(**given: object) -> None:
    """Raise for what is no tensor, by its name."""
    for name, value in given.items():
        if not isinstance(value, Tensor):
            do = "Convert it with torch.as_tensor(...)."
            if hasattr(value, "logits"):
                do = f"Pass the tensor that it holds: {name}.logits."
            raise DataError(say(name, "be a tensor", f"a {type(value).__name__}", do))


def _check_logits(logits: Tensor, target: Tensor, shape: str) -> None:
    require_tensors(logits=logits, target=target)
    if logits.ndim < 2:
        raise ShapeError(say("logits", f"have shape {shape}", tuple(logits.shape)))
    if not logits.is_floating_point():
        raise DataError(say("logits", "be floating", logits.dtype, "Pass outputs before sigmoid."))


def check_classes(
    logits: Tensor, target: Tensor, ignore_index: int = IGNORE_INDEX
) -> tuple[Tensor, Tensor | None]:
    """Check (..., N, C) logits against class indices (..., N) or probabilities (..., N, C).

    Returns:
        The targets, with class 0 (or shares of 0) in the place of unknown rows, and which rows are
        known, (..., N) bool; None where all are. Unknown are rows of ``ignore_index``, and rows of
        shares with a NaN or a number below 0.
    """
    _check_logits(logits, target, "(..., N, C)")
    rows, full = tuple(logits.shape[:-1]), tuple(logits.shape)
    if target.is_floating_point():
        expected, form = full, "(..., N, C)"
        do = "Float targets are class probabilities; class indices are int64."
    elif target.dtype == torch.int64:
        expected, form = rows, "(..., N)"
        do = "Pass one class index per row, or float class probabilities (..., N, C)."
    else:
        do = "Convert class indices with target.long()."
        raise DataError(say("target", "be int64 indices or float", target.dtype, do))
    if tuple(target.shape) != expected:
        wanted = f"have shape {form} = {expected}"
        if logits.ndim > 2 and tuple(target.shape) == (logits.shape[0], *logits.shape[2:]):
            do = f"Outputs {full} with classes second ask for class_dim=1."
        raise ShapeError(say("target", wanted, tuple(target.shape), do))
    if target.is_floating_point():
        entries = where_known(target)
        if entries is None:
            return target, None
        known = entries.all(-1)
        return torch.where(known.unsqueeze(-1), target, 0.0), known
    if _is_unreadable(target):
        known = target != ignore_index
    else:
        if target.numel() == 0:
            return target, None
        indices = target.detach().numpy()
        if indices.min() >= 0 and indices.max() < logits.shape[-1] and ignore_index < 0:
            return target, None
        require_classes("target", indices, logits.shape[-1], ignore_index)
        known = torch.from_numpy(np.asarray(indices != ignore_index))
    return torch.where(known, target, 0), known


def known_rows(target: Tensor, ignore_index: int) -> Tensor:
    """Return which rows of class targets are known, (..., N) bool."""
    return (target >= 0).all(-1) if target.is_floating_point() else target != ignore_index


def check_labels(logits: Tensor, target: Tensor) -> None:
    """Check (..., N, L) logits against float or bool targets of the same shape."""
    _check_logits(logits, target, "(..., N, L)")
    if not (target.is_floating_point() or target.dtype == torch.bool):
        do = "Convert with target.float(); unknown entries are NaN, or any number below 0."
        raise DataError(say("target", "be floating or bool", target.dtype, do))
    if target.shape != logits.shape:
        wanted = f"have shape (..., N, L) = {tuple(logits.shape)}"
        do = "One column per label; a single binary label has L = 1."
        raise ShapeError(say("target", wanted, tuple(target.shape), do))


def check_vector(name: str, vector: Tensor, logits: Tensor, do: str) -> None:
    """Check that ``vector`` has one floating entry per class or label, (C,)."""
    require_tensors(**{name: vector})
    width = logits.shape[-1]
    if vector.ndim != 1 or vector.shape[0] != width:
        raise ShapeError(say(name, f"have shape (C,) = ({width},)", tuple(vector.shape), do))
    if not vector.is_floating_point():
        raise DataError(say(name, "be floating", vector.dtype, "Convert with .float()."))


def upcast(logits: Tensor) -> Tensor:
    """Return half-precision logits as float32, others as they are."""
    half = logits.dtype in (torch.float16, torch.bfloat16)
    return logits.float() if half else logits


def where_known(target: Tensor) -> Tensor | None:
    """Return where targets are known, that is neither NaN nor below 0; None where all are.

    The least of them answers that on the CPU. Compiled, mapped or on another device, where the
    answer would break the graph or wait for the device, entries are compared one by one.
    """
    if target.dtype == torch.bool or target.numel() == 0:
        return None
    if _is_unreadable(target):
        return target >= 0
    values = target.detach()
    if bool(values.amin() >= 0):  # NaN where one is
        return None
    return values >= 0


def _is_unreadable(target: Tensor) -> bool:
    """Whether values may not steer the code: it is compiled, mapped, or the device would wait."""
    return torch.compiler.is_compiling() or target.device.type != "cpu" or is_mapped(target)


def split_known(target: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """Return targets with 0 where unknown, and where they are known; None where all are."""
    truth = target.to(dtype)
    known = None if target.dtype == torch.bool else where_known(truth)
    return truth if known is None else torch.where(known, truth, 0.0), known


def is_mapped(*tensors: Tensor | None) -> bool:
    """Return whether one is inside torch.func, where values may not steer the code."""
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor
    return any(tensor is not None and wrapped(tensor) for tensor in tensors)


def pick(per_class: Tensor, target: Tensor) -> Tensor:
    """Return the entry of each row's class, or its mean under class probabilities: (..., N)."""
    if target.is_floating_point():
        return (per_class * target.to(per_class.dtype)).sum(-1)
    return per_class.gather(-1, target.unsqueeze(-1)).squeeze(-1)
