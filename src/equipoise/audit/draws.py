"""What a sampler draws: as often as needed, alone or as a rank, one epoch and its batches."""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import BatchSampler

from equipoise._core.messages import closest, say
from equipoise.artifacts.labels import Labels
from equipoise.audit.state import seed_globals
from equipoise.errors import EquipoiseError, UsageError
from equipoise.sampling.rules import ROW_RULES, row_weights

LABEL_NAMES = ("labels", "label", "targets", "target", "y", "y_true")
DATA_NAMES = ("dataset", "data_source")
_DISTRIBUTED = ("is_available", "is_initialized", "get_rank", "get_world_size")


def build_sampler(maker: Callable[..., Any], labels: Labels, settings: Mapping[str, Any]) -> Any:
    """Call a class or function with what its parameters ask for by name.

    ``labels``, ``targets`` or ``y`` get the labels (as `Labels` where annotated so, else as an
    array), ``dataset`` and ``data_source`` the range of rows, a required ``num_samples`` N; a
    setting ``weights`` that names a row rule becomes its weights.

    Raises:
        UsageError: it cannot be built so.

    Example:
        >>> from torch.utils.data import WeightedRandomSampler
        >>> labels = Labels.from_array([0, 0, 0, 1], kind="multiclass")
        >>> build_sampler(WeightedRandomSampler, labels, {"weights": "class_balanced"}).num_samples
        4
    """
    given = dict(settings)
    rule = given.get("weights")
    if isinstance(rule, str):
        if rule not in ROW_RULES:
            do = closest(rule, ROW_RULES)
            raise UsageError(say("weights", "be numbers or a row rule", repr(rule), do))
        given["weights"] = row_weights(labels, rule)
    failure: Exception | None = None
    for form in (labels.values, torch.from_numpy(labels.values.copy()), labels):
        try:
            return maker(**_filled(maker, labels, form, given))
        except EquipoiseError:
            raise
        except Exception as error:
            failure = failure or error
    name = getattr(maker, "__name__", "sampler")
    do = "Give its settings, or a function of the labels that returns it."
    raise UsageError(say(name, "be built from the labels", repr(failure), do)) from failure


def _filled(
    maker: Callable[..., Any], labels: Labels, form: Any, given: dict[str, Any]
) -> dict[str, Any]:
    try:
        known = list(inspect.signature(maker).parameters.values())
    except (TypeError, ValueError):
        return given
    found = dict(given)
    fixed = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [i for i in known if i.default is i.empty and i.kind not in fixed]
    for item in known:
        if item.name in found:
            continue
        if item.name in LABEL_NAMES:
            found[item.name] = labels if "Labels" in str(item.annotation) else form
        elif item.name in DATA_NAMES:
            found[item.name] = range(len(labels))
        elif item.name == "num_samples" and item.default is item.empty:
            found[item.name] = len(labels)
        elif needed == [item]:
            found[item.name] = form  # the only thing asked for
    return found


@dataclass(frozen=True, slots=True)
class Source:
    """Makes the sampler anew, or copies it; both with the global generators seeded.

    Args:
        make: Builds it; None for an instance.
        given: The instance.
        needs_world: Whether it can be built only where ``torch.distributed`` runs.
    """

    make: Callable[[], Any] | None
    given: Any = None
    needs_world: bool = False

    def alone(self) -> AbstractContextManager[None]:
        """Be the only process, for samplers that ask."""
        return as_rank(0, 1) if self.needs_world else nullcontext()

    def fresh(self, seed: int = 0) -> Any | None:
        """Return a sampler that has drawn nothing yet; None where it cannot be copied."""
        seed_globals(seed)
        if self.make is not None:
            return self.make()
        try:
            return copy.deepcopy(self.given)
        except Exception:
            return None


