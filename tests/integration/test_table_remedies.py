"""What treats imbalance in tables alone, synthetic rows and balanced bags; models with grids."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import equipoise as eq
from equipoise.cli.main import main
from equipoise.sampling.resample.tables import SyntheticRows
from equipoise.studies.families import on_model
from equipoise.studies.load import load_data
from equipoise.studies.plan import make_plan
from equipoise.studies.schema import parse_study

N = 300
FOREST = "{name: random_forest, settings: {n_estimators: 10}}"
FAST = ["--set", "seeds=1", "--set", "split.folds=3"]
COMPARE = ["compare", "bank.csv", "--label", "bought", "--positive", "yes", "--negative", "no"]


def frame() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    job, age = rng.choice(["cook", "clerk", "none"], N), rng.normal(40, 10, N).round()
    y = rng.random(N) < 1 / (1 + np.exp(2.5 - 2.0 * (job == "cook") - (age - 40) / 12))
    gaps = ["NA" if i % 9 == 0 else str(int(a)) for i, a in enumerate(age)]
    pay = rng.lognormal(3, 1, N)
    return pl.DataFrame({"job": job, "age": gaps, "pay": pay, "bought": np.where(y, "yes", "no")})


@pytest.fixture
def bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    frame().write_csv("bank.csv")
    return tmp_path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def told(folder: str = "equipoise_runs/bank") -> dict[str, Any]:
    return json.loads(Path(folder, "comparison.json").read_text())


def test_synthetic_rows_and_balanced_bags_are_arms_that_end_in_models(bank: Path) -> None:
    bags = {"easy_ensemble": 2, "balanced_random_forest": 10, "rusboost": 5}
    small = [{"method": name, "settings": {"n_estimators": n}} for name, n in bags.items()]
    arms = f"arms={json.dumps(['none', 'smote', 'borderline_smote', *small])}"
    assert run(*COMPARE, *FAST, "--set", f"models=[{FOREST}]", "--set", arms) == 0
    result = eq.Comparison.load("equipoise_runs/bank/comparison.json")
    assert [a.method for a in result.arms] == [
        "none", "none + thresholds", "smote", "borderline_smote", "easy_ensemble",
        "balanced_random_forest", "rusboost",
    ]  # fmt: skip
    assert not any(a.is_reference for a in result.arms)
    share = (frame()["bought"] == "yes").mean()
    ended = ("smote", *bags)
    for arm in ended:
        assert run("refit", "equipoise_runs/bank", "--arm", arm, "-o", arm) == 0
        model = eq.load(arm)
        # Ranking scores are calibrated on out-of-fold rows: no arm is believed as it is.
        p = model.predict_proba(frame())
        assert 0.4 < p.mean() / share < 2.5
        card = Path(arm, "README.md").read_text()
        assert ("imbalanced-learn" in card.split("## How")[0]) == (arm != "smote")
        assert not list(Path(arm).glob("*.pkl"))
        np.save(f"{arm}.npy", p)
    code = (
        "import sys, equipoise as eq, numpy as np\n"
        f"for arm in {list(ended)}:\n"
        "    p = eq.load(arm).predict_proba('bank.csv')\n"
        "    np.testing.assert_array_equal(np.load(f'{arm}.npy'), p)\n"
        "assert not {'equipoise.losses', 'equipoise.training'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    trial = next(iter(Path("equipoise_runs/bank/trials").glob("smote*")))
    held = eq.Trial.load(trial)
    # Only what is trained on is balanced; scores are of rows as they are.
    assert held.histogram["bought"] == held.n_train - held.train_counts["bought"]
    assert held.scores["val"].score_kind == "ranking"
    assert held.scores["val"].require_labels().prevalence[0] == pytest.approx(share, abs=0.06)


def test_synthetic_rows_are_made_of_training_rows_alone(
    bank: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[np.ndarray] = []
    make = SyntheticRows.__call__

    def watched(self: SyntheticRows, x: np.ndarray, y: np.ndarray, **how: Any) -> Any:
        seen.append(x)
        return make(self, x, y, **how)

    monkeypatch.setattr(SyntheticRows, "__call__", watched)
    spec = {"path": "bank.csv", "label": "bought", "positive": "yes", "negative": "no"}
    content = {"data": spec, "models": [{"name": "random_forest", "settings": {"n_estimators": 3}}],
               "arms": ["none", "smote"], "seeds": 1, "split": {"folds": 3}}  # fmt: skip
    study = parse_study(content)
    eq.run_study(study, out="runs")
    labels = load_data(study).labels
    plan = make_plan(on_model(study, "random_forest", labels)[0], check=False)
    pay, wanted = frame()["pay"].to_numpy(), []
    for fold in range(3):
        train = plan.splits[0, fold].train
        assert not set(train) & set(plan.splits[0, fold].test)
        wanted.append((pay[train] - pay[train].mean()) / pay[train].std())
    assert len(seen) == 3
    for x, column in zip(seen, wanted, strict=True):
        assert any(np.allclose(x[:, j], column, atol=1e-5) for j in range(x.shape[1]))


@pytest.mark.parametrize(
    ("models", "arms", "words"),
    [
        ("{name: lightgbm, settings: {scale_pos_weight: 20}}", "[none]",
         "`lightgbm.scale_pos_weight` must be an arm"),
        ("{name: lightgbm, settings: {is_unbalance: true}}", "[none]", "pos_weight (labels"),
        ("{name: catboost, settings: {auto_class_weights: Balanced}}", "[none]",
         "weighted_ce (classes)"),
        ("{name: random_forest, settings: {class_weight: balanced}}", "[none]",
         "with which the untreated model would be a treated one"),
        ("{name: xgboost, grid: {scale_pos_weight: [1, 20]}}", "[none]", "be an arm"),
        ("random_forest", "[none, scale_pos_weight]", "Here it is called pos_weight"),
        ("random_forest", "[none, SMOTENC]", "Here it is called smote."),
        ("random_forest", "[none, smote+pos_weight]", "what weighs or draws beside it"),
        ("easy_ensemble", "[none]", "list it under `arms`"),
        ("random_forest", "[none, {method: easy_ensemble, model: random_forest}]",
         "easy_ensemble, a kind of model of its own"),
        ("random_forest", "[none, {method: pos_weight, settings: {weight: 20, power: 0.5}}]",
         "`pos_weight.weight` must stand alone"),
        ("{name: random_forest, grid: {n_trees: [3, 5]}}", "[none]",
         "`random_forest.n_trees` must be a setting"),
        ("{name: random_forest, settings: {max_depth: 3}, grid: {max_depth: [3, 5]}}", "[none]",
         "not be among its `settings` too"),
        ("{name: random_forest, grid: {max_depth: [3, 3]}}", "[none]", "distinct values"),
        ("mlp, random_forest", "[none, {method: smote, grid: {ratio: [0.5, 1.0]}}]",
         "`models` must have a grid each (mlp: tuning.lr), as `smote` has one, got none for mlp"),
    ],
)  # fmt: skip
def test_what_models_call_remedies_and_wrong_grids_are_answered_in_one_line(
    models: str, arms: str, words: str, bank: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--set", f"models=[{models}]", "--set", f"arms={arms}"]
    assert run(*COMPARE, *FAST, *asked, "--dry-run") == 2
    said = capsys.readouterr().err.strip()
    assert words in said
    assert "\n" not in said.split("Error")[-1].strip()


def test_a_weight_that_is_given_is_undone_as_any_other(bank: Path) -> None:
    arms = "arms=[none, {method: pos_weight, settings: {weight: 20}}]"
    assert run(*COMPARE, *FAST, "--set", f"models=[{FOREST}]", "--set", arms) == 0
    (path, *_) = Path("equipoise_runs/bank/trials").glob("pos_weight*")
    assert eq.Trial.load(path).scores["test"].correction.nominal_weight == (20.0,)


def test_synthetic_rows_are_for_models_of_tables(
    bank: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--set", "models=[mlp]", "--set", "arms=[none, smote]", "--set", "training.epochs=1"]
    assert run(*COMPARE, *FAST, *asked) == 0
    assert "smote is left out: `mlp` does not support the slot `resampling`" in (
        capsys.readouterr().err
    )


GRID = {"max_depth": [1, 8], "min_samples_leaf": [1, 20]}
TUNED = {"name": "random_forest", "settings": {"n_estimators": 10}, "grid": GRID}


def test_a_grid_of_a_model_is_met_by_every_arm_on_it_and_is_in_the_model_at_the_end(
    bank: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = ["none", "smote", {"method": "pos_weight", "grid": {"power": [0.5, 1.0]}}]
    models = [TUNED, {"name": "logistic_regression", "grid": {"inverse_strength": [0.1, 1.0]}}]
    words = ["--set", f"models={json.dumps(models)}", "--set", f"arms={json.dumps(arms)}"]
    asked = [*COMPARE, *FAST, *words]
    assert run(*asked, "--dry-run") == 0
    said = capsys.readouterr()
    assert "4 settings for every arm that has something to tune" in said.err + said.out
    assert "max_depth=8 min_samples_leaf=1" in said.out
    assert run(*asked) == 0
    body = told()
    kept = [eq.Trial.load(p) for p in Path("equipoise_runs/bank/trials").iterdir()]
    chosen = body["provenance"]["models"]["chosen"]
    for arm in ("none", "smote", "pos_weight"):
        own = [t for t in kept if t.method == arm and t.config["model"]["name"] == chosen]
        among = {"random_forest": 4, "logistic_regression": 2}[chosen]
        assert {t.config["tuning"]["chosen_among"] for t in own} == {among}
        grid = {"random_forest": GRID, "logistic_regression": {"inverse_strength": []}}[chosen]
        assert set(body["provenance"]["chosen"][arm][0]) >= set(grid)
    forests = [t for t in kept if t.config["model"]["name"] == "random_forest"]
    tried = [eq.Trial.load(p) for p in Path("equipoise_runs/bank/candidates").iterdir()]
    assert all("test" not in t.scores for t in tried)
    by_fold = {t.fold: t for t in forests if t.config["method"] == "none"}
    assert len(by_fold) == 3
    for fold, trial in by_fold.items():
        rivals = [t for t in tried if t.fold == fold and t.config["method"] == "none"
                  and t.config["model"]["name"] == "random_forest"]  # fmt: skip
        best = max(t.selection["value"] for t in rivals)
        assert trial.selection["value"] == pytest.approx(best)
    arm = "none" if chosen == "random_forest" else "random_forest"
    assert run("refit", "equipoise_runs/bank", "--arm", arm, "-o", "model") == 0
    facts = eq.load("model").facts
    wanted = [
        (
            t.config["model"]["settings"]["max_depth"],
            t.config["model"]["settings"]["min_samples_leaf"],
        )
        for t in by_fold.values()
    ]
    found = (facts["model_settings"]["max_depth"], facts["model_settings"]["min_samples_leaf"])
    assert wanted.count(found) == max(map(wanted.count, wanted))
    assert facts["agreed"] == f"{wanted.count(found)} of 3"
    held = json.loads(Path("model/model.json").read_text())
    assert held["facts"]["model_settings"]["n_estimators"] == 10
    assert "trainings chose on validation rows" in Path("model/README.md").read_text()


def test_catboost_is_a_kind_of_model_as_the_others_are(
    bank: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("catboost")
    settings = {"learning_rate": 0.3, "rounds": 15, "patience": 4}
    models = ["--set", f"models={json.dumps([{'name': 'catboost', 'settings': settings}])}"]
    arms = ["none", "pos_weight", "focal", "smote"]
    assert run(*COMPARE, *FAST, *models, "--set", f"arms={json.dumps(arms)}") == 0
    result = eq.Comparison.load("equipoise_runs/bank/comparison.json")
    assert {a.method for a in result.arms} == {*arms, "none + thresholds"}
    rounds = {tuple(eq.Trial.load(p).selection["rounds"])
              for p in Path("equipoise_runs/bank/trials").glob("focal*")}  # fmt: skip
    assert all(1 <= n <= 15 for (n,) in rounds)
    for arm in ("none", "focal"):
        assert run("refit", "equipoise_runs/bank", "--arm", arm, "-o", arm) == 0
        assert Path(arm, "model_0.cbm").is_file()
        here = eq.load(arm)
        assert here.facts["needs"] == ["catboost", "scikit-learn", "skops"]
        code = (
            "import sys, equipoise as eq, numpy as np\n"
            f"np.save('{arm}.npy', eq.load('{arm}').predict_proba('bank.csv'))\n"
            "assert not {'lightgbm', 'equipoise.losses', 'equipoise.training'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)
        np.testing.assert_array_equal(np.load(f"{arm}.npy"), here.predict_proba(frame()))
    rng = np.random.default_rng(2)
    kind = np.where(rng.random(N) < 0.2, "rare", np.where(rng.random(N) < 0.5, "one", "two"))
    frame().drop("bought").with_columns(kind=pl.Series(kind)).write_csv("k.csv")
    capsys.readouterr()
    words = ["--label", "kind", "--set", "arms=[none, weighted_ce, focal]"]
    assert run("compare", "k.csv", *words, *FAST, *models) == 0
    assert "`arm focal` must be weights or drawn rows for catboost" in capsys.readouterr().err
    assert run("refit", "equipoise_runs/k", "--arm", "weighted_ce", "-o", "classes") == 0
    assert eq.load("classes").predict_proba("k.csv").shape == (N, 3)


def test_a_booster_that_is_not_installed_names_its_extra(
    bank: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "catboost", None)
    assert run(*COMPARE, *FAST, "--set", "models=[catboost]", "--set", "arms=[none]") == 2
    assert 'pip install "equipoise[catboost]"' in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "imblearn", None)
    bags = ["--set", f"models=[{FOREST}]", "--set", "arms=[none, easy_ensemble, smote]"]
    assert run(*COMPARE, *FAST, *bags) == 0
    said = capsys.readouterr().err
    for arm in ("easy_ensemble", "smote"):
        (line,) = [s for s in said.splitlines() if s.startswith(f"{arm} is left out: ")]
        assert 'pip install "equipoise[resample]"' in line


@pytest.mark.filterwarnings("ignore::equipoise.errors.DoubleCorrectionWarning")
@pytest.mark.parametrize("model", ["mlp", FOREST])
def test_methods_that_are_joined_are_arms_of_models_too(model: str, bank: Path) -> None:
    arms = "arms=[none, weighted_sampling+pos_weight]"
    few = ["--set", "training.epochs=1"]
    assert run(*COMPARE, *FAST, *few, "--set", f"models=[{model}]", "--set", arms) == 0
    result = eq.Comparison.load("equipoise_runs/bank/comparison.json")
    assert "weighted_sampling+pos_weight" in [a.method for a in result.arms]
