"""From the data part of a study to features and labels: tables, demos, arrays, frozen networks."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from equipoise._core.messages import say
from equipoise._core.progress import Progress
from equipoise.artifacts import Labels
from equipoise.boosting import Coded, code_table, encode, moments
from equipoise.boosting.columns import id_order
from equipoise.errors import DataError, DataWarning, UsageError
from equipoise.io import read_table
from equipoise.io.labels import LabelColumns
from equipoise.io.tables import require_columns
from equipoise.studies.made import load_made
from equipoise.studies.rows import StudyData, join_tables
from equipoise.studies.schema import (
    DigitsData,
    MadeTableData,
    MosaicData,
    Study,
    TableData,
    TimeSpec,
)


def load_data(
    study: Study,
    cache: Path | None = None,
    *,
    known: Path | None = None,
    allow_code: bool = False,
    progress: Progress | None = None,
) -> StudyData:
    """Return the features and labels that a study names.

    Args:
        study: From :func:`load_study`.
        cache: Where the features of a frozen network are kept, and computed if need be.
        known: Where they are looked for, if none are to be computed.
        allow_code: Whether a network given as "module:callable" may run.
        progress: Called with (what, rows done, rows in all) while features are computed.

    Raises:
        DataError: the files are not what the study says.
        UsageError: a network where there is no use for one, or none where there is need of it.
    """
    spec = study.data
    if isinstance(spec, (TableData, DigitsData, MosaicData, MadeTableData)):
        if study.features is not None:
            do = "Take `source: images` or the like, or leave `features` out."
            raise UsageError(
                say("features", "go with images, sequences or arrays", spec.source, do)
            )
        return _table(spec, study.split) if isinstance(spec, TableData) else load_made(spec)
    from equipoise.studies.network_rows import load_rows

    rows = load_rows(spec)
    if study.features is None:
        return _flat(rows)
    return _of_network(study, rows, cache, known, allow_code, progress)


def _flat(rows: Any) -> StudyData:
    """Return an array of feature rows as it lies."""
    features = getattr(rows.dataset, "features", None)
    if features is None or features.ndim != 2:
        do = "Name a frozen network under `features`, or a `model` to train whole networks."
        raise DataError(say("data", "be rows of features", rows.description, do))
    return StudyData(rows.description, features, rows.labels, rows.test)


def _of_network(
    study: Study,
    rows: Any,
    cache: Path | None,
    known: Path | None,
    allow_code: bool,
    progress: Progress | None,
) -> StudyData:
    from equipoise.studies import frozen_features as f

    spec = study.features
    assert spec is not None  # noqa: S101  # the caller has looked
    backbone = f.open_backbone(rows, spec, device=study.compute.device, allow_code=allow_code)
    words = f"{rows.description}, features of {backbone.name}"
    place = cache or known
    there = place is not None and f.features_file(rows, backbone, spec, place).is_file()
    if place is None or (cache is None and not there):
        found, seconds = f.stand_in(rows, backbone, spec)
        return StudyData(words, found, rows.labels, rows.test, pending=seconds)
    found = f.features_of(rows, backbone, spec, place, progress=progress)
    return StudyData(words, found, rows.labels, rows.test)


def _table(spec: TableData, split: Any) -> StudyData:
    name = Path(spec.path).name
    coded, labels = read_coded(spec)
    when = None
    if isinstance(split, TimeSpec):
        when = moments(read_table(spec.path), split.column)
    if spec.test_path is None:
        kept = None if coded.is_plain else coded
        return StudyData(
            name, coded.values, labels, coded=kept, time=when, columns=coded.columns, ids=coded.ids
        )  # fmt: skip
    more = read_table(spec.test_path)
    labelled = LabelColumns.of(**spec.where(labels.names))
    known = {column.name for column in coded.columns} | set(labelled.named)
    if spec.features is None:
        warn_of_more(more.columns, known, spec.test_path)
    return join_tables(name, (coded, labels), (encode(more, coded.columns), labelled.read(more)))


def warn_of_more(found: Sequence[str], known: Collection[str], name: str) -> None:
    """Warn of columns that nothing is made of."""
    extra = [column for column in found if column not in known]
    if extra:
        listed = ", ".join(map(repr, extra[:10]))
        warnings.warn(
            f"{name}: {listed} {'was' if len(extra) == 1 else 'were'} not among the columns that "
            f"are trained on: nothing is made of {'it' if len(extra) == 1 else 'them'}.",
            DataWarning,
            stacklevel=3,
        )


def read_coded(spec: TableData) -> tuple[Coded, Labels]:
    """Return the rows of a table as numbers, with what its columns are, and the labels."""
    frame = read_table(spec.path)
    labelled = LabelColumns.of(**spec.where(None))
    labels, named = labelled.read(frame), labelled.named
    if spec.features is not None:
        require_columns(frame, "features", spec.features, once=True)
    chosen = spec.features or [c for c in frame.columns if c not in named]
    asked = {"drop": spec.drop, "categorical": spec.categorical, "time": spec.time}
    for key, names in asked.items():
        require_columns(frame, key, names, once=True)
    if both := [name for name in spec.drop if name in named]:
        do = "It is none of the features in any case."
        expected = "be left out for what is a label, an id, a group or a weight"
        raise UsageError(say("drop", expected, repr(both[0]), do))
    inside = {key: [name for name in names if name in chosen] for key, names in asked.items()}
    coded = code_table(frame.select(chosen), **inside)
    if spec.id is not None:
        coded = replace(coded, ids={spec.id: id_order(frame[spec.id]), **coded.ids})
    return coded, labels
