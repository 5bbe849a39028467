"""A rule as an ONNX graph in float64, alone or behind the network whose outputs it judges."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.arrays import Floats
from equipoise._core.messages import say
from equipoise.errors import DataError, MissingExtraError
from equipoise.export.program import Curve, Program, Step

OPSET = 18
IR = 10  # with this opset, what onnxruntime 1.18 and later read
_NODES = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "max": "Max", "min": "Min",
    "neg": "Neg", "abs": "Abs", "exp": "Exp", "log": "Log", "at_least": "GreaterOrEqual",
    "above": "Greater", "equal": "Equal", "where": "Where",
}  # fmt: skip
RESULTS = ("probabilities", "decisions")


def to_onnx(program: Program) -> bytes:
    """Return a graph from "scores", (N, C) float64, to "probabilities" and "decisions".

    Columns of the input are ``program.columns``, in that order, which the file's metadata hold as
    "score_names". A row in which a score is NaN, infinite or no probability gets probabilities of
    NaN and decisions of -1.

    Args:
        program: The steps.

    Raises:
        MissingExtraError: onnx is not installed.
    """
    onnx = _onnx()
    rows = onnx.helper.make_tensor_value_info(
        "scores", onnx.TensorProto.DOUBLE, ["rows", len(program.columns)]
    )
    graph = onnx.helper.make_graph([], "rule", [rows], [])
    opset = [onnx.helper.make_opsetid("", OPSET)]
    model = onnx.helper.make_model(
        graph, opset_imports=opset, ir_version=IR, producer_name="equipoise"
    )
    _Writer(onnx, model, program).write("scores", range(len(program.columns)))
    return bytes(model.SerializeToString())


def append_rule(network: bytes, program: Program, outputs: Sequence[str]) -> bytes:
    """Return a network with a rule behind it: what it put out goes on into the rule.

    Args:
        network: An ONNX model whose first output is (N, C).
        program: The steps.
        outputs: What the network's columns are called; the rule finds its own by name.

    Raises:
        DataError: the network has other outputs than the rule needs.
        MissingExtraError: onnx is not installed.
    """
    onnx = _onnx()
    if set(outputs) != set(program.names) or len(outputs) != len(program.names):
        do = "Export the rule that was tuned for this network."
        expected = f"be for the network's outputs {list(outputs)}"
        raise DataError(say("rule", expected, list(program.names), do))
    model = onnx.load_from_string(network)
    versions = {part.domain: part.version for part in model.opset_import}
    if versions.get("", 0) != OPSET:
        model = onnx.version_converter.convert_version(model, OPSET)
    order = [list(outputs).index(name) for name in program.names]
    _Writer(onnx, model, program).write(model.graph.output[0].name, order)
    return bytes(model.SerializeToString())


def _onnx() -> Any:
    try:
        onnx = importlib.import_module("onnx")
        importlib.import_module("onnx.version_converter")
    except (ImportError, RuntimeError) as error:
        raise MissingExtraError("onnx", "onnx", "An export to ONNX") from error
    return onnx


class _Writer:
    """Adds nodes and constants to a graph, under names that are free in it."""

    def __init__(self, onnx: Any, model: Any, program: Program) -> None:
        self.onnx, self.model, self.graph, self.program = onnx, model, model.graph, program
        self.count = 0
        used = {name for node in self.graph.node for name in (*node.output, *node.input)}
        used |= {value.name for value in (*self.graph.initializer, *self.graph.input)}
        self.used = used | set(RESULTS)

    def _name(self) -> str:
        while True:
            self.count += 1
            if (name := f"rule_{self.count}") not in self.used:
                return name

    def constant(self, value: NDArray[Any] | float | int) -> str:
        """Add an array; Python's numbers are float64 and int64."""
        name = self._name()
        self.graph.initializer.append(self.onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op: str, *inputs: str, result: str | None = None, **attributes: Any) -> str:
        """Add a node, and return the name of its output."""
        name = result or self._name()
        self.graph.node.append(self.onnx.helper.make_node(op, inputs, [name], **attributes))
        return name

    def cast(self, value: str, to: str) -> str:
        """Return a tensor of another type."""
        return self.node("Cast", value, to=getattr(self.onnx.TensorProto, to))

    def write(self, source: str, order: Sequence[int]) -> None:
        """Add the steps behind the tensor ``source``, its columns in another order."""
        program = self.program
        raw = self.cast(source, "DOUBLE")
        if list(order) != list(range(len(order))):
            raw = self.node("Gather", raw, self.constant(np.array(order)), axis=1)
        low, high = self.constant(program.low), self.constant(program.high)
        above, below = self.node("GreaterOrEqual", raw, low), self.node("LessOrEqual", raw, high)
        fine = self.cast(self.node("And", above, below), "INT32")
        every = self.node("ReduceMin", fine, self.constant(np.array([1])), keepdims=1)
        usable = self.cast(every, "BOOL")
        made = {}
        for step in program.steps():
            if step.op == "scores":
                made[step] = self.node("Where", usable, raw, self.constant(0.0))
            else:
                made[step] = self._step(step, [made[one] for one in step.of])
        del self.graph.output[:]
        width = len(program.names)
        self.node("Where", usable, made[program.probabilities], self.constant(np.nan),
                  result="probabilities")  # fmt: skip
        self._decide(made[program.decisions], usable)
        kinds = self.onnx.TensorProto
        shapes = {"probabilities": (kinds.DOUBLE, ["rows", width])}
        labels = program.kind == "multilabel"
        shapes["decisions"] = (kinds.INT8, ["rows", width]) if labels else (kinds.INT64, ["rows"])
        for name, (kind, shape) in shapes.items():
            self.graph.output.append(self.onnx.helper.make_tensor_value_info(name, kind, shape))
        # Names of a network's own outputs are replaced; what its inputs are called stays.
        held = {prop.key: prop.value for prop in self.model.metadata_props}
        known = {"kind": program.kind, "names": program.names, "score_names": program.columns,
                 "score_kind": program.score_kind}  # fmt: skip
        self.onnx.helper.set_model_props(
            self.model, held | {key: json.dumps(value) for key, value in known.items()}
        )
        self.onnx.checker.check_model(self.model, full_check=True)

    def _decide(self, flags: str, usable: str) -> None:
        if self.program.kind == "multilabel":
            none = self.constant(np.array(-1, dtype=np.int32))
            chosen = self.node("Where", usable, self.cast(flags, "INT32"), none)
            self.node("Cast", chosen, result="decisions", to=self.onnx.TensorProto.INT8)
            return
        one = self.constant(np.array([1]))
        place = self.node("Squeeze", self.cast(flags, "INT64"), one)
        known = self.node("Squeeze", usable, one)
        self.node("Where", known, place, self.constant(np.array(-1)), result="decisions")

    def _step(self, step: Step, of: list[str]) -> str:
        if step.op in _NODES:
            return self.node(_NODES[step.op], *of)
        if step.op == "number":
            return self.constant(step.numbers)
        if step.op == "dot":
            return self.node("MatMul", *of, self.constant(step.numbers))
        if step.op in ("row_max", "row_sum"):
            op = "ReduceMax" if step.op == "row_max" else "ReduceSum"
            return self.node(op, *of, self.constant(np.array([1])), keepdims=1)
        if step.op == "log1p":
            return self._log1p(of[0])
        if step.op == "row_top":
            return self.cast(self.node("ArgMax", of[0], axis=1, keepdims=1), "DOUBLE")
        if step.op == "first":
            return self._first(of[0], step.count)
        return self._bend(of[0], step.curves)

    def _log1p(self, a: str) -> str:
        # log(1 + a), with what rounding took of 1 + a given back.
        one = self.constant(1.0)
        u = self.node("Add", a, one)
        lost = self.node("Sub", u, one)
        same = self.node("Equal", u, one)
        back = self.node("Div", self.node("Mul", self.node("Log", u), a), lost)
        return self.node("Where", same, a, back)

    def _first(self, a: str, count: int) -> str:
        # TopK gives the first of equals, as the standard says.
        name, places = self._name(), self._name()
        how_many = self.constant(np.array([count]))
        self.graph.node.append(
            self.onnx.helper.make_node("TopK", [a, how_many], [name, places], axis=1)
        )
        each = self.node("Unsqueeze", places, self.constant(np.array([2])))
        columns = self.constant(np.arange(len(self.program.names)))
        marks = self.cast(self.node("Equal", each, columns), "INT32")
        any_ = self.node("ReduceMax", marks, self.constant(np.array([1])), keepdims=0)
        return self.cast(any_, "BOOL")

    def _bend(self, z: str, curves: Sequence[Curve | None]) -> str:
        """Search the line that each number lies on: half of the lines are left at each step."""
        most = max(len(c.cuts) for c in curves if c is not None)
        size = 1 << most.bit_length()  # > most, so that a column's cuts end in infinities
        cuts = np.full((len(curves), size), np.inf)
        lines = np.zeros((3, len(curves), size))
        lines[2] = 1.0  # a column without a curve stays as it is
        for column, curve in enumerate(curves):
            if curve is not None:
                cuts[column, : curve.cuts.size] = curve.cuts
                for kept, part in zip(lines, (curve.x, curve.y, curve.slope), strict=True):
                    kept[column, : part.size] = part
        starts = self.constant(np.arange(len(curves)) * size)
        table, below = self.constant(cuts.ravel()), self._zeros(z)
        step = size // 2
        while step:
            tried = self.node("Add", below, self.constant(np.array(step)))
            place = self.node("Add", tried, self.constant(np.arange(len(curves)) * size - 1))
            reached = self.node("GreaterOrEqual", z, self.node("Gather", table, place))
            below = self.node("Where", reached, tried, below)
            step //= 2
        place = self.node("Add", below, starts)
        x, y, slope = (self._at(part, place) for part in lines)
        return self.node("Add", y, self.node("Mul", slope, self.node("Sub", z, x)))

    def _at(self, table: Floats, place: str) -> str:
        return self.node("Gather", self.constant(table.ravel()), place)

    def _zeros(self, z: str) -> str:
        shape = self.node("Shape", z)
        zero = self.onnx.numpy_helper.from_array(np.array([0]), "value")
        return self.node("ConstantOfShape", shape, value=zero)
