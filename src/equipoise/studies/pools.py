"""Trainings one after the other, or several at once in processes with GPUs of their own."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

from equipoise._core.words import say
from equipoise.errors import EquipoiseError, TrainingError, UsageError

Answer = tuple[str, bool]
Key = TypeVar("Key")
_VISIBLE = "CUDA_VISIBLE_DEVICES"


def in_turn(
    call: Callable[..., Answer | None], jobs: Mapping[Key, tuple[Any, ...]]
) -> Iterator[tuple[Key, Answer | None]]:
    """Yield each job with what ``call`` returned for it; an error names its job."""
    for job, given in jobs.items():
        yield job, _named(job, call, *given)


def in_processes(
    call: Callable[..., Answer | None],
    calls: Mapping[Key, tuple[Any, ...]],
    processes: int,
    training: Mapping[str, Any],
    jobs: Sequence[Key],
) -> Iterator[tuple[Key, Answer | None]]:
    """Yield each job as soon as it is done, so many at once.

    Args:
        call: What a process does; one that can be imported.
        calls: Its arguments for each job.
        processes: At once.
        training: Options of the study: on which device, on how many.
        jobs: Which are to be done.

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
        waiting = {pool.submit(call, *calls[job]): job for job in jobs}
        for future in as_completed(waiting):
            try:
                yield waiting[future], _named(waiting[future], future.result)
            except EquipoiseError as error:
                failed.append(error)
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


def _named(job: object, call: Callable[..., Answer | None], *given: Any) -> Answer | None:
    try:
        return call(*given)
    except EquipoiseError as error:
        raise type(error)(f"{job}: {error}") from error
    except Exception as error:
        words = " ".join(str(error).split())[:200]
        raise TrainingError(f"{job}: {type(error).__name__}: {words}") from error
