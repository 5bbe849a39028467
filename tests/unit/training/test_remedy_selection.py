"""Slots of a remedy, the metric that chooses the epoch, and labels as targets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from equipoise.artifacts import Correction, Labels
from equipoise.artifacts.labels import with_ids
from equipoise.errors import UsageError
from equipoise.methods import remedy
from equipoise.training.remedy import RowSampler
from equipoise.training.run_data import Counted, Shuffle
from equipoise.training.selection import goes_before, realised_histogram, selection_metric
from equipoise.training.targets import to_target


def test_labels_are_judged_by_macro_average_precision(rng: np.random.Generator) -> None:
    hot = (rng.random((60, 4)) < 0.3).astype(int)
    hot[:, 1] = 0
    hot[:20, 2] = -1
    logits = rng.normal(size=(60, 4))
    known = [
        average_precision_score(hot[hot[:, c] >= 0, c], logits[hot[:, c] >= 0, c])
        for c in (0, 2, 3)
    ]
    labels = Labels.from_array(hot, kind="multilabel")
    found = selection_metric(logits, labels, Correction.identity("multilabel"))
    assert found == pytest.approx(np.mean(known))
    nothing = Labels.from_array(np.zeros((60, 4)), kind="multilabel")
    assert np.isnan(selection_metric(logits, nothing, Correction.identity("multilabel")))


def test_classes_are_judged_at_the_balanced_rule_of_each_remedy(rng: np.random.Generator) -> None:
    classes = rng.choice(3, size=200, p=[0.8, 0.15, 0.05])
    labels = Labels.from_array(classes, kind="multiclass")
    prior = labels.counts / 200
    natural = rng.normal(size=(200, 3)) + 2 * np.eye(3)[classes]
    wanted = balanced_accuracy_score(classes, (natural - np.log(prior)).argmax(1))
    plain = Correction.identity("multiclass", prior.tolist())
    assert selection_metric(natural, labels, plain) == pytest.approx(wanted)
    # Logit-adjusted outputs are balanced already: the same decisions, the same value.
    adjusted = remedy("logit_adjusted", labels).correction
    assert selection_metric(natural - np.log(prior), labels, adjusted) == pytest.approx(wanted)
    lost = Correction("multiclass", (), "none", prior=tuple(prior))
    by_argmax = balanced_accuracy_score(classes, natural.argmax(1))
    assert selection_metric(natural, labels, lost) == pytest.approx(by_argmax)


def test_a_class_without_training_rows_is_never_decided_for() -> None:
    labels = Labels.from_array([0, 1, 0, 1], kind="multiclass", names=["a", "b", "c"])
    logits = np.array([[2.0, 0, -5], [0, 2.0, -5], [2.0, 0, -5], [0, 2.0, -5]])
    known = Correction.identity("multiclass", [0.5, 0.5, 0.0])
    assert selection_metric(logits, labels, known) == 1.0


@pytest.mark.parametrize("values", [[0, 1, 1, 2], [[1, 0, 1], [-1, 1, 0], [1, 1, 0], [0, 0, 0]]])
def test_histogram_equals_a_slow_count(values: list[int] | list[list[int]]) -> None:
    kind = "multiclass" if np.ndim(values) == 1 else "multilabel"
    labels = Labels.from_array(values, kind=kind)
    drawn = np.array([5, 0, 2, 7])
    slow = {
        name: sum(int(drawn[i]) for i in range(4) if labels.one_hot()[i, c] == 1)
        for c, name in enumerate(labels.names)
    }
    assert realised_histogram(labels, drawn) == slow


def test_targets_write_unknown_as_nan() -> None:
    hot = to_target(Labels.from_array([[1, -1], [0, 1]], kind="multilabel"), torch.float64)
    assert hot.dtype == torch.float64
    np.testing.assert_array_equal(hot.numpy(), [[1, np.nan], [0, 1]])
    classes = to_target(Labels.from_array([1, 0], kind="multiclass"), torch.float32)
    assert classes.dtype == torch.int64


def test_positions_serve_as_ids_where_there_are_none() -> None:
    rows = np.array([2, 0])
    bare = with_ids(Labels.from_array([0, 1, 1], kind="multiclass", names=["a", "b"]), rows)
    assert bare.ids.tolist() == ["2", "0"]
    assert bare.names == ("a", "b")
    named = Labels.from_array([0, 1, 1], kind="multiclass", ids=["x", "y", "z"])
    assert with_ids(named, rows).ids.tolist() == ["z", "x"]


def test_shuffle_is_a_row_sampler_with_a_new_order_each_epoch() -> None:
    sampler = Counted(Shuffle(20, seed=3), 20)
    assert isinstance(sampler, RowSampler)
    first, again = list(sampler), list(sampler)
    sampler.set_epoch(1)
    second = list(sampler)
    assert first == again != second
    assert sorted(first) == sorted(second) == list(range(20))
    assert sampler.counts().tolist() == [1] * 20
    sampler.skip = 5
    assert list(sampler) == second[5:]
    assert sampler.counts().tolist() == [1] * 20  # what was skipped was drawn before
    assert list(sampler) == second
    assert len(sampler) == 20
    assert list(Shuffle(20, seed=4)) != first


def test_a_slot_that_an_engine_cannot_serve_is_an_error() -> None:
    treated = remedy("class_balanced_sampling", Labels.from_array([0, 1, 1], kind="multiclass"))
    treated.require_supported("engine", ("sampler",))
    with pytest.raises(UsageError, match="`engine` does not support the slot `sampler` that"):
        treated.require_supported("engine", ())


def test_an_unknown_head_is_an_error() -> None:
    plain = remedy("none", Labels.from_array([0, 1, 1], kind="multiclass"))
    assert (plain.head, plain.score_kind) == ("linear", "logits")
    with pytest.raises(UsageError, match="`head` must be one of 'linear', 'cosine'"):
        replace(plain, head="cosin")


def test_of_equal_metrics_the_lower_validation_loss_goes_before() -> None:
    """Balanced accuracy stays at 1/2 while the loss falls, as rare positives make it do."""
    metrics = [0.5, 0.5, 0.5, 0.4, 0.5]
    losses = [0.259, 0.231, 0.205, 0.1, 0.205]
    best, best_loss, kept = -np.inf, np.inf, -1
    for epoch, (value, loss) in enumerate(zip(metrics, losses, strict=True)):
        if kept < 0 or goes_before(value, loss, best, best_loss):
            best, best_loss, kept = value, loss, epoch
    assert kept == 2
    assert goes_before(np.nan, 1.0, np.nan, 0.5)  # nothing can be judged: the last one
    assert goes_before(0.6, 9.0, 0.5, 0.1)
    assert not goes_before(0.5, np.nan, 0.5, 0.1)