def source_of(sampler: Any, labels: Labels) -> Source:
    """Return the source of an instance, a class or a function.

    Raises:
        UsageError: it is neither iterable nor callable, or what it builds is not iterable.
    """
    if not isinstance(sampler, type) and isinstance(sampler, Iterable):
        return Source(None, sampler)
    if not callable(sampler):
        do = "Pass a sampler, its class, or a function of the labels that returns it."
        raise UsageError(say("sampler", "be iterable or callable", type(sampler).__name__, do))

    def make() -> Any:
        return build_sampler(sampler, labels, {})

    needs_world = False
    try:
        made = make()
    except UsageError:
        with as_rank(0, 1):
            made = make()
        needs_world = True
    if not isinstance(made, Iterable):
        do = "It has to yield rows, or lists of rows."
        raise UsageError(say("sampler", "build something iterable", type(made).__name__, do))
    return Source(make, needs_world=needs_world)


def set_epoch(sampler: Any, epoch: int) -> bool:
    """Call ``set_epoch`` as trainers do, of the sampler inside too; return whether there is one."""
    called = False
    for item in (sampler, getattr(sampler, "sampler", None)):
        method = getattr(item, "set_epoch", None)
        if callable(method):
            method(epoch)
            called = True
    return called


@contextmanager
def as_rank(rank: int, world: int = 2) -> Iterator[None]:
    """Let ``torch.distributed`` answer as in one of several processes."""
    before = {name: getattr(torch.distributed, name) for name in _DISTRIBUTED}
    answers = (True, True, rank, world)
    try:
        for name, answer in zip(_DISTRIBUTED, answers, strict=True):
            setattr(torch.distributed, name, lambda *_, answer=answer: answer)
        yield
    finally:
        for name, function in before.items():
            setattr(torch.distributed, name, function)


Rows = NDArray[np.int64]
_CHUNK, _SHOWN = 8_192, 3
_END = object()


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """What one pass over a sampler yielded.

    Args:
        rows: Row indices in order, batches flattened, whether or not such rows exist.
        sizes: (B,) rows in each batch; None where single rows are yielded.
        items: Rows or batches yielded.
        odd: The first things yielded that are no rows.
        odd_count: How many there were.
        ended: Whether the sampler stopped by itself, or at the limit.
    """

    rows: Rows
    sizes: Rows | None
    items: int
    odd: tuple[str, ...]
    odd_count: int
    ended: bool

    def inside(self, n: int) -> NDArray[np.bool_]:
        """Return which rows lie in 0 to n - 1."""
        return np.asarray((self.rows >= 0) & (self.rows < n))

    def starts_like(self, other: Draws) -> bool:
        """Whether both begin with the same rows, as far as the shorter one was followed."""
        if self.ended and other.ended:
            return np.array_equal(self.rows, other.rows)
        size = min(self.rows.size, other.rows.size)
        return np.array_equal(self.rows[:size], other.rows[:size])


def _index(value: Any) -> int | None:
    """Return a row index, or None for what is none (a truth value, a text, a fraction)."""
    if isinstance(value, (bool, np.bool_)):
        return None
    try:
        return operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def _parts(item: Any, pairs: bool) -> list[Any] | None:
    """Return the members of a batch, or None for a single row; a pair is (row, copy)."""
    if isinstance(item, tuple) and len(item) == 2 and pairs:
        return None
    if isinstance(item, (str, bytes, dict)) or getattr(item, "ndim", 1) == 0:
        return None
    return list(item) if isinstance(item, Iterable) else None


class _Collector:
    def __init__(self, pairs: bool) -> None:
        self.pairs = pairs
        self.rows: list[Rows] = []
        self.sizes: list[int] = []
        self.odd: list[str] = []
        self.odd_count = 0
        self.batched = False

    def add(self, chunk: list[Any]) -> int:
        """Take a chunk of items and return how many rows it held."""
        if isinstance(chunk[0], (int, np.integer)) and not isinstance(chunk[0], bool):
            try:
                whole = np.asarray(chunk)
            except (ValueError, TypeError, OverflowError):
                whole = np.empty((0, 0))
            if whole.ndim == 1 and whole.dtype.kind in "iu":
                self.rows.append(whole.astype(np.int64))
                return int(whole.size)
        flat = [row for item in chunk for row in self._rows(item)]
        self.rows.append(np.asarray(flat, dtype=np.int64))
        return len(flat)

    def _rows(self, item: Any) -> list[int]:
        parts = _parts(item, self.pairs)
        if parts is not None:
            self.batched = True
        elif isinstance(item, tuple):
            item = item[0]
        found = []
        for value in [item] if parts is None else parts:
            row = _index(value)
            if row is None or not -(2**63) <= row < 2**63:
                self.odd_count += 1
                self.odd += [repr(value)[:40]] if len(self.odd) < _SHOWN else []
            else:
                found.append(row)
        if parts is not None:
            self.sizes.append(len(found))
        return found


