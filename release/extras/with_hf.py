"""Extra hf: a small model trained by the Trainer with a remedy, and its rule."""

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification, TrainingArguments

import equipoise as eq
from equipoise.integrations.huggingface import RemedyTrainer, rule_from, training_labels

rng = np.random.default_rng(0)


def make_rows(count: int) -> list[dict[str, object]]:
    """Return rows of six words; some words make the rare class likelier."""
    ids = rng.integers(2, 42, size=(count, 6))
    rare = rng.random(count) < 1 / (1 + np.exp(5 - 1.5 * (ids < 12).sum(1)))
    return [{"input_ids": i.tolist(), "labels": int(y)} for i, y in zip(ids, rare, strict=True)]


torch.manual_seed(0)
model = BertForSequenceClassification(BertConfig(
    vocab_size=42, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
    num_attention_heads=2, id2label={0: "common", 1: "rare"},
))  # fmt: skip
train, validation = make_rows(256), make_rows(256)
arguments = TrainingArguments(
    "trainer", num_train_epochs=1, report_to=[], use_cpu=True, disable_tqdm=True
)
remedy = eq.remedy("weighted_ce", training_labels(train, model))
trainer = RemedyTrainer(remedy, model, arguments, train_dataset=train)
trainer.train()
assert rule_from(trainer, validation).names == ("common", "rare")
