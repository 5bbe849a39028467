"""The short implementation on the page of the rule format decides as the rule does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equipoise.artifacts import Correction, Labels, Scores
from equipoise.decisions import Budget, Cost, MacroF1, Precision, TopK, tune

PAGE = Path(__file__).parents[2] / "docs" / "rule_format.md"
(CODE,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
TABLE = {"logit": [-2.0, 0.0, 3.0], "log_odds": [-4.0, 0.0, 1.0]}
LABEL_OPS: list[tuple[dict[str, Any], ...]] = [
    (),
    ({"op": "offset", "offset": [-1.0, 0.5, 0.0]},),
    ({"op": "monotone_table", "tables": [TABLE]}, {"op": "focal", "gamma": 2.0}),
]
CLASS_OPS: list[tuple[dict[str, Any], ...]] = [
    (),
    ({"op": "scale", "scale": [0.5, 1.0, 2.0]}, {"op": "focal", "gamma": 1.5}),
    ({"op": "poly", "epsilon": 1.0}, {"op": "offset", "offset": [0.1, 0.2, -1.0]}),
    ({"op": "ldam", "margin": [0.1, 0.2, 0.3], "scale": 2.0},),
    ({"op": "unmix", "smoothing": [0.01, 0.02, 0.01]},),
]
FOR_LABELS: list[dict[str, Any]] = [
    {},
    {"objective": Precision(at_least=0.9)},
    {"objective": Cost((1, 9)), "target_prior": "uniform"},
    {"objective": Budget(0.3)},
    {"objective": Budget(3)},
    {"objective": TopK(2)},
    {"objective": "f2", "calibration": "isotonic"},
]
FOR_CLASSES: list[dict[str, Any]] = [
    {},
    {"objective": Cost([[0, 1, 2], [5, 0, 1], [9, 9, 0]])},
    {"objective": MacroF1(free_offsets=True), "calibration": "vector"},
]


def scores(kind: str, ops: tuple[dict[str, Any], ...]) -> Scores:
    rng = np.random.default_rng(0)
    rows = 4000
    if kind == "multilabel":
        y = (rng.random((rows, 3)) < [0.4, 0.3, 0.02]).astype(int)
        z = rng.normal(size=y.shape) + 2 * y - 1
    else:
        y = rng.choice(3, rows, p=[0.6, 0.3, 0.1])
        z = rng.normal(size=(rows, 3)) + 2 * np.eye(3)[y]
    labels = Labels.from_array(y, kind=kind)  # type: ignore[arg-type]
    undo = Correction(kind, ops)  # type: ignore[arg-type]
    return Scores.from_arrays(labels, logits=z, split="val", correction=undo)


def page_decides(rule_path: Path, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scope: dict[str, Any] = {}
    exec(compile(CODE, PAGE.name, "exec"), scope)  # noqa: S102
    p, made = scope["apply_rule"](json.loads(rule_path.read_text(encoding="utf-8")), z)
    return p, made


@pytest.mark.parametrize(
    ("kind", "ops", "settings"),
    [("multilabel", ops, settings) for ops in LABEL_OPS for settings in FOR_LABELS]
    + [("multiclass", ops, settings) for ops in CLASS_OPS for settings in FOR_CLASSES],
)
def test_the_page_decides_as_the_rule(
    kind: str, ops: tuple[dict[str, Any], ...], settings: dict[str, Any], tmp_path: Path
) -> None:
    val = scores(kind, ops)
    rule = tune(val, **settings)
    p, made = page_decides(rule.save(tmp_path / "rule.json"), val.values)
    want = rule.apply(val)
    np.testing.assert_allclose(p, want.probabilities, rtol=1e-6, atol=1e-12)
    assert np.array_equal(made, want.predictions)


def test_ranking_scores_need_no_correction(tmp_path: Path) -> None:
    base = scores("multilabel", ())
    val = Scores.from_arrays(base.labels, ranking=base.values, split="val")
    rule = tune(val)
    p, made = page_decides(rule.save(tmp_path / "rule.json"), val.values)
    np.testing.assert_allclose(p, rule.apply(val).probabilities, rtol=1e-9)
    assert np.array_equal(made, rule.apply(val).predictions)


@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
def test_votes_are_limited_as_in_the_rule(kind: str, tmp_path: Path) -> None:
    base = scores(kind, ())
    z = np.clip(base.values, -6, 6)
    p = (
        np.exp(z) / np.exp(z).sum(1, keepdims=True)
        if kind == "multiclass"
        else 1 / (1 + np.exp(-z))
    )
    votes = np.random.default_rng(0).binomial(15, p) / 15
    if kind == "multiclass":
        votes = np.random.default_rng(0).multinomial(15, p) / 15
    rule = tune(Scores.from_arrays(base.labels, probabilities=votes, split="val"))
    assert rule.evidence is not None
    tiny = np.clip(votes, 1e-300, 1 - 1e-16)
    raw = np.log(tiny) if kind == "multiclass" else np.log(tiny) - np.log1p(-tiny)
    said, made = page_decides(rule.save(tmp_path / "rule.json"), raw)
    new = Scores.from_arrays(
        None, probabilities=votes, split="new", kind=base.kind, names=base.names
    )
    np.testing.assert_allclose(said, rule.apply(new).probabilities, rtol=1e-6)
    assert np.array_equal(made, rule.apply(new).predictions)


def test_the_page_keeps_its_promise_of_length() -> None:
    assert len(CODE.splitlines()) < 55


def test_every_field_of_a_rule_stands_on_the_page(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    for field in tune(scores("multilabel", ())).to_dict():
        assert f"`{field}`" in text or f'["{field}"]' in text or field == "names", field
