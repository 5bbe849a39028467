"""What verbs and pages show in Chinese: nothing of it is left in English but names."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from comparisons import labels_comparison, make_trials
from equipoise import Finding, Labels, Scores, write_report
from equipoise._core.language import speaking
from equipoise.artifacts import Comparison
from equipoise.cli.main import app, run_app
from equipoise.comparison import compare
from equipoise.diagnosis import Material, run_checks
from equipoise.report.chapter import Chapter
from equipoise.report.findings_page import findings_page
from equipoise.report.render import render_report
from equipoise.report.review import growth_picture, render_review

# Names that Chinese texts write as they are: metrics, tools, methods, arguments, words of code.
KNOWN = {
    "AP", "AUROC", "F1", "MCC", "MeanIR", "Brier", "FPR", "EM", "NaN", "JSON", "kB", "JavaScript",
    "logits", "logit", "sigmoid", "softmax", "logsigmoid", "argmax", "platt", "offset", "Adam",
    "Equipoise", "equipoise", "tune", "losses", "all", "correction", "kind", "alpha",
    "multiclass", "ceiling", "tp", "fp", "fn", "tn",
    "pos_weight", "none", "thresholds", "focal", "weighted", "id",
}  # fmt: skip
# A study's title and the names of its labels are the user's own.
OWN = ("Made up", "label", "class", "co")


def left(text: str, own: tuple[str, ...] = ()) -> set[str]:
    """Return the Latin words of a text that nobody names."""
    for name in own:
        text = text.replace(name, " ")
    text = re.sub(r"`[^`]*`|[\w./-]+\.(json|parquet|csv|html|md)\b|--[\w-]+|/\S+", " ", text)
    words = re.findall(r"(?<![\w<&])[A-Za-z][A-Za-z_]+\d*", text)
    return {w for w in words if w not in KNOWN and not re.fullmatch(r"EQ\d+|[a-z]+_[a-z_]+", w)}


def visible(page: str) -> str:
    """Return what a page shows: text, and what screen readers say."""
    page = re.sub(r"<(script|style|pre|code|metadata)\b.*?</\1>", " ", page, flags=re.DOTALL)
    said = re.findall(r'(?:aria-label|title|alt|placeholder)="([^"]*)"', page)
    return html.unescape(" \n".join([*re.findall(r">([^<]+)<", page), *said]))


def scores(part: str, seed: int) -> Scores:
    rng = np.random.default_rng(seed)
    y = (rng.random((400, 3)) < (0.04, 0.2, 0.5)).astype(int)
    labels = Labels.from_array(y, kind="multilabel", names=["A", "B", "C"],
                               ids=[f"{part}{i}" for i in range(400)])  # fmt: skip
    logits = 1.6 * y - 1 + rng.normal(size=y.shape)
    return Scores.from_arrays(labels, logits=logits, split=part)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    scores("val", 0).save(tmp_path / "val.parquet")
    scores("test", 1).save(tmp_path / "test.parquet")
    rng = np.random.default_rng(3)
    lines = ["id,patient,A,B,C"]
    for i in range(300):
        a, b, c = (rng.random(3) < (0.03, 0.3, 0.5)).astype(int)
        lines.append(f"{i},p{i // 3},{a},{b},{'' if i % 9 == 0 else c}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


Say = Callable[..., str]


@pytest.fixture
def say(capfd: pytest.CaptureFixture[str]) -> Say:
    def run(*arguments: str) -> str:
        code = run_app(app, [*arguments, "--lang", "zh"])
        out, err = capfd.readouterr()
        assert code == 0, err
        return out + err

    return run


@pytest.mark.usefixtures("files")
def test_tune_and_evaluate(say: Say) -> None:
    told = say("tune", "val.parquet", "-o", "rule.json")
    assert told.startswith("标签")
    assert left(told) == set()
    told = say("evaluate", "rule.json", "test.parquet", "--all", "-o", "found.json")
    assert "宏平均 AP" in told
    assert "与调参所用行的重叠：编号正常" in told
    assert left(told) == set()
    # Files and JSON are what they are in English.
    for file in ("rule.json", "found.json"):
        assert not re.search(r"[\u3400-\u9fff]", Path(file).read_text(encoding="utf-8"))
    body = json.loads(say("evaluate", "rule.json", "test.parquet", "--json"))
    assert "ids fine" in body["overlap"]


@pytest.mark.usefixtures("files")
def test_diagnose_and_split(say: Say) -> None:
    columns = ("--labels", "A,B,C", "--id", "id", "--groups", "patient")
    told = say("diagnose", "labels.csv", *columns, "--all")
    assert "未执行，因为" in told
    assert left(told) == set()
    told = say("split", "labels.csv", *columns, "--dry-run")
    assert "分组：100 个中有 100 个保持完整" in told
    assert left(re.sub("指纹 .*", "", told)) == set()
    told = say("diagnose", "--positives", "A=19,B=65000,C=9", "--rows", "224000")
    assert "只有零星样例的标签" in told
    assert left(told) == set()


def test_methods(say: Say) -> None:
    told = say("methods")
    summaries = [re.sub(r"^\S+ +\S+ +\S+ +", "", line) for line in told.splitlines()]
    words = set().union(*(left(line) for line in summaries if not re.search(r"^ |=", line)))
    names = {
        "F-beta",
        "LDAM",
        "Dice",
        "Tversky",
        "MONAI",
        "SMOTENC",
        "SMOTE",
        "ratio",
        "epsilon",
        "tau",
        "gamma",
    }
    assert words <= names | {"F", "beta"}


def test_audit_of_a_loss(say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_loss_in_chinese.py").write_text(
        "import torch\n"
        "def loss(logits, target, alpha=(10.0, 2.0, 5.0)):\n"
        "    p = torch.sigmoid(torch.sigmoid(logits))\n"
        "    each = -(target * torch.log(p) + (1 - target) * torch.log(1 - p))\n"
        "    return (torch.tensor(alpha) * each).mean()\n",
        encoding="utf-8",
    )
    told = say("audit", "my_loss_in_chinese:loss", "--allow-code", "--labels", "A,B,C")
    assert "输出 0.5 的含义" in told
    assert left(told) <= {"float16", "float32", "bfloat16", "x4", "x2", "x5"}


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(make_trials({"none": 0.0, "focal": 0.3, "weighted": 1.5}), title="Made up")


def test_a_comparison(comparison: Comparison) -> None:
    with speaking("zh"):
        told = str(comparison)
    assert "采用" in told
    assert left(told, OWN) == set()
    assert "No remedy" in str(comparison) or "Use " in str(comparison)


@pytest.mark.parametrize("multi", [True, False])
def test_the_report(multi: bool) -> None:
    trials = make_trials({"none": 0.0, "focal": 0.3, "weighted": 1.5}, multi=multi)
    chapter = Chapter(
        compare(trials, title="Made up"), [t for t in trials if t.seed == 0],
        findings=[Finding("EQ106", "tip", "What weighting does to the 0.5 cut",
                          "Answering 0 is right in 90% of rows.", suggests=("Apply it once.",))],
    )  # fmt: skip
    with speaking("zh"):
        page = render_report(chapter)
        again = render_report(chapter)
    assert page == again
    assert '<html lang="zh-CN">' in page
    assert "都答 0 就能答对 90% 的行。" in page
    assert left(visible(page), OWN) == set()
    # What the script says.
    for words in re.findall(r"data-words>(.*?)</script>", page, re.DOTALL):
        told = " ".join(json.loads(words).values())
        assert left(re.sub(r"\{\w+\}", "", told)) == set()
    # The data behind it, and the page in English, are the same whichever was written first.
    english = render_report(chapter)
    assert '<html lang="en">' in english
    assert not re.search(r"[\u3400-\u9fff]", english)
    data = re.compile(r'-(?:cuts|json)">(.*?)</script>', re.DOTALL)
    assert data.findall(page) == data.findall(english) != []


def test_a_report_of_a_rule_names_its_labels_as_they_are(tmp_path: Path) -> None:
    from equipoise import tune

    val = scores("val", 0)
    names = ("recall", "none", "标签")
    labels = Labels.from_array(val.require_labels().values, kind="multilabel", names=names,
                               ids=val.ids)  # fmt: skip
    val = Scores.from_arrays(labels, logits=val.values, split="val")
    path = write_report(Chapter(rule=tune(val), scores=val, title="precision"),
                        path=tmp_path / "page.html", lang="zh")  # fmt: skip
    page = path.read_text(encoding="utf-8")
    assert "<h2>precision</h2>" in page
    assert '"names":["recall","none","标签"]' in page
    assert left(visible(page), ("precision", "recall")) == set()


def test_the_pages_of_a_diagnosis_and_of_mistakes() -> None:
    with speaking("zh"):
        page = findings_page(run_checks(Material(counts={"A": 0, "B": 9, "C": 400})), "A, B, C")
        row = {"round": 0, "positive": 9, "initial": 27, "hard": 1, "easy": 1, "best": True,
               "ap": 0.5, "ap_low": 0.4, "ap_high": 0.6}  # fmt: skip
        growth = growth_picture([row], "A")
        mistake = {"rank": 1, "id": "7", "group": "g", "score": 0.5, "last_score": 0.4,
                   "first_round": 1, "times_selected": 2, "times_skipped": 0, "distance": 0.1,
                   "nearest_positive": "8", "near": True, "thumbnail": "data:,",
                   "nearest_thumbnail": "data:,"}  # fmt: skip
        numbers = {"overlap": 0.2, "overlap_of_random": 0.1, "n_rows": 9, "n_skipped": 1}
        review = render_review([mistake], numbers, growth, "A")
    assert left(visible(page)) == set()
    assert "英文" in page  # the explanations
    assert left(visible(review)) == set()


def test_another_language_is_refused(capfd: pytest.CaptureFixture[str],
                                     monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    assert run_app(app, ["methods", "--lang", "fr"]) == 2
    assert "`--lang` must be one of 'en', 'zh', got 'fr'" in capfd.readouterr().err
    monkeypatch.setenv("EQUIPOISE_LANG", "fr")
    assert run_app(app, ["methods"]) == 2
    assert "`EQUIPOISE_LANG` must be one of" in capfd.readouterr().err
    monkeypatch.setenv("EQUIPOISE_LANG", "zh")
    assert run_app(app, ["methods"]) == 0
    assert capfd.readouterr().out.startswith("方法")
    assert run_app(app, ["methods", "--lang", "en"]) == 0
    assert capfd.readouterr().out.startswith("method ")


def test_labels_comparison_helper_still_prints_in_english() -> None:
    assert not re.search(r"[\u3400-\u9fff]", str(labels_comparison()))
