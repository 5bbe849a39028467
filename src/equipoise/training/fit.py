"""Train one model with one remedy on Lightning, and write what came of it."""

from __future__ import annotations

import contextlib
import copy
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset

from equipoise._core.checks import say, to_positive
from equipoise._core.files import atomic_path
from equipoise._core.rng import child_seed, generator
from equipoise.artifacts import Labels, Scores, Split, Trial
from equipoise.artifacts.scores import Part
from equipoise.errors import DataError, MissingExtraError, ShapeError
from equipoise.training.remedy import Remedy, RowSampler
from equipoise.training.selection import METRIC_NAMES, realised_histogram
from equipoise.training.targets import with_ids

if TYPE_CHECKING:
    from equipoise.training.module import RemedyModule

__all__ = ["fit"]


class _Shuffle:
    """Every training row once per epoch, in an order that seed and epoch decide."""

    def __init__(self, n_rows: int, *, seed: int) -> None:
        self.n_rows, self.seed, self.epoch = n_rows, seed, 0

    def __iter__(self) -> Iterator[int]:
        order = generator(self.seed, "order", self.epoch).permutation(self.n_rows)
        return iter(order.tolist())

    def __len__(self) -> int:
        return self.n_rows

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


class _Counted:
    """A sampler that counts how often each training row is drawn."""

    def __init__(self, sampler: RowSampler, n_rows: int) -> None:
        self.sampler = sampler
        self.drawn = np.zeros(n_rows, dtype=np.int64)

    def __iter__(self) -> Iterator[int]:
        for row in self.sampler:
            self.drawn[row] += 1
            yield row

    def __len__(self) -> int:
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        self.sampler.set_epoch(epoch)


def fit(
    model: nn.Module | Callable[[], nn.Module],
    dataset: Dataset[Any],
    split: Split,
    remedy: Remedy,
    *,
    labels: Labels | None = None,
    seed: int = 0,
    epochs: int = 10,
    batch_size: int = 64,
    lr: float = 1e-3,
    weight_decay: float = 1e-4,
    num_workers: int = 0,
    accelerator: str = "auto",
    progress: bool | None = None,
    out: str | Path | None = None,
    config: Mapping[str, Any] | None = None,
) -> Trial:
    """Train, keep the epoch that validates best, and score validation and test rows once.

    Args:
        model: Maps a batch to logits (N, C). A callable that returns a module is called under
            ``seed``, so that the seed decides the initialisation; a module is copied and trained
            from where it stands.
        dataset: Item i is (input, target); targets as in :class:`equipoise.data.ArrayDataset`.
        split: Positions of training, validation and test rows.
        remedy: From :func:`equipoise.remedy`, made for ``labels[split.train]``.
        labels: The truth of all rows; None takes ``dataset.labels``.
        seed: Initialisation, order of data and sampler.
        epochs: Passes over the training rows.
        batch_size: Rows per mini-batch.
        lr: AdamW learning rate at the start; it falls to 0 along a half cosine.
        weight_decay: Decoupled weight decay.
        num_workers: Processes that load data.
        accelerator: As Lightning's Trainer takes it.
        progress: Show a progress bar; None shows it in a terminal.
        out: Folder under which the trial's folder is written, or None.
        config: Further facts for the trial's record.

    Returns:
        A Trial with ``scores["val"]`` and ``scores["test"]`` of the chosen epoch; its
        ``selection`` states the metric, the chosen epoch and the last epoch's value.

    Raises:
        MissingExtraError: Lightning is not installed.
        TrainingError: the loss became NaN.
        UsageError: the remedy fills a slot that this engine does not support.
    """
    try:
        from equipoise.training.module import RemedyModule
    except (ImportError, RuntimeError) as error:
        raise MissingExtraError("lightning", "train", "fit") from error
    remedy.require_supported("fit", ("sampler",))
    truth = _labels_of(dataset, labels)
    for name, part in (("train", split.train), ("val", split.val)):
        if part.size == 0:
            raise DataError(say(f"split.{name}", "hold at least one row", "none"))
    to_positive("epochs", epochs)
    facts = {
        "engine": "fit",
        "method": remedy.name,
        "settings": dict(remedy.settings),
        "seed": seed,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "weight_decay": weight_decay,
        "split": split.fingerprint,
        "labels": truth.fingerprint,
        **(config or {}),
    }
    with torch.random.fork_rng():
        torch.manual_seed(child_seed(seed, "init"))
        net = copy.deepcopy(model) if isinstance(model, nn.Module) else model()
        make = remedy.sampler or (lambda seed: _Shuffle(split.train.size, seed=seed))
        sampler = _Counted(make(seed=child_seed(seed, "order")), split.train.size)
        module = RemedyModule(net, remedy, truth[split.val], lr, weight_decay)
        loaders = {
            name: _loader(dataset, rows, batch_size, num_workers, seed, sampler if train else None)
            for name, rows, train in (
                ("train", split.train, True),
                ("val", split.val, False),
            )
        }
        with _quiet():
            _trainer(epochs, accelerator, progress).fit(module, loaders["train"], loaders["val"])
    trial = _to_trial(module, dataset, split, truth, remedy, seed, facts, sampler, batch_size)
    if out is not None:
        from safetensors.torch import save_file

        folder = Path(out) / trial.folder_name
        with atomic_path(folder / "model.safetensors") as temporary:
            save_file({k: v.contiguous() for k, v in module.best.items()}, temporary)
        trial.save(out)
    return trial


