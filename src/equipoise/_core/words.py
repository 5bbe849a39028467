"""The one form of error message, and the closest known name; imports nothing heavy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TypeVar

from equipoise.errors import UsageError

Word = TypeVar("Word", bound=str)


def say(name: str, expected: str, got: object, do: str = "") -> str:
    """Compose the one form of message: "`name` must ..., got .... Next step."."""
    return f"`{name}` must {expected}, got {got}." + (f" {do}" if do else "")


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
    return "Known: " + ", ".join(options) + "."


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
