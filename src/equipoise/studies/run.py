"""Run a study: train what its plan lacks, under locks, choose settings, and compare all arms."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from equipoise._core.extras import names_extras
from equipoise._core.files import is_set_aside
from equipoise._core.fingerprint import fingerprint_config
from equipoise._core.locks import Locks
from equipoise._core.logistic import one_vs_rest
from equipoise._core.messages import counted, listed, say
from equipoise._core.progress import Progress
from equipoise.artifacts import Comparison, Finding, Trial
from equipoise.artifacts.finding import in_order
from equipoise.comparison import Contest
from equipoise.comparison.gain import Race
from equipoise.decisions import tune
from equipoise.diagnosis import Material, diagnose
from equipoise.diagnosis._registry import finding
from equipoise.errors import DataError, SchemaVersionError, TrainingError, UsageError
from equipoise.metrics import average_precision, roc_auc
from equipoise.studies.engine import Batch, Plan, Report, is_done, using_threads
from equipoise.studies.families import (
    Choice,
    choose,
    first_round,
    on_model,
    require_models,
    simplest,
)
from equipoise.studies.plan import make_plan, require_places, shared_threads
from equipoise.studies.processes import in_processes, on_ray
from equipoise.studies.rows import split_findings
from equipoise.studies.schema import ComparisonSpec, Job, Study

_WORDS = {"macro_ap": "macro AP", "macro_auroc": "macro AUROC", "tuned": "the tuned rule"}
_NAMES = {"macro_ap": "macro AP", "macro_auroc": "macro AUROC", "tuned": "tuned rule, cross-fitted"}


def metric_name(trial: Trial, spec: ComparisonSpec) -> str:
    """Return what :func:`setting_value` measures, in words."""
    if _is_selection(trial, spec):
        return str(trial.selection["metric"])
    return f"{_NAMES[spec.primary or '']} on validation rows"


def setting_value(trial: Trial, spec: ComparisonSpec) -> float:
    """Return how good a trial is on its validation rows, by the primary metric of the comparison.

    Where that is the one that chose the epoch, as by default, it is its value; otherwise it is
    computed from the validation scores, the tuned rule cross-fitted. Test scores are not read.
    """
    if _is_selection(trial, spec):
        return float(trial.selection["value"])
    val = trial.scores["val"]
    labels = val.require_labels()
    if spec.primary == "tuned":
        rule = tune(val, objective=spec.objective, target_prior=spec.target_prior, seed=trial.seed)
        crossed = rule.cross_fitted[np.isfinite(rule.cross_fitted)]
        return float(crossed.mean()) if crossed.size else float("nan")
    hot, values = labels.one_hot(), val.values
    if labels.kind == "multiclass":
        values = one_vs_rest(val.log_odds() if val.has_probabilities else values)
    usable = [c for c in range(hot.shape[1]) if {0, 1} <= set(hot[:, c].tolist())]
    metric = average_precision if spec.primary == "macro_ap" else roc_auc
    if not usable:
        return float("nan")
    return float(np.mean(metric(hot[:, usable], values[:, usable])))


def _is_selection(trial: Trial, spec: ComparisonSpec) -> bool:
    kind = trial.scores["val"].require_labels().kind
    usual = "macro_ap" if kind == "multilabel" else "tuned"
    return spec.primary in (None, usual)


def best_of(trials: Sequence[Trial], spec: ComparisonSpec) -> int:
    """Return the position of the best trial; the first of equals, or where none has a value."""
    values = np.array([setting_value(trial, spec) for trial in trials])
    return 0 if np.isnan(values).all() else int(np.nanargmax(values))


POLL_SECONDS = 0.5
_LONG_TAIL, _MANY_STEPS = 20.0, 10_000
_IN_TIME = 8
# How many trainings of a batch were done; None where another runner is at it.
Answers = Iterator[tuple[Batch, int | None]]
Runner = Callable[[Sequence[Batch]], Answers]


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What came of a study.

    Args:
        comparison: Arms side by side.
        findings: On the labels.
        trained: Trainings that were done here.
        reused: Trainings that were found done.
    """

    comparison: Comparison
    findings: tuple[Finding, ...]
    trained: int
    reused: int


