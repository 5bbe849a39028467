"""Outputs: links stay, devices are written to, modes follow umask, a folder is whole or not."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from equipoise._core.files import atomic_path, is_stream, together, write_text
from equipoise.errors import UsageError


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "target.txt").write_text("old")
    (tmp_path / "middle").symlink_to("deep/target.txt")
    (tmp_path / "link").symlink_to(tmp_path / "middle")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "middle").is_symlink()
    assert (tmp_path / "deep" / "target.txt").read_text() == "new"
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_link_to_nothing_makes_its_target(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("not/yet/there.txt")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "not/yet/there.txt").read_text() == "new"


def test_a_link_to_itself_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links") as caught:
        write_text(tmp_path / "a", "x")
    assert caught.value.filename == str(tmp_path / "a")


def test_a_pipe_takes_what_is_written_and_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    got: list[str] = []
    for name in ("pipe", "link"):
        reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_text()))
        reader.start()
        write_text(tmp_path / name, "all of it")
        reader.join(30)
    assert got == ["all of it", "all of it"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "pipe"]


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}"])
def test_an_open_descriptor_goes_on_where_it_stands(name: str, tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        file.write("before\n")
        file.flush()
        (tmp_path / "link").symlink_to(name.format(file.fileno()))
        assert is_stream(tmp_path / "link")
        write_text(tmp_path / "link", "inside\n")
        file.write("behind\n")
    assert (tmp_path / "log").read_text() == "before\ninside\nbehind\n"


def test_a_device_keeps_nothing_of_what_failed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    def fail() -> None:
        with atomic_path(tmp_path / "pipe") as temporary:
            temporary.write_text("half")
            raise ValueError("half-way")  # nobody reads: it would wait for ever if it were poured

    with pytest.raises(ValueError, match="half-way"):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]


@pytest.mark.parametrize("folder", [".", "there", "there/"])
def test_a_folder_is_refused(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    with pytest.raises(UsageError, match=r"must be a file to write, got a folder"):
        write_text(folder, "x")
    assert [p.name for p in tmp_path.iterdir()] == ["there"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_new_files_have_the_mode_that_umask_leaves(
    mask: int, mode: int, tmp_path: Path, umask: Callable[[int], int]
) -> None:
    umask(mask)
    with atomic_path(tmp_path / "x") as temporary:
        temporary.unlink()
        temporary.touch(mode=0o600)  # as safetensors does
    with together(tmp_path) as inside:
        write_text(inside("y"), "y")
    assert [stat.S_IMODE((tmp_path / n).stat().st_mode) for n in "xy"] == [mode, mode]


def test_safetensors_are_as_open_as_the_rest(tmp_path: Path, umask: Callable[[int], int]) -> None:
    from safetensors.numpy import save_file

    umask(0o022)
    with atomic_path(tmp_path / "model.safetensors") as temporary:
        save_file({}, temporary)
    assert stat.S_IMODE((tmp_path / "model.safetensors").stat().st_mode) == 0o644


def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path) -> None:
    write_text(tmp_path / "secret", "a").chmod(0o600)
    write_text(tmp_path / "secret", "b")
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_errors_name_the_path_that_was_given(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left") as caught, atomic_path(tmp_path / "x"):
        raise full
    assert caught.value.filename == str(tmp_path / "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file") as caught:
        write_text(tmp_path / "file" / "x", "x")
    assert ".tmp" not in str(caught.value)
    with pytest.raises(OSError, match="Permission") as caught, atomic_path(tmp_path / "y") as inner:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(inner))
    assert caught.value.filename == str(tmp_path / "y")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_long_name_has_a_temporary_one(tmp_path: Path) -> None:
    name = "日" * 80 + ".json"  # 245 bytes of the 255 that a name may have
    assert write_text(tmp_path / name, "x").read_text() == "x"


def test_files_of_a_folder_appear_together_or_not_at_all(tmp_path: Path) -> None:
    place = tmp_path / "new" / "folder"

    def fail() -> None:
        with together(place) as inside:
            write_text(inside("a.json"), "a")
            write_text(inside("b.csv"), "b")
            raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert not place.exists()
    place.mkdir(parents=True)
    (place / "target").write_text("old")
    (place / "a.json").symlink_to("target")
    with together(place) as inside:
        write_text(inside("a.json"), "a")
        assert (place / "target").read_text() == "old"
        write_text(inside("b.csv"), "b")
    assert (place / "a.json").is_symlink()
    assert (place / "target").read_text() == "a"
    assert sorted(p.name for p in place.iterdir()) == ["a.json", "b.csv", "target"]


def test_the_file_that_stands_for_the_others_comes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[str] = []
    replace = Path.replace

    def note(self: Path, target: Path) -> Path:
        if self.parent != target.parent:
            moved.append(target.name)
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", note)
    with together(tmp_path) as inside:
        for name in ("split.json", "train.csv", "val.csv"):
            write_text(inside(name), "x")
    assert moved == ["val.csv", "train.csv", "split.json"]


def test_a_file_is_no_folder_to_write(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with (
        pytest.raises(UsageError, match="be a folder to write, got a file"),
        together(tmp_path / "x"),
    ):
        pass
