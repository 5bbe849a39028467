"""`fit` beside a bare PyTorch loop of the same steps, and loading beside decoding alone.

    python -m benchmarks.training_speed [--only vgg,mlp,loading] [--cifar train.parquet]
                                        [--images 5000] [--pairs 7] [--device cuda]
                                        [--out training.json]

Both sides take the same network, rows, order, loss, optimizer and schedule; validation is ten rows.
Pairs are interleaved, the first one warms up and is not counted. `--device cuda` adds DenseNet121
at 224 pixels in bf16, the loop with a loader and the loop on tensors that stand still.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import polars as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

from benchmarks.machine import Column, facts, print_conditions, print_head, print_row, write_results
from equipoise import Labels, Split, TrainingOptions, fit, remedy
from equipoise._core.rng import child_seed, generator
from equipoise.data import ArrayDataset, ImageBytes, ImageSettings, make_loader
from equipoise.models import MLP, VGG16, make_model

COLUMNS = (Column("case", 58), Column("value", 9, True), Column("range", 15, True))


@dataclass(frozen=True)
class Row:
    """One measurement."""

    case: str
    value: float
    low: float
    high: float


def row(case: str, values: list[float]) -> Row:
    return Row(case, statistics.median(values), min(values), max(values))


def split_of(n: int) -> Split:
    """All rows for training but ten for validation."""
    return Split.from_parts(np.arange(n - 10), np.arange(n - 10, n), [], n_rows=n, seed=0,
                            method="hand")  # fmt: skip


def bare(
    make: Callable[[], nn.Module],
    data: Dataset[Any],
    split: Split,
    loss: nn.Module,
    options: TrainingOptions,
    device: torch.device,
) -> float:
    """Seconds of a loop with the steps of `fit`, its start included."""
    begin = time.perf_counter()
    torch.manual_seed(child_seed(0, "init"))
    net = make().to(device)
    loss = loss.to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=options.lr, weight_decay=1e-4)
    steps = -(-split.train.size // options.batch_size) * options.epochs
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    bf16 = options.precision == "bf16-mixed"
    for epoch in range(options.epochs):
        net.train()
        order = generator(child_seed(0, "order"), "order", epoch).permutation(split.train.size)
        rows = Subset(data, split.train[order].tolist())
        for x, y in DataLoader(rows, batch_size=options.batch_size, num_workers=options.num_workers,
                               pin_memory=device.type == "cuda"):  # fmt: skip
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                value = loss(net(x.to(device, non_blocking=True)), y.to(device, non_blocking=True))
            value.backward()
            optimizer.step()
            schedule.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def fitted(
    make: Callable[[], nn.Module], data: Any, split: Split, treated: Any, options: TrainingOptions
) -> float:
    """Seconds of `fit`."""
    begin = time.perf_counter()
    fit(make, data, split, treated, options=options, progress=False)
    return time.perf_counter() - begin


def pairs(n: int, one: Callable[[], float], two: Callable[[], float]) -> list[tuple[float, float]]:
    """Interleaved timings, the first pair left out."""
    seen = [(one(), two()) if i % 2 else (two(), one())[::-1] for i in range(n + 1)]
    return seen[1:]


def cifar(file: Path | None, n: int) -> ArrayDataset:
    """Images as float arrays, of the file or random."""
    rng = np.random.default_rng(0)
    if file is None:
        pixels = rng.random((n, 3, 32, 32), dtype=np.float32)
        classes = rng.integers(0, 10, n)
    else:
        schema = pl.read_parquet_schema(file)
        column = next(name for name, kind in schema.items() if kind == pl.Binary)
        images = ImageBytes.from_parquet(file, column, label="label", check="none")
        rows = np.linspace(0, len(images) - 1, n).astype(int)  # files may be sorted by class
        pixels = np.stack([images[i][0].numpy() for i in rows])
        classes = images.labels.values[rows]
    return ArrayDataset(pixels, Labels.from_array(classes, kind="multiclass"))


def vgg(file: Path | None, images: int, n_pairs: int, device: torch.device) -> Iterator[Row]:
    """VGG16 on CIFAR images, one epoch."""
    data, split = cifar(file, images), split_of(images)
    treated = remedy("none", data.labels[split.train])
    options = TrainingOptions(epochs=1, batch_size=128, accelerator=device.type, keep="last")

    def make() -> nn.Module:
        return VGG16(10)

    seen = pairs(
        n_pairs,
        lambda: fitted(make, data, split, treated, options),
        lambda: bare(make, data, split, treated.loss, options, device),
    )
    yield row(f"VGG16, {images} images: fit over bare loop", [a / b for a, b in seen])


def mlp(file: Path | None, images: int, n_pairs: int, device: torch.device) -> Iterator[Row]:  # noqa: ARG001
    """Milliseconds per step that `fit` adds, from two lengths so that its start falls out."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6410, 32)).astype(np.float32)
    labels = Labels.from_array((x[:, :4] > 1).astype(int), kind="multilabel")
    data, split = ArrayDataset(x, labels), split_of(6410)
    treated = remedy("none", labels[split.train])

    def timed(epochs: int) -> list[tuple[float, float]]:
        options = TrainingOptions(epochs=epochs, accelerator=device.type, keep="last")

        def make() -> nn.Module:
            return MLP(32, 4)

        return pairs(
            n_pairs,
            lambda: fitted(make, data, split, treated, options),
            lambda: bare(make, data, split, treated.loss, options, device),
        )

    short, long = timed(2), timed(12)
    extra = [
        1000 * ((a - b) - (c - d)) / 1000
        for (a, b), (c, d) in zip(long, short, strict=True)
    ]  # fmt: skip
    yield row("MLP, batches of 64: extra ms per step of fit", extra)


