"""Tables and the models that people use on them: columns, objectives of boosters; no torch."""

from equipoise.boosting.columns import Coded, Column, code_table, columns_from, encode

__all__ = ["Coded", "Column", "code_table", "columns_from", "encode"]
