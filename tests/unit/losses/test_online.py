"""Losses over picked entries: what they keep, what they refuse, and what stays untouched."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor, nn

from equipoise.errors import NotRecoverableError, ShapeError, UsageError
from equipoise.losses import (
    BCELoss,
    CrossEntropyLoss,
    Loss,
    NegativeRatioLoss,
    OHEMLoss,
    SemiHardLoss,
    TwoWayLoss,
    ZLPRLoss,
    negative_ratio_loss,
    ohem_loss,
    semi_hard_loss,
)
from online_oracles import slow_negative_ratio, slow_ohem, slow_semi_hard

NAN = float("nan")
BCE = BCELoss(reduction="none")
CE = CrossEntropyLoss(reduction="none")
TORCH_BCE = nn.BCEWithLogitsLoss(reduction="none")
BUILDS = [OHEMLoss, NegativeRatioLoss, SemiHardLoss]


def batch(n: int, width: int, seed: int, unknown: float = 0.2) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    z = 3.0 * torch.randn(n, width, generator=g, dtype=torch.float64)
    y = (torch.rand(n, width, generator=g) < 0.3).double()
    y[torch.rand(n, width, generator=g) < unknown] = NAN
    return z, y


def column(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


@given(
    n=st.integers(1, 9),
    width=st.integers(1, 4),
    seed=st.integers(0, 2**20),
    per=st.sampled_from(["batch", "image", "label"]),
    share=st.floats(0.01, 1.0),
    least=st.integers(1, 3),
)
def test_labels_equal_the_slow_loops(
    n: int, width: int, seed: int, per: str, share: float, least: int
) -> None:
    z, y = batch(n, width, seed)
    if bool(y.isnan().all()):
        return
    rows = z.tolist(), y.tolist(), BCE
    found = ohem_loss(z, y, loss=BCE, ratio=share, min_kept=least, per=per)
    assert found.item() == pytest.approx(slow_ohem(*rows, share, least, per))
    found = negative_ratio_loss(z, y, loss=BCE, ratio=3 * share, min_negatives=least, per=per)
    assert found.item() == pytest.approx(slow_negative_ratio(*rows, 3 * share, least, per))
    found = semi_hard_loss(z, y, loss=BCE, low=share / 2, high=share, per=per)
    assert found.item() == pytest.approx(slow_semi_hard(*rows, share / 2, share, per))


@given(st.integers(1, 20), st.integers(0, 2**20), st.sampled_from(["batch", "class"]))
def test_classes_equal_the_slow_loop(n: int, seed: int, per: str) -> None:
    z, _ = batch(n, 4, seed)
    y = torch.randint(0, 4, (n,), generator=torch.Generator().manual_seed(seed))
    found = ohem_loss(z, y, loss=CE, ratio=0.4, per=per)
    assert found.item() == pytest.approx(slow_ohem(z.tolist(), y.tolist(), CE, 0.4, 1, per))


@pytest.mark.parametrize(("ratio", "n"), [(0.07, 100), (0.14, 50), (0.7, 30)])
def test_a_share_is_not_rounded_up_by_its_last_bit(ratio: float, n: int) -> None:
    z = torch.arange(float(n))[:, None]
    kept = OHEMLoss(BCE, ratio=ratio).selected(z, torch.zeros(n, 1))
    assert kept.sum() == round(ratio * n)
    assert kept[-1]


def test_only_what_is_kept_gets_a_gradient() -> None:
    z = column(3.0, 1.0, -1.0, -3.0).requires_grad_()
    ohem_loss(z, torch.zeros(4, 1), loss=BCE, ratio=0.5).backward()
    expected = torch.where(column(1, 1, 0, 0) == 1, z.detach().sigmoid() / 2, 0.0)
    torch.testing.assert_close(z.grad, expected)


def test_frequent_classes_crowd_out_rare_ones_unless_classes_are_ranked_apart() -> None:
    z = torch.zeros(20, 2)
    z[:, 1] = 2.0  # class 0, which has 18 rows, is the hard one
    y = torch.zeros(20, dtype=torch.long)
    y[18:] = 1
    over_all = OHEMLoss(CE, ratio=0.25).selected(z, y)
    apart = OHEMLoss(CE, ratio=0.25, per="class").selected(z, y)
    assert over_all[18:].sum() == 0
    assert apart[18:].sum() == 1
    assert apart[:18].sum() == 5  # a quarter of 18, rounded up


def test_three_negatives_for_each_positive_and_the_hardest() -> None:
    z = column(0.0, 5.0, 4.0, 3.0, 2.0, 1.0)
    y = column(1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert NegativeRatioLoss(BCE).selected(z, y)[:, 0].tolist() == [True] * 4 + [False] * 2


def test_half_a_positive_is_a_positive() -> None:
    z, y = column(-9.0, 4.0, 1.0), column(0.5, 0.49, 0.0)
    kept = NegativeRatioLoss(BCE, ratio=1.0).selected(z, y)
    assert kept[:, 0].tolist() == [True, True, False]


def test_unknown_entries_are_never_kept_though_their_loss_would_be_the_highest() -> None:
    z, y = column(100.0, 2.0, 1.0, -2.0), column(NAN, 0.0, 0.0, 0.0)
    for build in BUILDS:
        for loss in (BCE, TORCH_BCE):
            wrapped = build(loss, kind="multilabel")
            leaf = z.clone().requires_grad_()
            assert not wrapped.selected(z, y)[0, 0]
            wrapped(leaf, y).backward()
            assert leaf.grad.isfinite().all()
            assert leaf.grad[0, 0] == 0


def test_without_positives_the_stated_minimum_is_kept() -> None:
    z, y = column(3.0, 2.0, 1.0), torch.zeros(3, 1)
    for least in (0, 1, 2, 5):
        loss = NegativeRatioLoss(BCE, min_negatives=least)
        assert loss.selected(z, y).sum() == min(least, 3)
        assert loss.divisor(y) == min(least, 3)
    assert NegativeRatioLoss(BCE, min_negatives=0)(z, y) == 0.0


def test_the_background_class_holds_the_negatives() -> None:
    z = torch.zeros(6, 3)
    z[:, 2] = torch.arange(6.0)
    y = torch.tensor([1, 0, 0, 0, 0, 0])
    loss = NegativeRatioLoss(CE, ratio=2.0)
    expected = [True, False, False, False, True, True]
    assert loss.selected(z, y).tolist() == expected
    soft = nn.functional.one_hot(y, 3).float()
    assert loss.selected(z, soft).tolist() == expected
    other = NegativeRatioLoss(CE, ratio=2.0, background=1)
    assert other.selected(z, y).tolist() == [True] * 6
    every = SemiHardLoss(CE, low=0.0, high=0.9, background=None)
    assert every.selected(z, y).sum() == 5  # the hardest row of all is dropped


def test_the_hardest_negative_is_left_to_a_second_look() -> None:
    z, y = torch.arange(20.0)[:, None] - 10, torch.zeros(20, 1)
    y[0] = 1.0
    kept = SemiHardLoss(BCE, low=0.5, high=0.95).selected(z, y)[:, 0]
    values = BCE(z, y)[1:, 0].numpy()
    low, high = np.quantile(values, [0.5, 0.95])
    assert kept[0]
    np.testing.assert_array_equal(kept[1:], (values >= low) & (values <= high))
    assert not kept[-1]


def test_a_lone_negative_or_an_empty_band_keeps_one() -> None:
    for n in (1, 2):
        kept = SemiHardLoss(BCE, low=0.5, high=0.95).selected(
            column(*map(float, range(n))), torch.zeros(n, 1)
        )
        assert kept[:, 0].tolist() == [True, False][:n]


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("per", ["batch", "image", "label"])
def test_the_divisor_is_the_number_kept_and_joins_batches(build: type[Loss], per: str) -> None:
    loss = build(BCE, per=per)
    for seed in range(5):
        z, y = batch(7, 3, seed)
        kept = loss.selected(z, y).sum()
        assert loss.divisor(y) == kept
        total = build(BCE, per=per, reduction="sum")
        torch.testing.assert_close(loss(z, y) * loss.divisor(y), total(z, y))
        assert total.divisor(y) == 1


def test_the_divisor_of_classes_ranked_apart_is_the_number_kept() -> None:
    loss = OHEMLoss(CE, ratio=0.4, per="class")
    for seed in range(5):
        z, _ = batch(15, 6, seed)
        y = torch.randint(0, 4, (15,), generator=torch.Generator().manual_seed(seed))
        soft = nn.functional.one_hot(y, 6).float()
        assert loss.selected(z, y).sum() == loss.divisor(y) == loss.divisor(soft)
    assert loss.divisor(y[:0]) == 0


def test_ties_keep_the_number_stated() -> None:
    assert OHEMLoss(BCE, ratio=0.5).selected(torch.zeros(4, 2), torch.zeros(4, 2)).sum() == 4


def test_a_loss_of_torch_needs_its_kind_and_takes_bool_targets() -> None:
    z, y = batch(8, 2, 0, unknown=0.0)
    with pytest.raises(UsageError, match=r"`kind` must be given .* got None\. Name it"):
        OHEMLoss(TORCH_BCE)
    found = ohem_loss(z, y == 1, loss=TORCH_BCE, kind="multilabel")
    torch.testing.assert_close(found, ohem_loss(z, y, loss=BCE))


def test_selection_under_autocast_is_that_of_float32() -> None:
    z, y = (x.float() for x in batch(64, 3, 1))
    loss = OHEMLoss(TORCH_BCE, kind="multilabel")
    plain = loss.selected(z, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss.selected(z, y), plain)
        assert loss(z, y).dtype == torch.float32
    half = z.to(torch.bfloat16)
    assert torch.equal(loss.selected(half, y), loss.selected(half.float(), y))


def test_a_loss_that_is_not_finite_is_not_hidden() -> None:
    z, y = column(NAN, 1.0, 0.0, -1.0), torch.zeros(4, 1)
    assert ohem_loss(z, y, loss=BCE).isnan()


@pytest.mark.parametrize("build", BUILDS)
def test_there_is_no_way_back(build: type[Loss]) -> None:
    for inner in (BCE, CE):
        loss = build(inner)
        for ask in (
            loss.correction,
            loss.operating_point,
            lambda loss=loss: loss.posterior(torch.zeros(1, 2)),
        ):
            with pytest.raises(NotRecoverableError, match="Fit a calibrator"):
                ask()


@pytest.mark.parametrize("build", BUILDS)
def test_a_module_can_be_sent_to_another_process_and_says_its_settings(build: type[Loss]) -> None:
    loss = build(BCE, per="label")
    z, y = batch(6, 3, 2)
    again = pickle.loads(pickle.dumps(loss))  # noqa: S301  # what a spawned worker does
    assert torch.equal(again(z, y), loss(z, y))
    assert "per='label'" in repr(loss)
    assert "BCELoss" in repr(loss)


def test_gather_alone_in_one_process_changes_nothing() -> None:
    z, y = batch(9, 3, 3)
    loss = OHEMLoss(BCE, gather=True)
    assert torch.equal(loss(z, y), OHEMLoss(BCE)(z, y))
    assert "gather=True" in repr(loss)


def test_a_loss_inside_hears_of_the_epoch() -> None:
    from equipoise.losses import SPLCLoss
    from equipoise.training.remedy import start_epoch

    inner = SPLCLoss(reduction="none")
    start_epoch(OHEMLoss(inner), 3)
    assert inner.correcting


@pytest.mark.parametrize(
    ("build", "settings", "message"),
    [
        (OHEMLoss, {"ratio": 0.0}, r"`ratio` must lie in \(0, 1\], got 0\.0"),
        (OHEMLoss, {"ratio": 1.5}, r"`ratio` must lie in \(0, 1\], got 1\.5"),
        (OHEMLoss, {"min_kept": 0}, "`min_kept` must be at least 1, got 0"),
        (OHEMLoss, {"per": "class"}, "`per` must be one of 'batch', 'image', 'label', got 'class'"),
        (OHEMLoss, {"gather": True, "per": "image"}, "`gather` must be False where images"),
        (OHEMLoss, {"kind": "multi"}, "`kind` must be one of"),
        (OHEMLoss, {"reduction": "none"}, "`reduction` must be one of 'mean', 'sum', 'batchmean'"),
        (NegativeRatioLoss, {"ratio": -1.0}, "`ratio` must be finite and >= 0, got -1"),
        (NegativeRatioLoss, {"ratio": NAN}, "`ratio` must be finite and >= 0, got nan"),
        (NegativeRatioLoss, {"min_negatives": -1}, "`min_negatives` must be at least 0, got -1"),
        (SemiHardLoss, {"low": 0.9, "high": 0.5}, "`low and high` must be 0 <= low <= high"),
    ],
)
def test_settings_out_of_range_are_named(build: type, settings: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(BCE, **settings)


def test_losses_without_single_examples_are_refused() -> None:
    z, y = batch(5, 3, 4)
    wanted = r"`loss` must return one value per row or entry, got 'mean'. Build it"
    for reducing in (BCELoss(), TwoWayLoss()):
        with pytest.raises(UsageError, match=wanted):
            OHEMLoss(reducing)
    with pytest.raises(ShapeError, match=r"`loss` must return .* = \(5, 3\), got \(5,\)"):
        ohem_loss(z, y, loss=ZLPRLoss(reduction="none"))
    with pytest.raises(UsageError, match="`per` must be one of 'batch', got 'label'"):
        NegativeRatioLoss(CE, per="label")
