"""Each fault of a Keras set-up is found before fit, sound set-ups pass, nothing is left changed."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import equipoise as eq
from equipoise.artifacts import Finding
from equipoise.errors import DataError, UsageError
from equipoise.keras import check_model, losses, metrics, require_fitting_metrics

RANDOM = np.random.default_rng(0)
MULTI = (RANDOM.random((60, 4)) < [0.6, 0.3, 0.2, 0.2]).astype("float32")
INDEX = RANDOM.integers(0, 4, 60)
ONE_HOT = np.eye(4, dtype="float32")[INDEX]
X = RANDOM.normal(size=(60, 6)).astype("float32")


def net(activation: str | None = None, width: int = 4, **compiled: Any) -> Any:
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(5, activation="relu", name="first"),
            keras.layers.Dense(width, activation=activation, name="last"),
        ]
    )
    model.compile(**compiled)
    return model


def codes(model: Any, y: Any, **options: Any) -> list[str]:
    before = [w.copy() for w in model.get_weights()]
    found = check_model(model, y, **options)
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    for item in found:
        assert item.message.endswith(".")
        assert item.suggests
        assert Finding.from_dict(item.to_dict()).message == item.message
    return [item.code for item in found]


SOUND = [
    ("sigmoid", "binary_crossentropy", MULTI),
    ("sigmoid", "binary_crossentropy", ONE_HOT),
    (None, keras.losses.BinaryCrossentropy(from_logits=True), MULTI),
    (None, losses.PosWeightBCELoss(np.ones(4), from_logits=True), MULTI),
    ("sigmoid", losses.AsymmetricLoss(), MULTI),
    ("softmax", "categorical_crossentropy", ONE_HOT),
    ("softmax", "crossentropy", INDEX),
    ("softmax", "sparse_categorical_crossentropy", INDEX),
    ("softmax", losses.SoftmaxFocalLoss(), INDEX),
    (None, losses.LogitAdjustedLoss(np.ones(4), from_logits=True), ONE_HOT),
    (None, "mse", MULTI),
]


@pytest.mark.parametrize(("activation", "loss", "y"), SOUND)
def test_sound_pairs_pass(activation: str | None, loss: Any, y: np.ndarray) -> None:
    assert codes(net(activation, loss=loss), y) == []


FAULTS = [
    ("sigmoid", keras.losses.BinaryCrossentropy(from_logits=True), MULTI, ["EQ301"]),
    ("softmax", losses.SoftmaxFocalLoss(from_logits=True), INDEX, ["EQ301"]),
    (None, "binary_crossentropy", MULTI, ["EQ302"]),
    ("relu", losses.BCELoss(), MULTI, ["EQ302"]),
    ("softmax", "binary_crossentropy", MULTI, ["EQ314"]),
    ("softmax", "binary_crossentropy", ONE_HOT, ["EQ318"]),
    ("softmax", "categorical_crossentropy", MULTI, ["EQ314", "EQ317"]),
    ("softmax", "crossentropy", MULTI, ["EQ314", "EQ317"]),
    ("sigmoid", "categorical_crossentropy", MULTI, ["EQ317"]),
    ("sigmoid", "categorical_crossentropy", ONE_HOT, ["EQ318"]),
    ("softmax", "sparse_categorical_crossentropy", ONE_HOT, ["EQ317"]),
    ("sigmoid", "binary_crossentropy", INDEX, ["EQ317"]),
    (None, losses.LDAMLoss(np.ones(4)), MULTI, ["EQ317", "EQ322"]),
]


@pytest.mark.parametrize(("activation", "loss", "y", "expected"), FAULTS)
def test_loss_against_activation_and_targets(
    activation: str | None, loss: Any, y: np.ndarray, expected: list[str]
) -> None:
    assert codes(net(activation, loss=loss), y) == expected


def test_a_model_that_hides_its_end_is_left_alone() -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.last = keras.layers.Dense(4)

        def call(self, x: Any) -> Any:
            return self.last(x)

    model = Own()
    model.compile(loss="binary_crossentropy")
    assert [f.code for f in check_model(model, MULTI)] == []


@pytest.mark.parametrize(
    "ending",
    [
        [keras.layers.Dense(4), keras.layers.Activation("sigmoid")],
        [keras.layers.Dense(4, activation="sigmoid"), keras.layers.Reshape((4,))],
        [keras.Sequential([keras.layers.Dense(4, activation="sigmoid")])],
    ],
)
def test_the_last_activation_is_found_behind_layers_that_change_nothing(ending: list[Any]) -> None:
    model = keras.Sequential([keras.Input((6,)), *ending])
    model.compile(loss=losses.BCELoss(from_logits=True))
    assert codes(model, MULTI) == ["EQ301"]


def test_class_weight_is_refused_for_several_labels_only() -> None:
    weight = {0: 1.0, 3: 50.0}
    (found,) = check_model(net("sigmoid", loss="binary_crossentropy"), MULTI, class_weight=weight)
    assert found.code == "EQ312"
    alone = int(((MULTI[:, 3] == 1) & (MULTI[:, :3] == 0).all(1)).sum())
    assert f"3 ({alone} of {int(MULTI[:, 3].sum())})" in found.message
    assert found.evidence["rows_without_label"] == int((MULTI == 0).all(1).sum())
    for y in (INDEX, ONE_HOT):
        model = net("softmax", loss="crossentropy")
        assert codes(model, y, class_weight=weight) == []


def test_keras_does_weight_a_row_by_its_first_label() -> None:
    """What EQ312 says about Keras, on the Keras that is installed."""
    weights = []

    class Seen(keras.losses.Loss):
        def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            weights.append(sample_weight)
            return super().__call__(y_true, y_pred, sample_weight)

        def call(self, y_true: Any, y_pred: Any) -> Any:
            return keras.ops.mean(y_pred - 0.0 * y_true, axis=-1)

    y = np.array([[0, 1, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 1, 0]], "float32")
    model = net("sigmoid", loss=Seen(), run_eagerly=True)
    model.fit(X[:4], y, class_weight={0: 2.0, 1: 10.0, 2: 100.0}, shuffle=False, verbose=0)
    assert keras.ops.convert_to_numpy(weights[-1]).tolist() == [10.0, 2.0, 2.0, 100.0]


WRONG = [
    ("categorical_accuracy", "first label of the row"),
    ("accuracy", "becomes CategoricalAccuracy"),
    ("acc", "becomes CategoricalAccuracy"),
    (keras.metrics.CategoricalAccuracy(name="mine"), "mine"),
    (keras.metrics.TopKCategoricalAccuracy(3), "first label of the row alone"),
    (keras.metrics.SparseCategoricalAccuracy(), "class indices"),
    (keras.metrics.F1Score(), "threshold is None"),
    (keras.metrics.AUC(curve="PR"), "multi_label=True"),
]
RIGHT = [
    "binary_accuracy",
    keras.metrics.F1Score(threshold=0.5),
    keras.metrics.AUC(curve="PR", multi_label=True, num_labels=4),
    metrics.AveragePrecision(4, n_rows=60),
]


@pytest.mark.parametrize(("metric", "words"), WRONG)
def test_wrong_metrics_are_found_and_refused(metric: Any, words: str) -> None:
    model = net("sigmoid", loss="binary_crossentropy", metrics=["binary_accuracy", metric])
    (found,) = check_model(model, MULTI)
    assert found.code == "EQ313"
    assert words in found.message
    with pytest.raises(UsageError, match="must fit several independent labels per row"):
        require_fitting_metrics([metric], MULTI)
    require_fitting_metrics([metric], ONE_HOT)
    require_fitting_metrics([metric], INDEX)


def test_right_metrics_pass() -> None:
    require_fitting_metrics(RIGHT, MULTI)
    assert codes(net("sigmoid", loss="binary_crossentropy", metrics=RIGHT), MULTI) == []


def test_what_the_labels_cannot_give() -> None:
    rare = np.zeros((200, 4))
    rare[:3, 0] = rare[0, 1] = rare[5:9, 3] = 1
    found = check_model(net("sigmoid", loss="binary_crossentropy"), rare)
    assert [f.code for f in found] == ["EQ101", "EQ105"]
    labels = eq.Labels.from_array(rare, kind="multilabel", names=list("ABCD"))
    found = check_model(net("sigmoid", loss="binary_crossentropy"), labels)
    assert "C" in found[0].message


def test_output_width() -> None:
    assert codes(net("sigmoid", 3, loss="binary_crossentropy"), MULTI) == ["EQ304"]
    assert codes(net("softmax", 3, loss="crossentropy"), INDEX) == ["EQ304"]
    assert codes(net("softmax", 9, loss="crossentropy"), INDEX) == []


def test_trainable_since_compile() -> None:
    model = net("sigmoid", loss="binary_crossentropy")
    model.get_layer("first").trainable = False
    found = check_model(model, MULTI)
    assert [f.code for f in found] == ["EQ315", "EQ316"]
    assert found[0].evidence == {"layers": ["first"]}
    assert "24 of 59 parameters" in found[1].message
    model.compile(loss="binary_crossentropy")
    assert codes(model, MULTI) == ["EQ316"]
    model.trainable = False
    model.compile(loss="binary_crossentropy")
    assert codes(model, MULTI) == ["EQ305"]


def test_keras_fails_on_weights_unfrozen_after_a_fit() -> None:
    """What EQ315 says about Keras, on the Keras that is installed: an error, never a warning."""
    model = net("sigmoid")
    model.get_layer("first").trainable = False
    model.compile(optimizer="adam", loss="binary_crossentropy")
    model.fit(X, MULTI, verbose=0)
    model.get_layer("first").trainable = True
    with pytest.raises(ValueError, match=r"Unknown variable|optimizer was built with"):
        model.fit(X, MULTI, verbose=0)


@pytest.mark.parametrize("after_fit", [False, True])
def test_keras_never_warns_that_trainable_has_changed(after_fit: bool) -> None:
    """The page on Keras says so; a warning would be an error here."""
    model = net("sigmoid", optimizer="adam", loss="binary_crossentropy")
    if after_fit:
        model.fit(X, MULTI, verbose=0)
    first = model.get_layer("first")
    before = np.array(keras.ops.convert_to_numpy(first.kernel))
    first.trainable = False
    if after_fit and keras.backend.backend() == "jax":
        with pytest.raises(ValueError, match="optimizer was built with"):
            model.fit(X, MULTI, verbose=0)
        return
    model.fit(X, MULTI, verbose=0)
    assert (np.array(keras.ops.convert_to_numpy(first.kernel)) == before).all()


def test_moving_statistics_are_not_frozen_weights() -> None:
    layers = [keras.Input((6,)), keras.layers.BatchNormalization(), keras.layers.Dense(4)]
    model = keras.Sequential(layers)
    model.compile(loss=losses.BCELoss(from_logits=True))
    assert codes(model, MULTI) == []


def test_what_cannot_be_checked_says_so() -> None:
    with pytest.raises(UsageError, match="compile"):
        check_model(keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)]), MULTI)
    model = net("sigmoid")
    model.compile(loss=["mse", "mse"])
    with pytest.raises(UsageError, match="one output"):
        check_model(model, MULTI)


def test_unknown_entries_need_a_loss_that_masks_them() -> None:
    unknown = MULTI.copy()
    unknown[:6, 1] = -1
    assert codes(net("sigmoid", loss=losses.BCELoss()), unknown) == []
    assert codes(net(None, loss="mse"), unknown) == []
    (found,) = check_model(net("sigmoid", loss="binary_crossentropy"), unknown)
    assert found.code == "EQ319"
    assert found.evidence["unknown"] == 6
    unknown[0, 1] = np.nan
    assert codes(net("sigmoid", loss=keras.losses.BinaryFocalCrossentropy()), unknown) == ["EQ319"]


def test_rows_of_unknown_class_need_a_loss_that_masks_them() -> None:
    y = np.array([0, 1, 2, 3, -100, 1])
    ours = losses.SoftmaxFocalLoss(gamma=0.0)
    masking = keras.losses.SparseCategoricalCrossentropy(ignore_class=-100)
    assert "EQ319" not in codes(net("softmax", loss=ours), y)
    assert "EQ319" not in codes(net("softmax", loss=masking), y)
    found, *_ = check_model(net("softmax", loss="sparse_categorical_crossentropy"), y)
    assert (found.code, found.evidence["unknown"]) == ("EQ319", 1)
    with pytest.raises(DataError, match=r"`y` must be classes 0 to C - 1.*unknown are -100"):
        check_model(net("softmax", loss=ours), np.where(y < 0, -1, y))
    marked = MULTI.astype(float)
    marked[0, 0] = -100
    with pytest.raises(DataError, match="-100"):
        check_model(net("sigmoid", loss=losses.BCELoss()), marked)


def test_steps_of_sequences_and_unknown_entries() -> None:
    model = keras.Sequential([keras.Input((None, 6)), keras.layers.Dense(4, activation="sigmoid")])
    model.compile(loss=losses.BCELoss(), metrics=["categorical_accuracy"])
    steps = np.stack([MULTI, MULTI], axis=1)
    steps[0, 0, 0] = -1
    assert codes(model, steps) == ["EQ313"]


def tagger(outputs: int, activation: str | None, loss: Any) -> Any:
    layers = [keras.Input((7, 5)), keras.layers.Dense(outputs, activation=activation)]
    model = keras.Sequential(layers)
    model.compile("adam", loss)
    return model


STEP_CLASS = np.arange(70).reshape(10, 7) % 3


@pytest.mark.parametrize(
    ("model", "y"),
    [
        (tagger(3, "softmax", "sparse_categorical_crossentropy"), STEP_CLASS),
        (tagger(3, "softmax", "sparse_categorical_crossentropy"), STEP_CLASS[..., None]),
        (tagger(3, "softmax", "categorical_crossentropy"), np.eye(3)[STEP_CLASS]),
        (tagger(1, "sigmoid", "binary_crossentropy"), (STEP_CLASS > 1).astype(int)),
        (tagger(1, "sigmoid", "binary_crossentropy"), (STEP_CLASS > 1).astype(int)[..., None]),
    ],
)
def test_taggers_pass_and_class_weight_is_named(model: Any, y: Any) -> None:
    assert [f.code for f in check_model(model, y) if f.severity != "fact"] == []
    found = {f.code: f for f in check_model(model, y, class_weight={0: 1.0, 1: 9.0})}
    assert "holds 7 of them" in found["EQ312"].message


def test_a_loss_of_cosines_after_a_plain_layer_is_named() -> None:
    loss = losses.LDAMLoss([0.5, 0.3, 0.1])
    x, y = keras.Input((5,)), np.arange(30) % 3
    plain = keras.Model(x, keras.layers.Dense(3)(x))
    unit = keras.constraints.UnitNorm(axis=0)
    cosine = keras.layers.Dense(3, use_bias=False, kernel_constraint=unit)
    normed = keras.Model(x, cosine(keras.layers.UnitNormalization()(x)))
    for model, named in ((plain, True), (normed, False)):
        model.compile("adam", loss)
        assert ("EQ322" in [f.code for f in check_model(model, y)]) is named


def channels_first(loss: Any, activation: str | None = None) -> Any:
    layers = [keras.Input((7, 5)), keras.layers.Dense(3, activation=activation)]
    model = keras.Sequential([*layers, keras.layers.Permute((2, 1))])
    model.compile("adam", loss)
    return model


def test_classes_on_another_axis_are_read_there() -> None:
    """Outputs (N, 3, 7) of 7 steps with three classes, as the loss says."""
    loss = losses.SoftmaxFocalLoss(from_logits=True, class_dim=1)
    severe = lambda model, y: [f.code for f in check_model(model, y) if f.severity != "fact"]  # noqa: E731
    assert severe(channels_first(loss), STEP_CLASS) == []
    assert severe(channels_first(loss), np.moveaxis(np.eye(3)[STEP_CLASS], -1, 1)) == []
    assert severe(channels_first(loss), np.arange(70).reshape(10, 7) % 5) == ["EQ304"]
    labels = np.moveaxis(np.eye(3)[STEP_CLASS] + np.eye(3)[::-1][STEP_CLASS] > 0, -1, 1)
    own = losses.BCELoss(from_logits=True, class_dim=1)
    assert severe(channels_first(own), labels.astype(float)) == []
