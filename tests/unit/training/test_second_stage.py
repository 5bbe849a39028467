"""Second stages: what stands still, what is trained or computed, and the published identities."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.neighbors import NearestCentroid
from torch import Tensor, nn

from equipoise import Correction, Labels, Remedy, Split, TrainingOptions, Trial, fit, remedy
from equipoise.data import ArrayDataset, Sequences, pad_batch
from equipoise.errors import UsageError
from equipoise.models import MLP, CosineHead, LSTMClassifier
from equipoise.training import Deferred, Mixup, SecondStage
from equipoise.training.late import LearnedScales, centre_means, fold_scales, scale_rows

SLOW = pytest.mark.slow
N = 160
SPLIT = Split.from_parts(
    np.arange(100), np.arange(100, 130), np.arange(130, N), n_rows=N, seed=0, method="hand"
)
HEAD = ("4.weight", "4.bias")


def make_data(dtype: Any = np.float32, *, absent: bool = False) -> ArrayDataset:
    rng = np.random.default_rng(3)
    y = rng.choice(3, N, p=[0.7, 0.2, 0.1])
    x = rng.normal(size=(N, 5)) + 1.5 * np.eye(3, 5)[y]
    if absent:
        y[:100][y[:100] == 2] = 0
    return ArrayDataset(x.astype(dtype), Labels.from_array(y, kind="multiclass"))


def network() -> nn.Module:
    return nn.Sequential(
        nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3)
    )


def options(**given: Any) -> TrainingOptions:
    given = {"epochs": 3, "batch_size": 20, "lr": 0.05, **given}
    return TrainingOptions(accelerator="cpu", **given)


def train(
    out: Path, treated: Remedy, data: ArrayDataset | None = None, model: Any = network, **given: Any
) -> tuple[Trial, dict[str, Tensor]]:
    data = make_data() if data is None else data
    trial = fit(model, data, SPLIT, treated, options=options(**given), out=out, resume=False)
    return trial, load_file(out / trial.folder_name / "model.safetensors")


def staged(kind: str, data: ArrayDataset | None = None, **given: Any) -> Remedy:
    """Plain training, then a stage with settings that the catalogue does not have."""
    made = remedy("none", (make_data() if data is None else data).labels[SPLIT.train])
    lost = Correction("multiclass", exactness="none")
    stage = SecondStage(kind, replace(made, correction=lost), **given)  # type: ignore[arg-type]
    return replace(made, second_stage=stage)


def plain(data: ArrayDataset) -> Remedy:
    return remedy("none", data.labels[SPLIT.train])


def rebuilt(weights: dict[str, Tensor]) -> nn.Module:
    net = network().to(weights["4.weight"].dtype)
    net.load_state_dict(weights)
    return net.eval()


@torch.no_grad()
def outputs(net: nn.Module, data: ArrayDataset, rows: Any) -> np.ndarray:
    return net(torch.from_numpy(data.features[rows])).double().numpy()


# One stage that is trained and one that is computed; the others are slow.
TRAINED_AND_COMPUTED = ["crt", "ncm", *(pytest.param(n, marks=SLOW) for n in ("lws", "tau_norm"))]
OTHERS = ["lws", "tau_norm", *(pytest.param(n, marks=SLOW) for n in ("crt", "ncm"))]


@pytest.mark.parametrize("name", TRAINED_AND_COMPUTED)
def test_all_but_the_last_layer_stands_still_to_the_bit(tmp_path: Path, name: str) -> None:
    data = make_data()
    _, first = train(tmp_path, plain(data))
    trial, final = train(tmp_path, remedy(name, data.labels[SPLIT.train]))
    assert set(final) == set(first)
    for key in set(first) - set(HEAD):  # means and variances of batch norm among them
        assert torch.equal(final[key], first[key]), key
    assert not torch.equal(final[HEAD[0]], first[HEAD[0]]) or trial.selection.get("tau") == 0.0
    # What is scored is what the written network says.
    for part, rows in (("val", SPLIT.val), ("test", SPLIT.test)):
        said = outputs(rebuilt(final), data, rows)
        np.testing.assert_allclose(trial.scores[part].values, said, atol=1e-5)
        assert trial.scores[part].score_kind == ("logits" if name == "crt" else "ranking")
    assert trial.selection["second_stage"] == name


def test_the_new_layer_is_drawn_by_the_seed_and_trained_on_balanced_rows(tmp_path: Path) -> None:
    data = make_data()
    treated = remedy("crt", data.labels[SPLIT.train], epochs=5, lr=1e-9)
    _, first = train(tmp_path, plain(data))
    trial, one = train(tmp_path, treated)
    _, same = train(tmp_path, treated)
    assert torch.equal(one[HEAD[0]], same[HEAD[0]])
    assert (one[HEAD[0]] - first[HEAD[0]]).abs().max() > 0.05
    other = fit(network, data, SPLIT, treated, options=options(), seed=1, out=tmp_path)
    weights = load_file(tmp_path / other.folder_name / "model.safetensors")
    assert (weights[HEAD[0]] - one[HEAD[0]]).abs().max() > 0.05
    # Five epochs follow the three, and both count towards what was drawn.
    assert [row["epoch"] for row in trial.history] == list(range(8))
    assert [row.get("stage") for row in trial.history] == [None] * 3 + [2] * 5
    assert 3 <= trial.selection["second_stage_epoch"] < 8
    counts = data.labels[SPLIT.train].counts
    drawn = np.array([trial.histogram[name] for name in data.labels.names]) - 3 * counts
    assert drawn.sum() == 500
    np.testing.assert_allclose(drawn / 500, 1 / 3, atol=0.1)
    late = [row["drawn"] for row in trial.label_history if row["epoch"] >= 3]
    assert sum(late) == 500


def test_a_stage_without_dropout_is_logistic_regression_on_the_features(tmp_path: Path) -> None:
    """With its features given by hand, the last layer of crt is what a loop trains."""
    data = make_data(np.float64)
    given = {"precision": "64-true", "schedule": "constant", "weight_decay": 0.0, "keep": "last"}
    treated = staged("crt", epochs=100, lr=0.2)
    _, final = train(
        tmp_path, treated, data, lambda: MLP(5, 3, hidden=(6,)), batch_size=100, **given
    )
    head = [key for key in final if final[key].shape[0] == 3]
    net = MLP(5, 3, hidden=(6,)).double()
    net.load_state_dict(final)
    x, y = torch.from_numpy(data.features[:100]), torch.from_numpy(data.labels.values[:100])
    nn.functional.cross_entropy(net(x), y).backward()
    slopes = dict(net.named_parameters())
    assert max(float(slopes[key].grad.abs().max()) for key in head) < 0.01


def test_scales_multiplied_in_give_what_the_network_with_scales_gives() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    x = torch.randn(7, 5, dtype=torch.float64)
    scaled = nn.Sequential(net[0], net[1], LearnedScales(net[2]))
    assert torch.equal(scaled(x), net(x))  # scales begin at 1
    with torch.no_grad():
        scaled[2].scale.copy_(torch.tensor([0.5, 2.0, 3.0]))
    before = scaled(x)
    folded = fold_scales(scaled)
    assert isinstance(folded[2], nn.Linear)
    torch.testing.assert_close(folded(x), before, rtol=0, atol=1e-12)
    alone = LearnedScales(nn.Linear(5, 3))
    assert isinstance(fold_scales(alone), nn.Linear)


def test_scales_keep_the_direction_of_every_row_and_the_bias(tmp_path: Path) -> None:
    data = make_data()
    _, first = train(tmp_path, plain(data))
    _, final = train(tmp_path, remedy("lws", data.labels[SPLIT.train]))
    assert torch.equal(final["4.bias"], first["4.bias"])
    ratio = final["4.weight"] / first["4.weight"]
    np.testing.assert_allclose(ratio.std(1), 0.0, atol=1e-4)
    assert ratio.mean(1).std() > 0.01


def test_tau_zero_changes_nothing(tmp_path: Path) -> None:
    data = make_data()
    one, first = train(tmp_path, plain(data))
    two, final = train(tmp_path, staged("tau_norm", taus=[0.0]))
    for key, value in first.items():
        assert torch.equal(final[key], value), key
    for part in ("val", "test"):
        np.testing.assert_array_equal(two.scores[part].values, one.scores[part].values)
    three, final = train(tmp_path, staged("tau_norm", taus=[0.0], bias="drop"))
    assert not final["4.bias"].any()
    shifted = one.scores["val"].values - first["4.bias"].double().numpy()
    np.testing.assert_allclose(three.scores["val"].values, shifted, atol=1e-6)


# Under SGD with weight decay the norms follow the counts, which is what the method is made for.
DECAY = {"optimizer": "sgd", "weight_decay": 2e-2, "epochs": 20, "keep": "last"}


@pytest.mark.parametrize("bias", ["keep", "drop"])
def test_tau_is_the_best_on_validation_rows(tmp_path: Path, bias: str) -> None:
    data = make_data()
    make = lambda: MLP(5, 3, hidden=(8,))  # noqa: E731
    one, first = train(tmp_path, plain(data), model=make, **DECAY)
    trial, final = train(tmp_path, staged("tau_norm", bias=bias), model=make, **DECAY)
    weight, shift = (k for k in sorted(first, reverse=True) if first[k].shape[0] == 3)
    y = data.labels.values[SPLIT.val]
    recalls = {}
    for tau in np.round(np.arange(21) / 10, 1):
        scaled = scale_rows(
            one.scores["val"].values,
            first[weight].numpy(),
            first[shift].numpy(),
            tau,
            keep_bias=bias == "keep",
        )
        recalls[float(tau)] = said_right(scaled, y)
    best = max(recalls.values())
    assert best > recalls[0.0]  # else the test could not fail
    assert trial.selection["tau"] == min(t for t, v in recalls.items() if v > best - 1e-12)
    assert trial.selection["second_stage_value"] == pytest.approx(best)
    assert said_right(trial.scores["val"].values, y) == pytest.approx(best)
    norms = first[weight].norm(dim=1, keepdim=True)
    torch.testing.assert_close(final[weight], first[weight] / norms ** trial.selection["tau"])


@pytest.mark.parametrize("name", OTHERS)
def test_labels_of_test_rows_decide_nothing(tmp_path: Path, name: str) -> None:
    data = make_data()
    turned = data.labels.values.copy()
    turned[SPLIT.test] = (turned[SPLIT.test] + 1) % 3
    blind = ArrayDataset(data.features, Labels.from_array(turned, kind="multiclass"))
    treated = remedy(name, data.labels[SPLIT.train])
    one, first = train(tmp_path, treated, data)
    two, final = train(tmp_path, treated, blind)
    assert dict(one.selection) == dict(two.selection)
    for key, value in first.items():
        assert torch.equal(final[key], value), key
    moved = data.labels.values.copy()
    moved[SPLIT.val] = (moved[SPLIT.val] + 1) % 3
    other = ArrayDataset(data.features, Labels.from_array(moved, kind="multiclass"))
    assert dict(train(tmp_path, treated, other)[0].selection) != dict(one.selection)


def test_nearest_class_means_are_those_of_scikit_learn(tmp_path: Path) -> None:
    data = make_data()
    trial, final = train(tmp_path, remedy("ncm", data.labels[SPLIT.train]))
    features = rebuilt(final)[:4]
    with torch.no_grad():
        z = features(torch.from_numpy(data.features)).double().numpy()
    oracle = NearestCentroid().fit(z[SPLIT.train], data.labels.values[SPLIT.train])
    for part, rows in (("val", SPLIT.val), ("test", SPLIT.test)):
        said = trial.scores[part].values
        np.testing.assert_array_equal(said.argmax(1), oracle.predict(z[rows]))
        # Differences of outputs are half those of squared distances.
        apart = ((z[rows, None] - oracle.centroids_) ** 2).sum(2)
        np.testing.assert_allclose(
            said[:, :1] - said, (apart - apart[:, :1]) / 2, rtol=1e-4, atol=1e-4
        )
    y = data.labels.values[SPLIT.val]
    right = said_right(trial.scores["val"].values, y)
    assert trial.selection["second_stage_value"] == pytest.approx(right)


def said_right(said: np.ndarray, y: np.ndarray) -> float:
    """Balanced accuracy, by hand."""
    return float(np.mean([(said.argmax(1) == y)[y == k].mean() for k in np.unique(y)]))


def test_a_class_without_training_rows_is_never_decided_for(tmp_path: Path) -> None:
    data = make_data(absent=True)
    trial, final = train(tmp_path, remedy("ncm", data.labels[SPLIT.train]), data)
    assert all(value.isfinite().all() for value in final.values())
    for scores in trial.scores.values():
        assert (scores.values.argmax(1) != 2).all()
    # Nor for any other features, however far.
    random = torch.Generator().manual_seed(0)
    means = 5.0 * torch.randn(6, 4, generator=random) + 3.0
    means[[1, 4]] = torch.nan
    weight, bias = centre_means(means)
    far = torch.randn(20_000, 4, generator=random) * 10.0 ** torch.randint(
        -3, 4, (20_000, 1), generator=random
    )
    decided = (torch.cat([far, means[[0]]]) @ weight.T + bias).argmax(1)
    assert set(decided.tolist()) == {0, 2, 3, 5}


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
@pytest.mark.parametrize("name", ["crt", "lws", "tau_norm", "ncm"])
def test_other_precisions(tmp_path: Path, name: str, precision: str) -> None:
    data = make_data(np.float64 if precision == "64-true" else np.float32)
    treated = remedy(name, data.labels[SPLIT.train])
    trial, final = train(tmp_path, treated, data, precision=precision)
    exact = precision == "64-true"
    assert {v.dtype for v in final.values() if v.is_floating_point()} == {
        torch.float64 if exact else torch.float32
    }
    said = outputs(rebuilt(final), data, SPLIT.test)
    # Trained in half precision, but scored in single: bfloat16 would be 4e-3 off, and tie rows.
    atol = (1e-9 if exact else 1e-5) * max(np.abs(said).max(), 1.0)
    np.testing.assert_allclose(trial.scores["test"].values, said, atol=atol)


@pytest.mark.parametrize("name", ["crt", "lws", "tau_norm", "ncm"])
def test_sequences_with_their_lengths(name: str) -> None:
    rng = np.random.default_rng(0)
    y = rng.choice(2, N, p=[0.8, 0.2])
    rows = [(rng.normal(size=(rng.integers(1, 9), 4)) + k).astype(np.float32) for k in y]
    data = Sequences(rows, Labels.from_array(y, kind="multiclass"))
    treated = remedy(name, data.labels[SPLIT.train])
    trial = fit(
        lambda: LSTMClassifier(4, 2, hidden=8), data, SPLIT, treated, options=options(),
        collate=pad_batch,
    )  # fmt: skip
    assert np.isfinite(trial.scores["test"].values).all()
    assert said_right(trial.scores["val"].values, y[SPLIT.val]) > 0.7


def test_a_new_layer_for_several_labels() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, 5)).astype(np.float32)
    labels = Labels.from_array((x[:, :3] > [0.2, 0.8, 1.2]).astype(int), kind="multilabel")
    treated = remedy("crt", labels[SPLIT.train])
    trial = fit(network, ArrayDataset(x, labels), SPLIT, treated, options=options())
    assert trial.scores["test"].correction.exactness == "approximate"
    assert trial.selection["second_stage_value"] > 0.6


def test_averages_and_parts_of_a_batch_serve_the_second_stage_too(tmp_path: Path) -> None:
    data = make_data(np.float64)
    treated = remedy("lws", data.labels[SPLIT.train])
    given = {"precision": "64-true", "ema": 0.8, "warmup": 1.0, "keep": "last"}
    make = lambda: MLP(5, 3, hidden=(6,))  # noqa: E731
    _, whole = train(tmp_path, treated, data, make, **given)
    _, parts = train(tmp_path, treated, data, make, accumulation=2, **given)
    for key, value in whole.items():
        torch.testing.assert_close(parts[key], value, rtol=0, atol=1e-11)


class Pooled(nn.Module):
    """Outputs per step, averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x[:, None].expand(-1, 2, -1)).mean(1)


