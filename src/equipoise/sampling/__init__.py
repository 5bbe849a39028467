"""Sampling: row weights (NumPy) and the samplers that draw by them (torch, imported on demand)."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from equipoise._core.faces import lazy_face

if TYPE_CHECKING:
    from equipoise.sampling.effect import (
        effective_sample_size as effective_sample_size,
        implied_pos_weight as implied_pos_weight,
        inclusion_probabilities as inclusion_probabilities,
        sampler_correction as sampler_correction,
    )
    from equipoise.sampling.raking import (
        Raking as Raking,
        rake as rake,
        target_rates as target_rates,
    )
    from equipoise.sampling.repeat import (
        repeat_factor_rows as repeat_factor_rows,
        repeat_factor_weights as repeat_factor_weights,
        repeat_factors as repeat_factors,
    )
    from equipoise.sampling.report import (
        SamplingReport as SamplingReport,
        sampling_report as sampling_report,
    )
    from equipoise.sampling.resample import (
        lp_ros as lp_ros,
        lp_rus as lp_rus,
        ml_ros as ml_ros,
        ml_rus as ml_rus,
        mlsmote as mlsmote,
        mlsol as mlsol,
        random_oversample as random_oversample,
        random_undersample as random_undersample,
        repeat_factor_oversample as repeat_factor_oversample,
        resample_to_sizes as resample_to_sizes,
        smote as smote,
        undersample_majority_rows as undersample_majority_rows,
    )
    from equipoise.sampling.rules import (
        ROW_RULES as ROW_RULES,
        RowRule as RowRule,
        row_weights as row_weights,
    )
    from equipoise.sampling.samplers import (
        BalancedBatchSampler as BalancedBatchSampler,
        ClassBalancedSampler as ClassBalancedSampler,
        ListedRowsSampler as ListedRowsSampler,
        PKBatchSampler as PKBatchSampler,
        ProgressiveSampler as ProgressiveSampler,
        RepeatFactorSampler as RepeatFactorSampler,
        StratifiedBatchSampler as StratifiedBatchSampler,
        WeightedSampler as WeightedSampler,
    )
    from equipoise.sampling.weights import (
        class_balanced_weights as class_balanced_weights,
        effective_number_weights as effective_number_weights,
        instance_weights as instance_weights,
        inverse_labelset_weights as inverse_labelset_weights,
        power_weights as power_weights,
        progressive_weights as progressive_weights,
        single_label_weights as single_label_weights,
    )


def _load(module: str) -> ModuleType:
    """Import a module, or say which extra the samplers for torch need."""
    try:
        return import_module(module)
    except (ImportError, RuntimeError) as error:
        if not module.endswith(".samplers"):
            raise
        from equipoise.errors import MissingExtraError

        raise MissingExtraError("torch", "torch", "Samplers for torch") from error


_HOME = {
    "effect": (
        "effective_sample_size implied_pos_weight inclusion_probabilities sampler_correction"
    ),
    "raking": "Raking rake target_rates",
    "repeat": "repeat_factor_rows repeat_factor_weights repeat_factors",
    "report": "SamplingReport sampling_report",
    "resample": (
        "lp_ros lp_rus ml_ros ml_rus mlsmote mlsol random_oversample random_undersample "
        "repeat_factor_oversample resample_to_sizes smote undersample_majority_rows"
    ),
    "rules": "ROW_RULES RowRule row_weights",
    "samplers": (
        "BalancedBatchSampler ClassBalancedSampler ListedRowsSampler PKBatchSampler "
        "ProgressiveSampler RepeatFactorSampler StratifiedBatchSampler WeightedSampler"
    ),
    "weights": (
        "class_balanced_weights effective_number_weights instance_weights "
        "inverse_labelset_weights power_weights progressive_weights single_label_weights"
    ),
}
__all__, __getattr__, __dir__ = lazy_face(__name__, _HOME, _load)
