"""pyproject, constraints, Makefile, CI and what a release holds say the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, cast

import yaml
from release.check import OFFERED
from release.licences import sections

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


def jobs_of(name: str) -> dict[str, Any]:
    text = (ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}, name
    return cast("dict[str, Any]", workflow["jobs"])


def test_what_a_change_has_to_pass_is_make_check_alone() -> None:
    (job,) = jobs_of("check.yml").values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["make check"]
    used = [step["uses"] for step in job["steps"] if "uses" in step]
    assert {u.partition("@")[0] for u in used} == {"actions/checkout", "actions/setup-python"}


def test_workflows_pin_what_they_use_and_call_what_there_is() -> None:
    names = sorted(p.name for p in (ROOT / ".github" / "workflows").iterdir())
    assert names == ["check.yml", "docs.yml", "pythons.yml", "release.yml"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in names:
        for step in [step for job in jobs_of(name).values() for step in job["steps"]]:
            assert re.search(r"@v\d+$", step.get("uses", "@v0")), step
            for target in re.findall(r"make ([a-z-]+)", step.get("run", "")):
                assert f"\n{target}:" in makefile, target


def test_the_pythons_that_are_named_are_tested() -> None:
    named = {
        c.rpartition(" ")[2]
        for c in PROJECT["project"]["classifiers"]
        if re.search(r"Python :: 3\.\d+$", c)
    }
    matrix = jobs_of("pythons.yml")["tests"]["strategy"]["matrix"]
    assert set(matrix["python"]) == named
    assert PROJECT["project"]["requires-python"] == f">={matrix['python'][0]}"


def test_the_lowest_versions_are_those_that_pyproject_allows() -> None:
    parts = [PROJECT["project"]["dependencies"]]
    extras = PROJECT["project"]["optional-dependencies"]
    parts += [needed for name, needed in extras.items() if name not in ("dev", "docs", "release")]
    bounds = [re.match(r"([\w.-]+)>=([\d.]+)", r) for needed in parts for r in needed]
    lowest = {f"{m[1]}=={m[2]}" for m in bounds if m and m[1] != "torch"}
    lines = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    assert {line for line in lines if not line.startswith("#")} == lowest


def test_whatever_is_no_python_goes_into_the_wheel() -> None:
    package = Path(equipoise.__file__).parent
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["equipoise"]
    files = {p for p in package.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")}
    packed = {p for pattern in patterns for p in package.glob(pattern)}
    assert files == packed
    assert all(list(package.glob(pattern)) for pattern in patterns)


def test_every_extra_is_used_by_the_release_check_and_every_use_is_of_one() -> None:
    used = {p.stem.removeprefix("with_") for p in (ROOT / "release/extras").glob("with_*.py")}
    assert used == {"base", *OFFERED}


def test_every_dependency_is_listed_with_its_licence() -> None:
    text = (ROOT / "THIRD_PARTY.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| ([\w.-]+) \| \S+ \| ([^|]+) \|", text, re.MULTILINE))
    for names in sections().values():
        assert set(names) <= set(listed)
    assert not [name for name, licence in listed.items() if "not said" in licence]
    for font in (ROOT / "docs" / "fonts").glob("*.woff2"):
        assert f"docs/fonts/{font.name}" in text


def test_one_version_and_day_in_what_is_cited_and_what_is_told() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    told = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert cited["version"] == PROJECT["project"]["version"]
    assert f"\n## {cited['version']} - {cited['date-released']}\n" in told
