"""One model on Lightning, against a bare PyTorch loop; and what it must leave alone."""

from __future__ import annotations

import csv
import json
import logging
import pickle
import random
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from equipoise import Correction, Labels, Remedy, Split, TrainingOptions, Trial, fit, tune
from equipoise._core.rng import child_seed, generator
from equipoise.data import ArrayDataset
from equipoise.errors import (
    DataError,
    MissingExtraError,
    ShapeError,
    TrainingError,
    UsageError,
)
from equipoise.losses import SPLCLoss
from equipoise.methods import remedy
from equipoise.models import MLP, CosineHead
from equipoise.training.selection import selection_metric
from equipoise.training.targets import to_target

N = 150
SPLIT = Split.from_parts(
    np.arange(0, 91), np.arange(91, 120), np.arange(149, 119, -1), n_rows=N, seed=0, method="hand"
)
KINDS = ("multiclass", "multilabel")


def make_data(kind: str) -> ArrayDataset:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(N, 5)).astype(np.float32)
    noisy = x[:, :3] + 0.5 * rng.normal(size=(N, 3))
    if kind == "multiclass":
        return ArrayDataset(x, Labels.from_array((noisy - [0, 1, 1]).argmax(1), kind=kind))
    hot = (noisy > 0.8).astype(int)
    hot[rng.random(hot.shape) < 0.1] = -1
    ids = [f"row{i}" for i in range(N)]
    return ArrayDataset(x, Labels.from_array(hot, kind="multilabel", ids=ids))


def network() -> nn.Module:
    return MLP(5, 3, hidden=(6,), dropout=0.2)


def on_cpu(**given: Any) -> TrainingOptions:
    return TrainingOptions(accelerator="cpu", **given)


def train(kind: str, method: str = "none", **settings: Any) -> Trial:
    data = make_data(kind)
    given: dict[str, Any] = {"epochs": 3, "batch_size": 16, "lr": 0.02}
    given |= {key: settings.pop(key) for key in given if key in settings}
    model = settings.pop("model", network)
    treated = remedy(method, data.labels[SPLIT.train])
    return fit(model, data, SPLIT, treated, options=on_cpu(**given), **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_equals_a_bare_loop_with_the_same_order(kind: str) -> None:
    data, seed = make_data(kind), 4
    treated = remedy("focal", data.labels[SPLIT.train])
    torch.manual_seed(0)
    start = MLP(5, 3, hidden=(6,))
    trial = fit(
        start, data, SPLIT, treated, seed=seed, options=on_cpu(epochs=3, batch_size=16, lr=0.02)
    )

    torch.manual_seed(0)
    net = MLP(5, 3, hidden=(6,))
    x, target = torch.from_numpy(data.features), to_target(data.labels, torch.float32)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.02, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=3 * 6)
    history, outputs = [], []
    for epoch in range(3):
        order = generator(child_seed(seed, "order"), "order", epoch).permutation(91)
        total = entries = 0.0
        for begin in range(0, 91, 16):
            rows = SPLIT.train[order[begin : begin + 16]]
            optimizer.zero_grad()
            loss = treated.loss(net(x[rows]), target[rows])
            loss.backward()
            optimizer.step()
            schedule.step()
            known = target[rows].isfinite().sum().item()
            total, entries = total + loss.item() * known, entries + known
        with torch.no_grad():
            outputs.append((net(x[SPLIT.val]).numpy(), net(x[SPLIT.test]).numpy()))
        value = selection_metric(outputs[-1][0], data.labels[SPLIT.val], treated.correction)
        val_loss = treated.loss(torch.from_numpy(outputs[-1][0]), target[SPLIT.val]).item()
        rate = schedule.get_last_lr()[0]
        history.append(
            {
                "epoch": epoch,
                "loss": total / entries,
                "val_loss": val_loss,
                "val_metric": value,
                "lr": rate,
            }
        )
    best = int(np.argmax([row["val_metric"] for row in history]))
    assert trial.selection["epoch"] == best
    for have, want in zip(trial.history, history, strict=True):
        assert have == pytest.approx(want, abs=1e-6)
    for part, want in zip(("val", "test"), outputs[best], strict=True):
        np.testing.assert_allclose(trial.scores[part].values, want, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_decides_everything(kind: str) -> None:
    state = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    one, two, other = (train(kind, seed=seed) for seed in (0, 0, 1))
    assert random.getstate() == state[0]
    np.testing.assert_array_equal(np.random.get_state()[1], state[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), state[2])
    np.testing.assert_array_equal(one.scores["test"].values, two.scores["test"].values)
    assert one.history == two.history
    assert np.abs(one.scores["test"].values - other.scores["test"].values).max() > 0.01


def test_a_module_is_copied_and_trained_from_where_it_stands() -> None:
    given = network()
    before = {k: v.clone() for k, v in given.state_dict().items()}
    loss_home = make_data("multiclass")
    treated = remedy("weighted_ce", loss_home.labels[SPLIT.train])
    first, second = (
        fit(given, loss_home, SPLIT, treated, seed=seed, options=on_cpu(epochs=1, lr=1e-9))
        for seed in (0, 1)
    )
    for key, value in given.state_dict().items():
        assert torch.equal(value, before[key])
    np.testing.assert_allclose(first.scores["val"].values, second.scores["val"].values, atol=1e-5)
    assert given.training
    assert treated.loss.training


@pytest.mark.usefixtures("pictures")
def test_the_chosen_epoch_is_restored_written_and_read_back(tmp_path: Path) -> None:
    trial = train("multilabel", lr=0.3, epochs=6, out=tmp_path, config={"note": "x"})
    values = [row["val_metric"] for row in trial.history]
    assert trial.selection == {
        "metric": "macro AP over evaluable labels",
        "epoch": int(np.argmax(values)),
        "value": max(values),
        "last_value": values[-1],
    }
    data, val = make_data("multilabel"), trial.scores["val"]
    assert selection_metric(val.values, data.labels[SPLIT.val], val.correction) == max(values)
    folder = tmp_path / trial.folder_name
    net = network().eval()
    net.load_state_dict(load_file(folder / trial.model_file))
    with torch.no_grad():
        again = net(torch.from_numpy(data.features[SPLIT.test])).numpy()
    np.testing.assert_allclose(trial.scores["test"].values, again, atol=1e-6)
    with (folder / "history.csv").open() as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    lines = (folder / "history.jsonl").read_text().splitlines()
    assert rows == [json.loads(line) for line in lines] == trial.history
    read = Trial.load(folder)
    assert read.config["note"] == "x"
    assert read.histogram == trial.histogram
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md",
        "curves.svg",
        "findings.json",
        "history.csv",
        "history.jsonl",
        "label_history.csv",
        "model.safetensors",
        "recalls.svg",
        "rule.json",
        "test.parquet",
        "trial.json",
        "val.parquet",
    ]


