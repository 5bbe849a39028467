"""The language of what is shown: finished English text, translated where it is displayed.

Records, files and JSON hold English. Where a text is shown it goes through :func:`said`, which
looks it up in the catalogue of the language, ``languages/LANGUAGE.json``: English texts with holes,
and what to say instead. A text may be put together of several sentences, whose holes hold texts
again, so it also works for what was read from a file. What has no entry stays English.

An English text has the holes ``{}``, and ``{#}`` where only a number fits. In its translation
``{0}`` is what stood in the first hole, as it was written: names, numbers, options and files are
never translated. ``{0!}`` is translated in its turn; of ``{0*}``, a list of names with remarks,
only the remarks are; ``{0~}`` is what another program said, whatever it is; ``{0-}`` is left out,
as the s of an English plural is.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

from equipoise._core.messages import one_of

LANGUAGES = ("en", "zh")
HTML_LANGUAGES = {"en": "en", "zh": "zh-CN"}
VARIABLE = "EQUIPOISE_LANG"
_chosen: ContextVar[str | None] = ContextVar("language", default=None)
_NUMBER = r"([-+\u2212]?(?:\d[\d.,]*|\.\d+)(?:e[-+]?\d+)? ?%?)"
_HOLE = re.compile(r"\{(#?)\}")
_FILLED = re.compile(r"\{(\d+)([!*~-]?)\}")
# Where a Chinese text ends and a Latin word or number begins stands a space; beside a sign none.
_HAN = r"\u3400-\u9fff\uf900-\ufaff"
_COLON, _SEMICOLON, _COMMA, _STOP = "\uff1a", "\uff1b", "\uff0c", "\u3002"
_SIGNS = {": ": _COLON, "; ": _SEMICOLON, " (": "\uff08", ")": "\uff09"}
_WIDE = rf"[{_HAN}\u3000-\u303f\uff00-\uffef\u201c\u201d]"


def language() -> str:
    """Return the language in force: that of :func:`speaking`, of the environment, or English."""
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    named = os.environ.get(VARIABLE, "")
    return named if named in LANGUAGES else "en"


def spoken() -> str:
    """Return the language in force, and refuse one of the environment that there is not.

    Raises:
        UsageError: EQUIPOISE_LANG names another language.
    """
    named = os.environ.get(VARIABLE)
    return language() if not named else one_of(VARIABLE, named, LANGUAGES)


@contextmanager
def speaking(name: str | None) -> Iterator[None]:
    """Show texts in a language within the block; None leaves the one in force.

    Example:
        >>> with speaking("zh"):
        ...     print(said("Labels that cannot be learned"), said("Nobody ever wrote this."))
        无法学习的标签 Nobody ever wrote this.
    """
    before = _chosen.set(one_of("lang", name or language(), LANGUAGES))
    try:
        yield
    finally:
        _chosen.reset(before)


def said(text: str) -> str:
    """Return a finished English text in the language in force, what has no entry as it is.

    Example:
        >>> with speaking("zh"):
        ...     said("groups: 9 of 10 kept together")
        '分组：10 个中有 9 个保持完整'
    """
    now = language()
    return text if now == "en" else _translated(now, str(text))


class Template(NamedTuple):
    """An English text with holes, what finds it, and its translation.

    Args:
        anchor: Its longest piece between holes.
        close: Pattern that finds it where no hole reaches over the end of a sentence or clause.
        wide: The same where one does, as a label called "a; b" makes it.
        quoted: Holes between quotes: whatever stands there is a name.
        told: The translation.
    """

    anchor: str
    close: str
    wide: str
    quoted: tuple[int, ...]
    told: str


@cache
def _pattern(text: str) -> re.Pattern[str]:
    """Compile a pattern once it is needed: few of all are."""
    return re.compile(text, re.DOTALL)


def mark(text: str) -> str:
    """Return ": ", "; ", " (" or ")" as they are written in the language in force."""
    return _SIGNS[text] if language() == "zh" else text


@cache
def sections(name: str) -> Mapping[str, Mapping[str, str]]:
    """Return section -> English text -> translation; "templates" are those of HTML templates."""
    file = files("equipoise._core") / "languages" / f"{name}.json"
    read: dict[str, dict[str, str]] = json.loads(file.read_text(encoding="utf-8"))
    return read


@cache
def catalogue(name: str) -> Mapping[str, str]:
    """Return English text -> translation, of all that finished texts are made of."""
    return {
        english: told
        for section, texts in sections(name).items()
        if section != "templates"
        for english, told in texts.items()
    }


@cache
def _templates(name: str) -> list[Template]:
    """Return the entries with holes, those that say most first."""
    made = []
    for english, told in catalogue(name).items():
        pieces = _HOLE.split(english)  # words, mark, words, ...
        if len(pieces) == 1:
            continue
        close = wide = re.escape(pieces[0])
        for numeric, after in zip(pieces[1::2], pieces[2::2], strict=True):
            # What stands first is no title of what follows it.
            end = "; |: |[.?!] " if not close else "; |[.?!] "
            close += (_NUMBER if numeric else f"((?:(?!{end}).)*?)") + re.escape(after)
            wide += (_NUMBER if numeric else "(.*?)") + re.escape(after)
        words = pieces[::2]
        quoted = tuple(i for i in range(len(words) - 1) if words[i][-1:] == words[i + 1][:1] == "'")
        template = Template(max(words, key=len), close, wide, quoted, told)
        made.append((sum(map(len, pieces[::2])), template))
    made.sort(key=lambda pair: -pair[0])
    return [template for _, template in made]


@lru_cache(maxsize=4096)
def _translated(name: str, text: str) -> str:
    core = text.strip()
    if not re.search("[A-Za-z]", core):
        return text
    start = text.index(core)
    return text[:start] + _whole(name, core) + text[start + len(core) :]


def _whole(name: str, text: str) -> str:
    """Translate a text of one or several sentences."""
    parts = re.split(r"(?<=[.?!])(?<!e\.g\.) (?=\S)", text)
    return _joined([told for told, _ in _in_turn(name, parts, " ")])


def _in_turn(name: str, parts: list[str], between: str) -> list[tuple[str, bool]]:
    """Translate sentences or clauses, some of them together; and say of each whether it could be.

    What has no entry may be the rest of a name that holds what sentences end with: then an entry
    fits it together with what stands before.
    """
    made: list[tuple[int, str, bool]] = []  # where it begins, the translation, whether it is one
    i = 0
    while i < len(parts):
        ends = range(i + 1, len(parts) + 1)
        found, stop = next(
            ((told, j) for j in ends if (told := _match(name, between.join(parts[i:j])))),
            (_looser(name, parts[i]) if between == " " else None, i + 1),
        )
        start = i
        if found is None:
            begun = [i, *(at for at, _, _ in reversed(made))]
            found, start, stop = next(
                (
                    (told, at, j)
                    for at in begun
                    for j in ends
                    if (told := _match(name, between.join(parts[at:j]), wide=True))
                ),
                (None, i, i + 1),
            )
        made = [entry for entry in made if entry[0] < start]
        made.append((start, parts[i] if found is None else found, found is not None))
        i = stop
    return [(told, known) for _, told, known in made]


def _match(name: str, text: str, *, bare: bool = True, wide: bool = False) -> str | None:
    """Return the translation of what an entry says in whole, its full stop or not.

    Args:
        name: Language.
        text: A sentence, or a part of one.
        bare: Whether entries without holes count: a name could read like one.
        wide: Whether a hole may hold the end of a sentence.
    """
    own, stop = (text[:-1], _STOP) if text.endswith(".") else (text, "")
    forms = dict.fromkeys((own, own[:1].lower() + own[1:], own[:1].upper() + own[1:]))
    for form in forms:
        if bare and form in catalogue(name):
            return f"{catalogue(name)[form]}{stop}"
    for template in _templates(name):
        if wide and len(template.anchor) < _TELLING:
            continue
        for form in forms:
            if template.anchor not in form:
                continue
            found = _pattern(template.wide if wide else template.close).fullmatch(form)
            if found is not None and _fits(name, template, found.groups(), wide):
                return f"{_fill(name, template.told, found.groups())}{stop}"
    return None


# Letters of a piece that no other text is likely to have.
_TELLING = 15
_PROSE = re.compile(r"\b[a-z]+ [a-z]{2,} [a-z]+\b")


def _fits(name: str, template: Template, values: tuple[str | None, ...], wide: bool) -> bool:
    """Whether what would stay English looks like names and numbers, and not like a sentence."""
    for at, how in re.findall(r"\{(\d+)([!*~-]?)\}", template.told):
        value = values[int(at)] or ""
        if wide and how == "!" and _PROSE.search(value):
            value = _translated(name, value)
        kept = how != "~" and (wide or not how) and int(at) not in template.quoted
        if kept and _PROSE.search(value):
            return False
    return True


def _looser(name: str, text: str) -> str | None:
    """Translate clauses between semicolons, and what follows a name and a colon."""
    own, stop = (text[:-1], _STOP) if text.endswith(".") else (text, "")
    for between in (", ", " and "):
        each = [_match(name, part) for part in own.split(between)]
        if len(each) > 1 and all(each):
            return _COMMA.join(part or "" for part in each) + stop
    told, left = _clauses(name, own)
    for found in re.finditer(": ", own):
        if not left:
            break
        rest, more = _clauses(name, own[found.end() :])
        if more < left:
            before = own[: found.start()]
            told, left = f"{_match(name, before) or before}{_COLON}{rest}", more
    return None if told == own else told + stop


def _clauses(name: str, text: str) -> tuple[str, int]:
    """Return a text with its clauses translated, and how many could not be."""
    told = _in_turn(name, text.split("; "), "; ")
    left = sum(not known for _, known in told)
    return (text if left == len(told) else _SEMICOLON.join(t for t, _ in told)), left


def _fill(name: str, told: str, values: tuple[str | None, ...]) -> str:
    pieces = _FILLED.split(told)  # words, place, mark, words, ...
    made = pieces[0]
    for place, how, words in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
        value = values[int(place)] or ""
        if how == "-":
            value = ""
        elif how == "!":
            value = _translated(name, value)
        elif how == "*":
            value = _listed(name, value)
        made = _beside(_beside(made, value), words)
    return made


def _beside(left: str, right: str) -> str:
    """Put two pieces together: no space between Chinese and Chinese, one beside a Latin word."""
    if not left or not right:
        return left + right
    if re.search(_WIDE + r" ?$", left) and re.match(" ?" + _WIDE, right):
        return left.rstrip(" ") + right.lstrip(" ")
    if re.search(f"[{_HAN}]$", left) and re.match(r"[A-Za-z0-9`+\-.]", right):
        return f"{left} {right}"
    if re.search(r"[A-Za-z0-9`%]$", left) and re.match(f"[{_HAN}]", right):
        return f"{left} {right}"
    return left + right


def _listed(name: str, text: str) -> str:
    """Translate the remarks of a list: "A (9 of 12), B (none) and 3 more"; names stay."""
    more = re.fullmatch(r"(.*?) (and [\d,]+ more)", text, re.DOTALL)
    if more is not None:
        return f"{_listed(name, more[1])} {_match(name, more[2]) or more[2]}"
    # Not where a bracket is open: a remark may have commas of its own.
    parts, depth = [""], 0
    for piece in re.split(r"(, |; |[()])", text):
        depth += (piece == "(") - (piece == ")")
        if piece in (", ", "; ") and depth == 0:
            parts += [piece, ""]
        else:
            parts[-1] += piece
    return "".join(part if i % 2 else _remark(name, part) for i, part in enumerate(parts))


def _remark(name: str, part: str) -> str:
    """Translate a name with a remark, or a remark in brackets behind it."""
    found = _match(name, part, bare=False)
    if found is not None:
        return found
    behind = re.fullmatch(r"(.*?) \((.*)\)", part, re.DOTALL)
    if behind is not None:
        told = _match(name, f"({behind[2]})", bare=False)
        if told is None and (inner := _match(name, behind[2], bare=" " in behind[2])) is not None:
            told = f"\uff08{inner}\uff09"
        if told is not None:
            return f"{_range(name, behind[1])}{told}"
    return _range(name, part)


def _range(name: str, text: str) -> str:
    """Translate "A: 0.084 to 0.181"; a name that ends in whole numbers stays."""
    found = re.fullmatch(r"(.*?)(\d*\.\d+%?) to ([-+]?\d*\.\d+%?)", text, re.DOTALL)
    return text if found is None else f"{found[1]}{found[2]} {catalogue(name)['to']} {found[3]}"


def _joined(sentences: list[str]) -> str:
    made = ""
    for sentence in sentences:
        gap = "" if re.search(r"[\u3000-\u303f\uff00-\uffef]$", made) or not made else " "
        made += gap + sentence
    return made
