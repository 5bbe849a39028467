"""Damaged input of every kind ends well or in our own words: no foreign exception, hang or rest."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import signal
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import fuzzing as f
import numpy as np
import polars as pl
import pytest

from comparisons import labels_comparison
from equipoise.artifacts import Finding, Labels, Scores
from equipoise.artifacts.finding import load_findings, save_findings
from equipoise.cli.main import app, run_app
from equipoise.cli.objective import parse_costs, parse_shares, parse_target
from equipoise.data import ArrayDataset
from equipoise.diagnosis.class_table import read_class_table
from equipoise.diagnosis.logs import read_log
from equipoise.errors import EquipoiseError
from equipoise.io import read_labels, read_scores
from equipoise.io.counts import read_counts
from equipoise.io.scores import counts_from_text
from equipoise.mining import ArrayPool, read_box_table, read_coco
from equipoise.studies import load_study
from equipoise.studies.load import read_coded
from equipoise.studies.network_rows import open_rows
from equipoise.studies.schema import SequenceData, TableData, set_value
from equipoise.studies.set_ups import read_setups
from unit.artifacts.artifact_samples import SAVED

SECONDS = 60  # of one input; all together are to take some 20
Damage = Callable[[bytes, random.Random], bytes]
RNG = np.random.default_rng(0)


def _csv(columns: dict[str, Any], mark: str = ",") -> bytes:
    return pl.DataFrame(columns).write_csv(separator=mark).encode()


def _parquet(columns: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_parquet(buffer)
    return buffer.getvalue()


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def _npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


N = 24
HOT = RNG.integers(0, 2, (N, 2))
LOGITS = RNG.normal(size=(N, 2)).round(3)
CLASSES = np.asarray(["cat", "dog", "owl"])[np.arange(N) % 3]
LABELLED = {"id": [f"r{i}" for i in range(N)], "A": HOT[:, 0], "B": HOT[:, 1], "y": CLASSES,
            "several": ["A|D", "", "D"] * 8, "g": np.arange(N) // 2}  # fmt: skip
SCORED = {"id": LABELLED["id"], "A": HOT[:, 0], "B": HOT[:, 1], "zA": LOGITS[:, 0],
          "zB": LOGITS[:, 1]}  # fmt: skip
CLASS_LABELS = Labels.from_array(np.arange(N) % 3, kind="multiclass")
FEATURES = {"x1": LOGITS[:, 0], "x2": LOGITS[:, 1], "y": CLASSES}
CLASS_TABLE = {"class": ["cat", "dog"], "support": [50, 20], "recall": [0.9, 0.4],
               "precision": [0.8, 0.5]}  # fmt: skip
BOXES = {"image": ["a.png", "a.png", "b.png"], "x1": [0, 1, 2], "y1": [0, 1, 2], "x2": [4, 5, 6],
         "y2": [4, 5, 6], "class": ["cat", "dog", "cat"]}  # fmt: skip
COCO = {
    "images": [{"id": 7, "file_name": "a.png", "height": 8, "width": 9}],
    "categories": [{"id": 18, "name": "dog"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 18, "bbox": [1, 2, 3, 4], "iscrowd": 0}
    ],
}
STUDY = b"""
title: A
data: {path: feat.csv, label: y, kind: multiclass}
split: {val: 0.2, test: 0.2, seed: 1}
arms: [none, {method: focal, name: f, grid: {gamma: [1, 2]}}, {method: focal, settings: {}}]
training: {hidden: 4, epochs: 2, batch_size: 8, lr: 0.01}
compute: {device: cpu, threads: 1}
seeds: 2
tuning: {lr: [0.1, 0.05], weight_decay: [0.0], settings: 2}
comparison: {objective: accuracy, target_prior: uniform, rope: 0.01}
"""
TRAIN_STUDY = b"""
data: {path: feat.csv, label: y}
model: {name: mlp, settings: {hidden: [4]}}
training: {epochs: 1, batch_size: 8, lr: 0.01, schedule: multistep, milestones: [0.5]}
arms: [focal]
seed: 3
"""
SETUP = b"""
one: {kind: multilabel, loss: binary_crossentropy, from_logits: true, activation: sigmoid,
  alpha: [0.1, 0.9], alpha_on: positive, metrics: [auc], epochs: 3, lr: 0.1, lr_factor: 0.5}
