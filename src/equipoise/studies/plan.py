"""What a study will do: its rows, one split per seed, and every training by one of the engines."""

from __future__ import annotations

import warnings
from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise._core.fingerprint import canonical_json
from equipoise._core.messages import counted, hint, say
from equipoise._core.progress import Progress
from equipoise.decisions.objectives import to_objective
from equipoise.errors import EquipoiseError, NoEffectWarning, UsageError
from equipoise.methods import get_method
from equipoise.studies.engine import Plan, has_torch, using_threads, usual_threads
from equipoise.studies.grid import settings_of
from equipoise.studies.measured import measured_threads
from equipoise.studies.rows import Draws, StudyData, split_findings, with_ids
from equipoise.studies.schema import Draw, FoldedSpec, Job, Study, TimeSpec

if TYPE_CHECKING:
    from equipoise.studies.network_rows import TrainRows


def make_plan(
    study: Study,
    *,
    cache: Path | None = None,
    compute: bool = True,
    allow_code: bool = False,
    threads: int | None = None,
    check: bool = True,
    progress: Progress | None = None,
    data: StudyData | None = None,
) -> Plan:
    """Return the plan of a study, with every arm tried on the labels of the first seed.

    Args:
        study: From :func:`load_study`.
        cache: Where features of a frozen network are kept; None plans without them.
        compute: Compute such features where they are not there yet.
        allow_code: Whether arms and networks given as "module:callable" may run.
        threads: Of torch, where the study leaves them open; None for those of the machine.
        check: False where that was done before, in another process.
        progress: Called with (what, rows done, rows in all) while features are computed.
        data: Rows that were read before, of a study without a ``model``.

    Raises:
        UsageError: an arm, grid or setting that does not exist or does not fit.
        DataError: data that are not what the study says.
        LeakageError: rows or groups that stand on both sides.
    """
    _require_code(study, allow_code)
    rows = None
    if study.model is not None:
        from equipoise.studies.network import as_study_data, with_rate
        from equipoise.studies.network_rows import load_rows

        rows = load_rows(study.data)
        place = None if cache is None else cache.parent
        study = with_rate(study, rows, place, allow_code, write=compute)
        data = as_study_data(rows)
    elif data is None:
        from equipoise.studies.load import load_data

        data = load_data(study, cache if compute else None, known=cache, allow_code=allow_code,
                         progress=progress)  # fmt: skip
    spec = study.split_of(has_test=data.test is not None)
    if isinstance(spec, FoldedSpec):
        data = with_ids(data)
    splits = Draws(spec, data, study.most_seeds)
    settings = settings_of(study)
    jobs = tuple(
        Job(arm, seed, setting, fold)
        for seed in range(study.most_seeds)
        for fold in splits.folds
        for arm in study.trained_arms()
        for setting in settings[arm.label]
    )
    per_trial = max(len(found) for found in settings.values())
    threads = study.compute.threads or threads or usual_threads()
    shared = {"study": study, "data": data, "splits": splits, "jobs": jobs,
              "per_trial": per_trial, "threads": threads}  # fmt: skip
    shared["more"] = _more(study, jobs, spec, per_trial)
    plan = _of_heads(shared) if rows is None else _of_networks(shared, rows, allow_code)
    if not check:
        return plan
    to_objective(study.comparison.objective, data.labels.kind, data.labels.num_classes)
    split_findings(data, splits.first)  # test rows that are trained on end it here
    with using_threads(threads):
        for job in jobs:
            if job.draw == jobs[0].draw:
                _check(plan, job)  # before anything is written
        return replace(plan, twins=_twins(plan))


SHARES, REFITS = (0.5, 0.25), 3
"""Shares of the training rows that the forecast rests on, and in how many seeds."""
POOLS, RUNS = 10, 2
"""Samples of the training rows for the question about a new one, and trainings on each."""


def _more(study: Study, jobs: Sequence[Job], spec: object, per_trial: int) -> tuple[Job, ...]:
    """Return what is trained beside the arms: refits on fewer rows, and on other samples.

    Raises:
        UsageError: a question that this study cannot answer.
    """
    asked = study.comparison.question == "new sample"
    if (study.model is not None or per_trial > 1) and asked:
        do = "Leave `model` and `tuning` out, or ask about these data."
        expected = "be 'these data' where networks are trained or settings are tuned"
        raise UsageError(say("comparison.question", expected, "'new sample'", do))
    if study.model is not None:
        return ()
    if asked and isinstance(spec, FoldedSpec):
        do = "Leave it out: cross-fitting answers for a sample of this size in any case."
        raise UsageError(say("comparison.question", "be about a test set", "'new sample'", do))
    first = [job for job in jobs if job.seed < min(study.most_seeds, REFITS)]
    found = [
        replace(job, share=share) for share in SHARES for job in first if job.arm.label == "none"
    ]
    if asked:
        found += [
            replace(job, pool=pool) for pool in range(POOLS) for job in jobs if job.seed < RUNS
        ]
    return tuple(found)


