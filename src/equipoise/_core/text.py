"""Rows in columns of plain text."""

from __future__ import annotations

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows in columns, the first to the left, the rest to the right."""
    widths = [max(len(str(r[i])) for r in (head, *rows)) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        first = str(row[0]).ljust(widths[0])
        rest = [str(c).rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        return "  ".join([first, *rest]).rstrip()

    rule = "  ".join("-" * w for w in widths)
    return "\n".join([line(head), rule, *(line(r) for r in rows)])


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows of words in columns, all to the left."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    padded = [[c.ljust(w) for c, w in zip(r, widths, strict=True)] for r in (head, *rows)]
    return "\n".join(line.rstrip() for line in table(padded[0], padded[1:]).splitlines())
