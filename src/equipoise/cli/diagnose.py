"""``equipoise diagnose``: findings on labels, splits, scores, logs, set-ups and comparisons."""

from __future__ import annotations

from dataclasses import asdict

import typer

from equipoise.cli import diagnose_options as d, options as o
from equipoise.cli.console import fail_on, kind_of, results_lines, split_list
from equipoise.cli.option_groups import with_groups
from equipoise.cli.reading import LabelOptions

EXAMPLE = "Example: equipoise diagnose --positives A=19000,B=65000,C=38000,D=105000 --rows 224000"


@with_groups
def run(
    *,
    table: d.Table = None,
    columns: LabelOptions,
    positives: d.Positives = None,
    rows: d.Rows = None,
    files: d.Files,
    ignore: d.Ignore = None,
    explain: d.Explain = None,
    form: d.Form = "text",
    out: d.OutFile = None,
    as_json: o.Json = False,
    fail: o.FailOn = None,
) -> None:
    """Say what is odd about labels, scores, splits, logs or a set-up, and what to do."""
    from equipoise.diagnosis import explain as page, run_checks
    from equipoise.io.scores import counts_from_text
    from equipoise.studies.diagnosing import read_material, write_results

    if explain is not None:
        return typer.echo(page(explain))
    material = read_material(
        None if table is None else columns.read(table),
        table,
        counts=None if positives is None else counts_from_text(positives),
        n_rows=rows,
        kind=kind_of(columns.kind) if table is None else None,
        named=columns.named,
        **asdict(files),
    )
    results = run_checks(material, ignore=split_list(ignore) or ())
    if form == "text" and not as_json:
        typer.echo("\n".join(results_lines(results)))
    else:
        text = write_results(results, "json" if as_json else form, str(table or "counts"), out)
        typer.echo(text if text is not None else f"Written: {out}")
    return fail_on([f for r in results for f in r.findings], fail)
