"""How often the verdict is right where the truth is known: shifts, real gains, and nothing at all.

200 studies each, their seeds fixed beforehand. Every training run has a direction of its own, in
validation and test rows alike, and each seed has validation rows of its own; test rows are shared.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from equipoise.artifacts import Labels, Scores, Trial
from equipoise.comparison import compare
from equipoise.metrics import average_precision

pytestmark = pytest.mark.slow
STUDIES, SEEDS = 200, 5
PREVALENCE = np.array([0.3, 0.1])
N_TEST, N_VAL, N_TRAIN = 2000, 400, 2000
# Scores are 1.5 apart for the two sides of a label; 0.091 more is 0.03 in macro AP.
DISTANCE, BETTER = 1.5, 0.091


def rows(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    y = (rng.random((n, 2)) < PREVALENCE).astype(np.int8)
    return y, rng.normal(size=(n, 2))


def study(
    stream: int, number: int, remedies: dict[str, tuple[float, float]], noise: float = 0.07
) -> list[Trial]:
    """Trials of "none" and of remedies, each with what it adds to distance and to all outputs."""
    rng = np.random.default_rng([stream, number])
    test = rows(rng, N_TEST)
    trials = []
    for seed in range(SEEDS):
        val = rows(rng, N_VAL)
        for name, (gain, shift) in {"none": (0.0, 0.0), **remedies}.items():
            scores = {}
            tilt = noise * rng.normal(size=(2, 2))
            for part, (y, e), offset in (("val", val, 10_000 * (seed + 1)), ("test", test, 0)):
                z = (DISTANCE + gain) * y + e
                z = 1.5 * z - 3 + np.tanh(e) @ tilt + shift
                z = z + noise * rng.normal(size=z.shape)
                labels = Labels.from_array(
                    y, kind="multilabel", names=["A", "B"], ids=np.arange(len(y)) + offset
                )
                scores[part] = Scores.from_arrays(labels, logits=z, split=part)  # type: ignore[arg-type]
            counts = {"A": 600, "B": 200}
            trials.append(Trial(name, seed, {}, N_TRAIN, N_VAL, counts, counts, [], scores))
    return trials


def verdicts(stream: int, remedies: dict[str, tuple[float, float]]) -> list[list[str]]:
    found = []
    for number in range(STUDIES):
        result = compare(study(stream, number, remedies))
        found.append([result.arm(name).gain.verdict for name in remedies])  # type: ignore[union-attr]
    return found


def test_a_pure_threshold_shift_is_rarely_called_a_gain_or_harm() -> None:
    found = Counter(v for (v,) in verdicts(101, {"shifted": (0.0, 1.5)}))
    assert found["ranking gain"] + found["harmful"] <= 18, found
    assert found["threshold only"] >= 10, found


def test_a_real_gain_is_found() -> None:
    rng = np.random.default_rng(0)
    y, e = rows(rng, 400_000)
    truth = [average_precision(y, d * y + e).mean() for d in (DISTANCE, DISTANCE + BETTER)]
    assert truth[1] - truth[0] == pytest.approx(0.03, abs=0.001)
    found = Counter(v for (v,) in verdicts(102, {"better": (BETTER, 0.0)}))
    assert found["ranking gain"] >= 150, found
    assert found["harmful"] == 0, found


def test_a_study_of_remedies_that_do_nothing_rarely_praises_or_blames_one() -> None:
    remedies = {f"remedy{k}": (0.0, 0.4 * k) for k in range(1, 4)}
    found = verdicts(103, remedies)
    wrong = sum(any(v in ("ranking gain", "harmful") for v in one) for one in found)
    assert wrong <= 18, wrong
