"""``equipoise report``: the HTML page from finished comparisons, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from equipoise.cli import options as o

EXAMPLE = "Example: equipoise report demo/digits_four_labels -o report.html"


def run(
    results: Annotated[
        list[Path], typer.Argument(help="comparison.json files, or the folders that hold them.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", callback=o.file_to_write, help="Page to write.")
    ] = Path("report.html"),
) -> None:
    """Write the report of one or several comparisons again."""
    from equipoise.artifacts import Comparison
    from equipoise.report import write_report

    paths = [path / "comparison.json" if path.is_dir() else path for path in results]
    path = write_report([Comparison.load(p) for p in paths], path=out)
    typer.echo(f"Report: {path} ({path.stat().st_size / 1000:.0f} kB)")
