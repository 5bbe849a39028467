"""Several trainings at once: in processes with GPUs of their own, or on a Ray cluster."""

from __future__ import annotations

import logging
import multiprocessing
import os
from collections.abc import Callable, Hashable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

from equipoise._core.extras import missing_extra
from equipoise._core.messages import say
from equipoise.errors import (
    EquipoiseError,
    MissingExtraError,
    Terminated,
    TrainingError,
    UsageError,
)

Key = TypeVar("Key", bound=Hashable)
Result = TypeVar("Result")
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def in_processes(
    call: Callable[..., Result],
    calls: Mapping[Key, tuple[Any, ...]],
    processes: int,
    training: Mapping[str, Any],
) -> Iterator[tuple[Key, Result]]:
    """Yield each job as soon as it is done, so many at once.

    Args:
        call: What a process does; one that can be imported.
        calls: Its arguments for each job.
        processes: At once.
        training: Options of the study: on which device, on how many.

    Raises:
        UsageError: fewer GPUs than the processes need.
        EquipoiseError: a job failed; the others have run to their end.
    """
    slots = gpu_slots(processes, training)
    # Spawned: a forked process would inherit the threads of torch in a state of their own.
    context = multiprocessing.get_context("spawn")
    free = context.Queue()
    for slot in slots:
        free.put(slot)
    failed: list[EquipoiseError] = []
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=_take_slot, initargs=(free if slots else None,)
    ) as pool:
        waiting = {pool.submit(call, *given): job for job, given in calls.items()}
        try:
            for future in as_completed(waiting):
                try:
                    yield waiting[future], named(waiting[future], future.result)
                except EquipoiseError as error:
                    failed.append(error)
        except BaseException as error:
            # Interrupted: what waits is not begun; what runs goes on to its end, and is kept.
            pool.shutdown(wait=False, cancel_futures=True)
            if isinstance(error, Terminated):
                # Whoever sends SIGTERM does not wait long; checkpoints are there to go on from.
                for process in list((pool._processes or {}).values()):
                    process.terminate()
            raise
    if failed:
        more = f" ({len(failed)} trials failed)" if len(failed) > 1 else ""
        raise type(failed[0])(f"{failed[0]}{more}") from failed[0]


def gpu_slots(processes: int, training: Mapping[str, Any]) -> list[str]:
    """Return which GPUs each process sees, as CUDA_VISIBLE_DEVICES; none without GPUs.

    Raises:
        UsageError: fewer GPUs than the processes need.

    Example:
        >>> gpu_slots(2, {"accelerator": "cpu"})
        []
    """
    import torch

    if training.get("accelerator", "auto") not in ("auto", "cuda", "gpu"):
        return []
    known = os.environ.get(_VISIBLE, "")
    gpus = [g for g in known.split(",") if g] or [str(i) for i in range(torch.cuda.device_count())]
    if not torch.cuda.device_count():
        return []
    wanted = training.get("devices", 1)
    each = len(gpus) if wanted == "auto" else int(wanted)
    if processes * each > len(gpus):
        do = "Train fewer at once, on fewer devices each, or with training.accelerator=cpu."
        expected = f"be at most {len(gpus) // each}: {len(gpus)} GPUs, {each} for each training"
        raise UsageError(say("processes", expected, processes, do))
    return [",".join(gpus[i * each : (i + 1) * each]) for i in range(processes)]


def _take_slot(free: Any) -> None:
    """Let this process see GPUs of its own alone; CUDA looks when it is used first."""
    if free is not None:
        os.environ[_VISIBLE] = free.get()


def named(job: object, call: Callable[..., Result], *given: Any, **more: Any) -> Result:
    """Return what a call returns; an error names its job, once."""
    try:
        return call(*given, **more)
    except EquipoiseError as error:
        if str(error).startswith(f"{job}: "):
            raise
        raise type(error)(f"{job}: {error}") from error
    except Exception as error:
        told = missing_extra(error, str(job), torch="train")
        if told is not None:
            raise told from error
        # Compiled code makes an error of its own of an interruption that reaches it.
        before = error.__cause__ or error.__context__
        while before is not None:
            if isinstance(before, KeyboardInterrupt):
                raise before from None
            before = before.__cause__ or before.__context__
        words = " ".join(str(error).split())[:200]
        raise TrainingError(f"{job}: {type(error).__name__}: {words}") from error


def on_ray(
    address: str,
    call: Callable[..., Result],
    calls: Mapping[Key, tuple[Any, ...]],
    *,
    threads: int = 1,
) -> Iterator[tuple[Key, Result]]:
    """Yield each job with what ``call`` returned for it, as soon as it is there.

    Args:
        address: "ray://HOST:PORT" of a cluster, "auto" for the one this machine belongs to, or
            "local" to start one on this machine and end it afterwards.
        call: A function that every machine can import.
        calls: Its arguments for each job.
        threads: Cores that each job takes.

    Raises:
        MissingExtraError: Ray is not installed.
        TrainingError: a job failed; the others have run to their end.
    """
    # Ray reports its usage over the network unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except (ImportError, RuntimeError) as error:
        raise MissingExtraError("ray", "ray", "cluster=") from error
    mine = not ray.is_initialized()
    if mine:
        where = None if address == "local" else address
        ray.init(
            address=where, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
        )
    try:
        yield from _finished(ray, call, calls, threads)
    finally:
        if mine:
            ray.shutdown()


def _finished(
    ray: Any, call: Callable[..., Result], calls: Mapping[Key, tuple[Any, ...]], threads: int
) -> Iterator[tuple[Key, Result]]:
    gpus = 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0
    task = ray.remote(call).options(num_cpus=threads, num_gpus=gpus, max_retries=1)
    waiting = {task.remote(*given): job for job, given in calls.items()}
    failed: list[str] = []
    while waiting:
        (ready,), _ = ray.wait(list(waiting), num_returns=1)
        job = waiting.pop(ready)
        try:
            yield job, ray.get(ready)
        except ray.exceptions.RayError as error:
            said = _reason(error)
            failed.append(said if said.startswith(f"{job}: ") else f"{job}: {said}")
    if failed:
        more = f" ({len(failed)} trials failed)" if len(failed) > 1 else ""
        raise TrainingError(f"{failed[0]}{more}")


def _reason(error: Any) -> str:
    cause = getattr(error, "cause", None)
    if isinstance(cause, EquipoiseError):
        return str(cause)
    return " ".join(str(cause or error).split())[:200]
