"""Train one model with one remedy on Lightning, and write what came of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from equipoise._core.checks import say, to_positive
from equipoise._core.files import atomic_path
from equipoise._core.rng import child_seed
from equipoise.artifacts import Labels, Scores, Split, Trial
from equipoise.artifacts.scores import Part
from equipoise.errors import DataError, MissingExtraError, ShapeError, UsageError
from equipoise.models import CosineHead
from equipoise.training.order import Counted, Shuffle
from equipoise.training.remedy import Remedy
from equipoise.training.selection import METRIC_NAMES, realised_histogram
from equipoise.training.targets import with_ids

if TYPE_CHECKING:
    from equipoise.training.module import RemedyModule

__all__ = ["fit"]

Model = nn.Module | Callable[[], nn.Module]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Settings:
    seed: int
    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    num_workers: int
    accelerator: str
    progress: bool | None

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("num_workers", 0)):
            value = getattr(self, name)
            if int(value) != value or value < least:
                raise UsageError(say(name, f"be a whole number >= {least}", value))
        to_positive("lr", self.lr)
        to_positive("weight_decay", self.weight_decay, zero=True)


def fit(
    model: Model,
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
        progress: Show a progress bar on stderr; None shows it in a terminal.
        out: Folder under which the trial's folder is written, or None.
        config: Further facts for the trial's record.

    Returns:
        A Trial with ``scores["val"]`` and, if there are test rows, ``scores["test"]`` of the
        chosen epoch; its ``selection`` states the metric, the chosen epoch and the last epoch's
        value. ``model_file`` is None unless ``out`` is given.

    Raises:
        MissingExtraError: Lightning is not installed.
        DataError: no training or validation rows, or labels that do not match data set and split.
        TrainingError: a loss or an output is no longer finite.
        UsageError: the remedy fills a slot that this engine does not support, or is made for
            cosines and the model's last module is no :class:`equipoise.models.CosineHead`.

    Note:
        Trains on one device. The global random state is as before when this returns.
    """
    try:
        from equipoise.training.module import RemedyModule, run_trainer
    except (ImportError, RuntimeError) as error:
        raise MissingExtraError("lightning", "train", "fit") from error
    chosen = _Settings(
        seed, epochs, batch_size, lr, weight_decay, num_workers, accelerator, progress
    )
    remedy.require_supported("fit", ("sampler",))
    truth = _truth(dataset, labels, split)
    make = remedy.sampler or (lambda seed: Shuffle(split.train.size, seed=seed))
    sampler = Counted(make(seed=child_seed(seed, "order")), split.train.size)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(child_seed(seed, "init"))
        module = RemedyModule(_network(model, remedy), remedy, truth[split.val], lr, weight_decay)
        run_trainer(
            module,
            _loader(dataset, split.train, chosen, sampler),
            _loader(dataset, split.val, chosen),
            epochs=epochs,
            accelerator=accelerator,
            progress=progress,
        )
    module.model.load_state_dict(module.best)
    trial = replace(
        _to_trial(
            module, split, truth, sampler, seed, _facts(chosen, remedy, split, truth, config)
        ),
        scores=_scores(module.model, dataset, split, truth, remedy, chosen),
    )
    return trial if out is None else _write(trial, module.best, Path(out))


def _truth(dataset: Dataset[Any], labels: Labels | None, split: Split) -> Labels:
    """Return the labels of all rows, checked against data set and split."""
    truth = labels if labels is not None else getattr(dataset, "labels", None)
    if not isinstance(truth, Labels):
        raise DataError(
            say("dataset", "carry `labels`", "a data set without them", "Pass labels=.")
        )
    rows = len(dataset)  # type: ignore[arg-type]
    if len(truth) != rows or split.n_rows != rows:
        raise ShapeError(
            say(
                "labels and split",
                f"have as many rows as the data set, {rows}",
                f"{len(truth)} labels and a split of {split.n_rows} rows",
                "All three must be of the same table.",
            )
        )
    for name, part in (("train", split.train), ("val", split.val)):
        if part.size == 0:
            raise DataError(say(f"split.{name}", "hold at least one row", "none"))
    return truth


def _network(model: Model, remedy: Remedy) -> nn.Module:
    net = copy.deepcopy(model) if isinstance(model, nn.Module) else model()
    if not isinstance(net, nn.Module):
        raise UsageError(say("model", "be a module or a callable that returns one", type(net)))
    *_, last = net.modules()
    if remedy.head == "cosine" and not (isinstance(last, CosineHead) and last.scale == 1.0):
        raise UsageError(
            say(
                "model",
                "end in `equipoise.models.CosineHead(width, num_classes, scale=1)`",
                f"{last} last",
                f"'{remedy.name}' is made for cosines.",
            )
        )
    return net


def _loader(
    dataset: Dataset[Any], rows: Rows, settings: _Settings, sampler: Counted | None = None
) -> DataLoader[Any]:
    return DataLoader(
        Subset(dataset, rows.tolist()),
        batch_size=settings.batch_size,
        sampler=sampler,
        num_workers=settings.num_workers,
        generator=torch.Generator().manual_seed(child_seed(settings.seed, "workers")),
    )


def _facts(
    settings: _Settings,
    remedy: Remedy,
    split: Split,
    labels: Labels,
    config: Mapping[str, Any] | None,
) -> dict[str, Any]:
    return {
        "engine": "fit",
        "method": remedy.name,
        "settings": dict(remedy.settings),
        "seed": settings.seed,
        "epochs": settings.epochs,
        "batch_size": settings.batch_size,
        "lr": settings.lr,
        "weight_decay": settings.weight_decay,
        "split": split.fingerprint,
        "labels": labels.fingerprint,
        **(config or {}),
    }


@torch.no_grad()
def _scores(
    net: nn.Module,
    dataset: Dataset[Any],
    split: Split,
    labels: Labels,
    remedy: Remedy,
    settings: _Settings,
) -> dict[str, Scores]:
    net.eval()
    device = next((p.device for p in net.parameters()), torch.device("cpu"))
    parts: tuple[tuple[Part, Rows], ...] = (("val", split.val), ("test", split.test))
    scores: dict[str, Scores] = {}
    for part, rows in parts:
        if rows.size:
            batches: list[Tensor] = [
                net(x.to(device)).cpu() for x, _ in _loader(dataset, rows, settings)
            ]
            outputs = torch.cat(batches).double().numpy()
            scores[part] = remedy.to_scores(with_ids(labels, rows), outputs, part)
    return scores


def _to_trial(
    module: RemedyModule,
    split: Split,
    labels: Labels,
    sampler: Counted,
    seed: int,
    facts: dict[str, Any],
) -> Trial:
    trained_on = labels[split.train]
    return Trial(
        method=module.remedy.name,
        seed=seed,
        config=facts,
        n_train=int(split.train.size),
        n_val=int(split.val.size),
        train_counts={n: int(c) for n, c in zip(labels.names, trained_on.counts, strict=True)},
        histogram=realised_histogram(trained_on, sampler.drawn),
        history=module.history,
        scores={},
        selection={
            "metric": METRIC_NAMES[labels.kind],
            "epoch": module.best_epoch,
            "value": module.best_value,
            "last_value": module.history[-1]["val_metric"],
        },
    )


def _write(trial: Trial, weights: Mapping[str, Tensor], root: Path) -> Trial:
    from safetensors.torch import save_file

    named = replace(trial, model_file="model.safetensors")
    with atomic_path(root / named.folder_name / "model.safetensors") as temporary:
        save_file({k: v.contiguous() for k, v in weights.items()}, temporary)
    named.save(root)
    return named
