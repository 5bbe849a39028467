"""The default trainer of mining: `equipoise.fit`, with rows weighted as mining asks."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise._core.fingerprint import fingerprint_array
from equipoise._core.messages import say
from equipoise._core.rng import child_seed
from equipoise.artifacts import Correction, Labels, Split
from equipoise.errors import MissingExtraError, UsageError
from equipoise.metrics import average_precision
from equipoise.mining.dataset_pool import DatasetPool
from equipoise.mining.pools import Pool, PoolPart
from equipoise.mining.result import MiningTask
from equipoise.mining.scoring import barrier, foreground, place

try:
    import torch
    from torch import Tensor, nn
    from torch.utils.data import ConcatDataset, Dataset
except (ImportError, RuntimeError) as error:
    raise MissingExtraError("torch", "torch", "equipoise.mining.FitTrainer") from error

from equipoise.data import ArrayDataset
from equipoise.losses import BCELoss, CrossEntropyLoss
from equipoise.models import load_weights
from equipoise.training import Monitor, Remedy, TrainingOptions, fit
from equipoise.training.devices import choose_device

_ROWS_AT_ONCE = 1024


class NetworkScorer:
    """A network as a scorer: from a batch of inputs, NumPy or torch, to outputs (n, C).

    Args:
        network: Maps a batch of inputs to outputs.
        device: Where it runs.

    Example:
        >>> scorer = NetworkScorer(nn.Linear(2, 1), torch.device("cpu"))
        >>> scorer(np.zeros((3, 2), dtype=np.float32)).shape
        (3, 1)
    """

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.network = network.to(device).eval()
        self.device = device

    def __call__(self, x: Any) -> NDArray[np.float64]:
        """Return outputs, float64, in eval mode; arrays of float64 are taken as float32."""
        if isinstance(x, np.ndarray):
            # As a data set would hand them over: bytes stay bytes, other numbers become float32.
            x = torch.from_numpy(x if x.dtype in (np.uint8, np.float32) else x.astype(np.float32))
        parts = [x] if isinstance(x, (tuple, list)) else x.split(_ROWS_AT_ONCE)
        with torch.no_grad():
            found = [self.network(_moved(part, self.device)).double().cpu() for part in parts]
        return np.asarray(torch.cat(found).numpy())


def _moved(x: Any, device: torch.device) -> Any:
    return tuple(_moved(p, device) for p in x) if isinstance(x, (tuple, list)) else x.to(device)


class FitTrainer:
    """Trains each round by :func:`equipoise.fit`; the epoch is chosen on the validation rows.

    It is the one whose outputs rank positives best, by average precision; of equals the one with
    the lower validation loss.

    Use as the first argument of :func:`mine_hard_negatives`. Its trials lie in the run's folder: a
    run that was killed goes on from the last checkpoint. For several devices start with torchrun
    and make the process group before mining.

    Args:
        model: A callable that makes a module, or a module, which is copied; see
            :func:`equipoise.fit`. Outputs: one for one label, one per class for classes.
        remedy: Makes a remedy of labels: ``functools.partial(equipoise.remedy, "focal")``; None
            takes the plain loss. It needs a loss that has one value per row, and no sampler,
            mixing, schedule or second stage. With ``weighting="none"`` any loss will do.
        options: Length, optimizer, devices; None takes the defaults of `TrainingOptions`.
        test: Rows that the trial scores once, or None.
        augment: As :func:`equipoise.fit` takes it.
        config: Further keys for the trial's record; they enter its hash.
        progress: Show a line while training; None shows it in a terminal.

    Raises:
        UsageError: a remedy that does not take weights, or several devices without a process group.

    Note:
        The remedy is made for the labels of the pool where rows are weighted by inverse inclusion,
        since they then stand for the pool, and else for those of the training rows. Whatever it
        is, its scores are of kind "ranking" and a calibrator is fitted.
    """

    def __init__(
        self,
        model: nn.Module | Callable[[], nn.Module],
        *,
        remedy: Callable[[Labels], Remedy] | None = None,
        options: TrainingOptions | None = None,
        test: Pool | None = None,
        augment: Any = None,
        config: Mapping[str, Any] | None = None,
        progress: bool | None = None,
    ) -> None:
        self.model, self.remedy, self.test = model, remedy, test
        self.options = TrainingOptions() if options is None else options
        self.augment, self.config, self.progress = augment, dict(config or {}), progress

    def __call__(self, task: MiningTask) -> NetworkScorer:
        """Train on a task, or read what was trained on it."""
        _require_group(self.options)
        previous = task.previous
        start = previous.network if isinstance(previous, NetworkScorer) else self.model
        pools, rows, weights = _parts(task, self.test)
        labels = _joined([p.labels(r) for p, r in zip(pools, rows, strict=True)])
        ends = np.cumsum([0, *(r.size for r in rows)])
        spans = [np.arange(a, b) for a, b in pairwise(ends)]
        split = Split.from_parts(
            *spans, *([[]] * (3 - len(spans))), n_rows=len(labels), seed=task.seed, method="mining"
        )
        is_weighted = bool((task.weights != 1.0).any())
        collate = _collate_of(task.pool)
        items = [_Items(p, r, w if is_weighted else None)
                 for p, r, w in zip(pools, rows, weights, strict=True)]  # fmt: skip
        own = {"round": task.round, "mined_rows": fingerprint_array(task.rows, task.weights)}
        trial = fit(
            start,
            ConcatDataset(items),
            split,
            self._remedy(task, labels[spans[0]], is_weighted),
            options=self.options,
            labels=labels,
            seed=task.seed,
            augment=self.augment,
            collate=collate,
            out=task.folder,
            progress=self.progress,
            config={**self.config, **own},
            monitor=_monitor(task.pool),
        )
        barrier()  # rank 0 writes the weights that all ranks read
        network = copy.deepcopy(start) if isinstance(start, nn.Module) else _made(start, task.seed)
        load_weights(network, task.folder / trial.folder_name / "model.safetensors")
        return NetworkScorer(network, _device(self.options))

    def _remedy(self, task: MiningTask, trained_on: Labels, is_weighted: bool) -> Remedy:
        labels = trained_on
        if is_weighted and self.remedy is not None:
            pool = task.pool
            labels = pool.labels(np.flatnonzero(pool.values >= 0))
        plain = BCELoss() if labels.kind == "multilabel" else CrossEntropyLoss()
        lost = Correction(labels.kind, exactness="none")
        made = Remedy("none", plain, lost) if self.remedy is None else self.remedy(labels)
        made.require_supported("mining", ())
        loss = _weighted(made, labels) if is_weighted else made.loss
        return Remedy(made.name, loss, lost, settings=made.settings, head=made.head)


def _monitor(pool: Pool) -> Monitor | None:
    """Return what chooses the epoch: the ranks of positives, as in the judgement of the round."""
    if pool.kind == "multilabel":
        return None  # average precision as it is

    def measure(outputs: NDArray[np.floating], labels: Labels, _: Correction) -> float:
        raw = np.asarray(outputs, dtype=np.float64)
        truth = (labels.values != pool.background).astype(np.int8)
        if truth.min() == truth.max():
            return float("nan")
        return float(average_precision(truth, foreground(pool, raw, None)))

    return Monitor(f"AP against '{pool.names[pool.background]}'", measure)


def _parts(
    task: MiningTask, test: Pool | None
) -> tuple[list[Pool], list[NDArray[np.int64]], list[NDArray[np.float64]]]:
    """Return pools, rows and weights of training, validation and test, where there is one."""
    pools = [task.pool, task.validation, *([] if test is None else [test])]
    known = [np.flatnonzero(p.values >= 0) for p in pools[1:]]
    return pools, [task.rows, *known], [task.weights, *(np.ones(r.size) for r in known)]


def _joined(parts: Sequence[Labels]) -> Labels:
    """Return the labels of all parts; ids are kept where they tell rows of all parts apart."""
    ids = np.concatenate([np.asarray(p.ids) for p in parts])
    is_unique = np.unique(ids).size == ids.size
    first = parts[0]
    values = np.concatenate([p.values for p in parts])
    return Labels.from_array(
        values, kind=first.kind, names=first.names, ids=ids if is_unique else None
    )


class _Items(Dataset[tuple[Any, Tensor]]):
    """Rows of a pool as items for training: input, and target with its weight behind it."""

    def __init__(
        self, pool: Pool, rows: NDArray[np.int64], weights: NDArray[np.float64] | None
    ) -> None:
        self.labels, self.weights = pool.labels(rows), weights
        source, at = _source(pool, rows)
        self.items: Any = ArrayDataset(pool.read(rows)) if source is None else source
        self.at = np.arange(rows.size) if source is None else at

    def __len__(self) -> int:
        return int(self.at.size)

    def __getitem__(self, index: int) -> tuple[Any, Tensor]:
        index = range(len(self))[index]
        x = self.items[int(self.at[index])][0]
        value = self.labels.values[index]
        if self.weights is None:
            many = self.labels.kind == "multilabel"
            return x, torch.tensor(value.astype(np.float32) if many else int(value))
        return x, torch.tensor([float(np.ravel(value)[0]), self.weights[index]])


def _source(pool: Pool, rows: NDArray[np.int64]) -> tuple[Any, NDArray[np.int64]]:
    """Return the torch data set behind a pool and where its rows stand in it, or None."""
    if isinstance(pool, PoolPart):
        return _source(pool.whole, pool.rows[rows])
    return (pool.dataset if isinstance(pool, DatasetPool) else None), rows


def _collate_of(pool: Pool) -> Any:
    pool = pool.whole if isinstance(pool, PoolPart) else pool
    return pool.collate if isinstance(pool, DatasetPool) else None


class _WeightedRows(nn.Module):
    """A loss per row times the row's weight, over the number of rows.

    Args:
        loss: With reduction "none": (n, 1) for one label, (n,) for classes.
        kind: Of the labels.

    The target holds label or class in column 0 and the weight in column 1; ``reads_targets`` tells
    ``fit`` that what is no label there is none of its business.
    """

    reads_targets = True

    def __init__(self, loss: nn.Module, kind: str) -> None:
        super().__init__()
        self.loss, self.kind = loss, kind

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return a scalar."""
        truth = target[:, :1] if self.kind == "multilabel" else target[:, 0].long()
        values: Tensor = self.loss(logits, truth)
        return (values.flatten() * target[:, 1].to(values.dtype)).mean()


