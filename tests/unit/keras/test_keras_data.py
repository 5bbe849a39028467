"""Data sets for Keras draw what the samplers draw, on every rank, and pad what is ragged."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import equipoise as eq
from equipoise import sampling
from equipoise.errors import DataError, ShapeError, UsageError
from equipoise.keras import RaggedSequences, RowBatches, data, row_sample_weights
from equipoise.keras.losses import BCELoss

RANDOM = np.random.default_rng(0)
HOT = (RANDOM.random((80, 3)) < [0.5, 0.2, 0.05]).astype(int)
HOT[:3, 2] = 1
MULTI = eq.Labels.from_array(HOT, kind="multilabel")
CLASSES = eq.Labels.from_array([0] * 60 + [1] * 15 + [2] * 5, kind="multiclass")
X = np.arange(80.0)

# Each draw, the sampler that draws the same rows in the same order, and its labels.
PAIRS: dict[str, tuple[Any, Any, eq.Labels]] = {
    "weighted": (
        lambda **at: data.WeightedRows(X, seed=3, **at),
        lambda **at: sampling.WeightedSampler(X, seed=3, **at),
        MULTI,
    ),
    "without_replacement": (
        lambda **at: data.WeightedRows(X, seed=3, replacement=False, num_samples=50, **at),
        lambda **at: sampling.WeightedSampler(X, seed=3, replacement=False, num_samples=50, **at),
        MULTI,
    ),
    "class_balanced": (
        lambda **at: data.ClassBalancedRows(CLASSES, seed=3, **at),
        lambda **at: sampling.ClassBalancedSampler(CLASSES, seed=3, **at),
        CLASSES,
    ),
    "repeat_factor": (
        lambda **at: data.RepeatFactorRows(MULTI, threshold=0.3, seed=3, **at),
        lambda **at: sampling.RepeatFactorSampler(MULTI, threshold=0.3, seed=3, **at),
        MULTI,
    ),
    "progressive": (
        lambda **at: data.ProgressiveRows(MULTI, num_epochs=2, seed=3, **at),
        lambda **at: sampling.ProgressiveSampler(MULTI, num_epochs=2, seed=3, **at),
        MULTI,
    ),
    "listed": (
        lambda **at: data.ListedRows([5, 5, 7, 9], seed=3, **at),
        lambda **at: sampling.ListedRowsSampler([5, 5, 7, 9], seed=3, **at),
        MULTI,
    ),
    "stratified": (
        lambda **at: data.StratifiedBatches(MULTI, batch_size=8, seed=3, **at),
        lambda **at: sampling.StratifiedBatchSampler(MULTI, batch_size=8, seed=3, **at),
        MULTI,
    ),
    "pk": (
        lambda **at: data.PKBatches(CLASSES, classes_per_batch=2, rows_per_class=3, seed=3, **at),
        lambda **at: sampling.PKBatchSampler(
            CLASSES, classes_per_batch=2, rows_per_class=3, seed=3, **at
        ),
        CLASSES,
    ),
    "balanced": (
        lambda **at: data.BalancedBatches(MULTI, rare=[2], share=0.5, batch_size=8, seed=3, **at),
        lambda **at: sampling.BalancedBatchSampler(
            MULTI, rare=[2], share=0.5, batch_size=8, seed=3, **at
        ),
        MULTI,
    ),
}


def drawn(batches: RowBatches) -> list[list[int]]:
    return [batches[i][0].astype(int).tolist() for i in range(len(batches))]


def flat(batches: list[list[int]]) -> list[int]:
    return [row for batch in batches for row in batch]


def of_sampler(sampler: Any, size: int) -> list[list[int]]:
    items = list(sampler)
    if items and isinstance(items[0], list):
        return items
    return [items[i : i + size] for i in range(0, len(items), size)]


def test_every_sampler_has_its_draw() -> None:
    samplers = {name for name in sampling.__all__ if name.endswith("Sampler")}
    assert len(samplers) == len(PAIRS) - 1


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("at", [{}, {"num_replicas": 2, "rank": 0}, {"num_replicas": 2, "rank": 1}])
def test_rows_are_those_of_the_sampler_on_every_rank(name: str, at: dict[str, int]) -> None:
    make, sampler, labels = PAIRS[name]
    batches = RowBatches(X, labels, draw=make(), batch_size=9, **at)
    other = sampler(**at)
    for epoch in (0, 1, 2):
        other.set_epoch(epoch)
        assert batches.epoch == epoch
        assert drawn(batches) == of_sampler(other, 9)
        batches.on_epoch_end()


@pytest.mark.parametrize("name", PAIRS)
def test_the_way_back_is_that_of_the_sampler(name: str) -> None:
    make, sampler, labels = PAIRS[name]
    batches = RowBatches(X, labels, draw=make())
    own = getattr(sampler(), "correction", None)
    if name in ("weighted", "without_replacement"):
        # Of draws by weights alone, which do not know the labels.
        assert batches.correction().to_dict() == own(labels).to_dict()
        claimed = sampling.sampler_correction(X, labels).to_dict()
        assert (own(labels).to_dict() == claimed) == (name == "weighted")
    elif own is not None:
        assert batches.correction().to_dict() == own().to_dict()
    elif name == "listed":
        with pytest.raises(ValueError, match="never drawn"):
            batches.correction()
    else:
        expected = sampling.sampler_correction(X, labels)
        assert batches.correction().to_dict() == expected.to_dict()


@pytest.mark.parametrize("rule", sampling.ROW_RULES)
def test_every_rule_draws_by_name(rule: str) -> None:
    labels = MULTI if "multilabel" in sampling.ROW_RULES[rule].kinds else CLASSES
    batches = RowBatches(X, labels, draw=rule, seed=1, batch_size=80)
    weights = sampling.row_weights(labels, rule)
    expected = list(sampling.WeightedSampler(weights, seed=1))
    assert batches[0][0].astype(int).tolist() == expected
    given = RowBatches(X, labels.values, draw=rule, seed=1, batch_size=80)
    assert given[0][0].tolist() == batches[0][0].tolist()


def test_rows_are_shuffled_or_in_order() -> None:
    plain = RowBatches(X, HOT, batch_size=32)
    assert len(plain) == 3
    assert sorted(flat(drawn(plain))) == list(range(80)) != flat(drawn(plain))
    assert plain.correction().probabilities([[0.0, 1.0, 2.0]]).round(2).tolist() == [
        [0.5, 0.73, 0.88]
    ]
    ordered = RowBatches(X, HOT, batch_size=32, draw="in_order")
    assert flat(drawn(ordered)) == list(range(80))
    assert ordered.correction().is_identity


def test_inputs_targets_and_weights_belong_together() -> None:
    x = {"a": X, "b": (X, -X)}
    batches = RowBatches(x, CLASSES, sample_weight=X, draw="in_order", batch_size=7)
    inputs, target, weight = batches[2]
    assert inputs["a"].tolist() == inputs["b"][0].tolist() == weight.tolist() == list(range(14, 21))
    assert inputs["b"][1].tolist() == (-weight).tolist()
    assert target.dtype == np.int64
    hot = eq.Labels.from_array([[1, -1], [0, 1]], kind="multilabel")
    assert RowBatches(X[:2], hot, draw="in_order")[0][1].tolist() == [[1.0, -1.0], [0.0, 1.0]]


def test_fit_sees_a_new_draw_in_every_epoch() -> None:
    seen: list[list[int]] = []

    class Watched(RowBatches):
        def __getitem__(self, index: int) -> tuple[Any, ...]:
            if index == 0:
                seen.append(self.rows(0).tolist())
            return super().__getitem__(index)

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(3)])
    model.compile(loss=BCELoss(from_logits=True), metrics=["binary_accuracy"])
    batches = Watched(X[:, None].astype("float32"), MULTI, draw="max", batch_size=20, seed=5)
    model.fit(batches, epochs=3, shuffle=False, verbose=0)
    assert batches.epoch == 3
    again = RowBatches(X, MULTI, draw="max", batch_size=20, seed=5)
    for epoch in range(3):
        again.set_epoch(epoch)
        assert again.rows(0).tolist() in seen
    assert len({tuple(rows) for rows in seen}) == 3


def test_threads_that_fetch_ahead_see_the_epoch_that_is_said() -> None:
    seen: list[tuple[int, int]] = []

    class Watched(RowBatches):
        def __getitem__(self, index: int) -> tuple[Any, ...]:
            seen.append((self.epoch, index))
            return super().__getitem__(index)

    batches = Watched(X[:, None].astype("float32"), MULTI, draw="max", batch_size=9, workers=2)
    say_epoch = keras.callbacks.LambdaCallback(on_epoch_begin=lambda e, _: batches.set_epoch(e))
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(3)])
    model.compile(loss=BCELoss(from_logits=True))
    model.fit(X[:9, None].astype("float32"), HOT[:9], verbose=0)
    seen.clear()
    model.fit(batches, epochs=3, shuffle=False, verbose=0, callbacks=[say_epoch])
    assert {epoch for epoch, _ in seen} == {0, 1, 2}
    assert sorted(seen) == [(epoch, i) for epoch in range(3) for i in range(9)]


def test_weights_of_rows_from_their_rarest_label() -> None:
    weights = row_sample_weights(MULTI, power=1.0, cap=None)
    np.testing.assert_allclose(weights, sampling.class_balanced_weights(MULTI))
    capped = row_sample_weights(MULTI, power=1.0, cap=2.0)
    assert capped.mean() == pytest.approx(1.0)
    assert capped.max() / capped.min() == pytest.approx(2.0)
    with pytest.raises(UsageError, match="at least 1"):
        row_sample_weights(MULTI, cap=0.5)


STEPS = [np.full((n, 2), float(n)) for n in (3, 1, 4)]


def test_batches_are_padded_to_their_longest() -> None:
    ragged = RaggedSequences(STEPS, padding=-1.0, with_mask=True)
    steps, mask = ragged.batch([1, 0])
    assert steps.shape == (2, 3, 2)
    assert steps[0, :, 0].tolist() == [1.0, -1.0, -1.0]
    assert mask.tolist() == [[True, False, False], [True, True, True]]
    assert ragged.mean()[:, 0].tolist() == [3.0, 1.0, 4.0]
    assert RaggedSequences(STEPS, pad_to=6).batch([0]).shape == (1, 6, 2)
    assert RaggedSequences(STEPS, multiple_of=8).batch([2, 0]).shape == (2, 8, 2)
    joined = RaggedSequences(np.concatenate(STEPS), offsets=[0, 3, 4, 8])
    for row in range(3):
        assert (joined.batch([row]) == RaggedSequences(STEPS).batch([row])).all()


def test_padding_changes_no_prediction() -> None:
    keras.utils.set_random_seed(0)
    layers = [keras.Input((None, 2)), keras.layers.Masking(-1.0), keras.layers.LSTM(3)]
    model = keras.Sequential([*layers, keras.layers.Dense(1)])
    ragged = RaggedSequences(STEPS, padding=-1.0)
    together = model.predict(RowBatches(ragged, [0, 1, 0], draw="in_order"), verbose=0)
    for row, steps in enumerate(STEPS):
        alone = model.predict(steps[None].astype("float32"), verbose=0)
        np.testing.assert_allclose(together[row], alone[0], atol=1e-6)


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: RowBatches(X[:5], HOT), ShapeError, "one row per target = 80, got 5"),
        (lambda: RowBatches(X, HOT, draw="rare"), UsageError, "must be one of"),
        (lambda: RowBatches(X, HOT, batch_size=0), UsageError, "whole number >= 1"),
        (lambda: RowBatches(X, HOT, sample_weight=X[:9]), ShapeError, "One per row"),
        (lambda: RowBatches(X, HOT, use_multiprocessing=True), UsageError, "raise `workers`"),
        (lambda: RaggedSequences(STEPS, pad_to=3), DataError, "got 4 steps in sequence 2"),
        (lambda: RaggedSequences(STEPS, multiple_of=0), UsageError, "at least 1, got 0"),
        (lambda: RaggedSequences([]), DataError, "at least one"),
    ],
)
def test_wrong_use_says_what_was_expected(make: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        make()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([0, 1, -1, 2]), "or be ignore_index = -100, got -1"),
        (np.array([[0.0, 1.0], [-100.0, 0.0]]), "NaN or -1 where unknown, got -100"),
        (np.array([[0, 255], [255, 0]]), "NaN or -1 where unknown, got 255 and 1 more"),
    ],
)
def test_targets_that_are_none_are_named(y: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        RowBatches(np.zeros((len(y), 2), dtype=np.float32), y)


def test_marks_of_what_is_unknown_are_taken() -> None:
    x = np.zeros((3, 2), dtype=np.float32)
    for y in ([0, 2, -100], [[0.0, -1.0], [np.nan, 0.3], [1.0, 1.0]], [[1], [0], [3]]):
        assert len(RowBatches(x, np.array(y)).y) == 3
