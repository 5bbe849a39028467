"""The one form of error message, and the closest known name; imports nothing heavy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Self, TypeVar

from equipoise.errors import UsageError

Word = TypeVar("Word", bound=str)


class Argument(NamedTuple):
    """An argument in a message, which whoever shows the message spells: in Python ``name=value``.

    Args:
        name: One name, or several as "a and b".
        value: What it should be, or None.
        quoted: As the subject of the message, in backquotes and without value.
    """

    name: str
    value: str | None = None
    quoted: bool = False

    def __str__(self) -> str:
        if self.quoted:
            return f"`{self.name}`"
        if self.value is None or self.value in ("True", "False"):
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
    """Return a text in which ``{name=}`` and ``{name=value}`` are arguments.

    Example:
        >>> hint("Say {label=y}, or {labels=}.")
        'Say label="y", or labels=.'
    """
    plain = _ARGUMENT.split(text)  # words, name, value, words, ...
    parts: list[str | Argument] = [plain[0]]
    for name, value, words in zip(plain[1::3], plain[2::3], plain[3::3], strict=True):
        parts += [Argument(name, value or None), words]
    return Message(*parts)


_ARGUMENT = re.compile(r"\{(\w+)=([^{}]*)\}")


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
    near = difflib.get_close_matches(name, options, n=5, cutoff=0.6)
    if near:
        # Of names as near as the first, one letter wrong is likelier than letters moved.
        ratio = [difflib.SequenceMatcher(None, word, name).ratio() for word in near]
        best = [word for word, r in zip(near, ratio, strict=True) if r >= max(ratio) - 1e-9]
        found = max(best, key=lambda word: sum(a == b for a, b in zip(word, name, strict=False)))
        return f"Did you mean `{found}`?"
    return f"Known: {', '.join(' '.join(name.split()) for name in options)}."


def listed(items: Sequence[object], most: int = 5, mark: str = ", ") -> str:
    """Return "a, b, c and 4 more".

    Example:
        >>> listed(["a", "b", "c"], 2), listed(["a"], 2)
        ('a, b and 1 more', 'a')
    """
    rest = len(items) - most
    return mark.join(str(i) for i in items[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def one_of(name: str, value: str, known: Sequence[Word]) -> Word:
    """Return the one of ``known`` that equals ``value``."""
    for word in known:
        if word == value:
            return word
    every = ", ".join(f"'{k}'" for k in known)
    raise UsageError(say(name, f"be one of {every}", repr(value), closest(str(value), known)))
