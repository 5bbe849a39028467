"""How often verdicts are right, and how many seeds they take, where the truth is known.

    python -m benchmarks.verdict_power [--studies 2000] [--arms 8] [--out power.json]

Studies are simulated as differences of remedies from the untreated model: each remedy has a true
gain, an error from the test rows that all seeds share, and a spread over seeds whose logarithm
varies between remedies. Remedies share the baseline, so both errors are correlated by one half.
What judges them is what judges a real comparison (`equipoise.comparison.verdict`), look by look;
"before" is what judged them up to version 0.1: t with S - 1 degrees of freedom, the overlap of
training sets counted in, Holm, and no bound against a worthwhile gain.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from benchmarks.machine import Column, facts, print_head, print_row, print_setup
from equipoise.comparison.verdict import (
    LOOKS,
    judge,
    levels_of,
    moderate,
    words,
)
from equipoise.metrics import holm
from equipoise.metrics.paired import caution, degrees_of_freedom

ROPE, ALPHA = 0.01, 0.05
GAINS = (-0.02, -0.01, 0.0, 0.01, 0.02, 0.03)
OVERLAP = 0.25


@dataclass(frozen=True)
class Noise:
    """What stands between a study and the truth.

    Args:
        seed_sd: Typical standard deviation of a difference over seeds.
        log_sd: Standard deviation of its logarithm between remedies.
        row_error: Standard error of the test rows.
        row_df: Degrees of freedom that it is known with.
    """

    seed_sd: float = 0.010
    log_sd: float = 0.5
    row_error: float = 0.003
    row_df: float = 60.0


@dataclass(frozen=True)
class Verdicts:
    """What was said of N studies with K remedies, and after how many seeds, (N, K) each."""

    said: NDArray[np.str_]
    seeds: NDArray[np.int64]
    excludes_loss: NDArray[np.bool_]


def _correlated(rng: np.random.Generator, shape: tuple[int, ...], axis: int) -> NDArray[Any]:
    """Return normal deviates of which those along an axis are correlated by one half."""
    shared = list(shape)
    shared[axis] = 1
    return np.asarray((rng.normal(size=shape) + rng.normal(size=shared)) / math.sqrt(2))


def draw(
    rng: np.random.Generator, truth: ArrayLike, studies: int, noise: Noise
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return differences (N, K, 20) and the squared errors of rows as they are estimated (N, K)."""
    gain = np.asarray(truth, dtype=np.float64)
    size = (studies, gain.size)
    sd = noise.seed_sd * np.exp(noise.log_sd * rng.normal(size=size))
    rows = noise.row_error * _correlated(rng, size, 1)
    spread = _correlated(rng, (*size, LOOKS[-1]), 1) * sd[..., None]
    found = noise.row_error**2 * rng.chisquare(noise.row_df, size=size) / noise.row_df
    return gain[:, None] + rows[..., None] + spread, found


def judge_fixed(drawn: NDArray[Any], rows: NDArray[Any], n_seeds: int) -> Verdicts:
    """Judge studies with as many seeds as were decided beforehand."""
    part = drawn[..., :n_seeds]
    value, s2 = part.mean(axis=-1), part.var(axis=-1, ddof=1)
    seed, df = s2 / n_seeds, n_seeds - 1
    joined = degrees_of_freedom((caution(df) * seed, df), (rows, Noise.row_df))
    levels = levels_of(n_seeds, None, value.shape[-1], ALPHA)
    found = judge(value, np.sqrt(seed + rows), joined, levels, ROPE)
    return Verdicts(words(found, False), np.full(value.shape, n_seeds), found.above)


