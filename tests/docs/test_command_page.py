"""The page of commands has every verb, argument and option, as their help has them."""

from __future__ import annotations

import re
from functools import cache

import pytest
import typer
from made_pages import pages

from equipoise.cli.main import app

GROUP = typer.main.get_command(app)


@cache
def page() -> str:
    return pages().command_pages()["commands.md"]


def sections() -> dict[str, str]:
    parts = re.findall(r"^## ([a-z]+)\n(.*?)(?=^## |\Z)", page(), flags=re.MULTILINE | re.DOTALL)
    return dict(parts)


def test_every_verb_has_a_section_and_nothing_else_has() -> None:
    assert list(sections()) == list(GROUP.commands)


@pytest.mark.parametrize("verb", GROUP.commands)
def test_a_verb_says_what_its_help_says(verb: str) -> None:
    command, text = GROUP.commands[verb], sections()[verb]
    assert " ".join(command.help.split()) in " ".join(text.split())
    assert f"equipoise {verb} [OPTIONS]" in text
    rows = dict(re.findall(r"^\| `(.+?)` \| (.+) \|$", text, flags=re.MULTILINE))
    context = command.context_class(command, info_name=verb)
    for parameter in command.get_params(context):
        spelt, told = parameter.get_help_record(context)
        assert spelt.replace("|", r"\|") in rows, parameter.opts
        assert rows.pop(spelt.replace("|", r"\|")) == " ".join(told.split()).replace("|", r"\|")
        default = parameter.default
        if default is not None and not isinstance(default, bool) and not callable(default):
            assert f"[default: {default}" in told
    assert rows == {}
    for example in re.findall(r"equipoise [^\n;]+", command.epilog):
        assert example.strip() in text


def test_exit_codes_are_those_of_the_command_line() -> None:
    from equipoise import errors

    codes = {int(code) for code in re.findall(r"^\| (\d+) \| ", page(), flags=re.MULTILINE)}
    raised = {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.EquipoiseError)
    }
    assert codes == {0, 4, 130, 141, 143} | raised
    for verb, text in sections().items():
        has = any(p.name == "fail" for p in GROUP.commands[verb].params)
        assert ("`--fail-on`." in text) == has
