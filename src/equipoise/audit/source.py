"""A sampler as often as it is needed: from its factory, or copied; alone or as one of two ranks."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from equipoise._core.words import closest, say
from equipoise.artifacts.labels import Labels
from equipoise.audit.state import seed_globals
from equipoise.errors import EquipoiseError, UsageError
from equipoise.sampling.rules import ROW_RULES, row_weights

LABEL_NAMES = ("labels", "label", "targets", "target", "y", "y_true")
DATA_NAMES = ("dataset", "data_source")
_DISTRIBUTED = ("is_available", "is_initialized", "get_rank", "get_world_size")


def build_sampler(maker: Callable[..., Any], labels: Labels, settings: Mapping[str, Any]) -> Any:
    """Call a class or function with what its parameters ask for by name.

    ``labels``, ``targets`` or ``y`` get the labels (as `Labels` where annotated so, else as an
    array), ``dataset`` and ``data_source`` the range of rows, a required ``num_samples`` N; a
    setting ``weights`` that names a row rule becomes its weights.

    Raises:
        UsageError: it cannot be built so.

    Example:
        >>> from torch.utils.data import WeightedRandomSampler
        >>> labels = Labels.from_array([0, 0, 0, 1], kind="multiclass")
        >>> build_sampler(WeightedRandomSampler, labels, {"weights": "class_balanced"}).num_samples
        4
    """
    given = dict(settings)
    rule = given.get("weights")
    if isinstance(rule, str):
        if rule not in ROW_RULES:
            do = closest(rule, ROW_RULES)
            raise UsageError(say("weights", "be numbers or a row rule", repr(rule), do))
        given["weights"] = row_weights(labels, rule)
    failure: Exception | None = None
    for form in (labels.values, torch.from_numpy(labels.values.copy()), labels):
        try:
            return maker(**_filled(maker, labels, form, given))
        except EquipoiseError:
            raise
        except Exception as error:
            failure = failure or error
    name = getattr(maker, "__name__", "sampler")
    do = "Give its settings with --arg, or a function of the labels that returns it."
    raise UsageError(say(name, "be built from the labels", repr(failure), do)) from failure


def _filled(
    maker: Callable[..., Any], labels: Labels, form: Any, given: dict[str, Any]
) -> dict[str, Any]:
    try:
        known = list(inspect.signature(maker).parameters.values())
    except (TypeError, ValueError):
        return given
    found = dict(given)
    fixed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [i for i in known if i.default is i.empty and i.kind not in fixed]
    for item in known:
        if item.name in found:
            continue
        if item.name in LABEL_NAMES:
            found[item.name] = labels if "Labels" in str(item.annotation) else form
        elif item.name in DATA_NAMES:
            found[item.name] = range(len(labels))
        elif item.name == "num_samples" and item.default is item.empty:
            found[item.name] = len(labels)
        elif needed == [item]:
            found[item.name] = form  # the only thing asked for
    return found


@dataclass(frozen=True, slots=True)
class Source:
    """Makes the sampler anew, or copies it; both with the global generators seeded.

    Args:
        make: Builds it; None for an instance.
        given: The instance.
        needs_world: Whether it can be built only where ``torch.distributed`` runs.
    """

    make: Callable[[], Any] | None
    given: Any = None
    needs_world: bool = False

    def alone(self) -> AbstractContextManager[None]:
        """Be the only process, for samplers that ask."""
        return as_rank(0, 1) if self.needs_world else nullcontext()

    def fresh(self, seed: int = 0) -> Any | None:
        """Return a sampler that has drawn nothing yet; None where it cannot be copied."""
        seed_globals(seed)
        if self.make is not None:
            return self.make()
        try:
            return copy.deepcopy(self.given)
        except Exception:
            return None


def source_of(sampler: Any, labels: Labels) -> Source:
    """Return the source of an instance, a class or a function.

    Raises:
        UsageError: it is neither iterable nor callable, or what it builds is not iterable.
    """
    if not isinstance(sampler, type) and isinstance(sampler, Iterable):
        return Source(None, sampler)
    if not callable(sampler):
        do = "Pass a sampler, its class, or a function of the labels that returns it."
        raise UsageError(say("sampler", "be iterable or callable", type(sampler).__name__, do))

    def make() -> Any:
        return build_sampler(sampler, labels, {})

    needs_world = False
    try:
        made = make()
    except UsageError:
        with as_rank(0, 1):
            made = make()
        needs_world = True
    if not isinstance(made, Iterable):
        do = "It has to yield rows, or lists of rows."
        raise UsageError(say("sampler", "build something iterable", type(made).__name__, do))
    return Source(make, needs_world=needs_world)


def set_epoch(sampler: Any, epoch: int) -> bool:
    """Call ``set_epoch`` as trainers do, of the sampler inside too; return whether there is one."""
    called = False
    for item in (sampler, getattr(sampler, "sampler", None)):
        method = getattr(item, "set_epoch", None)
        if callable(method):
            method(epoch)
            called = True
    return called


@contextmanager
def as_rank(rank: int, world: int = 2) -> Iterator[None]:
    """Let ``torch.distributed`` answer as in one of several processes."""
    before = {name: getattr(torch.distributed, name) for name in _DISTRIBUTED}
    answers = (True, True, rank, world)
    try:
        for name, answer in zip(_DISTRIBUTED, answers, strict=True):
            setattr(torch.distributed, name, lambda *_, answer=answer: answer)
        yield
    finally:
        for name, function in before.items():
            setattr(torch.distributed, name, function)
