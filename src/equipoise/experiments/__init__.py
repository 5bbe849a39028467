"""The catalogue of methods, the study and its run; knows the whole line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipoise.experiments.estimator import DecisionRuleClassifier
    from equipoise.experiments.methods import METHODS, Method, methods_for, remedy
    from equipoise.experiments.run import run_study
    from equipoise.experiments.study import Study, load_study

__all__ = [
    "METHODS",
    "DecisionRuleClassifier",
    "Method",
    "Study",
    "load_study",
    "methods_for",
    "remedy",
    "run_study",
]

_HOME = {
    "DecisionRuleClassifier": "estimator",
    "METHODS": "methods",
    "Method": "methods",
    "Study": "study",
    "load_study": "study",
    "methods_for": "methods",
    "remedy": "methods",
    "run_study": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
