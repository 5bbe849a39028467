"""The stories in full, or as much of them as fits: recipes over real files, one after the other.

    python -m benchmarks.stories --data FOLDER [--only "mulan yeast;..."] [--work FOLDER]
                                 [--out FOLDER]

FOLDER holds the files that `equipoise recipes` names, those of Mulan in `mulan/`. Each run is
`equipoise compare --recipe NAME --size full` with the changes that stand beside it here, and is
written to a file of its own: command, commit, date, hardware, seconds, and the table as it was
printed. What is finished in --work is not trained again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.machine import facts, print_conditions
from equipoise import Comparison
from equipoise.cli.main import main as equipoise

BF16 = ("training.precision=bf16-mixed",)


def _vgg_arms(rows: int, *, counts_after: bool = True) -> str:
    """The arms of the recipe, beta for this many rows."""
    beta = (rows - 1) / rows
    alone = f"{{method: class_balanced, settings: {{beta: {beta}}}}}"
    settings = f"{{class_balanced.beta: {beta}}}"
    both = f"{{method: augment_balance+class_balanced, name: both, settings: {settings}}}"
    after = both.replace("name: both", 'name: "both, balanced counts"')
    after = after.replace("settings: {", "settings: {counts: after, ")
    more = f", {after}" if counts_after else ""
    return f"arms=[none, none + thresholds, {alone}, augment_balance, {both}{more}]"


@dataclass(frozen=True)
class Run:
    """A recipe, the file or folder it reads, and what is other than in its full size."""

    recipe: str
    data: str = "."
    changes: tuple[str, ...] = ()
    reduced: str = ""


RUNS = {
    "decisions-only": Run("decisions-only"),
    "mulan emotions": Run("mulan", "mulan/emotions.npz"),
    "mulan scene": Run("mulan", "mulan/scene.npz"),
    "mulan yeast": Run("mulan", "mulan/yeast.npz"),
    "mulan bibtex": Run("mulan", "mulan/bibtex.npz", ("seeds=3",), "3 seeds of 10"),
    "rescale-and-mine": Run("rescale-and-mine", ".", ("seeds=5",), "5 seeds, no further looks"),
    "rescale-and-mine, all positives": Run(
        "rescale-and-mine", ".", ("data.prevalence=null", "seeds=5"), "5 seeds, no further looks"
    ),
    "keras-sequences": Run("keras-sequences"),
    "cifar10-vgg16, 1,000 images": Run(
        "cifar10-vgg16",
        ".",
        (
            "split.total=1000", _vgg_arms(1000), "seeds=1", "training.epochs=30",
            "training.batch_size=32", *BF16,
        ),
        "1 seed of 3, 30 epochs of 70, no logit adjustment",
    ),
    "cifar10-vgg16, 5,000 images": Run(
        "cifar10-vgg16",
        ".",
        (_vgg_arms(5000, counts_after=False), "seeds=1", "training.epochs=12", *BF16),
        "1 seed of 3, 12 epochs of 70, the arms of the post",
    ),
    "cifar-lt, 3,000 images at 50 to 1": Run(
        "cifar-lt",
        ".",
        (
            "split.imbalance_ratio=50", "split.total=3000", "seeds=1", "training.epochs=40",
            "training.warmup=1",
            "arms=[none, none + thresholds, logit_adjusted, ldam_drw, class_balanced_sampling]",
            *BF16,
        ),
        "3,000 images, 50 : 1, 40 epochs of 200, 1 seed of 3, four arms of eight",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Done:
    """What a run printed, and what it depends on."""

    name: str
    command: str
    reduced: str
    commit: str
    seconds: float
    printed: list[str]
    summary: list[str] = field(default_factory=list)


def commit() -> str:
    """Return which commit is measured, and whether it was changed."""
    words = ("git", "describe", "--always", "--dirty", "--abbrev=12")
    found = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    return found.stdout.strip() or "unknown"


def run(name: str, data: Path, work: Path) -> Done:
    """Run one story by the command line, or go on with it."""
    wanted = RUNS[name]
    out = work / name.replace(",", "").replace(" ", "-")
    words = ["compare", "--recipe", wanted.recipe, "--size", "full"]
    shown = [*words, "--data", str(Path("FOLDER") / wanted.data)]
    words += ["--data", str(data / wanted.data), "-o", str(out)]
    for change in wanted.changes:
        words += ["--set", change]
        shown += ["--set", f"'{change}'" if " " in change else change]
    seen = io.StringIO()
    begun = time.perf_counter()
    with contextlib.redirect_stdout(seen):
        try:
            equipoise(words)
        except SystemExit as left:
            if left.code:
                raise
    seconds = round(time.perf_counter() - begun, 1)
    summary: list[str] = []
    if (out / "comparison.json").is_file():
        result = Comparison.load(out / "comparison.json")
        summary = [str(line) for line in result.summary]
    told = " ".join(["equipoise", *shown])
    printed = seen.getvalue().replace(str(data), "FOLDER").replace(str(out), "OUT").splitlines()
    return Done(name, told, wanted.reduced, commit(), seconds, printed, summary)


def main(arguments: list[str] | None = None) -> None:
    """Run what is wanted, print each table as soon as it is there, write a file for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stories")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", default=";".join(RUNS), help="separated by ;")
    parser.add_argument("--work", type=Path, default=Path("equipoise_runs/stories"))
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args(arguments)
    wanted = chosen.only.split(";")
    unknown = sorted(set(wanted) - {*RUNS})
    if unknown:
        parser.error(f"--only must name {'; '.join(RUNS)}, got {'; '.join(unknown)}")
    chosen.work.mkdir(parents=True, exist_ok=True)
    conditions = facts()
    print_conditions(conditions)
    for name in wanted:
        done = run(name, chosen.data, chosen.work)
        told = f"{done.name}: {done.command}"
        print("", told, f"{done.seconds} s {done.reduced}", "", *done.printed, sep="\n", flush=True)
        if chosen.out is not None:
            chosen.out.mkdir(parents=True, exist_ok=True)
            stem = f"{conditions['date']}-story-{name.replace(',', '').replace(' ', '-')}"
            body = {**conditions, **done.__dict__}
            (chosen.out / f"{stem}.json").write_text(json.dumps(body, indent=2) + "\n")
            print(f"Written to {chosen.out / stem}.json", file=sys.stderr)


if __name__ == "__main__":
    main()