@names_extras()
def run_study(
    study: Study,
    *,
    out: str | Path,
    processes: int = 1,
    cluster: str | None = None,
    allow_code: bool = False,
    progress: Progress | None = None,
    max_time: float | None = None,
    command: str = "",
) -> Outcome:
    """Train what is not trained yet and compare all arms.

    With ``seeds: auto`` arms are looked at after 5, 8, 13 and 20 seeds: what a look settles is
    trained no further.

    Several processes may run the same study in one folder: each trial is trained by one of them,
    and all return the same comparison. Without tuning, trials are trained and scored on test rows
    at once and stand in ``out/trials``. With tuning, every setting is trained without test rows and
    stands in ``out/candidates``; the best on validation rows is then scored on the test rows and
    stands in ``out/trials``.

    Args:
        study: From :func:`equipoise.load_study`.
        out: Folder of the results; what is finished there is used again, and a network that was
            stopped is gone on with.
        processes: Whole networks that are trained at once on this machine; each has GPUs of its own
            where there are any.
        cluster: "ray://HOST:PORT", "auto" or "local" to train whole networks on Ray; the folder
            must be one that all machines see.
        allow_code: Whether arms and networks given as "module:callable" may run.
        progress: Called with (what, done, in all).
        max_time: Seconds after which no training is begun; the seeds that are finished count.
        command: How the study was started, for the provenance.

    Returns:
        The comparison, the findings on the training labels, and how many trials were trained here
        and how many were found finished.

    Raises:
        UsageError: a grid that does not fit its method, more settings than an arm has, several
            processes for heads, or more than there are GPUs for.
        TrainingError: the baseline's loss is no longer finite; the message names seed and epoch. Of
            another arm it is said in a finding (EQ415), and the arm is left out.
        MissingExtraError: ``cluster`` without Ray.

    Example:
        >>> import tempfile
        >>> from equipoise.studies.schema import parse_study
        >>> data = {"source": "digit_mosaics", "rows": 300, "test_rows": 200, "blocks": 8}
        >>> data |= {"test_blocks": 4}
        >>> budget = {"hidden": 0, "epochs": 2}
        >>> content = {"data": data, "arms": ["none", "pos_weight"], "training": budget}
        >>> tuned = parse_study({**content, "seeds": 2, "tuning": {"lr": [0.001, 0.01]}})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     first, again = (run_study(tuned, out=folder) for _ in range(2))
        >>> (first.trained, first.reused), (again.trained, again.reused)
        ((16, 0), (0, 16))
    """
    require_places(study, processes, cluster)
    started, place = time.perf_counter(), Path(out)
    how: dict[str, Any] = {
        "cache": place / "features", "allow_code": allow_code, "progress": progress,
        "threads": shared_threads(study, place, processes, cluster),
    }  # fmt: skip
    until = None if max_time is None else time.monotonic() + max_time
    chosen, before = None, 0
    if study.models:
        plan, chosen, before = _choose_model(study, place, how, until)
        study = plan.study
    else:
        plan = make_plan(study, **how)
    elsewhere = None
    if processes > 1 or cluster is not None:
        elsewhere = _elsewhere(plan, place.resolve(), processes, cluster, allow_code)
    settings = study.comparison
    contest = Contest(
        references=study.references,
        primary=settings.primary,
        objective=settings.objective,
        target_prior=settings.target_prior,
        rope=settings.rope,
        confidence_level=settings.confidence_level,
        looks=study.looks,
    )
    if until is not None:
        plan = replace(plan, at_once=_IN_TIME)  # what is begun is finished: the less, the better
    run = _Run(plan, place, contest, progress, elsewhere, until)
    if not run.beside("pool"):
        expected = "leave time for the samples that are asked about"
        raise UsageError(say("max_time", expected, max_time))
    trials = run.all_seeds() if study.looks is None else run.look_by_look()
    run.beside("share")
    trained = run.trained + before
    if progress is not None:
        progress("comparing", 0, 1)
    provenance = {
        "study": study.model_dump(mode="json", exclude_none=True),
        "training": plan.engine.budget,
        "settings_per_arm": plan.per_trial,
        "threads": plan.threads,
        **plan.engine.provenance,
        "data": plan.data.description,
        "split_fingerprints": _fingerprints(plan, trials),
        "trials": _first_seeds(trials),
        "command": command,
        "seconds": round(time.perf_counter() - started, 1),
        **_chosen(plan, trials),
        **({} if chosen is None else {"models": chosen.to_dict()}),
        **({"columns": plan.data.table.lines()} if plan.data.columns else {}),
        "versions": _versions(),
    }
    result = contest.result(title=study.title, provenance=provenance)
    if chosen is not None:
        result = replace(result, summary=(*result.summary, *_model_words(study, chosen, result)))
    if progress is not None:
        progress("comparing", 1, 1)
    rows = np.concatenate([plan.splits.first.train, plan.splits.first.val])
    doubts = _doubts(plan, [trial for trial in trials if trial.method == result.baseline])
    doubts += [_failure(arm, reason) for arm, reason in run.failed.items()]
    doubts += [] if chosen is None else _refusals(chosen)
    result = replace(result, findings=tuple(in_order([*result.findings, *doubts])))
    findings = [
        *result.findings,
        *split_findings(plan.data, plan.splits.first),
        *(_leaks(plan) if chosen is not None else ()),
        *diagnose(plan.data.labels[rows]),
    ]
    return Outcome(result, tuple(findings), trained, max(run.reused - before, 0))


