"""The pages on exports and on other trainers print what they say, and name what there is."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import equipoise as eq
from equipoise.artifacts import Correction
from equipoise.cli.main import main
from equipoise.export import DIALECTS

DOCS = Path(__file__).parents[2] / "docs"
EXPORT = (DOCS / "export.md").read_text(encoding="utf-8")
ANY = (DOCS / "any_trainer.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("text", [EXPORT, ANY])
def test_the_block_prints_what_the_page_says(text: str) -> None:
    ((code, output),) = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "page", "exec"), {})  # noqa: S102
    assert printed.getvalue() == output


def _run(text: str) -> None:
    (commands,) = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    for command in commands.splitlines():
        with pytest.raises(SystemExit) as stop:
            main(shlex.split(command)[1:])
        assert not stop.value.code, command


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = (rng.random(400) < 0.2).astype(int)
    p = 1 / (1 + np.exp(2 - 2 * y - rng.normal(size=400)))
    val = pl.DataFrame({"id": range(400), "p_fault": p, "fault": y})
    val.write_csv("val.csv")
    val.drop("fault").with_columns(pl.col("id") + 400).write_csv("new.csv")
    _run(ANY)
    assert "FROM `predictions`" in Path("rule.sql").read_text()
    labels = eq.Labels.from_array(y, kind="multilabel", names=["scratch"])
    eq.tune(eq.Scores.from_arrays(labels, probabilities=p, split="val")).save("rule.json")
    _run(EXPORT)
    assert {f"rule.{e}" for e in ("sql", "mjs", "onnx")} < {f.name for f in tmp_path.iterdir()}


def test_the_module_says_what_the_page_says(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node")
    (python,) = re.findall(r"```python\n(.*?)```", EXPORT, re.DOTALL)
    (script,) = re.findall(r"```js\n(.*?)```", EXPORT, re.DOTALL)
    scope: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(python, "page", "exec"), scope)  # noqa: S102
    eq_rule = scope["rule"]
    scope["export_rule"](eq_rule, tmp_path / "rule.mjs")  # type: ignore[operator]
    (tmp_path / "page.mjs").write_text(script, encoding="utf-8")
    told = subprocess.run([node, "page.mjs"], cwd=tmp_path, check=True, capture_output=True)
    assert told.stdout.decode().strip() == script.rpartition("// ")[2].strip()


def test_what_the_pages_name_exists() -> None:
    for dialect in DIALECTS:
        assert f"`{dialect}`" in EXPORT.replace("--dialect duckdb", "duckdb")
    named = set(re.findall(r"Correction\.(\w+)\(", ANY))
    assert {n for n in dir(Correction) if n.startswith("from_")} - {"from_dict"} == named
