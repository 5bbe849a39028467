"""Train what a plan lacks, together with whoever else works on the same folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from equipoise._core.files import atomic_path
from equipoise._core.locks import Locks
from equipoise._core.progress import Progress
from equipoise.artifacts import Trial
from equipoise.studies.choose import best_of, metric_name
from equipoise.studies.plan import Candidate, Plan, chosen_config, load_finished, trial_folder
from equipoise.studies.stack_records import Records, stack_name
from equipoise.studies.threads import using_threads

# Heads that are trained and then written together: more is faster, fewer lose less to an
# interruption. Where memory is short, `train_heads` takes fewer at once.
HEADS_AT_ONCE = 48
POLL_SECONDS = 0.5
_WEIGHTS = "model.safetensors"


@dataclass(frozen=True, slots=True, eq=False)
class Screened:
    """The trials of a comparison, and how many trainings were done here and found done."""

    trials: list[Trial]
    trained: int
    reused: int


def screen(plan: Plan, out: str | Path, progress: Progress | None = None) -> Screened:
    """Train what is missing and return the trial of each arm and seed.

    Without tuning, trials are trained and scored on test rows at once and stand in ``out/trials``.
    With tuning, every setting is trained without test rows and stands in ``out/candidates``; the
    best on validation rows is then scored on the test rows and stands in ``out/trials``.

    Args:
        plan: What to do.
        out: Folder of the results; several runners may work on it at once.
        progress: Called with (what, done, in all).
    """
    root = Path(out) / ("candidates" if plan.is_tuned else "trials")
    locks = Locks(Path(out) / "locks")
    with using_threads(plan.threads), locks.released():
        trained = _train(plan, root, locks, progress)
        trials = [_final(plan, found, Path(out), locks) for found in plan.choices()]
    return Screened(trials, trained, len(plan.trials) - trained)


def missing_jobs(plan: Plan, out: str | Path) -> list[Candidate]:
    """Return the trainings of a plan that are not on disk."""
    return _missing(plan, Path(out) / ("candidates" if plan.is_tuned else "trials"))


def _is_done(folder: Path) -> bool:
    return (folder / "trial.json").is_file()


def _train(plan: Plan, root: Path, locks: Locks, progress: Progress | None) -> int:
    """Train until nothing is missing and return how many were trained here."""
    records = Records(root.parent / "stacks" / root.name)
    todo = _missing(plan, root)
    total, trained = len(todo), 0
    while todo:
        claimed = False
        for candidate in (c for c in todo if c.arm.is_fitted):
            if locks.claim(candidate.folder):
                claimed = True
                trained += _fit(plan, candidate, root, progress, total)
                locks.release(candidate.folder)
        for candidate in todo:
            twin = plan.twins.get(candidate.folder)
            if twin is None or not _is_done(root / twin.folder):
                continue
            if locks.claim(candidate.folder):
                claimed = True
                _take_over(candidate, twin, root)
                locks.release(candidate.folder)
        for stack in records.stacks(plan.trials, _heads(plan, todo), HEADS_AT_ONCE):
            name = stack_name(stack)
            if not locks.claim(name):
                continue
            claimed = True
            # Read once more: others may have finished some since.
            done = total - len(_missing(plan, root))
            if any(not _is_done(root / c.folder) for c in stack):
                records.write(stack)
                part = _part(progress, done, len(stack), total)
                trained += _train_together(plan, stack, root, locks, part)
            locks.release(name)
        todo = _missing(plan, root)
        if todo and not claimed:
            if progress is not None:
                progress("waiting for another runner", total - len(todo), total)
            time.sleep(POLL_SECONDS)
    return trained


def _heads(plan: Plan, candidates: Sequence[Candidate]) -> list[Candidate]:
    return [c for c in candidates if not c.arm.is_fitted and c.folder not in plan.twins]


def _take_over(candidate: Candidate, twin: Candidate, root: Path) -> None:
    """Write the trial of a candidate that trains as its twin does: the twin's, under its name."""
    if _is_done(root / candidate.folder):
        return
    trial = Trial.load(root / twin.folder)
    own = replace(
        trial,
        method=candidate.arm.label,
        config=dict(candidate.config),
        selection={**trial.selection, "trained_as": twin.arm.label},
    )
    with atomic_path(root / candidate.folder / _WEIGHTS) as temporary:
        shutil.copyfile(root / twin.folder / _WEIGHTS, temporary)
    own.save(root)