def _choose_model(
    study: Study, place: Path, how: dict[str, Any], until: float | None
) -> tuple[Plan, Choice, int]:
    """Compare untreated models on validation rows.

    Returns:
        The plan of remedies on the best, why it is that, and how many models were fitted.
    """
    require_models(study)
    first = make_plan(first_round(study), **how)
    spec, progress = study.comparison, how["progress"]
    if progress is not None and first.data.table.summary:
        progress(first.data.table.summary, 0, 0)
    for told in _leaks(first):
        if progress is not None:
            progress(f"{told.code} {told.title}: {told.message}", 0, 0)
    try:
        trials, trained = train_missing(first, place, progress, until=until)
    except _OutOfTime as stop:
        done = len(first.jobs) - len(first.missing(place))
        got = f"{done} of {len(first.jobs)} trainings of untreated models in it"
        do = "What is finished is kept: run again to go on."
        expected = "leave time to choose a model"
        raise UsageError(say("max_time", expected, got, do)) from stop
    values = [_unflattered(trial, spec) for trial in trials]
    chosen = choose(first, trials, values, metric_name(trials[0], spec))
    train = first.data.labels[first.splits.first.train]
    placed, refused = on_model(study, chosen.name, train)
    plan = make_plan(placed, **how, data=first.data)
    _adopt(first, plan, place, chosen.name)
    if progress is not None:
        values_of = ", ".join(f"{name} {value:.3f}" for name, value in chosen.values.items())
        progress(f"{chosen.metric}: {values_of}; remedies on {chosen.name}", 0, 0)
        for arm, reason in refused.items():
            progress(f"{arm} is left out: {reason}", 0, 0)
    return plan, replace(chosen, left_out=refused), trained


_AROUND = 3


def _unflattered(trial: Trial, spec: ComparisonSpec) -> float:
    """Return how good a model is on validation rows, as if they had not chosen its epoch.

    The best epoch of many is good by luck, too, where other models choose none: the mean of the
    three before it and the three after stands for it.
    """
    history = [row.get("val_metric", float("nan")) for row in trial.history]
    if len(history) < 2 or not _is_selection(trial, spec):
        return setting_value(trial, spec)
    best = int(np.nanargmax(history)) if np.isfinite(history).any() else 0
    near = [*history[max(0, best - _AROUND) : best], *history[best + 1 : best + 1 + _AROUND]]
    return float(np.nanmean(near)) if np.isfinite(near).any() else setting_value(trial, spec)


def _first_seeds(trials: Sequence[Trial]) -> dict[str, list[str]]:
    """Return the folders of each method's first seed: a page may look into them."""
    first = min(trial.seed for trial in trials)
    found: dict[str, list[str]] = {}
    for trial in trials:
        if trial.seed == first:
            found.setdefault(trial.method, []).append(trial.folder_name)
    return found


def _leaks(plan: Plan) -> list[Finding]:
    """Return EQ117 where columns of a table give the label away."""
    table, split = plan.data.table, plan.splits.first
    rows = np.concatenate([split.train, split.val])
    columns = {name: values[rows] for name, values in table.by_name.items()}
    ids = {name: values[rows] for name, values in plan.data.ids.items()}
    material = Material(labels=plan.data.labels[rows], columns=columns, ids=ids)
    return [found for found in diagnose(more=material) if found.code == "EQ117"]


