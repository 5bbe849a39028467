"""Methods joined by "+": rows, loss, mixing and stage of different methods in one remedy."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from equipoise._core.messages import one_of, say
from equipoise.artifacts import Labels
from equipoise.errors import DoubleCorrectionWarning, NoEffectWarning, UsageError
from equipoise.methods.losses import plain
from equipoise.methods.method import Method
from equipoise.methods.mixing import add_mixing
from equipoise.training.combination import add_sampler
from equipoise.training.remedy import Remedy

Counts = Literal["before", "after"]
COUNTS: tuple[Counts, ...] = ("before", "after")

_SLOTS = {
    "baseline": "loss",
    "loss": "loss",
    "sampler": "rows",
    "mixing": "mixing",
    "schedule": "schedule",
    "two_stage": "stage",
}
_ORDER = ("loss", "schedule", "rows", "mixing", "stage")
_WEAKNESS = ("exact", "approximate", "none")
_EPOCHS = 20


@dataclass(frozen=True, slots=True)
class Composition(Method):
    """Several methods as one; see :func:`compose`."""

    parts: tuple[Method, ...] = ()

    def build(self, labels: Labels, **settings: Any) -> Remedy:
        """Return the remedy for the given training labels.

        Args:
            labels: Of the training rows.
            **settings: ``PART.SETTING`` of its parts, and ``counts``: whether the loss takes its
                counts "before" or "after" the rows are drawn.

        Raises:
            UsageError: parts or settings that do not fit one another.

        Note:
            Issues a `NoEffectWarning` where a loss that weighs by counts finds them balanced by
            the rows drawn before it: it then does nothing.
        """
        counts = one_of("counts", settings.pop("counts", "before"), COUNTS)
        own = {part.name: self._settings_of(part, settings) for part in self.parts}
        by_slot = {_SLOTS[part.family]: part for part in self.parts}
        rows = by_slot.get("rows")
        drawn = None if rows is None else rows.build(labels, **own[rows.name])
        seen = labels
        if drawn is not None and counts == "after":
            seen = _as_drawn(labels, drawn)
        return self._join(labels, seen, by_slot, own, drawn)

    def _join(
        self,
        labels: Labels,
        seen: Labels,
        by_slot: Mapping[str, Method],
        own: Mapping[str, dict[str, Any]],
        drawn: Remedy | None,
    ) -> Remedy:
        first = by_slot.get("loss") or by_slot.get("schedule")
        base = plain(labels)
        if first is not None:
            with _quiet_about(NoEffectWarning, when=seen is not labels):  # said below, with why
                base = first.build(seen, **own[first.name])
        if drawn is not None and drawn.sampler is not None:
            if first is not None and getattr(base.schedule, "sampler", None) is not None:
                # The late draws take the place of these, whose correction would then be wrong.
                both = f"{drawn.name} and {first.name}, which draws rows of its own late"
                raise UsageError(say(self.name, "hold one method for the rows", both))
            if first is not None:
                _say_if_idle(first, own[first.name], labels, seen)
            # Counts "after": the loss weighs what the rows have left.
            with _quiet_about(DoubleCorrectionWarning, when=seen is not labels):
                base = add_sampler(base, drawn.sampler, drawn.correction, labels)
            base = replace(base, augmentation=drawn.augmentation)
        mixing = by_slot.get("mixing")
        if mixing is not None:
            mixed = mixing.build(labels, **own[mixing.name])
            if mixed.mixing is not None:
                base = add_mixing(base, mixed.mixing)
        stage = by_slot.get("stage")
        if stage is not None:
            base = replace(base, second_stage=stage.build(labels, **own[stage.name]).second_stage)
        settings = {f"{name}.{key}": v for name, given in own.items() for key, v in given.items()}
        if drawn is not None and seen is not labels:
            settings["counts"] = "after"
        return replace(base, name=self.name, settings=settings)

    def _settings_of(self, part: Method, given: Mapping[str, Any]) -> dict[str, Any]:
        for key in given:
            name, dot, setting = key.partition(".")
            known = {p.name: p for p in self.parts}
            if not dot or name not in known or setting not in known[name].settings:
                every = [f"{p.name}.{s}" for p in self.parts for s in p.settings]
                do = f"Known: {', '.join([*every, 'counts'])}."
                raise UsageError(say(f"{self.name}.{key}", "be a setting", key, do))
        mine = {key.partition(".")[2]: value for key, value in given.items()
                if key.partition(".")[0] == part.name}  # fmt: skip
        return {**part.settings, **mine}


def compose(parts: Sequence[Method]) -> Composition:
    """Return one method of several: at most one of each kind.

    The loss (or schedule) is made first, then the rows that are drawn, what mixes them, and the
    stage that follows. Each part's correction is undone in turn; a part without one leaves a
    fitted calibrator as the only way.

    Args:
        parts: A loss or a schedule, a sampler, a mixing, a second stage.

    Raises:
        UsageError: one part, two of a kind, or parts for different kinds of labels.

    Example:
        >>> import equipoise as eq
        >>> labels = eq.Labels.from_array([0] * 90 + [1] * 10, kind="multiclass")
        >>> made = eq.remedy("square_root_sampling+weighted_ce", labels, counts="after")
        >>> made.sampler is not None, made.correction.exactness, made.settings["counts"]
        (True, 'exact', 'after')
        >>> [round(w, 2) for w in made.loss.weight.tolist()]
        [0.68, 1.9]
    """
    name = "+".join(part.name for part in parts)
    alone = next((part.name for part in parts if part.family not in _SLOTS), None)
    if alone is not None:
        do = "It balances classes itself: what weighs or draws beside it would do so twice."
        raise UsageError(say(name, "be of losses, samplers, mixing and stages", alone, do))
    slots = [_SLOTS[part.family] for part in parts]
    if len(parts) < 2:
        raise UsageError(say("composition", "join two methods or more", name))
    for slot in slots:
        if slots.count(slot) > 1:
            twice = [p.name for p in parts if _SLOTS[p.family] == slot]
            raise UsageError(say(name, f"hold one method for the {slot}", " and ".join(twice)))
    if {"loss", "schedule"} <= set(slots):
        do = "A schedule brings its losses; use equipoise.methods.defer."
        raise UsageError(say(name, "hold a loss or a schedule", "both", do))
    kinds = [kind for kind in parts[0].kinds if all(kind in p.kinds for p in parts)]
    if not kinds:
        each = ", ".join(f"{p.name} ({'/'.join(p.kinds)})" for p in parts)
        raise UsageError(say(name, "be of methods for the same kind of labels", each))
    ordered = tuple(sorted(parts, key=lambda p: _ORDER.index(_SLOTS[p.family])))
    return Composition(
        name=name,
        family="composition",
        kinds=tuple(kinds),
        exactness={kind: _weakest(ordered, kind) for kind in kinds},
        summary="; ".join(part.summary.rstrip(".") for part in ordered) + ".",
        reference="; ".join(dict.fromkeys(part.reference for part in ordered)),
        settings={f"{p.name}.{key}": value for p in ordered for key, value in p.settings.items()}
        | {"counts": "before"},
        first_choice=False,
        parts=ordered,
    )


def _weakest(parts: Sequence[Method], kind: str) -> str:
    """Return how exactly the whole is undone: what a second stage says holds for the end."""
    for part in parts:
        if _SLOTS[part.family] == "stage":
            return part.exactness[kind]
    return max((part.exactness[kind] for part in parts), key=_WEAKNESS.index)


def _as_drawn(labels: Labels, drawn: Remedy) -> Labels:
    """Return the labels of many epochs' draws, so that chance hardly moves the counts."""
    if drawn.sampler is None:
        return labels
    sampler = drawn.sampler(seed=0)
    tell = getattr(sampler, "set_num_epochs", None)
    if callable(tell):
        tell(2)  # what changes over training counts by its end
    rows = []
    for epoch in range(1, _EPOCHS + 1):
        sampler.set_epoch(epoch)
        rows.append(np.fromiter(iter(sampler), dtype=np.int64))
    return _scaled(labels, np.concatenate(rows))


