"""The texts of an HTML template, found in its source, so that a page can be made in any language.

A text is what stands between two tags that break a line or two statements of the template; its
expressions are holes, as is an element that emphasises one name.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_TOKEN = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_ELEMENT = re.compile(r"<(em|code)>([^<]*)</\1>")
_TAG = re.compile(r"(<style>.*?</style>|<!doctype[^>]*>|<[^>]*>)", re.DOTALL)
_ATTRIBUTE = re.compile(r'(\b(?:aria-label|placeholder|title|alt)=")([^"]*)(")')
_FIRST = 0xE000  # private letters stand for what is no text
_LETTER = "[\ue000-\uf8ff]"
_FILLED = re.compile(r"\{(\d+)([!-]?)\}")


def translate_template(source: str, translate: Callable[[str], str | None]) -> str:
    """Return a template's source with its texts replaced.

    Args:
        source: Of a Jinja template of HTML.
        translate: Text with ``{}`` for every hole -> its translation, in which ``{0}`` is the
            first hole and ``{0!}`` one that is translated when the page is made, or None.

    Example:
        >>> told = {"{} of {} shown": "shown of {1}: {0}"}
        >>> translate_template("<p>{{ n }} of {{ m }} shown</p>", told.get)
        '<p>shown of {{ m }}: {{ n }}</p>'
    """
    held = _Held()
    skeleton = _ELEMENT.sub(held.hold, _TOKEN.sub(held.hold, source))
    pieces = _TAG.split(skeleton)
    for i, piece in enumerate(pieces):
        if i % 2 == 0:
            # A statement ends a text: what follows it may not be shown.
            runs = re.split(f"([{held.statements}])", piece) if held.statements else [piece]
            pieces[i] = "".join(
                run if j % 2 else held.replaced(run, translate) for j, run in enumerate(runs)
            )
        elif not piece.startswith("<style>"):
            pieces[i] = _ATTRIBUTE.sub(
                lambda m: m[1] + held.replaced(m[2], translate) + m[3], piece
            )
    return held.restored("".join(pieces))


class _Held:
    """What is no text of a template, with a private letter in the place of each."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.statements = ""

    def hold(self, piece: re.Match[str]) -> str:
        """Keep a piece and return its letter."""
        letter = chr(_FIRST + len(self.pieces))
        self.pieces.append(piece[0])
        if piece[0][:2] in ("{%", "{#"):
            self.statements += letter
        return letter

    def restored(self, text: str) -> str:
        """Put the pieces back; one may hold others."""
        while re.search(_LETTER, text):
            text = re.sub(_LETTER, lambda m: self.pieces[ord(m[0]) - _FIRST], text)
        return text

    def replaced(self, text: str, translate: Callable[[str], str | None]) -> str:
        """Return a text translated, or as it is where it has no words or no translation."""
        core = text.strip()
        if core != "." and not re.search("[A-Za-z]{2}", re.sub("&[a-z]+;", "", core)):
            return text
        holes = re.findall(_LETTER, core)
        told = translate(re.sub(_LETTER, "{}", core))
        if told is None:
            return text

        def fill(mark: re.Match[str]) -> str:
            hole = self.pieces[ord(holes[int(mark[1])]) - _FIRST]
            if mark[2] == "-":
                return ""
            return "{{ (" + hole[2:-2].strip() + ") | said }}" if mark[2] == "!" else hole

        # Chinese has no spaces that would stand between this text and its neighbours.
        return text.strip(" ").replace(core, _FILLED.sub(fill, told))
