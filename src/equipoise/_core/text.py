"""Rows in columns, as plain text and, the same, as HTML."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from html import escape


class Table(str):
    """Rows in columns as text, which knows its cells: HTML shows these.

    Args:
        text: As it is printed.
        head: Titles of the columns.
        rows: One text per column each.
    """

    __slots__ = ("head", "rows")
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __new__(cls, text: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
        """Make it of text and cells."""
        made = super().__new__(cls, text)
        made.head, made.rows = tuple(head), tuple(tuple(row) for row in rows)
        return made


def as_html(parts: Sequence[str]) -> str:
    """Return lines and tables as a notebook shows them; nothing of them is taken for markup.

    Example:
        >>> as_html(["a < b", table(["arm", "AP"], [["none", "0.5"]])])[:40]
        '<div><p>a &lt; b</p><table><thead><tr><t'
    """
    made: list[str] = []
    words: list[str] = []
    for part in (*parts, None):
        if isinstance(part, str) and not isinstance(part, Table):
            words += [escape(line) for line in part.split("\n") if line or words]
            continue
        while words and not words[-1]:
            words.pop()
        if words:
            made.append(f"<p>{'<br>'.join(words)}</p>")
        words = []
        if isinstance(part, Table):
            made.append(_table_html(part))
    return f"<div>{''.join(made)}</div>"


def _table_html(shown: Table) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        sides = ["left", *["right"] * (len(cells) - 1)]
        return "".join(
            f'<{tag} style="text-align:{side}">{escape(str(cell))}</{tag}>'
            for cell, side in zip(cells, sides, strict=True)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in shown.rows)
    return f"<table><thead><tr>{line(shown.head, 'th')}</tr></thead><tbody>{body}</tbody></table>"


def width(text: str) -> int:
    """Return how many columns a text takes in a terminal: Chinese letters take two each.

    Example:
        >>> width("recall"), width("召回率")
        (6, 6)
    """
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def padded(text: str, columns: int, *, left: bool = True) -> str:
    """Return a text that takes so many columns, on the left or the right of them."""
    gap = " " * max(0, columns - width(text))
    return text + gap if left else gap + text


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return rows in columns, the first to the left, the rest to the right."""
    widths = [max(width(str(r[i])) for r in (head, *rows)) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        first = padded(str(row[0]), widths[0])
        rest = [padded(str(c), w, left=False) for c, w in zip(row[1:], widths[1:], strict=True)]
        return "  ".join([first, *rest]).rstrip()

    rule = "  ".join("-" * w for w in widths)
    return Table("\n".join([line(head), rule, *(line(r) for r in rows)]), head, rows)


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of words in columns, all to the left."""
    widths = [max(map(width, column)) for column in zip(head, *rows, strict=True)]
    wide = [[padded(c, w) for c, w in zip(r, widths, strict=True)] for r in (head, *rows)]
    return "\n".join(line.rstrip() for line in table(wide[0], wide[1:]).splitlines())
