"""Settings without effect are said, and an arm that trains as another does is not trained twice."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import equipoise as eq
from equipoise import Labels, Split, TrainingOptions, Trial
from equipoise.data import ArrayDataset
from equipoise.errors import NoEffectWarning, UsageError
from equipoise.losses import ClassBalancedBCELoss, PairwiseAUCLoss
from equipoise.methods.no_effect import loss_gradient, same_gradient
from equipoise.models import MLP
from equipoise.training import HeadJob, HeadSettings, train_heads

RARE = Labels.from_array((np.arange(200) % 10 == 0).astype(int)[:, None], kind="multilabel")
TWO = Labels.from_array(
    np.stack([np.arange(200) % 10 == 0, np.arange(200) % 4 == 0], 1).astype(int),
    kind="multilabel",
)
EVEN = Labels.from_array(np.arange(200) % 4, kind="multiclass")
TAIL = Labels.from_array([0] * 150 + [1] * 40 + [2] * 10, kind="multiclass")

IDLE: list[tuple[str, Labels, dict[str, Any]]] = [
    ("inverse_frequency", RARE, {}),
    ("pos_weight", TWO, {"power": 0.0}),
    ("focal", TWO, {"gamma": 0.0}),
    ("focal", TAIL, {"gamma": 0.0}),
    ("class_balanced", TWO, {"beta": 0.5}),
    ("class_balanced", EVEN, {"beta": 0.999}),
    ("weighted_ce", EVEN, {}),
    ("logit_adjusted", EVEN, {}),
    ("class_balanced_sampling", EVEN, {}),
]
WORKING: list[tuple[str, Labels, dict[str, Any]]] = [
    ("none", RARE, {}),
    ("inverse_frequency", TWO, {}),
    ("pos_weight", RARE, {}),
    ("focal", TWO, {}),
    ("class_balanced", RARE, {}),
    ("weighted_ce", TAIL, {}),
    ("logit_adjusted", TAIL, {}),
    ("class_balanced_sampling", TAIL, {}),
    ("zlpr", TWO, {}),
]


@pytest.mark.parametrize(("method", "labels", "settings"), IDLE)
def test_settings_without_effect_are_said(
    method: str, labels: Labels, settings: dict[str, Any]
) -> None:
    with pytest.warns(NoEffectWarning):
        eq.remedy(method, labels, **settings)


@pytest.mark.parametrize(("method", "labels", "settings"), WORKING)
def test_settings_with_an_effect_are_not(
    method: str, labels: Labels, settings: dict[str, Any]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        eq.remedy(method, labels, **settings)


def test_inverse_frequency_of_one_label_is_none() -> None:
    with pytest.warns(NoEffectWarning, match=r"^'inverse_frequency' is `none` on these rows"):
        made = eq.remedy("inverse_frequency", RARE)
    assert made.loss.pos_weight.tolist() == [1.0]  # type: ignore[union-attr]
    one, two = (loss_gradient(r, RARE) for r in (made, eq.remedy("none", RARE)))
    assert one is not None
    assert two is not None
    assert same_gradient(one, two)


def test_effective_numbers_at_their_limit_are_said() -> None:
    with pytest.warns(NoEffectWarning, match=r"between 1\.0000 and 1\.0000: they change nothing"):
        ClassBalancedBCELoss.from_label_counts(
            [19_000, 65_000], 224_000, weight_on="positives", beta=0.999
        )


def table(tmp_path: Path, arms: str, extra: str = "") -> Path:
    rng = np.random.default_rng(0)
    hot = (np.arange(300) % 8 == 0).astype(int)
    x = rng.normal(size=(300, 3)) + hot[:, None]
    lines = ["a,b,c,y", *(",".join([*(f"{v:.5f}" for v in row), str(t)])
                          for row, t in zip(x, hot, strict=True))]  # fmt: skip
    (tmp_path / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    study = tmp_path / "study.yaml"
    study.write_text(
        "data: {source: table, path: rows.csv, label: y}\nsplit: {how: stratified}\n"
        f"arms: {arms}\nseeds: 2\ntraining: {{epochs: 2}}\n{extra}",
        encoding="utf-8",
    )
    return study


def trials_of(root: Path) -> dict[tuple[str, int], Trial]:
    found = [Trial.load(p.parent) for p in root.glob("*/trial.json")]
    return {(t.method, t.seed): t for t in found}


def test_an_arm_that_trains_as_another_is_not_trained_again(tmp_path: Path) -> None:
    from equipoise.studies.plan import make_plan
    from equipoise.studies.run import train_missing
    from equipoise.studies.schema import load_study

    arms = "[none, pos_weight, {method: focal, settings: {gamma: 0.0}}]"
    study = load_study(table(tmp_path, arms))
    with pytest.warns(NoEffectWarning) as told:
        plan = make_plan(study)
    assert [str(w.message).split(",")[0] for w in told] == [
        "'focal' is `none` on these rows: its settings weigh nothing here.",
        "'focal' trains as 'none' does",
    ]
    assert len(plan.jobs) == 6
    assert len(plan.twins) == 2
    trials, trained = train_missing(plan, tmp_path / "out")
    assert (trained, len(trials)) == (4, 6)
    found = trials_of(tmp_path / "out" / "trials")
    names = {method for method, _ in found}
    (focal,) = names - {"none", "pos_weight"}
    for seed in (0, 1):
        own, other = found[focal, seed], found["none", seed]
        assert own.selection["trained_as"] == "none"
        assert own.config["method"] == "focal"
        np.testing.assert_array_equal(own.scores["test"].values, other.scores["test"].values)
        assert own.history == other.history
        assert "trained_as" not in found["pos_weight", seed].selection
    trials, trained = train_missing(plan, tmp_path / "out")
    assert (trained, len(trials)) == (0, 6)


def pairs(batch_size: int, labels: Labels = RARE) -> Trial:
    x = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    rows = np.arange(200)
    split = Split.from_parts(rows[:120], rows[120:160], rows[160:], n_rows=200, seed=0, method="x")
    options = TrainingOptions(accelerator="cpu", epochs=1, batch_size=batch_size)
    made = eq.remedy("pairwise_auc", labels[split.train])
    return eq.fit(lambda: MLP(3, 1), ArrayDataset(x, labels), split, made, options=options)


def test_a_loss_of_pairs_is_refused_batches_of_one_row() -> None:
    message = r"`batch_size` must hold what 'pairwise_auc' learns from, got none in batches of 1"
    with pytest.raises(UsageError, match=message):
        pairs(1)
    with pytest.warns(NoEffectWarning, match=r"of the first batches of 3 rows hold nothing"):
        pairs(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", NoEffectWarning)
        assert pairs(60).history[0]["loss"] > 0


def test_heads_are_refused_them_as_well() -> None:
    rows = np.arange(200)
    x = np.random.default_rng(0).normal(size=(200, 3))
    job = HeadJob(eq.remedy("pairwise_auc", RARE[rows[:120]]), 0, rows[:120], rows[120:160])
    with pytest.raises(UsageError, match="learns from, got none in batches of 1"):
        list(train_heads(x, RARE, rows[160:], [job], settings=HeadSettings(batch_size=1, epochs=1)))


def test_the_audit_says_what_a_loss_needs() -> None:
    found = {f.code: f for f in eq.audit_loss(PairwiseAUCLoss(), labels=2)}
    assert "A batch of one row has no gradient" in found["EQ513"].message
    for loss in (torch.nn.BCEWithLogitsLoss(), eq.losses.ZLPRLoss(), eq.losses.SoftFBetaLoss()):
        assert "EQ513" not in {f.code for f in eq.audit_loss(loss, labels=2)}


def test_diagnose_says_it_of_a_set_up() -> None:
    from equipoise.diagnosis import Material, Setup, diagnose

    counts = {"A": 19_000, "B": 65_000}

    def said(**fields: Any) -> dict[str, str]:
        found = diagnose(counts=counts, n_rows=224_000, more=Material(setups=(Setup(**fields),)))
        idle = [f for f in found if f.code == "EQ343"]
        return dict(idle[0].evidence["settings"]) if idle else {}

    assert "1 / (1 - beta) = 1,000" in said(beta=0.999)["beta"]
    assert set(said(pos_weight=[1.0, 1.02])) == {"pos_weight"}
    assert set(said(class_weight=[2.0, 2.0])) == {"class_weight"}
    assert set(said(alpha=0.5)) == {"alpha"}
    assert set(said(loss="PairwiseAUCLoss", batch_size=1)) == {"batch_size"}
    assert said(pos_weight=[5.0, 5.0], beta=0.99999, alpha=0.75, batch_size=1, loss="bce") == {}
