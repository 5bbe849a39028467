"""Every study takes the same words for its rows and their split, whatever it trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from equipoise import Split, Trial
from equipoise.errors import DataError, NoEffectWarning, UsageError
from equipoise.studies.load import load_data
from equipoise.studies.network import plan_training
from equipoise.studies.plan import make_plan, plan_rows
from equipoise.studies.run import run_study, train_missing
from equipoise.studies.schema import parse_study

SIZES = [19, 11, 5, 1]
CPU = {"accelerator": "cpu", "epochs": 1}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    classes = np.repeat(np.array(["ant", "bee", "cat", "dog"]), 100)
    frame = pl.DataFrame(rng.normal(size=(400, 3)), schema=["u", "v", "w"])
    frame.with_columns(pl.Series("y", classes)).write_csv(tmp_path / "table.csv")
    return tmp_path / "table.csv"


def splits_of(table: Path, split: dict[str, Any]) -> list[Split]:
    """The split of a comparison of heads, of one training, and of one of a full comparison."""
    rows = {"data": {"path": str(table), "label": "y"}, "split": split}
    network = {**rows, "model": "mlp", "training": CPU}
    return [
        make_plan(parse_study({**rows, "arms": ["none"], "seeds": 1})).splits.first,
        plan_training(parse_study(network, verb="train"), check=False).split,
        make_plan(parse_study({**network, "arms": ["none"], "seeds": 1})).splits.first,
    ]


def test_a_long_tail_of_given_sizes(table: Path) -> None:
    tail = {"how": "long_tail", "ratio": SIZES, "total": 108, "val_per_class": 10,
            "test_per_class": 20, "order": ["dog", "cat", "bee", "ant"]}  # fmt: skip
    classes = pl.read_csv(table)["y"].to_numpy()
    heads, one, full = splits_of(table, tail)
    for split in (heads, one, full):
        names, counts = np.unique(classes[split.train], return_counts=True)
        assert dict(zip(names, counts, strict=True)) == dict(
            zip(["dog", "cat", "bee", "ant"], [57, 33, 15, 3], strict=True)
        )
        assert np.unique(classes[split.val], return_counts=True)[1].tolist() == [10] * 4
        assert np.unique(classes[split.test], return_counts=True)[1].tolist() == [20] * 4
    assert heads.fingerprint == one.fingerprint == full.fingerprint


def test_a_split_that_was_written_before(table: Path, tmp_path: Path) -> None:
    rows = np.random.default_rng(1).permutation(400)
    written = Split.from_parts(
        rows[:250], rows[250:320], rows[320:], n_rows=400, seed=0, method="hand"
    )
    file = written.save(tmp_path / "split.json")
    for split in splits_of(table, {"how": "file", "path": str(file)}):
        assert split.fingerprint == written.fingerprint
    other = Split.from_parts([0], [1], [2], n_rows=3, seed=0, method="hand")
    other.save(tmp_path / "other.json")
    with pytest.raises(DataError, match=r"must be of the data's 400 rows, got 3"):
        splits_of(table, {"how": "file", "path": str(tmp_path / "other.json")})


def test_features_can_be_named(table: Path) -> None:
    data = {"path": str(table), "label": "y", "features": ["w", "u"]}
    found = load_data(parse_study({"data": data, "arms": ["none"]})).features
    np.testing.assert_allclose(found, pl.read_csv(table).select("w", "u").to_numpy(), rtol=1e-6)
    wrong = parse_study({"data": {**data, "features": ["x"]}, "arms": ["none"]})
    with pytest.raises(DataError, match=r"`features` must name columns of the table, got 'x'"):
        load_data(wrong)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ({"how": "long_tail", "val_per_class": 5}, "give imbalance_ratio, or ratio"),
        (
            {"how": "long_tail", "val_per_class": 5, "ratio": [2, 1], "imbalance_ratio": 3},
            "give imbalance_ratio, or ratio",
        ),
        ({"how": "long_tail", "val_per_clas": 5}, "Did you mean `val_per_class`"),
        ({"how": "file"}, "`split.path` is missing"),
    ],
)
def test_wrong_splits_are_named(split: dict[str, Any], message: str) -> None:
    content = {"data": {"path": "t.csv", "label": "y"}, "split": split, "arms": ["none"]}
    for verb, more in (("compare", {}), ("train", {"model": "mlp"})):
        with pytest.raises(UsageError, match=message):
            parse_study({**content, **more}, verb=verb)


def test_a_long_tail_needs_test_rows_from_somewhere(table: Path) -> None:
    tail = {"how": "long_tail", "ratio": SIZES, "val_per_class": 10}
    with pytest.raises(UsageError, match=r"`split.test_per_class` must be given"):
        splits_of(table, tail)


def test_one_training_chooses_among_nothing() -> None:
    arm = {"method": "focal", "grid": {"gamma": [1.0, 2.0]}}
    content = {"data": {"path": "t.csv", "label": "y"}, "model": "mlp", "arms": [arm]}
    with pytest.raises(UsageError, match=r"`arms` must hold settings, got a grid.*compare"):
        parse_study(content, verb="train")


NETWORK = {"data": {"path": "t.csv", "label": "y"}, "model": "mlp", "arms": ["none"]}
HEADS = {"data": {"path": "t.csv", "label": "y"}, "arms": ["none"]}
REFUSED = [
    ("train", {**NETWORK, "seeds": 3}, r"`seeds` must be left out of a study of one training.*com"),
    ("train", {**NETWORK, "tuning": {"lr": [0.1]}}, r"`tuning` must be left out.*compare"),
    ("train", {**NETWORK, "mining": {"ratio": 2}}, r"`mining` must be left out.*equipoise mine"),
    ("train", HEADS, r"`model` is missing"),
    ("mine", {**NETWORK, "folds": 3}, r"`folds` must be left out of a study of mining.*train"),
    ("compare", {**HEADS, "folds": 3}, r"`folds` must be left out of a comparison"),
    ("compare", {**HEADS, "seed": 1}, r"`seed` must be left out of a comparison.*train"),
    ("compare", {**HEADS, "negative": "a"}, r"`negative` must be left out.*mine"),
    ("compare", {"data": HEADS["data"]}, r"`arms` is missing"),
    ("compare", {**HEADS, "augmentation": "cifar"}, r"no use to heads.*Add a `model`"),
    ("compare", {**HEADS, "training": {"epoch": 3}}, r"unknown key `training.epoch`.*`epochs`"),
    ("compare", {**NETWORK, "compute": {"device": "cpu"}}, r"`compute.device`.*accelerator"),
    ("compare", {**NETWORK, "features": {"model": "vgg16"}}, r"`features` must be left out of a"),
    ("compare", {**NETWORK, "arms": ["none", "prevalence"]}, r"train a network, got prevalence"),
    ("compare", {**HEADS, "arms": ["focal", "focal"]}, r"`arms` must have distinct names"),
    ("compare", {**HEADS, "seedz": 2}, r"unknown key `seedz`. Did you mean `seeds`"),
    ("train", {**NETWORK, "seedz": 2}, r"unknown key `seedz`. Did you mean `seed`"),
    ("compare", {**HEADS, "split": {"how": "longtail"}}, r"`split.how` must be.*`long_tail`"),
    ("compare", {**HEADS, "data": {"source": "tabel"}}, r"`data.source` must be.*`table`"),
    (
        "train",
        {**NETWORK, "threads": 1, "compute": {"threads": 2}},
        r"give `threads` once, as compute.threads",
    ),
    ("train", {**NETWORK, "threads": 1, "compute": {"device": "cpu"}}, r"`compute.device` must be"),
]


@pytest.mark.parametrize(("verb", "content", "message"), REFUSED)
def test_what_a_verb_has_no_use_for_is_refused(
    verb: Any, content: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        parse_study(content, verb=verb)


@pytest.mark.parametrize("content", [HEADS, NETWORK, {**NETWORK, "threads": 2}])
def test_a_study_that_is_written_out_is_the_same_study(content: dict[str, Any]) -> None:
    study = parse_study(content)
    assert parse_study(study.model_dump(mode="json", exclude_none=True)) == study
    assert study.title == ("Training" if "model" in content else "Comparison")
    assert study.compute.threads == content.get("threads")


def test_one_training_and_a_comparison_come_to_one_trial(table: Path) -> None:
    rows = {"data": {"path": str(table), "label": "y"}, "model": "mlp", "training": CPU}
    shared = {**rows, "arms": ["none"], "compute": {"threads": 1}}
    plan = make_plan(parse_study({**shared, "seeds": 2}))
    one = plan_training(parse_study({**shared, "seed": 1}, verb="train"), check=False)
    assert plan.jobs[1].seed == one.job.seed == 1
    assert plan.splits[1, None].fingerprint == one.split.fingerprint
    assert plan.engine.config(plan.jobs[1])["compute"] == one.config["compute"] == {"threads": 1}


def test_what_is_wrong_with_training_is_said_before_it(table: Path, tmp_path: Path) -> None:
    rows = {"data": {"path": str(table), "label": "y"}}
    heads = {**rows, "arms": ["none"], "comparison": {"objective": "f1"}}
    with pytest.raises(UsageError, match=r"`objective` must be one of .* for multiclass"):
        make_plan(parse_study(heads))
    folded = parse_study({**rows, "model": "mlp", "training": CPU, "folds": 3}, verb="train")
    with pytest.raises(UsageError, match="must keep the last epoch of each fold"):
        plan_training(folded)
    full = parse_study({**rows, "model": "mlp", "training": CPU, "arms": ["none"]})
    with pytest.raises(UsageError, match="`processes` must be left out beside a cluster"):
        plan_rows(full, tmp_path, processes=2, cluster="local")


def test_the_plan_says_what_is_trained_as_another(table: Path, tmp_path: Path) -> None:
    arms = ["none", {"method": "focal", "settings": {"gamma": 0.0}}]
    content = {"data": {"path": str(table), "label": "y"}, "arms": arms, "seeds": 1}
    study = parse_study({**content, "training": {"epochs": 1, "hidden": 0}})
    with pytest.warns(NoEffectWarning):
        _, rows, summary = plan_rows(study, tmp_path)
    assert [row[-1] for row in rows] == ["to train", "as none"]
    assert "5 to train, about" in summary
    with pytest.warns(NoEffectWarning):
        train_missing(make_plan(study), tmp_path)
    with pytest.warns(NoEffectWarning):
        assert [row[-1] for row in plan_rows(study, tmp_path)[1]] == ["finished", "finished"]
    with pytest.warns(NoEffectWarning):
        assert plan_rows(study, tmp_path, fresh=True)[1] == rows


def test_tuned_thresholds_take_nothing_of_their_own(table: Path) -> None:
    content = {"data": {"source": "table", "path": str(table), "label": "y"}, "model": "mlp"}
    for own in ({"name": "mine"}, {"settings": {"bogus": 1}}, {"training": {"lr": 0.1}}):
        arms = ["none", {"method": "none + thresholds", **own}]
        with pytest.raises(UsageError, match=r"`none \+ thresholds` must stand alone, got"):
            parse_study({**content, "arms": arms})


def test_an_arm_may_have_a_rate_of_its_own(table: Path, tmp_path: Path) -> None:
    falling = {"method": "none", "name": "falling", "training": {"schedule": "exponential"}}
    content = {
        "data": {"source": "table", "path": str(table), "label": "y"},
        "model": "mlp",
        "arms": ["none", falling],
        "seeds": 1,
        "training": {"epochs": 3, "batch_size": 32},
    }
    study = parse_study(content)
    assert study.options_of(study.arms[1]).schedule == "exponential"
    assert study.options_of(study.arms[0]) == study.options
    run_study(study, out=tmp_path)
    rates = {}
    for folder in (tmp_path / "trials").iterdir():
        trial = Trial.load(folder)
        rates[trial.method] = [float(line["lr"]) for line in trial.history]
    # As many epochs; a tenth of the rate at every epoch, and half a cosine that ends at 0.
    assert len(rates["falling"]) == len(rates["none"]) == 3
    assert rates["falling"][2] == pytest.approx(rates["falling"][1] / 10)
    assert rates["none"][1] > rates["none"][2] == 0
    wrong: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({"epochs": 5}, {}, "`training of x` must hold options of the optimizer .*got 'epochs'"),
        ({"lr": 0.1}, {"tuning": {"lr": [0.1, 0.2]}}, "must not hold what tuning.lr chooses"),
        ({"lr": 0.1}, {"model": None, "training": {}}, "left out where no network is trained"),
        ({"schedule": "linear"}, {}, "`schedule` must be"),
    ]
    for own, changes, message in wrong:
        arms = ["none", {"method": "none", "name": "x", "training": own}]
        with pytest.raises(UsageError, match=message):
            parse_study({**content, "arms": arms, **changes})
