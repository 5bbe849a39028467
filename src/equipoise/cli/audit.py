"""``equipoise audit``: what anyone's loss or sampler does."""

from __future__ import annotations

from typing import Annotated

import typer

from equipoise._core.language import said
from equipoise.cli import options as o
from equipoise.cli.console import fail_on, findings_lines, kind_of, numbers, print_json, split_list
from equipoise.cli.options import CodingOptions, with_groups

EXAMPLE = (
    "Example: equipoise audit my_pkg.losses:FocalLoss --allow-code --labels A,B,C,D "
    "--arg alpha=[10.79,2.45,4.90,1.13]"
)


@with_groups
def run(
    *,
    target: Annotated[str, typer.Argument(help="A loss or sampler: class, function, module:name.")],
    labels: Annotated[
        str | None, typer.Option(help="Loss: names A,B,C or number. Sampler: table of all rows.")
    ] = None,
    columns: Annotated[str | None, typer.Option(help="Label columns of that table, A,B,C.")] = None,
    label: o.LabelColumn = None,
    coding: CodingOptions,
    arg: Annotated[list[str] | None, typer.Option(help="A setting, NAME=VALUE; repeat it.")] = None,
    kind: o.KindOption = None,
    what: Annotated[
        str | None, typer.Option("--as", help="loss or sampler, where the object does not tell.")
    ] = None,
    loss_weight: Annotated[
        str | None, typer.Option(help="Weights of the loss beside a sampler: 10.8,2.5,4.9,1.1.")
    ] = None,
    allow_code: o.AllowCode = False,
    as_json: o.Json = False,
    fail: o.FailOn = None,
) -> None:
    """Ask a loss or sampler what it does, what that means for outputs, and where it breaks."""
    from equipoise.errors import UsageError

    if not allow_code:
        raise UsageError(
            f"`audit` imports and runs {target}, so it needs --allow-code. Pass it if you trust "
            "that code."
        )
    from equipoise import audit

    body: object
    coded = {**coding.coding, "delimiter": coding.delimiter}
    given = audit.read_label_names(labels, split_list(columns), label, kind_of(kind), coded)
    weight = numbers("--loss-weight", loss_weight)
    done = audit.audit_path(target, audit.read_settings(arg or []), labels=given, what=what,
                            kind=kind_of(kind), weight=weight)  # fmt: skip
    if isinstance(done, audit.SamplerAudit):
        told = [said(line) for line in done.text().splitlines()]
        head, found, body = [*told, ""], list(done.findings), done.to_dict()
    else:
        head, found, body = [], done, [f.to_dict() for f in done]
    if as_json:
        print_json(body)
    else:
        typer.echo("\n".join([*head, *findings_lines(found)]))
    fail_on(found, fail)
