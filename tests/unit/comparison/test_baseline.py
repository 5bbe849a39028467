"""A baseline that hardly learns is said before any verdict; imbalance alone is no such thing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from equipoise.artifacts import Comparison, Labels, Scores, Trial
from equipoise.comparison import compare
from equipoise.comparison.baseline import baseline_findings

COUNTS = np.array([900, 60, 40])


def classes(seed: int, strength: float, loss: float, method: str = "none") -> Trial:
    """Classes of 90, 6 and 4 %; logits are those of the posterior, of the given strength."""
    scores = {}
    for part, stream in (("val", seed), ("test", 99)):
        rng = np.random.default_rng(stream)
        y = rng.choice(3, size=1000, p=COUNTS / 1000)
        z = strength * np.eye(3)[y] + rng.normal(size=(1000, 3)) + np.log(COUNTS / 1000)
        labels = Labels.from_array(y, kind="multiclass", names=["a", "b", "c"])
        scores[part] = Scores.from_arrays(labels, logits=z, split=part)
    return trial(method, seed, scores, dict(zip("abc", COUNTS.tolist(), strict=True)), loss)


def trial(
    method: str, seed: int, scores: dict[str, Scores], counts: dict[str, int], loss: float
) -> Trial:
    history = [{"epoch": 0, "loss": 2.0}, {"epoch": 1, "loss": loss}]
    return Trial(method, seed, {}, 1000, 1000, counts, {}, history, scores)


def tagged(seed: int, strength: float) -> Trial:
    scores = {}
    for part, stream in (("val", seed), ("test", 99)):
        rng = np.random.default_rng(stream)
        hot = (rng.random((2000, 2)) < (0.02, 0.1)).astype(int)
        labels = Labels.from_array(hot, kind="multilabel", names=["a", "b"])
        z = strength * hot - 4 + rng.normal(size=hot.shape)
        scores[part] = Scores.from_arrays(labels, logits=z, split=part)
    return trial("none", seed, scores, {"a": 20, "b": 100}, 0.2)


@pytest.mark.parametrize("strength", [0.0, 0.1])
def test_classes_that_were_not_learned_are_named(strength: float) -> None:
    (found,) = baseline_findings([classes(s, strength, loss=0.39) for s in range(3)])
    assert found.code == "EQ412"
    assert "0.33 by chance" in found.message
    assert "an answer that ignores the inputs has 0.392" in found.message
    assert "warm-up" in found.suggests[0]


def test_what_was_learned_by_heart_is_told_apart() -> None:
    (found,) = baseline_findings([classes(s, 0.0, loss=0.01) for s in range(3)])
    assert "by heart" in found.message
    assert "More data" in found.suggests[0]


def test_imbalance_alone_is_not_held_against_a_baseline() -> None:
    """It never answers the rare classes, and ranks them well."""
    trials = [classes(s, 1.5, loss=0.3) for s in range(3)]
    answers = trials[0].scores["val"].values.argmax(1)
    assert np.mean(answers == 0) > 0.95
    assert baseline_findings(trials) == []


@pytest.mark.parametrize(("strength", "named"), [(0.0, True), (0.1, True), (0.5, False)])
def test_labels_are_judged_by_how_they_are_ranked(strength: float, named: bool) -> None:
    assert bool(baseline_findings([tagged(s, strength) for s in range(5)])) is named


def test_few_positives_are_no_ground_to_judge() -> None:
    y = np.r_[np.ones(5, dtype=int), np.zeros(995, dtype=int)]
    labels = Labels.from_array(y, kind="multilabel", names=["a"])
    z = np.random.default_rng(0).normal(size=1000)
    scores = {p: Scores.from_arrays(labels, logits=z, split=p) for p in ("val", "test")}
    assert baseline_findings([trial("none", 0, scores, {"a": 5}, 0.1)]) == []


def test_a_verdict_says_it_first(tmp_path: Path) -> None:
    trials = [classes(s, 0.0, 0.39, m) for s in range(3) for m in ("none", "weighted_ce")]
    result = compare(trials)
    assert result.summary[0].startswith("The baseline hardly learns: ")
    assert str(result).splitlines()[1].startswith("EQ412: The baseline hardly learns")
    again = Comparison.load(result.save(tmp_path / "comparison.json"))
    assert [f.code for f in again.findings] == ["EQ412"]
    fine = [classes(s, 1.5, 0.3, m) for s in range(3) for m in ("none", "weighted_ce")]
    assert compare(fine).findings == ()
