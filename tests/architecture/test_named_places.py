"""Names of this package that messages, docstrings and pages give lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import equipoise

SOURCE = Path(equipoise.__file__).parent
ROOT = Path(__file__).parents[2]
# Quoted they are schemas of files; behind import Python looks them up itself.
NAME = re.compile(r"""(?<!["'/\w.-])equipoise((?:\.[A-Za-z_]\w*)+)""")
IMPORT = re.compile(r"^[ >]*(?:import|from) .*$", re.MULTILINE)


def leads_somewhere(name: str) -> bool:
    """Follow folders and files; what is left has to stand in the last one."""
    place = SOURCE
    for part in name.split(".")[1:]:
        if (place / part).is_dir():
            place /= part
        elif (place / f"{part}.py").is_file():
            place = place / f"{part}.py"
        else:
            text = (place if place.is_file() else place / "__init__.py").read_text(encoding="utf-8")
            return re.search(rf"\b{part}\b", text) is not None
    return True


@pytest.mark.parametrize("pattern", ["*.py", "*.md"])
def test_every_place_that_is_named_exists(pattern: str) -> None:
    files = [*SOURCE.rglob(pattern), *(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
    lost = {
        f"{path.name}: equipoise{name}"
        for path in files
        for name in NAME.findall(IMPORT.sub("", path.read_text(encoding="utf-8")))
        if not leads_somewhere(name)
    }
    assert not lost


def test_a_place_that_is_gone_is_found() -> None:
    assert leads_somewhere(".studies.refit")
    assert leads_somewhere(".labels.class_weights")
    assert not leads_somewhere(".labels.read_labels")
