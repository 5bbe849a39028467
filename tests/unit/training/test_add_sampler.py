"""A loss and a sampler in one remedy: both are undone, and what counts twice is said in numbers."""

from __future__ import annotations

import re
import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest

import equipoise as eq
from equipoise.artifacts import Correction, Labels
from equipoise.errors import DoubleCorrectionWarning, UsageError
from equipoise.methods import remedy
from equipoise.sampling import (
    WeightedSampler,
    class_balanced_weights,
    implied_pos_weight,
    power_weights,
    sampler_correction,
)
from equipoise.sampling.rule_table import four_labels
from equipoise.training import Remedy, add_sampler

CLASSES = Labels.from_array(np.repeat([0, 1, 2], [80, 15, 5]), kind="multiclass", names="abc")
RARE = Labels.from_array(np.repeat([[1, 0], [0, 1], [0, 0]], [10, 45, 45], 0), kind="multilabel")


def join(base: Remedy, weights: Any, labels: Labels, **named: Any) -> Remedy:
    undo = sampler_correction(weights, labels)
    return add_sampler(base, partial(WeightedSampler, weights), undo, labels, **named)


def said(base: Remedy, weights: Any, labels: Labels) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        join(base, weights, labels)
    assert all(w.category is DoubleCorrectionWarning for w in caught)
    assert all(w.filename == __file__ for w in caught)
    return [str(w.message) for w in caught]


def test_positive_weights_and_the_max_rule_are_named_with_their_product() -> None:
    labels = four_labels()
    weights = class_balanced_weights(labels, rule="max")
    nominal = (labels.known - labels.counts) / labels.counts
    rho = implied_pos_weight(weights, labels)
    (message,) = said(remedy("pos_weight", labels), weights, labels)
    assert message == (
        "label 'A': the loss weighs positives 10.8-fold and the sampler 3.81-fold: together "
        "41-fold; likewise 2 other labels. Keep one, or lower one's power."
    )
    np.testing.assert_allclose([nominal[0], rho[0], nominal[0] * rho[0]], [10.76, 3.81, 41], 1e-2)


def test_logit_adjustment_and_balanced_draws_are_named_with_their_product() -> None:
    log_prior = np.log([0.8, 0.15, 0.05])
    for tau in (0.5, 1.0):
        for weights in (class_balanced_weights(CLASSES), power_weights(CLASSES, q=0.5)):
            of_class = weights[[0, 80, 95]]
            adjusted = np.exp(-tau * (log_prior - log_prior.mean()))[2]
            drawn = np.exp(np.log(of_class) - np.log(of_class).mean())[2]
            (message,) = said(remedy("logit_adjusted", CLASSES, tau=tau), weights, CLASSES)
            assert message.startswith("class 'c': the loss weighs it ")
            assert "against the average class" in message
            assert message.endswith("likewise 2 other classes. Keep one, or lower one's power.")
            numbers = [float(found) for found in re.findall(r"([\d.]+)-fold", message)]
            np.testing.assert_allclose(numbers, [adjusted, drawn, adjusted * drawn], rtol=5e-3)


def test_a_single_label_is_named_alone_and_large_products_without_powers_of_ten() -> None:
    one = Labels.from_array([[1]] + [[0]] * 99, kind="multilabel", names=["x"])
    weights = np.r_[99.0, np.ones(99)]
    # The weight is (99 + 1) / (1 + 1): counts are smoothed.
    (message,) = said(remedy("pos_weight", one), weights, one)
    assert message == (
        "label 'x': the loss weighs positives 50-fold and the sampler 99-fold: together "
        "4,950-fold. Keep one, or lower one's power."
    )


def test_lowered_labels_count_too() -> None:
    often = Labels.from_array([[1, 1]] * 8 + [[0, 1]] + [[0, 0]], kind="multilabel")
    weights = np.r_[np.ones(8), 4.0, 8.0]
    (message,) = said(remedy("pos_weight", often), weights, often)
    assert "positives 0.2-fold and the sampler 0.167-fold: together 0.0333-fold" in message
    assert "likewise 1 other label." in message


def test_nothing_is_said_where_only_one_of_both_shifts() -> None:
    balanced, alike = class_balanced_weights(CLASSES), np.ones(100)
    assert said(remedy("focal", CLASSES), balanced, CLASSES) == []
    assert said(remedy("none", CLASSES), balanced, CLASSES) == []
    assert said(remedy("logit_adjusted", CLASSES), alike, CLASSES) == []
    slight = np.where(RARE.values[:, 0] == 1, 1.09, 1.0)
    assert said(remedy("pos_weight", RARE), slight, RARE) == []
    assert said(remedy("focal", RARE), np.where(slight > 1, 9.0, 1.0), RARE) == []


def test_nothing_is_said_where_both_pull_apart() -> None:
    assert said(remedy("logit_adjusted", CLASSES), power_weights(CLASSES, q=2.0), CLASSES) == []
    fewer = np.where(RARE.values[:, 0] == 1, 0.2, 1.0)
    fewer[RARE.values[:, 1] == 1] = 0.7
    assert said(remedy("pos_weight", RARE), fewer, RARE) == []


def test_nothing_is_said_of_outputs_that_only_rank() -> None:
    weights = class_balanced_weights(RARE)
    assert said(remedy("zlpr", RARE), weights, RARE) == []
    assert join(remedy("zlpr", RARE), weights, RARE).score_kind == "ranking"


def test_classes_without_rows_neither_count_nor_shift_the_average() -> None:
    absent = Labels.from_array(CLASSES.values, kind="multiclass", names="abcd")
    balanced = class_balanced_weights(CLASSES)
    with_absent = said(remedy("logit_adjusted", absent), balanced, absent)
    assert with_absent == said(remedy("logit_adjusted", CLASSES), balanced, CLASSES) != []


def test_the_correction_undoes_both() -> None:
    weights = class_balanced_weights(CLASSES)
    with pytest.warns(DoubleCorrectionWarning):
        both = join(remedy("logit_adjusted", CLASSES, tau=0.5), weights, CLASSES)
    found = both.correction.probabilities(np.zeros((1, 3)))[0]
    wanted = np.array([80, 15, 5]) ** 1.5
    np.testing.assert_allclose(found, wanted / wanted.sum(), rtol=1e-6)
    assert both.correction.exactness == "exact"


def test_the_rest_of_the_remedy_is_kept() -> None:
    base = remedy("ldam", CLASSES)
    made = join(base, class_balanced_weights(CLASSES), CLASSES)
    assert (made.name, made.head, made.loss) == ("ldam + sampling", "cosine", base.loss)
    assert made.settings == base.settings
    named = join(base, np.ones(100), CLASSES, name="mine", settings={"k": 1})
    assert (named.name, named.settings) == ("mine", {"k": 1})
    assert eq.add_sampler is add_sampler


def test_a_second_sampler_or_the_other_kind_is_an_error() -> None:
    sampled = remedy("class_balanced_sampling", CLASSES)
    with pytest.raises(UsageError, match="`base` must have no sampler, got 'class_balanced_sampl"):
        join(sampled, np.ones(100), CLASSES)
    with pytest.raises(UsageError, match="must be 'multiclass', got 'multilabel'"):
        add_sampler(
            remedy("none", CLASSES),
            partial(WeightedSampler, np.ones(100)),
            Correction.identity("multilabel"),
            CLASSES,
        )