two: {loss: focal, class_weight: {A: 1.0, B: 2.0}, beta: 0.9, sampler: WeightedRandomSampler}
"""
HISTORY = [{"epoch": i, "loss": 1 / (i + 1), "val_loss": 0.5, "val_auc": 0.7} for i in range(4)]


def _odd_arrays(valid: bytes, draw: random.Random) -> bytes:
    """Return the arrays of an .npz with one or two of odd shapes and types, or odd bytes."""
    if draw.random() < 0.4:
        return f.damaged_bytes(valid, draw)
    with np.load(io.BytesIO(valid)) as opened:
        arrays = {name: opened[name] for name in opened.files}
    for name in draw.sample(sorted(arrays), k=draw.choice((1, 1, 2)) if len(arrays) > 1 else 1):
        arrays[name] = _odd_array(arrays[name], draw)
    return _npz(**arrays)


def _odd_array(array: Any, draw: random.Random) -> Any:
    return draw.choice(
        (
            np.asarray(3), np.asarray("x"), np.zeros(0), np.zeros((0, 2)), np.zeros((3, 2, 2)),
            np.full(array.shape, np.nan), np.full(array.shape, 1e300), array.astype("U"),
            array.astype("S") if array.dtype.kind != "U" else array, array[:3], array.T,
            np.full(array.shape, 2**63, np.uint64), np.full(array.shape, 1j),
            np.full(array.shape, "2001-01-01", "M8[D]"), np.zeros(array.shape, [("a", "i4")]),
            np.full(array.shape, None), np.zeros(array.shape, bool), np.array([["a", "b"]]),
            np.full(array.shape, np.inf), np.full(array.shape, -5),
            np.full((N, 2), 0.5, np.float16),
        )
    )  # fmt: skip


def _odd_npy(valid: bytes, draw: random.Random) -> bytes:
    if draw.random() < 0.5:
        return f.damaged_bytes(valid, draw)
    return _npy(_odd_array(np.load(io.BytesIO(valid)), draw))


def _odd_parquet(valid: bytes, draw: random.Random) -> bytes:
    """Return a Parquet file with columns of odd types, its own header kept, or odd bytes."""
    if draw.random() < 0.4:
        return f.damaged_bytes(valid, draw)
    frame, meta = pl.read_parquet(io.BytesIO(valid)), pl.read_parquet_metadata(io.BytesIO(valid))
    n = frame.height
    for name in draw.sample(frame.columns, k=min(draw.choice((1, 1, 2)), frame.width)):
        odd = draw.choice(
            (
                [None] * n, [[1, 2]] * n, [{"a": 1}] * n, [b"x"] * n, [True] * n, [2**63] * n,
                [float("nan")] * n, [1e300] * n, [-(2**62)] * n, ["=x"] * n, [""] * n,
                pl.Series([0] * n).cast(pl.Date), pl.Series([0] * n).cast(pl.Duration),
                pl.Series(["a"] * n).cast(pl.Categorical),
                pl.Series([1] * n).cast(pl.Decimal(20, 2)),
                pl.Series([2**100] * n, dtype=pl.Int128),
            )
        )  # fmt: skip
        frame = frame.with_columns(pl.Series(name, odd, strict=False))
    if draw.random() < 0.2:
        frame = draw.choice((frame.head(0), frame.head(1), frame[:, :1], frame.reverse()))
    header = meta.get("equipoise")
    if header is not None and draw.random() < 0.4:
        header = f.damaged_json(header.encode(), draw).decode("utf-8", "replace")
    buffer = io.BytesIO()
    frame.write_parquet(buffer, metadata=None if header is None else {"equipoise": header})
    return buffer.getvalue()


def _odd_book(valid: bytes, draw: random.Random) -> bytes:
    """Return a workbook with odd cells, or whose parts within the archive are damaged."""
    import zipfile

    if draw.random() < 0.3:
        return f.damaged_bytes(valid, draw)
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(valid)) as old, zipfile.ZipFile(made, "w") as new:
        chosen = draw.choice(old.namelist())
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, f.damaged_bytes(content, draw) if name == chosen else content)
    return made.getvalue()


def _book() -> bytes:
    from openpyxl import Workbook

    book = Workbook()
    sheet = book.active
    sheet.append(["id", "y", "x"])
    for i in range(12):
        sheet.append([f"r{i}", str(CLASSES[i]), i / 2])
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


@dataclass(frozen=True)
class Reader:
    """One way in: the name of its file, a valid one, how it is damaged, and what reads it."""

    file: str
    valid: Callable[[Path], bytes]
    damage: Damage
    call: Callable[[Path], Any]


def reader(file: str, valid: bytes, damage: Damage, call: Callable[[Path], Any]) -> Reader:
    return Reader(file, lambda _: valid, damage, call)


def _saved(name: str) -> Reader:
    """Return how an artifact is read again; what lies beside the file stays."""
    inner = {"Trial": "trial.json", "Labels": "x.parquet", "Scores": "x.parquet"}.get(
        name, "x.json"
    )

    def valid(place: Path) -> bytes:
        artifact = SAVED[name]()
        if name != "Trial":
            return Path(artifact.save(place / inner)).read_bytes()
        folder = artifact.save(place)
        for path in folder.iterdir():
            shutil.copy(path, place / path.name)
        shutil.rmtree(folder)
        return (place / inner).read_bytes()

    load = type(SAVED[name]()).load
    damage = _odd_parquet if inner.endswith("parquet") else f.damaged_json
    return Reader(inner, valid, damage, lambda p: load(p.parent if name == "Trial" else p))


def _findings(place: Path) -> bytes:
    found = Finding("EQ101", "tip", "t", "m", {"a": 1}, ("b",))
    return save_findings([found], place / "f.json").read_bytes()


def _history(place: Path) -> bytes:
    _saved("Trial").valid(place)
    return (place / "history.jsonl").read_bytes()


def _sequences(path: Path) -> Any:
    return open_rows(SequenceData(source="sequences", path=str(path), table="-"), str(path),
                     labelled=False)  # fmt: skip


def _columns(path: Path) -> Any:
    return read_coded(TableData(path=str(path), label="y"))


def _setting(path: Path) -> Any:
    text = path.read_text(encoding="utf-8", errors="replace")
    set_value({}, text)


def _words(path: Path) -> Any:
    text = path.read_text(encoding="utf-8", errors="replace")
    for read in (counts_from_text, parse_costs, parse_target, lambda t: parse_shares("costs", t)):
        with contextlib.suppress(EquipoiseError):
            read(text)


SCORE_WORDS: dict[str, Any] = {
    "score_kind": "logits", "columns": ["zA", "zB"], "labels": ["A", "B"], "id_column": "id",
}  # fmt: skip
ARRAY_WORDS: dict[str, Any] = {"score_kind": "logits", "columns": ["z"], "labels": ["y"]}
READERS = {
    "labels of one column": reader("x.csv", _csv(LABELLED), f.damaged_table,
                                   lambda p: read_labels(p, label="y", id_column="id")),
    "labels of columns": reader("x.csv", _csv(LABELLED, ";"), f.damaged_table,
                                lambda p: read_labels(p, labels=["A", "B"], group_column="g")),
    "several labels": reader("x.tsv", _csv(LABELLED, "\t"), f.damaged_table,
                             lambda p: read_labels(p, label="several")),
    "labels in Parquet": reader("x.parquet", _parquet(LABELLED), _odd_parquet,
                                lambda p: read_labels(p, label="y", id_column="id")),
    "binary labels in Parquet": reader("x.parquet", _parquet(LABELLED), _odd_parquet,
                                       lambda p: read_labels(p, labels=["A", "B"])),
    "labels in Excel": reader("x.xlsx", _book(), _odd_book,
                              lambda p: read_labels(p, label="y", id_column="id")),
    "labels in npz": reader("x.npz", _npz(y=HOT, ids=np.arange(N), groups=np.arange(N) // 2),
                            _odd_arrays, read_labels),
    "classes in npy": reader("x.npy", _npy(np.arange(N) % 3), _odd_npy, read_labels),
    "score table": reader("x.csv", _csv(SCORED), f.damaged_table,
                          lambda p: read_scores(p, **SCORE_WORDS)),
    "score Parquet": reader("x.parquet", _parquet(SCORED), _odd_parquet,
                            lambda p: read_scores(p, **SCORE_WORDS)),
    "score arrays": reader("x.npz", _npz(z=LOGITS, y=HOT, label_names=np.array(["A", "B"])),
                           _odd_arrays, lambda p: read_scores(p, **ARRAY_WORDS)),
    "class table": reader("x.csv", _csv(CLASS_TABLE), f.damaged_table, read_class_table),
    "log in CSV": reader("x.csv", _csv({k: [r[k] for r in HISTORY] for k in HISTORY[0]}),
                         f.damaged_table, read_log),
    "log in JSONL": reader("x.jsonl", "\n".join(map(json.dumps, HISTORY)).encode(),
                           f.damaged_json_lines, read_log),
    "log in JSON": reader("x.json", json.dumps({"history": {"loss": [1, 2], "val_loss": [1, 2]}})
                          .encode(), f.damaged_json, read_log),
    "set-ups": reader("x.yaml", SETUP, f.damaged_yaml, read_setups),
    "set-ups of a study": reader("x.yaml", STUDY, f.damaged_yaml, read_setups),
    "study": reader("x.yaml", STUDY, f.damaged_yaml, load_study),
    "study of mining": reader("x.yaml", TRAIN_STUDY + b"mining: {rounds: 2, ratio: 2.0}\n",
                              f.damaged_yaml, lambda p: load_study(p, verb="mine")),
    "a setting": reader("x", b"training.lr=0.1", f.damaged_bytes, _setting),
    "words": reader("x", b"A=1,B=0.5", f.damaged_bytes, _words),
    "counts in JSON": reader("x.json", b'{"A": 10, "B": 20}', f.damaged_json,
                             lambda p: read_counts(p, ["A", "B"])),
    "counts in CSV": reader("x.csv", b"name,count\nA,10\nB,20\n", f.damaged_table,
                            lambda p: read_counts(p, ["A", "B"])),
    "boxes in COCO's format": reader("x.json", json.dumps(COCO).encode(), f.damaged_json,
                                     read_coco),
    "boxes in a table": reader("x.csv", _csv(BOXES), f.damaged_table, read_box_table),
    "features": reader("x.csv", _csv(FEATURES), f.damaged_table,
                       _columns),
    "features in Parquet": reader("x.parquet", _parquet(FEATURES), _odd_parquet,
                                  _columns),
    "feature array": reader("x.npy", _npy(LOGITS), _odd_npy, ArrayDataset.from_file),
    "pool": reader("x.npy", _npy(LOGITS), _odd_npy, lambda p: ArrayPool(p, CLASS_LABELS)),
    "sequences": reader("x.npz", _npz(steps=LOGITS, offsets=np.array([0, 4, N])), _odd_arrays,
                        _sequences),
    "findings": Reader("f.json", _findings, f.damaged_json, load_findings),
    "history of a trial": Reader("history.jsonl", _history, f.damaged_json_lines,
                                 lambda p: type(SAVED["Trial"]()).load(p.parent)),
    **{f"saved {name}": _saved(name) for name in SAVED},
}  # fmt: skip


class Hang(BaseException):
    """What the alarm raises."""


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _tree(place: Path) -> dict[str, int]:
    return {str(p.relative_to(place)): p.stat().st_size for p in place.rglob("*")}


def attempt(call: Callable[[], Any]) -> str:
    """Return how one input ends: "fine", "refused", or what should never be."""
    try:
        with at_most(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
    except EquipoiseError as error:
        return "refused" if "\n" not in str(error) else f"several lines: {error}"
    except Hang:
        return "hang"
    except BaseException as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        at = "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        return f"foreign {type(error).__name__} at {at}: {str(error)[:150]}"
    return "fine"


SIZES = [200, pytest.param(2000, marks=pytest.mark.slow)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused(
    name: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = READERS[name]
    valid = given.valid(tmp_path)
    path = tmp_path / given.file
    path.write_bytes(valid)
    assert attempt(lambda: given.call(path)) == "fine"
    before, ends = set(_tree(tmp_path)), Counter[str]()
    for seed in range(size):
        content = given.damage(valid, random.Random(f"{name} {seed}"))  # noqa: S311
        path.write_bytes(content)
        ends[attempt(lambda: given.call(path))] += 1
    print(f"{name}: {size} inputs, {dict(ends)}")
    assert set(_tree(tmp_path)) == before
    assert not set(ends) - {"fine", "refused"}


def _run(words: list[str]) -> tuple[int, str]:
    """Return the exit code of a verb and what it said of the error."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        code = run_app(app, words)
    return code, error.getvalue()


