"""How a sampler behaves: length, rows, epochs, randomness, ranks; its labels do not matter here."""

from __future__ import annotations

from typing import Any

from torch.utils.data import DistributedSampler

from equipoise.artifacts.finding import Finding
from equipoise.audit.draws import Draws, take
from equipoise.audit.probe import finding
from equipoise.audit.source import Source, as_rank, set_epoch
from equipoise.audit.state import changed_state, global_state

PREFIX = 100_000


def stated_length(sampler: Any) -> int | None:
    """Return ``len(sampler)``, or None where it has none."""
    try:
        return len(sampler)
    except (TypeError, NotImplementedError, AttributeError):
        return None


def length_finding(sampler: Any, epochs: list[Draws]) -> list[Finding]:
    """Return where ``len`` is not what is yielded."""
    stated = stated_length(sampler)
    what = "rows" if epochs[0].sizes is None else "batches"
    whole = [e.items for e in epochs if e.ended]
    evidence = {"length": stated, "yielded": [e.items for e in epochs]}
    if len(whole) > 1 and whole[0] and not all(whole[1:]):
        message = f"The first epoch yields {whole[0]:,} {what}, a later one yields nothing."
        todo = "Start anew in `__iter__`; do not hand over an iterator that is used up."
    elif stated is None:
        message = f"It has no length; one epoch yielded {epochs[0].items:,} {what}"
        message += "." if epochs[0].ended else " and was not at its end."
        todo = "Add `__len__`: progress bars, schedulers and equal work on all ranks need it."
    elif any(n != stated for n in whole) or any(not e.ended and e.items > stated for e in epochs):
        seen = ", ".join(f"{e.items:,}" + ("" if e.ended else " and more") for e in epochs)
        message = f"Its length is {stated:,}, but epochs yield {seen} {what}."
        todo = "Return from `__len__` what `__iter__` yields on this rank, in each epoch."
    else:
        return []
    return [finding("EQ601", message, evidence, (todo,))]


def row_finding(draws: Draws, n: int) -> list[Finding]:
    """Return what was yielded that is no row of the data."""
    outside = draws.rows[~draws.inside(n)]
    if not outside.size and not draws.odd_count:
        return []
    said = []
    if outside.size:
        said.append(f"{outside.size:,} indices outside 0 to {n - 1:,} (first: {outside[0]})")
    if draws.odd_count:
        said.append(f"{draws.odd_count:,} things that are no index ({', '.join(draws.odd)})")
    low = bool(outside.size and outside.min() < 0)
    message = f"It yields {' and '.join(said)}."
    message += " Negative indices silently count from the end." if low else ""
    evidence = {"outside": int(outside.size), "no_index": draws.odd_count, "rows": n}
    todo = "Audit it with the labels of the data set it is for: one label row per item, in order."
    return [finding("EQ602", message, evidence, (todo, "Yield plain integers from 0 to N - 1."))]


def epoch_finding(epochs: list[Draws], has_epochs: bool) -> list[Finding]:
    """Return whether every epoch draws the same rows in the same order."""
    if len(epochs) < 2 or epochs[0].rows.size < 2 or not epochs[1].rows.size:
        return []
    if not all(e.starts_like(epochs[0]) for e in epochs[1:]):
        return []
    why = "although `set_epoch` is called" if has_epochs else "and there is no `set_epoch`"
    message = f"Epochs 0 to {len(epochs) - 1} draw the same rows in the same order, {why}."
    todo = "Derive the draw from seed + epoch, and let `set_epoch(epoch)` change it."
    return [finding("EQ603", message, {"set_epoch": has_epochs}, (todo,))]


def random_finding(source: Source, first: Draws) -> list[Finding]:
    """Return whether draws repeat, and whether they come from the global generators.

    Args:
        source: The sampler.
        first: Epoch 0 of a fresh one, the global generators seeded with 0.
    """
    again = source.fresh(0)
    if again is None:
        return []
    before = global_state()
    set_epoch(again, 0)
    same = take(again, PREFIX)
    moved = changed_state(before, global_state())
    other = source.fresh(1)
    set_epoch(other, 0)
    other = take(other, PREFIX)
    said = []
    if not first.starts_like(same):
        said.append(
            "two samplers made alike, with all global generators seeded alike, draw different rows"
        )
    elif not first.starts_like(other):
        said.append("its draws depend on the global generators, not on a seed of its own")
    if moved:
        said.append(f"drawing moves {' and '.join(moved)}, so everything after it changes too")
    if not said:
        return []
    message = f"{'; '.join(said)}."
    evidence = {
        "repeats": first.starts_like(same),
        "reads_global": first.starts_like(same) and not first.starts_like(other),
        "moves": moved,
    }
    todo = "Give it a seed and a generator of its own: torch.Generator().manual_seed(seed + epoch)."
    return [finding("EQ604", message[0].upper() + message[1:], evidence, (todo,))]


def rank_finding(sampler: Any, source: Source) -> list[Finding]:
    """Return what happens on two ranks, with ``torch.distributed`` answering as there."""
    try:
        shares = [share for rank in (0, 1) if (share := _share(source, rank)) is not None]
    except Exception:
        return []  # it asks the other processes, which are not there
    if len(shares) < 2:
        return []
    (first, long), (second, short) = shares
    inner = getattr(sampler, "sampler", None)
    shardable = isinstance(sampler, DistributedSampler) or isinstance(inner, DistributedSampler)
    evidence: dict[str, Any] = {"distributed_sampler": shardable, "lengths": [long, short]}
    if long != short or (first.ended and second.ended and first.items != second.items):
        message = (
            f"On two ranks it yields {first.items:,} and {second.items:,} items: the longer rank "
            "waits for the other one without end."
        )
        return [finding("EQ605", message, evidence, ("Yield the same number on every rank.",))]
    if first.starts_like(second):
        return [] if shardable and source.make is None else _unsharded(sampler, evidence)
    again = _share(source, 0)
    if again is not None and not first.starts_like(again[0]):
        return [] if shardable else _unsharded(sampler, evidence, agreed=False)
    if shardable or first.sizes is not None:
        return []
    message = (
        "It gives each rank rows of its own but is no `DistributedSampler`, so trainers do not "
        "see that: Lightning and accelerate shard it once more, and half of the rows get lost."
    )
    todo = "Derive it from torch.utils.data.DistributedSampler."
    return [finding("EQ605", message, evidence, (todo,))]


def _share(source: Source, rank: int) -> tuple[Draws, int | None] | None:
    """Return what one of two ranks draws, and the length it states."""
    with as_rank(rank):
        one = source.fresh(0)
        if one is None:
            return None
        set_epoch(one, 0)
        return take(one, PREFIX), stated_length(one)


def _unsharded(sampler: Any, evidence: dict[str, Any], *, agreed: bool = True) -> list[Finding]:
    what = "unaware of ranks" if evidence["distributed_sampler"] else "no `DistributedSampler`"
    draws = "both draw the same rows" if agreed else "each draws for itself, and never alike"
    message = (
        f"{type(sampler).__name__} is {what}: on two ranks {draws}, so a bare loop does not share "
        "the work. Lightning wraps it, which is right only while all ranks are seeded alike; Ray "
        "Train replaces it without a word, and the balance is gone."
    )
    todo = (
        "Draw with `equipoise.sampling.WeightedSampler(weights)`, a `DistributedSampler`.",
        "In one process there is nothing to do.",
    )
    return [finding("EQ605", message, evidence, todo)]