def _labels_of(dataset: Dataset[Any], labels: Labels | None) -> Labels:
    truth = labels if labels is not None else getattr(dataset, "labels", None)
    if not isinstance(truth, Labels):
        raise DataError(
            say("dataset", "carry `labels`", "a data set without them", "Pass labels=.")
        )
    if len(truth) != len(dataset):  # type: ignore[arg-type]
        raise ShapeError(say("labels", "match the data set", f"{len(truth)} rows"))
    return truth


def _loader(
    dataset: Dataset[Any],
    rows: NDArray[np.int64],
    batch_size: int,
    num_workers: int,
    seed: int,
    sampler: _Counted | None,
) -> DataLoader[Any]:
    random = torch.Generator().manual_seed(child_seed(seed, "workers"))
    return DataLoader(
        Subset(dataset, rows.tolist()),
        batch_size=batch_size,
        sampler=sampler,
        num_workers=num_workers,
        generator=random,
    )


def _trainer(epochs: int, accelerator: str, progress: bool | None) -> Any:
    import lightning.pytorch as pl

    show = sys.stderr.isatty() if progress is None else progress
    return pl.Trainer(
        max_epochs=epochs,
        accelerator=accelerator,
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=show,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence Lightning's advice on worker counts and its notices on devices."""
    import logging

    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
            warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
            yield
    finally:
        logger.setLevel(level)


@torch.no_grad()
def _predict(net: nn.Module, dataset: Dataset[Any], rows: NDArray[np.int64], size: int) -> Any:
    net.eval()
    device = next(net.parameters()).device
    loader: DataLoader[Any] = DataLoader(Subset(dataset, rows.tolist()), batch_size=size)
    return torch.cat([net(x.to(device)).float().cpu() for x, _ in loader]).double().numpy()


def _to_trial(
    module: RemedyModule,
    dataset: Dataset[Any],
    split: Split,
    labels: Labels,
    remedy: Remedy,
    seed: int,
    facts: Mapping[str, Any],
    sampler: _Counted,
    batch_size: int,
) -> Trial:
    net = module.model
    net.load_state_dict(module.best)
    scores: dict[str, Scores] = {}
    parts: tuple[tuple[Part, NDArray[np.int64]], ...] = (("val", split.val), ("test", split.test))
    for part, rows in parts:
        if rows.size:
            scores[part] = Scores.from_arrays(
                with_ids(labels, rows),
                logits=_predict(net, dataset, rows, batch_size),
                split=part,
                correction=remedy.correction,
                check_kind=False,
            )
    counts = labels[split.train].counts
    return Trial(
        method=remedy.name,
        seed=seed,
        config=facts,
        n_train=int(split.train.size),
        n_val=int(split.val.size),
        train_counts={n: int(c) for n, c in zip(labels.names, counts, strict=True)},
        histogram=realised_histogram(labels[split.train], sampler.drawn),
        history=module.history,
        scores=scores,
        selection={
            "metric": METRIC_NAMES[labels.kind],
            "epoch": module.best_epoch,
            "value": module.best_value,
            "last_value": module.history[-1]["val_metric"],
        },
        model_file="model.safetensors",
    )
