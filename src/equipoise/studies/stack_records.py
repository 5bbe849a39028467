"""Which heads were trained together, so that a stack that was cut short is trained as it was.

How a matrix product is rounded may depend on what else is in its stack: on the processor, on how
memory is aligned, on how many slices there are. A study that goes on after an interruption gives
the same bits as an undisturbed one only if every stack holds the same heads.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from equipoise._core.files import write_text
from equipoise._core.fingerprint import fingerprint_config
from equipoise.studies.plan import Candidate

Stack = list[Candidate]


def stack_name(stack: Sequence[Candidate]) -> str:
    """Return the name of a stack: the hash of its trials' folders."""
    return f"stack-{fingerprint_config([c.folder for c in stack])}"


class Records:
    """The stacks of a folder, one file each, written before its training begins.

    Args:
        root: Folder of the files, made when the first is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, stack: Sequence[Candidate]) -> None:
        """Record a stack."""
        text = json.dumps([c.folder for c in stack])
        write_text(self.root / f"{stack_name(stack)}.json", text)

    def stacks(
        self, every: Sequence[Candidate], missing: Sequence[Candidate], size: int
    ) -> list[Stack]:
        """Return stacks that hold all that is missing: those begun as they were, then new ones.

        Args:
            every: All trainings of the plan.
            missing: Those that were not done a moment ago; read before this is called.
            size: Heads of a new stack.
        """
        by_folder = {c.folder: c for c in every}
        begun: list[Stack] = []
        taken: set[str] = set()
        for path in sorted(self.root.glob("stack-*.json")):
            folders = json.loads(path.read_text(encoding="utf-8"))
            # One of another plan cannot be made again.
            if all(f in by_folder for f in folders):
                begun.append([by_folder[f] for f in folders])
                taken.update(folders)
        wanted = {c.folder for c in missing}
        unfinished = [s for s in begun if any(c.folder in wanted for c in s)]
        rest = [c for c in missing if c.folder not in taken]
        return unfinished + [rest[i : i + size] for i in range(0, len(rest), size)]
