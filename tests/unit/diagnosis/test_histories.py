"""Histories that call for a finding, and those that only look like it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from equipoise.artifacts import Finding, Labels, Scores, Trial
from equipoise.diagnosis import check_history, diagnose
from equipoise.errors import ShapeError

Rows = list[dict[str, Any]]


def rows(**columns: Any) -> Rows:
    length = len(next(iter(columns.values())))
    return [{"epoch": e} | {k: float(v[e]) for k, v in columns.items()} for e in range(length)]


def recalls(**columns: list[float]) -> Rows:
    return [
        {"epoch": e, "label": name, "drawn": 1, "recall": value}
        for name, values in columns.items()
        for e, value in enumerate(values)
    ]


def codes(found: list[Finding]) -> list[str]:
    return [item.code for item in found]


def cosine(epochs: int) -> np.ndarray:
    return 1e-3 * 0.5 * (1 + np.cos(np.pi * np.arange(1, epochs + 1) / epochs))


def step(epochs: int, *at: float) -> np.ndarray:
    return 1e-3 * 0.1 ** sum((np.arange(1, epochs + 1) / epochs >= a).astype(int) for a in at)


def settling(epochs: int, pace: float, noise: float = 0.0) -> np.ndarray:
    wild = np.random.default_rng(0).normal(size=epochs)
    return 0.2 + 0.8 * np.exp(-pace * np.arange(epochs)) + noise * wild


# EQ308


@pytest.mark.parametrize(
    ("loss", "rate", "due"),
    [
        (settling(30, 0.3), cosine(30), False),
        (settling(100, 0.05), cosine(100), False),
        (settling(10, 1.0), cosine(10), False),
        (settling(30, 0.02), cosine(30), True),  # as good as a straight line
        (settling(60, 0.1), step(60, 0.8, 0.9), False),
        (settling(60, 0.1), step(60, 0.1, 0.2), True),
        (settling(60, 0.1), step(60, 0.1), False),  # a tenth is not a hundredth
        (settling(40, 0.3, noise=0.02), cosine(40), False),
        (np.linspace(1, 1 - 1e-4, 20), cosine(20), False),  # never fell at all
        (settling(30, 0.3)[::-1], cosine(30), False),  # rises
        (settling(30, 0.02), np.full(30, 1e-3), False),
        (settling(30, 0.02), np.minimum(np.arange(1, 31) / 10, 1.0), False),  # warm-up is no fall
        (settling(2, 0.02), [1.0, 0.0], False),
    ],
)
def test_the_rate_must_not_be_gone_before_the_loss_has_settled(
    loss: Any, rate: Any, due: bool
) -> None:
    assert ("EQ308" in codes(check_history(rows(loss=loss, lr=rate)))) == due


def test_a_plateau_with_noise_is_settled() -> None:
    found = []
    for seed in range(20):
        wild = np.random.default_rng(seed).normal(0.5, 0.02, size=40)
        found += check_history(rows(loss=wild, lr=cosine(40)))
    assert found == []


def test_it_says_when_the_rate_was_gone_and_how_far_the_loss_still_fell() -> None:
    rate = 1e-2 * 0.1 ** np.arange(1, 11)
    loss = [1.0, 0.6, 0.55, 0.549] + [0.549] * 6
    (found,) = check_history(rows(loss=loss, lr=rate))
    # Height 1e-3 after epoch 0; 1e-5 after epoch 2. Epochs 0 and 1 were trained at 1e-3 and more.
    assert found.evidence["epoch"] == 2
    assert found.evidence["working_epochs"] == 2
    assert found.evidence["recent_share_of_fall"] == pytest.approx(1.0)
    assert "by epoch 2, while the loss was still falling" in found.message


def test_it_is_found_while_training_runs_and_only_then_when_due() -> None:
    table = rows(loss=[1.0, 0.6, 0.55, 0.549, 0.549], lr=1e-2 * 0.1 ** np.arange(1, 6))
    due = [codes(check_history(table[: n + 1])) for n in range(5)]
    assert due == [[], [], ["EQ308"], ["EQ308"], ["EQ308"]]


# EQ309

LEVEL = 0.0412 + 1e-4 * np.array([1, -1, 1, 0, -1, 0])
RISING = 0.30 + 0.015 * np.arange(6)


@pytest.mark.parametrize(
    ("loss", "metric", "due"),
    [
        (LEVEL, RISING, True),
        (LEVEL, RISING[::-1], True),
        (LEVEL, 0.3 + 0.003 * np.arange(6), False),  # hardly moves
        (LEVEL, [0.3, 0.4, 0.28, 0.41, 0.29, 0.42], False),  # to and fro
        (LEVEL * np.linspace(1, 0.98, 6), RISING, False),  # the loss falls too
        (LEVEL, np.append(RISING[:-1], math.nan), False),
        (LEVEL[:5], RISING[:5], False),
        (np.append([0.7, 0.5], LEVEL), np.append([0.1, 0.2], RISING), True),  # the last six count
    ],
)
def test_a_flat_loss_beside_a_metric_that_moves(loss: Any, metric: Any, due: bool) -> None:
    found = check_history(rows(loss=loss, val_metric=metric))
    assert codes(found) == (["EQ309"] if due else [])


def test_the_flat_loss_is_told_in_numbers() -> None:
    (up,) = check_history(rows(loss=LEVEL, val_metric=RISING))
    (down,) = check_history(rows(loss=LEVEL, val_metric=RISING[::-1]))
    assert up.evidence["metric_change"] == pytest.approx(0.075)
    assert "rose by 0.075 (0.300 to 0.375)" in up.message
    assert "fell by 0.075" in down.message
    assert up.suggests[1] != down.suggests[1]


# EQ310


def test_labels_of_which_nothing_is_found_are_named() -> None:
    table = rows(loss=[0.3] * 6, val_metric=[0.4] * 6)
    per_label = recalls(
        often=[0.5] * 6, rare=[0.2] + [0.0] * 5, never=[0.0] * 6, absent=[math.nan] * 6
    )
    (found,) = check_history(table, per_label)
    assert found.evidence["missed"] == ["rare", "never"]
    assert "nothing is found of 2 of 4: rare, never" in found.message
    assert "validation metric is 0.400" in found.message
    assert "tune(" in found.suggests[0]
    shorter = [row for row in per_label if row["epoch"] < 5]
    (found,) = check_history(table[:5], shorter)
    assert found.evidence["missed"] == ["never"]  # the first epoch still found "rare"
    assert check_history(table[:4], [row for row in per_label if row["epoch"] < 4]) == []


def test_labels_of_which_everything_is_flagged_are_named() -> None:
    labels = Labels.from_array(
        [[1, 1, 1]] + [[0, 0, 1]] * 199, kind="multilabel", names=["flood", "good", "usual"]
    )
    outputs = np.full((200, 3), 2.0)
    outputs[1:, 1] = -2.0
    table = rows(loss=[0.3] * 5)
    per_label = recalls(flood=[1.0] * 5, good=[1.0] * 5, usual=[1.0] * 5)
    (found,) = check_history(table, per_label, outputs=outputs, labels=labels)
    assert found.evidence["flooded"] == {"flood": 1.0}
    assert "everything is flagged as 1 of 3: flood (1 positives in 200)" in found.message
    assert check_history(table, per_label) == []  # recall 1 alone may be merit


def test_a_class_that_is_never_decided_for() -> None:
    labels = Labels.from_array([0] * 90 + [1] * 10, kind="multiclass", names=["well", "ill"])
    outputs = np.tile([1.0, 0.0], (100, 1))
    per_label = recalls(well=[1.0] * 5, ill=[0.0] * 5)
    (found,) = check_history(rows(loss=[1.0] * 5), per_label, outputs=outputs, labels=labels)
    assert found.evidence["missed"] == ["ill"]
    assert "ill (10 positives in 100)" in found.message


def test_outputs_must_fit_the_labels() -> None:
    labels = Labels.from_array([0, 1], kind="multilabel")
    with pytest.raises(ShapeError, match=r"`outputs` must have shape .*got \(3, 1\)"):
        check_history(rows(loss=[0.3]), outputs=np.zeros((3, 1)), labels=labels)


# EQ311

DOWN = np.linspace(0.5, 0.1, 8)


@pytest.mark.parametrize(
    ("loss", "val_loss", "due"),
    [
        (DOWN, [0.5, 0.4, 0.35, 0.36, 0.4, 0.42, 0.45, 0.5], True),
        (DOWN, [0.5, 0.4, 0.35, 0.35, 0.36, 0.35, 0.36, 0.36], False),  # within 5 %
        (DOWN, [0.5, 0.4, 0.38, 0.37, 0.36, 0.35, 0.4, 0.5], False),  # too soon to tell
        (DOWN, [0.5, 0.35, 0.36, 0.36, 0.35, 0.36, 0.36, 0.9], False),  # one bad epoch
        (DOWN[::-1], [0.5, 0.4, 0.35, 0.36, 0.4, 0.42, 0.45, 0.5], False),  # both rise
        (DOWN, DOWN, False),
        (DOWN, [0.5, 0.2, 0.5, 0.2, 0.5, 0.21, 0.5, 0.22], False),  # noise
    ],
)
def test_a_validation_loss_that_rises(loss: Any, val_loss: Any, due: bool) -> None:
    assert codes(check_history(rows(loss=loss, val_loss=val_loss))) == (["EQ311"] if due else [])


def test_what_to_do_about_it_hangs_on_the_metric() -> None:
    losses = {"loss": DOWN, "val_loss": [0.5, 0.4, 0.35, 0.36, 0.4, 0.42, 0.45, 0.5]}
    (held,) = check_history(rows(**losses, val_metric=np.linspace(0.3, 0.4, 8)), kept=7)
    (fell,) = check_history(rows(**losses, val_metric=np.linspace(0.4, 0.3, 8)), kept=1)
    assert "tune(" in held.suggests[0]
    assert "Stop earlier" in fell.suggests[0]
    assert "Epoch 7 is kept (validation loss 0.5)." in held.message
    assert "Epoch 1 is kept (validation loss 0.4)." in fell.message


# What there is to look at


def test_a_second_stage_is_left_out_and_missing_columns_step_aside() -> None:
    rate = 0.1 ** np.arange(6)
    later = [{**row, "stage": 2} for row in rows(loss=[0.7, 0.5, 0.4, 0.4, 0.4, 0.4], lr=rate)]
    steady = rows(loss=settling(6, 2.0), lr=[1e-3] * 6)
    assert check_history([*steady, *later]) == []
    assert check_history([]) == []
    assert check_history(rows(val_metric=RISING)) == []


def test_a_finished_trial_is_diagnosed_with_its_validation_scores() -> None:
    truth = Labels.from_array([1] + [0] * 199, kind="multilabel", names=["A"])
    logits = np.linspace(1.0, 3.0, 200)
    trial = Trial(
        "none", 0, {}, 300, 200, {"A": 4}, {"A": 4},
        history=rows(loss=[0.7, 0.5, 0.45, 0.44, 0.44, 0.44], lr=0.1 ** np.arange(6)),
        scores={"val": Scores.from_arrays(truth, logits=logits, split="val")},
        label_history=recalls(A=[1.0] * 6),
    )  # fmt: skip
    found = diagnose(trial=trial)
    assert {"EQ308", "EQ310", "EQ402"} <= set(codes(found))
    assert "EQ310" not in codes(diagnose(trial=trial, ignore=["EQ310"]))
    told = next(item for item in found if item.code == "EQ310")
    assert told.evidence["flooded"] == {"A": 1.0}
