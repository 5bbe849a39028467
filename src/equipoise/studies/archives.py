"""NumPy archives of others: features with labels, piano rolls, and scores of a finished model."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from equipoise._core.messages import closest, counted, say
from equipoise._core.reading import load_arrays
from equipoise._core.rng import generator
from equipoise.artifacts import Labels, Scores
from equipoise.artifacts.estimate import FEW
from equipoise.errors import DataError, DataWarning, UsageError

Arrays = Mapping[str, NDArray[Any]]
_SPARSE = ("X_data", "X_indices", "X_indptr", "X_shape")
_TEST_TUNES = 2


def _archive(path: str | Path) -> dict[str, NDArray[Any]]:
    stored = load_arrays(path, "be a NumPy archive (.npz)")
    if isinstance(stored, np.ndarray):
        raise DataError(say(str(path), "be a NumPy archive (.npz)", "a single array"))
    return stored


def _require(path: str | Path, stored: Arrays, names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in stored]
    if missing:
        wanted = " and ".join(f"`{name}`" for name in names)
        raise DataError(say(str(path), f"hold {wanted}", f"{sorted(stored)}"))


def read_archive(
    path: str | Path, test_value: int | None, names: tuple[str, ...] | None = None
) -> tuple[NDArray[np.float32], Labels, NDArray[np.int64] | None]:
    """Return features, labels and test rows of an archive.

    Args:
        path: An .npz with ``X``, or the parts of a CSR matrix as ``X_data``, ``X_indices``,
            ``X_indptr`` and ``X_shape``; ``Y`` (N, L) of 0 and 1, or ``y`` (N,); perhaps
            ``label_names`` and ``split``.
        test_value: What ``split`` holds of test rows; None where there are none.
        names: Labels to expect; None takes those of the file.

    Returns:
        (N, D) float32, labels, and positions of test rows or None.

    Raises:
        DataError: an array is missing, of another form, or no row is a test row.
    """
    stored = _archive(path)
    x = _features(path, stored)
    if "Y" not in stored and "y" not in stored:
        raise DataError(say(str(path), "hold `Y` or `y`", sorted(stored)))
    hot = np.asarray(stored["Y"] if "Y" in stored else stored["y"][:, None])
    if hot.ndim != 2 or len(hot) != len(x) or not np.isin(hot, (0, 1)).all():
        expected = f"be {len(x)} rows of 0 and 1 as `X` has"
        raise DataError(say(f"{path}: labels", expected, f"shape {hot.shape}, {hot.dtype}"))
    own = [str(n) for n in stored["label_names"]] if "label_names" in stored else (
        [Path(path).stem] if hot.shape[1] == 1 else None
    )  # fmt: skip
    labels = Labels.from_array(
        hot.astype(np.int8), kind="multilabel", names=own if names is None else names
    )
    if test_value is None:
        return x, labels, None
    _require(path, stored, ("split",))
    split = np.asarray(stored["split"])
    test = np.flatnonzero(split == test_value)
    if split.shape != (len(x),) or not test.size or test.size == len(x):
        known = np.unique(split).tolist()
        expected = f"be {test_value} of some of {len(x)} rows"
        raise DataError(say(f"{path}: split", expected, f"shape {split.shape}, values {known}"))
    return x, labels, test


def thin_positives(labels: Labels, prevalence: float, seed: int) -> NDArray[np.int64]:
    """Return the rows that are left when positives of the one label are drawn for a prevalence.

    Raises:
        UsageError: several labels, or fewer positives than that asks for.

    Example:
        >>> labels = Labels.from_array([[1]] * 30 + [[0]] * 190, kind="multilabel")
        >>> thin_positives(labels, 0.05, seed=0).size
        200
    """
    if labels.num_classes != 1:
        do = "Leave it out."
        raise UsageError(
            say("data.prevalence", "stand where there is one label", labels.num_classes, do)
        )
    hot = labels.values[:, 0] == 1
    wanted = round(prevalence / (1.0 - prevalence) * int((~hot).sum()))
    if not 1 <= wanted <= hot.sum():
        expected = f"be at most that of all rows, {hot.mean():.3g}, and leave a positive"
        raise UsageError(say("data.prevalence", expected, prevalence))
    if wanted < FEW:
        warnings.warn(
            f"a prevalence of {prevalence:g} leaves {counted(wanted, 'positive')} in "
            f"{wanted + int((~hot).sum()):,} rows: too few to learn from, or to test on.",
            DataWarning,
            stacklevel=2,
        )
    own = generator(seed, "thinned positives")
    kept = own.choice(np.flatnonzero(hot), wanted, replace=False)
    return np.sort(np.concatenate([np.flatnonzero(~hot), kept]))


def _features(path: str | Path, stored: Arrays) -> NDArray[np.float32]:
    if "X" not in stored and _SPARSE[0] in stored:
        from scipy.sparse import csr_matrix

        _require(path, stored, _SPARSE)
        data, indices, indptr, shape = (stored[name] for name in _SPARSE)
        try:
            whole = csr_matrix((data, indices, indptr), shape=(int(shape[0]), int(shape[1])))
        except ValueError as error:
            raise DataError(say(f"{path}: X", "be a CSR matrix", str(error))) from error
        return np.asarray(whole.toarray(), dtype=np.float32)
    _require(path, stored, ("X",))
    x = np.asarray(stored["X"])
    if x.ndim != 2 or x.dtype.kind not in "fiub":
        raise DataError(say(f"{path}: X", "be rows of numbers", f"shape {x.shape}, {x.dtype}"))
    return np.asarray(x, dtype=np.float32)


def read_piano_rolls(
    path: str | Path, context: int, every: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], Labels, NDArray[np.int64]]:
    """Return windows of steps as sequences, the keys of the step behind each, and test rows.

    Tunes are the groups. Raises as :func:`read_archive`.

    Args:
        path: An .npz with ``Ypacked``, ``n_labels``, ``offsets`` and ``split``.
        context: Steps of a window.
        every: Which steps of a tune are rows: every so-manieth.

    Returns:
        (N x context, keys) float32, offsets (N + 1,), labels, and positions of test rows.
    """
    stored = _archive(path)
    _require(path, stored, ("Ypacked", "n_labels", "offsets", "split"))
    keys = int(stored["n_labels"])
    rolls = np.unpackbits(np.asarray(stored["Ypacked"], dtype=np.uint8), axis=1)[:, :keys]
    offsets, split = np.asarray(stored["offsets"]), np.asarray(stored["split"])
    if len(split) != len(offsets) - 1 or offsets[-1] != len(rolls):
        got = f"{len(split)} tunes, {len(offsets)} offsets up to {offsets[-1]}, {len(rolls)} steps"
        raise DataError(say(str(path), "hold offsets of its tunes and steps", got))
    ends = itertools.pairwise(offsets)
    rows = [np.arange(first + context, last, every) for first, last in ends]
    at = np.concatenate(rows).astype(np.int64)
    if not at.size:
        raise DataError(say(str(path), f"hold tunes of more than {context} steps", "none"))
    tune = np.repeat(np.arange(len(rows)), [r.size for r in rows])
    steps = rolls[(at[:, None] + np.arange(-context, 0)).reshape(-1)].astype(np.float32)
    names = [f"key {k}" for k in range(keys)]
    labels = Labels.from_array(
        rolls[at].astype(np.int8), kind="multilabel", names=names,
        groups=np.array([f"tune {t}" for t in tune]),
    )  # fmt: skip
    test = np.flatnonzero(split[tune] == _TEST_TUNES)
    return steps, np.arange(len(at) + 1) * context, labels, test


def read_score_archive(
    path: str | Path, model: str, kind: Literal["logits", "probabilities", "ranking"]
) -> tuple[Scores, Scores]:
    """Return validation and test scores of a model, with their labels.

    Args:
        path: An .npz with ``y_val``, ``y_test`` (N, L) of 0 and 1, ``label_names``, and the scores
            of models as ``NAME_val`` and ``NAME_test``.
        model: NAME.
        kind: What the scores are.

    Raises:
        DataError: an array is missing or of another form, or there is no such model.
    """
    stored = _archive(path)
    _require(path, stored, ("y_val", "y_test", "label_names"))
    ends = {key.rpartition("_")[0] for key in stored if key.endswith(("_val", "_test"))} - {"y"}
    models = [m for m in sorted(ends) if {f"{m}_val", f"{m}_test"} <= set(stored)]
    if model not in models:
        raise DataError(say("data.model", f"have scores in {path}", repr(model),
                            closest(model, models)))  # fmt: skip
    names = [str(name) for name in stored["label_names"]]
    found = []
    for part in ("val", "test"):
        hot, values = np.asarray(stored[f"y_{part}"]), stored[f"{model}_{part}"]
        ids = [f"{part} {i}" for i in range(len(hot))]
        labels = Labels.from_array(hot.astype(np.int8), kind="multilabel", names=names, ids=ids)
        given: Any = {kind: np.asarray(values, dtype=np.float64)}
        found.append(Scores.from_arrays(labels, split=part, ids=ids, **given))
    return found[0], found[1]
