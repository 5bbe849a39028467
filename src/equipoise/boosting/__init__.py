"""Tables and the models that people use on them: columns, objectives of boosters; no torch."""

from equipoise.boosting.columns import Coded, Column, code_table, columns_from, encode, moments
from equipoise.boosting.model import TableModel, load

__all__ = [
    "Coded",
    "Column",
    "TableModel",
    "code_table",
    "columns_from",
    "encode",
    "load",
    "moments",
]
