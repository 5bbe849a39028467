"""Which extra brings which optional package, and errors that say so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from equipoise.errors import MissingExtraError

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")

EXTRA_OF = {
    "torch": "torch",
    "safetensors": "torch",
    "lightning": "train",
    "kornia": "train",
    "monai": "vision",
    "lightgbm": "tables",
    "skops": "tables",
    "catboost": "catboost",
    "imblearn": "resample",
    "ray": "ray",
    "openpyxl": "excel",
    "tensorboard": "tensorboard",
    "mlflow": "mlflow",
    "sqlalchemy": "mlflow",
    "alembic": "mlflow",
    "wandb": "wandb",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "transformers": "hf",
    "accelerate": "hf",
    "skorch": "skorch",
    "keras": "keras",
    "jax": "jax",
}
"""Module that is imported, to the extra that installs it."""


def missing_extra(
    error: BaseException, what: str, torch: str = "torch"
) -> MissingExtraError | None:
    """Return what a failed import says to a user, or None where no extra would help.

    Args:
        error: Of the import.
        what: What needs the package.
        torch: The extra to name for torch: "train" where more than torch is needed.

    Example:
        >>> lacks = ModuleNotFoundError("No module named 'skops.io'", name="skops.io")
        >>> print(missing_extra(lacks, "refit"))
        refit needs the package `skops`, which is not installed. Install it with: pip install \
"equipoise[tables]"
        >>> missing_extra(ModuleNotFoundError("No module named 'mine'", name="mine"), "refit")
    """
    if isinstance(error, MissingExtraError):
        return error
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    package = error.name.partition(".")[0]
    if package not in EXTRA_OF:
        return None
    extra = EXTRA_OF[package]
    return MissingExtraError(package, torch if extra == "torch" else extra, what)


@contextmanager
def naming_extras(what: str, torch: str = "torch") -> Iterator[None]:
    """Say which extra is missing where an import of an optional package fails."""
    try:
        yield
    except ImportError as error:
        told = missing_extra(error, what, torch)
        if told is None or told is error:
            raise
        raise told from error


def names_extras(
    torch: str = "train",
) -> Callable[[Callable[_Arguments, _Result]], Callable[_Arguments, _Result]]:
    """Decorate a function that imports what not every use of it needs."""

    def decorate(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
        @wraps(function)
        def call(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
            with naming_extras(function.__name__, torch):
                return function(*args, **kwargs)

        return call

    return decorate
