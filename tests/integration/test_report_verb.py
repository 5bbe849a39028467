"""``equipoise report``: any mixture of results makes a page, and an existing page is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from equipoise import DecisionRule, Labels, Scores, tune
from equipoise.cli.main import app, run_app
from equipoise.errors import DataWarning
from equipoise.studies.pages import chapter_of, row_contents
from equipoise.studies.schema import parse_study

FAST = ["--set", "seeds=1", "--set", "training.epochs=2", "--set", "arms=[none,pos_weight]",
        "--set", "training.hidden=0", "--set", "models=[]"]  # fmt: skip


def run(*words: str) -> int:
    return run_app(app, list(words))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compared table, a rule and its scores."""
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    n = 300
    a = (rng.random(n) < 0.3).astype(int)
    frame = pl.DataFrame({
        "id": [f"r{i}" for i in range(n)], "x0": a + rng.normal(size=n), "x1": rng.normal(size=n),
        "A": a,
    })  # fmt: skip
    frame.write_csv(folder / "t.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run("compare", "t.csv", "--labels", "A", "--id", "id", *FAST, "-o", "out") == 0
    for part, seed in (("val", 1), ("test", 2)):
        noise = np.random.default_rng(seed).normal(size=n)
        ids = [f"{part}{i}" for i in range(n)]
        labels = Labels.from_array(a, kind="multilabel", names=["A"], ids=ids)
        scores = Scores.from_arrays(labels, logits=2.0 * a - 1 + noise, split=part)
        scores.save(folder / f"{part}.parquet")
    tune(Scores.load(folder / "val.parquet")).save(folder / "rule.json")
    return folder


@pytest.fixture(autouse=True)
def _here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def test_folders_and_a_rule_with_scores_make_one_page(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    trial = next(Path("out/trials").glob("none-s0*"))
    words = ["out", str(trial), "--rule", "rule.json", "--scores", "test.parquet"]
    assert run("report", *words, "-o", str(page)) == 0
    assert capsys.readouterr().out.startswith(f"Report: {page} (")
    text = page.read_text()
    assert text.count('<section class="chapter"') == 3
    assert "equipoise refit out -o model/" in text
    assert "What does this rule do on 300 test rows?" in text


def test_validation_scores_alone_let_cuts_be_set(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert run("report", "--rule", "rule.json", "--scores", "val.parquet", "-o", str(page)) == 0
    assert 'data-part="export"' in page.read_text()


def test_scores_of_a_table_are_described(tmp_path: Path) -> None:
    held = Scores.load("test.parquet")
    labels = held.require_labels()
    table = pl.DataFrame({"A": labels.values[:, 0], "z": held.values[:, 0], "id": held.ids})
    table.write_csv(tmp_path / "test.csv")
    page = tmp_path / "page.html"
    words = ["--rule", "rule.json", "--scores", str(tmp_path / "test.csv"), "--id", "id",
             "--labels", "A", "-o", str(page)]  # fmt: skip
    assert run("report", *words) == 2
    described = ["--score-kind", "logits", "--score-columns", "z"]
    assert run("report", *words, *described) == 0
    assert "test rows" in page.read_text()


def test_an_existing_page_is_kept_unless_forced(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine")
    words = ["report", "--rule", "rule.json", "--scores", "val.parquet", "-o", str(page)]
    assert run(*words) == 2
    assert f"`--out` must name a new file, got {page}, which exists" in capsys.readouterr().err
    assert page.read_text() == "mine"
    assert run(*words, "--force") == 0
    assert page.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ([], 2, "Name a folder of results, or give --rule and --scores"),
        (["--rule", "rule.json"], 2, "`--rule and --scores` must be given together"),
        (["--scores", "val.parquet"], 2, "got --scores alone"),
        (["nowhere"], 3, "nowhere"),
        (["."], 3, "hold a comparison.json or folders of trials"),
        (["--rule", "rule.json", "--scores", "t.csv"], 2, "--score-columns"),
    ],
)
def test_wrong_use_says_what_to_do(
    words: list[str], code: int, text: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run("report", *words, "-o", str(tmp_path / "page.html")) == code
    assert text in capsys.readouterr().err


def test_what_a_page_saves_is_applied(tmp_path: Path) -> None:
    made = DecisionRule.load("rule.json").set_by_hand(np.array([0.25]))
    made.save(tmp_path / "rule.json")
    out = tmp_path / "decisions.csv"
    assert run("apply", str(tmp_path / "rule.json"), "test.parquet", "-o", str(out)) == 0
    assert run("evaluate", str(tmp_path / "rule.json"), "test.parquet") == 0
    held = Scores.load("test.parquet")
    flags = pl.read_csv(out)
    column = next(name for name in flags.columns if flags[name].dtype.is_integer())
    np.testing.assert_array_equal(flags[column].to_numpy(), made.apply(held).predictions[:, 0])


def test_rows_of_a_table_are_shown_by_what_is_unusual_in_them() -> None:
    chapter = chapter_of("out")
    assert chapter.contents is not None
    found = chapter.contents(["r0", "r7", "nobody"])
    frame = pl.read_csv("t.csv")
    assert set(found) == {"r0", "r7"}
    assert set(found["r7"]) == {"x0", "x1"}
    assert found["r7"]["x0"] == f"{frame['x0'][7]:.4g}"
    far = {n: abs(frame[n][7] - frame[n].mean()) / frame[n].std(ddof=0) for n in ("x0", "x1")}
    assert list(found["r7"]) == sorted(far, key=lambda name: -far[name])


def test_long_texts_are_shown_as_texts(tmp_path: Path) -> None:
    words = "a long text about nothing in particular, written to fill a row"
    frame = pl.DataFrame({"text": [words, "short"], "n": [1, 9], "y": [0, 1]})
    frame.write_csv(tmp_path / "t.csv")
    data = {"source": "table", "path": str(tmp_path / "t.csv"), "label": "y"}
    study = parse_study({"data": data, "arms": ["none"]}, "here")
    found = row_contents(study, ["0", "1"])
    assert found["0"] == {"text": words, "n": "1"}
    assert found["1"] == {"n": "9", "text": "short"}


def test_digits_are_shown_as_pictures() -> None:
    study = parse_study({"data": {"source": "digits"}, "arms": ["none"]}, "here")
    found = row_contents(study, ["3", "1796", "9999"])
    assert set(found) == {"3", "1796"}
    assert found["3"]["image"].startswith("data:image/png;base64,")


def test_data_that_are_gone_are_a_warning(tmp_path: Path) -> None:
    data = {"source": "table", "path": str(tmp_path / "gone.csv"), "label": "y"}
    study = parse_study({"data": data, "arms": ["none"]}, "here")
    with pytest.warns(DataWarning, match="worst errors are not shown"):
        assert row_contents(study, ["0"]) == {}
