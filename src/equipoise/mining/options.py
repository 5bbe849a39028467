"""How hard negatives are mined: how many to begin with, which to add, when to stop."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from equipoise._core.checks import require_within, to_fraction, to_positive
from equipoise._core.messages import closest, one_of, say
from equipoise.errors import UsageError

Weighting = Literal["inverse", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningOptions:
    """Everything about mining that depends neither on data nor on the trainer.

    Args:
        ratio: Negatives drawn at random for each positive to begin with, > 0. They stay.
        rounds: Mined rounds at most, after the first training.
        top_k: Hard negatives added per round at most. None: no limit where ``threshold`` is given,
            else as many as there are positives.
        threshold: Only negatives whose calibrated probability of being a positive is at least
            this, in (0, 1); None takes the hardest whatever they score.
        cap: Hard negatives added per group (image, patient) and round at most; None: no limit.
        easy: Negatives drawn at random among those that are not hard, for each hard one that is
            added, >= 0.
        ceiling: Share of the negatives left out, the very hardest, that is skipped, in [0, 1):
            where labels are incomplete, many of them are positives that nobody marked.
        patience: Stop when average precision on validation rows has not risen for so many rounds.
        min_new: Stop when fewer new hard negatives than this appear, at least 1.
        restart: Train from the beginning in each round; False goes on from the round before.
        weighting: "inverse" weights each row by one over its inclusion probability, so that the
            chosen negatives stand for all of them; "none" does not.

    Raises:
        UsageError: a value outside its range.

    Example:
        >>> MiningOptions(threshold=0.5, cap=3).weighting
        'inverse'
    """

    ratio: float = 3.0
    rounds: int = 5
    top_k: int | None = None
    threshold: float | None = None
    cap: int | None = None
    easy: float = 0.25
    ceiling: float = 0.0
    patience: int = 2
    min_new: int = 1
    restart: bool = True
    weighting: Weighting = "inverse"

    def __post_init__(self) -> None:
        to_positive("ratio", self.ratio)
        to_positive("easy", self.easy, zero=True)
        if self.threshold is not None:
            to_fraction("threshold", self.threshold)
        require_within(
            "ceiling", self.ceiling, "[0, 1)", "0.001 skips the hardest one in a thousand."
        )
        least = {"rounds": 0, "top_k": 1, "cap": 1, "patience": 1, "min_new": 1}
        for name, low in least.items():
            value = getattr(self, name)
            optional = name in ("top_k", "cap") and value is None
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not optional and (not whole or value < low):
                raise UsageError(say(name, f"be a whole number >= {low}", repr(value)))
        if not isinstance(self.restart, bool):
            raise UsageError(say("restart", "be true or false", repr(self.restart)))
        one_of("weighting", self.weighting, get_args(Weighting))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], name: str = "mining") -> MiningOptions:
        """Return options from plain values, as a YAML file holds them.

        Raises:
            UsageError: an unknown key, with the closest known one, or a value outside its range.

        Example:
            >>> MiningOptions.from_mapping({"ratio": 1, "rounds": 2}).ratio
            1.0
        """
        known = {f.name: f for f in dataclasses.fields(cls)}
        numbers = ("ratio", "threshold", "easy", "ceiling")
        checked: dict[str, Any] = {}
        for key, value in values.items():
            if key not in known:
                raise UsageError(f"`{name}.{key}` is not an option. {closest(key, known)}")
            if key in numbers and value is not None:
                if isinstance(value, bool) or not isinstance(value, (int, float)):
                    raise UsageError(say(f"{name}.{key}", "be a number", repr(value)))
                value = float(value)
            checked[key] = value
        return cls(**checked)

    def most_new(self, n_positive: int) -> int | None:
        """Return the hard negatives that one round may add, or None for any number."""
        if self.top_k is None and self.threshold is None:
            return n_positive
        return self.top_k