def _fit(
    plan: Plan, candidate: Candidate, root: Path, progress: Progress | None, total: int
) -> int:
    """Fit one candidate that scikit-learn fits, unless somebody has; return how many that are."""
    if _is_done(root / candidate.folder):
        return 0
    if progress is not None:
        progress(f"fitting {candidate.arm.label}", total - len(_missing(plan, root)), total)
    plan.fit(candidate, with_test=not plan.is_tuned).save(root)
    return 1


def _missing(plan: Plan, root: Path) -> list[Candidate]:
    return [c for c in plan.trials if not _is_done(root / c.folder)]


def _part(
    progress: Progress | None, done: int, own: int, total: int
) -> Callable[[int, int], None] | None:
    """Return the progress of some trainings as that of all."""
    if progress is None:
        return None
    return lambda steps, of: progress("training", done * of + own * steps, total * of)


def _train_together(
    plan: Plan,
    stack: Sequence[Candidate],
    root: Path,
    locks: Locks,
    progress: Callable[[int, int], None] | None,
) -> int:
    """Train a whole stack, write what is missing of it and return how many that are."""
    from equipoise.training import train_heads

    def report(steps: int, of: int) -> None:
        locks.touch()
        if progress is not None:
            progress(steps, of)

    test = np.empty(0, dtype=np.int64) if plan.is_tuned else plan.test
    data, written = plan.data, 0
    jobs = [plan.job(candidate) for candidate in stack]
    results = train_heads(
        data.features, data.labels, test, jobs, settings=plan.settings(), progress=report
    )
    for result in results:
        if not _is_done(root / result.trial.folder_name):
            _write(result.trial, result.state, root)
            written += 1
    return written


def _write(trial: Trial, state: Mapping[str, Any], root: Path) -> Trial:
    from safetensors.numpy import save_file

    named = replace(trial, model_file=_WEIGHTS)
    with atomic_path(root / named.folder_name / _WEIGHTS) as temporary:
        save_file({k: np.ascontiguousarray(v) for k, v in state.items()}, temporary)
    named.save(root)
    return named


def _final(plan: Plan, candidates: tuple[Candidate, ...], out: Path, locks: Locks) -> Trial:
    """Return the trial of an arm and seed; where it was tuned, score its test rows once."""
    if not plan.is_tuned:
        return Trial.load(out / "trials" / candidates[0].folder)
    spec = plan.study.comparison
    tried = [Trial.load(out / "candidates" / candidate.folder) for candidate in candidates]
    place = best_of(tried, spec)
    config = chosen_config(candidates, candidates[place], metric_name(tried[place], spec))
    chosen, root = candidates[place], out / "trials"
    folder = trial_folder(chosen.arm, chosen.seed, config)
    while True:
        found = load_finished(root, folder)
        if found is not None:
            return found
        if locks.claim(folder):
            break
        time.sleep(POLL_SECONDS)
    try:
        if not _is_done(root / folder):
            _score_test(plan, chosen, replace(tried[place], config=config), out)
        return Trial.load(root / folder)
    finally:
        locks.release(folder)


def _score_test(plan: Plan, chosen: Candidate, trial: Trial, out: Path) -> None:
    if chosen.arm.is_fitted:
        whole = plan.fit(chosen, with_test=True)
        replace(whole, config=trial.config).save(out / "trials")
        return
    from safetensors.numpy import load_file

    from equipoise.training.heads import add_test_scores

    state = load_file(out / "candidates" / chosen.folder / _WEIGHTS)
    data = plan.data
    whole = add_test_scores(
        trial,
        state,
        plan.remedy(chosen),
        data.features,
        data.labels,
        plan.test,
        settings=plan.settings(),
    )
    _write(whole, state, out / "trials")
