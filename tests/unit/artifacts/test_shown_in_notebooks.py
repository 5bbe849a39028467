"""What a noun prints and what a notebook shows of it are the same tables."""

from __future__ import annotations

import html
import re

import numpy as np
import pytest

import equipoise as eq
from equipoise._core.text import Table, as_html, table


def scores(part: str, seed: int, name: str = "<script>alert(1)</script>") -> eq.Scores:
    rng = np.random.default_rng(seed)
    y = (rng.random((300, 2)) < [0.3, 0.1]).astype(int)
    labels = eq.Labels.from_array(y, kind="multilabel", names=["A", name])
    return eq.Scores.from_arrays(labels, logits=2 * y - 2 + rng.normal(size=y.shape), split=part)


def cells(shown: str) -> list[str]:
    return [html.unescape(c) for c in re.findall(r"<t[hd](?: [^>]*)?>(.*?)</t[hd]>", shown)]


def nouns() -> list[object]:
    rule = eq.tune(scores("val", 0))
    trials = []
    for method, seed in ((m, s) for m in ("none", "pos_weight") for s in (0, 1)):
        parts = {"val": scores("val", seed + 10), "test": scores("test", 5)}
        counts = dict.fromkeys(rule.names, 50)
        trials.append(eq.Trial(method, seed, {}, 300, 300, counts, {}, [], parts))
    val = scores("val", 0)
    return [rule, eq.evaluate(rule, scores("test", 1)), eq.compare(trials),
            eq.diagnose(val.require_labels())]  # fmt: skip


@pytest.mark.parametrize("noun", nouns(), ids=lambda noun: type(noun).__name__)
def test_a_notebook_shows_what_is_printed(noun: object) -> None:
    printed, shown = str(noun), noun._repr_html_()  # type: ignore[attr-defined]
    words = html.unescape(re.sub(r"<[^>]+>", " ", shown))
    assert sorted(re.findall(r"[\w.+]+", words)) == sorted(
        re.findall(r"[\w.+]+", re.sub(r"(?m)^-[- ]+$", "", printed))
    )
    assert "<script" not in shown
    for row in printed.splitlines():
        if row.startswith("A  "):
            assert row.split()[0] in cells(shown)


def test_labels_show_the_rarest() -> None:
    labels = scores("val", 0).require_labels()
    shown = labels._repr_html_()
    assert str(labels) in html.unescape(shown)
    assert cells(shown)[:4] == ["rarest", "positives", "known", "share"]
    assert cells(shown)[4:6] == ["<script>alert(1)</script>", str(labels.counts[1])]


def test_lines_and_tables_become_html() -> None:
    made = table(["a", "b"], [["x", "1"]])
    assert isinstance(made, Table)
    shown = as_html(["", "first & last", "", made, "under", ""])
    assert shown.startswith("<div><p>first &amp; last</p><table>")
    assert shown.endswith("</table><p>under</p></div>")
    assert cells(shown) == ["a", "b", "x", "1"]
    assert as_html([]) == "<div></div>"