class Untrained(nn.Module):
    """A loss that must not be reached."""

    def forward(self, _logits: Tensor, _target: Tensor) -> Tensor:
        raise AssertionError("the first stage was trained")


@pytest.mark.parametrize(
    ("kind", "model", "message"),
    [
        ("lws", lambda: nn.Sequential(nn.Linear(5, 4), CosineHead(4, 3)), "end in a linear layer"),
        ("ncm", lambda: nn.Sequential(nn.Linear(5, 4), CosineHead(4, 3)), "end in a linear layer"),
        (
            "crt",
            lambda: nn.utils.parametrizations.weight_norm(nn.Linear(5, 3)),
            "end in a linear layer for 'crt'",
        ),
        ("tau_norm", lambda: nn.Sequential(nn.Linear(5, 3), nn.Sigmoid()), "return what its last"),
        ("ncm", Pooled, "return what its last layer does"),
    ],
)
def test_a_network_that_does_not_fit_is_named_before_it_is_trained(
    kind: str, model: Any, message: str
) -> None:
    treated = replace(staged(kind), loss=Untrained())
    with pytest.raises(UsageError, match=message):
        fit(model, make_data(), SPLIT, treated, options=options())


def test_a_cosine_head_is_drawn_anew(tmp_path: Path) -> None:
    model = lambda: nn.Sequential(nn.Linear(5, 4), CosineHead(4, 3, scale=16.0))  # noqa: E731
    _, first = train(tmp_path, plain(make_data()), model=model)
    _, final = train(tmp_path, staged("crt", epochs=2), model=model)
    assert torch.equal(final["0.weight"], first["0.weight"])
    assert not torch.equal(final["1.weight"], first["1.weight"])


