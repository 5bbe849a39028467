"""Rows that `apply` refuses, names that would break out of a text, and what no format can hold."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rule_samples import CLASSES, LABELS, RULES, class_rule, label_rule, rows_for, wanted

from equipoise.artifacts import Correction, DecisionRule
from equipoise.errors import DataError, MissingExtraError, NotRecoverableError, UsageError
from equipoise.export import (
    DIALECTS,
    append_rule,
    export_rule,
    make_program,
    to_javascript,
    to_onnx,
    to_polars,
    to_sql,
)

GOOD = [0.3, 0.6, 0.2]
ODD = [math.nan, math.inf, -math.inf, None]
P_RULE = RULES["labels_probabilities"]
NODE = shutil.which("node")


def odd_frame(more: tuple[Any, ...] = ()) -> pl.DataFrame:
    rows = [GOOD, *([value, *GOOD[1:]] for value in (*ODD, *more))]
    return pl.DataFrame(rows, schema=dict.fromkeys(LABELS, pl.Float64), orient="row")


def polars_decide(rule: DecisionRule) -> Any:
    scope: dict[str, Any] = {}
    exec(compile(to_polars(make_program(rule)), "rule.py", "exec"), scope)  # noqa: S102
    return scope["decide"]


class TestRowsThatApplyRefuses:
    """One bad score of a row, and the whole row has no answer; the row beside it has."""

    @pytest.mark.parametrize(("rule", "more"), [(RULES["labels_weight"], ()), (P_RULE, (-1, 2))])
    def test_are_null_in_polars(self, rule: DecisionRule, more: tuple[float, ...]) -> None:
        frame = odd_frame(more)
        made = polars_decide(rule)(frame)
        assert made.columns[:3] == frame.columns
        results = made.drop(frame.columns)
        assert len(results.columns) == 6
        assert results[1:].null_count().sum_horizontal().item() == 6 * (len(frame) - 1)
        assert results[:1].null_count().sum_horizontal().item() == 0
        lazy = polars_decide(rule)(frame.lazy()).collect()
        assert lazy.equals(made)

    @pytest.mark.parametrize(("rule", "more"), [(RULES["labels_weight"], ()), (P_RULE, (-1, 2))])
    def test_are_null_in_sql(
        self, rule: DecisionRule, more: tuple[float, ...], tmp_path: Path
    ) -> None:
        duckdb = pytest.importorskip("duckdb")
        odd_frame(more).write_parquet(tmp_path / "odd.parquet")
        base = duckdb.connect()
        base.execute(
            'CREATE SCHEMA "a b"; CREATE TABLE "a b"."c""d" AS FROM read_parquet(?)',
            [str(tmp_path / "odd.parquet")],
        )
        sql = to_sql(make_program(rule), table='a b.c"d')
        first, *rest = base.execute(sql).fetchall()
        assert None not in first
        assert all(set(row) == {None} for row in rest)

    def test_are_null_in_sqlite_texts_too(self) -> None:
        names = ", ".join('"' + name.replace('"', '""') + '"' for name in LABELS)
        sql = to_sql(make_program(RULES["labels_weight"]), dialect="sqlite")
        with closing(sqlite3.connect(":memory:")) as base:
            base.execute(f"CREATE TABLE scores ({names})")
            for first in (0.3, None, math.inf, "much", "1.5"):
                base.execute("INSERT INTO scores VALUES (?, 0.6, 0.2)", [first])
            good, *rest = base.execute(sql).fetchall()
        assert None not in good
        assert all(set(row) == {None} for row in rest)

    def test_are_an_error_in_javascript(self, tmp_path: Path) -> None:
        if NODE is None:
            pytest.skip("no Node")
        text = to_javascript(make_program(P_RULE), modules="commonjs")
        (tmp_path / "rule.cjs").write_text(text, encoding="utf-8")
        script = (
            'const { COLUMNS, decide } = require("./rule.cjs");\n'
            "for (const x of [NaN, Infinity, null, undefined, -1, 2, '0.5', [0.3]]) {\n"
            "  for (const row of [[x, 0.6, 0.2], { [COLUMNS[0]]: x, [COLUMNS[1]]: 0.5 }])\n"
            "    try { decide(row); console.log('decided', x); }\n"
            "    catch (e) { console.log(e.message.slice(0, 28)); }\n"
            "}\n"
            "try { decide([0.1, 0.2]); } catch (e) { console.log(e.message); }\n"
            "console.log(JSON.stringify(decide([0.3, 0.6, 0.2])));\n"
        )
        (tmp_path / "run.cjs").write_text(script, encoding="utf-8")
        told = subprocess.run([NODE, "run.cjs"], cwd=tmp_path, check=True, capture_output=True)
        *lines, length, good = told.stdout.decode().splitlines()
        assert lines == ['score "plain" must be a numbe'[:28]] * 16
        assert length == "expected 3 scores, got 2"
        assert list(json.loads(good)["decisions"]) == list(LABELS)

    @pytest.mark.parametrize("rule", [RULES["labels_weight"], P_RULE, RULES["classes_offset"]])
    def test_are_nan_and_minus_one_in_onnx(self, rule: DecisionRule) -> None:
        pytest.importorskip("onnx")
        runtime = pytest.importorskip("onnxruntime")
        rows = rows_for(rule, 20)[8:]
        for at, value in enumerate([math.nan, math.inf, -math.inf]):
            rows[at, at % rows.shape[1]] = value
        session = runtime.InferenceSession(to_onnx(make_program(rule)))
        p, decided = session.run(None, {"scores": rows})
        assert np.isnan(p[:3]).all()
        assert (decided[:3] == -1).all()
        assert np.isfinite(p[3:]).all()
        np.testing.assert_array_equal(decided[3:], wanted(rule, rows[3:])[0].predictions)


class TestNames:
    def test_bind_and_positions_do_not(self) -> None:
        rule = replace(RULES["labels_weight"], score_names=("zA", "zB", "zC"))
        rows = rows_for(rule, 50)
        want = wanted(rule, rows)[0]
        frame = pl.DataFrame({"zC": rows[:, 2], "other": 1, "zA": rows[:, 0], "zB": rows[:, 1]})
        made = polars_decide(rule)(frame)
        found = made.select(f"probability:{name}" for name in LABELS).to_numpy()
        np.testing.assert_allclose(found, want.probabilities, atol=1e-12)

    def test_others_are_matched_by_name(self, tmp_path: Path) -> None:
        rule = replace(label_rule("nothing"), names=("a", "b", "c"))
        text = export_rule(rule, tmp_path / "r.sql", columns=["c", "a", "b"]).read_text()
        assert 'CAST("a" AS DOUBLE PRECISION) AS r0' in text
        with pytest.warns(UserWarning, match="by what their names share"):
            text = export_rule(rule, tmp_path / "r.sql", columns=["z_c", "z_a", "z_b"]).read_text()
        assert 'CAST("z_a" AS DOUBLE PRECISION) AS r0' in text
        with pytest.raises(DataError, match="all or none"):
            export_rule(rule, tmp_path / "r.sql", columns=["a", "b", "z"])

    def test_nobody_breaks_out_of_a_database(self) -> None:
        """The samples' names are attacks; the results of all formats bear them as they are."""
        duckdb = pytest.importorskip("duckdb")
        base = duckdb.connect()
        base.execute("CREATE TABLE scores AS SELECT 0.0 AS z0, 0.0 AS z1, 0.0 AS z2, 1 AS id")
        program = make_program(RULES["labels_weight"], columns=["z0", "z1", "z2"])
        found = base.execute(to_sql(program, keep=["id"]))
        names = [column[0] for column in found.description]
        assert names == ["id", *(f"{k}:{n}" for k in ("probability", "decision") for n in LABELS)]
        assert base.execute("SELECT count(*) FROM scores").fetchall() == [(1,)]

    def test_end_no_line_within_a_text(self) -> None:
        rule = replace(RULES["classes_offset"], names=("a\nb", "c", "d", "e", "f"))
        made = to_sql(make_program(rule, columns=list("abcde")), dialect="spark")
        assert r"THEN 'a\nb'" in made

    @pytest.mark.parametrize(
        ("dialect", "name", "text"),
        [
            ("duckdb", '"a""b"', r"'back\slash'''"),
            ("postgresql", '"a""b"', r"'back\slash'''"),
            ("sqlite", '"a""b"', r"'back\slash'''"),
            ("snowflake", '"a""b"', r"'back\\slash\''"),
            ("spark", '`a"b`', r"'back\\slash\''"),
        ],
    )
    def test_are_quoted_as_the_dialect_has_it(self, dialect: str, name: str, text: str) -> None:
        program = make_program(RULES["classes_offset"], columns=['a"b', "c", "d", "e", "f"])
        made = to_sql(program, dialect=dialect)
        assert f"CAST({name} AS " in made
        assert f"THEN {text}" in made

    def test_that_a_dialect_does_not_take(self) -> None:
        program = make_program(RULES["labels_weight"])
        with pytest.raises(UsageError, match=r'column in dialect="bigquery", got .a "quoted'):
            to_sql(program, dialect="bigquery")
        rule = replace(RULES["labels_weight"], names=("a", "A", "b"))
        with pytest.raises(UsageError, match="differ in more than case"):
            to_sql(make_program(rule))
        with pytest.raises(UsageError, match="differ in more than case"):
            to_sql(program, keep=["decision:plain"])
        with pytest.raises(UsageError, match="be a name of a column"):
            to_sql(program, keep=["a\0b"])
        with pytest.raises(UsageError, match=r"`table` must name a table.*'a\.\.b'"):
            to_sql(program, table="a..b")
        plain = replace(RULES["labels_weight"], names=("a", "b", "`c"))
        assert "`" + "``c`" in to_sql(make_program(plain), dialect="spark")
        with pytest.raises(UsageError, match=r"be a name of a column.*`c"):
            to_sql(make_program(plain), dialect="bigquery")

    def test_that_look_like_a_pattern_of_polars(self) -> None:
        if tuple(map(int, pl.__version__.split(".")[:2])) < (1, 38):
            pytest.skip("polars before 1.38 takes selectors of such a name for a pattern")
        rule = replace(RULES["one_label"], names=("^.*$",))
        made = polars_decide(rule)(pl.DataFrame({"^.*$": [0.0, 9.0], "id": ["a", "b"]}))
        assert made.columns == ["^.*$", "id", "probability:^.*$", "decision:^.*$"]
        assert made["decision:^.*$"].to_list() == [0, 1]
        with pytest.raises(ValueError, match=r"decision:\^.*rename"):
            polars_decide(rule)(made)

    def test_in_a_script_on_a_page(self) -> None:
        text = to_javascript(make_program(RULES["classes_offset"]))
        assert "</script>" not in text
        assert text.isascii()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_number_is_a_double_and_no_minus_begins_a_comment(dialect: str) -> None:
    names = ("a", "b", "c", "d", "e")
    text = to_sql(make_program(replace(RULES["classes_costs"], names=names)), dialect=dialect)
    body = text.split("\n", 2)[2]
    assert "--" not in body
    assert "inf" not in body
    assert "nan" not in body


