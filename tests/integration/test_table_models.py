"""Tables as people have them: from a file to a verdict, a model folder, and predictions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from openpyxl import Workbook

import equipoise as eq
from equipoise.boosting.families import FAMILIES
from equipoise.cli.main import main
from equipoise.errors import DataError

pytestmark = pytest.mark.skipif(
    not FAMILIES["lightgbm"].is_installed, reason="LightGBM finds no OpenMP on this machine"
)
N = 400
BOOSTED = "{learning_rate: 0.2, rounds: 30, patience: 5}"
MODELS = (
    f"models=[{{name: lightgbm, settings: {BOOSTED}}}, logistic_regression, "
    "{name: random_forest, settings: {n_estimators: 10}}, "
    f"{{name: hist_gradient_boosting, settings: {BOOSTED}}}]"
)
ARMS = "arms=[none, pos_weight, focal, weighted_sampling]"
BUDGET = ["--set", "seeds=2", "--set", ARMS, "--set", "training.epochs=2"]
FAST = ["--set", MODELS, "--set", "split.folds=3", *BUDGET]


def frame() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    job, age = rng.choice(["cook", "clerk", "none"], N), rng.normal(40, 10, N).round()
    log_odds = -2.5 + 2.0 * (job == "cook") + (age - 40) / 12
    y = rng.random(N) < 1 / (1 + np.exp(-log_odds))
    return pl.DataFrame({
        "customer": [f"C{i}" for i in range(N)],
        "job": job,
        "age": ["NA" if i % 9 == 0 else str(int(a)) for i, a in enumerate(age)],
        "since": [f"{1 + i % 28:02d}.{1 + i % 12:02d}.2021" for i in range(N)],
        "price": [f"{v:.2f}".replace(".", ",") for v in rng.lognormal(3, 1, N)],
        "branch": ["main"] * N,
        "--label": rng.integers(0, 3, N),
        "bought": np.where(y, "yes", "no"),
    })  # fmt: skip


@pytest.fixture
def bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of Windows: byte-order mark, semicolons, decimal commas, line ends, ids, NA."""
    monkeypatch.chdir(tmp_path)
    text = frame().write_csv(separator=";", line_terminator="\r\n")
    Path("bank.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    return tmp_path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


COMPARE = ["compare", "bank.csv", "--label", "bought", "--positive", "yes", "--negative", "no"]


def test_from_a_table_to_a_model_that_predicts_in_a_process_of_its_own(
    bank: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*COMPARE, *FAST) == 0
    said = capsys.readouterr()
    assert "'customer' (an id: 400 values in 400 rows)" in said.err
    assert "'branch' (one value alone, 'main')" in said.err
    assert "remedies on" in said.err
    assert "Model: equipoise refit equipoise_runs/bank -o model/" in said.out
    told = json.loads(Path("equipoise_runs/bank/comparison.json").read_text())["provenance"]
    assert set(told["models"]["values"]) == {
        "lightgbm", "logistic_regression", "random_forest", "hist_gradient_boosting",
    }  # fmt: skip
    for kind in ("lightgbm", "random_forest", "hist_gradient_boosting", "logistic_regression"):
        arm = "none" if told["models"]["chosen"] == kind else kind
        assert run("refit", "equipoise_runs/bank", "--arm", arm, "-o", kind) == 0
        assert run("predict", kind, "bank.csv", "-o", f"{kind}.csv") == 0
        here = pl.read_csv(f"{kind}.csv")
        assert here.height == N
        assert 0.5 < here["probability:bought"].mean() / (frame()["bought"] == "yes").mean() < 2
        # In a new process. (skops asks scikit-learn for torch, where it is installed.)
        code = (
            "import sys, equipoise as eq, numpy as np\n"
            f"np.save('{kind}.npy', eq.load('{kind}').predict_proba('bank.csv'))\n"
            "assert not {'equipoise.losses', 'equipoise.training'} & set(sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], check=True)
        np.testing.assert_array_equal(np.load(f"{kind}.npy"), eq.load(kind).predict_proba(frame()))
        assert "no torch" in Path(kind, "README.md").read_text()
        assert not list(Path(kind).glob("*.pkl"))


def untidy() -> list[list[object]]:
    """A table as people keep it: an index, gaps of four kinds, dates in two formats, a flag."""
    rng = np.random.default_rng(4)
    gaps = ["", "NA", "?", None]
    rows: list[list[object]] = []
    for i in range(N):
        age, job = int(rng.normal(40, 10)), str(rng.choice(["cook", "clerk"]))
        y = rng.random() < 1 / (1 + np.exp(2.5 - 2 * (job == "cook") - (age - 40) / 12))
        day, month = 1 + i % 28, 1 + i % 12
        since = f"2021-{month:02d}-{day:02d}" if i % 2 else f"{day:02d}.{month:02d}.2021"
        rows.append([i, age if i % 9 else gaps[i // 9 % 4], job if i % 7 else gaps[i // 7 % 4],
                     since, f"{rng.lognormal(3, 1):.2f}".replace(".", ","), "TRUE" if i % 3 else
                     "FALSE", int(rng.integers(0, 3)), "yes" if y else "no"])  # fmt: skip
    return rows


UNTIDY = ["row", "age", "job", "since", "price", "member", "--drop", "bought"]


@pytest.mark.parametrize("made", ["book.xlsx", "book.csv", "book.tsv"])
def test_an_untidy_table_is_read_the_same_from_a_workbook_and_from_text(
    made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if made.endswith("xlsx"):
        book = Workbook()
        book.active.append(UNTIDY)
        for row in untidy():
            book.active.append(row)
        book.save(made)
    else:
        mark = ";" if made.endswith("csv") else "\t"
        lines = [mark.join("" if v is None else str(v) for v in row) for row in untidy()]
        text = "\r\n".join([mark.join(UNTIDY), *lines]) + "\r\n"
        Path(made).write_bytes(b"\xef\xbb\xbf" + text.encode())
    words = ["--label", "bought", "--positive", "yes", "--negative", "no"]
    quick = ["--set", "models=[logistic_regression]", "--set", "arms=[none]", "--set", "seeds=1",
             "--set", "split.folds=3"]  # fmt: skip
    assert run("compare", made, *words, *quick, "--dry-run") == 0
    said = capsys.readouterr().err
    for line in ("row: left out (it counts the rows)", "age: number (45 of 400 entries missing)",
                 "job: category (2 values; 58 of 400 entries missing)",
                 "since: date (as %Y-%m-%d and %d.%m.%Y)", "price: number (commas for points)",
                 "member: number", "--drop: number"):  # fmt: skip
        assert line in said
    assert run("compare", made, *words, *quick) == 0
    assert run("refit", "equipoise_runs/book", "-o", "model") == 0
    assert run("predict", "model", made, "-o", "p.csv") == 0
    p = pl.read_csv("p.csv")["probability:bought"].to_numpy()
    truth = np.array([row[-1] == "yes" for row in untidy()])
    assert p.mean() == pytest.approx(truth.mean(), rel=0.25)
    assert p[truth].mean() > 1.2 * p[~truth].mean()


@pytest.mark.parametrize("named", [False, True])
def test_ids_that_sort_by_class_are_named_before_anything_is_trained(
    named: bool, bank: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = frame().sort("bought").with_columns(
        customer=pl.Series([f"C{i}" for i in range(N)])
    ).sample(fraction=1.0, shuffle=True, seed=1)  # fmt: skip
    table.write_csv("sorted.csv")
    words = ["--label", "bought", "--positive", "yes", "--negative", "no"]
    words += ["--id", "customer"] if named else []
    assert run("diagnose", "sorted.csv", *words, "--all") == 0
    assert "'customer' sorts the rows by class" in capsys.readouterr().out
    quick = ["--set", "models=[logistic_regression]", "--set", "arms=[none]", "--set", "seeds=1"]
    assert run("compare", "sorted.csv", *words, *quick) == 0
    said = capsys.readouterr().err
    assert said.index("EQ117") < said.index("macro AP over evaluable labels")
    assert "'customer' sorts the rows by class" in said
    frame().write_csv("mixed.csv")
    assert run("diagnose", "mixed.csv", *words, "--all") == 0
    assert "sorts the rows by class" not in capsys.readouterr().out


def test_a_rule_rests_on_the_trials_of_its_own_model_alone(
    bank: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first model of a study is called "none" until the best is known."""
    from equipoise.studies import refitting

    seen: list[str] = []
    pool = refitting._out_of_fold

    def watched(plan: object, trials: list[eq.Trial]) -> eq.Scores:
        seen.extend(str(trial.config["model"]["name"]) for trial in trials)
        return pool(plan, trials)

    monkeypatch.setattr(refitting, "_out_of_fold", watched)
    for first in ("lightgbm", "logistic_regression"):
        names = sorted(("lightgbm", "logistic_regression"), key=lambda name: name != first)
        words = ["--set", "split.folds=3", "--set", "seeds=1", "--set", "arms=[none]",
                 "--set", f"models=[{', '.join(names)}]", "-o", first]  # fmt: skip
        assert run(*COMPARE, *words) == 0
        assert run("refit", first, "--arm", "none", "-o", "model") == 0
        assert seen == [eq.load("model").family] * 3
        seen.clear()


def test_the_same_in_python_from_frames_of_every_make(bank: Path) -> None:
    import pandas as pd

    assert run(*COMPARE, *FAST) == 0
    made = eq.refit(
        eq.load_study(_study(bank)), results="equipoise_runs/bank", out="model", arm="none"
    )
    assert made.rows == N
    assert made.tested is None
    model = eq.load("model")
    rows = frame().drop("bought")
    expected = model.predict_proba(rows)
    np.testing.assert_array_equal(model.predict_proba(pd.DataFrame(rows.to_dict())), expected)
    np.testing.assert_array_equal(model.predict_proba(rows.select(rows.columns[::-1])), expected)
    assert set(np.unique(model.predict(rows))) <= {0, 1}


def _study(folder: Path) -> Path:
    body = json.loads((folder / "equipoise_runs/bank/comparison.json").read_text())
    path = folder / "study.yaml"
    path.write_text(json.dumps(body["provenance"]["study"]))
    return path


def test_columns_of_numbers_are_found_by_name_too(bank: Path) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 2))
    y = (x[:, 0] + rng.normal(size=200) > 0.5).astype(int)
    table = pl.DataFrame({"row": range(200), "age": x[:, 0], "pay": x[:, 1], "y": y})
    table.write_csv("plain.csv")
    words = ["--set", "models=[logistic_regression]", "--set", "seeds=1", "--set", "arms=[none]"]
    assert run("compare", "plain.csv", "--label", "y", *words) == 0
    assert run("refit", "equipoise_runs/plain", "-o", "model") == 0
    model = eq.load("model")
    assert [c.role for c in model.columns] == ["left out", "number", "number"]
    expected = model.predict_proba(x.astype(np.float32))
    turned = table.select("pay", "age")
    np.testing.assert_array_equal(model.predict_proba(turned), expected)
    assert run("predict", "model", "plain.csv", "-o", "p.csv") == 0
    np.testing.assert_allclose(pl.read_csv("p.csv")["probability:y"], expected[:, 0], rtol=1e-9)


@pytest.mark.filterwarnings("default::equipoise.errors.DataWarning")
def test_new_rows_with_other_columns_or_values_are_said_by_name(
    bank: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*COMPARE, *FAST) == 0
    assert run("refit", "equipoise_runs/bank", "-o", "model") == 0
    capsys.readouterr()
    odd = frame().drop("bought").with_columns(job=pl.lit("pilot"), more=pl.lit(1))
    odd.write_csv("odd.csv")
    assert run("predict", "model", "odd.csv", "-o", "p.csv") == 0
    said = capsys.readouterr().err
    assert "Columns that nothing is made of: 'more'" in said
    assert "Column 'job' holds 400 entries that training rows did not, such as 'pilot'" in said
    frame().drop("age").write_csv("less.csv")
    assert run("predict", "model", "less.csv", "-o", "p.csv") == 3
    assert "none called 'age'" in capsys.readouterr().err
    with pytest.raises(DataError, match="be a model folder"):
        eq.load("nowhere")


def test_a_test_table_is_touched_once_by_the_model_of_all_other_rows(
    bank: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame()[:300].write_csv("train.csv")
    frame()[300:].with_columns(
        job=pl.Series(["pilot"] * 50 + frame()["job"].to_list()[350:])
    ).write_csv("test.csv")
    words = ["--label", "bought", "--positive", "yes", "--negative", "no", "--test", "test.csv"]
    fast = ["--set", MODELS, *BUDGET]
    assert run("compare", "train.csv", *words, *fast) == 0
    assert run("refit", "equipoise_runs/train", "-o", "model") == 0
    said = capsys.readouterr()
    assert "On the test set, which nothing was chosen on" in said.err
    assert ", 300 rows: model" in said.out


def test_remedies_a_model_cannot_take_are_left_out_and_said(
    bank: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ["--set", "models=[{name: random_forest, settings: {n_estimators: 5}}]"]
    assert run(*COMPARE, *BUDGET, "--set", "split.folds=3", *models) == 0
    told = json.loads(Path("equipoise_runs/bank/comparison.json").read_text())
    assert "weights or drawn rows for random_forest" in told["provenance"]["models"]["left_out"][
        "focal"
    ]  # fmt: skip
    assert "focal is left out" in capsys.readouterr().err
    (found,) = [f for f in told["findings"] if f["code"] == "EQ416"]
    assert found["message"].startswith("focal is not compared on random_forest.")


def test_dry_run_says_what_columns_become_and_writes_nothing(
    bank: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*COMPARE, *FAST, "--dry-run", "--drop", "price", "--categorical=--label") == 0
    said = capsys.readouterr().err
    for line in ("job: category (3 values)", "age: number (45 of 400 entries missing)",
                 "since: date (as %d.%m.%Y)", "price: left out (as asked)",
                 "--label: category (3 values; as asked)"):  # fmt: skip
        assert line in said
    assert not Path("equipoise_runs").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("models=[lightgmb]", "Did you mean `lightgbm`?"),
        ("models=[lightgbm, lightgbm]", "must name each kind once"),
        ("models=[{name: lightgbm, settings: {num_leafs: 3}}]", "Did you mean `num_leaves`?"),
        ("models=[{name: mlp, settings: {hidden: 3}}]", "Settings of heads stand under `training`"),
    ],
)
def test_a_wrong_model_is_answered_before_anything_is_fitted(
    change: str, words: str, bank: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*COMPARE, *FAST, "--set", change) == 2
    assert words in capsys.readouterr().err
    assert not Path("equipoise_runs/bank/trials").exists()


def test_a_model_that_is_not_installed_names_its_extra(
    bank: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    assert not FAMILIES["lightgbm"].is_installed
    assert run(*COMPARE, *FAST) == 2
    assert 'pip install "equipoise[tables]"' in capsys.readouterr().err


def test_several_labels_and_classes_end_in_models_too(bank: Path) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 3))
    hot = (x[:, :2] + rng.normal(size=(300, 2)) > 1).astype(int)
    hot[:20, 1] = -1  # nobody knows
    columns = {f"x{i}": x[:, i] for i in range(3)}
    pl.DataFrame(columns | {"A": hot[:, 0], "B": hot[:, 1]}).write_csv("labels.csv")
    kind = np.where(x[:, 0] > 1, "rare", np.where(x[:, 1] > 0, "usual", "common"))
    pl.DataFrame(columns | {"kind": kind}).write_csv("classes.csv")
    for table, words, arms in (
        ("labels", ["--labels", "A,B"], "arms=[none, asymmetric]"),
        ("classes", ["--label", "kind"], "arms=[none, weighted_ce, ldam, focal]"),
    ):
        models = f"models=[{{name: lightgbm, settings: {BOOSTED}}}]"
        fast = ["--set", models, "--set", "seeds=1", "--set", "split.folds=3", "--set", arms]
        assert run("compare", f"{table}.csv", *words, *fast) == 0
        result = eq.Comparison.load(f"equipoise_runs/{table}/comparison.json")
        assert all(np.isfinite(a.record["log_loss_calibrated"].value) for a in result.arms)
        assert run("refit", f"equipoise_runs/{table}", "--arm", "none", "-o", table) == 0
        model = eq.load(table)
        p = model.predict_proba(f"{table}.csv")
        assert p.shape == (300, 2 if table == "labels" else 3)
        assert run("export", table, "-o", f"{table}.onnx") == 0
        runtime = pytest.importorskip("onnxruntime")
        rows = {"rows": x.astype(np.float32)}
        made, decided = runtime.InferenceSession(f"{table}.onnx").run(None, rows)
        np.testing.assert_allclose(made, p, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(decided, model.predict(f"{table}.csv"))


def test_the_classifier_wraps_a_pipeline_with_a_booster_for_frames_of_every_make() -> None:
    import pandas as pd
    from lightgbm import LGBMClassifier
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    rows = frame().select("job", pl.col("--label").alias("shop"))
    y = (frame()["bought"] == "yes").to_numpy().astype(int)
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = make_column_transformer((codes, ["job"]), remainder="passthrough")
    booster = LGBMClassifier(n_estimators=10, verbosity=-1, n_jobs=1)
    found = []
    for table in (rows, pd.DataFrame(rows.to_dict(as_series=False))):
        made = eq.DecisionRuleClassifier(make_pipeline(columns, booster), cv=3).fit(table, y)
        found.append(made.predict_proba(table))
    first, second = found
    np.testing.assert_array_equal(first, second)
    assert first[:, 1].mean() == pytest.approx(y.mean(), abs=0.05)
