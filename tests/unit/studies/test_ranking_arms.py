"""Arms whose outputs only rank, end to end beside the baseline: trials, verdicts, report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from equipoise import evaluate, tune, write_report
from equipoise.artifacts import Comparison, Trial
from equipoise.errors import NoEffectWarning
from equipoise.methods import METHODS
from equipoise.studies.run import Outcome, run_study
from equipoise.studies.schema import parse_study

# The engine of a study refuses to mix and to treat late: test_mixing_methods.py and
# test_stage_methods.py.
ARMS = [
    m.name
    for m in METHODS.values()
    if m.exactness.get("multilabel") == "none" and m.family == "loss"
]
CONTENT = {
    "title": "Ranking arms",
    "data": {
        "source": "digit_mosaics",
        "rows": 600,
        "test_rows": 300,
        "noise": 0.0,
        "blocks": 8,
        "test_blocks": 4,
    },
    "arms": ["none", "hill", *ARMS],
    "seeds": 2,
    "training": {"hidden": 0, "epochs": 12},
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Path]:
    out = tmp_path_factory.mktemp("ranking")
    # Dice over a batch is one less soft F1.
    with pytest.warns(NoEffectWarning, match="'dice' trains as 'soft_f_beta' does"):
        return run_study(parse_study(CONTENT), out=out), out


@pytest.fixture(scope="module")
def trials(outcome: tuple[Outcome, Path]) -> dict[str, list[Trial]]:
    """The trials of each method, by seed."""
    found: dict[str, list[Trial]] = {}
    for trial in map(Trial.load, sorted((outcome[1] / "trials").iterdir())):
        found.setdefault(trial.method, []).append(trial)
    return found


@pytest.fixture(scope="module")
def comparison(outcome: tuple[Outcome, Path]) -> Comparison:
    return outcome[0].comparison


def test_trials_on_disk_say_what_their_scores_are(trials: dict[str, list[Trial]]) -> None:
    assert set(trials) == {"none", "hill", *ARMS}
    for name, by_seed in trials.items():
        for scores in (trial.scores[part] for trial in by_seed for part in ("val", "test")):
            assert scores.score_kind == ("ranking" if name in ARMS else "logits")
            assert scores.has_probabilities == (name not in ARMS)


@pytest.mark.parametrize("name", ARMS)
def test_only_calibration_gives_them_probabilities(comparison: Comparison, name: str) -> None:
    arm = comparison.arm(name)
    assert arm.exactness == "none"
    for metric in ("log_loss_raw", "log_loss_formula"):
        assert arm.record[metric].is_missing
        assert arm.record[metric].reason == "this remedy's outputs are no probabilities"
    for metric in ("macro_ap", "macro_auroc", "default", "tuned", "log_loss_calibrated"):
        assert np.isfinite(arm.record[metric].value)
    none = comparison.arm("none").record["log_loss_calibrated"].value
    assert arm.record["log_loss_calibrated"].value == pytest.approx(none, abs=0.1)
    assert arm.gain is not None
    assert arm.gain.verdict
    assert arm.gain.total.value == pytest.approx(
        arm.gain.ranking_part.value + arm.gain.operating_part.value
    )


@pytest.mark.parametrize("name", ARMS)
def test_the_default_rule_says_yes_above_zero(
    trials: dict[str, list[Trial]], comparison: Comparison, name: str
) -> None:
    tests = [trial.scores["test"] for trial in trials[name]]
    shares = np.mean([(scores.values > 0).mean(axis=0) for scores in tests], axis=0)
    flagged = [comparison.arm(name).flagged[label][0] for label in comparison.names]
    np.testing.assert_allclose(flagged, shares)
    rule = tune(trials[name][0].scores["val"])
    assert rule.correction is None
    assert 0.0 < evaluate(rule, tests[0]).overall["macro"]["f1"].value <= 1.0


def test_the_report_and_the_saved_comparison_hold_them(
    comparison: Comparison, tmp_path: Path
) -> None:
    again = Comparison.load(comparison.save(tmp_path / "comparison.json"))
    for name in ARMS:
        assert again.arm(name).record["log_loss_raw"].is_missing
    page = write_report(again, [], path=tmp_path / "report.html").read_text(encoding="utf-8")
    for name in ARMS:
        assert name in page
    assert "this remedy&#39;s outputs are no probabilities" in page
