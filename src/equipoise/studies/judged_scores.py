"""Scores that are given: a rule from validation rows, judged on test rows, and the page of both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from equipoise.artifacts import DecisionRule, Evaluation, Scores
from equipoise.comparison import evaluate
from equipoise.decisions import tune
from equipoise.diagnosis import Material, diagnose
from equipoise.errors import UsageError
from equipoise.report import write_report
from equipoise.report.chapter import Chapter
from equipoise.studies.schema import Strict, explain_error

Share = Annotated[float, Field(gt=0, lt=1)]


class MadeScoresData(Strict):
    """Logits that are made here; see ``made_scores``."""

    source: Literal["made_scores"]
    rows: int = Field(2000, ge=100)
    test_rows: int = Field(2000, ge=100)
    prevalences: dict[str, Share] = Field(min_length=1)
    separation: float = Field(2.0, gt=0)
    seed: int = 0


class ScoreArchiveData(Strict):
    """Scores of a finished model in one .npz; see ``read_score_archive``."""

    source: Literal["score_archive"]
    path: str
    model: str
    score_kind: Literal["logits", "probabilities", "ranking"]


class RuleSpec(Strict):
    """How the rule is tuned; see :func:`equipoise.tune`."""

    objective: str | None = None
    target_prior: Literal["validation", "uniform"] | list[float] = "validation"
    calibration: Literal["auto", "formula", "offset", "platt", "isotonic"] = "auto"
    seed: int = 0


class ScoreStudy(Strict):
    """Everything that decides what becomes of scores that are given."""

    title: str = "Scores"
    data: MadeScoresData | ScoreArchiveData = Field(discriminator="source")
    rule: RuleSpec = RuleSpec()
    confidence_level: float = Field(0.95, gt=0, lt=1)


@dataclass(frozen=True, slots=True)
class Flagged:
    """What is found of one label on test rows, and how much is flagged for it.

    Args:
        name: The label.
        positives: Test rows that have it.
        share: The same as a share of the rows that are known.
        recall: At an output of 0.5, and by the rule; NaN without positives, and the first for
            scores that are no probabilities.
        flagged: Share of rows flagged, likewise.
    """

    name: str
    positives: int
    share: float
    recall: tuple[float, float]
    flagged: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What became of scores.

    Args:
        rule: Tuned on the validation rows.
        evaluation: Of the rule on the test rows.
        labels: What is found and flagged, label by label.
        report: The page.
    """

    rule: DecisionRule
    evaluation: Evaluation
    labels: tuple[Flagged, ...]
    report: Path


def parse_score_study(content: Any, name: str) -> ScoreStudy:
    """Check a study of scores.

    Raises:
        UsageError: one line that names the key, what was expected, and the closest known key.
    """
    try:
        return ScoreStudy.model_validate(content)
    except ValidationError as error:
        raise UsageError(explain_error(error, name, ScoreStudy)) from None


def read_scores_of(study: ScoreStudy) -> tuple[Scores, Scores]:
    """Return the validation and test scores that a study names."""
    spec = study.data
    if isinstance(spec, MadeScoresData):
        from equipoise.studies.made import made_scores

        return made_scores(**spec.model_dump(exclude={"source"}))
    from equipoise.studies.archives import read_score_archive

    return read_score_archive(spec.path, spec.model, spec.score_kind)


def judge_scores(study: ScoreStudy, *, out: str | Path) -> Judged:
    """Tune a rule on validation scores, judge it on test scores, and write both and a page.

    Args:
        study: From :func:`parse_score_study`.
        out: Folder of val.parquet, test.parquet, rule.json, evaluation.json and report.html, the
            files that `equipoise tune`, `evaluate` and `report` read and write.

    Raises:
        DataError: files that are not what the study says.
        UsageError: an objective that does not exist.
    """
    place, spec = Path(out), study.rule
    val, test = read_scores_of(study)
    rule = tune(
        val,
        objective=spec.objective,
        target_prior=spec.target_prior,
        calibration=spec.calibration,
        seed=spec.seed,
    )
    evaluation = evaluate(rule, test, confidence_level=study.confidence_level)
    place.mkdir(parents=True, exist_ok=True)
    val.save(place / "val.parquet")
    test.save(place / "test.parquet")
    rule.save(place / "rule.json")
    evaluation.save(place / "evaluation.json")
    # EQ402 is left out: the rule calibrates.
    told = diagnose(scores=test, more=Material(rule=rule), ignore=("EQ402", "EQ409"))
    chapter = Chapter(rule=rule, scores=test, findings=told, title=study.title)
    page = write_report([chapter], path=place / "report.html")
    return Judged(rule, evaluation, tuple(flagged_labels(rule, test)), page)


def flagged_labels(rule: DecisionRule, test: Scores) -> list[Flagged]:
    """Return what is found of each label and flagged for it, at an output of 0.5 and by a rule.

    Args:
        rule: Of labels.
        test: With the truth.
    """
    truth = test.require_labels().values
    made = rule.apply(test).predictions == 1
    cut = {"logits": 0.0, "probabilities": 0.5}.get(test.score_kind)
    plain = np.zeros_like(made) if cut is None else test.values > cut
    found = []
    for column, name in enumerate(test.names):
        known, hot = truth[:, column] >= 0, truth[:, column] == 1
        ways = [plain[:, column], made[:, column]]
        recall = [float(way[hot].mean()) if hot.any() else float("nan") for way in ways]
        share = [float(way[known].mean()) if known.any() else float("nan") for way in ways]
        if cut is None:
            recall[0] = share[0] = float("nan")
        positive = float(hot.sum() / known.sum()) if known.any() else float("nan")
        found.append(
            Flagged(name, int(hot.sum()), positive, (recall[0], recall[1]), (share[0], share[1]))
        )
    return found
