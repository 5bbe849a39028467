"""Processes that start in a moment: forked from one that has loaded torch and Lightning once."""

from __future__ import annotations

import multiprocessing

__all__ = ["FORKED"]

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
        "equipoise.experiments.full_run",
        "equipoise.losses",
        "equipoise.mining.rounds",
        "equipoise.models",
        "equipoise.sampling",
        "equipoise.training",
    ]
)