class TestWhatCannotBeHeld:
    def test_a_budget_over_a_batch(self) -> None:
        rule = RULES["labels_all_flagged"]
        with pytest.raises(UsageError, match=r"budget of flags.*`apply`.*by_row=True"):
            make_program(rule)
        made = polars_decide_by_row(rule, rows_for(rule, 100))
        assert made["decision:plain"].to_list() == [1] * 100  # its cut is -inf

    def test_row_by_row_is_for_a_budget(self) -> None:
        with pytest.raises(UsageError, match="`by_row` must be given for a budget"):
            make_program(RULES["labels_weight"], by_row=True)

    def test_the_first_of_very_many_labels(self) -> None:
        names = tuple(f"l{i}" for i in range(101))
        rule = wide_rule(names, choice={"form": "top_k", "k": 3}, objective="top_k")
        for write in (to_sql, to_polars):
            with pytest.raises(UsageError, match=r"at most 100 labels.*javascript"):
                write(make_program(rule))
        assert "first(" in to_javascript(make_program(rule))

    def test_scores_of_another_kind(self) -> None:
        with pytest.raises(UsageError, match="`score_kind` must be ranking"):
            make_program(RULES["labels_ranking"], score_kind="logits")
        with pytest.raises(UsageError, match="`score_kind` must be logits or probabilities"):
            make_program(RULES["labels_weight"], score_kind="ranking")
        with pytest.raises(UsageError, match=r"score_kind.*be given.*logits"):
            make_program(replace(RULES["labels_weight"], tuned_on={}))

    def test_a_correction_that_leads_nowhere(self) -> None:
        lost = Correction("multilabel", (), "none")
        with pytest.raises(NotRecoverableError, match="leads to no probability"):
            make_program(replace(RULES["labels_weight"], correction=lost))

    def test_a_curve_that_jumps(self) -> None:
        table = {"logit": [0.0, 5e-324], "log_odds": [0.0, 5.0]}
        jump = Correction("multilabel", ({"op": "monotone_table", "tables": [table]},))
        with pytest.raises(UsageError, match="finite slopes"):
            make_program(replace(RULES["labels_weight"], correction=jump))

    def test_formats_and_options(self, tmp_path: Path) -> None:
        rule = RULES["labels_weight"]
        with pytest.raises(UsageError, match=r"`out` must end in \.sql.*form=\"sql\""):
            export_rule(rule, tmp_path / "rule.txt")
        with pytest.raises(UsageError, match=r"`form` must be one of.*Did you mean `sql`"):
            export_rule(rule, tmp_path / "rule.txt", form="sqll")
        with pytest.raises(UsageError, match="`dialect` must be given for SQL alone"):
            export_rule(rule, tmp_path / "rule.py", dialect="spark")
        with pytest.raises(UsageError, match="`dialect` must be one of"):
            export_rule(rule, tmp_path / "rule.sql", dialect="oracle")
        assert list(tmp_path.iterdir()) == []

    def test_without_onnx(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "onnx", None)  # type: ignore[arg-type]
        with pytest.raises(MissingExtraError, match=r"`onnx`.*equipoise\[onnx\]"):
            export_rule(RULES["labels_weight"], tmp_path / "rule.onnx")
        assert list(tmp_path.iterdir()) == []


