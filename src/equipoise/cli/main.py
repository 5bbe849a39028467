"""The command line's entrance: its verbs, and errors as one line and an exit code."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from shlex import quote
from typing import Any

import typer

from equipoise._core.extras import missing_extra
from equipoise._core.messages import Argument, Message
from equipoise._core.reading import reason_of
from equipoise.cli import (
    apply,
    audit,
    compare,
    demo,
    diagnose,
    evaluate,
    export,
    init,
    methods,
    mine,
    predict,
    recipes,
    refit,
    report,
    split,
    train,
    tune,
)
from equipoise.cli.options import in_language
from equipoise.errors import EquipoiseError, Terminated

INTERRUPTED, TERMINATED = 130, 143
# What a shell reports of `cat` and `grep`, which SIGPIPE ends: who looks at the parts of a pipe
# (`set -o pipefail`) expects it, and knows that not everything was said.
PIPE_CLOSED = 141
# typer brings its own copy of click in newer releases, so its classes are reached through typer.
_ClickError = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def _stop(message: str, code: int) -> int:
    typer.echo(f"equipoise: {' '.join(message.split())}", err=True)
    return code


def _wrong_use(error: BaseException) -> int:
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
    "weight_column": "weight",
    "imbalance_ratio": "ratio",
    "level": "fail",
    "n_max": "total",
    "n_rows": "rows",
    "path_column": "image",
    "weight": "loss_weight",
}
# `audit` names the table with --labels and its columns with --columns.
OF_VERB = {"audit": {"labels": "columns", "table": "labels"}}
# Verbs whose tables are described in a study: how labels are coded stands there.
_UNKNOWN = "\0"
OF_STUDIES = ("train", "mine")
CODING = ("positive", "negative", "unknown", "empty_token")
OF_IMAGES = ("on_broken", "root")
# What a study says of its rows, where verbs have options.
OF_DATA = {
    "label": "label",
    "labels": "labels",
    "id_column": "id",
    "group_column": "group",
    "weight_column": "weight",
    "path_column": "image",
    **{name: name for name in CODING},
}


def options_of(app: typer.Typer, verb: str, words: Sequence[str] = ()) -> dict[str, str]:
    """Return how a verb spells arguments of the library.

    Args:
        app: The command line.
        verb: Its name.
        words: What it was given. A study says itself where labels stand, but for what is given
            as an option beside it.

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
        known |= {name: f"data.{name}" for name in (*CODING, *OF_IMAGES) if name not in own}
    elif "settings" in own:
        known |= {name: f"{own['settings']} data.{name}=" for name in OF_IMAGES if name not in own}
    if not any(word.endswith((".yaml", ".yml")) for word in words[:1]):
        return known
    beside = {word.partition("=")[0] for word in words}
    said = {n: f"data.{key}" for n, key in OF_DATA.items() if known.get(n) not in beside}
    return known | said


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
        if known.endswith("="):
            return f"{known}{'VALUE' if value is None else quote(value)}"
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
            kept = kept if kept.endswith(".") else f"{kept}."
            sentences.append(kept[:1].upper() + kept[1:])
    return " ".join(sentences) or str(message)


def _said(error: Warning | Exception | str) -> str:
    """Return what an error or a warning was made with, which may know its arguments."""
    given = getattr(error, "args", ())
    return given[0] if given and isinstance(given[0], Message) else str(error)


def _notes(options: Callable[[], Mapping[str, str]]) -> Callable[..., None]:
    """Return what prints a warning as a note, in the options of the verb."""
    told: set[str] = set()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        said = " ".join(spell(_said(message), options()).split())
        if said not in told:  # plans and trainings find the same
            told.add(said)
            typer.echo(f"equipoise: note: {said}", err=True)

    return show


@contextlib.contextmanager
def _any_terminal() -> Iterator[None]:
    """Write what the terminal has no letters for as an escape, instead of failing half-way."""
    streams = [s for s in (sys.stdout, sys.stderr) if isinstance(s, io.TextIOWrapper)]
    before = [s.errors for s in streams]
    for stream in streams:
        if stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream, errors in zip(streams, before, strict=True):
            if stream.errors != errors and not stream.closed:
                with contextlib.suppress(OSError):  # of what could not be written
                    stream.reconfigure(errors=errors)