def _adopt(first: Plan, plan: Plan, place: Path, name: str) -> None:
    """Write the trials of untreated models under the names that they have in a plan."""
    locks = Locks(place / "locks")
    named = {str(arm.model): arm for arm in first.study.arms}
    settings = {job.arm.label: job for job in first.jobs}
    for job in plan.jobs:
        kind = name if job.arm.label == "none" else job.arm.model
        if kind is None or job.arm.method != "none" or kind not in named or job.share != 1:
            continue
        other = replace(job, arm=named[kind])
        if other.arm.label not in settings or other.arm.label == job.arm.label:
            continue
        source = first.root(place) / first.folder(other)
        target = plan.root(place) / plan.folder(job)
        with locks.released():
            if not is_done(source) or is_done(target) or not locks.claim(plan.folder(job)):
                continue
            engine = plan.engine_of(job)
            own = replace(Trial.load(source), method=job.arm.label, config=engine.config(job))
            engine.copy(own, source, plan.root(place))


def _model_words(study: Study, chosen: Choice, result: Comparison) -> list[str]:
    """Say what the model bought, beside what the remedies did."""
    plain = simplest(study, chosen.name)
    arm = next((a for a in result.arms if a.method == plain and a.gain is not None), None)
    if arm is None or arm.gain is None:
        return []
    shown, metric = arm.gain.shown, _WORDS.get(result.primary, result.primary)
    spread = f" ({-shown.high:+.3f} to {-shown.low:+.3f})" if np.isfinite(shown.low) else ""
    bought = f"{-shown.value:+.3f}{spread}"
    pair = f"{chosen.name} over {plain}, untreated both"
    return [f"What the model bought: {pair}, {bought} in {metric}."]


class _Run:
    """One run of a study: what is trained, and what is added to the comparison.

    Args:
        plan: What there is to do.
        place: Folder of the results.
        contest: What judges the trials.
        progress: Called with (what, done, in all).
        elsewhere: What trains in other processes; None trains here.
        until: Time of the monotonic clock after which nothing is begun.
    """

    def __init__(
        self,
        plan: Plan,
        place: Path,
        contest: Contest,
        progress: Progress | None,
        elsewhere: Runner | None,
        until: float | None,
    ) -> None:
        self.plan, self.place, self.contest = plan, place, contest
        self.progress, self.elsewhere, self.until = progress, elsewhere, until
        self.trained = 0
        self._asked: list[Job] = []
        self.failed: dict[str, str] = {}

    @property
    def reused(self) -> int:
        """Trainings that were found done, or that another arm's stand for."""
        asked = [job for job in self._asked if job.arm.label not in self.failed]
        return max(len(asked) - self.trained, 0)

    def beside(self, kind: str) -> bool:
        """Train what is no part of the comparison itself; return whether there was time for it.

        Args:
            kind: "share" for the forecast, "pool" for the error of another sample.
        """
        jobs = [job for job in self.plan.more if (job.pool is None) == (kind == "share")]
        jobs = [job for job in jobs if job.arm.label not in self.failed]
        trials = self._train(jobs) if jobs else []
        self.contest.add(trials or [])
        return trials is not None

    def all_seeds(self) -> list[Trial]:
        """Train every seed; where time runs out, those that all arms have finished count."""
        trials = self._train(self.plan.jobs)
        if trials is None:
            trials = self._in_time(self.plan.jobs, {job.arm.label for job in self.plan.jobs})
        self.contest.add(trials)
        return trials

    def look_by_look(self) -> list[Trial]:
        """Train what no look has settled, until all is, or the maximum or the time is reached."""
        waiting = {job.arm.label for job in self.plan.jobs}
        wanted, said = (self.plan.study.looks or (0,))[0], ""
        every: list[Trial] = []
        seen: set[tuple[str, int]] = set()
        while True:
            jobs = [
                job for job in self.plan.jobs
                if job.seed < wanted and job.arm.label in waiting
                and (job.arm.label, job.seed) not in seen
            ]  # fmt: skip
            trials = self._train(jobs)
            in_time = trials is not None
            if trials is None:
                trials = self._in_time(jobs, waiting)
            seen |= {(trial.method, trial.seed) for trial in trials}
            every += trials
            self.contest.add(trials)
            standing = self.contest.standing()
            if not in_time or not standing.open:
                return every
            waiting, wanted = {*standing.open, self.contest.baseline}, standing.wanted
            told = settled_words(standing)
            if told != said:
                said = told
                self._say(f"after {counted(max(s for _, s in seen) + 1, 'seed')}: {told}")

    def _train(self, jobs: Sequence[Job]) -> list[Trial] | None:
        """Train what is missing of some jobs; return their trials, or None where time ran out."""
        self._asked += jobs
        try:
            trials, trained = train_missing(
                self.plan, self.place, self.progress, self.elsewhere,
                jobs=jobs, until=self.until, failed=self.failed,
            )  # fmt: skip
        except _OutOfTime as stop:
            self.trained += stop.trained
            return None
        self.trained += trained
        return trials

    def _say(self, text: str) -> None:
        if self.progress is not None:
            self.progress(text, 0, 0)

    def _in_time(self, jobs: Sequence[Job], names: Collection[str]) -> list[Trial]:
        """Return the trials of the seeds that all of some arms have finished."""
        seeds = min(self._finished(name) for name in names if name not in self.failed)
        if seeds < 1:
            done = len(self.plan.jobs) - len(self.plan.missing(self.place))
            expected = "leave time for one seed of every arm"
            do = "What is finished is kept: run again to go on."
            got = f"{done} of {len(self.plan.jobs)} trainings in it"
            raise UsageError(say("max_time", expected, got, do))
        self._say(f"stopped by the time limit after {counted(seeds, 'seed')}; run again to go on")
        wanted = [j for j in jobs if j.seed < seeds and j.arm.label not in self.failed]
        return [_final(self.plan, choice, self.place) for choice in self.plan.choices(wanted)]

    def _finished(self, arm: str) -> int:
        """Return how many seeds of an arm are finished, from the first on."""
        root, seed = self.plan.root(self.place), 0
        while any(job.seed == seed for job in self.plan.jobs if job.arm.label == arm):
            own = [j for j in self.plan.jobs if j.arm.label == arm and j.seed == seed]
            if not all(is_done(root / self.plan.folder(job)) for job in own):
                break
            seed += 1
        return seed


