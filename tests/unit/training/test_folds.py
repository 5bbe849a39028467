"""`fit(folds=)`: each row is scored by the model that has not seen it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import log_softmax

from equipoise import Labels, Split, TrainingOptions, Trial, fit, remedy, tune
from equipoise.data import ArrayDataset
from equipoise.errors import UsageError
from equipoise.models import MLP

N = 120
SPLIT = Split.from_parts(
    np.arange(0, 60), np.arange(60, 90), np.arange(90, N), n_rows=N, seed=0, method="hand"
)
LAST = TrainingOptions(epochs=4, lr=0.05, batch_size=16, keep="last", accelerator="cpu")


def make_data(kind: str = "multilabel") -> ArrayDataset:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(N, 4)).astype(np.float32)
    groups = np.arange(N) // 3
    if kind == "multiclass":
        values = (x[:, :3] - [0, 0.5, 0.5]).argmax(1)
    else:
        values = (x[:, :2] + 0.3 * rng.normal(size=(N, 2)) > 0.7).astype(int)
    return ArrayDataset(x, Labels.from_array(values, kind=kind, groups=groups))


@pytest.mark.parametrize(
    ("kind", "method"), [("multilabel", "pos_weight"), ("multiclass", "class_balanced")]
)
def test_pooled_scores_are_those_of_the_folds(tmp_path: Path, kind: str, method: str) -> None:
    data = make_data(kind)
    make = partial(remedy, method)
    given: dict[str, Any] = {"options": LAST, "out": tmp_path}
    trial = fit(lambda: MLP(4, data.labels.num_classes), data, SPLIT, make, folds=3, **given)
    pooled = trial.scores["oof"]
    assert pooled.ids.tolist() == [str(i) for i in range(90)]
    np.testing.assert_array_equal(pooled.labels.values, data.labels.values[:90])
    folder = tmp_path / trial.folder_name
    inner = [Trial.load(path) for path in folder.iterdir() if path.is_dir()]
    assert len(inner) == 3
    seen: set[Any] = set()
    for fold in inner:
        scores = fold.scores["val"]
        rows = scores.ids.astype(int)
        assert not seen & set(data.labels.groups[rows])  # groups stay whole
        seen |= set(data.labels.groups[rows])
        np.testing.assert_allclose(
            pooled.correction.probabilities(pooled.values[rows]),
            scores.correction.probabilities(scores.values),
            atol=1e-9,
        )
    # Folds are averaged as corrected log-odds, not as probabilities.
    tests = [f.scores["test"].correction.apply(f.scores["test"].values) for f in inner]
    if kind == "multiclass":
        tests = [log_softmax(t, axis=1) for t in tests]
    np.testing.assert_allclose(trial.scores["test"].values, np.mean(tests, axis=0), atol=1e-9)
    rule = tune(pooled)
    assert np.isfinite(rule.log_odds(trial.scores["test"])).all()
    again = fit(lambda: MLP(4, data.labels.num_classes), data, SPLIT, make, folds=3, **given)
    np.testing.assert_array_equal(again.scores["oof"].values, pooled.values)


def test_a_finished_remedy_or_a_chosen_epoch_is_refused() -> None:
    data = make_data()
    made = remedy("none", data.labels[SPLIT.train])
    with pytest.raises(UsageError, match=r"be made anew for each fold.*partial"):
        fit(MLP(4, 2), data, SPLIT, made, folds=3, options=LAST)
    with pytest.raises(UsageError, match=r"keep the last epoch of each fold"):
        fit(MLP(4, 2), data, SPLIT, partial(remedy, "none"), folds=3)


def test_a_maker_serves_without_folds_too() -> None:
    data = make_data()
    one = fit(MLP(4, 2), data, SPLIT, partial(remedy, "pos_weight"), options=LAST)
    assert one.method == "pos_weight"
    assert set(one.scores) == {"val", "test"}
