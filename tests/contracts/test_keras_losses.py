"""Laws of the Keras losses: they equal those for torch, save, load, and never lose a gradient."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch
from keras_cases import KERAS_CASES, KerasCase

from equipoise.artifacts import Correction
from equipoise.errors import DataError, ShapeError, UsageError
from equipoise.keras import losses
from equipoise.labels import losses as sides
from keras_backend import gradient, number

SIDES = "equipoise.labels.losses"
BASES = {"Loss", "LabelLoss", "ClassLoss", "DeferredLoss"}
each = pytest.mark.parametrize("case", KERAS_CASES, ids=lambda case: case.name)


def torch_side(case: KerasCase, z: np.ndarray, y: np.ndarray, **options: Any) -> Any:
    """Return the torch loss of the same rows, and its gradient by the logits."""
    settings = {k: torch.tensor(v) if isinstance(v, list) else v for k, v in case.settings.items()}
    module = case.torch_class(**settings, **options)
    leaf = torch.tensor(z, requires_grad=True)
    target = torch.tensor(y)
    if case.kind == "multilabel":
        target = torch.where(target < 0, torch.nan, target)
    value = module(leaf, target)
    return value, torch.autograd.grad(value.sum(), leaf)[0].numpy()


def test_every_loss_has_a_row() -> None:
    public = {name for name in losses.__all__ if name not in BASES}
    assert public == {case.loss for case in KERAS_CASES}
    for name in public:
        assert name in vars(losses)


@each
@pytest.mark.parametrize("unknown", [False, True])
def test_value_and_gradient_equal_those_of_torch(case: KerasCase, unknown: bool) -> None:
    z, y = case.logits(), case.targets(unknown=unknown)
    loss = case.keras_class(**case.settings, from_logits=True)
    value, slope = torch_side(case, z, y)
    np.testing.assert_allclose(number(loss(y, z)), value.item(), rtol=1e-5, atol=1e-5)
    found = gradient(lambda leaf: loss(y, leaf), z)
    np.testing.assert_allclose(found, slope, rtol=1e-4, atol=1e-5)


@each
@pytest.mark.parametrize("mark", [-1.0, -100.0, np.nan])
def test_what_is_unknown_counts_for_nothing(case: KerasCase, mark: float) -> None:
    """The loss of a batch with unknown targets is that of the known ones alone."""
    z, y = case.logits(), case.targets(unknown=True)
    options: dict[str, Any] = {"from_logits": True}
    if case.kind == "multiclass":
        index = -100 if np.isnan(mark) else int(mark)
        options["ignore_index"] = index
        known = np.arange(len(y)) % 3 > 0
        marked: Any = np.where(known, y, index)
        kept, rows = y[known], z[known]
    else:
        known = y >= 0
        marked = np.where(known, y, mark).astype(np.float32)
        kept, rows = y, z
    loss = case.keras_class(**case.settings, **options)
    np.testing.assert_allclose(number(loss(marked, z)), number(loss(kept, rows)), rtol=1e-5)
    found = gradient(lambda leaf: loss(marked, leaf), z)
    assert (found[~known] == 0).all()
    assert np.isfinite(found).all()
    nothing = np.full_like(marked, -100 if case.kind == "multiclass" else mark)
    if case.kind == "multiclass":
        nothing = np.full_like(marked, options["ignore_index"])
    assert number(loss(nothing, z)) == 0.0
    assert (gradient(lambda leaf: loss(nothing, leaf), z) == 0).all()


@pytest.mark.parametrize(
    "case", [c for c in KERAS_CASES if c.kind == "multiclass"], ids=lambda case: case.name
)
def test_unknown_classes_equal_those_of_torch(case: KerasCase) -> None:
    z, y = case.logits(), case.targets()
    y[::3] = -100
    value, slope = torch_side(case, z, y)
    loss = case.keras_class(**case.settings, from_logits=True)
    np.testing.assert_allclose(number(loss(y, z)), value.item(), rtol=1e-5)
    np.testing.assert_allclose(gradient(lambda leaf: loss(y, leaf), z), slope, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("wrong", [-1, 5])
def test_a_class_that_is_none_never_passes(wrong: int) -> None:
    loss = losses.SoftmaxFocalLoss(from_logits=True)
    y, z = np.array([0, wrong, 2]), np.zeros((3, 5), dtype=np.float32)
    if keras.backend.backend() == "torch":
        with pytest.raises(DataError, match=rf"`y_true` must lie in 0 to C - 1 = 4.*got {wrong}"):
            loss(y, z)
    else:
        assert np.isnan(number(loss(y, z)))


@each
def test_entries_and_sums_equal_those_of_torch(case: KerasCase) -> None:
    z, y = case.logits(), case.targets(unknown=True)
    loss = case.keras_class(**case.settings, from_logits=True, reduction="sum")
    every, _ = torch_side(case, z, y, reduction="none")
    np.testing.assert_allclose(number(loss.unreduced(y, z)), every.detach(), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(number(loss(y, z)), every.sum().item(), rtol=2e-5)


@each
def test_soft_targets_equal_those_of_torch(case: KerasCase) -> None:
    z = case.logits()
    y = np.random.default_rng(3).dirichlet(np.ones(case.width), len(z)).astype(np.float32)
    loss = case.keras_class(**case.settings, from_logits=True)
    value, slope = torch_side(case, z, y)
    np.testing.assert_allclose(number(loss(y, z)), value.item(), rtol=1e-5, atol=1e-5)
    found = gradient(lambda leaf: loss(y, leaf), z)
    np.testing.assert_allclose(found, slope, rtol=1e-4, atol=1e-5)


@each
def test_probabilities_give_what_their_logits_give(case: KerasCase) -> None:
    z, y = case.logits(spread=1.5), case.targets(unknown=True)
    if not case.takes_probabilities:
        with pytest.raises(ValueError, match="from_logits"):
            case.keras_class(**case.settings, from_logits=False)
        return
    squash = keras.ops.softmax if case.kind == "multiclass" else keras.ops.sigmoid
    on_logits = case.keras_class(**case.settings, from_logits=True)
    loss = case.keras_class(**case.settings)
    np.testing.assert_allclose(
        number(loss(y, squash(z))), number(on_logits(y, z)), rtol=2e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        gradient(lambda leaf: loss(y, squash(leaf)), z),
        gradient(lambda leaf: on_logits(y, leaf), z),
        rtol=1e-3,
        atol=1e-5,
    )
    p = number(squash(z)).astype(np.float64)
    np.testing.assert_allclose(loss.posterior(p), on_logits.posterior(z), rtol=1e-4, atol=1e-6)


@each
@pytest.mark.parametrize("size", [20.0, 50.0, 100.0, 1e4])
def test_no_value_or_gradient_breaks_at_extreme_logits(case: KerasCase, size: float) -> None:
    eye = np.eye(case.width, dtype=np.float32)
    z = np.concatenate([size * eye, -size * eye])
    for y in (np.concatenate([eye, eye]), np.concatenate([1 - eye, 1 - eye])):
        target = y if case.kind == "multilabel" else y.argmax(1)
        loss = case.keras_class(**case.settings, from_logits=True)
        assert np.isfinite(number(loss(target, z)))
        slope = gradient(lambda leaf, t=target, f=loss: f(t, leaf), z)
        assert np.isfinite(slope).all()
        _, expected = torch_side(case, z, target)
        np.testing.assert_allclose(slope, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("gap", [17.0, 30.0, 80.0])
def test_a_wrong_class_far_ahead_still_gets_its_gradient(gap: float) -> None:
    """Keras' own loss has none from a gap of 17 on; checked here so that the claim stays true."""
    z, y = np.array([[gap, 0.0, 0.0]], np.float32), np.array([[0.0, 1.0, 0.0]], np.float32)
    own = keras.losses.CategoricalFocalCrossentropy(from_logits=True)
    assert not gradient(lambda leaf: own(y, leaf), z).any()
    ours = losses.SoftmaxFocalLoss(from_logits=True)
    np.testing.assert_allclose(gradient(lambda leaf: ours(y, leaf), z), [[1, -1, 0]], atol=1e-5)


