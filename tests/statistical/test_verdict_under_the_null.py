"""How often a remedy that does nothing is praised: never more than the level says."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.artifacts import Labels, Scores, Trial
from equipoise.comparison import compare

pytestmark = pytest.mark.slow
STUDIES = 80


def null_study(study: int, remedies: int = 3, seeds: int = 4) -> list[Trial]:
    """Methods that differ by training noise alone; each also moves its operating point."""
    rng = np.random.default_rng([7, study])
    prevalence = np.array([0.3, 0.1])

    def rows(n: int) -> tuple[np.ndarray, np.ndarray]:
        y = (rng.random((n, 2)) < prevalence).astype(np.int8)
        return y, 1.5 * (rng.normal(size=(n, 2)) + 1.5 * y) - 3

    test = rows(400)
    trials = []
    for seed in range(seeds):
        val = rows(200)
        for k in range(remedies + 1):
            scores = {}
            tilt = 0.4 * rng.normal(size=(2, 2))  # a training run's own direction, in every row
            for part, (y, z), offset in (("val", val, 10_000 * (seed + 1)), ("test", test, 0)):
                noisy = z + 0.5 * rng.normal(size=z.shape) + np.tanh(z) @ tilt + 0.8 * k
                labels = Labels.from_array(
                    y, kind="multilabel", names=["A", "B"], ids=np.arange(len(y)) + offset
                )
                scores[part] = Scores.from_arrays(labels, logits=noisy, split=part)  # type: ignore[arg-type]
            name = "none" if k == 0 else f"remedy{k}"
            counts = {"A": 300, "B": 100}
            trials.append(Trial(name, seed, {}, 1000, 200, counts, counts, [], scores))
    return trials


def test_a_remedy_without_effect_is_rarely_praised() -> None:
    praised, blamed, threshold, total = 0, 0, 0, 0
    for study in range(STUDIES):
        result = compare(null_study(study))
        verdicts = [a.gain.verdict for a in result.arms[2:] if a.gain]
        praised += "ranking gain" in verdicts
        blamed += "harmful" in verdicts
        threshold += result.arms[1].gain.verdict in ("threshold only", "no effect")  # type: ignore[union-attr]
        total += 1
    # Family-wise 5 % over both directions; three standard errors of slack.
    slack = 3 * np.sqrt(0.05 * 0.95 / STUDIES)
    assert (praised + blamed) / total <= 0.05 + slack
    assert threshold == total
