"""The command line's entrance: verbs, errors as one line, exit codes."""

from __future__ import annotations

import os
import sys

import click
import typer

from equipoise.cli import (
    compare,
    demo,
    diagnose,
    evaluate,
    init,
    methods,
    report,
    split,
    tune,
)
from equipoise.errors import EquipoiseError

__all__ = ["app", "main"]

app = typer.Typer(
    name="equipoise",
    help="Find out whether class imbalance hurts your classifier, treat it with the remedy that "
    "works on your data, and ship calibrated decisions.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for verb in (demo, init, diagnose, split, compare, tune, evaluate, report, methods):
    name = verb.__name__.rpartition(".")[2]
    app.command(name, epilog=verb.EXAMPLE)(verb.run)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    if version:
        from equipoise import __version__

        typer.echo(f"equipoise {__version__}")
        raise typer.Exit


def _stop(message: str, code: int) -> int:
    typer.echo(f"equipoise: {' '.join(message.split())}", err=True)
    return code


def _run(arguments: list[str]) -> int:
    try:
        code = app(arguments, standalone_mode=False, prog_name="equipoise")
    except EquipoiseError as error:
        return _stop(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        return _stop(f"{error.format_message()} See `equipoise --help`.", 2)
    except (KeyboardInterrupt, click.Abort):
        return _stop("interrupted. Finished trials are kept: run the same command to go on.", 130)
    except BrokenPipeError:
        # The reader went away (`equipoise ... | head`); say nothing more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _stop(f"{error.strerror or error}: {error.filename or 'no file name'}", 1)
    except MemoryError:
        return _stop("out of memory. Use fewer rows, a smaller batch or fewer seeds.", 1)
    return int(code or 0)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    sys.exit(_run(sys.argv[1:] if arguments is None else arguments))