def settled_words(standing: Race) -> str:
    """Return which arms are settled, and how, and which go on."""
    settled = [f"{m} {v.verdict}" for m, v in standing.verdicts.items()
               if m not in standing.open and not m.endswith(" + thresholds")]  # fmt: skip
    rest = [m for m in standing.open if not m.endswith(" + thresholds")]
    return f"{', '.join(settled) or 'nothing'} settled; {len(rest)} go on to {standing.wanted}"


class _OutOfTime(Exception):  # noqa: N818  # no error: a limit that was asked for
    """The time is up; ``trained`` were done before."""

    def __init__(self, trained: int) -> None:
        super().__init__()
        self.trained = trained


def train_missing(
    plan: Plan,
    out: str | Path,
    progress: Progress | None = None,
    elsewhere: Runner | None = None,
    *,
    jobs: Sequence[Job] | None = None,
    until: float | None = None,
    failed: dict[str, str] | None = None,
) -> tuple[list[Trial], int]:
    """Train what is missing and return the trial of each arm, seed and fold, and how many were.

    Args:
        plan: What to do.
        out: Folder of the results; several runners may work on it at once.
        progress: Called with (what, done, in all).
        elsewhere: What trains batches in other processes; None trains them here, one by one.
        jobs: Of the plan; None for all.
        until: Time of the monotonic clock after which nothing is begun.
        failed: Arms that could not be trained, with the reason: they are left out, and more are
            added. None raises.

    Raises:
        TrainingError: the baseline, or any arm where failures are not taken down.
        _OutOfTime: it was not all done in time.
    """
    place, trained = Path(out), 0
    wanted = list(plan.jobs if jobs is None else jobs)
    with using_threads(plan.threads):
        while True:
            trained += _train(plan, wanted, place, progress, elsewhere, until, failed)
            left = [job for job in wanted if job.arm.label not in (failed or ())]
            try:
                return [_final(plan, choice, place) for choice in plan.choices(left)], trained
            except SchemaVersionError:
                raise
            except DataError:
                if not _set_aside_damaged(plan, place):
                    raise


