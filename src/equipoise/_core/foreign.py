"""Objects of the user's own code: ``module:name``, or ``file.py:name``."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any


def import_named(path: str) -> tuple[ModuleType, Any]:
    """Import what ``module:name`` or ``folder/file.py:name`` says, the current folder included.

    Returns:
        The module, and the object in it.

    Raises:
        ImportError, AttributeError, ValueError: nothing of that name.

    Example:
        >>> import_named("math:floor")[1](2.5)
        2
    """
    module, _, name = path.rpartition(":")
    folder = Path.cwd()
    if module.endswith(".py"):
        file = Path(module)
        folder, module = file.resolve().parent, file.stem
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    found = import_module(module)
    return found, getattr(found, name)
