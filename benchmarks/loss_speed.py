"""Cost of every loss beside torch's own: forward and backward in one process, and peak memory.

    python -m benchmarks.loss_speed [--only asymmetric,bce] [--shapes 4096x1000] [--out losses.json]

Numbers are ours divided by the peer (F.binary_cross_entropy_with_logits or F.cross_entropy, eager,
with label_smoothing where ours smooths): below 1 means cheaper. Time is the median over interleaved
repetitions, with its range. With --cpu-time it is the processor time of one thread, which other
work on the machine disturbs less.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.machine import (
    Column,
    device_copy_rate,
    facts,
    print_conditions,
    print_head,
    print_row,
    write_results,
)
from equipoise import losses

LossCall = Callable[[Tensor, Tensor], Tensor]
SHAPES = ((4096, 1000), (65_536, 100), (128, 80))
REPORTED_ONLY = (128, 80)
CLOCK = [time.perf_counter]


@dataclass(frozen=True)
class Cost:
    """One loss at one shape, relative to the eager peer."""

    loss: str
    shape: str
    eager: float
    eager_low: float
    eager_high: float
    compiled: float
    compiled_low: float
    compiled_high: float
    memory: float
    bandwidth_share: float = float("nan")


def label_losses(width: int) -> dict[str, LossCall]:
    """Return the elementwise losses of labels."""
    counts = torch.logspace(1, 3.5, width).round()
    rows = 10_000.0
    weight = (rows - counts) / counts
    asymmetric = losses.AsymmetricLoss()
    return {
        "bce": losses.BCELoss(),
        "pos_weight": losses.PosWeightBCELoss(weight),
        "sigmoid_focal": losses.SigmoidFocalLoss(),
        "sigmoid_focal 1.5": losses.SigmoidFocalLoss(gamma=1.5),
        "class_balanced_bce": losses.ClassBalancedBCELoss(weight, weight_on="positives"),
        "class_balanced_focal": losses.ClassBalancedFocalLoss(weight, weight_on="positives"),
        "asymmetric": asymmetric,
        "asymmetric detached": losses.AsymmetricLoss(detach_focus=True),
        "asymmetric 1 4 .05": losses.AsymmetricLoss(gamma_positive=1.0, gamma_negative=4.0),
        "distribution_balanced": losses.DistributionBalancedLoss(counts, n_rows=rows),
        "hill": losses.HillLoss(),
        "splc": losses.SPLCLoss(correcting=True),
        "asymmetric_polynomial": losses.AsymmetricPolynomialLoss(),
        "poly1_bce": losses.Poly1BCELoss(),
    }


def class_losses(width: int) -> dict[str, LossCall]:
    """Return the losses of classes."""
    counts = torch.logspace(1, 3.5, width).round()
    weight = counts.sum() / counts / width
    return {
        "cross_entropy": losses.CrossEntropyLoss(),
        "cross_entropy smoothed": losses.CrossEntropyLoss(label_smoothing=0.1),
        "weighted_ce": losses.WeightedCrossEntropyLoss(weight),
        "softmax_focal": losses.SoftmaxFocalLoss(),
        "logit_adjusted": losses.LogitAdjustedLoss(counts),
        "ldam": losses.LDAMLoss(counts),
        "vector_scaling": losses.VectorScalingLoss.from_class_counts(counts),
        "class_dependent_temperature": losses.CDTLoss.from_class_counts(counts),
        "label_aware_smoothing": losses.LabelAwareSmoothingLoss.from_class_counts(counts),
        "poly1": losses.Poly1CrossEntropyLoss(),
    }


def measure(
    name: str,
    loss: LossCall,
    peer: LossCall,
    logits: Tensor,
    targets: tuple[Tensor, Tensor],
    times: int,
    compiled: bool,
) -> Cost:
    """Time loss and peer in turn on (own, peer) targets; compile with inductor where asked."""
    own, theirs = targets
    sides = {
        "peer": step(peer, logits, theirs),
        "eager": step(loss, logits, own),
    }
    if compiled:
        torch._dynamo.reset()
        made = torch.compile(lambda z, y: loss(z, y), fullgraph=True, dynamic=False)
        sides["compiled"] = step(made, logits, own)
    seconds = interleave(sides, logits.device, times)
    shape = f"{logits.shape[0]} x {logits.shape[1]}"
    eager = span(seconds["eager"] / seconds["peer"])
    fast = span(seconds["compiled"] / seconds["peer"]) if compiled else (float("nan"),) * 3
    memory = peak(sides["eager"], logits.device) / peak(sides["peer"], logits.device)
    share = float("nan")
    if compiled and logits.is_cuda:
        # Least traffic: read logits and target in both passes, write the gradient.
        bytes_moved = 5 * logits.numel() * logits.element_size()
        rate = bytes_moved / float(np.median(seconds["compiled"]))
        share = rate / device_copy_rate(logits.device)
    return Cost(name, shape, *eager, *fast, memory, share)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what the profiler's native code writes off the terminal."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def step(loss: LossCall, logits: Tensor, target: Tensor) -> Callable[[], None]:
    """Return one forward and backward on a leaf that keeps no gradient between calls."""
    leaf = logits.clone().requires_grad_()

    def call() -> None:
        loss(leaf, target).backward()
        leaf.grad = None

    return call


def interleave(
    sides: dict[str, Callable[[], None]], device: torch.device, times: int
) -> dict[str, np.ndarray]:
    """Run all sides in turn after a warm-up; each comes first as often as the others."""
    for call in sides.values():
        for _ in range(2):
            call()
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    names = list(sides)
    for turn in range(times):
        at = turn % len(names)
        for name in names[at:] + names[:at]:
            wait(device)
            start = CLOCK[0]()
            sides[name]()
            wait(device)
            seconds[name].append(CLOCK[0]() - start)
    return {name: np.asarray(values) for name, values in seconds.items()}


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def span(ratios: np.ndarray) -> tuple[float, float, float]:
    """Return median, least and most."""
    return float(np.median(ratios)), float(ratios.min()), float(ratios.max())


def peak(call: Callable[[], None], device: torch.device) -> float:
    """Return the most bytes that one call holds beyond what stood before it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        return float(torch.cuda.max_memory_allocated(device) - before)
    with quiet(), torch.profiler.profile(profile_memory=True) as profile:
        call()
    events = profile.profiler.kineto_results.events()  # type: ignore[union-attr]
    steps = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    return float(np.cumsum([size for _, size in steps]).max())


