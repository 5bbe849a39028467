"""Extra mlflow: a training that MLflow keeps in a database within the trial's folder."""

import sqlite3
from contextlib import closing
from pathlib import Path

import small_training

small_training.train("mlflow")
(database,) = Path("runs").rglob("*.db")
with closing(sqlite3.connect(database)) as connection:
    assert connection.execute("select count(*) from metrics").fetchone()[0] > 0
