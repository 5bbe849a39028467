"""Check a release as a stranger meets it: archives, a clean environment, every extra, all tests.

    python -m release.check archives                        # build, and look what is in them
    python -m release.check demo                            # a new environment, no torch
    python -m release.check tests [PATH ...]                # installed, not from the source tree
    python -m release.check tests --dependencies lowest     # or newest: without torch
    python -m release.check extras tables,onnx              # each in an environment of its own
    python -m release.check                                 # all of it; an hour or two

Environments are made in a temporary folder and removed again. What needs torch takes the version
of `constraints.txt`; where a plain index gives a CUDA build, set PIP_EXTRA_INDEX_URL to one of CPU
builds first.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = ROOT / "release" / "extras"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OFFERED = [
    name for name in PROJECT["optional-dependencies"] if name not in ("dev", "docs", "release")
]
# What an extra adds to something, and is of no use without.
BESIDE = {"mlflow": ["train"], "wandb": ["train"], "keras": ["torch"]}
# What environments without torch can run; single tests that ask for an extra are skipped there.
TORCH_FREE = [
    f"tests/unit/{room}"
    for room in (
        "artifacts", "cli", "comparison", "core", "decisions", "diagnosis", "export", "io",
        "labels", "metrics", "report", "splits",
    )
]  # fmt: skip
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("PYTHON", "EQUIPOISE"))
} | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def run(*words: object, folder: Path = ROOT, quiet: bool = True) -> None:
    """Run a program; where it fails, end with what it said."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=quiet,
        text=True,
        check=False,
    )
    if done.returncode:
        shown = f"\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}" if quiet else ""
        sys.exit(f"release: {' '.join(map(str, words))} ended with {done.returncode}{shown}")


