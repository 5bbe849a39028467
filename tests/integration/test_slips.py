"""Arguments that changed places, names for things, fractions for whole numbers: in our words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from torch import nn

import equipoise as eq
from equipoise import Labels, Scores
from equipoise.data import ArrayDataset
from equipoise.errors import EquipoiseError
from equipoise.report import write_report

RNG = np.random.default_rng(0)
Y = (RNG.random(200) < 0.3).astype(int)
LABELS = Labels.from_array(Y, kind="multilabel", names=["A"])
Z = 2 * Y - 2 + RNG.normal(size=200)
SCORES = Scores.from_arrays(LABELS, logits=Z, split="val")
SPLIT = eq.stratified_split(LABELS)
DATA = ArrayDataset(Z[:, None].astype(np.float32), LABELS)
FEW = np.arange(10.0)[:, None]


def fit(remedy: Any, **more: Any) -> Any:
    return eq.fit(nn.Linear(1, 1), DATA, SPLIT, remedy, **more)


def fit_on(kind: Any, width: int) -> Any:
    data = ArrayDataset(np.repeat(Z[:, None], width, axis=1).astype(kind), LABELS)
    options = eq.TrainingOptions(epochs=1, accelerator="cpu")
    treated = eq.remedy("none", LABELS[SPLIT.train])
    return eq.fit(nn.Linear(1, 1), data, SPLIT, treated, options=options)


def classify(y: list[Any]) -> Any:
    return eq.DecisionRuleClassifier(LogisticRegression()).fit(FEW, y)


def rule() -> Any:
    return eq.tune(SCORES)


SLIPS: dict[str, tuple[Callable[[], Any], str]] = {
    "tune": (lambda: eq.tune(Z), "`scores` must be of type Scores, got ndarray"),  # type: ignore[arg-type]
    "swapped": (lambda: eq.evaluate(SCORES, rule()), "The rule comes first"),  # type: ignore[arg-type]
    "evaluate": (lambda: eq.evaluate(rule(), Z), "`scores` must be of type Scores"),  # type: ignore[arg-type]
    "apply": (lambda: rule().apply(Z), "`scores` must be of type Scores"),
    "seed": (lambda: eq.stratified_split(LABELS, seed="a"), "`seed` must be a whole number"),  # type: ignore[arg-type]
    "half": (lambda: eq.stratified_split(LABELS, seed=0.5), "`seed` must be a whole number"),  # type: ignore[arg-type]
    "remedy": (lambda: fit("focal"), r'equipoise.remedy\("focal", '),
    "options": (
        lambda: fit(eq.remedy("none", LABELS[SPLIT.train]), options={"epochs": 1}),
        "`options` must be of type TrainingOptions, got dict",
    ),
    "float64": (
        lambda: fit_on(np.float64, 1),
        "numbers of different types .*Give float32",
    ),
    "width": (lambda: fit_on(np.float32, 2), "inputs of this width"),
    "report": (
        lambda: write_report(3, path=Path("no.html")),  # type: ignore[arg-type]
        "`results` must be of type Comparison or Chapter, got int",
    ),
    "one row": (lambda: classify([1] + [0] * 9), "two rows of each class, .* got one of 1"),
    "unknown": (lambda: classify([None, 1] + [0] * 8), "`y` must hold a class for every row"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_named(slip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make, message = SLIPS[slip]
    with pytest.raises(EquipoiseError, match=message):
        make()
    assert not list(tmp_path.iterdir())
