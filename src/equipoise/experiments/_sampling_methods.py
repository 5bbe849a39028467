"""The rows of the catalogue that treat imbalance by which rows are drawn."""

from __future__ import annotations

from functools import partial

from equipoise.experiments._method import CLASSES, LABELS, Method, entry

__all__ = ["SAMPLING_METHODS"]

_EXACT_FOR_CLASSES = {CLASSES: "exact", LABELS: "approximate"}
_row = partial(entry, module="sampling_builders")
_later = partial(_row, first_choice=False)


def _both(builder: str) -> dict[str, str]:
    return {CLASSES: builder, LABELS: builder}


SAMPLING_METHODS: tuple[Method, ...] = (
    _row(
        "class_balanced_sampling",
        "sampler",
        {CLASSES: "class_balanced_sampling"},
        "Draw a class, then a row of it: every class equally often.",
        "Kang et al., ICLR 2020, section 3",
    ),
    _row(
        "weighted_sampling",
        "sampler",
        {LABELS: "weighted_sampling"},
        "Draw each row by the largest inverse frequency among its labels.",
        "folk recipe; implied weights as in Wu et al., ECCV 2020, section 3.1",
        "approximate",
        rule="max",
        empty_weight=1.0,
    ),
    _later(
        "square_root_sampling",
        "sampler",
        _both("square_root_sampling"),
        "Draw classes by the root (power q) of their counts, rows by their rarest label.",
        "Kang et al., ICLR 2020, section 3",
        _EXACT_FOR_CLASSES,
        q=0.5,
    ),
    _later(
        "effective_number_sampling",
        "sampler",
        _both("effective_number_sampling"),
        "Draw rows by the inverse effective number of their class or rarest label.",
        "Cui et al., CVPR 2019, eq. 2",
        _EXACT_FOR_CLASSES,
        beta="(N-1)/N",
    ),
    _later(
        "reversed_sampling",
        "sampler",
        _both("reversed_sampling"),
        "Draw classes by their inverse counts: the rarest most often.",
        "Zhou et al., CVPR 2020",
        _EXACT_FOR_CLASSES,
    ),
    _later(
        "progressive_sampling",
        "sampler",
        _both("progressive_sampling"),
        "Go from rows alike to classes alike over num_epochs, or the whole training.",
        "Kang et al., ICLR 2020, section 3",
        "approximate",
        num_epochs=None,
    ),
    _later(
        "repeat_factor",
        "sampler",
        _both("repeat_factor"),
        "Repeat rows of classes or labels below a share by the root of what they lack.",
        "Gupta et al., CVPR 2019, appendix",
        _EXACT_FOR_CLASSES,
        threshold=0.5,
    ),
    _later(
        "raking",
        "sampler",
        _both("raking"),
        "Draw rows by the weights closest to uniform that reach target rates.",
        "Deming and Stephan, 1940",
        _EXACT_FOR_CLASSES,
        target="sqrt",
        min_ess=0.1,
    ),
    _later(
        "inverse_labelset",
        "sampler",
        {LABELS: "inverse_labelset"},
        "Draw every set of labels equally often; rests on few rows.",
        "folk recipe",
        "approximate",
        empty_weight=1.0,
    ),
    _later(
        "single_label_rows",
        "sampler",
        {LABELS: "single_label_rows"},
        "Repeat rows with one label until labels are alike; rests on few rows.",
        "folk recipe",
        "approximate",
        several_weight=1.0,
        empty_weight=1.0,
    ),
    _later(
        "random_oversample",
        "sampler",
        {CLASSES: "random_oversample"},
        "Repeat rows of rarer classes, up to ratio times the largest.",
        "folk recipe",
        ratio=1.0,
        max_repeat=None,
        seed=0,
    ),
    _later(
        "random_undersample",
        "sampler",
        {CLASSES: "random_undersample"},
        "Leave out rows of larger classes for good.",
        "folk recipe",
        ratio=1.0,
        seed=0,
    ),
    _later(
        "ml_ros",
        "sampler",
        {LABELS: "ml_ros"},
        "Clone rows of minority labels, a fraction of the data in all.",
        "Charte et al., Neurocomputing 163, 2015",
        "approximate",
        fraction=0.25,
        seed=0,
    ),
    _later(
        "ml_rus",
        "sampler",
        {LABELS: "ml_rus"},
        "Leave out rows without a minority label, a fraction of the data.",
        "Charte et al., Neurocomputing 163, 2015",
        "approximate",
        fraction=0.25,
        keep_empty=False,
        seed=0,
    ),
    _later(
        "lp_ros",
        "sampler",
        {LABELS: "lp_ros"},
        "Clone rows of rare label sets, up to their mean size.",
        "Charte et al., Neurocomputing 163, 2015",
        "approximate",
        fraction=0.25,
        seed=0,
    ),
    _later(
        "lp_rus",
        "sampler",
        {LABELS: "lp_rus"},
        "Leave out rows of frequent label sets, down to their mean size.",
        "Charte et al., Neurocomputing 163, 2015",
        "approximate",
        fraction=0.25,
        seed=0,
    ),
    _later(
        "augment_balance",
        "sampler",
        _both("augment_balance"),
        "Draw classes equally often, rows of several labels by the rarest, and augment the copies.",
        "folk recipe; oversampling as in Buda et al., Neural Networks 2018, section 3.1",
        _EXACT_FOR_CLASSES,
        needs_images=True,
        augmentation="cifar",
    ),
)
