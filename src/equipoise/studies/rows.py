"""The rows of a study: what they hold, which are copies, how tables join, how they are split."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from equipoise._core.fingerprint import fingerprint_array
from equipoise._core.identity import loose_match
from equipoise._core.messages import say
from equipoise._core.rng import child_seed, generator
from equipoise.artifacts import Finding, Labels, Split
from equipoise.boosting import Coded, Column
from equipoise.boosting.preparation import Preparation, Style, learn_preparation
from equipoise.errors import DataError, DataWarning, InfeasibleSplitError, LeakageError, UsageError
from equipoise.splits import (
    Copies,
    audit_split,
    copies_finding,
    feature_contents,
    find_copies,
    long_tail_split,
    stratified_kfold,
    stratified_split,
)
from equipoise.splits.leakage import require_same_rows
from equipoise.studies.schema import (
    CrossFitSpec,
    Draw,
    Job,
    LongTailSpec,
    SplitFile,
    StratifiedSpec,
    Study,
    TimeSpec,
)

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class StudyData:
    """Features and labels of one study.

    Args:
        description: What the data are, in a few words.
        features: (N, D) float32, in memory or as a memory map.
        labels: The truth of the same rows.
        test: Positions of the test rows where the source sets them apart itself, else None.
        pending: About how many seconds it takes to compute the features, where they stand for
            those of a network that has not run yet.
        content_hashes: Hashes of the rows' own content, where features are not what tells it.
        coded: A table whose columns are not all numbers, of which ``features`` are the places and
            numbers: what a model is given is learned of it from training rows.
        time: (N,) when rows were, where they are tested forward in time.
        columns: What the columns of a table are, where all that are left are numbers.
        ids: Of a table: columns that are left out as ids -> where each row stands in their order.
    """

    description: str
    features: NDArray[Any]
    labels: Labels
    test: NDArray[np.int64] | None = None
    pending: float | None = None
    content_hashes: NDArray[np.uint64] | None = None
    coded: Coded | None = None
    time: NDArray[np.float64] | None = None
    columns: tuple[Column, ...] = ()
    ids: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def table(self) -> Coded:
        """The rows as a table; of an array every column is a number."""
        if self.coded is not None:
            return self.coded
        named = (Column(f"x{i}", "number") for i in range(self.features.shape[1]))
        return Coded(np.asarray(self.features), self.columns or tuple(named))

    @cached_property
    def contents(self) -> NDArray[np.uint64] | None:
        """(N,) hashes of what the rows hold; None where equal rows are no evidence of copies."""
        if self.content_hashes is not None or self.pending is not None:
            return self.content_hashes
        return feature_contents(self.features)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits that name features and labels."""
        if not isinstance(self.features, np.memmap) and self.features.strides[0]:
            return fingerprint_array(self.features, np.asarray([self.labels.fingerprint]))
        # A map, or one row that stands for all, may be larger than memory: some rows at a time.
        step = range(0, len(self.features), _ROWS_AT_ONCE)
        parts = [fingerprint_array(self.features[i : i + _ROWS_AT_ONCE]) for i in step]
        return fingerprint_array(np.asarray([*parts, self.labels.fingerprint]))


