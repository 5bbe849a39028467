"""Losses as Keras uses them: weights, masks, unknown entries, counts, and wrong use."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import pytest
import torch

from equipoise import losses as torch_losses
from equipoise.errors import DataError, NotRecoverableError, ShapeError, UsageError
from equipoise.keras import losses
from keras_backend import gradient, number

Z = np.array([[1.0, -2.0], [0.5, 0.0], [-1.0, 3.0]], np.float32)
Y = np.array([[1, 0], [0, -1], [-1, 1]], np.float32)


def test_row_weights_scale_rows() -> None:
    loss = losses.BCELoss(from_logits=True)
    every = number(loss.unreduced(Y, Z))
    weight = np.array([1.0, 2.0, 5.0])
    expected = (every * weight[:, None]).sum() / 4
    assert float(loss(Y, Z, sample_weight=weight)) == pytest.approx(expected, rel=1e-6)
    total = losses.BCELoss(from_logits=True, reduction="sum")
    assert float(total(Y, Z, sample_weight=weight)) == pytest.approx(4 * expected, rel=1e-6)
    rows = losses.BCELoss(from_logits=True, reduction=None)(Y, Z)
    np.testing.assert_allclose(number(rows), every.sum(1), rtol=1e-6)


def test_nothing_known_is_zero_with_a_zero_gradient() -> None:
    loss, unknown = losses.PosWeightBCELoss([2.0, 3.0], from_logits=True), np.full((3, 2), -1.0)
    assert float(loss(unknown, Z)) == 0.0
    assert not gradient(lambda leaf: loss(unknown, leaf), Z).any()
    missing = np.where(Y < 0, np.nan, Y)
    assert float(loss(missing, Z)) == float(loss(Y, Z))


def test_masked_steps_count_for_nothing() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(4, 6, 3)).astype("float32")
    x[:2, 4:] = 0.0
    y = (random.random((4, 6, 2)) < 0.5).astype("float32")
    keras.utils.set_random_seed(0)
    layers = [keras.Input((None, 3)), keras.layers.Masking(), keras.layers.Dense(2)]
    model = keras.Sequential(layers)
    model.compile(loss=losses.BCELoss(from_logits=True))
    value = model.evaluate(x, y, verbose=0)
    kept = np.ones((4, 6), bool)
    kept[:2, 4:] = False
    loss = losses.BCELoss(from_logits=True)
    assert value == pytest.approx(float(loss(y[kept], model.predict(x, verbose=0)[kept])), rel=1e-5)


def test_a_binary_label_may_come_without_its_column() -> None:
    loss = losses.BCELoss(from_logits=True)
    assert float(loss(np.array([1.0, 0.0]), Z[:2, :1])) == float(loss([[1.0], [0.0]], Z[:2, :1]))


def test_class_targets_are_indices_or_one_hot() -> None:
    loss, z = losses.LogitAdjustedLoss([0.7, 0.3], from_logits=True), Z
    index = np.array([0, 1, 1])
    for target in (index, index[:, None], np.eye(2)[index]):
        assert float(loss(target, z)) == pytest.approx(float(loss(index, z)), rel=1e-6)


@pytest.mark.parametrize("kind", ["labels", "classes"])
def test_after_a_sigmoid_or_softmax_of_keras_no_gradient_is_lost(kind: str) -> None:
    labels = kind == "labels"
    loss: Any = losses.BCELoss() if labels else losses.SoftmaxFocalLoss()
    squash = keras.activations.sigmoid if labels else keras.activations.softmax
    # Arrays of JAX cannot carry the logits, and a float32 sigmoid is 1 from 17 on.
    far = 15.0 if keras.backend.backend() == "jax" else 60.0
    z, y = np.array([[far, 0.0]], np.float32), np.array([[0.0, 1.0]], np.float32)
    slope = gradient(lambda leaf: loss(y, squash(leaf)), z)
    np.testing.assert_allclose(slope[0, 0], 0.5 if labels else 1.0, rtol=0.01)


MULTI = (np.random.default_rng(1).random((50, 3)) < [0.5, 0.1, 0.2]).astype(int)
FROM_COUNTS = [
    ("PosWeightBCELoss", "from_label_counts", ([5, 40], 100), {"power": 0.5, "cap": 3.0}),
    ("ClassBalancedBCELoss", "from_label_counts", ([5, 40], 100), {"weight_on": "positives"}),
    ("ClassBalancedFocalLoss", "from_label_counts", ([5, 40],), {"weight_on": "label"}),
    ("SoftmaxFocalLoss", "from_class_counts", ([5, 40],), {"method": "power"}),
    ("LogitAdjustedLoss", "from_class_counts", ([5, 40],), {"tau": 0.5}),
    ("LogitAdjustedLoss", "from_class_counts", ([5, 40, 0],), {"zero_counts": "ignore"}),
    ("BalancedSoftmaxLoss", "from_class_counts", ([5, 40],), {}),
    ("LDAMLoss", "from_class_counts", ([5, 40],), {"max_margin": 0.4}),
    ("VectorScalingLoss", "from_class_counts", ([5, 40],), {"smooth": True}),
    ("CDTLoss", "from_class_counts", ([5, 40],), {}),
    ("DistributionBalancedLoss", "from_targets", (MULTI,), {"mu": 0.3}),
]


@pytest.mark.parametrize(("name", "maker", "given", "options"), FROM_COUNTS)
def test_settings_from_counts_are_those_of_torch(
    name: str, maker: str, given: tuple[Any, ...], options: dict[str, Any]
) -> None:
    ours = getattr(getattr(losses, name), maker)(*given, **options)
    if maker == "from_targets":
        given = (torch.tensor(given[0], dtype=torch.float32),)
    theirs = getattr(getattr(torch_losses, name), maker)(*given, **options)
    for key, value in ours.settings().items():
        other = getattr(theirs, key, None)
        if isinstance(other, torch.Tensor):
            np.testing.assert_allclose(value, other.numpy(), rtol=1e-6)
        elif other is not None:
            assert value == other


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: losses.PosWeightBCELoss([-1.0]), DataError, "`pos_weight` must be >= 0"),
        (lambda: losses.PosWeightBCELoss([np.inf]), DataError, "be finite"),
        (lambda: losses.SigmoidFocalLoss(alpha=1.0), UsageError, r"lie in \(0, 1\)"),
        (
            lambda: losses.SigmoidFocalLoss(gamma=-1.0),
            UsageError,
            "`gamma` must be finite and >= 0",
        ),
        (lambda: losses.AsymmetricLoss(margin=1.0), UsageError, "published margin is 0.05"),
        (lambda: losses.LogitAdjustedLoss([1.0, 0.0]), DataError, "0 for class 1"),
        (lambda: losses.LDAMLoss([0.5, 0.1], scale=0.0), UsageError, "Start with 30"),
        (
            lambda: losses.DistributionBalancedLoss([9.0], n_rows=5),
            DataError,
            "Count all training rows",
        ),
        (
            lambda: losses.DistributionBalancedLoss([1.0], n_rows=5, scale=0),
            UsageError,
            "`scale`",
        ),
        (lambda: losses.ClassBalancedBCELoss([1.0], weight_on="x"), UsageError, "`weight_on`"),
        (lambda: losses.BCELoss()(Y, Z[:, :1]), ShapeError, "One column per label"),
        (lambda: losses.PosWeightBCELoss([1.0])(Y, Z), ShapeError, "one output per class or label"),
        (lambda: losses.CDTLoss([0.5, 0.5])(np.ones((3, 4)), Z), ShapeError, "class indices"),
        (lambda: losses.BCELoss()(Y[0], Z[0]), ShapeError, r"\(..., N, L\)"),
        (lambda: losses.SoftmaxFocalLoss().operating_point(), UsageError, "number of classes"),
        (
            lambda: losses.PosWeightBCELoss([0.0]).posterior([[0.5]]),
            NotRecoverableError,
            "is 0 for",
        ),
        (lambda: losses.BCELoss().posterior([0.5]), ShapeError, "Rows come first"),
    ],
)
def test_wrong_use_says_what_was_expected(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


def test_a_distribution_keras_does_not_know_is_asked_of_jax(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import types

    from equipoise.keras import RowBatches
    from equipoise.keras.data import batches

    jax = types.SimpleNamespace(process_index=lambda: 1, process_count=lambda: 2)
    monkeypatch.setattr(batches.keras.backend, "backend", lambda: "jax")
    monkeypatch.setitem(__import__("sys").modules, "jax", jax)
    x = np.arange(40.0)
    mine = RowBatches(x, np.arange(40) % 2, draw="class_balanced", batch_size=5)
    monkeypatch.undo()
    whole = RowBatches(x, np.arange(40) % 2, draw="class_balanced", batch_size=40)
    assert len(mine) == 4
    assert np.concatenate([mine[i][0] for i in range(4)]).tolist() == whole[0][0][1::2].tolist()


def test_counts_that_change_nothing_warn() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        losses.SoftmaxFocalLoss.from_class_counts([50, 50])
    assert "change nothing" in str(seen[0].message)


def test_a_loss_of_labels_says_how_unknown_is_written() -> None:
    with pytest.raises(UsageError, match=r"be left out for labels, got 3. Write NaN or -1"):
        losses.AsymmetricLoss(ignore_index=3)
