"""What is seen while training runs: a live line, recalls and findings as they are due, trackers."""

from __future__ import annotations

import contextlib
import importlib
import logging
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import lightning.pytorch as pl
import numpy as np
from tqdm import tqdm  # type: ignore[import-untyped]

from equipoise._core.messages import in_words, one_of
from equipoise.artifacts import Finding, Labels
from equipoise.artifacts.finding import load_findings, save_findings
from equipoise.diagnosis import check_history
from equipoise.diagnosis.histories import WINDOW
from equipoise.errors import MissingExtraError, UsageError
from equipoise.training.module import RemedyModule

_METRIC = {"multilabel": "macro AP", "multiclass": "balanced accuracy"}
_EVERY = 0.2  # seconds between looks at the loss: each waits for the device


def rarest_label(train: Labels, val: Labels) -> str | None:
    """Return the label with the fewest training positives among those with some in both parts.

    Example:
        >>> train = Labels.from_array([0, 0, 0, 1, 1, 2], kind="multiclass", names=["a", "b", "c"])
        >>> rarest_label(train, train[[0, 3]])
        'b'
    """
    usable = np.flatnonzero((train.counts > 0) & (val.counts > 0))
    if not usable.size:
        return None
    return train.names[int(usable[np.argmin(train.counts[usable])])]