@each
def test_posterior_and_operating_point_are_those_of_torch(case: KerasCase) -> None:
    settings = {k: torch.tensor(v) if isinstance(v, list) else v for k, v in case.settings.items()}
    module = case.torch_class(**settings)
    loss = case.keras_class(**case.settings, from_logits=True)
    z = case.logits().astype(np.float64)
    # With gamma 0 and a margin the slope of a negative jumps; both sides say 0 below the jump.
    expected = module.posterior(torch.tensor(z)).numpy()
    np.testing.assert_allclose(loss.posterior(z), expected, rtol=1e-6, atol=1e-9)
    point = module.operating_point(case.width).numpy()
    np.testing.assert_allclose(loss.operating_point(case.width), point, rtol=1e-6)


def numpy_side(loss: type) -> type:
    """Return the class that a loss has its settings and its way back from."""
    return next(base for base in loss.__mro__ if base.__module__ == SIDES)


@each
def test_both_sides_are_one_in_numpy(case: KerasCase) -> None:
    assert numpy_side(case.keras_class) is numpy_side(case.torch_class)


def test_every_numpy_side_stands_under_these_laws() -> None:
    written = {v for v in vars(sides).values() if isinstance(v, type) and v.__module__ == SIDES}
    covered = {base for case in KERAS_CASES for base in case.keras_class.__mro__}
    assert written <= covered


