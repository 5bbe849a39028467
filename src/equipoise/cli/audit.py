"""``equipoise audit``: what anyone's loss does."""

from __future__ import annotations

from typing import Annotated

import typer

from equipoise.cli import options as o
from equipoise.cli.console import fail_on, findings_lines, kind_of, print_json, split_list

EXAMPLE = (
    "Example: equipoise audit my_pkg.losses:FocalLoss --allow-code --labels A,B,C,D "
    "--arg alpha=[10.79,2.45,4.90,1.13]"
)


def run(
    loss: Annotated[str, typer.Argument(help="A class or function, as module:name.")],
    labels: Annotated[
        str | None, typer.Option(help="Their names, A,B,C, or their number; else from the loss.")
    ] = None,
    arg: Annotated[
        list[str] | None, typer.Option(help="A setting of the loss, NAME=VALUE; repeat it.")
    ] = None,
    kind: o.KindOption = None,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Import and run the loss: this runs its code.")
    ] = False,
    as_json: o.Json = False,
    fail: o.FailOn = None,
) -> None:
    """Ask a loss what it expects, what its outputs mean, and where it breaks."""
    from equipoise.errors import UsageError

    if not allow_code:
        raise UsageError(
            f"`audit` imports and runs {loss}, so it needs --allow-code. Pass it if you trust "
            "that code."
        )
    from equipoise import audit

    names = split_list(labels)
    alone = names[0] if names is not None and len(names) == 1 else ""
    found = audit.audit_loss(
        audit.load_loss(loss, audit.read_settings(arg or [])),
        labels=int(alone) if alone.isdigit() else names,
        kind=kind_of(kind),
    )
    if as_json:
        print_json([f.to_dict() for f in found])
    else:
        typer.echo("\n".join(findings_lines(found)))
    fail_on(found, fail)
