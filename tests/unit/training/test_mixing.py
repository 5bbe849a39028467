"""Mixup, CutMix and Remix: the weights they draw, what they blend, and what they refuse."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor

from equipoise import losses
from equipoise.data import pad_batch, padding_mask
from equipoise.errors import DataError, ShapeError, UsageError
from equipoise.models import LSTMClassifier
from equipoise.training.mixing import CutMix, Mixup, Remix
from equipoise.training.remedy import Mixing

NAN = float("nan")
COUNTS = [900, 300, 90, 10]
CLASSES = torch.arange(240) % 4
ALL = [Mixup(1.0, num_classes=4), CutMix(1.0, num_classes=4), Remix(1.0, COUNTS)]
every_mixing = pytest.mark.parametrize("mix", ALL, ids=lambda mix: type(mix).__name__)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered_images(n: int = 240, height: int = 9, width: int = 14) -> Tensor:
    """Row i is i everywhere, so that a blend tells its partner and its weight."""
    return torch.arange(n, dtype=torch.float64)[:, None, None, None].expand(n, 3, height, width)


def weights_of(mix: Mixup, n: int = 4000) -> tuple[Tensor, Tensor]:
    """Rows against one another: the weight of a row where its partner is of the other half."""
    x = (torch.arange(n) % 2).double()[:, None]
    blend, soft = mix(x, (torch.arange(n) % 2), seeded())
    own = soft[torch.arange(n), torch.arange(n) % 2]
    return own[own < 1], blend


@every_mixing
def test_the_slot_of_a_remedy_takes_it(mix: Mixing) -> None:
    assert isinstance(mix, Mixing)


@every_mixing
def test_same_state_same_result_and_nothing_else_is_touched(mix: Mixing) -> None:
    x, before = numbered_images().clone(), torch.random.get_rng_state()
    numpy_before = copy.deepcopy(np.random.get_state()[1])  # noqa: NPY002
    given_x, given_y = x.clone(), CLASSES.clone()
    first, again, other = (mix(x, CLASSES, seeded(s)) for s in (3, 3, 4))
    for a, b, c in zip(first, again, other, strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert (np.random.get_state()[1] == numpy_before).all()  # noqa: NPY002
    assert torch.equal(x, given_x)
    assert torch.equal(CLASSES, given_y)


@every_mixing
def test_the_generator_moves_on_by_one_number_whatever_is_asked(mix: Mixing) -> None:
    expected = seeded()
    torch.randint(2**63 - 1, (), generator=expected)
    settings = {"alpha": mix.alpha, "probability": 0.0}
    settings |= {"class_counts": COUNTS} if isinstance(mix, Remix) else {"num_classes": 4}
    for each in (mix, type(mix)(**settings)):
        for n in (0, 1, 5):
            used = seeded()
            x, y = each(numbered_images(n), CLASSES[:n], used)
            assert (x.shape, y.shape) == ((n, 3, 9, 14), (n, 4))
            assert torch.equal(used.get_state(), expected.get_state())


@every_mixing
def test_a_batch_that_is_left_alone_comes_as_it_is_with_soft_targets(mix: Mixing) -> None:
    shares = []
    half = type(mix)(1.0, COUNTS) if isinstance(mix, Remix) else type(mix)(1.0, num_classes=4)
    half = type(mix)(**{f: getattr(half, f) for f in half.__slots__} | {"probability": 0.3})
    x, hot = numbered_images(40), torch.nn.functional.one_hot(CLASSES[:40], 4).float()
    source = seeded()
    for _ in range(400):
        blend, soft = half(x, CLASSES[:40], source)
        assert torch.equal(blend, x) == torch.equal(soft, hot)
        shares.append(torch.equal(blend, x))
    assert np.mean(shares) == pytest.approx(0.7, abs=4 * math.sqrt(0.21 / 400))


@every_mixing
def test_targets_are_shares_that_sum_to_one(mix: Mixing) -> None:
    _, soft = mix(numbered_images(), CLASSES, seeded())
    assert soft.dtype == torch.float32
    torch.testing.assert_close(soft.sum(1), torch.ones(240))
    assert ((soft > 0).sum(1) <= 2).all()
    assert bool((soft >= 0).all())


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0, 8.0])
def test_weights_are_beta(alpha: float) -> None:
    own, _ = weights_of(Mixup(alpha, num_classes=2), n=20_000)
    own = own.double()
    assert bool(own.isfinite().all())
    variance = 1 / (4 * (2 * alpha + 1))
    # Weights of 1 look like rows whose partner is of their own class and are not counted.
    full = 0.0 if alpha > 0.1 else 0.5
    assert own.mean().item() == pytest.approx(0.5 - 0.5 * full, abs=0.25 if full else 0.01)
    if not full:
        assert own.var().item() == pytest.approx(variance, rel=0.05)


def test_one_weight_per_row_or_one_per_batch() -> None:
    by_row, _ = weights_of(Mixup(1.0, num_classes=2))
    by_batch, _ = weights_of(Mixup(1.0, num_classes=2, per_sample=False))
    assert len(by_row.unique()) > 1000
    assert len(by_batch.unique()) == 1


@pytest.mark.parametrize("per_sample", [True, False])
def test_inputs_and_targets_of_mixup_are_blended_by_one_weight(per_sample: bool) -> None:
    rows = torch.eye(50, dtype=torch.float64)
    x, y = Mixup(0.7, per_sample=per_sample)(rows, rows, seeded())
    assert torch.equal(x, y)
    partner = (x - torch.diag(x.diagonal())).argmax(1)
    alone = x.diagonal() == 1
    assert sorted(torch.where(alone, torch.arange(50), partner).tolist()) == list(range(50))


def test_mixup_takes_tables_images_and_bytes() -> None:
    y = CLASSES[:50]
    flat = torch.rand(50, 3 * 4 * 5, generator=seeded(1))
    table, soft = Mixup(num_classes=4)(flat, y, seeded())
    images, same = Mixup(num_classes=4)(flat.view(50, 3, 4, 5), y, seeded())
    assert torch.equal(images.flatten(1), table)
    assert torch.equal(soft, same)
    for dtype in (torch.float16, torch.bfloat16):
        assert Mixup(num_classes=4)(flat.to(dtype), y, seeded())[0].dtype == dtype
    whole = (flat * 255).round().to(torch.uint8)
    mixed, _ = Mixup(num_classes=4)(whole, y, seeded())
    assert mixed.dtype == torch.uint8
    exact, _ = Mixup(num_classes=4)(whole.float(), y, seeded())
    assert (mixed.float() - exact).abs().max() <= 0.5


def test_entries_on_which_partners_agree_stay_exactly_as_they_are() -> None:
    y = torch.tensor([[1.0, 0.0, 1.0]] * 200)
    x, soft = Mixup()(torch.full((200, 1), 0.3), y, seeded())
    assert torch.equal(soft, y)
    assert torch.equal(x, torch.full((200, 1), 0.3))


def slow_labels(own: float, other: float, weight: float) -> float:
    if weight == 1:
        return own
    if weight == 0:
        return other
    return weight * own + (1 - weight) * other


@given(st.integers(0, 2**32), st.sampled_from([0.01, 0.3, 1.0]))
def test_an_entry_is_unknown_where_a_partner_with_weight_is(seed: int, alpha: float) -> None:
    random = np.random.default_rng(seed)
    y = torch.from_numpy(random.choice([0.0, 1.0, NAN], (12, 3)))
    marks = torch.eye(12, dtype=torch.float64)
    marked, soft = Mixup(alpha)(marks, y, seeded(seed))
    for i, row in enumerate(marked):
        weight = row[i].item()
        partner = int((row - row * marks[i]).argmax()) if weight < 1 else i
        for label in range(3):
            slow = slow_labels(y[i, label].item(), y[partner, label].item(), weight)
            assert soft[i, label].item() == pytest.approx(slow, nan_ok=True)


def test_bool_labels_and_soft_classes_are_taken() -> None:
    hot = torch.tensor([[True, False], [False, True]] * 10)
    x = torch.rand(20, 2)
    _, from_bool = Mixup()(x, hot, seeded())
    _, from_float = Mixup()(x, hot.float(), seeded())
    _, from_index = Mixup(num_classes=2)(x, hot.float().argmax(1), seeded())
    assert torch.equal(from_bool, from_float)
    assert torch.equal(from_index, from_float)
    assert Mixup()(x, hot.double(), seeded())[1].dtype == torch.float64


def test_a_blend_of_sequences_is_as_long_as_the_longer() -> None:
    lengths = [1, 2, 5, 7, 3, 4]
    items = [(torch.full((n, 2), float(n)), torch.tensor([float(n)])) for n in lengths]
    (x, steps), _ = pad_batch(items, padding=NAN)
    marks = torch.eye(6)
    (mixed, new), soft = Mixup(1.0)((x, steps), marks, seeded(5))
    for i, row in enumerate(soft):
        partner = int((row - row * marks[i]).argmax()) if row[i] < 1 else i
        assert int(new[i]) == max(lengths[i], lengths[partner])
        for step in range(7):
            expected = row[i].item() * lengths[i] * (step < lengths[i])
            if partner != i:
                expected += row[partner].item() * lengths[partner] * (step < lengths[partner])
            assert mixed[i, step].tolist() == pytest.approx([expected] * 2, abs=1e-5)
    masked, mask = Mixup(1.0)((x, padding_mask(steps)), marks, seeded(5))[0]
    assert torch.equal(masked, mixed)
    assert torch.equal(mask, padding_mask(new, 7))
    assert LSTMClassifier(2, 3)((mixed, new)).isfinite().all()


def test_a_partner_without_weight_does_not_lengthen() -> None:
    lengths = torch.tensor([1, 5])
    x = padding_mask(lengths).float()[..., None]
    seen = set()
    for seed in range(200):
        (_, new), soft = Mixup(0.01)((x, lengths), torch.eye(2), seeded(seed))
        expected = [5 if row[1] > 0 else 1 for row in soft]
        assert new.tolist() == expected
        seen.add(tuple(expected))
    assert seen == {(1, 5), (5, 1), (5, 5), (1, 1)}


@pytest.mark.parametrize("per_sample", [True, False])
@pytest.mark.parametrize("size", [(8, 8), (9, 14), (1, 5)])
def test_cutmix_weighs_by_the_pixels_that_stayed(per_sample: bool, size: tuple[int, int]) -> None:
    x, marks = numbered_images(60, *size), torch.eye(60, dtype=torch.float64)
    mixed, soft = CutMix(1.0, per_sample=per_sample)(x, marks, seeded())
    boxes = set()
    for i, (image, row) in enumerate(zip(mixed, soft, strict=True)):
        foreign = (image != i).all(0)
        assert torch.equal(foreign, (image != i).any(0))
        assert row[i].item() == pytest.approx(1 - foreign.double().mean().item(), abs=1e-12)
        if foreign.any():
            partner = int(image[:, foreign][0, 0])
            assert (image[:, foreign] == partner).all()
            assert row[partner].item() == pytest.approx(foreign.double().mean().item())
            down, across = foreign.nonzero().amin(0), foreign.nonzero().amax(0) + 1
            assert foreign[down[0] : across[0], down[1] : across[1]].all()
            boxes.add((*down.tolist(), *across.tolist()))
    assert (len(boxes) <= 1) == (not per_sample) or size == (1, 5)


def test_boxes_reach_every_border_and_have_the_sides_asked_for() -> None:
    x, marks = numbered_images(4000, 10, 20), torch.arange(4000) % 2
    mixed, _ = CutMix(1.0, num_classes=2)(x, marks, seeded())
    foreign = (mixed != x)[:, 0].double()
    # Centres are uniform and boxes are cut at borders, so all pixels are cut out, middles more.
    share = foreign.mean(0)
    assert share.min() > 0.1
    assert share[5, 10] > share[0, 0]
    # Without clipping the mean share of a uniform lambda were 1/2, a little less by rounding.
    assert 0.25 < foreign.mean() < 0.5
    whole = foreign.flatten(1).sum(1)
    inner = foreign[:, 0].sum(1) + foreign[:, -1].sum(1) + foreign[:, :, 0].sum(1)
    inner = (inner + foreign[:, :, -1].sum(1) == 0) & (whole > 0)
    down, across = foreign.amax(2).sum(1)[inner], foreign.amax(1).sum(1)[inner]
    assert ((across / 2 - down).abs() <= 1).all()


def test_cutmix_keeps_pixels_bit_for_bit() -> None:
    x = torch.randint(0, 256, (30, 3, 8, 8), generator=seeded(1), dtype=torch.uint8)
    mixed, _ = CutMix(num_classes=4)(x, CLASSES[:30], seeded())
    assert mixed.dtype == torch.uint8
    assert set(mixed.unique().tolist()) <= set(x.unique().tolist())


def slow_remix(weight: float, own: float, other: float, kappa: float, tau: float) -> float:
    if own / other >= kappa and weight < tau:
        return 0.0
    if own / other <= 1 / kappa and 1 - weight < tau:
        return 1.0
    return weight


@pytest.mark.parametrize(("kappa", "tau"), [(3.0, 0.5), (9.5, 0.8), (1.5, 0.0), (2.0, 1.0)])
@pytest.mark.parametrize("per_sample", [True, False])
def test_remix_is_its_rule_row_by_row(kappa: float, tau: float, per_sample: bool) -> None:
    x = torch.eye(240, dtype=torch.float64)
    mix = Remix(1.0, COUNTS, kappa, tau, per_sample=per_sample)
    mixed, soft = mix(x, CLASSES, seeded())
    changed = 0
    for i, row in enumerate(mixed):
        weight = row[i].item()
        partner = int((row - row * x[i]).argmax()) if weight < 1 else i
        own, other = COUNTS[CLASSES[i]], COUNTS[CLASSES[partner]]
        share = slow_remix(weight, own, other, kappa, tau)
        expected = torch.zeros(4)
        expected[CLASSES[i]] += share
        expected[CLASSES[partner]] += 1 - share
        torch.testing.assert_close(soft[i], expected)
        changed += share != weight
    assert (changed > 0) == (tau > 0)


def test_remix_with_tau_zero_is_mixup() -> None:
    x = torch.rand(240, 3, generator=seeded(1))
    for a, b in zip(
        Remix(0.4, COUNTS, threshold=0.0)(x, CLASSES, seeded()),
        Mixup(0.4, num_classes=4)(x, CLASSES, seeded()),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_remix_raises_the_share_of_rare_classes() -> None:
    x, y = torch.rand(4000, 1), torch.arange(4000) % 4
    _, plain = Mixup(1.0, num_classes=4)(x, y, seeded())
    _, raised = Remix(1.0, COUNTS)(x, y, seeded())
    difference = raised.mean(0) - plain.mean(0)
    assert difference[3] > 0.02
    assert difference[0] < -0.02


def test_counts_of_remix_may_hold_a_class_that_never_came() -> None:
    _, soft = Remix(1.0, [5, 0, 5])(torch.rand(10, 1), torch.zeros(10, dtype=torch.long), seeded())
    torch.testing.assert_close(soft, torch.tensor([[1.0, 0.0, 0.0]] * 10))


def test_the_loss_of_a_blend_is_the_blend_of_losses() -> None:
    marks, logits = torch.eye(40), torch.randn(40, 4, generator=seeded(1))
    hot = torch.randint(0, 2, (40, 4), generator=seeded(2)).float()
    weights, _ = Mixup(1.0)(marks, marks, seeded())
    _, soft = Mixup(1.0)(marks, hot, seeded())
    loss = losses.AsymmetricLoss(reduction="none")
    by_row = torch.stack([loss(logits, row.expand_as(hot)) for row in hot])
    expected = torch.einsum("ij,jil->il", weights, by_row)
    torch.testing.assert_close(loss(logits, soft), expected)


def test_settings_out_of_range_are_named() -> None:
    for alpha in (0.0, -1.0, NAN, math.inf):
        with pytest.raises(UsageError, match="`alpha` must be > 0"):
            Mixup(alpha)
    with pytest.raises(UsageError, match=r"`probability` must lie in \[0, 1\], got 1.5"):
        CutMix(1.0, probability=1.5)
    with pytest.raises(UsageError, match="`num_classes` must be a whole number >= 2, got 1"):
        Mixup(1.0, num_classes=1)
    with pytest.raises(UsageError, match=r"`ratio` must be > 1, got 1.0"):
        Remix(1.0, COUNTS, ratio=1.0)
    with pytest.raises(UsageError, match=r"`threshold` must lie in \[0, 1\]"):
        Remix(1.0, COUNTS, threshold=-0.1)
    with pytest.raises(DataError, match=r"`class_counts` must be >= 0, got -1.0"):
        Remix(1.0, [5, -1])
    with pytest.raises(DataError, match="`class_counts` must be finite"):
        Remix(1.0, [5, NAN])
    assert Remix(1.0, np.array(COUNTS)) == Remix(1.0, COUNTS)
    assert Remix(1.0, COUNTS).num_classes == 4


def test_inputs_that_cannot_be_blended_are_named() -> None:
    x, y = torch.rand(4, 3), torch.tensor([0, 1, 0, 1])
    mix = Mixup(num_classes=2)
    with pytest.raises(DataError, match=r"`x` must be floating or uint8, got torch.int64"):
        mix(x.long(), y, seeded())
    with pytest.raises(DataError, match="`x` must be a tensor, or a pair with lengths or mask"):
        mix({"x": x}, y, seeded())
    with pytest.raises(ShapeError, match=r"`x` must be \(N, T, ...\) with lengths \(N,\) or a m"):
        mix((x, x), y, seeded())
    with pytest.raises(ShapeError, match="`lengths or mask` must be for 4 rows of 3 steps"):
        mix((x, torch.ones(4, 2, dtype=torch.bool)), y, seeded())
    with pytest.raises(DataError, match=r"`x` must be images \(N, C, H, W\), got shape \(4, 3\)"):
        CutMix(num_classes=2)(x, y, seeded())
    with pytest.raises(DataError, match=r"got tuple\. Cutting needs two axes"):
        CutMix(num_classes=2)((x, y), y, seeded())  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="`target` must have one row per input, 4, got 3"):
        mix(x, y[:3], seeded())


@pytest.mark.parametrize("mark", [-1.0, -100.0, float("nan")])
def test_unknown_labels_are_never_blended(mark: float) -> None:
    x, y = torch.rand(64, 3), torch.tensor([[1.0, 0.0], [mark, 1.0]] * 32)
    _, mixed = Mixup(0.4)(x, y, seeded())
    _, expected = Mixup(0.4)(x, torch.where(y < 0, torch.nan, y), seeded())
    torch.testing.assert_close(mixed, expected, equal_nan=True, rtol=0, atol=0)
    known = ~mixed.isnan()
    assert ((mixed[known] >= 0) & (mixed[known] <= 1)).all()
    assert 0 < int((~known).sum()) < len(mixed)


def test_a_row_of_unknown_class_blends_into_an_unknown_row() -> None:
    x, y = torch.rand(64, 3), torch.tensor([0, -100, 1, 1] * 16)
    for mix in (Mixup(0.4, num_classes=3), Remix(0.4, COUNTS)):
        _, mixed = mix(x, y, seeded())
        unknown = mixed.isnan().all(1)
        assert torch.equal(unknown, mixed.isnan().any(1))
        assert int(unknown.sum()) >= 16
        torch.testing.assert_close(mixed[~unknown].sum(1), torch.ones(int((~unknown).sum())))


def test_targets_that_cannot_be_blended_are_named() -> None:
    x, y = torch.rand(4, 3), torch.tensor([0, 1, 0, 1])
    with pytest.raises(UsageError, match=r"`num_classes` must be given .* E.g. Mixup\(1.0, num_c"):
        Mixup()(x, y, seeded())
    for wrong, value in ((y + 1, 2), (y - 1, -1)):
        with pytest.raises(DataError, match=f"lie in 0 to C - 1 = 1, .* got {value} and 1 more"):
            Mixup(num_classes=2)(x, wrong, seeded())
    with pytest.raises(DataError, match=r"`target` must be classes or labels, .* unknown NaN"):
        Mixup()(x, torch.ones(4, 2, dtype=torch.long), seeded())
    with pytest.raises(ShapeError, match=r"`target` must have shape \(N, C\) = \(4, 2\)"):
        Mixup(num_classes=2)(x, torch.rand(4, 3), seeded())
    for labels in (torch.rand(4, 4), torch.ones(4, 4, dtype=torch.bool)):
        with pytest.raises(DataError, match="has no one count to compare; take Mixup"):
            Remix(1.0, COUNTS)(x, labels, seeded())


@pytest.mark.gpu
@every_mixing
def test_a_gpu_gets_what_the_cpu_gets(mix: Mixing) -> None:
    x = numbered_images().float()
    there = mix(x.cuda(), CLASSES.cuda(), seeded())
    for a, b in zip(mix(x, CLASSES, seeded()), there, strict=True):
        torch.testing.assert_close(b.cpu(), a)
        assert b.is_cuda
    with pytest.raises(UsageError, match="`generator` must be on the CPU, got cuda"):
        mix(x.cuda(), CLASSES.cuda(), torch.Generator("cuda"))
