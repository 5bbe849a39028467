"""A chapter of the page: a comparison, its trainings, or a rule with scores; and reading them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equipoise._core.documents import read_text
from equipoise._core.files import is_set_aside
from equipoise._core.messages import say
from equipoise.artifacts import Comparison, DecisionRule, Finding, Scores, Trial
from equipoise.comparison.record import pool_folds, pooled_rule
from equipoise.decisions import tune
from equipoise.errors import DataError
from equipoise.report.explorer import Arm

# Arms that may be laid over another one, and cuts of all of them together.
MOST_ARMS, MOST_CUTS = 6, 60_000


Contents = Callable[[Sequence[str]], Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True, eq=False)
class Chapter:
    """What one chapter of the page is about; at least one of the first three is given.

    Args:
        comparison: Arms side by side.
        trials: Trainings, of each arm the first seed; of cross-fitted ones all its folds.
        rule: A decision rule, with ``scores``.
        scores: Labelled rows: those the rule was tuned on, so that cuts can be set by hand, or
            test rows to judge it on.
        findings: On the labels, or on what was asked.
        title: Heading; a comparison brings its own.
        place: Where the results lie, as a person would type it; for the commands of the page.
        contents: From ids of rows to what each holds, for the worst errors: "image" (a data
            address), "text", or names of columns with their values.
    """

    comparison: Comparison | None = None
    trials: Sequence[Trial] = ()
    rule: DecisionRule | None = None
    scores: Scores | None = None
    findings: Sequence[Finding] = ()
    title: str = ""
    place: str = ""
    contents: Contents | None = None

    def __post_init__(self) -> None:
        if self.comparison is None and not self.trials and self.rule is None:
            raise DataError(say("chapter", "hold a comparison, trials or a rule", "none of them"))
        if (self.rule is None) != (self.scores is None):
            do = "Give the scores that the rule is looked at with."
            raise DataError(say("rule and scores", "be given together", "one of them", do))

    @property
    def heading(self) -> str:
        """Its title."""
        if self.title or self.comparison is None:
            named = [t.method for t in self.trials] or ["A decision rule"]
            return self.title or ", ".join(dict.fromkeys(named))
        return self.comparison.title

    def of(self, method: str) -> list[Trial]:
        """Return the trials of a method."""
        return [trial for trial in self.trials if trial.method == method]

    @property
    def main(self) -> str:
        """The method that is looked at closely: what is recommended, else the first."""
        if self.comparison is not None:
            pick = self.comparison.recommended
            tuned = f"{self.comparison.baseline} + thresholds"
            return self.comparison.baseline if pick == tuned else pick
        return self.trials[0].method if self.trials else ""

    def decided(self, arms: Sequence[Arm]) -> tuple[DecisionRule, Scores] | None:
        """Return the main arm's rule and the test rows it is judged on, or None.

        Args:
            arms: What :meth:`arms` returned.
        """
        if self.rule is not None and self.scores is not None:
            return (self.rule, self.scores) if self.scores.split == "test" else None
        held = self.of(self.main)
        known = bool(arms) and arms[0].name == self.main
        if not held or not known or any("test" not in trial.scores for trial in held):
            return None
        if len(held) > 1:
            return pooled_rule(held, **self._how)
        return arms[0].rule, arms[0].rule.align(held[0].scores["test"])

    def arms(self) -> list[Arm]:
        """Return what a person may set cuts of: the main arm first, then what is laid over it."""
        if self.rule is not None and self.scores is not None:
            return [Arm(self.title or "the rule", self.rule, self.scores)]
        methods = list(dict.fromkeys([self.main, *(t.method for t in self.trials)]))
        if self.comparison is not None:
            methods.sort(key=lambda m: (m != self.main, m != self.comparison.baseline))  # type: ignore[union-attr]
        made: list[Arm] = []
        cuts = 0
        for method in methods[:MOST_ARMS]:
            held = self.of(method)
            if not held or any("val" not in t.scores for t in held):
                continue
            scores = held[0].scores["val"] if len(held) == 1 else pool_folds(held)
            labels = scores.require_labels()
            cuts += int(labels.counts.sum())
            if made and cuts > MOST_CUTS:
                break
            rule = tune(scores, seed=held[0].seed, **self._how)
            note = "" if self.comparison is None else "first seed"
            made.append(Arm(method, rule, scores, note))
        return made

    @property
    def _how(self) -> dict[str, Any]:
        """Return the objective and the target prior that the arms were compared with."""
        if self.comparison is None:
            return {"objective": None, "target_prior": "validation"}
        spec = self.comparison.provenance.get("study", {}).get("comparison", {})
        target = self.comparison.data.get("target_prior", "validation")
        return {"objective": spec.get("objective"), "target_prior": target}


def read_chapter(path: str | Path, findings: Sequence[Finding] = ()) -> Chapter:
    """Read a chapter from a folder of results, a comparison.json, or a folder of trials.

    Of every method the first seed is read; trainings on fewer rows or other samples are not.

    Args:
        path: A comparison.json, a folder that holds one, a trial's folder, or a folder of them.
        findings: To go with it, beside those that a comparison holds.

    Raises:
        DataError: nothing of the kind there.
    """
    place = Path(path)
    folder = place if place.is_dir() else place.parent
    file = place / "comparison.json" if place.is_dir() else place
    if (place / "trial.json").exists():
        return Chapter(trials=[Trial.load(place)], findings=findings, place=str(place))
    if file.exists() or not place.is_dir():
        found = Comparison.load(file)
        trials = _compared(found, folder / "trials")
        told = [*findings, *(f for f in found.findings if f not in findings)]
        return Chapter(found, trials, findings=told, place=str(folder))
    held_in = place / "trials" if (place / "trials").is_dir() else place
    trials = _first_trials(held_in)
    if not trials:
        do = "Name a folder that `equipoise compare` or `equipoise train` has written."
        expected = "hold a comparison.json or folders of trials"
        raise DataError(say(str(place), expected, "neither", do))
    return Chapter(trials=trials, findings=findings, title=place.name, place=str(held_in))


def _compared(comparison: Comparison, folder: Path) -> list[Trial]:
    """Return the trials of the first seed that a comparison stands on, as far as they still lie."""
    methods = [arm.method for arm in comparison.arms]
    named = comparison.provenance.get("trials")
    if not named:
        return [trial for trial in _first_trials(folder) if trial.method in methods]
    places = [folder / name for method in methods for name in named.get(method, ())]
    return [Trial.load(place) for place in places if (place / "trial.json").exists()]


def _first_trials(folder: Path) -> list[Trial]:
    """Return the trials of every method's first seed, in the order of their names.

    Of two that differ only in what else decided them, that which was written last.
    """
    found: dict[str, dict[int, dict[Any, Path]]] = {}
    for file in sorted(folder.glob("*/trial.json"), key=lambda f: (f.stat().st_mtime, f)):
        if is_set_aside(file.parent):
            continue
        body = json.loads(read_text(file))
        config = body.get("config", {})
        if {"share", "pool"} & set(config):
            continue
        seeds = found.setdefault(str(body.get("method")), {})
        folds = seeds.setdefault(int(body.get("seed", 0)), {})
        folds[config.get("fold")] = file.parent
    return [Trial.load(place) for method in sorted(found)
            for place in found[method][min(found[method])].values()]  # fmt: skip
