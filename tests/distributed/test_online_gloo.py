"""Hard examples on two ranks: picked per rank, or by one threshold as one process would."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from two_ranks import spawn_two

from equipoise.losses import (
    BCELoss,
    CrossEntropyLoss,
    Loss,
    NegativeRatioLoss,
    OHEMLoss,
    SemiHardLoss,
)

pytestmark = pytest.mark.ddp
SIZES = (9, 4)


def build(name: str, gather: bool) -> Loss:
    bce, ce = BCELoss(reduction="none"), CrossEntropyLoss(reduction="none")
    made = {
        "ohem": lambda: OHEMLoss(bce, ratio=0.3, gather=gather),
        "ohem, label": lambda: OHEMLoss(bce, ratio=0.3, per="label", gather=gather),
        "ohem, class": lambda: OHEMLoss(ce, ratio=0.3, per="class", gather=gather),
        "ratio": lambda: NegativeRatioLoss(bce, ratio=1.0, gather=gather),
        "ratio, class": lambda: NegativeRatioLoss(ce, ratio=1.0, gather=gather),
        "semi-hard": lambda: SemiHardLoss(bce, low=0.3, high=0.9, gather=gather),
    }
    return made[name]()


NAMES = ["ohem", "ohem, label", "ohem, class", "ratio", "ratio, class", "semi-hard"]


def rows(name: str) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    x = torch.randn(sum(SIZES), 4, generator=g)
    if "class" in name:
        return x, torch.randint(0, 3, (sum(SIZES),), generator=g)
    y = (torch.rand(sum(SIZES), 3, generator=g) < 0.3).float()
    y[torch.rand(y.shape, generator=g) < 0.2] = float("nan")
    return x, y


def start_weight() -> Tensor:
    g = torch.Generator().manual_seed(2)
    return torch.randn(4, 3, generator=g).requires_grad_()


def work(rank: int, world: int, folder: str) -> None:
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world
    )
    try:
        found = {}
        own = slice(sum(SIZES[:rank]), sum(SIZES[: rank + 1]))
        for name in NAMES:
            x, y = (part[own] for part in rows(name))
            for gather in (False, True):
                loss, weight = build(name, gather), start_weight()
                value = loss(x @ weight, y)
                value.backward()
                alone = weight.grad.clone()
                dist.all_reduce(weight.grad)  # DDP averages over ranks
                found[f"{name} {gather}"] = [
                    value.detach(),
                    alone,
                    weight.grad / world,
                    loss.selected(x @ weight.detach(), y),
                    loss.divisor(y),
                    loss.eval()(x @ weight.detach(), y),
                ]
        torch.save(found, Path(folder, f"{rank}.pt"))
    finally:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[Tensor]]]:
    folder = tmp_path_factory.mktemp("online")
    spawn_two(work, folder)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", NAMES)
def test_gathered_the_step_is_that_of_one_process(
    name: str, found: list[dict[str, list[Tensor]]]
) -> None:
    x, y = rows(name)
    loss, weight = build(name, gather=False), start_weight()
    value = loss(x @ weight, y)
    value.backward()
    parts = [f[f"{name} True"] for f in found]
    for _, _, gradient, *_ in parts:
        torch.testing.assert_close(gradient, weight.grad)
    kept = torch.cat([part[3] for part in parts])
    assert torch.equal(kept, loss.selected(x @ weight.detach(), y))
    # The trainer joins means of parts by their divisors.
    total = sum(part[0] * part[4] for part in parts)
    torch.testing.assert_close(total / sum(part[4] for part in parts), value.detach())


@pytest.mark.parametrize("name", NAMES)
def test_by_default_and_in_evaluation_each_rank_picks_by_itself(
    name: str, found: list[dict[str, list[Tensor]]]
) -> None:
    x, y = rows(name)
    for rank, start in ((0, 0), (1, SIZES[0])):
        own = slice(start, start + SIZES[rank])
        weight = start_weight()
        loss = build(name, gather=False)
        value = loss(x[own] @ weight, y[own])
        value.backward()
        alone, shared = found[rank][f"{name} False"], found[rank][f"{name} True"]
        torch.testing.assert_close(alone[0], value.detach())
        torch.testing.assert_close(alone[1], weight.grad)
        torch.testing.assert_close(shared[5], value.detach())
        assert alone[4] == loss.divisor(y[own])


def test_this_can_fail(found: list[dict[str, list[Tensor]]]) -> None:
    assert not torch.allclose(found[0]["ohem True"][2], found[0]["ohem False"][2])
