"""Logs of other frameworks, class tables and set-ups from files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from equipoise.diagnosis.class_table import read_class_table
from equipoise.diagnosis.logs import read_log
from equipoise.errors import DataError, UsageError
from equipoise.studies.set_ups import read_setups

LIGHTNING = """epoch,step,train_loss,lr-AdamW,val_loss,val_auroc
0,9,0.9,,,
0,9,,0.001,,
0,9,,,0.8,0.60
1,19,0.7,,,
1,19,,0.0005,,
1,19,,,0.75,0.65
"""
KERAS = {"loss": [0.9, 0.7], "val_loss": [0.8, 0.75], "val_auc": [0.6, 0.65],
         "learning_rate": [0.001, 0.0005]}  # fmt: skip
EXPECTED = [
    {"epoch": 0.0, "loss": 0.9, "val_loss": 0.8, "lr": 0.001, "val_metric": 0.6},
    {"epoch": 1.0, "loss": 0.7, "val_loss": 0.75, "lr": 0.0005, "val_metric": 0.65},
]


def test_lightning_and_keras_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(LIGHTNING)
    (tmp_path / "history.json").write_text(json.dumps({"history": KERAS}))
    rows = [{k: v[i] for k, v in KERAS.items()} | {"epoch": i} for i in range(2)]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    for name in ("metrics.csv", "history.json", "log.jsonl", "rows.json"):
        assert list(read_log(tmp_path / name)) == EXPECTED, name


def test_losses_of_steps_are_averaged_and_numbers_only_are_read(tmp_path: Path) -> None:
    rows = [{"epoch": 0, "loss": 1.0}, {"epoch": 0, "loss": 0.5, "note": "x"},
            {"epoch": 1, "loss": "nan", "lr": 0.1}, {"epoch": 2, "loss": 0.4}]  # fmt: skip
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert list(read_log(tmp_path / "log.jsonl")) == [
        {"epoch": 0.0, "loss": 0.75}, {"epoch": 1.0, "lr": 0.1}, {"epoch": 2.0, "loss": 0.4},
    ]  # fmt: skip


def test_a_training_that_diverged_is_no_log_of_nothing(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text("epoch,loss,val_loss\n0,0.9,0.8\n1,nan,nan\n2,inf,nan\n")
    with pytest.raises(DataError, match=r"got none from epoch 1 on.*diverged"):
        read_log(file)
    file.write_text("loss,val_loss\n0.9,0.8\n0.7,nan\n0.6,0.7\n")  # not validated each time
    assert [row["loss"] for row in read_log(file)] == [0.9, 0.7, 0.6]
    keras = tmp_path / "log.json"
    keras.write_text('{"loss": [0.9, NaN], "val_loss": [0.8, NaN]}')
    with pytest.raises(DataError, match="from epoch 1 on"):
        read_log(keras)


def test_tensorboard_events_of_training_and_validation(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    for part, losses in (("train", [0.9, 0.7]), ("validation", [0.8, 0.75])):
        with SummaryWriter(tmp_path / part) as writer:
            for epoch, value in enumerate(losses):
                writer.add_scalar("epoch_loss", value, epoch)
    rows = read_log(tmp_path)
    assert [row["loss"] for row in rows] == pytest.approx([0.9, 0.7])
    assert [row["val_loss"] for row in rows] == pytest.approx([0.8, 0.75])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "epoch,time\n0,3\n", "hold a loss, a rate or a validation metric"),
        ("a.json", "{", "be CSV, JSONL or JSON"),
        ("a.json", "3", "hold a history of lists"),
        ("missing.csv", None, "nothing there"),
    ],
)
def test_what_is_no_log(name: str, text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_log(tmp_path / name)


def test_class_tables_of_one_run_and_of_several(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(
        "class,recall,precision,support\ncat,90,50.5,50\ndog,40,,50\n"
    )
    one = read_class_table(tmp_path / "one.csv")
    assert one.names == ("cat", "dog")
    assert one.recall["run"].tolist() == [0.9, 0.4]
    assert np.isnan(one.precision["run"][1])
    assert one.digits == 3
    text = "class,none_recall,recall_focal,none_recall_train\ncat,0.9,0.8,1.0\ndog,0.4,0.5,0.9\n"
    (tmp_path / "two.csv").write_text(text)
    two = read_class_table(tmp_path / "two.csv", 50)
    assert {k: v.tolist() for k, v in two.recall.items()} == {
        "none": [0.9, 0.4], "focal": [0.8, 0.5],
    }  # fmt: skip
    assert two.recall_train["none"].tolist() == [1.0, 0.9]
    with pytest.raises(DataError, match='support="50"'):
        read_class_table(tmp_path / "two.csv")
    (tmp_path / "odd.csv").write_text("class,f1\ncat,0.9\n")
    with pytest.raises(DataError, match="hold a column with recall"):
        read_class_table(tmp_path / "odd.csv", 50)


def test_setups_in_their_forms(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    forms = {
        "loss: focal\nalpha: 0.25\n": ["mine"],
        "one: {loss: bce}\ntwo: {loss: focal}\n": ["one", "two"],
        "- {loss: bce}\n- {loss: focal}\n": ["setup 1", "setup 2"],
        "class_weight: {0: 1, 1: 9}\n": ["mine"],
        "arms: [none, none + thresholds, pos_weight]\n": ["none", "pos_weight"],
    }
    for text, names in forms.items():
        file.write_text(text)
        assert [s.name for s in read_setups(file)] == names
    file.write_text("los: focal\n")
    with pytest.raises(UsageError, match="Did you mean `loss`"):
        read_setups(file)
    file.write_text("lr: 1e-4\ngamma: 2\nclass_weight: balanced\n")
    (setup,) = read_setups(file)
    assert (setup.lr, setup.gamma, setup.class_weight) == (1e-4, 2, "balanced")
    file.write_text("class_weight: even\n")
    with pytest.raises(UsageError, match="a mapping of weights, or 'balanced', got 'even'"):
        read_setups(file)
    with pytest.raises(DataError, match="nothing there"):
        read_setups(tmp_path / "nowhere.yaml")


def test_a_study_says_which_arms_correct_twice(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        "arms:\n- weighted_sampling+pos_weight\n"
        "- {method: weighted_sampling+pos_weight, name: once, settings: {counts: after}}\n"
    )
    twice, once = read_setups(file)
    assert (twice.sampler, twice.weighting) == ("weighted_sampling", "pos_weight")
    assert (once.sampler, once.weighting) == ("weighted_sampling", None)
