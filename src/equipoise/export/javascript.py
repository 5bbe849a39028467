"""A rule as one JavaScript file without dependencies, for Node and browsers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from equipoise.export.program import Curve, Program, Step

_CELL = {
    "add": "(a, b) => a + b",
    "sub": "(a, b) => a - b",
    "mul": "(a, b) => a * b",
    "div": "(a, b) => a / b",
    "max": "(a, b) => Math.max(a, b)",
    "min": "(a, b) => Math.min(a, b)",
    "neg": "(a) => -a",
    "abs": "(a) => Math.abs(a)",
    "exp": "(a) => Math.exp(a)",
    "log": "(a) => Math.log(a)",
    "log1p": "(a) => Math.log1p(a)",
    "at_least": "(a, b) => a >= b",
    "above": "(a, b) => a > b",
    "equal": "(a, b) => a === b",
    "where": "(a, b, c) => (a ? b : c)",
}
_HEAD = """\
// A decision rule: calibrated probabilities and decisions from scores. Needs nothing else.
//
//   decide({COLUMN: score, ...}), or decide([score, ...]) in the order of COLUMNS
//   decideAll(rows)
//
// Both give probabilities by name, and %s.
// A score that is missing, not finite or no probability where one is due is an error.
"""
_PARTS = """
const ONE = [0];
const each = (f, a, b = ONE, c = ONE) => { // one number goes with every column
  const out = new Array(Math.max(a.length, b.length, c.length));
  const [da, db, dc] = [+(a.length > 1), +(b.length > 1), +(c.length > 1)];
  for (let i = 0; i < out.length; i += 1) out[i] = f(a[i * da], b[i * db], c[i * dc]);
  return out;
};
const rowMax = (row) => [row.reduce((a, b) => Math.max(a, b))];
const rowSum = (row) => [row.reduce((a, b) => a + b)];
const dot = (row, columns) => columns.map((c) => rowSum(each((a, b) => a * b, row, c))[0]);
const first = (row, count) => {
  const order = row.map((_, i) => i).sort((i, j) => row[j] - row[i] || i - j);
  const chosen = new Set(order.slice(0, count));
  return row.map((_, i) => chosen.has(i));
};
const bend = (z, curve) => {
  if (curve === null) return z;
  let low = 0, high = curve.cuts.length; // how many cuts are at or below z
  while (low < high) {
    const middle = (low + high) >> 1;
    if (z < curve.cuts[middle]) high = middle;
    else low = middle + 1;
  }
  return curve.y[low] + curve.slope[low] * (z - curve.x[low]);
};
const read = (scores) => {
  const list = Array.isArray(scores);
  if (list && scores.length !== COLUMNS.length)
    throw new Error(`expected ${COLUMNS.length} scores, got ${scores.length}`);
  return COLUMNS.map((column, i) => {
    const value = list ? scores[i] : Object.hasOwn(scores, column) ? scores[column] : undefined;
    if (typeof value !== "number" || !(value >= LOW && value <= HIGH))
      throw new Error(`score ${JSON.stringify(column)} must be a number in [${LOW}, ${HIGH}], ` +
        `got ${value}`);
    return value;
  });
};
"""
_END = """
const decideAll = (rows) => Array.from(rows, (row) => decide(row));

%s
"""
_EXPORTS = {
    "module": "export { COLUMNS, NAMES, decide, decideAll };",
    "commonjs": "module.exports = { COLUMNS, NAMES, decide, decideAll };",
}


def to_javascript(program: Program, *, modules: str = "module") -> str:
    """Return the text of a file with ``decide(scores)`` and ``decideAll(rows)``.

    Args:
        program: The steps.
        modules: "module" for ``import``, "commonjs" for ``require``.
    """
    names = {step: f"t{number}" for number, step in enumerate(program.steps())}
    constants, lines = [], []
    for step, name in names.items():
        if step.op == "number":
            constants.append(f"const {name} = {_numbers(step.numbers)};")
            continue
        of = [names[one] for one in step.of]
        if step.op in ("bend", "dot"):  # what they look up is made once, not for every row
            of.append(f"{name}Table")
            constants.append(f"const {name}Table = [{', '.join(_table(step))}];")
        lines.append(f"  const {name} = {_line(step, of)};")
    labels = program.kind == "multilabel"
    given = "decisions by name, 0 or 1" if labels else "the name of one class as decision"
    p, flags = names[program.probabilities], names[program.decisions]
    decided = f"decision: NAMES[{flags}[0]]"
    if labels:
        decided = f"decisions: named({flags}.map((flag) => (flag ? 1 : 0)))"
    head = [
        _HEAD % given,
        f"const COLUMNS = {_json(list(program.columns))};",
        f"const NAMES = {_json(list(program.names))};",
        f"const LOW = {program.low!r}, HIGH = {program.high!r};",
        *constants,
        _PARTS.rstrip(),
        "const named = (row) => Object.fromEntries(NAMES.map((name, i) => [name, row[i]]));",
        "",
        "function decide(scores) {",
        *lines,
        f"  return {{ probabilities: named({p}), {decided} }};",
        "}",
    ]
    return "\n".join(head) + _END % _EXPORTS[modules]


_ROW = {
    "scores": "read(scores)",
    "row_max": "rowMax({0})",
    "row_sum": "rowSum({0})",
    "row_top": "[{0}.indexOf({1}[0])]",
    "bend": "each(bend, {0}, {1})",
    "dot": "dot({0}, {1})",
}


def _line(step: Step, of: list[str]) -> str:
    if step.op in _CELL:
        return f"each({_CELL[step.op]}, {', '.join(of)})"
    if step.op == "first":
        return f"first({of[0]}, {step.count})"
    return _ROW[step.op].format(*of)


def _table(step: Step) -> list[str]:
    if step.op == "dot":
        return [_numbers(column) for column in step.numbers.T]
    return ["null" if curve is None else _curve(curve) for curve in step.curves]


def _curve(curve: Curve) -> str:
    parts = (f"{name}: {_numbers(getattr(curve, name))}" for name in ("cuts", "x", "y", "slope"))
    return f"{{ {', '.join(parts)} }}"


def _numbers(values: Any) -> str:
    """Return numbers as JavaScript reads them; Python's repr keeps every digit of both."""
    texts = (repr(float(v)).replace("inf", "Infinity") for v in np.asarray(values))
    return f"[{', '.join(texts)}]"


def _json(value: Any) -> str:
    """Return JSON that may stand in a script, and in a script within a page."""
    return json.dumps(value).replace("</", "<\\/").replace("<!--", "<\\u0021--")
