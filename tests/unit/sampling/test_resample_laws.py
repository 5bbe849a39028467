"""The laws every resampler obeys."""

from __future__ import annotations

import random
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays
from resample_oracles import skewed_labels, train_of

from equipoise import sampling
from equipoise.errors import DataError, NoEffectWarning
from equipoise.sampling import resample
from equipoise.sampling.resample import (
    lp_ros,
    lp_rus,
    ml_ros,
    ml_rus,
    mlsmote,
    mlsol,
    random_oversample,
    random_undersample,
    repeat_factor_oversample,
    resample_to_sizes,
    smote,
    undersample_majority_rows,
)

X = np.random.default_rng(3).normal(size=(120, 3))
CLASS_METHODS = {
    "random_oversample": lambda t, s: random_oversample(t, seed=s),
    "random_undersample": lambda t, s: random_undersample(t, seed=s),
    "resample_to_sizes": lambda t, s: resample_to_sizes(t, {t.labels.names[0]: 3}, seed=s),
    "smote": lambda t, s: smote(t, X[: len(t.labels)], seed=s),
}
LABEL_METHODS = {
    "repeat_factor_oversample": lambda t, s: repeat_factor_oversample(t, threshold=0.2, seed=s),
    "ml_ros": lambda t, s: ml_ros(t, fraction=0.4, seed=s),
    "ml_rus": lambda t, s: ml_rus(t, fraction=0.4, seed=s),
    "undersample_majority_rows": lambda t, s: undersample_majority_rows(
        t, n_rows=max(len(t) - 1, 1), seed=s
    ),
    "lp_ros": lambda t, s: lp_ros(t, fraction=0.4, seed=s),
    "lp_rus": lambda t, s: lp_rus(t, fraction=0.4, seed=s),
    "mlsmote": lambda t, s: mlsmote(t, X[: len(t.labels)], k_neighbors=2, seed=s),
    "mlsol": lambda t, s: mlsol(t, X[: len(t.labels)], k_neighbors=2, seed=s),
}
METHODS = CLASS_METHODS | LABEL_METHODS
GROWS = {"repeat_factor_oversample", "ml_ros", "lp_ros", "mlsmote", "mlsol", "smote"}
GROWS |= {"random_oversample"}
SYNTHETIC = {"smote", "mlsmote", "mlsol"}


def example(name: str):
    if name in CLASS_METHODS:
        return train_of(np.repeat([0, 1, 2], [70, 30, 20])[::-1].copy(), np.arange(0, 120, 2))
    return train_of(skewed_labels(), np.arange(0, 120, 2))


def test_every_public_resampler_is_under_these_laws() -> None:
    public = {n for n in resample.__all__ if not isinstance(getattr(resample, n), type)}
    assert public == set(METHODS)
    assert public <= set(sampling.__all__)


@pytest.mark.parametrize("name", METHODS)
def test_same_seed_same_rows_other_seed_other_rows(name: str) -> None:
    train = example(name)
    first, again, other = (METHODS[name](train, seed) for seed in (0, 0, 1))
    assert (first.rows == again.rows).all()
    assert first.seed == 0
    if name in SYNTHETIC:
        assert (first.features == again.features).all()
        assert (first.values == again.values).all()
        assert (
            first.features.shape != other.features.shape or (first.features != other.features).any()
        )
    elif name != "undersample_majority_rows":
        assert first.rows.shape != other.rows.shape or (first.rows != other.rows).any()
    assert first.fingerprint == other.fingerprint == train.fingerprint
    assert first.method == name


@pytest.mark.parametrize("name", METHODS)
def test_global_random_state_is_untouched(name: str) -> None:
    before = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    METHODS[name](example(name), 0)
    assert (np.random.get_state()[1] == before[0]).all()  # noqa: NPY002
    assert random.getstate() == before[1]


def check(name: str, train, seed: int) -> None:
    values = train.labels.values.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoEffectWarning)
        try:
            after = METHODS[name](train, seed)
        except DataError:  # a size that these rows do not allow
            if name not in ("undersample_majority_rows", "resample_to_sizes"):
                raise
            return
    m = after.rows.size
    assert (train.labels.values == values).all()
    assert set(after.rows) <= set(train.rows)
    assert len(after) == m + after.n_synthetic == len(after.labels)
    assert (after.labels.values[:m] == values[after.rows]).all()
    pairs = set(zip(after.rows.tolist(), after.copies.tolist(), strict=True))
    assert len(pairs) == m
    times = np.bincount(after.rows, minlength=len(values))
    assert (after.copies < times[after.rows]).all()
    if name in GROWS:
        assert (times[train.rows] >= 1).all()
        assert (after.labels.counts >= train.fold.counts).all()
    elif name != "resample_to_sizes":
        assert times.max() == 1
        assert (after.labels.counts <= train.fold.counts).all()
    if name in SYNTHETIC and after.n_synthetic:
        assert set(after.seed_rows) | set(after.reference_rows) <= set(train.rows)
        assert (after.seed_rows != after.reference_rows).all()
    invented = (
        (after.labels.values == 1).any(axis=0) if values.ndim == 2 else after.labels.counts > 0
    )
    assert not (invented & (train.fold.counts == 0)).any() or name == "mlsol"


@pytest.mark.filterwarnings("ignore:`values` hold 1 and -1")
@pytest.mark.parametrize("name", LABEL_METHODS)
@given(
    values=st.tuples(st.integers(2, 24), st.integers(1, 4)).flatmap(
        lambda shape: arrays(np.int8, shape, elements=st.sampled_from([0, 0, 0, 1, 1, -1]))
    ),
    keep=st.integers(1, 24),
    seed=st.integers(0, 5),
)
def test_label_methods_on_anything(name: str, values: np.ndarray, keep: int, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(values))
    check(name, train_of(values, order[: min(keep, len(values))]), seed)


@pytest.mark.parametrize("name", CLASS_METHODS)
@given(
    values=arrays(np.int64, st.integers(2, 24), elements=st.integers(0, 3)),
    keep=st.integers(1, 24),
    seed=st.integers(0, 5),
)
def test_class_methods_on_anything(name: str, values: np.ndarray, keep: int, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(values))
    train = train_of(values, order[: min(keep, len(values))], names=["a", "b", "c", "d"])
    check(name, train, seed)


def test_resamplers_load_no_torch_and_imbalanced_learn_only_for_smote() -> None:
    code = (
        "import sys, numpy as np, equipoise as eq\n"
        "from equipoise.sampling import ml_ros, mlsol, smote\n"
        "from equipoise.sampling.resample import TrainingRows\n"
        "y = eq.Labels.from_array([[1, 0], [1, 0], [0, 1], [1, 0]], kind='multilabel')\n"
        "split = eq.Split.from_parts([0, 1, 2, 3], [], [], n_rows=4, seed=0, method='all')\n"
        "ml_ros(TrainingRows.of(y, split), fraction=0.5)\n"
        "mlsol(TrainingRows.of(y, split), np.arange(8.0).reshape(4, 2), k_neighbors=2)\n"
        "assert not {'torch', 'imblearn'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
