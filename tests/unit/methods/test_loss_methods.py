"""What the builders make of labels: weights, margins, and remedies whose outputs only rank."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.artifacts import Labels
from equipoise.errors import UsageError
from equipoise.losses import ClassBalancedBCELoss, HillLoss, LDAMLoss, Poly1BCELoss, SPLCLoss
from equipoise.methods import METHODS, methods_for, remedy

HOT = Labels.from_array(
    np.repeat([[1, 1], [0, 1], [0, 0]], [50, 150, 300], axis=0), kind="multilabel"
)
TAIL = Labels.from_array(np.repeat([0, 1, 2], [400, 80, 20]), kind="multiclass")
RANKING = {"splc", "zlpr", "two_way", "soft_f_beta", "pairwise_auc", "smooth_ap"}
RANKING |= {"ohem", "negative_ratio", "semi_hard", "dice", "tversky", "focal_tversky"}
LATE = {"mixup_drw", "lws", "tau_norm", "ncm"}
TABLES = {"smote", "borderline_smote", "easy_ensemble", "rusboost"}
MIXING = {"mixup", "cutmix", "remix"}


def test_exactly_what_has_no_inverse_gives_ranking_scores() -> None:
    for method in METHODS.values():
        for kind, labels in (("multilabel", HOT), ("multiclass", TAIL)):
            if kind in method.kinds:
                treated = remedy(method.name, labels).final
                ranks = method.name in RANKING | MIXING | TABLES | LATE
                expected = "ranking" if ranks else "logits"
                assert treated.score_kind == expected
                assert (treated.correction.ops == ()) or expected == "logits"


def test_a_hill_that_turns_is_a_ranking_remedy() -> None:
    assert remedy("hill", HOT).score_kind == "logits"
    turned = remedy("hill", HOT, hill=1.2)
    assert turned.score_kind == "ranking"
    assert isinstance(turned.loss, HillLoss)


def test_class_balanced_focal_takes_the_weights_of_class_balanced() -> None:
    focal, plain = (remedy(name, HOT) for name in ("class_balanced_focal", "class_balanced"))
    assert isinstance(focal.loss, ClassBalancedBCELoss)
    np.testing.assert_array_equal(focal.loss.weight, plain.loss.weight)
    assert focal.loss.gamma == 2.0
    assert focal.correction.nominal_weight == plain.correction.nominal_weight


def test_alpha_of_focal_weighs_positives_and_is_undone() -> None:
    made = remedy("focal", HOT, gamma=0.0, alpha=0.25)
    # Weights of .25 and .75: an output of 0.5 means that three of four are positives.
    undone = made.correction.apply(np.zeros((1, 2)))
    np.testing.assert_allclose(1 / (1 + np.exp(-undone)), 0.75, atol=1e-6)
    with pytest.raises(UsageError, match=r"`focal.alpha` must be left out for classes, got 0.25"):
        remedy("focal", TAIL, alpha=0.25)


def test_poly1_is_one_method_for_both_kinds() -> None:
    made = remedy("poly1", HOT, epsilon=0.5)
    assert isinstance(made.loss, Poly1BCELoss)
    assert made.loss.epsilon == remedy("poly1", TAIL, epsilon=0.5).loss.epsilon == 0.5


def test_splc_begins_when_it_is_told_to() -> None:
    made = remedy("splc", HOT, first_epoch=3, cut=0.7)
    assert isinstance(made.loss, SPLCLoss)
    assert (made.loss.first_epoch, made.loss.cut, made.loss.correcting) == (3, 0.7, False)


def test_ldam_margins_go_with_counts_and_ask_for_a_cosine_head() -> None:
    made = remedy("ldam", TAIL)
    assert isinstance(made.loss, LDAMLoss)
    expected = 0.5 * (20 / np.array([400, 80, 20])) ** 0.25
    np.testing.assert_allclose(made.loss.margin, expected, rtol=1e-6)
    assert made.head == "cosine"
    others = [m.name for m in methods_for("multiclass") if not m.name.startswith("ldam")]
    assert {remedy(name, TAIL).head for name in others} == {"linear"}
    empty = Labels.from_array([0, 0, 0, 1], kind="multiclass", names=["a", "b", "c"])
    margins = remedy("ldam", empty).loss.margin
    assert margins[2] == margins[1] == 0.5


def test_settings_are_checked_by_the_loss() -> None:
    with pytest.raises(UsageError, match=r"`cut` must lie in \(0, 1\)"):
        remedy("splc", HOT, cut=1.5)
    with pytest.raises(UsageError, match="`temperature` must be finite and > 0"):
        remedy("smooth_ap", HOT, temperature=0.0)