@contextlib.contextmanager
def _interruptible() -> Iterator[list[int]]:
    """Let SIGTERM end a verb as Ctrl-C does, with what is finished kept, and note which came.

    The note counts, not the exception: compiled code that is interrupted while it calls Python may
    raise an error of its own instead, as NumPy does of a buffer's format that it could not read.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def stop(number: int, _: object) -> None:
        came.append(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough while it is cleared up
        raise Terminated

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, stop)}
    # Where it is ignored, as of what runs in the background, it stays so.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        before[signal.SIGINT] = signal.signal(signal.SIGINT, stop)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave_pipe() -> int:
    """Say nothing more to a reader that went away, as in `equipoise ... | head`."""
    if sys.stdout is not None:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return PIPE_CLOSED


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says, in the words of some library, that memory was not enough."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    known = ("failed to map segment", "cannot allocate memory", "can't allocate memory",
             "alloc failed", "out of memory", "can't start new thread",
             "kind: wouldblock")  # fmt: skip
    panic = type(error).__name__ == "PanicException"
    some = panic or isinstance(error, (ImportError, RuntimeError, OSError))
    return some and any(words in str(error).lower() for words in known)


def _out_of_memory(error: BaseException) -> str:
    do = "Use fewer rows, a smaller batch or fewer seeds."
    if isinstance(error, ImportError):
        return f"out of memory before anything was read. It takes about 1 GB. {do}"
    said = reason_of(error, 200).removeprefix("more than fits into memory").strip(" ()").rstrip(".")
    return f"out of memory{': ' if said else ''}{said}. {do}"


def _unexpected(error: BaseException) -> str:
    """Return what is said where a fault of ours has no better words."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f"{os.sep}equipoise{os.sep}" in f.filename] or frames
    at = f", {os.path.basename(ours[-1].filename)} line {ours[-1].lineno}" if ours else ""  # noqa: PTH119
    said = reason_of(error, 200)
    named = (
        type(error).__name__ if said == type(error).__name__ else f"{type(error).__name__}: {said}"
    )
    return (
        f"this was not expected ({named}{at}), and is probably a fault of equipoise. Please report "
        f"it with the traceback that EQUIPOISE_DEBUG=1 shows, at {_tracker()}."
    )


def _tracker() -> str:
    """Return where faults are reported, by the package's own metadata."""
    from importlib import metadata

    with contextlib.suppress(metadata.PackageNotFoundError):
        for entry in metadata.metadata("equipoise").get_all("Project-URL") or ():
            label, _, url = entry.partition(",")
            if label.strip().lower() in ("issues", "tracker", "bug tracker", "repository"):
                return str(url).strip()
    return "the project's issue tracker"


def _answer(
    error: BaseException, options: Mapping[str, str], came: list[int], verb: str = ""
) -> int:
    """Say in a line what went wrong, and return the exit code; raise what is no error."""
    # typer answers a closed pipe itself, with SystemExit(1).
    broken = error.__context__ if isinstance(error, SystemExit) else error
    if isinstance(broken, OSError) and broken.errno == errno.EPIPE:
        return _leave_pipe()
    debug = os.environ.get("EQUIPOISE_DEBUG", "0") not in ("", "0")
    if came or isinstance(error, (KeyboardInterrupt, typer.Abort)):
        again = "Finished trials are kept: run the same command to go on."
        if signal.SIGTERM in came:
            return _stop(f"ended by SIGTERM. {again}", TERMINATED)
        return _stop(f"interrupted. {again}", INTERRUPTED)
    # A verb that trains or predicts needs more than torch; what is audited may need it alone.
    torch = "torch" if verb == "audit" else "train"
    error = missing_extra(error, f"equipoise {verb}".strip(), torch) or error
    if isinstance(error, EquipoiseError):
        if debug:
            traceback.print_exception(error)
        return _stop(spell(_said(error), options), error.exit_code)
    # A panic of polars is no Exception.
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error
    if isinstance(error, _ClickError):
        return _wrong_use(error)
    if _is_out_of_memory(error):
        return _stop(_out_of_memory(error), 1)
    if isinstance(error, OSError):
        return _stop(f"{error.strerror or error}: {error.filename or 'standard output'}", 1)
    if debug:
        raise error
    return _stop(_unexpected(error), 1)


def run_app(app: typer.Typer, arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    verb = "".join(arguments[:1])
    options = partial(options_of, app, verb, arguments[1:])
    closed = sys.stdout is None
    if closed:
        # The first file that is opened would be standard output to all that writes there.
        os.open(os.devnull, os.O_WRONLY)
    came: list[int] = []
    try:
        with _interruptible() as came, _any_terminal(), warnings.catch_warnings():
            warnings.showwarning = _notes(options)
            code = _command(app)(
                arguments, standalone_mode=False, prog_name="equipoise",
                obj=lambda text: spell(text, options()),
            )  # fmt: skip
            # Here a reader that is gone or a disk that is full can still be answered.
            if sys.stdout is not None:
                sys.stdout.flush()
    except BaseException as error:
        # typer makes one and the same of every interruption.
        return _answer(error, options(), came, verb)
    if closed and not code:
        return _stop("standard output is closed, so that nothing of the result was said.", 1)
    if code == INTERRUPTED:
        return _answer(KeyboardInterrupt(), {}, came)
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
             predict, refit, export, report, methods, recipes):  # fmt: skip
    app.command(verb.__name__.rpartition(".")[2], epilog=verb.EXAMPLE)(in_language(verb.run))


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