def _scaled(labels: Labels, rows: NDArray[np.int64]) -> Labels:
    """Return as many rows as there are labels, spread evenly over sorted draws."""
    picks = np.linspace(0, rows.size - 1, len(labels)).round().astype(np.int64)
    return labels[np.sort(rows)[picks]]


def _say_if_idle(loss: Method, settings: Mapping[str, Any], labels: Labels, seen: Labels) -> None:
    """Warn where the rows have left a loss that weighs by counts nothing to weigh."""
    if seen is labels:
        return
    with _quiet_about(NoEffectWarning):
        before, after = (loss.build(given, **settings) for given in (labels, seen))
    shift, left = (
        np.ptp(made.correction.apply(np.zeros((1, labels.num_classes))))
        if made.correction.exactness != "none"
        else np.nan
        for made in (before, after)
    )
    if shift > 0.05 and left < 0.1 * shift:
        warnings.warn(
            f"'{loss.name}' takes its counts after the rows are drawn, and finds them balanced: "
            'it does next to nothing. Take counts="before", or the rows alone.',
            NoEffectWarning,
            stacklevel=4,
        )


@contextmanager
def _quiet_about(kind: type[Warning], *, when: bool = True) -> Iterator[None]:
    with warnings.catch_warnings():
        if when:
            warnings.simplefilter("ignore", kind)
        yield
