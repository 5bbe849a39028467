"""What the numbers of a benchmark depend on, its table on the terminal and its JSON file."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("equipoise", "torch", "numpy", "scipy", "scikit-learn", "iterative-stratification")

Parts = Mapping[str, Callable[[], Iterator[Any]]]


@dataclass(frozen=True)
class Column:
    """A column of the printed table; numbers stand to the right."""

    title: str
    width: int
    right: bool = False

    def cell(self, text: str) -> str:
        return text.rjust(self.width) if self.right else text.ljust(self.width)


def facts(device: torch.device | None = None) -> dict[str, object]:
    """Return date, hardware, system and versions."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":", 1)[1].strip() if names else cpu
    found: dict[str, object] = {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }
    if device is not None and device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
        found["copy_gb_per_s"] = round(device_copy_rate(device) / 1e9)
    return found


def device_copy_rate(device: torch.device) -> float:
    """Return the bytes per second, read and written, of the best of ten copies of 1 GiB."""
    source = torch.empty(2**28, device=device)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(10):
        torch.cuda.synchronize(device)
        start = time.perf_counter()
        target.copy_(source)
        torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2 * source.numel() * source.element_size() / best


def print_conditions(conditions: Mapping[str, Any]) -> None:
    """Print the conditions in one line, versions left out: they stand in the JSON."""
    print("; ".join(f"{key} {value}" for key, value in conditions.items() if key != "versions"))


def print_setup(conditions: Mapping[str, Any], *, threads: bool) -> None:
    """Print date, processor and versions."""
    versions = " ".join(f"{k} {v}" for k, v in conditions["versions"].items())
    count = f"{conditions['torch_threads']} torch threads; " if threads else ""
    print(f"{conditions['date']}; {conditions['cpu']}, {conditions['cores']} cores, ", end=count)
    print(f"Python {conditions['python']}; {versions}")


def print_head(columns: Sequence[Column]) -> None:
    """Print titles and rule."""
    print_row(columns, [column.title for column in columns])
    print("|" + "|".join("-" * (column.width + 2) for column in columns) + "|")


def print_row(columns: Sequence[Column], cells: Sequence[str]) -> None:
    """Print one row at once, so that long runs show where they are."""
    shown = " | ".join(c.cell(text) for c, text in zip(columns, cells, strict=True))
    print(f"| {shown} |", flush=True)


def call(*words: str) -> None:
    """Run the command line; its results are not shown."""
    from equipoise.cli.main import main as equipoise

    with contextlib.redirect_stdout(io.StringIO()):
        try:
            equipoise(list(words))
        except SystemExit as left:
            if left.code:
                raise


def write_results(out: Path | None, conditions: Mapping[str, Any], rows: Sequence[Any]) -> None:
    """Write rows with their conditions as JSON, where a file is named."""
    if out is None:
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    body = {**conditions, "rows": [asdict(row) for row in rows]}
    out.write_text(json.dumps(body, indent=2) + "\n")
    print(f"\nWritten to {out}", file=sys.stderr)


def run_parts(
    name: str,
    parts: Parts,
    columns: Sequence[Column],
    cells: Callable[[Any], Sequence[str]],
    introduce: Callable[[Mapping[str, Any]], None],
    arguments: list[str] | None,
    description: str | None = None,
) -> None:
    """Read --only and --out, run the parts, print a row as soon as it is there, write all."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    parser.add_argument("--only", default=",".join(parts), help="parts, separated by commas")
    parser.add_argument("--out", type=Path, help="write the rows and their conditions as JSON")
    chosen = parser.parse_args(arguments)
    wanted = chosen.only.split(",")
    unknown = sorted(set(wanted) - set(parts))
    if unknown:
        parser.error(f"--only must name {', '.join(parts)}, got {', '.join(unknown)}")
    conditions, rows = facts(), []
    introduce(conditions)
    print_head(columns)
    for part in wanted:
        for row in parts[part]():
            print_row(columns, cells(row))
            rows.append(row)
    write_results(chosen.out, conditions, rows)
