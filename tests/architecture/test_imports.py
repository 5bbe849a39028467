"""Importing does nothing heavy, the layers hold, and the face names what exists."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import equipoise

HEAVY = ("numpy", "polars", "torch", "matplotlib", "lightning", "keras", "sklearn", "scipy")
SOURCE = Path(equipoise.__file__).parent


Loaded = Callable[..., set[str]]

# Runs each line of stdin in a fork of its own, and answers with what that loaded.
SERVER = """
import json, os, sys
exec(sys.argv[1])
for line in sys.stdin:
    code, names = json.loads(line)
    assert not [n for n in names if n in sys.modules], "loaded before"
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.dup2(2, 1)  # what the code prints is no answer
            exec(code, {})
            os.write(writer, json.dumps([n for n in names if n in sys.modules]).encode())
            status = 0
        except BaseException:
            import traceback
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as answer:
        found = answer.read()
    os.waitpid(child, 0)
    print(found or "null", flush=True)
"""
DECISION_SIDE = "import numpy, scipy.stats, scipy.optimize, polars, sklearn.linear_model, pydantic"
TORCH = f"{DECISION_SIDE}, torch, torch.utils.data, safetensors.torch"


@pytest.fixture(scope="module")
def loaded_by() -> Iterator[Loaded]:
    """Which of some names code loads in a process in which ``after`` was run already."""
    servers: dict[str, subprocess.Popen[str]] = {}
    with ExitStack() as stack:

        def loaded(code: str, names: tuple[str, ...], after: str = "") -> set[str]:
            if after not in servers:
                server = subprocess.Popen(
                    [sys.executable, "-c", SERVER, after],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                servers[after] = stack.enter_context(server)
                stack.callback(server.stdin.close)
            server = servers[after]
            server.stdin.write(json.dumps([code, names]) + "\n")
            server.stdin.flush()
            found = json.loads(server.stdout.readline())
            assert found is not None, "it failed: see stderr"
            return set(found)

        yield loaded


def test_importing_the_package_loads_nothing_heavy(loaded_by: Loaded) -> None:
    assert loaded_by("import equipoise", HEAVY) == set()


def test_this_check_can_fail(loaded_by: Loaded) -> None:
    assert loaded_by("import numpy", HEAVY) == {"numpy"}


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"]]
    + [
        [verb, "--help"]
        for verb in [
            "demo",
            "init",
            "diagnose",
            "audit",
            "split",
            "mine",
            "compare",
            "tune",
            "evaluate",
            "report",
            "methods",
        ]
    ],
)
def test_help_loads_nothing_heavy(arguments: list[str], loaded_by: Loaded) -> None:
    code = (
        "from equipoise.cli.main import main\n"
        f"try: main({arguments!r})\n"
        "except SystemExit as stop: assert stop.code == 0, stop.code"
    )
    assert loaded_by(code, HEAVY) == set()


@pytest.mark.parametrize(
    "name",
    [
        "artifacts",
        "io",
        "labels",
        "metrics",
        "decisions",
        "splits",
        "comparison",
        "diagnosis",
        "report.render",
        "sampling.rule_table",
        "sampling.weights",
        "studies.schema",
        "methods",
    ],
)
def test_the_decision_side_loads_no_torch(name: str, loaded_by: Loaded) -> None:
    code, names = f"import equipoise.{name}", ("torch", "lightning", "keras")
    assert not loaded_by(code, names, DECISION_SIDE)


# Without any extra every public name is there, or says what it needs.
WITHOUT_EXTRAS = """
import importlib, sys
from pathlib import Path
import equipoise
from equipoise._core.extras import EXTRA_OF
from equipoise.errors import MissingExtraError
class Hidden:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in EXTRA_OF:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
place = Path(equipoise.__file__).parent
lacking = 0
for face in ["equipoise", *(f"equipoise.{p.parent.name}" for p in place.glob("*/__init__.py"))]:
    try:
        names = list(importlib.import_module(face).__all__)
    except (MissingExtraError, AttributeError):
        continue
    for name in names:
        try:
            getattr(sys.modules[face], name)
        except MissingExtraError as error:
            lacking += 1
            assert 'pip install "equipoise[' in str(error), error