def take(sampler: Any, limit: int, most_items: int | None = None) -> Draws:
    """Draw from ``sampler`` until it ends or ``limit`` rows (or ``most_items`` items) have come.

    Example:
        >>> take([[0, 1], [2]], 10).sizes.tolist(), take(range(5), 3).ended
        ([2, 1], False)
    """
    flow = iter(sampler)
    held = _Collector(pairs=not isinstance(sampler, BatchSampler))
    items = rows = 0
    ended = False
    most = limit if most_items is None else min(most_items, limit)
    while items < most and rows < limit:
        chunk = list(islice(flow, min(_CHUNK, most - items)))
        if not chunk:
            ended = True
            break
        items += len(chunk)
        rows += held.add(chunk)
    return Draws(
        rows=np.concatenate(held.rows) if held.rows else np.empty(0, dtype=np.int64),
        sizes=np.asarray(held.sizes, dtype=np.int64) if held.batched else None,
        items=items,
        odd=tuple(held.odd),
        odd_count=held.odd_count,
        ended=ended or next(flow, _END) is _END,
    )


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """Batches of one epoch.

    Args:
        names: One name per class or label.
        batches: How many there are.
        smallest: Rows in the smallest batch.
        largest: Rows in the largest batch.
        positives: Mean number of positives of each label in a batch.
        without: Share of batches without any positive of each label.
        repeated: Share of drawn rows that stand in their batch already.

    Example:
        >>> labels = Labels.from_array([0, 0, 0, 1], kind="multiclass")
        >>> summary = summarise_batches(np.array([0, 1, 2, 3]), np.array([2, 2]), labels)
        >>> summary.positives, summary.without
        ((1.5, 0.5), (0.0, 0.5))
    """

    names: tuple[str, ...]
    batches: int
    smallest: int
    largest: int
    positives: tuple[float, ...]
    without: tuple[float, ...]
    repeated: float

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers, ready for JSON."""
        body = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in body.items()}

    def text(self) -> str:
        """Return the facts as aligned plain text."""
        size = f"{self.smallest:,}" if self.smallest == self.largest else (
            f"{self.smallest:,} to {self.largest:,}"
        )  # fmt: skip
        wide = max(len("label"), *(len(n) for n in self.names))
        lines = [f"{self.batches:,} batches of {size} rows", ""]
        lines.append(f"{'label':<{wide}}  per batch  batches without")
        for name, mean, none in zip(self.names, self.positives, self.without, strict=True):
            lines.append(f"{name:<{wide}}  {mean:>9.2f}  {none:>15.1%}")
        lines += ["", f"{self.repeated:.1%} of the rows stand in their batch already"]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text()


def summarise_batches(rows: Rows, sizes: Rows, labels: Labels) -> BatchSummary:
    """Count positives per batch; ``rows`` are the batches one after the other."""
    n = sizes.size
    batch = np.repeat(np.arange(n), sizes)
    mean, none = [], []
    for k in range(labels.num_classes):
        hot = labels.values == k if labels.kind == "multiclass" else labels.values[:, k] == 1
        counts = np.bincount(batch[hot[rows]], minlength=n)
        mean.append(float(counts.mean()))
        none.append(float((counts == 0).mean()))
    distinct = np.unique(batch * len(labels) + rows).size
    return BatchSummary(
        names=labels.names,
        batches=int(n),
        smallest=int(sizes.min()),
        largest=int(sizes.max()),
        positives=tuple(mean),
        without=tuple(none),
        repeated=1.0 - distinct / max(rows.size, 1),
    )
