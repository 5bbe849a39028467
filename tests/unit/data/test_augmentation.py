"""Augmentation: every row its own draw, by the seed alone, on the scale that came in."""

from __future__ import annotations

import pickle
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import DataLoader

from equipoise.artifacts import Labels, Split, TrainingRows
from equipoise.data import (
    AUGMENTATIONS,
    ArrayDataset,
    Augmentation,
    Augmenter,
    CopiesDataset,
    augmentation as module,
)
from equipoise.data._augment_steps import OPERATIONS, _operations
from equipoise.errors import DataError, MissingExtraError, UsageError
from equipoise.sampling.resample import random_oversample

EVERYTHING = Augmentation(
    crop_padding=2,
    horizontal_flip=0.5,
    vertical_flip=0.5,
    rotation=20.0,
    translation=0.1,
    brightness=0.3,
    contrast=0.3,
    saturation=0.3,
    hue=0.1,
    operations=2,
    erasing=0.5,
)
ON = {name: Augmentation.preset(name) for name in AUGMENTATIONS if name != "none"}
ON["everything"] = EVERYTHING
every_setting = pytest.mark.parametrize("settings", ON.values(), ids=ON)


def pictures(n: int = 8, channels: int = 3, height: int = 16, width: int = 12) -> Tensor:
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(5))


@every_setting
def test_equal_rows_of_a_batch_come_out_different(settings: Augmentation) -> None:
    augment, one = settings.build(), pictures(1)
    out = augment(one.expand(6, -1, -1, -1), 0)
    different = {row.numpy().tobytes() for row in out}
    assert len(different) >= 5


@every_setting
def test_the_seed_decides_and_the_global_state_is_as_before(settings: Augmentation) -> None:
    x, augment = pictures(), settings.build()
    given = x.clone()
    torch.manual_seed(11)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    first = augment(x, 3)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert random.getstate() == before[2]
    torch.manual_seed(12)
    augment(x, 4)
    assert torch.equal(augment(x, 3), first)
    assert torch.equal(settings.build()(x, 3), first)
    assert not torch.equal(augment(x, 4), first)
    assert torch.equal(x, given)


@every_setting
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_dtype_and_range_stay(settings: Augmentation, channels: int) -> None:
    fitting = settings if channels == 3 else replace(settings, saturation=0.0, hue=0.0)
    augment, x = fitting.build(), pictures(channels=channels)
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        out = augment(x.to(dtype), 0)
        assert (out.shape, out.dtype) == (x.shape, dtype)
        assert out.min() >= -1e-6
        assert out.max() <= 1 + 1e-6
        assert not out.requires_grad
    assert augment(x[:0], 0).shape == x[:0].shape


@every_setting
def test_bytes_are_augmented_as_floats_and_rounded(settings: Augmentation) -> None:
    whole = (pictures() * 255).round().to(torch.uint8)
    out = settings.build()(whole, 2)
    assert out.dtype == torch.uint8
    exact = settings.build()(whole.float() / 255, 2) * 255
    assert (out.float() - exact).abs().max() <= 0.5 + 1e-3


