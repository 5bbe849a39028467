"""Where an optional package is missing, whoever asks for it learns which extra brings it."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

import equipoise
from equipoise._core.extras import EXTRA_OF, naming_extras
from equipoise.cli.main import app, run_app
from equipoise.errors import MissingExtraError

SOURCE = Path(equipoise.__file__).parent
PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
CORE = {"numpy", "scipy", "sklearn", "polars", "narwhals", "pydantic", "yaml", "typer", "jinja2",
        "matplotlib"}  # fmt: skip
# tqdm by Lightning, the others by what the core needs.
BROUGHT_ALONG = {"PIL", "joblib", "pydantic_core", "rich", "threadpoolctl", "tqdm"}
# No extra installs them: they are asked for by name, or given, by those who have them.
THEIR_OWN = {"IPython", "datasets", "onnxruntime", "pandas", "tensorflow", "timm", "torchvision",
             "xgboost"}  # fmt: skip
IMPORT = re.compile(
    r"^ *(?:import ([\w.]+)(?: as \w+)?|from ([\w.]+) import .*?)(?:  #.*)?$", re.MULTILINE
)


def imported() -> set[str]:
    lines = [m for p in SOURCE.rglob("*.py") for m in IMPORT.findall(p.read_text("utf-8"))]
    found = {(module or origin).partition(".")[0] for module, origin in lines}
    return found - sys.stdlib_module_names - {"equipoise"}


def test_whatever_the_source_imports_is_needed_or_has_its_extra() -> None:
    assert not imported() - CORE - BROUGHT_ALONG - THEIR_OWN - set(EXTRA_OF)


def test_every_extra_is_named_by_a_package() -> None:
    ours = {"dev", "docs", "release"}
    assert set(EXTRA_OF.values()) == set(PROJECT["optional-dependencies"]) - ours
    names = {"imblearn": "imbalanced-learn", "mlflow": "mlflow-skinny"}
    for module, extra in EXTRA_OF.items():
        listed = [re.split(r"[<>=\[;]", r)[0] for r in PROJECT["optional-dependencies"][extra]]
        assert names.get(module, module) in listed, module


@pytest.mark.parametrize(("verb", "extra"), [("predict", "train"), ("audit", "torch")])
def test_a_verb_says_it_in_a_line(
    verb: str, extra: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lacks = ModuleNotFoundError("No module named 'torch.utils'", name="torch.utils")

    def fail(*_: object, **__: object) -> None:
        raise lacks

    monkeypatch.setattr("typer.core.TyperGroup.__call__", fail)
    assert run_app(app, [verb]) == 2
    expected = f"equipoise {verb} needs the package `torch`, which is not installed. Install it"
    told = capsys.readouterr().err
    assert told == f'equipoise: {expected} with: pip install "equipoise[{extra}]"\n'


def test_what_no_extra_brings_stays_as_it_is() -> None:
    with pytest.raises(ModuleNotFoundError, match="mine"), naming_extras("fit"):
        raise ModuleNotFoundError("No module named 'mine'", name="mine")
    told = pytest.raises(MissingExtraError, match=r"^fit needs .*`skops`.*equipoise\[tables\]")
    with told, naming_extras("fit"):
        raise ModuleNotFoundError("No module named 'skops.io'", name="skops.io")
