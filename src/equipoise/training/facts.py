"""What decides the outcome of a training: the config of its trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from torch import nn

from equipoise._core.fingerprint import fingerprint_array
from equipoise.training.feed import Feed
from equipoise.training.remedy import Remedy
from equipoise.training.schedule import Deferred
from equipoise.training.second_stage import SecondStage

# Raised when what a trial holds, or how the same config is trained, changes.
TRIAL_SCHEMA = 2


def trial_facts(feed: Feed, network: nn.Module, config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return everything that decides the outcome."""
    weights = network.state_dict().values()
    start = fingerprint_array(*(w.detach().cpu().double().numpy() for w in weights))
    return {
        "trial_schema": TRIAL_SCHEMA,
        "engine": "fit",
        "method": feed.remedy.name,
        "settings": dict(feed.remedy.settings),
        "remedy": _remedy_facts(feed.remedy),
        "seed": feed.seed,
        "training": feed.options.decisive,
        "split": feed.split.fingerprint,
        "labels": feed.truth.fingerprint,
        "inputs": getattr(feed.dataset, "fingerprint", None),
        "initial_weights": start,
        **({} if feed.monitor is None else {"monitor": feed.monitor.name}),
        **_ties(feed),
        **(config or {}),
    }


def _ties(feed: Feed) -> dict[str, Any]:
    """Return how equal epochs are told apart, where the metric decides anything."""
    options = feed.options
    decides = options.keep == "best" or options.patience or options.schedule == "plateau"
    return {"ties": "val_loss"} if options.epochs > 1 and decides else {}


def _remedy_facts(remedy: Remedy) -> dict[str, Any]:
    """Return what tells two remedies of one name and settings apart, samplers left out."""
    facts: dict[str, Any] = {"loss": _loss_facts(remedy.loss), "mixing": _name(remedy.mixing)}
    if remedy.augmentation is not None:
        facts["augmentation"] = _name(remedy.augmentation)
    late, stage = remedy.schedule, remedy.second_stage
    if isinstance(late, Deferred):
        facts["late"] = [late.start, None if late.loss is None else _loss_facts(late.loss)]
    if isinstance(stage, SecondStage):
        own = [stage.kind, stage.epochs, stage.lr, list(stage.taus), stage.bias]
        facts["second_stage"] = [*own, _remedy_facts(stage.remedy)]
    return facts


def _loss_facts(loss: nn.Module) -> list[str]:
    numbers = [b.detach().cpu().double().numpy() for b in loss.state_dict().values()]
    return [repr(loss), fingerprint_array(*numbers)]


def _name(part: object) -> str:
    """Return what names a callable alike in every process."""
    if part is None or is_dataclass(part):
        return repr(part)
    return f"{type(part).__module__}.{getattr(part, '__qualname__', type(part).__qualname__)}"
