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
    held: list[str] = []

    def hold(text: str) -> str:
        held.append(text)
        return chr(_FIRST + len(held) - 1)

    def restore(text: str) -> str:
        while True:
            told = re.sub("[\ue000-\uf8ff]", lambda m: held[ord(m[0]) - _FIRST], text)
            if told == text:
                return told
            text = told

    def replaced(text: str) -> str:
        core = text.strip()
        if not re.search("[A-Za-z]{2}", re.sub("&[a-z]+;", "", core)):
            return text
        holes = re.findall("[\ue000-\uf8ff]", core)
        told = translate(re.sub("[\ue000-\uf8ff]", "{}", core))
        if told is None:
            return text

        def fill(mark: re.Match[str]) -> str:
            if mark[2] == "-":
                return ""
            hole = held[ord(holes[int(mark[1])]) - _FIRST]
            if mark[2] == "!":
                return "{{ (" + hole[2:-2].strip() + ") | said }}"
            return hole

        return text.replace(core, _FILLED.sub(fill, told))

    def texts(run: str) -> str:
        # A statement ends a text: what follows it may not be shown.
        return "".join(
            part if len(part) == 1 and "\ue000" <= part <= "\uf8ff" else replaced(part)
            for part in re.split(f"([{statements}])" if statements else "(\uffff)", run)
        )

    skeleton = _TOKEN.sub(lambda m: hold(m[0]), source)
    statements = "".join(chr(_FIRST + i) for i, text in enumerate(held) if text[1] in "%#")
    skeleton = _ELEMENT.sub(lambda m: hold(m[0]), skeleton)
    pieces = _TAG.split(skeleton)
    for i, piece in enumerate(pieces):
        if i % 2 and not piece.startswith("<style>"):
            pieces[i] = _ATTRIBUTE.sub(lambda m: m[1] + replaced(m[2]) + m[3], piece)
        elif not i % 2:
            pieces[i] = texts(piece)
    return restore("".join(pieces))