def build(out: Path) -> tuple[Path, Path]:
    """Return a new wheel and source archive."""
    shutil.rmtree(ROOT / "build", ignore_errors=True)  # of an older tree: it would go in
    run(sys.executable, "-m", "build", "--outdir", out, ROOT)
    (wheel,), (source,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, source


def tracked() -> set[str]:
    """Return the files under version control that are there."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}


def check_archives(wheel: Path, source: Path) -> None:
    """Hold what is in the archives against version control."""
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, source)
    files = tracked()
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {name.removeprefix("src/") for name in files if name.startswith("src/")}
    _same("The wheel", packed, expected)
    with tarfile.open(source) as archive:
        inside = {m.name.partition("/")[2] for m in archive.getmembers() if m.isfile()}
    made = {name for name in inside if name in ("PKG-INFO", "setup.cfg") or ".egg-info/" in name}
    _same("The source archive", inside - made, files)
    print(f"archives: {len(packed)} files in {wheel.name}, {len(inside)} in {source.name}")


def _same(what: str, inside: set[str], expected: set[str]) -> None:
    lacking, more = sorted(expected - inside), sorted(inside - expected)
    if lacking or more:
        sys.exit(
            f"release: {what} lacks {lacking[:20]} and holds {more[:20]} beside what it should."
        )


def environment(
    folder: Path,
    requirements: Iterable[str],
    *,
    constraints: Path | None = ROOT / "constraints.txt",
    interpreter: str = sys.executable,
) -> Path:
    """Return the Python of a new environment with what is asked for."""
    run(interpreter, "-m", "venv", folder)
    python = folder / "bin" / "python"
    pins = ["-c", constraints] if constraints else []
    install = [python, "-m", "pip", "install", "--quiet", "--no-compile", *pins]
    run(*install, *requirements)
    run(python, "-m", "pip", "check")
    installed = "import equipoise, sys; sys.exit('site-packages' not in equipoise.__file__)"
    run(python, "-c", installed, folder=folder)
    return python


def check_demo(wheel: Path, place: Path) -> None:
    """Run the demo where nothing but the wheel and what it needs is installed."""
    python = environment(place / "demo", [str(wheel)])
    run(python, "-c", "import importlib.util as u, sys; sys.exit(u.find_spec('torch') is not None)")
    folder = place / "demo-run"
    folder.mkdir()
    start = time.monotonic()
    run(python, "-m", "equipoise", "demo", "--out", "demo", folder=folder)
    page = folder / "demo" / "report.html"
    if not page.is_file() or page.stat().st_size < 50_000:
        sys.exit(f"release: the demo left no report at {page}")
    print(f"demo: a report of {page.stat().st_size // 1024} kB, {time.monotonic() - start:.0f} s")


def check_tests(
    wheel: Path,
    source: Path,
    place: Path,
    dependencies: str,
    interpreter: str,
    paths: Sequence[str],
) -> None:
    """Run the tests of the source archive against the installed wheel."""
    test_tools = ["pytest", "pytest-xdist", "pytest-randomly", "hypothesis", "pandas", "duckdb",
                  "iterative-stratification"]  # fmt: skip
    options: list[str] = []
    if dependencies == "tested":
        python = environment(place / "tests", [f"{wheel}[dev]"], interpreter=interpreter)
        options += ["-n", "auto", "--dist", "loadfile"]
    else:
        pins = {
            "tested-without-torch": ROOT / "constraints.txt",
            "lowest": ROOT / "constraints-lowest.txt",
            "newest": None,
        }
        python = environment(
            place / "tests", [f"{wheel}[tables,excel]", *test_tools],
            constraints=pins[dependencies], interpreter=interpreter,
        )  # fmt: skip
        options += ["-p", "release.skip_missing"]
        # What others deprecate between their oldest and newest versions is no error of ours.
        for kind in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning"):
            options += ["-W", f"ignore::{kind}"]
        paths = paths or TORCH_FREE
    with tarfile.open(source) as archive:
        archive.extractall(place, filter="data")
    (folder,) = place.glob("equipoise-*")
    shutil.rmtree(folder / "src")
    print(f"tests: {dependencies} dependencies, {interpreter}", flush=True)
    run(python, "-m", "pytest", "-q", *options, *(paths or ["tests"]), folder=folder, quiet=False)


def closure(extra: str) -> set[str]:
    """Return an extra with the extras of this package that it brings."""
    found, waiting = set[str](), [extra]
    while waiting:
        name = waiting.pop()
        found.add(name)
        for requirement in PROJECT["optional-dependencies"].get(name, ()):
            inner = re.match(r"equipoise\[(.*)\]", requirement)
            waiting += inner[1].split(",") if inner else []
    return found


def check_extras(wheel: Path, place: Path, names: Sequence[str]) -> None:
    """Use each extra in an environment that has no other, and print a table."""
    print(f"{'extra':<12} {'torch':<6} {'MB':>6} {'install':>8} {'use':>6}  result", flush=True)
    failed = []
    for name in names:
        wanted = [] if name == "base" else [name, *BESIDE.get(name, ())]
        extras = f"[{','.join(wanted)}]" if wanted else ""
        folder, start = place / name, time.monotonic()
        python = environment(folder / "environment", [f"{wheel}{extras}"])
        ready, scratch = time.monotonic(), folder / "run"
        scratch.mkdir()
        path = f"{python.parent}{os.pathsep}{ENVIRONMENT.get('PATH', '')}"
        done = subprocess.run(
            [python, EXTRAS / f"with_{name}.py"],
            cwd=scratch, env=ENVIRONMENT | {"PATH": path}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        torch = bool(list((folder / "environment").glob("lib/*/site-packages/torch/__init__.py")))
        due = any("torch" in closure(extra) for extra in wanted)
        result = "passed" if done.returncode == 0 else "FAILED"
        if torch and not due:
            result = "FAILED: torch was installed"
        size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6
        print(
            f"{name:<12} {'yes' if torch else 'no':<6} {size:6.0f} {ready - start:6.0f} s "
            f"{time.monotonic() - ready:4.0f} s  {result}",
            flush=True,
        )
        if result != "passed":
            failed.append(name)
            print(f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        shutil.rmtree(folder)
    if failed:
        sys.exit(f"release: {', '.join(failed)} failed")


def main(words: Sequence[str] | None = None) -> None:
    """Run the checks that are named, or all."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("check", nargs="?", choices=["archives", "demo", "tests", "extras"])
    parser.add_argument("which", nargs="*", help="Paths of tests, or names of extras.")
    parser.add_argument(
        "--dependencies", default="tested",
        choices=["tested", "tested-without-torch", "lowest", "newest"],
    )  # fmt: skip
    parser.add_argument("--python", default=sys.executable, help="Interpreter of the tests.")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="equipoise-release-") as made:
        place = Path(made)
        wheel, source = build(place / "dist")
        check_archives(wheel, source)
        extras = [e for word in given.which for e in word.split(",")] or ["base", *OFFERED]
        checks: dict[str, Callable[[], None]] = {
            "archives": lambda: None,
            "demo": lambda: check_demo(wheel, place),
            "tests": lambda: check_tests(
                wheel, source, place, given.dependencies, given.python, given.which
            ),
            "extras": lambda: check_extras(wheel, place, extras),
        }
        for name, check in checks.items():
            if given.check in (None, name):
                check()


if __name__ == "__main__":
    main()