def judge_looks(drawn: NDArray[Any], rows: NDArray[Any]) -> Verdicts:
    """Judge studies whose remedies stop at the look that settles them."""
    shape = drawn.shape[:2]
    said = np.full(shape, "undecided", dtype="<U14")
    seeds, above = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=bool)
    is_open, kept, kept_df = np.ones(shape, dtype=bool), np.ones(shape), np.ones(shape)
    for look in LOOKS:
        part = drawn[..., :look]
        value = part.mean(axis=-1)
        # A settled remedy lends the spread of the seeds it has.
        kept = np.where(is_open, part.var(axis=-1, ddof=1), kept)
        kept_df = np.where(is_open, look - 1, kept_df)
        s2, df = moderate(kept, kept_df)
        seed = s2 / look
        joined = degrees_of_freedom((seed, df), (rows, Noise.row_df))
        levels = levels_of(look, LOOKS, shape[1], ALPHA)
        found = judge(value, np.sqrt(seed + rows), joined, levels, ROPE)
        now = words(found, False)
        said = np.where(is_open, now, said)
        above = np.where(is_open, found.above, above)
        seeds = np.where(is_open, look, seeds)
        is_open &= now == "undecided"
    return Verdicts(said, seeds, above)


def judge_before(drawn: NDArray[Any], rows: NDArray[Any], n_seeds: int) -> Verdicts:
    """Judge studies as up to version 0.1."""
    part = drawn[..., :n_seeds]
    value, s2 = part.mean(axis=-1), part.var(axis=-1, ddof=1)
    error = np.sqrt(s2 * (1 / n_seeds + OVERLAP) + rows)
    p = 2 * student.sf(np.abs(value) / error, n_seeds - 1)
    _, level = holm(p, alpha=ALPHA)
    reach = student.ppf(0.95, n_seeds - 1) * error
    equal = (value - reach >= -ROPE) & (value + reach <= ROPE)
    clear = np.where(value > 0, "ranking gain", "harmful")
    said = np.where(equal, "no effect", np.where(p <= level, clear, "undecided"))
    return Verdicts(said, np.full(value.shape, n_seeds), value - reach >= -ROPE)


def judge_paired_t(drawn: NDArray[Any], n_seeds: int) -> Verdicts:
    """Judge studies by a paired t test over seeds, Holm-adjusted: test rows are taken for all."""
    part = drawn[..., :n_seeds]
    value, error = part.mean(axis=-1), part.std(axis=-1, ddof=1) / math.sqrt(n_seeds)
    p = 2 * student.sf(np.abs(value) / error, n_seeds - 1)
    clear = np.where(value > 0, "ranking gain", "harmful")
    said = np.where(p <= holm(p, alpha=ALPHA)[1], clear, "undecided")
    return Verdicts(said, np.full(value.shape, n_seeds), np.zeros(value.shape, dtype=bool))


def judge_correlated_t(drawn: NDArray[Any], n_seeds: int) -> Verdicts:
    """Judge studies by the Bayesian correlated t test, each remedy by itself.

    The posterior of a difference is Student's with S - 1 degrees of freedom and variance
    s^2 (1 / S + rho / (1 - rho)), rho the share of test rows; what has 95 % of it is said.

    References:
        Corani and Benavoli (Machine Learning 2015), equation (8); the package baycomp.
    """
    part = drawn[..., :n_seeds]
    value, s2 = part.mean(axis=-1), part.var(axis=-1, ddof=1)
    scale = np.sqrt(s2 * (1 / n_seeds + OVERLAP))
    left = student.cdf(-ROPE, n_seeds - 1, value, scale)
    right = student.sf(ROPE, n_seeds - 1, value, scale)
    said = np.select(
        [1 - left - right >= 0.95, right >= 0.95, left >= 0.95, right <= 0.05],
        ["no effect", "ranking gain", "harmful", "not worth it"],
        "undecided",
    )
    return Verdicts(said, np.full(value.shape, n_seeds), left <= 0.05)


SCHEMES: dict[str, Any] = {
    "before, 5 seeds": lambda d, r: judge_before(d, r, 5),
    "5 seeds": lambda d, r: judge_fixed(d, r, 5),
    "auto": judge_looks,
}
WORDS = ("ranking gain", "no effect", "not worth it", "harmful", "undecided")
COLUMNS = (
    Column("seed sd", 7, right=True),
    Column("true gain", 9, right=True),
    Column("scheme", 15),
    *(Column(word, 12, right=True) for word in WORDS),
    Column("loss excluded", 13, right=True),
    Column("seeds", 5, right=True),
)


