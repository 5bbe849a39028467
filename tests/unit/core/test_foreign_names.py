"""Objects of foreign code by module or file, and columns by pattern or range."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from equipoise._core.foreign import import_named
from equipoise._core.messages import expand_columns
from equipoise.errors import UsageError

COLUMNS = ["id", "q1", "q2", "q3", "topic_a", "topic_b", "q1..q2"]


@pytest.mark.parametrize(
    "form", ["posted_code:Answer", "posted_code.py:Answer", "{}/posted_code.py:Answer"]
)
def test_a_file_is_as_good_as_a_module(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "posted_code.py").write_text("class Answer:\n    value = 42\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "posted_code", raising=False)
    module, made = import_named(form.format(tmp_path))
    assert (module.__name__, made.value) == ("posted_code", 42)
    monkeypatch.delitem(sys.modules, "posted_code")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["topic_*"], ["topic_a", "topic_b"]),
        (["q?"], ["q1", "q2", "q3"]),
        (["q2..topic_a"], ["q2", "q3", "topic_a"]),
        (["q1..q2"], ["q1..q2"]),  # a column of that name
        (["topic_*", "topic_a", "q1"], ["topic_a", "topic_b", "topic_a", "q1"]),
        (["gone"], ["gone"]),  # what reads the columns says so
    ],
)
def test_patterns_and_ranges_are_columns(wanted: list[str], found: list[str]) -> None:
    assert expand_columns("labels", wanted, COLUMNS) == found


@pytest.mark.parametrize("wanted", ["x*", "q3..q1", "q1..gone"])
def test_what_matches_nothing_is_named(wanted: str) -> None:
    with pytest.raises(UsageError, match="`labels` must match columns with '") as caught:
        expand_columns("labels", [wanted], COLUMNS)
    assert "none of 7 columns: id, q1" in str(caught.value)
