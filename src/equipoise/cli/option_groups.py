"""Records of options: what belongs together on the command line is said, and handed on, once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints


def with_groups(verb: Callable[..., None]) -> Callable[..., None]:
    """Return a verb that takes the fields of its dataclass parameters as options of their own.

    typer makes one option of one parameter. A verb with thirty options would name them in its
    signature and again wherever it hands them on; so it names records of them.

    Args:
        verb: With annotations for typer; fields of the records carry the same.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Size:
        ...     rows: int = 2
        ...     columns: int = 3
        >>> def run(name: str, size: Size) -> None:
        ...     print(name, size.rows * size.columns)
        >>> run.__annotations__ = {"name": str, "size": Size, "return": None}
        >>> with_groups(run)(name="cells", rows=4, columns=5)
        cells 20
        >>> list(signature(with_groups(run)).parameters)
        ['name', 'rows', 'columns']
    """
    hints = get_type_hints(verb, include_extras=True)
    groups: dict[str, Any] = {}
    options: list[Parameter] = []
    for name, parameter in signature(verb).parameters.items():
        if is_dataclass(hints[name]):
            groups[name] = hints[name]
            inner = get_type_hints(hints[name], include_extras=True)
            options += [
                Parameter(
                    f.name, Parameter.KEYWORD_ONLY, default=f.default, annotation=inner[f.name]
                )
                for f in fields(hints[name])
            ]
        else:
            options.append(parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[name]))

    def run(**given: Any) -> None:
        made = {
            name: group(**{f.name: given.pop(f.name) for f in fields(group)})
            for name, group in groups.items()
        }
        return verb(**made, **given)

    run.__doc__ = verb.__doc__
    # typer reads both.
    run.__signature__ = Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in options}
    return run
