"""Rules of every kind, random and hard, and rows for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from equipoise.artifacts import Calibrator, Correction, DecisionRule, Decisions, Evidence, Scores
from equipoise.export.program import Program, Step, make_program

LABELS = ("plain", 'a "quoted", name', "it's; DROP TABLE scores; --")
CLASSES = ("Ödem", "日本", "back\\slash'", "__proto__", "</script>")
_TABLE = {"logit": [-4.0, -1.0, 0.5, 3.0], "log_odds": [-6.0, -1.5, -1.5, 2.0]}

LABEL_OPS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "nothing": (),
    "weight": ({"op": "offset", "offset": [-2.0, 0.3, 1.5]},),
    "one_offset": ({"op": "offset", "offset": -2.0},),
    "focal": ({"op": "focal", "gamma": 2.0}, {"op": "offset", "offset": [0.1, -0.2, 0.3]}),
    "focal_0": ({"op": "focal", "gamma": 0.0},),
    "one_table": ({"op": "monotone_table", "tables": [_TABLE]},),
    "tables": ({"op": "monotone_table", "tables": [
        _TABLE, {"logit": [0.0], "log_odds": [1.0]}, {"logit": [-1.0, 2.0], "log_odds": [0.0, 0.5]},
    ]},),
}  # fmt: skip
CLASS_OPS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "nothing": (),
    "offset": ({"op": "offset", "offset": [0.0, -1.0, 2.0, 0.5, -3.0]},),
    "scale": ({"op": "scale", "scale": [0.5, 1.0, 2.0, 1.5, 0.7]},),
    "focal": ({"op": "focal", "gamma": 2.0},),
    "focal_half": ({"op": "focal", "gamma": 0.5},),
    "poly": ({"op": "poly", "epsilon": 2.0}, {"op": "offset", "offset": [0.5, 0, 0, 0, -0.5]}),
    "ldam": ({"op": "ldam", "margin": [0.1, 0.2, 0.3, 0.4, 0.5], "scale": 10.0},),
    "unmix": ({"op": "unmix", "smoothing": 0.1},),
    "unmix_each": ({"op": "unmix", "smoothing": [0.0, 0.1, 0.2, 0.05, 0.3]},),
}


def _calibrator(width: int, method: str) -> Calibrator:
    scale, offset = np.linspace(0.7, 1.4, width), np.linspace(-0.6, 0.9, width)
    if method == "formula":
        return Calibrator.identity(width)
    knots: tuple[Any, ...] = ()
    if method == "isotonic":
        x = np.sort(np.random.default_rng(5).normal(0, 3, 9))
        bent = {"log_odds": x, "calibrated": np.cumsum(np.linspace(0.05, 0.9, 9)) - 2}
        knots = tuple(None if column == 1 else bent for column in range(width))
    return Calibrator(scale, offset, (method,) * width, np.full(width, np.nan), knots)


def label_rule(ops: str = "weight", method: str = "platt", **more: Any) -> DecisionRule:
    fields: dict[str, Any] = {
        "kind": "multilabel",
        "names": LABELS,
        "correction": Correction("multilabel", LABEL_OPS[ops]),
        "calibrator": _calibrator(3, method),
        "prior_shift": np.array([0.0, 0.25, -0.5]),
        "thresholds": np.array([-1.0, 0.4, np.inf]),
        "class_offset": None,
        "objective": "f1",
        "target_prior": "validation",
        "tuned_on": {"score_kind": "logits"},
    }
    return DecisionRule(**(fields | more))


def class_rule(ops: str = "offset", method: str = "vector", **more: Any) -> DecisionRule:
    fields: dict[str, Any] = {
        "kind": "multiclass",
        "names": CLASSES,
        "correction": Correction("multiclass", CLASS_OPS[ops]),
        "calibrator": _calibrator(5, method),
        "prior_shift": np.array([0.0, 0.25, -0.5, 0.1, 0.9]),
        "thresholds": None,
        "class_offset": np.array([0.3, 0.0, -0.2, 0.6, 1.1]),
        "objective": "balanced_accuracy",
        "target_prior": "validation",
        "tuned_on": {"score_kind": "logits"},
    }
    return DecisionRule(**(fields | more))


def _ranks(rule: DecisionRule) -> DecisionRule:
    from dataclasses import replace

    return replace(rule, correction=None, tuned_on={"score_kind": "ranking"})


_COSTS = (np.ones((5, 5)) - np.eye(5)) * np.array([[1.0, 2.0, 5.0, 9.0, 20.0]]).T
_STEPS = Evidence(np.array([50.0, np.inf, 1.0]), np.array([0.1, 0.2, 0.3]))
_CLASS_STEPS = Evidence(np.full(5, 50.0), np.array([0.5, 0.2, 0.1, 0.15, 0.05]))
_P = {"score_kind": "probabilities"}

RULES: Mapping[str, DecisionRule] = {
    **{f"labels_{ops}": label_rule(ops) for ops in LABEL_OPS},
    **{f"classes_{ops}": class_rule(ops) for ops in CLASS_OPS},
    "labels_formula": label_rule(method="formula", prior_shift=np.zeros(3)),
    "labels_isotonic": label_rule("focal", "isotonic"),
    "labels_probabilities": label_rule(tuned_on=_P),
    "labels_steps": label_rule(evidence=_STEPS),
    "labels_steps_of_probabilities": label_rule(evidence=_STEPS, tuned_on=_P),
    "labels_ranking": _ranks(label_rule()),
    "labels_top_k": label_rule(choice={"form": "top_k", "k": 2}, objective="top_k"),
    "labels_all_flagged": label_rule(
        thresholds=np.array([-np.inf, 0.1, np.inf]), objective="budget",
        choice={"form": "budget", "flags_per_row": 1.0},
    ),
    "one_label": label_rule(
        "one_offset", names=("A",), calibrator=_calibrator(1, "isotonic"),
        prior_shift=np.zeros(1), thresholds=np.array([0.2]),
    ),
    "classes_isotonic": class_rule(method="isotonic"),
    "classes_formula": class_rule("nothing", "formula", class_offset=None),
    "classes_probabilities": class_rule(tuned_on=_P),
    "classes_steps": class_rule(evidence=_CLASS_STEPS),
    "classes_steps_of_probabilities": class_rule(evidence=_CLASS_STEPS, tuned_on=_P),
    "classes_ranking": _ranks(class_rule()),
    "classes_costs": class_rule(
        choice={"form": "costs", "costs": _COSTS.tolist()}, objective="cost"
    ),
}  # fmt: skip


def program_of(name: str) -> Program:
    return make_program(RULES[name], by_row=name == "labels_all_flagged")


def rows_for(rule: DecisionRule, n: int, seed: int = 0) -> np.ndarray:
    """Rows from the middle to the far ends, with exact ends of probabilities and equal columns."""
    rng = np.random.default_rng(seed)
    width = len(rule.names)
    z = rng.normal(0, 3, (n, width)) * np.where(rng.random((n, 1)) < 0.1, 30, 1)
    z[:2] = 0.0  # equal columns: the first of equals
    z[2:4] = [[900.0], [-900.0]]
    z[4:6] = rng.normal(0, 3, (2, 1))
    if rule.tuned_on["score_kind"] != "probabilities":
        return z
    if rule.kind == "multilabel":
        p = 1 / (1 + np.exp(-np.clip(z, -700, 700)))
        p[6:8] = [[0.0], [1.0]]
        return p
    e = np.exp(z - z.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    p[6] = np.eye(width)[0]
    return p


def wanted(rule: DecisionRule, rows: np.ndarray) -> tuple[Decisions, np.ndarray]:
    """What the rule says, and which cells lie so close to a tie that they may fall either way."""
    scores = Scores.from_arrays(
        None, split="new", kind=rule.kind, names=rule.names, check_kind=False,
        **{rule.tuned_on["score_kind"]: rows},
    )  # fmt: skip
    made, z = rule.apply(scores), rule.log_odds(scores)
    near = 1e-9 * np.maximum(1, np.abs(z))
    if rule.choice is not None and rule.choice["form"] == "top_k":
        k = rule.choice["k"]
        ordered = -np.sort(-z, axis=1)
        return made, (ordered[:, k - 1 : k] - ordered[:, k : k + 1] < near[:, :1]) & (z < np.inf)
    if rule.kind == "multilabel":
        flags = (z >= rule.thresholds).astype(np.int8)
        made = Decisions(made.probabilities, flags, made.names)
        return made, np.abs(z - rule.thresholds) < near
    held = z if rule.class_offset is None else z + rule.class_offset
    if rule.choice is not None:
        held = -made.probabilities @ np.asarray(rule.choice["costs"])
    ordered = -np.sort(-held, axis=1)
    return made, ordered[:, 0] - ordered[:, 1] < near[:, 0]


def check(
    rule: DecisionRule, rows: np.ndarray, probabilities: Any, decisions: Any, atol: float = 1e-9
) -> None:
    """Equal flags except at ties, and equal probabilities."""
    want, ties = wanted(rule, rows)
    np.testing.assert_allclose(np.asarray(probabilities), want.probabilities, rtol=0, atol=atol)
    decided = np.asarray(decisions)
    assert decided.shape == want.predictions.shape
    assert ((decided == want.predictions) | ties).all()
    assert ties[8:].mean() < 0.01  # else the line above says nothing
    if rule.kind == "multilabel":
        assert 0 < want.predictions.mean() < 1
    else:
        assert len(np.unique(want.predictions)) > 2


def run(program: Program, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The steps in NumPy, one by one: what a format has to do."""
    done: dict[Step, Any] = {}
    for step in program.steps():
        done[step] = _OPS[step.op](step, rows, *(done[one] for one in step.of))
    decided = done[program.decisions]
    if program.kind == "multiclass":
        return done[program.probabilities], decided[:, 0]
    return done[program.probabilities], decided.astype(np.int8)


