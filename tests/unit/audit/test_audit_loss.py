"""The audit finds what is wrong with losses as people write them, and clears ours."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import foreign_losses as foreign
import numpy as np
import pytest
import torch
from torch import nn

import equipoise as eq
from equipoise import losses
from equipoise.artifacts import Finding
from equipoise.errors import UsageError

ALPHA = torch.tensor([10.79, 2.45, 4.90, 1.13])
NAMES = ["A", "B", "C", "D"]


def audit(loss: Callable[..., Any], **settings: Any) -> dict[str, Finding]:
    found = eq.audit_loss(loss, **settings)
    assert len({f.code for f in found}) == len(found)
    for item in found:
        assert item.message.endswith(".")
        assert Finding.from_dict(item.to_dict()).message == item.message
    return {f.code: f for f in found}


def test_one_alpha_for_both_targets_on_raw_input() -> None:
    found = audit(foreign.ProbabilityFocal(ALPHA), labels=NAMES)
    assert set(found) == {"EQ501", "EQ503", "EQ504", "EQ505", "EQ506", "EQ512"}
    assert "NaN" in found["EQ501"].evidence["logits"]
    assert found["EQ501"].evidence["expects"] == "probabilities"
    point = found["EQ503"].evidence["operating_point"]
    assert list(point) == NAMES
    assert np.allclose(list(point.values()), 0.5, atol=1e-3)
    assert "cannot cause a flood of positives" in found["EQ503"].message
    assert "sigmoid applied twice, in training or at evaluation" in found["EQ503"].suggests[0]
    relative = found["EQ504"].evidence["relative_gradient"]
    assert relative["A"] == pytest.approx(10.79 / 1.13, rel=1e-3)
    assert "learning rate" in found["EQ504"].message


def test_a_weight_on_positives_is_told_from_a_learning_rate() -> None:
    found = audit(nn.BCEWithLogitsLoss(pos_weight=torch.tensor([9.0, 1.0])))
    assert set(found) == {"EQ502", "EQ503", "EQ512"}
    assert found["EQ503"].evidence["operating_point"] == {"0": 0.1, "1": 0.5}
    assert "floods" in found["EQ503"].message


@pytest.mark.parametrize(
    ("loss", "says"),
    [(nn.BCELoss(), "fails"), (foreign.clamped, "flat"), (nn.MSELoss(), "the wrong way")],
    ids=["raises", "flat", "pulls back"],
)
def test_losses_on_probabilities_are_recognised(loss: Callable[..., Any], says: str) -> None:
    found = audit(loss, labels=3)
    assert says in found["EQ501"].evidence["logits"]
    assert found["EQ501"].evidence["probabilities"] == "fine"


def test_losses_on_logits_are_recognised() -> None:
    found = audit(nn.BCEWithLogitsLoss(), labels=3)
    assert set(found) == {"EQ502", "EQ503", "EQ512"}
    assert 0 < found["EQ502"].evidence["gradient_left"] < 0.3


def test_a_loss_that_teaches_the_opposite_has_no_use() -> None:
    turned = audit(foreign.backwards, labels=3)["EQ506"]
    assert "the wrong way" in turned.message
    assert turned.severity == "error"


def test_a_root_at_saturation_breaks_the_gradient() -> None:
    found = audit(foreign.sharp, labels=2)
    assert any("right answers" in where for where in found["EQ505"].evidence["where"])


def test_classes_are_seen_and_their_point_is_found() -> None:
    found = audit(nn.CrossEntropyLoss(weight=torch.tensor([0.5, 1.0, 5.0]), reduction="sum"))
    point = found["EQ503"].evidence["operating_point"]
    assert list(point.values()) == pytest.approx([0.625, 0.3125, 0.0625], abs=1e-4)
    assert "moves no class" in audit(nn.CrossEntropyLoss(), labels=3)["EQ503"].message


def test_means_over_weights_depend_on_the_batch() -> None:
    found = audit(nn.CrossEntropyLoss(weight=torch.tensor([0.5, 1.0, 5.0])))
    assert found["EQ507"].evidence["depends_on"] == ["batch size", "the other rows"]
    assert "EQ508" in found
    assert "the other rows" in audit(foreign.by_positives, labels=2)["EQ507"].message


def test_labels_that_compete_are_seen() -> None:
    found = audit(foreign.coupled, labels=4, kind="multilabel")
    assert "the other labels" in found["EQ507"].evidence["depends_on"]


def test_a_mean_that_sums_over_labels_is_named() -> None:
    found = audit(foreign.mean_over_rows, labels=4)
    assert found["EQ508"].evidence["reduction"] == ['"mean" is the sum over 24 values divided by 6']


def test_meddling_is_named_and_put_back() -> None:
    states = torch.get_rng_state(), random.getstate()
    found = audit(foreign.meddler, labels=2)
    assert {"its target argument", "torch's random state"} <= set(
        found["EQ509"].evidence["changed"]
    )
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]


def test_every_loss_of_the_package_passes() -> None:
    for loss in (
        losses.BCELoss(),
        losses.PosWeightBCELoss([1.0, 5.0]),
        losses.CrossEntropyLoss(label_smoothing=0.1),
        losses.WeightedCrossEntropyLoss([1.0, 5.0, 2.0]),
        losses.LogitAdjustedLoss([0.7, 0.2, 0.1]),
        losses.Poly1CrossEntropyLoss(),
        losses.LDAMLoss([0.1, 0.2, 0.5], scale=10.0),
        losses.VectorScalingLoss([0.7, 0.2, 0.1]),
        losses.LabelAwareSmoothingLoss([0.4, 0.2, 0.1]),
    ):
        found = audit(loss)
        # LDAM is made for cosines, and told so.
        assert set(found) <= {"EQ502", "EQ503", "EQ512", "EQ515"}, (loss, found)


def test_the_operating_point_is_the_one_the_loss_states() -> None:
    for loss in (losses.LDAMLoss([0.0, 0.2, 0.5]), losses.LogitAdjustedLoss([0.7, 0.2, 0.1])):
        point = audit(loss)["EQ503"].evidence["operating_point"]
        assert list(point.values()) == pytest.approx(loss.operating_point().tolist(), abs=1e-4)


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(UsageError, match=r"`loss` must take outputs \(N, 3\)"):
        eq.audit_loss(lambda x: x, labels=3)
    with pytest.raises(UsageError, match="`loss` must be a function or Module, got int"):
        eq.audit_loss(3)
    with pytest.raises(UsageError, match="`labels` must be names"):
        eq.audit_loss(nn.BCEWithLogitsLoss(), labels="AB")
    with pytest.raises(UsageError, match="`labels` must be at least one"):
        eq.audit_loss(nn.BCEWithLogitsLoss(), labels=0)


def test_marks_of_unknown_entries_are_asked_for() -> None:
    found = audit(nn.BCEWithLogitsLoss(), labels=3)["EQ512"]
    assert found.evidence["marks"] == {
        "NaN": "makes the loss or its gradient not finite",
        "-1": "is taken for a target",
    }

    def masked(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        known = target >= 0
        terms = nn.functional.binary_cross_entropy_with_logits(
            logits, torch.where(known, target, 0.0), reduction="none"
        )
        return (terms * known).mean()

    said = audit(masked, labels=3, kind="multilabel")["EQ512"].evidence["marks"]
    assert set(said.values()) == {"has no loss, but the mean counts it"}
    assert "EQ512" not in audit(eq.losses.BCELoss(), labels=3)
    assert "EQ512" not in audit(eq.losses.ZLPRLoss(), labels=3)


def test_marks_of_unknown_classes_are_asked_for() -> None:
    def by_one_hot(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        hot = (target[:, None] == torch.arange(logits.shape[1])).float()
        return -(hot * logits.log_softmax(-1)).sum(1).mean()

    said = audit(by_one_hot, labels=3, kind="multiclass")["EQ512"].evidence["marks"]
    assert said == dict.fromkeys(("-100", "-1"), "has no loss, but the mean counts it")
    for loss in (
        nn.CrossEntropyLoss(),
        eq.losses.CrossEntropyLoss(),
        eq.losses.LDAMLoss([0.5] * 3),
    ):
        assert "EQ512" not in audit(loss, labels=3, kind="multiclass")


@pytest.mark.parametrize("weights", [[1.0, 100.0], [1.0, 1.0, 100.0], [1.0, 5.0, 100.0, 2.0]])
def test_weights_that_smoothing_spreads_are_no_flat_loss(weights: list[float]) -> None:
    loss = nn.CrossEntropyLoss(weight=torch.tensor(weights), label_smoothing=0.3)
    found = audit(loss)
    assert "EQ506" not in found
    assert "EQ503" in found
    assert "'0' to" in found["EQ514"].message
    assert "EQ514" not in audit(nn.CrossEntropyLoss(weight=torch.tensor(weights)))
    assert "EQ514" not in audit(nn.CrossEntropyLoss(label_smoothing=0.3), labels=3)


def test_a_loss_of_cosines_is_told_with_its_factor() -> None:
    found = audit(losses.LDAMLoss.from_class_counts([900, 90, 10], scale=30.0))
    assert "EQ516" not in found
    assert found["EQ515"].evidence["scale"] == pytest.approx(30, rel=0.02)
    expected = [0.5 * (10 / n) ** 0.25 for n in (900, 90, 10)]
    assert found["EQ515"].evidence["margins"] == pytest.approx(expected, abs=0.01)


def test_counts_for_margins_are_out_of_reach() -> None:
    found = audit(losses.LDAMLoss([900.0, 90.0, 10.0], scale=1.0))
    assert "lead by up to 900 before" in found["EQ516"].message
    assert "EQ515" not in found


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(label_smoothing=0.3),
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 10.0, 1000.0])),
        nn.MultiMarginLoss(),
        losses.SoftmaxFocalLoss(gamma=5.0),
        losses.LogitAdjustedLoss([1_000_000, 1_000, 1]),
        losses.VectorScalingLoss.from_class_counts([1_000_000, 1_000, 10]),
    ],
)
def test_what_has_no_factor_and_no_margin_is_cleared(loss: Callable[..., Any]) -> None:
    assert not {"EQ515", "EQ516"} & set(audit(loss, labels=3, kind="multiclass"))
