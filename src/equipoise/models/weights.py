"""Load foreign weights: tensors alone, never pickled objects, with a report of what fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from equipoise._core.messages import hint, say
from equipoise.errors import DataError, MissingExtraError, ShapeError

Shapes = tuple[tuple[int, ...], tuple[int, ...]]
# Under these keys training scripts and Lightning keep the weights; the first one found is taken.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
_PREFIXES = ("module.", "model.", "_orig_mod.")
_MOST = 5


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What became of the weights of a file.

    Args:
        loaded: Names that were copied into the model.
        missing: Names of the model that the file does not hold; they are as before.
        unexpected: Names of the file that the model does not have.
        mismatched: Names with other shapes, left as before: (shape in file, shape in model).

    Example:
        >>> print(LoadReport(("a.weight",), (), (), {"b.weight": ((10, 64), (4, 64))}))
        1 loaded, 0 missing, 0 unexpected, 1 of another shape: b.weight (10, 64) for (4, 64)
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: Mapping[str, Shapes]

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} loaded"]
        others = [f"{name} {have} for {want}" for name, (have, want) in self.mismatched.items()]
        for names, what in (
            (list(self.missing), "missing"),
            (list(self.unexpected), "unexpected"),
            (others, "of another shape"),
        ):
            more = ", ..." if len(names) > _MOST else ""
            listed = f": {', '.join(names[:_MOST])}{more}" if names else ""
            parts.append(f"{len(names)} {what}{listed}")
        return ", ".join(parts)


def load_weights(
    model: nn.Module, path: str | Path, *, strict: bool = True, skip_mismatched: bool = False
) -> LoadReport:
    """Copy the weights of a file into a model, after all checks are passed.

    Use for weights from elsewhere. Safetensors and files of ``torch.save`` that hold tensors alone
    are read; nothing in them is executed. Weights beneath "state_dict" or "model" are found, and
    the prefixes "module." and "model." of wrapped models are taken off.

    Args:
        model: Changed in place; untouched if anything is wrong.
        path: Of the file; its content decides the format, not its name.
        strict: Missing and unexpected names are an error.
        skip_mismatched: Tensors of another shape are left out instead of being an error, for a
            last layer of another width.

    Returns:
        Which names were loaded, missing, unexpected and mismatched.

    Raises:
        DataError: no such file, a file that is damaged or holds pickled objects, no name in
            common, or with ``strict`` names that do not fit.
        ShapeError: a tensor of another shape, unless ``skip_mismatched``.

    Example:
        >>> import tempfile
        >>> from safetensors.torch import save_file
        >>> five, two = (nn.Sequential(nn.Linear(3, 3), nn.Linear(3, n)) for n in (5, 2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_file(five.state_dict(), f"{folder}/five.safetensors")
        ...     report = load_weights(two, f"{folder}/five.safetensors", skip_mismatched=True)
        >>> report.loaded, report.mismatched["1.bias"]
        (('0.weight', '0.bias'), ((5,), (2,)))
    """
    file = Path(path)
    found = _stripped(_read(file), model)
    report = _compare(model.state_dict(), found)
    if not report.loaded and not report.mismatched:
        do = "Is it of another network?"
        raise DataError(say("path", "hold weights of this model", f"{file}: {report}", do))
    if strict and (report.missing or report.unexpected):
        do = hint("Pass {strict=False} to load what is there.")
        raise DataError(say("path", "hold every weight and no other", f"{file}: {report}", do))
    if report.mismatched and not skip_mismatched:
        do = hint("Pass {skip_mismatched=True} to keep the model's own.")
        got = f"{file}; {report}"
        raise ShapeError(say("path", "hold tensors of the model's shapes", got, do))
    model.load_state_dict({name: found[name] for name in report.loaded}, strict=False)
    return report


def _compare(own: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> LoadReport:
    loaded, mismatched = [], {}
    for name, tensor in own.items():
        if name in found and found[name].shape == tensor.shape:
            loaded.append(name)
        elif name in found:
            mismatched[name] = (tuple(found[name].shape), tuple(tensor.shape))
    # Files from before torch 0.4.1 have no counter of batches, and momentum does without it. Tied
    # weights stand in a file once.
    there = {own[name].data_ptr() for name in loaded if own[name].numel()}
    missing = tuple(
        name
        for name in own
        if name not in found
        and not name.endswith("num_batches_tracked")
        and own[name].data_ptr() not in there
    )
    unexpected = tuple(name for name in found if name not in own)
    return LoadReport(tuple(loaded), missing, unexpected, mismatched)


def _stripped(found: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Take off the prefix that a wrapper put before all names, where the model has none such."""
    own = model.state_dict()
    for prefix in _PREFIXES:
        shared = all(name.startswith(prefix) for name in found)
        if shared and not any(name.startswith(prefix) for name in own):
            found = {name.removeprefix(prefix): value for name, value in found.items()}
    return found


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise DataError(say("path", "be a file of weights", str(path), "There is none."))
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] == b"{":
        content = _read_safetensors(path)
    elif start.startswith((b"PK", b"\x80")):
        content = _read_torch(path)
    else:
        raise _damaged(path, "another format")
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        got = f"{type(content).__name__} in {path}"
        raise DataError(say("path", "hold a state dict", got, "Save model.state_dict()."))
    odd = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if odd:
        got = f"other things in {path}: {', '.join(odd[:_MOST])}"
        raise DataError(say("path", "hold tensors by name", got, "Save model.state_dict()."))
    return {str(name): value for name, value in content.items()}


def _read_safetensors(path: Path) -> Any:
    try:
        from safetensors.torch import load_file
    except (ImportError, RuntimeError) as error:
        raise MissingExtraError("safetensors", "torch", "load_weights") from error
    try:
        return load_file(path)
    except Exception as error:
        raise _damaged(path, error) from error


def _read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if "Weights only" in str(error):
            do = (
                "Such a file can run any code. Where it comes from, save the tensors alone: "
                "safetensors.torch.save_file(model.state_dict(), path)."
            )
            got = f"pickled objects in {path}"
            raise DataError(say("path", "hold tensors alone", got, do)) from error
        raise _damaged(path, error) from error


def _damaged(path: Path, why: object) -> DataError:
    got = f"{path} ({' '.join(str(why).split())[:160]})"
    do = "It is damaged or of another format; copy it again."
    return DataError(say("path", "be safetensors or a file of torch.save", got, do))
