"""Two Lightning processes: the sampler stays in place and each rank gets its share of positives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightning_script import main
from two_ranks import as_torchrun_starts_two

from equipoise.sampling import ClassBalancedSampler, StratifiedBatchSampler

pytestmark = pytest.mark.ddp
LABELS = np.repeat([0, 1], [950, 51])


NAMESPACES = ["lightning.pytorch", "pytorch_lightning"]


def train(folder: Path, kind: str, namespace: str) -> list[dict[str, Any]]:
    as_torchrun_starts_two(main, str(folder), kind, namespace)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_lightning_leaves_the_sampler_alone(namespace: str, tmp_path: Path) -> None:
    ranks = train(tmp_path, "rows", namespace)
    assert [rank["sampler"] for rank in ranks] == ["ClassBalancedSampler"] * 2
    alone = ClassBalancedSampler(LABELS, seed=7)
    for epoch in range(2):
        rows = [rank["rows"][epoch] for rank in ranks]
        assert [len(part) for part in rows] == [501, 501]
        alone.set_epoch(epoch)
        assert np.stack(rows, axis=1).ravel()[:1001].tolist() == list(alone)
        for part in rows:
            # Half of 501 draws, within four standard deviations.
            assert abs(LABELS[part].sum() - 250.5) < 4 * np.sqrt(501) / 2
    assert ranks[0]["rows"][0] != ranks[0]["rows"][1]


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_lightning_keeps_what_a_batch_sampler_promises(namespace: str, tmp_path: Path) -> None:
    ranks = train(tmp_path, "batches", namespace)
    assert [rank["sampler"] for rank in ranks] == ["StratifiedBatchSampler"] * 2
    alone = StratifiedBatchSampler(LABELS, batch_size=20, min_positives=5, seed=7)
    for epoch in range(2):
        rows = [np.array(rank["rows"][epoch]).reshape(-1, 20) for rank in ranks]
        assert [len(part) for part in rows] == [25, 25]
        alone.set_epoch(epoch)
        assert np.stack(rows, axis=1).reshape(-1, 20).tolist() == list(alone)
        for part in rows:
            assert (LABELS[part].sum(1) >= 5).all()
            assert (LABELS[part].sum(1) <= 10).all()
    assert ranks[0]["rows"][0] != ranks[0]["rows"][1]