def _check(plan: Plan, job: Job) -> None:
    """Try an arm on the labels of its seed; what is wrong names it."""
    try:
        plan.engine_of(job).check(job)
    except EquipoiseError as error:
        if job.arm.label in str(error):
            raise
        raise type(error)(f"arm {job.arm.label}: {error}") from error


def _of_heads(shared: dict[str, Any]) -> Plan:
    from equipoise.studies.fitted import Fitted
    from equipoise.studies.heads import Heads

    study, data, splits = shared["study"], shared["data"], shared["splits"]
    settings: dict[str, Any] = {"threads": shared["threads"], "tuned": shared["per_trial"] > 1}
    fitted = Fitted(study, data, splits, **settings)
    if all(arm.is_fitted for arm in study.trained_arms()):
        return Plan(engine=fitted, fitted=fitted, **shared)
    return Plan(engine=Heads(study, data, splits, **settings), fitted=fitted, **shared)


def _of_networks(shared: dict[str, Any], rows: TrainRows, allow_code: bool) -> Plan:
    from equipoise.studies.network import Networks

    engine = Networks(
        shared["study"], rows, shared["data"], shared["splits"],
        threads=shared["threads"], tuned=shared["per_trial"] > 1, allow_code=allow_code,
    )  # fmt: skip
    return Plan(engine=engine, **shared)


def _require_code(study: Study, allow_code: bool) -> None:
    """Raise if a study names code of the user's that may not run."""
    for arm in study.arms:
        if ":" in arm.method and not allow_code:
            do = hint("Give {allow_code=True} if you trust it.")
            raise UsageError(say(f"arm {arm.label}", "run no foreign code", arm.method, do))


def _twins(plan: Plan) -> dict[Job, Job]:
    """Return the jobs whose loss is that of an earlier one of their seed and rates, with that."""
    if not has_torch():  # there are no gradients to compare
        return {}
    from equipoise.methods.no_effect import loss_gradient, same_gradient

    found: dict[Job, Job] = {}
    told: set[str] = set()
    made: dict[tuple[str, Draw], Any] = {}
    groups: dict[tuple[Any, ...], list[tuple[Job, Any]]] = {}
    for job in plan.jobs:
        name, setting = job.arm.method, job.setting
        if job.arm.is_fitted or get_method(name).family not in ("baseline", "loss"):
            continue
        key = f"{name} {canonical_json(setting.settings)}", job.draw
        if key not in made:
            labels = plan.data.labels[plan.splits[job.draw].train]
            made[key] = loss_gradient(plan.engine.remedy(job), labels)
        if made[key] is None:
            continue
        rates = setting.lr, setting.weight_decay, canonical_json(job.arm.training)
        earlier = groups.setdefault((job.draw, *rates), [])
        for other, gradient in earlier:
            if other.arm.label != job.arm.label and same_gradient(made[key], gradient):
                found[job] = other
                break
        else:
            earlier.append((job, made[key]))
    for job, twin in found.items():
        if job.arm.label in told:
            continue
        told.add(job.arm.label)
        warnings.warn(
            f"'{job.arm.label}' trains as '{twin.arm.label}' does, step by step, with equal "
            "settings and seed: it is not trained again, and has its trials.",
            NoEffectWarning,
            stacklevel=3,
        )
    return found


