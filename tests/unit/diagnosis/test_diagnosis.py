"""Findings: each check on data that call for it, and on data that do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binomtest

from equipoise._core.codes import CODES
from equipoise.artifacts import Comparison, Labels, Scores, Split, Trial
from equipoise.artifacts.finding import SEVERITIES
from equipoise.comparison import compare
from equipoise.decisions import tune
from equipoise.diagnosis import ClassTable, Material, Setup, diagnose, explain, run_checks
from equipoise.diagnosis._power import half_width, positives_needed
from equipoise.diagnosis._registry import CHECKS, check
from equipoise.diagnosis.score_checks import wrap_unchecked
from equipoise.errors import UsageError
from equipoise.labels import counts_from

HEADINGS = [
    "What it checks",
    "Why it matters",
    "When it is fine",
    "Example",
    "What to do",
    "References",
]
FOUR = {"A": 19000, "B": 65000, "C": 38000, "D": 105000}
Options = dict[str, Any]


def hot(*columns: list[int]) -> Labels:
    return Labels.from_array(
        np.stack(columns, axis=1), kind="multilabel", names=list("ABC"[: len(columns)])
    )


def split_of(labels: Labels, test: list[int]) -> Split:
    train = [i for i in range(len(labels)) if i not in test]
    return Split.from_parts(train, [], test, n_rows=len(labels), seed=0, method="by hand")


def with_split(groups: list[int] | None, test: list[int], **options: Any) -> Options:
    labels = Labels.from_array([0, 0, 0, 1, 1, 1], kind="multiclass", groups=groups)
    return {"labels": labels, "split": split_of(labels, test), **options}


def scored(**values: Any) -> Options:
    rng = np.random.default_rng(0)
    truth = Labels.from_array((rng.random(400) < 0.1).astype(int), kind="multilabel", names=["A"])
    return {"scores": Scores.from_arrays(truth, split="val", **values)}


def spread(mean: float) -> np.ndarray:
    return np.clip(np.random.default_rng(1).normal(mean, 0.02, 400), 0.001, 0.999)


def raw(values: np.ndarray, score_kind: str) -> Options:
    return {"scores": wrap_unchecked(values, score_kind, "multilabel")}


def trained(recall: float = 0.5, **columns: list[float]) -> Options:
    length = len(next(iter(columns.values())))
    history = [{k: v[e] for k, v in columns.items()} | {"epoch": e} for e in range(length)]
    recalls = [{"epoch": e, "label": "A", "drawn": 9, "recall": recall} for e in range(length)]
    facts: Options = {"n_train": 9, "n_val": 9, "train_counts": {"A": 3}, "histogram": {}}
    return {
        "trial": Trial("none", 0, {}, history=history, label_history=recalls, scores={}, **facts)
    }


def set_up(n_rows: int | None = 1000, kind: str = "multilabel", **said: Any) -> Options:
    """Counts of a rare and a common label, and how a model is trained on them."""
    counts = {"A": 100, "B": 500} if kind == "multilabel" else {"A": 900, "B": 100}
    given: Options = {"counts": counts, "more": Material(setups=(Setup(**said),))}
    return given | ({"n_rows": n_rows} if kind == "multilabel" else {"kind": kind})


def table(**runs: tuple[list[float], list[float]]) -> Options:
    """Four classes of 50 test rows each; (recall, precision) of each run."""
    names = ("a", "b", "c", "d")
    made = ClassTable.from_columns(
        names, 50, {r: v[0] for r, v in runs.items()}, {r: v[1] for r, v in runs.items()}
    )
    return {"more": Material(classes=made)}


def memorised(test: float) -> Options:
    made = ClassTable.from_columns(
        ("a", "b"), 50, {"x": [0.9, test]}, {"x": [0.9, 0.9]}, {"x": [1.0, 1.0]}
    )
    return {"more": Material(classes=made)}


def two_runs(shift: float, noise: float) -> Options:
    rng = np.random.default_rng(0)
    y = (rng.random(2000) < 0.2).astype(int)
    z = 2.0 * y + rng.normal(size=2000) - 3
    labels = Labels.from_array(y, kind="multilabel", names=["A"])
    other = z + shift + noise * rng.normal(size=2000)
    one, two = (Scores.from_arrays(labels, logits=v, split="val") for v in (z, other))
    return {"scores": one, "more": Material(other=two)}


def ruled(overlap: int) -> Options:
    rng = np.random.default_rng(0)
    y = (rng.random(400) < 0.3).astype(int)
    z = 2.0 * y + rng.normal(size=400) - 1
    labels = Labels.from_array(y, kind="multilabel", names=["A"])
    parts = [
        Scores.from_arrays(labels[rows], logits=z[rows], split=split, ids=rows)
        for rows, split in ((np.arange(200), "val"), (np.arange(200, 400) - overlap, "test"))
    ]
    return {"scores": parts[1], "more": Material(rule=tune(parts[0]))}


def claims(gap: float) -> Options:
    rule = ruled(0)["more"].rule
    return {"more": Material(rule=replace(rule, claimed=rule.cross_fitted + gap))}


def compared(shift: float = 0.0, seeds: int = 5, n: int = 400, gain: float = 0.0) -> Comparison:
    trials = []
    for seed in range(seeds):
        for method, more, moved in (("none", 0.0, 0.0), ("remedy", gain, shift)):
            scores = {}
            for part, stream in (("val", 100 + seed), ("test", 7)):
                rng = np.random.default_rng(stream)
                y = (rng.random(n) < 0.3).astype(int)
                labels = Labels.from_array(y, kind="multilabel", names=["A"])
                z = (2 + more) * y + rng.normal(size=n) - 2 + moved
                scores[part] = Scores.from_arrays(labels, logits=z, split=part)
            trials.append(Trial(method, seed, {}, 900, 100, {"A": 270}, {}, [], scores))
    return compare(trials)


def deployed(share: float) -> Options:
    rng = np.random.default_rng(0)
    made = []
    for n, p in ((4000, 0.3), (4000, share)):
        y = (rng.random(n) < p).astype(int)
        # Scores that are true log-odds at a prevalence of 0.3.
        z = 3.0 * rng.normal(size=n) + 9 * y - 4.5 + np.log(0.3 / 0.7)
        made.append((y, z))
    labels = Labels.from_array(made[0][0], kind="multilabel", names=["A"])
    val = Scores.from_arrays(labels, logits=made[0][1], split="val")
    new = Scores.from_arrays(None, logits=made[1][1], split="new", kind="multilabel", names=["A"])
    return {"scores": val, "more": Material(new=new)}


def arms(**second: Any) -> Options:
    facts: Options = {"n_train": 9, "n_val": 9, "train_counts": {"A": 3}, "histogram": {}}
    one = Trial("none", 0, {"training": {"epochs": 5}}, history=[], scores={}, **facts)
    two = Trial("focal", 0, {"training": {"epochs": 5, **second}}, history=[], scores={}, **facts)
    return {"more": Material(trials=(one, two))}


def unlabelled(hidden: int, weight: float = 1.0) -> Options:
    """Rows from a known curve; some positives are not marked. A weight moves every output."""
    rng = np.random.default_rng(0)
    odds = rng.normal(-5, 4, 4000)
    y = (rng.random(4000) < expit(odds)).astype(int)
    y[rng.choice(np.flatnonzero(y), hidden, replace=False)] = 0
    labels = Labels.from_array(y, kind="multilabel", names=["A"])
    logits = 1.5 * odds + np.log(weight)
    return {"scores": Scores.from_arrays(labels, logits=logits, split="val")}


def shares(test_positives: int) -> Options:
    values = [0] * 300 + [1] * 300 + [0] * (100 - test_positives) + [1] * test_positives
    labels = Labels.from_array(values, kind="multiclass")
    return {"labels": labels, "split": split_of(labels, list(range(600, 700)))}


def pictures(hashes: list[int] | None) -> Options:
    labels = Labels.from_array([0, 1, 0, 1], kind="multiclass")
    more = Material() if hashes is None else Material(image_hashes=np.array(hashes, np.uint64))
    return {"labels": labels, "split": split_of(labels, [2, 3]), "more": more}


def doubled(second: int) -> Options:
    labels = Labels.from_array([0, 1, 1, second], kind="multiclass")
    return {"labels": labels, "features": np.array([[1.0], [2.0], [3.0], [2.0]])}


def of_none(name: str) -> Options:
    values = [[1, 0, 0]] * 6 + [[0, 1, 1]] * 2 + [[0, 0, 1]] * 2
    return {"labels": Labels.from_array(values, kind="multilabel", names=[name, "A", "B"])}


def copied(rows: int) -> Options:
    made = with_split(None, [2, 3])
    proof = {"copies": {"rows": rows, "contents": rows // 2}}
    return {**made, "split": replace(made["split"], proof=proof)}


COUNTED: Options = {"counts": FOUR, "n_rows": 224000}
RIGHT = ([0.86, 0.70, 0.44, 0.92], [0.83, 0.71, 0.57, 0.81])
FALLING = [0.7, 0.5, 0.45, 0.44, 0.44, 0.44]
UNIQUE = np.arange(6.0)[:, None]
TWICE = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 0.0])[:, None]

# code -> arguments with which the check fires, passes, and does not apply
HALVES = Labels.from_array(np.repeat([0, 1], 20), kind="multilabel", names=["A"])
CASES: dict[str, tuple[Options, Options, Options]] = {
    "EQ101": (
        {"labels": hot([1, 0], [0, 0])},
        {"labels": hot([1, 0])},
        scored(probabilities=spread(0.1)),
    ),
    "EQ102": (
        {"counts": {"A": 500, "B": 4}, "n_rows": 900},
        {"counts": {"A": 500, "B": 40}, "n_rows": 900},
        scored(probabilities=spread(0.1)),
    ),
    "EQ103": (
        {"counts": {"A": 5000, "B": 48}, "n_rows": 9000},
        {"counts": FOUR, "n_rows": 224000},
        scored(probabilities=spread(0.1)),
    ),
    "EQ104": (
        {"counts": FOUR, "n_rows": 224000},
        {"counts": {"a": 60, "b": 50}, "kind": "multiclass"},
        scored(probabilities=spread(0.1)),
    ),
    "EQ105": (
        {"counts": {"well": 950, "ill": 50}, "kind": "multiclass"},
        {"counts": {"well": 500, "ill": 500}, "kind": "multiclass"},
        scored(probabilities=spread(0.1)),
    ),
    "EQ106": (
        {"counts": FOUR, "n_rows": 224000},
        {"counts": {"A": 50, "B": 40}, "n_rows": 100},
        scored(probabilities=spread(0.1)),
    ),
    "EQ107": (
        {"counts": Counter(A=30, B=50)},
        {"counts": {"A": 30, "B": 50}, "n_rows": 70},
        {"labels": hot([1, 0], [0, 1])},
    ),
    "EQ108": (doubled(0), doubled(1), {"labels": hot([1, 0])}),
    "EQ109": (
        {"labels": hot([1] * 30 + [0] * 30, [1] * 40 + [0] * 20)},
        {"labels": hot([1, 0] * 30, [1, 1, 0, 0] * 15)},
        {"labels": hot([1, 0])},
    ),
    "EQ110": (unlabelled(200), unlabelled(0, weight=50.0), COUNTED),
    "EQ111": ({"labels": hot([1, 0, -1])}, {"labels": hot([1, 0, 0])}, COUNTED),
    "EQ112": ({"labels": hot([1, 0, -1, -1])}, {"labels": hot([1, 0, 0, -1])}, COUNTED),
    "EQ113": (
        {"counts": {"01": 30, "1": 50}, "n_rows": 90},
        COUNTED,
        scored(probabilities=spread(0.1)),
    ),
    "EQ115": (of_none("No Finding"), of_none("effusion"), {"labels": hot([1, 0])}),
    "EQ116": (
        {"labels": hot([1, 0], [0, 0])},
        {"labels": hot([1, 0], [0, 1])},
        {"labels": hot([1, 0])},
    ),
    "EQ117": (
        {"more": Material(labels=HALVES, columns={"x": np.repeat([0.0, 1.0], 20)})},
        {"more": Material(labels=HALVES, columns={"x": np.tile([0.0, 1.0], 20)})},
        {"labels": HALVES},
    ),
    "EQ201": (
        with_split([1, 1, 2, 2, 3, 3], [2]),
        with_split([1, 1, 2, 2, 3, 3], [2, 3]),
        with_split(None, [2]),
    ),
    "EQ202": (
        with_split(None, [0, 3], features=TWICE),
        with_split(None, [0, 3], features=UNIQUE),
        with_split(None, [0, 3]),
    ),
    "EQ203": (with_split(None, [0, 1]), with_split(None, [0, 3]), {"counts": FOUR}),
    "EQ204": (
        with_split(None, [2, 3], features=TWICE),
        with_split(None, [2, 3], features=UNIQUE),
        with_split(None, [2, 3]),
    ),
    "EQ205": (
        pictures([7, 2**40, 5, 2**50]),
        pictures([0xF0F0, 0xFF << 40, 0x0F0F, 0xFF << 50]),
        pictures(None),
    ),
    "EQ208": (copied(4), copied(0), with_split(None, [2, 3])),
    "EQ206": (shares(80), shares(52), COUNTED),
    "EQ207": (ruled(50), ruled(0), scored(probabilities=spread(0.1))),
    "EQ301": (
        set_up(from_logits=True, activation="sigmoid"),
        set_up(from_logits=False, activation="sigmoid"),
        set_up(loss="bce"),
    ),
    "EQ302": (
        set_up(from_logits=False, activation="none"),
        set_up(from_logits=True, activation="none"),
        set_up(activation="none"),
    ),
    "EQ303": (
        scored(probabilities=0.5 + 0.2 * np.linspace(0, 1, 400)),
        scored(probabilities=spread(0.1)),
        scored(ranking=spread(0.6)),
    ),
    "EQ308": (
        trained(loss=FALLING, lr=[0.1**e for e in range(6)]),
        trained(loss=FALLING, lr=[0.1] * 6),
        {"counts": FOUR},
    ),
    "EQ309": (
        trained(loss=[0.3] * 6, val_metric=[0.30, 0.31, 0.33, 0.34, 0.35, 0.36]),
        trained(loss=[0.3] * 6, val_metric=[0.3] * 6),
        trained(loss=[0.3] * 6),
    ),
    "EQ310": (
        trained(recall=0.0, loss=[0.3] * 6),
        trained(loss=[0.3] * 6),
        {"counts": FOUR},
    ),
    "EQ311": (
        trained(loss=FALLING, val_loss=[0.7, 0.6, 0.7, 0.75, 0.8, 0.9]),
        trained(loss=FALLING, val_loss=FALLING),
        trained(loss=FALLING),
    ),
    "EQ312": (
        set_up(class_weight={"0": 9, "1": 1}),
        set_up(class_weight=[9, 1], kind="multiclass"),
        set_up(pos_weight=[9, 1]),
    ),
    "EQ313": (
        set_up(metrics=("categorical_accuracy",)),
        set_up(metrics=("average_precision",)),
        set_up(loss="bce"),
    ),
    "EQ330": (set_up(pos_weight=[9, 1]), set_up(pos_weight=[1, 1]), COUNTED),
    "EQ331": (
        {
            "counts": {"A": 4, "B": 500},
            "n_rows": 6790,
            "more": Material(setups=(Setup(pos_weight=[1697, 3]),)),
        },
        set_up(pos_weight=[200, 1]),
        COUNTED,
    ),
    "EQ332": (set_up(alpha=0.25), set_up(alpha=0.75), COUNTED),
    "EQ333": (set_up(beta=0.9999), set_up(beta=0.9), COUNTED),
    "EQ344": (set_up(alpha=[9, 1]), set_up(alpha=[9, 1], alpha_on="both"), COUNTED),
    "EQ334": (
        set_up(pos_weight=[6.0, 1.2]),
        set_up(pos_weight=[9.0, 1.0]),
        COUNTED,
    ),
    "EQ335": (set_up(batch_size=16), set_up(batch_size=64), COUNTED),
    "EQ343": (set_up(beta=0.5), set_up(beta=0.9999), COUNTED),
    "EQ336": (set_up(monitor="test_f1"), set_up(monitor="val_f1"), COUNTED),
    "EQ337": (
        set_up(sampler="WeightedRandomSampler", pos_weight=[9, 1]),
        set_up(sampler="WeightedRandomSampler"),
        COUNTED,
    ),
    "EQ338": (
        trained(loss=[1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]),
        trained(loss=FALLING),
        trained(loss=[1.0, 0.9]),
    ),
    "EQ339": (memorised(0.3), memorised(0.8), table(x=RIGHT)),
    "EQ340": (arms(epochs=50), arms(), COUNTED),
    "EQ341": (
        table(x=RIGHT, y=([0.86, 0.72, 0.46, 0.92], RIGHT[1])),
        table(x=RIGHT, y=([0.30, 0.20, 0.10, 0.40], RIGHT[1])),
        table(x=RIGHT),
    ),
    "EQ342": (table(x=RIGHT[::-1]), table(x=RIGHT), COUNTED),
    "EQ401": (
        scored(probabilities=np.where(np.arange(400) < 8, 0.0, spread(0.1))),
        scored(probabilities=spread(0.1)),
        {"counts": FOUR},
    ),
    "EQ321": (
        scored(ranking=np.zeros(400)),
        scored(ranking=spread(0.1)),
        {"counts": {"A": 5, "B": 9}},
    ),
    "EQ402": (
        scored(probabilities=spread(0.5)),
        scored(probabilities=spread(0.1)),
        scored(ranking=spread(0.5)),
    ),
    "EQ403": (
        scored(probabilities=np.full(400, 0.1)),
        scored(probabilities=spread(0.1)),
        {"counts": FOUR},
    ),
    "EQ404": (
        raw(spread(0.5), "logits"),
        scored(probabilities=spread(0.1)),
        scored(ranking=spread(0.5)),
    ),
    "EQ405": (
        raw(np.append(spread(0.1), [np.nan, np.inf]), "ranking"),
        scored(probabilities=spread(0.1)),
        {"counts": FOUR},
    ),
    "EQ406": (two_runs(2.0, 0.0), two_runs(0.0, 0.1), COUNTED),
    "EQ407": (
        {"scores": scored(probabilities=spread(0.1))["scores"][:60]},
        scored(probabilities=spread(0.1)),
        COUNTED,
    ),
    "EQ408": (
        {"more": Material(comparison=compared(seeds=3))},
        {"more": Material(comparison=compared(seeds=5))},
        COUNTED,
    ),
    "EQ409": (claims(0.2), claims(0.0), COUNTED),
    "EQ410": (
        {"more": Material(comparison=compared(shift=1.0))},
        {"more": Material(comparison=compared(gain=1.5))},
        COUNTED,
    ),
    "EQ411": (deployed(0.1), deployed(0.3), COUNTED),
    "EQ504": (
        set_up(alpha=[9, 1], alpha_on="both"),
        set_up(alpha=[9, 1], alpha_on="both", kind="multiclass"),
        set_up(alpha=0.25),
    ),
}


def material(more: Material | None = None, **given: Any) -> Material:
    return replace(more or Material(), **given)


def statuses(options: Options) -> dict[str, str]:
    return {result.code: result.status for result in run_checks(material(**options))}


def test_each_check_has_its_three_examples() -> None:
    assert set(CASES) == set(CHECKS)


@pytest.mark.parametrize("code", CASES)
def test_a_check_fires_passes_and_steps_aside(code: str) -> None:
    fires, passes, aside = CASES[code]
    assert statuses(fires)[code] == "found"
    assert statuses(passes)[code] == "fine"
    assert statuses(aside)[code] == "not made"
    why = {result.code: result.reason for result in run_checks(material(**aside))}
    assert why[code]


@pytest.mark.parametrize("code", CASES)
def test_a_finding_is_complete(code: str) -> None:
    (found, *_) = [f for f in diagnose(**CASES[code][0]) if f.code == code]
    assert found.title == CODES[code].title
    assert SEVERITIES.index(found.severity) <= SEVERITIES.index(CODES[code].severity)
    assert found.message.endswith(".")
    assert found.evidence
    assert found.suggests
    assert found.from_dict(found.to_dict()).message == found.message


@pytest.mark.parametrize("code", CODES)
def test_each_code_has_a_page_with_all_headings(code: str) -> None:
    page = explain(code)
    assert page.startswith(f"# {code}: {CODES[code].title}\n")
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == HEADINGS
    sections = page.split("\n## ")[1:]
    assert all(len(section.split("\n", 1)[1].strip()) > 20 for section in sections)


def test_each_page_has_a_code() -> None:
    pages = files("equipoise.diagnosis").joinpath("pages").iterdir()
    assert {p.name for p in pages} == {f"{code}.md" for code in CODES}


def test_a_check_needs_a_code_of_its_own() -> None:
    with pytest.raises(KeyError):
        check("EQ101")(lambda _: None)
    with pytest.raises(KeyError):
        check("EQ999")(lambda _: None)


def message(code: str, **options: Any) -> str:
    return next(f.message for f in diagnose(**options) if f.code == code)


def test_ample_mild_data_are_told_not_to_resample() -> None:
    text = message("EQ104", counts=FOUR, n_rows=224000)
    assert text.startswith("Mild: within a label there are up to 10.8 negatives per positive ('A')")
    assert "19,000 positives: data are ample, do not resample" in text
    cut = message("EQ106", counts=FOUR, n_rows=224000)
    assert "A: 0.085 (inverse frequency: 0.077)" in cut
    assert "74.7%" in message("EQ105", counts=FOUR, n_rows=224000)


def test_occurrences_of_23_labels_alone_are_enough() -> None:
    sizes = [1354, 900, 400, 300, 150, 90, 60, 48, 45, 30, 20, 15, 12, 5, 1] + [0] * 8
    counts = Counter({f"label_{i:02d}": n for i, n in enumerate(sizes)})
    found = {f.code: f for f in diagnose(counts=counts)}
    assert set(found) == {"EQ101", "EQ102", "EQ103", "EQ104", "EQ105", "EQ106", "EQ107"}
    assert "8 of 23 have no positive" in found["EQ101"].message
    assert found["EQ107"].evidence["n_rows_range"] == [1354, sum(sizes)]
    row = found["EQ103"].evidence["labels"]["label_07"]
    assert (row["positives_in_test"], round(row["half_width_test"], 2)) == (10, 0.26)
    assert "at least 1,353.0 negatives" in found["EQ104"].message
    assert "at least" in found["EQ105"].message
    assert "scarcity" in found["EQ104"].message


def test_a_label_that_is_always_there_is_found() -> None:
    found = diagnose(hot([1, 1, 1], [0, 1, -1]))
    assert found[0].evidence == {"no_positives": [], "no_negatives": ["A"]}


def test_common_labels_are_imbalanced_too() -> None:
    assert "positives per negative" in message("EQ104", counts={"A": 950}, n_rows=1000)


def test_degrees_of_classes() -> None:
    def degree(largest: int, smallest: int) -> str:
        counts = {"a": largest, "b": smallest}
        return message("EQ104", counts=counts, kind="multiclass").split(":")[0]

    assert [degree(n, 1000) for n in (5000, 50_000, 500_000)] == ["Mild", "Moderate", "Severe"]
    assert "enough to learn from" in message(
        "EQ104", counts={"a": 500_000, "b": 1000}, kind="multiclass"
    )


def test_the_split_tells_how_many_positives_are_in_test() -> None:
    labels = Labels.from_array([0] * 400 + [1] * 100, kind="multiclass")
    found = diagnose(labels, split=split_of(labels, list(range(350, 450))))
    evidence = next(f.evidence for f in found if f.code == "EQ103")
    assert evidence["labels"]["1"]["positives_in_test"] == 50


@pytest.mark.parametrize("n", [1, 7, 10, 93, 400])
def test_half_width_is_wilsons(n: int) -> None:
    if n % 2 == 0:
        interval = binomtest(n // 2, n).proportion_ci(method="wilson")
        assert half_width(n) == pytest.approx((interval.high - interval.low) / 2)
    assert half_width(n, rate=0.5) < half_width(n - 1, rate=0.5)
    assert (half_width(n) > 0.1) == (n < 93)
    assert positives_needed(0.1) == 96


def test_saturated_logits_of_both_kinds() -> None:
    z = np.linspace(-3, 3, 100)
    z[:5] = 40 + np.arange(5)
    assert (
        statuses({"scores": Scores.from_arrays(None, logits=z, split="new", kind="multilabel")})[
            "EQ401"
        ]
        == "found"
    )
    wide = np.stack([z, np.zeros(100)], axis=1)
    new = Scores.from_arrays(None, logits=wide, split="new", kind="multiclass", check_kind=False)
    assert statuses({"scores": new})["EQ401"] == "found"


def test_flood_is_judged_after_the_correction() -> None:
    found = {f.code: f for f in diagnose(**scored(probabilities=spread(0.5)))}
    assert "1 too high, 0 too low" in found["EQ402"].message
    low = {f.code: f for f in diagnose(**scored(probabilities=spread(0.01)))}
    assert "0 too high, 1 too low" in low["EQ402"].message


def test_classes_can_be_flooded_too() -> None:
    rng = np.random.default_rng(0)
    truth = Labels.from_array((rng.random(500) < 0.1).astype(int), kind="multiclass")
    prob = np.stack([spread(0.5)[:400], 1 - spread(0.5)[:400]], axis=1)
    scores = Scores.from_arrays(truth[:400], probabilities=prob, split="val")
    assert statuses({"scores": scores})["EQ402"] == "found"


def test_errors_come_first_and_codes_can_be_muted() -> None:
    options: Options = {"counts": {"A": 500, "B": 4, "C": 0}}
    found = diagnose(**options)
    assert found[0].code == "EQ101"
    assert "EQ101" not in [f.code for f in diagnose(**options, ignore=["EQ101"])]
    muted = run_checks(material(**options), ignore=["EQ101"])
    assert (muted[0].code, muted[0].status) == ("EQ101", "muted")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: diagnose(), "at least one, got nothing"),
        (lambda: diagnose(hot([1, 0]), counts=FOUR), "not be given both"),
        (lambda: diagnose(counts=FOUR, ignore=["EQ1O4"]), "Did you mean `EQ104`"),
        (lambda: diagnose(counts=FOUR, split=split_of(hot([1, 0]), [0])), "given with a split"),
        (lambda: explain("EQ10"), "Did you mean"),
    ],
)
def test_wrong_use_is_answered(call: Callable[[], object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        call()


def test_counts_records_are_taken_as_they_are() -> None:
    assert diagnose(counts=counts_from(FOUR, n_rows=224000)) == diagnose(counts=FOUR, n_rows=224000)
