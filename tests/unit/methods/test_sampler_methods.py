"""What the builders make of sampling rules and resamplers: which rows come, and the way back."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from equipoise import stratified_split
from equipoise.artifacts import Labels, TrainingRows
from equipoise.errors import LeakageError, NoEffectWarning, UsageError
from equipoise.methods import METHODS, remedy
from equipoise.sampling import ml_ros, random_oversample
from equipoise.training import Remedy

TAIL = Labels.from_array(np.repeat([0, 1, 2], [400, 80, 20]), kind="multiclass")
HOT = Labels.from_array(
    np.repeat([[1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]], [20, 150, 30, 300], axis=0),
    kind="multilabel",
)


def drawn(treated: Remedy, epochs: int = 1) -> np.ndarray:
    """How often each row comes."""
    assert treated.sampler is not None
    sampler, times = treated.sampler(seed=3), np.zeros(500, dtype=np.int64)
    tell = getattr(sampler, "set_num_epochs", None)
    if tell is not None:  # as engines do
        tell(epochs)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        times += np.bincount(list(sampler), minlength=500)
    return times


@pytest.mark.parametrize("name", [m.name for m in METHODS.values() if m.family == "sampler"])
def test_arms_take_equally_many_steps(name: str) -> None:
    for kind, labels in (("multiclass", TAIL), ("multilabel", HOT)):
        if kind not in METHODS[name].kinds:
            continue
        made = remedy(name, labels)
        # Copies for the model of one label are no draws of rows.
        assert made.resampling is not None or drawn(made).sum() == 500


def test_undersampling_shows_the_same_rows_in_every_epoch_and_leaves_out_the_others() -> None:
    times = drawn(remedy("random_undersample", TAIL), epochs=12)
    assert [np.count_nonzero(times[TAIL.values == c]) for c in range(3)] == [20, 20, 20]
    # 60 rows go into 500 draws 8 times, and 20 of them once more.
    assert times[times > 0].min() >= 12 * 8
    assert times.max() <= 12 * 9
    half = remedy("random_undersample", TAIL, ratio=0.5).correction
    sizes, natural = np.array([40, 40, 20]), np.array([400, 80, 20])
    np.testing.assert_allclose(half.probabilities(np.log(sizes)[None])[0], natural / 500)


def test_oversampling_undoes_the_sizes_that_it_made() -> None:
    made = remedy("random_oversample", TAIL, max_repeat=3)
    sizes, natural = np.array([400, 240, 60]), np.array([400, 80, 20])
    found = made.correction.probabilities(np.log(sizes)[None])[0]
    np.testing.assert_allclose(found, natural / 500)
    shares = np.bincount(TAIL.values, drawn(made, epochs=60)) / (60 * 500)
    np.testing.assert_allclose(shares, sizes / 700, atol=0.01)
    assert drawn(made).max() <= 3


def test_ml_ros_draws_the_list_of_the_resampler_and_states_what_it_implies() -> None:
    split = stratified_split(HOT, fractions=(1.0, 0.0, 0.0))
    made = remedy("ml_ros", HOT, fraction=0.2, seed=4)
    after = ml_ros(TrainingRows.of(HOT, split), fraction=0.2, seed=4)
    times = np.bincount(after.rows, minlength=500)
    assert (drawn(made) <= times).all()
    rates = drawn(made, epochs=60) @ HOT.values / (60 * 500)
    np.testing.assert_allclose(rates, after.labels.counts / len(after), atol=0.01)
    hot = HOT.values
    rho = [times[hot[:, c] == 1].mean() / times[hot[:, c] == 0].mean() for c in range(3)]
    np.testing.assert_allclose(made.correction.nominal_weight, rho)


def test_rows_without_labels_have_a_weight_of_their_own() -> None:
    empty = ~HOT.values.any(axis=1)
    assert drawn(remedy("weighted_sampling", HOT, rule="sum", empty_weight=0.0))[empty].sum() == 0
    assert drawn(remedy("weighted_sampling", HOT, rule="sum"))[empty].sum() > 0


def test_a_rule_with_nothing_to_do_says_so() -> None:
    alike = Labels.from_array([[1, 0], [0, 1]] * 20, kind="multilabel")
    with pytest.warns(NoEffectWarning, match="ml_ros changes nothing here"):
        made = remedy("ml_ros", alike)
    assert made.correction.nominal_weight == (1.0, 1.0)


def test_settings_of_samplers_are_checked_by_their_rules() -> None:
    with pytest.raises(UsageError, match="`rule` must be one of 'max', 'mean', 'sum'"):
        remedy("weighted_sampling", HOT, rule="min")
    with pytest.raises(UsageError, match=r"`ratio` must lie in \(0, 1\]"):
        remedy("random_oversample", TAIL, ratio=2.0)
    with pytest.raises(UsageError, match="`num_epochs` must be a whole number >= 1"):
        remedy("progressive_sampling", TAIL, num_epochs=0)
    with pytest.raises(UsageError, match="`target` must be one of 'sqrt', 'equal'"):
        remedy("raking", HOT, target="root")


def test_resampled_labels_are_refused() -> None:
    split = stratified_split(TAIL, fractions=(0.6, 0.2, 0.2))
    after = random_oversample(TrainingRows.of(TAIL, split))
    with pytest.raises(LeakageError, match="be the labels as they were collected"):
        remedy("random_oversample", after.labels)


WITHOUT = """
import json, sys
sys.modules["torch"] = None
import numpy as np
from equipoise.artifacts import Labels
from equipoise.methods import methods_for
rng = np.random.default_rng(0)
made = {}
truths = {"multilabel": rng.random((90, 2)) < (0.1, 0.4), "multiclass": np.arange(90) % 8 // 5}
for kind, y in truths.items():
    labels = Labels.from_array(y.astype(int), kind=kind)
    for method in methods_for(kind):
        if method.family == "sampler" and method.name not in TORCH:
            settings = {"num_epochs": 3} if method.name == "progressive_sampling" else {}
            remedy = method.build(labels, **settings)
            drawn = [] if remedy.sampler is None else list(remedy.sampler(seed=4))
            made[f"{kind} {method.name}"] = [list(map(int, drawn)), remedy.correction.to_dict()]
print(json.dumps(made))
"""


def test_rows_are_drawn_alike_without_torch() -> None:
    """Tables are compared without it."""
    code = WITHOUT.replace("TORCH", "('augment_balance',)")
    found = [
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", source],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for source in (code, code.replace('sys.modules["torch"] = None', ""))
    ]
    without, with_torch = map(json.loads, found)
    assert without == with_torch
    assert len(without) > 15
    assert all(len(drawn) == 90 for drawn, _ in without.values() if drawn)
