"""Many heads at once, against each head alone in plain PyTorch."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from equipoise._core.rng import child_seed, generator
from equipoise.artifacts import Correction, Labels
from equipoise.errors import (
    DataError,
    LeakageError,
    NoEffectWarning,
    ShapeError,
    TrainingError,
    UsageError,
)
from equipoise.losses import SPLCLoss
from equipoise.methods import methods_for, remedy
from equipoise.models import CosineHead
from equipoise.training import HeadJob, HeadResult, HeadSettings, Remedy, train_heads
from equipoise.training.run_data import make_sampler
from equipoise.training.selection import selection_metric
from equipoise.training.targets import to_target

N, TEST = 320, np.arange(280, 320)
KINDS = ("multiclass", "multilabel")


def make_labels(kind: str, x: np.ndarray, width: int = 4) -> Labels:
    """Labels that follow the features; of several labels, one is never positive, some unknown."""
    rng = np.random.default_rng(1)
    noisy = x @ rng.normal(size=(x.shape[1], width)) + rng.normal(size=(len(x), width))
    if kind == "multiclass":
        classes = (noisy - np.log(1.5) * np.arange(width) * 2).argmax(1)
        return Labels.from_array(classes, kind=kind, names=[f"c{i}" for i in range(width)])
    hot = (noisy > 1.2).astype(int)
    if width > 2:
        hot[:, 2] = 0
        hot[rng.random(hot.shape) < 0.1] = -1
    return Labels.from_array(hot, kind="multilabel")


def make_problem(
    kind: str, *, features: int = 6, width: int = 4, train: int = 157, seeds: int = 2
) -> tuple[np.ndarray, Labels, list[HeadJob]]:
    x = np.random.default_rng(0).normal(size=(N, features)) * 3 + 5
    labels = make_labels(kind, x - 5, width)
    jobs: list[HeadJob] = []
    for seed in range(seeds):
        rows = np.random.default_rng(seed + 9).permutation(280)
        # Validation parts of different length: 60 and 53 rows.
        part, val = rows[:train], rows[train : train + 60 - 7 * seed]
        with warnings.catch_warnings():
            # A single label leaves some rules nothing to do.
            warnings.simplefilter("ignore", NoEffectWarning)
            # Heads refuse to train in stages: tests/contracts/test_methods.py.
            names = [m.name for m in methods_for(kind) if m.family != "two_stage"]
            names = [n for n in names if n not in ("cutmix", "augment_balance")]  # need images
            made = [remedy(name, labels[part]) for name in names]
            # What makes rows for each label alone, or is a model itself, is for tables.
            remedies = [r for r in made if r.resampling is None and r.model is None]
        jobs += [HeadJob(treated, seed, part, val) for treated in remedies]
    order = np.random.default_rng(5).permutation(len(jobs))
    return x, labels, [jobs[i] for i in order]


def run(x: np.ndarray, labels: Labels, jobs: list[HeadJob], **settings: Any) -> list[HeadResult]:
    """Results in the order of the jobs."""
    found = list(train_heads(x, labels, TEST, jobs, settings=HeadSettings(**settings)))
    by_key = {(r.trial.seed, r.trial.method): r for r in found}
    assert len(by_key) == len(found) == len(jobs)
    return [by_key[job.seed, job.remedy.name] for job in jobs]


def plain_network(widths: list[int], seed: int) -> nn.Sequential:
    """The start that `nn.Linear` makes, from one generator per seed."""
    source = torch.Generator().manual_seed(child_seed(seed, "init"))
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layer = nn.Linear(inputs, outputs, dtype=torch.float64)
        bound = inputs**-0.5
        weight = torch.rand((inputs, outputs), generator=source, dtype=torch.float64)
        bias = torch.rand((1, outputs), generator=source, dtype=torch.float64)
        layer.weight.data = ((2 * weight - 1) * bound).T.contiguous()
        layer.bias.data = ((2 * bias - 1) * bound)[0]
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def validation_loss(loss: Any, logits: np.ndarray, target: Tensor, size: int) -> float:
    total = rows = 0.0
    for start in range(0, len(target), size):
        part = target[start : start + size]
        count = float(loss.divisor(part))
        total += float(loss(torch.from_numpy(logits[start : start + size]), part)) * count
        rows += count
    return total / rows


def best_epoch(metrics: list[float], losses: list[float], first: int) -> int:
    """The highest metric, of equals the lowest validation loss, of equals the first."""
    order = sorted(range(first, len(metrics)), key=lambda e: (-metrics[e], losses[e], e))
    return order[0]


def train_alone(
    x: np.ndarray, labels: Labels, job: HeadJob, settings: HeadSettings
) -> tuple[list[float], list[float], np.ndarray, np.ndarray]:
    """One head, one loop, torch's own optimizer and schedule."""
    mean, std = x[job.train].mean(0), x[job.train].std(0)
    inputs, target = torch.from_numpy((x - mean) / std), to_target(labels, torch.float64)
    hidden = [settings.hidden] if settings.hidden else []
    net = plain_network([x.shape[1], *hidden, labels.num_classes], job.seed)
    if job.remedy.head == "cosine":
        cosines = CosineHead(net[-1].in_features, labels.num_classes).double()
        cosines.weight.data = net[-1].weight.data
        net[-1] = cosines
    late, mixing, epochs = job.remedy.schedule, job.remedy.mixing, settings.epochs
    late_from = epochs if late is None else late.first_epoch(epochs)
    early_loss = copy.deepcopy(job.remedy.loss)
    late_loss = copy.deepcopy(late.loss) if late is not None and late.loss else early_loss
    given = {"seed": job.seed, "epochs": epochs}
    make = job.remedy.sampler
    early_sampler = make and make_sampler(make, job.train.size, **given)
    late_sampler = early_sampler
    if late is not None and late.sampler is not None:
        late_sampler = make_sampler(late.sampler, job.train.size, **given)
    steps = -(-job.train.size // settings.batch_size) * settings.epochs
    lr = settings.lr if job.lr is None else job.lr
    decay = settings.weight_decay if job.weight_decay is None else job.weight_decay
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    losses, metrics, states, val_losses = [], [], [], []
    for epoch in range(settings.epochs):
        is_late = epoch >= late_from
        own_loss = late_loss if is_late else early_loss
        sampler = late_sampler if is_late else early_sampler
        if isinstance(own_loss, SPLCLoss):
            own_loss.set_epoch(epoch)
        if sampler is None:
            order = generator(job.seed, "order", epoch).permutation(job.train.size)
        else:
            sampler.set_epoch(epoch)
            order = np.array(list(sampler))
        rows, total = job.train[order], 0.0
        for start in range(0, len(rows), settings.batch_size):
            batch = rows[start : start + settings.batch_size]
            optimizer.zero_grad()
            rows_in, truth = inputs[batch], target[batch]
            if mixing is not None:
                own = child_seed(job.seed, "batch", epoch, start // settings.batch_size)
                source = torch.Generator().manual_seed(own)
                rows_in, truth = mixing(rows_in, truth, source)
                truth = truth.double()
            loss = own_loss(net(rows_in), truth)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
        losses.append(total / len(rows))
        with torch.no_grad():
            logits = net(inputs[job.val]).numpy()
        undo = job.remedy.correction
        if late is not None and not is_late and late.before is not None:
            undo = late.before
        metrics.append(selection_metric(logits, labels[job.val], undo))
        states.append({k: v.clone() for k, v in net.state_dict().items()})
        val_losses.append(validation_loss(own_loss, logits, target[job.val], settings.batch_size))
    first = late_from if late_from < epochs else 0
    net.load_state_dict(states[best_epoch(metrics, val_losses, first)])
    with torch.no_grad():
        return losses, metrics, net(inputs[job.val]).numpy(), net(inputs[TEST]).numpy()


@pytest.mark.parametrize(
    ("kind", "hidden"),
    [
        ("multiclass", 0),
        ("multilabel", 5),
        pytest.param("multiclass", 5, marks=pytest.mark.slow),
        pytest.param("multilabel", 0, marks=pytest.mark.slow),
    ],
)
def test_each_head_equals_a_plain_torch_loop(kind: str, hidden: int) -> None:
    x, labels, jobs = make_problem(kind)
    # Each with a learning rate and a weight decay of its own, some with those of all.
    rates = np.geomspace(0.003, 0.1, len(jobs))
    jobs = [
        replace(job, lr=float(rate), weight_decay=float(10 * rate)) if i % 3 else job
        for i, (job, rate) in enumerate(zip(jobs, rates, strict=True))
    ]
    settings = HeadSettings(
        hidden=hidden, epochs=2, batch_size=32, lr=0.03, weight_decay=0.1, dtype="float64"
    )
    found = list(train_heads(x, labels, TEST, jobs, settings=settings))
    assert len(found) == len(jobs)
    by_key = {(r.trial.seed, r.trial.method): r.trial for r in found}
    for job in jobs:
        trial = by_key[job.seed, job.remedy.name]
        losses, metrics, val, test = train_alone(x, labels, job, settings)
        np.testing.assert_allclose([row["loss"] for row in trial.history], losses, atol=1e-9)
        np.testing.assert_allclose([row["val_metric"] for row in trial.history], metrics)
        np.testing.assert_allclose(trial.scores["val"].values, val, rtol=0, atol=1e-8)
        np.testing.assert_allclose(trial.scores["test"].values, test, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("kind", "features", "width", "hidden", "batch"),
    [
        pytest.param("multiclass", 6, 4, 0, 32, marks=pytest.mark.slow),
        ("multiclass", 33, 7, 5, 39),  # 157 = 4 * 39 + 1: a last batch of one row
        ("multilabel", 6, 4, 5, 32),
        ("multilabel", 13, 1, 0, 52),
        pytest.param("multilabel", 1, 3, 1, 32, marks=pytest.mark.slow),
    ],
)
def test_a_head_does_not_depend_on_the_rest_of_the_stack(
    kind: str, features: int, width: int, hidden: int, batch: int
) -> None:
    x, labels, jobs = make_problem(kind, features=features, width=width)
    settings = {
        "hidden": hidden, "epochs": 3, "batch_size": batch, "lr": 0.03, "dtype": "float64",
    }  # fmt: skip
    together = run(x, labels, jobs, **settings)
    for subset in (jobs[:1], jobs[1:4], jobs[::-2]):
        for job, alone in zip(subset, run(x, labels, subset, **settings), strict=True):
            joint = together[jobs.index(job)]
            for one, two in zip(alone.trial.history, joint.trial.history, strict=True):
                assert one == pytest.approx(two, abs=1e-10)
            assert alone.trial.selection == pytest.approx(joint.trial.selection, abs=1e-10)
            for part in ("val", "test"):
                np.testing.assert_allclose(
                    alone.trial.scores[part].values, joint.trial.scores[part].values,
                    rtol=0, atol=1e-9,
                )  # fmt: skip
            for key, value in alone.state.items():
                np.testing.assert_allclose(value, joint.state[key], rtol=0, atol=1e-9)


def test_the_same_jobs_give_the_same_bits() -> None:
    x, labels, jobs = make_problem("multiclass", features=33, width=7)
    made = [run(x.astype(np.float32), labels, jobs, hidden=5, epochs=2) for _ in range(2)]
    for one, two in zip(*made, strict=True):
        assert one.trial.history == two.trial.history
        for key, value in one.state.items():
            np.testing.assert_array_equal(value, two.state[key])


def test_arms_of_a_seed_share_start_and_order_and_seeds_do_not() -> None:
    x, labels, jobs = make_problem("multiclass")
    job = next(j for j in jobs if j.remedy.name == "none")
    twin = replace(job, remedy=replace(job.remedy, name="twin"))
    other = replace(job, seed=7)
    one, two, three = run(x, labels, [job, twin, other], epochs=1)
    assert one.trial.history == two.trial.history
    np.testing.assert_array_equal(one.state["head.weight"], two.state["head.weight"])
    assert np.abs(one.state["head.weight"] - three.state["head.weight"]).max() > 0.01


def test_jobs_of_different_size_and_samplers_of_different_length_all_come_back() -> None:
    x, labels, jobs = make_problem("multilabel")
    base = next(j for j in jobs if j.remedy.name == "weighted_sampling")
    make = base.remedy.sampler
    longer = replace(
        base.remedy, name="longer", sampler=lambda seed: make(seed=seed, num_samples=400)
    )
    shorter = replace(base, train=base.train[:90], remedy=remedy("none", labels[base.train[:90]]))
    seen: list[tuple[int, int]] = []
    mixed = [base, replace(base, remedy=longer), shorter]
    settings = HeadSettings(epochs=2, batch_size=64)
    results = list(
        train_heads(
            x, labels, TEST, mixed, settings=settings, progress=lambda d, t: seen.append((d, t))
        )
    )
    assert sorted(r.trial.method for r in results) == ["longer", "none", "weighted_sampling"]
    # Epochs of 90, 157 and 400 draws: 2, 3 and 7 steps.
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert len(seen) == 2 * (2 + 3 + 7)
    assert {total for _, total in seen} == {seen[-1][0]}


def test_the_best_epoch_is_kept_and_the_last_one_reported() -> None:
    x, labels, jobs = make_problem("multilabel")
    for job, result in zip(jobs, run(x, labels, jobs, epochs=8, lr=0.5, hidden=8), strict=True):
        trial = result.trial
        values = [row["val_metric"] for row in trial.history]
        assert [row["epoch"] for row in trial.history] == list(range(8))
        late = job.remedy.schedule
        first = 0 if late is None else late.first_epoch(8)
        assert first in (0, 6)
        best = max(values[first:])
        tied = [e for e in range(first, 8) if values[e] == best]
        assert trial.selection["epoch"] in tied
        if len(tied) == 1:
            assert trial.selection["epoch"] == tied[0]
        assert trial.selection["value"] == best
        assert trial.selection["last_value"] == values[-1]
        again = selection_metric(
            trial.scores["val"].values, labels[job.val], trial.scores["val"].correction
        )
        assert again == best


def test_weights_reproduce_the_scores() -> None:
    x, labels, jobs = make_problem("multiclass")
    linear = [job for job in jobs if job.remedy.head == "linear"][:3]
    for result in run(x, labels, linear, epochs=2, hidden=5, dtype="float64"):
        w = result.state
        hidden = (x[TEST] - w["mean"]) / w["std"] @ w["hidden.weight"] + w["hidden.bias"]
        logits = np.maximum(hidden, 0) @ w["head.weight"] + w["head.bias"]
        np.testing.assert_allclose(result.trial.scores["test"].values, logits, atol=1e-10)
        assert result.trial.scores["test"].ids.tolist() == [str(i) for i in TEST]


@pytest.mark.parametrize("hidden", [0, 5])
def test_weights_of_a_cosine_head_reproduce_the_scores(hidden: int) -> None:
    x, labels, jobs = make_problem("multiclass")
    job = next(j for j in jobs if j.remedy.head == "cosine")
    (result,) = run(x, labels, [job], epochs=2, hidden=hidden, dtype="float64")
    w = result.state
    rows = (x[TEST] - w["mean"]) / w["std"]
    if hidden:
        rows = np.maximum(rows @ w["hidden.weight"] + w["hidden.bias"], 0)
    assert "head.bias" not in w
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    columns = w["head.weight"] / np.linalg.norm(w["head.weight"], axis=0)
    cosines = rows / np.maximum(lengths, 1e-12) @ columns
    np.testing.assert_allclose(result.trial.scores["test"].values, cosines, atol=1e-10)


def test_the_engine_says_the_epoch_to_copies_of_the_losses() -> None:
    x, labels, jobs = make_problem("multilabel")
    job = next(j for j in jobs if j.remedy.name == "splc")
    never = replace(job.remedy, name="never", loss=SPLCLoss(first_epoch=9))
    begun = replace(job.remedy, name="begun", loss=SPLCLoss(correcting=True))
    made = [job, *(replace(job, remedy=r) for r in (never, begun))]
    splc, without, twin = run(x, labels, made, epochs=3, lr=0.3)
    assert splc.trial.history[0] == without.trial.history[0]
    assert splc.trial.history[1]["loss"] < without.trial.history[1]["loss"]
    assert splc.trial.history == twin.trial.history  # the engine's word counts
    assert not job.remedy.loss.correcting
    assert begun.loss.correcting
    assert splc.trial.scores["val"].score_kind == "ranking"
    assert splc.trial.scores["val"].correction.exactness == "none"


def test_histogram_counts_what_the_sampler_drew() -> None:
    x, labels, jobs = make_problem("multiclass")
    for job, result in zip(jobs, run(x, labels, jobs, epochs=3), strict=True):
        drawn = result.trial.histogram
        assert sum(drawn.values()) == 3 * job.train.size
        counted = dict.fromkeys(labels.names, 0)
        late = job.remedy.schedule
        makes = [job.remedy.sampler] * 3
        if late is not None and late.sampler is not None:
            makes[late.first_epoch(3) :] = [late.sampler] * (3 - late.first_epoch(3))
        for epoch, make in enumerate(makes):
            sampler = make_sampler(make, job.train.size, seed=job.seed, epochs=3)
            sampler.set_epoch(epoch)
            for row in sampler:
                counted[labels.names[labels.values[job.train[row]]]] += 1
        assert drawn == counted


def test_without_a_usable_label_in_validation_the_last_epoch_is_kept() -> None:
    x, labels, jobs = make_problem("multilabel")
    hot = labels.values.copy()
    hot[jobs[0].val] = 0
    result = run(x, Labels.from_array(hot, kind="multilabel"), jobs[:1], epochs=3)[0]
    assert result.trial.selection["epoch"] == 2
    assert np.isnan(result.trial.selection["value"])


def test_unknown_everywhere_and_batches_longer_than_the_data() -> None:
    x, labels, jobs = make_problem("multilabel")
    hot = labels.values.copy()
    hot[:, 3] = -1
    unknown = Labels.from_array(hot, kind="multilabel")
    for result in run(x, unknown, jobs, epochs=2, batch_size=4096):
        assert np.isfinite(result.trial.scores["test"].values).all()
        assert all(np.isfinite(row["loss"]) for row in result.trial.history)


def test_without_test_rows_there_are_no_test_scores() -> None:
    x, labels, jobs = make_problem("multiclass")
    none = np.array([], dtype=np.int64)
    (result,) = train_heads(x, labels, none, jobs[:1], settings=HeadSettings(epochs=1))
    assert set(result.trial.scores) == {"val"}


def test_read_only_memory_maps_constant_and_whole_number_features(tmp_path: Path) -> None:
    x, labels, jobs = make_problem("multiclass")
    x = np.concatenate([x, np.full((N, 1), 1e6)], axis=1).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    one, two = (run(given, labels, jobs[:2], epochs=1) for given in (x, mapped))
    np.testing.assert_array_equal(one[0].state["head.weight"], two[0].state["head.weight"])
    assert one[0].state["std"][-1] == 1
    whole = run(np.rint(x[:, :3]).astype(np.int64), labels, jobs[:1], epochs=1)
    assert np.isfinite(whole[0].trial.scores["val"].values).all()


def test_global_random_state_is_untouched() -> None:
    x, labels, jobs = make_problem("multiclass")
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    run(x, labels, jobs, epochs=1)
    assert random.getstate() == before[0]
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


class Broken(nn.Module):
    """A loss that goes wrong in the second epoch."""

    def __init__(self, bad: float) -> None:
        super().__init__()
        self.bad, self.calls = bad, 0

    def forward(self, logits: Tensor, _target: Tensor) -> Tensor:
        self.calls += 1
        return logits.square().mean((-2, -1)) * (self.bad if self.calls > 3 else 1.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_method_seed_and_epoch(bad: float) -> None:
    x, labels, jobs = make_problem("multiclass")
    broken = Remedy("broken", Broken(bad), Correction.identity("multiclass"))
    jobs = [*jobs, replace(jobs[0], remedy=broken, seed=1)]
    with pytest.raises(TrainingError, match=r"loss of 'broken' \(seed 1\) is not finite in epoch"):
        run(x, labels, jobs, epochs=3, batch_size=64)


def test_weights_that_blow_up_in_the_last_step_are_noticed() -> None:
    class Steep(nn.Module):
        """Always 0, with an infinite slope."""

        def forward(self, logits: Tensor, _target: Tensor) -> Tensor:
            return (logits - logits.detach()).sum((-2, -1)).sqrt()

    x, labels, jobs = make_problem("multiclass")
    job = replace(jobs[0], remedy=Remedy("steep", Steep(), Correction.identity("multiclass")))
    with pytest.raises(TrainingError, match="output of 'steep'"):
        run(x, labels, [job], epochs=1, batch_size=400)


def test_losses_must_keep_leading_axes() -> None:
    x, labels, jobs = make_problem("multiclass")

    class Scalar(nn.Module):
        def forward(self, logits: Tensor, _target: Tensor) -> Tensor:
            return logits.mean()

    job = replace(jobs[0], remedy=Remedy("own", Scalar(), Correction.identity("multiclass")))
    with pytest.raises(UsageError, match="`Scalar` must return one value per slice of stacked"):
        run(x, labels, [job], epochs=1)


Change = Callable[[HeadJob], HeadJob]
WRONG: dict[str, tuple[Change, type[Exception], str]] = {
    "leak": (lambda j: replace(j, val=j.train[:3]), LeakageError, "`val of seed 0` must share no"),
    "tested": (lambda j: replace(j, train=TEST), LeakageError, "`test of seed 0` must share no"),
    "no rows": (lambda j: replace(j, val=j.val[:0]), DataError, "`val of seed 0` must hold at"),
    "range": (lambda j: replace(j, train=np.array([N])), DataError, r"positions in \[0, 320\)"),
    "slot": (
        lambda j: replace(j, remedy=replace(j.remedy, second_stage=object())),
        UsageError,
        "`train_heads` does not support the slot `second_stage`",
    ),
    "schedule": (
        lambda j: replace(j, remedy=replace(j.remedy, schedule=object())),
        UsageError,
        "`schedule` must be one that `train_heads` knows, got object",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_jobs_are_refused(name: str) -> None:
    change, error, message = WRONG[name]
    x, labels, jobs = make_problem("multiclass", seeds=1)
    with pytest.raises(error, match=message):
        list(train_heads(x, labels, TEST, [jobs[0], change(jobs[1])]))


def test_wrong_features_and_settings_are_refused() -> None:
    x, labels, jobs = make_problem("multiclass")
    holed = x.copy()
    holed[3, 2] = np.nan
    with pytest.raises(DataError, match=r"`features` must be finite.*row 3, column 2"):
        list(train_heads(holed, labels, TEST, jobs))
    with pytest.raises(ShapeError, match=r"`features` must have shape \(320, any\)"):
        list(train_heads(x[:-1], labels, TEST, jobs))
    with pytest.raises(DataError, match="`features` must be numbers"):
        list(train_heads(x.astype(str), labels, TEST, jobs))
    for wrong in ({"epochs": 0}, {"batch_size": 1.5}, {"lr": 0}, {"hidden": -1}):
        with pytest.raises(UsageError, match=f"`{next(iter(wrong))}` must be"):
            HeadSettings(**wrong)
    with pytest.raises(UsageError, match="`dtype` must be one of 'float32', 'float64'"):
        HeadSettings(dtype="float16")


def test_ties_of_a_head_go_to_the_lower_validation_loss() -> None:
    """Separable labels: average precision is 1 from some epoch on, and the loss still falls."""
    rng = np.random.default_rng(0)
    hot = (np.arange(120) % 4 == 0).astype(int)
    x = rng.normal(size=(120, 3)) * 0.1
    x[:, 0] += 4.0 * hot
    labels = Labels.from_array(hot[:, None], kind="multilabel")
    made = remedy("none", labels[np.arange(80)])
    job = HeadJob(made, 0, np.arange(80), np.arange(80, 120))
    settings = HeadSettings(epochs=12, batch_size=16, lr=0.1, dtype="float64")
    (result,) = train_heads(x, labels, np.empty(0, dtype=np.int64), [job], settings=settings)
    values = [row["val_metric"] for row in result.trial.history]
    tied = [e for e, value in enumerate(values) if value == 1.0]
    assert len(tied) > 2
    losses = [row["loss"] for row in result.trial.history]
    assert np.diff(losses).max() < 0  # so the last of them validates best
    assert result.trial.selection["epoch"] == tied[-1]
