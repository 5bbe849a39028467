"""Equally many settings for every arm, drawn from learning rate x weight decay x its own grid."""

from __future__ import annotations

from itertools import product
from typing import Any

from equipoise._core.fingerprint import canonical_json
from equipoise._core.messages import closest, say
from equipoise._core.rng import generator
from equipoise.errors import UsageError
from equipoise.methods import get_method
from equipoise.studies.baselines import BASELINES
from equipoise.studies.schema import Setting, Study, StudyArm


def settings_of(study: Study) -> dict[str, list[Setting]]:
    """Return the settings of each trained arm by its label, equally many for all.

    All arms meet the learning rates and weight decays in the same order, and more settings begin
    with those of fewer. Arms that scikit-learn fits have no learning rate: they get as many
    settings of their own grid as the others have, or all there are.

    Raises:
        UsageError: a grid that is empty, repeats a value or names no setting of its method, or
            more settings asked for than an arm has.

    Example:
        >>> from equipoise.studies.schema import parse_study
        >>> content = {"data": {"source": "digits"}, "arms": ["none", "focal"]}
        >>> study = parse_study({**content, "tuning": {"lr": [0.001, 0.01], "settings": 2}})
        >>> {arm: [s.lr for s in found] for arm, found in settings_of(study).items()}
        {'none': [0.01, 0.001], 'focal': [0.01, 0.001]}
    """
    tuning = study.tuning
    lr, weight_decay = study.rates
    rates = _distinct("tuning.lr", tuning.lr or [lr])
    decays = tuning.weight_decay or [weight_decay]
    pairs: list[tuple[float | None, float | None]] = list(
        product(rates, _distinct("tuning.weight_decay", decays))
    )
    arms = study.trained_arms()
    own = {arm.label: _own_grid(arm) for arm in arms}
    trained = [arm for arm in arms if not arm.is_fitted]
    sizes = {arm.label: len(pairs) * len(own[arm.label]) for arm in trained}
    sizes = sizes or {arm.label: len(own[arm.label]) for arm in arms}
    least = min(sizes, key=lambda label: sizes[label])
    count = tuning.settings or sizes[least]
    if count > sizes[least]:
        expected = f"be at most what each arm has: `{least}` has {sizes[least]} settings"
        do = "Add values to tuning.lr or tuning.weight_decay, which every arm has."
        raise UsageError(say("tuning.settings", expected, count, do))
    if count == 1 and max(sizes.values()) > 1:
        largest = max(sizes, key=lambda label: sizes[label])
        do = f"With a grid for `{largest}` alone it would be tuned and `{least}` not: give "
        raise UsageError(
            say("tuning.settings", "be at least 2", count, f"{do}tuning.lr several values.")
        )
    none: list[tuple[float | None, float | None]] = [(None, None)]
    return {
        arm.label: _draw(
            none if arm.is_fitted else pairs, own[arm.label], count, tuning.seed, arm.settings
        )
        for arm in arms
    }


def _distinct(name: str, values: list[Any]) -> list[Any]:
    keys = [canonical_json(value) for value in values]
    if not values or len(set(keys)) < len(keys):
        raise UsageError(say(name, "hold distinct values, one at least", values))
    return values


def _own_grid(arm: StudyArm) -> list[dict[str, Any]]:
    """Return every combination of an arm's own values; one empty one without a grid."""
    if ":" in arm.method:
        known = None  # its callable takes what it takes
    else:
        known = (BASELINES.get(arm.method) or get_method(arm.method)).settings
    for key, values in arm.grid.items():
        name = f"grid.{key} of {arm.label}"
        if known is not None and key not in known:
            raise UsageError(say(name, "be a setting of the method", key, closest(key, known)))
        if key in arm.settings:
            raise UsageError(say(name, "not be among its `settings` too", key, "Name it once."))
        _distinct(name, values)
    return [dict(zip(arm.grid, point, strict=True)) for point in product(*arm.grid.values())]


def _draw(
    pairs: list[tuple[float | None, float | None]],
    own: list[dict[str, Any]],
    count: int,
    seed: int,
    fixed: dict[str, Any],
) -> list[Setting]:
    """Return the first settings of a random order in which each pair comes once per round."""
    order = [pairs[i] for i in generator(seed, "tuning", "pairs").permutation(len(pairs))]
    points = [generator(seed, "tuning", i).permutation(len(own)) for i in range(len(order))]
    rounds = ((own[points[i][turn]], pair) for turn in range(len(own))
              for i, pair in enumerate(order))  # fmt: skip
    chosen = [found for found, _ in zip(rounds, range(count), strict=False)]
    return [Setting(lr, decay, {**fixed, **point}) for point, (lr, decay) in chosen]
