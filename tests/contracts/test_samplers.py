"""The laws every row sampler obeys."""

from __future__ import annotations

import copy
import math
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from lightning.fabric.utilities.data import _replace_value_in_saved_args, _set_sampler_epoch
from scipy.stats import chi2_contingency, chisquare
from torch.utils.data import BatchSampler, DataLoader, DistributedSampler, Sampler

from equipoise import sampling
from equipoise.errors import DataError, NoEffectWarning, UsageError
from equipoise.sampling import (
    BalancedBatchSampler,
    ClassBalancedSampler,
    ListedRowsSampler,
    PKBatchSampler,
    ProgressiveSampler,
    RepeatFactorSampler,
    StratifiedBatchSampler,
    WeightedSampler,
    class_balanced_weights,
)

CLASSES = np.repeat([0, 1, 2, 4], [700, 200, 95, 5])
HOT = (np.random.default_rng(0).random((1000, 3)) < [0.5, 0.1, 0.02]).astype(int)
WEIGHTS = class_balanced_weights(CLASSES)
LIST = np.concatenate([np.arange(400), np.arange(800, 1000), np.arange(600, 1000)])


def weighted_once(**given: Any) -> WeightedSampler:
    """All rows, each once: the weights decide the order, which is what is looked at here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoEffectWarning)
        return WeightedSampler(WEIGHTS, replacement=False, **given)


CASES: dict[str, tuple[type, Callable[..., DistributedSampler[int]]]] = {
    "class_balanced": (ClassBalancedSampler, lambda **k: ClassBalancedSampler(CLASSES, **k)),
    "class_balanced_multilabel": (ClassBalancedSampler, lambda **k: ClassBalancedSampler(HOT, **k)),
    "weighted": (WeightedSampler, lambda **k: WeightedSampler(WEIGHTS, **k)),
    "weighted_once": (WeightedSampler, lambda **k: weighted_once(**k)),
    "repeat_factor": (
        RepeatFactorSampler,
        lambda **k: RepeatFactorSampler(HOT, threshold=0.5, **{"num_samples": 1000, **k}),
    ),
    "progressive": (
        ProgressiveSampler,
        lambda **k: ProgressiveSampler(CLASSES, num_epochs=3, **k),
    ),
    "progressive_multilabel": (
        ProgressiveSampler,
        lambda **k: ProgressiveSampler(HOT, num_epochs=3, **k),
    ),
    "listed": (ListedRowsSampler, lambda **k: ListedRowsSampler(LIST, **k)),
}
BATCH_CASES: dict[str, tuple[type, Callable[..., BatchSampler]]] = {
    "stratified": (
        StratifiedBatchSampler,
        lambda **k: StratifiedBatchSampler(HOT, batch_size=20, min_positives=2, **k),
    ),
    "stratified_classes": (
        StratifiedBatchSampler,
        lambda **k: StratifiedBatchSampler(CLASSES, batch_size=20, **k),
    ),
    "p_k": (
        PKBatchSampler,
        lambda **k: PKBatchSampler(CLASSES, classes_per_batch=3, rows_per_class=7, **k),
    ),
    "balanced": (
        BalancedBatchSampler,
        lambda **k: BalancedBatchSampler(HOT, rare=[1, 2], share=0.4, batch_size=20, **k),
    ),
}
LENGTH = dict.fromkeys(CASES, "num_samples") | dict.fromkeys(BATCH_CASES, "num_batches")
every_sampler = pytest.mark.parametrize("name", CASES)
every_batch_sampler = pytest.mark.parametrize("name", BATCH_CASES)
every_kind = pytest.mark.parametrize("name", LENGTH)


def build(name: str, **settings: Any) -> Any:
    return {**CASES, **BATCH_CASES}[name][1](**settings)


def test_every_public_sampler_has_a_row() -> None:
    found = {n: getattr(sampling, n) for n in sampling.__all__}
    public = {
        n for n, kind in found.items() if isinstance(kind, type) and issubclass(kind, Sampler)
    }
    assert public == {kind.__name__ for kind, _ in {**CASES, **BATCH_CASES}.values()}


@every_sampler
def test_yields_as_many_rows_as_it_says(name: str) -> None:
    for sampler in (build(name), build(name, num_samples=123)):
        rows = list(sampler)
        assert len(rows) == len(sampler)
        assert all(type(row) is int and 0 <= row < 1000 for row in rows)
    assert len(build(name, num_samples=123)) == 123
    assert len(build(name)) == 1000


@every_kind
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


@every_kind
def test_a_misspelt_keyword_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'num_replica'"):
        build(name, num_replica=2, rank=1)


@every_kind
def test_global_random_state_is_untouched(name: str) -> None:
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    list(build(name))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert random.getstate() == before[2]


@every_kind
@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_ranks_share_one_sequence(name: str, world: int) -> None:
    size = {LENGTH[name]: 100}
    ranks = [build(name, num_replicas=world, rank=r, **size) for r in range(world)]
    parts = [list(sampler) for sampler in ranks]
    assert {len(part) for part in parts} == {len(ranks[0])} == {-(-100 // world)}
    together = [item for turn in zip(*parts, strict=True) for item in turn]
    whole = list(build(name, sharding="none", **size))
    assert together[:100] == whole
    if name in CASES:
        assert together == ranks[0].global_rows().tolist()
        assert together[100:] == whole[: len(together) - 100]


@every_kind
@pytest.mark.parametrize("world", [1, 3])
@pytest.mark.parametrize("done", [0, 1, 10, 33])
def test_goes_on_inside_an_epoch(name: str, world: int, done: int) -> None:
    size = {LENGTH[name]: 100}
    states, rests = [], []
    for rank in range(world):
        sampler = build(name, seed=5, num_replicas=world, rank=rank, **size)
        sampler.set_epoch(4)
        running = iter(sampler)
        for _ in range(done):
            next(running)
        states.append(sampler.state_dict())
        rests.append(list(running))
        assert sampler.state_dict(consumed=done) == states[-1]
    assert states == states[:1] * world
    for rank in range(world):
        other = build(name, seed=0, num_replicas=world, rank=rank, **size)
        other.load_state_dict(states[0])
        other.set_epoch(4)
        assert len(other) == len(rests[rank])
        found = list(other)
        padded = done * world + len(rests[rank]) * world - 100
        assert found[: len(found) - padded] == rests[rank][: len(found) - padded]
        assert len(other) == len(list(other)) == -(-100 // world)
        other.load_state_dict(states[0])
        other.set_epoch(5)
        assert len(list(other)) == -(-100 // world)


@every_kind
def test_goes_on_with_another_number_of_ranks(name: str) -> None:
    size = {LENGTH[name]: 90}
    whole = list(build(name, seed=5, **size))
    state = build(name, seed=5, num_replicas=2, rank=1, **size).state_dict(consumed=12)
    rests = []
    for rank in range(3):
        sampler = build(name, seed=0, num_replicas=3, rank=rank, **size)
        sampler.load_state_dict(state)
        rests.append(list(sampler))
    assert [item for turn in zip(*rests, strict=True) for item in turn] == whole[24:]


@every_kind
def test_a_copy_draws_the_same(name: str) -> None:
    sampler = build(name, seed=5)
    sampler.set_epoch(2)
    assert list(copy.deepcopy(sampler)) == list(sampler)


@every_sampler
def test_is_a_distributed_sampler_that_a_loader_takes(name: str) -> None:
    sampler = build(name, num_samples=64)
    assert isinstance(sampler, DistributedSampler)
    loader = DataLoader(torch.arange(1000), batch_size=16, sampler=sampler)  # type: ignore[arg-type]
    assert torch.cat(list(loader)).tolist() == list(sampler)


@every_kind
def test_bad_settings_are_named(name: str) -> None:
    with pytest.raises(UsageError, match=f"`{LENGTH[name]}` must be a whole number >= 1, got 0"):
        build(name, **{LENGTH[name]: 0})
    with pytest.raises(UsageError, match="`rank` must lie in 0 to 1, got 2"):
        build(name, num_replicas=2, rank=2)
    with pytest.raises(UsageError, match="must be given together"):
        build(name, rank=0)
    with pytest.raises(UsageError, match="`sharding` must be 'auto' where ranks are given"):
        build(name, num_replicas=2, rank=0, sharding="none")


@every_batch_sampler
def test_batches_have_their_size_and_hold_rows(name: str) -> None:
    sampler = build(name)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 1000 // sampler.batch_size
    for batch in batches:
        assert len(batch) == sampler.batch_size
        assert all(type(row) is int and 0 <= row < 1000 for row in batch)
    loader = DataLoader(torch.arange(1000), batch_sampler=sampler)  # type: ignore[arg-type]
    assert [batch.tolist() for batch in loader] == batches


@every_batch_sampler
def test_batch_samplers_may_be_made_anew_around_a_sampler(name: str) -> None:
    sampler = build(name, seed=3)
    found, args, settings = _replace_value_in_saved_args(
        "sampler",
        DistributedSampler(range(1000), num_replicas=2, rank=1),  # type: ignore[arg-type]
        *(getattr(sampler, f"__pl_saved_{part}") for part in ("args", "kwargs")),
        *(getattr(sampler, f"__pl_saved_{part}") for part in ("default_kwargs", "arg_names")),
    )
    assert found
    assert list(type(sampler)(*args, **settings)) == list(sampler)
    _set_sampler_epoch(DataLoader(torch.arange(1000), batch_sampler=sampler), 3)  # type: ignore[arg-type]
    assert sampler.epoch == 3


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
    with pytest.warns(NoEffectWarning, match="All 1,000 rows"):
        assert len(set(WeightedSampler(WEIGHTS, replacement=False))) == 1000
    weights = np.array([1.0, 2.0, 0.0, 5.0])
    with pytest.warns(NoEffectWarning, match="All 3 rows"):
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


def test_repeat_factors_keep_every_row_and_round_by_chance() -> None:
    classes = np.repeat([0, 1], [900, 100])
    sampler = RepeatFactorSampler(classes, threshold=0.5, seed=1)
    factor = np.sqrt(5)
    assert len(sampler) == round(900 + 100 * factor)
    seen = np.zeros(1000)
    for epoch in range(50):
        sampler.set_epoch(epoch)
        drawn = np.bincount(list(sampler), minlength=1000)
        # An epoch one row short begins anew for that row.
        assert np.isin(drawn[900:], [2, 3]).sum() >= 99
        seen += drawn
    # Truncation to one length may cost a row of an epoch, no more.
    assert seen[:900].min() >= 49
    np.testing.assert_allclose(seen[900:].mean() / 50, factor, rtol=0.01)
    rows = list(sampler)
    assert abs(np.corrcoef(np.arange(len(rows)), rows)[0, 1]) < 0.1


def test_a_list_is_gone_through_before_any_of_it_comes_again() -> None:
    whole = list(ListedRowsSampler(LIST, seed=1))
    assert sorted(whole) == sorted(LIST.tolist())
    assert whole != LIST.tolist()
    long = list(ListedRowsSampler(LIST, num_samples=2500, seed=1))
    assert long[:1000] == whole
    assert sorted(long[1000:2000]) == sorted(whole) != long[1000:2000] != whole
    times = np.bincount(long, minlength=1000)
    listed = np.bincount(LIST, minlength=1000)
    assert ((times >= 2 * listed) & (times <= 3 * listed)).all()
    part = list(ListedRowsSampler(LIST, num_samples=300, seed=1))
    assert part == whole[:300]


def test_a_list_holds_positions() -> None:
    with pytest.raises(DataError, match="`rows` must list at least one row, got none"):
        ListedRowsSampler([])
    with pytest.raises(DataError, match=r"got dtype bool\. Turn a mask into positions"):
        ListedRowsSampler([True, False])
    with pytest.raises(DataError, match="`rows` must hold positions, integers >= 0, got -1"):
        ListedRowsSampler([0, -1])


def test_progressive_draws_move_from_rows_to_classes() -> None:
    sampler = ProgressiveSampler(CLASSES, num_epochs=4, num_samples=20_000, seed=1)
    for epoch, t in ((0, 0.0), (2, 0.5), (4, 1.0), (9, 1.0)):
        sampler.set_epoch(epoch)
        counts = np.bincount(CLASSES[list(sampler)], minlength=5)[[0, 1, 2, 4]]
        share = (1 - t) * np.array([0.7, 0.2, 0.095, 0.005]) + t / 4
        assert chisquare(counts, 20_000 * share).pvalue > 1e-3
    assert sampler.correction().exactness == "approximate"


@pytest.mark.parametrize("k", [1, 2, 5])
def test_every_batch_holds_positives_of_every_label(k: int) -> None:
    hot = HOT.copy()
    hot[:, 2] = 0
    hot[[5, 7, 9], 2] = 1
    hot[11, 2] = -1
    sampler = StratifiedBatchSampler(hot, batch_size=15, min_positives=k, num_batches=200)
    times = np.zeros(1000)
    for batch in sampler:
        assert len(set(batch)) == 15
        held = (hot[batch] == 1).sum(0)
        assert (held >= np.minimum(k, [1000, 1000, 3])).all()
        times[batch] += 1
    rare = times[hot[:, 2] == 1]
    assert rare.max() - rare.min() <= 1 + 0.5 * rare.max()
    with pytest.raises(UsageError, match="`batch_size` must be at least 13, 5 for each label"):
        StratifiedBatchSampler(hot, batch_size=12, min_positives=5)


def test_p_k_batches_hold_k_rows_of_p_classes() -> None:
    sampler = PKBatchSampler(CLASSES, classes_per_batch=3, rows_per_class=7, num_batches=400)
    times = np.zeros(5)
    for batch in sampler:
        rows, classes = np.array(batch), CLASSES[batch]
        assert (np.unique(classes, return_counts=True)[1] == 7).all()
        times[np.unique(classes)] += 1
        for c in (0, 1, 2):
            assert len(set(rows[classes == c])) == (classes == c).sum()
        assert len(set(rows[classes == 4])) in (0, 5)
    assert times[[0, 1, 2, 4]].tolist() == [300] * 4
    correction = sampler.correction()
    natural = correction.probabilities([[0.0, 0.0, 0.0, -50.0, 0.0]])[0][[0, 1, 2, 4]]
    np.testing.assert_allclose(natural, [0.7, 0.2, 0.095, 0.005], atol=0.01)
    with pytest.raises(DataError, match="`labels` must be classes, one per row"):
        PKBatchSampler(HOT, classes_per_batch=2, rows_per_class=2)
    with pytest.raises(UsageError, match="`classes_per_batch` must be at most 4"):
        PKBatchSampler(CLASSES, classes_per_batch=5, rows_per_class=2)


def test_balanced_batches_hold_their_share_of_rare_rows() -> None:
    rare = HOT[:, 1:].any(1)
    sampler = BalancedBatchSampler(HOT, rare=[1, 2], share=0.4, batch_size=20, num_batches=300)
    times = np.zeros(1000)
    for batch in sampler:
        assert rare[batch].sum() == 8
        times[batch] += 1
    for rows in (rare, ~rare):
        assert times[rows].max() - times[rows].min() <= 1
    weights = np.where(rare, 0.4 / rare.sum(), 0.6 / (~rare).sum())
    np.testing.assert_allclose(
        sampler.correction().nominal_weight, sampling.implied_pos_weight(weights, HOT)
    )
    with pytest.raises(UsageError, match="`rare` must name labels, got b"):
        BalancedBatchSampler(CLASSES, rare=["b"], share=0.5, batch_size=4)
    with pytest.raises(DataError, match="`rare` must name labels that some rows have"):
        BalancedBatchSampler(CLASSES, rare=[3], share=0.5, batch_size=4)


def test_sorted_draws_have_the_distribution_of_their_weights_in_any_order() -> None:
    weights = np.array([1.0, 0.0, 3.0, 6.0, 0.0])
    rows = np.array(list(WeightedSampler(weights, num_samples=50_000, seed=4)))
    for part in (rows[:25_000], rows[25_000:], rows[::2]):
        counts = np.bincount(part, minlength=5)[[0, 2, 3]]
        assert chisquare(counts, part.size * np.array([0.1, 0.3, 0.6])).pvalue > 1e-3
    pairs = np.bincount(5 * rows[:-1] + rows[1:], minlength=25).reshape(5, 5)[[0, 2, 3]][
        :, [0, 2, 3]
    ]
    assert chi2_contingency(pairs).pvalue > 1e-3


@every_kind
def test_settings_of_a_wrong_kind_are_named(name: str) -> None:
    for wrong in ("1", b"x", [1], {"a": 1}, object(), 1.5, math.nan):
        for setting in (LENGTH[name], "seed"):
            with pytest.raises(UsageError, match=f"`{setting}` must be a (whole )?number"):
                build(name, **{setting: wrong})
