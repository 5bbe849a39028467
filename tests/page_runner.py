"""A page of the documentation, run from top to bottom as its reader would run it.

``python`` blocks share one scope; one whose first line is a comment that names a file
(``# net.py``) is that file. ``console`` blocks go to a shell. A ``text`` block behind a block is
what it prints. This runs a page, and writes what it prints into it:

    python tests/page_runner.py docs/tutorials/table.md
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import equipoise

BLOCK = re.compile(
    r"^```(?P<kind>python|console|yaml)\n(?P<code>.*?)^```\n(?:\n^```text\n(?P<shown>.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)
FILE = re.compile(r"# ([\w./-]+\.(?:py|yaml))\n")
DECIMAL = re.compile(r"[-+]?\d[\d,]*\.\d+")


class Step(NamedTuple):
    """A block that was run: its text, what the page shows behind it (or None), what it printed."""

    code: str
    shown: str | None
    printed: str


def run(text: str, folder: Path) -> Iterator[Step]:
    """Run the blocks of a page in a folder, which is the current one."""
    scope: dict[str, object] = {"__name__": "page"}
    for block in BLOCK.finditer(text):
        code, printed = block["code"], ""
        named = FILE.match(code)
        if named:
            (folder / named[1]).write_text(code, encoding="utf-8")
        elif block["kind"] == "python":
            caught = io.StringIO()
            with contextlib.redirect_stdout(caught):
                exec(compile(code, "page", "exec"), scope)  # noqa: S102
            printed = caught.getvalue()
        elif block["kind"] == "console":
            printed = _shell(code, folder)
        yield Step(code, block["shown"], re.sub(r"[ \t]+$", "", printed, flags=re.MULTILINE))


def _shell(code: str, folder: Path) -> str:
    found = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    src = str(Path(equipoise.__file__).parents[1])
    done = subprocess.run(
        ["bash", "-ec", code],
        cwd=folder,
        # One thread: small steps are slower on two that wait for each other.
        env={**os.environ, "PATH": found, "PYTHONPATH": src, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{code}\n{done.stderr}"
    return done.stdout


def same(shown: str, printed: str) -> bool:
    """Say whether a page shows what was printed.

    Words and whole numbers are equal, and so are decimals but for their last digits, which differ
    between processors. A line ``...`` stands for any lines.
    """
    want, got = (t.replace("\t", " ").splitlines() for t in (shown, printed))
    skip = False
    for line in want:
        if line.strip() == "...":
            skip = True
            continue
        while skip and got and not _alike(line, got[0]):
            got.pop(0)
        if not got or not _alike(line, got.pop(0)):
            return False
        skip = False
    return skip or not got


def _alike(shown: str, printed: str) -> bool:
    words = [DECIMAL.sub("#", t).split() for t in (shown, printed)]
    if [w for w in words[0] if set(w) != {"-"}] != [w for w in words[1] if set(w) != {"-"}]:
        return False  # rules under a table's head are as wide as its numbers
    pairs = zip(DECIMAL.findall(shown), DECIMAL.findall(printed), strict=True)
    return all(_close(*(float(n.replace(",", "")) for n in pair)) for pair in pairs)


def _close(shown: float, printed: float) -> bool:
    return abs(shown - printed) <= max(0.02, 0.05 * abs(shown))


def write(page: Path) -> None:
    """Run a page, and put what its blocks print where it shows something (``...`` is kept)."""
    text = page.read_text(encoding="utf-8")
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        try:
            steps = iter(list(run(text, Path(place))))
        finally:
            os.chdir(here)

    def renewed(block: re.Match[str]) -> str:
        step = next(steps)
        print(step.code, step.printed, sep="\n", file=sys.stderr)
        if step.shown is None or "..." in step.shown.split() or step.shown == step.printed:
            return block[0]
        return f"```{block['kind']}\n{step.code}```\n\n```text\n{step.printed}```\n"

    page.write_text(BLOCK.sub(renewed, text), encoding="utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        write(Path(name))
