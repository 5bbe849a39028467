"""A model folder of LightGBM on columns of numbers as an ONNX graph, in float64 as LightGBM adds.

The trees are those that LightGBM itself says (``dump_model``); ONNX has one node for all of them.
Other models, and columns that scikit-learn prepares, have no part in it.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from equipoise._core.messages import hint, say
from equipoise.boosting.families import LightGBM
from equipoise.boosting.model import Constant, TableModel
from equipoise.errors import MissingExtraError, UsageError
from equipoise.export.onnx_graph import IR, OPSET

_ML = 5  # the version of ai.onnx.ml in which trees may be of float64: onnxruntime 1.20 and later
_AT_MOST, _SUM, _RAW = 0, 1, 0  # what the numbers of its attributes mean


def trees_to_onnx(model: TableModel) -> bytes:
    """Return a graph from "rows", (N, F) float32, to the raw outputs of the boosters, (N, C).

    Columns of the input are those of the table that the model uses, in the order that the file's
    metadata hold as "columns"; NaN where an entry is missing.

    Raises:
        UsageError: another kind of model than LightGBM, or columns that are no numbers.
        MissingExtraError: onnx is not installed.
    """
    _check(model)
    try:
        onnx = importlib.import_module("onnx")
    except (ImportError, RuntimeError) as error:
        raise MissingExtraError("onnx", "onnx", "An export to ONNX") from error
    helper, kinds = onnx.helper, onnx.TensorProto
    columns = [column.name for column in model.columns if column.role != "left out"]
    nodes = [helper.make_node("Cast", ["rows"], ["numbers"], to=kinds.DOUBLE)]
    parts = []
    for number, part in enumerate(model.parts):
        name = f"part_{number}"
        parts.append(name)
        if isinstance(part, Constant):
            nodes += _constant(onnx, part.value, name)
            continue
        trees = _Trees(part.classes)
        for place, tree in enumerate(_trees_of(part)):
            trees.add(tree, place % part.classes)
        told = trees.attributes(onnx)
        nodes.append(
            helper.make_node("TreeEnsemble", ["numbers"], [name], domain="ai.onnx.ml", **told)
        )
    nodes.append(helper.make_node("Concat", parts, ["outputs"], axis=1))
    graph = helper.make_graph(
        nodes,
        "trees",
        [helper.make_tensor_value_info("rows", kinds.FLOAT, ["rows", len(columns)])],
        [helper.make_tensor_value_info("outputs", kinds.DOUBLE, ["rows", len(model.names)])],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", _ML)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=IR, producer_name="equipoise")
    helper.set_model_props(made, {"columns": json.dumps(columns)})
    return bytes(made.SerializeToString())


def _check(model: TableModel) -> None:
    do = hint(
        "Predict with `equipoise predict`, or convert the model itself with the converter of its "
        "library and export its rule with {form=sql} or {form=javascript}."
    )
    others = [part for part in model.parts if not isinstance(part, (LightGBM, Constant))]
    if others:
        raise UsageError(say("model", "be LightGBM to become ONNX", model.family, do))
    odd = [c for c in model.columns if c.role not in ("number", "left out")]
    if odd or model.preparation.table is not None or model.preparation.texts:
        got = f"{odd[0].name!r}, a {odd[0].role}" if odd else "prepared ones"
        raise UsageError(say("columns", "be numbers as they are to become ONNX", got, do))


def _trees_of(part: LightGBM) -> list[Mapping[str, Any]]:
    told = part.booster.dump_model(num_iteration=part.rounds or -1)
    return [tree["tree_structure"] for tree in told["tree_info"]]


def _constant(onnx: Any, value: float, name: str) -> list[Any]:
    helper = onnx.helper
    shape = onnx.numpy_helper.from_array(np.array([1]), "value")
    kept = onnx.numpy_helper.from_array(np.array([value]), "value")
    return [
        helper.make_node("Shape", ["numbers"], [f"{name}_rows"], start=0, end=1),
        helper.make_node("Constant", [], [f"{name}_one"], value=shape),
        helper.make_node("Concat", [f"{name}_rows", f"{name}_one"], [f"{name}_shape"], axis=0),
        helper.make_node("ConstantOfShape", [f"{name}_shape"], [name], value=kept),
    ]


@dataclass
class _Trees:
    """What ONNX calls a tree ensemble: its nodes and leaves in lists, of all trees together."""

    targets: int
    roots: list[int] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    true: list[tuple[int, int]] = field(default_factory=list)
    false: list[tuple[int, int]] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)

    def add(self, tree: Mapping[str, Any], target: int) -> None:
        """Add a tree, whose leaves count for one output."""
        self.roots.append(len(self.features))
        if "leaf_value" in tree:
            # A tree without a question is one whose answers are alike.
            tree = {"split_feature": 0, "threshold": 0.0, "decision_type": "<=", "left_child": tree,
                    "right_child": tree, "missing_type": "None"}  # fmt: skip
        self._node(tree, target)

    def _node(self, node: Mapping[str, Any], target: int) -> tuple[int, int]:
        """Return where a node or leaf stands, and whether it is a leaf."""
        if "leaf_value" in node:
            self.weights.append(float(node["leaf_value"]))
            self.owners.append(target)
            return len(self.weights) - 1, 1
        if node["decision_type"] != "<=" or node["missing_type"] == "Zero":
            got = f"'{node['decision_type']}', missing as {node['missing_type']}"
            raise UsageError(say("trees", "ask whether a number is at most another", got))
        place, split = len(self.features), float(node["threshold"])
        self.features.append(int(node["split_feature"]))
        self.splits.append(split)
        # Where training rows had no gap, LightGBM reads one as 0.
        known = node["missing_type"] == "NaN"
        self.missing.append(int(node["default_left"] if known else split >= 0.0))
        self.true.append((0, 0))
        self.false.append((0, 0))
        self.true[place] = self._node(node["left_child"], target)
        self.false[place] = self._node(node["right_child"], target)
        return place, 0

    def attributes(self, onnx: Any) -> dict[str, Any]:
        """Return the attributes of the node."""

        def tensor(values: list[float], kind: Any) -> Any:
            return onnx.numpy_helper.from_array(np.array(values, dtype=kind))

        return {
            "n_targets": self.targets,
            "aggregate_function": _SUM,
            "post_transform": _RAW,
            "tree_roots": self.roots,
            "nodes_featureids": self.features,
            "nodes_splits": tensor(self.splits, np.float64),
            "nodes_modes": tensor([_AT_MOST] * len(self.splits), np.uint8),
            "nodes_missing_value_tracks_true": self.missing,
            "nodes_truenodeids": [place for place, _ in self.true],
            "nodes_trueleafs": [leaf for _, leaf in self.true],
            "nodes_falsenodeids": [place for place, _ in self.false],
            "nodes_falseleafs": [leaf for _, leaf in self.false],
            "leaf_targetids": self.owners,
            "leaf_weights": tensor(self.weights, np.float64),
        }
