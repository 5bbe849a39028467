"""What is shown in another language: what is translated, and what never is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from equipoise import Finding, Labels, Scores, tune
from equipoise._core.language import language, said, speaking, spoken
from equipoise._core.text import table, text_table, width
from equipoise.artifacts.finding import Findings, load_findings, save_findings
from equipoise.errors import UsageError


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EQUIPOISE_LANG", "zh")


def test_english_is_what_it_was_and_the_same_object() -> None:
    text = f"{len(__name__)} seeds are few"
    assert said(text) is text
    assert language() == spoken() == "en"


@pytest.mark.usefixtures("chinese")
@pytest.mark.parametrize(
    ("english", "told"),
    [
        ("Labels that cannot be learned", "无法学习的标签"),
        # A sentence, its stop with it; several; what has no entry between them.
        ("Remove duplicates before splitting.", "划分前先去重。"),
        (
            "Remove duplicates before splitting. Nobody wrote this. It cannot be learned.",
            "划分前先去重。Nobody wrote this. 它无法被学习。",
        ),
        # Holes: numbers and names as they are, in the order of the other language.
        ("groups: 9 of 10 kept together", "分组：10 个中有 9 个保持完整"),
        # A hole that is a text in its turn, and whose clauses are.
        (
            "Why this could be wrong: one seed gives no interval at all; undecided: focal, smote.",
            "为何可能不对：一个种子给不出任何区间；未定：focal, smote。",
        ),
        # Remarks in a list are translated, the names they stand behind are not.
        (
            "The true probability at output 0.5: A: 0.1 to 0.2 (inverse frequency: 0.7), no: 0.",
            "输出 0.5 处的真实概率：A: 0.1 至 0.2（逆频率：0.7）, no: 0。",
        ),
        ("no rule and no scores", "没有规则，没有分数"),
        # Options, as the command line spells them.
        ("Pass --rows, the number of rows behind the counts.", "给出 --rows，即计数背后的行数。"),
    ],
)
def test_texts(english: str, told: str) -> None:
    assert said(english) == told


@pytest.mark.usefixtures("chinese")
@pytest.mark.parametrize(
    "name",
    ["recall", "none", "threshold only", "a; b", "a. B", "x: y", "not sick", "signs of a disease",
     "召回率", "3 seeds", "{0}", "label (rare)", "A and 3 more", "Smith, J", "no finding"],
)  # fmt: skip
def test_names_are_never_translated(name: str) -> None:
    told = said(
        f"within a label there are at least 9 negatives per positive ('{name}'); between labels "
        "counts differ 3-fold (MeanIR 2)"
    )
    assert name in told
    listed = said(
        f"Never drawn, though equal draws would have: {name} (3 rows). It cannot be learned."
    )
    assert name in listed
    assert name in said(f"'{name}' has 380, about 76 in the test part: recall there is known to "
                        "+-0.11 (all of them pooled over folds: +-0.05).")  # fmt: skip


@pytest.mark.usefixtures("chinese")
def test_one_sentence_does_not_swallow_another() -> None:
    """A hole in the first sentence could hold the second."""
    text = "It yields rows. Nobody wrote this either."
    assert said(text) == "它产出行。Nobody wrote this either."


@pytest.mark.usefixtures("chinese")
def test_what_reads_like_a_sentence_is_not_kept_for_a_name() -> None:
    """Half a translation is worse than none."""
    text = "Where an output (that is a large one) decides for the row (10 positives in 100)"
    assert said(text) == text


def test_the_language_is_that_of_the_block_else_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EQUIPOISE_LANG", "zh")
    assert language() == "zh"
    with speaking("en"):
        assert language() == "en"
        with speaking(None):
            assert language() == "en"
    assert language() == "zh"
    monkeypatch.setenv("EQUIPOISE_LANG", "fr")
    assert language() == "en"
    with pytest.raises(UsageError, match="`EQUIPOISE_LANG` must be one of 'en', 'zh', got 'fr'"):
        spoken()
    with pytest.raises(UsageError, match="`lang` must be one of"), speaking("fr"):
        pass


@pytest.mark.usefixtures("chinese")
def test_files_are_english_and_shown_in_either_language(tmp_path: Path) -> None:
    title, message = "What weighting does to the 0.5 cut", "Answering 0 is right in 90% of rows."
    found = Finding("EQ106", "tip", title, message, suggests=("Apply it once.",))
    path = save_findings([found], tmp_path / "findings.json")
    assert path.read_text(encoding="utf-8").isascii()
    (read,) = load_findings(path)
    assert read == found
    assert str(Findings([read])) == (
        "EQ106 提示：加权对 0.5 阈值的影响\n    都答 0 就能答对 90% 的行。\n    -> 只用一次。"
    )
    y = np.arange(300) % 5 == 0
    labels = Labels.from_array(y.astype(int), kind="multilabel", names=["recall"])
    z = 2.0 * y - 1 + np.linspace(-1, 1, 300)
    rule = tune(Scores.from_arrays(labels, logits=z, split="val"))
    assert json.dumps(rule.to_dict()) == json.dumps(rule.to_dict(), ensure_ascii=False)
    assert str(rule).startswith("标签")
    assert "\nrecall " in str(rule)
    with speaking("en"):
        assert str(rule).startswith("label ")


def test_tables_are_straight_where_letters_are_wide() -> None:
    assert width("阈值") == 4
    assert width("a\u0301") == 1
    head, *rows = table(["标签", "召回率"], [["A", "0.5"], ["肺炎", "0.25"]]).splitlines()
    assert {width(line) for line in (head, *rows)} == {12}
    assert head == "标签  召回率"
    assert rows[1] == "A        0.5"
    ends = [line.index("x") for line in text_table(["方法", "x"], [["none", "x"]]).splitlines()
            if "x" in line]  # fmt: skip
    assert [width(line[:end]) for line, end in
            zip(["方法  x", "none  x"], ends, strict=True)] == [6, 6]  # fmt: skip
