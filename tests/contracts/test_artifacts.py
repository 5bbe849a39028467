"""Laws over all artifacts, by reflection."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from equipoise import artifacts

CLASSES = {
    name: thing for name in artifacts.__all__ if inspect.isclass(thing := getattr(artifacts, name))
}


@pytest.mark.parametrize("name", CLASSES)
def test_an_artifact_is_a_frozen_dataclass_with_slots(name: str) -> None:
    kind = CLASSES[name]
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.frozen
    assert "__slots__" in vars(kind)


@pytest.mark.parametrize("name", CLASSES)
def test_an_artifact_explains_every_field(name: str) -> None:
    kind = CLASSES[name]
    for field in dataclasses.fields(kind):
        assert f"{field.name}:" in (kind.__doc__ or "") or name == "Influence", field.name


@pytest.mark.parametrize("name", CLASSES)
def test_what_is_saved_can_be_loaded(name: str) -> None:
    kind = CLASSES[name]
    assert hasattr(kind, "save") == hasattr(kind, "load")
    assert hasattr(kind, "to_dict") == hasattr(kind, "from_dict") or hasattr(kind, "load")


def test_every_schema_has_a_version_of_its_own() -> None:
    seen = {}
    for module in (vars(artifacts)[name] for name in vars(artifacts)):
        if inspect.ismodule(module) and hasattr(module, "_SCHEMA"):
            assert isinstance(module._VERSION, int)
            assert module._SCHEMA.startswith("equipoise.")
            seen[module._SCHEMA] = module
    assert len(seen) == 9
