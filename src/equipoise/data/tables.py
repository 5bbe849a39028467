"""Tables of numbers as a torch data set: numeric columns become float32 features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import NDArray

from equipoise._core.messages import listed, say
from equipoise.data._columns import read_if_named
from equipoise.data.arrays import ArrayDataset
from equipoise.errors import DataError
from equipoise.io.labels import LabelArguments, LabelColumns
from equipoise.io.tables import as_numbers, read_table, require_columns, to_table

if TYPE_CHECKING:
    import polars as pl


class FeatureTable(ArrayDataset):
    """Rows of a table: its numeric columns as features, others as labels, ids and groups.

    Args:
        source: A CSV or Parquet file, or a data frame.
        features: Columns of features, in order; None takes all that are not named otherwise.
            Name them for new data, so that they stand in the order of training.
        label: As in :func:`equipoise.io.read_labels`, and so are the arguments after it;
            ``coding`` holds its last four (``LabelCoding.of``). With neither ``label`` nor
            ``labels`` item i is (row, i).

    Item i is (features, target): (F,) float32, and an int64 class or (L,) float32 with NaN where
    unknown.

    Attributes:
        columns: The F feature columns.

    Raises:
        DataError: columns that are not numeric, or values that are missing or not finite in
            float32, with column and row.

    Example:
        >>> import polars as pl
        >>> table = pl.DataFrame({"x": [0.5, 1.5], "n": [1, 2], "y": ["no", "yes"]})
        >>> data = FeatureTable(table, label="y")
        >>> data.columns, data[1]
        (('x', 'n'), (tensor([1.5000, 2.0000]), tensor(1)))
    """

    columns: tuple[str, ...]

    def __init__(
        self,
        source: Any,
        *,
        features: Sequence[str] | None = None,
        **where: Unpack[LabelArguments],
    ) -> None:
        frame = read_table(source) if isinstance(source, (str, Path)) else to_table(source)
        columns = LabelColumns.of(**where)
        found = read_if_named(columns, frame)
        if features is None:
            features = [c for c in frame.columns if c not in columns.named]
        require_columns(frame, "features", features)
        both = [c for c in features if c in columns.named]
        if both or len(set(features)) < len(features) or not features:
            expected = "be distinct columns beside the labels, at least one"
            raise DataError(say("features", expected, both or list(features)))
        self.columns = tuple(features)
        super().__init__(_numbers(as_numbers(frame, features)), found)


def _numbers(frame: pl.DataFrame) -> NDArray[np.float32]:
    """Return (N, F) float32, or say which columns and rows are not finite numbers."""
    import polars as pl

    types = {c: frame[c].dtype for c in frame.columns}
    other = [f"{c} ({t})" for c, t in types.items() if not (t.is_numeric() or t == pl.Boolean)]
    if other:
        do = "Drop or encode them (for example polars to_dummies)."
        found = f"{len(other)} that are not: {listed(other, 10, '; ')}"
        raise DataError(say("features", "be numeric columns", found, do))
    with np.errstate(over="ignore"):  # what overflows float32 is named below
        wide = frame.select(pl.all().cast(pl.Float64)).to_numpy()
        numbers: NDArray[np.float32] = np.ascontiguousarray(wide, dtype=np.float32)
    bad = ~np.isfinite(numbers)
    if bad.any():
        shown = [
            f"{frame.columns[i]} ({int(bad[:, i].sum())}, first in row {int(bad[:, i].argmax())})"
            for i in np.flatnonzero(bad.any(axis=0))
        ]
        found = f"missing or infinite values in {listed(shown, 10, '; ')}"
        do = "Fill them in (for example by the median of the training part) or drop the column."
        raise DataError(say("features", "be finite numbers in every row", found, do))
    return numbers