def _set_aside_damaged(plan: Plan, out: Path) -> bool:
    """Whether any trial of the plan could not be read; it is then to be trained again."""
    folders = [plan.root(out) / plan.folder(job) for job in (*plan.jobs, *plan.more)]
    if plan.is_tuned:
        folders += [path for path in (out / "trials").glob("*") if not is_set_aside(path)]
    found = [path for path in folders if is_done(path) and Trial.finished(path) is None]
    return bool(found)


def _train(
    plan: Plan,
    jobs: Sequence[Job],
    out: Path,
    progress: Progress | None,
    elsewhere: Runner | None,
    until: float | None,
    failed: dict[str, str] | None,
) -> int:
    """Train until nothing is missing, and return how many were trained here."""
    todo = _todo(plan, out, jobs, failed)
    total, trained = len(todo), 0
    run = partial(_here, plan, out, jobs, total, progress, failed)
    if elsewhere is not None:
        run = partial(_there, plan, out, elsewhere, failed)
    while todo:
        known = len(failed or ())
        moved = _take_over(plan, todo, out)
        batches = plan.batches([job for job in todo if job not in plan.twins], out)
        if batches and until is not None and time.monotonic() > until:
            raise _OutOfTime(trained)
        for _, new in run(batches) if batches else ():
            moved |= new is not None
            trained += new or 0
            if progress is not None:
                progress("training", total - len(plan.missing(out, jobs)), total)
            if until is not None and time.monotonic() > until:
                break
        before, todo = len(failed or ()), _todo(plan, out, jobs, failed)
        if todo and not moved and before == known:
            if progress is not None:
                progress("waiting for another runner", total - len(todo), total)
            time.sleep(POLL_SECONDS)
    return trained


def _take_over(plan: Plan, todo: Sequence[Job], out: Path) -> bool:
    """Write the trials of jobs whose twins are trained: the twin's, under their own names."""
    root, locks, moved = plan.root(out), Locks(out / "locks"), False
    for job in todo:
        twin = plan.twins.get(job)
        if twin is None or not is_done(root / plan.folder(twin)):
            continue
        with locks.released():
            if not locks.claim(plan.folder(job)):
                continue
            moved = True
            if is_done(root / plan.folder(job)):
                continue
            source = root / plan.folder(twin)
            trial = Trial.load(source)
            own = replace(
                trial,
                method=job.arm.label,
                config=plan.engine_of(job).config(job),
                selection={**trial.selection, "trained_as": twin.arm.label},
            )
            plan.engine_of(job).copy(own, source, root)
    return moved


def _todo(
    plan: Plan, out: Path, jobs: Sequence[Job], failed: Mapping[str, str] | None
) -> list[Job]:
    """Return what is missing of arms that have not failed."""
    return [job for job in plan.missing(out, jobs) if job.arm.label not in (failed or ())]


def _there(
    plan: Plan,
    out: Path,
    elsewhere: Runner,
    failed: dict[str, str] | None,
    batches: Sequence[Batch],
) -> Answers:
    """Train batches in other processes; arms of which one fails are taken down."""
    try:
        yield from elsewhere(batches)
    except TrainingError as error:
        jobs = [job for batch in batches for job in batch.jobs]
        arms = {job.arm.label for job in plan.missing(out, jobs) if str(job) in str(error)}
        if failed is None or not arms or "none" in arms:
            raise
        failed |= dict.fromkeys(arms, str(error))


def _attempt(
    plan: Plan, batch: Batch, out: Path, report: Report | None, failed: dict[str, str] | None
) -> int | None:
    """Train a batch; where an arm in it fails, the others without it."""
    try:
        return train_batch(plan, batch, out, report)
    except TrainingError as error:
        arms = list(dict.fromkeys(job.arm.label for job in batch.jobs))
        if failed is None or arms == ["none"]:
            raise
        if len(arms) == 1:
            failed.setdefault(arms[0], str(error))
            return 0
    done = 0
    for arm in arms:
        own = [job for job in batch.jobs if job.arm.label == arm]
        done += _attempt(plan, Batch(f"{batch.name}-{arm}", own), out, report, failed) or 0
    return done


