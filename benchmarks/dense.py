"""Dense targets: losses by class_dim beside channel-last, and images judged one at a time.

    python -m benchmarks.dense [--images 20 200] [--threads 1] [--repeat 5] [--only losses]

The loss of (8, 20, 256, 256) outputs with class_dim=1 is timed beside the same loss of the same
pixels as contiguous rows (524,288, 20), forward and backward, alternating in one process; the
ratio of medians is printed, and the memory that one step adds at its peak. `--cpu-time` takes the
processor time of one thread, which other work on the machine disturbs less. Images of 512 x 512
with 20 classes are then judged by `evaluate_dense`, each made when it is asked for.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import equipoise as eq
from equipoise import losses

SHAPE = (8, 20, 256, 256)
IMAGE, CLASSES = 512, 20
CLOCK: list[Callable[[], float]] = [time.perf_counter]


def cases(width: int) -> dict[str, Callable[..., losses.Loss]]:
    weight = torch.linspace(0.5, 4.0, width)
    return {
        "weighted_cross_entropy": lambda **o: losses.WeightedCrossEntropyLoss(weight, **o),
        "softmax_focal": lambda **o: losses.SoftmaxFocalLoss(**o),
        "logit_adjusted": lambda **o: losses.LogitAdjustedLoss(weight, **o),
        "ldam": lambda **o: losses.LDAMLoss(weight / 10, **o),
        "bce": lambda **o: losses.BCELoss(**o),
        "pos_weight_bce": lambda **o: losses.PosWeightBCELoss(weight, **o),
        "sigmoid_focal": lambda **o: losses.SigmoidFocalLoss(**o),
        "asymmetric": lambda **o: losses.AsymmetricLoss(**o),
    }


def step(loss: losses.Loss, logits: Tensor, target: Tensor) -> float:
    leaf = logits.detach().requires_grad_()
    start = CLOCK[0]()
    loss(leaf, target).backward()
    return CLOCK[0]() - start


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory_mb(what: str) -> float:
    """Return "VmHWM", the peak, or "VmRSS", what is held now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def draw(kind: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    images, width, *sides = SHAPE
    logits = torch.randn(SHAPE, generator=g)
    rows = logits.movedim(1, -1).contiguous().view(-1, width)
    if kind == "multiclass":
        target = torch.randint(0, width, (images, *sides), generator=g)
        return logits, target, rows, target.view(-1)
    target = (torch.rand(SHAPE, generator=g) < 0.05).float()
    return logits, target, rows, target.movedim(1, -1).contiguous().view(-1, width)


def time_losses(repeat: int) -> None:
    print(f"class_dim=1 on {SHAPE} over channel-last rows, forward and backward")
    print(f"{'loss':<24}{'rows ms':>10}{'dense ms':>10}{'ratio':>8}{'range':>14}")
    for name, make in cases(SHAPE[1]).items():
        dense, flat = make(class_dim=1), make()
        logits, target, rows, of_rows = draw(dense.kind)
        step(dense, logits, target), step(flat, rows, of_rows)
        ours, theirs = [], []
        for _ in range(repeat):
            theirs.append(step(flat, rows, of_rows))
            ours.append(step(dense, logits, target))
        ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
        ratio = statistics.median(ours) / statistics.median(theirs)
        spread = f"{ratios[0]:.2f}-{ratios[-1]:.2f}"
        print(
            f"{name:<24}{1e3 * statistics.median(theirs):>10.0f}"
            f"{1e3 * statistics.median(ours):>10.0f}{ratio:>8.2f}{spread:>14}"
        )


def print_memory(name: str, *, dense: bool) -> None:
    """Print what one step adds to the peak of this process, in MB."""
    made = cases(SHAPE[1])[name](**({"class_dim": 1} if dense else {}))
    logits, target, rows, of_rows = draw(made.kind)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = memory_mb("VmRSS")
    step(made, *((logits, target) if dense else (rows, of_rows)))
    print(f"{memory_mb('VmHWM') - before:.0f}")


def compare_memory() -> None:
    outputs = np.prod(SHAPE) * 4 / 2**20
    print(f"\nMB that one step adds at its peak (outputs themselves: {outputs:.0f})")
    for name in ("weighted_cross_entropy", "softmax_focal", "pos_weight_bce"):
        found = []
        for way in ("rows", "dense"):
            command = [sys.executable, "-m", "benchmarks.dense", "--memory", f"{name}:{way}"]
            found.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603
        print(f"{name:<24} rows {found[0].strip():>6}   class_dim=1 {found[1].strip():>6}")


def make_image(seed: int) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    share = 1.0 / np.arange(1, CLASSES + 1)
    mask = random.choice(CLASSES, p=share / share.sum(), size=(1, IMAGE, IMAGE))
    logits = random.standard_normal((1, CLASSES, IMAGE, IMAGE), dtype=np.float32)
    np.put_along_axis(
        logits, mask[:, None], np.take_along_axis(logits, mask[:, None], 1) + 2.0, axis=1
    )
    return logits, mask


def images(n: int, start: int) -> Iterator[tuple[list[str], Any, Any]]:
    for k in range(start, start + n):
        logits, mask = make_image(k)
        yield [f"image{k}"], logits, mask


def judge_images(counts: list[int]) -> None:
    ids, logits, masks = zip(*images(4, 0), strict=True)
    val = eq.Scores.from_dense(
        np.concatenate(masks),
        logits=np.concatenate(logits),
        split="val",
        kind="multiclass",
        image_ids=[i[0] for i in ids],
        per_image=5000,
    )
    rule = eq.tune(val, objective="macro_f1")
    print(f"\nevaluate_dense, images of {IMAGE} x {IMAGE}, {CLASSES} classes, one at a time")
    for n in counts:
        start = time.perf_counter()
        table = eq.evaluate_dense(rule, images(n, 1000))
        seconds = time.perf_counter() - start
        rarest = table.per_label[str(CLASSES - 1)]["iou"]
        print(
            f"{n:>4} images, {table.n_rows:,} pixels: {seconds:.1f} s, peak {peak_mb():.0f} MB; "
            f"IoU of the rarest {rarest}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="*", default=[20, 200])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--only", choices=("losses", "images"), default=None)
    parser.add_argument("--memory", default=None, help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.cpu_time:
        CLOCK[0] = time.process_time
    if given.memory:
        name, way = given.memory.split(":")
        print_memory(name, dense=way == "dense")
        return
    if given.only != "images":
        time_losses(given.repeat)
        compare_memory()
    if given.only != "losses":
        judge_images(given.images)


if __name__ == "__main__":
    main()
