"""Devices by name, if they are there."""

from __future__ import annotations

import torch

from equipoise._core.messages import say
from equipoise.errors import UsageError

_KNOWN = ("auto", "cpu", "cuda", "gpu", "mps")


def devices_here() -> dict[str, int]:
    """Return the kinds of devices that torch finds here, and how many there are of each."""
    found = {"cpu": 1}
    if torch.cuda.is_available():
        found["cuda"] = torch.cuda.device_count()
    if torch.backends.mps.is_available():
        found["mps"] = 1
    return found


def choose_device(name: str, argument: str = "device") -> torch.device:
    """Return a device by name; "auto" takes a GPU where there is one, and "gpu" is "cuda".

    Args:
        name: "auto", "cpu", "cuda", "cuda:1", "gpu" or "mps".
        argument: Who asks, for messages.

    Raises:
        UsageError: another name, or a device that is not there.

    Example:
        >>> choose_device("cpu")
        device(type='cpu')
    """
    here = devices_here()
    if name == "auto":
        return torch.device("cuda" if "cuda" in here else "mps" if "mps" in here else "cpu")
    kind, _, number = str(name).partition(":")
    if kind not in _KNOWN or (number and not number.isdecimal()):
        raise UsageError(say(argument, "be auto, cpu, cuda or mps", repr(name)))
    kind = "cuda" if kind == "gpu" else kind
    if int(number[:9] or 0) >= here.get(kind, 0):
        do = f"Available here: {', '.join(here)}. Take one of them, or auto."
        raise UsageError(say(argument, "name a device that is there", repr(name), do))
    return torch.device(f"{kind}:{int(number)}" if number else kind)
