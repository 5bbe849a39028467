"""``equipoise split``: stratified, grouped, folded or long-tailed parts with their proof."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise._core.language import said
from equipoise.cli import options as o
from equipoise.cli.console import numbers, print_json, split_list
from equipoise.cli.lines import finding_line, proof_lines
from equipoise.cli.options import LabelOptions, with_groups

EXAMPLE = "Example: equipoise split labels.csv --labels A,B,C,D --groups patient -o parts"


@with_groups
def run(
    *,
    source: Annotated[Path, typer.Argument(help="CSV, Parquet or class folder with labels.")],
    columns: LabelOptions,
    fractions: o.Fractions = None, folds: o.Folds = None, min_per_part: o.MinPerPart = 1,
    long_tail: o.LongTail = False, ratio: o.TailRatio = None, shape: o.TailShape = None,
    total: o.TailTotal = None, order: o.TailOrder = None, test_per_class: o.TestPerClass = None,
    val_per_class: o.ValPerClass = None,
    copy: o.CopyFiles = None, seed: o.Seed = 0, out: o.OutFolder = Path("split"),
    dry_run: o.DryRun = False, as_json: o.Json = False,
) -> None:  # fmt: skip
    """Split a label table (or class folder) and write the parts with the proof."""
    from equipoise.splits import split_summary
    from equipoise.studies.split_files import (
        LongTail,
        draw_splits,
        splits_dict,
        table_copies,
        told_of,
        write_splits,
    )

    shares, ratios = numbers("--fractions", fractions), numbers("--ratio", ratio, ":")
    each = (val_per_class, test_per_class)
    tail = LongTail.from_options(long_tail, ratios, shape, total, each, split_list(order))
    found = columns.read(source)
    copies = table_copies(source, found, columns.named)
    made = draw_splits(found, fractions=shares, folds=folds, min_per_part=min_per_part,
                       long_tail=tail, seed=seed, copies=copies)  # fmt: skip
    summary, found_out = split_summary(made, found), told_of(copies, made, found)
    written = [] if dry_run else write_splits(made, found, source, out, copy)
    if as_json:
        more = {"findings": [f.to_dict() for f in found_out], "summary": summary.to_dict()}
        print_json(splits_dict(made) | more | {"written": written})
        return
    prints = " ".join(s.fingerprint for s in made)
    end = f"written: {', '.join(map(str, written))}" if written else "dry run: nothing written"
    mark = said(f"fingerprint {prints}")
    lines = [
        *proof_lines(summary, long_tail),
        *(finding_line(f, f.message) for f in found_out),
    ]
    typer.echo("\n".join([*lines, mark, said(end)]))