TUNE = ["tune", "x.csv", "--score-kind", "logits", "--scores", "zA,zB", "--labels", "A,B",
        "--id", "id", "-o", "new.json"]  # fmt: skip
APPLY = ["--score-kind", "logits", "--scores", "zA,zB", "--id", "id", "-o", "new.csv"]
EVALUATE = ["--score-kind", "logits", "--scores", "zA,zB", "--labels", "A,B", "-o", "new.json"]
VERBS: dict[str, tuple[str, str, Damage, list[str]]] = {
    "tune": ("x.csv", "s.csv", f.damaged_table, TUNE),
    "apply rule": ("x.json", "rule.json", f.damaged_json, ["apply", "x.json", "s.csv", *APPLY]),
    "apply scores": ("x.csv", "s.csv", f.damaged_table, ["apply", "rule.json", "x.csv", *APPLY]),
    "apply saved": ("x.parquet", "s.parquet", _odd_parquet,
                    ["apply", "rule.json", "x.parquet", "-o", "new.parquet"]),
    "apply arrays": ("x.npz", "s.npz", _odd_arrays,
                     ["apply", "rule.json", "x.npz", "--score-kind", "logits", "--scores", "z",
                      "-o", "new.csv"]),
    "evaluate": ("x.csv", "t.csv", f.damaged_table, ["evaluate", "rule.json", "x.csv", *EVALUATE]),
    "evaluate counts": ("x.json", "counts.json", f.damaged_json,
                        ["evaluate", "rule.json", "t.csv", *EVALUATE, "--train-counts", "x.json"]),
    "split": ("x.csv", "l.csv", f.damaged_table,
              ["split", "x.csv", "--label", "y", "--id", "id", "-o", "new"]),
    "split folds": ("x.csv", "l.csv", f.damaged_table,
                    ["split", "x.csv", "--labels", "A,B", "--folds", "2", "-o", "new"]),
    "diagnose": ("x.csv", "l.csv", f.damaged_table,
                 ["diagnose", "x.csv", "--label", "y", "--format", "json", "-o", "new.json"]),
    "diagnose log": ("x.jsonl", "log.jsonl", f.damaged_json_lines,
                     ["diagnose", "--log", "x.jsonl", "--format", "sarif", "-o", "new.json"]),
    "diagnose set-up": ("x.yaml", "setup.yaml", f.damaged_yaml,
                        ["diagnose", "--positives", "A=19,B=650", "--setup", "x.yaml",
                         "--format", "html", "-o", "new.html"]),
    "diagnose classes": ("x.csv", "classes.csv", f.damaged_table,
                         ["diagnose", "--classes", "x.csv", "--format", "json", "-o", "new.json"]),
    "diagnose split": ("x.json", "split.json", f.damaged_json,
                       ["diagnose", "l.csv", "--label", "y", "--split", "x.json"]),
    "diagnose comparison": ("x.json", "c.json", f.damaged_json,
                            ["diagnose", "--comparison", "x.json"]),
    "export": ("x.json", "rule.json", f.damaged_json, ["export", "x.json", "-o", "new.sql"]),
    "report": ("x.json", "c.json", f.damaged_json, ["report", "x.json", "-o", "new.html"]),
    "init": ("x.csv", "f.csv", f.damaged_table,
             ["init", "x.csv", "--label", "y", "-o", "new.yaml"]),
    "compare": ("x.yaml", "study.yaml", f.damaged_yaml, ["compare", "x.yaml", "--dry-run"]),
}  # fmt: skip


