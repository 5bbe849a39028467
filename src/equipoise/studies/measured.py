"""What is measured once for a study and kept in its folder: threads, a foreign network's rate.

Both are part of a trial. Measured anew on a busier day they might differ, and all would be trained
again; so the first answer stands in ``measured.json``, and a study that says the same is not asked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from equipoise._core.files import write_text
from equipoise.studies.engine import using_threads
from equipoise.studies.schema import RECIPES, Job, Setting, Study, StudyArm

if TYPE_CHECKING:
    from equipoise.studies.network_rows import TrainRows

Found = TypeVar("Found", int, float)
FILE = "measured.json"
RATES = (1e-4, 3e-4, 1e-3, 3e-3)
_STEPS, _LAST = 12, 3
_GAIN = 0.8  # one thread must be so much faster than several before it is preferred


def kept(place: Path | None, key: str, usual: Found, measure: Callable[[], Found]) -> Found:
    """Return what was measured for a folder before, or measure it and write it there.

    Args:
        place: Folder of a study's results; None keeps nothing.
        key: What it is.
        usual: What a folder was trained with in which trials stand and nothing is written.
        measure: Asked where nothing stands there, or nothing that can be read.
    """
    file = None if place is None else place / FILE
    known: dict[str, Any] = {}
    if file is not None and file.exists():
        try:
            known = dict(json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError):
            known = {}
    if not isinstance(known.get(key), (int, float)):
        begun = place is not None and any(
            next((place / part).glob("*/trial.json"), None) for part in ("trials", "candidates")
        )
        known[key] = usual if begun else measure()
        if file is not None:
            write_text(file, json.dumps(known, indent=1) + "\n")
    found: Found = known[key]
    return found


def measured_threads(study: Study, place: Path | None) -> int | None:
    """Return the threads of torch with which small steps are fastest; None where the study says.

    On a machine whose cores others use, several threads wait for each other at every step and can
    take many times as long as one.
    """
    import torch

    if study.compute.threads is not None:
        return None
    many = torch.get_num_threads()
    return many if many == 1 else kept(place, "threads", many, lambda: _fastest(many))


def _fastest(many: int) -> int:
    seconds = {number: min(_seconds(number) for _ in range(3)) for number in (1, many)}
    return 1 if seconds[1] < _GAIN * seconds[many] else many


def _seconds(threads: int) -> float:
    """Return what twenty steps of a small network take."""
    import torch

    source = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(256, 256, generator=source) for _ in range(2))
    weight.requires_grad_()
    with using_threads(threads):
        for _ in range(2):  # the first time threads are started
            begun = time.perf_counter()
            for _ in range(20):
                torch.relu(x @ weight).square().mean().backward()  # type: ignore[no-untyped-call]
            seconds = time.perf_counter() - begun
    return seconds


def with_rate(study: Study, rows: TrainRows, place: Path | None, allow_code: bool) -> Study:
    """Return the study with a learning rate where it names none for a network that is not ours.

    A dozen steps of the untreated network at each of four rates; the one with the least loss at
    their end is taken. Networks of ours have a recipe, and a rate that is given or tuned is used.
    """
    model = study.model
    if model is None or model.name in RECIPES or "lr" in study.training or study.tuning.lr:
        return study
    usual = study.options.lr
    rate = kept(place, "lr", usual, lambda: _best_rate(study, rows, allow_code))
    return study.model_copy(update={"training": {**study.training, "lr": rate}})


def _best_rate(study: Study, rows: TrainRows, allow_code: bool) -> float:
    import torch

    from equipoise.studies.network import as_study_data, first_batch, plan_job, start
    from equipoise.studies.rows import splitter

    data = as_study_data(rows)
    split = splitter(study.split, data)[1](0)
    losses = {}
    for rate in RATES:
        job = Job(StudyArm(method="none"), 0, Setting(rate, study.rates[1], {}))
        plan = plan_job(study, job, rows, data.labels, split, threads=None, allow_code=allow_code)
        network, size = start(plan).train(), plan.options.batch_size
        optimizer = torch.optim.AdamW(network.parameters(), lr=rate)
        seen = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for step in range(_STEPS):
                x, target = first_batch(plan, size, step * size)
                loss = plan.remedy.loss(network(x), target)
                optimizer.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                seen.append(float(loss.detach()))
        last = sum(seen[-_LAST:])
        losses[rate] = last if last == last else float("inf")
    return min(losses, key=lambda rate: losses[rate])
