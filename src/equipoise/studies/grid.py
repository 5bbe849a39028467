"""Equally many settings for every arm, drawn from what all of its kind share x its own grid."""

from __future__ import annotations

from itertools import product
from typing import Any

from equipoise._core.fingerprint import canonical_json
from equipoise._core.messages import closest, say
from equipoise._core.rng import generator
from equipoise.errors import UsageError
from equipoise.methods import get_method
from equipoise.studies.baselines import BASELINES
from equipoise.studies.schema import HEAD, Setting, Study, StudyArm

_Base = tuple[float | None, float | None, dict[str, Any]]
"""What all arms of one kind meet alike: learning rate, weight decay, settings of the model."""


def settings_of(study: Study) -> dict[str, list[Setting]]:
    """Return the settings of each trained arm by its label, equally many for all.

    All arms meet the learning rates and weight decays, or the settings of their kind of model, in
    the same order, and more settings begin with those of fewer. What has nothing of the kind (a
    model without a grid, a reference, an arm that is a model of its own) gets as many settings of
    its own grid as the others have, or all there are.

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
    tuning, arms = study.tuning, study.trained_arms()
    own = {arm.label: _own_grid(arm) for arm in arms}
    bases = {arm.label: _bases(study, arm) for arm in arms}
    sizes = {label: len(bases[label]) * len(own[label]) for label in own}
    alike: dict[str, list[str]] = {}
    for arm in arms:
        if not arm.is_fitted or arm.model in {m.name for m in study.models}:
            alike.setdefault(arm.model if arm.is_fitted and arm.model else HEAD, []).append(
                arm.label
            )
    alike = alike or {"": list(own)}
    least = {kind: min(labels, key=lambda label: sizes[label]) for kind, labels in alike.items()}
    most = max(least.values(), key=lambda label: sizes[label])
    count = tuning.settings or sizes[most]
    if count > sizes[most]:
        expected = f"be at most what each arm has: `{most}` has {sizes[most]} settings"
        do = "Add values to tuning.lr or tuning.weight_decay, or to a model's grid: all have them."
        raise UsageError(say("tuning.settings", expected, count, do))
    found = {}
    for arm in arms:
        kind = next((k for k, labels in alike.items() if arm.label in labels), None)
        number = min(count, sizes[arm.label] if kind is None else sizes[least[kind]])
        if number == 1 and sizes[arm.label] > 1:
            do = f"With a grid for `{arm.label}` alone it would be tuned and the others not: give "
            more = "tuning.lr several values, or the model a grid."
            raise UsageError(say("tuning.settings", "be at least 2", number, f"{do}{more}"))
        found[arm.label] = _draw(
            bases[arm.label], own[arm.label], number, tuning.seed, arm.settings
        )
    return found


def _bases(study: Study, arm: StudyArm) -> list[_Base]:
    """Return what an arm shares with all of its kind: rates of heads, settings of its model."""
    if not arm.is_fitted:
        lr, weight_decay = study.rates_of(arm)
        rates = _distinct("tuning.lr", study.tuning.lr or [lr])
        decays = _distinct("tuning.weight_decay", study.tuning.weight_decay or [weight_decay])
        return [(rate, decay, {}) for rate, decay in product(rates, decays)]
    spec = study.spec_of_model(arm.model or "")
    for key, values in spec.grid.items():
        name = f"grid.{key} of {spec.name}"
        if key in spec.settings:
            raise UsageError(say(name, "not be among its `settings` too", key, "Name it once."))
        _distinct(name, values)
    points = product(*spec.grid.values())
    return [(None, None, dict(zip(spec.grid, point, strict=True))) for point in points]


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
    bases: list[_Base],
    own: list[dict[str, Any]],
    count: int,
    seed: int,
    fixed: dict[str, Any],
) -> list[Setting]:
    """Return the first settings of a random order in which each base comes once per round."""
    order = [bases[i] for i in generator(seed, "tuning", "pairs").permutation(len(bases))]
    points = [generator(seed, "tuning", i).permutation(len(own)) for i in range(len(order))]
    rounds = ((own[points[i][turn]], base) for turn in range(len(own))
              for i, base in enumerate(order))  # fmt: skip
    chosen = [found for found, _ in zip(rounds, range(count), strict=False)]
    return [Setting(lr, decay, {**fixed, **point}, model) for point, (lr, decay, model) in chosen]
