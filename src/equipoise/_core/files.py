"""Outputs: written under a temporary name, and put into their place when they are complete.

Where a path is a link, what it points to is replaced and the link stays. A device, a pipe or an
open descriptor (``/dev/stdout``) has no content to replace: what is complete is poured into it.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from equipoise._core.messages import say
from equipoise.errors import DataWarning, UsageError

_STREAMS = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/fd/(\d+)")
# Errors of a full or closed disk, which come without the name of the file.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
_MOST_LINKS = 40  # as many as Linux follows


def _descriptor(path: Path) -> int | None:
    """Return the number of the open descriptor that a path stands for, perhaps through links."""
    for _ in range(_MOST_LINKS):
        text = os.path.abspath(path)  # noqa: PTH100  # resolve() would go through /dev/stdout
        found = _DESCRIPTOR.fullmatch(text)
        if text in _STREAMS or found:
            return _STREAMS[text] if found is None else int(found[1])
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    return None


def is_stream(path: str | Path) -> bool:
    """Whether a path is a device, a pipe or an open descriptor, into which one can only write.

    Example:
        >>> is_stream("/dev/stdout"), is_stream("rule.json")
        (True, False)
    """
    if _descriptor(Path(path)) is not None:
        return True
    try:
        mode = Path(path).stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _pour(whole: Path, stream: Path) -> None:
    number = _descriptor(stream)
    if number == 1 and sys.stdout is not None:
        sys.stdout.flush()
    # A descriptor that is opened by its name begins at 0 again, over what stands there.
    sink = stream.open("wb") if number is None else os.fdopen(os.dup(number), "wb")
    with whole.open("rb") as source, sink:
        shutil.copyfileobj(source, sink)


def _place_of(path: Path) -> Path:
    """Return the file that is to be replaced: behind links, and no folder."""
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if target.is_dir():
        raise UsageError(say(str(path), "be a file to write", "a folder", "Name a file in it."))
    return target


def _mode_of(target: Path, fresh: Path) -> int:
    """Return the mode of what is replaced, or else that of a fresh file, which umask decides."""
    return stat.S_IMODE((target if target.exists() else fresh).stat().st_mode)


def _put(whole: Path, target: Path, mode: int) -> None:
    # Some libraries write files that nobody else may read, whatever the umask.
    if stat.S_IMODE(whole.stat().st_mode) != mode:
        whole.chmod(mode)
    whole.replace(target)


@contextmanager
def _named(path: Path, inner: Path) -> Iterator[None]:
    """Let errors of the disk name the path that was given, not the temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is not None:
            nameless = error.filename is None and error.errno in _FULL
            if nameless or str(error.filename).startswith(str(inner)):
                error.filename, error.filename2 = str(path), None
        raise


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block ends without error.

    Raises:
        UsageError: ``path`` is a folder.
    """
    given = Path(path)
    if is_stream(given):
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder, "whole")
            temporary.touch()
            yield temporary
            _pour(temporary, given)
        return
    target = _place_of(given)
    # Named before it is made: whenever an interrupt comes, what is to be removed is known.
    temporary = target.with_name(f".{target.stem[:50]}-{secrets.token_hex(8)}.tmp")
    with _named(given, temporary):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.touch(exist_ok=False)
            mode = _mode_of(target, temporary)
            yield temporary
            _put(temporary, target, mode)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def together(folder: str | Path) -> Iterator[Callable[[str], Path]]:
    """Yield what names temporary files that all move into ``folder`` when the block ends well.

    Use where several files belong together: a full disk leaves either all or none. They move when
    all are written, the first that was named last: whoever finds it finds the others.

    Raises:
        UsageError: ``folder`` is a file, or one of the files is a folder.

    Example:
        >>> with tempfile.TemporaryDirectory() as place:
        ...     with together(place) as inside:
        ...         _ = write_text(inside("b.txt"), "second"), write_text(inside("a.txt"), "first")
        ...     sorted(p.name for p in Path(place).iterdir())
        ['a.txt', 'b.txt']
    """
    place = Path(folder)
    if place.exists() and not place.is_dir():
        do = "Name a folder, or remove that file."
        raise UsageError(say(str(place), "be a folder to write", "a file", do))
    staged = place / f".{secrets.token_hex(8)}.tmp"
    targets: dict[str, Path] = {}

    def inside(name: str) -> Path:
        targets[name] = _place_of(place / name)
        return staged / name

    is_new = not place.exists()
    with _named(place, staged):
        try:
            staged.mkdir(parents=True)
            yield inside
            for name in reversed(targets):
                _put(staged / name, targets[name], _mode_of(targets[name], staged / name))
        finally:
            shutil.rmtree(staged, ignore_errors=True)
            if is_new:
                with contextlib.suppress(OSError):  # that it is not empty, when all went well
                    place.rmdir()


def write_text(path: str | Path, text: str) -> Path:
    """Write ``text`` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return Path(path)


def _to_disk(path: Path) -> None:
    # A folder is opened for its entries; where that is not possible (Windows), it is not needed.
    with contextlib.suppress(PermissionError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def commit(path: str | Path, text: str) -> Path:
    """Write a file that says that its folder is complete: it is there only if all the rest is.

    A rename may reach the disk before the content of what is renamed, and other files' content
    after both. So the folder's files are brought to the disk first, then this one, then its name:
    after a power cut the folder is either unfinished or whole.

    Args:
        path: The file, UTF-8; what was there is replaced.
        text: Its content.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     commit(Path(folder, "done.json"), "{}").read_text()
        '{}'
    """
    folder = Path(path).parent
    for other in folder.iterdir():
        if other.is_file() and not other.name.startswith("."):
            _to_disk(other)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        _to_disk(temporary)
    _to_disk(folder)
    return Path(path)


def is_set_aside(path: str | Path) -> bool:
    """Whether a file or folder is one that :func:`set_aside` has renamed."""
    return ".unreadable" in Path(path).name


def set_aside(path: str | Path, why: str) -> Path | None:
    """Rename what cannot be read, so that it is made again and can still be looked at.

    Args:
        path: A file or folder.
        why: What is wrong with it, for the warning.

    Returns:
        Its new path; None where another process has taken it away.

    Warns:
        DataWarning: always, with both names.
    """
    old = Path(path)
    names = (old.with_name(f"{old.name}.unreadable{n or ''}") for n in itertools.count())
    new = next(name for name in names if not name.exists())
    try:
        old.rename(new)
    except FileNotFoundError:
        return None
    reason = " ".join(why.split()).rstrip(".")
    text = f"{old} cannot be read ({reason}). It is kept as {new.name}, and made again."
    warnings.warn(text, DataWarning, stacklevel=3)
    return new
