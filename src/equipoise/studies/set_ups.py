"""Set-ups for the diagnosis from YAML: plain ones, and the arms of a study."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from equipoise._core.documents import parse_yaml, read_text
from equipoise._core.messages import say
from equipoise.diagnosis import Setup, read_setup
from equipoise.errors import DataError, DataWarning, UsageError
from equipoise.methods import THRESHOLDS, get_method
from equipoise.studies.schema import REFERENCES

# Losses of the catalogue that weigh by counts.
_WEIGH = ("pos_weight", "inverse_frequency", "weighted_ce", "class_balanced",
          "class_balanced_focal", "distribution_balanced")  # fmt: skip


def read_setups(path: str | Path) -> tuple[Setup, ...]:
    """Read set-ups: one mapping, a list of them, names over mappings, or a study file.

    Raises:
        DataError: no such file, or no YAML.
        UsageError: an unknown key, with the closest known one.
    """
    file = Path(path)
    try:
        content = parse_yaml(read_text(file))
    except FileNotFoundError:
        raise DataError(say(str(file), "be a set-up in YAML", "nothing there")) from None
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(say(str(file), "be YAML", reason)) from error
    if isinstance(content, Mapping) and "arms" in content:
        return setups_of_study(content)
    if isinstance(content, list):
        return tuple(read_setup(part, f"setup {i}") for i, part in enumerate(content, 1))
    if isinstance(content, Mapping) and _is_named(content):
        return tuple(read_setup(part, str(name)) for name, part in content.items())
    return (read_setup(content, file.stem),)


def _is_named(content: Mapping[str, Any]) -> bool:
    """Return whether names stand over set-ups, and not the words of a single one."""
    # Weights per class are a mapping too, but a single set-up has them.
    if not content or "class_weight" in content or "pos_weight" in content:
        return False
    return all(isinstance(part, Mapping) for part in content.values())


def setups_of_study(content: Mapping[str, Any]) -> tuple[Setup, ...]:
    """Return a set-up per arm of a study, as far as its file says.

    Example:
        >>> made = setups_of_study({"arms": ["none", "weighted_sampling+pos_weight"],
        ...                         "training": {"batch_size": 32, "lr": 0.001}})
        >>> [(s.name, s.batch_size, s.sampler) for s in made]
        [('none', 32, None), ('weighted_sampling+pos_weight', 32, 'weighted_sampling')]
    """
    training = _part(content, "training", "study")
    shared = {k: training[k] for k in ("batch_size", "epochs", "lr") if k in training}
    found = []
    arms = content.get("arms") or ()
    arms = [arms] if isinstance(arms, str) else arms
    if not isinstance(arms, (list, tuple)):
        raise UsageError(say("arms", "be a list of methods", repr(arms)))
    for i, arm in enumerate(arms):
        given: Any = {"method": arm} if isinstance(arm, str) else arm
        if not isinstance(given, Mapping):
            raise UsageError(say(f"arms.{i}", "be a method or a mapping", repr(arm)))
        method, settings = str(given.get("method", "")), _part(given, "settings", f"arms.{i}")
        if method == THRESHOLDS:
            continue
        parts = [part.strip() for part in method.split("+")]
        families = {part: _family(part) for part in parts if part != "none"}
        of_rows = ("sampler", "resampling")
        sampler = next((p for p, f in families.items() if f in of_rows), None)
        after = settings.get("counts") == "after"
        more: dict[str, Any] = {}
        weighs = [part for part in parts if part in _WEIGH]
        if weighs and not after:
            more["weighting"] = weighs[0]
        if isinstance(settings.get("beta"), float):
            more["beta"] = settings["beta"]
        found.append(read_setup({**shared, **more, "name": given.get("name") or method,
                                 "sampler": sampler}))  # fmt: skip
    return tuple(found)


def _part(content: Mapping[str, Any], key: str, of: str) -> Mapping[str, Any]:
    found = content.get(key) or {}
    if not isinstance(found, Mapping):
        raise UsageError(say(f"{of}.{key}", "be a mapping", repr(found)))
    return found


def _family(name: str) -> str:
    try:
        return get_method(name).family
    except UsageError as error:
        if name in REFERENCES or ":" in name:
            return ""
        near = f"{error} Nothing about it is checked."
        warnings.warn(near, DataWarning, stacklevel=3)
        return ""
