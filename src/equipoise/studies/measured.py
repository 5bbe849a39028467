"""What is measured once for a study and kept in its folder: threads, a foreign network's rate.

Both are part of a trial. Measured anew on a busier day they might differ, and all would be trained
again; so the first answer stands in ``measured.json``, and a study that says the same is not asked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from equipoise._core.files import write_text
from equipoise.studies.engine import has_torch, using_threads, usual_threads
from equipoise.studies.schema import Study

Found = TypeVar("Found", int, float)
FILE = "measured.json"
_GAIN = 0.8  # one thread must be so much faster than several before it is preferred


def kept(
    place: Path | None,
    key: str,
    usual: Found,
    measure: Callable[[], Found],
    *,
    write: bool = True,
) -> Found:
    """Return what was measured for a folder before, or measure it and write it there.

    Args:
        place: Folder of a study's results; None keeps nothing.
        key: What it is.
        usual: What a folder was trained with in which trials stand and nothing is written.
        measure: Asked where nothing stands there, or nothing that can be read.
        write: Whether the answer is kept; False for a plan that writes nothing.
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
        if file is not None and write:
            write_text(file, json.dumps(known, indent=1) + "\n")
    found: Found = known[key]
    return found


def measured_threads(study: Study, place: Path | None, *, write: bool = True) -> int | None:
    """Return the threads of torch with which small steps are fastest; None where the study says.

    On a machine whose cores others use, several threads wait for each other at every step and can
    take many times as long as one.
    """
    if study.compute.threads is not None:
        return None
    many = usual_threads()
    if many == 1 or not has_torch():
        return many
    return kept(place, "threads", many, lambda: _fastest(many), write=write)


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
