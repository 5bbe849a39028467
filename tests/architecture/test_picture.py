"""The picture of the rooms shows the rooms that there are, and what the guide names exists."""

from __future__ import annotations

import importlib.util
import re
import xml.etree.ElementTree as ET
from importlib import import_module
from pathlib import Path

import equipoise

ROOT = Path(__file__).parents[2]


def rooms_drawn() -> list[list[str]]:
    """The names of the rooms in the picture that is committed, floor by floor."""
    picture = ET.parse(ROOT / "docs" / "architecture.svg")  # noqa: S314
    floors: dict[str, list[str]] = {}
    for text in picture.iter("{http://www.w3.org/2000/svg}text"):
        if text.get("font-weight") == "bold":
            floors.setdefault(str(text.get("y")), []).append(str(text.text))
    return list(floors.values())


def test_the_picture_is_of_this_house() -> None:
    place = ROOT / "docs" / "draw_architecture.py"
    spec = importlib.util.spec_from_file_location("draw_architecture", place)
    assert spec is not None
    assert spec.loader is not None
    drawing = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawing)
    assert rooms_drawn() == drawing.floors()
    package = Path(equipoise.__file__).parent
    there = {p.stem for p in package.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert {room for floor in rooms_drawn() for room in floor} == there - {"__init__", "__main__"}


def test_what_the_page_names_exists() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    steps = page.partition("in ten functions")[2].partition("What trains")[0]
    lines = re.findall(r"^\d+\. (.*?)$", steps, re.MULTILINE)
    assert len(lines) == 10
    for name in re.findall(r"`([a-z_]+(?:\.\w+)+)(?:\(name\)\.build)?`", page):
        if name.endswith((".py", ".svg", ".md", ".toml")) or "/" in name:
            continue
        module, _, member = name.rpartition(".")
        assert hasattr(import_module(f"equipoise.{module}"), member), name


def test_the_guide_names_files_and_targets_that_exist() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([a-z-]+)`", guide):
        assert f"\n{target}:" in makefile, target
    for path in re.findall(r"`((?:tests|docs)/[\w/.]+)`", guide):
        assert (ROOT / path).exists(), path
    for path in re.findall(r"`src/([\w/.]+)`", guide):
        assert "your_loss" in path or (Path(equipoise.__file__).parents[1] / path).exists(), path