@pytest.mark.parametrize(
    "case",
    [c for c in KERAS_CASES if c.keras_class.exactness == "exact"],
    ids=lambda case: case.name,
)
def test_training_rests_where_the_posterior_says(case: KerasCase) -> None:
    """The gradients of either target, weighed by the posterior, add up to nothing."""
    loss = case.keras_class(**case.settings, from_logits=True)
    z = case.logits(spread=2.0)
    eta = loss.posterior(z)

    def slope(target: np.ndarray) -> np.ndarray:
        return gradient(lambda leaf: keras.ops.sum(loss.unreduced(target, leaf)), z)

    if case.kind == "multilabel":
        one, zero = slope(np.ones_like(z)), slope(np.zeros_like(z))
        rest, size = eta * one + (1.0 - eta) * zero, np.abs(one) + np.abs(zero)
    else:
        each_class = np.stack([slope(np.full(len(z), c)) for c in range(case.width)], axis=1)
        rest = np.einsum("nc,nck->nk", eta, each_class)
        size = np.abs(each_class).max((1, 2))[:, None]
    assert (np.abs(rest) <= 1e-5 * size).all()


@each
def test_the_correction_is_that_of_torch(case: KerasCase) -> None:
    settings = {k: torch.tensor(v) if isinstance(v, list) else v for k, v in case.settings.items()}
    theirs = case.torch_class(**settings).correction()
    ours = case.keras_class(**case.settings, from_logits=True).correction()
    assert isinstance(ours, Correction)
    assert ours.exactness == theirs.exactness
    np.testing.assert_allclose(ours.valid_range, theirs.valid_range, atol=1e-5)
    np.testing.assert_allclose(ours.nominal_weight or 0, theirs.nominal_weight or 0, rtol=1e-6)
    np.testing.assert_allclose(ours.prior or 0, theirs.prior or 0, rtol=1e-6)
    z = case.logits().astype(np.float64)
    np.testing.assert_allclose(ours.probabilities(z), theirs.probabilities(z), atol=1e-6)


@each
def test_config_makes_an_equal_loss(case: KerasCase) -> None:
    loss = case.keras_class(**case.settings, from_logits=True, reduction="sum", name="mine")
    again = type(loss).from_config(loss.get_config())
    assert again.get_config() == loss.get_config()
    packed = keras.saving.serialize_keras_object(loss)
    assert packed["registered_name"] == f"equipoise>{case.loss}"
    other = keras.saving.deserialize_keras_object(packed)
    z, y = case.logits(), case.targets(unknown=True)
    assert number(other(y, z)) == number(loss(y, z)) == number(again(y, z))


@each
def test_a_model_saves_and_loads_with_the_loss(case: KerasCase, tmp_path: Path) -> None:
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(case.width)])
    model.compile(loss=case.keras_class(**case.settings, from_logits=True))
    x, y = np.ones((8, 3), np.float32), case.targets(8)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.loss) is case.keras_class
    assert loaded.loss.get_config() == model.loss.get_config()
    assert loaded.evaluate(x, y, verbose=0) == pytest.approx(model.evaluate(x, y, verbose=0))