def polars_decide_by_row(rule: DecisionRule, rows: np.ndarray) -> pl.DataFrame:
    scope: dict[str, Any] = {}
    text = to_polars(make_program(rule, by_row=True))
    exec(compile(text, "rule.py", "exec"), scope)  # noqa: S102
    return scope["decide"](pl.DataFrame(rows, schema=list(LABELS), orient="row"))


def wide_rule(names: tuple[str, ...], **more: Any) -> DecisionRule:
    from equipoise.artifacts import Calibrator

    width = len(names)
    rng = np.random.default_rng(0)
    scale, offset = rng.uniform(0.5, 2, width), rng.normal(size=width)
    fields: dict[str, Any] = {
        "names": names, "prior_shift": np.zeros(width), "thresholds": rng.normal(size=width),
        "calibrator": Calibrator(scale, offset, ("platt",) * width, np.full(width, np.nan)),
    }  # fmt: skip
    return label_rule("nothing", **(fields | more))


def test_three_hundred_labels_and_classes_in_a_query(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    names = tuple(f"l{i}" for i in range(300))
    labels = wide_rule(names)
    classes = class_rule(
        "nothing", names=names, calibrator=labels.calibrator, prior_shift=np.zeros(300),
        class_offset=np.zeros(300),
    )  # fmt: skip
    rows = np.random.default_rng(1).normal(size=(20, 300))
    frame = pl.DataFrame(rows, schema=list(names), orient="row").with_row_index("id")
    frame.write_parquet(tmp_path / "wide.parquet")
    base = duckdb.connect()
    base.execute("CREATE TABLE scores AS FROM read_parquet(?)", [str(tmp_path / "wide.parquet")])
    for rule in (labels, classes):
        found = base.execute(to_sql(make_program(rule), keep=["id"])).fetchall()
        found.sort()
        want = wanted(rule, rows)[0]
        p = np.array([row[1:301] for row in found])
        np.testing.assert_allclose(p, want.probabilities, rtol=0, atol=1e-12)
        if rule is labels:
            np.testing.assert_array_equal(np.array([r[301:] for r in found]), want.predictions)
        else:
            assert [row[301] for row in found] == [names[i] for i in want.predictions]


class TestBehindANetwork:
    def network(self, opset: int = 18) -> bytes:
        """(N, 4) float32 times a matrix, its columns in another order than the rule's."""
        onnx = pytest.importorskip("onnx")
        weight = np.arange(12, dtype=np.float32).reshape(4, 3) / 7 - 0.8
        kinds = onnx.TensorProto
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("MatMul", ["x", "rule_1"], ["logits"])],
            "network",
            [onnx.helper.make_tensor_value_info("x", kinds.FLOAT, ["rows", 4])],
            [onnx.helper.make_tensor_value_info("logits", kinds.FLOAT, ["rows", 3])],
            [onnx.numpy_helper.from_array(weight, "rule_1")],  # a name that is taken
        )
        opsets = [onnx.helper.make_opsetid("", opset)]
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
        return bytes(model.SerializeToString())

    @pytest.mark.parametrize("opset", [13, 18, 20])
    def test_the_rule_takes_its_columns_by_name(self, opset: int) -> None:
        onnx = pytest.importorskip("onnx")
        runtime = pytest.importorskip("onnxruntime")
        rule = RULES["labels_isotonic"]
        order = [2, 0, 1]
        network = self.network(opset)
        whole = append_rule(network, make_program(rule), [LABELS[i] for i in order])
        x = np.random.default_rng(0).normal(0, 2, (200, 4)).astype(np.float32)
        (logits,) = runtime.InferenceSession(network).run(None, {"x": x})
        p, decided = runtime.InferenceSession(whole).run(None, {"x": x})
        rows = np.empty((200, 3))
        rows[:, order] = logits
        want, ties = wanted(rule, rows)
        np.testing.assert_allclose(p, want.probabilities, rtol=0, atol=1e-9)
        assert ((decided == want.predictions) | ties).all()
        assert 0 < decided.mean() < 1
        made = onnx.load_from_string(whole)
        held = {prop.key: json.loads(prop.value) for prop in made.metadata_props}
        assert held["names"] == list(LABELS)
        assert [value.name for value in made.graph.output] == ["probabilities", "decisions"]

    def test_the_rule_of_another_network_is_refused(self) -> None:
        with pytest.raises(DataError, match="for the network's outputs"):
            append_rule(self.network(), make_program(RULES["labels_weight"]), ["a", "b", "c"])


@pytest.mark.parametrize("name", [n for n in RULES if n != "labels_all_flagged"])
def test_onnx_holds_nothing_that_it_does_not_use(name: str) -> None:
    onnx = pytest.importorskip("onnx")
    graph = onnx.load_from_string(to_onnx(make_program(RULES[name]))).graph
    used = {source for node in graph.node for source in node.input}
    assert {value.name for value in graph.initializer} <= used


def test_onnx_says_which_columns_it_takes() -> None:
    onnx = pytest.importorskip("onnx")
    rule = replace(RULES["classes_offset"], score_names=("zA", "zB", "zC", "zD", "zE"))
    made = onnx.load_from_string(to_onnx(make_program(rule)))
    held = {prop.key: json.loads(prop.value) for prop in made.metadata_props}
    assert held == {
        "kind": "multiclass",
        "names": list(CLASSES),
        "score_names": ["zA", "zB", "zC", "zD", "zE"],
        "score_kind": "logits",
    }
