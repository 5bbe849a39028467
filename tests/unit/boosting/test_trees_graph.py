"""LightGBM as an ONNX graph adds up the leaves that LightGBM adds up."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from equipoise.artifacts import Calibrator, Correction, DecisionRule
from equipoise.boosting.columns import Column
from equipoise.boosting.families import FAMILIES, LightGBM
from equipoise.boosting.model import Constant, HeadWeights, TableModel
from equipoise.boosting.preparation import Preparation
from equipoise.boosting.trees_graph import trees_to_onnx
from equipoise.errors import UsageError
from equipoise.export import append_rule, make_program

pytestmark = pytest.mark.skipif(
    not FAMILIES["lightgbm"].is_installed, reason="LightGBM finds no OpenMP on this machine"
)
NAMES = ("A", "B", "C")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 4)).round(1).astype(np.float32)  # many values on a split
X[::7, 0] = np.nan
X[::5, 3] = 0.0
TRUTH = np.argmax(np.nan_to_num(X[:, :3]) + RNG.normal(size=(600, 3)), axis=1)


def booster(y: Any, classes: int, x: Any = X, **more: Any) -> LightGBM:
    import lightgbm as lgb

    told = {"objective": "multiclass", "num_class": classes} if classes > 1 else {
        "objective": "binary"}  # fmt: skip
    given = {"verbose": -1, "num_leaves": 8, "num_threads": 1, **told, **more}
    return LightGBM(lgb.train(given, lgb.Dataset(x, y), 20), classes, rounds=15)


def model(kind: Any, parts: list[Any], **more: Any) -> TableModel:
    labels = kind == "multilabel"
    rule = DecisionRule(
        kind, NAMES, Correction.identity(kind), Calibrator.identity(3), np.zeros(3),
        np.array([-0.5, 0.1, 0.3]) if labels else None, None,
        "f1" if labels else "balanced_accuracy", "validation", {"score_kind": "logits"},
    )  # fmt: skip
    columns = (*(Column(f"x{i}", "number") for i in range(4)), Column("id", "left out"))
    fields: dict[str, Any] = {
        "kind": kind, "names": NAMES, "family": "lightgbm", "parts": parts, "columns": columns,
        "preparation": Preparation("trees", None, {}, ()), "rule": rule,
        "correction": Correction.identity(kind),
    }  # fmt: skip
    return TableModel(**(fields | more))


def labels_model() -> TableModel:
    no_gap = booster(TRUTH == 1, 1, np.nan_to_num(X))
    return model("multilabel", [booster(TRUTH == 0, 1), no_gap, Constant(-1.5)])


@pytest.mark.parametrize("made", [labels_model, lambda: model("multiclass", [booster(TRUTH, 3)])])
def test_outputs_and_decisions_are_those_of_the_model(made: Any) -> None:
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    have = made()
    rows = np.concatenate([X, RNG.normal(size=(5000, 4)).astype(np.float32), np.full_like(X, 0)])
    rows[600:900, 1] = np.nan  # a gap where training rows of one booster had none
    want = np.concatenate([part.outputs(rows) for part in have.parts], axis=1)
    graph = trees_to_onnx(have)
    (got,) = runtime.InferenceSession(graph).run(None, {"rows": rows})
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)
    whole = append_rule(graph, make_program(have.rule), have.names)
    p, decided = runtime.InferenceSession(whole).run(None, {"rows": rows})
    np.testing.assert_allclose(p, have.predict_proba(rows), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(decided, have.predict(rows))
    assert len(np.unique(decided)) > 1
    held = {
        prop.key: json.loads(prop.value) for prop in onnx.load_from_string(whole).metadata_props
    }
    assert held["columns"] == ["x0", "x1", "x2", "x3"]
    assert held["names"] == list(NAMES)


def test_a_tree_without_a_question_is_its_leaf() -> None:
    runtime = pytest.importorskip("onnxruntime")
    stump = booster(TRUTH == 0, 1, min_data_in_leaf=600)
    have = model("multilabel", [stump, stump, Constant(0.0)])
    (got,) = runtime.InferenceSession(trees_to_onnx(have)).run(None, {"rows": X})
    np.testing.assert_allclose(got[:, :1], stump.outputs(X), rtol=0, atol=1e-12)


def test_what_has_no_part_in_it_is_refused() -> None:
    pytest.importorskip("onnx")
    have = labels_model()
    with pytest.raises(UsageError, match=r"be LightGBM to become ONNX, got mlp.*predict"):
        trees_to_onnx(replace(have, family="mlp", parts=[HeadWeights({})]))
    named = (*have.columns[:3], Column("job", "category"))
    with pytest.raises(UsageError, match=r"be numbers as they are.*'job', a category"):
        trees_to_onnx(replace(have, columns=named))
    zero = booster(TRUTH == 0, 1, zero_as_missing=True)
    with pytest.raises(UsageError, match=r"at most another.*missing as Zero"):
        trees_to_onnx(model("multilabel", [zero, zero, zero]))
