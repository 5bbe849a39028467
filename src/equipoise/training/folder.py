"""The folder of a trial: the record and all that belongs beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from equipoise._core.files import atomic_path
from equipoise.artifacts import Trial

__all__ = ["write_trial"]


def write_trial(trial: Trial, weights: Mapping[str, Tensor], root: Path) -> Trial:
    """Write a trial's folder under ``root``; trial.json comes last and marks it finished."""
    from safetensors.torch import save_file

    named = replace(trial, model_file="model.safetensors")
    with atomic_path(root / named.folder_name / "model.safetensors") as temporary:
        save_file({k: v.contiguous() for k, v in weights.items()}, temporary)
    named.save(root)
    return named
