"""Remedies that treat late or in a second stage: what they are made of and what they undo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from equipoise import (
    Correction,
    Labels,
    Remedy,
    Split,
    TrainingOptions,
    evaluate,
    fit,
    remedy,
    stratified_split,
    tune,
)
from equipoise.data import ArrayDataset
from equipoise.errors import NotRecoverableError, UsageError
from equipoise.labels import class_weights
from equipoise.losses import LDAMLoss, PosWeightBCELoss, WeightedCrossEntropyLoss, recover_posterior
from equipoise.losses.ldam import ClassWeighted
from equipoise.methods import METHODS, defer
from equipoise.models import CosineHead
from equipoise.sampling import ClassBalancedSampler, WeightedSampler
from equipoise.studies.run import run_study
from equipoise.studies.schema import parse_study
from equipoise.training import CutMix, Deferred, Mixup, SecondStage

TAIL = Labels.from_array(np.repeat([0, 1, 2], [400, 80, 20]), kind="multiclass")
HOT = Labels.from_array(
    np.repeat([[1, 1], [0, 1], [0, 0]], [50, 150, 300], axis=0), kind="multilabel"
)
ZEROS = np.zeros((1, 3))


def test_deferred_weights_are_those_of_their_method() -> None:
    made, late = remedy("drw", TAIL), remedy("class_balanced", TAIL, beta=0.9999)
    assert isinstance(made.schedule, Deferred)
    assert isinstance(made.schedule.loss, WeightedCrossEntropyLoss)
    assert torch.equal(made.schedule.loss.weight, late.loss.weight)
    assert type(made.loss) is type(remedy("none", TAIL).loss)
    assert made.sampler is None
    assert made.schedule.sampler is None
    np.testing.assert_array_equal(made.correction.apply(ZEROS), late.correction.apply(ZEROS))
    # Until then the outputs are plain.
    before = made.schedule.before.probabilities(ZEROS)
    np.testing.assert_allclose(before, 1 / 3)
    # With so large a beta, positives of labels are weighed as pos_weight does.
    weight = remedy("drw", HOT, beta=1 - 1e-9).correction.nominal_weight
    np.testing.assert_allclose(weight, [451 / 51, 301 / 201], rtol=1e-4)  # counts smoothed by 1


def test_deferred_draws_are_those_of_their_method() -> None:
    for labels, name, sampler in (
        (TAIL, "class_balanced_sampling", ClassBalancedSampler),
        (HOT, "weighted_sampling", WeightedSampler),
    ):
        made, late = remedy("drs", labels), remedy(name, labels)
        drawn = made.schedule.sampler(seed=3)
        assert isinstance(drawn, sampler)
        assert list(drawn) == list(late.sampler(seed=3))
        assert made.correction.ops == late.correction.ops
        assert made.correction.exactness == "approximate"
        assert made.sampler is None


def test_the_share_of_training_reaches_the_schedule_and_is_checked() -> None:
    for name in ("drw", "drs", "ldam_drw", "mixup_drw"):
        assert remedy(name, TAIL, start=0.5).schedule.first_epoch(10) == 5
        with pytest.raises(UsageError, match=r"`start` must lie in \[0, 1\]"):
            remedy(name, TAIL, start=1.5)


def test_at_its_ends_a_deferred_treatment_is_undone_as_what_it_is() -> None:
    plain, late = remedy("none", TAIL), remedy("class_balanced", TAIL, beta=0.9999)
    never, always = remedy("drw", TAIL, start=1), remedy("drw", TAIL, start=0)
    assert never.correction.to_dict() == plain.correction.to_dict()
    assert always.correction.to_dict() == late.correction.to_dict()
    half = remedy("drw", TAIL, start=0.5).correction
    assert half == replace(late.correction, exactness="approximate")


def test_weights_on_ldam_are_weights_on_its_rows_and_are_undone() -> None:
    made = remedy("ldam_drw", TAIL, beta=0.99, max_margin=0.3, scale=10.0)
    late = made.schedule.loss
    assert made.head == "cosine"
    assert isinstance(made.loss, LDAMLoss)
    assert isinstance(late, ClassWeighted)
    random = torch.Generator().manual_seed(0)
    cosines = 2 * torch.rand(50, 3, generator=random, dtype=torch.float64) - 1
    y = torch.randint(3, (50,), generator=random)
    weight = class_weights(TAIL.counts + 1, method="effective_number", beta=0.99)
    weight *= TAIL.counts.sum() / (weight * TAIL.counts).sum()
    margin = 0.3 * (20 / TAIL.counts) ** 0.25
    by_hand = cross_entropy(
        10 * (cosines - torch.eye(3)[y] * torch.from_numpy(margin)), y, reduction="none"
    )
    expected = (by_hand * torch.from_numpy(weight)[y]).mean()
    torch.testing.assert_close(late(cosines, y), expected, rtol=1e-6, atol=0)
    soft = nn.functional.one_hot(y, 3).double()
    torch.testing.assert_close(late(cosines, soft), expected, rtol=1e-6, atol=0)
    assert late.divisor(y) == 50
    # Its own gradients lead to the same posterior as the correction says.
    oracle = recover_posterior(OneByOne(late), cosines)
    found = made.correction.probabilities(cosines.numpy())
    np.testing.assert_allclose(found, oracle.numpy(), rtol=1e-5)


class OneByOne(nn.Module):
    """The same loss, one value per row, as the oracle asks for."""

    kind, reduction = "multiclass", "none"

    def __init__(self, loss: ClassWeighted) -> None:
        super().__init__()
        self.loss = ClassWeighted(
            LDAMLoss(loss.loss.margin, scale=10.0, reduction="none"), loss.weight
        )

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.loss(logits, target)


@pytest.mark.parametrize("labels", [TAIL, HOT], ids=["multiclass", "multilabel"])
def test_mixing_and_late_weights_join(labels: Labels) -> None:
    made, late = remedy("mixup_drw", labels, alpha=0.2), remedy("drw", labels)
    assert isinstance(made.mixing, Mixup)
    assert made.mixing.alpha == 0.2
    assert torch.equal(*(torch.stack(list(r.schedule.loss.buffers())) for r in (made, late)))
    assert made.score_kind == "ranking"
    with pytest.raises(NotRecoverableError):
        made.correction.apply(np.zeros((1, labels.num_classes)))


@pytest.mark.parametrize("labels", [TAIL, HOT], ids=["multiclass", "multilabel"])
def test_a_new_layer_is_trained_plainly_on_balanced_rows(labels: Labels) -> None:
    made = remedy("crt", labels, epochs=7, lr=0.3)
    stage = made.second_stage
    assert isinstance(stage, SecondStage)
    assert (stage.kind, stage.epochs, stage.lr) == ("crt", 7, 0.3)
    assert made.sampler is None
    assert made.correction.to_dict() == remedy("none", labels).correction.to_dict()
    balanced = "weighted_sampling" if labels.kind == "multilabel" else "class_balanced_sampling"
    assert list(stage.remedy.sampler(seed=1)) == list(remedy(balanced, labels).sampler(seed=1))
    assert made.final is stage.remedy
    assert made.final.correction.ops == remedy(balanced, labels).correction.ops
    assert made.final.correction.exactness == "approximate"


@pytest.mark.parametrize("name", ["tau_norm", "ncm"])
def test_computed_layers_only_rank(name: str) -> None:
    made = remedy(name, TAIL)
    assert made.correction.exactness == "exact"
    assert made.final.score_kind == "ranking"
    assert made.final.correction.prior == made.correction.prior
    assert METHODS[name].exactness == {"multiclass": "none"}
    with pytest.raises(UsageError, match=f"`{name}` must be used on multiclass labels"):
        remedy(name, HOT)


def test_what_cannot_be_put_off_is_refused() -> None:
    plain, drawn = remedy("none", TAIL), remedy("class_balanced_sampling", TAIL)
    for wrong in (remedy("mixup", TAIL), remedy("drw", TAIL), remedy("crt", TAIL)):
        with pytest.raises(UsageError, match="`defer` does not support the slot"):
            defer(plain, wrong)
        with pytest.raises(UsageError, match="`defer` does not support the slot"):
            defer(wrong, drawn)
    with pytest.raises(UsageError, match="`late` must be for the same head as 'none', linear"):
        defer(plain, remedy("ldam", TAIL))
    with pytest.raises(UsageError, match="`late` must have a sampler where `early` has one"):
        defer(drawn, plain)
    made = defer(drawn, remedy("reversed_sampling", TAIL), 0.3)
    assert (made.name, dict(made.settings)) == (
        "class_balanced_sampling, then reversed_sampling",
        {"start": 0.3},
    )
    assert made.schedule.first_epoch(10) == 3


def test_a_study_on_heads_says_which_slot_it_lacks(tmp_path: Path) -> None:
    data = {"source": "digit_mosaics", "rows": 200, "test_rows": 100}
    study = parse_study({"title": "t", "data": data, "arms": ["none", "crt"], "seeds": 2})
    with pytest.raises(UsageError, match="slot `second_stage` that remedy 'crt'"):
        run_study(study, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_late_weights_at_a_rate_that_falls_to_zero_do_little() -> None:
    """Why the correction of a late treatment is approximate: here it is worse than none."""
    data, split = make_data()
    treated = remedy("drw", data.labels[split.train])
    options = TrainingOptions(epochs=12, lr=0.02, accelerator="cpu")
    scores = fit(make_network, data, split, treated, options=options).scores
    share = data.labels[split.test].counts / split.test.size
    raw = Correction.identity("multiclass").probabilities(scores["test"].values).mean(0)
    formula = scores["test"].correction.probabilities(scores["test"].values).mean(0)
    assert np.abs(np.log(formula / share)).max() > 3 * np.abs(np.log(raw / share)).max()
    # Fitted on validation rows, it comes right.
    rule = tune(scores["val"], target_prior="validation")
    fitted = rule.apply(scores["test"]).probabilities.mean(0)
    assert np.abs(np.log(fitted / share)).max() < 0.5


# Under `fit`.

N = 1500


def make_data(kind: str = "multiclass") -> tuple[ArrayDataset, Split]:
    rng = np.random.default_rng(0)
    y = rng.choice(3, N, p=[0.8, 0.15, 0.05])
    x = (rng.normal(size=(N, 6)) + np.eye(3, 6)[y]).astype(np.float32)
    truth = y if kind == "multiclass" else (x[:, :3] > [0.8, 1.2, 1.6]).astype(int)
    labels = Labels.from_array(truth, kind=kind, ids=np.arange(N))
    return ArrayDataset(x, labels), stratified_split(labels, fractions=(0.5, 0.25, 0.25), seed=0)


def make_network(head: str = "linear") -> nn.Module:
    last = nn.Linear(8, 3) if head == "linear" else CosineHead(8, 3)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), last)


LATE = [m for m in METHODS.values() if m.family in ("schedule", "two_stage")]
# Each method on one kind of labels, in turns; on the other it is slow.
NOW = {m.name: [*m.kinds][i % len(m.kinds)] for i, m in enumerate(LATE)}
STAGES = [
    pytest.param(m.name, kind, marks=[pytest.mark.slow] * (NOW[m.name] != kind))
    for m in LATE
    for kind in m.kinds
]


@pytest.mark.parametrize(("name", "kind"), STAGES)
def test_outputs_are_what_is_said_of_them_and_go_the_whole_line(name: str, kind: str) -> None:
    data, split = make_data(kind)
    # Half of the training, at a rate that does not fall, is what the formula asks for.
    settings = {"start": 0.5} if METHODS[name].family == "schedule" else {}
    treated = remedy(name, data.labels[split.train], **settings)
    options = TrainingOptions(epochs=12, lr=0.02, accelerator="cpu", schedule="constant")
    trial = fit(lambda: make_network(treated.head), data, split, treated, options=options)
    scores = trial.scores["test"]
    exactness = METHODS[name].exactness[kind]
    assert scores.score_kind == ("ranking" if exactness == "none" else "logits")
    assert trial.scores["val"].correction.to_dict() == treated.final.correction.to_dict()
    assert treated.final.correction.exactness == exactness
    found = evaluate(tune(trial.scores["val"]), scores).overall
    if kind == "multilabel":
        assert found["macro"]["ap"].value > 0.8
    else:
        assert found["overall"]["balanced_accuracy"].value > 0.5
    if exactness == "none":
        return
    # The formula alone leads towards the shares of the rows, where raw outputs are far off.
    p = scores.correction.probabilities(scores.values)
    raw = Correction.identity(kind).probabilities(scores.values)
    test = data.labels[split.test]
    share = test.prevalence if kind == "multilabel" else test.counts / len(test)
    off, raw_off = (np.abs(np.log(q.mean(0) / share)).max() for q in (p, raw))
    assert off < 0.5 * raw_off


@pytest.mark.parametrize("name", ["drw", "drs"])
def test_never_treated_is_plain_and_always_treated_is_treated(tmp_path: Path, name: str) -> None:
    data, split = make_data()
    train = data.labels[split.train]
    late = {
        "drw": remedy("class_balanced", train, beta=0.9999),
        "drs": remedy("class_balanced_sampling", train),
    }[name]
    for start, twin in ((1.0, remedy("none", train)), (0.0, late)):
        one = weights(tmp_path, remedy(name, train, start=start), data, split)
        two = weights(tmp_path, twin, data, split)
        for key, value in two.items():
            assert torch.equal(one[key], value), (start, key)


def weights(out: Path, treated: Remedy, data: ArrayDataset, split: Split) -> dict[str, Any]:
    options = TrainingOptions(epochs=2, accelerator="cpu", keep="last")
    trial = fit(make_network, data, split, treated, options=options, out=out)
    return load_file(out / trial.folder_name / "model.safetensors")


def test_names_are_at_hand() -> None:
    import equipoise.training as training

    assert {"CutMix", "Mixup", "Remix", "Mixing"} <= set(training.__all__)
    assert CutMix is training.CutMix
    assert isinstance(Mixup(), training.Mixing)
    assert PosWeightBCELoss([1.0]).linear_in_target
