"""The default trainer: rows weighted exactly, remedies that fit, trials that are found again."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from mining_data import make_pools, make_rows
from torch import nn

import equipoise as eq
from equipoise.data import ArrayDataset
from equipoise.errors import UsageError
from equipoise.losses import BCELoss, CrossEntropyLoss
from equipoise.mining import (
    ArrayPool,
    DatasetPool,
    FitTrainer,
    MiningOptions,
    MiningTask,
    mine_hard_negatives,
)
from equipoise.mining.trainer import NetworkScorer, _Items, _weighted, _WeightedRows
from equipoise.models import MLP

FAST = eq.TrainingOptions(epochs=3, lr=0.02, batch_size=64, accelerator="cpu")


def task(folder: Path, pool, validation, weights=None, **changes) -> MiningTask:
    rows = np.flatnonzero(pool.values >= 0)[::3]
    given = np.ones(rows.size) if weights is None else weights(rows)
    base = {"seed": 5, "round": 0, "previous": None, "folder": folder}
    return MiningTask(pool, rows, given, validation, **{**base, **changes})


def test_weighted_rows_are_a_weighted_mean() -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(6, 1, generator=generator)
    y = torch.tensor([1.0, 0, 0, 1, 0, 0])
    w = torch.tensor([0.5, 2, 1, 0.5, 1, 1])
    loss = _WeightedRows(BCELoss(reduction="none"), "multilabel")
    each = nn.functional.binary_cross_entropy_with_logits(z[:, 0], y, reduction="none")
    torch.testing.assert_close(loss(z, torch.stack([y, w], 1)), (each * w).mean())
    classes = torch.randint(0, 3, (6,), generator=generator)
    logits = torch.randn(6, 3, generator=generator)
    loss = _WeightedRows(CrossEntropyLoss(reduction="none"), "multiclass")
    each = nn.functional.cross_entropy(logits, classes, reduction="none")
    given = torch.stack([classes.float(), w], 1)
    torch.testing.assert_close(loss(logits, given), (each * w).mean())


def test_a_row_of_weight_two_is_a_row_that_comes_twice(tmp_path: Path) -> None:
    x, labels = make_rows(90, 1)
    y = np.zeros(90, dtype=int)
    y[:30] = 1
    labels = eq.Labels.from_array(y, kind="multilabel", names=["ship"])
    pool, validation = ArrayPool(x, labels), make_pools(400)[1]
    twice = ArrayPool(np.concatenate([x, x[30:60]]),
                      eq.Labels.from_array(np.concatenate([y, y[30:60]]), kind="multilabel",
                                           names=["ship"]))  # fmt: skip
    options = eq.TrainingOptions(
        epochs=60, lr=0.1, batch_size=120, optimizer="sgd", weight_decay=0.0, keep="last",
        accelerator="cpu", schedule="constant",
    )  # fmt: skip
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 1))
    weights = np.where((np.arange(90) >= 30) & (np.arange(90) < 60), 2.0, 1.0)
    trained = FitTrainer(model, options=options, progress=False)
    rows = np.arange(90)
    one = trained(MiningTask(pool, rows, weights / weights.mean(), validation, 0, 0, None,
                             tmp_path / "a"))  # fmt: skip
    two = trained(MiningTask(twice, np.arange(120), np.ones(120), validation, 0, 0, None,
                             tmp_path / "b"))  # fmt: skip
    np.testing.assert_allclose(one(x), two(x), atol=1e-4)


def test_items_are_inputs_with_label_and_weight() -> None:
    x, labels = make_rows(30, 1)
    pool = ArrayPool(x, labels)
    rows = np.array([4, 29, 7])
    for source in (pool, DatasetPool(ArrayDataset(x, labels)), pool[np.arange(30)]):
        weighted = _Items(source, rows, np.array([0.5, 1.5, 1.0]))
        plain = _Items(source, rows, None)
        for i, row in enumerate(rows):
            np.testing.assert_array_equal(weighted[i][0], x[row])
            assert weighted[i][1].tolist() == [labels.values[row, 0], [0.5, 1.5, 1.0][i]]
            assert plain[i][1].tolist() == [labels.values[row, 0]]
        with pytest.raises(IndexError):
            plain[3]


def test_mining_with_fit_goes_on_where_it_was(tmp_path: Path) -> None:
    pool, validation = make_pools(1200)
    test = ArrayPool(*make_rows(500, 7))
    options = MiningOptions(rounds=1, patience=9)
    long = eq.TrainingOptions(epochs=6, lr=0.1, accelerator="cpu")

    def call(**more):
        trainer = FitTrainer(lambda: MLP(2, 1), options=long, test=test, progress=False)
        return mine_hard_negatives(trainer, pool, validation, options=options, out=tmp_path, **more)

    mined = call()
    scores = eq.Scores.load(mined.trial / "test.parquet")
    assert scores.score_kind == "ranking"
    np.testing.assert_allclose(scores.values, mined.scorer(test.features), atol=1e-5)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("model.safetensors")}
    assert len(before) == 2
    again = call()
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("model.safetensors")} == before
    np.testing.assert_array_equal(again.scorer(test.features), mined.scorer(test.features))
    assert call(config={"arm": "other"}).folder != mined.folder
    table = eq.evaluate(mined.rule, scores)
    assert table.per_label["ship"]["ap"].value > 0.3


def test_model_without_fit_is_trained_by_fit() -> None:
    pool, validation = make_pools(400)
    options = MiningOptions(rounds=0)
    torch.manual_seed(0)
    mined = mine_hard_negatives(None, pool, validation, model=MLP(2, 1), options=options)
    assert mined.trial is None
    assert isinstance(mined.scorer, NetworkScorer)
    assert 0 < mined.probabilities(validation.features).mean() < 1


def test_without_restart_the_network_goes_on(tmp_path: Path) -> None:
    pool, validation = make_pools(400)
    trainer = FitTrainer(lambda: MLP(2, 1, hidden=()), options=FAST, progress=False)
    first = trainer(task(tmp_path / "a", pool, validation))
    x = validation.features
    options = eq.TrainingOptions(epochs=1, lr=1e-9, accelerator="cpu")
    still = FitTrainer(lambda: MLP(2, 1, hidden=()), options=options, progress=False)
    went_on = still(task(tmp_path / "b", pool, validation, previous=first, round=1))
    np.testing.assert_allclose(went_on(x), first(x), atol=1e-5)
    anew = still(task(tmp_path / "c", pool, validation))
    assert np.abs(anew(x) - first(x)).max() > 0.01


def some_weights(rows):
    return np.where(rows % 2, 1.5, 0.5)


@pytest.mark.parametrize("name", ["none", "pos_weight", "focal", "asymmetric"])
def test_losses_with_one_value_per_row_take_weights(name: str, tmp_path: Path) -> None:
    pool, validation = make_pools(300)
    trainer = FitTrainer(
        lambda: MLP(2, 1), remedy=partial(eq.remedy, name), options=FAST, progress=False
    )
    scorer = trainer(task(tmp_path, pool, validation, some_weights))
    assert scorer(validation.features).shape == (len(validation), 1)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ohem", "`remedy` must have a loss with one value per row, got 'ohem'"),
        ("soft_f_beta", "must have a loss with one value per row"),
        ("weighted_sampling", "does not support the slot `sampler`"),
    ],
)
@pytest.mark.filterwarnings("ignore:'weighted_sampling' draws all classes as often")
def test_methods_that_take_no_weights_say_so(name: str, message: str, tmp_path: Path) -> None:
    pool, validation = make_pools(300)
    trainer = FitTrainer(
        lambda: MLP(2, 1), remedy=partial(eq.remedy, name), options=FAST, progress=False
    )
    with pytest.raises(UsageError, match=message):
        trainer(task(tmp_path, pool, validation, some_weights))


def test_several_devices_need_a_process_group(tmp_path: Path) -> None:
    options = eq.TrainingOptions(accelerator="cpu", devices=2)
    trainer = FitTrainer(lambda: MLP(2, 1), options=options)
    with pytest.raises(UsageError, match="must have devices=1 in a single process, got 2 devices"):
        trainer(task(tmp_path, *make_pools(300)))


def test_any_loss_will_do_without_weights(tmp_path: Path) -> None:
    pool, validation = make_pools(300)
    trainer = FitTrainer(
        lambda: MLP(2, 1), remedy=partial(eq.remedy, "ohem"), options=FAST, progress=False
    )
    assert trainer(task(tmp_path, pool, validation))(validation.features).shape[1] == 1


def test_a_loss_is_left_as_it_was() -> None:
    labels = make_rows(50, 1)[1]
    made = eq.remedy("focal", labels)
    before = made.loss.reduction
    _weighted(made, labels)
    assert made.loss.reduction == before


def test_a_scorer_takes_arrays_tensors_and_pairs() -> None:
    class Pair(nn.Module):
        def forward(self, x):
            return x[0][:, :1] * x[1][:, None]

    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    scorer = NetworkScorer(net, torch.device("cpu"))
    x = np.random.default_rng(0).normal(size=(3000, 2, 2))
    np.testing.assert_allclose(scorer(x), scorer(torch.from_numpy(x).float()), atol=1e-6)
    assert not net.training
    pair = NetworkScorer(Pair(), torch.device("cpu"))
    assert pair((torch.ones(2, 3), torch.tensor([2, 3]))).tolist() == [[2.0], [3.0]]
    kept = NetworkScorer(nn.Identity(), torch.device("cpu"))
    assert kept(np.array([[7]], dtype=np.uint8)).tolist() == [[7.0]]
