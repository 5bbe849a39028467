"""A rule as one SQL query: rows of scores in, probabilities and decisions out.

Every step that is used again is a column of a common table expression, each behind those that it
needs; names of columns are quoted, and columns of the query's own have names that no table can
shadow, as the first expression renames what it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from equipoise._core.messages import hint, one_of, say
from equipoise.errors import UsageError
from equipoise.export.program import Curve, Program, Step

_HEAD = """\
-- A decision rule: calibrated probabilities and decisions from scores. A row in which a score is
-- missing, NaN, infinite or no probability where one is due gets NULL.
"""
_LEAST_EXP = "(-700e0)"  # PostgreSQL has no e^-746: it says "underflow" and stops
_MOST_ARGUMENTS = 50  # SQLite takes 127 in a function
_REPEATED = frozenset({"exp", "log1p", "bend", "first", "dot", "row_top"})
_BIGQUERY_TABOO = {*'!"$()*,./;?@[\\]^`{}~', *map(chr, range(32))}


@dataclass(frozen=True, slots=True)
class _Dialect:
    """How a database spells what others spell otherwise."""

    double: str = "DOUBLE PRECISION"
    quote: str = '"'
    backslash: bool = False  # whether it is an escape within texts
    greatest: str = "GREATEST"
    least: str = "LEAST"
    number: str = ""  # where a text would be cast to 0
    materialized: str = ""  # else expressions are put into each other, and grow with every level


_DIALECTS = {
    "duckdb": _Dialect(),
    "postgresql": _Dialect(materialized="MATERIALIZED "),
    "sqlite": _Dialect(
        "REAL",
        greatest="MAX",
        least="MIN",
        number="TYPEOF({0}) IN ('integer', 'real') AND ",
        materialized="MATERIALIZED ",
    ),
    "snowflake": _Dialect(backslash=True),
    "bigquery": _Dialect("FLOAT64", "`", backslash=True),
    "spark": _Dialect("DOUBLE", "`", backslash=True),
}
DIALECTS = tuple(_DIALECTS)
"""Names of SQL dialects."""


def to_sql(
    program: Program, *, table: str = "scores", keep: Sequence[str] = (), dialect: str = "duckdb"
) -> str:
    """Return a query that decides the rows of a table.

    A row in which a score is missing, NaN, infinite or no probability gets NULL everywhere.

    Args:
        program: The steps.
        table: Where the scores are; dots part schema and table.
        keep: Columns to carry over, such as ids.
        dialect: "duckdb", "postgresql", "sqlite" (3.35 and later), "snowflake", "bigquery" or
            "spark".

    Raises:
        UsageError: another dialect, no table, names that differ in case alone or that the dialect
            does not take, or the first k of more than 100 labels.
    """
    how = _DIALECTS[one_of("dialect", dialect, DIALECTS)]
    out = [f"probability:{name}" for name in program.names]
    if program.kind == "multiclass":
        out.append("decision")
    else:
        out += [f"decision:{name}" for name in program.names]
    _check_names(program.columns, [*keep, *out], dialect)
    program.require_few()
    if not all(table.split(".")):
        raise UsageError(say("table", "name a table, as scores or schema.scores", repr(table)))
    writer = _Writer(program, how, len(keep))
    named = [_name(column, how) for column in program.columns]
    cast = [f"CAST({name} AS {how.double})" for name in named]
    low, high = _literal(program.low), _literal(program.high)
    inside = [
        f"{how.number.format(name)}{number} BETWEEN {low} AND {high}"
        for name, number in zip(named, cast, strict=True)
    ]
    carried = [f"{_name(column, how)} AS k{i}" for i, column in enumerate(keep)]
    scores = [f"{number} AS r{i}" for i, number in enumerate(cast)]
    usable = f"CASE WHEN {_fold(inside, ' AND ')} THEN 1 ELSE 0 END AS usable"
    source = ".".join(_name(part, how) for part in table.split("."))
    first = _select([*carried, usable, *scores], source)
    kept = [f"k{i} AS {_name(column, how)}" for i, column in enumerate(keep)]
    results = [
        f"CASE WHEN usable = 1 THEN {cell} END AS {_name(name, how)}"
        for name, cell in zip(out, writer.cells(), strict=True)
    ]
    parts, before = [f"WITH s0 AS {how.materialized}(\n{first}\n)"], "s0"
    for number, columns in enumerate(writer.layers, start=1):
        parts.append(f"s{number} AS {how.materialized}(\n{_select(columns, before)}\n)")
        before = f"s{number}"
    return _HEAD + ",\n".join(parts) + "\n" + _select([*kept, *results], before) + "\n"


class _Writer:
    """Writes steps as expressions over the columns of the layer before."""

    def __init__(self, program: Program, how: _Dialect, carried: int) -> None:
        self.program, self.how = program, how
        self.width = len(program.names)
        kept = program.kept(_REPEATED)
        texts: dict[Step, list[str]] = {}
        level: dict[Step, int] = {}
        layers: list[dict[str, str]] = []
        called: dict[Step, list[str]] = {}
        for number, step in enumerate(program.steps()):
            level[step] = max((level[one] for one in step.of), default=0)
            found = self._write(step, [texts[one] for one in step.of])
            if step in kept:
                names = [f"t{number}_{i}" for i in range(len(found))]
                if level[step] == len(layers):
                    layers.append({})
                layers[level[step]] |= dict(zip(names, found, strict=True))
                level[step] += 1
                called[step] = found = names
            texts[step] = found
        self.texts = texts
        always = [*(f"k{i}" for i in range(carried)), "usable"]
        self.layers = self._needed(layers, always, {s: (level[s], n) for s, n in called.items()})

    def _needed(
        self,
        layers: list[dict[str, str]],
        always: list[str],
        made: dict[Step, tuple[int, list[str]]],
    ) -> list[list[str]]:
        """Return the columns of each layer: its own, and of earlier ones those used later."""
        steps = self.program.steps()
        # Where each kept step is last named: by kept ones in their layer, by others where they end.
        last: dict[Step, int] = {}

        def name_at(step: Step, layer: int) -> None:
            for one in step.of:
                if one in made:
                    last[one] = max(last.get(one, 0), layer)
                else:
                    name_at(one, layer)

        for step in steps:
            if step in made:
                name_at(step, made[step][0])
        for step in (self.program.probabilities, self.program.decisions):
            last[step] = len(layers) + 1
        found = []
        for number, own in enumerate(layers, start=1):
            passed = [
                name
                for step, (layer, names) in made.items()
                for name in names
                if layer < number < last.get(step, 0)
            ]
            columns = [f"{text} AS {name}" for name, text in own.items()]
            found.append([*always, *passed, *columns])
        return found

    def cells(self) -> list[str]:
        """Return the expressions of the results, over the last layer."""
        program, flags = self.program, self.texts[self.program.decisions]
        decided = [f"CASE WHEN {flag} THEN 1 ELSE 0 END" for flag in flags]
        if program.kind == "multiclass":
            cases = (f"WHEN {i} THEN {self._text(name)}" for i, name in enumerate(program.names))
            decided = [f"CASE {flags[0]} {' '.join(cases)} END"]
        return [*self.texts[program.probabilities], *decided]

    def _text(self, text: str) -> str:
        if self.how.backslash:
            escaped = text.replace("\\", "\\\\").replace("'", "\\'")
            escaped = escaped.replace("\n", "\\n").replace("\r", "\\r")
        else:
            escaped = text.replace("'", "''")
        return f"'{escaped}'"

    def _write(self, step: Step, of: list[list[str]]) -> list[str]:
        """Return the texts of a step: one per column, or one."""
        if step.op == "scores":
            return [f"r{i}" for i in range(self.width)]
        if step.op == "number":
            return [_literal(value) for value in step.numbers]
        if step.op == "row_max":
            return [_call(self.how.greatest, of[0])]
        if step.op == "row_sum":
            return [_fold(of[0], " + ")]
        if step.op == "row_top":
            cases = (f"WHEN {z} = {of[1][0]} THEN {i}" for i, z in enumerate(of[0]))
            return [f"CASE {' '.join(cases)} END"]
        if step.op == "first":
            return [_among_first(of[0], i, step.count) for i in range(self.width)]
        if step.op == "dot":
            columns = step.numbers.T
            return [_dot(of[0], column) for column in columns]
        if step.op == "bend":
            pairs = zip(of[0], step.curves, strict=True)
            return [z if curve is None else _bend(z, curve) for z, curve in pairs]
        width = max(len(texts) for texts in of)
        each = [[t[0 if len(t) == 1 else i] for t in of] for i in range(width)]
        return [self._cell(step.op, *texts) for texts in each]

    def _cell(self, op: str, a: str, b: str = "", c: str = "") -> str:
        if op in _SIGNS:
            return f"({a} {_SIGNS[op]} {b})"
        if op in _COMPARE:
            return _compared(a, b, _COMPARE[op])
        if op in ("max", "min"):
            return _call(self.how.greatest if op == "max" else self.how.least, [a, b])
        if op == "where":
            return f"CASE WHEN {a} THEN {b} ELSE {c} END"
        if op == "exp":
            return f"CASE WHEN {a} < {_LEAST_EXP} THEN 0e0 ELSE EXP({a}) END"
        if op == "log1p":
            # log(1 + a), with what rounding took of 1 + a given back.
            u = f"(1e0 + {a})"
            return f"CASE WHEN {u} = 1e0 THEN {a} ELSE LN({u}) * {a} / ({u} - 1e0) END"
        return {"neg": f"(-{a})", "abs": f"ABS({a})", "log": f"LN({a})"}[op]


_COMPARE = {"at_least": ">=", "above": ">", "equal": "="}
_SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/"}


def _literal(value: float) -> str:
    """Return a number that every database reads as a double; in brackets, as -- is a comment."""
    if np.isinf(value):
        return "inf" if value > 0 else "-inf"
    text = repr(float(value))
    text = text if "e" in text else f"{text}e0"
    return f"({text})" if text.startswith("-") else text


def _compared(a: str, b: str, sign: str) -> str:
    if b in ("inf", "-inf"):  # a threshold that never flags, or flags every row
        return "(1 = 0)" if b == "inf" else "(1 = 1)"
    return f"({a} {sign} {b})"


def _call(function: str, texts: list[str]) -> str:
    while len(texts) > 1:
        parts = [texts[i : i + _MOST_ARGUMENTS] for i in range(0, len(texts), _MOST_ARGUMENTS)]
        texts = [part[0] if len(part) == 1 else f"{function}({', '.join(part)})" for part in parts]
    return texts[0]


def _fold(texts: list[str], between: str) -> str:
    """Return a long sum as a sum of sums: databases limit how deep an expression may be."""
    while len(texts) > 1:
        parts = [texts[i : i + _MOST_ARGUMENTS] for i in range(0, len(texts), _MOST_ARGUMENTS)]
        texts = [f"({between.join(part)})" for part in parts]
    return texts[0]


def _dot(row: list[str], column: np.ndarray) -> str:
    parts = [f"{p} * {_literal(v)}" for p, v in zip(row, column, strict=True) if v != 0]
    return _fold(parts, " + ") if parts else "0e0"


def _among_first(row: list[str], i: int, count: int) -> str:
    """Return whether fewer than ``count`` are larger, or equal and before."""
    others = [(z, ">=" if j < i else ">") for j, z in enumerate(row) if j != i]
    if count >= len(row):
        return "(1 = 1)"
    larger = [f"CASE WHEN {z} {sign} {row[i]} THEN 1 ELSE 0 END" for z, sign in others]
    return f"({_fold(larger, ' + ')} < {count})"


def _bend(z: str, curve: Curve) -> str:
    """Return a search for the line that a number lies on, halving the lines at each question."""

    def among(low: int, high: int) -> str:
        if low == high:
            x, y, slope = (_literal(v[low]) for v in (curve.x, curve.y, curve.slope))
            return f"{y} + {slope} * ({z} - {x})"
        middle = (low + high) // 2
        left, right = among(low, middle), among(middle + 1, high)
        return f"CASE WHEN {z} < {_literal(curve.cuts[middle])} THEN {left} ELSE {right} END"

    return among(0, len(curve.cuts))


def _select(columns: Sequence[str], source: str) -> str:
    listed = ",\n  ".join(columns)
    return f"SELECT\n  {listed}\nFROM {source}"


def _name(name: str, how: _Dialect) -> str:
    return f"{how.quote}{name.replace(how.quote, 2 * how.quote)}{how.quote}"


def _check_names(columns: Sequence[str], out: Sequence[str], dialect: str) -> None:
    do = "Rename it where the rule is tuned, or name other score columns."
    taboo = _BIGQUERY_TABOO if dialect == "bigquery" else set("\0")
    for name in (*columns, *out):
        if not name or taboo & set(name):
            expected = hint("be a name of a column in {dialect=" + dialect + "}")
            raise UsageError(say("names", expected, repr(name), do))
    for names in (columns, out):
        folded = [name.casefold() for name in names]
        twice = [n for n, f in zip(names, folded, strict=True) if folded.count(f) > 1]
        if twice:
            different = "differ in more than case, which databases overlook in columns"
            raise UsageError(say("names", different, twice, do))
