"""Batches of rows for Keras, drawn by the rules of the samplers, dealt out to the ranks."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise._core.checks import require_shape, to_array
from equipoise._core.messages import say
from equipoise._core.targets import require_classes, require_labels
from equipoise.artifacts.correction import Correction
from equipoise.artifacts.labels import Labels
from equipoise.errors import ShapeError, UsageError
from equipoise.keras._keras import keras
from equipoise.keras.data.sequences import RaggedSequences
from equipoise.sampling.draws import BatchDraw, ListedRows, RowDraw, WeightedRows, positive_int
from equipoise.sampling.effect import sampler_correction
from equipoise.sampling.rules import row_weights
from equipoise.sampling.weights import class_balanced_weights, to_labels


class RowBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Batches of arrays or sequences, their rows drawn by a rule, anew in every epoch.

    Use wherever Keras takes a data set. Prefer arrays and a loss that weights (such as
    ``PosWeightBCELoss``) to begin with: drawing rows brings frequent labels along with rare ones.

    Args:
        x: (N, ...) array, `RaggedSequences`, or a tuple or mapping of those for several inputs.
        y: `Labels`; class indices (N,), -100 where unknown; or targets (N, ...) between 0 and 1,
            -1 or NaN where unknown.
        batch_size: Rows per batch; not used where ``draw`` draws whole batches.
        draw: How rows are drawn. None shuffles all; "in_order" takes them as they are, for
            validation; a name of ``equipoise.sampling.ROW_RULES``, such as "max" or "raking_sqrt",
            draws N rows by its weights; or a draw of this package: ``WeightedRows``,
            ``ClassBalancedRows``, ``RepeatFactorRows``, ``ProgressiveRows``, ``ListedRows``,
            ``StratifiedBatches``, ``PKBatches``, ``BalancedBatches``.
        sample_weight: (N,) or (N, T), handed to the loss beside the rows.
        seed: Of draws that are named; the same on every rank.
        rank: This process, given with ``num_replicas``. None asks torch.distributed, or JAX where
            several processes run it; TensorFlow deals batches out itself.
        num_replicas: Number of processes.
        **options: ``workers`` and ``max_queue_size``, as for ``keras.utils.PyDataset``.

    Raises:
        ShapeError: x, y and weights differ in rows.
        UsageError: an unknown rule, a rule by name without labels, or ``use_multiprocessing``.

    Note:
        Calibration: rows drawn by weight shift the prior; :meth:`correction` leads back. Every
        complete pass is an epoch. Where ``fit`` begins elsewhere, an epoch is a single batch, or
        ``workers`` fetch ahead, say which it is with
        ``keras.callbacks.LambdaCallback(on_epoch_begin=lambda e, _: data.set_epoch(e))``.

    Example:
        >>> data = RowBatches(np.arange(100.0), [0] * 95 + [1] * 5, draw="class_balanced", seed=0)
        >>> x, y = data[0]
        >>> len(data), x.shape, bool(10 < y.sum() < 22)
        (4, (32,), True)
        >>> data.correction().probabilities([[0.0, 0.0]]).round(2).tolist()
        [[0.95, 0.05]]
    """

    def __init__(
        self,
        x: Any,
        y: Labels | ArrayLike,
        *,
        batch_size: int = 32,
        draw: str | RowDraw | BatchDraw | None = None,
        sample_weight: ArrayLike | None = None,
        seed: int = 0,
        rank: int | None = None,
        num_replicas: int | None = None,
        **options: Any,
    ) -> None:
        if options.get("use_multiprocessing"):
            do = "Arrays are shared by threads: raise `workers` instead."
            raise UsageError(say("use_multiprocessing", "be False", True, do))
        super().__init__(**options)
        self.x, self.labels = x, y if isinstance(y, Labels) else None
        self.y = _targets(y)
        self.batch_size = positive_int("batch_size", batch_size)
        rows = len(self.y)
        for part in _parts(x):
            if len(part) != rows:
                raise ShapeError(say("x", f"have one row per target = {rows}", len(part)))
        self.sample_weight: NDArray[np.float32] | None = None
        if sample_weight is not None:
            weight = to_array("sample_weight", sample_weight, ndim=(1, 2)).astype(np.float32)
            require_shape("sample_weight", weight, (rows, *weight.shape[1:]), "One per row.")
            self.sample_weight = weight
        self.draw = self._to_draw(draw, seed)
        place = _place() if rank is None or num_replicas is None else (rank, num_replicas)
        if self.draw is not None and place is not None:
            self.draw.place_at(*place)
        self.epoch, self._served = 0, 0
        self._batches: list[NDArray[np.int64]] | None = None
        self._lock = threading.RLock()

    def _to_draw(
        self, draw: str | RowDraw | BatchDraw | None, seed: int
    ) -> RowDraw | BatchDraw | None:
        if draw is None:
            return ListedRows(np.arange(len(self.y)), seed=seed)
        if not isinstance(draw, str):
            return draw
        if draw == "in_order":
            return None
        labels = self.labels if self.labels is not None else to_labels(self.y)
        return WeightedRows(row_weights(labels, draw), seed=seed)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; each has its own draw."""
        with self._lock:
            if int(epoch) != self.epoch:
                self.epoch, self._served, self._batches = int(epoch), 0, None

    def on_epoch_end(self) -> None:
        """Go to the next epoch, unless Keras has only looked at a batch to build the model."""
        if self._served >= self.num_batches:
            self.set_epoch(self.epoch + 1)

    @property
    def num_batches(self) -> int:
        """Batches per epoch of this process."""
        if isinstance(self.draw, BatchDraw):
            return len(self.draw)
        rows = len(self.y) if self.draw is None else len(self.draw)
        return -(-rows // self.batch_size)

    def __len__(self) -> int:
        return self.num_batches

    def rows(self, index: int) -> NDArray[np.int64]:
        """Return the rows of one batch of this epoch."""
        with self._lock:
            if self._batches is None:
                self._batches = self._drawn()
            return self._batches[index]

    def _drawn(self) -> list[NDArray[np.int64]]:
        if self.draw is not None:
            self.draw.set_epoch(self.epoch)
        if isinstance(self.draw, BatchDraw):
            return [np.asarray(batch, dtype=np.int64) for batch in self.draw]
        whole = np.arange(len(self.y)) if self.draw is None else np.fromiter(self.draw, np.int64)
        cuts = range(self.batch_size, len(whole), self.batch_size)
        return np.split(whole, cuts)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        with self._lock:
            rows = self.rows(index)
            self._served += 1
        made = (_take(self.x, rows), self.y[rows])
        return made if self.sample_weight is None else (*made, self.sample_weight[rows])

    def correction(self) -> Correction:
        """Return the way back to the natural prior for a model trained on these draws."""
        labels = self.labels if self.labels is not None else to_labels(self.y)
        if isinstance(self.draw, WeightedRows):
            return self.draw.correction(labels)
        if isinstance(self.draw, ListedRows):
            return sampler_correction(np.bincount(self.draw.rows, minlength=len(labels)), labels)
        own = getattr(self.draw, "correction", None)
        return Correction.identity(labels.kind) if own is None else own()


def _targets(y: Labels | ArrayLike) -> NDArray[Any]:
    """Return targets as Keras takes them: classes as integers, labels as float32 with -1."""
    if not isinstance(y, Labels):
        return _checked(np.asarray(to_array("y", y, ndim=(1, 2, 3))))
    return y.values if y.kind == "multiclass" else y.values.astype(np.float32)


def _checked(y: NDArray[Any]) -> NDArray[Any]:
    """Return targets whose values are looked at once, here, where no graph has to be asked."""
    if y.dtype.kind in "iuf" and y.size:
        if y.ndim == 1 or (y.shape[-1] == 1 and np.nanmax(y) > 1):
            require_classes("y", y, 2**31)
        elif y.dtype.kind == "f" or y.shape[-1] > 1:
            require_labels("y", y)
    return y


def _parts(x: Any) -> list[Any]:
    """Return the arrays of several inputs, at any depth."""
    if isinstance(x, Mapping):
        x = list(x.values())
    return [y for part in x for y in _parts(part)] if isinstance(x, (tuple, list)) else [x]


def _take(x: Any, rows: NDArray[np.int64]) -> Any:
    if isinstance(x, Mapping):
        return {name: _take(part, rows) for name, part in x.items()}
    if isinstance(x, (tuple, list)):
        return tuple(_take(part, rows) for part in x)
    return x.batch(rows) if isinstance(x, RaggedSequences) else x[rows]


def _place() -> tuple[int, int] | None:
    """Return rank and number of JAX processes; draws ask torch.distributed themselves."""
    if keras.backend.backend() != "jax":
        return None
    import jax

    return (jax.process_index(), jax.process_count()) if jax.process_count() > 1 else None


def row_sample_weights(
    labels: Labels | ArrayLike,
    *,
    power: float = 0.5,
    cap: float | None = 10.0,
    empty_weight: float = 1.0,
) -> NDArray[np.float64]:
    """Turn multi-label targets into one ``sample_weight`` per row, by the row's rarest label.

    Use where only ``sample_weight`` can be set. Prefer ``PosWeightBCELoss``: a row's weight falls
    on all its labels, the frequent ones and the negatives included, as with ``class_weight``, but
    here the rarest label decides and not the first.

    Args:
        labels: `Labels`, class indices (N,), or multi-hot (N, L) with -1 unknown.
        power: 1 weighs labels by 1 / n, 0.5 by its square root, 0 not at all.
        cap: Largest weight, in units of the smallest; None does not cap.
        empty_weight: Of rows without any label, in units of the smallest label weight.

    Returns:
        (N,) float64 with mean 1.

    Raises:
        UsageError: ``cap`` below 1, or a negative ``power``.

    Note:
        Undo it as a sampler: ``equipoise.sampling.sampler_correction(weights, labels)``.

    Example:
        >>> row_sample_weights([[1, 1], [0, 1], [0, 1], [0, 0]], power=1.0).round(3).tolist()
        [2.0, 0.667, 0.667, 0.667]
    """
    weights = class_balanced_weights(labels, power=power, empty_weight=empty_weight)
    if cap is not None:
        if cap < 1:
            raise UsageError(say("cap", "be at least 1, the smallest weight", cap))
        some = weights[weights > 0]
        weights = np.minimum(weights, cap * some.min())
    return np.asarray(weights / weights.mean())