@dataclass(frozen=True, eq=False)
class Prepared:
    """Training rows as models are given them, and how others become the same.

    Args:
        preparation: Learned from the training rows.
        table: All rows.
        rows: Which are the training rows.
        train: (n, D) of them; where a target was encoded not what the preparation makes of them.
    """

    preparation: Preparation
    table: Coded
    rows: NDArray[np.int64]
    train: NDArray[np.float32]

    @classmethod
    def of(cls, data: StudyData, train: NDArray[np.int64], style: Style) -> Prepared:
        """Learn a preparation from training rows."""
        table = data.table
        made, rows = learn_preparation(table, data.labels, train, style)
        return cls(made, table, train, rows)

    def of_rows(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return other rows, prepared."""
        return self.preparation(self.table, rows)

    @property
    def everywhere(self) -> NDArray[np.float32]:
        """All rows, the training rows as they are trained on."""
        made = self.preparation(self.table)
        made[self.rows] = self.train
        return made


_CHUNK = 1 << 20


def _number(digest: bytes) -> int:
    return int.from_bytes(digest, "little")


def file_contents(paths: Sequence[str | Path]) -> NDArray[np.uint64]:
    """Return (N,) hashes of files; only files of the same size are read.

    A file that cannot be read, or is empty, equals no other.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     paths = [Path(folder, name) for name in ("a", "b", "c")]
        ...     _ = [p.write_text(t) for p, t in zip(paths, ("one", "one", "two"), strict=True)]
        ...     found = file_contents(paths)
        >>> bool(found[0] == found[1]), bool(found[0] == found[2])
        (True, False)
    """
    files = [Path(p) for p in paths]
    sizes = [f.stat().st_size if f.is_file() else 0 for f in files]
    often = Counter(sizes)
    found = np.empty(len(files), dtype=np.uint64)
    for row, (file, size) in enumerate(zip(files, sizes, strict=True)):
        alone = _number(blake2b(f"row {row}".encode(), digest_size=8).digest())
        found[row] = alone if size == 0 or often[size] == 1 else _of_file(file, alone)
    return found


def _of_file(file: Path, otherwise: int) -> int:
    state = blake2b(digest_size=8)
    try:
        with file.open("rb") as opened:
            while part := opened.read(_CHUNK):
                state.update(part)
    except OSError:
        return otherwise
    return _number(state.digest())


def dataset_contents(dataset: Any) -> NDArray[np.uint64] | None:
    """Return (N,) hashes of what the items of a data set hold, or None where that is not known.

    Args:
        dataset: Arrays, tables, images in files or as bytes, sequences, or several of them joined.
    """
    from torch.utils.data import ConcatDataset

    from equipoise.data import ArrayDataset, CifarBinary, ImageBytes, ImageFiles, Sequences

    if isinstance(dataset, ConcatDataset):
        return _joined(list(dataset.datasets))
    if isinstance(dataset, ArrayDataset):
        return feature_contents(dataset.features)
    if isinstance(dataset, CifarBinary):
        return feature_contents(dataset.pixels)
    if isinstance(dataset, ImageFiles):
        return file_contents([dataset.paths[row] for row in dataset.rows])
    if isinstance(dataset, ImageBytes):
        parts = [dataset.source_of(int(row)) for row in dataset.rows]
    elif isinstance(dataset, Sequences):
        ends = zip(dataset.offsets[:-1], dataset.offsets[1:], strict=True)
        parts = [np.ascontiguousarray(dataset.steps[a:b]).tobytes() for a, b in ends]
    else:
        return None
    return np.asarray([_number(blake2b(p, digest_size=8).digest()) for p in parts], np.uint64)


def _joined(parts: list[Any]) -> NDArray[np.uint64] | None:
    from equipoise.data import ArrayDataset, ImageFiles

    arrays = [part for part in parts if isinstance(part, ArrayDataset)]
    if len(arrays) == len(parts):
        return feature_contents(np.concatenate([np.asarray(a.features) for a in arrays]))
    files = [part for part in parts if isinstance(part, ImageFiles)]
    if len(files) == len(parts):
        return file_contents([part.paths[row] for part in files for row in part.rows])
    found = [dataset_contents(part) for part in parts]
    return (
        None
        if any(f is None for f in found)
        else np.concatenate([f for f in found if f is not None])
    )


def join_tables(name: str, train: tuple[Coded, Labels], test: tuple[Coded, Labels]) -> StudyData:
    """Return one table whose last rows are the test rows.

    Args:
        name: What the table is called.
        train: Rows, and their labels.
        test: Rows that were read as those of ``train``.

    Raises:
        DataError: the labels differ.
        LeakageError: an id or a group stands in both tables.
    """
    (coded, labels), (more, more_labels) = train, test
    joined = join_labels(labels, more_labels)
    rows = np.arange(len(labels), len(joined))
    values = np.concatenate([coded.values, _as_words_of(coded, more)])
    words = dict(coded.words)
    for place in coded.places("text"):
        words[place] = (*coded.words[place], *more.words[place])
    whole = replace(coded, values=values, words=words)
    kept = None if whole.is_plain else whole
    none = np.full(len(more_labels), np.nan)
    ids = {column: np.concatenate([order, none]) for column, order in coded.ids.items()}
    return StudyData(name, values, joined, rows, coded=kept, columns=whole.columns, ids=ids)


def _as_words_of(coded: Coded, more: Coded) -> NDArray[np.float32]:
    """Return rows whose texts are places among the joined texts of both tables."""
    values = more.values.copy()
    for place in coded.places("text"):
        values[:, place] += len(coded.words[place])
    return values


def join_labels(labels: Labels, more_labels: Labels) -> Labels:
    """Return the labels of training rows and, behind them, test rows.

    Raises:
        DataError: the labels differ.
        LeakageError: an id or a group stands on both sides.
    """
    if labels.kind == more_labels.kind and set(labels.names) == set(more_labels.names):
        more_labels = more_labels.in_order(labels.names)
    else:
        raise DataError(
            say("test table", f"have the labels {list(labels.names)}", list(more_labels.names))
        )
    sides: dict[str, Any] = {}
    for key in ("ids", "groups"):
        left, right = getattr(labels, key), getattr(more_labels, key)
        sides[key] = None
        if left is None or right is None:
            continue
        shared = np.intersect1d(left, right)
        if shared.size:
            raise LeakageError(
                say(
                    "test table",
                    f"share no {key} with the training table",
                    f"{shared.size} in common (first: {shared[0]})",
                    "Remove them from one of the two.",
                )
            )
        near = loose_match(left, right)
        if near is not None:
            n, (one, other) = near
            warnings.warn(
                f"No {key[:-1]} of the test table stands in the training table as it is written, "
                f"but {n} would, trimmed or as numbers (first: {one!r} and {other!r}). They are "
                "taken for different: write them alike on both sides if they are the same.",
                DataWarning,
                stacklevel=2,
            )
        sides[key] = np.concatenate([left, right])
    weights = [held.weights for held in (labels, more_labels) if held.weights is not None]
    if len(weights) == 1:
        do = "Give both tables the column."
        raise DataError(say("test table", "have row weights as the training table", "one", do))
    sides["weights"] = np.concatenate(weights) if weights else None
    return Labels.from_array(
        np.concatenate([labels.values, more_labels.values]),
        kind=labels.kind,
        names=labels.names,
        **sides,
    )


Spec = StratifiedSpec | LongTailSpec


def copies_of(data: StudyData) -> Copies | None:
    """Return which rows are copies of another, joined with the groups; None if nobody knows."""
    return find_copies(data.contents, data.labels.groups)


def fixed_test(spec: Spec, data: StudyData, copies: Copies | None = None) -> NDArray[np.int64]:
    """Return the test rows, which no seed changes; copies stay on one side."""
    if data.test is not None:
        return data.test
    if isinstance(spec, LongTailSpec):
        if spec.test_per_class is None:
            raise UsageError(say("split.test_per_class", "be given: there is no test part", None))
        first = long_tail_split(
            data.labels, test_per_class=spec.test_per_class, seed=spec.seed, **spec.tail
        )
        return first.test
    units = None if copies is None else copies.units
    return _stratified(data.labels, (1 - spec.test, 0.0, spec.test), units, spec.seed).test


def splitter(
    spec: Spec | SplitFile, data: StudyData
) -> tuple[NDArray[np.int64], Callable[[int], Split]]:
    """Return the test rows and a function from seed to split; its proof tells of copies.

    Raises:
        DataError: a split file of other rows.
        UsageError: a long tail without test rows.
    """
    if isinstance(spec, SplitFile):
        written = Split.load(spec.path)
        require_same_rows(written, data.labels, spec.path)
        crossing = [f for f in audit_split(written, data.labels) if f.code == "EQ201"]
        if crossing:
            do = "Split with the groups: equipoise split --group."
            got = crossing[0].message.split(". ")[0]
            raise LeakageError(say(spec.path, "keep the study's groups whole", got, do))
        return written.test, lambda _: written
    copies = copies_of(data)
    test = np.sort(fixed_test(spec, data, copies))
    rest = np.setdiff1d(np.arange(len(data.labels)), test)
    labels = data.labels[rest]
    units = None if copies is None or copies.units is None else copies.units[rest]

    def draw(seed: int) -> Split:
        inner = _inner(spec, labels, units, seed)
        told = {} if copies is None else {"copies": copies.to_dict()}
        return Split.from_parts(
            rest[inner.train],
            rest[inner.val],
            test,
            n_rows=len(data.labels),
            seed=seed,
            method=inner.method,
            proof={**inner.proof, **told},
        )

    return test, draw


def _inner(spec: Spec, labels: Labels, units: NDArray[np.int64] | None, seed: int) -> Split:
    if isinstance(spec, LongTailSpec):
        return long_tail_split(labels, val_per_class=spec.val_per_class, seed=seed, **spec.tail)
    return _stratified(labels, (1 - spec.val, spec.val, 0.0), units, seed)


def _stratified(
    labels: Labels,
    fractions: tuple[float, float, float],
    units: NDArray[np.int64] | None,
    seed: int,
) -> Split:
    """Draw a split; a label whose rows are copies of one, or one group, may miss from a part."""
    try:
        return stratified_split(labels, fractions=fractions, groups=units, seed=seed)
    except InfeasibleSplitError:
        if units is None and labels.groups is None:
            raise
        return stratified_split(
            labels, fractions=fractions, groups=units, seed=seed, min_per_part=0
        )


class Parts(NamedTuple):
    """Positions that a job is trained on, chooses by, and is tested on; some perhaps repeated."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]


class Draws(Mapping[Draw, Split]):
    """The split of every seed, and of every fold where rows are cross-fitted, made when asked for.

    Args:
        spec: How rows are split.
        data: What is split.
        seeds: How many there may be.
    """

    def __init__(
        self, spec: Spec | CrossFitSpec | TimeSpec | SplitFile, data: StudyData, seeds: int
    ) -> None:
        self.spec, self.seeds, self._labels = spec, seeds, data.labels
        self._data = data
        self._made: dict[Draw, Split] = {}
        self._crossed: _Folds | _Blocks | None = None
        if isinstance(spec, (CrossFitSpec, TimeSpec)):
            if data.test is not None:
                do = "Leave `split` out: the test rows that the data set apart decide alone."
                expected = "not test rows fold by fold beside a test set of their own"
                raise UsageError(say("split.how", expected, repr(spec.how), do))
            made = _Blocks if isinstance(spec, TimeSpec) else _Folds
            self._crossed = made(spec, data)  # type: ignore[arg-type]
        else:
            _, self._draw = splitter(spec, data)

    @cached_property
    def _units(self) -> NDArray[np.int64] | None:
        """What must stay on one side: copies and groups."""
        copies, groups = copies_of(self._data), self._labels.groups
        if copies is not None and copies.units is not None:
            return copies.units
        return None if groups is None else np.unique(groups, return_inverse=True)[1]

    @property
    def folds(self) -> list[int | None]:
        """The folds of each seed; None stands for a single split."""
        return [None] if self._crossed is None else list(range(self._crossed.spec.folds))

    @property
    def first(self) -> Split:
        """The split that stands for all where one is enough."""
        return self[0, self.folds[0]]

    def __getitem__(self, draw: Draw) -> Split:
        if draw not in self._made:
            seed, _ = draw
            if self._crossed is None:
                self._made[draw] = self._draw(seed)
            else:
                for k, split in enumerate(self._crossed.of_seed(seed)):
                    self._made[seed, k] = split
        return self._made[draw]

    def parts(self, job: Job) -> Parts:
        """Return the rows of a job: those of its draw, a share of them, or of a sample of them."""
        split = self[job.draw]
        train, val = split.train, split.val
        if job.pool is not None:
            train, val = self._sample(split, job.pool)
        if job.share < 1:
            rest = self._labels[train]
            units = None if self._units is None else self._units[train]
            own = child_seed(job.seed, "share", str(job.share), str(job.fold))
            kept = _stratified(rest, (job.share, 1 - job.share, 0.0), units, own).train
            # As many steps as with all rows, or their number would be compared as well.
            train = np.tile(train[kept], round(1 / job.share))
        return Parts(train, val, split.test)

    def _sample(self, split: Split, pool: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return a sample of the rows that are not tested, copies of a row on one side.

        Groups are drawn whole. What was drawn is parted into training and validation rows as the
        rows themselves are; a training row stands there as often as it was drawn.
        """
        rows = np.concatenate([split.train, split.val])
        units = rows if self._units is None else self._units[rows]
        _, code = np.unique(units, return_inverse=True)
        number = int(code.max()) + 1
        random = generator(split.seed, "pool", pool)
        often = np.bincount(random.integers(0, number, number), minlength=number)[code]
        drawn = rows[often > 0]
        share = split.val.size / rows.size
        own = child_seed(pool, "pool")
        inner = _stratified(self._labels[drawn], (1 - share, share, 0.0), units[often > 0], own)
        train = drawn[inner.train]
        return np.repeat(train, often[often > 0][inner.train]), drawn[inner.val]

    def __iter__(self) -> Iterator[Draw]:
        return ((seed, fold) for seed in range(self.seeds) for fold in self.folds)

    def __len__(self) -> int:
        return self.seeds * len(self.folds)


class _Folds:
    """Folds of all rows, drawn anew for each seed; copies and groups stay together."""

    def __init__(self, spec: CrossFitSpec, data: StudyData) -> None:
        self.spec, self.labels = spec, data.labels
        copies = copies_of(data)
        self.units = None if copies is None else copies.units
        self.told = {} if copies is None else {"copies": copies.to_dict()}

    def of_seed(self, seed: int) -> list[Split]:
        """Return one split per fold: its rows are the test part."""
        spec = self.spec
        own = child_seed(spec.seed, "cross_fit", seed)
        settings: dict[str, Any] = {"folds": spec.folds, "groups": self.units, "seed": own}
        try:
            outer = stratified_kfold(self.labels, **settings)
        except InfeasibleSplitError:
            # Groups keep a label from some fold, which is then not judged on it.
            outer = stratified_kfold(self.labels, min_per_part=0, **settings)
        found = []
        for fold in outer:
            rest = fold.train
            units = None if self.units is None else self.units[rest]
            inner = _stratified(self.labels[rest], (1 - spec.val, spec.val, 0.0), units, own)
            found.append(
                Split.from_parts(
                    rest[inner.train],
                    rest[inner.val],
                    fold.val,
                    n_rows=len(self.labels),
                    seed=seed,
                    method=f"cross-fitting, {fold.method}",
                    proof={**inner.proof, "fold": fold.proof["fold"], **self.told},
                )
            )
        return found


class _Blocks:
    """Blocks of rows in the order of time, each tested by models of the rows before it."""

    def __init__(self, spec: TimeSpec, data: StudyData) -> None:
        self.spec, self.labels = spec, data.labels
        if data.time is None:
            do = "It is for tables: `data: {path: ..., label: ...}`."
            raise UsageError(say("split.how", "not be 'time' without a table", "'time'", do))
        self.time = data.time
        copies = copies_of(data)
        self.told = {} if copies is None else {"copies": copies.to_dict()}
        self._made: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
        self._cut()

    def _cut(self) -> None:
        spec, order = self.spec, np.argsort(self.time, kind="stable")
        moments, first = np.unique(self.time[order], return_index=True)
        wanted = np.arange(1, spec.folds + 1) * len(order) / (spec.folds + 1)
        # A block begins with a moment, so that rows of one moment stay together.
        starts = np.unique([first[np.argmin(np.abs(first - w))] for w in wanted])
        starts = starts[starts > 0]
        if starts.size < spec.folds:
            got = f"{moments.size} different moments"
            expected = f"move in at least {spec.folds + 1} steps, for {spec.folds} folds"
            do = "Take fewer folds, or another column."
            raise DataError(say(f"column {spec.column}", expected, got, do))
        groups = self.labels.groups
        for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
            test, before = order[start:end], order[:start]
            before = before[self.time[before] < self.time[test[0]] - spec.gap]
            if groups is not None:
                before = before[~np.isin(groups[before], groups[test])]
            if before.size < 2:
                do = "Make the gap smaller, or take fewer folds."
                raise DataError(say("split.gap", "leave rows to train on", before.size, do))
            cut = min(before.size - 1, max(1, round(before.size * (1 - spec.val))))
            self._made.append((np.sort(before[:cut]), np.sort(before[cut:]), np.sort(test)))

    def of_seed(self, seed: int) -> list[Split]:
        """Return one split per block but the first; time is the same for every seed."""
        return [
            Split.from_parts(
                train,
                val,
                test,
                n_rows=len(self.labels),
                seed=seed,
                method=f"forward in time, by {self.spec.column}",
                proof={"fold": fold, "gap": self.spec.gap, **self.told},
            )
            for fold, (train, val, test) in enumerate(self._made)
        ]


def one_split(study: Study, data: StudyData) -> Callable[[int], Split]:
    """Return a function from seed to the split of a single training.

    Raises:
        UsageError: a study whose rows are tested fold by fold.
    """
    spec = study.split_of(has_test=data.test is not None)
    if isinstance(spec, (CrossFitSpec, TimeSpec)):
        do = "It is for `equipoise compare`; one training takes `folds`."
        raise UsageError(say("split.how", "be one that has one test part", repr(spec.how), do))
    return splitter(spec, data)[1]


def with_ids(data: StudyData) -> StudyData:
    """Return data whose rows have ids, by which the folds of a seed are put together."""
    if data.labels.ids is not None:
        return data
    ids = np.arange(len(data.labels)).astype(str)
    return replace(data, labels=replace(data.labels, ids=ids))


def split_findings(data: StudyData, split: Split) -> list[Finding]:
    """Return what is to be said of copies: kept together, or on both sides of a given test part.

    Raises:
        DataError: every test row is a copy of another part's.
    """
    copies = split.proof.get("copies")
    if not copies or not copies["rows"]:
        return []
    contents = data.contents
    leaks = [] if contents is None else [
        found for found in audit_split(split, data.labels, hashes=contents) if found.code == "EQ202"
    ]  # fmt: skip
    if leaks and leaks[0].evidence["rows"]["test"] == split.test.size:
        do = "Name rows that were kept apart, or leave the test table out."
        got = f"{split.test.size:,} rows, each a copy of one to train on"
        raise DataError(say("the test part", "hold rows that are not trained on", got, do))
    return leaks or [copies_finding(copies, data.labels)]
