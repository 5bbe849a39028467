"""What is worth seeing while training runs: recalls, and findings as soon as they are due."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

from equipoise.artifacts import Finding
from equipoise.artifacts.finding import load_findings, save_findings
from equipoise.diagnosis import check_history
from equipoise.diagnosis.histories import WINDOW

FINDINGS = "findings.json"


class Watch(pl.Callback):
    """Looks at the history after every epoch, says each new finding once and writes it down.

    Args:
        folder: Of the trial; findings.json is written there by rank 0. None writes nothing.
        tell: Called with one line per new finding, or None.

    A run that goes on from a checkpoint takes up the findings of before; any other begins anew.
    """

    def __init__(self, folder: Path | None, tell: Callable[[str], None] | None = None) -> None:
        self.folder, self.tell = folder, tell
        self.found: list[Finding] = []

    @property
    def _file(self) -> Path | None:
        return None if self.folder is None else self.folder / FINDINGS

    def on_train_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Take up what a run that was stopped, or the stage before, has found."""
        file = self._file
        if file is None or not trainer.is_global_zero or not file.exists():
            return
        if any(file.parent.glob("*.ckpt")):
            self.found = load_findings(file)
        else:
            file.unlink()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Look at the history, which now holds the epoch."""
        if not trainer.is_global_zero:
            return
        record, feed = pl_module.record, pl_module.feed
        due = check_history(
            record.history,
            # What was before does not count, and would cost more from epoch to epoch.
            record.label_history[-WINDOW * feed.truth.num_classes :],
            outputs=record.last_outputs,
            labels=feed.truth[feed.split.val],
            kept=record.best_epoch,
        )
        known = {item.code for item in self.found}
        new = [item for item in due if item.code not in known]
        if new:
            self.found += new
            self._write()
        if self.tell is not None:
            for item in new:
                self.tell(str(item))

    def on_train_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Leave a file behind also where nothing was found."""
        if trainer.is_global_zero:
            self._write()

    def _write(self) -> None:
        if self._file is not None:
            save_findings(self.found, self._file)
