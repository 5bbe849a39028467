"""Locks: several runners on one folder do each piece of work once.

A lock is a file that only one of two runners can create. It holds the number of its process, when
that began, and the host. Whoever holds it touches it now and then; one whose process is gone on
this host, or that nobody touched for ten minutes, is taken over.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

STALE_SECONDS = 600.0
TOUCH_SECONDS = 30.0


class Locks:
    """The locks of one runner in one folder.

    Args:
        root: Folder of lock files, made when the first is taken.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> mine, theirs = Locks(folder.name), Locks(folder.name)
        >>> mine.claim("a"), theirs.claim("a"), theirs.claim("b")
        (True, False, True)
        >>> mine.release("a")
        >>> theirs.claim("a")
        True
        >>> folder.cleanup()
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._held: dict[str, str] = {}
        self._touched = time.monotonic()

    def claim(self, name: str) -> bool:
        """Take a lock if nobody has it, or only somebody who is gone."""
        self.root.mkdir(parents=True, exist_ok=True)
        path = self._path(name)
        if self._create(path, name):
            return True
        found = _read(path)
        if found is None or not _is_stale(path, found):
            return False
        # Renaming picks one of several who see this; the file may be a new one by then.
        grave = path.with_suffix(f".{secrets.token_hex(8)}.old")
        try:
            path.rename(grave)
        except FileNotFoundError:
            return self._create(path, name)
        if _read(grave) != found:
            with contextlib.suppress(FileExistsError):
                os.link(grave, path)
            grave.unlink()
            return False
        grave.unlink()
        return self._create(path, name)

    def release(self, name: str) -> None:
        """Give a lock back, if it is still this runner's."""
        own = self._held.pop(name, None)
        path = self._path(name)
        if own is not None and _read(path) == own:
            path.unlink(missing_ok=True)

    def touch(self) -> None:
        """Say now and then that the work goes on; cheap to call often."""
        if time.monotonic() - self._touched < TOUCH_SECONDS:
            return
        self._touched = time.monotonic()
        for name in self._held:
            with contextlib.suppress(FileNotFoundError):
                os.utime(self._path(name))

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Touch the locks now and then, from a thread, while a block is at work."""
        ended = threading.Event()

        def say_so() -> None:
            while not ended.wait(TOUCH_SECONDS):
                self.touch()

        thread = threading.Thread(target=say_so, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @contextlib.contextmanager
    def released(self) -> Iterator[None]:
        """Give all locks back at the end of a block, whatever ends it."""
        try:
            yield
        finally:
            for name in list(self._held):
                self.release(name)
            self._sweep()

    def _sweep(self) -> None:
        """Remove what a runner that was killed between two steps has left."""
        for path in (*self.root.glob("*.new"), *self.root.glob("*.old")):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > STALE_SECONDS:
                    path.unlink()
        # Killed between its last piece of work and giving the lock back: nobody asks for it again.
        for path in self.root.glob("*.lock"):
            body, name = _read(path), path.name.removesuffix(".lock")
            if body is not None and _is_stale(path, body) and self.claim(name):
                self.release(name)

    def _path(self, name: str) -> Path:
        return self.root / f"{name}.lock"

    def _create(self, path: Path, name: str) -> bool:
        body = json.dumps({**_whoami(), "key": secrets.token_hex(8)})
        # Linking a whole file, unlike creating one, never shows an empty one.
        draft = path.with_suffix(f".{secrets.token_hex(8)}.new")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            draft.write_text(body, encoding="utf-8")
            os.link(draft, path)
        except (FileExistsError, FileNotFoundError):
            return False  # somebody has it; or the folder went away, and the next try makes it
        finally:
            draft.unlink(missing_ok=True)
        self._held[name] = body
        return True


def _whoami() -> dict[str, object]:
    pid = os.getpid()
    return {"pid": pid, "began": _began(pid), "host": socket.gethostname()}


def _began(pid: int) -> str | None:
    """Return when a process began, where the system says so: numbers of processes come again."""
    words = _stat(pid)
    return words[19] if len(words) > 19 else None


def _stat(pid: int) -> list[str]:
    """Return what Linux says of a process after its name: state first."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return []


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _is_stale(path: Path, body: str) -> bool:
    try:
        age = time.time() - path.stat().st_mtime
        found = json.loads(body)
        pid, host = int(found["pid"]), found["host"]
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, TypeError):
        return age > STALE_SECONDS
    if host == socket.gethostname():
        if not _is_running(pid):
            return True
        began = _began(pid)
        if began is not None and found.get("began") is not None:
            return bool(began != found["began"])
    return age > STALE_SECONDS


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    # One that is dead keeps its number until its parent asks for it.
    return _stat(pid)[:1] not in (["Z"], ["X"])
