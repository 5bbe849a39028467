"""Processes that start in a moment: forked from one that has loaded torch and Lightning once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

__all__ = ["FORKED", "statuses"]

FORKED = multiprocessing.get_context("forkserver")
"""Each test process has one server of its own, started where the first child is asked for."""

# Loaded, and not used: what a fork inherits must hold no threads. Polars starts its own at first
# use, torch has one thread in tests.
FORKED.set_forkserver_preload(
    [
        "torch",
        "lightning.pytorch",
        "polars",
        "scipy.optimize",
        "scipy.stats",
        "sklearn.linear_model",
        "equipoise.data",
        "equipoise.decisions",
        "equipoise.studies.network",
        "equipoise.studies.run",
        "equipoise.losses",
        "equipoise.mining.rounds",
        "equipoise.models",
        "equipoise.sampling",
        "equipoise.training",
    ]
)


def statuses(call: Callable[..., object], *runs: tuple[Any, ...]) -> list[int]:
    """Run a function of a module with each of some arguments, all at once, and say how they end.

    0, 1 after an error, or the signal's number, negative.
    """
    children = [FORKED.Process(target=call, args=arguments) for arguments in runs]
    for child in children:
        child.start()
    for child in children:
        child.join()
    return [int(child.exitcode or 0) for child in children]
