"""Tables from `compare` and `refit` to a model, beside five things people do in five lines.

    python -m benchmarks.tables --data FOLDER [--only NAME,...] [--splits 5] [--seeds auto]
                                [--work FOLDER] [--out FILE]

FOLDER holds mammography.npz. The other tables are made here, each with its own trouble: rare
positives, frequent ones, categories of many values, gaps that tell, ten classes, five labels,
dates, a straight line, few rows. Of each split two thirds are compared and trained on, with the
defaults of a table; the last third is held out, for all alike. Finished splits are not run again.

Peers: LightGBM, cut at 0.5; scikit-learn's histogram booster under TunedThresholdClassifierCV (F1
for two classes); BalancedRandomForest; a random forest; logistic regression with balanced class
weights. They are given numbers with medians for gaps, dates in days, and categories of up to 40
values one-hot, or of more in the order of their names.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import t as student
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    precision_recall_curve,
)

import equipoise as eq
from benchmarks.machine import facts, print_conditions, write_results
from equipoise.cli.main import main as equipoise

Made = tuple[pl.DataFrame, list[str]]


def _base(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return rng.normal(size=(n, 10))


def _frame(x: NDArray[np.float64], **more: Any) -> pl.DataFrame:
    return pl.DataFrame({f"x{i}": column for i, column in enumerate(x.T)} | more)


def _draw(rng: np.random.Generator, log_odds: NDArray[np.float64]) -> NDArray[np.int64]:
    return (rng.random(len(log_odds)) < expit(log_odds)).astype(np.int64)


def rare(rng: np.random.Generator) -> Made:
    x = _base(rng, 9000)
    z = 1.5 * x[:, 0] * x[:, 1] + 1.2 * np.abs(x[:, 2]) + x[:, 3] - 6.0
    return _frame(x, y=_draw(rng, z)), ["y"]


def frequent(rng: np.random.Generator) -> Made:
    x = _base(rng, 3000)
    z = 2.0 * np.sin(2 * x[:, 0]) + x[:, 1] * x[:, 2] - 0.5
    return _frame(x, y=_draw(rng, z)), ["y"]


def categories(rng: np.random.Generator) -> Made:
    n = 6000
    x = _base(rng, n)[:, :4]
    shop, city = rng.integers(0, 12, n), rng.integers(0, 400, n)
    z = 1.3 * rng.normal(size=12)[shop] + rng.normal(size=400)[city] + x[:, 0] - 3.0
    names = {"shop": [f"shop {s}" for s in shop], "city": [f"C{c:03d}" for c in city]}
    return _frame(x, **names, y=_draw(rng, z)), ["y"]


def gaps(rng: np.random.Generator) -> Made:
    x = _base(rng, 5000)
    z = 1.5 * x[:, 0] + x[:, 1] ** 2 - 4.5
    gone = rng.random(x.shape) < expit(x - 1.0)
    z = z + 1.5 * gone[:, 4]
    y = _draw(rng, z)
    return _frame(np.where(gone, np.nan, x), y=y), ["y"]


def ten_classes(rng: np.random.Generator) -> Made:
    x = _base(rng, 6000)
    centre = 1.6 * rng.normal(size=(10, 10))
    prior = 0.65 ** np.arange(10)
    y = rng.choice(10, 6000, p=prior / prior.sum())
    x = x + centre[y] * (0.5 + 0.5 * np.abs(np.sin(x[:, :1])))
    return _frame(x, y=[f"k{c}" for c in y]), ["y"]


def five_labels(rng: np.random.Generator) -> Made:
    x = _base(rng, 4000)
    shared = x[:, 0] * x[:, 1]
    cuts = (-1.0, -2.0, -3.0, -4.0, -4.5)
    hot = {f"L{i}": _draw(rng, shared + 1.3 * x[:, i + 2] + cut) for i, cut in enumerate(cuts)}
    return _frame(x, **hot), list(hot)


def dates(rng: np.random.Generator) -> Made:
    n = 6000
    x = _base(rng, n)[:, :5]
    day = rng.integers(0, 1400, n)
    when = np.datetime64("2021-01-01") + day
    month = when.astype("datetime64[M]").astype(int) % 12
    weekend = (day + 4) % 7 >= 5
    z = x[:, 0] + 1.5 * np.isin(month, (10, 11)) + 1.2 * weekend - 3.8
    return _frame(x, when=[str(w) for w in when], y=_draw(rng, z)), ["y"]


def straight(rng: np.random.Generator) -> Made:
    x = _base(rng, 4000)
    return _frame(x, y=_draw(rng, x @ rng.normal(size=10) * 0.6 - 4.0)), ["y"]


def few_rows(rng: np.random.Generator) -> Made:
    x = _base(rng, 700)
    return _frame(x, y=_draw(rng, 1.4 * x[:, 0] + x[:, 1] - 3.0)), ["y"]


MADE: dict[str, Callable[[np.random.Generator], Made]] = {
    f.__name__: f
    for f in (rare, frequent, categories, gaps, ten_classes, five_labels, dates, straight, few_rows)
}


def table_of(name: str, data: Path) -> Made:
    if name == "mammography":
        held = np.load(data / "mammography.npz")
        return _frame(held["X"].astype(np.float64), y=held["y"].astype(np.int64)), ["y"]
    return MADE[name](np.random.default_rng([*MADE].index(name)))


@dataclass(frozen=True)
class Row:
    """One way on one split of a table."""

    table: str
    split: int
    way: str
    ap: float
    best_f1: float
    f1: float
    balanced_accuracy: float
    log_loss: float
    seconds: float
    remark: str = ""


def _numbers(train: pl.DataFrame, test: pl.DataFrame) -> tuple[Any, Any]:
    """What people do by hand before they fit."""
    columns: list[list[NDArray[Any]]] = [[], []]
    for name in train.columns:
        both = train[name], test[name]
        if train[name].dtype == pl.String and name == "when":
            both = tuple(s.str.to_date().cast(pl.Int64) for s in both)
        if both[0].dtype != pl.String:
            middle = both[0].drop_nans().median()
            for kept, series in zip(columns, both, strict=True):
                kept.append(series.cast(pl.Float64).fill_nan(middle).to_numpy())
            continue
        known = sorted(set(both[0].to_list()))
        place = {value: i for i, value in enumerate(known)}
        for kept, series in zip(columns, both, strict=True):
            codes = np.array([place.get(v, -1) for v in series.to_list()])
            if len(known) <= 40:
                kept.extend((codes == i).astype(float) for i in range(len(known)))
            else:
                kept.append(codes.astype(float))
    return tuple(np.stack(kept, axis=1) for kept in columns)


def _peers() -> dict[str, Callable[[], Any]]:
    from imblearn.ensemble import BalancedRandomForestClassifier
    from lightgbm import LGBMClassifier
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import TunedThresholdClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    tuned = lambda: TunedThresholdClassifierCV(  # noqa: E731
        HistGradientBoostingClassifier(random_state=0), scoring="f1", random_state=0
    )
    balanced = LogisticRegression(class_weight="balanced", max_iter=1000)
    return {
        "LightGBM at 0.5": lambda: LGBMClassifier(random_state=0, n_jobs=1, verbosity=-1),
        "HGB, tuned threshold": tuned,
        "BalancedRandomForest": lambda: BalancedRandomForestClassifier(
            sampling_strategy="all", replacement=True, bootstrap=False, random_state=0
        ),
        "random forest": lambda: RandomForestClassifier(random_state=0),
        "balanced logistic": lambda: make_pipeline(StandardScaler(), balanced),
    }


def _best_f1(y: NDArray[Any], p: NDArray[np.float64]) -> float:
    """F1 of the best threshold on the test rows themselves: what a ranking could reach."""
    precision, recall, _ = precision_recall_curve(y, p)
    return float(np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12)))


def _measure(truth: NDArray[Any], p: NDArray[np.float64], flags: NDArray[Any]) -> dict[str, float]:
    """Return metrics of labels (N, L) or classes (N,)."""
    p = np.clip(p, 1e-6, 1 - 1e-6)
    if truth.ndim == 1:
        classes = p.shape[1]
        hot = np.eye(classes)[truth]
        p = p / p.sum(1, keepdims=True)
        there = [c for c in range(classes) if hot[:, c].any()]
        return {
            "ap": float(np.mean([average_precision_score(hot[:, c], p[:, c]) for c in there])),
            "best_f1": f1_score(truth, flags, average="macro"),
            "f1": f1_score(truth, flags, average="macro"),
            "balanced_accuracy": balanced_accuracy_score(truth, flags),
            "log_loss": log_loss(truth, p, labels=range(classes)),
        }
    columns = range(truth.shape[1])
    f1 = float(np.mean([f1_score(truth[:, i], flags[:, i], zero_division=0) for i in columns]))
    return {
        "ap": float(np.mean([average_precision_score(truth[:, i], p[:, i]) for i in columns])),
        "best_f1": float(np.mean([_best_f1(truth[:, i], p[:, i]) for i in columns])),
        "f1": f1,
        "balanced_accuracy": float(
            np.mean([balanced_accuracy_score(truth[:, i], flags[:, i]) for i in columns])
        ),
        "log_loss": float(np.mean([log_loss(truth[:, i], p[:, i]) for i in columns])),
    }


def _ours(
    train: pl.DataFrame, test: pl.DataFrame, names: list[str], folder: Path, seeds: str
) -> tuple[NDArray[np.float64], NDArray[Any], str]:
    folder.mkdir(parents=True, exist_ok=True)
    train.write_csv(folder / "train.csv")
    out = folder / "out"
    label = ["--label", names[0]] if len(names) == 1 else ["--labels", ",".join(names)]
    words = ["compare", str(folder / "train.csv"), *label, "-o", str(out), "--set",
             f"seeds={seeds}", "--set", "compute.threads=1"]  # fmt: skip
    for command in (words, ["refit", str(out), "-o", str(folder / "model")]):
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            try:
                equipoise(command)
            except SystemExit as left:
                if left.code:
                    raise RuntimeError(said.getvalue()[-2000:]) from left
    model = eq.load(folder / "model")
    rows = test.drop(names)
    return model.predict_proba(rows), model.predict(rows), f"{model.facts['arm']} on {model.family}"


def run_split(name: str, split: int, data: Path, work: Path, seeds: str) -> list[Row]:
    frame, names = table_of(name, data)
    rng = np.random.default_rng([split, 77])
    strata = frame[names[-1]].to_list()
    test = np.zeros(frame.height, dtype=bool)
    for value in sorted(set(strata)):
        rows = rng.permutation([i for i, v in enumerate(strata) if v == value])
        test[rows[: len(rows) // 3]] = True
    parts = frame.filter(pl.Series(~test)), frame.filter(pl.Series(test))
    several = parts[0][names[0]].dtype == pl.String
    classes = sorted(set(frame[names[0]].to_list())) if several else []

    def truth_of(part: pl.DataFrame) -> NDArray[Any]:
        if several:
            return np.array([classes.index(v) for v in part[names[0]].to_list()])
        return part.select(names).to_numpy()

    truth = truth_of(parts[1])
    found = []
    begun = time.perf_counter()
    p, flags, remark = _ours(*parts, names, work / f"{name}_{split}", seeds)
    seconds = time.perf_counter() - begun
    found.append(Row(name, split, "equipoise", **_measure(truth, p, flags), seconds=seconds,
                     remark=remark))  # fmt: skip
    x, x_test = _numbers(parts[0].drop(names), parts[1].drop(names))
    y = truth_of(parts[0])
    for way, make in _peers().items():
        begun = time.perf_counter()
        columns = [y] if several else list(y.T)
        p_all, flags_all = [], []
        for column in columns:
            if several and way.startswith("HGB"):
                from sklearn.ensemble import HistGradientBoostingClassifier

                model = HistGradientBoostingClassifier(random_state=0)  # it tunes two classes alone
            else:
                model = make()
            model.fit(x, column)
            made = model.predict_proba(x_test)
            p_all.append(made if several else made[:, 1])
            flags_all.append(model.predict(x_test))
        p = p_all[0] if several else np.stack(p_all, 1)
        flags = flags_all[0] if several else np.stack(flags_all, 1)
        seconds = time.perf_counter() - begun
        found.append(Row(name, split, way, **_measure(truth, p, flags), seconds=seconds))
    return found


def summary(rows: list[Row]) -> list[str]:
    """Per table and metric: ours, the best peer, and the difference with its 95 % interval.

    Differences of splits of one table are not independent: their variance is that of Nadeau and
    Bengio (2003), 1/S + 1/2 for a third that is tested.
    """
    lines = [
        f"{'table':<14}{'metric':<20}{'equipoise':>10}  {'best peer':<24}{'':>8}{'difference'}"
    ]
    for name in dict.fromkeys(r.table for r in rows):
        own = {r.split: r for r in rows if r.table == name and r.way == "equipoise"}
        for metric in ("ap", "best_f1", "f1", "balanced_accuracy", "log_loss", "seconds"):
            sign = -1.0 if metric in ("log_loss", "seconds") else 1.0
            peers = [r for r in rows if r.table == name and r.way != "equipoise"]
            means = {
                way: np.mean([getattr(r, metric) for r in peers if r.way == way])
                for way in dict.fromkeys(r.way for r in peers)
            }
            best = max(means, key=lambda w: sign * means[w])
            pairs = [(getattr(own[r.split], metric), getattr(r, metric))
                     for r in rows if r.table == name and r.way == best]  # fmt: skip
            d = np.array([a - b for a, b in pairs])
            mine = float(np.mean([a for a, _ in pairs]))
            spread = ""
            if len(d) > 1:
                error = np.sqrt((1 / len(d) + 0.5) * d.var(ddof=1))
                half = error * student.ppf(0.975, len(d) - 1)
                spread = f" [{d.mean() - half:+.3f}, {d.mean() + half:+.3f}]"
            lines.append(f"{name:<14}{metric:<20}{mine:>10.3f}  {best:<24}{means[best]:>8.3f}"
                         f"{d.mean():+9.3f}{spread}")  # fmt: skip
    return lines


def main(arguments: list[str] | None = None) -> None:
    """Run the splits that are missing, and print each table's lines."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables")
    parser.add_argument("--data", type=Path, required=True)
    names = ["mammography", *MADE]
    parser.add_argument("--only", default=",".join(names))
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--seeds", default="auto")
    parser.add_argument("--work", type=Path, default=Path("equipoise_runs/tables"))
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args(arguments)
    conditions = facts()
    print_conditions(conditions)
    rows: list[Row] = []
    for name in chosen.only.split(","):
        for split in range(chosen.splits):
            kept = chosen.work / f"{name}_{split}.json"
            if not kept.is_file():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found = run_split(name, split, chosen.data, chosen.work, chosen.seeds)
                kept.write_text(json.dumps([asdict(row) for row in found]))
            rows += [Row(**row) for row in json.loads(kept.read_text())]
        own = [r for r in rows if r.table == name]
        print("\n".join(summary(own)[0 if len(own) == len(rows) else 1 :]), flush=True)
        print("  ", [r.remark for r in own if r.way == "equipoise"], flush=True)
    write_results(chosen.out, conditions, rows)


if __name__ == "__main__":
    main()
