"""How jobs become stacks: shared batches, memory, maps larger than memory, and their cut."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from equipoise.artifacts import Labels
from equipoise.errors import UsageError
from equipoise.methods import remedy
from equipoise.training import HeadJob, HeadResult, HeadSettings, train_heads
from equipoise.training.heads import add_test_scores, estimate_seconds
from equipoise.training.heads.rows import Features, group_jobs
from equipoise.training.heads.stack import cut_jobs

N, TEST = 320, np.arange(280, 320)
NAMES = ("none", "focal", "pos_weight", "weighted_sampling", "drw", "drs", "mixup")


def problem() -> tuple[np.ndarray, Labels, list[HeadJob]]:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(N, 9)) * 3 + 5).astype(np.float32)
    hot = (x[:, :4] + rng.normal(size=(N, 4)) > 8).astype(int)
    labels = Labels.from_array(hot, kind="multilabel")
    jobs = []
    for seed in range(3):
        rows = np.random.default_rng(seed + 9).permutation(280)
        train, val = rows[:200], rows[200:]
        for lr, decay in ((1e-2, 0.0), (1e-1, 0.1)):
            # Each job with a remedy of its own: equal samplers are found out.
            made = [remedy(name, labels[train]) for name in NAMES]
            jobs += [HeadJob(m, seed, train, val, lr=lr, weight_decay=decay) for m in made]
    return x, labels, jobs


def train(x: np.ndarray, labels: Labels, jobs: list[HeadJob], **settings: object) -> dict:
    chosen = HeadSettings(**{"epochs": 3, "batch_size": 32, "dtype": "float64", **settings})
    found = list(train_heads(x, labels, TEST, jobs, settings=chosen))
    return {(r.trial.seed, r.trial.method, r.trial.config["heads"]["lr"]): r for r in found}


def assert_same(left: HeadResult, right: HeadResult) -> None:
    """The same up to rounding, which depends on the rest of the stack."""
    for one, two in zip(left.trial.history, right.trial.history, strict=True):
        assert one == pytest.approx(two, abs=1e-10)
    for part in ("val", "test"):
        values = (r.trial.scores[part].values for r in (left, right))
        np.testing.assert_allclose(*values, rtol=0, atol=1e-9)
    for key, value in left.state.items():
        np.testing.assert_allclose(value, right.state[key], rtol=0, atol=1e-9)


def test_heads_of_a_seed_that_draw_alike_share_batches_and_seeds_never_do() -> None:
    _, _, jobs = problem()
    groups = group_jobs(jobs)
    assert all(len({job.seed for job in group}) == 1 for group in groups)
    names = [sorted(job.remedy.name for job in group) for group in groups if group[0].seed == 1]
    shuffled = ["drw", "drw", "focal", "focal", "none", "none", "pos_weight", "pos_weight"]
    alone = [["drs"] * 2, ["mixup"] * 2, ["weighted_sampling"] * 2]
    assert sorted(names) == sorted([shuffled, *alone])
    late = replace(jobs[5].remedy, schedule=replace(jobs[5].remedy.schedule, start=0.4))
    two = [jobs[5], replace(jobs[5], remedy=late)]
    assert len(group_jobs(two)) == 2


@pytest.mark.parametrize("hidden", [0, 12])
def test_results_do_not_depend_on_the_cut(hidden: int) -> None:
    x, labels, jobs = problem()
    whole = train(x, labels, jobs, hidden=hidden)
    settings = HeadSettings(epochs=3, batch_size=32, hidden=hidden, memory_gb=1e-6)
    stacks = cut_jobs(jobs, settings, n_features=9, labels=labels, n_test=TEST.size)
    assert len(stacks) == len(jobs)
    for key, alone in train(x, labels, jobs, hidden=hidden, memory_gb=1e-6).items():
        assert_same(alone, whole[key])


def test_more_memory_means_fewer_stacks() -> None:
    _, labels, jobs = problem()
    sizes = []
    for memory in (1e-6, 4e-2, 1e-1, 1.0):
        settings = HeadSettings(memory_gb=memory, batch_size=32)
        stacks = cut_jobs(jobs, settings, n_features=1000, labels=labels, n_test=40)
        assert sum(len(group) for stack in stacks for group in stack) == len(jobs)
        sizes.append(len(stacks))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1
    assert len(set(sizes)) >= 3


@pytest.mark.parametrize("form", ["<f4", "<f8", ">f4", "<f2"])
def test_memory_maps_are_read_in_parts(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, labels, jobs = problem()
    given = x.astype(form)
    np.save(tmp_path / "x.npy", given)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    read: list[int] = []
    take = Features.take

    def counted(self: Features, rows: object, scale: object = None) -> object:
        read.append(len(rows))
        return take(self, rows, scale)

    monkeypatch.setattr(Features, "take", counted)
    monkeypatch.setattr("equipoise.training.heads.rows.ROWS_AT_ONCE", 64)
    whole = train(given, labels, jobs[:3])
    assert max(read) == 64
    for key, result in train(mapped, labels, jobs[:3]).items():
        assert_same(result, whole[key])


def test_moments_are_those_of_the_training_rows() -> None:
    x, _, jobs = problem()
    x[:, 3] = 1e6
    scale = Features(x, HeadSettings()).scale(jobs[0].train)
    part = x[jobs[0].train].astype(np.float64)
    np.testing.assert_allclose(scale.mean.numpy(), part.mean(0), rtol=1e-6)
    expected = np.where(np.arange(9) == 3, 1.0, part.std(0))
    np.testing.assert_allclose(scale.std.numpy(), expected, rtol=1e-6)


def test_test_scores_afterwards_are_those_of_training() -> None:
    x, labels, jobs = problem()
    for hidden in (0, 12):
        settings = HeadSettings(epochs=2, batch_size=32, hidden=hidden, dtype="float64")
        none = np.empty(0, dtype=np.int64)
        with_test = list(train_heads(x, labels, TEST, jobs[:7], settings=settings))
        without = list(train_heads(x, labels, none, jobs[:7], settings=settings))
        for full, part in zip(with_test, without, strict=True):
            assert set(part.trial.scores) == {"val"}
            job = next(j for j in jobs if j.remedy.name == part.trial.method)
            again = add_test_scores(
                part.trial, part.state, job.remedy, x, labels, TEST, settings=settings
            )
            np.testing.assert_allclose(
                again.scores["test"].values, full.trial.scores["test"].values, rtol=0, atol=1e-9
            )


def test_an_estimate_is_near_the_time_it_takes() -> None:
    x, labels, jobs = problem()
    assert estimate_seconds(x, labels, []) == 0.0
    settings = HeadSettings(epochs=5, batch_size=32)
    one = estimate_seconds(x, labels, jobs[:7], settings=settings, measure=0.05)
    assert 0.0 < one < 60.0


def test_settings_of_a_head_and_devices_are_checked() -> None:
    _, _, jobs = problem()
    with pytest.raises(UsageError, match="`lr` must be > 0"):
        replace(jobs[0], lr=0.0)
    with pytest.raises(UsageError, match="`weight_decay` must be >= 0"):
        replace(jobs[0], weight_decay=-1.0)
    with pytest.raises(UsageError, match="`device` must be one of 'auto', 'cpu', 'cuda'"):
        HeadSettings(device="tpu")
    with pytest.raises(UsageError, match="`memory_gb` must be > 0"):
        HeadSettings(memory_gb=0)


@pytest.mark.gpu
def test_a_gpu_gives_what_the_cpu_gives() -> None:
    x, labels, jobs = problem()
    made = [train(x, labels, jobs, device=d) for d in ("cpu", "cuda")]
    for key, result in made[0].items():
        values = (m[key].trial.scores["test"].values for m in (made[1], {key: result}))
        np.testing.assert_allclose(*values, rtol=0, atol=1e-6)
