"""New rows of a table through a model folder: columns, model, inverse, calibration, decisions."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from equipoise._core.identity import as_text
from equipoise._core.messages import hint, say
from equipoise.artifacts import DecisionRule
from equipoise.boosting.model import TableModel, as_frame
from equipoise.errors import DataWarning, UsageError
from equipoise.studies.apply_file import Applied, apply_file


def is_table_model(folder: str | Path) -> bool:
    """Whether a folder is what `equipoise refit` wrote."""
    return (Path(folder) / "model.json").is_file()


def predict_table(
    folder: str | Path,
    paths: Sequence[str],
    out: str | Path,
    *,
    rule: str | Path | None = None,
) -> Applied:
    """Write calibrated probabilities and decisions for new rows of a table.

    Args:
        folder: From :func:`equipoise.studies.refit`.
        paths: Tables with the columns that the model was made with; labels are not needed.
        out: Parquet or CSV: "id", ``probability:NAME`` and decisions.
        rule: Another rule than the folder's.

    Raises:
        DataError: a column is missing.

    Warns:
        DataWarning: columns or categories that training rows did not have.
    """
    import polars as pl

    model = TableModel.load(folder)
    frames = [as_frame(path) for path in paths]
    if len({tuple(sorted(frame.columns)) for frame in frames}) > 1:
        do = hint("Predict them one by one.")
        raise UsageError(say("data", "be tables of the same columns", "others", do))
    frame = frames[0]
    if len(frames) > 1:
        frame = pl.concat([part.select(frame.columns) for part in frames], how="vertical_relaxed")
    for remark in model.remarks(frame, model.facts.get("named", ())):
        warnings.warn(remark, DataWarning, stacklevel=2)
    name = model.facts.get("id")
    ids = as_text(np.arange(frame.height))
    if name in frame.columns and frame[name].n_unique() == frame.height:
        ids = as_text(frame[name].to_list())
    chosen = model.rule if rule is None else DecisionRule.load(rule)
    with tempfile.TemporaryDirectory() as place:
        file = model.scores(frame, ids=ids).save(Path(place, "new.parquet"))
        return apply_file(chosen, file, out)