def _here(
    plan: Plan,
    out: Path,
    jobs: Sequence[Job],
    total: int,
    progress: Progress | None,
    failed: dict[str, str] | None,
    batches: Sequence[Batch],
) -> Answers:
    """Train batches one after the other in this process."""
    for batch in batches:
        if all(job.arm.label in (failed or ()) for job in batch.jobs):
            continue
        # Read once more: others may have finished some since.
        done, own, first = total - len(plan.missing(out, jobs)), len(batch.jobs), batch.jobs[0].arm

        def report(steps: int, of: int, done: int = done, own: int = own) -> None:
            if progress is not None:
                progress("training", done * of + own * steps, total * of)

        if progress is not None and first.is_fitted:
            progress(f"fitting {first.label}", done, total)
        yield batch, _attempt(plan, batch, out, report, failed)


def train_batch(plan: Plan, batch: Batch, out: Path, report: Report | None = None) -> int | None:
    """Train a batch in whatever process this is, unless somebody else is at it.

    Args:
        plan: What is done.
        batch: Of its jobs.
        out: Folder of the results.
        report: Called with steps done and steps in all.

    Returns:
        How many of its jobs were trained here; None while another runner trains them.
    """
    root, locks = plan.root(out), Locks(out / "locks")
    with using_threads(plan.threads), locks.released(), locks.kept():
        if not locks.claim(batch.name):
            return None
        if all(is_done(root / plan.folder(job)) for job in batch.jobs):
            return 0
        engine = plan.engine_of(batch.jobs[0])
        return engine.train(batch, plan, root, report)


def _elsewhere(
    plan: Plan, out: Path, processes: int, cluster: str | None, allow_code: bool
) -> Runner:
    """Return what trains batches in processes of this machine, or on a cluster."""

    def run(batches: Sequence[Batch]) -> Answers:
        calls = {
            batch: (plan.study, plan.jobs.index(batch.jobs[0]), out, plan.threads, allow_code)
            for batch in batches
        }
        if cluster is not None:
            return on_ray(cluster, train_job, calls, threads=plan.threads)
        return in_processes(train_job, calls, processes, plan.study.training)

    return run


def train_job(study: Study, number: int, out: Path, threads: int, allow_code: bool) -> int | None:
    """Do one training of a study in a process of its own: its number among the plan's jobs."""
    global _PLANNED
    asked = (study, threads, allow_code)
    if _PLANNED is None or _PLANNED[0] != asked:
        made = make_plan(study, threads=threads, allow_code=allow_code, check=False)
        _PLANNED = (asked, made)
    plan = _PLANNED[1]
    (batch,) = plan.batches([plan.jobs[number]], out)
    return train_batch(plan, batch, out)


# A process does many jobs of one study, and reads its rows for the first.
_PLANNED: tuple[tuple[Study, int, bool], Plan] | None = None


def _final(plan: Plan, jobs: Sequence[Job], out: Path) -> Trial:
    """Return the trial of an arm and seed; where it was tuned, score its test rows once."""
    if not plan.is_tuned:
        return Trial.load(out / "trials" / plan.folder(jobs[0]))
    spec = plan.study.comparison
    tried = [Trial.load(out / "candidates" / plan.folder(job)) for job in jobs]
    best = best_of(tried, spec)
    names = fingerprint_config([fingerprint_config(t.config) for t in tried])
    by = metric_name(tried[best], spec)
    tuning = {"chosen_among": len(tried), "by": by, "candidates": names}
    chosen = replace(tried[best], config={**tried[best].config, "tuning": tuning})
    folder, locks = out / "trials" / chosen.folder_name, Locks(out / "locks")
    with locks.released():
        while not is_done(folder):
            if locks.claim(chosen.folder_name):
                source = out / "candidates" / plan.folder(jobs[best])
                if not is_done(folder):
                    plan.engine_of(jobs[best]).score(jobs[best], chosen, source, out / "trials")
            else:
                time.sleep(POLL_SECONDS)
    return Trial.load(folder)


def _chosen(plan: Plan, trials: Sequence[Trial]) -> dict[str, Any]:
    """Return what was chosen on validation rows, arm -> one setting per seed; none if untuned."""
    found: dict[str, list[dict[str, Any]]] = {}
    for trial in trials:
        config = trial.config
        if "tuning" in config:
            training = config.get("training", {})
            rates = {key: training[key] for key in ("lr", "weight_decay") if key in training}
            kind = plan.study.spec_of_model(config.get("model", {}).get("name", ""))
            of_model = {key: config["model"]["settings"][key] for key in kind.grid}
            own = config.get("settings", {})
            found.setdefault(trial.method, []).append({**rates, **of_model, **own})
    return {"chosen": found} if found else {}


