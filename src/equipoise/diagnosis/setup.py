"""How somebody trains, in plain words: what set-up files say, checked, for the checks on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from equipoise._core.arrays import Floats
from equipoise._core.checks import require_within
from equipoise._core.messages import closest, one_of, say
from equipoise.diagnosis._vocabulary import ask_about
from equipoise.errors import UsageError

Weights = Mapping[str, float] | Sequence[float]
_KINDS = ("multilabel", "multiclass")
_ACTIVATIONS = ("none", "sigmoid", "softmax")
_SIDES = ("positive", "both")
BALANCED = "balanced"
"""Weights per class that are inverse to the counts, as scikit-learn and Keras users say it."""


@dataclass(frozen=True, slots=True)
class Setup:
    """One way to train, as far as it is known; None where nothing is said.

    Args:
        name: What to call it in messages.
        kind: "multilabel" or "multiclass".
        loss: As its framework calls it, for example "binary_crossentropy" or "focal".
        from_logits: Whether the loss takes logits.
        activation: Of the last layer: "none", "sigmoid" or "softmax".
        applied: What evaluation applies to the outputs of the model, in the same words.
        class_weight: One weight per row's class (Keras ``class_weight``), name or number -> weight,
            or a list; "balanced" for weights inverse to the counts.
        pos_weight: One weight per label, on its positives alone.
        alpha: Of a focal loss: a number, or one per label or class.
        alpha_on: "positive" where alpha weighs the positive term (and 1 - alpha the negative one),
            "both" where it weighs a label's or class's whole term.
        gamma: Of a focal loss.
        beta: Of class-balanced weights (effective number), in [0, 1).
        weighting: What weighs rare labels up, where its numbers are not given.
        sampler: What draws rows by class or label, for example "WeightedRandomSampler".
        metrics: As the framework calls them.
        monitor: What the best epoch is chosen by.
        batch_size: Rows per step.
        epochs: How many.
        lr: Learning rate at the start, or one per epoch.
        lr_factor: What the rate is multiplied by ...
        lr_every: ... after so many epochs.

    Example:
        >>> Setup(lr=1e-4, lr_factor=0.1, epochs=3).rates.round(7).tolist()
        [0.0001, 1e-05, 1e-06]
    """

    name: str = "setup"
    kind: str | None = None
    loss: str | None = None
    from_logits: bool | None = None
    activation: str | None = None
    applied: str | None = None
    class_weight: Weights | str | None = None
    pos_weight: Weights | None = None
    alpha: float | Weights | None = None
    alpha_on: str | None = None
    gamma: float | None = None
    beta: float | None = None
    weighting: str | None = None
    sampler: str | None = None
    metrics: tuple[str, ...] = ()
    monitor: str | None = None
    batch_size: int | None = None
    epochs: int | None = None
    lr: float | tuple[float, ...] | None = None
    lr_factor: float | None = None
    lr_every: int = 1

    def __post_init__(self) -> None:
        for name, known in (
            ("kind", _KINDS),
            ("activation", _ACTIVATIONS),
            ("applied", _ACTIVATIONS),
            ("alpha_on", _SIDES),
        ):
            if getattr(self, name) is not None:
                one_of(name, getattr(self, name), known)
        if self.beta is not None:
            require_within("beta", self.beta, "[0, 1)")
        if self.from_logits is None and "withlogits" in (self.loss or "").lower().replace("_", ""):
            object.__setattr__(self, "from_logits", True)  # its name says so

    @property
    def rates(self) -> Floats:
        """Learning rate of each epoch; empty where it is not known."""
        if self.lr is None:
            return np.empty(0)
        if isinstance(self.lr, tuple):
            return np.asarray(self.lr, dtype=np.float64)
        steps = np.arange(self.epochs or 0) // max(1, self.lr_every)
        return np.asarray(self.lr * (self.lr_factor or 1.0) ** steps, dtype=np.float64)

    def weights(self, names: Sequence[str]) -> dict[str, tuple[str, dict[str, float]]]:
        """Return every weight that rare labels get: where it stands -> (what on, name -> weight).

        Args:
            names: Labels or classes, in order.
        """
        found = {}
        for key, on in (("class_weight", "rows"), ("pos_weight", "positives"),
                        ("alpha", self.alpha_on or "positive")):  # fmt: skip
            given = getattr(self, key)
            # A word is a rule, which counts turn into numbers where there are any.
            if given is not None and not isinstance(given, (int, float, str)):
                found[key] = on, _by_name(key, given, names)
        return found


def _by_name(key: str, given: Weights, names: Sequence[str]) -> dict[str, float]:
    """Return weights by name: keys are names where they can be, else positions, never a mix."""
    if not isinstance(given, Mapping):
        if len(given) != len(names):
            raise UsageError(say(key, f"hold one weight per label, {len(names)}", len(given)))
        return {name: float(v) for name, v in zip(names, given, strict=True)}
    weights = {str(k): float(v) for k, v in given.items()}
    strange = [k for k in weights if k not in names]
    if not strange:
        return weights
    numbered = any(name.isdecimal() for name in names)
    if len(strange) < len(weights):
        # Labels without positives may be missing from the counts; their weights do no harm.
        if set(names) <= set(weights) or (numbered and all(k.isdecimal() for k in strange)):
            return weights
        expected = f"name labels throughout: {', '.join(list(names)[:10])}"
        raise UsageError(say(f"{key}", expected, strange[:10], closest(strange[0], names)))
    places = [int(k) if k.isdecimal() else -1 for k in strange]
    if numbered or not all(0 <= place < len(names) for place in places):
        expected = f"have the names of labels as keys: {', '.join(list(names)[:10])}"
        do = "Keys that are names are matched; positions only where no label is named by a number."
        raise UsageError(say(key, expected, strange[:10], do))
    return {names[place]: weights[k] for place, k in zip(places, strange, strict=True)}


_CALLED = {
    "scale_pos_weight": "`pos_weight: [W]`, one weight per label",
    **dict.fromkeys(
        ("is_unbalance", "unbalance", "auto_class_weights"), "`class_weight: balanced`"
    ),
    "class_weights": "`class_weight`",
}
"""What boosters call weights."""


def read_setup(content: Mapping[str, Any], name: str = "setup") -> Setup:
    """Return a set-up from plain values, as a YAML file holds them.

    Args:
        content: The fields of :class:`Setup`; others are an error.
        name: What to call it where it does not say.

    Raises:
        UsageError: an unknown key, with the closest known one, or a value of another type.

    Warns:
        DataWarning: a loss, sampler or metric that is not known here, with the closest known one:
            nothing about it is checked.

    Example:
        >>> read_setup({"loss": "focal", "alpha": 0.25}).alpha
        0.25
    """
    if not isinstance(content, Mapping):
        raise UsageError(say(name, "be a mapping", type(content).__name__))
    known = {f.name for f in fields(Setup)}
    values: dict[str, Any] = {"name": name}
    for key, value in content.items():
        if key not in known:
            called = f"Say {_CALLED[key]}." if key in _CALLED else closest(str(key), known)
            raise UsageError(f"`{name}.{key}` is not known. {called}")
        values[key] = _plain(f"{name}.{key}", key, value)
    for key in ("loss", "sampler", "metrics"):
        said = values.get(key) or ()
        for word in [said] if isinstance(said, str) else said:
            ask_about(f"{name}.{key}", key, str(word))
    return Setup(**values)


_WHOLE = {"batch_size": 2**31, "epochs": 10**6, "lr_every": 10**6}
"""Fields that are whole numbers, and the most that they may be."""
_NUMBERS = ("lr", "lr_factor", "gamma", "beta", *_WHOLE)
_WEIGHTS = ("class_weight", "pos_weight", "alpha")


def _plain(name: str, key: str, value: Any) -> Any:
    """Return the value of a field as :class:`Setup` takes it; nothing said stays None."""
    if key == "metrics":
        words = [value] if isinstance(value, str) else value or ()
        if not isinstance(words, (list, tuple)) or not all(isinstance(w, str) for w in words):
            raise UsageError(say(name, "be a name or a list of names", repr(value)))
        return tuple(words)
    if value is None:
        return None
    if key == "lr" and isinstance(value, (list, tuple)):
        return tuple(_number(f"{name}.{i}", v) for i, v in enumerate(value))
    if key in _WHOLE:
        most = _WHOLE[key]
        if not 1 <= _number(name, value) <= most or value % 1:
            raise UsageError(say(name, f"be a whole number in [1, {most}]", value))
        return int(value)
    if key in _NUMBERS:
        return _number(name, value)
    if key in _WEIGHTS:
        return _weights(name, key, value)
    if key == "from_logits" and not isinstance(value, bool):
        raise UsageError(say(name, "be true or false", repr(value)))
    if key != "from_logits" and not isinstance(value, str):
        raise UsageError(say(name, "be a word", repr(value), "Put it in quotes if it is one."))
    return value


def _number(name: str, value: Any) -> Any:
    """Return a number that a float holds."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < np.inf:
        raise UsageError(say(name, "be a number", repr(value)))
    if isinstance(value, int) and abs(value) > 2**53:
        raise UsageError(say(name, "be a number within 2^53", "more"))
    return value


def _weights(name: str, key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _number(f"{name}.{k}", v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_number(f"{name}.{i}", v) for i, v in enumerate(value)]
    if key == "alpha":
        return _number(name, value)
    if key == "class_weight" and value == BALANCED:
        return value
    words = f", or {BALANCED!r}" if key == "class_weight" else ""
    raise UsageError(say(name, f"be a list or a mapping of weights{words}", repr(value)))
