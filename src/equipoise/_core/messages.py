"""The one form of error message, and the closest known name; imports nothing heavy."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Self, TypeVar

from equipoise.errors import UsageError

Word = TypeVar("Word", bound=str)
_LITERALS = ("True", "False", "None")


class Argument(NamedTuple):
    """An argument in a message, which whoever shows the message spells: in Python ``name=value``.

    Args:
        name: One name, or several as "a and b".
        value: What it should be, or None.
        quoted: As the subject of the message, in backquotes and without value.
        literal: Whether the value is a number, and no text.
    """

    name: str
    value: str | None = None
    quoted: bool = False
    literal: bool = False

    def __str__(self) -> str:
        if self.quoted:
            return f"`{self.name}`"
        if self.literal or self.value is None or self.value in _LITERALS:
            return f"{self.name}={self.value or ''}"
        return f'{self.name}="{self.value}"'


class Message(str):  # noqa: SLOT000  # errors that hold one travel between processes
    """Text that knows which of its words are arguments, so that the command line can say options.

    Example:
        >>> text = Message("Pass ", Argument("id_column", "row"), ".")
        >>> text, text.spelt(lambda argument: f"--id {argument.value}")
        ('Pass id_column="row".', 'Pass --id row.')
    """

    parts: tuple[str | Argument, ...]

    def __new__(cls, *parts: str | Argument) -> Self:
        made = super().__new__(cls, "".join(map(str, parts)))
        flat: list[str | Argument] = []
        for part in parts:
            flat += part.parts if isinstance(part, Message) else [part]
        made.parts = tuple(flat)
        return made

    def spelt(self, spell: Callable[[Argument], str]) -> str:
        """Return the text with every argument as ``spell`` has it."""
        return "".join(spell(p) if isinstance(p, Argument) else p for p in self.parts)


def hint(text: str) -> Message:
    """Return a text in which ``{name=}``, ``{name=text}`` and ``{name:number}`` are arguments.

    Example:
        >>> hint("Say {label=y}, or {labels=}.")
        'Say label="y", or labels=.'
        >>> hint("Pass {min_per_part:0}, or {strict=False}.")
        'Pass min_per_part=0, or strict=False.'
    """
    plain = _ARGUMENT.split(text)  # words, name, mark, value, words, ...
    parts: list[str | Argument] = [plain[0]]
    for name, mark, value, words in zip(*(plain[i::4] for i in range(1, 5)), strict=True):
        parts += [Argument(name, value or None, literal=mark == ":"), words]
    return Message(*parts)


_ARGUMENT = re.compile(r"\{(\w+)([=:])([^{}]*)\}")


def say(name: str, expected: str, got: object, do: str = "") -> Message:
    """Compose the one form of message: "`name` must ..., got .... Next step."."""
    subject = Argument(name, quoted=True)
    came = str(got)
    if len(came) > _MOST or "\n" in came:
        came = " ".join(came.split())
        came = came if len(came) <= _MOST else f"{came[:_MOST]} ..."
    return Message(subject, " must ", expected, f", got {came}.", *((" ", do) if do else ()))


_MOST = 2000
"""Letters of what came, in one line: it may be a whole file, or a table."""


def closest(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean `x`?" for the nearest known name, or the list of known names."""
    options = sorted(known)
    alike = [option for option in options if option.lower() == name.lower()]
    near = alike or difflib.get_close_matches(name, options, n=5, cutoff=0.6)
    if near:
        # Of names as near as the first, one letter wrong is likelier than letters moved.
        ratio = [difflib.SequenceMatcher(None, word, name).ratio() for word in near]
        best = [word for word, r in zip(near, ratio, strict=True) if r >= max(ratio) - 1e-9]
        found = max(best, key=lambda word: sum(a == b for a, b in zip(word, name, strict=False)))
        return f"Did you mean `{found}`?"
    return f"Known: {', '.join(' '.join(name.split()) for name in options)}."


def counted(number: int, noun: str) -> str:
    """Return "1 seed" or "3 seeds".

    Example:
        >>> counted(1, "seed"), counted(2000, "seed")
        ('1 seed', '2,000 seeds')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(items: Sequence[object], most: int = 5, mark: str = ", ") -> str:
    """Return "a, b, c and 4 more".

    Example:
        >>> listed(["a", "b", "c"], 2), listed(["a"], 2)
        ('a, b and 1 more', 'a')
    """
    rest = len(items) - most
    return mark.join(str(i) for i in items[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def is_pattern(name: str) -> bool:
    """Whether a name stands for several columns: ``topic_*``, ``q?`` or ``q1..q9``."""
    return any(mark in name for mark in "*?") or ".." in name


def expand_columns(argument: str, wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the columns that names, patterns and ranges stand for, in the order of the table.

    A name that is a column is that column, whatever it looks like.

    Args:
        argument: What they were given as, in messages.
        wanted: "A", "topic_*", or "q1..q9" for all columns from one to the other.
        known: The columns of the table.

    Raises:
        UsageError: a pattern that matches nothing, or a range whose ends are no columns in order.

    Example:
        >>> expand_columns("labels", ["id", "q2..q4", "t_*"], ["id", "q1", "q2", "q3", "q4", "t_a"])
        ['id', 'q2', 'q3', 'q4', 't_a']
    """
    found: list[str] = []
    for name in wanted:
        if name in known or not is_pattern(name):
            found.append(name)
            continue
        first, dots, last = name.partition("..")
        if dots and first in known and last in known:
            part = list(known[known.index(first) : known.index(last) + 1])
        else:
            part = [column for column in known if fnmatch.fnmatchcase(column, name)]
        if not part:
            shown = f"none of {len(known)} columns: {listed(list(known), 10)}"
            raise UsageError(say(argument, f"match columns with '{name}'", shown))
        found += [column for column in part if column not in found]
    return found


def one_of(name: str, value: str, known: Sequence[Word]) -> Word:
    """Return the one of ``known`` that equals ``value``."""
    for word in known:
        if word == value:
            return word
    every = ", ".join(f"'{k}'" for k in known)
    raise UsageError(say(name, f"be one of {every}", repr(value), closest(str(value), known)))


def in_words(seconds: float) -> str:
    """Return a time as a person says it."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"
