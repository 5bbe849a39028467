"""Remedies on boosters: what they do to probabilities, and what fitting them costs.

    python -m benchmarks.boosters [--only probabilities,cost,arms] [--on lightgbm] [--out FILE]

probabilities: mean probability over prevalence, and log loss, of held-out rows: as the booster says
(raw), after the remedy's inverse, and after one logit shift more, which is fitted on rows that were
not trained on. Tables with more than 1,000 positives, and one of three classes (there of the
rarest); parts have the same shares of each class. Synthetic rows have no inverse, and balanced
bags are models of their own.

cost: a custom objective beside LightGBM's and XGBoost's own, per round, on 100,000 x 20 rows, one
thread, the two side by side in five turns.

arms: six arms in five folds by `equipoise compare` beside the same fits alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, log_softmax

from benchmarks.machine import facts, print_conditions, write_results
from equipoise.artifacts import Labels
from equipoise.artifacts.labels import Kind
from equipoise.boosting.columns import Coded, Column
from equipoise.boosting.families import FAMILIES, Task, get_family
from equipoise.boosting.objectives import LabelObjective, grid
from equipoise.boosting.preparation import learn_preparation
from equipoise.losses import SigmoidFocalLoss
from equipoise.losses.slopes import label_slopes
from equipoise.methods import get_method
from equipoise.methods.on_tables import treat
from equipoise.studies.fitted import Fit

LABEL_REMEDIES: list[tuple[str, dict[str, Any]]] = [
    ("none", {}),
    ("pos_weight", {}),
    ("pos_weight", {"power": 0.5}),
    ("class_balanced", {}),
    ("focal", {"gamma": 1.0}),
    ("focal", {"gamma": 2.0}),
    ("asymmetric", {"gamma_positive": 1.0}),
    ("weighted_sampling", {}),
    ("random_undersample", {}),
    ("smote", {}),
]
CLASS_REMEDIES: list[tuple[str, dict[str, Any]]] = [
    ("none", {}),
    ("weighted_ce", {}),
    ("weighted_ce", {"power": 0.5}),
    ("class_balanced", {}),
    ("focal", {"gamma": 2.0}),
    ("logit_adjusted", {}),
    ("ldam", {}),
    ("class_balanced_sampling", {}),
    ("smote", {}),
]
BAGS: list[tuple[str, dict[str, Any]]] = [
    ("balanced_random_forest", {"n_estimators": 100}),
    ("easy_ensemble", {}),
    ("rusboost", {}),
]
BOOSTERS = ("lightgbm", "xgboost", "catboost")


@dataclass(frozen=True)
class Row:
    """One number, or three of them."""

    part: str
    booster: str
    table: str
    remedy: str
    raw: float
    inverse: float
    shifted: float
    loss_raw: float
    loss_inverse: float
    loss_shifted: float


def _tables() -> dict[str, tuple[NDArray[np.float32], NDArray[np.int64], int]]:
    made = {}
    for i, (name, n, cut) in enumerate((("2 %", 75_000, -5.2), ("30 %", 6_000, -1.0))):
        rng = np.random.default_rng(i)
        x = rng.normal(size=(n, 8)).astype(np.float32)
        z = 1.3 * x[:, 0] + x[:, 1] * x[:, 2] + 0.6 * np.abs(x[:, 3]) + cut
        made[name] = x, (rng.random(n) < expit(z)).astype(np.int64), 1
    rng = np.random.default_rng(9)
    x = rng.normal(size=(60_000, 8)).astype(np.float32)
    z = np.stack([0 * x[:, 0] + 2.5, x[:, 0] + x[:, 1] * x[:, 2], 1.5 * x[:, 3] - 1.8], 1)
    p = np.exp(log_softmax(z, 1))
    made["3 classes"] = x, (p.cumsum(1) < rng.random((len(x), 1))).sum(1), 3
    return made


def _shift(log_odds: NDArray[Any], y: NDArray[np.int64]) -> Any:
    """Return the shift of log-odds (or of each class) after which means are prevalences."""
    if log_odds.ndim == 1:
        return brentq(lambda b: expit(log_odds + b).mean() - y.mean(), -15, 15)
    shift = np.zeros(log_odds.shape[1])
    shares = np.bincount(y, minlength=shift.size) / y.size
    for _ in range(200):
        shift += np.log(shares / np.exp(log_softmax(log_odds + shift, 1)).mean(0))
    return shift


def _told(z: NDArray[Any], y: NDArray[np.int64]) -> tuple[float, float]:
    """Return mean probability over prevalence (of the last class) and log loss."""
    if z.ndim == 1:
        p = np.clip(expit(z), 1e-9, 1 - 1e-9)
        return p.mean() / y.mean(), float(-np.log(np.where(y == 1, p, 1 - p)).mean())
    p = np.exp(log_softmax(z, 1))
    loss = float(-np.log(np.maximum(p[np.arange(len(y)), y], 1e-12)).mean())
    return p[:, -1].mean() / (y == p.shape[1] - 1).mean(), loss


def _pairs(classes: int, on: Sequence[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Return which remedies are fitted on which kind of model."""
    for booster in on:
        family = get_family(booster)
        for method, settings in LABEL_REMEDIES if classes == 1 else CLASS_REMEDIES:
            of_weights = method not in ("focal", "asymmetric", "logit_adjusted", "ldam")
            kind: Kind = "multilabel" if classes == 1 else "multiclass"
            if family.is_installed and (of_weights or kind in family.takes_losses):
                yield booster, method, settings
    yield from ((method, method, settings) for method, settings in BAGS)