def test_scores_stand_in_the_order_of_the_split() -> None:
    trial = train("multilabel")
    assert trial.scores["val"].ids.tolist() == [f"row{i}" for i in SPLIT.val]
    assert trial.scores["test"].ids.tolist() == [f"row{i}" for i in SPLIT.test]
    labels = make_data("multilabel").labels
    np.testing.assert_array_equal(trial.scores["test"].labels.values, labels.values[SPLIT.test])
    assert train("multiclass").scores["val"].ids.tolist() == [str(i) for i in SPLIT.val]
    assert trial.model_file is None


@pytest.mark.parametrize(
    ("kind", "method"), [("multiclass", "class_balanced_sampling"), ("multilabel", "none")]
)
def test_the_histogram_is_what_the_sampler_drew(kind: str, method: str) -> None:
    trial, data = train(kind, method), make_data(kind)
    labels = data.labels[SPLIT.train]
    make = remedy(method, labels).sampler
    drawn = np.full(91, 3)
    if make is not None:
        sampler = make(seed=child_seed(0, "order"))
        drawn = np.zeros(91, dtype=int)
        for epoch in range(3):
            sampler.set_epoch(epoch)
            np.add.at(drawn, list(sampler), 1)
    slow = {n: int(((labels.one_hot()[:, i] == 1) * drawn).sum()) for i, n in enumerate("012")}
    assert trial.histogram == slow


def test_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import lightning.pytorch  # noqa: F401  # its first import sets filters of its own

    monkeypatch.chdir(tmp_path)
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    before = logger.level, list(warnings.filters), signal.getsignal(signal.SIGINT)
    train("multiclass")
    assert list(tmp_path.iterdir()) == []
    assert (logger.level, list(warnings.filters), signal.getsignal(signal.SIGINT)) == before
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""  # not a terminal, so no progress bar
    train("multiclass", progress=True)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "training" in captured.err


class Wrong(nn.Module):
    """A loss that misbehaves at a given call."""

    def __init__(self, at: int, what: BaseException | float) -> None:
        super().__init__()
        self.at, self.what, self.calls = at, what, 0

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        self.calls += 1
        if self.calls >= self.at and isinstance(self.what, BaseException):
            raise self.what
        factor = self.what if self.calls >= self.at and isinstance(self.what, float) else 1.0
        return nn.functional.cross_entropy(logits, target) * factor


def with_loss(loss: nn.Module, progress: bool = False, **given: Any) -> Trial:
    treated = Remedy("own", loss, Correction.identity("multiclass"))
    data = make_data("multiclass")
    return fit(network, data, SPLIT, treated, options=on_cpu(**given), progress=progress)


