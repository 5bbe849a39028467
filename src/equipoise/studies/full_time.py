"""What a comparison of full trainings would do, and about how long it would take."""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch
from torch.utils.data import default_collate

from equipoise.studies.entry import in_words
from equipoise.studies.full_run import plan_full, threads_of
from equipoise.studies.predict import choose_device, to_device
from equipoise.studies.schema import FullStudy
from equipoise.studies.threads import using_threads
from equipoise.studies.train_run import TrainPlan


def plan_rows(
    study: FullStudy,
    out: Path,
    *,
    processes: int = 1,
    cluster: str | None = None,
    allow_code: bool = False,
) -> tuple[list[str], list[list[str]], str]:
    """Return what would be trained, as table head and rows, and about how long it would take."""
    threads = threads_of(study, processes, cluster)
    plans = plan_full(study, out, threads=threads, allow_code=allow_code)
    rows = [
        [job.arm, _setting(plan), str(job.seed), str(plan.split.train.size),
         str(plan.split.val.size), str(plan.options.epochs), "finished" if done else "to train"]
        for job, plan, done in plans
    ]  # fmt: skip
    head = ["arm", "setting", "seed", "train", "val", "epochs", "state"]
    todo = [plan for _, plan, done in plans if not done]
    if not todo:
        return head, rows, "Nothing to train."
    with using_threads(threads):
        one = estimate_training(todo[0])
    at_once = 1 if cluster is not None else processes
    seconds = one * math.ceil(len(todo) / at_once)
    where = "one at a time" if at_once == 1 else f"{at_once} at a time"
    return head, rows, f"{len(todo)} to train, about {in_words(seconds)} {where}."


def _setting(plan: TrainPlan) -> str:
    words = {"lr": plan.options.lr, "weight_decay": plan.options.weight_decay}
    return " ".join(f"{k}={v}" for k, v in {**words, **plan.study.arm.settings}.items())


def estimate_training(plan: TrainPlan) -> float:
    """Return about how many seconds a training takes, from two batches and one reading."""
    options, train = plan.options, plan.split.train
    name = options.accelerator
    device = choose_device("cuda" if name == "gpu" else name)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(0)
        network = plan.make_network().to(device)
    begun = time.perf_counter()
    items = [plan.rows.dataset[i] for i in train[: options.batch_size].tolist()]
    x, target = (plan.rows.collate or default_collate)(items)
    reading = (time.perf_counter() - begun) / max(1, options.num_workers)
    x, target, loss = to_device(x, device), target.to(device), plan.remedy.loss.to(device)
    seconds = 0.0
    for _ in range(2):  # the first one warms up
        begun = time.perf_counter()
        loss(network(x).reshape(len(target), -1), target).backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - begun
    steps = math.ceil(train.size / options.batch_size)
    # Scoring validation rows takes about a third of training on as many.
    scored = math.ceil(plan.split.val.size / options.batch_size)
    step = max(seconds, reading) if options.num_workers else seconds + reading
    return options.epochs * (steps * step + scored * (step - 2 / 3 * seconds))
