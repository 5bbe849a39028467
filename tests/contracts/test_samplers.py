"""The laws every row sampler obeys."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torch.utils.data import DataLoader, DistributedSampler, Sampler

from equipoise import sampling
from equipoise.errors import DataError, UsageError
from equipoise.sampling import ClassBalancedSampler, WeightedSampler, class_balanced_weights

CLASSES = np.repeat([0, 1, 2, 4], [700, 200, 95, 5])
HOT = (np.random.default_rng(0).random((1000, 3)) < [0.5, 0.1, 0.02]).astype(int)
WEIGHTS = class_balanced_weights(CLASSES)

CASES: dict[str, tuple[type, Callable[..., DistributedSampler[int]]]] = {
    "class_balanced": (ClassBalancedSampler, lambda **k: ClassBalancedSampler(CLASSES, **k)),
    "class_balanced_multilabel": (ClassBalancedSampler, lambda **k: ClassBalancedSampler(HOT, **k)),
    "weighted": (WeightedSampler, lambda **k: WeightedSampler(WEIGHTS, **k)),
    "weighted_once": (
        WeightedSampler,
        lambda **k: WeightedSampler(WEIGHTS, replacement=False, **k),
    ),
}
every_sampler = pytest.mark.parametrize("name", CASES)


def build(name: str, **settings: Any) -> Any:
    return CASES[name][1](**settings)


def test_every_public_sampler_has_a_row() -> None:
    found = {n: getattr(sampling, n) for n in sampling.__all__}
    public = {
        n for n, kind in found.items() if isinstance(kind, type) and issubclass(kind, Sampler)
    }
    assert public == {kind.__name__ for kind, _ in CASES.values()}


@every_sampler
def test_yields_as_many_rows_as_it_says(name: str) -> None:
    for sampler in (build(name), build(name, num_samples=123)):
        rows = list(sampler)
        assert len(rows) == len(sampler)
        assert all(type(row) is int and 0 <= row < 1000 for row in rows)
    assert len(build(name, num_samples=123)) == 123
    assert len(build(name)) == 1000


@every_sampler
def test_same_seed_same_order_other_seed_or_epoch_other_order(name: str) -> None:
    sampler = build(name, seed=3)
    first = list(sampler)
    assert list(sampler) == first
    assert list(build(name, seed=3)) == first
    assert list(build(name, seed=4)) != first
    sampler.set_epoch(1)
    assert list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first


@every_sampler
def test_global_random_state_is_untouched(name: str) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    list(build(name))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert random.getstate() == before[2]


@every_sampler
@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_ranks_share_one_sequence(name: str, world: int) -> None:
    ranks = [build(name, num_samples=500, num_replicas=world, rank=r) for r in range(world)]
    parts = [list(sampler) for sampler in ranks]
    assert {len(part) for part in parts} == {len(ranks[0])} == {-(-500 // world)}
    together = np.stack(parts, axis=1).ravel()
    assert (together == ranks[0].global_rows()).all()
    assert (together[:500] == list(build(name, num_samples=500))).all()


@every_sampler
def test_goes_on_from_its_state(name: str) -> None:
    sampler = build(name, seed=5)
    sampler.set_epoch(4)
    other = build(name, seed=0)
    other.load_state_dict(sampler.state_dict())
    assert list(other) == list(sampler)


@every_sampler
def test_is_a_distributed_sampler_that_a_loader_takes(name: str) -> None:
    sampler = build(name, num_samples=64)
    assert isinstance(sampler, DistributedSampler)
    loader = DataLoader(torch.arange(1000), batch_size=16, sampler=sampler)  # type: ignore[arg-type]
    assert torch.cat(list(loader)).tolist() == list(sampler)


@every_sampler
def test_bad_settings_are_named(name: str) -> None:
    with pytest.raises(UsageError, match="`num_samples` must be a whole number >= 1, got 0"):
        build(name, num_samples=0)
    with pytest.raises(UsageError, match="`rank` must lie in 0 to 1, got 2"):
        build(name, num_replicas=2, rank=2)
    with pytest.raises(UsageError, match="must be given together"):
        build(name, rank=0)


def test_classes_come_equally_often() -> None:
    rows = list(ClassBalancedSampler(CLASSES, num_samples=20_000, seed=1))
    counts = np.bincount(CLASSES[rows])[[0, 1, 2, 4]]
    assert chisquare(counts).pvalue > 1e-3
    within = np.bincount(rows, minlength=1000)[CLASSES == 1]
    assert chisquare(within).pvalue > 1e-3


def test_rows_come_by_their_weights() -> None:
    weights = np.array([0.0, 1.0, 2.0, 0.0, 5.0, 0.0])
    rows = list(WeightedSampler(weights, num_samples=20_000, seed=1))
    counts = np.bincount(rows, minlength=6)
    assert counts[weights == 0].sum() == 0
    positive = weights[weights > 0]
    assert chisquare(counts[weights > 0], 20_000 * positive / positive.sum()).pvalue > 1e-3


def test_labels_come_at_the_rates_of_the_max_rule() -> None:
    w = class_balanced_weights(HOT)
    rows = np.array(list(ClassBalancedSampler(HOT, num_samples=20_000, seed=2)))
    expected = (w[:, None] * HOT).mean(0)
    np.testing.assert_allclose(HOT[rows].mean(0), expected, atol=0.015)


def test_once_means_once_and_first_draws_follow_the_weights() -> None:
    assert len(set(WeightedSampler(WEIGHTS, replacement=False))) == 1000
    weights = np.array([1.0, 2.0, 0.0, 5.0])
    sampler = WeightedSampler(weights, replacement=False)
    assert len(sampler) == 3
    first = []
    for epoch in range(2000):
        sampler.set_epoch(epoch)
        first.append(next(iter(sampler)))
    counts = np.bincount(first, minlength=4)
    assert counts[2] == 0
    assert chisquare(counts[[0, 1, 3]], 2000 * np.array([1, 2, 5]) / 8).pvalue > 1e-3
    with pytest.raises(UsageError, match="be at most 3, the rows with a weight above 0, got 4"):
        WeightedSampler(weights, replacement=False, num_samples=4)


def test_more_than_two_to_the_24_rows() -> None:
    n = 2**24 + 3
    weights = np.zeros(n)
    weights[[5, n - 1]] = 1.0
    assert set(WeightedSampler(weights, num_samples=50)) == {5, n - 1}


def test_state_its_correction() -> None:
    classes = np.repeat([0, 1], [90, 10])
    correction = ClassBalancedSampler(classes).correction()
    np.testing.assert_allclose(correction.probabilities([[0.0, 0.0]]), [[0.9, 0.1]])
    assert correction.exactness == "exact"
    assert ClassBalancedSampler(HOT).correction().exactness == "approximate"


def test_bad_weights_are_named() -> None:
    for bad in ([-1.0, 2.0], [0.0, 0.0], []):
        with pytest.raises(DataError, match="`weights` must be >= 0 and not all 0"):
            WeightedSampler(bad)
