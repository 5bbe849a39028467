"""A rule as a file of another world, in the format that its name or its writer says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from equipoise._core.files import atomic_path
from equipoise._core.messages import hint, one_of, say
from equipoise.artifacts import DecisionRule
from equipoise.errors import UsageError
from equipoise.export.javascript import to_javascript
from equipoise.export.onnx_graph import to_onnx
from equipoise.export.polars_code import to_polars
from equipoise.export.program import make_program
from equipoise.export.sql import to_sql
from equipoise.io.scores import bind_columns

Format = Literal["sql", "polars", "javascript", "onnx"]
FORMATS: tuple[Format, ...] = get_args(Format)
"""Names of what a rule is written as."""
ENDINGS: dict[str, Format] = {
    ".sql": "sql",
    ".py": "polars",
    ".mjs": "javascript",
    ".js": "javascript",
    ".cjs": "javascript",
    ".onnx": "onnx",
}


def format_of(path: str | Path, form: str | None = None) -> Format:
    """Return the format that is said, or that the ending of a file says.

    Raises:
        UsageError: neither says one.

    Example:
        >>> format_of("rule.sql"), format_of("decide.txt", "polars")
        ('sql', 'polars')
    """
    if form is not None:
        return one_of("form", form, FORMATS)
    ending = Path(path).suffix
    if ending not in ENDINGS:
        do = hint("Or say the format: {form=sql}.")
        expected = f"end in {', '.join(ENDINGS)}"
        raise UsageError(say("out", expected, ending or "no ending", do))
    return ENDINGS[ending]


def default_file(form: str | None) -> Path:
    """Return the file of a format where none is named.

    Raises:
        UsageError: no format is said either, or an unknown one.

    Example:
        >>> default_file("javascript").name
        'rule.mjs'
    """
    chosen = format_of("", form)
    return Path("rule" + next(ending for ending, known in ENDINGS.items() if known == chosen))


def export_rule(
    rule: DecisionRule,
    out: str | Path,
    *,
    form: str | None = None,
    score_kind: str | None = None,
    columns: Sequence[str] | None = None,
    by_row: bool = False,
    table: str | None = None,
    keep: Sequence[str] | None = None,
    dialect: str | None = None,
) -> Path:
    """Write a rule in a format that needs no equipoise: raw scores in, decisions out.

    Probabilities are those of :meth:`equipoise.DecisionRule.apply` to 1e-9, and decisions are the
    same, except for a row so close to a threshold, or to a tie of two classes, that the last digit
    of a logarithm decides. What `apply` refuses (a score that is missing or not finite) is NULL in
    SQL and polars, an error in JavaScript, and NaN with decisions of -1 in ONNX.

    Args:
        rule: The rule.
        out: File to write.
        form: "sql", "polars" (a Python file that needs polars alone), "javascript" (a module for
            ``import``; a file that ends in .cjs is for ``require``) or "onnx" (float64); the
            ending of ``out`` says it otherwise.
        score_kind: "logits", "probabilities" or "ranking": what the scores are. Those that the rule
            was tuned on, if not given.
        columns: Score columns, matched by name as :func:`equipoise.io.scores.bind_columns` does;
            those that the rule was tuned on, if not given.
        by_row: A budget over a batch, which no format sees, becomes the cut that met it on
            validation rows.
        table: SQL alone: table or view of the scores; dots part schema and table.
        keep: SQL alone: columns to carry over, such as ids. The other formats keep all.
        dialect: SQL alone: "duckdb" (the default), "postgresql", "sqlite", "snowflake", "bigquery"
            or "spark".

    Returns:
        The path.

    Raises:
        UsageError: an unknown format, options of SQL for another one, a budget without ``by_row``,
            scores of a kind that the rule does not take, or names that databases mistake.
        DataError: columns that are in part those of the rule.
        NotRecoverableError: the rule's correction leads to no probability.
        MissingExtraError: onnx is not installed.

    Example:
        >>> import runpy, tempfile
        >>> import numpy as np, polars as pl
        >>> from equipoise.artifacts import Calibrator, Correction
        >>> rule = DecisionRule(
        ...     "multilabel", ("A",), Correction.from_pos_weight([9.0]),
        ...     Calibrator.identity(1), np.zeros(1), np.array([-1.0]), None, "f1",
        ...     "validation", {"score_kind": "logits"},
        ... )
        >>> file = export_rule(rule, tempfile.mkdtemp() + "/decide.py")
        >>> decide = runpy.run_path(str(file))["decide"]
        >>> pl.DataFrame({"A": [0.0, 3.0]}).pipe(decide).select(pl.all().round(3)).rows()
        [(0.0, 0.1, 0), (3.0, 0.691, 1)]
    """
    target, chosen = Path(out), format_of(out, form)
    if chosen != "sql":
        for name, value in (("table", table), ("keep", keep), ("dialect", dialect)):
            if value is not None:
                raise UsageError(say(name, "be given for SQL alone", f"{value!r} for {chosen}"))
    called = None
    if columns is not None:
        order = bind_columns(columns, rule.names, rule.score_names)
        called = [columns[i] for i in order]
    program = make_program(rule, score_kind=score_kind, columns=called, by_row=by_row)
    if chosen == "onnx":
        made = to_onnx(program)
    elif chosen == "sql":
        text = to_sql(
            program, table=table or "scores", keep=keep or (), dialect=dialect or "duckdb"
        )
        made = text.encode()
    elif chosen == "polars":
        made = to_polars(program).encode()
    else:
        modules = "commonjs" if target.suffix == ".cjs" else "module"
        made = to_javascript(program, modules=modules).encode()
    with atomic_path(target) as temporary:
        temporary.write_bytes(made)
    return target
