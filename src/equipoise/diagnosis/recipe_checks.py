"""Checks on how the pieces of a set-up fit: activation and loss, metrics, monitor, rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from equipoise._core.messages import listed
from equipoise.artifacts.finding import Finding
from equipoise.diagnosis._registry import check, finding, in_one
from equipoise.diagnosis.material import Material
from equipoise.diagnosis.setup import Setup, Weights

_OF_CLASSES = ("categorical_accuracy", "accuracy", "acc", "sparse_categorical_accuracy",
               "top_k_categorical_accuracy", "top1", "top-1")  # fmt: skip
_SPAN = (0.5, 0.7310585786300049)
_FAST = 100.0


def _several(material: Material, setup: Setup) -> bool | None:
    """Return whether rows have several labels; None where nobody says."""
    if setup.kind is not None:
        return setup.kind == "multilabel"
    if material.statistics is not None:
        return material.statistics.kind == "multilabel"
    return None


def _each(
    material: Material, knows: Callable[[Setup], bool], look: Callable[[Setup], Sequence[Finding]]
) -> list[Finding] | None:
    """Return what is found in the set-ups that say enough; None where none does."""
    able = [setup for setup in material.setups if knows(setup)]
    return in_one([(setup, f) for setup in able for f in look(setup)]) if able else None


@check("EQ312")
def class_weight_on_labels(material: Material) -> list[Finding] | None:
    """Find one weight per row's class where rows have several labels."""

    def look(setup: Setup) -> list[Finding]:
        if not _several(material, setup):
            return []
        return [
            finding(
                "EQ312",
                "class_weight gives each row one weight, by its class. With "
                "several labels a row has no one class: Keras takes the argmax of its target row, "
                "so the first label of a row decides for all of them, and a row without labels "
                "gets the weight of label 0.",
                {},
                "Leave class_weight out; weight the positives of each label in the loss, if at all "
                "(equipoise.keras.losses.PosWeightBCELoss).",
                "Train without weights first and tune one threshold per label.",
            )
        ]

    return _each(
        material, lambda s: s.class_weight is not None and _several(material, s) is not None, look
    )


@check("EQ313")
def metric_of_classes(material: Material) -> list[Finding] | None:
    """Find metrics for one class per row where rows have several labels."""

    def look(setup: Setup) -> list[Finding]:
        wrong = [m for m in setup.metrics if m.lower() in _OF_CLASSES]
        if not wrong or not _several(material, setup):
            return []
        return [
            finding(
                "EQ313",
                f"{listed(wrong)} asks whether the largest output is the first "
                "label of the row. With several labels it can rise while every rare label is "
                "missed.",
                {"metrics": wrong},
                "Average precision per label, and its mean over labels that have positives.",
            )
        ]

    return _each(material, lambda s: bool(s.metrics) and _several(material, s) is not None, look)


@check("EQ301")
def sigmoid_before_logits(material: Material) -> list[Finding] | None:
    """Find outputs that are squashed before a loss on logits."""

    def look(setup: Setup) -> list[Finding]:
        if setup.from_logits is not True or setup.activation == "none":
            return []
        return [
            finding(
                "EQ301",
                f"the last layer ends in {setup.activation} and the loss takes "
                "logits: it squashes once more. No output can leave [0.5, 0.731] after it, so "
                "nothing is learned well.",
                {"activation": setup.activation, "from_logits": True},
                "Take the activation out of the model, and apply it when predicting.",
            )
        ]

    return _each(material, lambda s: s.from_logits is not None and s.activation is not None, look)


@check("EQ302")
def logits_into_probabilities(material: Material) -> list[Finding] | None:
    """Find logits that go into a loss on probabilities."""

    def look(setup: Setup) -> list[Finding]:
        if setup.from_logits is not False or setup.activation != "none":
            return []
        return [
            finding(
                "EQ302",
                "the model returns logits and the loss takes probabilities: "
                "outputs outside [0, 1] are clipped or give NaN, and rows there get no gradient.",
                {"activation": "none", "from_logits": False},
                "Tell the loss (from_logits=True), or end the model in exactly one sigmoid.",
            )
        ]

    return _each(material, lambda s: s.from_logits is not None and s.activation is not None, look)