class Progress(pl.Callback):
    """One line for all steps of a training, by rank 0 only: stdout is for results.

    In a terminal the line lives: step, epoch, loss so far, and after each epoch the validation
    metric and the recall of the rarest label. Elsewhere there is one plain line per epoch.

    Args:
        stage: What the line begins with.
    """

    def __init__(self, stage: str = "training") -> None:
        self.stage = stage
        self.bar: Any = None
        self._rarest: str | None = None
        self._judged = ""
        self._looked = 0.0
        self._begun: tuple[float, int] | None = None

    def write(self, text: str) -> None:
        """Write a line of its own beside the live one."""
        tqdm.write(text, file=sys.stderr)
        sys.stderr.flush()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the line."""
        if not trainer.is_global_zero or not isinstance(pl_module, RemedyModule):
            return
        truth, split = pl_module.run_data.truth, pl_module.run_data.split
        self._rarest = rarest_label(truth[split.train], truth[split.val])
        self._begun = time.monotonic(), trainer.current_epoch
        if sys.stderr.isatty():
            self.bar = tqdm(
                total=int(trainer.estimated_stepping_batches),
                initial=trainer.global_step,
                unit="step",
                leave=False,
                dynamic_ncols=True,
                file=sys.stderr,
            )
            self._show(trainer, "")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Move by the steps taken, and look at the loss now and then."""
        if self.bar is None or not isinstance(pl_module, RemedyModule):
            return
        self.bar.update(trainer.global_step - self.bar.n)
        if time.monotonic() - self._looked >= _EVERY:
            self._looked = time.monotonic()
            loss = pl_module.mean_loss
            self._show(trainer, "" if loss is None else f"loss {loss:.4g}")

    def _show(self, trainer: pl.Trainer, loss: str) -> None:
        words = ", ".join(part for part in (loss, self._judged) if part)
        self.bar.set_description_str(f"{self.stage}: epoch {_place(trainer)}", refresh=False)
        self.bar.set_postfix_str(words)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say what the epoch came to."""
        if not trainer.is_global_zero or not isinstance(pl_module, RemedyModule):
            return
        row = pl_module.record.history[-1]
        self._judged = self._judge(pl_module)
        if self.bar is not None:
            self._show(trainer, f"loss {row['loss']:.4g}")
            return
        self.write(
            f"{self.stage}: epoch {_place(trainer)}, loss {row['loss']:.4g}, "
            f"validation loss {row['val_loss']:.4g}, {self._judged}, "
            f"learning rate {row['lr']:.2g}{self._left(trainer)}"
        )

    def _left(self, trainer: pl.Trainer) -> str:
        """Return how long the rest takes at the pace so far."""
        if self._begun is None:
            return ""
        since, first = self._begun
        done, whole = trainer.current_epoch + 1, int(trainer.max_epochs or 0)
        if done >= whole:
            return ""
        seconds = (time.monotonic() - since) / max(done - first, 1) * (whole - done)
        return f", {in_words(seconds)} left"

    def _judge(self, module: RemedyModule) -> str:
        record, truth = module.record, module.run_data.truth
        words = f"{_METRIC[truth.kind]} {_number(record.history[-1]['val_metric'])}"
        last = record.label_history[-truth.num_classes :]
        for row in last:
            if row["label"] == self._rarest:
                words += f", recall of {_short(row['label'])} {_number(row['recall'])}"
        return words

    def on_train_end(self, *_: Any) -> None:
        """Take the line away."""
        self._close()

    def on_exception(self, *_: Any) -> None:
        """Take the line away."""
        self._close()

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None


def _place(trainer: pl.Trainer) -> str:
    return f"{trainer.current_epoch + 1}/{trainer.max_epochs}"


def _number(value: float) -> str:
    return "not estimable" if math.isnan(value) else f"{value:.3f}"


def _short(name: str, most: int = 24) -> str:
    return name if len(name) <= most else name[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


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
        record, run_data = pl_module.record, pl_module.run_data
        due = check_history(
            record.history,
            # What was before does not count, and would cost more from epoch to epoch.
            record.label_history[-WINDOW * run_data.truth.num_classes :],
            outputs=record.last_outputs,
            labels=record.last_labels,
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


_NEEDED = {
    "tensorboard": ("tensorboard",),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
    "wandb": ("wandb",),
}


class Tracker(Protocol):
    """One place where the numbers of the epochs go."""

    def log(self, numbers: Mapping[str, float], epoch: int) -> None:
        """Note the numbers of an epoch."""

    def close(self, *, failed: bool) -> None:
        """Finish the run."""


def require_trackers(names: Sequence[str]) -> None:
    """Check that what the trackers need is installed, before anything is trained.

    Raises:
        MissingExtraError: it is not; the message names the extra.
        UsageError: an unknown tracker.

    Example:
        >>> require_trackers(())
    """
    for name in names:
        one_of("trackers", name, tuple(_NEEDED))
        # It counts how often it is used, over the network; a run of ours tells nobody.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        for package in _NEEDED[name]:
            try:
                with _quiet():
                    importlib.import_module(package)
            except (ImportError, RuntimeError) as error:
                raise MissingExtraError(package, name, f"trackers=('{name}',)") from error


def make_tracker(
    name: str, folder: Path, run: str, settings: Mapping[str, Any], first_epoch: int = 0
) -> Tracker:
    """Return a tracker that writes under ``folder``.

    Args:
        name: "tensorboard", "mlflow" or "wandb".
        folder: Of the trial.
        run: Name of the run.
        settings: What is trained, for trackers that keep it.
        first_epoch: Of what will be logged; a run that goes on replaces what it takes again.

    Raises:
        MissingExtraError: what it needs is not installed.
        UsageError: wandb is to go online (``WANDB_MODE``) and has no key: it would ask for one.
    """
    require_trackers((name,))
    makers: dict[str, Callable[..., Tracker]] = {
        "tensorboard": _TensorBoard,
        "mlflow": _MLflow,
        "wandb": _Wandb,
    }
    folder.mkdir(parents=True, exist_ok=True)
    with _quiet():
        return makers[name](folder, run, settings, first_epoch)


class _TensorBoard:
    """Event files in the folder ``tensorboard``."""

    def __init__(
        self, folder: Path, _run: str, _settings: Mapping[str, Any], first_epoch: int
    ) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = SummaryWriter(
            str(folder / "tensorboard"), purge_step=first_epoch or None
        )

    def log(self, numbers: Mapping[str, float], epoch: int) -> None:
        for key, value in numbers.items():
            self.writer.add_scalar(key, value, epoch)
        self.writer.flush()

    def close(self, *, failed: bool) -> None:  # noqa: ARG002
        self.writer.close()


class _MLflow:
    """One run in the file ``mlflow.db``; open it with ``mlflow ui``."""

    def __init__(
        self, folder: Path, run: str, settings: Mapping[str, Any], _first_epoch: int
    ) -> None:
        client: Any = importlib.import_module("mlflow.tracking").MlflowClient
        self.client = client(f"sqlite:///{(folder / 'mlflow.db').resolve()}")
        known = self.client.get_experiment_by_name("equipoise")
        if known is None:
            place = (folder / "mlflow").resolve().as_uri()
            experiment = self.client.create_experiment("equipoise", artifact_location=place)
        else:
            experiment = known.experiment_id
        before = self.client.search_runs([experiment])
        if before:
            self.run = before[0].info.run_id
            return
        self.run = self.client.create_run(experiment, run_name=run).info.run_id
        for key, value in settings.items():
            self.client.log_param(self.run, key, value)

    def log(self, numbers: Mapping[str, float], epoch: int) -> None:
        for key, value in numbers.items():
            self.client.log_metric(self.run, key, value, step=epoch)

    def close(self, *, failed: bool) -> None:
        self.client.set_terminated(self.run, "FAILED" if failed else "FINISHED")


class _Wandb:
    """A run in the folder ``wandb``; ``wandb sync`` uploads it."""

    def __init__(
        self, folder: Path, run: str, settings: Mapping[str, Any], _first_epoch: int
    ) -> None:
        wandb: Any = importlib.import_module("wandb")
        mode = os.environ.get("WANDB_MODE", "offline")
        if mode == "online" and wandb.api.api_key is None:
            raise UsageError("WANDB_MODE=online needs a key: set WANDB_API_KEY, or leave it out.")
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "equipoise"),
            name=run,
            dir=folder,
            mode=mode,
            config=dict(settings),
            settings=wandb.Settings(silent=True, console="off"),
        )

    def log(self, numbers: Mapping[str, float], epoch: int) -> None:
        self.run.log({"epoch": epoch, **numbers})

    def close(self, *, failed: bool) -> None:
        self.run.finish(exit_code=int(failed))


class Trackers(pl.Callback):
    """Hands the numbers of every epoch to trackers, by rank 0 only.

    Args:
        names: Of the trackers.
        folder: Of the trial.
        prefix: Before each number's name; "second_stage/" in a second stage.
    """

    def __init__(self, names: Sequence[str], folder: Path, prefix: str = "") -> None:
        require_trackers(names)
        self.names, self.folder, self.prefix = names, folder, prefix
        self.open: list[Tracker] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open them."""
        if not trainer.is_global_zero or not isinstance(pl_module, RemedyModule):
            return
        seed, method = pl_module.run_data.seed, pl_module.remedy.name
        settings = {"method": method, "seed": seed, **pl_module.options.decisive}
        done = len(pl_module.record.history)
        for name in self.names:
            made = make_tracker(name, self.folder, self.folder.name, settings, done)
            self.open.append(made)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the epoch; what is not finite is left out."""
        if not self.open or not isinstance(pl_module, RemedyModule):
            return
        row = {k: float(v) for k, v in pl_module.record.history[-1].items() if k != "epoch"}
        numbers = {self.prefix + k: v for k, v in row.items() if math.isfinite(v)}
        with _quiet():
            for tracker in self.open:
                tracker.log(numbers, trainer.current_epoch)

    def on_train_end(self, *_: Any) -> None:
        """Finish them."""
        self._close(failed=False)

    def on_exception(self, *_: Any) -> None:
        """Finish them."""
        self._close(failed=True)

    def _close(self, *, failed: bool) -> None:
        with _quiet():
            for tracker in self.open:
                tracker.close(failed=failed)
        self.open = []


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep to themselves what trackers log about their own set-up and warn of in their code."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
