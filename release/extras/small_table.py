"""A table with a rare label, and the command line on it; no extra of its own."""

import subprocess

import numpy as np
import polars as pl


def write(rows: int = 800) -> None:
    """Write "rows.csv", with the label "ill", and "new.csv" without."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows + 100, 3))
    ill = np.where(rng.random(len(x)) < 1 / (1 + np.exp(2.5 - 2 * x[:, 0])), "yes", "no")
    town = rng.choice(["north", "south"], len(x))
    table = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "town": town, "ill": ill})
    table[:rows].write_csv("rows.csv")
    table[rows:].drop("ill").write_csv("new.csv")


def compare(*options: str, models: str, arms: str) -> None:
    """Compare models and arms on it, into the folder "runs"."""
    equipoise(
        "compare", "rows.csv", "--label", "ill", "--positive", "yes", "--negative", "no",
        "--set", f"models=[{models}]", "--set", f"arms=[{arms}]", "--set", "seeds=2",
        "-o", "runs", *options,
    )  # fmt: skip


def equipoise(*words: str) -> None:
    """Run a verb; it has to end well."""
    subprocess.run(["equipoise", *words], check=True)