@check("EQ303")
def double_sigmoid(material: Material) -> list[Finding] | None:
    """Find a sigmoid that is applied twice, in a set-up or in scores."""
    found = _each(
        material,
        lambda s: s.applied is not None and s.activation is not None,
        lambda s: [_squashed_twice(s)] if "none" not in (s.applied, s.activation) else [],
    )
    scores = material.scores
    if scores is None or scores.score_kind != "probabilities" or scores.kind != "multilabel":
        return found
    low, high = float(np.nanmin(scores.values)), float(np.nanmax(scores.values))
    inside = low >= _SPAN[0] and high <= _SPAN[1] + 1e-6 and len(scores) >= 20
    if not inside or high - low < 1e-6:
        return found or []
    return [
        *(found or []),
        finding(
            "EQ303",
            f"All {scores.values.size:,} probabilities lie in [0.5, 0.731] ({low:.3f} to "
            f"{high:.3f}): what a sigmoid makes of numbers that are probabilities already. A cut "
            "at 0.5 then flags every row of every label.",
            {"low": low, "high": high},
            "Apply sigmoid once: to logits, not to the outputs of a model that ends in it.",
        ),
    ]


def _squashed_twice(setup: Setup) -> Finding:
    return finding(
        "EQ303",
        f"the model ends in {setup.activation}, and evaluation applies "
        f"{setup.applied} once more: every output lands in [0.5, 0.731], and a cut at 0.5 flags "
        "every row.",
        {"activation": setup.activation, "applied": setup.applied},
        "Apply it once.",
    )


@check("EQ504")
def only_scales(material: Material) -> list[Finding] | None:
    """Find an alpha per label that weighs positives and negatives alike."""

    def look(setup: Setup) -> list[Finding]:
        alpha = setup.alpha
        if setup.alpha_on != "both" or not _several(material, setup) or alpha is None:
            return []
        values = _values(alpha)
        spread = max(values) / min(values) if min(values) > 0 else float("inf")
        return [
            finding(
                "EQ504",
                f"alpha weighs the positive and the negative term of a label "
                f"alike, so it cancels out of what an output means: 0.5 still stands for 0.5. It "
                f"only lets labels learn up to {spread:.3g} times as fast as others. This loss by "
                "itself cannot cause a flood of positives, and does not treat the imbalance.",
                {"alpha": values, "spread": spread},
                "Look for what does flood: weights on positives alone (EQ330), or a sigmoid "
                "applied twice (EQ303).",
            )
        ]

    return _each(
        material, lambda s: s.alpha_on is not None and _several(material, s) is not None, look
    )


def _values(alpha: float | Weights) -> list[float]:
    if isinstance(alpha, (int, float)):
        return [float(alpha)]
    return [float(v) for v in (alpha.values() if isinstance(alpha, Mapping) else alpha)]


@check("EQ336")
def test_chooses(material: Material) -> list[Finding] | None:
    """Find an epoch that is chosen on test rows."""

    def look(setup: Setup) -> list[Finding]:
        monitor = setup.monitor or ""
        if "test" not in monitor.lower():
            return []
        return [
            finding(
                "EQ336",
                f"the best epoch is chosen by '{monitor}'. The test rows have then "
                "taken part in training, and their metric is the largest of many, not an estimate.",
                {"monitor": monitor},
                "Choose on validation rows, and look at test rows once.",
            )
        ]

    return _each(material, lambda s: s.monitor is not None, look)


def collapsing(setup: Setup) -> list[Finding]:
    """Find a planned learning rate that is gone before anything can be learned (EQ308)."""
    rates = setup.rates
    if rates.size < 3:
        return []
    peak = int(np.argmax(rates))
    gone = np.flatnonzero(rates <= rates[peak] / _FAST * (1 + 1e-9))
    gone = gone[gone > peak]
    if not gone.size or gone[0] - peak > 5 or gone.size < rates.size / 4:
        return []
    shown = ", ".join(f"{r:.0e}" for r in rates[:6])
    return [
        finding(
            "EQ308",
            f"the learning rate falls by a factor of {_FAST:.0f} within "
            f"{gone[0] - peak} epochs ({shown}): {gone.size} of {rates.size} epochs hardly change "
            "a weight. A model that finds nothing may simply not have been trained.",
            {"rates": rates.tolist(), "epoch": int(gone[0])},
            "Let the rate fall later: more epochs, a cosine over all of them.",
            "Look at the training loss before blaming the imbalance.",
            effect=float(np.log(rates.size / (rates.size - gone.size))),
        )
    ]
