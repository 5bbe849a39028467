"""One row of the catalogue: a method, what it needs, and how it becomes a remedy."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from equipoise._core.words import closest, say
from equipoise.errors import NoEffectWarning, UsageError

if TYPE_CHECKING:
    from equipoise.artifacts import Labels
    from equipoise.training.remedy import Remedy

__all__ = ["CLASSES", "LABELS", "Method", "entry"]

CLASSES, LABELS = "multiclass", "multilabel"
_PLACE = "equipoise.experiments"


@dataclass(frozen=True, slots=True)
class Method:
    """One way to treat imbalance.

    Args:
        name: As used in studies and on the command line.
        family: "baseline", "loss", "sampler", "mixing", "schedule" (treats late) or "two_stage".
        builders: Kind of labels -> "module:function" that makes the remedy.
        exactness: Kind of labels -> how exactly its effect on the probabilities of the final
            outputs is undone: those of the last stage, where there are several.
        settings: Parameters and their defaults.
        summary: One sentence.
        reference: Where it comes from.
        first_choice: Whether it is an arm by default; each further arm widens everybody's
            intervals.
        needs_images: Whether it works on the inputs themselves, so not on features.
    """

    name: str
    family: str
    builders: Mapping[str, str]
    exactness: Mapping[str, str]
    summary: str
    reference: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    first_choice: bool = True
    needs_images: bool = False

    @property
    def screens(self) -> bool:
        """Whether heads on fixed features can be trained with it."""
        return self.family != "two_stage" and not self.needs_images

    def build(self, labels: Labels, **settings: Any) -> Remedy:
        """Return the remedy for the given training labels.

        Note:
            Issues a `NoEffectWarning` where it trains as the untreated model does: on these rows,
            with these settings, it weighs nothing.
        """
        if labels.kind not in self.builders:
            expected = f"be used on {' or '.join(self.builders)} labels"
            do = f"Take one of `equipoise methods --kind {labels.kind}`."
            raise UsageError(say(self.name, expected, labels.kind, do))
        for key in settings:
            if key not in self.settings:
                raise UsageError(
                    say(f"{self.name}.{key}", "be a setting", key, closest(key, self.settings))
                    if self.settings
                    else f"`{self.name}` has no settings, got `{key}`. Remove it."
                )
        module, name = self.builders[labels.kind].split(":")
        builder: Callable[..., Remedy] = getattr(import_module(module), name)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            made = builder(labels, **{**self.settings, **settings})
        for told in caught:
            warnings.warn(told.message, told.category, stacklevel=2)
        if self.family != "baseline" and not any(
            issubclass(told.category, NoEffectWarning) for told in caught
        ):
            # Late: methods can be listed without torch.
            from equipoise.experiments.no_effect import say_if_idle

            say_if_idle(made, labels)
        return made


def entry(
    name: str,
    family: str,
    kinds: Mapping[str, str],
    summary: str,
    reference: str,
    exactness: str | Mapping[str, str] = "exact",
    *,
    module: str = "builders",
    first_choice: bool = True,
    needs_images: bool = False,
    **settings: Any,
) -> Method:
    """Return a method whose builders stand in one module beside this one.

    Args:
        name: As used in studies and on the command line.
        family: As in :class:`Method`.
        kinds: Kind of labels -> name of the builder.
        summary: One sentence.
        reference: Where it comes from.
        exactness: One for all kinds of labels, or one for each.
        module: Where the builders stand.
        first_choice: Whether it is an arm by default.
        needs_images: Whether it works on the inputs themselves.
        **settings: Parameters of the method and their defaults.
    """
    exact = exactness if isinstance(exactness, Mapping) else dict.fromkeys(kinds, exactness)
    builders = {kind: f"{_PLACE}.{module}:{builder}" for kind, builder in kinds.items()}
    return Method(
        name, family, builders, exact, summary, reference, settings, first_choice, needs_images
    )
