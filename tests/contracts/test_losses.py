"""The laws every loss obeys."""

from __future__ import annotations

import copy
import inspect
import itertools
import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from cases import CASES, NO_LOSS, NO_NEUTRAL, LossCase
from torch import Tensor
from torch.nn import functional

from equipoise import losses
from equipoise.errors import DataError, ShapeError, UsageError

NAN = float("nan")
REDUCTIONS = ["none", "mean", "sum", "batchmean"]
NOT_LINEAR = {
    "DistributionBalancedLoss",
    "NegativeRatioLoss",
    "OHEMLoss",
    "PairwiseAUCLoss",
    "SemiHardLoss",
    "SmoothAPLoss",
    "SoftFBetaLoss",
    "TwoWayLoss",
    "ZLPRLoss",
}
every_loss = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
every_label_loss = pytest.mark.parametrize(
    "case", [c for c in CASES if c.kind == "multilabel"], ids=lambda case: case.name
)
every_class_loss = pytest.mark.parametrize(
    "case", [c for c in CASES if c.kind == "multiclass"], ids=lambda case: case.name
)

every_loss_with_a_neutral = pytest.mark.parametrize(
    "case", [c for c in CASES if c.neutral is not None], ids=lambda case: case.name
)
every_smooth_loss = pytest.mark.parametrize(
    "case", [c for c in CASES if c.frozen is None], ids=lambda case: case.name
)
every_frozen_loss = pytest.mark.parametrize(
    "case", [c for c in CASES if c.frozen is not None], ids=lambda case: case.name
)
every_linear_loss = pytest.mark.parametrize(
    "case", [c for c in CASES if c.module.linear_in_target], ids=lambda case: case.name
)
every_curved_loss = pytest.mark.parametrize(
    "case", [c for c in CASES if not c.module.linear_in_target], ids=lambda case: case.name
)
every_batch_loss = pytest.mark.parametrize(
    "case", [c for c in CASES if c.unit == "batch"], ids=lambda case: case.name
)


def draw(
    case: LossCase, *lead: int, n: int = 12, dtype: torch.dtype = torch.float32, seed: int = 0
):
    g = torch.Generator().manual_seed(seed)
    logits = 3.0 * torch.randn(*lead, n, case.width, generator=g, dtype=dtype)
    if case.kind == "multiclass":
        return logits, torch.randint(0, case.width, (*lead, n), generator=g)
    target = torch.randint(0, 2, (*lead, n, case.width), generator=g).to(dtype)
    target[torch.rand(target.shape, generator=g) < 0.2] = NAN
    return logits, target


def unreduced(case: LossCase, logits: Tensor, target: Tensor) -> Tensor:
    """Return the loss of the smallest unit that the case has."""
    return case.function(logits, target, reduction=case.smallest, **case.settings)


def is_counted(case: LossCase, target: Tensor) -> Tensor:
    """Return which units a mean is over."""
    if case.counted is not None:
        return case.counted(target)
    known = ~target.isnan()
    return known if case.unit == "entry" else known.any(-1)


def gradient(case: LossCase, logits: Tensor, target: Tensor) -> Tensor:
    leaf = logits.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(case.build()(leaf, target), leaf)
    return found


def test_every_public_loss_has_a_row() -> None:
    covered = {c.module.__name__ for c in CASES} | {c.function.__name__ for c in CASES}
    assert set(losses.__all__) - NO_LOSS == covered


def test_every_module_of_the_package_is_public() -> None:
    def below(base: type) -> set[type]:
        found = set(base.__subclasses__())
        return found.union(*(below(c) for c in found))

    subclasses = {c for c in below(losses.Loss) if c.__module__.startswith("equipoise.")}
    assert {c.__name__ for c in subclasses} <= set(losses.__all__)


@every_loss
def test_two_tensors_then_keywords(case: LossCase) -> None:
    parameters = list(inspect.signature(case.function).parameters.values())
    assert [p.name for p in parameters[:2]] == ["logits", "target"]
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters[2:])
    assert parameters[-1].name == "reduction"