def _weighted(made: Remedy, labels: Labels) -> nn.Module:
    loss = copy.deepcopy(made.loss)
    if getattr(loss, "reduction", None) is None or getattr(loss, "normalizer", None) == "weights":
        values = None
    else:
        loss.reduction = "none"  # type: ignore[assignment]
        values = _tried(loss, labels)
    n = 2
    if values is None or tuple(values.shape) not in ((n,), (n, 1)):
        do = 'Take another method, or weighting="none".'
        got = f"'{made.name}', whose rows do not count one by one"
        raise UsageError(say("remedy", "have a loss with one value per row", got, do))
    return _WeightedRows(loss, labels.kind)


def _tried(loss: nn.Module, labels: Labels) -> Tensor | None:
    width = labels.num_classes
    target = torch.zeros(2, 1) if labels.kind == "multilabel" else torch.zeros(2, dtype=torch.long)
    try:
        values: Tensor = loss(torch.zeros(2, width), target)
    except (ValueError, TypeError):
        return None
    return values


def _made(model: Callable[[], nn.Module], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(child_seed(seed, "init"))
        return model()


def _require_group(options: TrainingOptions) -> None:
    """Raise where `fit` would start processes that know nothing of the rounds around it."""
    started = int(os.environ.get("WORLD_SIZE", "1"))  # by torchrun
    several = options.devices != 1 or options.num_nodes > 1 or started > 1
    if several and place()[1] == 1:
        do = "Start with torchrun, and call torch.distributed.init_process_group() before mining."
        asked = f"{options.devices} devices on {options.num_nodes} node(s)"
        got = f"{asked}, {started} processes, without a process group"
        raise UsageError(say("options", "have devices=1 in a single process", got, do))


def _device(options: TrainingOptions) -> torch.device:
    name = options.accelerator
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return choose_device(name, "accelerator")
