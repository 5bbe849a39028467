"""JSON and YAML of others: read once, in one way, whatever they hold.

Whatever is wrong with a document is a ValueError that says what, and in which line where that is
known; callers name the file and what it should have been. Nesting is limited, so that nothing that
later walks through a document runs out of stack, nor out of memory by aliases of aliases.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

MAX_DEPTH = 100
MAX_NODES = 1_000_000
"""Lists and mappings of a YAML document, what aliases repeat counted each time."""


def read_text(path: str | Path) -> str:
    """Return the text of a UTF-8 file, without a byte-order mark.

    Raises:
        ValueError: a byte that is no UTF-8, and its line.
        OSError: as open() raises it.
    """
    content = Path(path).read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(not_utf8(content, error)) from error


def not_utf8(content: bytes, error: UnicodeDecodeError) -> str:
    """Return which byte of a file is no UTF-8."""
    line = content.count(b"\n", 0, error.start) + 1
    return f"the byte 0x{error.object[error.start]:02x} in line {line}, which is no UTF-8"


def parse_json(text: str) -> Any:
    """Return the content of a JSON document.

    Raises:
        ValueError: no JSON, deeper than 100 levels, or whole numbers of thousands of digits.

    Example:
        >>> parse_json('{"a": [1,]}')
        Traceback (most recent call last):
        ...
        ValueError: Expecting value in line 1, column 10
        >>> parse_json("[" * 100_000)
        Traceback (most recent call last):
        ...
        ValueError: nested deeper than 100 levels
    """
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"in line {error.lineno}, column {error.colno}"
        raise ValueError(f"{error.msg} {where}") from error
    except RecursionError:
        raise ValueError(_too_deep()) from None
    _require_shallow(content, None)
    _require_text(text, content)
    return content


def parse_json_lines(text: str) -> list[Any]:
    """Return the content of each line that is not blank.

    Raises:
        ValueError: as :func:`parse_json`, with the line.
    """
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append(parse_json(line))
        except ValueError as error:
            reason = str(error).partition(" in line 1, ")[0]
            raise ValueError(f"{reason} in line {number}") from error
    return found


def parse_yaml(text: str) -> Any:
    """Return the content of a YAML document, by the safe loader.

    Raises:
        ValueError: no YAML, deeper than 100 levels, or aliases that unfold beyond reason.

    Example:
        >>> parse_yaml("a: [1, 2")
        Traceback (most recent call last):
        ...
        ValueError: expected ',' or ']', but got '<stream end>' in line 1, column 9
    """
    import yaml

    try:
        content = _read_yaml(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
        raise ValueError(f"{error.problem or error.context}{where}") from error
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RecursionError:
        raise ValueError(_too_deep()) from None
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as error:
        # A month 13, or a tag such as !!bool on something else.
        raise ValueError(f"a value that is none: {error}") from error
    _require_shallow(content, MAX_NODES)
    _require_text(text, content)
    return content


def _read_yaml(text: str) -> Any:
    loader = _loader()(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


@cache
def _loader() -> Any:
    """Return PyYAML's safe loader, which takes seconds to find that brackets nest too deep."""
    import yaml

    class Loader(yaml.SafeLoader):
        def fetch_flow_collection_start(self, token: Any) -> None:
            if self.flow_level >= MAX_DEPTH:
                raise yaml.scanner.ScannerError(None, None, _too_deep(), self.get_mark())
            super().fetch_flow_collection_start(token)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            """Refuse a key that stands twice, of which PyYAML takes the last without a word."""
            seen = set()
            for key, _ in node.value:
                if key.tag != "tag:yaml.org,2002:merge" and isinstance(key, yaml.ScalarNode):
                    if key.value in seen:
                        text = f"the key `{key.value}` stands twice"
                        raise yaml.constructor.ConstructorError(None, None, text, key.start_mark)
                    seen.add(key.value)
            return super().construct_mapping(node, deep)

    # By YAML 1.1, which PyYAML reads, 1e-4 is a word; by 1.2 and to everybody it is a number.
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))
    return Loader


_EXPONENT = re.compile(r"[-+]?(?:\d+|\d+\.\d*|\.\d+)[eE][-+]?\d+")


_NESTED = (list, Mapping, tuple, set)
_LEAVES = frozenset({float, int, str, bool, type(None)})


def _too_deep() -> str:
    return f"nested deeper than {MAX_DEPTH} levels"


def _require_text(text: str, content: Any) -> None:
    """Raise for half a letter, which an escape may write and no file can hold."""
    if "\\u" not in text and "\\U" not in text:
        return
    written = json.dumps(content, ensure_ascii=False, skipkeys=True, default=str)
    try:
        written.encode("utf-8")
    except UnicodeEncodeError as error:
        odd = f"\\u{ord(error.object[error.start]):04x}"
        raise ValueError(f"the escape {odd}, which is half a letter") from error


def _require_shallow(content: Any, most: int | None) -> None:
    """Raise unless a document is shallow, and not larger than ``most`` lists and mappings."""
    level, nodes = [content], 0
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for part in level:
            values = part.values() if isinstance(part, Mapping) else part
            if not isinstance(part, _NESTED) or _LEAVES.issuperset(map(type, values)):
                continue
            inner += [v for v in values if isinstance(v, _NESTED)]
            if most is not None and nodes + len(inner) > most:
                raise ValueError(f"aliases that unfold to more than {most:,} lists or mappings")
        if not inner:
            return
        level, nodes = inner, nodes + len(inner)
    raise ValueError(_too_deep())
