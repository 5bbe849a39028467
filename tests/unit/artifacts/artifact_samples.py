"""One example of every artifact, hard on purpose: NaN, infinities, unicode, unknown labels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from equipoise.artifacts import (
    ArmRecord,
    Calibrator,
    Comparison,
    Correction,
    DecisionRule,
    Estimate,
    Evaluation,
    Evidence,
    Gain,
    Labels,
    RowMarks,
    Scores,
    Split,
    Trial,
)

NAMES = ("Ödem", "日本", 'a "quoted", name')
GOOD = Estimate(0.5, 0.4, 0.6, 0.9, "influence", 10, 3, "careful")
MISSING = Estimate.missing("no positives", n=4, n_positive=0)


def labels() -> Labels:
    return Labels.from_array(
        [[1, 0, -1], [0, 1, -1], [0, 0, 1], [1, 1, 0]],
        kind="multilabel",
        names=NAMES,
        ids=["r1", "ü2", "", "r 4"],
        groups=[7, 7, 8, 9],
    )


def correction() -> Correction:
    ops = (
        {"op": "monotone_table", "tables": [{"logit": [-1.0, 0.5], "log_odds": [-3.0, 1.0]}]},
        {"op": "offset", "offset": [0.1, -0.2, 0.3]},
        {"op": "focal", "gamma": 2.0},
    )
    weight, prior = (1.0, math.nan, 3.0), (math.nan, 0.5, 0.25)
    return Correction("multilabel", ops, "approximate", (0.01, 0.9), prior, weight)


def scores() -> Scores:
    values = np.random.default_rng(0).normal(size=(4, 3))
    return Scores.from_arrays(labels(), logits=values, split="val", correction=correction())


def class_scores() -> Scores:
    truth = Labels.from_array([0, 2, 1, 1], kind="multiclass", names=NAMES, ids=[5, -1, 3, 2**60])
    probabilities = np.full((4, 3), 1 / 3)
    return Scores.from_arrays(truth, probabilities=probabilities, split="oof")


def rule() -> DecisionRule:
    return DecisionRule(
        kind="multilabel",
        names=NAMES,
        correction=correction(),
        calibrator=Calibrator(
            np.array([1.0, 2.0, 0.5]),
            np.array([0.0, -1.0, 3.0]),
            ("formula", "offset", "isotonic"),
            np.array([math.nan, 4.0, 1.0]),
            (None, None, {"log_odds": np.array([0.0, 1.0]), "calibrated": np.array([-1.0, 0.5])}),
        ),
        prior_shift=np.array([0.0, 0.1, 0.2]),
        thresholds=np.array([math.inf, -math.inf, -1.5]),
        class_offset=None,
        objective="f1",
        target_prior=(0.1, 0.2, 0.3),
        tuned_on={"split": "val", "n_rows": 4, "fingerprint": "x", "score_kind": "logits"},
        rows=RowMarks(
            ids=np.array([3, 2**63 + 1], dtype=np.uint64),
            contents=np.array([5], dtype=np.uint64),
        ),
        score_names=("zA", "zB", "zC"),
        evidence=Evidence(np.array([50.0, math.inf, 1.0]), np.array([0.1, 0.2, 0.3])),
        grades=("A", "B", "D"),
        claimed=np.array([math.nan, 0.5, 1.0]),
        cross_fitted=np.array([math.nan, math.nan, 0.25]),
        notes=("", "ä", ""),
        measure="f1",
        parameters={"budget": 0.5},
        threshold_low=np.array([math.nan, -2.0, -1.75]),
        threshold_high=np.array([math.nan, math.inf, -1.0]),
        choice={"form": "budget", "flags_per_row": 0.5},
        prior=np.array([0.1, 0.2, 0.3]),
        decided=np.array([0.0, 1.0, 0.25]),
    )


def evaluation() -> Evaluation:
    return Evaluation(
        kind="multilabel",
        names=NAMES,
        per_label={NAMES[0]: {"ap": GOOD, "auroc": MISSING}},
        overall={"macro": {"ap": GOOD}},
        groups={"head": {"ap": MISSING}},
        n_rows=4,
        n_evaluable={"ap": 1},
        not_evaluable={NAMES[1]: "no positives"},
        overlap="unchecked",
        evaluated_on={"split": "test", "tuned_on": {"n_rows": 4}},
    )


def trial() -> Trial:
    return Trial(
        method="none",
        seed=3,
        config={"lr": 0.1, "nested": {"a": [1, 2]}, "limit": math.inf},
        n_train=100,
        n_val=10,
        train_counts=dict.fromkeys(NAMES, 5),
        histogram=dict.fromkeys(NAMES, 50),
        history=[{"epoch": 0, "loss": math.nan}, {"epoch": 1, "loss": 0.5, "lr": math.inf}],
        scores={"val": scores(), "test": class_scores()},
        selection={"metric": "macro_ap", "epoch": 1},
        model_file="model.safetensors",
    )


def comparison() -> Comparison:
    gain = Gain(
        GOOD, GOOD, GOOD, MISSING, GOOD, (0.1, math.nan), math.nan, 0.02, "undecided", "x", True
    )
    arms = tuple(
        ArmRecord(
            method=method,
            n_seeds=2,
            record={"macro_ap": GOOD, "log_loss_raw": MISSING},
            flagged={NAMES[0]: (0.1, math.nan, 0.3)},
            recall={NAMES[0]: (math.nan, 1.0)},
            exactness="exact",
            gain=bought,
            evaluation=evaluation(),
            curves={NAMES[0]: {"recall": [0.5, 1.0]}},
            notes=("ä",),
        )
        for method, bought in (("none", None), ("focal", gain))
    )
    return Comparison(
        title="Röntgen",
        kind="multilabel",
        names=NAMES,
        baseline="none",
        primary="macro_ap",
        rule_metric="macro F1",
        rope=0.01,
        arms=arms,
        recommended="none",
        summary=("one", "two"),
        data={"rows": {"train": 1}},
        provenance={"seeds": [0, 1]},
    )


def split() -> Split:
    return Split.from_parts(
        [0, 2], [1], [], n_rows=5, seed=0, method="ü", proof={"a": math.nan, "b": [1, 2]}
    )


SAVED: dict[str, Callable[[], Any]] = {
    "Labels": labels,
    "Split": split,
    "Correction": correction,
    "Scores": scores,
    "DecisionRule": rule,
    "Evaluation": evaluation,
    "Trial": trial,
    "Comparison": comparison,
}
"""Every artifact that has save(), by name."""
