"""From the data part of a study to features and labels: tables, demos, arrays, frozen networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from equipoise._core.messages import say
from equipoise._core.progress import Progress
from equipoise.errors import DataError, UsageError
from equipoise.io import feature_table
from equipoise.studies.digits import digit_mosaics, digits
from equipoise.studies.rows import StudyData, join_tables
from equipoise.studies.schema import DigitsData, MosaicData, Study, TableData


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
    if isinstance(spec, (TableData, DigitsData, MosaicData)):
        if study.features is not None:
            do = "Take `source: images` or the like, or leave `features` out."
            raise UsageError(
                say("features", "go with images, sequences or arrays", spec.source, do)
            )
        if isinstance(spec, DigitsData):
            return digits(noise=spec.noise, seed=spec.seed)
        if isinstance(spec, MosaicData):
            return digit_mosaics(**spec.model_dump(exclude={"source"}))
        return _table(spec)
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


def _table(spec: TableData) -> StudyData:
    def read(path: str, names: tuple[str, ...] | None) -> Any:
        return feature_table(path, columns=spec.features, **spec.where(names))

    features, labels, columns = read(spec.path, None)
    name = Path(spec.path).name
    if spec.test_path is None:
        return StudyData(name, features, labels)
    more, more_labels, more_columns = read(spec.test_path, labels.names)
    return join_tables(name, (features, labels, columns), (more, more_labels, more_columns))