@every_setting
def test_normalised_images_are_augmented_as_they_were_before(settings: Augmentation) -> None:
    x, mean, std = pictures(), (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
    middle, width = (torch.tensor(v)[:, None, None] for v in (mean, std))
    out = replace(settings, mean=mean, std=std).build()((x - middle) / width, 1)
    plain = (settings.build()(x, 1) - middle) / width
    # Steps by which a tiny difference becomes a visible one are rare.
    assert ((out - plain).abs() < 1e-4).float().mean() > 0.98


@every_setting
def test_one_image_is_a_batch_of_one(settings: Augmentation) -> None:
    x, augment = pictures(1), settings.build()
    assert torch.equal(augment(x[0], 9), augment(x, 9)[0])


def test_nothing_is_done_where_nothing_is_on_or_in_eval_mode() -> None:
    x = pictures()
    assert Augmentation.preset("none").build()(x, 0) is x
    assert Augmentation(fill=0.5, border="edge").build()(x, 0) is x
    assert EVERYTHING.build().eval()(x, 0) is x


def test_flips_are_flips() -> None:
    x = pictures()
    assert torch.equal(Augmentation(horizontal_flip=1.0).build()(x, 0), x.flip(3))
    assert torch.equal(Augmentation(vertical_flip=1.0).build()(x, 0), x.flip(2))
    half = Augmentation(horizontal_flip=0.5).build()(pictures(1).expand(400, -1, -1, -1), 0)
    share = (half == pictures(1)).all(3).all(2).all(1).float().mean()
    assert share.item() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("border", "mode"), [("constant", "constant"), ("reflect", "reflect"), ("edge", "replicate")]
)
def test_crops_are_windows_of_the_padded_image(border: Any, mode: str) -> None:
    x = pictures(60)
    out = Augmentation(crop_padding=3, border=border, fill=0.25).build()(x, 0)
    fill = 0.25 if mode == "constant" else None
    wider = pad(x, [3, 3, 3, 3], mode=mode, value=fill)
    seen = set()
    for row, padded in zip(out, wider, strict=True):
        places = [
            (top, left)
            for top in range(7)
            for left in range(7)
            if torch.equal(padded[:, top : top + 16, left : left + 12], row)
        ]
        assert places
        seen.add(places[0])
    assert len(seen) > 25
    assert {top for top, _ in seen} == {left for _, left in seen} == set(range(7))


def test_crops_follow_the_size_of_the_batch() -> None:
    augment = Augmentation(crop_padding=2).build()
    for height, width in ((8, 8), (5, 9), (8, 8)):
        assert augment(pictures(2, 3, height, width), 0).shape == (2, 3, height, width)
    with pytest.raises(DataError, match=r"`x` must be larger than crop_padding = 9, got \(16, 9\)"):
        Augmentation(crop_padding=9, border="reflect").build()(pictures(1, 3, 16, 9), 0)


@pytest.mark.parametrize("fill", [0.0, 0.25, 1.0])
def test_what_comes_in_from_outside_is_the_fill(fill: float) -> None:
    flat = torch.full((20, 3, 16, 16), fill)
    moved = Augmentation(rotation=45.0, translation=0.4, fill=fill).build()
    torch.testing.assert_close(moved(flat, 0), flat)
    other = moved(torch.full((20, 3, 16, 16), 0.6), 0)
    assert (other - fill).abs().min() < 1e-6
    for border in ("reflect", "edge"):
        inside = Augmentation(rotation=45.0, translation=0.4, border=border).build()  # type: ignore[arg-type]
        torch.testing.assert_close(inside(torch.full((20, 3, 16, 16), 0.6), 0), other * 0 + 0.6)


def test_translations_stay_within_their_share() -> None:
    x = torch.zeros(200, 1, 20, 10)
    x[:, :, 10, 5] = 1.0
    out = Augmentation(translation=0.2).build()(x, 0)[:, 0]
    places = out.flatten(1).argmax(1)
    down, across = places // 10 - 10, places % 10 - 5
    assert down.abs().max() == 4
    assert across.abs().max() == 2
    assert len(down.unique()) == 9


def test_rotations_turn_either_way_about_the_middle() -> None:
    x = torch.zeros(200, 1, 21, 21)
    x[:, :, 10, 20] = 1.0
    out = Augmentation(rotation=30.0).build()(x, 0)[:, 0]
    down = out.flatten(1).argmax(1) // 21 - 10
    assert down.min() == -5
    assert down.max() == 5


def test_brightness_contrast_and_saturation_are_the_factors_they_say() -> None:
    x = 0.2 + 0.3 * pictures(50)
    bright = Augmentation(brightness=0.5).build()(x, 0) / x
    factor = bright.flatten(1).mean(1)
    torch.testing.assert_close(bright, factor[:, None, None, None].expand_as(x))
    assert 0.5 <= factor.min() < 0.6
    assert 1.4 < factor.max() <= 1.5
    grey = x[:, :1]
    middle = grey.mean((1, 2, 3), keepdim=True)
    spread = (Augmentation(contrast=0.5).build()(grey, 0) - middle).flatten(1).std(1)
    ratio = spread / (grey - middle).flatten(1).std(1)
    assert 0.5 <= ratio.min() < 0.6
    assert 1.4 < ratio.max() <= 1.5
    alike = grey.expand(-1, 3, -1, -1)
    torch.testing.assert_close(Augmentation(saturation=1.0).build()(alike, 0), alike)