def probabilities(on: Sequence[str]) -> list[Row]:
    rows = []
    for name, (x, y, classes) in _tables().items():
        kind = "multilabel" if classes == 1 else "multiclass"
        labels = Labels.from_array(y[:, None] if classes == 1 else y, kind=kind)
        coded = Coded(x, tuple(Column(f"x{i}", "number") for i in range(x.shape[1])))
        order = np.random.default_rng(0).permutation(len(x))
        order = order[np.argsort(y[order], kind="stable")]
        # Of every 15 rows of a class 8 are trained on, 2 stop boosting and fit the shift.
        turn = np.arange(len(x)) % 15
        train, val, test = order[turn < 8], order[(turn >= 8) & (turn < 10)], order[turn >= 10]
        for booster, method, settings in _pairs(classes, on):
            family = get_family(booster)
            remedy = get_method(method).build(labels[train], **settings)
            treatment = treat(remedy, labels[train], family, 0)
            prepared, seen = learn_preparation(coded, labels, train, family.style)
            own = family.resolved(remedy.settings if family.is_remedy else {})
            fit = Fit(family, treatment, own, 0, 1)
            stop = prepared(coded, val), labels[val]
            (part,) = fit.all(seen, labels[train], prepared, stop)
            raw = {k: part.outputs(prepared(coded, r)) for k, r in (("v", val), ("t", test))}
            lost = treatment.correction.exactness == "none"
            undone = raw if lost else {k: treatment.correction.apply(v) for k, v in raw.items()}
            flat = [
                {k: v.ravel() if classes == 1 else v for k, v in held.items()}
                for held in (raw, undone)
            ]
            moved = flat[1]["t"] + _shift(flat[1]["v"], y[val])
            told = [_told(z, y[test]) for z in (flat[0]["t"], flat[1]["t"], moved)]
            called = method + (f" {settings}" if settings else "")
            ratios, losses = zip(*told, strict=True)
            rows.append(Row("probabilities", booster, name, called, *ratios, *losses))
            print(f"{booster:<24}{name:<11}{called:<32}"
                  + "".join(f"{a:>8.3f}" for a in ratios)
                  + "".join(f"{a:>9.4f}" for a in losses), flush=True)  # fmt: skip
    return rows