@each
def test_only_what_a_loss_cannot_do_without_comes_by_position(case: KerasCase) -> None:
    parameters = inspect.signature(case.keras_class).parameters.values()
    first = [p for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert len(first) <= 1
    assert all(p.default is p.empty for p in first)


@each
def test_settings_are_those_of_torch(case: KerasCase) -> None:
    """The same names in the same order, but for what is Keras' own."""
    theirs = set(inspect.signature(case.torch_class).parameters) - {"reduction"}
    assert ("ignore_index" in theirs) == (case.kind == "multiclass")
    ours = set(inspect.signature(case.keras_class).parameters)
    assert ours == theirs | {"from_logits", "reduction", "name"}


def keras_dense(case: KerasCase) -> tuple[np.ndarray, np.ndarray]:
    """Return outputs (2, C, 4, 5) and targets (2, 4, 5) or (2, L, 4, 5) of the case's 40 rows."""
    z, y = case.logits(), case.targets(unknown=case.kind == "multilabel")
    if case.kind == "multiclass":
        y[::5] = -100
        return np.moveaxis(z.reshape(2, 4, 5, -1), -1, 1), y.reshape(2, 4, 5)
    return (np.moveaxis(v.reshape(2, 4, 5, -1), -1, 1) for v in (z, y))


@each
def test_dense_outputs_are_their_pixels_as_rows(case: KerasCase) -> None:
    z, y = keras_dense(case)
    rows = np.moveaxis(z, 1, -1).reshape(-1, case.width)
    of_rows = (
        y.reshape(-1) if case.kind == "multiclass" else np.moveaxis(y, 1, -1).reshape(rows.shape)
    )
    plain = case.keras_class(**case.settings, from_logits=True)
    loss = case.keras_class(**case.settings, from_logits=True, class_dim=1)
    np.testing.assert_allclose(number(loss(y, z)), number(plain(of_rows, rows)), rtol=1e-5)
    found = gradient(lambda leaf: loss(y, leaf), z)
    expected = gradient(lambda leaf: plain(of_rows, leaf), rows)
    np.testing.assert_allclose(
        np.moveaxis(found, 1, -1).reshape(rows.shape), expected, rtol=1e-4, atol=1e-7
    )
    value, slope = torch_side(case, z, y, class_dim=1)
    np.testing.assert_allclose(number(loss(y, z)), value.item(), rtol=1e-5)
    np.testing.assert_allclose(found, slope, rtol=1e-4, atol=1e-5)
    every = number(loss.unreduced(y, z))
    assert every.shape == y.shape
    theirs, _ = torch_side(case, z, y, class_dim=1, reduction="none")
    np.testing.assert_allclose(every, theirs.detach(), rtol=1e-5, atol=1e-5)
    eta = loss.posterior(z)
    assert eta.shape == z.shape
    np.testing.assert_allclose(np.moveaxis(eta, 1, -1).reshape(rows.shape), plain.posterior(rows))
    again = type(loss).from_config(loss.get_config())
    assert again.class_dim == 1
    if case.takes_probabilities:
        squash = keras.ops.softmax if case.kind == "multiclass" else keras.ops.sigmoid
        p = squash(z, axis=1) if case.kind == "multiclass" else squash(z)
        on = case.keras_class(**case.settings, class_dim=1)
        np.testing.assert_allclose(number(on(y, p)), number(loss(y, z)), rtol=1e-3)


def test_keras_dense_mistakes_are_named() -> None:
    loss = losses.SoftmaxFocalLoss(from_logits=True, class_dim=1)
    with pytest.raises(ShapeError, match="`y_pred` must have its classes or labels on axis"):
        losses.SoftmaxFocalLoss(from_logits=True, class_dim=2)(np.zeros(2), np.zeros((2, 3)))
    with pytest.raises(ShapeError, match="`y_true` must have shape"):
        loss(np.zeros((2, 3, 4)), np.zeros((2, 5, 4)))
    with pytest.raises(UsageError, match="`class_dim` must be -1 or at least 1, got 0"):
        losses.BCELoss(class_dim=0)
    with pytest.raises(UsageError, match="`early` must have the class_dim of `late`, 1"):
        losses.DeferredLoss(losses.BCELoss(), losses.BCELoss(class_dim=1))
