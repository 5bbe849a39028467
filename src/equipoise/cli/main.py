"""The command line's entrance: its verbs, in the order of the line."""

from __future__ import annotations

import sys

import typer

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
from equipoise.cli.exits import run_app

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
