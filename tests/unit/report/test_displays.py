"""Figures for notebooks: their numbers are those of scikit-learn and of the rule."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve

import equipoise as eq
from equipoise.errors import DataError, LeakageError, UsageError
from equipoise.metrics import reliability_curve

mpl.use("Agg")
import matplotlib.pyplot as plt

EXAMPLE = Path(__file__).parents[3] / "examples" / "notebook.ipynb"


@pytest.fixture(autouse=True)
def _closed() -> object:
    yield
    plt.close("all")


def scores(part: str, seed: int, kind: str = "multilabel", weighted: bool = False) -> eq.Scores:
    rng = np.random.default_rng(seed)
    if kind == "multilabel":
        y = (rng.random((500, 2)) < [0.3, 0.1]).astype(int)
        z, names = 2 * y - 2 + rng.normal(size=y.shape), ["A", "B"]
    else:
        y = rng.choice(3, 500, p=[0.6, 0.3, 0.1])
        z, names = 2 * np.eye(3)[y] + rng.normal(size=(500, 3)), ["a", "b", "c"]
    weights = rng.uniform(1, 4, 500) if weighted else None
    labels = eq.Labels.from_array(y, kind=kind, names=names, weights=weights)
    return eq.Scores.from_arrays(labels, logits=z, split=part)


@pytest.mark.parametrize("weighted", [False, True])
def test_precision_and_recall_are_those_of_scikit_learn(weighted: bool) -> None:
    test = scores("test", 1, weighted=weighted)
    y, z = test.require_labels().values[:, 1], test.values[:, 1]
    weights = test.require_labels().weights
    shown = eq.PrecisionRecallDisplay.from_scores(test, "B")
    precision, recall, _ = precision_recall_curve(y, z, sample_weight=weights)
    np.testing.assert_allclose(shown.recall, recall[:-1][::-1])
    np.testing.assert_allclose(shown.precision, precision[:-1][::-1])
    expected = average_precision_score(y, z, sample_weight=weights)
    assert shown.average_precision == pytest.approx(expected)
    again = eq.PrecisionRecallDisplay.from_predictions(y, z, sample_weight=weights, name="B")
    np.testing.assert_array_equal(again.recall, shown.recall)
    assert shown.ax_.get_legend_handles_labels()[1] == [f"B AP {expected:.3f}"]


@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
def test_a_rules_cut_is_where_the_rule_cuts(kind: str) -> None:
    rule, test = eq.tune(scores("val", 0, kind)), scores("test", 1, kind)
    shown = eq.PrecisionRecallDisplay.from_scores(
        test, "B" if kind == "multilabel" else "b", rule=rule
    )
    if kind == "multiclass":  # the offset of one class moves the others: no cut
        assert shown.chosen is None
        return
    flags, y = rule.apply(test).predictions[:, 1] == 1, test.require_labels().values[:, 1] == 1
    assert shown.chosen == pytest.approx(
        ((flags & y).sum() / y.sum(), (flags & y).sum() / flags.sum())
    )
    at = eq.ThresholdDisplay.from_scores(test, "B", rule=rule)
    place = int((at.threshold >= at.chosen).sum()) - 1
    assert at.f1[place] == pytest.approx(f1_score(y, flags))
    assert at.flagged[place] == pytest.approx(flags.mean())


def test_reliability_is_that_of_calibrated_probabilities() -> None:
    rule, test = eq.tune(scores("val", 0)), scores("test", 1)
    shown = eq.ReliabilityDisplay.from_scores(test, "A", rule=rule)
    p = rule.apply(test).probabilities[:, 0]
    expected = reliability_curve(test.require_labels().values[:, 0], p)
    for found, wanted in zip((shown.predicted, shown.observed, shown.rows), expected, strict=True):
        np.testing.assert_allclose(found, wanted)
    assert (shown.low <= shown.high).all()
    ranked = eq.Scores.from_arrays(test.require_labels(), ranking=test.values, split="test")
    with pytest.raises(UsageError, match="scores that only rank"):
        eq.ReliabilityDisplay.from_scores(ranked, "A")
    assert eq.PrecisionRecallDisplay.from_scores(ranked, "A").recall[-1] == 1
    plain = eq.ThresholdDisplay.from_scores(test, "A")  # the logits' own formula
    np.testing.assert_allclose(
        plain.threshold, np.unique(1 / (1 + np.exp(-test.values[:, 0])))[::-1]
    )
    with pytest.raises(DataError, match="probabilities in"):
        eq.ReliabilityDisplay.from_predictions([0, 1], [0.5, 3.0])


@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
def test_confusion_is_what_the_rule_says(kind: str) -> None:
    rule, test = eq.tune(scores("val", 0, kind)), scores("test", 1, kind)
    shown = eq.ConfusionDisplay.from_scores(test, rule=rule)
    assert shown.confusion is not None
    drawn = [text.get_text() for text in shown.ax_.texts]
    largest = shown.confusion.counts.max()
    assert f"{largest:,}" in drawn
    assert shown.ax_.get_ylabel() == "true"
    with pytest.raises(LeakageError):
        eq.ConfusionDisplay.from_scores(scores("val", 0, kind), rule=rule)


def test_a_comparison_shows_its_remedies() -> None:
    trials = []
    for method, strength in (("none", 0), ("better", 1), ("worse", -1)):
        for seed in (0, 1, 2):
            parts = {}
            for part, stream in (("val", seed + 10), ("test", 5)):
                made = scores(part, stream)
                moved = made.values + strength * made.require_labels().values
                parts[part] = eq.Scores.from_arrays(made.require_labels(), logits=moved, split=part)
            counts = {"A": 150, "B": 50}
            trials.append(eq.Trial(method, seed, {}, 500, 500, counts, {}, [], parts))
    result = eq.compare(trials)
    shown = eq.ComparisonDisplay.from_comparison(result)
    names = [tick.get_text() for tick in shown.ax_.get_yticklabels()]
    assert names == ["better", "worse"]
    points = [line.get_xdata()[0] for line in shown.ax_.lines if line.get_marker() == "o"]
    gains = [a.gain.primary.value for a in result.arms if a.method in names and a.gain]
    assert points == pytest.approx(gains)
    assert shown.ax_.get_xlabel() == "difference in macro AP from none"


def test_a_display_draws_where_it_is_told() -> None:
    figure, axes = plt.subplots(1, 2)
    test = scores("test", 1)
    shown = eq.PrecisionRecallDisplay.from_scores(test, "A", ax=axes[0])
    assert shown.ax_ is axes[0]
    assert shown.figure_ is figure
    shown.plot(axes[1], color="red", label="again")
    assert axes[1].lines[0].get_color() == "red"
    assert len(plt.get_fignums()) == 1
    with pytest.raises(UsageError, match="Name one of A, B"):
        eq.PrecisionRecallDisplay.from_scores(test)
    with pytest.raises(UsageError, match="must be one of the scores"):
        eq.PrecisionRecallDisplay.from_scores(test, "C")
    with pytest.raises(DataError, match="one label"):
        eq.PrecisionRecallDisplay.from_predictions(np.zeros((4, 2)), np.zeros((4, 2)))


def test_the_sample_notebook_runs_and_shows_what_it_holds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    book = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    names: dict[str, object] = {}
    for cell in book["cells"]:
        if cell["cell_type"] != "code":
            continue
        exec(compile("".join(cell["source"]), EXAMPLE.name, "exec"), names)  # noqa: S102
        printed = capsys.readouterr().out
        stored = "".join("".join(out.get("text", "")) for out in cell["outputs"])
        assert printed == stored
    assert len(plt.get_fignums()) >= 1
