"""Chapters: read from folders, shown in the order a reader asks, closed to outsiders."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from comparisons import labels_comparison, make_trials
from equipoise import Comparison, Labels, Scores, Trial, tune, write_report
from equipoise.comparison import compare, evaluate
from equipoise.errors import DataError
from equipoise.report import charts
from equipoise.report.chapter import Chapter, read_chapter
from equipoise.report.render import render_report

ARMS = {"none": 0.0, "weighted": 1.5}


@pytest.fixture(autouse=True)
def _blank_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw only where figures are looked at."""
    if "figure" not in request.node.name and "point" not in request.node.name:
        monkeypatch.setattr(charts, "_svg", lambda *_: "<svg></svg>")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `compare` leaves it."""
    folder = tmp_path_factory.mktemp("results")
    trials = make_trials(ARMS, seeds=2)
    for trial in trials:
        trial.save(folder / "trials")
    refit = replace(trials[0], config={"share": 0.5})
    refit.save(folder / "trials")
    compare(trials, title="A study").save(folder / "comparison.json")
    return folder


def folded(folds: int = 3) -> list[Trial]:
    """Return the folds of one seed: each tests its own rows."""
    (whole,) = make_trials({"none": 0.0}, seeds=1, n=300)
    test = whole.scores["test"]
    held = []
    for fold in range(folds):
        rows = np.arange(fold, len(test), folds)
        config = {"method": "none", "seed": 0, "fold": fold}
        parts = {"val": whole.scores["val"], "test": test[rows]}
        held.append(replace(whole, config=config, scores=parts))
    return held


def test_a_folder_of_results_gives_the_first_seed_of_every_arm(results: Path) -> None:
    for path in (results, results / "comparison.json"):
        chapter = read_chapter(path)
        assert isinstance(chapter.comparison, Comparison)
        assert [(t.method, t.seed) for t in chapter.trials] == [("none", 0), ("weighted", 0)]
        assert "share" not in chapter.trials[0].config
        assert chapter.place == str(results)


def test_a_trial_and_a_folder_of_trials_are_chapters_too(results: Path) -> None:
    one = next((results / "trials").glob("weighted-s0*"))
    alone = read_chapter(one)
    assert [t.method for t in alone.trials] == ["weighted"]
    assert alone.heading == "weighted"
    several = read_chapter(results / "trials")
    assert [t.method for t in several.trials] == ["none", "weighted"]
    assert f"equipoise tune {one}/val.parquet" in render_report(alone)
    command = f"equipoise tune {results / 'trials'}/{several.trials[0].folder_name}/val.parquet"
    assert command in render_report(several)


def test_a_folder_with_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"hold a comparison\.json or folders of trials"):
        read_chapter(tmp_path)
    with pytest.raises(DataError, match="hold a comparison, trials or a rule"):
        Chapter()
    rule = tune(make_trials({"none": 0.0}, seeds=1)[0].scores["val"])
    with pytest.raises(DataError, match="be given together"):
        Chapter(rule=rule)


def test_what_was_asked_and_answered_and_is_to_do_stands_first(results: Path) -> None:
    page = render_report(read_chapter(results))
    order = ["<dt>asked</dt>", "<dt>answer</dt>", "<dt>do now</dt>", "What each remedy bought",
             "by hand: none", "Labels in trouble", "What is confused with what",
             "Recall and precision per label and arm", "How the training went", "Worst errors",
             "The data", "Provenance"]  # fmt: skip
    places = [page.index(text) for text in order]
    assert places == sorted(places)
    assert "Does the remedy beat the untreated model (none) in macro AP" in page
    comparison = read_chapter(results).comparison
    assert comparison is not None
    answer = re.search(r'<dd class="answer">(.*?)</dd>', page)
    assert answer is not None
    assert comparison.summary[0].startswith(answer[1].rstrip(".")[:40])
    trial = f"equipoise tune {results}/trials/none-s0"
    assert trial in page


def test_a_compared_table_is_to_be_refitted() -> None:
    study = {"data": {"source": "table", "path": "t.csv"}}
    comparison = replace(labels_comparison(), provenance={"study": study})
    assert "equipoise refit runs/t -o model/" in render_report(Chapter(comparison, place="runs/t"))
    network = replace(comparison, provenance={"study": study | {"model": "mlp"}})
    page = render_report(Chapter(network, place="runs/t"))
    assert "keeps the network that is recommended, with its rule" in page
    made = replace(comparison, provenance={"study": {"data": {"source": "digits"}}})
    assert "equipoise refit" not in render_report(Chapter(made, place="runs/t"))


def test_any_mixture_makes_one_page(results: Path, tmp_path: Path) -> None:
    trial = make_trials({"none": 0.0}, seeds=1)[0]
    rule = tune(trial.scores["val"])
    chapters = [
        labels_comparison("Alone"),
        read_chapter(results),
        read_chapter(next((results / "trials").glob("none-s1*"))),
        Chapter(rule=rule, scores=trial.scores["test"], title="judged"),
        Chapter(rule=rule, scores=trial.scores["val"], title="to be set"),
    ]
    page = write_report(chapters, path=tmp_path / "page.html").read_text()
    assert re.findall(r'<section class="chapter" id="(.*?)"', page) == [
        f"study-{i}" for i in range(1, 6)
    ]
    # A comparison alone holds no scores, so nothing can be set there.
    assert re.findall(r'data-explorer="(.*?)"', page) == [f"study-{i}" for i in range(2, 6)]
    assert page.count('data-part="export"') == 3  # not of the test rows
    assert "What does this rule do on 400 test rows?" in page
    assert "Which cut serves these decisions?" in page
    found = evaluate(rule, trial.scores["test"]).overall["macro"]["f1"]
    assert f"Macro F1 {found}" in page


def test_of_cross_fitted_trials_cuts_are_set_on_out_of_fold_rows() -> None:
    chapter = Chapter(trials=folded(), title="folds")
    (arm,) = chapter.arms()
    assert arm.scores.split == "oof"
    assert len(arm.scores) == 300
    assert arm.rule.tuned_on["fingerprint"] == arm.scores.fingerprint
    decided = chapter.decided([arm])
    assert decided is not None
    rule, judged = decided
    assert len(judged) == 300
    page = render_report(chapter)
    assert "300 out-of-fold rows of none" in page
    assert 'data-part="export"' in page
    assert rule.names == arm.rule.names


def test_arms_are_laid_over_as_long_as_the_page_stays_small(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chapter = read_chapter(results)
    assert [arm.name for arm in chapter.arms()] == ["none", "weighted"]
    monkeypatch.setattr("equipoise.report.chapter.MOST_CUTS", 50)
    assert [arm.name for arm in chapter.arms()] == ["none"]


def test_scripts_are_allowed_by_their_hash_and_nothing_else_is(results: Path) -> None:
    page = render_report(read_chapter(results))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)
    assert policy is not None
    text = policy[1].replace("&#39;", "'")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    assert len(scripts) == 2
    assert f"script-src {allowed};" in text
    assert "default-src 'none'" in text
    assert not re.search(r"\son\w+=", re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))
    # Without an explorer its script is not there.
    bare = render_report(labels_comparison())
    assert len(re.findall(r"<script>", bare)) == 1


def test_names_that_look_like_markup_stay_text() -> None:
    title = '<script>alert(1)</script> "$x_1$"'
    trials = make_trials(ARMS, seeds=2)
    page = render_report(Chapter(compare(trials, title=title), trials[:2]))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not re.search(r'aria-label="[^"]*<', page)


@pytest.mark.slow
def test_the_same_results_give_the_same_page_and_figures(results: Path) -> None:
    assert render_report(read_chapter(results)) == render_report(read_chapter(results))


def test_worst_errors_are_those_the_model_was_surest_of() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    z = 3.0 * (2 * y - 1) + rng.normal(size=200)
    y[7], z[7] = 1, -9.0  # a miss, the surest of all
    y[8], z[8] = 0, 8.0

    def scores(part: str) -> Scores:
        ids = [f"{part}{i}" for i in range(200)]
        labels = Labels.from_array(y, kind="multilabel", names=["cat"], ids=ids)
        return Scores.from_arrays(labels, logits=z + 0.01 * (part == "val"), split=part)

    def contents(ids: list[str]) -> dict[str, dict[str, object]]:
        assert ids[:2] == ["test7", "test8"]
        return {"test7": {"image": "data:image/png;base64,AAAA"},
                "test8": {"text": "a <b>text</b>", "age": 3}}  # fmt: skip

    trial = make_trials({"none": 0.0}, seeds=1)[0]
    trial = replace(trial, scores={part: scores(part) for part in ("val", "test")})
    page = render_report(Chapter(trials=[trial], contents=contents))
    first, second, *_ = re.findall(r"<li>(.*?)</li>", page.split("Worst errors")[1], re.DOTALL)
    assert "<b>cat</b> → not cat" in first
    assert '<img src="data:image/png;base64,AAAA" alt="row test7">' in first
    assert "<b>not cat</b> → cat" in second
    assert "a &lt;b&gt;text&lt;/b&gt;" in second
    assert "<dt>age</dt><dd>3</dd>" in second


def test_what_was_really_drawn_is_shown_where_it_differs() -> None:
    trial = make_trials({"none": 0.0}, seeds=1)[0]
    first = trial.train_counts
    drawn = dict.fromkeys(first, 100)
    sampled = replace(trial, method="balanced", histogram=drawn)
    page = render_report(Chapter(trials=[trial, sampled]))
    part = page.split("What was really drawn")[1].split("</table>")[0]
    assert "balanced" in part
    assert ">none<" not in part
    rarest = min(first, key=lambda name: first[name])
    times = (1 / len(first)) / (first[rarest] / sum(first.values()))
    assert f"33.3 %<small>{times:.2f} times</small>" in part
    assert "What was really drawn" not in render_report(Chapter(trials=[trial]))


def test_one_epoch_is_a_point_and_more_are_a_line() -> None:
    trial = make_trials({"none": 0.0}, seeds=1)[0]
    one = charts.histories([trial], "A study")
    assert "<use" in one.split("training loss")[0]
    assert ">0<" in one
    rows = [{"epoch": e, "loss": 1 / (e + 1)} for e in range(4)]
    four = charts.histories([replace(trial, history=rows)], "A study")
    assert [word for word in re.findall(r">(\d+)</text>", four) if int(word) > 3] == []
    assert charts.histories([replace(trial, history=[])], "A study") == ""


def test_figures_have_no_panels_of_their_own_colour() -> None:
    drawn = charts.forest(labels_comparison(), "macro AP")
    assert "#ffffff" not in drawn
    assert "white" not in drawn
    assert "fill: none" in drawn
    assert 'role="img" aria-label="Difference in macro AP from none' in drawn


def test_numbers_at_the_axis_of_a_figure_keep_their_digits() -> None:
    """Coordinates are rounded, words are not: ticks of 0.005 were written as 0.01."""
    made = charts._svg(
        (7.4, 2.0), lambda figure: figure.add_subplot().set_xlim(-0.0123, 0.0123), "title", "alt"
    )
    written = re.findall(r"<text[^>]*>([^<]*)</text>", made)
    assert written[:5] == ["\u22120.010", "\u22120.005", "0.000", "0.005", "0.010"]
    tags = "".join(re.findall(r"<[^>]*>", made))
    assert not re.search(r"\d\.\d{3}", tags)


@pytest.mark.slow
def test_a_thousand_labels_are_a_page_of_less_than_three_megabytes(tmp_path: Path) -> None:
    rng, width, n = np.random.default_rng(0), 1000, 2000
    y = (rng.random((n, width)) < 0.05).astype(np.int8)
    z = rng.normal(size=y.shape) + 2 * y - 4
    names = [f"label {i}" for i in range(width)]

    def scores(part: str) -> Scores:
        ids = [f"{part}{i}" for i in range(n)]
        labels = Labels.from_array(y, kind="multilabel", names=names, ids=ids)
        return Scores.from_arrays(labels, logits=z, split=part)

    rule = tune(scores("val"), objective="prevalence")
    test = Scores.from_arrays(scores("test").labels, logits=z + rng.normal(size=z.shape),
                              split="test")  # fmt: skip
    chapters = [Chapter(rule=rule, scores=s) for s in (scores("val"), test)]
    for chapter in chapters:
        assert write_report(chapter, path=tmp_path / "page.html").stat().st_size < 3_000_000
