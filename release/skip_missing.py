"""A plugin of pytest: where an extra is not installed, tests that ask for it are skipped.

`python -m pytest -p release.skip_missing` runs what an environment without torch can run, and
names in each skip the package that was asked for. An environment that has a package skips nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from importlib.util import find_spec

import pytest

from equipoise.errors import MissingExtraError

OPTIONAL = frozenset({
    "PIL", "accelerate", "catboost", "duckdb", "imblearn", "iterstrat", "jax", "keras", "kornia",
    "lightgbm", "lightning", "mlflow", "monai", "onnx", "onnxruntime", "onnxscript", "openpyxl",
    "playwright", "ray", "safetensors", "skops", "skorch", "tensorboard", "torch", "transformers",
    "wandb", "xgboost",
})  # fmt: skip


def lacking(error: BaseException | None) -> str | None:
    """Return the optional package that an error is about, if that is not installed."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name is not None:
            package = error.name.partition(".")[0]
            if package in OPTIONAL and find_spec(package) is None:
                return package
        error = error.__cause__ or error.__context__
    return None


def _skip(error: BaseException) -> None:
    package = lacking(error)
    if package is not None:
        pytest.skip(f"needs {package}", allow_module_level=True)
    raise error


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Skip a test that meets a missing package."""
    try:
        return (yield)
    except (ImportError, MissingExtraError) as error:
        return _skip(error)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    """Skip a test whose fixtures meet one."""
    try:
        return (yield)
    except (ImportError, MissingExtraError) as error:
        return _skip(error)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Skip a file that imports one, as the file of its tests and as that of its examples."""
    collect = collector.collect

    def imported() -> object:
        try:
            return list(collect())
        except (ImportError, pytest.Collector.CollectError) as error:
            return _skip(error)

    collector.collect = imported  # type: ignore[method-assign, assignment]
    return (yield)
