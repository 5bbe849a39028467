"""What `print` shows of an evaluation and a comparison is what the command line shows."""

from __future__ import annotations

import numpy as np

from equipoise.artifacts import Labels, Scores, Split, Trial
from equipoise.comparison import compare, evaluate
from equipoise.decisions import tune


def scores(split: str, seed: int, n_labels: int) -> Scores:
    rng = np.random.default_rng(seed)
    hot = (rng.random((400, n_labels)) < 0.2).astype(int)
    names = [f"L{i:02d}" for i in range(n_labels)]
    labels = Labels.from_array(hot, kind="multilabel", names=names)
    logits = 2 * hot - 2 + rng.normal(size=hot.shape)
    return Scores.from_arrays(labels, logits=logits, split=split)  # type: ignore[arg-type]


def test_an_evaluation_prints_its_table_and_no_more() -> None:
    found = evaluate(tune(scores("val", 0, 23)), scores("test", 1, 23))
    text = str(found)
    assert len(text) < 6_000
    assert text.startswith("macro AP 0.")
    assert all(f"L{i:02d}" in text for i in range(23))
    assert "Calibration" not in text
    assert "Calibration" in found.text(everything=True)


def test_long_tables_show_the_rarest_and_say_how_to_see_all() -> None:
    found = evaluate(tune(scores("val", 0, 40)), scores("test", 1, 40))
    assert "the 30 rarest of 40 labels; all of them: text(everything=True)" in str(found)
    assert "all of them: --all" in found.text(more="--all")


def test_a_comparison_prints_its_verdicts() -> None:
    parts = {"val": scores("val", 0, 3), "test": scores("test", 1, 3)}
    counts = {f"L{i:02d}": 80 for i in range(3)}
    trials = [
        Trial(method, seed, {}, 900, 400, counts, {}, [], parts)
        for method in ("none", "pos_weight")
        for seed in range(2)
    ]
    result = compare(trials, title="Three labels")
    lines = str(result).splitlines()
    assert lines[0] == "Three labels"
    assert any(line.endswith("verdict") for line in lines)
    assert lines[-1] == result.summary[1]


def test_a_rule_a_split_and_scores_print_what_they_hold() -> None:
    val = scores("val", 0, 3)
    rule = tune(val)
    text = str(rule)
    assert text.splitlines()[0].split()[:4] == ["label", "grade", "calibration", "threshold"]
    assert all(f"L{i:02d}" in text for i in range(3))
    assert len(str(tune(scores("val", 0, 60))).splitlines()) < 50
    counts = [int(n) for n in val.require_labels().counts]
    told = f"{sum(counts)} positives, {min(counts)} to {max(counts)} each"
    assert str(val) == f"logits of 400 val rows, 3 labels: {told}"
    split = Split.from_parts([0, 2], [1], [3], n_rows=5, seed=4, method="by hand")
    assert str(split) == "5 rows, by hand, seed 4: 2 train, 1 val, 1 test, 1 left out"
