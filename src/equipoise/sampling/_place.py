"""What row and batch samplers share: rank and world size, the epoch, and going on inside one."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from operator import length_hint
from typing import Any, Literal, TypeVar

import numpy as np

from equipoise._core.rng import generator
from equipoise._core.words import one_of, say
from equipoise.errors import UsageError

Sharding = Literal["auto", "none"]
_SHARDING: tuple[Sharding, ...] = ("auto", "none")
Item = TypeVar("Item")


def positive_int(name: str, value: int) -> int:
    """Return a whole number of at least 1."""
    if int(value) != value or value < 1:
        raise UsageError(say(name, "be a whole number >= 1", value))
    return int(value)


def _torch_place() -> tuple[int, int]:
    """Return rank and world size of torch.distributed; where torch is not loaded, none is up."""
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return 0, 1
    return int(distributed.get_rank()), int(distributed.get_world_size())


class Placed:
    """Seed, epoch, place among ranks and position; what is drawn is left to the sampler.

    One global sequence of ``total`` items is drawn per epoch, the same on every rank; item i goes
    to rank i modulo the world size. Where the ranks do not divide it, it begins anew at its end.
    """

    seed: int
    epoch: int
    rank: int
    num_replicas: int

    def _settle(
        self, total: int, sharding: Sharding, num_replicas: int | None, rank: int | None
    ) -> None:
        """Check and store the place; call after ``seed`` and ``epoch`` are set."""
        one_of("sharding", sharding, _SHARDING)
        if (num_replicas is None) != (rank is None):
            raise UsageError("`num_replicas` and `rank` must be given together, or neither.")
        self._place = (0, 1) if sharding == "none" else None
        if num_replicas is not None and rank is not None:
            world = positive_int("num_replicas", num_replicas)
            if sharding == "none":
                do = "Leave `num_replicas` and `rank` out, or shard here."
                raise UsageError(say("sharding", "be 'auto' where ranks are given", sharding, do))
            if not 0 <= rank < world:
                raise UsageError(say("rank", f"lie in 0 to {world - 1}", rank))
            self._place = (rank, world)
        self._total, self._pending = total, 0
        self._live: tuple[int, int, Iterator[Any]] | None = None
        self._resolve()

    def place_at(self, rank: int, num_replicas: int) -> None:
        """Say which of how many processes this is, where no one else does: JAX, for example."""
        if self._place is None:
            self._place = (int(rank), positive_int("num_replicas", num_replicas))
            self._resolve()

    def _resolve(self) -> tuple[int, int]:
        """Find rank and world size now: samplers are often made before the process group."""
        rank, world = 0, 1
        if self._place is not None:
            rank, world = self._place
        else:
            rank, world = _torch_place()
        self.rank, self.num_replicas = rank, world
        return rank, world

    def _left(self) -> int:
        """Return how many items this rank still has to yield in this epoch."""
        _, world = self._resolve()
        return -(-(self._total - self._pending) // world)

    def _begin(self) -> tuple[int, int, int, int]:
        """Return rank, world size, items already used, and items to use with those that pad."""
        rank, world = self._resolve()
        used, self._pending = self._pending, 0
        return rank, world, used, -(-(self._total - used) // world) * world

    def _count(self, items: Sequence[Item], used: int) -> Iterator[Item]:
        """Yield the items, after ``used`` of the whole; `state_dict` can ask how many came."""
        live = iter(items)
        self._live = (used, len(items), live)
        yield from live

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; each has its own draw, and without this call all are alike."""
        if int(epoch) != self.epoch:
            self._pending, self._live = 0, None
        self.epoch = int(epoch)

    def state_dict(self, consumed: int | None = None) -> dict[str, Any]:
        """Return seed, epoch and position: all that the rest of the epoch depends on.

        Args:
            consumed: Items this rank has trained on in this epoch. None counts what was yielded,
                which is too much where worker processes fetch ahead.
        """
        used = self._pending
        if consumed is not None:
            used = int(consumed) * self.num_replicas
        elif self._live is not None:
            before, length, rest = self._live
            used = before + (length - length_hint(rest)) * self.num_replicas
        return {"seed": self.seed, "epoch": self.epoch, "position": min(used, self._total)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned; the number of ranks may have changed."""
        self.seed, self.epoch = int(state["seed"]), int(state["epoch"])
        used = int(state.get("position", 0))
        self._live, self._pending = None, 0 if used >= self._total else used

    def _stream(self, name: str) -> np.random.Generator:
        return generator(self.seed, "sampling", name, self.epoch)
