"""The catalogue: every method, what it needs, where it comes from and the remedy it makes."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from equipoise._core.extras import names_extras
from equipoise._core.messages import closest, say
from equipoise.artifacts.labels import require_labels
from equipoise.boosting.families import REMEDIES
from equipoise.errors import UsageError
from equipoise.methods import for_tables, losses, mixing, samplers, stages
from equipoise.methods.method import Method
from equipoise.methods.mixing import add_mixing
from equipoise.methods.stages import defer

if TYPE_CHECKING:
    from equipoise.artifacts import Labels
    from equipoise.training.remedy import Remedy

__all__ = [
    "METHODS",
    "THRESHOLDS",
    "Method",
    "add_mixing",
    "defer",
    "get_method",
    "method_card",
    "methods_for",
    "remedy",
]

THRESHOLDS = "none + thresholds"
"""The arm that every comparison has: the untreated model with tuned thresholds."""


def _of(module: ModuleType) -> list[Method]:
    """Return a module's methods in the order in which they are written down."""
    own = (m for m in vars(module).values() if isinstance(m, Method))
    return [m for m in own if m.function is not None and m.function.__module__ == module.__name__]


METHODS: Mapping[str, Method] = {
    m.name: m for module in (losses, samplers, for_tables, mixing, stages) for m in _of(module)
}
"""The catalogue: name -> method, in the order in which it is listed."""


_KNOWN_AS: Mapping[str, str] = {
    **REMEDIES,
    "SMOTE": "smote",
    "SMOTENC": "smote",
    "SMOTEN": "smote",
    "BorderlineSMOTE": "borderline_smote",
    "RandomOverSampler": "random_oversample",
    "RandomUnderSampler": "random_undersample",
    "BalancedRandomForestClassifier": "balanced_random_forest",
    "EasyEnsembleClassifier": "easy_ensemble",
    "RUSBoostClassifier": "rusboost",
}
"""What boosters and imbalanced-learn call methods of the catalogue."""


def get_method(name: str) -> Method:
    """Return a method by name; an unknown name is answered with the closest one.

    "a+b" joins methods; see :func:`equipoise.methods.compose.compose`.
    """
    if name not in METHODS and "+" in name:
        from equipoise.methods.compose import compose

        return compose([get_method(part.strip()) for part in name.split("+")])
    if name in _KNOWN_AS:
        do = f"Here it is called {_KNOWN_AS[name]}."
        raise UsageError(say("method", "be in the catalogue", repr(name), do))
    if name not in METHODS:
        raise UsageError(say("method", "be in the catalogue", repr(name), closest(name, METHODS)))
    return METHODS[name]


def method_card(name: str) -> str:
    """Return the card of a method, in Markdown.

    Use to read when to take a method, its formula, what it clashes with and what came of it.
    Prefer ``equipoise methods`` for all of them in a line each.

    Raises:
        UsageError: an unknown method, or one that is joined of several.

    Example:
        >>> print(method_card("logit_adjusted").splitlines()[0])
        # logit_adjusted
    """
    from equipoise.methods.card import write_card

    return write_card(get_method(name))


def methods_for(kind: str) -> list[Method]:
    """Return the methods for "multiclass" or "multilabel" labels."""
    return [m for m in METHODS.values() if kind in m.kinds]


@names_extras("torch")
def remedy(
    name: str,
    labels: Labels,
    *,
    class_dim: int = -1,
    ignore_index: int | None = None,
    **settings: Any,
) -> Remedy:
    """Return a remedy of the catalogue, made for these training labels.

    Args:
        name: A method of ``equipoise methods``.
        labels: Of the training rows, in the order in which they will be trained on; of dense
            targets, of their pixels: ``Scores.from_dense(...).labels`` or ``Labels.from_array`` of
            the flattened maps.
        class_dim: Axis of classes or labels in outputs: -1 for rows, 1 for (N, C, H, W), 2 for
            (N, T, C).
        ignore_index: Class index of rows or pixels that are left out; None is -100, as in torch.
        **settings: The method's own parameters; an unknown one is an error.

    Raises:
        UsageError: unknown method or setting, a method for the other kind of labels, an
            ``ignore_index`` for labels, or for dense targets a method that does not change the
            loss alone.
    """
    require_labels("labels", labels)
    return _dense(get_method(name).build(labels, **settings), class_dim, ignore_index)


def _dense(made: Remedy, class_dim: int, ignore_index: int | None) -> Remedy:
    if class_dim == -1 and ignore_index is None:
        return made
    from equipoise.methods.dense import make_dense

    return make_dense(made, class_dim, ignore_index)