assert lacking > 20, lacking
"""


def test_without_extras_every_public_name_is_there_or_names_its_extra(loaded_by: Loaded) -> None:
    assert not loaded_by(WITHOUT_EXTRAS, ("torch", "lightgbm", "keras"), DECISION_SIDE)


def test_losses_and_samplers_load_no_lightning(loaded_by: Loaded) -> None:
    code = "import equipoise.losses, equipoise.sampling.samplers, equipoise.data, equipoise.models"
    assert not loaded_by(code, ("lightning", "keras"), TORCH)


def test_the_keras_side_loads_no_lightning_and_takes_the_backend_as_it_is(
    loaded_by: Loaded,
) -> None:
    code = (
        "import os; os.environ['KERAS_BACKEND'] = 'torch'\n"
        "import equipoise.keras, keras\n"
        "assert keras.backend.backend() == 'torch' == os.environ['KERAS_BACKEND']"
    )
    assert loaded_by(code, ("lightning", "jax", "tensorflow"), TORCH) == set()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import sys; sys.modules['keras'] = None", "MissingExtraError"),
        (
            (
                "import os; os.environ['KERAS_BACKEND'] = 'tensorflow'\nimport sys; "
                "sys.modules['tensorflow'] = None"
            ),
            "UsageError",
        ),
    ],
)
def test_without_keras_or_its_backend_the_message_says_what_to_do(code: str, error: str) -> None:
    words = {
        "MissingExtraError": 'pip install "equipoise[keras]"',
        "UsageError": "Set KERAS_BACKEND to torch or jax",
    }
    program = f"{code}\nimport equipoise\nimport equipoise.keras"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"{error}: " in done.stderr
    assert words[error] in done.stderr


def test_without_transformers_the_message_says_which_extra_brings_them() -> None:
    program = (
        "import sys; sys.modules['transformers'] = None\nimport equipoise.integrations.huggingface"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "MissingExtraError: equipoise.integrations.huggingface needs" in done.stderr
    assert 'pip install "equipoise[hf]"' in done.stderr


def test_the_face_names_what_exists() -> None:
    for name in equipoise.__all__:
        assert getattr(equipoise, name) is not None
        assert not isinstance(getattr(equipoise, name), type(sys)), f"{name} is a module"
    assert set(dir(equipoise)) >= set(equipoise.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = equipoise.nothing


def test_lazy_faces_tell_python_and_type_checkers_the_same() -> None:
    faces = [p for p in SOURCE.rglob("__init__.py") if "lazy_face(" in p.read_text()]
    assert len(faces) >= 7
    for path in faces:
        package = ".".join(path.parent.relative_to(SOURCE.parent).parts)
        body = ast.parse(path.read_text(encoding="utf-8")).body
        (static,) = (node for node in body if isinstance(node, ast.If))
        given = {
            alias.asname: node.module
            for node in static.body if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }  # fmt: skip
        face = importlib.import_module(package)
        assert set(given) == set(face.__all__), package
        for name, module in given.items():
            assert getattr(face, name) is getattr(importlib.import_module(module), name), name


def test_every_public_name_of_every_package_exists() -> None:
    packages = [p.parent.name for p in SOURCE.glob("*/__init__.py")]
    for package in packages:
        module = importlib.import_module(f"equipoise.{package}")
        for name in getattr(module, "__all__", ()):
            assert hasattr(module, name), f"equipoise.{package}.{name}"


def test_each_file_says_in_its_first_line_what_it_is_for() -> None:
    for path in SOURCE.rglob("*.py"):
        first = path.read_text(encoding="utf-8").split("\n", 1)[0]
        assert first.startswith('"""'), path
        assert len(first) > 20, path


def test_nothing_is_pickled_or_evaluated() -> None:
    banned = ("import pickle", "allow_pickle=True", "weights_only=False", "yaml.load(", "eval(")
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for word in banned:
            assert word not in text.replace("literal_eval(", "").replace(".eval(", ""), path
