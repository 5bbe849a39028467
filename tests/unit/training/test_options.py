"""Options of training: what they refuse, and the learning rate that they make."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch

from equipoise import TrainingOptions
from equipoise.errors import NoEffectWarning, TrainingError, UsageError
from equipoise.training.faults import plain_faults, require_device
from equipoise.training.module import Rate


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "`epochs` must be a whole number >= 1, got 0"),
        ({"epochs": 2.5}, "`epochs` must be a whole number"),
        ({"batch_size": True}, "`batch_size` must be a whole number"),
        ({"patience": 0}, "`patience` must be a whole number >= 1"),
        ({"devices": 0}, "`devices` must be a whole number >= 1"),
        ({"num_workers": -1}, "`num_workers` must be a whole number >= 0"),
        ({"lr": -1.0}, "`lr` must"),
        ({"lr": math.nan}, "`lr` must"),
        ({"weight_decay": -1e-4}, "`weight_decay` must"),
        ({"clip": 0.0}, "`clip` must"),
        ({"momentum": 1.0}, r"`momentum` must lie in \[0, 1\)"),
        ({"factor": 0.0}, r"`factor` must lie in \(0, 1\]"),
        ({"ema": 1.0}, r"`ema` must lie in \(0, 1\).*0\.999"),
        ({"milestones": (0.9, 0.8)}, r"`milestones` must rise.*160 and 180"),
        ({"milestones": (160,)}, "`milestones` must rise between 0 and 1"),
        ({"warmup": 10.0}, "`warmup` must end before the 10 epochs do"),
        ({"optimizer": "adam"}, "`optimizer` must be .*adamw"),
        ({"schedule": "cosin"}, "`schedule` must be"),
        ({"precision": "16"}, "`precision` must be"),
        ({"trackers": ("tensorbord",)}, "`trackers` must be"),
    ],
)
def test_values_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TrainingOptions(**wrong)


def test_a_mapping_is_checked_for_keys_and_types() -> None:
    made = TrainingOptions.from_mapping(
        {
            "lr": 1,
            "schedule": "multistep",
            "milestones": [0.5],
            "devices": "auto",
            "clip": None,
            "ema": 0.9,
            "patience": 3,
        }
    )
    assert made == TrainingOptions(
        lr=1.0,
        schedule="multistep",
        milestones=(0.5,),
        devices="auto",
        clip=None,
        ema=0.9,
        patience=3,
    )
    for wrong, message in (
        ({"epoch": 3}, "`training.epoch` is not an option.*`epochs`"),
        ({"lr": "1e-3"}, r"`training.lr` must be a number, got '1e-3'. Write it without quotes."),
        ({"epochs": "ten"}, "`training.epochs` must be of type int"),
        ({"compile": 1}, "`training.compile` must be of type bool"),
        ({"clip": "high"}, "`training.clip` must be a number, got 'high'"),
    ):
        with pytest.raises(UsageError, match=message):
            TrainingOptions.from_mapping(wrong)


def test_only_what_decides_the_outcome_enters_the_config() -> None:
    one = TrainingOptions(num_workers=4, devices=2, accumulation=2, trackers=("mlflow",))
    assert one.decisive == TrainingOptions().decisive
    assert one.decisive != TrainingOptions(ema=0.9).decisive


def test_a_batch_divides_among_parts_and_processes() -> None:
    options = TrainingOptions(batch_size=48, accumulation=2)
    assert options.rows_per_pass(3) == 8
    with pytest.raises(UsageError, match=r"`batch_size` must divide by .* 2 x 5, got 48\. Take 50"):
        options.rows_per_pass(5)


def factors(epochs: int = 10, steps: int = 4, **given: Any) -> list[float]:
    rate = Rate(TrainingOptions(epochs=epochs, **given), steps)
    return [rate(step) for step in range(epochs * steps + 1)]


def test_cosine_is_torchs() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
    want = []
    for _ in range(41):
        want.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert factors() == pytest.approx(want, abs=1e-12)


def test_steps_fall_on_epochs() -> None:
    multi = factors(schedule="multistep", milestones=(0.5, 0.8), factor=0.1)
    assert multi[:20] == [1.0] * 20
    assert multi[20:32] == pytest.approx([0.1] * 12)
    assert multi[32:40] == pytest.approx([0.01] * 8)
    falling = factors(schedule="exponential", factor=0.5)
    assert falling[:40:4] == [0.5**e for e in range(10)]
    assert factors(schedule="constant") == [1.0] * 41


def test_warm_up_rises_in_a_line_and_joins_the_schedule() -> None:
    warm, plain = factors(warmup=1.5), factors()
    assert warm[:6] == pytest.approx([p * (i + 1) / 7 for i, p in enumerate(plain[:6])])
    assert warm[6:] == plain[6:]


def test_a_plateau_lowers_the_rate_and_is_gone_on_with() -> None:
    options = TrainingOptions(schedule="plateau", plateau_patience=2, factor=0.5)
    rate = Rate(options, 1)
    seen = []
    for value in (0.1, 0.2, 0.2, math.nan, 0.3, 0.3, 0.3, 0.3, 0.3):
        rate.saw(value, 0.0)
        seen.append(rate(0))
    assert seen == [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]
    other = Rate(options, 1)
    other.load_state_dict(rate.state_dict())
    assert other(0) == rate(0)
    assert other.state_dict() == rate.state_dict()


def test_a_plateau_of_the_metric_is_none_while_the_loss_falls() -> None:
    options = TrainingOptions(schedule="plateau", plateau_patience=2, factor=0.5)
    rate = Rate(options, 1)
    for loss in (0.4, 0.3, 0.2, 0.1):
        rate.saw(0.5, loss)
    assert rate(0) == 1.0
    rate.saw(0.5, 0.1)
    rate.saw(0.5, 0.2)
    assert rate(0) == 0.5


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (MemoryError(), "does not fit into memory.*accumulation=2"),
        (torch.OutOfMemoryError("CUDA out of memory"), "accumulation=2"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "accumulation"),
        (RuntimeError("DataLoader worker (pid 7) exited unexpectedly"), "died.*num_workers=2"),
        (OSError(28, "No space left on device"), "The disk is full"),
        (PermissionError(13, "Permission denied", "x.png"), "could not be read or written.*x.png"),
    ],
)
def test_what_a_machine_reports_becomes_one_line(raised: Exception, message: str) -> None:
    with (
        pytest.raises(TrainingError, match=message) as caught,
        plain_faults(TrainingOptions(num_workers=4), None),
    ):
        raise raised
    assert "\n" not in str(caught.value)


def test_what_is_no_fault_of_the_machine_stays_as_it_is() -> None:
    with (
        pytest.raises(RuntimeError, match="shapes cannot be multiplied"),
        plain_faults(TrainingOptions(), None),
    ):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


def test_half_precision_needs_a_gpu() -> None:
    with pytest.raises(UsageError, match=r"'16-mixed' needs a GPU.*bf16-mixed"):
        require_device(TrainingOptions(precision="16-mixed", accelerator="cpu"))


@pytest.mark.parametrize(
    ("given", "belongs"),
    [
        ({"momentum": 0.5}, "optimizer 'sgd', and this is 'adamw'"),
        ({"milestones": (0.5,)}, "schedule 'multistep', and this is 'cosine'"),
        ({"factor": 0.3}, "schedule 'multistep' or 'exponential' or 'plateau'"),
        ({"plateau_patience": 2, "schedule": "exponential"}, "schedule 'plateau'"),
    ],
)
def test_options_without_effect_are_said(given: dict[str, Any], belongs: str) -> None:
    with pytest.warns(NoEffectWarning, match=f"has no effect: it belongs to {belongs}"):
        TrainingOptions(**given)


def test_options_with_an_effect_are_not() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TrainingOptions(optimizer="sgd", momentum=0.5)
        TrainingOptions(schedule="multistep", milestones=(0.5,), factor=0.3)
        TrainingOptions(schedule="plateau", plateau_patience=2)