def _bend(step: Step, _rows: Any, z: np.ndarray) -> np.ndarray:
    out = z.copy()
    for column, curve in enumerate(step.curves):
        if curve is not None:
            j = np.searchsorted(curve.cuts, z[:, column], side="right")
            out[:, column] = curve.y[j] + curve.slope[j] * (z[:, column] - curve.x[j])
    return out


def _first(step: Step, _rows: Any, z: np.ndarray) -> np.ndarray:
    place = np.argsort(np.argsort(-z, axis=1, kind="stable"), axis=1)
    return place < step.count


_OPS: Mapping[str, Any] = {
    "scores": lambda _, rows: rows,
    "number": lambda step, _: step.numbers,
    "add": lambda _, __, a, b: a + b,
    "sub": lambda _, __, a, b: a - b,
    "mul": lambda _, __, a, b: a * b,
    "div": lambda _, __, a, b: a / b,
    "max": lambda _, __, a, b: np.maximum(a, b),
    "min": lambda _, __, a, b: np.minimum(a, b),
    "neg": lambda _, __, a: -a,
    "abs": lambda _, __, a: np.abs(a),
    "exp": lambda _, __, a: np.exp(a),
    "log": lambda _, __, a: np.log(a),
    "log1p": lambda _, __, a: np.log1p(a),
    "at_least": lambda _, __, a, b: a >= b,
    "above": lambda _, __, a, b: a > b,
    "equal": lambda _, __, a, b: a == b,
    "row_top": lambda _, __, a, most: np.argmax(a == most, axis=1)[:, None],
    "where": lambda _, __, a, b, c: np.where(a, b, c),
    "row_max": lambda _, __, a: a.max(axis=1, keepdims=True),
    "row_sum": lambda _, __, a: a.sum(axis=1, keepdims=True),
    "bend": _bend,
    "first": _first,
    "dot": lambda step, _, a: a @ step.numbers,
}
