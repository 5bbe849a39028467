"""Freeze parameters by pattern, batch norm included, and say what is left to train."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from equipoise._core.messages import closest, say
from equipoise.errors import UsageError

Patterns = str | re.Pattern[str] | Sequence[str | re.Pattern[str]]
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def freeze(model: nn.Module, patterns: Patterns) -> tuple[str, ...]:
    """Take parameters out of training; batch norm that is frozen whole keeps its statistics.

    Use before a second stage (cRT) or when few rows are there to fine-tune with. Frozen batch norm
    stays in eval mode, whatever ``model.train()`` says: in train mode its means and variances
    would go on moving, and the "frozen" features with them.

    Args:
        model: Changed in place.
        patterns: One or several. A text is a glob over parameter names (``layer1.*``, ``*.bias``)
            or the name of a module, which stands for all beneath it (``features``). ``re:...`` or
            a compiled pattern is a regular expression for the whole name.

    Returns:
        The names of the parameters that the patterns cover.

    Raises:
        UsageError: a pattern that covers nothing.

    Note:
        Dropout in frozen parts stays active. Copies, pickles and ``state_dict`` keep working; the
        class of frozen batch norm is a subclass of what it was. Convert to ``SyncBatchNorm``
        before freezing.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
        >>> freeze(net, ["0", "1"])
        ('0.weight', '0.bias', '1.weight', '1.bias')
        >>> net.train()[1].training, round(trainable_share(net), 3)
        (False, 0.276)
    """
    return _set(model, patterns, frozen=True)


def unfreeze(model: nn.Module, patterns: Patterns = "*") -> tuple[str, ...]:
    """Put parameters back into training, and batch norm back under ``model.train()``.

    Args:
        model: Changed in place.
        patterns: As in :func:`freeze`; all parameters by default.

    Returns:
        The names of the parameters that the patterns cover.

    Raises:
        UsageError: a pattern that covers nothing.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
        >>> _ = freeze(net, "*")
        >>> unfreeze(net, "1.*"), round(trainable_share(net), 3)
        (('1.weight', '1.bias'), 0.348)
    """
    return _set(model, patterns, frozen=False)


def trainable_share(model: nn.Module) -> float:
    """Return the share of a model's parameters that training would change, 0 if it has none.

    Example:
        >>> trainable_share(nn.Linear(3, 2))
        1.0
    """
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, free in sizes if free) / max(sum(n for n, _ in sizes), 1)


def _set(model: nn.Module, patterns: Patterns, *, frozen: bool) -> tuple[str, ...]:
    given = [patterns] if isinstance(patterns, (str, re.Pattern)) else list(patterns)
    if not given:
        raise UsageError(say("patterns", "hold at least one pattern", "none", "E.g. 'features'."))
    parameters = dict(model.named_parameters())
    norms = {name: m for name, m in model.named_modules() if isinstance(m, _NORMS)}
    # Batch norm without weights has no parameter that a pattern could name.
    known = [*parameters, *(f"{n}.weight" for n, m in norms.items() if not m.affine)]
    covered: set[str] = set()
    for pattern in given:
        found = {name for name in known if _fits(pattern, name)}
        if not found:
            text = pattern if isinstance(pattern, str) else pattern.pattern
            raise UsageError(
                say("patterns", "each cover a parameter", repr(text), closest(text, known))
            )
        covered |= found
    for name, parameter in parameters.items():
        if name in covered:
            parameter.requires_grad_(not frozen)
    for name, norm in norms.items():
        _settle(norm, f"{name}.weight".lstrip(".") in covered, frozen, model.training)
    return tuple(name for name in parameters if name in covered)


def _fits(pattern: str | re.Pattern[str], name: str) -> bool:
    if isinstance(pattern, str) and pattern.startswith("re:"):
        pattern = re.compile(pattern[3:])
    if isinstance(pattern, re.Pattern):
        return pattern.fullmatch(name) is not None
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def _settle(norm: nn.Module, covered: bool, frozen: bool, training: bool) -> None:
    """Hold batch norm in eval mode where all of it is frozen, else let it follow the model."""
    own = list(norm.parameters(recurse=False))
    hold = not any(p.requires_grad for p in own) if own else covered and frozen
    if not own and not covered:
        return
    if hold and not isinstance(norm, _StaysInEval):
        norm.__class__ = _held(type(norm))
        norm.eval()
    elif not hold and isinstance(norm, _StaysInEval):
        norm.__class__ = _released(type(norm))  # type: ignore[assignment]
        norm.train(training)


class _StaysInEval(nn.Module):
    """What is put before the class of frozen batch norm."""

    def train(self, mode: bool = True) -> _StaysInEval:  # noqa: ARG002
        """Stay in eval mode."""
        return super().train(False)

    def __reduce_ex__(self, _protocol: Any) -> Any:
        """Copy and pickle by the class beneath, since this one is made on the fly."""
        return _remake, (_released(type(self)),), self.__dict__


_HELD: dict[type[nn.Module], type[nn.Module]] = {}


def _held(kind: type[nn.Module]) -> type[nn.Module]:
    if kind not in _HELD:
        _HELD[kind] = type(f"Frozen{kind.__name__}", (_StaysInEval, kind), {})
    return _HELD[kind]


def _released(kind: type[nn.Module]) -> type[nn.Module]:
    return next(base for base, held in _HELD.items() if held is kind)


def _remake(kind: type[nn.Module]) -> nn.Module:
    held = _held(kind)
    return held.__new__(held)
