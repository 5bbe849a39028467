"""The worked study: the posted network and counts, and what the whole run finds."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from examples.keras_sequences import arms, network, study
from examples.keras_sequences.data import make_binary_case, make_case

from equipoise.sampling.rule_table import TAIL_COUNTS


def test_the_network_is_the_posted_one() -> None:
    body = network.make_body()
    body.trainable = False
    model = network.join(body, network.make_head())
    assert model.count_params() == 342_263
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == 19_479
    assert model.input_shape == (None, None, 128)
    assert model.output_shape == (None, 23)


def test_the_rows_have_the_posted_counts() -> None:
    case = make_case()
    counts = case.labels.counts
    assert len(case.labels) == len(case.sequences) == 5_500
    assert counts.sum() == 6_790
    assert {k: int(n) for k, n in enumerate(counts) if n} == TAIL_COUNTS
    assert case.evaluable.size == 15
    assert case.padded.shape == (5_500, 5, 128)
    other = make_case(seed=1)
    assert (other.labels.counts == counts).all()
    assert (other.labels.values != case.labels.values).any()
    again = make_case()
    assert (again.padded == case.padded).all()


def test_frozen_features_are_what_the_whole_network_sees() -> None:
    keras.utils.set_random_seed(0)
    case = make_binary_case(64)
    body, head = network.make_body(), network.make_head()
    whole = network.join(body, head).predict(case.padded, verbose=0)
    parts = head.predict(network.features_of(body, case.padded), verbose=0)
    np.testing.assert_allclose(parts, whole, atol=1e-5)


def test_class_weights_are_those_of_counts() -> None:
    case = make_case()
    weight = arms.posted_class_weight(case.labels)
    assert set(weight) == set(TAIL_COUNTS)
    assert weight[10] / weight[22] == pytest.approx(4702 / 4)


@pytest.mark.slow
def test_the_study_finds_what_the_page_says() -> None:
    told: list[str] = []
    outcome = study.run(tell=told.append)
    assert (outcome.parameters, outcome.trainable) == (342_263, 19_479)
    assert (outcome.evaluable, outcome.labels) == (15, 23)
    assert [f.code for f in outcome.findings] == ["EQ101", "EQ312", "EQ313", "EQ105", "EQ316"]
    assert len(told) == 3 * len(arms.ARMS)
    rows = {row.arm: row for row in outcome.rows}
    for row in outcome.rows:
        assert 0 < row.ap[1] < row.ap[0] < row.ap[2] < 1
    # Weights on frozen features buy nothing; a linear model on pooled steps is ahead of them all.
    assert abs(rows["pos_weight"].gain[0]) < 0.02
    assert rows["logistic regression"].gain[1] > 0.05
    assert rows["logistic regression"].ap[0] > rows["pos_weight, unfrozen"].ap[0]
    assert rows["logistic regression"].f1_tuned > 1.5 * rows["logistic regression"].f1_default
    printed = study.describe(outcome) + study.table(outcome)
    assert "8 of 23 have no positive" in printed
    assert printed.count("\n| ") == 1 + len(arms.ARMS)
