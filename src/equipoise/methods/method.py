"""What a method is, and the decorator that makes one of a function."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, cast

from equipoise._core.messages import closest, say
from equipoise.errors import MissingExtraError, NoEffectWarning, UsageError

if TYPE_CHECKING:
    from equipoise.artifacts import Labels
    from equipoise.training.remedy import Remedy

_KINDS: dict[str, tuple[type, str]] = {
    "float": (Real, "a number"),
    "int": (Integral, "a whole number"),
    "bool": (bool, "true or false"),
    "str": (str, "a word"),
}
"""What settings may be annotated as that is checked, and in what words."""
CLASSES, LABELS = "multiclass", "multilabel"

Make = Callable[..., Any]
"""Called with the training labels and the settings."""

Finish = Callable[[str, Any, "Labels"], "Remedy"]
"""Makes a remedy of a method's name, what its function returned, and the training labels."""


class OnDemand:
    """A package that is loaded where it is used first, so that methods are listed without torch.

    Args:
        name: Of the package.
        otherwise: What stands for a name where the package lacks its extra.
    """

    def __init__(self, name: str, otherwise: Mapping[str, Any] | None = None) -> None:
        self._name, self._otherwise = name, otherwise or {}

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(import_module(self._name), name)
        except MissingExtraError:
            if name not in self._otherwise:
                raise
            return self._otherwise[name]


@dataclass(frozen=True, slots=True)
class Method:
    """One way to treat imbalance.

    Args:
        name: As used in studies and on the command line.
        family: "baseline", "loss", "sampler", "mixing", "schedule" (treats late), "two_stage", or
            for tables alone "resampling" and "bagging".
        kinds: Of labels that it is for.
        exactness: Kind of labels -> how exactly its effect on the probabilities of the final
            outputs is undone: those of the last stage, where there are several.
        summary: One sentence.
        reference: Where it comes from.
        settings: Parameters and their defaults.
        first_choice: Whether it is an arm by default; each further arm widens everybody's
            intervals.
        needs_images: Whether it works on the inputs themselves, so not on features.
        function: What was decorated.
        finish: Makes a remedy of what that returns; None where it is one.
    """

    name: str
    family: str
    kinds: tuple[str, ...]
    exactness: Mapping[str, str]
    summary: str
    reference: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    first_choice: bool = True
    needs_images: bool = False
    function: Make | None = None
    finish: Finish | None = None

    @property
    def model(self) -> str | None:
        """The kind of model of a table that it is, where it is one: balanced bagging."""
        return self.name if self.family == "bagging" else None

    @property
    def screens(self) -> bool:
        """Whether heads on fixed features can be trained with it."""
        return self.family != "two_stage" and not (self.needs_images or self.needs_table)

    @property
    def needs_table(self) -> bool:
        """Whether it works on columns, with kinds of models of a table alone."""
        return self.family in ("resampling", "bagging")

    def make(self, labels: Labels, **settings: Any) -> Remedy:
        """Return the remedy without asking whether kind, settings and effect are what they should.

        Args:
            labels: Of the training rows.
            **settings: Those that differ from the defaults.
        """
        chosen = {**self.settings, **settings}
        made = self.function(labels, **chosen)  # type: ignore[misc]  # a composition has its own
        remedy = made if self.finish is None else self.finish(self.name, made, labels)
        return replace(remedy, name=self.name, settings=chosen)

    def require_kind(self, key: str, value: Any) -> None:
        """Raise unless a setting is of the kind that the function says: a number, true or false.

        Raises:
            UsageError: it is of another kind, or no finite number.
        """
        if self.function is None or key not in inspect.signature(self.function).parameters:
            return
        said = str(inspect.signature(self.function).parameters[key].annotation).split(" | ")
        if said[0] not in _KINDS or (value is None and "None" in said):
            return
        kind, words = _KINDS[said[0]]
        fits = isinstance(value, kind) and (kind is bool) == isinstance(value, bool)
        if not fits or (isinstance(value, Real) and not abs(cast(float, value)) < 2**53):
            raise UsageError(say(f"{self.name}.{key}", f"be {words}", repr(value)))

    def build(self, labels: Labels, **settings: Any) -> Remedy:
        """Return the remedy for the given training labels.

        Note:
            Issues a `NoEffectWarning` where it trains as the untreated model does: on these rows,
            with these settings, it weighs nothing.
        """
        if labels.kind not in self.kinds:
            expected = f"be used on {' or '.join(self.kinds)} labels"
            do = f"Take one of `equipoise methods --kind {labels.kind}`."
            raise UsageError(say(self.name, expected, labels.kind, do))
        for key in settings:
            if key not in self.settings:
                raise UsageError(
                    say(f"{self.name}.{key}", "be a setting", key, closest(key, self.settings))
                    if self.settings
                    else f"`{self.name}` has no settings, got `{key}`. Remove it."
                )
            self.require_kind(key, settings[key])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            made = self.make(labels, **settings)
        for told in caught:
            warnings.warn(told.message, told.category, stacklevel=2)
        if self.family != "baseline" and not any(
            issubclass(told.category, NoEffectWarning) for told in caught
        ):
            say_if_idle(made, labels)
        return made


def say_if_idle(made: Remedy, labels: Labels) -> None:
    """Warn where a remedy trains as the untreated model does; without torch nobody can ask."""
    try:
        from equipoise.methods.no_effect import say_if_idle as say_so
    except ImportError:
        return
    say_so(made, labels)


def method(
    family: str,
    *kinds: str,
    reference: str,
    exactness: str | Mapping[str, str] = "exact",
    first_choice: bool = False,
    needs_images: bool = False,
    finish: Finish | None = None,
) -> Callable[[Make], Method]:
    """Make a method of the function below: its name, its settings and its summary stand there.

    The function takes the training labels and, by keyword, its settings with their defaults. The
    first paragraph of its docstring is the summary that `equipoise methods` prints.

    Args:
        family: As in :class:`Method`.
        *kinds: `CLASSES`, `LABELS` or both.
        reference: Where it comes from.
        exactness: One for all kinds of labels, or one for each.
        first_choice: Whether it is an arm by default.
        needs_images: Whether it works on the inputs themselves.
        finish: Makes a remedy of what the function returns; None where it returns one.

    Example:
        >>> @method("loss", LABELS, reference="folk recipe")
        ... def shy(labels, *, shift=1.0):
        ...     '''Ask for more before saying yes.'''
        >>> shy.name, shy.summary, dict(shy.settings), dict(shy.exactness)
        ('shy', 'Ask for more before saying yes.', {'shift': 1.0}, {'multilabel': 'exact'})
    """

    def declare(function: Make) -> Method:
        parameters = inspect.signature(function).parameters.values()
        exact = exactness if isinstance(exactness, Mapping) else dict.fromkeys(kinds, exactness)
        return Method(
            name=function.__name__,
            family=family,
            kinds=kinds,
            exactness=exact,
            summary=" ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split()),
            reference=reference,
            settings={p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY},
            first_choice=first_choice,
            needs_images=needs_images,
            function=function,
            finish=finish,
        )

    return declare
