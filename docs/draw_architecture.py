"""Draw the rooms and floors of the package from its imports: `make architecture`.

The floors are the layers of the import contract in pyproject.toml, top floor first; a room is as
wide as its lines of code. Below each room stand its files, lines and the rooms that it calls.
"""

from __future__ import annotations

import sys
import tomllib
from html import escape
from pathlib import Path

import grimp

import equipoise

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "architecture.svg"
WIDTH, FLOOR, GAP, LEFT = 1180, 62, 10, 20


def floors() -> list[list[str]]:
    """Return the rooms of each floor, the top floor first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = (c["layers"] for c in contracts if c["id"] == "layers")
    return [[room.strip() for room in floor.split("|")] for floor in layers]


def size_of(room: str) -> tuple[int, int]:
    """Return how many files a room has, and how many lines that are not blank."""
    place = Path(equipoise.__file__).parent / room
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    lines = sum(bool(line.strip()) for f in files for line in f.read_text("utf-8").splitlines())
    return len(files), lines


def calls() -> dict[str, list[str]]:
    """Return which rooms each room imports from."""
    graph = grimp.build_graph("equipoise")
    rooms = [room for floor in floors() for room in floor]
    found: dict[str, set[str]] = {room: set() for room in rooms}
    for module in graph.modules:
        parts = module.split(".")
        if len(parts) < 2 or parts[1] not in found:
            continue
        for other in graph.find_modules_directly_imported_by(module):
            target = other.split(".")
            if len(target) > 1 and target[1] in found and target[1] != parts[1]:
                found[parts[1]].add(target[1])
    return {room: [r for r in rooms if r in found[room]] for room in rooms}


def draw() -> str:
    """Return the picture as SVG."""
    below, rows = calls(), floors()
    height = len(rows) * (FLOOR + GAP) + 30
    out = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            'font-family="sans-serif" font-size="13">'
        ),
        "<title>The rooms of equipoise, floor by floor; imports go down only</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for number, rooms in enumerate(rows):
        top = 12 + number * (FLOOR + GAP)
        space = WIDTH - 2 * LEFT - GAP * (len(rooms) - 1)
        weights = [max(size_of(room)[1], 2100) for room in rooms]
        x = float(LEFT)
        for room, weight in zip(rooms, weights, strict=True):
            wide = space * weight / sum(weights)
            files, lines = size_of(room)
            fill = "#e8f1f8" if number % 2 == 0 else "#f4f1ea"
            seen = " ".join(below[room]) or "nothing"
            most = int(wide / 6.1)
            seen = seen if len(seen) <= most else seen[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"
            out += [
                (
                    f'<rect x="{x:.1f}" y="{top}" width="{wide:.1f}" height="{FLOOR}" rx="5" '
                    f'fill="{fill}" stroke="#8c8c8c"/>'
                ),
                f'<text x="{x + 9:.1f}" y="{top + 20}" font-weight="bold">{escape(room)}</text>',
                (
                    f'<text x="{x + 9:.1f}" y="{top + 37}" fill="#444444">'
                    f"{files} files, {lines:,} lines</text>"
                ),
                (
                    f'<text x="{x + 9:.1f}" y="{top + 54}" fill="#444444" font-size="11">'
                    f"{escape(seen)}</text>"
                ),
            ]
            x += wide + GAP
    return "\n".join([*out, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
    print(f"wrote {PICTURE.relative_to(ROOT)}", file=sys.stderr)