@pytest.mark.parametrize(("at", "epoch"), [(1, 0), (3, 1), (4, 1)])
def test_a_loss_that_is_not_finite_stops_training(at: int, epoch: int) -> None:
    with pytest.raises(TrainingError, match=f"loss of 'own' is not finite in epoch {epoch}"):
        with_loss(Wrong(at, float("nan")), epochs=2)


@pytest.mark.parametrize("progress", [False, True])
def test_ctrl_c_is_ctrl_c(progress: bool) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        with_loss(Wrong(3, KeyboardInterrupt()), epochs=2, progress=progress)
    assert signal.getsignal(signal.SIGINT) is handler
    with pytest.raises(SystemExit, match="7"):
        with_loss(Wrong(1, SystemExit(7)))
    with pytest.raises(ZeroDivisionError):
        with_loss(Wrong(1, ZeroDivisionError()))
    assert with_loss(Wrong(9, 1.0), epochs=1).selection["epoch"] == 0


@pytest.mark.parametrize("slot", ["schedule", "second_stage"])
def test_unknown_forms_of_slots_are_refused(slot: str) -> None:
    data = make_data("multiclass")
    plain = remedy("none", data.labels[SPLIT.train])
    filled = replace(plain, **{slot: plain})
    with pytest.raises(UsageError, match=f"`{slot}` must be one that `fit` knows"):
        fit(network, data, SPLIT, filled)


def test_a_loss_that_asks_is_told_the_epoch_and_its_scores_only_rank() -> None:
    class Noting(SPLCLoss):
        """Keeps the epochs it was told."""

        epochs: ClassVar[list[int]] = []

        def set_epoch(self, epoch: int) -> None:
            super().set_epoch(epoch)
            self.epochs.append(epoch)

    data = make_data("multilabel")
    given = Noting()
    treated = replace(remedy("splc", data.labels[SPLIT.train]), loss=given)
    trial = fit(network, data, SPLIT, treated, options=on_cpu(epochs=3))
    assert Noting.epochs == [0, 1, 2]
    assert not given.correcting  # a copy was told
    for part in ("val", "test"):
        assert trial.scores[part].score_kind == "ranking"
        assert not trial.scores[part].has_probabilities
    rule = tune(trial.scores["val"])
    assert np.isfinite(rule.log_odds(trial.scores["test"])).all()


def test_cosines_need_a_cosine_head_and_give_exact_probabilities() -> None:
    data = make_data("multiclass")
    treated = remedy("ldam", data.labels[SPLIT.train])
    scaled = nn.Sequential(nn.Linear(5, 6), CosineHead(6, 3, scale=16.0))
    for wrong in (network, scaled, nn.Sequential(CosineHead(5, 3), nn.ReLU())):
        with pytest.raises(UsageError, match=r"`model` must end in `equipoise\.models\.CosineHead"):
            fit(wrong, data, SPLIT, treated)
    good = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), CosineHead(6, 3))
    trial = fit(good, data, SPLIT, treated, options=on_cpu(epochs=2))
    assert np.abs(trial.scores["val"].values).max() <= 1.0 + 1e-6
    assert trial.scores["val"].has_probabilities


def test_data_that_do_not_fit_are_refused() -> None:
    data = make_data("multiclass")
    plain = remedy("none", data.labels[SPLIT.train])
    bare = torch.utils.data.TensorDataset(torch.from_numpy(data.features), torch.zeros(N).long())
    with pytest.raises(DataError, match=r"carry `labels`.*Pass labels="):
        fit(network, bare, SPLIT, plain)
    with pytest.raises(ShapeError, match="as many rows as the data set, 150, got 149 labels"):
        fit(network, bare, SPLIT, plain, labels=data.labels[:149])
    small = Split.from_parts([0, 1], [2], [], n_rows=3, seed=0, method="hand")
    with pytest.raises(ShapeError, match="a split of 3 rows"):
        fit(network, data, small, plain)
    for name, parts in {"val": ([0], [], [1]), "train": ([], [0], [1])}.items():
        empty = Split.from_parts(*parts, n_rows=N, seed=0, method="hand")
        with pytest.raises(DataError, match=f"`split.{name}` must hold at least one row"):
            fit(network, data, empty, plain)
    with pytest.raises(UsageError, match="`model` must be a module"):
        fit(dict, data, SPLIT, plain)
    for wrong in ({"epochs": 0}, {"batch_size": 0}, {"lr": -1.0}):
        with pytest.raises(UsageError, match=f"`{next(iter(wrong))}` must be"):
            TrainingOptions(**wrong)


