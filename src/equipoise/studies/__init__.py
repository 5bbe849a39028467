"""The study and its run; knows the whole line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipoise.studies.estimator import DecisionRuleClassifier
    from equipoise.studies.run import run_study
    from equipoise.studies.schema import Study, load_study

__all__ = [
    "DecisionRuleClassifier",
    "Study",
    "load_study",
    "run_study",
]

_HOME = {
    "DecisionRuleClassifier": "estimator",
    "Study": "schema",
    "load_study": "schema",
    "run_study": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