def costs(
    shape: tuple[int, int], wanted: list[str], device: torch.device, compiled: bool
) -> list[Cost]:
    """Measure all losses at one shape."""
    rows, width = shape
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(rows, width, generator=random).to(device)
    hot = (torch.rand(rows, width, generator=random) < 0.1).float()
    holes = torch.where(torch.rand(rows, width, generator=random) < 0.1, torch.nan, hot).to(device)
    hot, classes = hot.to(device), torch.randint(width, (rows,), generator=random).to(device)
    times = 60 if shape == REPORTED_ONLY else 15
    bce, ce = functional.binary_cross_entropy_with_logits, functional.cross_entropy
    cases: list[tuple[str, LossCall, LossCall, tuple[Tensor, Tensor]]] = [
        (name, loss, bce, (hot, hot)) for name, loss in label_losses(width).items()
    ]
    cases.append(("bce, 10 % NaN", losses.BCELoss(), bce, (holes, hot)))
    cases.append(("asymmetric, 10 % NaN", losses.AsymmetricLoss(), bce, (holes, hot)))
    for name, loss in class_losses(width).items():
        like = partial(ce, label_smoothing=0.1) if "smooth" in name else ce
        cases.append((name, loss, like, (classes, classes)))
    cosines = logits.tanh()  # what LDAM expects; scaled by 30, wider logits end in denormals
    found = []
    for name, loss, peer, targets in cases:
        if wanted and not any(part in name for part in wanted):
            continue
        if isinstance(loss, nn.Module):
            loss.to(device)
        given = cosines if name == "ldam" else logits
        fuse = compiled and shape != REPORTED_ONLY
        cost = measure(name, loss, peer, given, targets, times, fuse)
        print_row(COLUMNS, cells(cost))
        found.append(cost)
    return found


COLUMNS = (
    Column("loss", 28),
    Column("shape", 12, right=True),
    Column("eager", 17, right=True),
    Column("compiled", 17, right=True),
    Column("memory", 6, right=True),
    Column("bandw", 5, right=True),
)


def cells(cost: Cost) -> list[str]:
    eager = f"{cost.eager:.2f} ({cost.eager_low:.2f}-{cost.eager_high:.2f})"
    fast = f"{cost.compiled:.2f} ({cost.compiled_low:.2f}-{cost.compiled_high:.2f})"
    if np.isnan(cost.compiled):
        fast = "-"
    share = "-" if np.isnan(cost.bandwidth_share) else f"{cost.bandwidth_share:.2f}"
    return [cost.loss, cost.shape, eager, fast, f"{cost.memory:.2f}", share]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loss_speed", description=__doc__)
    parser.add_argument("--only", default="", help="parts of names, separated by commas")
    parser.add_argument("--shapes", help="for example 4096x1000,128x80")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--no-compile", action="store_true", help="leave inductor out")
    parser.add_argument("--cpu-time", action="store_true", help="one thread, its processor time")
    parser.add_argument("--out", type=Path, help="write the rows and their conditions as JSON")
    chosen = parser.parse_args(arguments)
    shapes = SHAPES
    if chosen.shapes:
        pairs = [part.split("x") for part in chosen.shapes.split(",")]
        shapes = tuple((int(rows), int(width)) for rows, width in pairs)
    device = torch.device(chosen.device)
    if chosen.cpu_time:
        torch.set_num_threads(1)
        CLOCK[0] = time.thread_time
    conditions = {**facts(device), "clock": CLOCK[0].__name__}
    print_conditions(conditions)
    print("\nCost over the eager peer: median (range)\n")
    print_head(COLUMNS)
    wanted = [part for part in chosen.only.split(",") if part]
    rows = [
        cost for shape in shapes for cost in costs(shape, wanted, device, not chosen.no_compile)
    ]
    write_results(chosen.out, conditions, rows)


if __name__ == "__main__":
    main()
