"""A rule as one Python file that needs polars alone."""

from __future__ import annotations

from collections.abc import Sequence

from equipoise._core.arrays import Floats
from equipoise.export.program import Curve, Program, Step

_CELL = {
    "add": "lambda a, b: a + b",
    "sub": "lambda a, b: a - b",
    "mul": "lambda a, b: a * b",
    "div": "lambda a, b: a / b",
    "max": "pl.max_horizontal",
    "min": "pl.min_horizontal",
    "neg": "lambda a: -a",
    "abs": "lambda a: a.abs()",
    "exp": "lambda a: a.exp()",
    "log": "lambda a: a.log()",
    "log1p": "lambda a: a.log1p()",
    "at_least": "lambda a, b: a >= b",
    "above": "lambda a, b: a > b",
    "equal": "lambda a, b: a == b",
    "where": "lambda a, b, c: pl.when(a).then(b).otherwise(c)",
}
_REPEATED = frozenset({"bend", "first", "dot", "row_top"})
_FILE = '''\
"""A decision rule: calibrated probabilities and decisions from scores. Needs polars alone.

    frame = decide(frame)       # or frame.pipe(decide), eager or lazy

adds the columns "probability:NAME", and {given}. A row in which a
score is missing, NaN, infinite or no probability where one is due gets null in all of them.
"""

import polars as pl
import polars.selectors as cs

COLUMNS = {columns}
NAMES = {names}
RESULTS = {results}
STEP = "_rule_step_"
LOW, HIGH = {low!r}, {high!r}


def each(f, *of):
    """Apply to every column, one for all where there is but one."""
    return [f(*(v[0 if len(v) == 1 else i] for v in of)) for i in range(max(map(len, of)))]


def numbers(*values):
    return [pl.lit(value, dtype=pl.Float64) for value in values]


def keep(frame, number, row):
    """Add a step to the frame, so that it is worked out once."""
    names = [f"{{STEP}}{{number}}_{{i}}" for i in range(len(row))]
    frame = frame.with_columns(**dict(zip(names, row)))
    return frame, [pl.col(name) for name in names]


def dot(row, columns):
    return [pl.sum_horizontal(each(lambda a, b: a * b, row, numbers(*c))) for c in columns]


def top(row, most):
    return pl.coalesce(pl.when(z == most).then(pl.lit(i)) for i, z in enumerate(row))


def first(row, count):
    """Mark the largest, the first of equals: fewer than count are larger, or equal and before."""
    return [
        pl.sum_horizontal(z >= own if j < i else z > own for j, z in enumerate(row) if j != i)
        < count
        if len(row) > count
        else pl.lit(True)
        for i, own in enumerate(row)
    ]


def bend(z, curve):
    """Find the line that a number lies on, halving the lines at each question."""
    if curve is None:
        return z
    cuts, x, y, slope = curve

    def among(low, high):
        if low == high:
            return y[low] + slope[low] * (z - x[low])
        middle = (low + high) // 2
        left, right = among(low, middle), among(middle + 1, high)
        return pl.when(z < cuts[middle]).then(left).otherwise(right)

    return among(0, len(cuts))


def decide(frame):
    found = frame.lazy().collect_schema().names()
    clash = [name for name in found if name in RESULTS or name.startswith(STEP)]
    if clash:
        raise ValueError(f"columns {{clash}} are those that the rule writes: rename them")
    # by_name takes a name as it is; col() reads "^...$" as a pattern.
    scores = [cs.by_name(name).cast(pl.Float64) for name in COLUMNS]
    fine = pl.all_horizontal(z.is_between(LOW, HIGH) for z in scores).fill_null(False)
    frame, (usable,) = keep(frame, "usable", [fine])
{lines}
    cells = {p} + {decided}
    made = [pl.when(usable).then(cell).alias(name) for name, cell in zip(RESULTS, cells)]
    return frame.with_columns(made).select(cs.by_name(found), cs.by_name(RESULTS))
'''
_DECIDED = {
    "multilabel": "[flag.cast(pl.Int8) for flag in %s]",
    "multiclass": "[pl.coalesce(pl.when(%s[0] == i).then(pl.lit(n)) for i, n in enumerate(NAMES))]",
}


def to_polars(program: Program) -> str:
    """Return the text of a Python file with ``decide(frame)``.

    Args:
        program: The steps.

    Raises:
        UsageError: the first k of more than 100 labels.
    """
    program.require_few()
    labels = program.kind == "multilabel"
    results = [f"probability:{name}" for name in program.names]
    results += [f"decision:{name}" for name in program.names] if labels else ["decision"]
    kept, lines = program.kept(_REPEATED), []
    names = {step: f"t{number}" for number, step in enumerate(program.steps())}
    for step, name in names.items():
        lines.append(f"{name} = {_line(step, [names[one] for one in step.of])}")
        if step in kept:
            lines.append(f"frame, {name} = keep(frame, {name[1:]}, {name})")
    return _FILE.format(
        given='"decision:NAME", 0 or 1' if labels else '"decision", the name of a class',
        columns=_texts(program.columns),
        results=_texts(results),
        names=_texts(program.names),
        low=program.low,
        high=program.high,
        lines="\n".join(f"    {line}" for line in lines),
        p=names[program.probabilities],
        decided=_DECIDED[program.kind] % names[program.decisions],
    )


def _line(step: Step, of: list[str]) -> str:
    if step.op == "scores":
        return "scores"
    if step.op == "number":
        return f"numbers({_numbers(step.numbers)})"
    if step.op in _CELL:
        return f"each({_CELL[step.op]}, {', '.join(of)})"
    if step.op == "row_max":
        return f"[pl.max_horizontal({of[0]})]"
    if step.op == "row_sum":
        return f"[pl.sum_horizontal({of[0]})]"
    if step.op == "row_top":
        return f"[top({of[0]}, {of[1]}[0])]"
    if step.op == "first":
        return f"first({of[0]}, {step.count})"
    if step.op == "dot":
        columns = (f"[{_numbers(column)}]" for column in step.numbers.T)
        return f"dot({of[0]}, [{', '.join(columns)}])"
    curves = (
        "None"
        if curve is None
        else "(" + ", ".join(f"[{_numbers(v)}]" for v in _parts(curve)) + ")"
        for curve in step.curves
    )
    return f"each(bend, {of[0]}, [{', '.join(curves)}])"


def _parts(curve: Curve) -> tuple[Floats, ...]:
    return curve.cuts, curve.x, curve.y, curve.slope


def _numbers(values: Floats) -> str:
    """Return numbers as Python reads them; only cuts that never or always flag are infinite."""
    texts = (repr(float(v)) for v in values)
    return ", ".join(f'float("{t}")' if "inf" in t else t for t in texts)


def _texts(values: Sequence[str]) -> str:
    """Return a list of texts in letters that every encoding has."""
    return f"[{', '.join(ascii(value) for value in values)}]"