def encoded(n: int, side: int) -> list[bytes]:
    """JPEG bytes with the spectrum of photographs, amplitude 1 / frequency; 64 different ones."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = 1.0
    files = []
    for _ in range(64):
        noise = rng.normal(size=(3, side, side // 2 + 1)) + 1j * rng.normal(
            size=(3, side, side // 2 + 1)
        )
        image = np.fft.irfft2(noise / frequency, s=(side, side)).transpose(1, 2, 0)
        scaled = 128 + 50 * (image - image.mean()) / image.std()
        file = io.BytesIO()
        pixels = np.clip(scaled, 0, 255).astype(np.uint8)
        PIL.Image.fromarray(pixels).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return [files[i % 64] for i in range(n)]


def decode(images: list[bytes]) -> int:
    """Decode with Pillow alone."""
    for image in images:
        np.asarray(PIL.Image.open(io.BytesIO(image)).convert("RGB"))
    return len(images)


def load(data: Any, workers: int) -> float:
    """Seconds of one pass of the loader that `fit` takes."""
    begin = time.perf_counter()
    for _ in make_loader(data, range(len(data)), 64, num_workers=workers):
        pass
    return time.perf_counter() - begin


def pool(chunks: list[list[bytes]], workers: int) -> float:
    """Seconds of decoding the same bytes in as many processes."""
    begin = time.perf_counter()
    with multiprocessing.get_context("fork").Pool(workers) as processes:
        for _ in processes.imap_unordered(decode, chunks):
            pass
    return time.perf_counter() - begin


def loading(file: Path | None, images: int, n_pairs: int, device: torch.device) -> Iterator[Row]:  # noqa: ARG001
    """Images per second of a loader over JPEG bytes, over Pillow alone in as many processes."""
    workers = 2
    for side, n in ((224, 20_000), (32, 100_000)):  # a start of 50 ms falls out
        files = encoded(n, side)
        data = ImageBytes(files, settings=ImageSettings(dtype="uint8"), check="none")
        chunks = [files[i : i + 64] for i in range(0, n, 64)]

        seen = pairs(n_pairs, partial(load, data, workers), partial(pool, chunks, workers))
        yield row(f"JPEG {side} px, {workers} processes: images/s over Pillow alone",
                  [b / a for a, b in seen])  # fmt: skip


def densenet(file: Path | None, images: int, n_pairs: int, device: torch.device) -> Iterator[Row]:  # noqa: ARG001
    """DenseNet121 at 224 px in bf16 on a GPU: fit, loop with loader, loop on still tensors."""
    n, batch = 2570, 64
    files = encoded(n, 224)
    hot = (np.random.default_rng(1).random((n, 4)) < [0.085, 0.29, 0.17, 0.469]).astype(int)
    labels = Labels.from_array(hot, kind="multilabel")
    data, split = ImageBytes(files, labels, check="none"), split_of(n)
    treated = remedy("none", labels[split.train])
    options = TrainingOptions(epochs=2, batch_size=batch, accelerator="cuda", keep="last",
                              precision="bf16-mixed", num_workers=12)  # fmt: skip

    def make() -> nn.Module:
        return make_model("monai:DenseNet121", 4, input_shape=(3, 224, 224))

    x = torch.rand(batch, 3, 224, 224)
    still = torch.utils.data.TensorDataset(x.repeat(1, 1, 1, 1), torch.zeros(batch, 4))
    seen = pairs(
        n_pairs,
        lambda: fitted(make, data, split, treated, options),
        lambda: bare(make, data, split, treated.loss, options, device),
    )
    steps = -(-split.train.size // batch) * options.epochs
    yield row("DenseNet121 bf16: fit over bare loop", [a / b for a, b in seen])
    yield row("DenseNet121 bf16: images/s of fit", [steps * batch / a for a, _ in seen])
    x, y = (t.to(device) for t in still.tensors)
    net = make().to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    rates = []
    for _ in range(n_pairs):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad()
            with torch.autocast("cuda", torch.bfloat16):
                value = treated.loss.to(device)(net(x), y)
            value.backward()
            optimizer.step()
        torch.cuda.synchronize()
        rates.append(steps * batch / (time.perf_counter() - begin))
    yield row("DenseNet121 bf16: images/s on tensors that stand still", rates)


PARTS = {"vgg": vgg, "mlp": mlp, "loading": loading, "densenet": densenet}


def main(arguments: list[str] | None = None) -> None:
    """Run the parts and print a row as soon as it is there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_speed")
    parser.add_argument("--only", default="vgg,mlp,loading")
    parser.add_argument("--cifar", type=Path, help="Parquet of JPEG bytes with a column `label`")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args(arguments)
    device = torch.device(chosen.device)
    wanted = chosen.only.split(",") + (["densenet"] if device.type == "cuda" else [])
    unknown = sorted(set(wanted) - set(PARTS))
    if unknown:
        parser.error(f"--only must name {', '.join(PARTS)}, got {', '.join(unknown)}")
    conditions = facts(device)
    print_conditions(conditions)
    print_head(COLUMNS)
    rows = []
    for name in wanted:
        for found in PARTS[name](chosen.cifar, chosen.images, chosen.pairs, device):
            shown = f"{found.low:.3f}-{found.high:.3f}"
            print_row(COLUMNS, [found.case, f"{found.value:.3f}", shown])
            rows.append(found)
    write_results(chosen.out, conditions, rows)


if __name__ == "__main__":
    main()