def test_erased_boxes_have_the_fill_and_their_share() -> None:
    x = 0.3 + 0.1 * pictures(300, height=32, width=32)
    out = Augmentation(erasing=0.4, fill=0.75).build()(x, 0)
    gone = (out != x).all(1)
    assert (out.movedim(1, -1)[gone] == 0.75).all()
    share = gone.flatten(1).float().mean(1)
    assert (share > 0).float().mean().item() == pytest.approx(0.4, abs=0.1)
    assert share.max() < 0.36
    assert share[share > 0].min() > 0.01


def test_each_operation_does_what_its_name_says() -> None:
    import kornia.augmentation as kornia

    torch.manual_seed(0)
    made = dict(zip(OPERATIONS, _operations(kornia, Augmentation(magnitude=15.0)), strict=True))
    x, same = 0.2 + 0.5 * pictures(64), {"identity"}
    for name, operation in made.items():
        out = operation(x.clone())
        assert out.shape == x.shape
        assert torch.equal(out, x) == (name in same)
        assert 0 <= out.min() <= out.max() <= 1 + 1e-6
    assert torch.equal(made["color"](x[:, :1]), x[:, :1])
    stretched = made["auto_contrast"](x)
    torch.testing.assert_close(stretched.amin((2, 3)), torch.zeros(64, 3))
    torch.testing.assert_close(stretched.amax((2, 3)), torch.ones(64, 3), atol=1e-4, rtol=0)
    solarized = made["solarize"](x)
    assert (torch.isclose(solarized, x) | torch.isclose(solarized, 1 - x)).all()
    assert (solarized[x < 0.5] == x[x < 0.5]).all()
    posterized = made["posterize"](x)
    for row, before in zip(posterized, x, strict=True):
        # Eight bits are the image as it is.
        assert torch.equal(row, before) or len(row.unique()) <= 2**7
    assert min(len(row.unique()) for row in posterized) <= 2**6
    bright = (made["brightness"](x) / x).flatten(1).median(1).values
    assert 0.55 <= bright.min() < bright.max() <= 1.45
    line = torch.zeros(64, 1, 16, 16)
    line[:, :, 8] = 1.0
    # 10 pixels of 32 at full strength, so 2.5 of 16 at half.
    moved = made["translate_x"](line)[:, 0]
    assert (moved[:, 8].sum(1) >= 16 - 2.5 - 1e-4).all()
    assert (moved[:, 8].sum(1) < 15).any()
    assert moved.sum().item() == pytest.approx(moved[:, 8].sum().item())
    moved = made["translate_y"](line)[:, 0].sum(2)
    at = (moved * torch.arange(16)).sum(1) / moved.sum(1) - 8
    assert 2 < at.abs().max() <= 2.5 + 1e-4
    sheared = made["shear_x"](line.mT)[:, 0]
    assert (sheared[:, 7:9].argmax(2) - 8).abs().max() <= 1
    assert (sheared[:, 0].argmax(1) - 8).abs().max() in (1, 2)


def test_rows_draw_operations_of_their_own() -> None:
    x = pictures(1).expand(300, -1, -1, -1)
    out = Augmentation(operations=1, magnitude=30.0).build()(x, 0)
    share = (out == x).flatten(1).all(1).float().mean().item()
    # The identity alone leaves a row as it is: 1 of 14 operations.
    assert share == pytest.approx(1 / len(OPERATIONS), abs=0.05)
    twice = Augmentation(operations=2, magnitude=30.0).build()(x, 0)
    assert (twice == x).flatten(1).all(1).float().mean().item() < 0.04


def test_it_serves_copies_of_rows_also_in_other_processes() -> None:
    labels = Labels.from_array([0, 0, 0, 1], kind="multiclass")
    split = Split.from_parts(range(4), [], [], n_rows=4, seed=0, method="by hand")
    whole = ArrayDataset(pictures(4).numpy(), labels)
    after = random_oversample(TrainingRows.of(labels, split))
    copies = CopiesDataset(whole, after, Augmentation.preset("xray").build())
    here = torch.stack([copies[i][0] for i in range(6)])
    rare = here[torch.from_numpy(after.rows == 3)]
    assert len({row.numpy().tobytes() for row in rare}) == 3
    sent = pickle.loads(pickle.dumps(copies))  # noqa: S301
    assert torch.equal(torch.stack([sent[i][0] for i in range(6)]), here)
    loader = DataLoader(copies, batch_size=3, num_workers=1, multiprocessing_context="fork")
    assert torch.equal(torch.cat([x for x, _ in loader]), here)
    assert not pickle.loads(pickle.dumps(EVERYTHING.build().eval())).training  # noqa: S301


