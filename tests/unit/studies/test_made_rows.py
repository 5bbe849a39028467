"""Rows that are made, and rows out of archives of others: what they hold, checked by slow means."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import polars as pl
import pytest
from scipy.sparse import csr_matrix
from scipy.special import expit

from equipoise.errors import DataError, DataWarning, UsageError
from equipoise.studies.archives import read_archive, read_piano_rolls, read_score_archive
from equipoise.studies.load import load_data
from equipoise.studies.made import made_scores, made_sequences, made_table
from equipoise.studies.network_rows import load_rows
from equipoise.studies.object_mosaics import draw_mosaics
from equipoise.studies.plan import make_plan
from equipoise.studies.schema import parse_study

SHARES = {"A": 0.25, "B": 0.02, "never": 0.0}


def data_of(**spec: Any) -> Any:
    return parse_study({"data": spec, "model": "mlp", "arms": ["none"]}).data


def test_a_made_table_has_exact_counts_and_one_direction_per_label() -> None:
    data = made_table(rows=2000, test_rows=1000, prevalences=SHARES, features=8, strength=3.0)
    assert data.test is not None
    train = np.setdiff1d(np.arange(3000), data.test)
    assert data.labels[train].counts.tolist() == [500, 40, 0]
    assert data.labels[data.test].counts.tolist() == [250, 20, 0]
    hot = data.labels.values[:, 0] == 1
    shift = data.features[hot].mean(0) - data.features[~hot].mean(0)
    assert np.linalg.norm(shift) == pytest.approx(3.0, abs=0.2)
    other = made_table(rows=2000, test_rows=1000, prevalences=SHARES, features=8, seed=1)
    assert not np.array_equal(data.labels.values, other.labels.values)


def test_made_sequences_show_a_motif_where_a_label_is() -> None:
    steps, offsets, labels = made_sequences(rows=1500, features=16, strength=6.0)
    assert labels.num_classes == 23
    assert (labels.counts == 0).sum() >= 8
    assert set(np.diff(offsets)) == {3, 4, 5}
    assert offsets[-1] == len(steps)
    size = np.array([np.square(steps[a:b]).sum() for a, b in itertools.pairwise(offsets)])
    several = labels.values.sum(1)
    # A label adds 2 x 36 to what noise of variance 1 has.
    noise = 16 * np.diff(offsets)
    assert (size - noise)[several == 0].mean() == pytest.approx(0, abs=8)
    assert (size - noise)[several == 1].mean() == pytest.approx(72, abs=8)


def test_made_scores_are_log_odds_plus_the_log_of_a_weight() -> None:
    shares = {"A": 0.2, "B": 0.05}
    val, test = made_scores(rows=40_000, test_rows=20_000, prevalences=shares)
    assert val.require_labels().counts.tolist() == [8000, 2000]
    assert test.require_labels().counts.tolist() == [4000, 1000]
    prior = np.array(list(shares.values()))
    eta = expit(val.values - np.log((1 - prior) / prior))
    for label in range(2):
        order = np.argsort(eta[:, label])
        truth = val.require_labels().values[order, label]
        for part, hot in zip(np.split(eta[order, label], 8), np.split(truth, 8), strict=True):
            assert hot.mean() == pytest.approx(part.mean(), abs=0.02)
    assert not set(np.asarray(val.ids)) & set(np.asarray(test.ids))


@pytest.mark.parametrize(
    ("spec", "shape", "axis"),
    [
        ({"source": "digits"}, (1, 8, 8), 1),
        ({"source": "digit_mosaics", "rows": 200, "test_rows": 100}, (1, 16, 16), 1),
        ({"source": "made_table", "prevalences": {"A": 0.1}, "features": 7}, (7,), -1),
    ],
)
def test_networks_see_made_rows_as_heads_do(
    spec: dict[str, Any], shape: tuple[int, ...], axis: int
) -> None:
    rows = load_rows(data_of(**spec))
    assert (rows.input_shape, rows.axis) == (shape, axis)
    seen = load_data(parse_study({"data": spec, "arms": ["none"]}))
    assert np.array_equal(rows.dataset[5][0].numpy().ravel(), seen.features[5])
    assert rows.labels is not None
    assert np.array_equal(rows.labels.values, seen.labels.values)
    assert (rows.test is None) == (seen.test is None)


def test_what_decides_made_rows_names_their_trials() -> None:
    names = set()
    for noise in (0.0, 0.1):
        study = parse_study(
            {"data": {"source": "digits", "noise": noise}, "model": "mlp", "arms": ["none"],
             "seeds": 1, "training": {"epochs": 1, "accelerator": "cpu"}}
        )  # fmt: skip
        plan = make_plan(study)
        names.add(plan.folder(plan.jobs[0]))
    assert len(names) == 2


def test_sequences_need_a_network() -> None:
    study = parse_study({"data": {"source": "made_sequences", "rows": 200}, "arms": ["none"]})
    with pytest.raises(DataError, match=r"be rows of features.*`model` to train whole networks"):
        load_data(study)


def test_an_archive_is_read_dense_and_sparse(tmp_path: Path, rng: np.random.Generator) -> None:
    x = np.where(rng.random((20, 6)) < 0.3, rng.normal(size=(20, 6)), 0).astype(np.float32)
    hot = (rng.random((20, 2)) < 0.5).astype(np.uint8)
    split = np.repeat([0, 1], [14, 6])
    names = np.array(["up", "down"])
    rows = csr_matrix(x)
    parts = {"X_data": rows.data, "X_indices": rows.indices, "X_indptr": rows.indptr,
             "X_shape": np.array(x.shape)}  # fmt: skip
    np.savez(tmp_path / "dense.npz", X=x, Y=hot, split=split, label_names=names)
    np.savez(tmp_path / "sparse.npz", Y=hot, split=split, label_names=names, **parts)
    np.savez(tmp_path / "binary.npz", X=x, y=hot[:, 0])
    for name in ("dense", "sparse"):
        found, labels, test = read_archive(tmp_path / f"{name}.npz", 1)
        assert np.array_equal(found, x)
        assert found.dtype == np.float32
        assert np.array_equal(labels.values, hot)
        assert labels.names == ("up", "down")
        assert test is not None
        assert test.tolist() == list(range(14, 20))
    found, labels, test = read_archive(tmp_path / "binary.npz", None)
    assert (labels.kind, labels.names, test) == ("multilabel", ("binary",), None)
    spec = data_of(source="archive", path=str(tmp_path / "sparse.npz"), test_value=1)
    assert load_rows(spec).labels is not None


@pytest.mark.filterwarnings("ignore:a prevalence of")
def test_positives_of_an_archive_are_thinned(tmp_path: Path, rng: np.random.Generator) -> None:
    y = (np.arange(1100) < 100).astype(np.uint8)
    x = np.stack([np.arange(1100), y], axis=1).astype(np.float32)
    path = str(tmp_path / "rare.npz")
    np.savez(path, X=x, y=y)
    with pytest.warns(DataWarning, match="0.005 leaves 5 positives in 1,005 rows: too few"):
        found = load_rows(data_of(source="archive", path=path, prevalence=0.005))
    assert found.labels is not None
    hot = found.labels.values[:, 0]
    assert (hot.sum(), len(hot)) == (5, 1005)
    inputs = np.stack([found.dataset[i][0].numpy() for i in range(len(hot))])
    assert np.array_equal(inputs[:, 1], hot)  # rows keep their labels
    again = load_rows(data_of(source="archive", path=path, prevalence=0.005, seed=1))
    assert found.description != again.description
    assert [again.dataset[i][0][0] for i in range(5)] != inputs[:5, 0].tolist()
    with pytest.raises(UsageError, match=r"`data.prevalence` must be at most that of all rows"):
        load_rows(data_of(source="archive", path=path, prevalence=0.2))
    np.savez(path, X=x, Y=np.stack([y, y], axis=1))
    with pytest.raises(UsageError, match="stand where there is one label, got 2"):
        load_rows(data_of(source="archive", path=path, prevalence=0.005))
    with pytest.raises(UsageError, match="test rows are not thinned"):
        data_of(source="archive", path=path, prevalence=0.005, test_value=1)


def test_an_archive_that_is_none_says_what_is_missing(tmp_path: Path) -> None:
    x, y = np.zeros((4, 2)), np.array([0, 1, 0, 1])
    cases: list[tuple[dict[str, Any], int | None, str]] = [
        ({"y": y}, None, r"hold `X`, got \['y'\]"),
        ({"X": x}, None, r"hold `Y` or `y`"),
        ({"X": x, "y": y + 1}, None, "be 4 rows of 0 and 1"),
        ({"X": x, "y": y[:3]}, None, "be 4 rows of 0 and 1"),
        ({"X": x[:, 0], "y": y}, None, "be rows of numbers"),
        ({"X": x, "y": y}, 1, "hold `split`"),
        ({"X": x, "y": y, "split": np.zeros(4)}, 1, r"be 1 of some of 4 rows.*values \[0.0\]"),
        ({"X_data": x, "y": y}, None, "hold `X_data` and `X_indices`"),
    ]
    for arrays, value, message in cases:
        np.savez(tmp_path / "x.npz", **arrays)
        with pytest.raises(DataError, match=message):
            read_archive(tmp_path / "x.npz", value)
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(DataError, match="archive"):
        read_archive(tmp_path / "x.npy", None)


def test_piano_rolls_pair_windows_with_the_next_step(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    rolls = (rng.random((60, 11)) < 0.3).astype(np.uint8)
    offsets, split = np.array([0, 25, 29, 60]), np.array([0, 1, 2])
    packed = np.packbits(rolls, axis=1)
    path = tmp_path / "rolls.npz"
    np.savez(path, Ypacked=packed, n_labels=11, offsets=offsets, split=split)
    steps, ends, labels, test = read_piano_rolls(path, 4, 3)
    wanted = [(tune, at) for tune in range(3)
              for at in range(offsets[tune] + 4, offsets[tune + 1], 3)]  # fmt: skip
    assert len(labels) == len(wanted) == len(ends) - 1
    for row, (tune, at) in enumerate(wanted):
        assert np.array_equal(steps[ends[row] : ends[row + 1]], rolls[at - 4 : at])
        assert np.array_equal(labels.values[row], rolls[at])
        assert labels.groups is not None
        assert labels.groups[row] == f"tune {tune}"
    assert test.tolist() == [row for row, (tune, _) in enumerate(wanted) if tune == 2]
    rows = load_rows(data_of(source="piano_rolls", path=str(path), context=4, every=3))
    # Windows of music repeat: that is no evidence of copies.
    assert rows.contents is None
    np.savez(path, Ypacked=packed, n_labels=11, offsets=offsets[:-1], split=split)
    with pytest.raises(DataError, match="hold offsets of its tunes and steps"):
        read_piano_rolls(path, 4, 3)


def test_scores_of_an_archive(tmp_path: Path, rng: np.random.Generator) -> None:
    hot = (rng.random((30, 2)) < 0.4).astype(np.uint8)
    p = rng.random((30, 2))
    path = tmp_path / "scores.npz"
    np.savez(path, y_val=hot[:10], y_test=hot[10:], net_val=p[:10], net_test=p[10:],
             other_test=p, label_names=["a", "b"])  # fmt: skip
    val, test = read_score_archive(path, "net", "probabilities")
    assert (val.split, test.split, test.score_kind) == ("val", "test", "probabilities")
    assert np.array_equal(test.values, p[10:])
    assert np.array_equal(test.require_labels().values, hot[10:])
    for name, message in (("nets", "Did you mean `net`"), ("other", "Known: net")):
        with pytest.raises(DataError, match=message):
            read_score_archive(path, name, "probabilities")


def _parquet(path: Path, classes: np.ndarray) -> Path:
    """Write images of one colour that is their class."""
    codes = []
    for code in classes.tolist():
        file = io.BytesIO()
        PIL.Image.fromarray(np.full((4, 4, 3), 20 * code, np.uint8)).save(file, "PNG")
        codes.append(file.getvalue())
    pl.DataFrame({"jpeg": codes, "label": classes}).write_parquet(path)
    return path


def test_mosaics_show_the_objects_of_their_labels(tmp_path: Path) -> None:
    classes = np.repeat(np.arange(6), 5)
    spec = data_of(
        source="object_mosaics", path=str(_parquet(tmp_path / "a.parquet", classes)),
        test_path=str(_parquet(tmp_path / "b.parquet", classes)), image="jpeg",
        objects={"A": 1, "B": 4}, prevalences={"A": 0.1, "B": 0.5}, rows=200, test_rows=100,
    )  # fmt: skip
    rows = load_rows(spec)
    assert rows.labels is not None
    assert rows.test is not None
    assert rows.test.tolist() == list(range(200, 300))
    assert rows.labels[np.arange(200)].counts.tolist() == [20, 100]
    assert rows.labels[rows.test].counts.tolist() == [10, 50]
    for row in range(0, 300, 7):
        image, target = rows.dataset[row]
        assert image.shape == (3, 8, 8)
        assert str(image.dtype) == "torch.uint8"
        tiles = {int(image[0, 4 * i, 4 * j]) // 20 for i in (0, 1) for j in (0, 1)}
        assert [float(code in tiles) for code in (1, 4)] == target.tolist()
    # Test mosaics are cut of test images.
    assert (rows.dataset.cells[:200] < 30).all()  # type: ignore[attr-defined]
    assert (rows.dataset.cells[200:] >= 30).all()  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="others"):
        draw_mosaics(np.array([1, 1]), {"A": 1}, {"A": 0.5}, 10, np.random.default_rng(0))
    with pytest.raises(UsageError, match="same labels"):
        data_of(**{**spec.model_dump(), "prevalences": {"B": 0.5, "A": 0.1}})
