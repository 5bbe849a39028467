"""Trials on a Ray cluster: one task each, GPUs taken one at a time where there are any."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from equipoise.errors import EquipoiseError, MissingExtraError, TrainingError
from equipoise.studies.pools import Answer

Key = TypeVar("Key")


def run_on_ray(
    address: str,
    call: Callable[..., Answer | None],
    jobs: Sequence[tuple[Key, tuple[Any, ...]]],
    *,
    threads: int = 1,
) -> Iterator[tuple[Key, Answer | None]]:
    """Yield each job with what ``call`` returned for it, as soon as it is there.

    Args:
        address: "ray://HOST:PORT" of a cluster, "auto" for the one this machine belongs to, or
            "local" to start one on this machine and end it afterwards.
        call: A function that every machine can import.
        jobs: Names and arguments.
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
        yield from _finished(ray, call, jobs, threads)
    finally:
        if mine:
            ray.shutdown()


def _finished(
    ray: Any, call: Callable[..., Any], jobs: Sequence[tuple[Key, tuple[Any, ...]]], threads: int
) -> Iterator[tuple[Key, Answer | None]]:
    gpus = 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0
    task = ray.remote(call).options(num_cpus=threads, num_gpus=gpus, max_retries=1)
    waiting = {task.remote(*given): job for job, given in jobs}
    failed: list[str] = []
    while waiting:
        (ready,), _ = ray.wait(list(waiting), num_returns=1)
        job = waiting.pop(ready)
        try:
            yield job, ray.get(ready)
        except ray.exceptions.RayError as error:
            failed.append(f"{job}: {_reason(error)}")
    if failed:
        more = f" ({len(failed)} trials failed)" if len(failed) > 1 else ""
        raise TrainingError(f"{failed[0]}{more}")


def _reason(error: Any) -> str:
    cause = getattr(error, "cause", None)
    if isinstance(cause, EquipoiseError):
        return str(cause)
    return " ".join(str(cause or error).split())[:200]
