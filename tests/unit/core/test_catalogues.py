"""Every catalogue says all that is shown, and says it as its language is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from equipoise._core.language import LANGUAGES, catalogue, sections
from shown_texts import shown_texts

OTHERS = [name for name in LANGUAGES if name != "en"]
# Put together when the program runs, so that no single text of the source is one.
FREE = ("words", "composed")
GLOSSARY = Path(__file__).parents[3] / "docs" / "glossary.md"
HAN = r"[\u3400-\u9fff]"


def plain(text: str) -> str:
    return text.replace("{#}", "{}")


@pytest.mark.parametrize("name", OTHERS)
def test_no_text_is_missing(name: str) -> None:
    known = {plain(text) for text in catalogue(name)}
    templates = set(sections(name)["templates"])
    missing = [
        f"{section}: {text}"
        for section, texts in shown_texts().items()
        for text in texts
        if text not in (templates if section == "templates" else known)
    ]
    assert not missing, "no translation of:\n" + "\n".join(missing)


@pytest.mark.parametrize("name", OTHERS)
def test_no_text_is_gone(name: str) -> None:
    shown = shown_texts()
    told = {text for texts in shown.values() for text in texts}
    gone = [
        f"{section}: {text}"
        for section, texts in sections(name).items()
        for text in map(plain, texts)
        if section not in FREE and text not in told and f"{text}.{{}}" not in told
    ]
    assert not gone, "nothing shows any more:\n" + "\n".join(gone)


@pytest.mark.parametrize("name", OTHERS)
def test_every_hole_is_filled_or_left_out_on_purpose(name: str) -> None:
    for section, texts in sections(name).items():
        for english, told in texts.items():
            holes = len(re.findall(r"\{#?\}", english))
            filled = {int(place) for place in re.findall(r"\{(\d+)[!*~-]?\}", told)}
            assert filled == set(range(holes)), (section, english, told)
            # What a script fills in has a name, and keeps it.
            named = [sorted(re.findall(r"\{[a-z]+\}", text)) for text in (english, told)]
            assert named[0] == named[1], (section, english)


def test_chinese_is_written_as_chinese() -> None:
    """Full-width signs beside Chinese, a space between it and Latin words or numbers."""
    for section, texts in sections("zh").items():
        for english, told in texts.items():
            what = (section, english, told)
            assert not re.search(f"{HAN}[A-Za-z0-9]|[A-Za-z0-9]{HAN}", told), what
            assert not re.search(rf"{HAN}[,;:?!()]|[,;:?!()]{HAN}", told), what
            assert not re.search(r"[\uff00-\uffef\u3000-\u303f] | [\uff00-\uffef]", told), what
            assert told == told.strip() or told.startswith(" "), what


def test_the_glossary_holds_the_terms_that_are_used() -> None:
    rows = re.findall(
        r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", GLOSSARY.read_text("utf-8"), re.MULTILINE
    )
    told = "\n".join(text for texts in sections("zh").values() for text in texts.values())
    terms = {english: chinese for english, chinese, _ in rows}
    for english, chinese in terms.items():
        for term in re.split("、", chinese):
            assert term.partition("\uff08")[0] in told, (english, term)
    for english, chinese in (("recall", "召回率"), ("precision", "精确率"), ("long tail", "长尾"),
                             ("calibration", "校准"), ("cut, threshold", "阈值"),
                             ("prevalence", "占比"), ("prior", "先验")):  # fmt: skip
        assert terms[english].startswith(chinese)
    assert list(terms) == sorted(terms)
