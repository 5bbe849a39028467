"""Extra tables: a table compared with LightGBM, the model of all rows, predictions; no torch."""

import importlib.util

import polars as pl
import small_table

assert importlib.util.find_spec("torch") is None
small_table.write()
small_table.compare(models="lightgbm,logistic_regression", arms="none,pos_weight")
small_table.equipoise("refit", "runs", "-o", "model")
small_table.equipoise("predict", "model", "new.csv", "-o", "predictions.csv")
assert pl.read_csv("predictions.csv").height == 100
