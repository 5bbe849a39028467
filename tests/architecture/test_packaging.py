"""pyproject, constraints, Makefile and CI say the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import equipoise

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = dict(
    re.split(r"==", line, maxsplit=1)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if "==" in line
)


def plain(requirement: str) -> str:
    return re.split(r"[<>=\[; ]", requirement)[0].lower()


def test_what_the_core_needs_is_pinned() -> None:
    pinned = {name.lower() for name in PINS}
    needed = [plain(r) for r in PROJECT["project"]["dependencies"]]
    for extra in ("torch", "train", "vision", "dev", "docs"):
        needed += [plain(r) for r in PROJECT["project"]["optional-dependencies"][extra]]
    assert set(needed) - {"equipoise"} <= pinned


def test_torch_is_the_tested_one_and_torchvision_is_kept_out() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert "torch==2.13.0" in lines
    assert "torchvision<0" in lines


def test_version_is_said_once() -> None:
    assert PROJECT["project"]["version"] == equipoise.__version__


def test_the_core_has_no_torch() -> None:
    assert not {"torch", "lightning", "keras"} & {
        plain(r) for r in PROJECT["project"]["dependencies"]
    }


def test_keras_is_tested_on_torch_and_jax_but_ci_takes_torch_alone() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    rules = dict(re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)+)", makefile, flags=re.MULTILINE))
    assert "KERAS_BACKEND=jax" in rules["test-all"]
    assert "jax" not in rules["test"]
    extras = PROJECT["project"]["optional-dependencies"]
    assert not [r for r in extras["dev"] if plain(r) in ("jax", "tensorflow")]


def test_ci_runs_make_check() -> None:
    assert "make check" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^check: lint types test", makefile, flags=re.MULTILINE)


def test_every_room_stands_in_the_layers() -> None:
    contract = PROJECT["tool"]["importlinter"]["contracts"][0]
    rooms = {name.strip(" ()") for row in contract["layers"] for name in row.split("|")}
    source = Path(equipoise.__file__).parent
    stands = {p.parent.name for p in source.glob("*/__init__.py")}
    assert stands <= rooms
