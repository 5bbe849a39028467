"""What leaves Python decides as the rule does: SQL, polars, JavaScript and ONNX."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rule_samples import RULES, check, program_of, rows_for

from equipoise.export.javascript import to_javascript
from equipoise.export.onnx_graph import to_onnx
from equipoise.export.polars_code import to_polars
from equipoise.export.program import Program
from equipoise.export.sql import to_sql

Answer = tuple[np.ndarray, np.ndarray]


def _columns(program: Program) -> list[str]:
    return [f"r{i}" for i in range(len(program.columns))]


def _frame(program: Program, rows: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame(dict(zip(program.columns, rows.T, strict=True))).with_row_index("id")


def _answer(program: Program, made: pl.DataFrame) -> Answer:
    p = made.select(f"probability:{name}" for name in program.names).to_numpy()
    if program.kind == "multilabel":
        flags = made.select(f"decision:{name}" for name in program.names)
        return p, flags.cast(pl.Int8).to_numpy()
    names = list(program.names)
    return p, np.array([names.index(name) for name in made["decision"]])


def in_duckdb(program: Program, rows: np.ndarray, place: Path) -> Answer:
    duckdb = pytest.importorskip("duckdb")
    _frame(program, rows).write_parquet(place / "scores.parquet")
    with duckdb.connect() as base:
        base.execute("CREATE TABLE scores AS FROM read_parquet(?)", [str(place / "scores.parquet")])
        found = base.execute(to_sql(program, keep=["id"])).fetchnumpy()
    made = pl.DataFrame({n: v.tolist() for n, v in found.items()}, strict=False)
    return _answer(program, made.sort("id"))


def in_sqlite(program: Program, rows: np.ndarray) -> Answer:
    frame = _frame(program, rows)
    quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in frame.columns)
    marks = ", ".join("?" * frame.width)
    with closing(sqlite3.connect(":memory:")) as base:
        try:
            base.execute("SELECT ln(2e0), exp(1e0)")
        except sqlite3.OperationalError:
            pytest.skip("SQLite without math functions")
        base.execute(f"CREATE TABLE scores ({quoted})")
        base.executemany(f"INSERT INTO scores VALUES ({marks})", frame.rows())  # noqa: S608
        found = base.execute(to_sql(program, keep=["id"], dialect="sqlite"))
        names = [column[0] for column in found.description]
        answers = found.fetchall()
    made = pl.DataFrame(answers, schema=names, orient="row", infer_schema_length=None)
    return _answer(program, made.sort("id"))


def in_polars(program: Program, rows: np.ndarray) -> Answer:
    scope: dict[str, Any] = {}
    exec(compile(to_polars(program), "rule.py", "exec"), scope)  # noqa: S102
    made = scope["decide"](_frame(program, rows))
    assert made.columns[0] == "id"
    return _answer(program, made)


def in_node(program: Program, rows: np.ndarray, place: Path) -> Answer:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node")
    (place / "rule.mjs").write_text(to_javascript(program), encoding="utf-8")
    records = [dict(zip(program.columns, row, strict=True)) for row in rows.tolist()]
    (place / "rows.json").write_text(json.dumps(records), encoding="utf-8")
    (place / "run.mjs").write_text(
        'import { readFileSync, writeFileSync } from "node:fs";\n'
        'import { NAMES, decideAll } from "./rule.mjs";\n'
        'const rows = JSON.parse(readFileSync("rows.json", "utf-8"));\n'
        "const made = decideAll(rows).map((r) => [NAMES.map((n) => r.probabilities[n]),\n"
        "  r.decisions ? NAMES.map((n) => r.decisions[n]) : NAMES.indexOf(r.decision)]);\n"
        'writeFileSync("made.json", JSON.stringify(made));\n',
        encoding="utf-8",
    )
    subprocess.run([node, "run.mjs"], cwd=place, check=True, timeout=300)
    made = json.loads((place / "made.json").read_text(encoding="utf-8"))
    return np.array([p for p, _ in made]), np.array([d for _, d in made])


def in_onnxruntime(program: Program, rows: np.ndarray) -> Answer:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(to_onnx(program), providers=["CPUExecutionProvider"])
    p, decided = session.run(None, {"scores": rows})
    assert p.dtype == np.float64
    return p, decided


FORMATS: dict[str, Callable[..., Answer]] = {
    "duckdb": in_duckdb,
    "sqlite": in_sqlite,
    "polars": in_polars,
    "node": in_node,
    "onnxruntime": in_onnxruntime,
}


@pytest.mark.parametrize("where", FORMATS)
@pytest.mark.parametrize("name", RULES)
def test_every_format_says_what_the_rule_says(name: str, where: str, tmp_path: Path) -> None:
    _check(name, where, 2000, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("where", FORMATS)
@pytest.mark.parametrize("name", RULES)
def test_a_hundred_thousand_rows(name: str, where: str, tmp_path: Path) -> None:
    _check(name, where, 100_000, tmp_path)


def _check(name: str, where: str, n: int, place: Path) -> None:
    rule, program = RULES[name], program_of(name)
    rows = rows_for(rule, n, seed=1)
    more = (place,) if where in ("node", "duckdb") else ()
    check(rule, rows, *FORMATS[where](program, rows, *more))
