"""What in a study's own settings may have held its baseline back."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from equipoise.artifacts import Labels, Trial
from equipoise.studies.engine import Plan
from equipoise.studies.run import _at_borders, _too_few_steps
from equipoise.studies.schema import parse_study

DATA = {"path": "rows.csv", "labels": ["A", "B"]}


def trials(rates: list[float]) -> list[Trial]:
    base = Trial("none", 0, {}, 10, 5, {}, {}, [], {})
    return [
        replace(base, seed=seed, config={"training": {"lr": lr, "weight_decay": 0.1}})
        for seed, lr in enumerate(rates)
    ]


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ([0.01, 0.01, 0.01], "0.01, the highest of 3, in 3 of 3 seeds"),
        ([0.001, 0.001, 0.01], "0.001, the lowest of 3, in 2 of 3 seeds"),
        ([0.003, 0.003, 0.01], None),
        ([0.001, 0.003, 0.01], None),
    ],
)
def test_rates_at_the_border_of_the_grid(rates: list[float], said: str | None) -> None:
    content = {"data": DATA, "arms": ["none", "pos_weight"]}
    study = parse_study({**content, "tuning": {"lr": [0.003, 0.01, 0.001]}})
    found = _at_borders(study, trials(rates))
    assert [f.code for f in found] == ([] if said is None else ["EQ413"])
    if said is not None:
        assert said in found[0].message
    assert _at_borders(parse_study(content), trials(rates)) == []


def test_no_weight_decay_is_no_border() -> None:
    content = {"data": DATA, "arms": ["none", "pos_weight"]}
    study = parse_study({**content, "tuning": {"weight_decay": [0.1, 0.0]}})
    lowest = [
        replace(t, config={"training": {"lr": 0.1, "weight_decay": 0.0}}) for t in trials([0.1] * 3)
    ]
    assert _at_borders(study, lowest) == []


@pytest.mark.parametrize(
    ("optimizer", "epochs", "rare", "named"),
    [
        ("sgd", 30, 10, True),
        ("adamw", 30, 10, False),
        ("sgd", 2000, 10, False),
        ("sgd", 30, 90, False),
    ],
)
def test_sgd_with_a_long_tail_and_few_steps(
    optimizer: str, epochs: int, rare: int, named: bool
) -> None:
    training = {"optimizer": optimizer, "epochs": epochs, "batch_size": 50}
    study = parse_study(
        {"data": DATA, "model": "mlp", "arms": ["none", "pos_weight"], "training": training}
    )
    hot = np.zeros((500, 2), dtype=int)
    hot[:300, 0] = hot[:rare, 1] = 1
    labels = Labels.from_array(hot, kind="multilabel", names=["A", "B"])
    split = SimpleNamespace(train=np.arange(500))
    plan = SimpleNamespace(
        study=study, splits=SimpleNamespace(first=split), data=SimpleNamespace(labels=labels)
    )
    assert bool(_too_few_steps(cast(Plan, cast(Any, plan)))) is named
