"""Corrections by the name of what they undo: the closed forms, and nothing undone twice."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.special import expit, softmax

from equipoise.artifacts import Correction, Scores
from equipoise.errors import DataError, EquipoiseError, ShapeError, UsageError

Z = np.linspace(-4, 4, 12).reshape(4, 3)


@given(st.floats(0.01, 100))
def test_a_weight_on_positives_is_undone(w: float) -> None:
    p = expit(Z)
    sent = np.log(w * p / (1 - p))
    found = Correction.from_pos_weight([w] * 3).probabilities(sent)
    np.testing.assert_allclose(found, p, rtol=1e-9)
    stretched = expit(sent)
    np.testing.assert_allclose(found, stretched / (stretched + w * (1 - stretched)), rtol=1e-9)


@given(st.floats(0.001, 1))
def test_undersampling_is_undone(kept: float) -> None:
    p_s = expit(Z)
    found = Correction.from_undersampling(kept).probabilities(Z)
    np.testing.assert_allclose(found, kept * p_s / (kept * p_s - p_s + 1), rtol=1e-9)


def test_class_weights_rates_and_adjustment_are_undone() -> None:
    weight, p = np.array([1.0, 4.0, 0.5]), softmax(Z, axis=1)
    want = p / weight / (p / weight).sum(1, keepdims=True)
    for undo in (Correction.from_class_weights(weight), Correction.from_sampling_rates(weight)):
        np.testing.assert_allclose(undo.probabilities(Z), want, rtol=1e-12)
    pi = np.array([0.7, 0.2, 0.1])
    undo = Correction.from_logit_adjustment(pi, tau=0.5)
    np.testing.assert_allclose(undo.probabilities(Z), softmax(Z + 0.5 * np.log(pi), axis=1))
    assert undo.prior == pytest.approx(pi)


def test_a_row_sampler_of_several_labels_is_approximate() -> None:
    one = Correction.from_sampling_rates([3.0], kind="multilabel")
    two = Correction.from_sampling_rates([3.0, 2.0], kind="multilabel")
    assert (one.exactness, two.exactness) == ("exact", "approximate")
    assert two.nominal_weight == (3.0, 2.0)


def test_different_things_compose_and_the_same_thing_does_not() -> None:
    raw = Scores.from_arrays(None, logits=Z, split="new", kind="multilabel")
    both = raw.correct(Correction.from_pos_weight(4.0)).correct(Correction.from_undersampling(0.5))
    np.testing.assert_allclose(both.log_odds(), Z - np.log(4) - np.log(2))
    assert both.correction is not None
    assert both.correction.undoes == ("pos_weight", "sampling")
    assert both.correction.nominal_weight == (8.0,)
    for again in (Correction.from_pos_weight(2.0), Correction.from_undersampling(0.1)):
        with pytest.raises(UsageError, match="undone already: apply each correction once"):
            both.correct(again)


def test_an_unnamed_weight_is_not_undone_a_second_time() -> None:
    """A loss that wrote its own correction, and a user who undoes the weight once more."""
    lossy = Correction("multilabel", ({"op": "offset", "offset": [-1.0]},), nominal_weight=(np.e,))
    scores = Scores.from_arrays(None, logits=Z, split="new", kind="multilabel", correction=lossy)
    with pytest.raises(UsageError, match=r"undo a weight once, got .*first\.then\(second\)"):
        scores.correct(Correction.from_pos_weight(np.e))


def test_a_named_correction_comes_back_from_json() -> None:
    made = Correction.from_pos_weight([2.0, 3.0])
    again = Correction.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again == made or again.to_dict() == made.to_dict()
    assert again.undoes == ("pos_weight",)


def test_scores_that_only_rank_are_not_corrected() -> None:
    rank = Scores.from_arrays(None, ranking=Z, split="new", kind="multilabel")
    with pytest.raises(UsageError, match="carry probabilities"):
        rank.correct(Correction.from_pos_weight(2.0))


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Correction.from_pos_weight([1.0, 0.0]), UsageError, "finite numbers > 0"),
        (lambda: Correction.from_class_weights([1.0, np.nan]), UsageError, "finite numbers > 0"),
        (lambda: Correction.from_undersampling(1.5), UsageError, r"lie in \(0, 1\]"),
        (lambda: Correction.from_sampling_rates([[1.0]]), ShapeError, r"0 or 1 dimension"),
        (lambda: Correction.from_sampling_rates([1.0], kind="x"), UsageError, "be one of"),  # type: ignore[arg-type]
        (
            lambda: Scores.from_arrays(None, logits=Z, split="new", kind="multiclass").correct(
                Correction.from_pos_weight(2.0)
            ),
            DataError,
            "be 'multiclass'",
        ),
    ],
)
def test_bad_corrections(make: object, error: type[EquipoiseError], text: str) -> None:
    with pytest.raises(error, match=text):
        make()  # type: ignore[operator]
