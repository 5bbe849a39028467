"""Chapters of a report from folders of results, with what the rows of the study hold."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise.artifacts import Finding, Labels
from equipoise.errors import DataWarning, EquipoiseError
from equipoise.report.chapter import Chapter, read_chapter
from equipoise.studies.schema import DigitsData, MosaicData, Study, TableData, parse_study

if TYPE_CHECKING:
    import polars as pl

Picture = Callable[[int], NDArray[Any] | None]
# Columns of a table that are shown of a row, and the length from which an entry is a text.
_MOST_COLUMNS, _TEXT = 6, 40


def chapter_of(path: str | Path, findings: Sequence[Finding] = ()) -> Chapter:
    """Read a chapter of results, and show what its worst errors hold where the data still lie.

    Args:
        path: See :func:`equipoise.report.chapter.read_chapter`.
        findings: To go with it.

    Warns:
        DataWarning: the rows of the study cannot be read any more.
    """
    chapter = read_chapter(path, findings)
    if chapter.comparison is None:
        return chapter
    content = chapter.comparison.provenance.get("study")
    if not content:
        return chapter
    try:
        study = parse_study(dict(content), str(path))
    except EquipoiseError:  # of another version: the rows are an extra
        return chapter
    return replace(chapter, contents=partial(row_contents, study))


def row_contents(study: Study, ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Return what rows hold: an image, a text, or the most unusual of their features.

    Args:
        study: Whose rows they are; paths are seen from where it was run.
        ids: Of the rows.

    Returns:
        Id -> "image" (a data address), "text", or column -> value; nothing where the data cannot
        be read any more.

    Warns:
        DataWarning: they cannot be read any more, and why.
    """
    try:
        spec = study.data
        if isinstance(spec, TableData):
            return _of_table(spec, ids)
        if isinstance(spec, DigitsData | MosaicData):
            from equipoise.studies.load import load_data

            data = load_data(study)
            side = round(data.features.shape[1] ** 0.5)
            return _images(data.labels, ids, lambda i: data.features[i].reshape(side, side))
        from equipoise.studies.network_rows import load_rows

        # They were looked through when they were trained on.
        whole = getattr(spec, "on_broken", None) == "error"  # else what is broken is sought again
        looked = {"check": "none"} if whole else {}
        rows = load_rows(spec.model_copy(update=looked))
        if rows.labels is None:
            return {}

        def picture(i: int) -> NDArray[Any] | None:
            values = np.asarray(rows.dataset[i][0])
            if values.ndim != 3 or values.shape[0] not in (1, 3):
                return None
            return np.asarray(values[0] if values.shape[0] == 1 else np.moveaxis(values, 0, 2))

        return _images(rows.labels, ids, picture)
    except (EquipoiseError, OSError, ImportError, RuntimeError, ValueError) as error:
        text = f"The rows of the worst errors are not shown: {' '.join(str(error).split())}"
        warnings.warn(text, DataWarning, stacklevel=2)
        return {}


def _images(labels: Labels, ids: Sequence[str], picture: Picture) -> dict[str, Any]:
    from equipoise.mining.review import thumbnail

    known = range(len(labels)) if labels.ids is None else labels.ids
    places = {str(key): i for i, key in enumerate(known)}
    found = {}
    for key in ids:
        place = places.get(key)
        image = None if place is None else thumbnail(picture(place))
        if image is not None:
            found[key] = {"image": image}
    return found


def _of_table(spec: TableData, ids: Sequence[str]) -> dict[str, Any]:
    """Return the entries of rows that lie furthest from their columns' means, and long texts."""
    import polars as pl

    from equipoise.io import read_table

    frames = [read_table(path) for path in (spec.path, spec.test_path) if path is not None]
    frame = pl.concat(frames, how="diagonal_relaxed")
    named = [spec.label, *(spec.labels or ()), spec.id, spec.group, *spec.drop]
    columns = spec.features or [c for c in frame.columns if c not in named]
    if spec.id is None:
        places = {str(i): i for i in range(frame.height)}
    else:
        places = {str(key): i for i, key in enumerate(frame[spec.id].to_list())}
    far = {name: _distances(frame[name]) for name in columns}
    found = {}
    for key in ids:
        if key not in places:
            continue
        at = places[key]
        row = {name: frame[name][at] for name in columns}
        long = [str(v) for v in row.values() if isinstance(v, str) and len(v) > _TEXT]
        rest = [name for name, v in row.items() if v is not None and str(v) not in long]
        rest.sort(key=lambda name: -float(far[name][at]))
        shown: dict[str, Any] = {name: _short(row[name]) for name in rest[:_MOST_COLUMNS]}
        found[key] = ({"text": long[0][:300]} if long else {}) | shown
    return found


def _distances(column: pl.Series) -> NDArray[np.float64]:
    """Return how many standard deviations each number lies from the mean; 0 of what is none."""
    import polars as pl

    values = column.cast(pl.Float64, strict=False).to_numpy().astype(np.float64)
    if not np.isfinite(values).any():
        return np.zeros(len(column))
    spread = float(np.nanstd(values))
    if not spread > 0:
        return np.zeros(len(column))
    return np.asarray(np.nan_to_num(np.abs(values - np.nanmean(values)) / spread))


def _short(value: Any) -> str:
    """Return an entry as it fits beside its column; tables hold their numbers as text, too."""
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return str(value)
