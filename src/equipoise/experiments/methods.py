"""The catalogue: every method, what it needs, where it comes from and who builds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from equipoise._core.words import closest, say
from equipoise.errors import UsageError

if TYPE_CHECKING:
    from equipoise.artifacts import Labels
    from equipoise.training.remedy import Remedy

__all__ = ["METHODS", "THRESHOLDS", "Method", "get_method", "methods_for", "remedy"]

THRESHOLDS = "none + thresholds"
_BUILDERS = "equipoise.experiments.builders"
_SECOND_CHOICE = frozenset(
    {
        "asymmetric",
        "cdt",
        "distribution_balanced",
        "label_aware_smoothing",
        "poly1",
        "vector_scaling",
    }
)


@dataclass(frozen=True, slots=True)
class Method:
    """One way to treat imbalance.

    Args:
        name: As used in studies and on the command line.
        family: "baseline", "loss" or "sampler".
        builders: Kind of labels -> "module:function" that makes the remedy.
        exactness: Kind of labels -> how exactly its effect on probabilities is undone.
        settings: Parameters and their defaults.
        summary: One sentence.
        reference: Where it comes from.
    """

    name: str
    family: str
    builders: Mapping[str, str]
    exactness: Mapping[str, str]
    summary: str
    reference: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def first_choice(self) -> bool:
        """Whether it is an arm by default; each further arm widens everybody's intervals."""
        return self.name not in _SECOND_CHOICE

    def build(self, labels: Labels, **settings: Any) -> Remedy:
        """Return the remedy for the given training labels."""
        if labels.kind not in self.builders:
            known = ", ".join(m.name for m in methods_for(labels.kind))
            raise UsageError(
                say(self.name, f"be used on {' or '.join(self.builders)} labels", labels.kind)
                + f" Methods for {labels.kind}: {known}."
            )
        for key in settings:
            if key not in self.settings:
                raise UsageError(
                    say(f"{self.name}.{key}", "be a setting", key, closest(key, self.settings))
                    if self.settings
                    else f"`{self.name}` has no settings, got `{key}`. Remove it."
                )
        module, name = self.builders[labels.kind].split(":")
        builder: Callable[..., Remedy] = getattr(import_module(module), name)
        return builder(labels, **{**self.settings, **settings})


def _method(
    name: str,
    family: str,
    kinds: Mapping[str, str],
    summary: str,
    reference: str,
    exactness: str | Mapping[str, str] = "exact",
    **settings: Any,
) -> Method:
    exact = exactness if isinstance(exactness, Mapping) else dict.fromkeys(kinds, exactness)
    builders = {kind: f"{_BUILDERS}:{builder}" for kind, builder in kinds.items()}
    return Method(name, family, builders, exact, summary, reference, settings)


METHODS: Mapping[str, Method] = {
    m.name: m
    for m in (
        _method(
            "none",
            "baseline",
            {"multilabel": "plain_bce", "multiclass": "plain_cross_entropy"},
            "The untreated model: cross-entropy, every row once per epoch.",
            "-",
        ),
        _method(
            "pos_weight",
            "loss",
            {"multilabel": "pos_weight"},
            "Weight the positives of each label by negatives / positives.",
            "torch.nn.BCEWithLogitsLoss, pos_weight",
            power=1.0,
            cap=None,
        ),
        _method(
            "inverse_frequency",
            "loss",
            {"multilabel": "inverse_frequency"},
            "Weight the positives of each label by all positives / its positives.",
            "folk recipe",
            cap=None,
        ),
        _method(
            "weighted_ce",
            "loss",
            {"multiclass": "weighted_ce"},
            "Weight each class by inverse frequency to a power.",
            "scikit-learn class_weight='balanced'",
            power=1.0,
        ),
        _method(
            "class_balanced",
            "loss",
            {"multiclass": "class_balanced", "multilabel": "class_balanced_labels"},
            "Weight classes, or the positives of labels, by inverse effective numbers.",
            "Cui et al., CVPR 2019, eq. 2",
            beta=0.999,
        ),
        _method(
            "focal",
            "loss",
            {"multilabel": "sigmoid_focal", "multiclass": "softmax_focal"},
            "Down-weight easy examples by (1 - p)^gamma.",
            "Lin et al., ICCV 2017, eq. 5",
            gamma=2.0,
        ),
        _method(
            "asymmetric",
            "loss",
            {"multilabel": "asymmetric"},
            "Focus on hard negatives and drop those below a margin.",
            "Ridnik et al., ICCV 2021, eq. 7",
            gamma_positive=0.0,
            gamma_negative=4.0,
            margin=0.05,
            detach_focus=False,
        ),
        _method(
            "distribution_balanced",
            "loss",
            {"multilabel": "distribution_balanced"},
            "Re-balance positives by how rows carry several labels; go easy on negatives.",
            "Wu et al., ECCV 2020, eqs. 5 and 9",
            "approximate",
        ),
        _method(
            "logit_adjusted",
            "loss",
            {"multiclass": "logit_adjusted"},
            "Add tau times the log prior to the logits in training.",
            "Menon et al., ICLR 2021, eq. 10",
            tau=1.0,
        ),
        _method(
            "vector_scaling",
            "loss",
            {"multiclass": "vector_scaling"},
            "Scale logits by class shares to a power, and shift them by tau log shares.",
            "Kini et al., NeurIPS 2021, eq. 2",
            gamma=0.15,
            tau=1.0,
        ),
        _method(
            "cdt",
            "loss",
            {"multiclass": "cdt"},
            "Divide the logits of rare classes by a temperature in training.",
            "Ye et al., 2020, eq. 3",
            gamma=0.2,
        ),
        _method(
            "label_aware_smoothing",
            "loss",
            {"multiclass": "label_aware_smoothing"},
            "Smooth the targets of frequent classes more than those of rare ones.",
            "Zhong et al., CVPR 2021, eq. 5",
            head=0.4,
            tail=0.1,
        ),
        _method(
            "poly1",
            "loss",
            {"multiclass": "poly1"},
            "Add epsilon (1 - p) to cross-entropy.",
            "Leng et al., ICLR 2022, section 3",
            epsilon=1.0,
        ),
        _method(
            "class_balanced_sampling",
            "sampler",
            {"multiclass": "class_balanced_sampling"},
            "Draw a class, then a row of it: every class equally often.",
            "Kang et al., ICLR 2020, section 3",
        ),
        _method(
            "weighted_sampling",
            "sampler",
            {"multilabel": "weighted_sampling"},
            "Draw each row by the largest inverse frequency among its labels.",
            "folk recipe; implied weights as in Wu et al., ECCV 2020, section 3.1",
            "approximate",
            rule="max",
        ),
    )
}


def get_method(name: str) -> Method:
    """Return a method by name; an unknown name is answered with the closest one."""
    if name not in METHODS:
        raise UsageError(say("method", "be in the catalogue", repr(name), closest(name, METHODS)))
    return METHODS[name]


def methods_for(kind: str) -> list[Method]:
    """Return the methods for "multiclass" or "multilabel" labels."""
    return [m for m in METHODS.values() if kind in m.builders]


def remedy(name: str, labels: Labels, **settings: Any) -> Remedy:
    """Return a remedy of the catalogue, made for these training labels.

    Args:
        name: A method of ``equipoise methods``.
        labels: Of the training rows, in the order in which they will be trained on.
        **settings: The method's own parameters; an unknown one is an error.

    Raises:
        UsageError: unknown method or setting, or a method for the other kind of labels.
    """
    return get_method(name).build(labels, **settings)
