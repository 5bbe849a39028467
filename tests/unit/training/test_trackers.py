"""Trackers: they write under the trial's folder, or say what to install; they never ask."""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from torch import nn

from equipoise import Labels, Split, TrainingOptions, Trial, fit
from equipoise.data import ArrayDataset
from equipoise.errors import MissingExtraError, UsageError
from equipoise.methods import remedy
from equipoise.training.watch import make_tracker, require_trackers

N = 40
SPLIT = Split.from_parts(np.arange(30), np.arange(30, N), [], n_rows=N, seed=0, method="hand")


def train(out: Path | None, *trackers: str, epochs: int = 3) -> Trial:
    rng = np.random.default_rng(0)
    labels = Labels.from_array(np.arange(N) % 3, kind="multiclass")
    rows = ArrayDataset(rng.normal(size=(N, 2)).astype(np.float32), labels)
    options = TrainingOptions(
        epochs=epochs,
        batch_size=10,
        accelerator="cpu",
        trackers=trackers,  # type: ignore[arg-type]
    )
    treated = remedy("none", labels[SPLIT.train])
    return fit(nn.Linear(2, 3), rows, SPLIT, treated, options=options, out=out)


@pytest.mark.parametrize(
    ("name", "package"), [("tensorboard",) * 2, ("mlflow", "sqlalchemy"), ("wandb",) * 2]
)
def test_what_is_missing_is_named(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for needed in ("mlflow", "alembic"):
        monkeypatch.setitem(sys.modules, needed, ModuleType(needed))
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"`{package}`.*equipoise\[{name}\]"):
        require_trackers([name])


def test_a_folder_is_needed_and_an_unknown_tracker_is_refused() -> None:
    with pytest.raises(UsageError, match=r"`options\.trackers` must go with a folder.*Pass out="):
        train(None, "tensorboard")
    with pytest.raises(UsageError, match="tensorboard"):
        require_trackers(["tensorbored"])


class Noted:
    """Stands for the package wandb, and notes what is asked of it."""

    def __init__(self, key: str | None = None) -> None:
        self.api = SimpleNamespace(api_key=key)
        self.asked: dict[str, Any] = {}
        self.rows: list[dict[str, float]] = []
        self.ended: list[int] = []

    def init(self, **asked: Any) -> Noted:
        self.asked = asked
        return self

    def Settings(self, **asked: Any) -> dict[str, Any]:  # noqa: N802
        return asked

    def log(self, row: dict[str, float]) -> None:
        self.rows.append(row)

    def finish(self, exit_code: int) -> None:
        self.ended.append(exit_code)


def test_wandb_stays_offline_and_is_handed_every_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = Noted()
    monkeypatch.setitem(sys.modules, "wandb", noted)  # type: ignore[arg-type]
    monkeypatch.delenv("WANDB_MODE", raising=False)
    trial = train(tmp_path, "wandb")
    assert noted.asked["mode"] == "offline"
    assert noted.asked["dir"] == tmp_path / trial.folder_name
    assert noted.asked["config"]["method"] == "none"
    assert noted.rows == list(trial.history)
    assert noted.ended == [0]


def test_wandb_never_asks_for_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setitem(sys.modules, "wandb", Noted())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="WANDB_API_KEY"):
        make_tracker("wandb", tmp_path, "run", {})
    with_key = Noted("secret")
    monkeypatch.setitem(sys.modules, "wandb", with_key)  # type: ignore[arg-type]
    make_tracker("wandb", tmp_path, "run", {}).close(failed=True)
    assert with_key.asked["mode"] == "online"
    assert with_key.ended == [1]


def test_tensorboard_holds_what_the_history_holds(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trial = train(tmp_path, "tensorboard")
    assert capfd.readouterr() == ("", "")
    events = EventAccumulator(str(tmp_path / trial.folder_name / "tensorboard")).Reload()
    for key in ("loss", "val_loss", "val_metric", "lr"):
        have = [(e.step, e.value) for e in events.Scalars(key)]
        assert [step for step, _ in have] == [0, 1, 2]
        want = [row[key] for row in trial.history]
        np.testing.assert_allclose([value for _, value in have], want, rtol=1e-6)


@pytest.mark.extras
def test_mlflow_writes_one_sqlite_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    trial = train(tmp_path, "mlflow")
    assert capfd.readouterr() == ("", "")
    folder = tmp_path / trial.folder_name
    with sqlite3.connect(folder / "mlflow.db") as base:
        rows = base.execute("select key, step, value from metrics").fetchall()
        states = base.execute("select status from runs").fetchall()
    base.close()
    want = {(k, r["epoch"]): r[k] for r in trial.history for k in r if k != "epoch"}
    assert {(key, step): value for key, step, value in rows} == pytest.approx(want)
    assert states == [("FINISHED",)]
    assert not (folder / "mlruns").exists()


@pytest.mark.extras
def test_wandb_writes_an_offline_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    trial = train(tmp_path, "wandb")
    assert capfd.readouterr() == ("", "")
    assert list((tmp_path / trial.folder_name / "wandb").glob("offline-run-*/*.wandb"))
