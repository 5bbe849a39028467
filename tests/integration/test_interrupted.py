"""What a signal, a crash or a damaged file leaves is gone on with, and nobody is told otherwise."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from equipoise._core import files
from equipoise.artifacts import Trial
from equipoise.cli.main import main
from equipoise.errors import DataWarning
from equipoise.mining.rounds import trial_in

CPU = {"accelerator": "cpu", "batch_size": 32}


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return int(stop.value.code or 0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4))
    columns: dict[str, Any] = {f"x{i}": x[:, i] for i in range(4)}
    columns["y"] = np.where(x[:, 0] + rng.normal(size=400) > 1, "ill", "well")
    pl.DataFrame(columns).write_csv("rows.csv")
    return tmp_path


def study(arms: list[str], epochs: int, seeds: int | None = None) -> str:
    content: dict[str, Any] = {
        "data": {"path": "rows.csv", "label": "y"},
        "model": {"name": "mlp", "settings": {"hidden": [8]}},
        "arms": arms,
        "training": {**CPU, "epochs": epochs},
    }
    if seeds is not None:
        content["seeds"] = seeds
    Path("study.yaml").write_text(yaml.safe_dump(content))
    return "study.yaml"


def ended_by(
    number: int, command: list[str], ready: Callable[[], bool], folder: Path
) -> tuple[int, str]:
    """Start a command, send a signal once it is ready, and wait."""
    process = subprocess.Popen(
        [sys.executable, "-m", "equipoise", *command],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not ready() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(number)
    _, error = process.communicate(timeout=120)
    return process.returncode, error


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["train", "compare"])
def test_sigterm_ends_a_network_with_143_and_a_word_and_it_goes_on(verb: str, here: Path) -> None:
    arms = ["none"] if verb == "train" else ["none", "weighted_ce"]
    path = study(arms, 3000, None if verb == "train" else 2)
    command = [verb, path, "-o", "out"]
    code, error = ended_by(
        signal.SIGTERM, command, lambda: any(here.glob("out/**/resume.ckpt")), here
    )
    assert code == 143
    assert "ended by SIGTERM. Finished trials are kept: run the same command to go on." in error
    assert "Traceback" not in error
    (kept,) = here.glob("out/**/resume.ckpt")
    before = kept.stat().st_mtime_ns
    # It goes on from there: the next epochs overwrite it.
    code, error = ended_by(signal.SIGTERM, command, lambda: kept.stat().st_mtime_ns > before, here)
    assert code == 143
    assert re.search(r"epoch (\d+)/3000", error)[1] != "1"  # type: ignore[index]


def test_sigterm_ends_heads_with_143_and_a_word(here: Path) -> None:
    command = ["compare", "rows.csv", "--label", "y", "-o", "out", "--set", "seeds=40",
               "--set", "training.epochs=30", "--set", "models=[]"]  # fmt: skip
    code, error = ended_by(
        signal.SIGTERM, command, lambda: any(here.glob("out/trials/*/trial.json")), here
    )
    assert code == 143
    assert "ended by SIGTERM" in error
    assert not list(here.glob("out/**/*.tmp"))


DAMAGE = {
    "empty": lambda _: b"",
    "halved": lambda whole: whole[: len(whole) // 2],
    "zeros": lambda whole: bytes(len(whole)),
    "foreign": lambda _: b"PK\x03\x04 not a checkpoint",
}


@pytest.mark.filterwarnings("default::equipoise.errors.DataWarning")
@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_checkpoint_is_set_aside_and_training_begins_again(
    how: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from equipoise.training import stages

    path = study(["none"], 2)
    # The checkpoint of a run that was stopped: it would be removed at the end.
    monkeypatch.setattr(stages, "clear_checkpoints", lambda _: None)
    monkeypatch.setattr(import_module("equipoise.training.fitting"), "write_trial", _stopped)
    assert run("train", path, "-o", "out") in (1, 130)
    (kept,) = here.glob("out/*/resume.ckpt")
    kept.write_bytes(DAMAGE[how](kept.read_bytes()))
    monkeypatch.undo()
    os.chdir(here)
    assert run("train", path, "-o", "out") == 0
    assert list(here.glob("out/*/trial.json"))
    assert (kept.parent / "resume.ckpt.unreadable").exists()


def _stopped(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.filterwarnings("default::equipoise.errors.DataWarning")
@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": "equipoise.Trial", "version": 1}'])
def test_a_damaged_trial_is_set_aside_and_trained_again(
    content: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", "rows.csv", "--label", "y", "-o", "out", "--set", "seeds=2",
               "--set", "training.epochs=2", "--set", "arms=[none, weighted_ce]",
               "--set", "models=[]"]  # fmt: skip
    assert run(*command) == 0
    first = json.loads(Path("out/comparison.json").read_text())
    folder = min(here.glob("out/trials/*"))
    (folder / "trial.json").write_text(content)
    assert run(*command) == 0
    error = capsys.readouterr().err
    assert f"It is kept as {folder.name}.unreadable, and made again." in error
    assert "1 trial trained, 39 re-used" in error
    again = json.loads(Path("out/comparison.json").read_text())
    assert [a["record"] for a in again["arms"]] == [a["record"] for a in first["arms"]]
    assert Trial.load(folder).seed in (0, 1)


def test_a_trial_of_a_newer_version_is_left_alone(here: Path) -> None:
    command = ["compare", "rows.csv", "--label", "y", "-o", "out", "--set", "seeds=2",
               "--set", "training.epochs=2", "--set", "arms=[none, weighted_ce]",
               "--set", "models=[]"]  # fmt: skip
    assert run(*command) == 0
    file = min(here.glob("out/trials/*/trial.json"))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"version": 99}))
    assert run(*command) == 3
    assert file.exists()


def test_a_crash_between_write_and_rename_leaves_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = Trial("none", 0, {"a": 1}, 10, 5, {"A": 3}, {}, [{"epoch": 0, "loss": 1.0}], {})
    real = Path.replace

    def crash(self: Path, target: Path) -> Path:
        if Path(target).name == "trial.json":
            raise SystemExit(137)
        return real(self, target)

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(SystemExit):
        trial.save(tmp_path)
    folder = tmp_path / trial.folder_name
    assert not (folder / "trial.json").exists()
    assert Trial.finished(folder) is None
    monkeypatch.undo()
    trial.save(tmp_path)
    assert Trial.load(folder).seed == 0


def test_the_file_that_says_finished_reaches_the_disk_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, rename = os.fsync, Path.replace

    def synced(handle: int) -> None:
        order.append("sync " + Path(f"/proc/self/fd/{handle}").readlink().name)
        sync(handle)

    def renamed(self: Path, target: Path) -> Path:
        order.append(f"rename {Path(target).name}")
        return rename(self, target)

    (tmp_path / "val.parquet").write_bytes(b"scores")
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    files.commit(tmp_path / "trial.json", "{}")
    assert order[0] == "sync val.parquet"
    assert order[1].startswith("sync .trial-")
    assert order[2:] == ["rename trial.json", f"sync {tmp_path.name}"]


def test_a_folder_that_was_set_aside_is_no_trial(tmp_path: Path) -> None:
    for name in ("none-s0-a", "none-s0-a.unreadable"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "trial.json").write_text("{}")
    assert trial_in(tmp_path) == tmp_path / "none-s0-a"


def test_what_is_set_aside_twice_keeps_both(tmp_path: Path) -> None:
    for _ in range(2):
        (tmp_path / "x").write_text("broken")
        with pytest.warns(DataWarning, match="is kept as x.unreadable"):
            files.set_aside(tmp_path / "x", "why. ")
    assert {p.name for p in tmp_path.iterdir()} == {"x.unreadable", "x.unreadable1"}
    assert files.set_aside(tmp_path / "gone", "why") is None
