"""Verdicts on real data: yeast, bibtex, mammography, and CIFAR-10 features of a trained network.

    python -m benchmarks.verdicts --data FOLDER [--only yeast,bibtex,mammography,cifar]
                                  [--work FOLDER] [--out FILE]

FOLDER holds mulan/yeast.npz, mulan/bibtex.npz, mammography.npz and the two Parquet files
cifar10_jpeg_bytes_{train,test}.parquet. Each study is written as YAML and run by the command line,
with the defaults of the protocol: seeds that stop by themselves; every row tested where there is no
test set of its own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml
from scipy.sparse import csr_matrix

from benchmarks.machine import call, facts, print_conditions, write_results
from equipoise import Comparison

LABEL_ARMS = [
    "none",
    "none + thresholds",
    "pos_weight",
    {"method": "focal", "grid": {"gamma": [1.0, 2.0]}},
    "asymmetric",
    "distribution_balanced",
    "weighted_sampling",
    "repeat_factor",
    "prevalence",
]
TUNING = {"lr": [1.0e-3, 3.0e-3, 1.0e-2], "weight_decay": [0.01, 0.1]}


@dataclass(frozen=True)
class Row:
    """One study."""

    study: str
    command: str
    seconds: float
    settings_per_arm: int
    seeds: dict[str, int]
    question: str
    regret: float
    rival: str
    verdicts: dict[str, str]
    recommended: str
    summary: list[str]
    table: list[str]


def labels_table(folder: Path, file: Path, x: Any) -> tuple[list[str], str, str]:
    """Write training and test rows of a multi-label set; return its labels and the files."""
    data = np.load(file, allow_pickle=False)
    names = [f"label_{n}" for n in data["label_names"].tolist()]
    features = pl.DataFrame(x, schema=[f"x{i}" for i in range(x.shape[1])])
    hot = pl.DataFrame(data["Y"].astype(np.int64), schema=names)
    whole = pl.concat([features, hot], how="horizontal")
    paths = []
    for part, value in (("train", 0), ("test", 1)):
        path = folder / f"{file.stem}_{part}.parquet"
        whole.filter(pl.Series(data["split"] == value)).write_parquet(path)
        paths.append(path.name)
    return names, paths[0], paths[1]


def yeast(data: Path, folder: Path) -> dict[str, Any]:
    file = data / "mulan" / "yeast.npz"
    names, train, test = labels_table(folder, file, np.load(file)["X"])
    return {
        "title": "yeast: 14 labels, 103 features",
        "data": {"path": train, "test_path": test, "labels": names},
        "arms": [*LABEL_ARMS, "nearest_neighbours", "logistic_regression"],
        "seeds": "auto",
        "training": {"hidden": 64},
        "tuning": {**TUNING, "settings": 6},
    }


def bibtex(data: Path, folder: Path) -> dict[str, Any]:
    file = data / "mulan" / "bibtex.npz"
    parts = np.load(file)
    x = csr_matrix(
        (parts["X_data"], parts["X_indices"], parts["X_indptr"]), shape=tuple(parts["X_shape"])
    )
    names, train, test = labels_table(folder, file, x.toarray().astype(np.float32))
    return {
        "title": "bibtex: 159 labels, 1,836 features",
        "data": {"path": train, "test_path": test, "labels": names},
        "arms": [a for a in LABEL_ARMS if a not in ("repeat_factor", "distribution_balanced")],
        "seeds": "auto",
        "training": {"hidden": 0, "epochs": 20},
        "tuning": {"lr": [1.0e-3, 3.0e-3], "weight_decay": [0.1]},
    }


def mammography(data: Path, folder: Path) -> dict[str, Any]:
    parts = np.load(data / "mammography.npz")
    table = pl.DataFrame(parts["X"], schema=[f"x{i}" for i in range(6)])
    table.with_columns(cancer=pl.Series(parts["y"].astype(np.int64))).write_parquet(
        folder / "mammography.parquet"
    )
    return {
        "title": "mammography: 260 positives among 11,183 rows",
        "data": {"path": "mammography.parquet", "labels": ["cancer"]},
        "arms": [*LABEL_ARMS, "nearest_neighbours", "logistic_regression"],
        "seeds": "auto",
        "training": {"hidden": 64},
        "tuning": TUNING,
    }


def cifar(data: Path, folder: Path) -> dict[str, Any]:
    """Train a ResNet-32 on one half of the training images, screen on the other half."""
    images = pl.read_parquet(data / "cifar10_jpeg_bytes_train.parquet")
    images = images.sample(fraction=1.0, shuffle=True, seed=0)
    images[:12_000].write_parquet(folder / "cifar_network.parquet")
    images[25_000:].write_parquet(folder / "cifar_rest.parquet")
    network = {
        "data": {"source": "image_bytes", "path": "cifar_network.parquet", "image": "jpeg",
                 "label": "label"},
        "split": {"val": 0.1, "test": 0.05},
        "model": "resnet32",
        "augmentation": "cifar",
        "training": {"epochs": 8, "batch_size": 128, "lr": 3.0e-3, "weight_decay": 0.01},
    }  # fmt: skip
    write(folder / "network.yaml", network)
    call("train", str(folder / "network.yaml"), "-o", str(folder / "network"))
    (trial,) = (p.parent for p in (folder / "network").rglob("trial.json"))
    arms = ["weighted_ce", "class_balanced", "logit_adjusted", "ldam", "focal", "drw"]
    sampled = ["class_balanced_sampling", "square_root_sampling"]
    return {
        "title": "CIFAR-10, long tail 50 : 1, features of a ResNet-32",
        "data": {"source": "image_bytes", "path": "cifar_rest.parquet", "image": "jpeg",
                 "label": "label"},
        "features": {"trial": str(trial.relative_to(folder)), "num_workers": 2},
        "split": {"how": "long_tail", "imbalance_ratio": 50, "val_per_class": 50,
                  "test_per_class": 300},
        "arms": ["none", "none + thresholds", *arms, *sampled, "prevalence",
                 "logistic_regression"],
        "seeds": "auto",
        "training": {"hidden": 0},
        "tuning": {"lr": [1.0e-3, 3.0e-3, 1.0e-2], "weight_decay": [0.01, 0.1]},
        "comparison": {"target_prior": "uniform"},
    }  # fmt: skip


def write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False))


STUDIES: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
    "yeast": yeast,
    "bibtex": bibtex,
    "mammography": mammography,
    "cifar": cifar,
}


def run(name: str, data: Path, folder: Path) -> Row:
    folder.mkdir(parents=True, exist_ok=True)
    content = STUDIES[name](data, folder)
    write(folder / f"{name}.yaml", content)
    out = folder / f"{name}_out"
    begun = time.perf_counter()
    call("compare", str(folder / f"{name}.yaml"), "-o", str(out))
    seconds = round(time.perf_counter() - begun, 1)
    result = Comparison.load(out / "comparison.json")
    return Row(
        study=name,
        command=f"equipoise compare {name}.yaml",
        seconds=seconds,
        settings_per_arm=result.provenance["settings_per_arm"],
        seeds={a.method: a.n_seeds for a in result.arms},
        question=result.question,
        regret=result.regret,
        rival=result.rival,
        verdicts={a.method: a.verdict for a in result.arms if a.gain},
        recommended=result.recommended,
        summary=list(result.summary),
        table=str(result).splitlines()[:-2],
    )


def main(arguments: list[str] | None = None) -> None:
    """Run the studies and print each verdict table as soon as it is there."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdicts")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default=",".join(STUDIES))
    parser.add_argument("--work", type=Path, default=Path("equipoise_runs/verdicts"))
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args(arguments)
    unknown = sorted(set(chosen.only.split(",")) - set(STUDIES))
    if unknown:
        parser.error(f"--only must name {', '.join(STUDIES)}, got {', '.join(unknown)}")
    conditions = facts()
    print_conditions(conditions)
    rows = []
    for name in chosen.only.split(","):
        row = run(name, chosen.data, chosen.work)
        print(f"\n{row.command}: {row.seconds} s, {sum(row.seeds.values())} seeds in all arms, "
              f"{row.settings_per_arm} settings per arm")  # fmt: skip
        print("\n".join([*row.table, *row.summary]), flush=True)
        rows.append(row)
    write_results(chosen.out, conditions, rows)


if __name__ == "__main__":
    main()
