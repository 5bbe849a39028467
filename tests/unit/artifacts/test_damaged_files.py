"""A damaged, foreign or half-written file gives one line, and the old file stays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import artifact_samples
import numpy as np
import polars as pl
import pytest
from artifact_samples import SAVED

from equipoise.artifacts import Finding, Labels, Scores, Split, Trial
from equipoise.artifacts.finding import load_findings, save_findings
from equipoise.errors import DataError, LeakageError, SchemaVersionError

every = pytest.mark.parametrize("name", SAVED)


def saved(name: str, tmp_path: Path) -> tuple[type[Any], Path, Path]:
    """Return the class, what load() takes and the file inside it that carries the schema."""
    artifact = SAVED[name]()
    path = artifact.save(tmp_path / "artifact")
    return type(artifact), path, path / "trial.json" if path.is_dir() else path


def refuse(kind: type[Any], path: Path, error: type[DataError] = DataError) -> str:
    with pytest.raises(error) as caught:
        kind.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("`")
    assert " must " in message
    assert ", got " in message
    assert message.rstrip().endswith(".")
    return message


@every
@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b"\xff\xfe\x00garbage", b"PAR1" * 9])
def test_garbage_is_one_line(name: str, content: bytes, tmp_path: Path) -> None:
    kind, path, file = saved(name, tmp_path)
    file.write_bytes(content)
    refuse(kind, path)


@every
def test_a_truncated_file_is_one_line(name: str, tmp_path: Path) -> None:
    kind, path, file = saved(name, tmp_path)
    whole = file.read_bytes()
    for part in (0.1, 0.5, 0.9):
        file.write_bytes(whole[: int(part * len(whole))])
        refuse(kind, path)


@every
def test_a_missing_file_is_one_line(name: str, tmp_path: Path) -> None:
    kind, _, _ = saved(name, tmp_path)
    assert "nothing there" in refuse(kind, tmp_path / "absent")


@every
def test_another_version_or_schema_is_refused(name: str, tmp_path: Path) -> None:
    kind, path, file = saved(name, tmp_path)
    for change, error in (({"version": 99}, SchemaVersionError), ({"schema": "other"}, DataError)):
        if name in ("Labels", "Scores"):
            meta = json.loads(pl.read_parquet_metadata(file)["equipoise"]) | change
            pl.read_parquet(file).write_parquet(file, metadata={"equipoise": json.dumps(meta)})
        else:
            file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | change))
        refuse(kind, path, error)
        SAVED[name]().save(tmp_path / "artifact")


@every
def test_the_file_of_another_artifact_is_refused(name: str, tmp_path: Path) -> None:
    kind, _, _ = saved(name, tmp_path)
    other = "Evaluation" if name != "Evaluation" else "Comparison"
    if name == "Labels":
        other = "Scores"
    if name == "Scores":
        other = "Labels"
    path = SAVED[other]().save(tmp_path / "other")
    if name == "Trial":
        folder = tmp_path / "folder"
        folder.mkdir()
        shutil.copy(path, folder / "trial.json")
        path = folder
    assert f"hold a equipoise.{name}" in refuse(kind, path)


@pytest.mark.parametrize("name", [n for n in SAVED if n not in ("Labels", "Scores")])
def test_a_missing_or_wrong_field_is_one_line(name: str, tmp_path: Path) -> None:
    kind, path, file = saved(name, tmp_path)
    body = json.loads(file.read_text(encoding="utf-8"))
    optional = {"model_file", "prior", "nominal_weight", "threshold_probabilities", "provenance",
                "undoes", "selection", "evaluated_on", "groups", "exactness",
                "findings", "question", "regret", "rival", "looks", "forecast"}  # fmt: skip
    for field in sorted(set(body) - {"schema", "version"} - optional):
        file.write_text(json.dumps({k: v for k, v in body.items() if k != field}))
        refuse(kind, path)
    for field in ("names", "ops", "train", "parts"):
        if field in body:
            file.write_text(json.dumps(body | {field: 3}))
            refuse(kind, path)


@pytest.mark.parametrize(("kind", "gone"), [(Labels, "label:日本"), (Scores, "score:日本")])
def test_a_missing_column_is_one_line(kind: type[Any], gone: str, tmp_path: Path) -> None:
    _, path, file = saved(kind.__name__, tmp_path)
    meta = {"equipoise": pl.read_parquet_metadata(file)["equipoise"]}
    frame = pl.read_parquet(file)
    frame.drop(gone).write_parquet(file, metadata=meta)
    assert "日本" in refuse(kind, path)
    holes = frame.with_columns(pl.when(pl.int_range(pl.len()) > 0).then(pl.col(gone)).alias(gone))
    holes.write_parquet(file, metadata=meta)
    assert "1 empty entries" in refuse(kind, path)
    frame.write_parquet(file)
    assert "without its header" in refuse(kind, path)


def test_a_trial_without_its_parts_is_one_line(tmp_path: Path) -> None:
    folder = artifact_samples.trial().save(tmp_path)
    (folder / "history.jsonl").unlink()
    refuse(Trial, folder)
    folder = artifact_samples.trial().save(tmp_path)
    (folder / "val.parquet").unlink()
    assert "val.parquet" in refuse(Trial, folder)


def test_a_changed_split_is_refused(tmp_path: Path) -> None:
    path = artifact_samples.split().save(tmp_path / "split.json")
    body = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(body | {"val": [3]}))
    assert "changed after it was written" in refuse(Split, path, LeakageError)
    path.write_text(json.dumps(body | {"val": [0]}))
    assert "more than once" in refuse(Split, path, LeakageError)


def test_findings_are_checked_too(tmp_path: Path) -> None:
    path = save_findings([Finding("EQ101", "tip", "t", "m")], tmp_path / "f.json")
    body = json.loads(path.read_text())
    for broken in ([{"code": "EQ101"}], [3], [body["findings"][0] | {"extra": 1}]):
        path.write_text(json.dumps(body | {"findings": broken}))
        with pytest.raises(DataError, match="must hold"):
            load_findings(path)


@every
def test_nothing_is_half_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, path, _ = saved(name, tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        SAVED[name]().save(tmp_path / "artifact")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    monkeypatch.undo()
    kind.load(path)


@every
def test_no_pickle_is_ever_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, path, _ = saved(name, tmp_path)

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("pickle")

    for target in ("pickle.load", "pickle.loads", "numpy.load"):
        monkeypatch.setattr(target, never)
    kind.load(path)
    assert np is not None


def _wrong(value: Any) -> Any:
    return 7 if isinstance(value, str) else "many"


@every
def test_a_field_of_another_type_is_named(name: str, tmp_path: Path) -> None:
    """JSON may hold anything: what is no text or number is found when it is read, not later."""
    kind, path, file = saved(name, tmp_path)
    if file.suffix == ".parquet" or b"PAR1" in file.read_bytes()[:4]:
        pytest.skip("no JSON")
    whole = json.loads(file.read_text())
    for key, value in whole.items():
        if key in ("schema", "version") or not isinstance(value, str | int | float | bool | dict):
            continue
        file.write_text(json.dumps(whole | {key: _wrong(value)}))
        refuse(kind, path)
    for arm, key in ((0, "n_seeds"), (0, "method"), (0, "is_reference")):
        if "arms" in whole:
            arms = [dict(a) for a in whole["arms"]]
            arms[arm][key] = _wrong(arms[arm][key])
            file.write_text(json.dumps(whole | {"arms": arms}))
            assert key in refuse(kind, path)
