"""What the options of `fit` do, each against a loop written out by hand."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from equipoise import Correction, Labels, Remedy, Split, TrainingOptions, Trial, fit, remedy
from equipoise._core.rng import child_seed, generator
from equipoise.data import ArrayDataset, Sequences, pad_batch
from equipoise.errors import TrainingError, UsageError
from equipoise.losses import WeightedCrossEntropyLoss
from equipoise.models import MLP, LSTMClassifier
from equipoise.training import Deferred, Monitor
from equipoise.training.faults import require_precision
from equipoise.training.mixing import Mixup

N = 120
SPLIT = Split.from_parts(
    np.arange(72), np.arange(72, 100), np.arange(100, N), n_rows=N, seed=0, method="hand"
)


def make_data(kind: str = "multilabel", dtype: Any = np.float64) -> ArrayDataset:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(N, 5))
    noisy = x[:, :3] + 0.5 * rng.normal(size=(N, 3))
    if kind == "multiclass":
        labels = Labels.from_array((noisy - [0, 1, 1]).argmax(1), kind=kind)
    else:
        hot = (noisy > 0.8).astype(int)
        hot[rng.random(hot.shape) < 0.3] = -1
        labels = Labels.from_array(hot, kind="multilabel")
    return ArrayDataset(x.astype(dtype), labels)


def start() -> MLP:
    torch.manual_seed(0)
    return MLP(5, 3, hidden=(6,))


def weights(trial: Trial, out: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(out / trial.folder_name / "model.safetensors")


def train(out: Path, data: ArrayDataset, treated: Remedy, **given: Any) -> dict[str, Tensor]:
    given = {"epochs": 3, "batch_size": 16, "lr": 0.02, "keep": "last", **given}
    options = TrainingOptions(accelerator="cpu", precision="64-true", **given)
    trial = fit(start(), data, SPLIT, treated, options=options, out=out, resume=False)
    return weights(trial, out)


def assert_close(have: dict[str, Tensor], want: dict[str, Tensor], tolerance: float) -> None:
    for key, value in want.items():
        torch.testing.assert_close(have[key], value, rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", ["multilabel", "multiclass", "weights"])
def test_parts_of_a_batch_give_what_the_whole_gives(tmp_path: Path, kind: str) -> None:
    data = make_data("multilabel" if kind == "multilabel" else "multiclass")
    treated = remedy("none", data.labels[SPLIT.train])
    if kind == "weights":
        loss = WeightedCrossEntropyLoss([0.2, 1.0, 5.0], normalizer="weights")
        treated = replace(treated, loss=loss)
    whole = train(tmp_path, data, treated, clip=0.1)
    for parts in (2, 4):
        assert_close(train(tmp_path, data, treated, clip=0.1, accumulation=parts), whole, 1e-12)
    assert max((train(tmp_path, data, treated)[k] - v).abs().max() for k, v in whole.items()) > 1e-4


def test_sgd_clipping_and_averaging_are_what_a_loop_does(tmp_path: Path) -> None:
    data = make_data()
    treated = remedy("none", data.labels[SPLIT.train])
    have = train(
        tmp_path,
        data,
        treated,
        optimizer="sgd",
        nesterov=True,
        schedule="constant",
        clip=0.05,
        ema=0.8,
        batch_size=18,
    )
    net = start().double()
    optimizer = torch.optim.SGD(
        net.parameters(), lr=0.02, momentum=0.9, nesterov=True, weight_decay=1e-4
    )
    mean = copy.deepcopy(net)
    x = torch.from_numpy(data.features)
    hot = torch.from_numpy(data.labels.values).double()
    target = torch.where(hot < 0, torch.nan, hot)
    updates = 0
    for epoch in range(3):
        order = generator(child_seed(0, "order"), "order", epoch).permutation(72)
        for begin in range(0, 72, 18):
            rows = order[begin : begin + 18]
            optimizer.zero_grad()
            treated.loss(net(x[rows]), target[rows]).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 0.05)
            optimizer.step()
            updates += 1
            decay = min(0.8, (1 + updates) / (10 + updates))
            with torch.no_grad():
                for m, p in zip(mean.parameters(), net.parameters(), strict=True):
                    m.mul_(decay).add_(p, alpha=1 - decay)
    assert_close(have, mean.state_dict(), 1e-12)


def test_before_its_start_a_deferred_loss_changes_nothing(tmp_path: Path) -> None:
    data = make_data("multiclass")
    plain = remedy("none", data.labels[SPLIT.train])
    late = WeightedCrossEntropyLoss.from_class_counts(data.labels[SPLIT.train].counts)
    never = replace(plain, schedule=Deferred(1.0, loss=late))
    always = replace(plain, schedule=Deferred(0.0, loss=late))
    treated = replace(plain, loss=late)
    untreated = train(tmp_path, data, plain)
    assert_close(train(tmp_path, data, never), untreated, 0.0)
    assert_close(train(tmp_path, data, always), train(tmp_path, data, treated), 0.0)
    half = train(tmp_path, data, replace(plain, schedule=Deferred(0.5, loss=late)))
    assert max((half[k] - v).abs().max() for k, v in untreated.items()) > 1e-4


def test_an_epoch_of_before_a_deferred_treatment_is_never_kept() -> None:
    data = make_data("multiclass")
    plain = remedy("none", data.labels[SPLIT.train])
    late = WeightedCrossEntropyLoss.from_class_counts(data.labels[SPLIT.train].counts)
    treated = replace(plain, schedule=Deferred(0.75, loss=late))
    options = TrainingOptions(accelerator="cpu", epochs=4, lr=1e-9)
    trial = fit(start(), make_data("multiclass", np.float32), SPLIT, treated, options=options)
    assert trial.selection["epoch"] == 3


class Halves:
    """Draws the first half of the rows, twice."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __iter__(self) -> Any:
        return iter([*range(36), *range(self.n - 36)])

    def __len__(self) -> int:
        return self.n

    def set_epoch(self, epoch: int) -> None:
        """Take every epoch for the same."""


