"""Remedies that mix: what they are made of, which losses they refuse, and where they run."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from equipoise import evaluate, losses, tune
from equipoise.artifacts import Labels
from equipoise.errors import UsageError
from equipoise.methods import METHODS, methods_for, remedy
from equipoise.methods.mixing import add_mixing, require_linear
from equipoise.sampling import ClassBalancedSampler
from equipoise.studies.run import run_study
from equipoise.studies.schema import parse_study
from equipoise.training import Remedy
from equipoise.training.mixing import CutMix, Mixup, Remix

TAIL = Labels.from_array(np.repeat([0, 1, 2], [400, 80, 20]), kind="multiclass")
HOT = Labels.from_array(
    np.repeat([[1, 1], [0, 1], [0, 0]], [50, 150, 300], axis=0), kind="multilabel"
)


def test_settings_reach_the_mixing() -> None:
    made = remedy("mixup", TAIL, alpha=0.2, per_sample=False, probability=0.5)
    assert made.mixing == Mixup(0.2, num_classes=3, per_sample=False, probability=0.5)
    assert remedy("mixup", HOT).mixing == Mixup(1.0)
    assert remedy("cutmix", TAIL).mixing == CutMix(1.0, num_classes=3)
    made = remedy("remix", TAIL, ratio=2.0, threshold=0.7)
    assert made.mixing == Remix(1.0, [400, 80, 20], 2.0, 0.7)
    assert dict(made.settings) == {
        "alpha": 1.0,
        "ratio": 2.0,
        "threshold": 0.7,
        "per_sample": True,
        "probability": 1.0,
    }


def test_settings_are_checked_by_the_mixing() -> None:
    with pytest.raises(UsageError, match="`alpha` must be > 0, got 0"):
        remedy("mixup", HOT, alpha=0)
    with pytest.raises(UsageError, match=r"`ratio` must be > 1"):
        remedy("remix", TAIL, ratio=0.5)
    with pytest.raises(UsageError, match="`remix` must be used on multiclass labels"):
        remedy("remix", HOT)


@pytest.mark.parametrize("labels", [TAIL, HOT], ids=["multiclass", "multilabel"])
def test_every_method_of_the_catalogue_mixes_exactly_if_its_loss_is_linear(labels: Labels) -> None:
    refused = set()
    width = labels.num_classes if labels.kind == "multiclass" else None
    for method in methods_for(labels.kind):
        base = remedy(method.name, labels)
        if base.mixing is not None:
            with pytest.raises(UsageError, match=f"`base` must have no mixing, got '{base.name}'"):
                add_mixing(base, Mixup(1.0, num_classes=width))
        elif base.loss.linear_in_target:
            made = add_mixing(base, Mixup(1.0, num_classes=width))
            assert made.name == f"{method.name} + mixing"
            assert made.score_kind == "ranking"
            assert (made.loss, made.sampler) == (base.loss, base.sampler)
            assert dict(made.settings) == dict(base.settings)
        else:
            refused.add(method.name)
            with pytest.raises(UsageError, match=r"`loss` must be linear .* such as BCELoss"):
                add_mixing(base, Mixup(1.0, num_classes=width))
    regions = {"dice", "tversky", "focal_tversky"}
    coupled = {"distribution_balanced", "zlpr", "two_way", "soft_f_beta", "pairwise_auc"}
    coupled |= {"ohem", "negative_ratio", "semi_hard", "smooth_ap"}
    several = labels.kind == "multilabel"
    assert refused == (coupled if several else {"ohem"}) | regions


def test_a_loss_that_says_nothing_is_not_taken_on_trust() -> None:
    class Own(nn.Module):
        linear_in_target = True

    require_linear(Own(), Mixup())
    with pytest.raises(UsageError, match=r"joined with CutMix, got L1Loss, which does not say so"):
        require_linear(nn.L1Loss(), CutMix())
    base = remedy("none", HOT)
    own = Remedy("own", nn.BCEWithLogitsLoss(), base.correction)
    with pytest.raises(UsageError, match="set its `linear_in_target`"):
        add_mixing(own, Mixup())


def test_a_loss_that_takes_over_late_is_asked_too() -> None:
    plain = remedy("none", HOT)
    late = replace(plain, schedule=SimpleNamespace(loss=losses.ZLPRLoss()))
    with pytest.raises(UsageError, match=r"`loss` must be linear .* got ZLPRLoss"):
        add_mixing(late, Mixup())
    fine = replace(plain, schedule=SimpleNamespace(loss=losses.AsymmetricLoss()))
    assert add_mixing(fine, Mixup()).schedule is fine.schedule
    assert add_mixing(replace(plain, schedule=SimpleNamespace(loss=None)), Mixup()).mixing


def test_mixing_joins_a_sampler() -> None:
    base = remedy("class_balanced_sampling", TAIL)
    made = add_mixing(base, Remix(1.0, TAIL.counts), name="both", settings={"alpha": 1.0})
    assert isinstance(made.sampler, partial)
    assert made.sampler.func is ClassBalancedSampler
    assert (made.name, dict(made.settings)) == ("both", {"alpha": 1.0})
    assert made.correction.exactness == "none"
    assert made.correction.prior == base.correction.prior


@pytest.mark.parametrize("name", [m.name for m in METHODS.values() if m.family == "mixing"])
def test_a_calibrator_makes_probabilities_of_their_scores(name: str) -> None:
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 600)
    labels = Labels.from_array(y, kind="multiclass", ids=np.arange(600))
    outputs = random.normal(size=(600, 3)) + 2 * np.eye(3)[y]
    treated = remedy(name, labels)
    val = treated.to_scores(labels[:300], outputs[:300], "val")
    test = treated.to_scores(labels[300:], outputs[300:], "test")
    assert not val.has_probabilities
    found = evaluate(tune(val), test).overall["overall"]
    assert found["accuracy"].value > 0.8
    assert found["log_loss"].value < 0.5


def test_a_study_on_heads_mixes_features(tmp_path: Path) -> None:
    data = {"source": "digit_mosaics", "rows": 400, "test_rows": 200, "blocks": 8}
    budget = {"hidden": 0, "epochs": 2}
    content = {"data": {**data, "test_blocks": 4}, "training": budget, "seeds": 2}
    study = parse_study({**content, "arms": ["none", "mixup"]})
    result = run_study(study, out=tmp_path).comparison
    assert result.arm("mixup").exactness == "none"
    assert np.isfinite(result.arm("mixup").record["macro_ap"].value)


def test_training_on_blends_learns() -> None:
    """A loop of a reader's own: a linear model on blends ranks as well as the plain one."""
    random = torch.Generator().manual_seed(0)
    y = torch.randint(0, 3, (600,), generator=random)
    x = torch.randn(600, 4, generator=random) + 2.0 * torch.eye(3, 4)[y]
    labels = Labels.from_array(y.numpy(), kind="multiclass")
    for name in ("mixup", "remix"):
        treated, weight = remedy(name, labels), torch.zeros(4, 3, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr=0.5)
        for _ in range(200):
            blend, soft = treated.mixing(x, y, random)
            optimizer.zero_grad()
            treated.loss(blend @ weight, soft).backward()
            optimizer.step()
        outputs = (x @ weight).detach()
        assert (outputs.argmax(1) == y).float().mean() > 0.8
        # Blends draw outputs to the middle: the true classes cost more than they need to.
        sharp = min(float(losses.cross_entropy(s * outputs, y)) for s in (1.5, 2.0, 3.0))
        assert sharp < float(losses.cross_entropy(outputs, y))
