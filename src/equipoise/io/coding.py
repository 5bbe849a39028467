"""What the entries of a label column stand for: present, absent, unknown, or no label at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from equipoise._core.identity import loose_key
from equipoise._core.messages import say
from equipoise.artifacts.labels import UNKNOWN
from equipoise.errors import UsageError

Tokens = str | int | Sequence[str | int] | None
"""One text or number, or several; None declares nothing."""

# Words that can hardly mean anything else; whatever else stands for a label is declared.
_PAIRS = (("true", "false"), ("yes", "no"), ("y", "n"), ("t", "f"), ("present", "absent"))
_WORDS = {word: 1 - side for pair in _PAIRS for side, word in enumerate(pair)}
NONE_WORDS = frozenset(
    ("no finding", "no findings", "no_finding", "nofinding", "no label", "no labels", "normal",
     "none", "nothing", "healthy", "null", "nan", "n/a", "na", "-")
)  # fmt: skip
"""Names, in lower case, that mostly say that a row has no label."""


def entry_text(value: Any) -> str:
    """Return an entry as the trimmed text that a coding speaks of; missing is "".

    Example:
        >>> [entry_text(v) for v in (" 255", 1.0, True, None, "1.50")]
        ['255', '1', 'true', '', '1.50']
    """
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _tokens(name: str, given: Tokens) -> tuple[str, ...] | None:
    if given is None:
        return None
    if isinstance(given, (str, int, float)):
        return (entry_text(given),)
    found = tuple(dict.fromkeys(entry_text(value) for value in given))
    if not found:
        raise UsageError(say(name, "be one text or several", "none", "Leave it out."))
    return found


@dataclass(frozen=True, slots=True)
class LabelCoding:
    """What the entries of label columns stand for.

    Where a side is not declared, 1 is present, 0 absent and -1 unknown; the words true, yes, y, t,
    present and false, no, n, f, absent are recognised in any case. A declared side is what it says
    and nothing else. An empty entry of one column per label is unknown unless "" is declared as
    something else.

    Args:
        positive: Entries that mean present.
        negative: Entries that mean absent.
        unknown: Entries that mean that nobody knows.
        empty_token: In a column of several labels, words that mean "none of them".

    Example:
        >>> coding = LabelCoding.of(positive=255, negative=0)
        >>> [coding.code(text) for text in ("255", "0", "", "1")]
        [1, 0, -1, None]
    """

    positive: tuple[str, ...] | None = None
    negative: tuple[str, ...] | None = None
    unknown: tuple[str, ...] | None = None
    empty_token: tuple[str, ...] | None = None

    @classmethod
    def of(
        cls,
        positive: Tokens = None,
        negative: Tokens = None,
        unknown: Tokens = None,
        empty_token: Tokens = None,
    ) -> LabelCoding:
        """Return the coding of plain values.

        Raises:
            UsageError: one entry declared as two things.
        """
        made = cls(
            _tokens("positive", positive),
            _tokens("negative", negative),
            _tokens("unknown", unknown),
            _tokens("empty_token", empty_token),
        )
        sides = {"positive": made.positive, "negative": made.negative, "unknown": made.unknown}
        seen: dict[str, str] = {}
        for name, tokens in sides.items():
            for token in tokens or ():
                if seen.setdefault(loose_key(token), name) != name:
                    both = f"{seen[loose_key(token)]} and {name}"
                    raise UsageError(say(both, "be different entries", repr(token)))
        return made

    @property
    def is_binary(self) -> bool:
        """Whether it says what is present or absent, which only columns of one label have."""
        return self.positive is not None or self.negative is not None

    @property
    def takes_minus_one_for_unknown(self) -> bool:
        """Whether nobody has said what -1 means."""
        said = (*(self.positive or ()), *(self.negative or ()))
        return self.unknown is None and not any(loose_key(token) == "-1" for token in said)

    def code(self, text: str) -> int | None:
        """Return 1, 0 or -1 (unknown) of a trimmed entry, or None where it is not in the coding."""
        key = loose_key(text)
        sides = ((1, self.positive, "1"), (0, self.negative, "0"), (UNKNOWN, self.unknown, "-1"))
        for value, tokens, _ in sides:
            if tokens is not None and key in map(loose_key, tokens):
                return value
        if text == "":
            return UNKNOWN
        for value, tokens, default in sides:
            if tokens is None and key == default:
                return value
        word = _WORDS.get(key.casefold())
        side = self.positive if word == 1 else self.negative
        return word if side is None else None

    def recognised(self, texts: Iterable[str]) -> dict[str, int]:
        """Return the words among entries that were taken for what they mean, undeclared."""
        declared = {loose_key(t) for side in (self.positive, self.negative, self.unknown)
                    for t in side or ()}  # fmt: skip
        words = {t: _WORDS[t.casefold()] for t in texts if t.casefold() in _WORDS}
        return {t: value for t, value in words.items() if loose_key(t) not in declared}

    def fits(self, texts: Iterable[str]) -> bool:
        """Whether all entries are in the coding, its words of one pair: T and N are no yes and no.

        Example:
            >>> [DEFAULT.fits(texts) for texts in (("Yes", "no", ""), ("T", "N"), ("1", "-1"))]
            [True, False, True]
        """
        found = list(texts)
        words = {word.casefold() for word in self.recognised(found)}
        paired = any(words <= set(pair) for pair in _PAIRS)
        return paired and all(self.code(text) is not None for text in found)

    def is_unknown(self, text: str) -> bool:
        """Whether a whole entry of several labels is declared unknown."""
        return self.unknown is not None and loose_key(text) in map(loose_key, self.unknown)

    def is_none(self, token: str) -> bool:
        """Whether one word of an entry of several labels is declared to mean none of them."""
        return token in (self.empty_token or ())


DEFAULT = LabelCoding()
"""1 present, 0 absent, -1 or empty unknown."""