def test_a_deferred_sampler_takes_over_and_is_counted() -> None:
    data = make_data("multiclass", np.float32)
    plain = remedy("none", data.labels[SPLIT.train])
    treated = replace(plain, schedule=Deferred(0.5, sampler=lambda seed: Halves(72)))  # noqa: ARG005
    options = TrainingOptions(accelerator="cpu", epochs=4)
    trial = fit(start(), data, SPLIT, treated, options=options)
    first = data.labels.values[:36]
    every = data.labels.values[:72]
    for row in trial.label_history:
        seen = every if row["epoch"] < 2 else np.repeat(first, 2)
        assert row["drawn"] == (seen == int(row["label"])).sum()
    short = replace(plain, schedule=Deferred(0.5, sampler=lambda seed: Halves(70)))  # noqa: ARG005
    with pytest.raises(UsageError, match=r"`schedule\.sampler` must draw as many rows.*72, got 70"):
        fit(start(), data, SPLIT, short, options=options)


def test_progressive_sampling_goes_over_the_whole_training() -> None:
    data = make_data("multiclass", np.float32)
    treated = remedy("progressive_sampling", data.labels[SPLIT.train])
    options = TrainingOptions(accelerator="cpu", epochs=6)
    trial = fit(start(), data, SPLIT, treated, options=options)
    counts = data.labels[SPLIT.train].counts
    rare = str(int(np.argmin(counts)))
    drawn = [row["drawn"] for row in trial.label_history if row["label"] == rare]
    assert np.mean(drawn[3:]) > np.mean(drawn[:2])


def test_patience_stops_and_the_last_epoch_is_reported() -> None:
    data = make_data("multilabel", np.float32)
    treated = remedy("none", data.labels[SPLIT.train])
    options = TrainingOptions(accelerator="cpu", epochs=50, lr=1e-12, patience=3)
    trial = fit(start(), data, SPLIT, treated, options=options)
    assert len(trial.history) == 4
    assert trial.selection["epoch"] == 0
    assert trial.selection["last_value"] == trial.history[-1]["val_metric"]


def test_augmentation_sees_inputs_and_a_seed_per_batch() -> None:
    data = make_data("multilabel", np.float32)
    treated = remedy("none", data.labels[SPLIT.train])
    seeds: list[int] = []

    def augment(x: Tensor, *, seed: int) -> Tensor:
        seeds.append(seed)
        return x + 0.0

    options = TrainingOptions(accelerator="cpu", epochs=2, batch_size=16)
    one = fit(start(), data, SPLIT, treated, options=options, augment=augment)
    assert len(seeds) == len(set(seeds)) == 10
    two = fit(start(), data, SPLIT, treated, options=options)
    np.testing.assert_array_equal(one.scores["val"].values, two.scores["val"].values)


