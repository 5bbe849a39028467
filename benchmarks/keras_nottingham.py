"""Real piano rolls in Keras: which keys sound next, of 88 of which 30 never do.

    python -m benchmarks.keras_nottingham Nottingham.npz [--out nottingham.json] [--epochs 6]

The file holds `Ypacked` (np.packbits along axis 1, 88 keys per step), `offsets` (where tunes begin)
and `split` (0 train, 1 valid, 2 test, one per tune). A row is a step and the eight before it; the
network is an LSTM of 64 and one output per key. Every arm trains on the same rows, has thresholds
tuned on the validation tunes and is judged on the test tunes. KERAS_BACKEND chooses the backend.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression

import equipoise as eq
from benchmarks.machine import facts, print_setup
from equipoise.keras import RowBatches, initialise_prior_bias
from equipoise.keras.losses import AsymmetricLoss, BCELoss, Loss, PosWeightBCELoss
from equipoise.metrics import f_beta, macro_average

KEYS, CONTEXT, EVERY = 88, 8, 8
EPOCHS, BATCH = 6, 256


@dataclass(frozen=True)
class Part:
    """Windows of steps, and the keys of the step behind each."""

    x: np.ndarray
    labels: eq.Labels


@dataclass(frozen=True)
class Result:
    """One arm and seed on the test tunes."""

    arm: str
    seed: int
    macro_ap: float
    low: float
    high: float
    keys: int
    f1_at_half: float
    f1_tuned: float
    seconds: float


def read(path: Path) -> dict[str, Part]:
    """Return the parts; every eighth step of a tune is a row."""
    file = np.load(path, allow_pickle=False)
    rolls = np.unpackbits(file["Ypacked"], axis=1)[:, :KEYS].astype(np.float32)
    offsets, split = file["offsets"], file["split"]
    found = {}
    for code, name in enumerate(("train", "val", "test")):
        rows, tunes = [], []
        for tune in np.flatnonzero(split == code):
            steps = np.arange(offsets[tune] + CONTEXT, offsets[tune + 1], EVERY)
            rows.append(steps)
            tunes.append(np.full(steps.size, tune))
        at = np.concatenate(rows)
        x = np.stack([rolls[at - back] for back in range(CONTEXT, 0, -1)], axis=1)
        hot = rolls[at].astype(np.int8)
        ids = [f"{name}-{i}" for i in range(at.size)]
        labels = eq.Labels.from_array(hot, kind="multilabel", ids=ids, groups=np.concatenate(tunes))
        found[name] = Part(x, labels)
    return found


def network(activation: str | None = None) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((None, KEYS)),
            keras.layers.LSTM(64),
            keras.layers.Dense(KEYS, activation=activation),
        ]
    )


Outputs = tuple[np.ndarray, np.ndarray, eq.Correction | None, str]


def class_weight(labels: eq.Labels) -> dict[int, float]:
    counts = labels.counts
    return {k: counts.sum() / KEYS / n for k, n in enumerate(counts) if n}


def heaviest(labels: eq.Labels, share: float = 0.02) -> tuple[float, float]:
    """Return the largest weight that Keras gives a row, and what the heaviest rows hold of all."""
    weight = class_weight(labels)
    rows = np.sort([weight.get(int(k), 1.0) for k in labels.values.argmax(1)])[::-1]
    return rows[0], rows[: round(share * rows.size)].sum() / rows.sum()


def as_posted(parts: dict[str, Part], epochs: int, *, weighted: bool = True) -> Outputs:
    """Class weights by count, categorical accuracy; the epoch is the last."""
    train = parts["train"]
    weight = class_weight(train.labels) if weighted else None
    model = network("sigmoid")
    model.compile("adam", "binary_crossentropy", metrics=["categorical_accuracy"])
    model.fit(
        train.x,
        train.labels.values.astype(np.float32),
        batch_size=BATCH,
        epochs=epochs,
        class_weight=weight,
        verbose=0,
    )
    val, test = (model.predict(parts[p].x, batch_size=1024, verbose=0) for p in ("val", "test"))
    return val, test, None, "probabilities"


def with_loss(
    parts: dict[str, Part],
    epochs: int,
    *,
    make: Callable[[eq.Labels], Loss],
    draw: str | None = None,
) -> Outputs:
    """A loss on logits from the prior; rows shuffled, or drawn by a rule."""
    train = parts["train"]
    model, loss = network(), make(train.labels)
    initialise_prior_bias(model.layers[-1], train.labels)
    model.compile("adam", loss)
    batches = RowBatches(train.x, train.labels, batch_size=BATCH, draw=draw)
    model.fit(batches, epochs=epochs, shuffle=False, verbose=0)
    undo = loss.correction()
    if draw is not None:
        undo = undo.then(batches.correction())
    val, test = (model.predict(parts[p].x, batch_size=1024, verbose=0) for p in ("val", "test"))
    return val, test, undo, "logits"


def logistic(parts: dict[str, Part], _epochs: int) -> Outputs:
    """One regression per key on the mean of the eight steps."""
    pooled = {name: part.x.mean(1) for name, part in parts.items()}
    found = {name: np.full((len(parts[name].x), KEYS), -20.0) for name in ("val", "test")}
    for key, y in enumerate(parts["train"].labels.values.T):
        if y.any():
            fitted = LogisticRegression(max_iter=300).fit(pooled["train"], y)
            for name, values in found.items():
                values[:, key] = fitted.decision_function(pooled[name])
    return found["val"], found["test"], None, "logits"


def weighted(labels: eq.Labels) -> Loss:
    return PosWeightBCELoss.from_label_counts(
        labels, power=0.5, cap=10, zero_counts="ignore", from_logits=True
    )


def plain(_labels: eq.Labels) -> Loss:
    return BCELoss(from_logits=True)


def asymmetric(_labels: eq.Labels) -> Loss:
    return AsymmetricLoss(from_logits=True)


ARMS: dict[str, Callable[[dict[str, Part], int], Outputs]] = {
    "as posted": as_posted,
    "without class_weight": partial(as_posted, weighted=False),
    "BCE": partial(with_loss, make=plain),
    "pos_weight": partial(with_loss, make=weighted),
    "asymmetric": partial(with_loss, make=asymmetric),
    "rows by max rule": partial(with_loss, make=plain, draw="max"),
    "logistic regression": logistic,
}


def judge(arm: str, seed: int, parts: dict[str, Part], epochs: int) -> Result:
    keras.utils.set_random_seed(seed)
    start = time.perf_counter()
    val, test, undo, kind = ARMS[arm](parts, epochs)
    seconds = time.perf_counter() - start
    scores = {
        part: eq.Scores.from_arrays(
            parts[part].labels, split=part, correction=undo, check_kind=False, **{kind: values}
        )
        for part, values in (("val", val), ("test", test))
    }
    rule = eq.tune(scores["val"], objective="f1", seed=seed)
    macro = eq.evaluate(rule, scores["test"]).overall["macro"]
    cut = (test >= (0.5 if kind == "probabilities" else 0.0)).astype(int)
    half = macro_average(f_beta(parts["test"].labels.values, cut)).value
    ap, f1 = macro["ap"], macro["f1"].value
    keys = int((parts["test"].labels.counts > 0).sum())
    return Result(arm, seed, ap.value, ap.low, ap.high, keys, half, f1, seconds)


def show(results: list[Result], parts: dict[str, Part]) -> None:
    share = parts["test"].labels.prevalence
    some = share[parts["test"].labels.counts > 0]
    print("| arm | macro AP, mean over seeds | seeds | macro F1 at 0.5 | tuned | seconds |")
    print("|---|---|---|---|---|---|")
    print(f"| prevalence | {some.mean():.3f} | | | | |")
    for arm in dict.fromkeys(r.arm for r in results):
        own = [r for r in results if r.arm == arm]
        ap = [r.macro_ap for r in own]
        mean = {k: np.mean([getattr(r, k) for r in own]) for k in ("f1_at_half", "f1_tuned")}
        print(
            f"| {arm} | {np.mean(ap):.3f} | {min(ap):.3f} to {max(ap):.3f} | "
            f"{mean['f1_at_half']:.3f} | {mean['f1_tuned']:.3f} | "
            f"{np.mean([r.seconds for r in own]):.0f} |"
        )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.keras_nottingham")
    parser.add_argument("path", type=Path, help="Nottingham.npz")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--arms", default=",".join(ARMS), help="arms, separated by commas")
    parser.add_argument("--out", type=Path, help="write results and conditions as JSON")
    chosen = parser.parse_args(arguments)
    parts = read(chosen.path)
    conditions = facts()
    versions = {**conditions["versions"], "keras": version("keras")}  # type: ignore[dict-item]
    conditions |= {"versions": versions, "keras_backend": keras.backend.backend()}
    print_setup(conditions, threads=True)
    rows = {name: len(part.labels) for name, part in parts.items()}
    never = int((parts["train"].labels.counts == 0).sum())
    print(f"rows {rows}; {never} of {KEYS} keys without a positive in training")
    most, held = heaviest(parts["train"].labels)
    print(f"as posted, rows weigh up to {most:.0f}, and 2 % hold {held:.0%} of the weight\n")
    results = []
    for seed in range(chosen.seeds):
        for arm in chosen.arms.split(","):
            results.append(judge(arm, seed, parts, chosen.epochs))
            print(f"seed {seed}, {arm}: macro AP {results[-1].macro_ap:.3f}", file=sys.stderr)
    show(results, parts)
    if chosen.out is not None:
        conditions["epochs"] = chosen.epochs
        body = {**conditions, "rows": rows, "never": never, "results": [asdict(r) for r in results]}
        chosen.out.write_text(json.dumps(body, indent=2) + "\n")


if __name__ == "__main__":
    main()