def plan_rows(
    study: Study,
    out: Path,
    *,
    fresh: bool = False,
    processes: int = 1,
    cluster: str | None = None,
    allow_code: bool = False,
) -> tuple[list[str], list[list[str]], str]:
    """Return what would be trained, as table head and rows, and about how long it would take.

    Args:
        study: From :func:`load_study`.
        out: Folder of the results.
        fresh: As if nothing stood there.
        processes: As for :func:`equipoise.run_study`, and so are the others.
        cluster: As there.
        allow_code: As there.
    """
    require_places(study, processes, cluster)
    threads = shared_threads(study, out, processes, cluster, write=False)
    how: dict[str, Any] = {"cache": out / "features", "compute": False, "allow_code": allow_code,
                           "threads": threads}  # fmt: skip
    said: list[str] = []
    data = None
    if study.models:
        from equipoise.studies.families import on_model, require_models
        from equipoise.studies.load import load_data

        require_models(study)
        data = load_data(study)
        # Which model is best is not known yet: the first stands for it.
        kind = study.models[0].name
        study, refused = on_model(study, kind, data.labels)
        said = [
            *(data.table.lines() if data.columns else []),
            f"Untreated models are compared first; remedies on the best, here as if {kind}.",
        ]
        said += [f"{arm} is left out: {reason}" for arm, reason in refused.items()]
    plan = make_plan(study, **how, data=data)
    with using_threads(plan.threads):
        missing = set(plan.jobs if fresh else plan.missing(out))
    study = plan.study
    head = ["arm", "seed", "train", "val", "state"]
    if plan.is_tuned:
        head[1:1] = ["setting"]
    # What looks may leave out is not promised: the first seeds are shown, and how it goes on.
    seeds = study.most_seeds if study.looks is None else study.looks[0]
    by_row: dict[tuple[str, str, int], list[Job]] = {}
    for job in plan.jobs:
        if job.seed < seeds:
            by_row.setdefault((job.arm.label, str(job.setting), job.seed), []).append(job)
    rows = []
    for jobs in by_row.values():
        job, setting = jobs[0], jobs[0].setting
        split = plan.splits[job.draw]
        state = _state(plan, jobs, missing)
        row = [job.arm.label, str(job.seed), str(split.train.size), str(split.val.size), state]
        if plan.is_tuned:
            words = {"lr": setting.lr, "weight_decay": setting.weight_decay, **setting.of_model,
                     **setting.settings}  # fmt: skip
            shown = [f"{key}={value}" for key, value in words.items() if value is not None]
            row[1:1] = [" ".join(shown)]
        rows.append(row)
    shown_jobs = [job for jobs in by_row.values() for job in jobs]
    to_train = [job for job in shown_jobs if job in missing and job not in plan.twins]
    at_once = 1 if cluster is not None else processes
    with using_threads(plan.threads):
        time = plan.engine.time(to_train, at_once) if to_train else "Nothing to train."
    last = " ".join([*_protocol(plan), _budget(plan), time])
    return head, rows, "\n".join([*said, last])


def _state(plan: Plan, jobs: Sequence[Job], missing: Container[Job]) -> str:
    """Say what is left of an arm and seed: of its only training, or of those of all folds."""
    left = [job for job in jobs if job in missing]
    if not left:
        return "finished"
    if left[0] in plan.twins:
        return f"as {plan.twins[left[0]].arm.label}"
    return "to train" if len(left) == len(jobs) else f"{len(jobs) - len(left)} of {len(jobs)} done"


def _protocol(plan: Plan) -> list[str]:
    """Return how rows are tested, and when the study looks."""
    said, folds = [], len(plan.splits.folds)
    if isinstance(plan.splits.spec, TimeSpec):
        said.append(
            f"Rows are tested forward in time, in {folds} blocks; the first of {folds + 1} never."
        )
    elif folds > 1:
        said.append(f"Every row is tested, in {folds} folds of each seed.")
    if plan.study.looks:
        looks = ", ".join(map(str, plan.study.looks))
        said.append(f"Looks after {looks} seeds; an arm that a look settles is trained no further.")
    return said


def _budget(plan: Plan) -> str:
    epochs = plan.engine.budget.get("epochs")
    each = "" if epochs is None else f", {counted(epochs, 'epoch')} each"
    if not plan.is_tuned:
        return f"One setting per arm{each}."
    sizes = {len(jobs) for jobs in plan.choices(plan.jobs)}
    number = f"{plan.per_trial} settings for every arm"
    if len(sizes) > 1:
        number = f"{plan.per_trial} settings for every arm that has something to tune"
    return f"{number}{each}; the best on validation rows enters the comparison."


def require_places(study: Study, processes: int, cluster: str | None) -> None:
    """Raise unless a study can be trained in so many processes, or on a cluster."""
    if processes < 1:
        raise UsageError(say("processes", "be >= 1", processes))
    if processes > 1 and cluster is not None:
        do = "A cluster says itself how many are trained at once."
        raise UsageError(say("processes", "be left out beside a cluster", processes, do))
    if study.model is None and (processes > 1 or cluster is not None):
        name, got = ("processes", processes) if cluster is None else ("cluster", cluster)
        do = "Leave it out: heads are trained many at a time, on all threads (compute.threads)."
        raise UsageError(say(name, "be for studies with a model", got, do))


def shared_threads(
    study: Study, place: Path, processes: int, cluster: str | None, *, write: bool = True
) -> int | None:
    """Return the threads of one of several trainings at once; of a single one, the fastest."""
    if cluster is not None:
        return 1
    if processes == 1:
        return measured_threads(study, place, write=write)
    return max(1, usual_threads() // processes)
