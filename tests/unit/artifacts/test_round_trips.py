"""What is written is what is read, for every artifact."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import artifact_samples
import numpy as np
import polars as pl
import pytest
from artifact_samples import SAVED
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from equipoise import artifacts
from equipoise._core.fingerprint import fingerprint_array
from equipoise.artifacts import Correction, Estimate, Finding, Labels, Scores, Split, Trial
from equipoise.artifacts.finding import load_findings, save_findings
from equipoise.errors import DataError, UsageError

text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
name_lists = st.lists(text, min_size=2, max_size=4, unique=True)
numbers = st.floats(allow_nan=True, allow_infinity=True)
finite = st.floats(-1e6, 1e6)


def same(one: Any, other: Any) -> bool:
    """Compare artifacts field by field; NaN equals NaN, a tuple equals a list."""
    if dataclasses.is_dataclass(one):
        return type(one) is type(other) and all(
            same(getattr(one, f.name), getattr(other, f.name)) for f in dataclasses.fields(one)
        )
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and one.dtype.kind == other.dtype.kind
            and one.shape == other.shape
            and bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))
        )
    if isinstance(one, dict):
        return set(one) == set(other) and all(same(one[k], other[k]) for k in one)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    return type(one) is type(other) and one == other


def again(artifact: Any, tmp: str | Path) -> Any:
    return type(artifact).load(artifact.save(Path(tmp) / "artifact"))


def test_every_artifact_that_saves_has_a_sample() -> None:
    public = {n: getattr(artifacts, n) for n in artifacts.__all__}
    saves = {n for n, thing in public.items() if hasattr(thing, "save")}
    assert saves == set(SAVED)


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_artifact_comes_back(name: str, tmp_path: Path) -> None:
    artifact = SAVED[name]()
    loaded = again(artifact, tmp_path)
    if name == "Split":  # NaN in a mapping of anything is null on disk
        assert loaded.proof == {"a": None, "b": [1, 2]}
        loaded, artifact = (dataclasses.replace(s, proof={}) for s in (loaded, artifact))
    if name == "Trial":
        assert loaded.config["limit"] == "inf"
        assert loaded.folder_name == artifact.folder_name
        loaded, artifact = (dataclasses.replace(t, config={}) for t in (loaded, artifact))
    assert same(artifact, loaded)


def test_class_scores_come_back(tmp_path: Path) -> None:
    scores = artifact_samples.class_scores()
    loaded = again(scores, tmp_path)
    assert same(scores, loaded)
    assert loaded.ids.tolist() == ["5", "-1", "3", "1152921504606846976"]
    assert again(loaded.labels, tmp_path).fingerprint == scores.labels.fingerprint


@st.composite
def some_labels(draw: st.DrawFn) -> Labels:
    names, n = draw(name_lists), draw(st.integers(2, 6))
    ids = draw(
        st.one_of(
            st.none(),
            st.lists(text, min_size=n, max_size=n, unique=True),
            st.lists(st.integers(-(2**62), 2**62), min_size=n, max_size=n, unique=True),
        )
    )
    groups = draw(st.one_of(st.none(), st.lists(text, min_size=n, max_size=n)))
    if draw(st.booleans()):
        values = draw(hnp.arrays(np.int64, n, elements=st.integers(0, len(names) - 1)))
        return Labels.from_array(values, kind="multiclass", names=names, ids=ids, groups=groups)
    shape = (n, len(names))
    hot = draw(hnp.arrays(np.int8, shape, elements=st.sampled_from([0, 1, -1])))
    return Labels.from_array(hot, kind="multilabel", names=names, ids=ids, groups=groups)


@given(some_labels())
@settings(max_examples=30)
def test_any_labels_come_back(labels: Labels) -> None:
    with TemporaryDirectory() as tmp:
        assert same(labels, again(labels, tmp))


@given(some_labels(), st.data())
@settings(max_examples=30)
def test_any_scores_come_back(labels: Labels, data: st.DataObject) -> None:
    shape = (len(labels), labels.num_classes)
    kind = data.draw(st.sampled_from(["logits", "ranking"]))
    values = data.draw(hnp.arrays(np.float64, shape, elements=finite))
    truth = data.draw(st.sampled_from([labels, None]))
    made = Scores.from_arrays(
        truth,
        split=data.draw(st.sampled_from(["train", "val", "oof", "test", "new"])),
        kind=labels.kind,
        names=labels.names,
        ids=labels.ids,
        correction=Correction.identity(labels.kind),
        check_kind=False,
        **{kind: values},
    )
    with TemporaryDirectory() as tmp:
        assert same(made, again(made, tmp))


@given(st.permutations(range(7)), st.integers(0, 7), st.integers(0, 7), text)
@settings(max_examples=20)
def test_any_split_comes_back(order: list[int], one: int, two: int, method: str) -> None:
    low, high = sorted((one, two))
    split = Split.from_parts(
        order[:low], order[low:high], order[high:], n_rows=7, seed=1, method=method
    )
    with TemporaryDirectory() as tmp:
        assert same(split, again(split, tmp))


@given(st.lists(finite, min_size=1, max_size=3), st.lists(numbers, min_size=3, max_size=3))
@settings(max_examples=20)
def test_any_correction_comes_back(offset: list[float], free: list[float]) -> None:
    ops = ({"op": "offset", "offset": offset},)
    made = Correction("multilabel", ops, prior=tuple(free), nominal_weight=tuple(free[:2]))
    assert same(made, Correction.from_dict(made.to_dict()))
    with TemporaryDirectory() as tmp:
        assert same(made, again(made, tmp))


@given(numbers, numbers, st.integers(0, 9), st.one_of(st.none(), text))
@settings(max_examples=20)
def test_any_estimate_comes_back(value: float, low: float, n: int, reason: str | None) -> None:
    made = Estimate(value, low, 1.0, 0.9, "m", n, None, reason)
    evaluation = dataclasses.replace(artifact_samples.evaluation(), overall={"a": {"b": made}})
    with TemporaryDirectory() as tmp:
        assert same(made, again(evaluation, tmp).overall["a"]["b"])
    assert same(made, Estimate.from_dict(made.to_dict()))


@given(st.lists(text, max_size=3), st.dictionaries(text, st.one_of(finite, text), max_size=3))
@settings(max_examples=20)
def test_any_findings_come_back(suggests: list[str], evidence: dict[str, Any]) -> None:
    made = [
        Finding(code, "warning", "Title", "Message ü", evidence, tuple(suggests))
        for code in ("EQ101", "EQ405")
    ]
    with TemporaryDirectory() as tmp:
        loaded = load_findings(save_findings(made, Path(tmp) / "findings.json"))
    assert all(map(same, made, loaded))


@given(
    # A finite cut beyond 1e300 is refused: it means inf.
    hnp.arrays(
        np.float64,
        3,
        elements=st.floats(-1e300, 1e300) | st.sampled_from([np.inf, -np.inf]),
    ),
    hnp.arrays(np.float64, 3, elements=numbers),
)
@settings(max_examples=20)
def test_any_rule_comes_back(thresholds: np.ndarray, claimed: np.ndarray) -> None:
    made = dataclasses.replace(artifact_samples.rule(), thresholds=thresholds, claimed=claimed)
    with TemporaryDirectory() as tmp:
        assert same(made, again(made, tmp))


def test_a_trial_without_history_and_with_a_slash(tmp_path: Path) -> None:
    bare = Trial("a/b c", 0, {}, 1, 1, {}, {}, [], {})
    folder = bare.save(tmp_path)
    assert folder.parent == tmp_path
    assert folder.name.startswith("a_b_c-s0-")
    assert same(bare, Trial.load(folder))
    assert (folder / "history.csv").is_file()


def test_rows_are_picked_by_position_mask_or_slice() -> None:
    labels, scores = artifact_samples.labels(), artifact_samples.scores()
    for thing in (labels, scores):
        assert len(thing[[0, 2]]) == len(thing[1:3]) == 2
        assert len(thing[np.array([True, False, False, True])]) == 2
        assert len(thing[3]) == 1
        assert len(thing[[]]) == 0
    assert scores[[2]].labels.ids.tolist() == scores[[2]].ids.tolist() == [""]


def test_float_ids_that_are_whole_are_those_of_integers() -> None:
    made = Labels.from_array([0, 1], kind="multiclass", ids=[1.0, 2.0])
    assert made.ids is not None
    assert made.ids.tolist() == ["1", "2"]
    with pytest.raises(DataError, match="floats beyond 2\\^53, which have lost digits"):
        Labels.from_array([0, 1], kind="multiclass", ids=[1.0, 2.0**60])


def test_ids_are_text_whatever_they_came_as() -> None:
    for ids in ([7, 8], ["7", "8"], np.array([b"7", b"8"]), np.array([7, 8], dtype=np.uint64)):
        made = Labels.from_array([0, 1], kind="multiclass", ids=ids, groups=ids)
        assert made.ids.tolist() == made.groups.tolist() == ["7", "8"]
    direct = Labels(np.array([0, 1]), "multiclass", ("a", "b"), np.array([7, 8]))
    assert direct.ids.tolist() == ["7", "8"]
    assert Labels.from_array([0, 1], kind="multiclass", ids=["07", "7"]).ids.tolist() == ["07", "7"]


def test_files_written_when_ids_were_numbers_still_match(tmp_path: Path) -> None:
    now = Labels.from_array([0, 1, 0], kind="multiclass", ids=[10, 9, 300], groups=[2, 2, 1])
    file = now.save(tmp_path / "labels.parquet")
    frame, meta = pl.read_parquet(file), pl.read_parquet_metadata(file)["equipoise"]
    old = frame.with_columns(pl.col("id").cast(pl.Int64), pl.col("group").cast(pl.Int64))
    old.write_parquet(file, metadata={"equipoise": meta})
    loaded = Labels.load(file)
    assert loaded.ids.tolist() == ["10", "9", "300"]
    assert loaded.groups.tolist() == ["2", "2", "1"]
    # As of when they were int64: the number that splits and trials have kept.
    before = fingerprint_array(now.values, np.asarray(now.names), np.array([10, 9, 300]))
    assert loaded.fingerprint == now.fingerprint == before
    read = Labels.from_array([0, 1, 0], kind="multiclass", ids=["10", "9", "300"])
    assert read.fingerprint == before
    scores = Scores.from_arrays(loaded, split="val", logits=np.zeros((3, 2)))
    kept = fingerprint_array(np.sort(np.array([10, 9, 300])))
    assert scores.fingerprint == kept


def test_an_unknown_arm_is_named() -> None:
    comparison = artifact_samples.comparison()
    assert comparison.arm("focal").method == "focal"
    with pytest.raises(UsageError, match=r"got 'fokal'\. Did you mean `focal`"):
        comparison.arm("fokal")