_comparison = cache(labels_comparison)


def _material(place: Path) -> None:
    """Write what verbs read: labels, scores, a rule, and what belongs to them."""
    from equipoise.splits import stratified_split

    labels = Labels.from_array(HOT, kind="multilabel", names=["A", "B"], ids=LABELLED["id"])
    Scores.from_arrays(labels, logits=LOGITS, split="val").save(place / "s.parquet")
    np.savez(place / "s.npz", z=LOGITS, y=HOT)
    test = SCORED | {"zA": -LOGITS[:, 1], "zB": -LOGITS[:, 0], "id": [f"t{i}" for i in range(N)]}
    files = {"s.csv": _csv(SCORED), "t.csv": _csv(test), "l.csv": _csv(LABELLED),
             "f.csv": _csv(FEATURES), "feat.csv": _csv(FEATURES), "classes.csv": _csv(CLASS_TABLE),
             "setup.yaml": SETUP, "study.yaml": STUDY, "counts.json": b'{"A": 10, "B": 20}',
             "log.jsonl": READERS["log in JSONL"].valid(place)}  # fmt: skip
    for name, content in files.items():
        (place / name).write_bytes(content)
    _comparison().save(place / "c.json")
    classes = read_labels(place / "l.csv", label="y")
    stratified_split(classes, fractions=(0.5, 0.25, 0.25), seed=0).save(place / "split.json")
    assert _run([*TUNE[:1], "s.csv", *TUNE[2:-1], "rule.json"])[0] == 0


