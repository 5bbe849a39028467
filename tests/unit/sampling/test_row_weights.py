"""Row weights, against exact expectations, and what they do to the probabilities."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
from scipy.special import logit

import equipoise.sampling as sampling
from equipoise.artifacts import Correction, Labels
from equipoise.errors import DataError, NotRecoverableError, ShapeError, UsageError
from equipoise.sampling.effect import (
    effective_sample_size,
    implied_pos_weight,
    sampler_correction,
)
from equipoise.sampling.weights import class_balanced_weights, instance_weights

PREVALENCE = np.array([0.085, 0.29, 0.17, 0.469])


def independent_rows(total: int = 200_000) -> np.ndarray:
    """All 16 label sets of independent labels, as many of each as expected."""
    rows = []
    for labels in itertools.product((0, 1), repeat=4):
        y = np.array(labels)
        share = np.prod(np.where(y == 1, PREVALENCE, 1 - PREVALENCE))
        rows.append(np.repeat(y[None], round(share * total), axis=0))
    return np.concatenate(rows)


@pytest.mark.parametrize(
    ("rule", "empty", "rates", "share", "empties"),
    [
        ("max", 1.0, [0.261, 0.344, 0.283, 0.468], 0.66, 0.16),
        ("mean", 1.0, [0.218, 0.317, 0.257, 0.416], 0.73, 0.18),
        ("sum", 0.0, [0.313, 0.467, 0.376, 0.600], 0.45, 0.0),
    ],
)
def test_rates_of_the_three_rules(rule, empty, rates, share, empties) -> None:
    y = independent_rows()
    w = class_balanced_weights(y, rule=rule, empty_weight=empty)
    assert w.mean() == pytest.approx(1.0)
    np.testing.assert_allclose((w[:, None] * y).mean(0), rates, atol=6e-3)
    assert w[y.sum(1) == 0].sum() / len(y) == pytest.approx(empties, abs=6e-3)
    assert effective_sample_size(w) / len(y) == pytest.approx(share, abs=0.01)


def test_sum_rule_is_drawing_a_label_first() -> None:
    y = independent_rows(5000)
    w = class_balanced_weights(y, rule="sum", empty_weight=0.0)
    slow = np.array([sum(y[i] / y.sum(0)) / 4 for i in range(len(y))])
    np.testing.assert_allclose(w / w.sum(), slow)


def test_classes_get_equal_mass() -> None:
    y = np.repeat([0, 1, 2], [70, 20, 10])
    w = class_balanced_weights(y)
    np.testing.assert_allclose(np.bincount(y, w), 100 / 3)
    half = class_balanced_weights(y, power=0.5)
    np.testing.assert_allclose(
        np.bincount(y, half) / np.bincount(y, half)[0], np.sqrt([1, 2 / 7, 1 / 7])
    )


def test_unknown_entries_and_absent_labels_count_for_nothing() -> None:
    w = class_balanced_weights([[1, 0, -1], [1, 0, 0], [0, 0, -1], [-1, 0, 1]])
    np.testing.assert_allclose(w / w[0], [1, 1, 1, 2])


def test_instance_weights_of_none_are_ones() -> None:
    assert instance_weights([0, 1, 1]).tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ShapeError, match=r"`weight` must have shape \(C,\) = \(2,\), got \(3,\)"):
        instance_weights([0, 1, 1], [1.0, 2.0, 3.0])
    with pytest.raises(UsageError, match="`rule` must be one of 'max', 'mean', 'sum'"):
        instance_weights([0, 1], [1.0, 2.0], rule="product")  # type: ignore[arg-type]


def test_effective_sample_size_of_equal_and_single_weights() -> None:
    assert effective_sample_size(np.full(50, 3.0)) == pytest.approx(50)
    assert effective_sample_size([0.0, 5.0, 0.0]) == 1.0
    assert effective_sample_size([1e200, 1e200]) == 2.0


def test_weights_are_checked() -> None:
    for bad, message in (
        ([1.0, -1.0], "be >= 0"),
        ([0.0], "be >= 0 and not all 0"),
        ([np.nan], "be finite"),
    ):
        with pytest.raises(DataError, match=f"`weights` must {message}"):
            effective_sample_size(bad)
    with pytest.raises(ShapeError, match=r"`weights` must have shape \(2\), got \(3,\)"):
        sampler_correction([1.0, 1.0, 1.0], [0, 1])


def test_class_correction_restores_the_posterior_exactly() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [70, 20, 10])
    w = class_balanced_weights(y)
    natural = rng.dirichlet([1, 1, 1], 50)
    drawn = natural * np.array([1 / 0.7, 1 / 0.2, 1 / 0.1])
    correction = sampler_correction(w, y)
    again = Correction.from_dict(json.loads(json.dumps(correction.to_dict())))
    np.testing.assert_allclose(again.probabilities(np.log(drawn)), natural, atol=1e-12)
    assert correction.exactness == "exact"
    assert correction.prior == pytest.approx((0.7, 0.2, 0.1))


def test_weights_that_vary_within_a_class_are_approximate() -> None:
    assert sampler_correction([1.0, 2.0, 3.0], [0, 0, 1]).exactness == "approximate"


def test_label_correction_is_the_implied_pos_weight() -> None:
    y = independent_rows(2000)
    w = class_balanced_weights(y)
    rho = implied_pos_weight(w, y)
    slow = [w[y[:, k] == 1].mean() / w[y[:, k] == 0].mean() for k in range(4)]
    np.testing.assert_allclose(rho, slow)
    correction = sampler_correction(w, y)
    assert correction.exactness == "approximate"
    assert correction.nominal_weight == pytest.approx(tuple(rho))
    np.testing.assert_allclose(correction.apply(np.zeros((1, 4)))[0], -np.log(rho))


def test_one_label_is_exact() -> None:
    y = np.repeat([[1], [0]], [10, 90], axis=0)
    correction = sampler_correction(class_balanced_weights(y, empty_weight=1 / 9), y)
    assert correction.exactness == "exact"
    p = np.array([[0.2], [0.7]])
    drawn = logit(p) + np.log(correction.nominal_weight[0])
    np.testing.assert_allclose(correction.probabilities(drawn), p)


def test_labels_without_positives_are_left_as_they_are() -> None:
    y = np.array([[1, 0], [0, 0], [0, 0]])
    w = class_balanced_weights(y)
    assert np.isnan(implied_pos_weight(w, y)).tolist() == [False, True]
    correction = sampler_correction(w, y)
    assert correction.apply([[0.0, 1.5]])[0, 1] == 1.5
    assert Correction.from_dict(json.loads(json.dumps(correction.to_dict()))) is not None
    unknown = sampler_correction([1.0, 2.0], [[1, -1], [0, -1]])
    assert Correction.from_dict(json.loads(json.dumps(unknown.to_dict()))).prior is None


def test_classes_never_drawn_cannot_be_recovered() -> None:
    labels = Labels.from_array([0, 0, 1], kind="multiclass", names=["cat", "fox"])
    with pytest.raises(NotRecoverableError, match="Rows of 'fox' have weight 0"):
        sampler_correction([1.0, 1.0, 0.0], labels)
    with pytest.raises(NotRecoverableError, match="never drawn"):
        sampler_correction([1.0, 0.0], [[1], [0]])


def test_the_face_is_lazy() -> None:
    code = (
        "import sys, equipoise.sampling as s, equipoise.sampling.weights;"
        "from equipoise.sampling import class_balanced_weights;"
        "assert 'torch' not in sys.modules, 'torch';"
        "s.ClassBalancedSampler; assert 'torch' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(sampling.__all__) <= set(dir(sampling))
    assert all(hasattr(sampling, name) for name in sampling.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = sampling.nothing


@pytest.mark.parametrize("fault", ["ImportError", "RuntimeError"])
def test_a_missing_torch_is_named(fault: str) -> None:
    code = (
        "import sys, importlib.abc\n"
        "class Block(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] == 'torch': raise {fault}(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "from equipoise.errors import MissingExtraError\n"
        "from equipoise.sampling import class_balanced_weights\n"
        "sampler = 'from equipoise.sampling import WeightedSampler'\n"
        "for load in (sampler, 'import equipoise.losses'):\n"
        "    try:\n"
        "        exec(load)\n"
        "    except MissingExtraError as error:\n"
        "        assert 'equipoise[torch]' in str(error), error\n"
        "    else:\n"
        "        raise SystemExit('no error from ' + load)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
