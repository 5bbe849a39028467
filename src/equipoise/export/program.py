"""A rule as steps that every format can take: sums, logarithms, the largest of a row, a curve.

Here the formulas of :class:`equipoise.DecisionRule` stand once more, on names of columns instead of
numbers. Each format writes the steps in its own words and knows nothing of calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from equipoise._core.arrays import Floats
from equipoise._core.messages import hint, one_of, say
from equipoise.artifacts import DecisionRule
from equipoise.artifacts.labels import Kind
from equipoise.artifacts.scores import ROUNDING, SCORE_KINDS
from equipoise.errors import NotRecoverableError, UsageError

Op = Literal[
    "scores", "number", "add", "sub", "mul", "div", "max", "min", "neg", "abs", "exp", "log",
    "log1p", "at_least", "above", "equal", "where", "row_max", "row_sum", "row_top", "bend",
    "first", "dot",
]  # fmt: skip
_TINY, _EPSNEG, _MOST = (
    float(np.finfo(np.float64).tiny),
    float(np.finfo(np.float64).epsneg),
    float(np.finfo(np.float64).max),
)
_ORDER = 1e-10  # as in the step "unmix"
_MOST_TOGETHER = 100  # labels of which each is compared with all others
_LEAST = -1e300  # stands for the logarithm of nothing: a format may have no infinity


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Straight lines: between cuts j and j + 1 the value is ``y[j] + slope[j] (z - x[j])``.

    Args:
        cuts: (K,) increasing; a number on a cut belongs to the line behind it.
        x: (K + 1,) where each line is anchored.
        y: (K + 1,) its value there.
        slope: (K + 1,) 1 before the first cut and behind the last.
    """

    cuts: Floats
    x: Floats
    y: Floats
    slope: Floats

    @classmethod
    def through(cls, x: Any, y: Any) -> Curve:
        """Return the curve through knots, with slope 1 outside them.

        Example:
            >>> Curve.through([0.0, 1.0], [0.0, 3.0]).slope.tolist()
            [1.0, 3.0, 1.0]
        """
        x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
        with np.errstate(over="ignore"):
            slope = np.concatenate([[1.0], np.diff(y) / np.diff(x), [1.0]])
        if not np.isfinite(slope).all():
            do = "Make the rule again with tune(scores)."
            raise UsageError(say("rule", "have curves of finite slopes", "a jump", do))
        return cls(x, np.append(x[0], x), np.append(y[0], y), slope)


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One step on a row: of C numbers, one per label or class, or of a single one.

    Args:
        op: "scores" is what comes in; "number" is constant; "at_least", "above" and "equal" give
            yes or no, as "first" does, which marks the ``count`` largest of a row, the first of
            equals; "row_top" is the place of the largest, given the row and its "row_max", again
            the first of equals; "dot" multiplies the row with a matrix.
        of: The steps that it is made of.
        numbers: Of "number" (1,) or (C,), of "dot" (C, C), else empty.
        curves: Of "bend", one per column, None where a column stays.
        count: Of "first".
        wide: Whether it has a number for each column.
    """

    op: Op
    of: tuple[Step, ...] = ()
    numbers: Floats = field(default_factory=lambda: np.array([]))
    curves: tuple[Curve | None, ...] = ()
    count: int = 0
    wide: bool = True

    def __add__(self, other: Operand) -> Step:
        return self if _is(other, 0.0) else _made("add", self, other)

    def __radd__(self, other: Operand) -> Step:
        return _made("add", other, self)

    def __sub__(self, other: Operand) -> Step:
        return self if _is(other, 0.0) else _made("sub", self, other)

    def __rsub__(self, other: Operand) -> Step:
        return _made("sub", other, self)

    def __mul__(self, other: Operand) -> Step:
        return self if _is(other, 1.0) else _made("mul", self, other)

    def __truediv__(self, other: Operand) -> Step:
        return _made("div", self, other)

    def __neg__(self) -> Step:
        return _made("neg", self)

    def __ge__(self, other: Operand) -> Step:
        return _made("at_least", self, other)

    def __gt__(self, other: Operand) -> Step:
        return _made("above", self, other)


Operand: TypeAlias = Step | float | Floats


def _is(value: Operand, number: float) -> bool:
    return not isinstance(value, Step) and bool((np.asarray(value) == number).all())


def _made(op: Op, *of: Operand, **more: Any) -> Step:
    steps = tuple(one if isinstance(one, Step) else _number(one) for one in of)
    return Step(op, steps, wide=any(step.wide for step in steps), **more)


def _number(value: float | Floats) -> Step:
    numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
    return Step("number", numbers=numbers, wide=numbers.size > 1)


def _exp(a: Step) -> Step:
    """Return e^a; every a here is <= 0, so that no format overflows."""
    return _made("exp", a)


def _log(a: Step) -> Step:
    """Return log a; every a here is > 0."""
    return _made("log", a)


def _log1p(a: Step) -> Step:
    return _made("log1p", a)


def _largest(a: Operand, b: Operand) -> Step:
    return _made("max", a, b)


def _where(which: Step, a: Operand, b: Operand) -> Step:
    return _made("where", which, a, b)


def _row_max(a: Step) -> Step:
    return Step("row_max", (a,), wide=False)


def _row_sum(a: Step) -> Step:
    return Step("row_sum", (a,), wide=False)


def _row_top(a: Step) -> Step:
    return Step("row_top", (a, _row_max(a)), wide=False)


def _bend(a: Step, curves: Sequence[Curve | None]) -> Step:
    return Step("bend", (a,), curves=tuple(curves)) if any(curves) else a


# Sigmoid and softmax, as in _core/logistic.py.


def _expit(z: Step) -> Step:
    small = _exp(-_made("abs", z))
    return _where(z >= 0.0, 1.0, small) / (1.0 + small)


def _log_expit(z: Step) -> Step:
    return _made("min", z, 0.0) - _log1p(_exp(-_made("abs", z)))


def _log_softmax(z: Step) -> Step:
    shifted = z - _row_max(z)
    return shifted - _log(_row_sum(_exp(shifted)))


def _log_rest(z: Step, width: int) -> Step:
    log_p, top = _log_softmax(z), _made("equal", _row_top(z), np.arange(float(width)))
    others = _where(top, _LEAST, log_p)
    best = _row_max(others)
    rest = best + _log(_row_sum(_exp(others - best)))
    return _where(top, rest, _log1p(-_exp(others)))


# What undoes a loss or a sampler, as in artifacts/_steps.py.


def _focal_log_scale(log_p: Step, log_q: Step, gamma: float) -> Step:
    inner = _exp(log_q) - _exp(log_p) * gamma * log_p
    exact, first_order = _log(_largest(inner, _TINY)), log_q + float(np.log1p(gamma))
    return log_q * (gamma - 1.0) + _where(log_q > -30.0, exact, first_order)


def _focal(z: Step, op: Mapping[str, Any], rule: DecisionRule) -> Step:
    gamma = float(op["gamma"])
    if rule.kind == "multilabel":
        if gamma == 0:
            return z
        p, q = _log_expit(z), _log_expit(-z)
        return z + _focal_log_scale(q, p, gamma) - _focal_log_scale(p, q, gamma)
    log_p = _log_softmax(z)
    if gamma == 0:
        return log_p
    return _log_softmax(log_p - _focal_log_scale(log_p, _log_rest(z, len(rule.names)), gamma))


def _poly(z: Step, op: Mapping[str, Any], _rule: DecisionRule) -> Step:
    log_p = _log_softmax(z)
    return _log_softmax(log_p - _log1p(_exp(log_p) * float(op["epsilon"])))


def _ldam(z: Step, op: Mapping[str, Any], rule: DecisionRule) -> Step:
    scale = float(op["scale"])
    log_p, rest = _log_softmax(z * scale), _log_rest(z * scale, len(rule.names))
    lowered = log_p - scale * np.asarray(op["margin"], dtype=np.float64)
    both = _largest(rest, lowered) + _log1p(_exp(-_made("abs", rest - lowered)))
    return _log_softmax(log_p + both)


def _unmix(z: Step, op: Mapping[str, Any], rule: DecisionRule) -> Step:
    log_p = _log_softmax(z)
    p, kept = _exp(log_p), 1.0 - np.asarray(op["smoothing"], dtype=np.float64)
    shares = float(np.broadcast_to(1.0 / kept, len(rule.names)).sum())
    spread = (_row_sum(p / kept) - 1.0) / shares
    above = _largest(p - spread, _TINY)
    log_q = _largest(_log(above), log_p + float(np.log(_ORDER))) - np.log(kept)
    return _log_softmax(log_q)


def _monotone_table(z: Step, op: Mapping[str, Any], rule: DecisionRule) -> Step:
    curves = [Curve.through(table["logit"], table["log_odds"]) for table in op["tables"]]
    return _bend(z, curves * len(rule.names) if len(curves) == 1 else curves)


_UNDO: Mapping[str, Callable[[Step, Mapping[str, Any], DecisionRule], Step]] = {
    "offset": lambda z, op, _: z + np.asarray(op["offset"], dtype=np.float64),
    "scale": lambda z, op, _: z * np.asarray(op["scale"], dtype=np.float64),
    "focal": _focal,
    "poly": _poly,
    "ldam": _ldam,
    "unmix": _unmix,
    "monotone_table": _monotone_table,
}


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """What a rule does to one row of scores.

    Args:
        kind: "multiclass" or "multilabel".
        names: One name per class or label.
        columns: Names of the score columns, in the same order.
        score_kind: What the scores are.
        low: A row with a score below it, or none, gets no decision.
        high: The same for scores above it.
        probabilities: Their last step.
        decisions: Yes or no for each label; for classes the place of one.
    """

    kind: Kind
    names: tuple[str, ...]
    columns: tuple[str, ...]
    score_kind: str
    low: float
    high: float
    probabilities: Step
    decisions: Step

    def steps(self) -> list[Step]:
        """Return all steps, each behind those that it is made of."""
        found: dict[Step, None] = {}

        def visit(step: Step) -> Iterator[Step]:
            for one in step.of:
                if one not in found:
                    yield from visit(one)
            if step not in found:
                found[step] = None
                yield step

        return [*visit(self.probabilities), *visit(self.decisions)]

    def require_few(self) -> None:
        """Refuse the first k of so many labels that comparing each with all others is too long."""
        width = len(self.names)
        if width > _MOST_TOGETHER and any(step.op == "first" for step in self.steps()):
            do = hint("Export it with {form=javascript} or {form=onnx}, which sort.")
            expected = f"choose among at most {_MOST_TOGETHER} labels, to be compared pair by pair"
            raise UsageError(say("rule", expected, f"the first of {width}", do))

    def kept(self, repeated: frozenset[str]) -> set[Step]:
        """Return the steps whose value a format should keep instead of writing it again.

        Args:
            repeated: Ops that name what they are made of more than once.
        """
        steps = self.steps()
        uses: dict[Step, int] = dict.fromkeys(steps, 0)
        for step in steps:
            for one in step.of:
                often = step.op in repeated or (step.wide and not one.wide)
                uses[one] += 2 if often else 1
        for last in (self.probabilities, self.decisions):
            uses[last] += 2
        return {step for step, n in uses.items() if n > 1 and step.op != "number"}


def make_program(
    rule: DecisionRule,
    *,
    score_kind: str | None = None,
    columns: Sequence[str] | None = None,
    by_row: bool = False,
) -> Program:
    """Return the steps of a rule.

    Args:
        rule: The rule.
        score_kind: "logits", "probabilities" or "ranking"; that of the scores which the rule was
            tuned on, if not given.
        columns: Names of the score columns, in the order of the rule's names; those that it was
            tuned on, if not given.
        by_row: Whether a budget over a batch becomes the cut that met it on validation rows.

    Raises:
        UsageError: a budget without ``by_row``, or scores of a kind that the rule does not take.
        NotRecoverableError: the rule's correction leads to no probability.
    """
    kind = rule.kind
    score_kind = _score_kind(rule, score_kind)
    scores = Step("scores")
    low, high = -_MOST, _MOST
    if score_kind == "probabilities":
        low, high = -ROUNDING, 1 + ROUNDING
    z = _natural(rule, scores, score_kind)
    z = z * rule.calibrator.scale + rule.calibrator.offset
    knots = rule.calibrator.knots
    z = _bend(z, [None if k is None else Curve.through(k["log_odds"], k["calibrated"])
                  for k in knots])  # fmt: skip
    z = z + rule.prior_shift
    if kind == "multiclass":
        z = _log_softmax(z)
    p = _expit(z) if kind == "multilabel" else _exp(z)
    called = tuple(columns or rule.score_names or rule.names)
    decisions = _decisions(rule, z, p, by_row)
    return Program(kind, rule.names, called, score_kind, low, high, p, decisions)


def _score_kind(rule: DecisionRule, given: str | None) -> str:
    tuned = rule.tuned_on.get("score_kind")
    if given is not None:
        one_of("score_kind", given, SCORE_KINDS)
    kind = given or tuned
    if kind is None:
        do = hint("Pass {score_kind=logits} or another.")
        raise UsageError(say("score_kind", "be given for a rule that does not say it", None, do))
    allowed = ("logits", "probabilities") if rule.correction is not None else (tuned or kind,)
    if kind not in allowed:
        expected = f"be {' or '.join(allowed)}, as the scores that the rule was tuned on"
        raise UsageError(say("score_kind", expected, repr(kind), "Leave it out."))
    return str(kind)


def _natural(rule: DecisionRule, scores: Step, score_kind: str) -> Step:
    """Return log-odds or log-posteriors before calibration."""
    kind, evidence = rule.kind, rule.evidence
    labels = kind == "multilabel"
    z = scores
    if score_kind == "probabilities":
        p = _made("min", _largest(scores, 0.0), 1.0)
    elif evidence is not None:
        p = _expit(z) if labels else _exp(_log_softmax(z))
    if evidence is not None:
        prior, steps = evidence.prior, evidence.steps
        above = _log(_largest(p + prior / steps, _TINY))
        z = above - np.log1p(1 / steps)
        if labels:
            z = above - _log(_largest((1.0 - p) + (1 - prior) / steps, _EPSNEG))
    elif score_kind == "probabilities":
        z = _log(_largest(p, _TINY))
        if labels:
            z = z - _log(_largest(1.0 - p, _EPSNEG))
    if rule.correction is None:
        return z
    if rule.correction.exactness == "none":
        raise NotRecoverableError(
            "The correction of this rule leads to no probability. Tune a rule on scores of kind "
            "'ranking', and export that."
        )
    for op in rule.correction.ops:
        z = _UNDO[op["op"]](z, op, rule)
    return z if labels else _log_softmax(z)


def _decisions(rule: DecisionRule, z: Step, p: Step, by_row: bool) -> Step:
    form = None if rule.choice is None else rule.choice["form"]
    if by_row and form != "budget":
        do = "Leave it out: this rule decides row by row."
        raise UsageError(say("by_row", "be given for a budget over a batch alone", by_row, do))
    if form == "budget" and not by_row:
        do = hint(
            "Use `apply`, which sees the whole batch, or pass {by_row=True} for the cut that met "
            "it on validation rows."
        )
        expected = "decide row by row to be exported"
        raise UsageError(say("rule", expected, "a budget of flags over a batch", do))
    if rule.choice is not None and form == "top_k":
        return Step("first", (z,), count=int(rule.choice["k"]))
    if rule.choice is not None and form == "costs":
        costs = np.asarray(rule.choice["costs"], dtype=np.float64)
        return _row_top(-Step("dot", (p,), numbers=costs))
    if rule.thresholds is not None:
        return z >= rule.thresholds
    offset = np.zeros(1) if rule.class_offset is None else rule.class_offset
    return _row_top(z + offset)
