"""Decisions that leave Python: a rule as SQL, as polars, as JavaScript and as ONNX."""

from equipoise.export.files import FORMATS, default_file, export_rule, format_of
from equipoise.export.javascript import to_javascript
from equipoise.export.onnx_graph import append_rule, to_onnx
from equipoise.export.polars_code import to_polars
from equipoise.export.program import Program, make_program
from equipoise.export.sql import DIALECTS, to_sql

__all__ = [
    "DIALECTS",
    "FORMATS",
    "Program",
    "append_rule",
    "default_file",
    "export_rule",
    "format_of",
    "make_program",
    "to_javascript",
    "to_onnx",
    "to_polars",
    "to_sql",
]
