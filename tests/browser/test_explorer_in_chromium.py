"""The explorer in a real browser: its numbers are Python's, what it saves decides alike."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chromium import MARKS, opened
from equipoise import DecisionRule, Labels, Scores, evaluate, tune, write_report
from equipoise.decisions import Budget, Cost, Precision, Recall, TopK
from equipoise.decisions.certify import certified_cut, least_flagged, precision_lower_bound
from equipoise.errors import LeakageError
from equipoise.metrics import balanced_accuracy, operating_point, wilson_interval
from equipoise.metrics.sweep import Sweep
from equipoise.report.chapter import Chapter
from equipoise.report.explorer import STEP, Arm, joint_steps, label_cuts

pytestmark = MARKS
NUMBERS = ("found", "missed", "false_alarms", "passed", "precision", "recall", "f1", "flagged",
           "net_benefit", "cost")  # fmt: skip
NAMES = ("rare", "some", "<script>alert(1)</script>", "partly known")
POSITIVES = (5, 50, 1000, 400)
SETTINGS = [pytest.param(4), pytest.param(40, marks=pytest.mark.slow)]
# Puts values into controls, in their order, and reads the table of numbers.
APPLY = """(steps) => steps.map(({column, fields}) => {
  const root = document.querySelector('[data-explorer]');
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  root.querySelector(`[data-column="${column}"]`).click();
  for (const [name, value] of fields) {
    const control = part(name);
    if (value === 'click') { control.click(); continue; }
    control.value = value;
    control.dispatchEvent(new Event(control.tagName === 'SELECT' ? 'change' : 'input'));
  }
  const told = {};
  for (const row of part('table').tBodies[0].rows) {
    const {value, low, high} = row.cells[1].dataset;
    told[row.dataset.metric] = [value, low, high].map(Number);
  }
  return told;
})"""


def label_scores(part: str, seed: int, *, grouped: bool = False) -> Scores:
    rng, n = np.random.default_rng(seed), 6000
    y = np.zeros((n, len(NAMES)), dtype=np.int8)
    for column, count in enumerate(POSITIVES):
        y[rng.permutation(n)[:count], column] = 1
    prior = y.mean(axis=0)
    z = rng.normal(size=y.shape) + 1.8 * y + np.log(prior / (1 - prior)) - 1
    z[:, 2] = z[:, 2].round(1)  # ties
    y[rng.random(n) < 0.3, 3] = -1
    groups = rng.integers(0, 300, n) if grouped else None
    ids = [f"{part}{i}" for i in range(n)]
    labels = Labels.from_array(y, kind="multilabel", names=NAMES, ids=ids, groups=groups)
    return Scores.from_arrays(labels, logits=z, split=part)


def class_scores(part: str, seed: int) -> Scores:
    rng, n, width = np.random.default_rng(seed), 3000, 10
    share = np.geomspace(1, 0.03, width)
    y = rng.choice(width, n, p=share / share.sum())
    y[:width] = np.arange(width)
    z = rng.normal(size=(n, width)) + 2.2 * np.eye(width)[y]
    names = [f"class {i}" for i in range(width)]
    ids = [f"{part}{i}" for i in range(n)]
    labels = Labels.from_array(y, kind="multiclass", names=names, ids=ids)
    return Scores.from_arrays(labels, logits=z, split=part)


def page_of(folder: Path, rule: DecisionRule, scores: Scores) -> Path:
    chapter = Chapter(rule=rule, scores=scores, title="A rule")
    return write_report(chapter, path=folder / "report.html")


def logit(p: float) -> float:
    return math.log(p) - math.log1p(-p)


def wanted_cut(
    control: str,
    value: float,
    cuts: np.ndarray,
    tp: np.ndarray,
    fp: np.ndarray,
    share: float | None,
    shift: float,
    to_cut: Callable[[float], float],
) -> int | None:
    """Return which cut a control asks for, by looking at every one from strict to lax."""
    pos, neg = tp[-1], fp[-1]
    if control in ("cut", "cost"):
        at = to_cut(value) if control == "cut" else math.log(1 / value) - shift
        return int(np.argmin(np.abs(cuts - at)))
    share_of = pos / (pos + neg) if share is None else share
    right = share_of * tp / pos
    flagged = right + (1 - share_of) * fp / neg
    if control == "per":
        fits = np.flatnonzero(flagged <= value / 1000 + 1e-12)
    elif control == "rows":
        fits = np.flatnonzero(tp + fp <= value)
    elif control == "reached":
        held = [tp.astype(float), fp.astype(float), float(pos), float(neg)]
        fits = np.flatnonzero(Recall(at_least=value).utility(*held) == 1)[:1]
    elif control == "certified":
        fits = np.flatnonzero(precision_lower_bound(tp, np.full(tp.size, pos)) >= value)[:1]
    else:
        with np.errstate(invalid="ignore"):
            fits = np.flatnonzero((right / flagged >= value - 1e-9) & (tp + fp > 0))
    return int(fits[-1]) if fits.size else None


RANGES = {
    "cut": (0.001, 0.9), "cost": (0.2, 200.0), "per": (1.0, 400.0), "rows": (1.0, 3000.0),
    "reached": (0.1, 0.99), "certified": (0.3, 0.97), "precision": (0.05, 0.9),
}  # fmt: skip


def fields_of(control: str, value: float) -> list[tuple[str, Any]]:
    if control in ("per", "rows"):
        return [("unit", control), ("budget", value)]
    if control in ("reached", "certified"):
        return [("certainty", control), ("recall", value)]
    return [(control, value)]


def drawn(seed: int, width: int, each: int) -> list[dict[str, Any]]:
    """Return random settings: a column, a prevalence or none, a cost ratio, and one control."""
    rng = np.random.default_rng(seed)
    made = []
    for turn in range(each * len(RANGES)):
        control = list(RANGES)[turn % len(RANGES)]
        low, high = RANGES[control]
        value = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        share = float(rng.uniform(0.005, 0.6)) if rng.random() < 0.5 else None
        ratio = float(np.exp(rng.uniform(np.log(0.2), np.log(200))))
        made.append({"column": int(rng.integers(width)), "control": control, "value": value,
                     "share": share, "ratio": value if control == "cost" else ratio})  # fmt: skip
    return made


def steps_of(settings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "column": s["column"],
            "fields": [
                ("tuned", "click"),
                ("share", "" if s["share"] is None else 100 * s["share"]),
                ("cost", s["ratio"]),
                ("tuned", "click"),
                *fields_of(s["control"], s["value"]),
            ],
        }
        for s in settings
    ]


def assert_same(told: dict[str, list[float]], want: dict[str, Any], what: Any) -> None:
    for name in NUMBERS:
        value, low, high = told[name]
        found = want[name]
        np.testing.assert_allclose(value, found.value, rtol=0, atol=1e-9, err_msg=f"{name} {what}")
        np.testing.assert_allclose(
            [low, high], [found.low, found.high], rtol=0, atol=1e-6, err_msg=f"{name} {what}"
        )


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DecisionRule, Scores]:
    scores = label_scores("val", 1)
    rule = tune(scores)
    return page_of(tmp_path_factory.mktemp("labels"), rule, scores), rule, scores


@pytest.fixture(scope="module")
def classed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DecisionRule, Scores]:
    scores = class_scores("val", 2)
    rule = tune(scores)
    return page_of(tmp_path_factory.mktemp("classes"), rule, scores), rule, scores


@pytest.mark.parametrize("each", SETTINGS)
def test_every_control_of_labels_gives_the_numbers_of_python(
    labelled: tuple[Path, DecisionRule, Scores], each: int
) -> None:
    path, rule, scores = labelled
    truth, odds = scores.require_labels().values, rule.log_odds(scores)
    settings = drawn(3, len(NAMES), each)
    with opened(path) as page:
        answers = page.evaluate(APPLY, steps_of(settings))
        assert page.problems == []
    held = label_cuts(Arm("", rule, scores))
    counted = []
    for y, z, made in zip(truth.T, odds.T, held.made, strict=True):
        flags = z >= made.cut[:, None]
        counted.append([(flags & (y == side)).sum(axis=1) for side in (1, 0)])
    for setting, told in zip(settings, answers, strict=True):
        column, share = setting["column"], setting["share"]
        y, z = truth[:, column], odds[:, column]
        cuts, (tp, fp) = held.made[column].cut, counted[column]
        shift = 0.0 if share is None else logit(share) - logit(rule.prior[column])
        at = wanted_cut(setting["control"], setting["value"], cuts, tp, fp, share, shift,
                        lambda p, shift=shift: logit(p) - shift)  # fmt: skip
        flags = z >= (rule.thresholds[column] if at is None else cuts[at])
        want = operating_point(y, flags, costs=(1, setting["ratio"]), prevalence=share)
        assert_same(told, want, setting)


@pytest.mark.parametrize("each", SETTINGS)
def test_every_control_of_classes_gives_the_numbers_of_python(
    classed: tuple[Path, DecisionRule, Scores], each: int
) -> None:
    path, rule, scores = classed
    truth, log_posterior = scores.require_labels().values, rule.log_odds(scores)
    values = -STEP * joint_steps(log_posterior)
    start = np.asarray(rule.class_offset)
    assert (np.argmax(values + start, 1) == np.argmax(log_posterior + start, 1)).all()
    settings = drawn(4, len(rule.names), each)
    for setting in settings:
        if setting["control"] == "cut":  # an offset
            setting["value"] = math.log(setting["value"]) + 3
    with opened(path) as page:
        answers = page.evaluate(APPLY, steps_of(settings))
        assert page.problems == []
    for setting, told in zip(settings, answers, strict=True):
        c, share, offset = setting["column"], setting["share"], start.copy()
        others = np.delete(values + offset, c, axis=1).max(axis=1)
        lead, yes = values[:, c] - others, truth == c
        levels = np.unique(lead)[::-1]
        cuts = np.concatenate([[levels[0] + 1], (levels[:-1] + levels[1:]) / 2, [levels[-1] - 1]])
        tp = np.searchsorted(-np.sort(-lead[yes]) * -1, -cuts, side="right")
        fp = np.searchsorted(-np.sort(-lead[~yes]) * -1, -cuts, side="right")
        shift = 0.0 if share is None else logit(share) - logit(rule.prior[c])
        at = wanted_cut(setting["control"], setting["value"], cuts, tp, fp, share, shift,
                        lambda b: -b)  # fmt: skip
        if at is not None:
            offset[c] = -cuts[at]
        said = np.argmax(values + offset, axis=1) == c
        want = operating_point(yes.astype(int), said, costs=(1, setting["ratio"]), prevalence=share)
        assert_same(told, want, setting)


def test_in_groups_the_intervals_at_the_grid_are_those_of_python(tmp_path: Path) -> None:
    scores = label_scores("val", 5, grouped=True)
    rule = tune(scores)
    labels = scores.require_labels()
    path = page_of(tmp_path, rule, scores)
    cuts = label_cuts(Arm("", rule, scores)).made[1].cut
    grid = np.unique(np.linspace(0, cuts.size - 1, 64).round().astype(int))
    assert grid.size == min(64, cuts.size)
    odds = rule.log_odds(scores)[:, 1]
    rng = np.random.default_rng(6)
    settings = [
        {"column": 1, "control": "cut", "value": float(1 / (1 + np.exp(-cuts[at]))), "at": int(at),
         "ratio": float(rng.uniform(1, 30)), "share": None}
        for at in grid[2:-2:3]
    ]  # fmt: skip
    with opened(path) as page:
        answers = page.evaluate(APPLY, steps_of(settings))
    for setting, told in zip(settings, answers, strict=True):
        want = operating_point(labels.values[:, 1], odds >= cuts[setting["at"]],
                               costs=(1, setting["ratio"]), groups=labels.groups)  # fmt: skip
        assert_same(told, want, setting)


def saved(page: Any, place: Path) -> Path:
    with page.expect_download() as waiting:
        page.locator('[data-part="export"]').click()
    waiting.value.save_as(place)
    return place


def test_what_is_saved_decides_as_the_page_did(
    labelled: tuple[Path, DecisionRule, Scores], tmp_path: Path
) -> None:
    path, rule, scores = labelled
    cuts = label_cuts(Arm("", rule, scores)).made
    steps = [
        {"column": 0, "fields": [("cost", 50)]},
        {"column": 1, "fields": [("share", 2), ("certainty", "reached"), ("recall", 0.8)]},
        {"column": 2, "fields": [("unit", "per"), ("budget", 120)]},
    ]
    with opened(path) as page:
        told = page.evaluate(APPLY, steps)
        rule_file = saved(page, tmp_path / "rule.json")
        assert page.problems == []
    made = DecisionRule.load(rule_file)
    assert made.objective == "by_hand"
    assert set(made.notes) == {"cut set by hand"}
    assert made.tuned_on == dict(rule.tuned_on)
    assert made.claimed.size == made.cross_fitted.size == 0
    prior = rule.prior.copy()
    prior[1] = 0.02
    np.testing.assert_allclose(made.target_prior, prior, rtol=1e-12)
    assert made.thresholds[3] == rule.thresholds[3]  # not touched: not a digit of it
    flags = made.apply(scores).predictions
    truth = scores.require_labels().values
    for column, numbers in enumerate(told):
        known = truth[:, column] >= 0
        hits = (flags[known, column] == 1) & (truth[known, column] == 1)
        assert hits.sum() / (truth[:, column] == 1).sum() == pytest.approx(numbers["recall"][0])
    assert (flags[:, 2].mean()) <= 0.12
    # The same cuts through Python's own way give the same rule.
    shift = np.log(prior / (1 - prior)) - np.log(rule.prior / (1 - rule.prior))
    again = rule.set_by_hand(made.thresholds, target_prior=prior)
    np.testing.assert_allclose(made.prior_shift, again.prior_shift, atol=1e-12)
    assert abs(shift[0]) < 1e-12
    assert {k for k, v in made.to_dict().items() if v != again.to_dict()[k]} <= {
        "parameters", "target_prior", "prior", "prior_shift", "thresholds",
        "threshold_probabilities"}  # fmt: skip
    assert np.isin(made.thresholds[2], cuts[2].cut)
    # New rows: the rule judges, and refuses the rows it was made on.
    judged = evaluate(made, label_scores("test", 9))
    assert "expected_cost" in judged.per_label["rare"]
    with pytest.raises(LeakageError, match="the very rows"):
        evaluate(made, replace(scores, split="test"))


def test_saved_offsets_of_classes_decide_as_the_page_did(
    classed: tuple[Path, DecisionRule, Scores], tmp_path: Path
) -> None:
    path, _, scores = classed
    steps = [
        {"column": 9, "fields": [("certainty", "reached"), ("recall", 0.9)]},
        {"column": 7, "fields": [("share", 5), ("cost", 3)]},
    ]
    with opened(path) as page:
        told = page.evaluate(APPLY, steps)[-1]
        total = page.locator('[data-part="totals"] tr[data-metric="recall"] td').nth(1)
        balanced = float(total.get_attribute("data-value"))
        cell = page.locator('[data-part="totals"] tr[data-metric="accuracy"] td').nth(1)
        accuracy = [float(cell.get_attribute(f"data-{key}")) for key in ("value", "low", "high")]
        made = DecisionRule.load(saved(page, tmp_path / "rule.json"))
    decided = made.apply(scores).predictions
    truth = scores.require_labels().values
    assert balanced == pytest.approx(balanced_accuracy(truth, decided, num_classes=10), abs=1e-9)
    want = wilson_interval(int((decided == truth).sum()), truth.size)
    np.testing.assert_allclose(accuracy, [want.value, want.low, want.high], atol=1e-9)
    assert (decided[truth == 7] == 7).mean() == pytest.approx(told["recall"][0], abs=1e-9)
    assert made.target_prior[7] == pytest.approx(0.05)
    assert sum(made.target_prior) == pytest.approx(1)


def test_the_address_brings_back_what_was_set(labelled: tuple[Path, DecisionRule, Scores]) -> None:
    path, _, _ = labelled
    with opened(path) as page:
        page.evaluate(APPLY, [{"column": 2, "fields": [("share", 7.5), ("precision", 0.5)]}])
        page.locator('[data-part="search"]').fill("som")
        assert page.locator('[data-part="list"] button').all_text_contents() == ["some"]
        page.locator('[data-part="list"] button').click()
        page.locator('[data-part="cost"]').fill("12")
        page.wait_for_timeout(400)
        fragment = page.evaluate("location.hash")
        before = page.locator('[data-part="table"]').inner_text()
        rule = page.evaluate("document.querySelector('[data-part=label]').textContent")
        assert page.problems == []
    assert rule == "some"
    with opened(path, fragment) as page:
        assert page.locator('[data-part="table"]').inner_text() == before
        assert page.locator('[data-part="cost"]').input_value() == "12"
        page.locator('[data-column="2"]').click()
        assert page.locator('[data-part="share"]').input_value() == "7.5"
        assert page.locator('[data-part="precision"]').input_value() == "0.5"
        assert page.problems == []


def test_the_keyboard_moves_the_cut(labelled: tuple[Path, DecisionRule, Scores]) -> None:
    path, rule, scores = labelled
    with opened(path) as page:
        page.locator('[data-column="1"]').press("Enter")
        strip = page.locator('[data-part="strip"]')
        flagged = page.locator('[data-part="table"] tr[data-metric="flagged"] td').nth(1)
        start = float(flagged.get_attribute("data-value"))
        strip.focus()
        page.keyboard.press("ArrowLeft")
        lax = float(flagged.get_attribute("data-value"))
        page.keyboard.press("ArrowRight")
        assert float(flagged.get_attribute("data-value")) == start < lax
        page.keyboard.press("End")
        assert float(flagged.get_attribute("data-value")) == 0
        page.keyboard.press("Home")
        assert float(flagged.get_attribute("data-value")) == 1
        assert strip.get_attribute("aria-valuenow") == "0"
        assert page.problems == []
    assert start == pytest.approx((rule.apply(scores).predictions[:, 1] == 1).mean())


def test_dragging_the_strip_moves_the_cut(labelled: tuple[Path, DecisionRule, Scores]) -> None:
    with opened(labelled[0]) as page:
        page.locator('[data-column="2"]').click()
        strip = page.locator('[data-part="strip"]')
        strip.scroll_into_view_if_needed()
        box = strip.bounding_box()
        shares = []
        for at in (0.2, 0.5, 0.8):
            page.mouse.move(box["x"] + at * box["width"], box["y"] + 30)
            page.mouse.down()
            page.mouse.up()
            cell = page.locator('[data-part="table"] tr[data-metric="flagged"] td').nth(1)
            shares.append(float(cell.get_attribute("data-value")))
        assert shares[0] > shares[1] > shares[2]
        assert page.problems == []


def test_what_cannot_be_certified_says_how_many_are_lacking(
    labelled: tuple[Path, DecisionRule, Scores],
) -> None:
    with opened(labelled[0]) as page:
        step = {"column": 1, "fields": [("certainty", "certified"), ("recall", 0.95)]}
        page.evaluate(APPLY, [step])
        # 59 positives, all of them found, certify .95 at 95 %: 0.95^59 < 0.05 < 0.95^58.
        said = page.locator('[data-part="said"]').inner_text()
        assert said.startswith("Not to be had: 59 positives")
        assert "9 are lacking" in said
        assert page.locator(".explorer.fragile").count() == 0
        page.locator('[data-column="0"]').click()
        assert page.locator(".explorer.fragile").count() == 1
        assert "Fragile: 5 positives" in page.locator('[data-part="fragile"]').inner_text()


def test_all_labels_at_once(labelled: tuple[Path, DecisionRule, Scores], tmp_path: Path) -> None:
    path, _, scores = labelled
    truth = scores.require_labels().values
    with opened(path) as page:
        page.locator('input[value="all"]').check()
        page.locator('[data-part="budget"]').fill("90")
        cell = page.locator('[data-part="totals"] tr[data-metric="flagged"] td').nth(1)
        total = float(cell.get_attribute("data-value"))
        made = DecisionRule.load(saved(page, tmp_path / "rule.json"))
        page.locator('[data-part="cost"]').fill("10")
        cheap = DecisionRule.load(saved(page, tmp_path / "cost.json"))
        mean = page.locator('[data-part="totals"] tr[data-metric="recall"] td').nth(1)
        recall = [float(mean.get_attribute(f"data-{key}")) for key in ("value", "low", "high")]
        assert page.problems == []
    flags = made.apply(scores).predictions == 1
    known = truth >= 0
    shares = (flags & known).sum(axis=0) / known.sum(axis=0)
    assert total == pytest.approx(shares.sum())
    assert 0.08 < total <= 0.09
    # One log-odds for all, as near as the cuts allow; the rare label lies far below and keeps it.
    assert np.ptp(made.thresholds) < 0.7
    assert shares[0] == 0
    flags = cheap.apply(scores).predictions == 1
    each = [operating_point(truth[:, c], flags[:, c], costs=(1, 10))["recall"] for c in range(4)]
    want = [float(np.mean([getattr(e, key) for e in each])) for key in ("value", "low", "high")]
    np.testing.assert_allclose(recall, want, atol=1e-9)
    np.testing.assert_allclose(cheap.thresholds, math.log(1 / 10), atol=0.5)


@pytest.mark.parametrize(("split", "words"), [("test", "test rows"), ("oof", "other rows")])
def test_cuts_are_not_saved_from_other_rows(split: str, words: str, tmp_path: Path) -> None:
    rule = tune(label_scores("val", 1))
    path = page_of(tmp_path, rule, label_scores(split, 8))
    with opened(path) as page:
        assert page.locator('[data-part="export"]').count() == 0
        assert words in page.locator(".explorer .lead").first.inner_text()
        page.evaluate(APPLY, [{"column": 1, "fields": [("recall", 0.9)]}])
        assert page.problems == []


def test_a_label_that_looks_like_a_script_is_shown(
    labelled: tuple[Path, DecisionRule, Scores],
) -> None:
    with opened(labelled[0]) as page:
        page.locator('[data-column="2"]').click()
        assert page.locator('[data-part="label"]').inner_text() == "<script>alert(1)</script>"
        assert page.problems == []
        # The policy stands: a script that is put into the page does not run.
        page.evaluate("document.body.append(Object.assign(document.createElement('script'), "
                      "{textContent: 'window.ran = 1'}))")  # fmt: skip
        assert page.evaluate("window.ran === undefined")
        assert any("Content Security Policy" in text for text in page.problems)


def test_nothing_sticks_out_on_a_phone(
    labelled: tuple[Path, DecisionRule, Scores], classed: tuple[Path, DecisionRule, Scores]
) -> None:
    for path, _, _ in (labelled, classed):
        with opened(path, viewport={"width": 360, "height": 640}) as page:
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            sizes = page.evaluate(
                "[...document.querySelectorAll('.explorer svg')].map((svg) => "
                "11.5 * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width)"
            )
            assert min(sizes) >= 10
            assert page.problems == []


def test_the_stored_rule_is_plain_json(labelled: tuple[Path, DecisionRule, Scores]) -> None:
    with opened(labelled[0]) as page:
        body = json.loads(page.locator("#study-1-cuts").text_content())
    assert body["rule"]["rows"]["loose_ids"] == "ids"
    assert body["names"] == list(NAMES)


def odd_scores(part: str = "val") -> Scores:
    """Labels without positives, without negatives, without known rows, and one of two levels."""
    rng, n = np.random.default_rng(0), 200
    y = np.zeros((n, 5), dtype=np.int8)
    y[:, 1], y[:, 2] = 1, -1
    y[:30, 3] = y[10:50, 4] = 1
    z = rng.normal(size=y.shape) + y
    z[:, 3] = np.where(z[:, 3] > 0, 1.0, -1.0)
    names = ["no positives", "no negatives", "unknown", "two levels", "usual"]
    labels = Labels.from_array(y, kind="multilabel", names=names)
    return Scores.from_arrays(labels, logits=z, split=part)


OBJECTIVES = {
    "f1": "f1", "budget": Budget(0.3), "top_k": TopK(2), "recall": Recall(0.9),
    "precision": Precision(0.5),
}  # fmt: skip


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_odd_labels_and_rules_break_nothing(objective: str, tmp_path: Path) -> None:
    scores = odd_scores()
    rule = tune(scores, objective=OBJECTIVES[objective])
    steps = [
        {"column": column, "fields": fields}
        for column in range(5)
        for fields in ([("cut", 0.3)], [("recall", 0.9)], [("precision", 0.5)], [("share", 3)],
                       [("budget", 100)], [("cost", 9)], [("default", "click")])
    ]  # fmt: skip
    with opened(page_of(tmp_path, rule, scores)) as page:
        untouched = DecisionRule.load(saved(page, tmp_path / "untouched.json"))
        page.locator("details").evaluate_all("all => all.forEach((d) => { d.open = true; })")
        page.evaluate(APPLY, steps)
        page.locator('input[value="all"]').check()
        for name, value in (("budget", "200"), ("cost", "3"), ("cut", "0.4")):
            page.locator(f'[data-part="{name}"]').fill(value)
        made = DecisionRule.load(saved(page, tmp_path / "rule.json"))
        assert page.problems == []
    if rule.choice is None:
        np.testing.assert_array_equal(untouched.thresholds, rule.thresholds)
        np.testing.assert_array_equal(
            untouched.apply(scores).predictions, rule.apply(scores).predictions
        )
    assert made.choice is None
    assert np.isfinite(made.thresholds).all()


def test_classes_that_decide_by_costs_are_set_by_offsets(tmp_path: Path) -> None:
    scores = class_scores("val", 3)
    costs = 1.0 - np.eye(10)
    costs[9] *= 8
    rule = tune(scores, objective=Cost(costs))
    with opened(page_of(tmp_path, rule, scores)) as page:
        page.evaluate(APPLY, [{"column": 9, "fields": [("cost", 8)]}])
        made = DecisionRule.load(saved(page, tmp_path / "rule.json"))
        assert page.problems == []
    assert made.choice is None
    # Missing one class at eight times the price is an offset of log 8, to the nearest cut.
    same = made.apply(scores).predictions == rule.apply(scores).predictions
    assert same.mean() > 0.999


# Asks for a certified precision, and reads what is said of it beside the flagged rows.
CERTIFY = """(steps) => steps.map(({column, share, wanted}) => {
  const root = document.querySelector('[data-explorer]');
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const put = (name, value) => {
    part(name).value = value;
    part(name).dispatchEvent(new Event(name === 'surety' ? 'change' : 'input'));
  };
  root.querySelector(`[data-column="${column}"]`).click();
  part('tuned').click();
  put('share', share === null ? '' : 100 * share);
  put('surety', 'certified');
  put('precision', wanted);
  const said = part('said');
  const now = (name) => part('table').querySelector(`[data-metric=${name}] td + td`);
  const read = (name) => Number(now(name).dataset.value);
  return {said: said.textContent, bound: Number(said.dataset.bound), found: read('found'),
          alarms: read('false_alarms')};
})"""


def certified_points(
    tp: np.ndarray, flagged: np.ndarray, wanted: float, level: float
) -> np.ndarray:
    """Return which points a search certifies, by going from every start until one fails."""
    most = flagged[-1] / least_flagged(wanted, confidence_level=level)
    count = max(1, math.ceil(math.log2(max(most, 1.0) + 1e-12)) + 1)
    each = 1 - (1 - level) / count
    first = least_flagged(wanted, confidence_level=each)
    certified = np.zeros(tp.size, dtype=bool)
    for start in range(count):
        for at in range(tp.size):
            if flagged[at] < first * 2**start:
                continue
            if precision_lower_bound(tp[at], flagged[at], confidence_level=each) < wanted:
                break
            certified[at] = True
    return certified


def wanted_precisions(width: int, each: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(12)
    return [
        {"column": int(column), "wanted": float(rng.uniform(0.1, 0.9)),
         "share": float(rng.uniform(0.02, 0.4)) if turn % 2 else None}
        for column in range(width)
        for turn in range(each)
    ]  # fmt: skip


@pytest.mark.parametrize("each", [pytest.param(6), pytest.param(40, marks=pytest.mark.slow)])
def test_a_certified_precision_of_labels_is_that_of_python(
    labelled: tuple[Path, DecisionRule, Scores], each: int
) -> None:
    path, rule, scores = labelled
    truth, odds = scores.require_labels().values, rule.log_odds(scores)
    settings = wanted_precisions(len(NAMES), each)
    with opened(path) as page:
        answers = page.evaluate(CERTIFY, settings)
        assert page.problems == []
    held = label_cuts(Arm("", rule, scores)).made
    reached = 0
    for setting, told in zip(settings, answers, strict=True):
        column, share = setting["column"], setting["share"]
        known = truth[:, column] >= 0
        yes, z = truth[known, column] == 1, odds[known, column]
        order = np.argsort(-z, kind="stable")
        points = Sweep.from_sorted(z[order], yes[order])
        weights = (1.0, 1.0)
        if share is not None:
            weights = (share / yes.mean(), (1 - share) / (1 - yes.mean()))
        in_odds = setting["wanted"] / (1 - setting["wanted"]) * weights[1] / weights[0]
        wanted = in_odds / (1 + in_odds)
        flagged = points.tp + points.fp
        certified = certified_points(points.tp, flagged, wanted, 0.95)
        own = held[column]
        kept = [k for k in range(1, own.cut.size)
                if certified[np.searchsorted(flagged, own.tp[k] + own.fp[k])]]  # fmt: skip
        python = certified_cut(points, setting["wanted"], weights=weights)
        rows = np.array([known.sum(), known.sum()])
        if share is not None:
            rows = np.array([yes.sum() / share, (~yes).sum() / (1 - share)])
        counts = np.array([told["found"], told["alarms"]]) * rows
        if told["said"].startswith("Certified"):
            reached += 1
            hits, n = counts[0], counts.sum()
            want = precision_lower_bound(np.array([hits]), np.array([n]))[0]
            assert told["bound"] == pytest.approx(want, abs=1e-9)
            assert wanted <= told["bound"]
            # What Python flags holds what the page flags.
            assert n <= (z >= python).sum() + 1e-6
        if column == 2:
            continue  # ties: the page may be stricter
        at = max(kept) if kept else None
        assert told["said"].startswith("Certified" if kept else "Not to be had"), setting
        cut = rule.thresholds[column] if at is None else own.cut[at]
        want_counts = [(yes & (z >= cut)).sum(), (~yes & (z >= cut)).sum()]
        np.testing.assert_allclose(counts, want_counts, atol=1e-6, err_msg=str(setting))
        if kept:
            # Cuts between those of the page add false alarms alone, so that it finds as much as
            # Python; but where Python's run of tests lies between two of them, it has none of it.
            found = (yes & (z >= python)).sum()
            last = np.flatnonzero(own.tp + own.fp <= (z >= python).sum())[-1]
            assert counts[0] == pytest.approx(found, abs=1e-6) or (last != at and counts[0] < found)
    assert reached >= each


def test_a_precision_that_no_cut_certifies_says_how_many_flagged_positives_are_lacking(
    labelled: tuple[Path, DecisionRule, Scores],
) -> None:
    path, rule, scores = labelled
    step = {"column": 0, "share": None, "wanted": 0.9}
    with opened(path) as page:
        (told,) = page.evaluate(CERTIFY, [step])
        page.wait_for_timeout(300)
        fragment = page.evaluate("location.hash")
    own = label_cuts(Arm("", rule, scores)).made[0]
    count = math.ceil(math.log2(6000 / least_flagged(0.9)) + 1e-12) + 1
    level = 1 - 0.05 / count
    more = next(
        d for d in range(1, 200)
        if (precision_lower_bound(own.tp + d, own.tp + own.fp + d, confidence_level=level)
            >= 0.9).any()
    )  # fmt: skip
    assert f"flag {more} more positives" in told["said"]
    # The chance that 5 rare ones and so many more are right by luck is 0.9^n at best.
    assert more >= least_flagged(0.9, confidence_level=level) - 5
    # A link keeps what was meant.
    assert "precision%3A0.9%3Acertified" in fragment
    with opened(path, fragment) as page:
        assert page.locator('[data-part="surety"]').input_value() == "certified"


def test_a_certified_precision_of_a_class_is_that_of_python(
    classed: tuple[Path, DecisionRule, Scores],
) -> None:
    path, rule, scores = classed
    values = -STEP * joint_steps(rule.log_odds(scores)) + np.asarray(rule.class_offset)
    truth = scores.require_labels().values
    settings = [{"column": c, "wanted": w, "share": None} for c in (0, 4) for w in (0.5, 0.8, 0.97)]
    with opened(path) as page:
        answers = page.evaluate(CERTIFY, settings)
    for setting, told in zip(settings, answers, strict=True):
        c = setting["column"]
        lead = values[:, c] - np.delete(values, c, axis=1).max(axis=1)
        order = np.argsort(-lead, kind="stable")
        points = Sweep.from_sorted(lead[order], truth[order] == c)
        cut = certified_cut(points, setting["wanted"])
        assert told["said"].startswith("Certified" if np.isfinite(cut) else "Not to be had")
        flags = lead >= (cut if np.isfinite(cut) else 0.0)
        found, alarms = (flags & (truth == c)).mean(), (flags & (truth != c)).mean()
        assert told["found"] == pytest.approx(found, abs=1e-9), setting
        assert told["alarms"] == pytest.approx(alarms, abs=1e-9), setting
