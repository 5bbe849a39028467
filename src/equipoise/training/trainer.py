"""Lightning's Trainer, made quiet, honest about Ctrl-C, and resumable."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from equipoise._core.files import set_aside
from equipoise._core.messages import hint, say
from equipoise.errors import UsageError
from equipoise.training.module import RemedyModule
from equipoise.training.options import TrainingOptions
from equipoise.training.watch import Progress, Trackers, Watch


def run_trainer(
    module: RemedyModule,
    *,
    checkpoint: Path | None,
    progress: bool | None,
    callbacks: Sequence[pl.Callback] = (),
) -> None:
    """Train; Ctrl-C comes out as KeyboardInterrupt.

    Args:
        module: What is trained, with its data and options.
        checkpoint: Written after each epoch, and gone on from where it is there; None writes none.
            Findings and trackers go beside it.
        progress: Show progress on stderr; None shows it in a terminal.
        callbacks: Further callbacks of Lightning.

    Raises:
        MissingExtraError: a tracker is not installed.
        UsageError: trackers without a folder.
    """
    options = module.options
    extra: list[pl.Callback] = [*callbacks, *_watchers(options, checkpoint, progress)]
    if checkpoint is not None:
        extra.append(_Checkpoints(checkpoint, options.checkpoint_minutes))
    with _quiet(), _honest_interrupt():
        trainer = pl.Trainer(
            max_epochs=options.epochs,
            accelerator=options.accelerator,
            precision=options.precision,
            accumulate_grad_batches=options.accumulation,
            gradient_clip_val=options.clip,
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            callbacks=extra,
            **_places(options),
        )
        again = None if checkpoint is None else _usable(checkpoint, module)
        trainer.fit(module, ckpt_path=again, weights_only=True)


def read_checkpoint(file: Path) -> dict[str, Any] | None:
    """Return a checkpoint, or None where there is none, or none that can be read.

    What a crash or a full disk left is renamed, and the training begins again.
    """
    if not file.exists():
        return None
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
        if not isinstance(found, dict):
            raise TypeError(f"{type(found).__name__}, no checkpoint")
    except Exception as error:  # torch raises what its parts raise
        set_aside(file, f"{type(error).__name__}: {error}")
        return None
    return found


def _usable(file: Path, module: RemedyModule) -> Path | None:
    """Return the checkpoint if it is one of this network's training."""
    found = read_checkpoint(file)
    if found is None:
        return None
    own = {name: value.shape for name, value in module.state_dict().items()}
    held = found.get("state_dict", {})
    other = {name: getattr(value, "shape", None) for name, value in held.items()}
    if own != other or not {"loops", "optimizer_states"} <= set(found):
        set_aside(file, "it is of another training")
        return None
    return file


def _watchers(
    options: TrainingOptions, checkpoint: Path | None, progress: bool | None
) -> list[pl.Callback]:
    """Return what tells of the training: progress, findings, trackers."""
    folder = None if checkpoint is None else checkpoint.parent
    second = checkpoint is not None and checkpoint.stem == "second_stage"
    made: list[pl.Callback] = []
    shown = Progress("second stage" if second else "training")
    if sys.stderr.isatty() if progress is None else progress:
        made.append(shown)
    made.append(Watch(folder, shown.write if made else None))
    if options.trackers:
        if folder is None:
            do = hint("Pass {out=}: trackers write under the trial's folder.")
            raise UsageError(say("options.trackers", "go with a folder", "out=None", do))
        made.append(Trackers(options.trackers, folder, "second_stage/" if second else ""))
    return made


def _places(options: TrainingOptions) -> dict[str, Any]:
    """Return where Lightning is to train: as torchrun says where it has started this process."""
    here = os.environ.get("LOCAL_WORLD_SIZE")
    if here is not None and "TORCHELASTIC_RUN_ID" in os.environ:
        machines = int(os.environ["WORLD_SIZE"]) // int(here)
        return {"devices": int(here), "num_nodes": machines, "strategy": "ddp"}
    alone = options.num_nodes == 1 and options.devices == 1
    strategy = "auto" if alone or options.devices == "auto" else "ddp"
    return {"devices": options.devices, "num_nodes": options.num_nodes, "strategy": strategy}


class _Checkpoints(pl.Callback):
    """Writes the state after every epoch, and within long epochs every few minutes."""

    def __init__(self, path: Path, minutes: float) -> None:
        self.path, self.seconds = path, 60 * minutes
        self.last = time.monotonic()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save where it is time, between two optimizer steps and not before the epoch's end."""
        due = time.monotonic() - self.last >= self.seconds
        if trainer.strategy.broadcast(due):
            done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
            between = done % trainer.accumulate_grad_batches == 0
            if between and done < trainer.num_training_batches:
                self._save(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Save after validation; not after the last epoch, whose end is not resumed."""
        if not trainer.should_stop and trainer.current_epoch + 1 < int(trainer.max_epochs or 0):
            self._save(trainer)

    def _save(self, trainer: pl.Trainer) -> None:
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        if trainer.is_global_zero:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # The second argument: not the weights alone.
            trainer.save_checkpoint(temporary, False)
            if trainer.is_global_zero:
                temporary.replace(self.path)
        finally:
            if trainer.is_global_zero:
                temporary.unlink(missing_ok=True)
        self.last = time.monotonic()


@contextlib.contextmanager
def _honest_interrupt() -> Iterator[None]:
    """Undo what Lightning makes of Ctrl-C: SystemExit(1), and SIGINT ignored from then on."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as leaving:
        if isinstance(leaving, SIGTERMException):
            # It would end the process with 0, as if all had gone well.
            raise SystemExit(128 + signal.SIGTERM) from None
        if not isinstance(leaving.__context__, KeyboardInterrupt):
            raise
        raise leaving.__context__ from None
    finally:
        if signal.getsignal(signal.SIGINT) is not handler:
            signal.signal(signal.SIGINT, handler)


_UNHELPFUL = (
    r".*does not have many workers.*",
    # Frozen batch norm is in eval mode on purpose.
    r".*module\(s\) in eval mode.*",
    # The order of rows is resumed by its sampler.
    r".*resuming from a checkpoint that ended before the epoch.*",
    # Said inside torch.compile.
    r".*torch\.jit\.script_method.*",
    r".*Checkpoint directory .* exists and is not empty.*",
)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's advice on worker counts and its notices on devices."""
    names = ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for message in _UNHELPFUL:
                warnings.filterwarnings("ignore", message=message)
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
