"""Runs of a study that `test_run_screening` starts, kills and starts again."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from equipoise.experiments import run as running
from equipoise.experiments import screening
from equipoise.experiments.study import Study, parse_study

CONTENT: dict[str, Any] = {
    "data": {
        "source": "digit_mosaics", "rows": 300, "test_rows": 150, "blocks": 8, "test_blocks": 4,
    },
    "arms": ["none", "pos_weight", {"method": "focal", "grid": {"gamma": [1.0, 2.0]}}],
    "seeds": 2,
    "training": {"hidden": 0, "epochs": 2},
    "tuning": {"lr": [0.001, 0.01]},
    "compute": {"threads": 1},
}  # fmt: skip
TRAININGS, TRIALS = 12, 6


def study(**changes: Any) -> Study:
    return parse_study({**CONTENT, **changes})


def run(out: Path, after: float) -> None:
    """Run the study; die before trial number ``after`` is written, or after a part of a second."""
    written, write = 0, screening._write
    if isinstance(after, float):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, after)

    def mortal(*arguments: Any) -> Any:
        nonlocal written
        if written == after:
            os.kill(os.getpid(), signal.SIGKILL)
        written += 1
        return write(*arguments)

    screening._write, screening.HEADS_AT_ONCE = mortal, 5
    outcome = running.run_study(study(), out=out)
    counts = {"trained": outcome.trained, "written": written}
    (out / f"counts-{os.getpid()}.json").write_text(json.dumps(counts))
    outcome.comparison.save(out / f"comparison-{os.getpid()}.json")


def serve() -> None:
    """Start what each line of stdin asks for, all at once; answer with their statuses."""
    for line in sys.stdin:
        children = []
        for folder, after in json.loads(line):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    run(Path(folder), after)
                    status = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    sys.stderr.flush()
                    os._exit(status)
            children.append(child)
        statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        print(json.dumps(statuses), flush=True)


if __name__ == "__main__":
    # What a fork inherits must hold no threads of its own.
    import torch

    torch.set_num_threads(1)
    serve()
