"""Errors as one line and an exit code: 1 failed, 2 wrong use, 3 bad data, 130 interrupted."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import typer

from equipoise.cli.wording import in_options
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


def _notes_of(verb: str) -> Callable[..., None]:
    """Return what prints a warning as a note, in the options of the verb."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        said = in_options(" ".join(str(message).split()), verb)
        typer.echo(f"equipoise: note: {said}", err=True)

    return show


@cache
def _command(app: typer.Typer) -> Any:
    """Read the verbs' signatures once, however often they are called in a process."""
    return typer.main.get_command(app)


def run_app(app: typer.Typer, arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _notes_of("".join(arguments[:1]))
            code = _command(app)(arguments, standalone_mode=False, prog_name="equipoise")
    except EquipoiseError as error:
        return _stop(in_options(str(error), "".join(arguments[:1])), error.exit_code)
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
