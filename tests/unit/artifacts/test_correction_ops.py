"""The closed set of ways back, beside slow formulas."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from equipoise.artifacts import Correction, Scores

GAMMAS = [0.0, 0.5, 1.0, 2.0, 5.0]


def focal_scale(p: float, gamma: float) -> float:
    return (1 - p) ** gamma - gamma * p * (1 - p) ** (gamma - 1) * math.log(p)


def focal(kind: str, gamma: float) -> Correction:
    return Correction(kind, ({"op": "focal", "gamma": gamma},))  # type: ignore[arg-type]


def shift(*offset: float, **extra: object) -> Correction:
    return Correction("multilabel", ({"op": "offset", "offset": list(offset)},), **extra)  # type: ignore[arg-type]


@pytest.mark.parametrize("gamma", GAMMAS)
def test_sigmoid_focal_by_the_formula(gamma: float) -> None:
    for z in np.linspace(-8, 8, 33):
        p = 1 / (1 + math.exp(-z))
        one, zero = -focal_scale(p, gamma) * (1 - p), focal_scale(1 - p, gamma) * p
        eta = zero / (zero - one)
        assert focal("multilabel", gamma).probabilities([[z]])[0, 0] == pytest.approx(eta, rel=1e-9)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_softmax_focal_by_the_formula(gamma: float) -> None:
    z = np.array([[1.0, -2.0, 0.5], [4.0, 4.0, -4.0]])
    for row, found in zip(z, focal("multiclass", gamma).probabilities(z), strict=True):
        p = np.exp(row) / np.exp(row).sum()
        eta = np.array([q / focal_scale(q, gamma) for q in p])
        np.testing.assert_allclose(found, eta / eta.sum(), rtol=1e-9)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
def test_focal_keeps_order_and_digits_at_the_extremes(kind: str, gamma: float) -> None:
    z = np.linspace(-600, 600, 4801)
    values = z[:, None] if kind == "multilabel" else np.stack([z, 0 * z], axis=1)
    found = focal(kind, gamma).apply(values)
    odds = found[:, 0] if kind == "multilabel" else found[:, 0] - found[:, 1]
    assert np.isfinite(odds).all()
    assert (np.diff(odds) > 0).all()
    np.testing.assert_allclose(odds, -odds[::-1], rtol=1e-9, atol=1e-9)


def test_two_classes_are_one_label() -> None:
    z = np.linspace(-20, 20, 81)
    label = focal("multilabel", 2.0).apply(z[:, None])[:, 0]
    classes = focal("multiclass", 2.0).apply(np.stack([0 * z, z], axis=1))
    np.testing.assert_allclose(classes[:, 1] - classes[:, 0], label, rtol=1e-9, atol=1e-9)


def test_a_table_goes_on_with_slope_one() -> None:
    table = {"logit": [-1.0, 0.0, 2.0], "log_odds": [-4.0, 0.0, 1.0]}
    by_table = Correction("multilabel", ({"op": "monotone_table", "tables": [table]},))
    z = np.array([[-3.0], [-0.5], [1.0], [5.0]])
    assert by_table.apply(z).ravel().tolist() == [-6.0, -2.0, 0.5, 4.0]
    each = Correction("multilabel", ({"op": "monotone_table", "tables": [table, table]},))
    with pytest.raises(ValueError, match="One column per label"):
        each.apply(z)


def test_an_offset_of_one_number_serves_all_columns() -> None:
    assert shift(1.0).apply(np.zeros((2, 3))).tolist() == [[1.0] * 3] * 2
    with pytest.raises(ValueError, match=r"\(any, 2\), got \(2, 3\)"):
        shift(1.0, 2.0).apply(np.zeros((2, 3)))


def test_class_log_posteriors_sum_to_one() -> None:
    made = Correction("multiclass", ({"op": "offset", "offset": [1.0, 0.0, -1.0]},))
    z = np.random.default_rng(0).normal(size=(5, 3)) * 50
    np.testing.assert_allclose(made.probabilities(z).sum(axis=1), 1.0)


def test_loss_first_then_sampler() -> None:
    loss = Correction(
        "multilabel",
        ({"op": "focal", "gamma": 2.0},),
        "exact",
        (0.1, 0.8),
        prior=(0.5, 0.5),
        nominal_weight=(2.0,),
    )
    sampler = shift(
        -1.0, -2.0, exactness="approximate", prior=(0.1, 0.2), nominal_weight=(3.0, 4.0)
    )
    both = loss.then(sampler)
    z = np.array([[0.3, -1.0]])
    np.testing.assert_allclose(both.apply(z), sampler.apply(loss.apply(z)))
    assert both.exactness == "approximate"
    assert both.prior == (0.1, 0.2)
    assert both.nominal_weight == (6.0, 8.0)
    # The range of the loss, moved by the sampler: from the higher lower to the lower upper end.
    assert both.valid_range[0] == pytest.approx(1 / (1 + 9 * math.e))
    assert both.valid_range[1] == pytest.approx(1 / (1 + math.exp(2) / 4))
    assert loss.then(Correction.identity("multilabel")).prior == (0.5, 0.5)
    assert Correction.identity("multilabel").then(loss).valid_range == (0.1, 0.8)


def test_order_of_steps_matters() -> None:
    loss, sampler = focal("multilabel", 2.0), shift(-2.0)
    assert not np.allclose(loss.then(sampler).apply([[1.0]]), sampler.then(loss).apply([[1.0]]))


def test_a_lost_way_back_stays_lost() -> None:
    lost = Correction("multilabel", exactness="none")
    assert shift(1.0).then(lost).exactness == lost.then(shift(1.0)).exactness == "none"


def test_nan_survives_json() -> None:
    made = shift(1.0, prior=(math.nan, 0.5), nominal_weight=(math.inf, math.nan))
    loaded = Correction.from_dict(json.loads(json.dumps(made.to_dict())))
    assert math.isnan(loaded.prior[0])  # type: ignore[index]
    assert loaded.nominal_weight[0] == math.inf  # type: ignore[index]
    assert math.isnan(loaded.nominal_weight[1])  # type: ignore[index]


def test_identity_is_identity() -> None:
    z = np.array([[-800.0], [0.0], [36.0]])
    identity = Correction.identity("multilabel")
    assert identity.is_identity
    assert np.array_equal(identity.apply(z), z)
    assert not shift(1.0).is_identity


def test_probabilities_become_logits_without_loss_of_order() -> None:
    p = np.array([[0.0], [1e-300], [1e-17], [0.5], [1 - 1e-15], [1.0]])
    scores = Scores.from_arrays(None, probabilities=p, split="new", kind="multilabel")
    z = scores.log_odds()[:, 0]
    assert np.isfinite(z).all()
    assert (np.diff(z) > 0).all()
    assert z[3] == 0.0
    classes = Scores.from_arrays(
        None, probabilities=[[1.0, 0.0], [0.25, 0.75]], split="new", kind="multiclass"
    )
    np.testing.assert_allclose(np.exp(classes.log_odds()), [[1, 0], [0.25, 0.75]], atol=1e-300)