@pytest.mark.parametrize("kind", ["tau_norm", "ncm"])
def test_stages_for_classes_are_refused_on_labels(kind: str) -> None:
    x = np.random.default_rng(0).normal(size=(N, 5)).astype(np.float32)
    labels = Labels.from_array((x[:, :3] > 0.5).astype(int), kind="multilabel")
    made = remedy("none", labels[SPLIT.train])
    lost = replace(made, correction=Correction("multilabel", exactness="none"))
    treated = replace(made, second_stage=SecondStage(kind, lost))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"be for multilabel labels, got '{kind}'"):
        fit(network, ArrayDataset(x, labels), SPLIT, treated, options=options())


def test_settings_are_checked_and_no_slot_is_ignored() -> None:
    made = plain(make_data())
    for given, message in (
        ({"kind": "crtt"}, "`kind` must"),
        ({"epochs": 0}, "`epochs` must be >= 1"),
        ({"lr": 0.0}, "`lr` must be .*> 0"),
        ({"taus": []}, "`taus` must hold"),
        ({"taus": [0.5, float("nan")]}, "`taus` must hold"),
        ({"bias": "none"}, "`bias` must"),
    ):
        with pytest.raises(UsageError, match=message):
            SecondStage(**{"kind": "crt", "remedy": made, **given})
    nested = replace(made, second_stage=SecondStage("crt", made))
    with pytest.raises(UsageError, match="'crt'` does not support the slot `second_stage`"):
        SecondStage("crt", nested)
    balanced = remedy("class_balanced_sampling", make_data().labels[SPLIT.train])
    with pytest.raises(UsageError, match="'ncm'` does not support the slot `sampler`"):
        SecondStage("ncm", balanced)
    for slot in ({"mixing": Mixup(num_classes=3)}, {"schedule": Deferred(loss=made.loss)}):
        assert SecondStage("crt", replace(made, **slot)).is_trained
        with pytest.raises(UsageError, match="does not support the slot"):
            SecondStage("tau_norm", replace(made, **slot))


def test_a_short_training_is_still_treated_late() -> None:
    """Else plain outputs would be corrected for weights that were never in force."""
    late = Deferred(0.8, loss=nn.CrossEntropyLoss())
    assert [late.first_epoch(n) for n in (1, 2, 3, 5, 10)] == [0, 1, 2, 4, 8]
    assert Deferred(1.0, loss=nn.CrossEntropyLoss()).first_epoch(2) == 2
    assert Deferred(0.0, loss=nn.CrossEntropyLoss()).first_epoch(2) == 0