@every_loss
def test_only_what_a_module_cannot_do_without_comes_by_position(case: LossCase) -> None:
    parameters = inspect.signature(case.module).parameters.values()
    first = [p for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert len(first) <= 1
    assert all(p.default is p.empty for p in first)


@every_loss
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_module_is_its_function(case: LossCase, reduction: Any) -> None:
    logits, target = draw(case)
    if (case.unit, reduction) == ("batch", "none"):
        return  # refused: test_a_loss_of_the_batch_refuses_none
    by_function = case.function(logits, target, reduction=reduction, **case.settings)
    assert torch.equal(case.build(reduction=reduction)(logits, target), by_function)


@every_loss
def test_equals_the_slow_loop(case: LossCase) -> None:
    logits, target = draw(case, dtype=torch.float64)
    found = unreduced(case, logits, target)
    if case.unit == "batch":
        slow = case.oracle(logits.tolist(), target.tolist(), **case.settings)
        assert found.item() == pytest.approx(slow, rel=1e-6)
    elif case.unit in ("row", "label") or case.by_row:
        by_unit = (logits.T, target.T) if case.unit == "label" else (logits, target)
        for i, (z, y) in enumerate(zip(*by_unit, strict=True)):
            slow = case.oracle(z.tolist(), y.tolist(), **case.settings)
            assert found[i].tolist() == pytest.approx(slow, rel=1e-6)
    elif case.kind == "multiclass":
        for i, row in enumerate(logits.tolist()):
            slow = case.oracle(row, int(target[i]), **case.settings)
            assert found[i].item() == pytest.approx(slow, rel=1e-6)
    else:
        for (i, label), y in np.ndenumerate(target.numpy()):
            slow = (
                0.0 if y != y else case.oracle(logits[i, label].item(), y, label, **case.settings)
            )
            assert found[i, label].item() == pytest.approx(slow, rel=1e-6)


@every_loss
def test_none_reduced_by_hand_is_sum_and_mean(case: LossCase) -> None:
    logits, target = draw(case)
    if case.unit == "batch":
        assert_batch_reductions(case, logits, target)
        return
    values = unreduced(case, logits, target)
    torch.testing.assert_close(case.build(reduction="sum")(logits, target), values.sum())
    by_row = torch.tensor(len(target))
    if case.mean_weight is not None:
        divisor = case.settings[case.mean_weight][target].sum()
    elif case.kind == "multilabel":
        divisor = is_counted(case, target).sum()
        by_row = (~target.isnan()).any(-1).sum() if case.unit == "entry" else divisor
    else:
        divisor = by_row
    torch.testing.assert_close(case.build()(logits, target), values.sum() / divisor)
    by_batch = case.build(reduction="batchmean")(logits, target)
    torch.testing.assert_close(by_batch, values.sum() / by_row)


def assert_batch_reductions(case: LossCase, logits: Tensor, target: Tensor) -> None:
    mean = case.build()(logits, target)
    assert mean.shape == ()
    torch.testing.assert_close(case.build(reduction="batchmean")(logits, target), mean)
    assert case.build(reduction="sum")(logits, target) > mean


@every_batch_loss
def test_a_loss_of_the_batch_refuses_none(case: LossCase) -> None:
    logits, target = draw(case)
    wanted = "`reduction` must be one of 'mean', 'sum', 'batchmean', got 'none'"
    with pytest.raises(UsageError, match=wanted):
        case.function(logits, target, reduction="none", **case.settings)
    with pytest.raises(UsageError, match=wanted):
        case.build(reduction="none")


@every_loss_with_a_neutral
def test_neutral_settings_are_the_torch_baseline(case: LossCase) -> None:
    logits, target = draw(case)
    target = target.nan_to_num(0.0) if case.kind == "multilabel" else target
    found = case.function(logits, target, **case.neutral)
    if case.kind == "multiclass":
        expected = functional.cross_entropy(logits, target)
    else:
        expected = functional.binary_cross_entropy_with_logits(logits, target)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_only_these_have_no_neutral_setting() -> None:
    assert {c.name for c in CASES if c.neutral is None} == NO_NEUTRAL


@every_smooth_loss
def test_gradients_are_right(case: LossCase) -> None:
    logits, target = draw(case, n=4, dtype=torch.float64)
    loss = case.build(reduction=case.smallest).double()
    assert torch.autograd.gradcheck(lambda z: loss(z, target), logits.requires_grad_())


@every_loss
def test_second_derivatives_are_right(case: LossCase) -> None:
    logits, target = draw(case, n=4, dtype=torch.float64)
    loss = case.build(reduction=case.smallest).double()
    assert torch.autograd.gradgradcheck(lambda z: loss(z, target), logits.requires_grad_())


@every_frozen_loss
def test_gradients_leave_the_frozen_weight_alone(case: LossCase) -> None:
    logits, target = draw(case, n=4, dtype=torch.float64)
    target = target.nan_to_num(1.0)
    leaf = logits.clone().requires_grad_()
    slow = case.frozen(leaf, target, logits)
    assert torch.autograd.gradcheck(lambda z: case.frozen(z, target, logits), leaf)
    (expected,) = torch.autograd.grad(slow.mean(), leaf)
    torch.testing.assert_close(gradient(case, logits, target), expected)
    torch.testing.assert_close(unreduced(case, logits, target), slow.detach())


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("size", [100.0, 200.0])
def test_value_and_gradient_are_finite_at_saturation(
    case: LossCase, dtype: torch.dtype, size: float
) -> None:
    z = torch.full((2 * case.width, case.width), -size, dtype=dtype)
    z[range(case.width), range(case.width)] = size
    if case.kind == "multiclass":
        target = torch.arange(2 * case.width) % case.width
        target[: case.width // 2] = 0
    else:
        target = (torch.arange(z.numel()).reshape(z.shape) % 2).to(dtype)
    assert case.build()(z, target).isfinite()
    assert gradient(case, z, target).isfinite().all()


@every_loss
def test_wrong_saturated_rows_still_learn(case: LossCase) -> None:
    z = torch.full((1, case.width), -100.0)
    z[0, 0] = 100.0
    target = torch.tensor([1]) if case.kind == "multiclass" else torch.zeros_like(z)
    assert (gradient(case, z, target)[0, 0] > 1e-3) == case.learns_when_wrong


@every_loss
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_dtype_and_device_are_kept(case: LossCase, dtype: torch.dtype) -> None:
    logits, target = draw(case)
    for reduction in {case.smallest, "mean"}:
        found = case.build(reduction=reduction)(logits.to(dtype), target)
        assert found.dtype == dtype
        assert found.device == logits.device


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_is_computed_in_float32(case: LossCase, dtype: torch.dtype) -> None:
    logits, target = draw(case)
    rounded = logits.to(dtype)
    found = case.build(reduction=case.smallest).to(dtype)(rounded, target)
    torch.testing.assert_close(found, unreduced(case, rounded.float(), target).to(dtype))


@every_loss
def test_autocast_changes_nothing(case: LossCase) -> None:
    logits, target = draw(case)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = case.build()(logits, target)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, case.build()(logits, target))


@every_loss
def test_names_of_classes_do_not_matter(case: LossCase) -> None:
    logits, target = draw(case)
    order = torch.tensor([*range(1, case.width), 0])
    settings = dict(case.settings)
    for name in case.per_class:
        settings[name] = settings[name][order]
    if case.kind == "multiclass":
        moved = torch.argsort(order)[target]
        expected = unreduced(case, logits, target)
    else:
        moved = target[:, order]
        expected = unreduced(case, logits, target)
        if case.unit in ("entry", "label"):
            expected = expected[..., order]
    found = case.function(logits[:, order], moved, reduction=case.smallest, **settings)
    torch.testing.assert_close(found, expected)


@every_loss
def test_a_class_absent_from_the_batch_is_fine(case: LossCase) -> None:
    logits, target = draw(case)
    target = torch.zeros_like(target)
    assert case.build()(logits, target).isfinite()
    assert gradient(case, logits, target).isfinite().all()


@every_loss
def test_an_empty_batch_is_zero_with_a_graph(case: LossCase) -> None:
    logits, target = draw(case, n=0)
    found = case.build()(logits.requires_grad_(), target)
    assert found.item() == 0.0
    found.backward()
    assert logits.grad is not None


@every_loss
def test_inputs_are_not_mutated(case: LossCase) -> None:
    logits, target = draw(case)
    before = logits.clone(), target.clone()
    loss = case.build()
    state = copy.deepcopy(loss.state_dict())
    loss(logits.requires_grad_(), target).backward()
    assert torch.equal(logits.detach(), before[0])
    torch.testing.assert_close(target, before[1], equal_nan=True, rtol=0, atol=0)
    assert all(torch.equal(state[name], value) for name, value in loss.state_dict().items())


def built(case: LossCase) -> tuple[Any, ...]:
    """What decides which graph a loss has."""
    linear = case.module.linear_in_target
    return case.kind, case.unit, linear, case.frozen is None, bool(case.per_class)


# One loss of each build; the others are slow.
FIRST = {built(case): case.name for case in reversed(CASES)}
COMPILED = [
    pytest.param(case, id=case.name, marks=[pytest.mark.slow] * (FIRST[built(case)] != case.name))
    for case in CASES
]


@pytest.mark.parametrize("case", COMPILED)
def test_compiles_in_one_graph(case: LossCase) -> None:
    logits, target = draw(case)
    torch._dynamo.reset()
    compiled = torch.compile(case.build(), backend="aot_eager", fullgraph=True)
    leaf = logits.clone().requires_grad_()
    value = compiled(leaf, target)
    value.backward()
    torch.testing.assert_close(value.detach(), case.build()(logits, target))
    torch.testing.assert_close(leaf.grad, gradient(case, logits, target))


@every_loss
def test_copy_and_state_dict_round_trip(case: LossCase) -> None:
    logits, target = draw(case)
    loss = case.build()
    expected = loss(logits, target)
    assert torch.equal(copy.deepcopy(loss)(logits, target), expected)
    changed = {name: torch.linspace(0.1, 0.3, case.width).tolist() for name in case.per_class}
    other = case.build(**changed)
    other.load_state_dict(loss.state_dict())
    assert torch.equal(other(logits, target), expected)
    assert "reduction='mean'" in repr(loss)


@every_loss
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_leading_axes_are_a_loop_over_slices(case: LossCase, reduction: Any) -> None:
    if (case.unit, reduction) == ("batch", "none"):
        return  # refused: test_a_loss_of_the_batch_refuses_none
    logits, target = draw(case, 3, 2)
    loss = case.build(reduction=reduction)
    found = loss(logits, target)
    for i in range(3):
        for j in range(2):
            torch.testing.assert_close(found[i, j], loss(logits[i, j], target[i, j]))


@every_loss
def test_half_keeps_settings_in_float32(case: LossCase) -> None:
    loss = case.build().half()
    assert all(buffer.dtype == torch.float32 for buffer in loss.buffers())


@every_class_loss
def test_one_hot_targets_are_class_indices(case: LossCase) -> None:
    logits, target = draw(case)
    hot = functional.one_hot(target, case.width).float()
    torch.testing.assert_close(case.build()(logits, hot), case.build()(logits, target))


def two_targets(case: LossCase) -> tuple[Tensor, Tensor, Tensor]:
    """Logits and two float targets that are unknown in the same places."""
    logits, first = draw(case)
    if case.kind == "multiclass":
        first = functional.one_hot(first, case.width).float()
        return logits, first, first.roll(1, 0)
    second = draw(case, seed=1)[1].nan_to_num(0.0)
    return logits, first, second.masked_fill(first.isnan(), NAN)


@every_linear_loss
def test_mixed_targets_are_mixed_losses(case: LossCase) -> None:
    logits, first, second = two_targets(case)
    share = torch.linspace(0.0, 1.0, len(first))[:, None]
    found = unreduced(case, logits, share * first + (1.0 - share) * second)
    share = share if case.kind == "multilabel" else share[:, 0]
    expected = share * unreduced(case, logits, first)
    expected = expected + (1.0 - share) * unreduced(case, logits, second)
    torch.testing.assert_close(found, expected)


@every_curved_loss
def test_a_loss_that_is_said_not_to_be_linear_in_the_target_is_not(case: LossCase) -> None:
    logits, first, second = two_targets(case)
    # One share for all, so that it is a blend whatever unit the loss has.
    found = unreduced(case, logits, 0.3 * first + 0.7 * second)
    blend = 0.3 * unreduced(case, logits, first) + 0.7 * unreduced(case, logits, second)
    assert (found - blend).abs().max() > 0.02 * blend.abs().max()


def test_only_these_losses_are_not_linear_in_the_target() -> None:
    found = {c.module.__name__ for c in CASES if not c.module.linear_in_target}
    assert found == NOT_LINEAR


UNKNOWN = [NAN, -1.0, -100.0]
every_mark = pytest.mark.parametrize("mark", UNKNOWN)


@every_label_loss
@every_mark
def test_unknown_labels_are_one_thing_however_they_are_marked(case: LossCase, mark: float) -> None:
    logits, target = draw(case)
    marked = target.masked_fill(target.isnan(), mark)
    assert case.build()(logits, marked).item() == case.build()(logits, target).item()
    found = gradient(case, logits, marked)
    assert torch.equal(found, gradient(case, logits, target))
    assert (found[target.isnan()] == 0).all()
    assert case.build().divisor(marked) == case.build().divisor(target)
    # And what stands in the outputs there does not matter.
    moved = torch.where(target.isnan(), logits + 5.0, logits)
    torch.testing.assert_close(case.build()(moved, marked), case.build()(logits, target))


@every_label_loss
def test_a_target_is_unknown_compiled_and_mapped_as_well(case: LossCase) -> None:
    logits, target = draw(case, 2)
    marked = target.nan_to_num(-1.0)
    loss = case.build()
    each = torch.stack([loss(z, y) for z, y in zip(logits, target, strict=True)])
    torch.testing.assert_close(torch.func.vmap(loss)(logits, marked), each)


def test_the_mean_goes_over_known_entries() -> None:
    logits, target = torch.tensor([[-2.0, -2.0]]), torch.tensor([[1.0, -1.0]])
    assert losses.BCELoss()(logits, target).item() == pytest.approx(2.126928, abs=1e-6)
    assert losses.ZLPRLoss()(logits, target).item() == pytest.approx(2.126928, abs=1e-6)


def ignored(case: LossCase, target: Tensor, index: int) -> tuple[Tensor, Tensor]:
    """Return targets of which some rows are unknown, and which are known."""
    known = torch.rand(target.shape, generator=torch.Generator().manual_seed(3)) < 0.7
    return target.masked_fill(~known, index), known


@every_class_loss
@pytest.mark.parametrize("index", [-100, -1, 255, 2])
@pytest.mark.parametrize("reduction", ["mean", "sum", "batchmean"])
def test_ignored_classes_count_for_nothing(case: LossCase, index: int, reduction: Any) -> None:
    logits, target = draw(case, n=30)
    marked, known = ignored(case, target.masked_fill(target == index, 0), index)
    settings = dict(case.settings)
    options: dict[str, Any] = {"ignore_index": index}
    if "loss" in settings:  # a wrapper asks the loss that it wraps
        settings["loss"] = losses.CrossEntropyLoss(reduction="none", ignore_index=index)
        options = {}
    loss = case.module(**settings, **options, reduction=reduction)
    assert loss.ignore_index == index
    leaf = logits.clone().requires_grad_()
    value = loss(leaf, marked)
    torch.testing.assert_close(value, loss(logits[known], marked[known]))
    (found,) = torch.autograd.grad(value, leaf)
    assert (found[~known] == 0).all()
    assert (found[known] != 0).any()
    assert loss.divisor(marked) == loss.divisor(marked[known])


@every_class_loss
def test_no_known_class_is_zero_with_a_graph(case: LossCase) -> None:
    logits, target = draw(case)
    unknown = torch.full_like(target, -100)
    assert case.build()(logits, unknown).item() == 0.0
    assert (gradient(case, logits, unknown) == 0).all()
    mapped = torch.func.vmap(case.build())(logits[None], unknown[None])
    assert mapped.item() == 0.0


@every_class_loss
def test_shares_with_a_hole_are_an_unknown_row(case: LossCase) -> None:
    logits, target = draw(case)
    shares = torch.nn.functional.one_hot(target, case.width).float()
    holed = shares.clone()
    holed[3, 2] = NAN
    kept = [i for i in range(len(target)) if i != 3]
    torch.testing.assert_close(
        case.build()(logits, holed), case.build()(logits[kept], shares[kept])
    )
    assert (gradient(case, logits, holed)[3] == 0).all()


@every_class_loss
@pytest.mark.parametrize("wrong", [-1, 5])
def test_any_other_index_is_named(case: LossCase, wrong: int) -> None:
    logits, target = draw(case)
    target[2] = wrong
    wanted = (
        rf"`target` must lie in 0 to C - 1 = 4, or be ignore_index = -100, got {wrong}\. "
        "Give rows whose class is unknown that index, or leave them out"
    )
    with pytest.raises(DataError, match=wanted):
        case.build()(logits, target)


@pytest.mark.parametrize("normalizer", ["samples", "weights", "global"])
def test_a_mean_over_weights_leaves_unknown_rows_out(normalizer: Any) -> None:
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([0, -100, 1, 2, -100, 0])
    weight = [1.0, 2.0, 4.0]
    loss = losses.WeightedCrossEntropyLoss(weight, normalizer=normalizer)
    log_p, w = logits.log_softmax(-1), torch.tensor(weight)
    kept = [0, 2, 3, 5]
    total = sum(-w[target[i]] * log_p[i, target[i]] for i in kept)
    divisor = len(kept) if normalizer == "samples" else 1.0 + 2.0 + 4.0 + 1.0
    torch.testing.assert_close(loss(logits, target), total / divisor)
    assert loss.divisor(target) == divisor
    assert loss.weight_total(target) == 8.0


@every_label_loss
def test_a_row_without_known_labels_counts_for_nothing(case: LossCase) -> None:
    logits, target = draw(case)
    target[3] = NAN
    kept = [i for i in range(len(target)) if i != 3]
    torch.testing.assert_close(
        case.build()(logits, target), case.build()(logits[kept], target[kept])
    )
    assert (gradient(case, logits, target)[3] == 0).all()


@every_label_loss
def test_nothing_known_is_zero(case: LossCase) -> None:
    logits, target = draw(case)
    unknown = torch.full_like(target, NAN)
    assert case.build()(logits, unknown).item() == 0.0
    assert (gradient(case, logits, unknown) == 0).all()


@every_label_loss
def test_bool_targets_are_taken(case: LossCase) -> None:
    logits, target = draw(case)
    truth = target == 1
    torch.testing.assert_close(case.build()(logits, truth), case.build()(logits, truth.float()))


@every_label_loss
def test_integers_are_refused_so_minus_one_never_passes(case: LossCase) -> None:
    logits, target = draw(case)
    with pytest.raises(
        DataError, match=r"`target` must be floating or bool, got torch.int64. .*NaN"
    ):
        case.build()(logits, target.nan_to_num(-1.0).long())


@every_label_loss
def test_wrong_target_shape_is_named_for_labels(case: LossCase) -> None:
    logits, target = draw(case)
    with pytest.raises(ShapeError, match=r"`target` must have shape \(\.\.\., N, L\) = \(12, 4\)"):
        case.build()(logits, target[:, 0])


@every_class_loss
def test_wrong_target_shape_is_named_for_classes(case: LossCase) -> None:
    logits, target = draw(case)
    with pytest.raises(ShapeError, match=r"`target` must have shape .* = \(12,\), got \(11,\)"):
        case.build()(logits, target[1:])
    with pytest.raises(ShapeError, match=r"= \(12, 5\), got \(12,\)\. Float targets are class"):
        case.build()(logits, target.float())
    with pytest.raises(
        DataError, match=r"`target` must be int64 indices or float, got torch.int32"
    ):
        case.build()(logits, target.int())


@every_loss
def test_wrong_settings_are_named(case: LossCase) -> None:
    logits, target = draw(case)
    for name in case.per_class:
        settings = {**case.settings, name: case.settings[name][:-1]}
        wanted = rf"`{name}` must have shape \(C,\) = \({case.width},\), got \({case.width - 1},\)"
        with pytest.raises(ShapeError, match=wanted):
            case.function(logits, target, **settings)
        with pytest.raises(DataError, match=rf"`{name}` must be >= 0"):
            case.build(**{name: -torch.ones(case.width)})
    with pytest.raises(UsageError, match=r"`reduction` must be one of .*'mean', 'sum'"):
        case.build(reduction="average")
    with pytest.raises(DataError, match="`logits` must be floating"):
        case.function(logits.long(), target, **case.settings)
    with pytest.raises(ShapeError, match=r"`logits` must have shape \(\.\.\., N, "):
        case.function(logits[0], target, **case.settings)


def dense_layouts(case: LossCase) -> list[tuple[Tensor, Tensor, int]]:
    """Return the outputs and targets of 2 x 3 x 4 pixels with their classes on each axis."""
    logits, target = draw(case, n=24)
    if case.kind == "multiclass":
        target[::5] = -100
    made = []
    for shape in ((2, 3, 4), (6, 4), (24,)):
        z, y = logits.view(*shape, -1), target.view(*shape, *target.shape[1:])
        for axis in range(1, len(shape) + 1):
            moved = y if case.kind == "multiclass" else y.movedim(-1, axis)
            made.append((z.movedim(-1, axis).contiguous(), moved.contiguous(), axis))
    return made


def as_rows(case: LossCase, values: Tensor, axis: int) -> Tensor:
    """Return what "none" gives of dense outputs as that of rows."""
    if case.unit == "entry" and case.kind == "multilabel":
        return values.movedim(axis, -1).reshape(-1, case.width)
    return values if case.unit in ("label", "batch") else values.reshape(-1)


@every_loss
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_dense_is_flattened(case: LossCase, reduction: Any) -> None:
    """Values, gradients and divisors with a class_dim are those of the pixels as rows."""
    if (case.unit, reduction) == ("batch", "none"):
        return  # refused: test_a_loss_of_the_batch_refuses_none
    if case.module is losses.SmoothAPLoss:
        with pytest.raises(UsageError, match="`class_dim` must be -1, since all pairs of pixels"):
            case.build(class_dim=1)
        return
    rows, of_rows, _ = dense_layouts(case)[-1]
    leaf = rows.clone().requires_grad_()
    flat = case.build(reduction=reduction)
    expected = flat(leaf, of_rows)
    weights = torch.linspace(0.5, 2.0, expected.numel()).view(expected.shape)
    (slope,) = torch.autograd.grad((expected * weights).sum(), leaf)
    for logits, target, axis in dense_layouts(case):
        loss = case.build(reduction=reduction, class_dim=axis)
        own = logits.clone().requires_grad_()
        found = loss(own, target)
        if reduction == "none" and case.unit in ("entry", "row"):
            by_entry = case.unit == "entry" and case.kind == "multilabel"
            assert found.shape == (logits if by_entry else logits.select(axis, 0)).shape
        as_one = as_rows(case, found, axis) if reduction == "none" else found
        torch.testing.assert_close(as_one, expected)
        (got,) = torch.autograd.grad((as_one * weights).sum(), own)
        assert got.shape == logits.shape
        torch.testing.assert_close(got.movedim(axis, -1).reshape(-1, case.width), slope)
        with torch.no_grad():
            torch.testing.assert_close(loss(logits, target), found.detach())
        torch.testing.assert_close(loss.divisor(target), flat.divisor(of_rows))
        assert f"class_dim={axis}" in repr(loss)


@every_loss
def test_dense_takes_half_precision_empty_batches_and_graphs(case: LossCase) -> None:
    if case.module is losses.SmoothAPLoss:
        return
    logits, target, axis = dense_layouts(case)[0]
    loss = case.build(class_dim=axis)
    half = logits.bfloat16()
    assert loss(half, target).dtype == torch.bfloat16
    torch.testing.assert_close(loss(half, target), loss(half.float(), target).bfloat16())
    nothing = logits[:0].clone().requires_grad_()
    value = loss(nothing, target[:0])
    assert value.item() == 0.0
    value.backward()
    wide, twin = logits.double()[:1, :, :1, :2], case.build(class_dim=axis).double()
    some = target[:1, :1, :2] if case.kind == "multiclass" else target[:1, :, :1, :2]
    if case.frozen is None:
        assert torch.autograd.gradcheck(lambda z: twin(z, some), wide.requires_grad_())
    assert torch.autograd.gradgradcheck(lambda z: twin(z, some), wide.requires_grad_())


@every_loss
def test_a_dense_posterior_is_that_of_rows(case: LossCase) -> None:
    if case.module.exactness == "none" or case.width > 100:
        return
    logits, _, axis = dense_layouts(case)[0]
    found = case.build(class_dim=axis).posterior(logits)
    assert found.shape == logits.shape
    rows = logits.movedim(axis, -1).reshape(-1, case.width)
    expected = case.build().posterior(rows)
    torch.testing.assert_close(found.movedim(axis, -1).reshape(-1, case.width), expected)
    for dim in (1, 2, 3):
        loss = case.build(class_dim=dim)
        torch.testing.assert_close(
            loss.operating_point(case.width), case.build().operating_point(case.width)
        )


@every_loss
def test_dense_mistakes_are_named(case: LossCase) -> None:
    if case.module is losses.SmoothAPLoss:
        return
    logits, target, _ = dense_layouts(case)[0]
    loss = case.build(class_dim=1)
    with pytest.raises(ShapeError, match=r"`target` must have shape \(2, .*class_dim = 1, got"):
        loss(logits, target[..., :1])
    with pytest.raises(ShapeError, match="`logits` must have its classes or labels on axis"):
        case.build(class_dim=3)(logits[0], target[0])
    with pytest.raises(UsageError, match="`class_dim` must be -1 or at least 1, got 0"):
        case.build(class_dim=0)


@every_loss
def test_dense_compiles_and_maps(case: LossCase) -> None:
    if case.module is losses.SmoothAPLoss:
        return
    logits, target, axis = dense_layouts(case)[0]
    loss = case.build(class_dim=axis)
    mapped = torch.func.vmap(loss)(logits[None], target[None])
    torch.testing.assert_close(mapped[0], loss(logits, target))


def test_a_dense_weighted_cross_entropy_is_that_of_torch() -> None:
    g = torch.Generator().manual_seed(0)
    logits, weight = torch.randn(2, 5, 3, 4, generator=g), torch.rand(5, generator=g) + 0.5
    target = torch.randint(0, 5, (2, 3, 4), generator=g)
    target[0, 0] = -100
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss = losses.WeightedCrossEntropyLoss(weight, normalizer="weights", class_dim=1)
    expected = functional.cross_entropy(theirs, target, weight=weight)
    found = loss(ours, target)
    torch.testing.assert_close(found, expected)
    found.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_dense_cross_entropy_refuses_what_one_of_rows_refuses() -> None:
    logits, target = torch.randn(2, 3, 4), torch.randint(0, 3, (2, 4))
    dense = partial(losses.weighted_cross_entropy, logits, class_dim=1)
    with pytest.raises(ShapeError, match=r"`weight` must have shape \(C,\) = \(3,\), got \(4,\)"):
        dense(target, weight=torch.ones(4))
    with pytest.raises(UsageError, match="`normalizer` must be"):
        dense(target, weight=torch.ones(3), normalizer="row")
    with pytest.raises(DataError, match="`target`"):
        dense(target + 3, weight=torch.ones(3))


@pytest.mark.parametrize(
    "build",
    [
        losses.SoftmaxFocalLoss,
        losses.CrossEntropyLoss,
        partial(losses.WeightedCrossEntropyLoss, [0.5, 1.0, 3.0]),
    ],
)
def test_large_maps_are_taken_in_blocks(build: Any) -> None:
    """More entries than one block holds, in one image and over several."""
    g = torch.Generator().manual_seed(0)
    loss, flat = build(class_dim=1), build()
    for shape in ((2, 3, 300, 250), (700, 3, 90)):
        logits = torch.randn(shape, generator=g).requires_grad_()
        target = torch.randint(0, 3, (shape[0], *shape[2:]), generator=g)
        target[0, 0] = -100
        rows = logits.detach().movedim(1, -1).reshape(-1, 3).requires_grad_()
        found, expected = loss(logits, target), flat(rows, target.reshape(-1))
        torch.testing.assert_close(found, expected)
        found.backward()
        expected.backward()
        slope = logits.grad.movedim(1, -1).reshape(-1, 3)
        torch.testing.assert_close(slope, rows.grad)


@pytest.mark.parametrize(
    "made",
    sorted({c.module for c in CASES if c.module.kind == "multilabel"}, key=str),
    ids=lambda made: made.__name__,
)
def test_a_loss_of_labels_says_how_unknown_is_written(made: Any) -> None:
    with pytest.raises(UsageError, match=r"be left out for labels, got -100. Write NaN or -1"):
        made(ignore_index=-100)


NO_NUMBERS = ["1", b"x", [1.0, "a"], [[1.0]], {"a": 1}, object(), 1 + 2j, 10**400, (), math.nan]


@every_loss
def test_settings_of_a_wrong_kind_are_named(case: LossCase) -> None:
    """In the words of the library: Python's own name neither the setting nor a way out."""
    free = ("loss", "gather", "ignore_empty", "detach_focus", "detach_logits")
    names = [name for name in inspect.signature(case.module).parameters if name not in free]
    said = []
    for name, value in itertools.product(names, NO_NUMBERS):
        try:
            case.build(**{name: value})
        except (UsageError, DataError, ShapeError) as error:
            said.append(str(error))
    assert len(said) >= 2 * len(NO_NUMBERS) - 2  # class_dim and reduction, of every loss
    assert all("` must " in text for text in said)
    for wrong in (1.5, "1", None):
        with pytest.raises(UsageError, match="`class_dim` must be a whole number, got "):
            case.build(class_dim=wrong)
    if case.kind == "multiclass" and "ignore_index" in inspect.signature(case.module).parameters:
        with pytest.raises(UsageError, match=r"`ignore_index` must be a whole number, got 1\.5"):
            case.build(ignore_index=1.5)


@every_loss
def test_what_is_no_tensor_is_named(case: LossCase) -> None:
    logits, target = draw(case)
    record = type("Output", (), {"logits": logits})()
    loss = case.build()
    with pytest.raises(DataError, match=r"`logits` must be a tensor, got a Output\. .*logits\.log"):
        loss(record, target)
    with pytest.raises(DataError, match="`target` must be a tensor, got a list"):
        loss(logits, target.tolist())
