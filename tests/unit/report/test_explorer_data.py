"""What the explorer is given: cuts and sums over groups count right; what may be saved."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from equipoise import Labels, Scores, tune
from equipoise.errors import DataError
from equipoise.report import explorer as made
from equipoise.report.decide import explorer_view
from equipoise.report.explorer import Arm, Cuts, explorer_data, joint_steps, label_cuts

TRIANGLE = [(i, j) for i in range(4) for j in range(i, 4)]


def scores(width: int = 3, n: int = 500, part: str = "val", seed: int = 0, **more: Any) -> Scores:
    rng = np.random.default_rng(seed)
    y = (rng.random((n, width)) < np.linspace(0.02, 0.4, width)).astype(int)
    y[:3] = 1
    y[rng.random(y.shape) < 0.1] = -1
    z = (rng.normal(size=y.shape) + 1.5 * (y == 1) - 1).round(2)
    ids = [f"{part}{i}" for i in range(n)]
    names = [f"label {i}" for i in range(width)]
    groups = rng.integers(0, 40, n) if more.pop("grouped", False) else None
    labels = Labels.from_array(y, kind="multilabel", names=names, ids=ids, groups=groups)
    return Scores.from_arrays(labels, logits=z, split=part, **more)


def of_classes(n: int, width: int = 4) -> Scores:
    rng = np.random.default_rng(1)
    y = rng.integers(0, width, n)
    labels = Labels.from_array(y, kind="multiclass", names=[f"c{i}" for i in range(width)])
    logits = rng.normal(size=(n, width)) + 2 * np.eye(width)[y]
    return Scores.from_arrays(labels, logits=logits, split="val")


def numbers(text: str) -> list[int]:
    """Read base 128, the low digits first: a slow loop."""
    out, value, scale = [], 0, 1
    for byte in base64.b64decode(text):
        value += (byte & 127) * scale
        scale *= 128
        if byte < 128:
            out.append(value)
            value, scale = 0, 1
    return out


def test_cuts_flag_what_they_say_and_lie_below_every_positive() -> None:
    held = scores()
    rule = tune(held)
    odds, truth = rule.log_odds(held), held.require_labels().values
    for column, cuts in enumerate(label_cuts(Arm("", rule, held)).made):
        z, y = odds[:, column], truth[:, column]
        assert (np.diff(cuts.cut) < 0).all()
        for cut, tp, fp in zip(cuts.cut, cuts.tp, cuts.fp, strict=True):
            assert tp == ((z >= cut) & (y == 1)).sum()
            assert fp == ((z >= cut) & (y == 0)).sum()
        assert (cuts.tp[0], cuts.fp[0]) == (0, 0)
        assert (cuts.tp[-1], cuts.fp[-1]) == ((y == 1).sum(), (y == 0).sum())
        # No cut finds as many positives with fewer false alarms.
        for value in np.unique(z[y == 1]):
            at = int(np.searchsorted(cuts.tp, ((z >= value) & (y == 1)).sum()))
            assert cuts.fp[at] == ((z >= value) & (y == 0)).sum()


def test_where_positives_are_far_apart_a_ladder_of_cuts_stands_between() -> None:
    z = np.arange(10_000.0)
    positive = np.isin(z, [9_990, 10])
    cuts = Cuts.of(z, positive, 100, [])
    flagged = cuts.tp + cuts.fp
    assert cuts.cut.size > 60
    assert (flagged[2:] / flagged[1:-1]).max() < 2.1


def test_the_rule_s_own_cut_and_that_of_a_half_are_among_them() -> None:
    held = scores(seed=3)
    rule = tune(held)
    odds = rule.log_odds(held)
    known = held.require_labels().values >= 0
    found = label_cuts(Arm("", rule, held))
    for column, cuts in enumerate(found.made):
        for at, flags in (
            (found.tuned[column], odds[:, column] >= rule.thresholds[column]),
            (found.default[column], held.values[:, column] >= 0),
        ):
            said = odds[:, column] >= cuts.cut[at]
            np.testing.assert_array_equal(said[known[:, column]], flags[known[:, column]])


def test_what_travels_is_what_was_counted() -> None:
    held = scores()
    rule = tune(held)
    arm = explorer_data([Arm("none", rule, held)])["arms"][0]
    cuts = label_cuts(Arm("", rule, held)).made
    stored = np.frombuffer(base64.b64decode(arm["cut"]), "<f8")
    np.testing.assert_array_equal(stored, np.concatenate([c.cut for c in cuts]))
    assert arm["size"] == [c.cut.size for c in cuts]
    start = 0
    for c in cuts:
        for key, counts in (("tp", c.tp), ("fp", c.fp)):
            steps = numbers(arm[key])[start : start + c.cut.size]
            np.testing.assert_array_equal(np.cumsum(steps), counts)
        start += c.cut.size


def test_labels_are_gone_through_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    held = scores(width=7, grouped=True)
    rule = tune(held)
    whole = explorer_data([Arm("none", rule, held)])
    monkeypatch.setattr(made, "_BLOCK", 2)
    assert explorer_data([Arm("none", rule, held)]) == whole


def test_sums_over_groups_are_those_of_a_slow_loop() -> None:
    held = scores(grouped=True)
    rule = tune(held)
    groups = explorer_data([Arm("", rule, held)])["groups"]
    labels, odds = held.require_labels(), rule.log_odds(held)
    cuts = label_cuts(Arm("", rule, held)).made
    told, at, place = numbers(groups["sums"]), numbers(groups["at"]), 0
    for column, size in enumerate(groups["size"]):
        known = labels.values[:, column] >= 0
        assert groups["count"][column] == np.unique(labels.groups[known]).size
        for k in np.cumsum(at[place : place + size]):
            want = np.zeros(10)
            for group in np.unique(labels.groups[known]):
                rows = known & (labels.groups == group)
                yes = labels.values[rows, column] == 1
                flag = odds[rows, column] >= cuts[column].cut[k]
                held_here = [(yes & flag).sum(), (~yes & flag).sum(), yes.sum(), rows.sum()]
                want += [held_here[i] * held_here[j] for i, j in TRIANGLE]
            assert told[10 * place : 10 * place + 10] == want.astype(int).tolist()
            place += 1


def test_joint_scores_keep_every_decision_and_a_sample_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = of_classes(400)
    rule = tune(held)
    data = explorer_data([Arm("none", rule, held)])
    raw = np.frombuffer(base64.b64decode(data["values"]), np.uint8).reshape(-1, 3).astype(int)
    steps = (raw @ [1, 256, 65536]).reshape(400, 4)
    log_posterior = rule.log_odds(held)
    np.testing.assert_array_equal(steps, joint_steps(log_posterior))
    below = log_posterior.max(axis=1, keepdims=True) - log_posterior
    np.testing.assert_allclose(steps * data["step"], below, atol=data["step"] / 2 + 1e-12)
    assert data["sampled"] == 0
    assert numbers(data["truth"]) == held.require_labels().values.tolist()
    monkeypatch.setattr(made, "MOST_ROWS", 100)
    view = explorer_view([Arm("none", rule, held)], "a")
    assert view["rows_words"] == (
        "Looked at on a random sample of 100 of 400 validation rows of none."
    )
    assert len(numbers(explorer_data([Arm("none", rule, held)])["truth"])) == 100


@pytest.mark.parametrize(
    ("change", "locked"),
    [("nothing", ""), ("split", "test"), ("new", "part"), ("rows", "rows")],
)
def test_only_the_rows_a_rule_was_tuned_on_may_choose_its_cuts(change: str, locked: str) -> None:
    held = scores()
    rule = tune(held)
    shown = {
        "nothing": held,
        "split": replace(held, split="test"),
        "new": replace(held, split="train"),
        "rows": scores(part="oof", seed=4),
    }[change]
    assert explorer_data([Arm("none", rule, shown)])["locked"] == locked


def test_a_rule_of_another_prior_is_looked_at_there() -> None:
    held = scores()
    assert explorer_data([Arm("", tune(held, target_prior="uniform"), held)])["declared"]
    assert not explorer_data([Arm("", tune(held), held)])["declared"]


def test_what_does_not_fit_is_refused() -> None:
    held = scores()
    with pytest.raises(DataError, match="at least one"):
        explorer_data([])
    with pytest.raises(DataError, match="the same labels"):
        explorer_data([Arm("a", tune(held), held), Arm("b", tune(scores(2)), scores(2))])
    bare = replace(held, labels=None)
    with pytest.raises(DataError, match="carry labels"):
        explorer_data([Arm("a", tune(held), bare)])