def power(studies: int, arms: int) -> list[dict[str, Any]]:
    """Return the share of each verdict where all arms but one do nothing, over true gains.

    The first remedy has the gain; the share is of its verdicts.
    """
    rows = []
    for sd in (0.008, 0.010):
        for gain in GAINS:
            rng = np.random.default_rng([int(1000 * sd), int(1000 * (gain + 1)), arms])
            truth = np.zeros(arms)
            truth[0] = gain
            drawn, errors = draw(rng, truth, studies, Noise(seed_sd=sd))
            for scheme, judged in SCHEMES.items():
                found = judged(drawn, errors)
                row: dict[str, Any] = {"seed_sd": sd, "gain": gain, "scheme": scheme}
                row |= {word: float((found.said[:, 0] == word).mean()) for word in WORDS}
                row["loss excluded"] = float(found.excludes_loss[:, 0].mean())
                row["seeds"] = float(found.seeds[:, 0].mean())
                rows.append(row)
    return rows


PEERS: dict[str, Any] = {
    "plain paired t": lambda d, _: judge_paired_t(d, 5),
    "correlated t": lambda d, _: judge_correlated_t(d, 5),
    **SCHEMES,
}
RATES = (
    "praised or blamed at 0, any",
    "excluded at +0.01",
    "settled at 0",
    "found at +0.02",
    "seeds at 0",
)


def peers(studies: int, arms: int) -> list[dict[str, Any]]:
    """Return errors and power of every way of judging, on the same studies.

    All remedies do nothing; all have a gain of exactly the region's end; the first has +0.02.
    """
    rng = np.random.default_rng([2015, arms])
    first = np.zeros(arms)
    first[0] = 0.02
    drawn = [draw(rng, truth, studies, Noise()) for truth in (np.zeros(arms), np.full(arms, ROPE),
                                                              first)]  # fmt: skip
    rows = []
    for name, judged in PEERS.items():
        none, edge, gain = (judged(*each) for each in drawn)
        decided = np.isin(none.said, ["ranking gain", "harmful"])
        excluded = np.isin(edge.said, ["no effect", "not worth it", "harmful"])
        values = (
            decided.any(axis=1).mean(),
            excluded.mean(),
            (none.said != "undecided").mean(),
            (gain.said[:, 0] == "ranking gain").mean(),
            none.seeds.mean(),
        )
        rows.append({"way": name, **dict(zip(RATES, map(float, values), strict=True))})
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdict_power", description=__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--arms", type=int, default=8)
    parser.add_argument("--out", type=Path, help="write the rows and their conditions as JSON")
    chosen = parser.parse_args(arguments)
    conditions = facts()
    print_setup(conditions, threads=False)
    size = f"{chosen.studies} studies per row, {chosen.arms} remedies"
    print(f"\n{size}, row error 0.003, rope {ROPE}\n")
    print_head(COLUMNS)
    rows = power(chosen.studies, chosen.arms)
    for row in rows:
        shares = [f"{row[word]:.3f}" for word in (*WORDS, "loss excluded")]
        cells = [f"{row['seed_sd']:.3f}", f"{row['gain']:+.2f}", row["scheme"], *shares]
        print_row(COLUMNS, [*cells, f"{row['seeds']:.1f}"])
    columns = (Column("way", 16), *(Column(rate, len(rate), right=True) for rate in RATES))
    print(f"\nSeed sd {Noise.seed_sd}, log sd {Noise.log_sd}, on the same studies\n")
    print_head(columns)
    beside = peers(chosen.studies, chosen.arms)
    for row in beside:
        print_row(columns, [row["way"], *(f"{row[rate]:.3f}" for rate in RATES)])
    if chosen.out is not None:
        body = {**conditions, "rows": rows, "peers": beside}
        chosen.out.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
