"""The command line's entrance: its verbs, and errors as one line and an exit code."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from shlex import quote
from typing import Any

import typer

from equipoise._core.messages import Argument, Message
from equipoise.cli import (
    apply,
    audit,
    compare,
    demo,
    diagnose,
    evaluate,
    init,
    methods,
    mine,
    predict,
    report,
    split,
    train,
    tune,
)
from equipoise.errors import EquipoiseError

INTERRUPTED = 130
# typer brings its own copy of click in newer releases, so its classes are reached through typer.
_ClickError = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def _stop(message: str, code: int) -> int:
    typer.echo(f"equipoise: {' '.join(message.split())}", err=True)
    return code


def _wrong_use(error: Exception) -> int:
    message = getattr(error, "format_message", lambda: str(error))()
    return _stop(f"{message} See `equipoise --help`.", 2)


@cache
def _command(app: typer.Typer) -> Any:
    """Read the verbs' signatures once, however often they are called in a process."""
    return typer.main.get_command(app)


# Arguments of the library that a verb calls otherwise; the rest have the names of its parameters.
CALLED = {
    "assignments": "settings",
    "counts": "positives",
    "group_column": "group",
    "imbalance_ratio": "ratio",
    "level": "fail",
    "n_max": "total",
    "n_rows": "rows",
    "weight": "loss_weight",
}
# `audit` names the table with --labels and its columns with --columns.
OF_VERB = {"audit": {"labels": "columns", "table": "labels"}}
# Verbs whose tables are described in a study: how labels are coded stands there.
_UNKNOWN = "\0"
OF_STUDIES = ("train", "mine")
CODING = ("positive", "negative", "unknown", "empty_token")


def options_of(app: typer.Typer, verb: str) -> dict[str, str]:
    """Return how a verb spells arguments of the library.

    Example:
        >>> from equipoise.cli.main import app
        >>> found = options_of(app, "split")
        >>> found["id_column"], found["imbalance_ratio"]
        ('--id', '--ratio')
    """
    command = _command(app).commands.get(verb)
    own = {} if command is None else {
        p.name: p.opts[0] for p in command.params if p.opts[0].startswith("--")
    }  # fmt: skip
    # What a study calls settings is no option, but for the one that changes it.
    known = {name: option for name, option in own.items() if name != "settings"}
    for name, parameter in (CALLED | OF_VERB.get(verb, {})).items():
        if parameter in own:
            known[name] = own[parameter]
    if verb in OF_STUDIES:
        known |= {name: f"data.{name}" for name in CODING if name not in own}
    return known


def spell(message: str, options: Mapping[str, str]) -> str:
    """Return a message of the library with its arguments as options.

    Example:
        >>> from equipoise._core.messages import hint, say
        >>> spell(say("id_column", "name a column", "'x'"), {"id_column": "--id"})
        "`--id` must name a column, got 'x'."
        >>> text = Message("Say ", Argument("empty_token", "No Finding"), ".")
        >>> spell(text, {"empty_token": "--empty-token"})
        "Say --empty-token 'No Finding'."
        >>> spell(text, {"empty_token": "data.empty_token"})
        'Say data.empty_token: "No Finding".'
        >>> spell(hint("Use fewer parts, or pass {rounds:3}. See {min_per_part:0}."), {})
        'Use fewer parts.'
    """
    if not isinstance(message, Message):
        return message

    def option(argument: Argument) -> str:
        names = argument.name.split(" and ")
        if argument.quoted:
            return "`" + " and ".join(options.get(name, name) for name in names) + "`"
        if argument.name not in options:
            return _UNKNOWN
        known, value = options[argument.name], argument.value
        if value is None or value == "True":
            return known
        return f"{known} {quote(value)}" if known.startswith("--") else f'{known}: "{value}"'

    text = message.spelt(option)
    if _UNKNOWN not in text:
        return text
    # The verb has no such option, so that it is no advice here: its clause goes, or its sentence.
    sentences = []
    for sentence in re.split(r"(?<=\.) ", text):
        clauses = [c for c in re.split(r"(?:,|;)? or ", sentence) if _UNKNOWN not in c]
        if clauses or _UNKNOWN not in sentence:
            kept = sentence if _UNKNOWN not in sentence else " or ".join(clauses)
            sentences.append(kept if kept.endswith(".") else f"{kept}.")
    return " ".join(sentences) or str(message)


def _said(error: Warning | Exception | str) -> str:
    """Return what an error or a warning was made with, which may know its arguments."""
    given = getattr(error, "args", ())
    return given[0] if given and isinstance(given[0], Message) else str(error)


def _notes(app: typer.Typer, verb: str) -> Callable[..., None]:
    """Return what prints a warning as a note, in the options of the verb."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        said = spell(_said(message), options_of(app, verb))
        typer.echo(f"equipoise: note: {' '.join(said.split())}", err=True)

    return show


def run_app(app: typer.Typer, arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    verb = "".join(arguments[:1])
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _notes(app, verb)
            code = _command(app)(
                arguments, standalone_mode=False, prog_name="equipoise",
                obj=lambda text: spell(text, options_of(app, verb)),
            )  # fmt: skip
    except EquipoiseError as error:
        return _stop(spell(_said(error), options_of(app, verb)), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader went away (`equipoise ... | head`); say nothing more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _stop(f"{error.strerror or error}: {error.filename or 'no file name'}", 1)
    except MemoryError:
        return _stop("out of memory. Use fewer rows, a smaller batch or fewer seeds.", 1)
    except Exception as error:
        if isinstance(error, _ClickError):
            return _wrong_use(error)
        raise
    if code == INTERRUPTED:
        return _stop("interrupted. Finished trials are kept: run the same command to go on.", code)
    return int(code or 0)


app = typer.Typer(
    name="equipoise",
    help="Find out whether class imbalance hurts your classifier, treat it with the remedy that "
    "works on your data, and ship calibrated decisions.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: equipoise demo",
)
for verb in (demo, init, diagnose, audit, split, train, mine, compare, tune, evaluate, apply,
             predict, report, methods):  # fmt: skip
    app.command(verb.__name__.rpartition(".")[2], epilog=verb.EXAMPLE)(verb.run)


@app.callback(invoke_without_command=True)
def _entrance(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version."),
) -> None:
    if version:
        from equipoise import __version__

        typer.echo(f"equipoise {__version__}")
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(run_app(app, sys.argv[1:] if arguments is None else arguments))
