"""Faces: packages whose names are loaded when they are first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from equipoise._core.extras import naming_extras

Loader = Callable[[str], object]


def lazy_face(
    package: str, home: Mapping[str, str], load: Loader = import_module
) -> tuple[list[str], Loader, Callable[[], list[str]]]:
    """Return ``__all__``, ``__getattr__`` and ``__dir__`` of a package.

    Type checkers and editors need the names as imports under ``TYPE_CHECKING``; Python needs them
    here, as it cannot read those. So a face names everything twice, and nothing three times.

    Args:
        package: Its ``__name__``.
        home: Module of the package, to the names that it gives, separated by spaces.
        load: What imports a module. Where an optional package is missing, the face says which
            extra brings it.

    Example:
        >>> names, get, _ = lazy_face("collections", {"abc": "Mapping Sized"})
        >>> names, get("Sized").__module__
        (['Mapping', 'Sized'], 'collections.abc')
    """
    place = {name: module for module, names in home.items() for name in names.split()}
    every = sorted(place)

    def get(name: str) -> object:
        if name not in place:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        with naming_extras(package):
            found: object = getattr(load(f"{package}.{place[name]}"), name)
        return found

    return every, get, lambda: every
