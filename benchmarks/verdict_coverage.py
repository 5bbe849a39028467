"""How often the interval of a paired gain holds the truth, with real learners on small data.

    python -m benchmarks.verdict_coverage [--data-sets 20] [--cells net lr] [--out coverage.json]

Each data set has 750 rows, 8 features and 2 labels that depend on them in a non-linear way. Two
arms, plain and weighted, share 5 stratified folds, drawn anew in each of 5 repeats. Two designs are
judged by what judges a real comparison (`equipoise.metrics.pair_over_seeds`):

- crossed: every row is tested by the model that did not see it, AP is averaged within folds;
- apart: the first model of each repeat, on a test set of its own with as many rows as a fold.

The truth is the mean gain of 40 models of 8 fresh partitions of the same rows, on fresh rows. The
gain to be expected of another data set of this size is the mean of the truths over data sets.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit
from sklearn import config_context
from sklearn.tree import ExtraTreeRegressor

from benchmarks.machine import Column, facts, print_head, print_row, print_setup, write_results
from equipoise.comparison.verdict import judge, levels_of, words
from equipoise.metrics import (
    Influence,
    average_precision_influence,
    macro_influence,
    mean_over_folds,
    pair_over_seeds,
)
from equipoise.metrics.paired import PairedDifference

Array = NDArray[Any]
# Of an arm, a model and rows: their scores, one column per label.
Score = Callable[[int, int, Array], Array]

ROWS, FEATURES, LABELS, FOLDS, REPEATS = 750, 8, 2, 5, 5
TRUTH_REPEATS, FRESH = 8, 15_000
GROUP, GROUP_NOISE = 3, 0.1
LEVEL, ROPE, ALPHA = 0.95, 0.01, 0.05
DESIGNS = ("crossed", "apart")
DATA_SETS = {"lr": 100, "trees": 60, "net": 100}  # trees take longest
STREAM = 3107


@dataclass(frozen=True)
class Cell:
    """A learner and the data that it is given.

    Args:
        learner: Of :data:`LEARNERS`.
        positives: Of each label per fold, on average.
        grouped: Whether rows come in threes that share labels and, but for little, features.
    """

    learner: str
    positives: int
    grouped: bool = False

    @property
    def name(self) -> str:
        return f"{self.learner}{self.positives}{' grouped' if self.grouped else ''}"


CELLS = (
    *(Cell(learner, k) for k in (5, 10, 30) for learner in ("lr", "trees", "net")),
    *(Cell(learner, 30, grouped=True) for learner in ("lr", "trees", "net")),
    *(Cell(learner, 3) for learner in ("lr", "trees", "net")),
)


# --- data -------------------------------------------------------------------------------------


def signal(x: Array) -> Array:
    """Return (N, 2) log-odds up to an intercept: linear parts, products and squares."""
    first = x[:, 0] + 0.7 * x[:, 1] - 0.5 * x[:, 2] + 0.9 * x[:, 3] * x[:, 4] + 0.4 * x[:, 5] ** 2
    other = 0.8 * x[:, 1] - 0.8 * x[:, 6] + 0.7 * x[:, 0] * x[:, 7] - 0.6 * np.abs(x[:, 3])
    return 2.0 * np.stack([first, other], axis=1)


@cache
def intercepts(prevalence: float) -> tuple[float, ...]:
    z = signal(np.random.default_rng(STREAM).normal(size=(200_000, FEATURES)))
    return tuple(
        float(brentq(lambda a, c=column: expit(a + c).mean() - prevalence, -20, 20))
        for column in z.T
    )


def draw(
    rng: np.random.Generator, n: int, prevalence: float, group: int, noise: float
) -> tuple[Array, Array]:
    """Return features (n, 8) and labels (n, 2); rows of a group follow each other."""
    centre = rng.normal(size=(n // group, FEATURES))
    chance = expit(signal(centre) + np.array(intercepts(prevalence)))
    y = (rng.random(chance.shape) < chance).astype(np.int8)
    x = np.repeat(centre, group, axis=0)
    if noise > 0:
        x = x + noise * rng.normal(size=x.shape)
    return x.astype(np.float32), np.repeat(y, group, axis=0)


def folds(rng: np.random.Generator, y: Array, group: int) -> Array:
    """Return (n,) which fold each row is in; groups stay together, labels are spread evenly."""
    kind = y[::group] @ np.array([1, 2])
    order = np.lexsort((rng.random(kind.size), kind))
    fold = np.empty(kind.size, dtype=np.int64)
    fold[order] = np.arange(kind.size) % FOLDS
    return np.repeat(rng.permutation(FOLDS)[fold], group)


# --- learners ---------------------------------------------------------------------------------


def _ratios(y: Array, train: Array) -> Array:
    """Return (B, 2) negatives per positive among the training rows (B, n) of each model."""
    positive = np.maximum(train @ y.astype(np.float64), 1.0)
    return np.asarray((train.sum(axis=1, keepdims=True) - positive) / positive)


def logistic(x: Array, y: Array, train: Array, _seed: int) -> Score:
    """Plain and class-weighted logistic regression, all models at once by Newton's method.

    Those of scikit-learn: L2 with C = 1, the intercept free, "balanced" weights.
    """
    wide = np.column_stack([np.ones(len(x)), x.astype(np.float64)])
    pairs = (wide[:, :, None] * wide[:, None, :]).reshape(len(x), -1)
    penalty = np.diag(np.r_[0.0, np.ones(FEATURES)])
    ratio, coefs = _ratios(y, train), np.empty((2, len(train), LABELS, FEATURES + 1))
    for arm in range(2):
        for label in range(LABELS):
            weight = train.astype(np.float64)
            if arm == 1:
                r = ratio[:, label, None]
                weight = weight * np.where(y[:, label] == 1, (1 + r) / 2, (1 + 1 / r) / 2)
            coefs[arm, :, label] = _newton(wide, pairs, y[:, label], weight, penalty)
    return lambda arm, model, rows: coefs[arm, model, :, 0] + rows @ coefs[arm, model, :, 1:].T


def _newton(wide: Array, pairs: Array, y: Array, weight: Array, penalty: Array) -> Array:
    size, width = len(weight), wide.shape[1]
    coef = np.zeros((size, width))
    for _ in range(50):
        p = expit(coef @ wide.T)
        slope = (weight * (p - y)) @ wide + coef @ penalty
        if np.abs(slope).max() < 1e-6:
            return coef
        bend = ((weight * p * (1 - p)) @ pairs).reshape(size, width, width) + penalty
        step = np.linalg.solve(bend, slope[..., None])[..., 0]
        # From 0 a full step may overshoot where positives are few.
        longest = np.abs(step).max(axis=1, keepdims=True)
        coef -= step * np.minimum(1.0, 3.0 / np.maximum(longest, 1e-12))
    message = "no convergence"
    raise ArithmeticError(message)


TREES = 5


def trees(x: Array, y: Array, train: Array, seed: int) -> Score:
    """Five extremely randomised trees for both labels, plain and with "balanced" weights.

    On labels of 0 and 1 squared error splits as Gini's index does.
    """
    ratio, truth = _ratios(y, train), y.astype(np.float64)
    forests: list[list[list[Any]]] = [[], []]
    with config_context(skip_parameter_validation=True):
        for model, rows in enumerate(train):
            at = np.flatnonzero(rows)
            weighted = np.ones(at.size)
            for label in range(LABELS):
                r = ratio[model, label]
                weighted *= np.where(y[at, label] == 1, (1 + r) / 2, (1 + 1 / r) / 2)
            for arm, weight in enumerate((np.ones(at.size), weighted)):
                grown = [
                    ExtraTreeRegressor(
                        max_depth=6,
                        min_samples_leaf=5,
                        max_features=4,
                        random_state=seed + TREES * model + tree,
                    ).fit(x[at], truth[at], sample_weight=weight, check_input=False)
                    for tree in range(TREES)
                ]
                forests[arm].append([one.tree_ for one in grown])

    def score(arm: int, model: int, rows: Array) -> Array:
        found = [tree.predict(rows)[..., 0] for tree in forests[arm][model]]
        return np.asarray(np.mean(found, axis=0))

    return score


HIDDEN, EPOCHS, BATCH, RATE = 10, 20, 120, 0.02


def net(x: Array, y: Array, train: Array, seed: int) -> Score:
    """Networks of 10 hidden units, plain and with the root of the class ratio on positives.

    All are trained at once, by Adam; the two arms share their start and their batches.
    """
    rng, size = np.random.default_rng(seed), len(train)
    start = [
        rng.normal(size=(size, FEATURES, HIDDEN)) / math.sqrt(FEATURES),
        np.zeros((size, 1, HIDDEN)),
        rng.normal(size=(size, HIDDEN, LABELS)) / math.sqrt(HIDDEN),
        np.full((size, 1, LABELS), -2.0),
    ]
    weights = [np.concatenate([w, w]).astype(np.float32) for w in start]
    moments = [(np.zeros_like(w), np.zeros_like(w)) for w in weights]
    root = np.sqrt(_ratios(y, train)).astype(np.float32)
    extra = np.concatenate([np.zeros_like(root), root - 1])[:, None, :]
    held = [np.flatnonzero(rows) for rows in train]
    steps, done = EPOCHS * (min(map(len, held)) // BATCH), 0
    for _ in range(EPOCHS):
        orders = [rng.permutation(rows) for rows in held]
        for first in range(0, min(map(len, held)) - BATCH + 1, BATCH):
            batch = np.stack([rows[first : first + BATCH] for rows in orders])
            inputs, truth = x[np.tile(batch, (2, 1))], y[np.tile(batch, (2, 1))]
            w1, b1, w2, b2 = weights
            inner = np.tanh(inputs @ w1 + b1)
            error = (expit(inner @ w2 + b2) - truth) * (1 + extra * truth) / BATCH
            back = error @ w2.transpose(0, 2, 1) * (1 - inner * inner)
            slopes = [
                inputs.transpose(0, 2, 1) @ back,
                back.sum(axis=1, keepdims=True),
                inner.transpose(0, 2, 1) @ error,
                error.sum(axis=1, keepdims=True),
            ]
            done += 1
            rate = RATE * 0.5 * (1 + math.cos(math.pi * done / steps))
            for weight, slope, (mean, square) in zip(weights, slopes, moments, strict=True):
                mean += 0.1 * (slope - mean)
                square += 0.01 * (slope * slope - square)
                root_square = np.sqrt(square / (1 - 0.99**done)) + 1e-8
                weight -= rate * mean / (1 - 0.9**done) / root_square
    w1, b1, w2, b2 = weights

    def score(arm: int, model: int, rows: Array) -> Array:
        at = arm * size + model
        return np.asarray(np.tanh(rows @ w1[at] + b1[at]) @ w2[at] + b2[at])

    return score


LEARNERS: dict[str, Callable[[Array, Array, Array, int], Score]] = {
    "lr": logistic,
    "trees": trees,
    "net": net,
}


# --- one data set -----------------------------------------------------------------------------


def population_ap(y: Array, scores: Array) -> float:
    """Return average precision of one label on many rows."""
    positive, negative = np.sort(scores[y == 1]), np.sort(scores[y == 0])
    hits = positive.size - np.searchsorted(positive, positive)
    return float((hits / (hits + negative.size - np.searchsorted(negative, positive))).mean())


def macro_ap(
    parts: Sequence[tuple[Array, Array, Array]], n: int, groups: Array | None = None
) -> Influence:
    """Return macro AP with influences, of each label the mean over parts that have positives.

    Args:
        parts: Places of the rows among all that are tested, their labels and their scores.
        n: How many are tested in all.
        groups: (n,) int codes of rows that belong together, or None.
    """
    labels = []
    for label in range(LABELS):
        positive, each = np.zeros(n, dtype=bool), []
        for at, truth, scores in parts:
            positive[at] = truth[:, label] == 1
            if positive[at].any():
                found = average_precision_influence(truth[:, label], scores[:, label])
                each.append((at, found))
        labels.append(mean_over_folds(each, positive, groups))
    return macro_influence(labels, n)


@dataclass(frozen=True)
class Outcome:
    """What one data set gave: its true gain, and the paired difference of each design."""

    truth: float
    truth_error: float
    found: dict[str, PairedDifference]


def simulate(cell: Cell, number: int, stream: int = STREAM) -> Outcome:
    """Draw one data set, train both arms on it and judge them."""
    known = list(LEARNERS).index(cell.learner), cell.positives, int(cell.grouped)
    rng = np.random.default_rng([stream, *known, number])
    group, noise = (GROUP, GROUP_NOISE) if cell.grouped else (1, 0.0)
    tested = ROWS // FOLDS
    prevalence = cell.positives / tested
    x, y = draw(rng, ROWS, prevalence, group, noise)
    apart_x, apart_y = draw(rng, tested, prevalence, group, noise)
    while not apart_y.any(axis=0).all():  # a stratified split would not leave a label out either
        apart_x, apart_y = draw(rng, tested, prevalence, group, noise)
    fresh_x, fresh_y = draw(rng, FRESH, prevalence, 1, noise)
    parts = [folds(rng, y, group) for _ in range(REPEATS + TRUTH_REPEATS)]
    train = np.stack([fold != k for fold in parts for k in range(FOLDS)])
    score = LEARNERS[cell.learner](x, y, train, int(rng.integers(2**30)))

    together = np.arange(ROWS) // group if group > 1 else None
    influences: dict[str, list[list[Influence]]] = {design: [[], []] for design in DESIGNS}
    for arm in range(2):
        for repeat in range(REPEATS):
            models = range(repeat * FOLDS, (repeat + 1) * FOLDS)
            held = [(m, np.flatnonzero(~train[m])) for m in models]
            crossed = [(at, y[at], score(arm, m, x[at])) for m, at in held]
            influences["crossed"][arm].append(macro_ap(crossed, ROWS, together))
            apart = np.arange(tested), apart_y, score(arm, models[0], apart_x)
            influences["apart"][arm].append(macro_ap([apart], tested))
    gains = np.zeros(TRUTH_REPEATS * FOLDS)
    for arm, sign in enumerate((-1, 1)):
        for i in range(gains.size):
            scores = score(arm, REPEATS * FOLDS + i, fresh_x)
            each = [population_ap(*pair) for pair in zip(fresh_y.T, scores.T, strict=True)]
            gains[i] += sign * np.mean(each)
    found = {
        design: pair_over_seeds(
            weighted,
            plain,
            groups=np.repeat(np.arange(weighted[0].n // group), group) if group > 1 else None,
            crossed=design == "crossed",
        )
        for design, (plain, weighted) in influences.items()
    }
    return Outcome(float(gains.mean()), float(gains.std(ddof=1) / math.sqrt(gains.size)), found)


# --- cells ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Coverage:
    """How one design did in one cell.

    Args:
        cell: Its name.
        design: "crossed" or "apart".
        data_sets: How many had an interval.
        held: How many intervals hold the gain on their own data set.
        held_expected: How many hold the gain to be expected at this sample size.
        gain: Mean true gain.
        gain_sd: Its standard deviation over data sets.
        bias: Mean of what was found less the truth.
        half_width: Mean half-width.
        z_sd: Root mean square of the distance from the truth in standard errors.
        undecided: Share that is undecided by the rules for one remedy.
        wrong: Share whose verdict contradicts the truth: a gain or harm of the wrong sign, or a
            bound on the wrong side of the truth.
    """

    cell: str
    design: str
    data_sets: int
    held: int
    held_expected: int
    gain: float
    gain_sd: float
    bias: float
    half_width: float
    z_sd: float
    undecided: float
    wrong: float


def summarise(cell: Cell, outcomes: Sequence[Outcome], design: str) -> Coverage:
    """Return how the intervals of one design did."""
    kept = [o for o in outcomes if not math.isnan(o.found[design].value)]
    truth = np.array([o.truth for o in kept])
    pairs = [o.found[design] for o in kept]
    intervals = [pair.interval(LEVEL) for pair in pairs]
    low, high = (np.array([getattr(i, end) for i in intervals]) for end in ("low", "high"))
    value, error = (np.array([getattr(p, part) for p in pairs])
                    for part in ("value", "standard_error"))  # fmt: skip
    df = [pair.df for pair in pairs]
    # Each data set is a study of its own with one remedy: nothing is adjusted.
    judged = judge(value[:, None], error[:, None], np.array(df)[:, None],
                   levels_of(REPEATS, None, 1, ALPHA), ROPE)  # fmt: skip
    said = words(judged, np.zeros((len(kept), 1), dtype=bool))[:, 0]
    wrong = (
        (judged.gain[:, 0] & (truth <= 0))
        | (judged.harm[:, 0] & (truth >= 0))
        | (judged.below[:, 0] & (truth > ROPE))
    )
    expected = float(truth.mean())
    return Coverage(
        cell=cell.name,
        design=design,
        data_sets=len(kept),
        held=int(((low <= truth) & (truth <= high)).sum()),
        held_expected=int(((low <= expected) & (expected <= high)).sum()),
        gain=expected,
        gain_sd=float(truth.std(ddof=1)),
        bias=float((value - truth).mean()),
        half_width=float(((high - low) / 2).mean()),
        z_sd=float(np.sqrt(np.mean(((value - truth) / error) ** 2))),
        undecided=float((said == "undecided").mean()),
        wrong=float(wrong.mean()),
    )


COLUMNS = (
    Column("cell", 15),
    Column("design", 8),
    Column("data sets", 9, right=True),
    Column("coverage", 8, right=True),
    Column("of expected", 11, right=True),
    Column("true gain", 9, right=True),
    Column("its sd", 7, right=True),
    Column("bias", 8, right=True),
    Column("half-width", 10, right=True),
    Column("z sd", 5, right=True),
    Column("undecided", 9, right=True),
    Column("wrong", 6, right=True),
    Column("seconds", 7, right=True),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.verdict_coverage", description=__doc__
    )
    parser.add_argument("--data-sets", type=int, help="per cell; by default 100, of trees 60")
    parser.add_argument("--cells", nargs="*", help="starts of their names; all if none is given")
    parser.add_argument("--stream", type=int, default=STREAM, help="of the random numbers")
    parser.add_argument("--out", type=Path, help="write the rows and their conditions as JSON")
    chosen = parser.parse_args(arguments)
    conditions = facts()
    print_setup(conditions, threads=False)
    print()
    print_head(COLUMNS)
    rows = []
    for cell in CELLS:
        if chosen.cells and not cell.name.startswith(tuple(chosen.cells)):
            continue
        before = time.perf_counter()
        number = chosen.data_sets or DATA_SETS[cell.learner]
        outcomes = [simulate(cell, i, chosen.stream) for i in range(number)]
        seconds = time.perf_counter() - before
        for design in DESIGNS:
            found = summarise(cell, outcomes, design)
            share, expected = found.held / found.data_sets, found.held_expected / found.data_sets
            print_row(COLUMNS, [
                cell.name, design, str(found.data_sets), f"{share:.3f}", f"{expected:.3f}",
                f"{found.gain:+.4f}", f"{found.gain_sd:.4f}", f"{found.bias:+.4f}",
                f"{found.half_width:.4f}", f"{found.z_sd:.2f}", f"{found.undecided:.2f}",
                f"{found.wrong:.2f}", f"{seconds:.0f}",
            ])  # fmt: skip
            rows.append(found)
    write_results(chosen.out, conditions, rows)


if __name__ == "__main__":
    main()
