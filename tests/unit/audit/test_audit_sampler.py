"""The audit finds what is wrong with samplers as people write them, and clears ours."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import foreign_samplers as foreign
import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    SequentialSampler,
    WeightedRandomSampler,
)

import equipoise as eq
from equipoise.artifacts import Finding, Labels
from equipoise.audit import SamplerAudit
from equipoise.errors import UsageError
from equipoise.sampling import ClassBalancedSampler, WeightedSampler, row_weights
from equipoise.sampling.rule_table import long_tail_labels

EVEN = Labels.from_array([0, 1] * 300, kind="multiclass")


def codes(sampler: Any, labels: Any = EVEN, **settings: Any) -> dict[str, Finding]:
    audit = eq.audit_sampler(sampler, labels, **settings)
    assert len({f.code for f in audit.findings}) == len(audit.findings)
    for item in audit.findings:
        assert item.message.endswith(".")
        assert Finding.from_dict(item.to_dict()).message == item.message
        assert item.message in str(audit)
    return {f.code: f for f in audit.findings}


def aware(n: int) -> DistributedSampler:
    return DistributedSampler(range(n))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make",
    [
        lambda labels: WeightedSampler(np.ones(len(labels))),
        ClassBalancedSampler,
        lambda labels: WeightedSampler(np.ones(len(labels)), replacement=False),
        DistributedSampler,
        lambda labels: BatchSampler(ClassBalancedSampler(labels), 10, drop_last=True),
    ],
    ids=["weighted", "balanced", "without replacement", "torch's", "batched"],
)
def test_samplers_that_do_their_job_pass(make: Callable[..., Any]) -> None:
    assert not codes(make)


def test_torch_samplers_hang_on_the_global_generator_and_know_no_ranks() -> None:
    found = codes(RandomSampler)
    assert set(found) == {"EQ604", "EQ605"}
    assert found["EQ604"].evidence == {
        "repeats": True,
        "reads_global": True,
        "moves": ["torch's random state"],
    }
    own = torch.Generator().manual_seed(3)
    assert set(codes(RandomSampler(range(600), generator=own))) == {"EQ605"}
    assert set(codes(SequentialSampler)) == {"EQ603", "EQ605"}


@pytest.mark.parametrize(
    ("sampler", "code", "says"),
    [
        (foreign.Own(600, length=700), "EQ601", "length is 700, but epochs yield 600, 600, 600"),
        (foreign.Endless(600), "EQ601", "2,200 and more"),
        (iter(range(600)), "EQ601", "a later one yields nothing"),
        ((i for i in range(600)), "EQ601", "a later one yields nothing"),
        (foreign.Lost(600), "EQ602", "2 indices outside 0 to 599 (first: -1)"),
        (foreign.Lost(600), "EQ602", "1 things that are no index ('seven')"),
        (foreign.Frozen(600), "EQ603", "although `set_epoch` is called"),
        (list(range(600)), "EQ603", "there is no `set_epoch`"),
        (foreign.Careless(600), "EQ604", "moves NumPy's random state"),
        (foreign.Entropy(600), "EQ604", "Two samplers made alike"),
        (foreign.Uneven(600), "EQ605", "yields 600 and 599 items"),
        (foreign.HalfAware(600), "EQ605", "shard it once more"),
        (foreign.Own(600), "EQ605", "both draw the same rows"),
        (foreign.Entropy(600), "EQ605", "each draws for itself"),
        (foreign.Own(100), "EQ607", "all rows 16.7%"),
    ],
)
def test_faults_are_named(sampler: Any, code: str, says: str) -> None:
    assert says in codes(sampler)[code].message


def test_what_needs_the_other_processes_is_not_judged() -> None:
    assert not codes(foreign.Asking(600))


def test_the_sampler_is_left_as_it_is_and_global_states_too() -> None:
    sampler = foreign.Own(600)
    sampler.set_epoch(7)
    own = torch.Generator().manual_seed(3)
    drawn = WeightedRandomSampler([1.0] * 600, 600, generator=own)
    before = own.get_state(), torch.get_rng_state(), random.getstate()
    state = np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]  # noqa: NPY002
    codes(sampler)
    codes(drawn)
    codes(foreign.Careless(600))
    assert sampler.epoch == 7
    assert torch.equal(own.get_state(), before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
    assert random.getstate() == before[2]
    assert np.random.get_state()[1].tolist() == state  # type: ignore[index, union-attr]  # noqa: NPY002
    assert not torch.distributed.is_initialized()


def test_the_product_rule_on_a_long_tail_is_carried_by_a_few_rows() -> None:
    found = codes(foreign.product_sampler, long_tail_labels())
    assert found["EQ606"].evidence["effective_share"] < 0.01
    assert found["EQ606"].evidence["most_draws"] > 1000
    assert "EQ607" in found
    assert found["EQ609"].evidence["factor"]["19"] > 100


@pytest.mark.parametrize("replacement", [True, False])
def test_uniform_draws_count_as_all_rows(replacement: bool) -> None:
    """The effective sample is that of the weights: chance repeats do not lower it."""
    for num_samples in (60, 600, 6000) if replacement else (60, 600):
        sampler = RandomSampler(range(600), replacement=replacement, num_samples=num_samples)
        assert "EQ606" not in codes(sampler)


def test_the_effective_share_is_that_of_the_weights() -> None:
    weights = np.r_[np.full(60, 50.0), np.ones(540)]
    share = weights.sum() ** 2 / (weights**2).sum() / 600
    found = codes(WeightedSampler(weights, num_samples=6000))
    assert found["EQ606"].evidence["effective_share"] == pytest.approx(share, rel=0.05)


def test_plain_negatives_that_never_come_are_named() -> None:
    hot = (np.random.default_rng(0).random((1000, 3)) < 0.15).astype(int)
    seen = codes(foreign.sum_sampler, hot)["EQ607"].evidence["seen"]
    assert seen["rows without labels"] == 0.0
    assert seen["all rows"] <= hot.any(axis=1).mean()


def test_a_class_that_never_comes_is_named_unless_chance_may_have_missed_it() -> None:
    y = np.repeat([0, 1, 2], [500, 90, 10])
    found = codes(lambda labels: foreign.without_class(labels, 2), y)
    assert found["EQ610"].evidence["never_drawn"] == {"'2'": 10}
    few = np.repeat([0, 1, 2], [500, 98, 2])
    assert "EQ610" not in codes(lambda labels: foreign.without_class(labels, 2), few)


def test_weights_per_class_are_named_as_the_cause_and_not_by_their_symptoms() -> None:
    y = np.repeat([0, 1, 2], [500, 90, 10])
    for weights in ([1 / 500, 1 / 90, 1 / 10], [0.0, 1.0, 5.0]):
        found = codes(WeightedRandomSampler(weights, 600), y)
        assert "rows 0 to 2 of 600" in found["EQ613"].message
        assert not {"EQ606", "EQ607", "EQ608", "EQ609", "EQ610"} & set(found)
    assert "EQ613" in codes(WeightedRandomSampler([0.01, 0.05, 0.2], 3), y)
    per_row = np.array([1 / 500, 1 / 90, 1 / 10])[y]
    assert "EQ613" not in codes(WeightedRandomSampler(per_row, 600), y)


def test_a_frequent_label_that_rises_with_the_rare_ones_is_named() -> None:
    rng = np.random.default_rng(0)
    hot = (rng.normal(size=(4000, 1)) + rng.normal(size=(4000, 3)) > [0.0, 1.5, 2.5]).astype(int)
    labels = Labels.from_array(hot, kind="multilabel", names=["often", "some", "rare"])
    found = codes(WeightedSampler(row_weights(labels, "max")), labels)
    before, after = found["EQ608"].evidence["rates"]["often"]
    assert after > 1.1 * before
    assert "EQ608" not in codes(WeightedSampler(row_weights(labels, "instance")), labels)


def test_the_implied_weight_is_that_of_the_weights_and_doubling_is_named() -> None:
    y = np.repeat([0, 1], [950, 50])
    weights = np.where(y == 1, 19.0, 1.0)
    sampler = WeightedSampler(weights, num_samples=50_000)
    found = codes(sampler, y[:, None])
    assert found["EQ609"].evidence["factor"]["0"] == pytest.approx(19, rel=0.05)
    assert found["EQ609"].evidence["offset"]["0"] == pytest.approx(-np.log(19), abs=0.05)
    twice = codes(sampler, y[:, None], weight=[10.0])["EQ611"].evidence["sampler_loss_product"]
    assert twice["0"][2] == pytest.approx(190, rel=0.05)
    assert "EQ611" not in codes(sampler, y[:, None], weight=[1.0])
    assert "EQ611" in codes(sampler, y, weight=[1.0, 19.0])
    assert "EQ611" not in codes(sampler, y, weight=[3.0, 3.0])
    with pytest.raises(UsageError.__mro__[1], match="weight"):
        eq.audit_sampler(sampler, y, weight=[1.0])


def test_batches_are_flattened_and_counted() -> None:
    y = np.repeat([0, 1], [95, 5])
    audit = eq.audit_sampler(foreign.batches, y)
    facts = audit.batches
    assert facts is not None
    assert (facts.batches, facts.smallest, facts.largest, facts.repeated) == (10, 10, 10, 0.0)
    assert facts.positives == (9.5, 0.5)
    order = np.asarray(foreign.Own(100).order()).reshape(10, 10)
    assert facts.without[1] == pytest.approx((y[order].sum(axis=1) == 0).mean())
    assert "10 batches of 10 rows" in audit.text()
    assert audit.report.rates_after == audit.report.rates_before
    twice = eq.audit_sampler([[0, 0, 1], torch.tensor([2, 3]), np.array([4])], [0, 1, 0, 1, 0])
    assert twice.batches is not None
    assert twice.batches.repeated == pytest.approx(1 / 6)
    assert (twice.batches.smallest, twice.batches.largest) == (1, 3)


def test_pairs_of_row_and_copy_are_single_rows() -> None:
    audit = eq.audit_sampler([(i % 600, i // 600) for i in range(1200)], EVEN)
    assert audit.batches is None
    assert audit.report.num_samples == 1200


def test_factories_get_what_they_ask_for_by_name() -> None:
    y = np.repeat([0, 1], [500, 100])
    assert isinstance(eq.audit_sampler(foreign.torch_only, y), SamplerAudit)
    assert eq.audit_sampler(lambda table: foreign.torch_only(torch.tensor(table)), y)
    assert eq.audit_sampler(lambda: foreign.Own(600), y)
    body = eq.audit_sampler(foreign.batches, y).to_dict()
    assert {"report", "batches", "findings"} == set(body)


@pytest.mark.parametrize(
    ("sampler", "says"),
    [
        (3, "`sampler` must be iterable or callable, got int"),
        (lambda: 3, "must build something iterable, got int"),
        (foreign.takes_two, "must be built from the labels"),
        (["a", "b"], r"must yield rows 0 to 599, got none in 2 items \('a', 'b'\)"),
        ([], "got none in 0 items"),
        ([900], "got none in 1 items"),
    ],
)
def test_what_is_no_sampler_is_refused(sampler: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        eq.audit_sampler(sampler, EVEN)
    with pytest.raises(UsageError, match="`epochs` must be at least 1"):
        eq.audit_sampler([0], EVEN, epochs=0)
    with pytest.raises(UsageError, match="`labels` must have at least one row"):
        eq.audit_sampler([0], EVEN[np.arange(0)])


def test_the_limit_of_multinomial_is_explained() -> None:
    class Big:
        def __iter__(self) -> Any:
            raise RuntimeError("number of categories cannot exceed 2^24")

    with pytest.raises(UsageError, match=r"16,777,216 rows at most.*WeightedSampler"):
        eq.audit_sampler(Big(), EVEN)


def test_long_epochs_are_cut_off() -> None:
    audit = eq.audit_sampler(foreign.Own(600), EVEN, max_draws=100)
    assert audit.report.num_samples == 100
    assert "EQ601" not in {f.code for f in audit.findings}
