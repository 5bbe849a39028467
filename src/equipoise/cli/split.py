"""``equipoise split``: stratified, grouped or long-tailed parts with their proof."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli import options as o
from equipoise.cli.console import kind_of, print_json, split_list, table

EXAMPLE = "Example: equipoise split labels.csv --labels A,B,C,D --group patient -o parts"


def run(
    source: Annotated[Path, typer.Argument(help="CSV, Parquet or class folder with labels.")],
    label: o.LabelColumn = None,
    labels: o.LabelColumns = None,
    delimiter: o.Delimiter = "|",
    kind: o.KindOption = None,
    id_column: o.IdColumn = None,
    group: o.GroupColumn = None,
    fractions: Annotated[str, typer.Option(help="Shares of train,val,test.")] = "0.7,0.15,0.15",
    long_tail: Annotated[bool, typer.Option("--long-tail", help="Thin to a long tail.")] = False,
    ratio: Annotated[
        str | None, typer.Option(help="Imbalance ratio (20), or one number per class: 19:17:...:1.")
    ] = None,
    shape: Annotated[str, typer.Option(help="exp or step, for one imbalance ratio.")] = "exp",
    total: Annotated[int | None, typer.Option(help="Training rows of the long tail.")] = None,
    test_per_class: Annotated[int | None, typer.Option(help="Balanced test rows.")] = None,
    val_per_class: Annotated[int | None, typer.Option(help="Balanced validation rows.")] = None,
    copy: Annotated[
        Path | None, typer.Option(help="Copy a class folder's files into DIR/part/class.")
    ] = None,
    seed: o.Seed = 0,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")] = Path("split"),
    as_json: o.Json = False,
) -> None:
    """Split a label table (or class folder) and write the parts with the proof."""
    from equipoise.experiments.parts import draw_split, write_parts
    from equipoise.labels import read_labels

    found = read_labels(source, label=label, labels=split_list(labels), delimiter=delimiter,
                        kind=kind_of(kind), id_column=id_column, group_column=group)  # fmt: skip
    made = draw_split(found, fractions, long_tail, ratio, shape, total,
                      (val_per_class, test_per_class), seed)  # fmt: skip
    written = write_parts(made, found, source, out, copy)
    if as_json:
        print_json({"sizes": made.sizes, "fingerprint": made.fingerprint, "proof": made.proof})
        return
    parts = {part: found[getattr(made, part)].counts for part, n in made.sizes.items() if n}
    counts = [[n, *(str(c[i]) for c in parts.values())] for i, n in enumerate(found.names)]
    counts.append(["rows", *(str(made.sizes[part]) for part in parts)])
    typer.echo(table(["", *parts], counts))
    typer.echo(f"fingerprint {made.fingerprint}; written: {', '.join(str(p) for p in written)}")
