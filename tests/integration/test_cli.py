"""The command line end to end on small tables: results, exit codes, nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from equipoise import studies
from equipoise.cli.main import main
from equipoise.errors import DataError
from equipoise.studies.processes import named

FAST = ["--set", "seeds=2", "--set", "training.epochs=2", "--set", "training.hidden=0",
        "--set", "models=[]"]  # fmt: skip
ARMS = "[none, weighted_ce, logit_adjusted]"


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    flags = (x[:, :2] + rng.normal(size=(300, 2)) > [0.5, 1.2]).astype(int)
    columns = {f"x{i}": x[:, i] for i in range(4)}
    kind = np.where(x[:, 0] > 0.8, "rare", np.where(x[:, 1] > 0, "common", "usual"))
    pl.DataFrame(columns | {"y": kind}).write_csv("classes.csv")
    pl.DataFrame(
        columns | {"A": flags[:, 0], "B": flags[:, 1], "pid": np.arange(300) // 2}
    ).write_csv("labels.csv")
    return tmp_path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def test_compare_from_a_table_and_again_without_training(
    tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", "classes.csv", "--label", "y", *FAST, "--set", f"arms={ARMS}"]
    assert run(*command) == 0
    first = capsys.readouterr()
    assert "50 trials trained, 0 re-used" in first.err
    assert "none + thresholds" in first.out
    assert "Report: equipoise_runs/classes/report.html" in first.out
    assert (tables / "equipoise_runs/classes/report.html").stat().st_size < 1_000_000
    assert run(*command) == 0
    again = capsys.readouterr()
    assert "0 trials trained, 50 re-used" in again.err
    assert again.out == first.out
    assert run(*command, "--fresh") == 0
    assert "50 trials trained, 0 re-used" in capsys.readouterr().err


def test_adding_an_arm_trains_only_what_is_new(
    tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("init", "labels.csv", "--labels", "A,B", "--group", "pid") == 0
    text = (tables / "study.yaml").read_text()
    (tables / "study.yaml").write_text(text.replace("  - focal ", "  # - focal "))
    assert run("compare", "study.yaml", *FAST, "-o", "out") == 0
    assert "80 trials trained, 0 re-used" in capsys.readouterr().err
    (tables / "study.yaml").write_text(text)
    assert run("compare", "study.yaml", *FAST, "-o", "out", "--json") == 0
    captured = capsys.readouterr()
    assert "10 trials trained, 80 re-used" in captured.err
    assert json.loads(captured.out)["arms"]["none"] == "baseline"


def test_dry_run_writes_nothing(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(tables.rglob("*"))
    assert run("compare", "labels.csv", "--labels", "A,B", "--group", "pid", "--dry-run") == 0
    assert "to train" in capsys.readouterr().out
    assert sorted(tables.rglob("*")) == before


def test_init_writes_a_study_that_parses_and_keeps_what_is_there(tables: Path) -> None:
    from equipoise.studies import load_study

    assert run("init", "classes.csv", "--label", "y", "-o", "s.yaml") == 0
    study = load_study(tables / "s.yaml")
    assert [a.method for a in study.arms][:2] == ["none", "none + thresholds"]
    assert run("init", "classes.csv", "--label", "y", "-o", "s.yaml") == 2
    assert run("init", "classes.csv", "--label", "y", "-o", "s.yaml", "--force") == 0


def test_diagnose_from_counts_and_fail_on(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = "A=19000,B=65000,C=38000,D=105000"
    assert run("diagnose", "--positives", counts, "--rows", "224000") == 0
    assert "do not resample" in capsys.readouterr().out
    assert run("diagnose", "--positives", counts, "--rows", "224000", "--fail-on", "tip") == 4
    capsys.readouterr()
    assert run("diagnose", "--positives", "A=5,B=3", "--json", "--fail-on", "error") == 0
    codes = [f["code"] for f in json.loads(capsys.readouterr().out)]
    assert "EQ107" in codes
    assert run("diagnose", "--explain", "EQ104") == 0
    assert "Why it matters" in capsys.readouterr().out


def test_split_long_tail_and_copy(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("cat", "dog", "owl"):
        (tables / "images" / name).mkdir(parents=True)
        for i in range(40):
            (tables / "images" / name / f"{i}.txt").write_text(f"{name}{i}")
    arguments = ["--long-tail", "--ratio", "5:2:1", "--total", "40", "--test-per-class", "5"]
    assert run("split", "images", *arguments, "-o", "parts", "--copy", "copied") == 0
    out = capsys.readouterr().out
    assert [line.split() for line in out.splitlines()[2:5]] == [
        ["cat", "25", "5"],
        ["dog", "10", "5"],
        ["owl", "5", "5"],
    ]
    assert len(list((tables / "copied" / "train" / "cat").iterdir())) == 25
    assert len((tables / "parts" / "test.csv").read_text().splitlines()) == 16
    kept = {p.read_text() for p in (tables / "copied" / "train").rglob("*.txt")}
    tested = {p.read_text() for p in (tables / "copied" / "test").rglob("*.txt")}
    assert not kept & tested
    assert run("split", "images", *arguments, "-o", "p2", "--copy", "copied") == 3


def test_split_keeps_groups_and_columns(tables: Path) -> None:
    assert run("split", "labels.csv", "--labels", "A,B", "--group", "pid", "-o", "parts") == 0
    parts = [pl.read_csv(tables / "parts" / f"{p}.csv") for p in ("train", "val", "test")]
    assert sum(p.height for p in parts) == 300
    assert parts[0].columns == pl.read_csv(tables / "labels.csv").columns
    groups = [set(p["pid"].to_list()) for p in parts]
    assert not (groups[0] & groups[1]) | (groups[0] & groups[2]) | (groups[1] & groups[2])


def test_tune_and_evaluate_foreign_scores(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    y = (rng.random((400, 2)) < [0.1, 0.4]).astype(int)
    z = 2 * y - 1.5 + rng.normal(size=y.shape)
    frame = pl.DataFrame(
        {"id": np.arange(400), "A": y[:, 0], "B": y[:, 1], "zA": z[:, 0], "zB": z[:, 1]}
    )
    frame[:200].write_csv("val.csv")
    frame[200:].write_parquet("test.parquet")
    declared = ["--score-kind", "logits", "--scores", "zA,zB", "--labels", "A,B", "--id", "id"]
    assert run("tune", "val.csv", *declared, "-o", "rule.json") == 0
    assert "cross-fitted" in capsys.readouterr().out
    assert run("evaluate", "rule.json", "test.parquet", *declared) == 0
    assert "overlap with the rows it was tuned on: ids fine" in capsys.readouterr().out
    assert run("evaluate", "rule.json", "val.csv", *declared) == 3
    assert "not tuned on" in capsys.readouterr().err
    frame[150:350].write_csv("mixed.csv")
    assert run("evaluate", "rule.json", "mixed.csv", *declared) == 3
    assert "50 of 200 rows in common" in capsys.readouterr().err
    wrong = [w if w != "logits" else "probabilities" for w in declared]
    assert run("tune", "val.csv", *wrong) == 3
    assert run("tune", "val.csv", "--labels", "A,B") == 2


def test_saved_scores_of_a_trial_flow_through_tune_and_evaluate(
    tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("compare", "labels.csv", "--labels", "A,B", *FAST, "-o", "out") == 0
    trial = next((tables / "out" / "trials").glob("pos_weight-s0-*"))
    assert run("tune", str(trial / "val.parquet"), "-o", "rule.json") == 0
    assert run("evaluate", "rule.json", str(trial / "test.parquet"), "--json") == 0
    assert run("tune", str(trial / "test.parquet")) == 3
    assert "never on the same rows" in capsys.readouterr().err
    assert run("report", "out", "-o", "again.html") == 0
    first = (tables / "out" / "report.html").read_text()
    assert len((tables / "again.html").read_text()) > 0.8 * len(first)


BAD = {
    "empty": ("y\n", ["compare", "bad.csv", "--label", "y"], 3),
    "nothing": ("", ["compare", "bad.csv", "--label", "y"], 3),
    "missing column": ("x,y\n1,a\n2,b\n", ["compare", "bad.csv", "--label", "z"], 3),
    "labels outside": ("x,A\n1,0\n2,7\n", ["compare", "bad.csv", "--labels", "A"], 3),
    "ragged": ("x,y\n1,a\n2,b,c,d\n", ["compare", "bad.csv", "--label", "y"], 3),
    "one class": ("x,y\n1,a\n2,a\n", ["compare", "bad.csv", "--label", "y"], 3),
    "duplicate ids": (
        "id,x,y\n1,1,a\n1,2,b\n",
        ["compare", "bad.csv", "--label", "y", "--id", "id"],
        3,
    ),
    "text feature": ("x,y\nred,a\nblue,b\n", ["compare", "bad.csv", "--label", "y"], 3),
    "missing value": ("x,y\n,a\n2,b\n", ["compare", "bad.csv", "--label", "y"], 3),
    "no label named": ("x,y\n1,a\n2,b\n", ["compare", "bad.csv"], 2),
    "nan scores": (
        "A,z\n0,nan\n1,2\n",
        ["tune", "bad.csv", "--score-kind", "logits", "--scores", "z", "--labels", "A"],
        3,
    ),
    "probabilities as logits": (
        "A,z\n" + "0,0.2\n1,0.9\n" * 20,
        ["tune", "bad.csv", "--score-kind", "logits", "--scores", "z", "--labels", "A"],
        3,
    ),
    "unknown option": ("", ["compare", "bad.csv", "--lable", "y"], 2),
    "unknown verb": ("", ["comparee"], 2),
    "no such file": ("", ["compare", "nowhere.yaml"], 2),
    "no such table": ("", ["diagnose", "nowhere.csv", "--label", "y"], 3),
    "garbage rule": ("not json", ["evaluate", "bad.csv", "bad.csv"], 3),
    "bad count": ("", ["diagnose", "--positives", "A=x"], 2),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_line_and_leaves_nothing(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    content, arguments, code = BAD[case]
    (tmp_path / "bad.csv").write_text(content)
    assert run(*arguments) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("equipoise: ")
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    assert [p.name for p in tmp_path.iterdir()] == ["bad.csv"]


STUDIES = {
    "unknown method": ("arms: [none, foccal]", "Did you mean `focal`?"),
    "unknown key": ("arms: [none]\ntrainig: {epochs: 3}", "Did you mean `training`?"),
    "unknown nested key": ("arms: [none]\ntraining: {epoch: 3}", "Did you mean `epochs`?"),
    "unknown data key": ("arms: [none]\ndata: {pathh: x.csv}", "Did you mean `path`?"),
    "unknown setting": (
        "arms: [none, {method: focal, settings: {gama: 1}}]",
        "Did you mean `gamma`?",
    ),
    "wrong kind": ("arms: [none, pos_weight]", "multiclass"),
    "wrong type": ("arms: [none]\nseeds: many", "seeds"),
    "no arms": ("seeds: 3", "`arms` is missing"),
    "not yaml": ("arms: [none", "must be YAML"),
    "no mapping": ("- none", "must be a YAML mapping"),
    "same arm twice": ("arms: [none, focal, focal]", "distinct names"),
}


@pytest.mark.parametrize("case", STUDIES)
def test_a_bad_study_is_wrong_use(
    case: str, tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, hint = STUDIES[case]
    if "data:" not in content and case not in ("no mapping", "not yaml"):
        content = "data: {path: classes.csv, label: y}\n" + content
    (tables / "study.yaml").write_text(content)
    assert run("compare", "study.yaml") == 2
    captured = capsys.readouterr()
    assert hint in captured.err
    assert captured.err.count("\n") == 1
    assert not (tables / "equipoise_runs").exists()


def test_ctrl_c_keeps_finished_trials_and_says_how_to_go_on(tables: Path) -> None:
    command = [sys.executable, "-m", "equipoise", "compare", "labels.csv", "--labels", "A,B"]
    command += ["--set", "seeds=30", "--set", "training.epochs=4", "-o", "out"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tables
    )
    trials = tables / "out" / "trials"
    deadline = time.monotonic() + 90
    while not list(trials.glob("*/trial.json")) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert "run the same command to go on" in err
    assert "Traceback" not in err
    assert list(trials.glob("*/trial.json"))
    assert not (tables / "out" / "report.html").exists()
    assert not list(tables.rglob("*.tmp"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_is_one_whatever_compiled_code_makes_of_it(
    number: int,
    code: int,
    tables: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """NumPy makes ValueError of one that reaches it while it reads a buffer's format."""

    def interrupted(*_: object, **__: object) -> object:
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        except KeyboardInterrupt:
            pass
        msg = "is not a valid PEP 3118 buffer"
        raise DataError(msg)

    monkeypatch.setattr("equipoise.studies.run.run_study", interrupted)
    assert run("compare", "labels.csv", "--labels", "A,B", "-o", "out") == code
    said = capsys.readouterr().err
    assert "run the same command to go on" in said
    assert "PEP 3118" not in said