def _doubts(plan: Plan, trials: Sequence[Trial]) -> list[Finding]:
    """Return what in a study's own settings may have held its baseline back."""
    found = [*_at_borders(plan.study, trials), *_too_few_steps(plan)]
    course = diagnose(trial=trials[0]) if trials and trials[0].history else []
    return [*found, *(f for f in course if f.code in ("EQ308", "EQ338"))]


def _at_borders(study: Study, trials: Sequence[Trial]) -> list[Finding]:
    """Return EQ413 where rates of the baseline were chosen at the edge of the grid."""
    found = []
    for key, words in (("lr", "learning rate"), ("weight_decay", "weight decay")):
        grid = sorted(getattr(study.tuning, key))
        chosen = [t.config["training"][key] for t in trials if key in t.config.get("training", {})]
        for edge, side, beyond in ((0, "lowest", "below"), (-1, "highest", "above")):
            times = sum(value == grid[edge] for value in chosen) if len(grid) > 1 else 0
            if 3 * times < 2 * max(len(chosen), 1) or (edge == 0 and grid[0] == 0):
                continue
            found.append(
                finding(
                    "EQ413",
                    f"The baseline's {words} was chosen at {grid[edge]:g}, the {side} of "
                    f"{len(grid)}, in {times} of {len(chosen)} seeds: a better one may lie "
                    f"{beyond}, and a remedy that changes the size of gradients may win by it.",
                    {"grid": grid, "chosen": chosen, "setting": key},
                    f"Add a value {beyond} to tuning.{key}; finished trials are used again.",
                )
            )
    return found


def _failure(arm: str, reason: str) -> Finding:
    """Return EQ415 for an arm that could not be trained in every seed."""
    return finding(
        "EQ415",
        f"{arm} is left out: {reason.rstrip('.')}. What it did in other seeds is kept and not "
        "judged: seeds that fail are not like those that do not.",
        {"arm": arm, "reason": reason},
        "Mend it, a lower learning rate for one, and run again: what is finished is used again.",
    )


def _refusals(chosen: Choice) -> list[Finding]:
    """Return EQ416 for remedies that the chosen kind of model cannot take."""
    if not chosen.left_out:
        return []
    told = "; ".join(f"{arm}: {reason.rstrip('.')}" for arm, reason in chosen.left_out.items())
    verb = "is" if len(chosen.left_out) == 1 else "are"
    return [
        finding(
            "EQ416",
            f"{listed(list(chosen.left_out), 10)} {verb} not compared on {chosen.name}. {told}.",
            {"model": chosen.name, "left_out": dict(chosen.left_out)},
            "Add a model that takes them, or `remedies: all`.",
        )
    ]


def _too_few_steps(plan: Plan) -> list[Finding]:
    """Return EQ414 where SGD has a long tail and few steps."""
    if plan.study.model is None or plan.study.options.optimizer != "sgd":
        return []
    train, options = plan.splits.first.train, plan.study.options
    steps = options.epochs * -(-train.size // options.batch_size)
    counts = plan.data.labels[train].counts
    there = counts[counts > 0]
    ratio = float(there.max() / there.min()) if there.size else 1.0
    if ratio < _LONG_TAIL or steps >= _MANY_STEPS:
        return []
    return [
        finding(
            "EQ414",
            f"SGD with {steps:,} steps, and counts that differ {ratio:,.0f}-fold: rare classes "
            "hardly move in so few, whatever the remedy.",
            {"steps": steps, "ratio": ratio},
            "Take optimizer: adamw for all arms, or many more epochs.",
        )
    ]


def _fingerprints(plan: Plan, trials: Sequence[Trial]) -> dict[str, str]:
    """Return the fingerprint of each split that trials rest on, by seed, or by seed and fold."""
    draws = dict.fromkeys((trial.seed, trial.fold) for trial in trials)
    return {
        str(seed) if fold is None else f"{seed}.{fold}": plan.splits[seed, fold].fingerprint
        for seed, fold in draws
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("equipoise", "numpy", "scikit-learn", "torch", "lightgbm"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def clear_trials(out: Path) -> None:
    """Remove the finished trials of a folder."""
    for part in ("trials", "candidates", "stacks"):
        shutil.rmtree(out / part, ignore_errors=True)
