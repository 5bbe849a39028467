"""The recipes of the reference networks beside AdamW at 0.001 alone and SGD tuned by hand.

    python -m benchmarks.recipes --data FOLDER [--only "mlp;lstm;vgg16;compare"]
                                 [--work FOLDER] [--out FILE]

FOLDER holds cifar10_jpeg_bytes_train.parquet; digits are scikit-learn's. Every training is a study
that the command line runs: training loss and balanced accuracy on test rows after the last epoch.
``compare`` is the whole command with VGG16 on 1,000 images. What is finished in --work is kept.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from sklearn.datasets import load_digits
from sklearn.metrics import balanced_accuracy_score

from benchmarks.machine import (
    Column,
    call,
    facts,
    print_conditions,
    print_head,
    print_row,
    write_results,
)
from equipoise import Comparison, Trial

DIGIT_TAIL = [100, 80, 60, 45, 35, 25, 18, 13, 9, 7]
IMAGE_TAIL = [19, 17, 15, 13, 11, 9, 7, 5, 3, 1]
BY_HAND = {"optimizer": "sgd", "nesterov": True, "weight_decay": 5e-4, "clip": 1.0}
ALONE = {"lr": 1e-3, "warmup": 0.0, "clip": None}


@dataclass(frozen=True)
class Case:
    """A network, its data, epochs and seeds, and what SGD by hand was tuned to."""

    network: str
    images: bool
    epochs: int
    seeds: tuple[int, ...]
    by_hand: dict[str, Any]


CASES = {
    "mlp": Case("mlp", False, 30, (0, 1, 2), {"lr": 0.3}),
    "mlp, 10 epochs": Case("mlp", False, 10, (0, 1, 2), {"lr": 0.3}),
    "lstm": Case("lstm", False, 30, (0, 1, 2), {"lr": 0.3}),
    "lstm, 10 epochs": Case("lstm", False, 10, (0, 1, 2), {"lr": 0.3}),
    "resnet32": Case("resnet32", True, 12, (0, 1), {"lr": 0.1, "warmup": 1}),
    "vgg16_bn": Case("vgg16_bn", True, 4, (0,), {"lr": 0.05, "warmup": 0.4}),
    "vgg16": Case("vgg16", True, 12, (0,), {"lr": 0.02, "warmup": 3}),
}
COMPARED = "compare"
COLUMNS = [
    Column("case", 16),
    Column("training", 12),
    Column("seeds", 5, right=True),
    Column("training loss at the end", 24, right=True),
    Column("balanced accuracy", 20, right=True),
    Column("classes never found", 19, right=True),
]


@dataclass(frozen=True)
class Row:
    """One network under one training."""

    case: str
    training: str
    options: dict[str, Any]
    loss: list[float]
    balanced_accuracy: list[float]
    never_found: list[float]


@dataclass(frozen=True)
class Verdicts:
    """The whole command with a network of images."""

    command: str
    seconds: float
    verdicts: dict[str, str]
    summary: list[str]
    table: list[str]


def digits(folder: Path, network: str) -> dict[str, Any]:
    """392 digits in a long tail, 50 validation and 50 test rows per class."""
    found = load_digits()
    images = (found.images / 16).astype(np.float32)
    np.save(folder / f"{network}.npy", images.reshape(-1, 64) if network == "mlp" else images)
    pl.DataFrame({"digit": found.target}).write_csv(folder / "digits.csv")
    return {
        "data": {"source": "arrays", "path": f"{network}.npy", "table": "digits.csv",
                 "label": "digit", "kind": "multiclass"},
        "split": {"how": "long_tail", "ratio": DIGIT_TAIL, "total": sum(DIGIT_TAIL),
                  "val_per_class": 40, "test_per_class": 30},
    }  # fmt: skip


def cifar(data: Path, folder: Path) -> dict[str, Any]:
    """1,000 images at 19:17:15:13:11:9:7:5:3:1, 50 validation and 50 test images per class."""
    images = pl.read_parquet(data / "cifar10_jpeg_bytes_train.parquet")
    images.sample(4000, shuffle=True, seed=0).write_parquet(folder / "images.parquet")
    return {
        "data": {"source": "image_bytes", "path": "images.parquet", "image": "jpeg",
                 "label": "label"},
        "split": {"how": "long_tail", "ratio": IMAGE_TAIL, "total": 1000,
                  "val_per_class": 50, "test_per_class": 50},
    }  # fmt: skip


def train(folder: Path, name: str, seed: int, study: dict[str, Any]) -> Trial:
    """Train once by the command line and return the trial."""
    file, out = folder / f"{name}.yaml", folder / f"{name}_{seed}"
    file.write_text(yaml.safe_dump(study, sort_keys=False))
    call("train", str(file), "--set", f"seed={seed}", "-o", str(out))
    (record,) = out.rglob("trial.json")
    return Trial.load(record.parent)


def trained(data: Path, folder: Path, name: str, case: Case) -> list[Row]:
    """Train one network in three ways."""
    rows = cifar(data, folder) if case.images else digits(folder, case.network)
    trainings: dict[str, dict[str, Any]] = {
        "AdamW alone": ALONE,
        "SGD by hand": BY_HAND | case.by_hand,
        "recipe": {},
    }
    found = []
    for training, options in trainings.items():
        study = {
            **rows,
            "model": case.network,
            "training": {"epochs": case.epochs, "batch_size": 64, "keep": "last", **options},
        }
        losses: list[float] = []
        accuracies: list[float] = []
        never: list[float] = []
        for seed in case.seeds:
            file = f"{name}_{training}".replace(",", "").replace(" ", "_")
            trial = train(folder, file, seed, study)
            test = trial.scores["test"]
            assert test.labels is not None  # the test part of a study is labelled
            truth, said = test.labels.values, test.values.argmax(1)
            losses.append(round(float(trial.history[-1]["loss"]), 3))
            accuracies.append(round(float(balanced_accuracy_score(truth, said)), 3))
            never.append(int(np.setdiff1d(truth, truth[truth == said]).size))
        shown = [name, training, str(len(case.seeds)), *map(spread, (losses, accuracies, never))]
        print_row(COLUMNS, shown)
        found.append(Row(name, training, options, losses, accuracies, never))
    return found


def spread(values: list[float]) -> str:
    """Return the lowest and the highest."""
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def compared(data: Path, folder: Path) -> Verdicts:
    """Compare a remedy on VGG16 with 1,000 images, 30 epochs, by the defaults."""
    study = {
        **cifar(data, folder),
        "model": "vgg16",
        "arms": ["none", "none + thresholds", "weighted_ce"],
        "seeds": 1,
        "training": {"epochs": 30, "batch_size": 64},
    }
    (folder / "compare.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    begun = time.perf_counter()
    call("compare", str(folder / "compare.yaml"), "-o", str(folder / "compared"))
    seconds = round(time.perf_counter() - begun, 1)
    result = Comparison.load(folder / "compared" / "comparison.json")
    table = str(result).splitlines()
    print(f"\nequipoise compare compare.yaml: {seconds} s", *table, sep="\n", flush=True)
    return Verdicts(
        command="equipoise compare compare.yaml",
        seconds=seconds,
        verdicts={a.method: a.verdict for a in result.arms if a.gain},
        summary=list(result.summary),
        table=table,
    )


def main(arguments: list[str] | None = None) -> None:
    """Train what is wanted and print each row as soon as it is there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default=";".join([*CASES, COMPARED]), help="separated by ;")
    parser.add_argument("--work", type=Path, default=Path("equipoise_runs/recipes"))
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args(arguments)
    wanted = chosen.only.split(";")
    unknown = sorted(set(wanted) - {*CASES, COMPARED})
    if unknown:
        parser.error(f"--only must name {'; '.join([*CASES, COMPARED])}, got {'; '.join(unknown)}")
    chosen.work.mkdir(parents=True, exist_ok=True)
    conditions = facts()
    print_conditions(conditions)
    print_head(COLUMNS)
    rows: list[Row | Verdicts] = []
    for name in wanted:
        if name == COMPARED:
            rows.append(compared(chosen.data, chosen.work))
        else:
            rows += trained(chosen.data, chosen.work, name, CASES[name])
    write_results(chosen.out, conditions, rows)


if __name__ == "__main__":
    main()
