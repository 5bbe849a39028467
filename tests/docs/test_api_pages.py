"""Every public name is documented, once."""

from __future__ import annotations

import importlib
import inspect
import re
from collections import Counter
from functools import cache

from made_pages import pages

DOCSTRING = r"^\.\. auto(?:class|function|exception):: (\S+)$"
ON_PAGE = r"^\.\. py:data:: (\w+)\n   :module: (\S+)\n\n   \S"


@cache
def texts() -> dict[str, str]:
    made: dict[str, str] = pages().api_pages()
    return made


def by_docstring() -> list[str]:
    return [n for text in texts().values() for n in re.findall(DOCSTRING, text, re.MULTILINE)]


def by_page() -> list[str]:
    found = [x for text in texts().values() for x in re.findall(ON_PAGE, text, re.MULTILINE)]
    return [f"{module}.{name}" for name, module in found]


@cache
def listed() -> list[str]:
    return by_docstring() + by_page()


def found(name: str) -> object:
    room, _, last = name.rpartition(".")
    return getattr(importlib.import_module(room), last)


def test_no_name_is_listed_twice_and_no_object_under_two_names() -> None:
    assert [name for name, times in Counter(listed()).items() if times > 1] == []
    things = Counter(id(found(name)) for name in listed() if callable(found(name)))
    assert [name for name in listed() if things[id(found(name))] > 1] == []


def test_every_public_name_is_listed() -> None:
    there = {id(found(name)) for name in listed()}
    ends = {name.rpartition(".")[2] for name in listed()}
    for module in pages().public_modules():
        for name in pages().public_names(module):
            value = getattr(importlib.import_module(module), name)
            if not inspect.ismodule(value):
                known = id(value) in there if callable(value) else name in ends
                assert known, f"{module}.{name}"


def test_rooms_of_the_house_are_there() -> None:
    """A package without ``__all__`` would be left out in silence."""
    for room in ("artifacts", "audit", "boosting", "comparison", "data", "decisions", "diagnosis",
                 "export", "io", "keras", "keras.losses", "keras.metrics", "keras.data", "labels",
                 "losses", "methods", "metrics", "mining", "models", "report", "sampling", "splits",
                 "studies", "training", "integrations.huggingface", "errors"):  # fmt: skip
        assert f"api/equipoise.{room}.md" in texts()


def test_everything_public_says_what_it_is() -> None:
    assert len(by_docstring()) > 400
    for name in by_docstring():
        assert inspect.getdoc(found(name)), name
    # Constants have no docstring: what stands below them in the source is on the page.
    assert "equipoise.methods.METHODS" in by_page()
    assert sum(text.count(".. py:data::") for text in texts().values()) == len(by_page())


def test_the_face_says_where_its_names_are_documented() -> None:
    index = texts()["api/index.md"]
    face = importlib.import_module("equipoise")
    for name in face.__all__:
        target = re.search(rf"`equipoise\.{name}` \| {{py:obj}}`([\w.]+)`", index)
        assert f"equipoise.{name}" in listed() or (target is not None and target[1] in listed()), (
            name
        )
        if target is not None:
            assert found(target[1]) is getattr(face, name)