def test_an_error_made_of_an_interruption_is_the_interruption() -> None:
    def interrupted() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            msg = "is not a valid PEP 3118 buffer"
            raise ValueError(msg) from error

    with pytest.raises(KeyboardInterrupt):
        named("forest, seed 0", interrupted)


def test_arms_that_are_no_methods_say_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("methods", "none  + thresholds") == 0
    assert "a rule tuned on validation rows" in capsys.readouterr().out
    assert run("methods", "nearest_neighbours") == 0
    said = capsys.readouterr().out
    assert "a reference, no remedy" in said
    assert "k=15" in said
    assert run("methods", "prevalence", "--json") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "prevalence"
    assert run("methods", "focal", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["settings"]["gamma"] == 2.0
    assert told["card"].startswith("# focal")
    assert run("methods", "focal", "--operating-points") == 2
    assert "`--operating-points` must be left out" in capsys.readouterr().err


@pytest.mark.filterwarnings("always::UserWarning")
def test_what_plan_and_training_both_find_is_said_once(
    tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def twice(*_: object, **__: object) -> None:
        for told in ("one", "two", "one"):
            warnings.warn(told, UserWarning, stacklevel=1)
        msg = "the end"
        raise DataError(msg)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("equipoise.studies.run.run_study", twice)
        assert run("compare", "labels.csv", "--labels", "A,B", "-o", "out") == 3
    said = capsys.readouterr().err
    assert (said.count("note: one"), said.count("note: two")) == (1, 1)


def test_a_closed_pipe_is_no_error(tables: Path) -> None:
    command = f"{sys.executable} -m equipoise methods | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)  # noqa: S602
    assert done.returncode == 0
    assert done.stderr == ""


def test_unwritable_place_is_one_line(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tables / "file").write_text("")
    os.environ.pop("NO_COLOR", None)
    assert run("init", "classes.csv", "--label", "y", "-o", "file/study.yaml") in (1, 2, 3)
    assert capsys.readouterr().err.count("Traceback") == 0


FEW = ("data.rows=600", "data.test_rows=300", "training.epochs=2", "arms=[none, pos_weight]")
FEW_CLASSES = ("training.epochs=2", "arms=[none, weighted_ce]")


@pytest.mark.parametrize("small", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_demo_with_one_seed(
    small: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if small:
        load = studies.load_study

        def load_less(source: str, overrides: tuple[str, ...] = ()) -> object:
            less = FEW if "four_labels" in source else FEW_CLASSES
            return load(source, (*overrides, *less))

        monkeypatch.setattr(studies, "load_study", load_less)
    assert run("demo", "--out", str(tmp_path / "demo"), "--seeds", "1") == 0
    out = capsys.readouterr().out
    assert "Four labels" in out
    assert "Ten classes" in out
    assert (tmp_path / "demo" / "report.html").stat().st_size < 1_000_000


WITHOUT_TORCH = """
import sys
class Without:  # None in sys.modules would be taken for torch by what looks there
    def find_spec(self, name, *_):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Without())
from equipoise.cli import demo
from equipoise.cli.main import main
demo.WITHOUT_TORCH["digits_four_labels"] += ("data.rows=400", "data.test_rows=200")
main(["demo", "--out", sys.argv[1], "--seeds", "1"])
"""


def test_the_demo_needs_no_torch(tmp_path: Path) -> None:
    words = [sys.executable, "-c", WITHOUT_TORCH, str(tmp_path / "demo")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "torch is not installed: linear models are compared." in done.stderr
    assert "pos_weight" in done.stdout
    assert "class_balanced_sampling" in done.stdout
    assert (tmp_path / "demo" / "report.html").is_file()


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ("3x", "`--max-time` must be a time such as 90s, 10m or 1h30m, got '3x'."),
        ("0s", "`--max-time` must leave time for one seed of every arm, got 0 of 30 trainings"),
    ],
)
def test_a_time_limit_is_read_and_named(
    limit: str, text: str, tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", "classes.csv", "--label", "y", *FAST, "--set", f"arms={ARMS}"]
    assert run(*command, "--max-time", limit) == 2
    assert text in capsys.readouterr().err
