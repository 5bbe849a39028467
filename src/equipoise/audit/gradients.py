"""Is the gradient finite, and non-zero where the answer is wrong, at large outputs?"""

from __future__ import annotations

import torch
from torch import Tensor

from equipoise.artifacts.finding import Finding
from equipoise.audit.probe import Probe, finding

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
