"""Trackers beside history.csv: TensorBoard, MLflow in a sqlite file, Weights & Biases offline."""

from __future__ import annotations

import contextlib
import importlib
import logging
import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import lightning.pytorch as pl

from equipoise._core.words import one_of
from equipoise.errors import MissingExtraError, UsageError
from equipoise.training.module import RemedyModule

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
        seed, method = pl_module.feed.seed, pl_module.remedy.name
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