def test_mixing_is_what_a_loop_does(tmp_path: Path) -> None:
    data = make_data()
    plain = remedy("none", data.labels[SPLIT.train])
    mixing = Mixup(1.0)
    have = train(
        tmp_path,
        data,
        replace(plain, mixing=mixing, correction=Correction("multilabel", exactness="none")),
        epochs=1,
        schedule="constant",
        optimizer="sgd",
        weight_decay=0.0,
        batch_size=18,
    )
    net = start().double()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    x = torch.from_numpy(data.features)
    hot = torch.from_numpy(data.labels.values).double()
    target = torch.where(hot < 0, torch.nan, hot)
    order = generator(child_seed(0, "order"), "order", 0).permutation(72)
    for batch, begin in enumerate(range(0, 72, 18)):
        rows = order[begin : begin + 18]
        random = torch.Generator().manual_seed(child_seed(0, "batch", 0, batch, 0))
        mixed, soft = mixing(x[rows], target[rows], random)
        optimizer.zero_grad()
        plain.loss(net(mixed), soft).backward()
        optimizer.step()
    assert_close(have, net.state_dict(), 1e-12)


def test_sequences_come_padded_with_their_lengths() -> None:
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(rng.integers(1, 9), 4)).astype(np.float32) for _ in range(N)]
    hot = np.array([[s.mean() > 0.2, s[0, 0] > 1] for s in sequences]).astype(int)
    labels = Labels.from_array(hot, kind="multilabel")
    data = Sequences(sequences, labels)
    treated = remedy("none", labels[SPLIT.train])
    options = TrainingOptions(accelerator="cpu", epochs=2, precision="bf16-mixed")
    trial = fit(
        lambda: LSTMClassifier(4, 2, hidden=8), data, SPLIT, treated, options=options,
        collate=pad_batch,
    )  # fmt: skip
    assert trial.scores["test"].values.shape == (20, 2)
    assert np.isfinite(trial.scores["test"].values).all()


class Autocast(nn.Module):
    """A layer that this processor has for some dtypes only, as oneDNN has its LSTM."""

    def __init__(self, without: tuple[bool, ...]) -> None:
        super().__init__()
        self.without, self.inner, self.calls = without, nn.Linear(4, 2), 0

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_autocast_enabled("cpu") in self.without:
            raise RuntimeError("could not create a primitive descriptor for the LSTM forward")
        return self.inner(x)


def test_a_precision_that_the_processor_lacks_is_said_before_the_first_step() -> None:
    options = TrainingOptions(accelerator="cpu", epochs=1, precision="bf16-mixed")
    data = make_data("multilabel", np.float32)
    treated = remedy("none", data.labels[SPLIT.train])
    x = torch.randn(4, 4)
    lacking = nn.Sequential(nn.Identity(), Autocast((True,)))
    before = torch.get_rng_state()
    message = (
        r"`precision` 'bf16-mixed' is not to be had on this processor for its Autocast \(could not "
        r"create a primitive descriptor .*\)\. Take precision '32-true'"
    )
    with pytest.raises(UsageError, match=message):
        require_precision(lacking, x, options)
    assert torch.equal(before, torch.get_rng_state())
    require_precision(lacking, x, replace(options, precision="32-true"))
    require_precision(nn.Linear(4, 2), x, options)
    # What fails either way is no matter of precision.
    require_precision(Autocast((True, False)), x, options)
    steps: list[int] = []
    with pytest.raises(UsageError, match="'bf16-mixed' is not to be had"):
        fit(lambda: Wide(steps), data, SPLIT, treated, options=options)
    assert steps == []
    assert fit(
        lambda: Wide(steps), data, SPLIT, treated, options=replace(options, precision="32-true")
    )


