"""Sampling: row weights (NumPy) and the samplers that draw by them (torch, imported on demand)."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from equipoise.sampling.effect import (
        effective_sample_size,
        implied_pos_weight,
        inclusion_probabilities,
        sampler_correction,
    )
    from equipoise.sampling.raking import Raking, rake, target_rates
    from equipoise.sampling.repeat import (
        repeat_factor_rows,
        repeat_factor_weights,
        repeat_factors,
    )
    from equipoise.sampling.report import SamplingReport, sampling_report
    from equipoise.sampling.resample import (
        lp_ros,
        lp_rus,
        ml_ros,
        ml_rus,
        mlsmote,
        mlsol,
        random_oversample,
        random_undersample,
        repeat_factor_oversample,
        resample_to_sizes,
        smote,
        undersample_majority_rows,
    )
    from equipoise.sampling.rules import ROW_RULES, RowRule, row_weights
    from equipoise.sampling.samplers import (
        BalancedBatchSampler,
        ClassBalancedSampler,
        ListedRowsSampler,
        PKBatchSampler,
        ProgressiveSampler,
        RepeatFactorSampler,
        StratifiedBatchSampler,
        WeightedSampler,
    )
    from equipoise.sampling.weights import (
        class_balanced_weights,
        effective_number_weights,
        instance_weights,
        inverse_labelset_weights,
        power_weights,
        progressive_weights,
        single_label_weights,
    )

__all__ = [
    "ROW_RULES",
    "BalancedBatchSampler",
    "ClassBalancedSampler",
    "ListedRowsSampler",
    "PKBatchSampler",
    "ProgressiveSampler",
    "Raking",
    "RepeatFactorSampler",
    "RowRule",
    "SamplingReport",
    "StratifiedBatchSampler",
    "WeightedSampler",
    "class_balanced_weights",
    "effective_number_weights",
    "effective_sample_size",
    "implied_pos_weight",
    "inclusion_probabilities",
    "instance_weights",
    "inverse_labelset_weights",
    "lp_ros",
    "lp_rus",
    "ml_ros",
    "ml_rus",
    "mlsmote",
    "mlsol",
    "power_weights",
    "progressive_weights",
    "rake",
    "random_oversample",
    "random_undersample",
    "repeat_factor_oversample",
    "repeat_factor_rows",
    "repeat_factor_weights",
    "repeat_factors",
    "resample_to_sizes",
    "row_weights",
    "sampler_correction",
    "sampling_report",
    "single_label_weights",
    "smote",
    "target_rates",
    "undersample_majority_rows",
]

_HOME = {
    "BalancedBatchSampler": "samplers",
    "ClassBalancedSampler": "samplers",
    "ListedRowsSampler": "samplers",
    "PKBatchSampler": "samplers",
    "ProgressiveSampler": "samplers",
    "ROW_RULES": "rules",
    "Raking": "raking",
    "RepeatFactorSampler": "samplers",
    "RowRule": "rules",
    "SamplingReport": "report",
    "StratifiedBatchSampler": "samplers",
    "WeightedSampler": "samplers",
    "class_balanced_weights": "weights",
    "effective_number_weights": "weights",
    "effective_sample_size": "effect",
    "implied_pos_weight": "effect",
    "inclusion_probabilities": "effect",
    "instance_weights": "weights",
    "inverse_labelset_weights": "weights",
    "lp_ros": "resample",
    "lp_rus": "resample",
    "ml_ros": "resample",
    "ml_rus": "resample",
    "mlsmote": "resample",
    "mlsol": "resample",
    "power_weights": "weights",
    "progressive_weights": "weights",
    "rake": "raking",
    "random_oversample": "resample",
    "random_undersample": "resample",
    "repeat_factor_oversample": "resample",
    "repeat_factor_rows": "repeat",
    "repeat_factor_weights": "repeat",
    "repeat_factors": "repeat",
    "resample_to_sizes": "resample",
    "row_weights": "rules",
    "sampler_correction": "effect",
    "sampling_report": "report",
    "single_label_weights": "weights",
    "smote": "resample",
    "target_rates": "raking",
    "undersample_majority_rows": "resample",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = _HOME[name]
    try:
        found = import_module(f"equipoise.sampling.{module}")
    except (ImportError, RuntimeError) as error:
        if module != "samplers":
            raise
        from equipoise.errors import MissingExtraError

        raise MissingExtraError("torch", "torch", f"equipoise.sampling.{name}") from error
    return getattr(found, name)


def __dir__() -> list[str]:
    return sorted(__all__)
