"""JSON and YAML of others: whatever is wrong is one ValueError that says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from equipoise._core.documents import MAX_DEPTH, parse_json, parse_json_lines, parse_yaml, read_text

JSON = {
    "{": "Expecting property name.* in line 1, column 2",
    '{"a": 1,\n "b": }': "Expecting value in line 2, column 7",
    "[" * 100_000: "nested deeper than 100 levels",
    "[" * 101 + "]" * 101: "nested deeper than 100 levels",
    "9" * 5000: "limit",
    '["\\ud800"]': r"the escape .ud800, which is half a letter",
    "": "line 1, column 1",
}
YAML = {
    "{" * 2000: "nested deeper than 100 levels in line 1, column 101",
    "[" * 100_000: "nested deeper than 100 levels",
    "- " * 2000 + "1": "nested deeper than 100 levels",
    "&a [*a]": "nested deeper than 100 levels",
    "a: [1": "expected ',' or ']'.* in line 1, column 6",
    'a: "\\udc00"': r"the escape .udc00",
    "a: 1\nb: *c": "found undefined alias.* in line 2, column 4",
    "a: 2001-13-01": "a value that is none: month must be in 1..12",
    "!!bool x": "a value that is none",
    "!!timestamp x": "a value that is none",
    "!!python/object/apply:os.system [ls]": "could not determine a constructor",
    "? [1]: 2": "found unhashable key",
    "a: \x00": "special characters are not allowed",
    "9" * 5000: "limit",
    "a: &x0 [1]\n"
    + "".join(f"b{i}: &x{i} [{f'*x{i - 1},' * 9}]\n" for i in range(1, 9)): "aliases",
}


@pytest.mark.parametrize("text", JSON, ids=range(len(JSON)))
def test_json_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=JSON[text]) as caught:
        parse_json(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", YAML, ids=range(len(YAML)))
def test_yaml_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=YAML[text]) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)


def test_what_is_shallow_enough_is_read() -> None:
    deep = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    for parse in (parse_json, parse_yaml):
        found, depth = parse(deep), 0
        while found:
            found, depth = found[0], depth + 1
        assert depth == MAX_DEPTH - 1
    assert parse_json('"\\ud83d\\ude00"') == "\U0001f600"
    assert parse_yaml("a: &x {b: 1}\nc: *x") == {"a": {"b": 1}, "c": {"b": 1}}


def test_a_key_that_stands_twice_is_refused() -> None:
    """PyYAML takes the last one, and the first is lost without a word."""
    with pytest.raises(ValueError, match="the key `arms` stands twice in line 3, column 1"):
        parse_yaml("arms: [none]\nseeds: 2\narms: [none, focal]\n")
    merged = "a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}\ne: {<<: *x}\n"
    assert parse_yaml(merged)["d"] == {"b": 3, "c": 2}


def test_lines_say_which_one_is_wrong() -> None:
    assert parse_json_lines('{"a": 1}\n\n[2]\n') == [{"a": 1}, [2]]
    with pytest.raises(ValueError, match=r"Expecting .* in line 3"):
        parse_json_lines("1\n2\n{")


def test_bytes_that_are_no_utf_8(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a\nb\n\xff")
    with pytest.raises(ValueError, match="the byte 0xff in line 3, which is no UTF-8"):
        read_text(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbf{}")
    assert parse_json(read_text(tmp_path / "x")) == {}
