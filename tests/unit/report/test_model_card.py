"""The model card: metadata that can be read, numbers that are those of the artifacts, limits."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.metrics import average_precision_score

from equipoise import Finding, evaluate, tune
from equipoise.artifacts import Correction, Labels, Scores, Trial
from equipoise.report.model_card import model_card

NAMES = ("often", "rare", "none")
RATES = (0.4, 0.03, 0.0)


def scored(part: str, n: int, seed: int, ids: bool = True) -> Scores:
    rng = np.random.default_rng(seed)
    hot = (rng.random((n, 3)) < RATES).astype(int)
    hot[0] = [1, 1, 0]
    labels = Labels.from_array(hot, kind="multilabel", names=NAMES)
    logits = 2 * hot - 1.5 + rng.normal(size=hot.shape)
    row_ids = [f"{part}{i}" for i in range(n)] if ids else None
    return Scores.from_arrays(labels, logits=logits, split=part, ids=row_ids)  # type: ignore[arg-type]


def trial(ids: bool = True, **changes: Any) -> Trial:
    made = Trial(
        "none",
        3,
        {"settings": {"gamma": 2.0}},
        500,
        150,
        {"often": 200, "rare": 12, "none": 0},
        {},
        history=[{"epoch": e, "loss": 0.5} for e in range(4)],
        scores={"val": scored("val", 150, 0, ids), "test": scored("test", 200, 1, ids)},
        selection={"metric": "macro AP", "epoch": 2, "value": 0.61234, "last_value": 0.6},
        model_file="model.safetensors",
    )
    return replace(made, **changes)


def card(made: Trial, **given: Any) -> str:
    rule = tune(made.scores["val"])
    return model_card(made, rule, evaluate(rule, made.scores["test"]), **given)


def table_row(text: str, name: str, number: int = 0) -> list[str]:
    rows = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in rows[number].strip("|").split("|")]


def section(text: str, title: str) -> str:
    return re.split(r"^## ", text.split(f"## {title}\n")[1], flags=re.MULTILINE)[0]


def test_the_metadata_can_be_read() -> None:
    odd = trial(method="focal: #1")
    _, front, rest = card(odd).split("---\n", 2)
    fields = yaml.safe_load(front)
    assert fields["library_name"] == "equipoise"
    assert fields["tags"][-1] == "focal: #1"
    assert fields["metrics"] == ["average_precision", "f1"]
    assert rest.lstrip().startswith("# focal: #1, seed 3")


def test_validation_numbers_are_those_of_the_artifacts() -> None:
    made = trial()
    rule, val = tune(made.scores["val"]), made.scores["val"]
    row = table_row(card(made), "rare")
    truth = val.labels.values[:, 1]  # type: ignore[union-attr]
    assert row[1:4] == ["12", "0.0240", f"{truth.sum()} of 150"]
    assert float(row[4]) == pytest.approx(
        average_precision_score(truth, val.values[:, 1]), abs=6e-4
    )
    assert rule.thresholds is not None
    assert float(row[5]) == pytest.approx(1 / (1 + np.exp(-rule.thresholds[1])), abs=6e-5)
    assert row[6] == rule.grades[1]
    assert float(row[7]) == pytest.approx(rule.claimed[1], abs=6e-4)
    assert float(row[8]) == pytest.approx(rule.cross_fitted[1], abs=6e-4)
    text = card(made)
    assert "Epoch 2 of 4 is kept, counted from 0: macro AP 0.612" in text
    assert "settings: gamma=2.0." in text


def test_test_numbers_come_with_their_intervals() -> None:
    made = trial()
    found = evaluate(tune(made.scores["val"]), made.scores["test"])
    text = section(card(made), "Test rows")
    row = table_row(text, "rare")
    positives = int(made.scores["test"].labels.counts[1])  # type: ignore[union-attr]
    assert row[1] == str(positives)
    assert row[2:] == [
        str(found.per_label["rare"][m]) for m in ("ap", "auroc", "precision", "recall", "f1")
    ]
    assert re.fullmatch(r"0\.\d{3} \[0\.\d{3}, [01]\.\d{3}\]", row[2])
    assert "200 rows, 95% intervals" in text
    assert "over 2 evaluable labels of 3" in text
    assert table_row(text, "none")[2] == "\N{EN DASH}"


def test_limits_name_what_the_numbers_cannot_bear() -> None:
    made = trial()
    few = int(made.scores["val"].labels.counts[1])  # type: ignore[union-attr]
    assert 0 < few < 10
    text = section(card(made), "Limits")
    assert f"Fewer than 10 validation positives: rare ({few})." in text
    assert "No validation positives, so nothing tuned: none." in text
    assert "Without training positives: none." in text
    assert "Not evaluable on test rows, and not in macro: none (no positives)." in text
    assert "among the validation rows is not known" not in text
    bare = card(trial(ids=False))
    assert "among the validation rows is not known" not in section(bare, "Limits")
    assert "ids not made: no ids on either side" in section(bare, "Test rows")
    assert "contents fine" in section(bare, "Test rows")


@pytest.mark.parametrize(
    ("correction", "words"),
    [
        (None, "none stated"),
        (Correction.identity("multilabel"), "none needed"),
        (Correction.from_pos_weight([9.0]), "Correction: exact; its effect"),
        (
            Correction(
                "multilabel", ({"op": "offset", "offset": [1.0]},), "approximate", (0.1, 0.9)
            ),
            "undone approximately, for true probabilities from 0.1 to 0.9",
        ),
        (Correction("multilabel", exactness="none"), "its outputs rank only"),
    ],
)
def test_it_says_how_exactly_the_remedy_is_undone(
    correction: Correction | None, words: str
) -> None:
    made = trial()
    val = replace(made.scores["val"], correction=correction)
    assert words in model_card(replace(made, scores={"val": val}))


def test_without_rule_and_evaluation_it_says_why() -> None:
    text = model_card(trial(), no_rule="no labels", no_evaluation="")
    assert "There is none: no labels." in text
    assert "Not evaluated: there are no labelled test rows." in text
    assert "No test rows were judged: nothing here says" in text
    assert "threshold" not in text.split("## Limits")[0]
    assert "DecisionRule.load" not in text


def test_findings_and_pictures_are_listed() -> None:
    found = Finding("EQ310", "warning", "Outputs on one side", "A.\nB.")
    text = card(trial(), findings=[found], pictures=["curves.svg"])
    assert "- EQ310 warning: Outputs on one side. A. B.\n" in text
    assert "![curves.svg](curves.svg)" in text
    assert "None while it trained." in card(trial())


def test_names_cannot_break_the_tables() -> None:
    val = trial().scores["val"]
    names = ("a|b", "<script>", "c\nd")
    labels = Labels.from_array(val.labels.values, kind="multilabel", names=names)  # type: ignore[union-attr]
    odd = Scores.from_arrays(labels, logits=val.values, split="val")
    made = trial(scores={"val": odd}, train_counts=dict.fromkeys(names, 20))
    rows = [line for line in model_card(made).splitlines() if line.startswith("| ")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert len(rows) == 2 + 3
    assert "<script>" not in "".join(rows)


def test_of_many_labels_the_rarest_are_listed() -> None:
    n = 230
    hot = np.eye(n, dtype=int)
    names = [f"l{i:03d}" for i in range(n)]
    labels = Labels.from_array(hot, kind="multilabel", names=names)
    val = Scores.from_arrays(labels, logits=hot - 0.5, split="val", check_kind=False)
    made = trial(scores={"val": val}, train_counts={name: i for i, name in enumerate(names)})
    text = model_card(made)
    assert "The 200 of 230 with the fewest training positives." in text
    assert "| l199 |" in text
    assert "| l200 |" not in text


def test_classes_have_offsets() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [90, 40, 20])
    labels = Labels.from_array(truth, kind="multiclass", names=NAMES)
    logits = np.eye(3)[truth] + rng.normal(size=(150, 3))
    val = Scores.from_arrays(labels, logits=logits, split="val")
    made = trial(scores={"val": val})
    rule = tune(val)
    text = model_card(made, rule)
    assert "| offset |" in text
    assert rule.class_offset is not None
    assert float(table_row(text, "none")[5]) == pytest.approx(rule.class_offset[2], abs=6e-4)
    assert 'kind="multiclass"' in text
    want = average_precision_score(truth == 2, rule.log_odds(val)[:, 2])
    assert float(table_row(text, "none")[4]) == pytest.approx(want, abs=6e-4)
