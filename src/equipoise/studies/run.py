"""Run a study: data, splits, trials that are not done yet, comparison."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from equipoise._core.progress import Progress
from equipoise.diagnosis import diagnose
from equipoise.studies.outcome import Outcome, judge
from equipoise.studies.plan import make_plan
from equipoise.studies.rows import split_findings
from equipoise.studies.schema import Study
from equipoise.studies.screening import screen


def run_study(
    study: Study,
    *,
    out: str | Path,
    allow_code: bool = False,
    progress: Progress | None = None,
    command: str = "",
) -> Outcome:
    """Train what is not trained yet and compare all arms.

    Several processes may run the same study in one folder: each trial is trained by one of them,
    and all return the same comparison.

    Args:
        study: From :func:`equipoise.load_study`.
        out: Folder of the results; finished trials in ``out/trials``, and with tuning every
            setting's in ``out/candidates``, are used again.
        allow_code: Whether arms given as "module:callable" may run.
        progress: Called with (what, done, in all).
        command: How the study was started, for the provenance.

    Returns:
        The comparison, the findings on the training labels, and how many trials were trained here
        and how many were found finished.

    Raises:
        UsageError: a grid that does not fit its method, or more settings than an arm has.
        TrainingError: a loss is no longer finite; the message names arm, seed and epoch.

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
        ((8, 0), (0, 8))
    """
    started = time.perf_counter()
    plan = make_plan(study, cache=Path(out) / "features", allow_code=allow_code, progress=progress)
    done = screen(plan, out, progress)
    if progress is not None:
        progress("comparing", 0, 1)
    provenance = {
        "study": study.model_dump(mode="json", exclude_none=True),
        "training": plan.training.model_dump(),
        "settings_per_arm": plan.per_trial,
        "threads": plan.threads,
        "device": plan.device,
        "data": plan.data.description,
        "data_fingerprint": plan.data.fingerprint,
        "split_fingerprints": {s: split.fingerprint for s, split in plan.splits.items()},
        "command": command,
        "seconds": round(time.perf_counter() - started, 1),
    }
    result = judge(done.trials, study.comparison, study.title, provenance, study.references)
    if progress is not None:
        progress("comparing", 1, 1)
    rows = np.concatenate([plan.splits[0].train, plan.splits[0].val])
    findings = [
        *split_findings(plan.data, plan.splits[0]),
        *diagnose(plan.data.labels[rows]),
    ]
    return Outcome(result, tuple(findings), done.trained, done.reused)
