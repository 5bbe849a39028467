"""Methods joined by "+": what each part does, and what undoes them together."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise import Labels, remedy
from equipoise.errors import DoubleCorrectionWarning, NoEffectWarning, UsageError
from equipoise.methods import get_method
from equipoise.training import SecondStage

TAIL = Labels.from_array(np.repeat([0, 1, 2], [400, 80, 20]), kind="multiclass")
HOT = Labels.from_array(
    np.repeat([[1, 1], [0, 1], [0, 0]], [50, 150, 300], axis=0), kind="multilabel"
)


def undone(name: str, labels: Labels) -> np.ndarray:
    return remedy(name, labels).correction.apply(np.zeros((1, labels.num_classes)))[0]


def test_corrections_add_up() -> None:
    with pytest.warns(DoubleCorrectionWarning):
        both = undone("square_root_sampling+weighted_ce", TAIL)
    plain = undone("none", TAIL)
    want = undone("square_root_sampling", TAIL) + undone("weighted_ce", TAIL) - plain
    np.testing.assert_allclose(both - both.mean(), want - want.mean(), atol=1e-6)


def test_order_of_names_does_not_matter_but_is_kept() -> None:
    with pytest.warns(DoubleCorrectionWarning):
        one = remedy("weighted_ce+square_root_sampling", TAIL)
    with pytest.warns(DoubleCorrectionWarning):
        two = remedy("square_root_sampling+weighted_ce", TAIL)
    assert one.name == "weighted_ce+square_root_sampling"
    x = np.zeros((1, 3))
    np.testing.assert_allclose(one.correction.apply(x), two.correction.apply(x))


def test_every_slot_is_filled() -> None:
    made = remedy("square_root_sampling+mixup+crt", TAIL, **{"mixup.alpha": 0.3, "crt.epochs": 4})
    assert made.sampler is not None
    assert made.mixing is not None
    assert made.mixing.alpha == 0.3
    assert isinstance(made.second_stage, SecondStage)
    assert made.second_stage.epochs == 4
    assert made.score_kind == "ranking"  # of the first stage
    assert made.final.score_kind == "logits"  # of the end
    assert get_method("square_root_sampling+mixup+crt").exactness == {
        "multilabel": "approximate",
        "multiclass": "approximate",
    }


def test_settings_are_named_by_their_part() -> None:
    method = get_method("raking+focal")
    assert "focal.gamma" in method.settings
    assert method.settings["counts"] == "before"
    made = remedy("repeat_factor+focal", HOT, **{"focal.gamma": 1.0})
    assert made.loss.gamma == 1.0
    assert made.settings["focal.gamma"] == 1.0
    with pytest.raises(UsageError, match=r"focal\.gama.*focal\.gamma"):
        remedy("repeat_factor+focal", HOT, **{"focal.gama": 1.0})


def test_counts_after_balance_leave_weights_nothing_to_do() -> None:
    with pytest.warns(NoEffectWarning, match="'weighted_ce' takes its counts after"):
        made = remedy("class_balanced_sampling+weighted_ce", TAIL, counts="after")
    alone = undone("class_balanced_sampling", TAIL)
    both = made.correction.apply(np.zeros((1, 3)))[0]
    np.testing.assert_allclose(both - both.mean(), alone - alone.mean(), atol=0.15)
    assert made.settings["counts"] == "after"


def test_counts_after_half_a_balance_weigh_the_rest() -> None:
    made = remedy("square_root_sampling+weighted_ce", TAIL, counts="after")
    full = undone("weighted_ce", TAIL)
    both = made.correction.apply(np.zeros((1, 3)))[0]
    # Rows to the root, weights for what is left: together inverse frequency, once.
    np.testing.assert_allclose(np.ptp(both), np.ptp(full), rtol=0.15)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("focal+pos_weight", "hold one method for the loss"),
        ("raking+repeat_factor", "hold one method for the rows"),
        ("focal+drw", "hold a loss or a schedule"),
        ("pos_weight+ncm", "methods for the same kind of labels"),
        ("focal+fokal", "focal"),
        ("zlpr+mixup", "linear in the target"),
        ("drs+repeat_factor", "repeat_factor and drs, which draws rows of its own late"),
    ],
)
def test_what_does_not_go_together_is_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        remedy(name, HOT)
