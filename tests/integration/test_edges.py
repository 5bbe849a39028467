"""The edges of the command line: where output goes, what a terminal bears, what nobody expected."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn
from typer.main import get_command

import equipoise as eq
from equipoise._core.locks import Locks
from equipoise.artifacts import DecisionRule, Labels, Split
from equipoise.cli.main import app, run_app
from equipoise.data import ArrayDataset
from equipoise.errors import DataWarning, ShapeError, UsageError
from equipoise.io import read_labels, read_table
from equipoise.mining import (
    DatasetPool,
    MiningOptions,
    PatchDataset,
    label_proposals,
    mine_hard_negatives,
    random_boxes,
)
from equipoise.studies.apply_file import apply_file
from equipoise.training.devices import choose_device

Run = Callable[..., tuple[int, str, str]]
TUNE = ("--score-kind", "logits", "--scores", "zA,zB", "--labels", "A,B", "--id", "id")
APPLY = ("--score-kind", "logits", "--scores", "zA,zB", "--id", "id")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EQUIPOISE_DEBUG", raising=False)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (60, 2))
    z = rng.normal(size=(60, 2)) + y
    columns = {"id": [f"r{i}" for i in range(60)], "A": y[:, 0], "B": y[:, 1]}
    columns |= {"zA": z[:, 0], "zB": z[:, 1], "y": np.where(y[:, 0] == 1, "cat", "dog")}
    pl.DataFrame(columns).write_csv("s.csv")
    return tmp_path


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            code = run_app(app, list(words))
        said = capfd.readouterr()
        return code, said.out, said.err

    return call


def shell(command: str) -> subprocess.CompletedProcess[str]:
    whole = f"set -o pipefail; {command}".replace("equipoise", f"{sys.executable} -m equipoise")
    return subprocess.run(["bash", "-c", whole], capture_output=True, text=True, check=False)


def outputs() -> list[tuple[str, str, str]]:
    """Return verb, option and kind of each place to write to."""
    found = []
    for verb, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        for option in command.params:
            if option.name in ("out", "figure", "copy"):
                assert option.callback is not None, (verb, option.name)
                whole = verb in ("split", "train", "compare", "mine", "demo", "refit")
                found.append((verb, option.opts[0], "folder" if whole else "file"))
    return found


@pytest.mark.parametrize(("verb", "option", "kind"), outputs())
def test_outputs_of_the_wrong_kind_are_refused_before_any_work(
    verb: str, option: str, kind: str, place: Path, run: Run
) -> None:
    words = {"report": ["c.json"], "apply": ["r", "s"], "evaluate": ["r", "s"], "demo": [],
             "predict": ["t", "d"], "export": ["r"]}.get(verb, ["no_such"])  # fmt: skip
    code, out, error = run(verb, *words, option, "s.csv" if kind == "folder" else ".")
    assert (code, out) == (2, "")
    expected = "name a folder, got the file" if kind == "folder" else "name a file to write, got"
    assert error.startswith(f"equipoise: `{option}` must {expected}")
    assert [p.name for p in place.iterdir()] == ["s.csv"]


def test_a_link_given_as_output_stays(place: Path, run: Run) -> None:
    Path("link.json").symlink_to("deep/rule.json")
    code, _, error = run("tune", "s.csv", *TUNE, "-o", "link.json")
    assert code == 0, error
    assert Path("link.json").is_symlink()
    assert DecisionRule.load("deep/rule.json").names == ("A", "B")


@pytest.mark.slow
def test_a_rule_and_decisions_go_through_a_pipe(place: Path, run: Run) -> None:
    run("tune", "s.csv", *TUNE, "-o", "rule.json")
    tune, apply = " ".join(TUNE), " ".join(APPLY)
    done = shell(f"equipoise tune s.csv {tune} -o /dev/stdout 2>/dev/null | head -1000")
    rule, _, rest = done.stdout.partition("\n}\n")
    assert json.loads(rule + "\n}")["names"] == ["A", "B"]
    assert "Rule: /dev/stdout" in rest
    done = shell(f"equipoise apply rule.json s.csv {apply} -o /dev/stdout > both.txt")
    assert done.returncode == 0, done.stderr
    lines = Path("both.txt").read_text().splitlines()
    assert lines[0] == "id,probability:A,probability:B,decision:A,decision:B"
    assert lines[60].startswith("r59,")
    assert lines[-1] == "60 rows: /dev/stdout"


def test_a_reader_that_goes_away_is_answered_as_cat_does(place: Path) -> None:
    assert shell("equipoise diagnose --explain EQ101 | true").returncode == 141
    done = shell("equipoise methods | head -1")
    assert done.returncode in (0, 141)  # what fits into the pipe is written
    assert done.stderr == ""


def test_nowhere_to_write_is_a_failure(place: Path) -> None:
    done = shell("equipoise methods >&-")
    assert done.returncode == 1
    assert done.stderr.startswith("equipoise: standard output is closed")
    if Path("/dev/full").exists():
        done = shell("equipoise methods > /dev/full")
        assert done.returncode == 1
        assert done.stderr == "equipoise: No space left on device: standard output\n"


def test_a_terminal_without_the_letters_gets_escapes(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pl.read_csv("s.csv").rename({"A": "日"}).write_csv("u.csv")
    words = ["tune", "u.csv", "--score-kind", "logits", "--scores", "zA,zB", "--labels", "日,B"]

    def said(*more: str) -> str:
        terminal = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
        with monkeypatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            patch.setattr(sys, "stdout", terminal)
            assert run_app(app, [*words, *more]) == 0
        assert terminal.errors == "strict"
        return terminal.buffer.getvalue().decode("latin-1")  # type: ignore[attr-defined]

    assert "\\u65e5" in said()
    assert "Rule: rule.json" in said()
    assert json.loads(said("--json"))["names"] == ["日", "B"]


@pytest.mark.slow
def test_a_process_on_such_a_terminal_ends_well(place: Path) -> None:
    pl.read_csv("s.csv").rename({"A": "日"}).write_csv("u.csv")
    words = ["tune", "u.csv", "--score-kind", "logits", "--scores", "zA,zB", "--labels", "日,B"]
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    command = [sys.executable, "-m", "equipoise", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "Rule: rule.json" in done.stdout


def test_what_nobody_expected_is_a_line_or_a_traceback(
    place: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("three words\nand more")

    monkeypatch.setattr("equipoise.io.scores.read_named_scores", fail)
    code, out, error = run("tune", "s.csv", *TUNE)
    assert (code, out, error.count("\n")) == (1, "", 1)
    assert "(ZeroDivisionError: three words, " in error
    assert "EQUIPOISE_DEBUG=1" in error
    assert error.endswith("at the project's issue tracker.\n")
    monkeypatch.setenv("EQUIPOISE_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        run("tune", "s.csv", *TUNE)


def test_errors_show_where_they_come_from_on_request(
    place: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("tune", "none.csv", *TUNE)[2].count("\n") == 1
    monkeypatch.setenv("EQUIPOISE_DEBUG", "1")
    code, _, error = run("tune", "none.csv", *TUNE)
    assert code == 3
    assert "Traceback" in error
    assert error.rstrip().rpartition("\n")[2].startswith("equipoise: `none.csv` must be a file")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError("Unable to allocate 7 TiB for an array"), "memory: Unable to allocate 7 TiB"),
        (MemoryError(), "out of memory. Use fewer rows"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), "can't allocate"),
        (ImportError("x.so: failed to map segment from shared object"), "before anything was read"),
        (OSError(errno.ENOSPC, "No space left on device", "a.csv"), "left on device: a.csv"),
    ],
)
def test_memory_and_disk_are_said_in_a_line(
    error: Exception, said: str, place: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("equipoise.io.scores.read_named_scores", fail)
    code, _, told = run("tune", "s.csv", *TUNE)
    assert code == 1
    assert said in told
    assert told.count("\n") == 1


def test_ids_do_not_lose_their_column_to_a_decision(place: Path, run: Run) -> None:
    table = pl.read_csv("s.csv")
    both = table.with_columns(pl.col("id").alias("decision"), pl.col("id").alias("probability:A"))
    both.write_csv("d.csv")
    words = ("--score-kind", "logits", "--scores", "zA,zB")
    run("tune", "s.csv", *TUNE, "-o", "labels.json")
    classes = both.with_columns(pl.col("y").replace({"cat": "A", "dog": "B"}).alias("c"))
    classes.write_csv("c.csv")
    assert run("tune", "c.csv", *words, "--label", "c", "-o", "classes.json")[0] == 0
    for rule, column in (("classes", "decision"), ("classes", "probability:A"),
                         ("labels", "probability:A")):  # fmt: skip
        code, _, error = run("apply", f"{rule}.json", "d.csv", *words, "--id", column)
        assert code == 2
        assert "`--id` must have another name than the columns that are written" in error
    assert run("apply", "labels.json", "d.csv", *words, "--id", "decision", "-o", "o.csv")[0] == 0
    assert read_table("o.csv")["decision"].to_list() == table["id"].to_list()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*TUNE[:3], "zA,zA,zA", *TUNE[4:]), "must name each column once, got 'zA' twice"),
        ((*TUNE[:3], "zA,zA", *TUNE[4:]), "must name each column once, got 'zA' twice"),
        ((*TUNE[:5], "A,A"), "'A' twice"),
    ],
)
def test_a_column_given_twice_is_named(
    words: tuple[str, ...], said: str, place: Path, run: Run
) -> None:
    code, _, error = run("tune", "s.csv", *words)
    assert code == 3
    assert said in error


def test_features_given_twice_are_named(place: Path, run: Run) -> None:
    study = "data: {path: s.csv, label: y, features: [zA, zA]}\narms: [none]\n"
    Path("study.yaml").write_text(study)
    code, _, error = run("compare", "study.yaml", "--dry-run")
    assert code == 3
    assert "'zA' twice" in error


def test_ids_that_a_spreadsheet_would_run_are_quoted_and_come_back(place: Path, run: Run) -> None:
    ids = ["=1+1", "-5", "-yt", "'=x", *(f"r{i}" for i in range(56))]
    pl.read_csv("s.csv").with_columns(pl.Series("id", ids)).write_csv("s.csv")
    run("tune", "s.csv", *TUNE, "-o", "rule.json")
    code, _, error = run("apply", "rule.json", "s.csv", *APPLY, "-o", "o.csv")
    assert code == 0
    assert "3 cells that begin with = + - @ are written with ' before them" in error
    lines = Path("o.csv").read_text().splitlines()
    # Read as a CSV, '=x is =x with its quote: it comes from there as =x, and is quoted again.
    assert [line.partition(",")[0] for line in lines[1:5]] == ["'=1+1", "-5", "'-yt", "'=x"]
    assert read_table("o.csv")["id"].to_list() == read_table("s.csv")["id"].to_list()
    rule = DecisionRule.load("rule.json")
    made = apply_file(rule, "s.csv", "o.parquet", score_kind="logits", columns=["zA", "zB"],
                      id_column="id")  # fmt: skip
    assert pl.read_parquet(made.out)["id"].to_list()[:3] == ids[:3]


def test_classes_that_a_spreadsheet_would_run_are_quoted_and_come_back(
    place: Path, run: Run
) -> None:
    for name in ("=cmd", "dog"):
        Path("root", name).mkdir(parents=True)
        for i in range(12):
            Path("root", name, f"{i}.txt").write_text(f"{name} {i}")
    code, _, error = run("split", "root", "-o", "parts")
    assert code == 0, error
    text = Path("parts/train.csv").read_text()
    assert "'=cmd/" in text
    assert ",'=cmd\n" in text
    found = read_labels("parts/train.csv", label="label", id_column="path")
    frame = read_table("parts/train.csv")
    assert set(frame["label"]) == {"=cmd", "dog"}
    assert all(Path("root", p).is_file() for p in frame["path"])
    assert set(found.names) == {"=cmd", "dog"}


def test_a_file_whose_name_is_no_text_is_named(place: Path, run: Run) -> None:
    for name in ("cat", "dog"):
        Path("root", name).mkdir(parents=True)
        Path("root", name, "1.txt").write_text("x")
    Path("root/cat", os.fsdecode(b"\xff.txt")).write_text("x")
    code, _, error = run("split", "root", "-o", "parts")
    assert code == 3
    assert "`root` must hold names that are UTF-8, got 'cat/\\udcff.txt'" in error


def test_rows_of_a_table_are_copied_as_they_are(place: Path, run: Run) -> None:
    cells = ["=1+1", "'=1+1", "-a", "b"]
    pl.read_csv("s.csv").with_columns(pl.Series("id", [f"{c}{i}" for i in range(15) for c in cells])
                                      ).write_csv("s.csv")  # fmt: skip
    assert run("split", "s.csv", "--label", "y", "-o", "parts")[0] == 0
    lines = set(Path("s.csv").read_text().splitlines())
    for part in ("train", "val", "test"):
        assert set(Path(f"parts/{part}.csv").read_text().splitlines()) <= lines


def test_a_full_disk_leaves_no_split_without_its_tables(
    place: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = pl.DataFrame.write_csv

    def full(frame: pl.DataFrame, file: Path, **more: object) -> None:
        if "val" in str(file):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(frame, file, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(pl.DataFrame, "write_csv", full)
    code, _, error = run("split", "s.csv", "--label", "y", "-o", "parts")
    assert code == 1
    assert error == "equipoise: No space left on device: parts\n"
    assert [p.name for p in place.iterdir()] == ["s.csv"]


def test_copies_of_a_run_that_was_killed_are_removed_by_the_next(place: Path, run: Run) -> None:
    for name in ("cat", "dog"):
        Path("root", name).mkdir(parents=True)
        for i in range(12):
            Path("root", name, f"{i}.txt").write_text(f"{name} {i}")
    killed = (
        "import os, pathlib\nfrom equipoise._core.locks import Locks\n"
        "assert Locks('.c.part').claim('copy')\n"
        "pathlib.Path('.c.part/whole/train').mkdir(parents=True)\n"
        "pathlib.Path('.c.part/whole/train/half').write_text('x')\nos.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -9
    assert Path(".c.part/whole/train/half").exists()
    code, _, error = run("split", "root", "-o", "parts", "--copy", "c")
    assert code == 0, error
    assert not Path(".c.part").exists()
    assert not Path("c/train/half").exists()
    assert sum(p.is_file() for p in Path("c").rglob("*")) == 24
    other = Locks(".d.part")
    assert other.claim("copy")
    code, _, error = run("split", "root", "-o", "parts", "--copy", "d")
    assert code == 3
    assert "`--copy` must be written by one run at a time" in error
    assert Path(".d.part").exists()
    assert not Path("d").exists()


def test_all_that_a_verb_writes_is_as_open_as_umask_says(place: Path, run: Run) -> None:
    before = os.umask(0o022)
    try:
        assert run("tune", "s.csv", *TUNE, "-o", "new/rule.json")[0] == 0
        assert run("apply", "new/rule.json", "s.csv", *APPLY, "-o", "new/o.parquet")[0] == 0
        assert run("split", "s.csv", "--label", "y", "-o", "new/parts")[0] == 0
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(p.stat().st_mode) for p in Path("new").rglob("*") if p.is_file()}
    assert modes == {0o644}


POWER = "arms=[none, {method: weighted_ce, settings: {power: x}}]"
TEXTS: dict[str, tuple[str | bytes, list[str], int, str]] = {
    "class 1e300": ("id,y\na,1e300\n" + "b,2\n" * 9, ["diagnose", "x.csv", "--label", "y"], 0, ""),
    "many digits": ("y\n" + "9" * 5000 + "\n1\n2\n", ["diagnose", "x.csv", "--label", "y"], 0, ""),
    "bytes": (b"y,x\na,1\n\xff\xfe,2\n", ["diagnose", "x.csv", "--label", "y"], 3, "be UTF-8"),
    "brackets": ("{" * 2000, ["diagnose", "--setup", "x.yaml"], 3, "levels in line 1, column 101"),
    "study": ("{" * 2000, ["compare", "x.yaml", "--dry-run"], 2, "levels in line 1, column 101"),
    "names": ("names: [{}]", ["diagnose", "--setup", "x.yaml"], 2, "`x.names` is not known"),
    "metrics": ("metrics: [{}]", ["diagnose", "--setup", "x.yaml"], 2, "`x.metrics` must be"),
    "epochs": ("epochs: 1.0e+300", ["diagnose", "--setup", "x.yaml"], 2, "`x.epochs` must be"),
    "arms": ("arms: [3]", ["diagnose", "--setup", "x.yaml"], 2, "`arms.0` must be a method"),
    "log": ("[1, 2]\n", ["diagnose", "--log", "x.jsonl"], 3, "list of rows, got [1, 2] as row 0"),
    "deep log": ("[" * 100_000, ["diagnose", "--log", "x.json"], 3, "nested deeper than 100"),
    "hidden": ("data: {path: s.csv, label: y}\narms: [none]\ntraining: {hidden: .inf}",
               ["compare", "x.yaml", "--dry-run"], 2, "`training.hidden`"),
    "power": ("data: {path: s.csv, label: y, features: [zA, zB]}\narms: [none, weighted_ce]",
              ["compare", "x.yaml", "--dry-run", "--set", POWER], 2, "`weighted_ce.power` must be"),
    "comparison": ('{"schema": "equipoise.Comparison", "version": 1, "arms": [], "names": []}',
                   ["report", "x.json"], 3, "hold all fields of a equipoise.Comparison"),
    "counts": ('{"A": 1e999, "B": 3}',
               ["evaluate", "rule.json", "s.csv", *TUNE, "--train-counts", "x.json"], 3,
               "a whole count >= 0 for 'A'"),
}  # fmt: skip


@pytest.mark.parametrize("case", TEXTS)
def test_odd_content_is_read_or_refused_in_a_line(case: str, place: Path, run: Run) -> None:
    content, words, code, said = TEXTS[case]
    if case == "counts":
        assert run("tune", "s.csv", *TUNE, "-o", "rule.json")[0] == 0
    file = next(w for w in words if w.startswith("x."))
    Path(file).write_bytes(content if isinstance(content, bytes) else content.encode())
    found, _, error = run(*words)
    assert found == code, error
    assert said in error
    if code:
        assert error.count("\n") == 1


def test_numbers_and_then_a_half_are_classes(place: Path, run: Run) -> None:
    Path("x.csv").write_text("y\n" + "".join(f"{i}\n" for i in range(150)) + "0.5\n")
    assert run("diagnose", "x.csv", "--label", "y", "--kind", "multiclass")[0] == 0
    frame = pl.DataFrame({"y": [1e300, *[2.0] * 9], "n": [2**64 - 1, *range(9)]},
                         schema_overrides={"n": pl.UInt64})  # fmt: skip
    frame.with_columns(pl.col("n").cast(pl.Int128) * 3).write_parquet("x.parquet")
    code, _, error = run("diagnose", "x.parquet", "--label", "y", "--id", "n")
    assert code == 3
    assert "got 1e+300, a float that has lost digits" in error
    wide = Labels.from_array([0, 1] * 5, kind="multiclass")
    found = eq.diagnose(wide)
    assert isinstance(found, list)


def test_a_device_that_is_not_there_is_named(place: Path, run: Run) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(UsageError, match=r"`device` must name a device that is there, got 'cuda'"):
        choose_device("cuda")
    for name in ("cuda:x", "abacus", "", "cpu:1"):
        with pytest.raises(UsageError, match="`device` must"):
            choose_device(name)
    assert choose_device("auto").type in ("cpu", "mps")
    head = "data: {path: s.csv, label: y, features: [zA, zB]}\n"
    Path("heads.yaml").write_text(head + "arms: [none]\ncompute: {device: cuda}")
    Path("network.yaml").write_text(head + "model: mlp\ntraining: {accelerator: cuda}\n")
    for words, option in ((("compare", "heads.yaml", "--dry-run"), "device"),
                          (("train", "network.yaml", "--dry-run"), "accelerator"),
                          (("train", "network.yaml"), "accelerator")):  # fmt: skip
        code, _, error = run(*words)
        assert code == 2, error
        assert f"`{option}` must name a device that is there, got 'cuda'. Available here:" in error
        assert "Traceback" not in error


def test_a_network_of_another_width_is_named() -> None:
    x = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)
    labels = Labels.from_array((x[:, 0] > 0).astype(int), kind="multiclass")
    split = Split.from_parts(range(60), range(60, 75), range(75, 90), n_rows=90, seed=0, method="")
    for width, more in ((1, 'kind="multilabel"'), (3, "2 outputs")):
        with pytest.raises(ShapeError, match=rf"one output per class = 2, got {width}\.") as caught:
            eq.fit(nn.Linear(3, width), ArrayDataset(x, labels), split,
                   eq.remedy("none", labels[split.train]), seed=0)  # fmt: skip
        assert more in str(caught.value)


def test_a_network_of_one_output_on_boxes_is_named() -> None:
    image = np.zeros((64, 64), dtype=np.uint8)
    image[8:24, 8:24] = 255
    pools = []
    for seed in (0, 1):
        boxes = np.concatenate([random_boxes((64, 64), 60, size_range=(8, 16), seed=seed),
                                [[8, 8, 24, 24], [9, 8, 24, 24], [8, 9, 24, 24]]])  # fmt: skip
        found = label_proposals(boxes, [[8, 8, 24, 24]], [1]).without_ignored()
        patches = PatchDataset(found, [image], size=8)
        named = found.to_labels(["background", "thing"])
        alone = Labels(named.values, named.kind, named.names)  # images of two pools are not groups
        pools.append(DatasetPool(patches, alone))
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    with pytest.raises(ShapeError, match="return one output per class = 2, got 1"):
        mine_hard_negatives(None, *pools, model=network, options=MiningOptions(rounds=1))


def test_quoting_is_a_warning_in_python(place: Path, run: Run) -> None:
    run("tune", "s.csv", *TUNE, "-o", "rule.json")
    pl.read_csv("s.csv").with_columns(("@" + pl.col("id")).alias("id")).write_csv("t.csv")
    with pytest.warns(DataWarning, match="60 cells that begin with"):
        apply_file(DecisionRule.load("rule.json"), "t.csv", "o.csv", score_kind="logits",
                   columns=["zA", "zB"], id_column="id")  # fmt: skip