@pytest.mark.parametrize("error", [ImportError, RuntimeError])
def test_without_kornia_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(name: str) -> None:
        raise error(name)

    monkeypatch.setattr(module, "import_module", fail)
    with pytest.raises(MissingExtraError, match=r"`kornia`.*equipoise\[train\]"):
        Augmentation(horizontal_flip=0.5).build()
    assert isinstance(Augmentation().build(), Augmenter)


def test_presets_by_name() -> None:
    assert Augmentation.preset("none") == Augmentation()
    assert Augmentation.preset("xray").horizontal_flip == 0.0
    assert "operations=2" in repr(Augmentation.preset("randaugment").build())
    with pytest.raises(UsageError, match=r"`preset` must be one of 'none', 'cifar'.*Did you mean"):
        Augmentation.preset("xrays")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop_padding": -1}, "`crop_padding` must be a whole number >= 0, got -1"),
        ({"operations": 1.5}, "`operations` must be a whole number >= 0, got 1.5"),
        ({"horizontal_flip": 1.5}, r"`horizontal_flip` must lie in \[0, 1\], got 1.5"),
        ({"fill": -0.1}, r"`fill` must lie in \[0, 1\]"),
        ({"rotation": 200.0}, "`rotation` must be at most 180, got 200.0"),
        ({"hue": 0.6}, "`hue` must be at most 0.5"),
        ({"magnitude": 0.0}, "`magnitude` must be > 0"),
        ({"magnitude": 31.0}, "`magnitude` must be at most 30"),
        ({"border": "wrap"}, "`border` must be one of 'constant', 'reflect', 'edge'"),
        ({"mean": (0.5,)}, "`mean and std` must be given together"),
        ({"mean": (0.5,), "std": (1.0, 1.0)}, "`mean and std` must have one value per channel"),
        ({"mean": (0.5,), "std": (0.0,)}, "`std` must be > 0"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Augmentation(**settings)


@pytest.mark.parametrize(
    ("settings", "x", "message"),
    [
        ({}, pictures() * 255, r"`x` must lie in \[0, 1\], got .* Divide by 255"),
        ({}, pictures() - 0.5, "or say how it is normalised"),
        ({}, pictures() * float("nan"), r"`x` must lie in \[0, 1\], got nan to nan"),
        ({}, pictures()[0, 0], r"be images \(N, C, H, W\) or \(C, H, W\), got shape \(16, 12\)"),
        ({}, (pictures(), torch.ones(8)), "got tuple"),
        ({}, pictures().long(), "`x` must be floating or uint8, got torch.int64"),
        ({"hue": 0.1}, pictures(channels=1), "`x` must have 3 channels, got 1"),
        ({"operations": 1}, pictures(channels=2), "`x` must have 1 or 3 channels, got 2"),
        (
            {"mean": (0.5,), "std": (1.0,)},
            pictures(),
            "`x` must be floating with 1 channels, got 3 channels of torch.float32",
        ),
        (
            {"mean": (0.5,), "std": (1.0,)},
            pictures(channels=1).to(torch.uint8),
            "got 1 channels of torch.uint8",
        ),
    ],
)
def test_inputs_that_are_no_images_are_named(
    settings: dict[str, Any], x: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Augmentation(horizontal_flip=0.5, **settings).build()(x, 0)


@pytest.mark.gpu
@every_setting
def test_a_gpu_draws_what_the_cpu_draws(settings: Augmentation) -> None:
    before = torch.cuda.get_rng_state()
    augment, x = settings.build(), pictures(32)
    there = augment.cuda()(x.cuda(), 3)
    assert there.is_cuda
    assert ((there.cpu() - augment(x, 3)).abs() < 1e-3).float().mean() > 0.95
    assert torch.equal(torch.cuda.get_rng_state(), before)