def test_labels_may_be_given_beside_any_data_set() -> None:
    data = make_data("multiclass")
    target = torch.from_numpy(data.labels.values)
    bare = torch.utils.data.TensorDataset(torch.from_numpy(data.features), target)
    plain = remedy("none", data.labels[SPLIT.train])
    no_test = Split.from_parts(SPLIT.train, SPLIT.val, [], n_rows=N, seed=0, method="hand")
    one, two = (
        fit(network, rows, no_test, plain, labels=data.labels, options=on_cpu(epochs=1))
        for rows in (bare, data)
    )
    assert set(one.scores) == {"val"}
    np.testing.assert_array_equal(one.scores["val"].values, two.scores["val"].values)


def test_without_a_usable_label_in_validation_the_last_epoch_is_kept() -> None:
    data = make_data("multilabel")
    hot = data.labels.values.copy()
    hot[SPLIT.val] = 0
    rows = ArrayDataset(data.features, Labels.from_array(hot, kind="multilabel"))
    plain = remedy("none", rows.labels[SPLIT.train])
    trial = fit(network, rows, SPLIT, plain, options=on_cpu(epochs=2))
    assert trial.selection["epoch"] == 1
    assert np.isnan(trial.selection["value"])


@pytest.mark.parametrize(
    ("missing", "call", "extra"),
    [
        ("lightning", "fit(None, None, None, None)", "train"),
        ("torch", "fit", "torch"),
    ],
)
def test_missing_packages_name_their_extra(missing: str, call: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "import equipoise as eq\n"
        "from equipoise.errors import MissingExtraError\n"
        f"try:\n    eq.{call}\n"
        "except MissingExtraError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f'pip install "equipoise[{extra}]"' in done.stdout
    assert issubclass(MissingExtraError, ImportError)


def test_a_missing_package_is_told_again_and_read_from_another_process() -> None:
    error = MissingExtraError("torch", "torch", "fit")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301
    again = type(error)(f"arm focal: {error}")
    assert str(again).startswith("arm focal: fit needs the package `torch`")


class WithTargets(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """The inputs of a data set with targets of one's own, as some loaders make them."""

    def __init__(self, data: ArrayDataset, targets: Tensor) -> None:
        self.data, self.labels, self.targets = data, data.labels, targets

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.data[i][0], self.targets[i]


def own_targets(kind: str, targets: Tensor, method: str = "none", **given: Any) -> Trial:
    dataset = WithTargets(make_data(kind), targets)
    options = on_cpu(epochs=2, batch_size=16, lr=0.02)
    made = remedy(method, dataset.labels[SPLIT.train], **given)
    return fit(network, dataset, SPLIT, made, options=options, seed=1)


@pytest.mark.parametrize("method", ["none", "mixup"])
def test_minus_one_of_a_loader_is_unknown_before_any_mixing(method: str) -> None:
    truth = to_target(make_data("multilabel").labels, torch.float32)
    trials = [
        own_targets("multilabel", targets, method) for targets in (truth, truth.nan_to_num(-1.0))
    ]
    assert truth.isnan().any()
    assert trials[0].history == trials[1].history


@pytest.mark.parametrize(("wrong", "part"), [(-100.0, 0), (255.0, 0), (2.0, 100)])
def test_labels_that_are_none_stop_the_first_batch(wrong: float, part: int) -> None:
    targets = to_target(make_data("multilabel").labels, torch.float32)
    targets[part:] = wrong  # of training rows, or of validation rows alone
    message = rf"`target` must be 0 to 1, or NaN or -1 where unknown, got {wrong:g} and .* more"
    with pytest.raises(DataError, match=message):
        own_targets("multilabel", targets)


def test_classes_that_are_none_stop_the_first_batch() -> None:
    targets = make_data("multiclass").labels.values.copy()
    targets[::2] = -1
    message = r"`target` must lie in 0 to C - 1 = 2, or be ignore_index = -100, got -1"
    with pytest.raises(DataError, match=message):
        own_targets("multiclass", torch.from_numpy(targets))


def test_rows_of_unknown_class_count_for_nothing_in_a_training() -> None:
    """With the rows left out of the mean, a batch trains as the batch without them does."""
    data = make_data("multiclass")
    targets = torch.from_numpy(data.labels.values.copy())
    targets[SPLIT.train[::2]] = -100
    options = on_cpu(epochs=1, batch_size=len(SPLIT.train), lr=0.02)
    plain = remedy("none", data.labels[SPLIT.train])
    kept = Split.from_parts(
        SPLIT.train[1::2], SPLIT.val, SPLIT.test, n_rows=N, seed=0, method="hand"
    )

    def still() -> nn.Module:
        return MLP(5, 3, hidden=(6,), dropout=0.0)

    masked = fit(still, WithTargets(data, targets), SPLIT, plain, options=options, seed=1)
    alone = fit(still, data, kept, plain, options=options, seed=1)
    assert masked.history[0]["loss"] == pytest.approx(alone.history[0]["loss"], rel=1e-6)
    np.testing.assert_allclose(
        masked.scores["val"].values, alone.scores["val"].values, rtol=1e-4, atol=1e-6
    )
