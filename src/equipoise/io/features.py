"""Features beside labels: a table of numbers becomes an array."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from equipoise._core.messages import hint, say
from equipoise.artifacts.labels import Labels
from equipoise.errors import DataError
from equipoise.io.labels import LabelArguments, LabelColumns
from equipoise.io.tables import as_numbers, read_table, require_columns, to_table

if TYPE_CHECKING:
    import polars as pl


def _check_features(frame: pl.DataFrame) -> None:
    other = [
        c for c in frame.columns if not (frame[c].dtype.is_numeric() or frame[c].dtype == bool)
    ]
    if other:
        listed = [f"{c} ({frame[c].dtype})" for c in other]
        raise DataError(
            say(
                "features",
                "be numeric columns",
                f"{len(other)} that are not: {', '.join(listed[:10])}",
                hint(
                    "Drop or encode them, name them as {id_column=} or {group_column=}, or, if "
                    "they are paths of images, say {image=COLUMN}."
                ),
            )
        )
    if not frame.columns:
        raise DataError(say("features", "be at least one column", "none beside the labels"))


def feature_table(
    source: Any, *, columns: Sequence[str] | None = None, **where: Unpack[LabelArguments]
) -> tuple[NDArray[np.float32], Labels, tuple[str, ...]]:
    """Read a table of numbers and its labels: every column that is not named is a feature.

    Use when one table holds both, as for ``equipoise compare train.csv --label y``.

    Args:
        source: Path of a CSV or Parquet file, or a data frame.
        columns: The features, in order; None takes every column that is not named otherwise.
        where: Keywords of :func:`read_labels`, or its last four as one ``coding``
            (``LabelCoding.of``).

    Returns:
        Features (N, F) float32, labels, and the F column names.

    Raises:
        DataError: a feature that is not numeric, missing or infinite; and all that
            :func:`read_labels` raises.

    Example:
        >>> import polars as pl
        >>> table = pl.DataFrame({"x": [0.5, 1.5], "y": ["no", "yes"]})
        >>> features, found, columns = feature_table(table, label="y")
        >>> features.tolist(), found.names, columns
        ([[0.5], [1.5]], ('no', 'yes'), ('x',))
    """
    frame = read_table(source) if isinstance(source, (str, Path)) else to_table(source)
    labelled = LabelColumns.of(**where)
    found, named = labelled.read(frame), labelled.named
    if columns is not None:
        require_columns(frame, "features", columns, once=True)
    rest = as_numbers(frame, columns or [c for c in frame.columns if c not in named])
    _check_features(rest)
    features = rest.cast(dict.fromkeys(rest.columns, float)).to_numpy().astype(np.float32)
    bad = ~np.isfinite(features)
    if bad.any():
        at = [f"{rest.columns[i]} ({int(bad[:, i].sum())})" for i in np.flatnonzero(bad.any(0))]
        raise DataError(
            say(
                "features",
                "be finite numbers in every row",
                f"missing or infinite values in {', '.join(at[:10])}",
                "Fill them in (for example by the median of the training part) or drop the column.",
            )
        )
    return features, found, tuple(rest.columns)