def cost(on: Sequence[str]) -> list[Row]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(100_000, 20)).astype(np.float32)
    y = (rng.random(len(x)) < expit(2 * x[:, 0] + x[:, 1] * x[:, 2] - 4)).astype(np.int64)
    zero, one = label_slopes(SigmoidFocalLoss(gamma=2.0), 1, grid())
    objective = LabelObjective.of(zero[:, 0], one[:, 0], float(y.mean()))
    rows = []
    for booster in on:
        family = FAMILIES[booster]
        if not family.is_installed:
            continue
        settings = {**family.settings, "rounds": 60}
        seconds: dict[bool, list[float]] = {False: [], True: []}
        for turn in range(5):
            for custom in (False, True) if turn % 2 else (True, False):
                begun = time.perf_counter()
                family.fit(Task(x, y, 1, objective=objective if custom else None,
                                settings=settings))  # fmt: skip
                seconds[custom].append(time.perf_counter() - begun)
        ratio = [a / b for a, b in zip(seconds[True], seconds[False], strict=True)]
        each = median(seconds[False]) / 60 * 1e3
        print(f"{booster}: {each:.1f} ms a round of its own, custom / own {median(ratio):.2f} "
              f"({min(ratio):.2f} to {max(ratio):.2f})", flush=True)  # fmt: skip
        rows.append(Row("cost", booster, "100,000 x 20", "focal 2", median(ratio), min(ratio),
                        max(ratio), each, 0.0, 0.0))  # fmt: skip
    return rows


def arms(_: Sequence[str]) -> list[Row]:
    """Six arms in five folds: `run_study` beside the same fits alone."""
    from equipoise.studies.plan import make_plan
    from equipoise.studies.run import run_study
    from equipoise.studies.schema import parse_study

    x, y, _ = _tables()["2 %"]
    with tempfile.TemporaryDirectory() as folder:
        import polars as pl

        path = Path(folder, "t.csv")
        columns = {f"x{i}": column for i, column in enumerate(x.T)}
        pl.DataFrame(columns | {"y": y}).write_csv(path)
        content = {
            "data": {"path": str(path), "labels": ["y"]},
            "models": ["lightgbm"],
            "arms": ["none", "pos_weight", "focal", "asymmetric", "class_balanced",
                     "weighted_sampling"],
            "seeds": 1,
            "compute": {"threads": 1},
        }  # fmt: skip
        begun = time.perf_counter()
        run_study(parse_study(content), out=Path(folder, "out"))
        whole = time.perf_counter() - begun
        study = parse_study({**content, "models": [], "arms": [
            {"method": a, "model": "lightgbm"} for a in content["arms"]]})  # fmt: skip
        plan = make_plan(study, check=False)
        begun = time.perf_counter()
        for job in (*plan.jobs, *plan.more):
            engine: Any = plan.engine_of(job)
            engine._fit(job, {}, with_test=True)
        alone = time.perf_counter() - begun
    print(f"6 arms x 5 folds: {whole:.1f} s, the fits alone {alone:.1f} s, {whole / alone:.2f}")
    return [Row("arms", "lightgbm", "75,000 x 8", "", whole, alone, whole / alone, 0.0, 0.0, 0.0)]


def main(arguments: list[str] | None = None) -> None:
    """Run the parts and print their lines."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.boosters")
    parser.add_argument("--only", default="probabilities,cost,arms")
    parser.add_argument("--on", default=",".join(BOOSTERS))
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args(arguments)
    conditions = facts()
    print_conditions(conditions)
    rows: list[Row] = []
    parts = {"probabilities": probabilities, "cost": cost, "arms": arms}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in chosen.only.split(","):
            rows += parts[name](chosen.on.split(","))
    write_results(chosen.out, conditions, rows)


if __name__ == "__main__":
    main()
