"""Callbacks: rules and scores beside the model, late losses, findings while training runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import equipoise as eq
from equipoise.artifacts.finding import load_findings
from equipoise.errors import LeakageError, ShapeError, UsageError
from equipoise.keras import (
    DeferredReweighting,
    RaggedSequences,
    TuneThresholds,
    WatchTraining,
    WriteScores,
    check_model,
    initialise_prior_bias,
    prepare_transfer,
)
from equipoise.keras.losses import (
    BCELoss,
    DeferredLoss,
    LogitAdjustedLoss,
    PosWeightBCELoss,
    SoftmaxFocalLoss,
)
from equipoise.metrics import average_precision

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(120, 4)).astype("float32")
HOT = (X[:, :2] + RANDOM.normal(size=(120, 2)) > [0.5, 1.0]).astype(int)
LABELS = eq.Labels.from_array(HOT, kind="multilabel", names=["A", "B"], ids=range(120))
TRUTH = HOT.astype("float32")


def net(activation: str | None = None, width: int = 2, **compiled: Any) -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(width, activation=activation)])
    model.compile(**{"optimizer": "sgd", **compiled})
    return model


def test_a_rule_is_tuned_for_an_objective_with_parameters() -> None:
    model = net(loss=PosWeightBCELoss([2.0, 4.0], from_logits=True))
    decide = TuneThresholds(X, LABELS, objective=eq.Recall(at_least=0.9))
    model.fit(X, TRUTH, verbose=0, callbacks=[decide])
    assert (decide.rule.objective, decide.rule.parameters) == ("recall", {"at_least": 0.9})


def test_a_rule_is_tuned_at_the_end_and_saved_beside_the_model(tmp_path: Path) -> None:
    file = tmp_path / "lstm.keras"
    model = net(loss=PosWeightBCELoss([2.0, 4.0], from_logits=True))
    decide = TuneThresholds(X, LABELS, file, objective="f2")
    model.fit(X, TRUTH, verbose=0, epochs=2, callbacks=[decide])
    rule = eq.DecisionRule.load(tmp_path / "lstm.rule.json")
    assert rule.objective == "f2"
    assert rule.to_dict() == decide.rule.to_dict()
    scores = eq.Scores.load(tmp_path / "lstm.val.parquet")
    np.testing.assert_allclose(scores.values, model.predict(X, verbose=0), atol=1e-6)
    assert scores.correction is not None
    assert scores.correction.nominal_weight == (2.0, 4.0)
    new = eq.Scores.from_arrays(
        None, logits=model.predict(X, verbose=0), split="new", kind="multilabel", names=["A", "B"]
    )
    made = rule.apply(new).predictions
    assert made.shape == HOT.shape
    assert 0 < made.mean() < 1
    with pytest.raises(LeakageError):
        TuneThresholds(X, LABELS, part="test")


def test_the_best_weights_are_those_that_are_scored() -> None:
    model = net(loss=BCELoss(from_logits=True), optimizer=keras.optimizers.SGD(5.0))
    watch = WatchTraining(X, LABELS, tell=None)
    stop = keras.callbacks.EarlyStopping(
        monitor="val_macro_ap", mode="max", patience=9, restore_best_weights=True
    )
    write = WriteScores(X, LABELS, "val")
    history = model.fit(X, TRUTH, epochs=5, verbose=0, callbacks=[watch, stop, write]).history
    ap = average_precision(write.scores.require_labels().values, write.scores.values).mean()
    assert ap == pytest.approx(max(history["val_macro_ap"]), abs=1e-6)


OUTPUTS = [
    ("sigmoid", BCELoss(), "probabilities"),
    (None, BCELoss(from_logits=True), "logits"),
    (None, "mse", "logits"),
    ("sigmoid", "mse", "probabilities"),
]


@pytest.mark.parametrize(("activation", "loss", "kind"), OUTPUTS)
def test_the_kind_of_scores_is_read_from_the_model(activation: Any, loss: Any, kind: str) -> None:
    write = WriteScores(X, LABELS, "test")
    net(activation, loss=loss).fit(X, TRUTH, verbose=0, callbacks=[write])
    assert write.scores.score_kind == kind
    assert write.scores.split == "test"


def test_outputs_that_nothing_tells_have_to_be_declared() -> None:
    with pytest.raises(UsageError, match="Say what the model returns"):
        net("tanh", loss="mse").fit(X, TRUTH, verbose=0, callbacks=[WriteScores(X, LABELS, "val")])
    write = WriteScores(X, LABELS, "val", outputs="ranking")
    net("tanh", loss="mse").fit(X, TRUTH, verbose=0, callbacks=[write])
    assert write.scores.score_kind == "ranking"
    with pytest.raises(UsageError, match="Wrap them"):
        WriteScores(X, HOT, "val")


def test_classes_are_scored_and_tuned_too() -> None:
    classes = eq.Labels.from_array(HOT[:, 0] + HOT[:, 1], kind="multiclass")
    decide = TuneThresholds(X, classes)
    watch = WatchTraining(X, classes, tell=None)
    model = net("softmax", 3, loss=LogitAdjustedLoss.from_class_counts(classes))
    history = model.fit(X, classes.values, verbose=0, callbacks=[watch, decide]).history
    assert decide.rule.kind == "multiclass"
    assert 0 < history["val_balanced_accuracy"][0] <= 1
    assert decide.scores.correction.prior is not None


def test_ragged_sequences_are_scored_in_order() -> None:
    keras.utils.set_random_seed(0)
    ragged = RaggedSequences([X[i : i + 1 + i % 3] for i in range(60)])
    model = keras.Sequential([keras.Input((None, 4)), keras.layers.LSTM(3), keras.layers.Dense(2)])
    model.compile(loss=BCELoss(from_logits=True))
    write = WriteScores(ragged, LABELS[:60], "val", batch_size=7)
    write.set_model(model)
    write.on_train_end()
    alone = model.predict(ragged.batch(range(7)), verbose=0)
    np.testing.assert_allclose(write.scores.values[:7], alone, atol=1e-6)


def test_the_late_loss_takes_over_and_training_goes_on(tmp_path: Path) -> None:
    early, late = BCELoss(from_logits=True), PosWeightBCELoss([5.0, 9.0], from_logits=True)
    model = net(loss=DeferredLoss(early, late), optimizer=keras.optimizers.SGD(0.0))
    calls = [DeferredReweighting(0.5)]
    history = model.fit(X, TRUTH, epochs=4, verbose=0, callbacks=calls, shuffle=False).history
    plain, weighted = (float(part(TRUTH, model.predict(X, verbose=0))) for part in (early, late))
    expected = [plain, plain, weighted, weighted]
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-4)
    assert model.optimizer.iterations == 4 * 4
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").loss
    assert loaded.get_config() == model.loss.get_config()
    assert loaded.correction().to_dict() == model.loss.correction().to_dict()
    assert loaded.correction().exactness == "approximate"


def test_what_cannot_be_deferred_says_so() -> None:
    with pytest.raises(UsageError, match="be a DeferredLoss, got str"):
        net(loss="mse").fit(X, TRUTH, verbose=0, callbacks=[DeferredReweighting()])
    with pytest.raises(UsageError, match="share of training"):
        DeferredReweighting(1.5)
    with pytest.raises(UsageError, match="be for outputs as `late`"):
        DeferredLoss(BCELoss(), BCELoss(from_logits=True))
    with pytest.raises(UsageError, match="be for outputs as `late`"):
        DeferredLoss(BCELoss(), SoftmaxFocalLoss())
    assert DeferredReweighting(1.0).first_epoch(7) == 7


def test_findings_are_told_once_and_written(tmp_path: Path) -> None:
    told: list[str] = []
    model = net("sigmoid", loss="binary_crossentropy", optimizer=keras.optimizers.SGD(0.0))
    model.layers[-1].bias.assign([-9.0, -9.0])
    watch = WatchTraining(X, LABELS, path=tmp_path / "findings.json", tell=told.append)
    history = model.fit(X, TRUTH, epochs=7, verbose=0, callbacks=[watch]).history
    assert [f.code for f in watch.found] == ["EQ310"]
    assert "nothing is found of 2 of 2" in told[0]
    assert len(told) == 1
    (read,) = load_findings(tmp_path / "findings.json")
    assert read.message == watch.found[0].message
    assert len(history["val_macro_ap"]) == 7
    assert len(watch.label_history) == 14
    assert watch.history[0]["lr"] == 0.0


def test_a_rate_gone_too_early_is_found() -> None:
    # SGD on a quadratic-like course: the rate collapses while the loss still falls.
    def rate(epoch: int) -> float:
        return 0.3 if epoch < 3 else 1e-5

    model = net(loss=BCELoss(from_logits=True), optimizer=keras.optimizers.SGD(0.3))
    watch = WatchTraining(X, LABELS, tell=None)
    calls = [keras.callbacks.LearningRateScheduler(rate), watch]
    model.fit(X, TRUTH, epochs=6, verbose=0, callbacks=calls, batch_size=120)
    assert "EQ308" in [f.code for f in watch.found]


def backbone() -> Any:
    keras.utils.set_random_seed(0)
    body = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(5, name="first"),
            keras.layers.BatchNormalization(name="norm"),
        ],
        name="body",
    )
    inputs = keras.Input((4,))
    hidden = keras.layers.BatchNormalization(name="own")(body(inputs))
    return keras.Model(inputs, keras.layers.Dense(2, name="last")(hidden))


def test_transfer_freezes_holds_batch_norm_and_starts_from_the_prior() -> None:
    model = backbone()
    free, whole = prepare_transfer(model, ["body"], LABELS)
    assert (free, whole) == (12, 4 * 5 + 5 + 20 + 20 + 12)
    model.compile("sgd", BCELoss(from_logits=True))
    assert [f.code for f in check_model(model, LABELS)] == ["EQ316"]
    before = {v.path: np.array(keras.ops.convert_to_numpy(v)) for v in model.variables}
    share = LABELS.counts + 1
    np.testing.assert_allclose(before["last/bias"], np.log(share / (122 - share)), rtol=1e-5)
    model.fit(X, TRUTH, verbose=0)
    moved = {
        v.path
        for v in model.variables
        if (before[v.path] != np.asarray(keras.ops.convert_to_numpy(v))).any()
    }
    assert moved == {"last/kernel", "last/bias"}


def test_transfer_can_be_taken_back() -> None:
    model = backbone()
    prepare_transfer(model, ["first", "last"])
    assert len(model.trainable_weights) == 0
    free, _ = prepare_transfer(model, [])
    assert free == 4 * 5 + 5 + 12
    with pytest.raises(UsageError, match="Did you mean `first`"):
        prepare_transfer(model, ["firts"])
    with pytest.raises(UsageError, match="be built"):
        prepare_transfer(keras.Sequential([keras.layers.Dense(2)]), [])
    with pytest.raises(ShapeError, match="bias"):
        initialise_prior_bias(keras.layers.Dense(2, use_bias=False), LABELS)


@pytest.mark.parametrize("inlined", [False, True])
def test_a_model_may_be_frozen_as_it_is(inlined: bool) -> None:
    """As a layer of the model, or where the model was built on its outputs."""
    x = keras.Input((4,))
    base = keras.Model(x, keras.layers.Dense(3, name="inner")(x), name="base")
    y = keras.Input((4,))
    out = keras.layers.Dense(1, name="head")(base.output if inlined else base(y))
    model = keras.Model(x if inlined else y, out)
    free, whole = prepare_transfer(model, base)
    assert (free, whole) == (4, 19)
    assert not base.get_layer("inner").trainable
    assert model.get_layer("head").trainable
    assert prepare_transfer(model, "head") == (15, 19)