class Wide(nn.Module):
    """A network for the data of this file, with a layer that has no bfloat16 here."""

    def __init__(self, steps: list[int]) -> None:
        super().__init__()
        width = make_data("multilabel", np.float32).features.shape[1]
        self.first, self.second, self.steps = nn.Linear(width, 4), Autocast((True,)), steps
        self.second.inner = nn.Linear(4, make_data("multilabel", np.float32).labels.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.second(self.first(x))
        self.steps.append(len(x))
        return found


def test_what_an_lstm_without_lengths_gets_in_bfloat16() -> None:
    """It trains where the processor has it, and is refused with a way out where it has not."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 6, 4)).astype(np.float32)
    labels = Labels.from_array((x.mean((1, 2)) > 0)[:, None].astype(int), kind="multilabel")
    treated = remedy("none", labels[SPLIT.train])
    options = TrainingOptions(accelerator="cpu", epochs=1, precision="bf16-mixed")

    def run(precision: Any) -> Trial:
        return fit(
            lambda: LSTMClassifier(4, 1, hidden=8), ArrayDataset(x, labels), SPLIT, treated,
            options=replace(options, precision=precision),
        )  # fmt: skip

    try:
        with torch.autocast("cpu", torch.bfloat16):
            LSTMClassifier(4, 1, hidden=8)(torch.from_numpy(x[:4]))
    except RuntimeError:
        with pytest.raises(UsageError, match=r"for its LSTM \(.*Take precision '32-true'"):
            run("bf16-mixed")
    else:
        assert np.isfinite(run("bf16-mixed").scores["val"].values).all()
    assert np.isfinite(run("32-true").scores["val"].values).all()


def test_a_compiled_network_is_the_same_network() -> None:
    data = make_data("multilabel", np.float32)
    treated = remedy("none", data.labels[SPLIT.train])
    trials = [
        fit(
            start(), data, SPLIT, treated,
            options=TrainingOptions(accelerator="cpu", epochs=1, batch_size=24, compile=flag),
        )
        for flag in (False, True)
    ]  # fmt: skip
    np.testing.assert_allclose(*(t.scores["val"].values for t in trials), atol=1e-5)


class Broken(ArrayDataset):
    """A data set with one row that cannot be loaded."""

    def __getitem__(self, index: int) -> Any:
        if index == 7:
            raise OSError(f"cannot read row{index}.jpg")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_row_that_cannot_be_loaded_is_one_line(workers: int) -> None:
    whole = make_data("multilabel", np.float32)
    data = Broken(whole.features, whole.labels)
    treated = remedy("none", data.labels[SPLIT.train])
    options = TrainingOptions(accelerator="cpu", num_workers=workers)
    with pytest.raises(TrainingError, match=r"cannot read row7\.jpg") as caught:
        fit(start(), data, SPLIT, treated, options=options)
    assert "\n" not in str(caught.value)


def flat_trial(out: Path | None = None, monitor: Monitor | None = None, **given: Any) -> Trial:
    """Train where no class is ever decided for but the first: the metric stays where it is."""
    rare = Labels.from_array((np.arange(N) % 10 == 0).astype(int), kind="multiclass")
    data = ArrayDataset(make_data("multiclass").features, rare)
    treated = replace(
        remedy("none", rare[SPLIT.train]), correction=Correction("multiclass", exactness="none")
    )
    options = TrainingOptions(
        accelerator="cpu", precision="64-true", epochs=4, batch_size=16, lr=0.002, **given
    )
    torch.manual_seed(0)
    net = nn.Linear(5, 2)
    return fit(net, data, SPLIT, treated, options=options, out=out, monitor=monitor, seed=1)


def test_a_flat_metric_keeps_the_epoch_of_the_lowest_validation_loss() -> None:
    constant = Monitor("a constant", lambda *_: 0.5)
    trial = flat_trial(monitor=constant)
    losses = [row["val_loss"] for row in trial.history]
    assert [row["val_metric"] for row in trial.history] == [0.5] * 4
    assert int(np.argmin(losses)) > 0  # else the first would do
    assert trial.selection["epoch"] == int(np.argmin(losses))
    assert trial.selection["metric"] == "a constant"
    # And patience waits for what still falls.
    patient = flat_trial(monitor=constant, patience=1)
    assert len(patient.history) == min(4, int(np.argmin(losses)) + 2)


def test_what_chooses_is_part_of_the_trial() -> None:
    one, two = flat_trial(), flat_trial(monitor=Monitor("a constant", lambda *_: 0.5))
    assert one.folder_name != two.folder_name
    assert one.config["ties"] == two.config["ties"] == "val_loss"
    assert "ties" not in flat_trial(keep="last").config
