"""A remedy inside the Hugging Face Trainer, a rule inside its model; needs the extra "hf"."""

import equipoise.integrations.huggingface._transformers  # noqa: F401  # says which extra is missing
from equipoise.integrations.huggingface.folder import FolderModel
from equipoise.integrations.huggingface.pipelines import (
    RuleImageClassificationPipeline,
    RuleTextClassificationPipeline,
    RuleTokenClassificationPipeline,
)
from equipoise.integrations.huggingface.rules import (
    put_rule,
    rule_from,
    rule_of,
    scores_from,
)
from equipoise.integrations.huggingface.trainer import RemedyTrainer
from equipoise.integrations.huggingface.truth import training_labels

__all__ = [
    "FolderModel",
    "RemedyTrainer",
    "RuleImageClassificationPipeline",
    "RuleTextClassificationPipeline",
    "RuleTokenClassificationPipeline",
    "put_rule",
    "rule_from",
    "rule_of",
    "scores_from",
    "training_labels",
]
