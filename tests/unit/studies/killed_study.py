"""Runs of a study that `test_run_screening` starts, kills and starts again."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from equipoise.studies import heads, run as running
from equipoise.studies.schema import Study, parse_study

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
# Of the baseline, refits on a half and a quarter of the rows among them.
TRAININGS, TRIALS = 12 + 8, 6 + 4


def study(**changes: Any) -> Study:
    return parse_study({**CONTENT, **changes})


def run(out: Path, after: float) -> None:
    """Run the study; die before trial number ``after`` is written, or after a part of a second."""
    written, write = 0, heads.write_head
    if isinstance(after, float):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, after)

    def mortal(*arguments: Any) -> Any:
        nonlocal written
        if written == after:
            os.kill(os.getpid(), signal.SIGKILL)
        written += 1
        return write(*arguments)

    heads.write_head, heads.HEADS_AT_ONCE = mortal, 5
    outcome = running.run_study(study(), out=out)
    counts = {"trained": outcome.trained, "written": written}
    (out / f"counts-{os.getpid()}.json").write_text(json.dumps(counts))
    outcome.comparison.save(out / f"comparison-{os.getpid()}.json")