@pytest.mark.parametrize("size", [10, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", VERBS)
def test_verbs_on_damaged_files_leave_a_whole_result_or_none(
    name: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EQUIPOISE_DEBUG", raising=False)
    _material(tmp_path)
    file, source, damage, words = VERBS[name]
    valid = (tmp_path / source).read_bytes()
    path = tmp_path / file
    path.write_bytes(valid)
    assert _end(words, tmp_path) == "exit 0"
    ends = Counter[str]()
    for seed in range(size):
        path.write_bytes(damage(valid, random.Random(f"{name} {seed}")))  # noqa: S311
        ends[_end(words, tmp_path)] += 1
    print(f"{name}: {size} inputs, {dict(ends)}")
    assert not set(ends) - {"exit 0", "exit 2", "exit 3"}


def _end(words: list[str], place: Path) -> str:
    """Return how a verb ends, and remove what it wrote."""
    before, said = set(_tree(place)), []
    end = attempt(lambda: said.append(_run(words)))
    left = set(_tree(place)) - before
    for new in place.glob("new*"):
        shutil.rmtree(new) if new.is_dir() else new.unlink()
    if end != "fine":
        return end
    (code, error), last = said[0], said[0][1].rstrip().rpartition("\n")[2]
    if code == 1 or "not expected" in error or (code and not last.startswith("equipoise: ")):
        return f"exit {code}: {error[-300:]}"
    if any(name.endswith((".tmp", ".part")) for name in left) or (code and left):
        return f"exit {code}, and left {left}"
    return f"exit {code}"
