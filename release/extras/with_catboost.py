"""Extra catboost: a model of a comparison, untreated and with a remedy, kept and loaded."""

import polars as pl
import small_table

import equipoise as eq

small_table.write()
small_table.compare(models="{name: catboost, settings: {rounds: 30}}", arms="none,pos_weight")
small_table.equipoise("refit", "runs", "-o", "model")
assert eq.load("model").predict(pl.read_csv("new.csv")).shape == (100, 1)
